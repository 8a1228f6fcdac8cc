//! `Connection`: the methods of a database, each a thin call of the engine's session.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use laminardb_bridge::{Error, Params, Session, SessionConfig, SubscribeOptions, Target as Subscribed};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::arrow::pyarrow_schema;
use crate::config::LaminarConfig;
use crate::detach::{detached, interruptible};
use crate::error::{checked, raised};
use crate::fork::Owned;
use crate::params;
use crate::result::{ExecuteResult, QueryResult};
use crate::schema;
use crate::subscription::{Feed, StreamSubscription, Subscription};
use crate::value::{self, Target};

/// A database.
#[pyclass(frozen, module = "laminardb._laminardb", name = "Connection")]
pub(crate) struct Connection {
    session: Owned<Session>,
    is_checkpoint_enabled: bool,
}

impl Connection {
    /// A new private database.
    pub(crate) fn open(py: Python<'_>, config: Option<&LaminarConfig>) -> PyResult<Self> {
        let default = LaminarConfig::default();
        let config = config.unwrap_or(&default);
        let workers = NonZeroUsize::new(config.workers()).expect("checked to be at least 1");
        let buffer_size = usize::try_from(config.buffer_size()).unwrap_or(usize::MAX);
        let settings = SessionConfig { workers, buffer_size, ..SessionConfig::default() };
        let session = checked(py, detached(py, || Session::open(settings)))?;
        Ok(Self { session: Owned::new(session), is_checkpoint_enabled: config.is_checkpoint_enabled() })
    }

    /// The session, if it may be used.
    fn live(&self, py: Python<'_>) -> PyResult<&Session> {
        let session = self.session.get(py)?;
        if session.is_closed() { Err(raised(py, &Error::ConnectionClosed)) } else { Ok(session) }
    }

    /// What the values given for `table` must become.
    fn target(&self, py: Python<'_>, table: &str) -> PyResult<(&Session, Target)> {
        let session = self.live(py)?;
        let relation = checked(py, session.relation(table))?;
        Ok((session, Target::new(&relation.name, Arc::clone(&relation.schema))))
    }

    fn run_query(&self, py: Python<'_>, sql: &str, params: &Params) -> PyResult<QueryResult> {
        let session = self.live(py)?;
        let output = checked(py, detached(py, || session.query(sql, params)))?;
        Ok(QueryResult::new(output.schema, output.batches))
    }

    fn feed(&self, py: Python<'_>, target: Subscribed<'_>, snapshot: bool, max_pending: Option<usize>) -> PyResult<Feed> {
        let session = self.live(py)?;
        let mut options = SubscribeOptions { snapshot, ..SubscribeOptions::default() };
        if let Some(max_pending) = max_pending {
            options.max_pending = max_pending;
        }
        let subscription = checked(py, detached(py, || session.subscribe(target, options)))?;
        Ok(Feed::new(subscription, session.clone()))
    }
}

#[pymethods]
impl Connection {
    /// Was the connection closed?
    #[getter]
    fn is_closed(&self) -> bool {
        self.session.here().is_none_or(Session::is_closed)
    }

