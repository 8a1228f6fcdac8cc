//! `ExecuteResult`: what a statement did, and the rows of one that gives some.

use laminardb_bridge::Outcome;
use pyo3::prelude::*;

use super::{Answer, QueryResult};
use crate::visible;

/// What a statement did; of one that gives rows, also a `QueryResult`.
///
/// `int()` is the number of rows, `bool()` is False when DML changed none. Where the statement gives no rows, what a
/// `QueryResult` has raises `QueryError` 400.
///
/// >>> conn.execute("CREATE SOURCE s (a BIGINT)")
/// ExecuteResult(ddl, CREATE SOURCE s)
/// >>> int(conn.execute("INSERT INTO s VALUES (1), (2)"))
/// 2
/// >>> conn.execute("SELECT a FROM s ORDER BY a").fetchall()
/// [(1,), (2,)]
#[pyclass(frozen, extends = QueryResult, module = "laminardb._laminardb", name = "ExecuteResult")]
pub(crate) struct ExecuteResult {
    kind: Kind,
    rows_affected: u64,
}

enum Kind {
    Ddl { ddl_type: &'static str, object: Option<String> },
    Rows,
    Query,
    Metadata,
}

impl ExecuteResult {
    /// Makes the Python object for `outcome`.
    pub(crate) fn create(py: Python<'_>, outcome: Outcome) -> PyResult<Py<Self>> {
        let (kind, rows_affected, rows) = match outcome {
            Outcome::Ddl { ddl_type, object } => (Kind::Ddl { ddl_type, object }, 0, None),
            Outcome::Rows(rows) => (Kind::Rows, rows, None),
            Outcome::Query(output) => (Kind::Query, output.num_rows() as u64, Some(output)),
            Outcome::Metadata(output) => (Kind::Metadata, 0, Some(output)),
        };
        let result = match rows {
            Some(output) => QueryResult::new(output.schema, output.batches),
            None => QueryResult::without_rows(match &kind {
                Kind::Ddl { ddl_type, .. } => ddl_type,
                _ => "a statement that writes rows",
            }),
        };
        Py::new(py, PyClassInitializer::from(result).add_subclass(Self { kind, rows_affected }))
    }
}

#[pymethods]
impl ExecuteResult {
    /// `"ddl"`, `"rows_affected"`, `"query"` or `"metadata"`.
    #[getter]
    fn result_type(&self) -> &'static str {
        match &self.kind {
            Kind::Ddl { .. } => "ddl",
            Kind::Rows => "rows_affected",
            Kind::Query => "query",
            Kind::Metadata => "metadata",
        }
    }

    /// Rows that DML changed, or rows of the query; 0 for the others.
    #[getter]
    fn rows_affected(&self) -> u64 {
        self.rows_affected
    }

    /// The words of the definition, such as `"CREATE SOURCE"`; None for other statements.
    #[getter]
    fn ddl_type(&self) -> Option<&str> {
        match &self.kind {
            Kind::Ddl { ddl_type, .. } => Some(ddl_type),
            _ => None,
        }
    }

    /// The stored name of what was defined or dropped; None for other statements.
    #[getter]
    fn ddl_object(&self) -> Option<&str> {
        match &self.kind {
            Kind::Ddl { object, .. } => object.as_deref(),
            _ => None,
        }
    }

    /// The rows as a `QueryResult`, when the statement gave some, else None.
    ///
    /// >>> conn.execute("SELECT 1 AS one").to_query_result().fetchone()
    /// (1,)
    fn to_query_result(slf: &Bound<'_, Self>) -> Option<QueryResult> {
        slf.as_super().get().rows_if_any().cloned().map(QueryResult::of)
    }

    fn __int__(&self) -> u64 {
        self.rows_affected
    }

    fn __bool__(&self) -> bool {
        !(matches!(self.kind, Kind::Rows) && self.rows_affected == 0)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let this = slf.get();
        let rows = slf.as_super().get().rows_if_any().map_or(0, Answer::rows);
        match &this.kind {
            Kind::Ddl { ddl_type, object: Some(object) } => {
                format!("ExecuteResult(ddl, {ddl_type} {})", visible::line(object))
            }
            Kind::Ddl { ddl_type, object: None } => format!("ExecuteResult(ddl, {ddl_type})"),
            Kind::Rows => format!("ExecuteResult(rows_affected={})", this.rows_affected),
            Kind::Query => format!("ExecuteResult(query, rows={rows})"),
            Kind::Metadata => format!("ExecuteResult(metadata, rows={rows})"),
        }
    }
}
