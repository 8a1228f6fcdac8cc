//! Converts whole columns: numpy arrays, pandas frames, Arrow arrays and any other sequence.
//!
//! Numbers and instants of numpy are copied as they are in memory, and the bridge casts them. Anything without such a
//! form is converted value by value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, PrimitiveArray, RecordBatch, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::nullif;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use laminardb_bridge::Error;
use laminardb_bridge::ingest::MOST_ROWS;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySlice, PyString, PyTuple};

use super::cells::Nan;
use super::rows::{PIECE, assembled, not_a_name};
use super::scalar::{array_values, is_array, is_masked_array, is_pandas, numpy_unit};
use super::target::Target;
use crate::capsule::{self, Chunks};
use crate::detach::look;
use crate::error::raised;

/// Converts one column of a dict of columns.
pub(crate) fn column(values: &Bound<'_, PyAny>, idx: usize, target: &Target) -> PyResult<ArrayRef> {
    if values.is_instance_of::<PyList>() || values.is_instance_of::<PyTuple>() {
        return by_value(values, idx, target, Nan::Value);
    }
    let class = values.get_type();
    if is_array(&class)? {
        return from_numpy(values, idx, target, Nan::Value);
    }
    // A DataFrame is a pandas class as well, but has no dtype.
    if is_pandas(class.module()?.to_str()?) && values.hasattr(intern!(values.py(), "dtype"))? {
        return from_series(values, idx, target);
    }
    match capsule::chunks_of(values)? {
        Some(chunks) => target.own(values.py(), idx, &chunks),
        None => by_value(values, idx, target, Nan::Value),
    }
}

/// Whether `data` is a `pandas.DataFrame`. Does not import pandas: before it is imported, there is none.
pub(crate) fn is_pandas_frame(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = data.py();
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
    let Some(pandas) = modules.get_item(intern!(py, "pandas"))? else { return Ok(false) };
    // If another thread is still importing pandas, it has no DataFrame yet.
    let Ok(frame) = pandas.getattr(intern!(py, "DataFrame")) else { return Ok(false) };
    data.is_instance(&frame)
}

/// Converts a pandas frame. Its index is not data, except for levels named like columns of the relation that it lacks.
pub(crate) fn from_pandas(frame: &Bound<'_, PyAny>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    let py = frame.py();
    let by_place = frame.getattr(intern!(py, "iloc"))?;
    let mut columns: Vec<(usize, ArrayRef)> = Vec::new();
    for (place, name) in frame.getattr(intern!(py, "columns"))?.try_iter()?.enumerate() {
        let name = name?;
        let text = name.cast::<PyString>().map_err(|_| not_a_name(&name))?;
        let Some(idx) = target.find(py, text.to_str().map_err(|_| not_a_name(&name))?)? else { continue };
        if columns.iter().any(|(known, _)| *known == idx) {
            return Err(target.duplicate(py, idx));
        }
        let all_rows = PySlice::full(py);
        let series = by_place.get_item((all_rows, place))?;
        columns.push((idx, from_series(&series, idx, target)?));
    }
    let mut levels = index_columns(frame, target, &columns)?;
    columns.append(&mut levels);
    let rows = frame.len()?;
    columns.sort_by_key(|(idx, _)| *idx);
    Ok(vec![assembled(py, target, columns, rows, 0)?])
}

/// Converts the levels of a frame's index that are named like a column of the relation that is not among `columns`.
fn index_columns(
    frame: &Bound<'_, PyAny>,
    target: &Target,
    columns: &[(usize, ArrayRef)],
) -> PyResult<Vec<(usize, ArrayRef)>> {
    let py = frame.py();
    let index = frame.getattr(intern!(py, "index"))?;
    let mut levels: Vec<(usize, ArrayRef)> = Vec::new();
    for (level, name) in index.getattr(intern!(py, "names"))?.try_iter()?.enumerate() {
        let name = name?;
        let Some(text) = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok()) else { continue };
        let Some(idx) = target.position(py, text)? else { continue };
        if columns.iter().any(|(known, _)| *known == idx) {
            continue;
        }
        if levels.iter().any(|(known, _)| *known == idx) {
            return Err(target.duplicate(py, idx));
        }
        let values = index.call_method1(intern!(py, "get_level_values"), (level,))?;
        levels.push((idx, from_series(&values, idx, target)?));
    }
    Ok(levels)
}

/// Converts a pandas Series (or Index, or extension array), in which NaN is a missing value.
fn from_series(series: &Bound<'_, PyAny>, idx: usize, target: &Target) -> PyResult<ArrayRef> {
    let py = series.py();
    let dtype = series.getattr(intern!(py, "dtype"))?;
    let class = dtype.get_type();
    if class.module()?.to_str()?.starts_with("numpy") || class.name()?.to_str()? == "SparseDtype" {
        let array = series.call_method0(intern!(py, "to_numpy"))?;
        return from_numpy(&array, idx, target, Nan::Null);
    }
    // Extension types (nullable integers, categories of text, zoned times, Arrow-backed): pyarrow converts them as a
    // whole.
    if let Some(chunks) = by_pyarrow(series)? {
        return target.own(py, idx, &chunks);
    }
    let values =
        series.call_method1(intern!(py, "astype"), ("object",)).and_then(|values| values.call_method0("tolist"));
    by_value(&values.map_err(|error| target.unreadable(py, idx, error))?, idx, target, Nan::Null)
}

