//! Passes Arrow data across the boundary: takes capsules, and returns capsules and pyarrow objects.

use std::iter::once;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StructArray, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use laminardb_bridge::Error;
use laminardb_bridge::ingest::{Foreign, Room, own};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList, PyString};
use pyo3_arrow::PySchema;
use pyo3_arrow::ffi::{ArrayIterator, to_stream_pycapsule};

use crate::detach::detached;
use crate::error::{optional, raised};
use crate::foreign;
use crate::value::{Target, invalid, library_error};

/// Copies the batches of an object with `__arrow_c_stream__` or `__arrow_c_array__`, for which `target` must have
/// room; `None` if it has neither.
pub(crate) fn batches_of(data: &Bound<'_, PyAny>, target: &Target) -> PyResult<Option<Vec<RecordBatch>>> {
    let (py, room) = (data.py(), target.room());
    let Some(input) = input_of(data)? else { return Ok(None) };
    if let DataType::Struct(fields) = input.field.data_type() {
        fields.iter().try_for_each(|field| known(py, field))?;
    } else {
        return Err(PyTypeError::new_err(format!("rows cannot be read from {}", data.get_type().name()?)));
    }
    let (mut batches, mut before) = (Vec::new(), 0);
    // The producer may be Python code, so this thread stays attached to the interpreter.
    for array in input.arrays {
        let array = array.map_err(|error| unreadable(py, &error))?;
        let rows = array.as_any().downcast_ref::<StructArray>().expect("checked to be a struct");
        if rows.null_count() > 0 {
            let detail = "a struct that is NULL is no row".to_owned();
            return Err(raised(py, &Error::IngestionFailed(detail)));
        }
        for rows in pieces(rows) {
            target.may_go_on(py)?;
            batches.push(batch_of(py, &rows, room, before)?);
            before += rows.len();
        }
    }
    Ok(Some(batches))
}

/// Cuts rows into pieces that are copied one after the other, so that no other thread waits long for the interpreter.
fn pieces(rows: &StructArray) -> impl Iterator<Item = StructArray> {
    let is_short = rows.columns().iter().all(|column| may_change(column.data_type()));
    let bytes = if is_short { 0 } else { rows.get_buffer_memory_size() };
    let len = (rows.len() / (bytes / PIECE + 1)).max(MANY);
    (0..rows.len().max(1)).step_by(len).map(move |start| rows.slice(start, len.min(rows.len() - start)))
}

/// Copies rows; `before` rows come before them.
fn batch_of(py: Python<'_>, rows: &StructArray, room: &Room, before: usize) -> PyResult<RecordBatch> {
    if rows.columns().is_empty() {
        room.take_rows(rows.len()).map_err(|why| raised(py, &Error::IngestionFailed(why)))?;
    }
    let columns = rows.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, column)| owned(py, column, room, field.name(), before));
    let columns = columns.collect::<PyResult<Vec<_>>>()?;
    let schema = Arc::new(Schema::new(rows.fields().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| unreadable(py, &error))
}

/// An Arrow array, or a chunked array, which is one of many.
pub(crate) struct Chunks {
    pub(crate) field: FieldRef,
    chunks: Vec<ArrayRef>,
}

/// Returns the values of an Arrow array or chunked array; `None` if the object is neither.
pub(crate) fn chunks_of(values: &Bound<'_, PyAny>) -> PyResult<Option<Chunks>> {
    let py = values.py();
    let Some(input) = input_of(values)? else { return Ok(None) };
    known(py, &input.field)?;
    let chunks = input.arrays.collect::<Result<_, _>>().map_err(|error| unreadable(py, &error))?;
    Ok(Some(Chunks { field: input.field, chunks }))
}

impl Chunks {
    /// Copies the values to one array, for which there must be `room`. Messages name the column.
    pub(crate) fn owned(&self, py: Python<'_>, room: &Room, column: &str) -> PyResult<ArrayRef> {
        let (mut arrays, mut before) = (Vec::with_capacity(self.chunks.len()), 0);
        for chunk in &self.chunks {
            arrays.push(owned(py, chunk, room, column, before)?);
            before += chunk.len();
        }
        match arrays.as_slice() {
            [] => Ok(new_empty_array(self.field.data_type())),
            [only] => Ok(ArrayRef::clone(only)),
            many => {
                let many: Vec<&dyn Array> = many.iter().map(AsRef::as_ref).collect();
                concat(&many).map_err(|error| unreadable(py, &error))
            }
        }
    }
}

/// Number of values from which on it pays to let other threads run while they are copied, and of the least pieces.
const MANY: usize = 1 << 12;
/// Number of bytes that are checked and copied without a pause.
const PIECE: usize = 1 << 23;

/// Copies the values of a column; `before` rows come before them.
fn owned(py: Python<'_>, array: &ArrayRef, room: &Room, column: &str, before: usize) -> PyResult<ArrayRef> {
    let owned = if array.len() >= MANY && may_change(array.data_type()) {
        detached(py, || own(array, &Room::default()))
    } else {
        own(array, room)
    };
    owned.map_err(|error| match error {
        Foreign::Invalid(row, why) => invalid(py, column, before + row, &why),
        Foreign::TooLarge(why) => raised(py, &Error::IngestionFailed(why)),
    })
}

/// Whether the values of an array of this type may change while it is copied: every value is valid, so that there is
/// nothing to check before. All values have one size, so `Room` does not count them.
fn may_change(data_type: &DataType) -> bool {
    data_type.is_primitive() && !data_type.is_decimal() && !matches!(data_type, DataType::Time64(_))
}

