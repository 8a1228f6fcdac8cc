//! `PythonCells`: what Python values are in the columns of a relation. The bridge builds the columns, by the rules that
//! JSON and CSV keep, too.
//!
//! Values of the exact class that a column expects take a shortcut past [`recognise`].

use std::borrow::Cow;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use laminardb_bridge::ingest::{Cells, ColumnBuilder, Moment, Number, Why, column_builder, json_builder};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTimeAccess, PyTuple};

use super::json::json_text;
use super::scalar::{Instant, Scalar, recognise};

/// A column of Python values under construction.
pub(crate) type Column = Box<dyn ColumnBuilder<PythonCells>>;

/// Makes an empty column of `data_type` with room for about `rows` values.
pub(crate) fn column_of(data_type: &DataType, rows: usize, nan: Nan) -> PyResult<Column> {
    match without_values(data_type) {
        Some(other) => Err(PyTypeError::new_err(format!("values of type {other} cannot be given from Python"))),
        None => Ok(column_builder(PythonCells { nan }, data_type, rows)),
    }
}

/// Makes an empty column of text for values that JSON has, with room for about `rows` of them.
pub(crate) fn json_column(rows: usize, nan: Nan) -> Column {
    json_builder(PythonCells { nan }, rows)
}

/// Returns the type, of `data_type` and those nested in it, that no Python value has.
fn without_values(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(field) => without_values(field.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|field| without_values(field.data_type())),
        DataType::Null | DataType::Boolean | DataType::Utf8 | DataType::Binary | DataType::Date32 => None,
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) | DataType::Timestamp(..) => None,
        DataType::Time64(TimeUnit::Microsecond) => None,
        other => Some(other).filter(|other| !other.is_integer()),
    }
}

/// Why a value was refused.
pub(crate) enum Refusal {
    /// The column's type cannot hold the value. The message shows value and type, which say why.
    Unfit,
    /// The value holds values within each other, more than this many deep.
    TooDeep(usize),
    /// Python code of the value's class raised an exception.
    Raised(PyErr),
}

impl From<Why> for Refusal {
    fn from(_: Why) -> Self {
        Self::Unfit
    }
}

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// What a float NaN means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nan {
    /// A value of float columns.
    Value,
    /// A missing value, as everywhere in pandas.
    Null,
}

impl Nan {
    /// Returns what NaN means in a column of `data_type`. A type without NaN treats it as a missing value, whatever
    /// carries it, because other Python libraries have nothing else for that.
    pub(crate) fn within(self, data_type: &DataType) -> Self {
        match data_type {
            DataType::Float32 | DataType::Float64 => self,
            _ => Self::Null,
        }
    }
}

/// Python values; `nan` says what NaN means in columns of floats. In all others it is a missing value.
#[derive(Clone, Copy)]
pub(crate) struct PythonCells {
    nan: Nan,
}

impl Cells for PythonCells {
    type Cell<'a> = Bound<'a, PyAny>;
    type Refusal = Refusal;

    #[inline]
    fn boolean(self, value: &Bound<'_, PyAny>) -> Result<Option<bool>, Refusal> {
        if let Ok(value) = value.cast_exact::<PyBool>() {
            return Ok(Some(value.is_true()));
        }
        match recognised(value)? {
            Scalar::Null => Ok(None),
            Scalar::Bool(value) => Ok(Some(value)),
            _ => Err(Refusal::Unfit),
        }
    }

    #[inline]
    fn integer<'a>(self, value: &'a Bound<'_, PyAny>) -> Result<Option<Number<'a>>, Refusal> {
        match small_integer(value) {
            Some(value) => Ok(Some(value)),
            None if value.is_none() => Ok(None),
            None => number(value, Nan::Null),
        }
    }

    #[inline]
    fn float<'a>(self, value: &'a Bound<'_, PyAny>) -> Result<Option<Number<'a>>, Refusal> {
        if let Ok(float) = value.cast_exact::<PyFloat>() {
            let float = float.value();
            return Ok((!float.is_nan() || self.nan == Nan::Value).then_some(Number::Double(float)));
        }
        if value.is_none() { Ok(None) } else { number(value, self.nan) }
    }

    #[inline]
    fn text<'a>(self, value: &'a Bound<'_, PyAny>) -> Result<Option<Cow<'a, str>>, Refusal> {
        // Lone surrogates cannot be encoded as UTF-8.
        if let Ok(value) = value.cast::<PyString>() {
            return Ok(Some(Cow::Borrowed(value.to_str().map_err(|_| Refusal::Unfit)?)));
        }
        match recognised(value)? {
            Scalar::Null => Ok(None),
            Scalar::Text(value) => Ok(Some(Cow::Owned(value.to_str().map_err(|_| Refusal::Unfit)?.to_owned()))),
            Scalar::TextOf(value) => Ok(Some(Cow::Owned(value))),
            _ => Err(Refusal::Unfit),
        }
    }

    fn json<'a>(self, value: &'a Bound<'_, PyAny>) -> Result<Option<Cow<'a, str>>, Refusal> {
        if value.is_instance_of::<PyString>() {
            return self.text(value);
        }
        match recognised(value)? {
            Scalar::Null => Ok(None),
            Scalar::Text(_) | Scalar::TextOf(_) => self.text(value),
            _ => json_text(value).map(|text| Some(Cow::Owned(text))),
        }
    }

