//! A plan node of our own for EXCEPT and INTERSECT, with or without ALL.
//!
//! DataFusion plans both as joins, which lose multiplicities under ALL. The binder makes this node instead.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchemaRef, Result, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore, cast};
use laminardb_dataflow::plan::SetOperator;

use crate::common_type::union_type;

/// A set operation on whole rows; both sides have the same column types.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetOperationNode {
    /// The left side; its column names are those of the result.
    pub left: Arc<LogicalPlan>,
    /// The right side.
    pub right: Arc<LogicalPlan>,
    /// Says how the multiplicities of equal rows are combined.
    pub operator: SetOperator,
}

impl SetOperationNode {
    /// Plans `left OPERATOR right` with both sides cast to common types.
    ///
    /// Fails if the numbers of columns differ or if two columns have no common type.
    pub fn plan(left: LogicalPlan, right: LogicalPlan, operator: SetOperator) -> Result<LogicalPlan> {
        let (columns, others) = (left.schema().fields().len(), right.schema().fields().len());
        if columns != others {
            return plan_err!(
                "each side of {} must have the same number of columns, not {columns} and {others}",
                name(operator)
            );
        }
        let mut types = Vec::with_capacity(columns);
        for (a, b) in left.schema().fields().iter().zip(right.schema().fields()) {
            let common = union_type(a.data_type(), b.data_type());
            types.push(common.ok_or_else(|| {
                plan_datafusion_err!(
                    "{} has no common type for {} and {}",
                    name(operator),
                    a.data_type(),
                    b.data_type()
                )
            })?);
        }
        let (left, right) = (coerced(left, &types)?, coerced(right, &types)?);
        let node = SetOperationNode { left: Arc::new(left), right: Arc::new(right), operator };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

/// Casts the columns of `plan` to `types`; returns `plan` unchanged if it has these types already.
fn coerced(plan: LogicalPlan, types: &[DataType]) -> Result<LogicalPlan> {
    if plan.schema().fields().iter().map(|field| field.data_type()).eq(types) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().zip(plan.schema().columns()).zip(types);
    let exprs: Vec<Expr> = columns
        .map(|(((qualifier, field), column), data_type)| match field.data_type() == data_type {
            true => Expr::Column(column),
            false => cast(Expr::Column(column), data_type.clone()).alias_qualified(qualifier.cloned(), field.name()),
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

fn name(operator: SetOperator) -> &'static str {
    match operator {
        SetOperator::Except => "EXCEPT",
        SetOperator::ExceptAll => "EXCEPT ALL",
        SetOperator::Intersect => "INTERSECT",
        SetOperator::IntersectAll => "INTERSECT ALL",
    }
}

impl PartialOrd for SetOperationNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for SetOperationNode {
    fn name(&self) -> &str {
        name(self.operator)
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.left.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self.operator))
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let [left, right]: [LogicalPlan; 2] =
            inputs.try_into().map_err(|_| plan_datafusion_err!("a set operation has two sides"))?;
        Ok(SetOperationNode { left: Arc::new(left), right: Arc::new(right), operator: self.operator })
    }
}
