//! Plans the WITH queries of a statement that has many, so that their plans are hidden while the rest is bound.
//!
//! The body of each is moved into FROM, in a form that no statement can have. There the binder asks
//! [`WithQueryPlanner`] for its plan.

use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use sqlparser::ast::{Expr, Query, SetExpr, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut};

use super::set_operation::select_all;
use crate::decorrelate::references;
use crate::error::PlanError;
use crate::part::hidden;

/// The number of WITH queries that are planned as DataFusion does.
const FEW: usize = 5;

/// Moves the body of every WITH query, at any depth, to where [`WithQueryPlanner`] finds it, if there are many.
pub(super) fn set_apart(query: &mut Query) -> std::result::Result<(), PlanError> {
    let mut count = Count(0);
    let _: ControlFlow<()> = Visit::visit(query, &mut count);
    if count.0 <= FEW {
        return Ok(());
    }
    match VisitMut::visit(query, &mut SetApart) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Counts WITH queries.
struct Count(usize);

impl Visitor for Count {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.0 += query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        ControlFlow::Continue(())
    }
}

struct SetApart;

impl VisitorMut for SetApart {
    type Break = Box<PlanError>;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        // The terms of a recursive query must stay where DataFusion looks for them.
        let with = query.with.iter_mut().filter(|with| !with.recursive);
        for cte in with.flat_map(|with| &mut with.cte_tables) {
            match select_all() {
                Ok(all) => mark(&mut cte.query, all),
                Err(error) => return ControlFlow::Break(Box::new(error)),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Makes `query` `SELECT * FROM` the marked query; `all` must be such a SELECT.
fn mark(query: &mut Query, all: Query) {
    let inner = Expr::Nested(Box::new(Expr::Subquery(Box::new(std::mem::replace(query, all)))));
    let relation = TableFactor::TableFunction { expr: inner, alias: None };
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    }
}

/// Plans what [`set_apart`] moved into FROM.
#[derive(Debug)]
pub(super) struct WithQueryPlanner;

impl RelationPlanner for WithQueryPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        // A table function that the user wrote never gets here: resolving names refuses it.
        let inner = match relation {
            TableFactor::TableFunction { expr: Expr::Nested(inner), .. } if matches!(*inner, Expr::Subquery(_)) => {
                inner
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let Expr::Subquery(subquery) = *inner else { unreachable!("it is a subquery") };
        let plan = context.plan(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None })?;
        // What refers to an outer query must be seen to do so.
        let plan = if references(&plan)?.is_empty() { hidden(plan) } else { plan };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}
