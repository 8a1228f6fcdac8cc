//! What a connection's catalog lists: sources, streams, queries and the topology, as snapshots that do not change
//! later.

use arrow::datatypes::SchemaRef;
use laminardb_bridge::catalog::Entry;
use laminardb_bridge::{RelationKind, database};
use pyo3::prelude::*;

use crate::capsule::pyarrow_schema;
use crate::show::picture;
use crate::visible;

/// A source or table.
#[pyclass(frozen, module = "laminardb._laminardb", name = "SourceInfo")]
pub(crate) struct SourceInfo {
    /// The stored name.
    #[pyo3(get)]
    name: String,
    schema: SchemaRef,
    /// The column that moves the watermark, or None.
    #[pyo3(get)]
    watermark_column: Option<String>,
    /// `"source"` or `"table"`.
    #[pyo3(get)]
    kind: &'static str,
    /// The key columns; empty without a key.
    #[pyo3(get)]
    primary_key: Vec<String>,
}

#[pymethods]
impl SourceInfo {
    /// The columns as a `pyarrow.Schema`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, &self.schema)
    }

    fn __repr__(&self) -> String {
        format!("SourceInfo(name='{}', columns={})", visible::line(&self.name), self.schema.fields().len())
    }
}

impl SourceInfo {
    /// Describes `entry` if it is a source or table.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let kind = match entry.kind() {
            RelationKind::Source => "source",
            RelationKind::Table => "table",
            RelationKind::View | RelationKind::Stream | RelationKind::MaterializedView => return None,
        };
        let column = |idx: &usize| entry.info.schema.field(*idx).name().clone();
        Some(Self {
            name: entry.name().to_owned(),
            schema: SchemaRef::clone(&entry.info.schema),
            watermark_column: entry.watermark_column.clone(),
            kind,
            primary_key: entry.info.primary_key.iter().map(column).collect(),
        })
    }
}

/// An external sink.
#[pyclass(frozen, module = "laminardb._laminardb", name = "SinkInfo")]
pub(crate) struct SinkInfo {
    /// The stored name.
    #[pyo3(get)]
    name: String,
}

#[pymethods]
impl SinkInfo {
    fn __repr__(&self) -> String {
        format!("SinkInfo(name='{}')", visible::line(&self.name))
    }
}

/// A stream or materialized view.
#[pyclass(frozen, module = "laminardb._laminardb", name = "StreamInfo")]
pub(crate) struct StreamInfo {
    /// The stored name.
    #[pyo3(get)]
    name: String,
    /// Its SELECT, as written.
    #[pyo3(get)]
    sql: Option<String>,
}

#[pymethods]
impl StreamInfo {
    fn __repr__(&self) -> String {
        format!("StreamInfo(name='{}')", visible::line(&self.name))
    }
}

impl StreamInfo {
    /// Describes `entry` if it is a stream or materialized view.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        is_stream(entry).then(|| Self { name: entry.name().to_owned(), sql: entry.sql.clone() })
    }
}

/// Whether `entry` is a stream or materialized view.
pub(crate) fn is_stream(entry: &Entry) -> bool {
    matches!(entry.kind(), RelationKind::Stream | RelationKind::MaterializedView)
}

/// Whether `entry` is a source or table.
pub(crate) fn is_base(entry: &Entry) -> bool {
    matches!(entry.kind(), RelationKind::Source | RelationKind::Table)
}

/// A query or subscription, running or over.
#[pyclass(frozen, module = "laminardb._laminardb", name = "QueryInfo")]
pub(crate) struct QueryInfo {
    /// The number that `cancel_query()` takes.
    #[pyo3(get)]
    id: u64,
    /// Its text.
    #[pyo3(get)]
    sql: String,
    /// Whether it runs.
    #[pyo3(get)]
    active: bool,
    /// Number of rows that a subscription holds for its reader, those of the snapshot included; 0 for others.
    #[pyo3(get)]
    pending: usize,
    /// How many seconds the oldest of them have waited for the reader; 0.0 when nothing is pending.
    #[pyo3(get)]
    unread_secs: f64,
}

#[pymethods]
impl QueryInfo {
    fn __repr__(&self) -> String {
        format!("QueryInfo(id={}, active={})", self.id, if self.active { "True" } else { "False" })
    }
}