/// Converts a Series with pyarrow; `None` without pyarrow, or if no column can be made from the result.
fn by_pyarrow(series: &Bound<'_, PyAny>) -> PyResult<Option<Chunks>> {
    let py = series.py();
    let Ok(pyarrow) = py.import(intern!(py, "pyarrow")) else { return Ok(None) };
    let options = PyDict::new(py);
    options.set_item("from_pandas", true)?;
    let array = match pyarrow.call_method(intern!(py, "array"), (series,), Some(&options)) {
        Ok(array) => array,
        // The values have several kinds, or one that pyarrow does not know; value by value they may still fit.
        Err(error) if error.is_instance_of::<PyException>(py) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The storage of an extension type does not show its meaning: the numbers of periods are not integers.
    let extension = pyarrow.getattr(intern!(py, "BaseExtensionType"))?;
    if array.getattr(intern!(py, "type"))?.is_instance(&extension)? {
        return Ok(None);
    }
    Ok(capsule::chunks_of(&array)?.filter(|chunks| match chunks.field.data_type() {
        DataType::Dictionary(_, values) => is_text(values),
        _ => true,
    }))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn from_numpy(array: &Bound<'_, PyAny>, idx: usize, target: &Target, nan: Nan) -> PyResult<ArrayRef> {
    let py = array.py();
    check_size(array, target)?;
    let nan = nan.within(target.field(idx).data_type());
    if !is_masked_array(&array.get_type())? {
        return match plain(array, nan)? {
            Some(copied) => Ok(copied),
            None => by_value(&array_values(array)?, idx, target, nan),
        };
    }
    match plain(&array.getattr(intern!(py, "data"))?, nan)? {
        Some(copied) => {
            let masked = py.import("numpy.ma")?.call_method1("getmaskarray", (array,))?;
            let masked: Vec<u8> = copied_bytes(&masked)?;
            let masked = BooleanBuffer::collect_bool(masked.len(), |row| masked[row] != 0);
            nullif(&copied, &BooleanArray::new(masked, None)).map_err(|error| target.failed(py, idx, &error))
        }
        // Where there is no value, the elements are numpy's masked constant or `None`.
        None => by_value(&array_values(array)?, idx, target, nan),
    }
}

/// Refuses an array of more values than a column can have, and one that repeats a value for which there is no room.
fn check_size(array: &Bound<'_, PyAny>, target: &Target) -> PyResult<()> {
    let py = array.py();
    let count: usize = array.getattr(intern!(py, "size"))?.extract()?;
    let refused = |why: String| raised(py, &Error::IngestionFailed(why));
    if count > MOST_ROWS {
        return Err(refused(format!("an array has {count} values, more than the {MOST_ROWS} that one can")));
    }
    let strides: Vec<isize> = array.getattr(intern!(py, "strides"))?.extract()?;
    if count > 1 && strides.contains(&0) {
        let bytes: u64 = array.getattr(intern!(py, "nbytes"))?.extract()?;
        target.room().count(bytes).map_err(refused)?;
    }
    Ok(())
}

/// Copies the array's numbers, booleans or instants as they are in memory; `None` if it holds anything else.
fn plain(array: &Bound<'_, PyAny>, nan: Nan) -> PyResult<Option<ArrayRef>> {
    let py = array.py();
    let dtype = array.getattr(intern!(py, "dtype"))?;
    let kind: String = dtype.getattr(intern!(py, "kind"))?.extract()?;
    let size: usize = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
    if array.getattr(intern!(py, "ndim"))?.extract::<usize>()? != 1
        || !dtype.getattr(intern!(py, "isnative"))?.extract::<bool>()?
    {
        return Ok(None);
    }
    Ok(match (kind.as_str(), size) {
        ("i", 1) => Some(numbers::<Int8Type>(array)?),
        ("i", 2) => Some(numbers::<Int16Type>(array)?),
        ("i", 4) => Some(numbers::<Int32Type>(&same_name(array, "int32")?)?),
        ("i", 8) => Some(numbers::<Int64Type>(&same_name(array, "int64")?)?),
        ("u", 1) => Some(numbers::<UInt8Type>(array)?),
        ("u", 2) => Some(numbers::<UInt16Type>(array)?),
        ("u", 4) => Some(numbers::<UInt32Type>(&same_name(array, "uint32")?)?),
        ("u", 8) => Some(numbers::<UInt64Type>(&same_name(array, "uint64")?)?),
        ("f", 4) => Some(singles(copied(array)?, nan)),
        ("f", 8) => Some(doubles(copied(array)?, nan)),
        ("b", 1) => Some(booleans(&copied_bytes(array)?)),
        ("M", 8) => instants(array, &dtype)?,
        _ => None,
    })
}

/// Copies the booleans of an array, one byte each.
fn copied_bytes(array: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    copied(&same_name(array, "uint8")?)
}

/// Views the array under the one name of its type: C has two 64-bit integer types, and numpy tells them apart.
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

/// Converts a datetime64 array in a unit that Arrow has; `None` for other units. The lowest integer is NaT: no value.
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

/// Converts any iterable value by value.
fn by_value(values: &Bound<'_, PyAny>, idx: usize, target: &Target, nan: Nan) -> PyResult<ArrayRef> {
    // The length that a class of its own says may be any number.
    let length = match values.cast::<PyList>() {
        Ok(list) => list.len(),
        Err(_) => values.len()?.min(PIECE),
    };
    let mut column = target.column(idx, length, nan)?;
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