    #[inline]
    fn bytes<'a>(self, value: &'a Bound<'_, PyAny>) -> Result<Option<Cow<'a, [u8]>>, Refusal> {
        if let Ok(value) = value.cast::<PyBytes>() {
            return Ok(Some(Cow::Borrowed(value.as_bytes())));
        }
        match recognised(value)? {
            Scalar::Null => Ok(None),
            Scalar::Bytes(value) => Ok(Some(Cow::Owned(value))),
            _ => Err(Refusal::Unfit),
        }
    }

    fn time(self, value: &Bound<'_, PyAny>) -> Result<Option<i64>, Refusal> {
        let time = match recognised(value)? {
            Scalar::Null => return Ok(None),
            Scalar::Time(time) => time,
            _ => return Err(Refusal::Unfit),
        };
        if !time.getattr(intern!(time.py(), "tzinfo"))?.is_none() {
            return Err(Refusal::Unfit);
        }
        let seconds =
            i64::from(time.get_hour()) * 3600 + i64::from(time.get_minute()) * 60 + i64::from(time.get_second());
        Ok(Some(seconds * 1_000_000 + i64::from(time.get_microsecond())))
    }

    fn timestamp(self, value: &Bound<'_, PyAny>) -> Result<Option<Moment>, Refusal> {
        match recognised(value)? {
            Scalar::Null => Ok(None),
            Scalar::Date(value) => {
                let ordinal: i64 = value.call_method0(intern!(value.py(), "toordinal"))?.extract()?;
                // A derived class may say anything.
                Ok(Some(Moment::Date(ordinal.checked_sub(EPOCH_ORDINAL).ok_or(Refusal::Unfit)?)))
            }
            Scalar::Instant(Instant { nanos, zoned }) => {
                Ok(Some(Moment::Timestamp { nanos, is_finer: false, is_zoned: zoned }))
            }
            _ => Err(Refusal::Unfit),
        }
    }

    fn elements(
        self,
        value: &Bound<'_, PyAny>,
        mut each: impl FnMut(&Bound<'_, PyAny>) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        let values = match recognised(value)? {
            Scalar::Null => return Ok(false),
            Scalar::Sequence(values) => values,
            _ => return Err(Refusal::Unfit),
        };
        if let Ok(values) = values.cast::<PyList>() {
            values.iter().try_for_each(|value| each(&value))?;
        } else {
            values.cast::<PyTuple>().map_err(PyErr::from)?.iter().try_for_each(|value| each(&value))?;
        }
        Ok(true)
    }

    /// Names are matched exactly, unlike those in JSON: a dict may have several keys that differ in case only.
    fn members(
        self,
        value: &Bound<'_, PyAny>,
        schema: &Schema,
        mut each: impl FnMut(usize, &Bound<'_, PyAny>) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        let values = match recognised(value)? {
            Scalar::Null => return Ok(false),
            Scalar::Mapping(values) => values,
            _ => return Err(Refusal::Unfit),
        };
        let none = values.py().None().into_bound(values.py());
        let mut known = 0;
        for (place, field) in schema.fields().iter().enumerate() {
            let member = values.get_item(field.name())?;
            known += usize::from(member.is_some());
            each(place, member.as_ref().unwrap_or(&none))?;
        }
        if known == values.len() { Ok(true) } else { Err(Refusal::Unfit) }
    }

    fn null(self, value: &Bound<'_, PyAny>) -> Result<(), Refusal> {
        match recognised(value)? {
            Scalar::Null => Ok(()),
            _ => Err(Refusal::Unfit),
        }
    }
}

/// Recognises a value for a column in which NaN is a missing value.
#[inline]
fn recognised<'py>(value: &Bound<'py, PyAny>) -> PyResult<Scalar<'py>> {
    if value.is_none() { Ok(Scalar::Null) } else { recognised_as(value, Nan::Null) }
}

#[inline(never)]
fn recognised_as<'py>(value: &Bound<'py, PyAny>, nan: Nan) -> PyResult<Scalar<'py>> {
    let scalar = recognise(value)?;
    let is_nan = match &scalar {
        Scalar::Float(value) => value.is_nan(),
        Scalar::Single(value) => value.is_nan(),
        _ => false,
    };
    Ok(if is_nan && nan == Nan::Null { Scalar::Null } else { scalar })
}

/// Returns an int of 64 bits.
#[inline]
#[expect(unsafe_code, reason = "PyO3 raises an exception for a larger int, which takes longer than converting it")]
fn small_integer(value: &Bound<'_, PyAny>) -> Option<Number<'static>> {
    let value = value.cast_exact::<PyInt>().ok()?;
    let mut overflow = 0;
    // SAFETY: `value` is a live int and the interpreter is attached, which is all that the call needs.
    let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
    (overflow == 0).then(|| Number::Integer(small.into()))
}

/// Returns the number that any value is. Not inlined, so that the code of exact classes stays small.
#[inline(never)]
fn number(value: &Bound<'_, PyAny>, nan: Nan) -> Result<Option<Number<'static>>, Refusal> {
    if let Some(value) = small_integer(value) {
        return Ok(Some(value));
    }
    Ok(Some(match recognised_as(value, nan)? {
        Scalar::Null => return Ok(None),
        // Integers beyond 128 bits fit no column.
        Scalar::Int(value) => Number::Integer(value.extract().map_err(|_| Refusal::Unfit)?),
        Scalar::Float(value) => Number::Double(value),
        Scalar::Single(value) => Number::Single(value),
        Scalar::Decimal(text) => Number::Decimal(text),
        _ => return Err(Refusal::Unfit),
    }))
}

/// Python's ordinal of 1970-01-01, where 0001-01-01 is day 1.
const EPOCH_ORDINAL: i64 = 719_163;
