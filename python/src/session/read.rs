//! Runs SQL, and reads relations by name.

use laminardb_bridge::Params;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::Connection;
use super::handle::Writes;
use crate::capsule::pyarrow_schema;
use crate::detach::interruptible;
use crate::error::checked;
use crate::params;
use crate::result::{ExecuteResult, QueryResult};
use crate::show::picture;
use crate::stream::QueryStreamIter;

impl Connection {
    /// Runs statements that only read, and returns the rows of the last.
    fn run_query(&self, py: Python<'_>, sql: &str, params: Params) -> PyResult<QueryResult> {
        let session = self.session(py)?;
        let answer = interruptible(py, |cancel| session.with_cancel(cancel).query(sql, &params))?;
        let output = checked(py, answer)?;
        Ok(QueryResult::new(output.schema, output.batches))
    }
}

#[pymethods]
impl Connection {
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
    fn execute(&self, py: Python<'_>, sql: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<Py<ExecuteResult>> {
        let handle = self.live(py)?;
        let params = params::from_python(params)?;
        handle.execute(py, sql, &params, Writes::Plain).and_then(|outcome| ExecuteResult::create(py, outcome))
    }

    /// Runs statements as `execute()` does, but the first that writes rows begins a transaction if none is open.
    ///
    /// If a statement fails, a transaction that the call began is rolled back.
    fn _execute_beginning(
        &self,
        py: Python<'_>,
        sql: &str,
        params: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<ExecuteResult>> {
        let handle = self.live(py)?;
        let params = params::from_python(params)?;
        handle.execute(py, sql, &params, Writes::Begin).and_then(|outcome| ExecuteResult::create(py, outcome))
    }

    /// A PEP 249 cursor: rows with a position, and a transaction of its own.
    ///
    /// While the cursor has begun none, its calls are part of the transaction of the calling context, if there is one,
    /// and else writes of their own. On a connection that a transaction's block was given, the cursor is inside that
    /// transaction. Its errors are those of `laminardb.dbapi`, which are also those of laminardb.
    ///
    /// >>> cursor = conn.cursor()
    /// >>> cursor.execute("SELECT * FROM (VALUES (1), (2), (3)) AS t(a) ORDER BY a").fetchone()
    /// (1,)
    /// >>> cursor.fetchall()
    /// [(2,), (3,)]
    fn cursor<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let cursors = py.import(intern!(py, "laminardb._cursor"))?;
        cursors.call_method1(intern!(py, "of_connection"), (slf, slf.get().live(py)?.has_own()))
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
        let session = self.session(py)?;
        let params = params::from_python(params)?;
        let stream = interruptible(py, |cancel| session.with_cancel(cancel).stream(sql, &params))?;
        Ok(QueryStreamIter::new(checked(py, stream)?, self.listening.clone_ref(py)))
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
    #[expect(rustdoc::broken_intra_doc_links, reason = "brackets in what the example prints")]
    #[pyo3(signature = (query, params=None))]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        query: &str,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let session = self.session(py)?;
        let params = params::from_python(params)?;
        let explained = interruptible(py, |cancel| session.with_cancel(cancel).explain(query, &params))?;
        let plan = checked(py, explained)?;
        picture(PyString::new(py, &plan).as_any(), "Plan")
    }

    /// The rows of a relation, in the order of a view that has one, or those for which the condition `filter` is true.
    ///
    /// `filter` is one expression of SQL, which may have subqueries; values are not to be pasted into it, use `query()`
    /// with parameters. `QueryError` 400 when there is no such relation or the condition is wrong, 401 when it is no
    /// expression or something follows it.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.insert("t", {"a": [1, 2, 3]})
    /// 3
    /// >>> conn.query_stream("t", "a > 1").num_rows
    /// 2
    #[pyo3(signature = (name, filter=None))]
    fn query_stream(&self, py: Python<'_>, name: &str, filter: Option<&str>) -> PyResult<QueryResult> {
        let session = self.session(py)?;
        let answer = interruptible(py, |cancel| session.with_cancel(cancel).query_relation(name, filter))?;
        let output = checked(py, answer)?;
        Ok(QueryResult::new(output.schema, output.batches))
    }

    /// The columns of a relation as a `pyarrow.Schema`. `SchemaError` 200 when there is none of that name.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.schema("t").names
    /// ['a']
    fn schema<'py>(&self, py: Python<'py>, table: &str) -> PyResult<Bound<'py, PyAny>> {
        let relation = checked(py, self.database(py)?.relation(table))?;
        pyarrow_schema(py, &relation.schema)
    }
}
