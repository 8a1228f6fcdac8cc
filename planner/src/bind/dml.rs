//! INSERT, UPDATE and DELETE as queries that give the rows concerned.

use std::sync::Arc;

use laminardb_dataflow::Scalar;

use super::{BoundQuery, Params};
use crate::catalog::{Catalog, RelationInfo};
use crate::error::PlanError;
use crate::statement::{Delete, Insert, Update};

/// INSERT.
#[derive(Clone, Debug)]
pub struct BoundInsert {
    /// The relation written to; never a view.
    pub target: Arc<RelationInfo>,
    /// For each column of `rows`, the column of the target it goes to; the others get their default.
    pub columns: Vec<usize>,
    /// The rows, not yet cast to the target's types.
    pub rows: BoundQuery,
    /// What happens to a row whose key is there.
    pub conflict: BoundConflict,
}

/// What INSERT does with a row whose key is there already.
#[derive(Clone, Debug)]
pub enum BoundConflict {
    /// Refuse the statement.
    Fail,
    /// Replace the row.
    Replace,
    /// Skip the new row.
    DoNothing,
    /// Change the row that is there.
    ///
    /// The expressions read a batch of the target's columns (the row there), then the target's columns again (the new
    /// row, cast and completed).
    DoUpdate {
        /// Column of the target and its new value, not yet cast.
        assignments: Vec<(usize, Arc<dyn Scalar>)>,
        /// Only where this is true; other rows stay as they are.
        selection: Option<Arc<dyn Scalar>>,
    },
}

/// UPDATE.
#[derive(Clone, Debug)]
pub struct BoundUpdate {
    /// The relation written to; never a view or a source.
    pub target: Arc<RelationInfo>,
    /// For each row that matches: all its columns as they are, then the new value of each of `columns`, not yet cast.
    pub rows: BoundQuery,
    /// The columns set.
    pub columns: Vec<usize>,
}

/// DELETE.
#[derive(Clone, Debug)]
pub struct BoundDelete {
    /// The relation written to; never a view or a source.
    pub target: Arc<RelationInfo>,
    /// The rows to remove, all columns.
    pub rows: BoundQuery,
}

/// Binds INSERT.
pub fn bind_insert(_insert: &Insert, _catalog: &dyn Catalog, _params: &Params) -> Result<BoundInsert, PlanError> {
    Err(PlanError::invalid("INSERT is not supported"))
}

/// Binds UPDATE.
pub fn bind_update(_update: &Update, _catalog: &dyn Catalog, _params: &Params) -> Result<BoundUpdate, PlanError> {
    Err(PlanError::invalid("UPDATE is not supported"))
}

/// Binds DELETE.
pub fn bind_delete(_delete: &Delete, _catalog: &dyn Catalog, _params: &Params) -> Result<BoundDelete, PlanError> {
    Err(PlanError::invalid("DELETE is not supported"))
}
