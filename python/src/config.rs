//! `LaminarConfig`: the read-only settings that a connection is opened with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use laminardb_bridge::DEFAULT_LOCK_TIMEOUT;
use laminardb_bridge::memory::MemoryLimit;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt};

use crate::argument::seconds;
use crate::memory_limit::MemorySize;

/// The settings of a connection.
#[pyclass(frozen, module = "laminardb", name = "LaminarConfig")]
#[derive(Debug)]
pub(crate) struct LaminarConfig {
    /// Rows of a relation that may be pending before a write waits; 0 is no bound.
    #[pyo3(get)]
    buffer_size: u64,
    storage_dir: Option<PathBuf>,
    /// Milliseconds between checkpoints; None when there are none, 0 when only on request.
    #[pyo3(get)]
    checkpoint_interval_ms: Option<u64>,
    /// Rows of a relation beyond which some could be kept in files: not built, so without effect.
    #[pyo3(get)]
    table_spill_threshold: u64,
    /// Number of dataflow worker threads, from 1 to 256.
    #[pyo3(get)]
    workers: usize,
    /// Seconds that a write waits for the transaction of another; None is no bound.
    #[pyo3(get)]
    lock_timeout: Option<f64>,
    memory_limit: Option<MemorySize>,
}

/// A count given from Python: an int that is neither a bool nor negative.
struct Count(u64);

impl<'py> FromPyObject<'_, 'py> for Count {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if value.is_instance_of::<PyBool>() || !value.is_instance_of::<PyInt>() {
            return Err(PyTypeError::new_err(format!("expected an int, not {}", value.get_type().name()?)));
        }
        if value.lt(0)? {
            return Err(PyOverflowError::new_err("can't convert negative int to unsigned"));
        }
        value.extract::<u64>().map(Count)
    }
}

const MOST_WORKERS: u64 = 256;

/// Default of `lock_timeout`, in seconds.
const LOCK_TIMEOUT: f64 = DEFAULT_LOCK_TIMEOUT.as_secs() as f64;

#[pymethods]
impl LaminarConfig {
    #[new]
    #[pyo3(signature = (*, buffer_size=Count(65536), storage_dir=None, checkpoint_interval_ms=None,
        table_spill_threshold=Count(1_000_000), workers=Count(1), lock_timeout=Some(LOCK_TIMEOUT), memory_limit=None),
        text_signature = "(*, buffer_size=65536, storage_dir=None, checkpoint_interval_ms=None, \
        table_spill_threshold=1000000, workers=1, lock_timeout=30.0, memory_limit=None)")]
    fn new(
        buffer_size: Count,
        storage_dir: Option<PathBuf>,
        checkpoint_interval_ms: Option<Count>,
        table_spill_threshold: Count,
        workers: Count,
        lock_timeout: Option<f64>,
        memory_limit: Option<MemorySize>,
    ) -> PyResult<Self> {
        if workers.0 == 0 || workers.0 > MOST_WORKERS {
            return Err(PyValueError::new_err(format!("workers must be from 1 to {MOST_WORKERS}, not {}", workers.0)));
        }
        seconds("lock_timeout", lock_timeout)?;
        Ok(Self {
            buffer_size: buffer_size.0,
            storage_dir,
            checkpoint_interval_ms: checkpoint_interval_ms.map(|count| count.0),
            table_spill_threshold: table_spill_threshold.0,
            workers: usize::try_from(workers.0).expect("at most 256"),
            lock_timeout,
            memory_limit,
        })
    }

    /// The directory of checkpoints; None: the path of the database, or `data` in the working directory.
    #[getter]
    fn storage_dir(&self) -> PyResult<Option<&str>> {
        let Some(path) = &self.storage_dir else { return Ok(None) };
        path.to_str().map(Some).ok_or_else(|| PyValueError::new_err("storage_dir is not valid UTF-8"))
    }

    /// The memory that the process may use, in bytes or as text; None: the default.
    #[getter]
    fn memory_limit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.memory_limit {
            Some(size) => size.written(py),
            None => Ok(py.None().into_bound(py)),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let dir = self.storage_dir()?.into_pyobject(py)?.repr()?;
        let interval = self.checkpoint_interval_ms.map_or("None".to_owned(), |ms| ms.to_string());
        let lock_timeout = match self.lock_timeout {
            Some(LOCK_TIMEOUT) => String::new(),
            other => format!(", lock_timeout={}", other.into_pyobject(py)?.repr()?),
        };
        let memory_limit = match &self.memory_limit {
            Some(size) => format!(", memory_limit={}", size.written(py)?.repr()?),
            None => String::new(),
        };
        Ok(format!(
            "LaminarConfig(buffer_size={}, storage_dir={dir}, checkpoint_interval_ms={interval}, \
             table_spill_threshold={}, workers={}{lock_timeout}{memory_limit})",
            self.buffer_size, self.table_spill_threshold, self.workers
        ))
    }
}

impl LaminarConfig {
    /// Returns the number of dataflow worker threads.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Returns how long a write waits for the transaction of another; `None` means without limit.
    pub(crate) fn lock_timeout(&self) -> Option<Duration> {
        // A time too long to be represented means no limit.
        self.lock_timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// Returns the memory that the process may use; `None` means the default.
    pub(crate) fn limit_of_memory(&self) -> Option<MemoryLimit> {
        self.memory_limit.as_ref().map(MemorySize::limit)
    }

    /// Returns the maximum number of pending rows per base relation; 0 means no bound.
    pub(crate) fn buffer_size(&self) -> u64 {
        self.buffer_size
    }

    /// Returns the milliseconds between checkpoints, if there are any.
    pub(crate) fn checkpoint_interval(&self) -> Option<u64> {
        self.checkpoint_interval_ms
    }

    /// Returns the directory of checkpoints, if one is set.
    pub(crate) fn storage_path(&self) -> Option<&Path> {
        self.storage_dir.as_deref()
    }
}

impl Default for LaminarConfig {
    fn default() -> Self {
        Self {
            buffer_size: 65536,
            storage_dir: None,
            checkpoint_interval_ms: None,
            table_spill_threshold: 1_000_000,
            workers: 1,
            lock_timeout: Some(LOCK_TIMEOUT),
            memory_limit: None,
        }
    }
}
