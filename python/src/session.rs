//! `Connection`: the methods of a database, each a thin call of the engine's session.
//!
//! PyO3 takes the methods of a class in one block, and their docstrings are the reference with its examples; so this
//! file is long. What is not a method is in other files.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use laminardb_bridge::catalog::Entry;
use laminardb_bridge::session::Target as Subscribed;
use laminardb_bridge::store::Operation;
use laminardb_bridge::subscription::FailedRow;
use laminardb_bridge::{Error, Params, RestoreFrom, Session, SessionConfig, SubscribeOptions};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::argument::{key_columns, seconds, text};
use crate::capsule::pyarrow_schema;
use crate::catalog::{PipelineTopology, QueryInfo, SinkInfo, SourceInfo, StreamInfo, is_base, is_stream};
use crate::checkpoint::{self, CheckpointResult};
use crate::config::LaminarConfig;
use crate::detach::{abandonable, attentive, detached, interruptible, reading};
use crate::error::{checked, raised};
use crate::fork::Owned;
use crate::metrics::{PipelineMetrics, SourceMetrics, StreamMetrics, stats};
use crate::params;
use crate::result::{ExecuteResult, QueryResult};
use crate::schema;
use crate::show::picture;
use crate::stream::QueryStreamIter;
use crate::subscription::{CallbackSubscription, Feed, Opening, Source, StreamSubscription, Subscription};
use crate::transaction::Transaction;
use crate::value::{self, Target};
use crate::writer::Writer;

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
    session: Owned<Session>,
}

impl Connection {
    /// A new private database, whose files go to `path` unless `config` names another directory.
    pub(crate) fn open(py: Python<'_>, path: Option<PathBuf>, config: Option<&LaminarConfig>) -> PyResult<Self> {
        let default = LaminarConfig::default();
        let config = config.unwrap_or(&default);
        let workers = NonZeroUsize::new(config.workers()).expect("checked to be at least 1");
        let buffer_size = usize::try_from(config.buffer_size()).unwrap_or(usize::MAX);
        let settings = SessionConfig { workers, buffer_size, checkpoints: checkpoint::settings(config, path)? };
        let session = checked(py, detached(py, || Session::open(settings)))?;
        Ok(Self { session: Owned::new(session) })
    }

    /// The session, if it may be used.
    pub(crate) fn live(&self, py: Python<'_>) -> PyResult<&Session> {
        let session = self.session.get(py)?;
        if session.is_closed() { Err(raised(py, &Error::ConnectionClosed)) } else { Ok(session) }
    }

    /// What the values given for `table` must become.
    fn target(&self, py: Python<'_>, table: &str, operation: Operation) -> PyResult<(&Session, Target)> {
        let session = self.live(py)?;
        let relation = checked(py, session.writable(table, operation))?;
        Ok((session, Target::new(&relation.name, Arc::clone(&relation.schema))))
    }

    fn run_query(&self, py: Python<'_>, sql: &str, params: Params) -> PyResult<QueryResult> {
        let (session, sql) = (self.live(py)?.clone(), sql.to_owned());
        let answer = reading(py, move |stop| session.query_interruptible(&sql, &params, stop))?;
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

#[pymethods]
impl Connection {
    /// Whether the connection was closed.
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

    /// Ends all work of the connection: its subscriptions end and every call that waits returns.
    ///
    /// What was accepted and is not through all views yet is discarded: `wait()` or `shutdown()` first brings it to its
    /// end. It may be called again and from any thread.
    ///
    /// >>> conn.close()
    /// >>> conn.is_closed
    /// True
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

    /// Starts the pipeline: `pipeline_state` is `"running"` from now on.
    ///
    /// Views are live from their creation, with or without it. `LaminarError` 901 after `shutdown()`.
    ///
    /// >>> conn.start()
    /// >>> conn.pipeline_state
    /// 'running'
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.live(py)?;
        checked(py, detached(py, || session.start()))
    }

    /// Finishes all accepted work, lets subscriptions deliver what is pending, and ends them.
    ///
    /// Afterwards reads and writes raise `LaminarError` 901; catalog, metrics and `close()` work on.
    ///
    /// >>> conn.shutdown()
    /// >>> conn.pipeline_state
    /// 'stopped'
    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.live(py)?.clone();
        let done = abandonable(py, move || session.shutdown())?;
        checked(py, done)
    }

