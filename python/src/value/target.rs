//! The relation that values are converted for, with its columns, found by name.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use laminardb_bridge::ingest::{Extra, Room};
use laminardb_bridge::{Error, RelationInfo, Session};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySlice, PyString, PyTuple};

use super::cells::{Column, Nan, Refusal, column_of, json_column};
use crate::capsule::Chunks;
use crate::detach::heard;
use crate::error::{LaminarError, checked, raised};
use crate::visible;

/// The relation whose columns values are converted for.
pub(crate) struct Target {
    relation: Arc<RelationInfo>,
    extra: Extra,
    room: Room,
    session: Session,
}

impl Target {
    /// Makes the target for `relation`, to which `session` is to write; `extra` says what happens to columns that it does
    /// not have.
    pub(crate) fn new(session: Session, relation: Arc<RelationInfo>, extra: Extra) -> Self {
        Self { relation, extra, room: Room::default(), session }
    }

    /// Raises the exception of a signal, and one if memory has no room for any write; to be called with each batch, since
    /// a source of rows may have no end.
    pub(crate) fn may_go_on(&self, py: Python<'_>) -> PyResult<()> {
        heard(py)?;
        checked(py, self.session.may_go_on())
    }

    /// Returns the schema of all columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.relation.schema
    }

    /// Returns what happens to given columns that the relation does not have.
    pub(crate) fn extra(&self) -> Extra {
        self.extra
    }

    /// Makes an empty column of the type of the one at `idx`, with room for about `rows` values.
    pub(crate) fn column(&self, idx: usize, rows: usize, nan: Nan) -> PyResult<Column> {
        if self.relation.json_columns.contains(&idx) {
            return Ok(json_column(rows, nan));
        }
        column_of(self.field(idx).data_type(), rows, nan)
    }

    /// Returns the column at `idx`.
    pub(crate) fn field(&self, idx: usize) -> &FieldRef {
        &self.schema().fields()[idx]
    }

    /// Whether a list may be one value of a column.
    pub(crate) fn takes_lists(&self) -> bool {
        let fields = self.schema().fields();
        !self.relation.json_columns.is_empty()
            || fields.iter().any(|field| matches!(field.data_type(), DataType::List(_)))
    }

    /// Finds the column called `name`: spelt the same, or else the only one that differs just in case. If there is none,
    /// returns `None` if such columns are left out, and fails otherwise.
    pub(crate) fn find(&self, py: Python<'_>, name: &str) -> PyResult<Option<usize>> {
        let found = self.position(py, name)?;
        if found.is_none() && self.extra == Extra::Refuse {
            let detail = format!("unknown column '{}' in '{}'", visible::start(name, SHOWN), self.relation.name);
            return Err(raised(py, &Error::BatchSchemaMismatch(detail)));
        }
        Ok(found)
    }

    /// Does the same as [`Target::find`], but returns `None` whenever there is no such column.
    pub(crate) fn position(&self, py: Python<'_>, name: &str) -> PyResult<Option<usize>> {
        let fields = self.schema().fields();
        if let Some(idx) = fields.iter().position(|field| field.name() == name) {
            return Ok(Some(idx));
        }
        let lower = name.to_lowercase();
        let mut similar = fields.iter().enumerate().filter(|(_, field)| field.name().to_lowercase() == lower);
        match (similar.next(), similar.next()) {
            (found, None) => Ok(found.map(|(idx, _)| idx)),
            (_, Some(_)) => {
                let detail =
                    format!("column '{}' is ambiguous in '{}'", visible::start(name, SHOWN), self.relation.name);
                Err(raised(py, &Error::BatchSchemaMismatch(detail)))
            }
        }
    }

    /// Returns the error for a column given twice.
    pub(crate) fn duplicate(&self, py: Python<'_>, idx: usize) -> PyErr {
        let detail = format!("column '{}' of '{}' is given twice", self.field(idx).name(), self.relation.name);
        raised(py, &Error::BatchSchemaMismatch(detail))
    }

    /// Returns the room for the Arrow data of the call.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Copies foreign values for the column at `idx`; fails if they do not match their type.
    pub(crate) fn own(&self, py: Python<'_>, idx: usize, chunks: &Chunks) -> PyResult<ArrayRef> {
        chunks.owned(py, &self.room, self.field(idx).name())
    }

    /// Returns the error for a column whose own library fails to return its values; signals are passed on unchanged.
    pub(crate) fn unreadable(&self, py: Python<'_>, idx: usize, error: PyErr) -> PyErr {
        library_error(py, error, &format!("column '{}' cannot be read", self.field(idx).name()))
    }

    /// Returns the error for an array of the column at `idx` that cannot be made.
    pub(crate) fn failed(&self, py: Python<'_>, idx: usize, error: &ArrowError) -> PyErr {
        raised(py, &Error::BatchSchemaMismatch(format!("column '{}': {error}", self.field(idx).name())))
    }

    /// Returns the error for a NULL in a NOT NULL column.
    pub(crate) fn null(&self, py: Python<'_>, idx: usize, row: usize) -> PyErr {
        let detail = format!("column '{}', row {row}: NULL in a NOT NULL column", self.field(idx).name());
        raised(py, &Error::IngestionFailed(detail))
    }

    /// Returns the error for a value that was refused.
    pub(crate) fn refused(&self, idx: usize, row: usize, value: &Bound<'_, PyAny>, refusal: Refusal) -> PyErr {
        match refusal {
            Refusal::Raised(error) => error,
            Refusal::TooDeep(limit) => {
                let detail = format!("column '{}', row {row}: {}", self.field(idx).name(), too_deep(limit));
                raised(value.py(), &Error::BatchSchemaMismatch(detail))
            }
            Refusal::Unfit => {
                let unfit = unfit(value, &self.relation.type_name(idx));
                let detail = format!("column '{}', row {row}: {unfit}", self.field(idx).name());
                raised(value.py(), &Error::BatchSchemaMismatch(detail))
            }
        }
    }
}

