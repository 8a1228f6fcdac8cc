//! `Connection`: a database in Python. Each method is a thin call of the database or of a session of the call.
//!
//! This file has the class and its life cycle; the other methods are in one file per subject. The docstrings are the
//! reference documentation, with its examples.

mod awaitable;
mod catalog;
mod checkpoint;
mod context;
mod define;
mod handle;
mod metrics;
mod read;
mod subscribe;
mod transaction;
mod write;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use laminardb_bridge::{Database, DatabaseConfig, Error, Session};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::argument::seconds;
use crate::config::LaminarConfig;
use crate::detach::{abandonable, attentive, detached};
use crate::error::{checked, raised};
use crate::fork::Owned;
use crate::show::picture;
use crate::subscription::Listening;

pub(crate) use self::context::{Held, OpenTransaction, leave_ended};
pub(crate) use self::handle::Handle;

/// A database: relations, views kept up to date over them, and who follows their changes.
///
/// Made by `laminardb.open()`. All methods may be called from any thread. After `close()` all but `close()` and
/// `is_closed` raise `ConnectionError` 101. In the examples `conn` is `laminardb.open(":memory:")`.
///
/// >>> conn.create_table("trades", {"id": "int64", "price": "float64"}, primary_key="id")
/// >>> conn.insert("trades", [{"id": 1, "price": 10.0}, {"id": 2, "price": 12.5}])
/// 2
/// >>> conn.sql("SELECT max(price) AS dearest FROM trades").fetchone()
/// (12.5,)
#[pyclass(frozen, module = "laminardb._laminardb", name = "Connection")]
pub(crate) struct Connection {
    handle: Owned<Arc<Handle>>,
    listening: Listening,
}

impl Connection {
    /// Opens a new private database, whose files go to `path` unless `config` names another directory.
    pub(crate) fn open(py: Python<'_>, path: Option<PathBuf>, config: Option<&LaminarConfig>) -> PyResult<Self> {
        let default = LaminarConfig::default();
        let config = config.unwrap_or(&default);
        let workers = NonZeroUsize::new(config.workers()).expect("checked to be at least 1");
        let buffer_size = usize::try_from(config.buffer_size()).unwrap_or(usize::MAX);
        let checkpoints = crate::checkpoint::settings(config, path)?;
        let settings = DatabaseConfig {
            workers,
            buffer_size,
            checkpoints,
            lock_timeout: config.lock_timeout(),
            memory_limit: config.limit_of_memory(),
        };
        let database = checked(py, detached(py, || Database::open(settings)))?;
        crate::give_back::start();
        Ok(Self { handle: Owned::new(Handle::new(database)), listening: Listening::new(py)? })
    }

    /// Returns the handle; raises an exception if the connection is closed or belongs to another process.
    fn live(&self, py: Python<'_>) -> PyResult<&Arc<Handle>> {
        let handle = self.handle.get(py)?;
        if handle.is_closed() { Err(raised(py, &Error::ConnectionClosed)) } else { Ok(handle) }
    }

    /// Returns the database; raises an exception if it is closed or belongs to another process.
    fn database(&self, py: Python<'_>) -> PyResult<&Arc<Database>> {
        self.live(py).map(|handle| handle.database())
    }

    /// Returns the session that a call runs in; raises an exception as [`Connection::database`] does, or if the
    /// transaction that the connection is bound to has ended.
    pub(crate) fn session(&self, py: Python<'_>) -> PyResult<Session> {
        self.live(py)?.session(py)
    }
}

