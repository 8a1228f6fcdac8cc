//! The relation that values are converted for, with its columns, found by name.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use laminardb_bridge::ingest::own;
use laminardb_bridge::{Error, type_name};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::cells::Refusal;
use crate::error::{LaminarError, raised};
use crate::visible;

/// The relation whose columns values are converted for.
pub(crate) struct Target {
    name: String,
    schema: SchemaRef,
}

impl Target {
    /// Makes the target for relation `name` with `schema`.
    pub(crate) fn new(name: &str, schema: SchemaRef) -> Self {
        Self { name: name.to_owned(), schema }
    }

    /// Returns the schema of all columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the column at `idx`.
    pub(crate) fn field(&self, idx: usize) -> &FieldRef {
        &self.schema.fields()[idx]
    }

    /// Whether any column holds lists.
    pub(crate) fn has_lists(&self) -> bool {
        self.schema.fields().iter().any(|field| matches!(field.data_type(), DataType::List(_)))
    }

    /// Finds the column called `name`: spelt the same, or else the only one that differs just in case.
    pub(crate) fn find(&self, py: Python<'_>, name: &str) -> PyResult<usize> {
        self.position(py, name)?.ok_or_else(|| {
            raised(
                py,
                &Error::BatchSchemaMismatch(format!(
                    "unknown column '{}' in '{}'",
                    visible::start(name, SHOWN),
                    self.name
                )),
            )
        })
    }

    /// Does the same as [`Target::find`], but returns `None` if there is no such column.
    pub(crate) fn position(&self, py: Python<'_>, name: &str) -> PyResult<Option<usize>> {
        let fields = self.schema.fields();
        if let Some(idx) = fields.iter().position(|field| field.name() == name) {
            return Ok(Some(idx));
        }
        let lower = name.to_lowercase();
        let mut similar = fields.iter().enumerate().filter(|(_, field)| field.name().to_lowercase() == lower);
        match (similar.next(), similar.next()) {
            (found, None) => Ok(found.map(|(idx, _)| idx)),
            (_, Some(_)) => {
                let detail = format!("column '{}' is ambiguous in '{}'", visible::start(name, SHOWN), self.name);
                Err(raised(py, &Error::BatchSchemaMismatch(detail)))
            }
        }
    }

    /// Returns the error for a column given twice.
    pub(crate) fn duplicate(&self, py: Python<'_>, idx: usize) -> PyErr {
        let detail = format!("column '{}' of '{}' is given twice", self.field(idx).name(), self.name);
        raised(py, &Error::BatchSchemaMismatch(detail))
    }

    /// Copies the foreign array `array` for the column at `idx`; fails if it does not match its type.
    pub(crate) fn own(&self, py: Python<'_>, idx: usize, array: &ArrayRef) -> PyResult<ArrayRef> {
        own(array).map_err(|(row, why)| invalid(py, self.field(idx).name(), row, &why))
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
            Refusal::Unfit => {
                let detail =
                    format!("column '{}', row {row}: {}", self.field(idx).name(), unfit(value, self.field(idx)));
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

/// Returns the message that `field` cannot hold `value`.
pub(crate) fn unfit(value: &Bound<'_, PyAny>, field: &Field) -> String {
    let text = value.repr().map_or_else(|_| "value".to_owned(), |text| text.to_string_lossy().into_owned());
    let shown = visible::start(&text, SHOWN);
    let class = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    format!("{shown} ({class}) cannot be stored as {}", type_name(field.data_type()))
}
