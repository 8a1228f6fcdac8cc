//! Recognises a single Python value: what it counts as, whatever its class.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDate, PyDateTime, PyDelta, PyDeltaAccess, PyDict, PyFloat, PyInt, PyList,
    PyMemoryView, PyString, PyTime, PyTuple, PyType, PyTzInfo, PyTzInfoAccess,
};

/// The kind of value that a Python object counts as.
pub(crate) enum Scalar<'py> {
    Null,
    Bool(bool),
    Int(Bound<'py, PyInt>),
    Float(f64),
    /// A numpy float with fewer digits, whose shortest text is shorter than that of the equal double.
    Single(f32),
    /// A `decimal.Decimal`, as text.
    Decimal(String),
    Text(Bound<'py, PyString>),
    /// The text form of another class, such as UUID.
    TextOf(String),
    Bytes(Vec<u8>),
    Date(Bound<'py, PyDate>),
    Time(Bound<'py, PyTime>),
    Instant(Instant),
    Sequence(Bound<'py, PyAny>),
    Mapping(Bound<'py, PyDict>),
    Other,
}

/// Nanoseconds since 1970-01-01T00:00:00, in UTC if it has a zone.
#[derive(Clone, Copy)]
pub(crate) struct Instant {
    pub(crate) nanos: i128,
    pub(crate) zoned: bool,
}

/// Nanoseconds in a day.
pub(crate) const DAY_NANOS: i128 = 86_400_000_000_000;

/// How often a value may give another one that it stands for, as an array without dimensions gives what it holds. A class
/// may give values without end.
const MOST_STEPS: usize = 8;

/// Recognises `value`. An error means that Python code of the value's class raised it.
pub(crate) fn recognise<'py>(value: &Bound<'py, PyAny>) -> PyResult<Scalar<'py>> {
    recognise_within(value, MOST_STEPS)
}

fn recognise_within<'py>(value: &Bound<'py, PyAny>, steps: usize) -> PyResult<Scalar<'py>> {
    if value.is_none() {
        return Ok(Scalar::Null);
    }
    // The order matters: a bool is also an int, and a datetime is also a date.
    if let Ok(value) = value.cast::<PyBool>() {
        Ok(Scalar::Bool(value.is_true()))
    } else if let Ok(value) = value.cast::<PyInt>() {
        Ok(Scalar::Int(value.clone()))
    } else if let Ok(value) = value.cast::<PyFloat>() {
        Ok(Scalar::Float(value.value()))
    } else if let Ok(value) = value.cast::<PyString>() {
        Ok(Scalar::Text(value.clone()))
    } else if let Ok(value) = value.cast::<PyBytes>() {
        Ok(Scalar::Bytes(value.as_bytes().to_vec()))
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        Ok(Scalar::Sequence(value.clone()))
    } else if let Ok(value) = value.cast::<PyDict>() {
        Ok(Scalar::Mapping(value.clone()))
    } else if let Ok(value) = value.cast::<PyDateTime>() {
        datetime(value)
    } else if let Ok(value) = value.cast::<PyDate>() {
        Ok(Scalar::Date(value.clone()))
    } else if let Ok(value) = value.cast::<PyTime>() {
        Ok(Scalar::Time(value.clone()))
    } else if let Ok(value) = value.cast::<PyByteArray>() {
        Ok(Scalar::Bytes(value.to_vec()))
    } else if value.is_instance_of::<PyMemoryView>() {
        Ok(Scalar::Bytes(value.call_method0(intern!(value.py(), "tobytes"))?.extract()?))
    } else {
        by_class(value, steps)
    }
}

/// Whether `module` belongs to pandas, whose classes move between public and inner modules from version to version.
pub(crate) fn is_pandas(module: &str) -> bool {
    is_of("pandas", module)
}

/// Whether `module` belongs to `package`.
fn is_of(package: &str, module: &str) -> bool {
    module.split('.').next() == Some(package)
}

/// Whether `class` is numpy's array class or derived from it.
pub(crate) fn is_array(class: &Bound<'_, PyType>) -> PyResult<bool> {
    descends(class, "ndarray")
}

/// Whether `class` is numpy's masked array class or derived from it.
pub(crate) fn is_masked_array(class: &Bound<'_, PyType>) -> PyResult<bool> {
    descends(class, "MaskedArray")
}

/// Whether `class` is numpy's class `name` or derived from it.
fn descends(class: &Bound<'_, PyType>, name: &str) -> PyResult<bool> {
    for base in class.mro() {
        let base = base.cast_into::<PyType>()?;
        if base.name()?.to_str()? == name && is_of("numpy", base.module()?.to_str()?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Recognises classes by name, so that their modules need not be imported.
fn by_class<'py>(value: &Bound<'py, PyAny>, steps: usize) -> PyResult<Scalar<'py>> {
    let py = value.py();
    let Some(steps) = steps.checked_sub(1) else { return Ok(Scalar::Other) };
    let class = value.get_type();
    let (module, name) = (class.module()?, class.name()?);
    match (module.to_str()?, name.to_str()?) {
        ("decimal", "Decimal") => Ok(Scalar::Decimal(value.str()?.to_str()?.to_owned())),
        ("uuid", "UUID") => Ok(Scalar::TextOf(value.str()?.to_str()?.to_owned())),
        ("numpy", "datetime64") => numpy_datetime(value, false),
        ("numpy", "timedelta64") => numpy_timedelta(value),
        ("numpy", "float32" | "float16") => {
            // Exact, since a Python float can hold every value of these types.
            let item: f64 = value.call_method0(intern!(py, "item"))?.extract()?;
            Ok(Scalar::Single(item as f32))
        }
        // A masked array holds this where it has no value.
        (module, "MaskedConstant") if is_of("numpy", module) => Ok(Scalar::Null),
        (module, "NAType") if is_pandas(module) => Ok(Scalar::Null),
        _ if is_array(&class)? => of_array(value, steps),
        // A record is not a list, although numpy converts it to a tuple.
        _ if descends(&class, "void")? => Ok(Scalar::Other),
        ("numpy", _) => {
            let item = value.call_method0(intern!(py, "item"))?;
            // A type without a Python equivalent, such as longdouble, returns itself.
            if item.get_type().is(&class) { Ok(Scalar::Other) } else { recognise_within(&item, steps) }
        }
        _ => Ok(Scalar::Other),
    }
}

/// Recognises an array: a sequence of its values, or the one value of an array without dimensions.
fn of_array<'py>(array: &Bound<'py, PyAny>, steps: usize) -> PyResult<Scalar<'py>> {
    let values = array_values(array)?;
    if values.is_instance_of::<PyList>() {
        Ok(Scalar::Sequence(values))
    } else if is_array(&values.get_type())? {
        // An array without dimensions that holds an array, perhaps itself.
        Ok(Scalar::Other)
    } else {
        recognise_within(&values, steps)
    }
}

