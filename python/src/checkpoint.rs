//! Checkpoints in Python: `CheckpointResult`, and what the configuration means.

use std::sync::Arc;
use std::time::Duration;

use laminardb_bridge::{CheckpointConfig, Error};
use pyo3::basic::CompareOp;
use pyo3::prelude::*;

use crate::config::LaminarConfig;
use crate::entrance::entered;
use crate::error::raised;

/// The id of a checkpoint that was taken: an int wherever one is asked for, compared and hashed as that int.
///
/// Made by `Connection.checkpoint()`.
#[pyclass(frozen, module = "laminardb._laminardb", name = "CheckpointResult")]
pub(crate) struct CheckpointResult {
    /// The id, from 1. A later checkpoint has a greater one, also of another process in the same directory.
    #[pyo3(get)]
    checkpoint_id: u64,
}

impl CheckpointResult {
    /// Makes the result for an image with this id.
    pub(crate) fn new(checkpoint_id: u64) -> Self {
        Self { checkpoint_id }
    }
}

#[pymethods]
impl CheckpointResult {
    fn __int__(&self) -> u64 {
        self.checkpoint_id
    }

    fn __index__(&self) -> u64 {
        self.checkpoint_id
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.checkpoint_id.into_pyobject(py)?.hash()
    }

    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let other = match other.cast::<Self>() {
            Ok(result) => result.get().checkpoint_id.into_pyobject(py)?.into_any(),
            Err(_) => other.clone(),
        };
        self.checkpoint_id.into_pyobject(py)?.rich_compare(other, operator)
    }

    fn __repr__(&self) -> String {
        format!("CheckpointResult(checkpoint_id={})", self.checkpoint_id)
    }
}

/// Returns the checkpoint settings of `config` for a database at `path` (`None`: in memory); `None` if there are none.
pub(crate) fn settings(config: &LaminarConfig, path: Option<std::path::PathBuf>) -> PyResult<Option<CheckpointConfig>> {
    let Some(interval) = config.checkpoint_interval() else { return Ok(None) };
    let directory = config.storage_path().map(std::path::Path::to_path_buf).or(path);
    let directory = match directory {
        None => "data".into(),
        // As elsewhere in Python, an empty path means the working directory.
        Some(path) if path.as_os_str().is_empty() => ".".into(),
        Some(path) => path,
    };
    Ok(Some(CheckpointConfig {
        // The working directory counts as of now, even if the directory is first used later.
        directory: std::path::absolute(directory)?,
        interval: Duration::from_millis(interval),
        on_failure: Arc::new(unraisable),
    }))
}

/// Reports a failure that no call can raise through `sys.unraisablehook`, as Python does.
fn unraisable(error: &Error) {
    // When the interpreter has ended, nobody can be told.
    let _told = entered(|py| raised(py, error).write_unraisable(py, None));
}
