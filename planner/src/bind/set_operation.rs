//! Plans EXCEPT and INTERSECT, which DataFusion plans as joins that lose multiplicities.
//!
//! Each is moved into FROM, in a form that no statement can have. There the binder asks [`SetOperationPlanner`] for its
//! plan, which is a node of ours.

use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use laminardb_dataflow::plan::SetOperator;
use sqlparser::ast::{
    Expr, Query, SetExpr, SetOperator as SqlOperator, SetQuantifier, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use crate::error::PlanError;
use crate::set_operation::SetOperationNode;
use crate::statement::{Statement, parse};

/// Moves every EXCEPT and INTERSECT of a query, at any depth, to where [`SetOperationPlanner`] finds it.
pub(super) fn set_apart(query: &mut Query) -> Result<(), PlanError> {
    match VisitMut::visit(query, &mut SetApart) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct SetApart;

impl VisitorMut for SetApart {
    type Break = Box<PlanError>;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        match set_apart_body(&mut query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

fn set_apart_body(body: &mut SetExpr) -> Result<(), PlanError> {
    let SetExpr::SetOperation { op, left, right, .. } = body else { return Ok(()) };
    set_apart_body(left)?;
    set_apart_body(right)?;
    if *op == SqlOperator::Union {
        return Ok(());
    }
    let mut all = select_all()?;
    let operation = std::mem::replace(body, *select_all()?.body);
    all.body = Box::new(operation);
    let marked = TableFactor::TableFunction { expr: Expr::Subquery(Box::new(all)), alias: None };
    if let SetExpr::Select(select) = body {
        select.from = vec![TableWithJoins { relation: marked, joins: Vec::new() }];
    }
    Ok(())
}

/// Returns the syntax tree of a plain `SELECT *`.
pub(super) fn select_all() -> Result<Query, PlanError> {
    match parse("SELECT * FROM t")?.pop().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => Ok(*query),
        _ => unreachable!("the text is a query"),
    }
}

/// Plans what [`set_apart`] moved into FROM.
#[derive(Debug)]
pub(super) struct SetOperationPlanner;

impl RelationPlanner for SetOperationPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        // A table function that the user wrote never gets here: resolving names refuses it.
        let TableFactor::TableFunction { expr: Expr::Subquery(query), .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let SetExpr::SetOperation { op, set_quantifier, left, right } = query.body.as_ref() else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let operator = operator(*op, *set_quantifier)?;
        let left = context.plan(derived(query, left))?;
        let right = context.plan(derived(query, right))?;
        let plan = SetOperationNode::plan(left, right, operator)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

fn operator(operator: SqlOperator, quantifier: SetQuantifier) -> Result<SetOperator> {
    let all = match quantifier {
        SetQuantifier::All => true,
        SetQuantifier::Distinct | SetQuantifier::None => false,
        by_name => return Err(PlanError::invalid(format!("{operator} {by_name} is not supported")).into()),
    };
    match (operator, all) {
        (SqlOperator::Except | SqlOperator::Minus, false) => Ok(SetOperator::Except),
        (SqlOperator::Except | SqlOperator::Minus, true) => Ok(SetOperator::ExceptAll),
        (SqlOperator::Intersect, false) => Ok(SetOperator::Intersect),
        (SqlOperator::Intersect, true) => Ok(SetOperator::IntersectAll),
        (SqlOperator::Union, _) => unreachable!("a union stays where it is"),
    }
}

/// Makes one side a derived table; `around` must be a query without clauses of its own.
fn derived(around: &Query, side: &SetExpr) -> TableFactor {
    let subquery = Box::new(Query { body: Box::new(side.clone()), ..around.clone() });
    TableFactor::Derived { lateral: false, subquery, alias: None, sample: None }
}