/// Returns the error for data that its own library fails to return, with the library's error as its cause. Anything
/// else than a library's error, such as a signal, is passed on unchanged.
pub(crate) fn library_error(py: Python<'_>, error: PyErr, what: &str) -> PyErr {
    if !error.is_instance_of::<PyException>(py) || error.is_instance_of::<LaminarError>(py) {
        return error;
    }
    let class = error.get_type(py).name().map_or_else(|_| "error".to_owned(), |name| name.to_string());
    let text = error.value(py).str().map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned());
    let detail = format!("{what}: {class}: {}", visible::start(&text, SHOWN_MESSAGE));
    let ours = raised(py, &Error::BatchSchemaMismatch(detail));
    ours.set_cause(py, Some(error));
    ours
}

/// Returns the error for Arrow data that does not match its type.
pub(crate) fn invalid(py: Python<'_>, column: &str, row: usize, why: &str) -> PyErr {
    raised(py, &Error::BatchSchemaMismatch(format!("column '{column}', row {row}: {why}")))
}

/// Maximum number of characters of a value or name that a message shows.
pub(crate) const SHOWN: usize = 80;
/// Maximum number of characters of another library's message that ours shows.
const SHOWN_MESSAGE: usize = 300;

/// Returns the message for a value that holds values more than `limit` deep.
pub(crate) fn too_deep(limit: usize) -> String {
    format!("the value is nested too deeply (limit {limit})")
}

/// Returns as much of a value as a message shows, since the whole of a long one may not fit into memory once more.
fn beginning<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let is_long = value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyTuple>();
    if is_long && value.len()? > SHOWN {
        value.get_item(PySlice::new(value.py(), 0, SHOWN as isize, 1))
    } else {
        Ok(value.clone())
    }
}

/// Returns the message that a column of the type called `data_type` cannot hold `value`.
pub(crate) fn unfit(value: &Bound<'_, PyAny>, data_type: &str) -> String {
    let text = beginning(value).and_then(|value| value.repr());
    let text = text.map_or_else(|_| "value".to_owned(), |text| text.to_string_lossy().into_owned());
    let shown = visible::start(&text, SHOWN);
    let class = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    format!("{shown} ({class}) cannot be stored as {data_type}")
}
