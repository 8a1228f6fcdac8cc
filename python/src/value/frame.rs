//! Whole columns: numpy arrays, pandas frames, Arrow arrays and any other sequence.
//!
//! Numbers and instants of numpy are copied as they lie in memory; the bridge casts them. What has no such form goes
//! value by value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, PrimitiveArray, RecordBatch, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::column::{Column, Nan};
use super::rows::{assembled, not_a_name};
use super::scalar::{is_pandas, numpy_unit};
use super::target::Target;
use crate::capsule;
use crate::detach::look;

/// One column of a dict of columns.
pub(crate) fn column(values: &Bound<'_, PyAny>, idx: usize, target: &Target) -> PyResult<ArrayRef> {
    if values.is_instance_of::<PyList>() || values.is_instance_of::<PyTuple>() {
        return by_value(values, idx, target, Nan::Value);
    }
    let class = values.get_type();
    let (module, name) = (class.module()?, class.name()?);
    match (module.to_str()?, name.to_str()?) {
        ("numpy", "ndarray") => from_numpy(values, idx, target, Nan::Value),
        (module, _) if is_pandas(module) => from_series(values, idx, target),
        _ => match capsule::array_of(values)? {
            Some(array) => target.own(values.py(), idx, &array),
            None => by_value(values, idx, target, Nan::Value),
        },
    }
}

/// Is this a `pandas.DataFrame`? Does not import pandas: without it there is none.
pub(crate) fn is_pandas_frame(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = data.py();
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
    let Some(pandas) = modules.get_item(intern!(py, "pandas"))? else { return Ok(false) };
    // Half imported in another thread, it has no frames yet.
    let Ok(frame) = pandas.getattr(intern!(py, "DataFrame")) else { return Ok(false) };
    data.is_instance(&frame)
}

/// The columns of a pandas frame; its index is not data.
pub(crate) fn from_pandas(frame: &Bound<'_, PyAny>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    let py = frame.py();
    let by_place = frame.getattr(intern!(py, "iloc"))?;
    let mut columns: Vec<(usize, ArrayRef)> = Vec::new();
    for (place, name) in frame.getattr(intern!(py, "columns"))?.try_iter()?.enumerate() {
        let name = name?;
        let text = name.cast::<PyString>().map_err(|_| not_a_name(&name))?;
        let idx = target.find(py, text.to_str()?)?;
        if columns.iter().any(|(known, _)| *known == idx) {
            return Err(target.duplicate(py, idx));
        }
        let all_rows = pyo3::types::PySlice::full(py);
        let series = by_place.get_item((all_rows, place))?;
        columns.push((idx, from_series(&series, idx, target)?));
    }
    let rows = frame.len()?;
    columns.sort_by_key(|(idx, _)| *idx);
    Ok(vec![assembled(py, target, columns, rows, 0)?])
}

/// A pandas Series (or Index, or extension array), where NaN is no value.
fn from_series(series: &Bound<'_, PyAny>, idx: usize, target: &Target) -> PyResult<ArrayRef> {
    let py = series.py();
    let dtype = series.getattr(intern!(py, "dtype"))?;
    let class = dtype.get_type().module()?;
    if class.to_str()?.starts_with("numpy") {
        let array = series.call_method0(intern!(py, "to_numpy"))?;
        return from_numpy(&array, idx, target, Nan::Null);
    }
    // Extension types (nullable integers, categories, zoned times, Arrow-backed): pyarrow reads them whole.
    if let Ok(pyarrow) = py.import(intern!(py, "pyarrow")) {
        let options = PyDict::new(py);
        options.set_item("from_pandas", true)?;
        let array = pyarrow.call_method(intern!(py, "array"), (series,), Some(&options))?;
        if let Some(array) = capsule::array_of(&array)? {
            return target.own(py, idx, &array);
        }
    }
    let values = series.call_method1(intern!(py, "astype"), ("object",))?.call_method0(intern!(py, "tolist"))?;
    by_value(&values, idx, target, Nan::Null)
}