/// Returns the schema of an object with `__arrow_c_schema__`; `None` if it has no such method.
pub(crate) fn schema_of(object: &Bound<'_, PyAny>) -> PyResult<Option<SchemaRef>> {
    let py = object.py();
    if !object.hasattr(intern!(py, "__arrow_c_schema__"))? {
        return Ok(None);
    }
    let capsule = object.call_method0(intern!(py, "__arrow_c_schema__"))?.cast_into()?;
    let schema = foreign::schema(&capsule).map_err(|error| other_kind(py, error, Error::InvalidSchema))?;
    let schema = schema.map_err(|error| malformed(py, &error, Error::InvalidSchema))?;
    Ok(Some(Arc::new(schema)))
}

/// Returns `schema` as a `pyarrow.Schema`.
pub(crate) fn pyarrow_schema<'py>(py: Python<'py>, schema: &SchemaRef) -> PyResult<Bound<'py, PyAny>> {
    optional(py, "pyarrow")?;
    PySchema::new(SchemaRef::clone(schema)).into_pyarrow(py)
}

/// Returns `batches` as a stream capsule.
pub(crate) fn stream_capsule<'py>(
    py: Python<'py>,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    requested: Option<Bound<'py, PyCapsule>>,
) -> PyResult<Bound<'py, PyCapsule>> {
    let field = Field::new_struct("", schema.fields().clone(), false).with_metadata(schema.metadata().clone());
    let arrays = batches.into_iter().map(|batch| Ok(Arc::new(StructArray::from(batch)) as ArrayRef));
    let reader = ArrayIterator::new(arrays, field.into());
    Ok(to_stream_pycapsule(py, Box::new(reader), requested)?)
}

/// Refuses pandas types whose storage differs from their meaning, such as periods, which are stored as counts.
fn known(py: Python<'_>, field: &Field) -> PyResult<()> {
    match field.extension_type_name() {
        Some(name) if name.starts_with("pandas.") => Err(no_values(py, field.name(), name)),
        _ => Ok(()),
    }
}

/// Refuses columns of Python objects, since polars would export their addresses.
fn refuse_objects(data: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = data.py();
    if data.get_type().module()?.to_str()?.split('.').next() != Some("polars") {
        return Ok(());
    }
    let columns = match data.getattr(intern!(py, "get_columns")) {
        Ok(get_columns) => get_columns.call0()?,
        Err(_) => PyList::new(py, [data])?.into_any(),
    };
    for column in columns.try_iter()? {
        let column = column?;
        if column.getattr(intern!(py, "dtype"))?.str()?.to_str()? == "Object" {
            let name = column.getattr(intern!(py, "name"))?.extract::<String>()?;
            // For a Series instead of a frame there is only `data` itself.
            return Err(no_values(py, &name, "Object"));
        }
    }
    Ok(())
}

fn no_values(py: Python<'_>, column: &str, data_type: &str) -> PyErr {
    raised(py, &Error::BatchSchemaMismatch(format!("column '{column}': values of type {data_type} cannot be stored")))
}

/// Arrays of one type that come from another library.
struct Input {
    field: FieldRef,
    arrays: Box<dyn Iterator<Item = Result<ArrayRef, ArrowError>>>,
}

fn input_of(data: &Bound<'_, PyAny>) -> PyResult<Option<Input>> {
    let py = data.py();
    if data.hasattr(intern!(py, "__arrow_c_stream__"))? {
        refuse_objects(data)?;
        let capsule = exported(data, intern!(py, "__arrow_c_stream__"))?.cast_into()?;
        let stream = foreign::stream(&capsule)
            .map_err(|error| other_kind(py, error, Error::BatchSchemaMismatch))?
            .map_err(|error| malformed(py, &error, Error::BatchSchemaMismatch))?;
        Ok(Some(Input { field: stream.field(), arrays: Box::new(stream) }))
    } else if data.hasattr(intern!(py, "__arrow_c_array__"))? {
        let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) =
            exported(data, intern!(py, "__arrow_c_array__"))?.extract()?;
        let (field, array) = foreign::array(&schema, &array)
            .map_err(|error| other_kind(py, error, Error::BatchSchemaMismatch))?
            .map_err(|error| malformed(py, &error, Error::BatchSchemaMismatch))?;
        Ok(Some(Input { field, arrays: Box::new(once(Ok(array))) }))
    } else {
        Ok(None)
    }
}

/// Calls a library's export method; if it fails, reports the data as unreadable.
fn exported<'py>(data: &Bound<'py, PyAny>, method: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    data.call_method0(method).map_err(|error| library_error(py, error, "the Arrow data cannot be read"))
}

/// Converts the error for a capsule that holds something else.
fn other_kind(py: Python<'_>, error: PyErr, kind: fn(String) -> Error) -> PyErr {
    if error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyTypeError>(py) {
        raised(py, &kind(format!("the Arrow data cannot be read: {}", error.value(py))))
    } else {
        error
    }
}

/// Converts the error for data that are no valid Arrow, or of a type that is not supported here.
fn malformed(py: Python<'_>, error: &ArrowError, kind: fn(String) -> Error) -> PyErr {
    raised(py, &kind(format!("the Arrow data cannot be read: {error}")))
}

fn unreadable(py: Python<'_>, error: &ArrowError) -> PyErr {
    raised(py, &Error::IngestionFailed(format!("the Arrow data cannot be read: {error}")))
}
