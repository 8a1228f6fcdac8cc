//! Hides the plan of a WITH query while the statement is bound.
//!
//! DataFusion's binder copies that plan for each reader, and looks through the whole plan for each name. Where WITH
//! queries read others twice, that is exponential in their number. What it finds in place of the plan is a node without
//! inputs, which the walk that makes parts looks behind.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

/// A plan that walks do not enter. Only copies of a node are equal to it.
#[derive(Clone)]
pub(super) struct Hidden {
    pub(super) plan: Arc<LogicalPlan>,
}

/// Hides `plan`.
pub(crate) fn hidden(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(Hidden { plan: Arc::new(plan) }) })
}

/// Returns the plan that `node` hides, if it hides one.
pub(super) fn behind(node: &LogicalPlan) -> Option<&Arc<LogicalPlan>> {
    match node {
        LogicalPlan::Extension(extension) => {
            extension.node.as_any().downcast_ref::<Hidden>().map(|hidden| &hidden.plan)
        }
        _ => None,
    }
}

/// Puts all that is hidden in `plan` in its place, once for each reader.
pub(super) fn revealed(plan: LogicalPlan) -> Result<LogicalPlan> {
    let revealed = plan.transform_down_with_subqueries(|mut node| {
        let mut is_hidden = false;
        while let Some(plan) = behind(&node) {
            node = LogicalPlan::clone(plan);
            is_hidden = true;
        }
        Ok(if is_hidden { Transformed::yes(node) } else { Transformed::no(node) })
    })?;
    Ok(revealed.data)
}

impl PartialEq for Hidden {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan)
    }
}

impl Eq for Hidden {}

impl Hash for Hidden {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.plan).hash(state);
    }
}

impl PartialOrd for Hidden {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

impl UserDefinedLogicalNodeCore for Hidden {
    fn name(&self) -> &str {
        "Hidden"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        self.plan.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, _inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(self.clone())
    }
}