impl From<database::QueryInfo> for QueryInfo {
    fn from(query: database::QueryInfo) -> Self {
        let database::QueryInfo { id, sql, active, backlog } = query;
        Self { id, sql, active, pending: backlog.rows, unread_secs: backlog.waiting.as_secs_f64() }
    }
}

/// A relation in the topology.
#[pyclass(frozen, module = "laminardb._laminardb", name = "PipelineNode")]
pub(crate) struct PipelineNode {
    /// The stored name.
    #[pyo3(get)]
    name: String,
    /// `"source"`, `"table"`, `"view"` or `"stream"`.
    #[pyo3(get)]
    node_type: &'static str,
    schema: SchemaRef,
    /// The SELECT of a view or stream, as written; None for the others.
    #[pyo3(get)]
    sql: Option<String>,
}

#[pymethods]
impl PipelineNode {
    /// The columns as a `pyarrow.Schema`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, &self.schema)
    }

    fn __repr__(&self) -> String {
        format!("PipelineNode(name='{}', type='{}')", visible::line(&self.name), self.node_type)
    }
}

/// One relation reads another.
#[pyclass(frozen, module = "laminardb._laminardb", name = "PipelineEdge")]
pub(crate) struct PipelineEdge {
    /// The name of the relation that is read.
    #[pyo3(get)]
    from_node: String,
    /// The name of the relation that reads.
    #[pyo3(get)]
    to_node: String,
}

#[pymethods]
impl PipelineEdge {
    fn __repr__(&self) -> String {
        format!("PipelineEdge('{}' -> '{}')", visible::line(&self.from_node), visible::line(&self.to_node))
    }
}

/// All relations and what they read.
#[pyclass(frozen, module = "laminardb._laminardb", name = "PipelineTopology")]
pub(crate) struct PipelineTopology {
    /// All relations, oldest first.
    #[pyo3(get)]
    nodes: Vec<Py<PipelineNode>>,
    /// Who reads whom.
    #[pyo3(get)]
    edges: Vec<Py<PipelineEdge>>,
}

#[pymethods]
impl PipelineTopology {
    /// The graph as text for Mermaid.
    ///
    /// >>> conn.create_table("readings", {"v": "float64"})
    /// >>> done = conn.execute("CREATE STREAM high AS SELECT * FROM readings WHERE v > 40")
    /// >>> print(conn.topology().to_mermaid(), end="")
    /// flowchart LR
    ///     n0[/"readings"/]
    ///     n1["high"]
    ///     n0 --> n1
    fn to_mermaid<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        picture(slf.as_any(), "mermaid")
    }

    /// The graph as text for Graphviz.
    ///
    /// >>> conn.create_table("readings", {"v": "float64"})
    /// >>> print(conn.topology().to_dot(), end="")
    /// digraph topology {
    ///   rankdir=LR;
    ///   node [shape=box];
    ///   n0 [label="readings", shape=cds];
    /// }
    fn to_dot<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        picture(slf.as_any(), "dot")
    }

    /// The graph as an SVG drawing, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        picture(slf.as_any(), "svg")
    }

    fn __repr__(&self) -> String {
        format!("PipelineTopology(nodes={}, edges={})", self.nodes.len(), self.edges.len())
    }
}

impl PipelineTopology {
    /// Makes the topology of `entries`.
    pub(crate) fn of<'a>(py: Python<'_>, entries: impl IntoIterator<Item = &'a Entry>) -> PyResult<Self> {
        let (mut nodes, mut edges) = (Vec::new(), Vec::new());
        for entry in entries {
            let node_type = match entry.kind() {
                RelationKind::Source => "source",
                RelationKind::Table => "table",
                RelationKind::View => "view",
                RelationKind::Stream | RelationKind::MaterializedView => "stream",
            };
            let node = PipelineNode {
                name: entry.name().to_owned(),
                node_type,
                schema: SchemaRef::clone(&entry.info.schema),
                sql: entry.sql.clone(),
            };
            nodes.push(Py::new(py, node)?);
            for read in &entry.reads {
                let edge = PipelineEdge { from_node: read.clone(), to_node: entry.name().to_owned() };
                edges.push(Py::new(py, edge)?);
            }
        }
        Ok(Self { nodes, edges })
    }
}
