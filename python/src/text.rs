//! Reads the text of `insert_json` and `insert_csv`: a string, bytes, or what a file holds.

use std::borrow::Cow;

use laminardb_bridge::ingest::from_utf8;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use crate::argument::text;
use crate::error::checked;

/// Data from which text was read, kept as long as the text is used.
pub(crate) struct TextData<'py> {
    data: Bound<'py, PyAny>,
    /// The bytes of an object that others may change.
    copied: Option<Vec<u8>>,
}

impl<'py> TextData<'py> {
    /// Takes text, bytes, or all that is left in a file. An exception that reading the file raises is passed on.
    pub(crate) fn of(data: &Bound<'py, PyAny>) -> PyResult<Self> {
        match Self::at_hand(data)? {
            Some(taken) => Ok(taken),
            None if data.hasattr(intern!(data.py(), "read"))? => {
                let read = data.call_method0(intern!(data.py(), "read"))?;
                Self::at_hand(&read)?.ok_or_else(|| {
                    let class = read.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
                    PyTypeError::new_err(format!("read() must return str or bytes, not {class}"))
                })
            }
            None => {
                let class = data.get_type().name()?;
                Err(PyTypeError::new_err(format!("text is str, bytes or a file open for reading, not {class}")))
            }
        }
    }

    fn at_hand(data: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let copied = if data.is_instance_of::<PyString>() || data.is_instance_of::<PyBytes>() {
            None
        } else {
            let Ok(view) = PyMemoryView::from(data) else { return Ok(None) };
            Some(view.call_method0(intern!(data.py(), "tobytes"))?.extract()?)
        };
        Ok(Some(Self { data: data.clone(), copied }))
    }

    /// Returns the text; fails if the bytes are not UTF-8.
    pub(crate) fn text(&self) -> PyResult<Cow<'_, str>> {
        let py = self.data.py();
        if let Ok(string) = self.data.cast::<PyString>() {
            return text(string).map(Cow::Borrowed);
        }
        let bytes = match &self.copied {
            Some(copied) => copied.as_slice(),
            None => self.data.cast::<PyBytes>()?.as_bytes(),
        };
        checked(py, from_utf8(bytes)).map(Cow::Borrowed)
    }
}
