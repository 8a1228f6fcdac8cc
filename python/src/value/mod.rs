//! Converts everything that `insert` accepts into Arrow batches for one relation.
//!
//! Python values become columns of the relation's own types here, by the exact rules, with errors that name column, row
//! and value. Arrow data passes unchanged: the bridge matches names and casts types by the same rules.
//!
//! ```text
//! dict, list of dicts, dict of lists -> rows.rs   -> columns of the bridge, one value at a time by cells.rs
//! numpy, pandas columns              -> frame.rs  -> buffers, or values
//! Arrow capsules                     -> capsule.rs-> unchanged
//! ```

mod cells;
mod frame;
pub(crate) mod read;
mod rows;
mod scalar;
mod target;

use arrow::array::RecordBatch;
use laminardb_bridge::Error;
pub(crate) use laminardb_bridge::ingest::decimal;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

pub(crate) use self::cells::{Nan, Refusal, column_of};
pub(crate) use self::scalar::{Scalar, recognise};
pub(crate) use self::target::{SHOWN, Target, invalid, library_error, unfit};
use crate::capsule;
use crate::error::raised;
use crate::subscription::ChangeBatch;

/// Converts `data` to batches with columns of `target`, matched by name; absent columns are left out.
pub(crate) fn batches(data: &Bound<'_, PyAny>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    let py = data.py();
    if let Ok(row_or_columns) = data.cast::<PyDict>() {
        return rows::from_dict(row_or_columns, target);
    }
    if let Ok(list) = data.cast::<PyList>() {
        return rows::from_list(list, target);
    }
    if let Ok(changes) = data.cast::<ChangeBatch>()
        && changes.get().has_deletes()
    {
        let detail = "the batch holds deleted rows, which cannot be inserted".to_owned();
        return Err(raised(py, &Error::IngestionFailed(detail)));
    }
    if frame::is_pandas_frame(data)? {
        return frame::from_pandas(data, target);
    }
    if let Some(batches) = capsule::batches_of(data)? {
        return Ok(batches);
    }
    Err(PyTypeError::new_err(format!("rows cannot be read from {}", data.get_type().name()?)))
}
