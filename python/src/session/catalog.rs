//! Lists what exists: relations, how they read each other, and the running queries.

use std::sync::Arc;

use laminardb_bridge::catalog::Entry;
use pyo3::prelude::*;

use super::Connection;
use crate::catalog::{PipelineTopology, QueryInfo, SinkInfo, SourceInfo, StreamInfo, is_base, is_stream};
use crate::detach::detached;
use crate::error::checked;

impl Connection {
    /// Returns all relations and views, oldest first.
    fn entries(&self, py: Python<'_>) -> PyResult<Vec<Arc<Entry>>> {
        checked(py, self.database(py)?.relations())
    }

    /// Returns the names of the relations and views for which `wanted` is true, oldest first.
    fn names(&self, py: Python<'_>, wanted: fn(&Entry) -> bool) -> PyResult<Vec<String>> {
        let entries = self.entries(py)?;
        Ok(entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.name().to_owned()).collect())
    }
}

#[pymethods]
impl Connection {
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
    /// `pending` and `unread_secs` show a subscription that nobody reads.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe("SELECT a FROM t")
    /// >>> [(query.sql, query.active) for query in conn.queries()][-1]
    /// ('SELECT a FROM t', True)
    /// >>> conn.insert("t", {"a": [1, 2]})
    /// 2
    /// >>> time = conn.wait()
    /// >>> conn.queries()[-1].pending
    /// 2
    #[expect(rustdoc::broken_intra_doc_links, reason = "the example indexes a list of Python's")]
    fn queries(&self, py: Python<'_>) -> PyResult<Vec<QueryInfo>> {
        Ok(self.database(py)?.queries().into_iter().map(QueryInfo::from).collect())
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
        let database = self.database(py)?;
        checked(py, detached(py, || database.cancel_query(query_id)))
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
        Ok(self.database(py)?.queries().iter().filter(|query| query.active).count())
    }

    /// All relations and what they read; notebooks show it as a drawing.
    ///
    /// >>> done = conn.execute("CREATE SOURCE s (a BIGINT); CREATE STREAM big AS SELECT * FROM s WHERE a > 9")
    /// >>> conn.topology().edges
    /// [PipelineEdge('s' -> 'big')]
    fn topology(&self, py: Python<'_>) -> PyResult<PipelineTopology> {
        PipelineTopology::of(py, self.entries(py)?.iter().map(AsRef::as_ref))
    }
}
