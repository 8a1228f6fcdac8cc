//! `MemorySize`: the memory limit as it is given from Python, a number of bytes or a text such as `'8GB'`.

use laminardb_bridge::memory::MemoryLimit;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString};

/// The units of a text, and how many bytes each is.
const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// A memory limit, and how it was written.
#[derive(Debug)]
pub(crate) struct MemorySize {
    bytes: u64,
    /// The text that it was given as; `None` if it was a number.
    text: Option<String>,
}

impl MemorySize {
    /// Returns the limit.
    pub(crate) fn limit(&self) -> MemoryLimit {
        MemoryLimit::new(self.bytes)
    }

    /// Returns what was given: an int or a str.
    pub(crate) fn written<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.text {
            Some(text) => Ok(PyString::new(py, text).into_any()),
            None => Ok(self.bytes.into_pyobject(py)?.into_any()),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for MemorySize {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let (bytes, text) = if let Ok(text) = value.cast::<PyString>() {
            let text = text.to_str()?.to_owned();
            let wrong = "memory_limit must be bytes, or a text as '8GB' or '1.5 GiB'";
            (bytes_of(&text).ok_or_else(|| PyValueError::new_err(format!("{wrong}, not {text:.40?}")))?, Some(text))
        } else if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
            if value.lt(0)? {
                return Err(PyOverflowError::new_err("can't convert negative int to unsigned"));
            }
            (value.extract::<u64>()?, None)
        } else {
            let given = value.get_type().name()?;
            return Err(PyTypeError::new_err(format!("memory_limit must be an int, a str or None, not {given}")));
        };
        if bytes == 0 {
            return Err(PyValueError::new_err("memory_limit must be at least 1 byte; None is the default"));
        }
        Ok(MemorySize { bytes, text })
    }
}

/// Returns the bytes that a text as `8GB` says; `None` if it says something else, or more than a u64 holds. A number
/// with a fraction is rounded down to whole bytes, exactly.
fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start().to_ascii_lowercase());
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| u128::from(*bytes))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // More digits than a byte's part of a terabyte has mean nothing, and fewer cannot overflow.
    if whole.is_empty() || whole.len() > 20 || fraction.len() > 15 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    u64::try_from(digits.checked_mul(unit)? / scale).ok()
}
