//! Values that a process owns and a forked child must not touch.
//!
//! After `fork`, the engine's threads do not exist in the child, and any lock may be held for ever by one of them. So a
//! child refuses to use what it inherited, and forgets it instead of dropping it.

use std::mem::ManuallyDrop;
use std::process;

use laminardb_bridge::Error;
use pyo3::prelude::*;

use crate::error::raised;

/// A value that only the process that made it may use.
pub(crate) struct Owned<T: Send> {
    value: ManuallyDrop<T>,
    process: u32,
}

impl<T: Send> Owned<T> {
    /// Makes a value that is owned by this process.
    pub(crate) fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), process: process::id() }
    }

    /// Returns the value; `None` if it was inherited.
    pub(crate) fn here(&self) -> Option<&T> {
        (self.process == process::id()).then_some(&*self.value)
    }

    /// Returns the value; raises an exception if it was inherited.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<&T> {
        self.here().ok_or_else(|| {
            let detail = "the connection belongs to the process that was forked; open a new one".to_owned();
            raised(py, &Error::ConnectionInUse(detail))
        })
    }
}

impl<T: Send> Drop for Owned<T> {
    #[expect(unsafe_code, reason = "the value must be dropped in one case and forgotten in the other")]
    #[expect(clippy::disallowed_methods, reason = "it waits for no signal: a drop cannot raise")]
    fn drop(&mut self) {
        if self.here().is_some() {
            // SAFETY: `self` is being dropped, so nothing reads `value` after this.
            let value = unsafe { ManuallyDrop::take(&mut self.value) };
            // Dropping the last handle of a database ends the engine's threads, which may be waiting for the
            // interpreter. If Python has ended, the closure and with it the value are dropped here.
            let _attached = Python::try_attach(|py| py.detach(|| drop(value)));
        }
    }
}