/// Returns the values of an array as a list, or the one value of an array without dimensions.
pub(crate) fn array_values<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    let kind: String = array.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "kind"))?.extract()?;
    if !matches!(kind.as_str(), "M" | "m" | "V") {
        return array.call_method0(intern!(py, "tolist"));
    }
    // numpy's own list would hold bare counts for instants and durations, and tuples for records.
    if array.getattr(intern!(py, "ndim"))?.extract::<usize>()? == 0 {
        return array.get_item(PyTuple::empty(py));
    }
    Ok(PyList::new(py, array.try_iter()?.collect::<PyResult<Vec<_>>>()?)?.into_any())
}

fn datetime<'py>(value: &Bound<'py, PyDateTime>) -> PyResult<Scalar<'py>> {
    let py = value.py();
    if !value.is_exact_instance_of::<PyDateTime>() {
        let class = value.get_type();
        if is_pandas(class.module()?.to_str()?) {
            if class.name()?.to_str()? == "NaTType" {
                return Ok(Scalar::Null);
            }
            // A Timestamp holds nanoseconds and years that its datetime interface does not show.
            return numpy_datetime(&value.getattr(intern!(py, "asm8"))?, value.get_tzinfo().is_some());
        }
    }
    let zoned = value.get_tzinfo().is_some() && !value.call_method0(intern!(py, "utcoffset"))?.is_none();
    let since = value.sub(epoch(py, zoned)?)?.cast_into::<PyDelta>()?;
    Ok(Scalar::Instant(Instant { nanos: delta_nanos(&since), zoned }))
}

/// Returns 1970-01-01T00:00:00 as a datetime, in UTC or naive.
fn epoch(py: Python<'_>, zoned: bool) -> PyResult<&Bound<'_, PyDateTime>> {
    static NAIVE: PyOnceLock<Py<PyDateTime>> = PyOnceLock::new();
    static UTC: PyOnceLock<Py<PyDateTime>> = PyOnceLock::new();
    let made = if zoned {
        UTC.get_or_try_init(py, || {
            let utc = PyTzInfo::utc(py)?;
            PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc)).map(Bound::unbind)
        })
    } else {
        NAIVE.get_or_try_init(py, || PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, None).map(Bound::unbind))
    };
    made.map(|epoch| epoch.bind(py))
}

/// Returns the length of `delta` in nanoseconds.
pub(crate) fn delta_nanos(delta: &Bound<'_, PyDelta>) -> i128 {
    i128::from(delta.get_days()) * DAY_NANOS
        + i128::from(delta.get_seconds()) * 1_000_000_000
        + i128::from(delta.get_microseconds()) * 1000
}

/// Recognises a duration, which no column can hold; NaT is a missing value.
fn numpy_timedelta<'py>(value: &Bound<'py, PyAny>) -> PyResult<Scalar<'py>> {
    let count: i64 = value.call_method1(intern!(value.py(), "astype"), ("int64",))?.extract()?;
    Ok(if count == i64::MIN { Scalar::Null } else { Scalar::Other })
}

fn numpy_datetime<'py>(value: &Bound<'py, PyAny>, zoned: bool) -> PyResult<Scalar<'py>> {
    let py = value.py();
    let count: i64 = value.call_method1(intern!(py, "astype"), ("int64",))?.extract()?;
    // This is NaT, whatever the unit.
    if count == i64::MIN {
        return Ok(Scalar::Null);
    }
    let Some(unit) = numpy_unit(&value.getattr(intern!(py, "dtype"))?)? else { return Ok(Scalar::Other) };
    Ok(Scalar::Instant(Instant { nanos: i128::from(count) * unit, zoned }))
}

/// Returns the nanoseconds in one unit of a numpy datetime64 type; `None` if they are not a fixed whole number.
pub(crate) fn numpy_unit(dtype: &Bound<'_, PyAny>) -> PyResult<Option<i128>> {
    let text = dtype.getattr(intern!(dtype.py(), "str"))?.extract::<String>()?;
    let unit = text.split_once('[').map_or("", |(_, unit)| unit.trim_end_matches(']'));
    Ok(match unit {
        "ns" => Some(1),
        "us" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        "D" => Some(DAY_NANOS),
        "W" => Some(7 * DAY_NANOS),
        _ => None,
    })
}
