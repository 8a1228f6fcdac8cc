//! EXCEPT and INTERSECT, which DataFusion plans as joins that lose multiplicities.

use datafusion::common::Result;
use datafusion::logical_expr::planner::{RelationPlanner, RelationPlannerContext, RelationPlanning};
use sqlparser::ast::TableFactor;

/// Plans the table functions that stand for EXCEPT and INTERSECT.
#[derive(Debug)]
pub(super) struct SetOperationPlanner;

impl RelationPlanner for SetOperationPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        Ok(RelationPlanning::Original(Box::new(relation)))
    }
}
