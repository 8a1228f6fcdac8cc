//! `Connection`: the methods of a database, each a thin call of the engine's session.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use laminardb_bridge::catalog::Entry;
use laminardb_bridge::session::Target as Subscribed;
use laminardb_bridge::{Error, Params, Session, SessionConfig, SubscribeOptions};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::capsule::pyarrow_schema;
use crate::catalog::{PipelineTopology, QueryInfo, SinkInfo, SourceInfo, StreamInfo, is_base, is_stream};
use crate::config::LaminarConfig;
use crate::detach::{abandonable, attentive, detached, interruptible};
use crate::error::{checked, raised};
use crate::fork::Owned;
use crate::metrics::{PipelineMetrics, SourceMetrics, StreamMetrics, stats};
use crate::params;
use crate::result::{ExecuteResult, QueryResult};
use crate::schema;
use crate::show::picture;
use crate::subscription::{CallbackSubscription, Feed, Opening, Source, StreamSubscription, Subscription};
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
        let settings = SessionConfig { workers, buffer_size };
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
        let answer = interruptible(py, |stop| session.query_interruptible(sql, params, stop))?;
        let output = checked(py, answer)?;
        Ok(QueryResult::new(output.schema, output.batches))
    }

    fn entries(&self, py: Python<'_>) -> PyResult<Vec<Arc<Entry>>> {
        checked(py, self.live(py)?.relations())
    }

    fn names(&self, py: Python<'_>, wanted: fn(&Entry) -> bool) -> PyResult<Vec<String>> {
        let entries = self.entries(py)?;
        Ok(entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.name().to_owned()).collect())
    }
}

fn feed(py: Python<'_>, session: &Session, target: Subscribed<'_>, options: SubscribeOptions) -> PyResult<Feed> {
    let subscribed = interruptible(py, |stop| session.subscribe_interruptible(target, options, stop))?;
    let subscription = checked(py, subscribed)?;
    Ok(Feed::new(subscription, session.clone()))
}

fn options(snapshot: bool, max_pending: Option<usize>) -> SubscribeOptions {
    let default = SubscribeOptions::default();
    SubscribeOptions { snapshot, max_pending: max_pending.unwrap_or(default.max_pending) }
}

