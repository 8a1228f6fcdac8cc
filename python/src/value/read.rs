//! Converts one Arrow column into Python values: the inverse of `column.rs`.

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray, GenericListArray,
    LargeStringArray, StringArray, StringViewArray, StructArray, Time64MicrosecondArray,
};
use arrow::array::{Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array};
use arrow::array::{UInt8Array, UInt16Array, UInt32Array, UInt64Array};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use laminardb_bridge::Error;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDate, PyDateTime, PyDelta, PyDict, PyList, PyString, PyTime, PyTuple, PyType, PyTzInfo};

use super::decimal;
use crate::error::raised;

/// Reads the values of a column one by one.
pub(crate) struct Reader<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    UInt8(&'a UInt8Array),
    UInt16(&'a UInt16Array),
    UInt32(&'a UInt32Array),
    UInt64(&'a UInt64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, i8),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Binary(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    /// Counts, the nanoseconds per count, and whether there is a zone.
    Timestamp(&'a [i64], i64, bool),
    Duration(&'a [i64], i64),
    Interval(Intervals<'a>),
    List(&'a GenericListArray<i32>, Box<Reader<'a>>),
    FixedList(&'a FixedSizeListArray, Box<Reader<'a>>),
    Struct(&'a StructArray, Vec<Reader<'a>>),
}

enum Intervals<'a> {
    Months(&'a [i32]),
    DayTime(&'a [<IntervalDayTimeType as ArrowPrimitiveType>::Native]),
    MonthDayNano(&'a [<IntervalMonthDayNanoType as ArrowPrimitiveType>::Native]),
}

impl<'a> Reader<'a> {
    /// Makes a reader of `array`; fails if its type has no Python form.
    pub(crate) fn new(py: Python<'_>, array: &'a dyn Array) -> PyResult<Self> {
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Bool(array.as_boolean()),
            DataType::Int8 => Kind::Int8(array.as_primitive()),
            DataType::Int16 => Kind::Int16(array.as_primitive()),
            DataType::Int32 => Kind::Int32(array.as_primitive()),
            DataType::Int64 => Kind::Int64(array.as_primitive()),
            DataType::UInt8 => Kind::UInt8(array.as_primitive()),
            DataType::UInt16 => Kind::UInt16(array.as_primitive()),
            DataType::UInt32 => Kind::UInt32(array.as_primitive()),
            DataType::UInt64 => Kind::UInt64(array.as_primitive()),
            DataType::Float32 => Kind::Float32(array.as_primitive()),
            DataType::Float64 => Kind::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Kind::Decimal(array.as_primitive(), *scale),
            DataType::Utf8 => Kind::Text(array.as_string()),
            DataType::LargeUtf8 => Kind::LargeText(array.as_string()),
            DataType::Utf8View => Kind::TextView(array.as_string_view()),
            DataType::Binary => Kind::Binary(array.as_binary()),
            DataType::Date32 => Kind::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Kind::Time(array.as_primitive()),
            DataType::Timestamp(unit, zone) => {
                let (counts, nanos) = timestamps(array, *unit);
                Kind::Timestamp(counts, nanos, zone.is_some())
            }
            DataType::Duration(unit) => {
                let (counts, nanos) = durations(array, *unit);
                Kind::Duration(counts, nanos)
            }
            DataType::Interval(unit) => Kind::Interval(match unit {
                IntervalUnit::YearMonth => Intervals::Months(array.as_primitive::<IntervalYearMonthType>().values()),
                IntervalUnit::DayTime => Intervals::DayTime(array.as_primitive::<IntervalDayTimeType>().values()),
                IntervalUnit::MonthDayNano => {
                    Intervals::MonthDayNano(array.as_primitive::<IntervalMonthDayNanoType>().values())
                }
            }),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Kind::List(list, Box::new(Reader::new(py, list.values().as_ref())?))
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                Kind::FixedList(list, Box::new(Reader::new(py, list.values().as_ref())?))
            }
            DataType::Struct(_) => {
                let rows = array.as_struct();
                let members = rows.columns().iter().map(|column| Reader::new(py, column.as_ref()));
                Kind::Struct(rows, members.collect::<PyResult<_>>()?)
            }
            other => {
                let detail = format!("values of type {other} have no Python form; export the result as Arrow");
                return Err(raised(py, &Error::QueryFailed(detail)));
            }
        };
        Ok(Self { array, kind })
    }

    /// Returns the value in `row`; Python's `None` for NULL.
    pub(crate) fn value<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyAny>> {
        if self.array.is_null(row) {
            return Ok(py.None().into_bound(py));
        }
        match &self.kind {
            Kind::Null => Ok(py.None().into_bound(py)),
            Kind::Bool(array) => Ok(array.value(row).into_pyobject(py)?.to_owned().into_any()),
            Kind::Int8(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::Int16(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::Int32(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::Int64(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::UInt8(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::UInt16(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::UInt32(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::UInt64(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::Float32(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::Float64(array) => Ok(array.value(row).into_pyobject(py)?.into_any()),
            Kind::Decimal(array, scale) => decimal_class(py)?.call1((decimal::text(array.value(row), *scale),)),
            Kind::Text(array) => Ok(PyString::new(py, array.value(row)).into_any()),
            Kind::LargeText(array) => Ok(PyString::new(py, array.value(row)).into_any()),
            Kind::TextView(array) => Ok(PyString::new(py, array.value(row)).into_any()),
            Kind::Binary(array) => Ok(PyBytes::new(py, array.value(row)).into_any()),
            Kind::Date(array) => date(py, array.value(row)),
            Kind::Time(array) => time(py, array.value(row)),
            Kind::Timestamp(counts, nanos, zoned) => datetime(py, i128::from(counts[row]) * i128::from(*nanos), *zoned),
            Kind::Duration(counts, nanos) => timedelta(py, i128::from(counts[row]) * i128::from(*nanos)),
            Kind::Interval(intervals) => Ok(intervals.value(row).into_pyobject(py)?.into_any()),
            Kind::List(list, items) => {
                let bounds = list.value_offsets();
                items.list(py, usize_of(bounds[row]), usize_of(bounds[row + 1]))
            }
            Kind::FixedList(list, items) => {
                let start = usize_of(list.value_offset(row));
                items.list(py, start, start + usize_of(list.value_length()))
            }
            Kind::Struct(rows, members) => {
                let dict = PyDict::new(py);
                for (field, member) in rows.fields().iter().zip(members) {
                    dict.set_item(field.name(), member.value(py, row)?)?;
                }
                Ok(dict.into_any())
            }
        }
    }

    fn list<'py>(&self, py: Python<'py>, start: usize, end: usize) -> PyResult<Bound<'py, PyAny>> {
        let values = (start..end).map(|row| self.value(py, row)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(py, values)?.into_any())
    }
}

impl Intervals<'_> {
    fn value(&self, row: usize) -> (i32, i32, i64) {
        match self {
            Self::Months(months) => (months[row], 0, 0),
            Self::DayTime(values) => (0, values[row].days, i64::from(values[row].milliseconds) * 1_000_000),
            Self::MonthDayNano(values) => (values[row].months, values[row].days, values[row].nanoseconds),
        }
    }
}

fn usize_of(offset: i32) -> usize {
    usize::try_from(offset).expect("offsets are not negative")
}

fn timestamps(array: &dyn Array, unit: TimeUnit) -> (&[i64], i64) {
    match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().values(), 1_000_000_000),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().values(), 1_000_000),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().values(), 1_000),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().values(), 1),
    }
}

fn durations(array: &dyn Array, unit: TimeUnit) -> (&[i64], i64) {
    match unit {
        TimeUnit::Second => (array.as_primitive::<DurationSecondType>().values(), 1_000_000_000),
        TimeUnit::Millisecond => (array.as_primitive::<DurationMillisecondType>().values(), 1_000_000),
        TimeUnit::Microsecond => (array.as_primitive::<DurationMicrosecondType>().values(), 1_000),
        TimeUnit::Nanosecond => (array.as_primitive::<DurationNanosecondType>().values(), 1),
    }
}

fn decimal_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "decimal", "Decimal")
}

/// Python's ordinal of 1970-01-01, where 0001-01-01 is day 1.
const EPOCH_ORDINAL: i32 = 719_163;
const DAY_MICROS: i128 = 86_400_000_000;

fn date(py: Python<'_>, days: i32) -> PyResult<Bound<'_, PyAny>> {
    let ordinal = days.saturating_add(EPOCH_ORDINAL);
    py.get_type::<PyDate>()
        .call_method1(intern!(py, "fromordinal"), (ordinal,))
        .map_err(|_| inexact(py, &format!("the date {days} days after 1970-01-01")))
}

fn time(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyAny>> {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let part = |value: i64| u8::try_from(value).map_err(|_| inexact(py, "a time of day"));
    let micros = u32::try_from(micros).map_err(|_| inexact(py, "a time of day"))?;
    let time = PyTime::new(py, part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, micros, None);
    Ok(time?.into_any())
}

fn datetime(py: Python<'_>, nanos: i128, zoned: bool) -> PyResult<Bound<'_, PyAny>> {
    let shown = || format!("the timestamp {nanos} ns after 1970-01-01");
    if nanos % 1000 != 0 {
        return Err(inexact(py, &shown()));
    }
    let micros = nanos / 1000;
    let (days, of_day) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    let ordinal = i32::try_from(days).ok().and_then(|days| days.checked_add(EPOCH_ORDINAL));
    let date = ordinal.and_then(civil).ok_or_else(|| inexact(py, &shown()))?;
    let seconds = of_day / 1_000_000;
    let part = |value: i128| u8::try_from(value).expect("a part of a day");
    let utc = if zoned { Some(PyTzInfo::utc(py)?) } else { None };
    let datetime = PyDateTime::new(
        py,
        date.0,
        date.1,
        date.2,
        part(seconds / 3600),
        part(seconds / 60 % 60),
        part(seconds % 60),
        u32::try_from(of_day % 1_000_000).expect("less than a million"),
        utc.as_deref(),
    );
    Ok(datetime?.into_any())
}

/// Returns year, month and day of a Python ordinal, where 0001-01-01 is 1; `None` outside the years 1 to 9999.
///
/// Counts in eras of 400 years whose years start in March, so that the leap day is the last day of a year.
fn civil(ordinal: i32) -> Option<(i32, u8, u8)> {
    let days = i64::from(ordinal) + 305;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let in_python = (1..=9999).contains(&year);
    in_python.then(|| {
        let small = |value: i64| u8::try_from(value).expect("a month or a day");
        (i32::try_from(year).expect("at most 9999"), small(month), small(day))
    })
}

fn timedelta(py: Python<'_>, nanos: i128) -> PyResult<Bound<'_, PyAny>> {
    let shown = || format!("the duration of {nanos} ns");
    if nanos % 1000 != 0 {
        return Err(inexact(py, &shown()));
    }
    let micros = nanos / 1000;
    let days = i32::try_from(micros.div_euclid(DAY_MICROS)).map_err(|_| inexact(py, &shown()))?;
    let of_day = micros.rem_euclid(DAY_MICROS);
    let seconds = i32::try_from(of_day / 1_000_000).expect("less than a day");
    let micros = i32::try_from(of_day % 1_000_000).expect("less than a million");
    let delta = PyDelta::new(py, days, seconds, micros, false).map_err(|_| inexact(py, &shown()))?;
    Ok(delta.into_any())
}

fn inexact(py: Python<'_>, what: &str) -> PyErr {
    let detail = format!("{what} is not exact as a Python value; export the result as Arrow");
    raised(py, &Error::QueryFailed(detail))
}

/// Returns row number `row` of `readers` as a tuple.
pub(crate) fn row<'py>(py: Python<'py>, readers: &[Reader<'_>], row: usize) -> PyResult<Bound<'py, PyTuple>> {
    let values = readers.iter().map(|reader| reader.value(py, row)).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(py, values)
}
