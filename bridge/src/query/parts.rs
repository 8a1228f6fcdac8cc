//! Runs the parts of a plan: each once, before what reads it. Its rows are kept until the query has ended.

use arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use laminardb_dataflow::CancelToken;
use laminardb_planner::part::parts_of;

use super::{Contents, Executor, PartRows, query_error};
use crate::batch::relabel;
use crate::error::Error;

impl Executor {
    /// Runs the parts that `plan` reads, directly or through others.
    pub(super) async fn rows_of_parts(
        &self,
        plan: &LogicalPlan,
        contents: &Contents,
        cancel: &CancelToken,
    ) -> Result<PartRows, Error> {
        let mut parts = PartRows::new();
        for part in parts_of(plan).map_err(query_error)? {
            let physical = self.plan(part.plan.clone(), contents, &parts).await.map_err(query_error)?;
            let mut rows = Vec::new();
            let mut keep = |batch: RecordBatch| {
                rows.push(relabel(&batch, &part.schema).map_err(|error| query_error(error.into()))?);
                Ok(())
            };
            self.each(physical, cancel, &mut keep).await?;
            parts.insert(part.id, rows);
        }
        Ok(parts)
    }

    /// Checks that `plan` and its parts can be run.
    pub(super) async fn check_here(&self, plan: LogicalPlan, contents: &Contents) -> Result<(), Error> {
        let none = PartRows::new();
        for part in parts_of(&plan).map_err(query_error)? {
            self.plan(part.plan.clone(), contents, &none).await.map_err(query_error)?;
        }
        self.plan(plan, contents, &none).await.map(drop).map_err(query_error)
    }
}