fn from_numpy(array: &Bound<'_, PyAny>, idx: usize, target: &Target, nan: Nan) -> PyResult<ArrayRef> {
    let py = array.py();
    let dtype = array.getattr(intern!(py, "dtype"))?;
    let kind: String = dtype.getattr(intern!(py, "kind"))?.extract()?;
    let size: usize = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
    let plain = array.getattr(intern!(py, "ndim"))?.extract::<usize>()? == 1
        && dtype.getattr(intern!(py, "isnative"))?.extract::<bool>()?;
    if plain {
        let copied: Option<ArrayRef> = match (kind.as_str(), size) {
            ("i", 1) => Some(numbers::<Int8Type>(array)?),
            ("i", 2) => Some(numbers::<Int16Type>(array)?),
            ("i", 4) => Some(numbers::<Int32Type>(array)?),
            ("i", 8) => Some(numbers::<Int64Type>(&same_name(array, "int64")?)?),
            ("u", 1) => Some(numbers::<UInt8Type>(array)?),
            ("u", 2) => Some(numbers::<UInt16Type>(array)?),
            ("u", 4) => Some(numbers::<UInt32Type>(array)?),
            ("u", 8) => Some(numbers::<UInt64Type>(&same_name(array, "uint64")?)?),
            ("f", 4) => Some(singles(copied(array)?, nan)),
            ("f", 8) => Some(doubles(copied(array)?, nan)),
            ("b", 1) => Some(booleans(&copied::<u8>(&array.call_method1(intern!(py, "view"), ("uint8",))?)?)),
            ("M", 8) => instants(array, &dtype)?,
            _ => None,
        };
        if let Some(copied) = copied {
            return Ok(copied);
        }
    }
    // Arrays of instants give Python's datetime or bare counts; their elements keep what they are.
    let values = if kind == "M" {
        PyList::new(py, array.try_iter()?.collect::<PyResult<Vec<_>>>()?)?.into_any()
    } else {
        array.call_method0(intern!(py, "tolist"))?
    };
    by_value(&values, idx, target, nan)
}

/// The array under the one name of its type; C has two 64-bit integers of one size and numpy tells them apart.
fn same_name<'py>(array: &Bound<'py, PyAny>, dtype: &str) -> PyResult<Bound<'py, PyAny>> {
    array.call_method1(intern!(array.py(), "view"), (dtype,))
}

fn copied<T: Element>(array: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    PyBuffer::<T>::get(array)?.to_vec(array.py())
}

fn numbers<T: ArrowPrimitiveType<Native: Element>>(array: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    Ok(Arc::new(PrimitiveArray::<T>::new(copied::<T::Native>(array)?.into(), None)))
}

fn booleans(bytes: &[u8]) -> ArrayRef {
    Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(bytes.len(), |row| bytes[row] != 0), None))
}

fn doubles(values: Vec<f64>, nan: Nan) -> ArrayRef {
    let present = present(values.len(), nan, |row| !values[row].is_nan());
    Arc::new(Float64Array::new(values.into(), present))
}

fn singles(values: Vec<f32>, nan: Nan) -> ArrayRef {
    let present = present(values.len(), nan, |row| !values[row].is_nan());
    Arc::new(Float32Array::new(values.into(), present))
}

fn present(rows: usize, nan: Nan, is_value: impl Fn(usize) -> bool) -> Option<NullBuffer> {
    match nan {
        Nan::Value => None,
        Nan::Null => {
            Some(NullBuffer::new(BooleanBuffer::collect_bool(rows, is_value))).filter(|nulls| nulls.null_count() > 0)
        }
    }
}

/// A datetime64 array in a unit that Arrow has; None for the others. The least integer is NaT, no value.
fn instants(array: &Bound<'_, PyAny>, dtype: &Bound<'_, PyAny>) -> PyResult<Option<ArrayRef>> {
    let Some(unit) = numpy_unit(dtype)? else { return Ok(None) };
    let counts: Vec<i64> = copied(&same_name(array, "int64")?)?;
    let nulls = NullBuffer::new(BooleanBuffer::collect_bool(counts.len(), |row| counts[row] != i64::MIN));
    let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
    Ok(match unit {
        1 => Some(Arc::new(TimestampNanosecondArray::new(counts.into(), nulls))),
        1_000 => Some(Arc::new(TimestampMicrosecondArray::new(counts.into(), nulls))),
        1_000_000 => Some(Arc::new(TimestampMillisecondArray::new(counts.into(), nulls))),
        1_000_000_000 => Some(Arc::new(TimestampSecondArray::new(counts.into(), nulls))),
        _ => None,
    })
}

/// Any iterable, one value at a time.
fn by_value(values: &Bound<'_, PyAny>, idx: usize, target: &Target, nan: Nan) -> PyResult<ArrayRef> {
    let mut column = Column::new(target.field(idx).data_type(), values.len()?, nan)?;
    let mut add = |row: usize, value: &Bound<'_, PyAny>| {
        look(value.py(), row)?;
        column.append(value).map_err(|refusal| target.refused(idx, row, value, refusal))
    };
    if let Ok(list) = values.cast::<PyList>() {
        for (row, value) in list.iter().enumerate() {
            add(row, &value)?;
        }
    } else {
        for (row, value) in values.try_iter()?.enumerate() {
            add(row, &value?)?;
        }
    }
    Ok(column.finish())
}
