//! Plans EXCEPT and INTERSECT, which DataFusion plans as joins that lose multiplicities.
//!
//! Each is moved into FROM, in a form that no statement can have. There the binder asks [`SetOperationPlanner`] for its
//! plan, which is a node of ours. Long chains of unions are made trees.

use std::ops::ControlFlow;
use std::sync::OnceLock;

use datafusion::common::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use laminardb_dataflow::plan::SetOperator;
use sqlparser::ast::{
    Expr, Query, SetExpr, SetOperator as SqlOperator, SetQuantifier, TableFactor, TableWithJoins, Values, VisitMut,
    VisitorMut,
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
    balance(body);
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

/// Makes a tree of low height of a long chain of unions: DataFusion's rules take time quadratic in its height.
fn balance(body: &mut SetExpr) {
    let SetExpr::SetOperation { op: SqlOperator::Union, set_quantifier, .. } = body else { return };
    let quantifier = *set_quantifier;
    if !matches!(quantifier, SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None) {
        return;
    }
    let none = Values { explicit_row: false, value_keyword: false, rows: Vec::new() };
    let mut branches = Vec::new();
    let mut first = std::mem::replace(body, SetExpr::Values(none));
    loop {
        match first {
            SetExpr::SetOperation { op: SqlOperator::Union, set_quantifier, left, right }
                if set_quantifier == quantifier =>
            {
                branches.push(*right);
                first = *left;
            }
            other => {
                branches.push(other);
                break;
            }
        }
    }
    branches.reverse();
    // Duplicates that are removed at the top need not be removed below.
    *body = if branches.len() < LONG { chain(branches, quantifier) } else { tree(branches, quantifier) };
}

/// A chain of fewer unions stays as it is.
const LONG: usize = 16;

/// Makes the union of the branches, in which each union is the left side of the next.
fn chain(branches: Vec<SetExpr>, quantifier: SetQuantifier) -> SetExpr {
    let union = branches.into_iter().reduce(|left, right| union(left, right, quantifier));
    union.expect("a union has branches")
}

/// Makes the union of the branches as a balanced tree.
fn tree(mut branches: Vec<SetExpr>, quantifier: SetQuantifier) -> SetExpr {
    if branches.len() <= 2 {
        return chain(branches, quantifier);
    }
    let right = branches.split_off(branches.len() / 2);
    union(tree(branches, SetQuantifier::All), tree(right, SetQuantifier::All), quantifier)
}

fn union(left: SetExpr, right: SetExpr, set_quantifier: SetQuantifier) -> SetExpr {
    SetExpr::SetOperation { op: SqlOperator::Union, set_quantifier, left: Box::new(left), right: Box::new(right) }
}

/// Returns the syntax tree of a plain `SELECT *`.
pub(super) fn select_all() -> Result<Query, PlanError> {
    static PARSED: OnceLock<Query> = OnceLock::new();
    if let Some(parsed) = PARSED.get() {
        return Ok(parsed.clone());
    }
    match parse("SELECT * FROM t")?.pop().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => Ok(PARSED.get_or_init(|| *query).clone()),
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
        let query = match relation {
            TableFactor::TableFunction { expr: Expr::Subquery(query), .. }
                if matches!(*query.body, SetExpr::SetOperation { .. }) =>
            {
                query
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let SetExpr::SetOperation { op, set_quantifier, left, right } = *query.body else {
            unreachable!("the body is a set operation")
        };
        let operator = operator(op, set_quantifier)?;
        let left = context.plan(derived(left)?)?;
        let right = context.plan(derived(right)?)?;
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

/// Makes one side a derived table.
fn derived(side: Box<SetExpr>) -> Result<TableFactor> {
    let subquery = Box::new(Query { body: side, ..select_all()? });
    Ok(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None })
}