    fn __repr__(&self) -> &'static str {
        if self.is_closed() { "Connection(closed)" } else { "Connection(open)" }
    }

    /// Ends all work of the connection.
    fn close(&self, py: Python<'_>) {
        if let Some(session) = self.session.here() {
            detached(py, || session.close());
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> bool {
        self.close(py);
        false
    }

    /// Starts the pipeline.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.live(py)?;
        checked(py, detached(py, || session.start()))
    }

    /// Finishes all accepted work and ends the pipeline.
    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.live(py)?;
        checked(py, detached(py, || session.shutdown()))
    }

    /// `"created"`, `"running"` or `"stopped"`.
    #[getter]
    fn pipeline_state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.live(py)?.state().name())
    }

    /// Waits until every view holds all writes that returned before the call.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<u64> {
        let session = self.live(py)?;
        let timeout = seconds(timeout)?;
        let time = interruptible(py, |interrupted| session.wait(timeout, interrupted))?;
        checked(py, time)
    }

    /// The logical time of the last accepted write.
    #[getter]
    fn current_time(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.live(py)?.current_time())
    }

    /// Makes a source, or with a primary key a table.
    #[pyo3(signature = (name, schema, *, primary_key=None))]
    fn create_table(
        &self,
        py: Python<'_>,
        name: &str,
        schema: &Bound<'_, PyAny>,
        primary_key: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let session = self.live(py)?;
        let schema = schema::from_python(schema)?;
        let key = primary_key.map(key_columns).transpose()?;
        checked(py, detached(py, || session.create_relation(name, schema, key.as_deref())))
    }

    /// Stores rows.
    fn insert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table)?;
        let batches = value::batches(data, &target)?;
        checked(py, detached(py, || session.insert(table, batches)))
    }

    /// Stores rows in a keyed table, over those with their keys.
    fn upsert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table)?;
        let batches = value::batches(data, &target)?;
        checked(py, detached(py, || session.upsert(table, batches)))
    }

    /// Removes rows: by key from a keyed table, else equal ones.
    fn delete(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table)?;
        let batches = value::batches(data, &target)?;
        checked(py, detached(py, || session.delete(table, batches)))
    }

    /// The rows of a SELECT, SHOW, DESCRIBE or EXPLAIN.
    #[pyo3(signature = (sql, params=None))]
    fn query(&self, py: Python<'_>, sql: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<QueryResult> {
        self.run_query(py, sql, &params::from_python(params)?)
    }

    /// The rows of a SELECT, SHOW, DESCRIBE or EXPLAIN.
    #[pyo3(signature = (query, params=None))]
    fn sql(&self, py: Python<'_>, query: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<QueryResult> {
        self.run_query(py, query, &params::from_python(params)?)
    }

    /// Runs any statement, or several.
    #[pyo3(signature = (sql, params=None))]
    fn execute(&self, py: Python<'_>, sql: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<ExecuteResult> {
        let session = self.live(py)?;
        let params = params::from_python(params)?;
        let outcome = checked(py, detached(py, || session.execute(sql, &params)))?;
        Ok(ExecuteResult::new(outcome))
    }

    /// The maintained plan of a query.
    #[pyo3(signature = (query, params=None))]
    fn explain(&self, py: Python<'_>, query: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
        let session = self.live(py)?;
        let params = params::from_python(params)?;
        checked(py, detached(py, || session.explain(query, &params)))
    }

    /// The rows of a relation, those that pass `filter`.
    #[pyo3(signature = (name, filter=None))]
    fn query_stream(&self, py: Python<'_>, name: &str, filter: Option<&str>) -> PyResult<QueryResult> {
        let session = self.live(py)?;
        // The name rule of calls, not of SQL: as written, or equal but for case.
        let stored = session.relation(name).map_or_else(|_| name.to_owned(), |relation| relation.name.clone());
        let mut sql = format!("SELECT * FROM \"{}\"", stored.replace('"', "\"\""));
        if let Some(filter) = filter {
            // A line of its own keeps a comment in the filter from taking the bracket with it.
            sql.push_str(&format!(" WHERE (\n{filter}\n)"));
        }
        self.run_query(py, &sql, &Params::none())
    }

    /// The columns of a relation as a `pyarrow.Schema`.
    fn schema<'py>(&self, py: Python<'py>, table: &str) -> PyResult<Bound<'py, PyAny>> {
        let session = self.live(py)?;
        let relation = checked(py, session.relation(table))?;
        pyarrow_schema(py, &relation.schema)
    }

    /// The changes of a query, or of a relation by its name.
    #[pyo3(signature = (sql, *, params=None, snapshot=true, max_pending=None))]
    fn subscribe(
        &self,
        py: Python<'_>,
        sql: &str,
        params: Option<&Bound<'_, PyAny>>,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<Subscription> {
        let session = self.live(py)?;
        let params = params::from_python(params)?;
        let target = if session.relation(sql).is_ok() { Subscribed::Relation(sql) } else { Subscribed::Sql(sql, &params) };
        self.feed(py, target, snapshot, max_pending).map(Subscription)
    }

    /// The changes of a relation.
    #[pyo3(signature = (name, *, snapshot=false, max_pending=None))]
    fn subscribe_stream(
        &self,
        py: Python<'_>,
        name: &str,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<StreamSubscription> {
        self.feed(py, Subscribed::Relation(name), snapshot, max_pending).map(StreamSubscription)
    }

    /// Are checkpoints taken?
    #[getter]
    fn is_checkpoint_enabled(&self, py: Python<'_>) -> PyResult<bool> {
        self.live(py).map(|_| self.is_checkpoint_enabled)
    }
}

/// A timeout in seconds; None is no limit.
fn seconds(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() || seconds < 0.0 => {
            Err(PyValueError::new_err(format!("timeout must not be negative: {seconds}")))
        }
        // Too long to be represented is no limit.
        Some(seconds) => Ok(Duration::try_from_secs_f64(seconds).ok()),
    }
}

/// The key columns: a name, or a list of names.
fn key_columns(key: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(name) = key.cast::<PyString>() {
        return Ok(vec![name.to_str()?.to_owned()]);
    }
    match key.cast::<PyList>() {
        Ok(names) => names.extract(),
        Err(_) => Err(PyTypeError::new_err("primary_key is a column name or a list of column names")),
    }
}

/// Opens a database.
#[pyfunction]
#[pyo3(signature = (path, *, config=None))]
pub(crate) fn open(py: Python<'_>, path: PathBuf, config: Option<PyRef<'_, LaminarConfig>>) -> PyResult<Connection> {
    // Durability is not built yet: every path is a private database in memory.
    let _reserved = path;
    Connection::open(py, config.as_deref())
}

/// Connects to a database by its address.
#[pyfunction]
pub(crate) fn connect(py: Python<'_>, uri: &str) -> PyResult<Connection> {
    // Remote connections are not built yet: every address is a private database in memory.
    let _reserved = uri;
    Connection::open(py, None)
}
