//! Converts the parameters of a statement: Python values become Arrow arrays of one row.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use laminardb_bridge::{Error, Params, type_name};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::detach::look;
use crate::error::{checked, raised};
use crate::value::{Nan, Refusal, SHOWN, Scalar, column_of, decimal, recognise, too_deep, unfit};
use crate::visible;

/// Maximum nesting of lists and dicts; one that contains itself is nested without end.
const DEEPEST: usize = 32;

/// Converts the parameters in a list or tuple (by position) or a dict (by name); `None` means no parameters.
pub(crate) fn from_python(params: Option<&Bound<'_, PyAny>>) -> PyResult<Params> {
    let Some(params) = params else { return Ok(Params::none()) };
    let py = params.py();
    let (mut positional, mut named): (Vec<ArrayRef>, Vec<(String, ArrayRef)>) = (Vec::new(), Vec::new());
    if params.is_instance_of::<PyList>() || params.is_instance_of::<PyTuple>() {
        for (place, value) in params.try_iter()?.enumerate() {
            positional.push(array(&value?, &(place + 1).to_string())?);
        }
    } else if let Ok(dict) = params.cast::<PyDict>() {
        // Iterates over a copy: recognising a value may run Python code, and other threads may change the dict
        // meanwhile.
        for (name, value) in dict.copy()?.iter() {
            let name = name.cast::<PyString>().map_err(|_| PyTypeError::new_err("parameter names must be strings"))?;
            named.push((name.to_str()?.to_owned(), array(&value, &format!("${}", name.to_str()?))?));
        }
    } else {
        let class = params.get_type().name()?;
        return Err(PyTypeError::new_err(format!("params is a list, a tuple or a dict, not {class}")));
    }
    checked(py, Params::from_arrays(&positional, &named).map_err(Error::from))
}

/// Converts the value of the parameter `name`, which is a number for those by position, written `?` or `$1` in SQL.
fn array(value: &Bound<'_, PyAny>, name: &str) -> PyResult<ArrayRef> {
    let refused = |why: &str| {
        let name = visible::start(name, SHOWN);
        raised(value.py(), &Error::QueryFailed(format!("parameter {name}: {why}")))
    };
    let data_type = data_type(value, DEEPEST)?.map_err(|why| refused(&why))?;
    if data_type == DataType::Null {
        return Ok(Arc::new(NullArray::new(1)));
    }
    let mut column = column_of(&data_type, 1, Nan::Value)?;
    column.append(value).map_err(|refusal| match refusal {
        Refusal::Unfit => refused(&unfit(value, &type_name(&data_type))),
        Refusal::TooDeep(limit) => refused(&too_deep(limit)),
        Refusal::Raised(error) => error,
    })?;
    Ok(column.finish())
}

/// Returns the SQL type of `value`, or the reason why it has none.
fn data_type(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Result<DataType, String>> {
    let scalar = recognise(value)?;
    let no_value = || {
        let class = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        format!("a value of class {class} is no SQL value")
    };
    let known = match &scalar {
        Scalar::Null => Some(DataType::Null),
        Scalar::Bool(_) => Some(DataType::Boolean),
        Scalar::Int(value) => value.extract::<i128>().ok().and_then(|value| {
            if i64::try_from(value).is_ok() {
                Some(DataType::Int64)
            } else if u64::try_from(value).is_ok() {
                Some(DataType::UInt64)
            } else {
                decimal::parse(&value.to_string(), 38, 0).map(|_| DataType::Decimal128(38, 0))
            }
        }),
        Scalar::Float(_) | Scalar::Single(_) => Some(DataType::Float64),
        Scalar::Decimal(text) => decimal::shape(text).map(|(precision, scale)| DataType::Decimal128(precision, scale)),
        Scalar::Text(_) | Scalar::TextOf(_) => Some(DataType::Utf8),
        Scalar::Bytes(_) => Some(DataType::Binary),
        Scalar::Date(_) => Some(DataType::Date32),
        Scalar::Time(_) => Some(DataType::Time64(TimeUnit::Microsecond)),
        Scalar::Instant(instant) => {
            let unit = if instant.nanos % 1000 == 0 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond };
            Some(DataType::Timestamp(unit, instant.zoned.then(|| "UTC".into())))
        }
        Scalar::Sequence(_) | Scalar::Mapping(_) if depth == 0 => {
            return Ok(Err(too_deep(DEEPEST)));
        }
        Scalar::Sequence(values) => return list_type(values, depth - 1),
        Scalar::Mapping(members) => return struct_type(members, depth - 1),
        Scalar::Other => None,
    };
    Ok(known.ok_or_else(no_value))
}