    /// `"created"`, `"running"` after `start()`, or `"stopped"` after `shutdown()`.
    #[getter]
    fn pipeline_state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.live(py)?.state().name())
    }

    /// Waits until every view holds all writes that returned before the call; gives that logical time.
    ///
    /// `timeout` is in seconds, None waits for ever; when it passes, `LaminarError` 902 is raised. `ValueError` when it
    /// is negative.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.insert("t", {"a": [1, 2]})
    /// 2
    /// >>> conn.wait(timeout=60)
    /// 1
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<u64> {
        let session = self.live(py)?;
        let timeout = seconds(timeout)?;
        let time = attentive(py, |stop| session.wait(timeout, stop))?;
        checked(py, time)
    }

    /// The logical time of the last accepted write; 0 before the first.
    #[getter]
    fn current_time(&self, py: Python<'_>) -> PyResult<u64> {
        let session = self.live(py)?;
        Ok(detached(py, || session.current_time()))
    }

    /// Makes a source, which only grows, or with `primary_key` a table, whose rows are replaced by key.
    ///
    /// `schema` is a dict of column and type, such as `{"ts": "int64", "name": "string"}`, or an Arrow schema;
    /// `primary_key` a column or a list of columns. The name and columns are kept as written. `SchemaError` 201 when
    /// the name is taken, 203 when a type is not known, a key column is missing or a column is there twice.
    ///
    /// >>> conn.create_table("events", {"ts": "timestamp", "kind": "string", "amount": "decimal(10,2)"})
    /// >>> conn.create_table("users", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> conn.tables()
    /// ['events', 'users']
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
        let create =
            |stop: &dyn Fn() -> bool| session.create_relation_interruptible(name, schema, key.as_deref(), stop);
        checked(py, attentive(py, create)?)
    }

    /// Stores rows, all or none; gives their number.
    ///
    /// `data` is a dict (one row), a list of dicts, a dict of columns (lists of one length), a pandas or polars
    /// DataFrame, a pyarrow Table, RecordBatch or RecordBatchReader, a QueryResult, or anything with
    /// `__arrow_c_stream__` or `__arrow_c_array__`. Columns are matched by name; a missing one is its default, or NULL.
    /// In a table with a key, rows replace those of their keys.
    ///
    /// `SchemaError` 200 for an unknown table, 202 for a view. `IngestionError` 302 when a column is unknown or a value
    /// does not fit its column exactly, 300 when a NOT NULL column has none. `TypeError` for other data. It waits while
    /// `buffer_size` rows are pending.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> conn.insert("t", {"id": 1, "name": "a"})
    /// 1
    /// >>> conn.insert("t", [{"id": 2, "name": "b"}, {"id": 3}])
    /// 2
    /// >>> conn.insert("t", {"id": [4, 5], "name": ["d", "e"]})
    /// 2
    /// >>> conn.insert("t", {"id": 1.5})
    /// Traceback (most recent call last):
    /// laminardb.IngestionError: ...
    fn insert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Insert)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |stop| session.insert_interruptible(table, batches, stop))?)
    }

    /// Stores the rows of a JSON text, all or none; gives their number.
    ///
    /// The text is an array of objects, one object, or one object per line. Values are cast as `insert()` does, numbers
    /// exactly, and texts into dates and times as ISO 8601. `IngestionError` 300 with line and column when it is not
    /// JSON; the other errors are those of `insert()`.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> conn.insert_json("t", '[{"id": 1, "name": "a"}, {"id": 2}]')
    /// 2
    fn insert_json(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyString>) -> PyResult<u64> {
        let (session, text) = (self.live(py)?, text(data)?);
        checked(py, attentive(py, |stop| session.insert_json(table, text, stop))?)
    }

    /// Stores the rows of a CSV text, all or none; gives their number.
    ///
    /// The first line names the columns. A field is read as the type of its column; an empty one is NULL, `""` the
    /// empty text. `IngestionError` 300 with the line when it has another number of fields; the other errors are those
    /// of `insert()`.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> conn.insert_csv("t", "id,name\n1,a\n2,\n")
    /// 2
    fn insert_csv(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyString>) -> PyResult<u64> {
        let (session, text) = (self.live(py)?, text(data)?);
        checked(py, attentive(py, |stop| session.insert_csv(table, text, stop))?)
    }

    /// Stores rows in a table with a key, over those of their keys; gives their number.
    ///
    /// `data` is as for `insert()`. `SchemaError` 202 when the relation has no key.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> conn.upsert("t", [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}])
    /// 2
    /// >>> conn.sql("SELECT * FROM t").fetchall()
    /// [(1, 'b')]
    fn upsert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Upsert)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |stop| session.upsert_interruptible(table, batches, stop))?)
    }

    /// Removes rows; gives how many were removed.
    ///
    /// `data` is as for `insert()`. A table with a key needs only the key columns, and keys that are not there are
    /// skipped. A table without one loses an equal row for each row given; `IngestionError` 300 when there is none, and
    /// nothing is removed. `SchemaError` 202 for a source or view.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> conn.insert("t", {"id": [1, 2], "name": ["a", "b"]})
    /// 2
    /// >>> conn.delete("t", [{"id": 1}, {"id": 7}])
    /// 1
    fn delete(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Delete)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |stop| session.delete_interruptible(table, batches, stop))?)
    }

    /// A `Writer` to a source or table. `SchemaError` 200 for an unknown one, 202 for a view.
    ///
    /// >>> conn.create_table("t", {"ts": "int64"})
    /// >>> with conn.writer("t") as writer:
    /// ...     writer.insert({"ts": [1, 2]})
    /// ...     writer.watermark(2)
    /// >>> len(conn.sql("SELECT * FROM t"))
    /// 2
    fn writer(&self, py: Python<'_>, table: &str) -> PyResult<Writer> {
        checked(py, self.live(py)?.writer(table)).map(Writer::new)
    }

    /// Makes all writes of a `with` block one write: the same as `BEGIN` and `COMMIT`, or `ROLLBACK` on an exception.
    ///
    /// The block is given the connection. Its writes, by this thread, are seen at one logical time at its end, by
    /// others not before; writes of other threads wait, and their reads see the state before. An exception takes all
    /// writes back and goes on; an error of one statement that is caught inside takes back that statement alone.
    ///
    /// Inside, queries and DML see the writes made so far. `QueryError` 400, there, for a query that reads a maintained
    /// view, a subscription that starts with the rows there are, a definition, a checkpoint, and another transaction.
    ///
    /// >>> conn.create_table("accounts", {"id": "int64", "amount": "int64"}, primary_key="id")
    /// >>> with conn.transaction() as tx:
    /// ...     tx.insert("accounts", {"id": [1, 2], "amount": [100, 0]})
    /// ...     tx.execute("UPDATE accounts SET amount = amount - 30 WHERE id = 1").rows_affected
    /// ...     tx.execute("UPDATE accounts SET amount = amount + 30 WHERE id = 2").rows_affected
    /// 2
    /// 1
    /// 1
    /// >>> conn.sql("SELECT id, amount FROM accounts ORDER BY id").fetchall()
    /// [(1, 70), (2, 30)]
    /// >>> conn.current_time
    /// 1
    fn transaction(slf: &Bound<'_, Self>) -> PyResult<Transaction> {
        slf.get().live(slf.py())?;
        Ok(Transaction::new(slf.clone().unbind()))
    }

    /// The rows of a SELECT, VALUES, SHOW, DESCRIBE or EXPLAIN, at one logical time.
    ///
    /// `params` is a list for `?` and `$1`, or a dict for `$name`. `QueryError` 401 when the text does not parse, 400
    /// when it is wrong, fails, or is DDL or DML (which is not run), 402 when it is cancelled.
    ///
    /// >>> conn.query("SELECT * FROM nowhere")
    /// Traceback (most recent call last):
    /// laminardb.QueryError: ...
    /// >>> conn.query("SELECT $a + $b AS x", {"a": 1, "b": 2}).fetchone()
    /// (3,)
    #[pyo3(signature = (sql, params=None))]
    fn query(&self, py: Python<'_>, sql: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<QueryResult> {
        self.run_query(py, sql, params::from_python(params)?)
    }

    /// The rows of a query: the same as `query()`.
    ///
    /// >>> conn.sql("SELECT 1 + 1 AS answer").show()
    /// +--------+
    /// | answer |
    /// +--------+
    /// | 2      |
    /// +--------+
    /// 1 row
    #[pyo3(signature = (query, params=None))]
    fn sql(&self, py: Python<'_>, query: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<QueryResult> {
        self.run_query(py, query, params::from_python(params)?)
    }

    /// Runs any statement, or several divided by semicolons, and gives the result of the last.
    ///
    /// All are parsed before the first runs; an error ends the run, and what ran before it stays. `params` is as for
    /// `query()`. Errors are those of `query()`, `SchemaError` 200, 201 or 203 for definitions, and `StreamError` 600
    /// for a view that cannot be maintained.
    ///
    /// >>> conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)")
    /// ExecuteResult(ddl, CREATE TABLE t)
    /// >>> conn.execute("INSERT INTO t VALUES (1, 10), (2, 20)")
    /// ExecuteResult(rows_affected=2)
    /// >>> conn.execute("UPDATE t SET n = n + ? WHERE id = ?", [5, 1]).rows_affected
    /// 1
    #[pyo3(signature = (sql, params=None))]
    fn execute(&self, py: Python<'_>, sql: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<ExecuteResult> {
        let session = self.live(py)?;
        let params = params::from_python(params)?;
        let done = interruptible(py, |stop| session.execute_interruptible(sql, &params, stop))?;
        let outcome = checked(py, done)?;
        Ok(ExecuteResult::new(outcome))
    }

    /// The rows of a query in batches of at most 65,536, made as they are read, all at one time.
    ///
    /// Iterating gives a `QueryResult` per batch, and ends early when the connection is closed. Arguments and errors
    /// are those of `query()`.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.insert("t", {"a": list(range(100_000))})
    /// 100000
    /// >>> sum(batch.num_rows for batch in conn.stream("SELECT * FROM t"))
    /// 100000
    #[pyo3(signature = (sql, params=None))]
    fn stream(&self, py: Python<'_>, sql: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<QueryStreamIter> {
        let session = self.live(py)?;
        let params = params::from_python(params)?;
        let stream = interruptible(py, |stop| session.stream(sql, &params, stop))?;
        checked(py, stream).map(QueryStreamIter::new)
    }

    /// The plan that would keep a query up to date, as indented text.
    ///
    /// Operators, their keys, what each keeps, and the arrangements that joins read with the views that share them;
    /// notebooks show it with its lines. A wrong query raises as `query()` does.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> print(conn.explain("SELECT a, count(*) FROM t GROUP BY a"))
    /// Output unique_key=[a] keeps=the aggregate's own state
    ///   Reduce by [a] [count(*)] append_only
    ///     Input t
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

    /// The rows of a relation, or those for which the SQL condition `filter` is true.
    ///
    /// `QueryError` 400 when there is no such relation or the condition is wrong.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.insert("t", {"a": [1, 2, 3]})
    /// 3
    /// >>> conn.query_stream("t", "a > 1").num_rows
    /// 2
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
        self.run_query(py, &sql, Params::none())
    }

    /// The columns of a relation as a `pyarrow.Schema`. `SchemaError` 200 when there is none of that name.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.schema("t").names
    /// ['a']
    fn schema<'py>(&self, py: Python<'py>, table: &str) -> PyResult<Bound<'py, PyAny>> {
        let session = self.live(py)?;
        let relation = checked(py, session.relation(table))?;
        pyarrow_schema(py, &relation.schema)
    }

    /// Follows the answer of a query; `sql` may also be the name of a relation.
    ///
    /// With `snapshot` the rows there are come first, as one batch of inserts; then every change, without a gap. A
    /// reader more than `max_pending` rows behind (10,000,000 by default) is ended with `SubscriptionError` 503. Errors
    /// are those of `query()`, and `StreamError` 600 when the query cannot be maintained.
    ///
    /// >>> conn.create_table("t", {"k": "int64", "v": "float64"})
    /// >>> conn.insert("t", {"k": [1, 1], "v": [2.0, 3.0]})
    /// 2
    /// >>> sub = conn.subscribe("SELECT k, sum(v) AS total FROM t GROUP BY k")
    /// >>> sub.next().fetchall()
    /// [(1, 5.0)]
    /// >>> conn.insert("t", {"k": 1, "v": 4.0})
    /// 1
    /// >>> list(sub.next().changes())
    /// [ChangeRow(op='UpdateDelete', {'k': 1, 'total': 5.0}), ChangeRow(op='UpdateInsert', {'k': 1, 'total': 9.0})]
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

    /// An awaitable of an `AsyncSubscription` to a query; arguments and errors are those of `subscribe()`.
    ///
    /// >>> import asyncio
    /// >>> async def first():
    /// ...     sub = await conn.subscribe_async("SELECT 1 AS one")
    /// ...     async for batch in sub:
    /// ...         return batch.fetchall()
    /// >>> asyncio.run(first())
    /// [(1,)]
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

    /// Calls `on_data` with each `ChangeBatch` of a query, in a thread of its own.
    ///
    /// `on_error` is given the text of what `on_data` raises, and of what ends the subscription. The other arguments
    /// are those of `subscribe()`. `TypeError` when a function cannot be called.
    ///
    /// >>> import threading
    /// >>> done = threading.Event()
    /// >>> callback = conn.subscribe_callback("SELECT 1 AS one", lambda batch: done.set())
    /// >>> done.wait(60)
    /// True
    /// >>> callback.cancel()
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

    /// Follows a relation of any kind by its name, from now on or with `snapshot` from the rows there are.
    ///
    /// `SchemaError` 200 when there is none of that name. `max_pending` is as for `subscribe()`.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe_stream("t")
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> sub.next().to_dicts()
    /// {'a': [1]}
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

    /// An awaitable of an `AsyncStreamSubscription` to a relation; arguments as for `subscribe_stream()`.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> async def first():
    /// ...     sub = await conn.subscribe_stream_async("t")
    /// ...     conn.insert("t", {"a": 1})
    /// ...     async for batch in sub:
    /// ...         return batch.fetchall()
    /// >>> asyncio.run(first())
    /// [(1,)]
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

    /// Calls `on_data` with each `ChangeBatch` of a relation, in a thread of its own.
    ///
    /// `on_error` is as for `subscribe_callback()`, the other arguments are those of `subscribe_stream()`.
    ///
    /// >>> import threading
    /// >>> done = threading.Event()
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> callback = conn.subscribe_stream_callback("t", lambda batch: done.set())
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> done.wait(60)
    /// True
    /// >>> callback.cancel()
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

    /// Whether the configuration asks for checkpoints.
    #[getter]
    fn is_checkpoint_enabled(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.live(py)?.is_checkpoint_enabled())
    }

    /// Writes an image of the whole database to the storage directory, complete or not at all; gives its id.
    ///
    /// It holds the relations with their rows and watermarks, the views, and the logical time, all as of one moment;
    /// the newest three images are kept. Writers and readers do not wait for the disk. `CheckpointError` 700 when the
    /// configuration has no `checkpoint_interval_ms`, when the directory cannot be written to, or when another open
    /// connection uses it.
    ///
    /// >>> import tempfile
    /// >>> folder = tempfile.TemporaryDirectory()
    /// >>> config = laminardb.LaminarConfig(storage_dir=folder.name, checkpoint_interval_ms=0)
    /// >>> db = laminardb.open(":memory:", config=config)
    /// >>> db.checkpoint()
    /// CheckpointResult(checkpoint_id=1)
    /// >>> int(db.checkpoint())
    /// 2
    /// >>> db.close()
    /// >>> folder.cleanup()
    fn checkpoint(&self, py: Python<'_>) -> PyResult<CheckpointResult> {
        let session = self.live(py)?;
        let taken = interruptible(py, |stop| session.checkpoint(stop))?;
        checked(py, taken).map(CheckpointResult::new)
    }

    /// Replaces the whole database by a checkpoint, by default the newest; gives the id of the checkpoint.
    ///
    /// What was written or defined since is gone. Subscriptions end with `SubscriptionError` 501, and a `Writer` made
    /// before raises `SchemaError` 200. Logical times go on above all that were seen, here and in the image.
    /// `CheckpointError` 700 when there is no such checkpoint or its files are damaged: then nothing has changed.
    ///
    /// >>> import tempfile
    /// >>> folder = tempfile.TemporaryDirectory()
    /// >>> config = laminardb.LaminarConfig(storage_dir=folder.name, checkpoint_interval_ms=0)
    /// >>> db = laminardb.open(":memory:", config=config)
    /// >>> db.create_table("t", {"a": "int64"})
    /// >>> taken = db.checkpoint()
    /// >>> db.insert("t", {"a": 1})
    /// 1
    /// >>> db.restore(taken)
    /// 1
    /// >>> len(db.sql("SELECT * FROM t"))
    /// 0
    /// >>> db.close()
    /// >>> folder.cleanup()
    #[pyo3(signature = (checkpoint_id=None))]
    fn restore(&self, py: Python<'_>, checkpoint_id: Option<u64>) -> PyResult<u64> {
        let session = self.live(py)?;
        let which = checkpoint_id.map_or(RestoreFrom::Latest, RestoreFrom::Checkpoint);
        checked(py, interruptible(py, |stop| session.restore(which, stop))?)
    }

    /// The names of sources and tables, oldest first.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.list_tables()
    /// ['t']
    fn list_tables(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_base)
    }

    /// The names of sources and tables: the same as `list_tables()`.
    ///
    /// >>> conn.tables()
    /// []
    fn tables(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_base)
    }

    /// The names of streams and materialized views, oldest first.
    ///
    /// >>> done = conn.execute("CREATE SOURCE s (a BIGINT); CREATE STREAM big AS SELECT * FROM s WHERE a > 9")
    /// >>> conn.list_streams()
    /// ['big']
    fn list_streams(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_stream)
    }

    /// The names of streams and materialized views: the same as `list_streams()`.
    ///
    /// >>> conn.materialized_views()
    /// []
    fn materialized_views(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_stream)
    }

    /// The names of sinks: none, for this build has no connectors.
    ///
    /// >>> conn.list_sinks()
    /// []
    fn list_sinks(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.live(py).map(|_| Vec::new())
    }

    /// The sinks: none, for this build has no connectors.
    ///
    /// >>> conn.sinks()
    /// []
    fn sinks(&self, py: Python<'_>) -> PyResult<Vec<SinkInfo>> {
        self.live(py).map(|_| Vec::new())
    }

    /// Sources and tables as `SourceInfo`, oldest first.
    ///
    /// >>> conn.create_table("t", {"a": "int64"}, primary_key="a")
    /// >>> [(source.name, source.kind, source.primary_key) for source in conn.sources()]
    /// [('t', 'table', ['a'])]
    fn sources(&self, py: Python<'_>) -> PyResult<Vec<SourceInfo>> {
        Ok(self.entries(py)?.iter().filter_map(|entry| SourceInfo::of(entry)).collect())
    }

    /// Streams and materialized views as `StreamInfo`, oldest first.
    ///
    /// >>> done = conn.execute("CREATE SOURCE s (a BIGINT); CREATE STREAM big AS SELECT * FROM s WHERE a > 9")
    /// >>> [(stream.name, stream.sql) for stream in conn.streams()]
    /// [('big', 'SELECT * FROM s WHERE a > 9')]
    fn streams(&self, py: Python<'_>) -> PyResult<Vec<StreamInfo>> {
        Ok(self.entries(py)?.iter().filter_map(|entry| StreamInfo::of(entry)).collect())
    }

    /// Queries and subscriptions as `QueryInfo`: those running, and the last that are over.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe("SELECT a FROM t")
    /// >>> [(query.sql, query.active) for query in conn.queries()][-1]
    /// ('SELECT a FROM t', True)
    fn queries(&self, py: Python<'_>) -> PyResult<Vec<QueryInfo>> {
        Ok(self.live(py)?.queries().into_iter().map(QueryInfo::from).collect())
    }

    /// Ends a running query, whose call raises `QueryError` 402, or a subscription.
    ///
    /// Nothing happens when it is over. `SchemaError` 200 for a number that was never given.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe("SELECT a FROM t")
    /// >>> conn.cancel_query(conn.queries()[-1].id)
    /// >>> sub.is_active
    /// False
    fn cancel_query(&self, py: Python<'_>, query_id: u64) -> PyResult<()> {
        let session = self.live(py)?;
        checked(py, detached(py, || session.cancel_query(query_id)))
    }

    /// Number of sources and tables.
    #[getter]
    fn source_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.entries(py)?.iter().filter(|entry| is_base(entry)).count())
    }

    /// Number of sinks: 0, for this build has no connectors.
    #[getter]
    fn sink_count(&self, py: Python<'_>) -> PyResult<usize> {
        self.live(py).map(|_| 0)
    }

    /// Number of running queries and subscriptions.
    #[getter]
    fn active_query_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.live(py)?.queries().iter().filter(|query| query.active).count())
    }

    /// Least of the watermarks that were set; -9223372036854775808 when none was.
    #[getter]
    fn pipeline_watermark(&self, py: Python<'_>) -> PyResult<i64> {
        checked(py, self.live(py)?.pipeline_watermark())
    }

    /// Rows in accepted writes, over all sources and tables.
    #[getter]
    fn total_events_processed(&self, py: Python<'_>) -> PyResult<u64> {
        let session = self.live(py)?;
        let sources = checked(py, detached(py, || session.all_source_metrics()))?;
        Ok(sources.iter().map(|source| source.total_events).sum())
    }

    /// All relations and what they read; notebooks show it as a drawing.
    ///
    /// >>> done = conn.execute("CREATE SOURCE s (a BIGINT); CREATE STREAM big AS SELECT * FROM s WHERE a > 9")
    /// >>> conn.topology().edges
    /// [PipelineEdge('s' -> 'big')]
    fn topology(&self, py: Python<'_>) -> PyResult<PipelineTopology> {
        PipelineTopology::of(py, self.entries(py)?.iter().map(AsRef::as_ref))
    }

    /// Counters of the whole connection, as they are now.
    ///
    /// >>> conn.metrics()
    /// PipelineMetrics(state=created, ingested=0, emitted=0)
    fn metrics(&self, py: Python<'_>) -> PyResult<PipelineMetrics> {
        let session = self.live(py)?;
        checked(py, detached(py, || session.metrics())).map(PipelineMetrics::from)
    }

    /// The last 1,000 rows that a view made with `on_error` = `skip` left out.
    ///
    /// Each is a dict of `row`, `expression` and `message`. `SchemaError` 200 when there is no such relation.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> made = conn.execute("CREATE STREAM v AS SELECT a * 9223372036854775807 AS b FROM t WITH ('on_error' = 'skip')")
    /// >>> conn.insert("t", {"a": [1, 2]})
    /// 2
    /// >>> [sorted(error) for error in conn.errors("v")]
    /// [['expression', 'message', 'row']]
    fn errors<'py>(&self, py: Python<'py>, view: &str) -> PyResult<Bound<'py, PyList>> {
        let session = self.live(py)?;
        let rows = checked(py, attentive(py, |stop| session.left_out(view, stop))?)?;
        let dict = |row: FailedRow| {
            let dict = PyDict::new(py);
            dict.set_item("row", row.row)?;
            dict.set_item("expression", row.expression)?;
            dict.set_item("message", row.message)?;
            Ok(dict)
        };
        PyList::new(py, rows.into_iter().map(dict).collect::<PyResult<Vec<_>>>()?)
    }

    /// Counters of a source or table; None when there is none of that name.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.insert("t", {"a": [1, 2]})
    /// 2
    /// >>> conn.source_metrics("t").total_events
    /// 2
    fn source_metrics(&self, py: Python<'_>, name: &str) -> PyResult<Option<SourceMetrics>> {
        let session = self.live(py)?;
        Ok(checked(py, detached(py, || session.source_metrics(name)))?.map(SourceMetrics::from))
    }

    /// Counters of a stream or materialized view; None when there is none of that name.
    ///
    /// >>> conn.stream_metrics("nothing") is None
    /// True
    fn stream_metrics(&self, py: Python<'_>, name: &str) -> PyResult<Option<StreamMetrics>> {
        let session = self.live(py)?;
        Ok(checked(py, detached(py, || session.stream_metrics(name)))?.map(StreamMetrics::from))
    }

    /// Counters of all sources and tables, oldest first.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.all_source_metrics()
    /// [SourceMetrics(name='t', events=0, pending=0)]
    fn all_source_metrics(&self, py: Python<'_>) -> PyResult<Vec<SourceMetrics>> {
        let session = self.live(py)?;
        let all = checked(py, detached(py, || session.all_source_metrics()))?;
        Ok(all.into_iter().map(SourceMetrics::from).collect())
    }

    /// Counters of all streams and materialized views, oldest first.
    ///
    /// >>> conn.all_stream_metrics()
    /// []
    fn all_stream_metrics(&self, py: Python<'_>) -> PyResult<Vec<StreamMetrics>> {
        let session = self.live(py)?;
        let all = checked(py, detached(py, || session.all_stream_metrics()))?;
        Ok(all.into_iter().map(StreamMetrics::from).collect())
    }

    /// Counters of a source or table as a dict; None for each when there is none of that name.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sorted(conn.stats("t"))
    /// ['capacity', 'is_backpressured', 'name', 'pending', 'total_events', 'utilization', 'watermark']
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