/// The text of a string, which Python lets hold what is no Unicode text.
fn text<'a>(data: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    data.to_str().map_err(|_| {
        let detail = "the text has half of a surrogate pair, which is no text".to_owned();
        raised(data.py(), &Error::BatchSchemaMismatch(detail))
    })
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

    /// The relations with their rows, keys and columns as an HTML table, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        picture(slf.as_any(), "overview")
    }

    /// Ends all work of the connection.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(session) = self.session.here() else { return Ok(()) };
        let session = session.clone();
        abandonable(py, move || session.close())
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

    /// Starts the pipeline.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.live(py)?;
        checked(py, detached(py, || session.start()))
    }

    /// Finishes all accepted work and ends the pipeline.
    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.live(py)?.clone();
        let done = abandonable(py, move || session.shutdown())?;
        checked(py, done)
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
        let time = attentive(py, |stop| session.wait(timeout, stop))?;
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
        checked(py, attentive(py, |stop| session.insert_interruptible(table, batches, stop))?)
    }

    /// Stores the rows of a JSON text: an array of objects, one object, or one object per line.
    fn insert_json(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyString>) -> PyResult<u64> {
        let (session, text) = (self.live(py)?, text(data)?);
        checked(py, attentive(py, |stop| session.insert_json(table, text, stop))?)
    }

    /// Stores the rows of a CSV text that begins with a line of column names.
    fn insert_csv(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyString>) -> PyResult<u64> {
        let (session, text) = (self.live(py)?, text(data)?);
        checked(py, attentive(py, |stop| session.insert_csv(table, text, stop))?)
    }

    /// Stores rows in a keyed table, over those with their keys.
    fn upsert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |stop| session.upsert_interruptible(table, batches, stop))?)
    }

    /// Removes rows: by key from a keyed table, else equal ones.
    fn delete(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |stop| session.delete_interruptible(table, batches, stop))?)
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
        let done = interruptible(py, |stop| session.execute_interruptible(sql, &params, stop))?;
        let outcome = checked(py, done)?;
        Ok(ExecuteResult::new(outcome))
    }

    /// The maintained plan of a query.
    #[pyo3(signature = (query, params=None))]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        query: &str,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let session = self.live(py)?;
        let params = params::from_python(params)?;
        let plan = checked(py, detached(py, || session.explain(query, &params)))?;
        picture(PyString::new(py, &plan).as_any(), "Plan")
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
        feed(py, session, Subscribed::Sql(sql, &params), options(snapshot, max_pending)).map(Subscription)
    }

    /// The changes of a query, for `async for`.
    #[pyo3(signature = (sql, *, params=None, snapshot=true, max_pending=None))]
    fn subscribe_async<'py>(
        slf: &Bound<'py, Self>,
        sql: String,
        params: Option<&Bound<'py, PyAny>>,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().live(slf.py())?;
        let params = params::from_python(params)?;
        let connection = slf.clone().unbind();
        Opening::awaitable(slf.py(), false, move |py| {
            let session = connection.get().live(py)?;
            feed(py, session, Subscribed::Sql(&sql, &params), options(snapshot, max_pending))
        })
    }

    /// Calls `on_data` with each batch of changes of a query.
    #[pyo3(signature = (sql, on_data, on_error=None, *, params=None, snapshot=true, max_pending=None))]
    #[expect(clippy::too_many_arguments, reason = "the signature is Python's")]
    fn subscribe_callback(
        &self,
        py: Python<'_>,
        sql: &str,
        on_data: &Bound<'_, PyAny>,
        on_error: Option<&Bound<'_, PyAny>>,
        params: Option<&Bound<'_, PyAny>>,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<CallbackSubscription> {
        let session = self.live(py)?;
        let params = params::from_python(params)?;
        CallbackSubscription::start(py, Source::Query, on_data, on_error, || {
            feed(py, session, Subscribed::Sql(sql, &params), options(snapshot, max_pending))
        })
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
        let session = self.live(py)?;
        feed(py, session, Subscribed::Relation(name), options(snapshot, max_pending)).map(StreamSubscription)
    }

    /// The changes of a relation, for `async for`.
    #[pyo3(signature = (name, *, snapshot=false, max_pending=None))]
    fn subscribe_stream_async<'py>(
        slf: &Bound<'py, Self>,
        name: String,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().live(slf.py())?;
        let connection = slf.clone().unbind();
        Opening::awaitable(slf.py(), true, move |py| {
            let session = connection.get().live(py)?;
            feed(py, session, Subscribed::Relation(&name), options(snapshot, max_pending))
        })
    }

    /// Calls `on_data` with each batch of changes of a relation.
    #[pyo3(signature = (name, on_data, on_error=None, *, snapshot=false, max_pending=None))]
    fn subscribe_stream_callback(
        &self,
        py: Python<'_>,
        name: &str,
        on_data: &Bound<'_, PyAny>,
        on_error: Option<&Bound<'_, PyAny>>,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<CallbackSubscription> {
        let session = self.live(py)?;
        CallbackSubscription::start(py, Source::Stream, on_data, on_error, || {
            feed(py, session, Subscribed::Relation(name), options(snapshot, max_pending))
        })
    }

    /// Are checkpoints taken?
    #[getter]
    fn is_checkpoint_enabled(&self, py: Python<'_>) -> PyResult<bool> {
        self.live(py).map(|_| self.is_checkpoint_enabled)
    }

    /// The names of sources and tables.
    fn list_tables(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_base)
    }

    /// The names of sources and tables.
    fn tables(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_base)
    }

    /// The names of streams and materialized views.
    fn list_streams(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_stream)
    }

    /// The names of streams and materialized views.
    fn materialized_views(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_stream)
    }

    /// The names of sinks: none, for this build has no connectors.
    fn list_sinks(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.live(py).map(|_| Vec::new())
    }

    /// Sinks: none, for this build has no connectors.
    fn sinks(&self, py: Python<'_>) -> PyResult<Vec<SinkInfo>> {
        self.live(py).map(|_| Vec::new())
    }

    /// Sources and tables.
    fn sources(&self, py: Python<'_>) -> PyResult<Vec<SourceInfo>> {
        Ok(self.entries(py)?.iter().filter_map(|entry| SourceInfo::of(entry)).collect())
    }

    /// Streams and materialized views.
    fn streams(&self, py: Python<'_>) -> PyResult<Vec<StreamInfo>> {
        Ok(self.entries(py)?.iter().filter_map(|entry| StreamInfo::of(entry)).collect())
    }

    /// Queries and subscriptions: those running, and the last that are over.
    fn queries(&self, py: Python<'_>) -> PyResult<Vec<QueryInfo>> {
        Ok(self.live(py)?.queries().into_iter().map(QueryInfo::from).collect())
    }

    /// Ends a running query or subscription.
    fn cancel_query(&self, py: Python<'_>, query_id: u64) -> PyResult<()> {
        let session = self.live(py)?;
        checked(py, detached(py, || session.cancel_query(query_id)))
    }

    /// Number of sources and tables.
    #[getter]
    fn source_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.entries(py)?.iter().filter(|entry| is_base(entry)).count())
    }

    /// Number of sinks.
    #[getter]
    fn sink_count(&self, py: Python<'_>) -> PyResult<usize> {
        self.live(py).map(|_| 0)
    }

    /// Number of running queries and subscriptions.
    #[getter]
    fn active_query_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.live(py)?.queries().iter().filter(|query| query.active).count())
    }

    /// Least of the watermarks that were set.
    #[getter]
    fn pipeline_watermark(&self, py: Python<'_>) -> PyResult<i64> {
        let session = self.live(py)?;
        Ok(checked(py, detached(py, || session.metrics()))?.pipeline_watermark)
    }

    /// Rows in accepted writes.
    #[getter]
    fn total_events_processed(&self, py: Python<'_>) -> PyResult<u64> {
        let session = self.live(py)?;
        let sources = checked(py, detached(py, || session.all_source_metrics()))?;
        Ok(sources.iter().map(|source| source.total_events).sum())
    }

    /// All relations and what they read.
    fn topology(&self, py: Python<'_>) -> PyResult<PipelineTopology> {
        PipelineTopology::of(py, self.entries(py)?.iter().map(AsRef::as_ref))
    }

    /// Counters of the whole.
    fn metrics(&self, py: Python<'_>) -> PyResult<PipelineMetrics> {
        let session = self.live(py)?;
        checked(py, detached(py, || session.metrics())).map(PipelineMetrics::from)
    }

    /// Counters of a source or table, or None.
    fn source_metrics(&self, py: Python<'_>, name: &str) -> PyResult<Option<SourceMetrics>> {
        let session = self.live(py)?;
        Ok(checked(py, detached(py, || session.source_metrics(name)))?.map(SourceMetrics::from))
    }

    /// Counters of a stream or materialized view, or None.
    fn stream_metrics(&self, py: Python<'_>, name: &str) -> PyResult<Option<StreamMetrics>> {
        let session = self.live(py)?;
        Ok(checked(py, detached(py, || session.stream_metrics(name)))?.map(StreamMetrics::from))
    }

    /// Counters of all sources and tables.
    fn all_source_metrics(&self, py: Python<'_>) -> PyResult<Vec<SourceMetrics>> {
        let session = self.live(py)?;
        let all = checked(py, detached(py, || session.all_source_metrics()))?;
        Ok(all.into_iter().map(SourceMetrics::from).collect())
    }

    /// Counters of all streams and materialized views.
    fn all_stream_metrics(&self, py: Python<'_>) -> PyResult<Vec<StreamMetrics>> {
        let session = self.live(py)?;
        let all = checked(py, detached(py, || session.all_stream_metrics()))?;
        Ok(all.into_iter().map(StreamMetrics::from).collect())
    }

    /// Counters of a source or table as a dict.
    fn stats<'py>(&self, py: Python<'py>, table: &str) -> PyResult<Bound<'py, PyDict>> {
        let session = self.live(py)?;
        let metrics = checked(py, detached(py, || session.source_metrics(table)))?;
        stats(py, table, metrics)
    }
}

/// The Python half of what is awaited.
fn aio(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "laminardb._aio"))
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