/// Returns the type of a list, whose values must have a common type.
fn list_type(values: &Bound<'_, PyAny>, depth: usize) -> PyResult<Result<DataType, String>> {
    let mut items = DataType::Null;
    for (place, value) in values.try_iter()?.enumerate() {
        look(values.py(), place)?;
        let item = match data_type(&value?, depth)? {
            Ok(item) => item,
            Err(why) => return Ok(Err(why)),
        };
        items = match common(&items, &item) {
            Some(common) => common,
            None => {
                let (items, item) = (type_name(&items), type_name(&item));
                return Ok(Err(format!("a list holds values of one type, not {items} and {item}")));
            }
        };
    }
    Ok(Ok(DataType::List(Arc::new(Field::new_list_field(items, true)))))
}

/// Returns the struct type that a dict stands for.
fn struct_type(members: &Bound<'_, PyDict>, depth: usize) -> PyResult<Result<DataType, String>> {
    let mut fields = Vec::with_capacity(members.len());
    for (name, value) in members.copy()?.iter() {
        let Some(name) = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok()) else {
            return Ok(Err("the keys of a dict that is a struct must be strings".to_owned()));
        };
        match data_type(&value, depth)? {
            Ok(member) => fields.push(Field::new(name, member, true)),
            Err(why) => return Ok(Err(why)),
        }
    }
    if fields.is_empty() {
        return Ok(Err("an empty dict is no SQL value".to_owned()));
    }
    Ok(Ok(DataType::Struct(fields.into())))
}

/// Returns the type that holds the values of both types; `None` if there is none.
fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Decimal128, Float64, Int64, List, Null, Struct, Timestamp, UInt64};
    Some(match (left, right) {
        (left, right) if left == right => left.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (Float64, Int64 | UInt64 | Decimal128(..)) | (Int64 | UInt64 | Decimal128(..), Float64) => Float64,
        (Timestamp(unit, zone), Timestamp(other, other_zone)) if zone == other_zone => {
            Timestamp(if *unit == TimeUnit::Nanosecond { *unit } else { *other }, zone.clone())
        }
        (Timestamp(unit, None), Date32) | (Date32, Timestamp(unit, None)) => Timestamp(*unit, None),
        (List(left), List(right)) => {
            List(Arc::new(Field::new_list_field(common(left.data_type(), right.data_type())?, true)))
        }
        (Struct(left), Struct(right)) => Struct(common_members(left, right)?),
        _ => {
            let ((whole, scale), (other_whole, other_scale)) = (digits(left)?, digits(right)?);
            let scale = scale.max(other_scale);
            let precision = u8::try_from(whole.max(other_whole) + scale).ok().filter(|precision| *precision <= 38)?;
            Decimal128(precision, i8::try_from(scale).ok()?)
        }
    })
}

/// Returns the digits before and after the point that a type of exact numbers needs; `None` for other types.
fn digits(data_type: &DataType) -> Option<(i16, i16)> {
    match data_type {
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        DataType::Decimal128(precision, scale) => Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale))),
        _ => None,
    }
}

/// Returns the members of both structs; a struct without one of them has NULL there.
fn common_members(left: &Fields, right: &Fields) -> Option<Fields> {
    let mut members: Vec<FieldRef> = left.iter().map(Arc::clone).collect();
    for field in right {
        match members.iter_mut().find(|known| known.name() == field.name()) {
            Some(known) => {
                let data_type = common(known.data_type(), field.data_type())?;
                *known = Arc::new(Field::new(field.name(), data_type, true));
            }
            None => members.push(Arc::clone(field)),
        }
    }
    Some(members.into())
}
