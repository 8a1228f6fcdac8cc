//! Converts arguments of calls to what the engine takes.

use std::time::Duration;

use laminardb_bridge::Error;
use laminardb_bridge::ingest::Extra;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::error::raised;
use crate::value::SHOWN;
use crate::visible;

/// Returns the text of a string; fails if it is not valid Unicode, which Python strings need not be.
pub(crate) fn text<'a>(data: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    data.to_str().map_err(|_| {
        let detail = "the text has half of a surrogate pair, which is no text".to_owned();
        raised(data.py(), &Error::BatchSchemaMismatch(detail))
    })
}

/// Converts the option `extra`; fails if it is neither `"error"` nor `"ignore"`.
pub(crate) fn extra(text: &str) -> PyResult<Extra> {
    match text {
        "error" => Ok(Extra::Refuse),
        "ignore" => Ok(Extra::Ignore),
        other => {
            let shown = visible::start(other, SHOWN);
            Err(PyValueError::new_err(format!("extra is 'error' or 'ignore', not '{shown}'")))
        }
    }
}

/// Converts the argument `name`, a timeout in seconds; `None` means no limit. Fails if it is negative or NaN.
pub(crate) fn seconds(name: &str, timeout: Option<f64>) -> PyResult<Option<Duration>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() || seconds < 0.0 => {
            Err(PyValueError::new_err(format!("{name} must not be negative: {seconds}")))
        }
        // A timeout too long to be represented means no limit.
        Some(seconds) => Ok(Duration::try_from_secs_f64(seconds).ok()),
    }
}

/// Converts the key columns, given as a name or a list of names.
pub(crate) fn key_columns(key: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(name) = key.cast::<PyString>() {
        return Ok(vec![name.to_str()?.to_owned()]);
    }
    match key.cast::<PyList>() {
        Ok(names) => names.extract(),
        Err(_) => Err(PyTypeError::new_err("primary_key is a column name or a list of column names")),
    }
}
