//! Statements to logical plans: names resolved, types coerced, our semantics in place of DataFusion's.

mod dml;
mod params;

use std::fmt;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use laminardb_dataflow::CollectionId;
use sqlparser::ast;

use crate::catalog::Catalog;
use crate::error::PlanError;

pub use dml::{BoundConflict, BoundDelete, BoundInsert, BoundUpdate, bind_delete, bind_insert, bind_update};
pub use params::Params;

/// A query with every name resolved and every type known.
#[derive(Clone)]
pub struct BoundQuery {
    /// Bound, coerced, decorrelated; not optimised. Column names are unique but otherwise of no meaning.
    pub logical: LogicalPlan,
    /// Names and types of the columns as the caller sees them; names may repeat.
    pub schema: SchemaRef,
    /// The relations and maintained views read, each once, in order of first use.
    pub inputs: Vec<CollectionId>,
    /// Names of the relations and views mentioned, of any kind, each once, also those inlined.
    pub relations: Vec<String>,
    /// A function whose value is not a function of the row (`random()`, `now()`), if there is one.
    pub volatile: Option<String>,
}

impl fmt::Debug for BoundQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.logical.display_indent())
    }
}

/// Binds a query.
pub fn bind_query(_query: &ast::Query, _catalog: &dyn Catalog, _params: &Params) -> Result<BoundQuery, PlanError> {
    Err(PlanError::invalid("queries are not supported"))
}

/// The one value of a constant expression (a DEFAULT, a watermark's delay) as an array of one row, of type `data_type`
/// when given.
pub fn default_value(_expr: &ast::Expr, _data_type: Option<&DataType>) -> Result<ArrayRef, PlanError> {
    Err(PlanError::invalid("expressions are not supported"))
}
