//! Parameters of a statement: Python values as Arrow values of one row.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullArray};
use arrow::datatypes::{DataType, Field, TimeUnit};
use laminardb_bridge::{Error, Params};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::error::{checked, raised};
use crate::value::{Column, Nan, Refusal, Scalar, decimal, integer, recognise};

/// The parameters in a list or tuple (by position), a dict (by name), or none.
pub(crate) fn from_python(params: Option<&Bound<'_, PyAny>>) -> PyResult<Params> {
    let Some(params) = params else { return Ok(Params::none()) };
    let py = params.py();
    let (mut positional, mut named): (Vec<ArrayRef>, Vec<(String, ArrayRef)>) = (Vec::new(), Vec::new());
    if params.is_instance_of::<PyList>() || params.is_instance_of::<PyTuple>() {
        for (place, value) in params.try_iter()?.enumerate() {
            positional.push(array(&value?, &(place + 1).to_string())?);
        }
    } else if let Ok(dict) = params.cast::<PyDict>() {
        // A copy: to recognise a value may run Python code, and threads may change the dict meanwhile.
        for (name, value) in dict.copy()?.iter() {
            let name = name.cast::<PyString>().map_err(|_| PyTypeError::new_err("parameter names must be strings"))?;
            named.push((name.to_str()?.to_owned(), array(&value, name.to_str()?)?));
        }
    } else {
        let class = params.get_type().name()?;
        return Err(PyTypeError::new_err(format!("params is a list, a tuple or a dict, not {class}")));
    }
    checked(py, Params::from_arrays(&positional, &named).map_err(Error::from))
}

fn array(value: &Bound<'_, PyAny>, name: &str) -> PyResult<ArrayRef> {
    let unfit = || {
        let class = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        let detail = format!("parameter ${name}: a value of class {class} is no SQL value");
        raised(value.py(), &Error::QueryFailed(detail))
    };
    let data_type = data_type(value)?.ok_or_else(unfit)?;
    if data_type == DataType::Null {
        return Ok(Arc::new(NullArray::new(1)));
    }
    let mut column = Column::new(&data_type, 1, Nan::Value)?;
    column.append(value).map_err(|refusal| match refusal {
        Refusal::Unfit => unfit(),
        Refusal::Raised(error) => error,
    })?;
    Ok(column.finish())
}

/// The SQL type that `value` has of itself.
fn data_type(value: &Bound<'_, PyAny>) -> PyResult<Option<DataType>> {
    let scalar = recognise(value)?;
    Ok(match &scalar {
        Scalar::Null => Some(DataType::Null),
        Scalar::Bool(_) => Some(DataType::Boolean),
        Scalar::Int(_) => integer(&scalar).and_then(|value| {
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
        Scalar::Sequence(values) => {
            let mut items = Some(DataType::Null);
            for value in values.try_iter()? {
                items = match (items, data_type(&value?)?) {
                    (Some(DataType::Null), item) => item,
                    (items, Some(DataType::Null)) => items,
                    (Some(DataType::Int64), Some(DataType::Float64)) => Some(DataType::Float64),
                    (items, _) => items,
                };
            }
            items.map(|items| DataType::List(Arc::new(Field::new_list_field(items, true))))
        }
        Scalar::Mapping(_) | Scalar::Other => None,
    })
}