#[pymethods]
impl Connection {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.listening.traverse(&visit)
    }

    /// Whether the connection was closed.
    #[getter]
    fn is_closed(&self) -> bool {
        self.handle.here().is_none_or(|handle| handle.is_closed())
    }

    fn __repr__(&self) -> &'static str {
        if self.is_closed() { "Connection(closed)" } else { "Connection(open)" }
    }

    /// The relations with their rows, keys and columns as an HTML table, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        picture(slf.as_any(), "overview")
    }

    /// Ends all work of the connection: its subscriptions end and every call that waits returns.
    ///
    /// What was accepted and is not through all views yet is discarded: `wait()` or `shutdown()` first brings it to its
    /// end. It may be called again and from any thread. Of a connection that a transaction's block was given, it rolls
    /// that transaction back and ends that object alone.
    ///
    /// >>> conn.close()
    /// >>> conn.is_closed
    /// True
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(handle) = self.handle.here() else { return Ok(()) };
        if handle.close_own(py) {
            return Ok(());
        }
        let database = Arc::clone(handle.database());
        abandonable(py, move || database.close())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.close(py)?;
        Ok(false)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        aio(slf.py())?.call_method1(intern!(slf.py(), "given"), (slf,))
    }

    /// Closes on a thread, for closing may wait.
    #[pyo3(signature = (*_exception))]
    fn __aexit__<'py>(slf: &Bound<'py, Self>, _exception: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let close = slf.getattr(intern!(slf.py(), "close"))?;
        aio(slf.py())?.call_method1(intern!(slf.py(), "on_thread"), (close,))
    }

    /// Starts the pipeline: `pipeline_state` is `"running"` from now on.
    ///
    /// Views are live from their creation, with or without it. `LaminarError` 901 after `shutdown()`.
    ///
    /// >>> conn.start()
    /// >>> conn.pipeline_state
    /// 'running'
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let database = self.database(py)?;
        checked(py, detached(py, || database.start()))
    }

    /// Finishes all accepted work, lets subscriptions deliver what is pending, and ends them.
    ///
    /// Afterwards reads and writes raise `LaminarError` 901; catalog, metrics and `close()` work on.
    ///
    /// >>> conn.shutdown()
    /// >>> conn.pipeline_state
    /// 'stopped'
    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        let database = Arc::clone(self.database(py)?);
        let done = abandonable(py, move || database.shutdown())?;
        checked(py, done)
    }

    /// `"created"`, `"running"` after `start()`, or `"stopped"` after `shutdown()`.
    #[getter]
    fn pipeline_state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.database(py)?.state().name())
    }

    /// Waits until every view, or only `view`, holds all writes that returned before the call; gives that logical time.
    ///
    /// A view that was created before the call also has all its first contents then. With `view`, a name, no other view
    /// is waited for. A number alone, as in `wait(60)`, is the timeout. `timeout` is in seconds, None waits for ever; when it passes, `LaminarError` 902 is raised.
    /// `ValueError` when it is negative, `SchemaError` 200 when there is no relation `view` or it is dropped meanwhile.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.insert("t", {"a": [1, 2]})
    /// 2
    /// >>> conn.wait(timeout=60)
    /// 1
    /// >>> result = conn.execute("CREATE MATERIALIZED VIEW total AS SELECT sum(a) AS a FROM t")
    /// >>> conn.wait("total", timeout=60)
    /// 1
    #[pyo3(signature = (view=None, timeout=None))]
    fn wait(&self, py: Python<'_>, view: Option<&Bound<'_, PyAny>>, timeout: Option<f64>) -> PyResult<u64> {
        let session = self.session(py)?;
        let (view, timeout) = match view {
            Some(seconds) if timeout.is_none() && !seconds.is_instance_of::<PyString>() => (None, seconds.extract()?),
            view => (view.map(|view| view.extract::<String>()).transpose()?, timeout),
        };
        let timeout = seconds("timeout", timeout)?;
        let time = attentive(py, |cancel| match (session.with_cancel(cancel), &view) {
            (session, Some(view)) => session.wait_for_view(view, timeout),
            (session, None) => session.wait(timeout),
        })?;
        checked(py, time.map(|time| time.0))
    }

    /// The logical time of the last accepted write; 0 before the first.
    #[getter]
    fn current_time(&self, py: Python<'_>) -> PyResult<u64> {
        let database = self.database(py)?;
        Ok(detached(py, || database.current_time().0))
    }
}

/// Imports the Python module that implements awaitable methods.
pub(crate) fn aio(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "laminardb._aio"))
}
