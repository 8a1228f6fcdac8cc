//! Lowers a `LogicalPlan` to a `DataflowPlan`. Every choice of how a view is maintained is made here.
//!
//! ```text
//! optimised LogicalPlan --lower--> nodes (hash-consed, positional) --output--> what is kept --finish--> DataflowPlan
//! ```
//!
//! Each `lower_*` takes the columns that are read and returns a `Relation`: a node and the positions of those columns
//! in it. Renaming and reordering columns therefore costs no operator. What cannot be maintained exactly is refused by
//! name; nothing is approximated.

mod builder;
mod constant;
mod join;
mod join_graph;
mod join_order;
mod linear;
mod outer_join;
mod output;
mod reduce;
mod refuse;
mod relation;
mod scan;
mod set;
mod top_k;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use datafusion::common::JoinType;
use datafusion::logical_expr::{Distinct, LogicalPlan};

use crate::PlanError;
use crate::budget;
use crate::lower::builder::PlanBuilder;
use crate::lower::relation::{Demand, Relation};
use crate::set_operation::SetOperationNode;

pub use output::{ViewPlan, plan_view};

/// The state of lowering one plan.
#[derive(Default)]
struct Lowering {
    builder: PlanBuilder,
    /// The parts that have been lowered, by their numbers.
    parts: BTreeMap<u64, Relation>,
}

impl Lowering {
    /// Lowers `plan`; every column in `demand` has a position in the result.
    fn lower(&mut self, plan: &LogicalPlan, demand: &Demand) -> Result<Relation, PlanError> {
        budget::spend(1)?;
        match plan {
            LogicalPlan::TableScan(scan) => self.lower_scan(scan),
            LogicalPlan::Projection(projection) => self.lower_projection(projection, demand),
            LogicalPlan::Filter(filter) => self.lower_filter(plan, filter, demand),
            LogicalPlan::SubqueryAlias(alias) => self.lower(&alias.input, demand),
            LogicalPlan::Subquery(subquery) => self.lower(&subquery.subquery, demand),
            LogicalPlan::Join(join) => match join.join_type {
                JoinType::Inner => self.lower_inner_joins(plan, demand),
                JoinType::Left | JoinType::Right | JoinType::Full => self.lower_outer_join(join, demand),
                JoinType::LeftSemi | JoinType::RightSemi | JoinType::LeftAnti | JoinType::RightAnti => {
                    self.lower_semi_join(join, demand)
                }
                JoinType::LeftMark | JoinType::RightMark => Err(refuse::construct("a mark join")),
            },
            LogicalPlan::Aggregate(aggregate) => self.lower_aggregate(aggregate, demand),
            LogicalPlan::Distinct(Distinct::All(input)) => self.lower_distinct(input),
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.lower_distinct_on(distinct, demand),
            LogicalPlan::Union(union) => self.lower_union(union, demand),
            LogicalPlan::Sort(sort) => self.lower_sort(sort, demand),
            LogicalPlan::Limit(limit) => self.lower_limit(limit, demand),
            LogicalPlan::EmptyRelation(empty) => self.lower_empty(empty),
            LogicalPlan::Values(values) => self.lower_values(values),
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<SetOperationNode>() {
                Some(set) => self.lower_set_operation(set),
                None => Err(refuse::construct(extension.node.name())),
            },
            other => Err(refuse::plan(other)),
        }
    }
}

/// Returns the positions of all columns of `plan`.
fn all_columns(plan: &LogicalPlan) -> Demand {
    (0..plan.schema().fields().len()).collect()
}
