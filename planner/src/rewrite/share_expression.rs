//! Computes equal parts of a node's expressions once, below the node, if they are computed for every row.
//!
//! A part that AND, OR, CASE, COALESCE or FILTER may skip stays where it is: computing it for all rows could fail on a
//! row that does not need it. DataFusion's algorithm finds the parts; this module decides which of them may be skipped.

use std::sync::Arc;

use datafusion::common::cse::{CSE, CSEController, FoundCommonNodes};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Case, Expr, LogicalPlan, Operator, Projection};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The optimiser rule, for projections and aggregates.
#[derive(Debug)]
pub(super) struct ShareExpression;

impl OptimizerRule for ShareExpression {
    fn name(&self) -> &str {
        "share_expression"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let Some(schema) = plan.inputs().first().map(|input| Arc::clone(input.schema())) else {
            return Ok(Transformed::no(plan));
        };
        let names = || config.alias_generator().next("#shared");
        // A statement can contain such a name too.
        let is_free = |name: &String| !schema.has_column_with_unqualified_name(name);
        let fresh = || std::iter::repeat_with(names).find(is_free).expect("the generator does not end");
        match plan {
            LogicalPlan::Projection(projection) => of_projection(projection, &fresh),
            LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate, &fresh),
            other => Ok(Transformed::no(other)),
        }
    }
}

fn of_projection(projection: Projection, fresh: &dyn Fn() -> String) -> Result<Transformed<LogicalPlan>> {
    let Some(CommonExprs { common, mut lists }) = common_exprs(vec![projection.expr.clone()], fresh)? else {
        return Ok(Transformed::no(LogicalPlan::Projection(projection)));
    };
    let input = with_columns(projection.input, common)?;
    let exprs = named_as(&projection.expr, lists.remove(0));
    let plan = Projection::try_new_with_schema(exprs, input, projection.schema)?;
    Ok(Transformed::yes(LogicalPlan::Projection(plan)))
}

fn of_aggregate(aggregate: Aggregate, fresh: &dyn Fn() -> String) -> Result<Transformed<LogicalPlan>> {
    let lists = vec![aggregate.group_expr.clone(), aggregate.aggr_expr.clone()];
    let Some(CommonExprs { common, mut lists }) = common_exprs(lists, fresh)? else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    let input = with_columns(aggregate.input, common)?;
    // The second list is removed first, because removing the first would move it.
    let calls = named_as(&aggregate.aggr_expr, lists.remove(1));
    let groups = named_as(&aggregate.group_expr, lists.remove(0));
    let plan = Aggregate::try_new(input, groups, calls)?;
    if plan.schema.as_ref() == aggregate.schema.as_ref() {
        return Ok(Transformed::yes(LogicalPlan::Aggregate(plan)));
    }
    // Grouping by a column under an alias loses the name by which the rest of the plan refers to it.
    let columns = plan.schema.columns().into_iter().zip(aggregate.schema.iter());
    let columns = columns.map(|(column, (qualifier, field))| {
        let same = column.relation.as_ref() == qualifier && column.name == *field.name();
        if same { Expr::Column(column) } else { Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()) }
    });
    let columns: Vec<Expr> = columns.collect();
    let plan = Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(plan)))?;
    Ok(Transformed::yes(LogicalPlan::Projection(plan)))
}

/// The common parts with their names, and the expressions that now refer to these names.
struct CommonExprs {
    common: Vec<(Expr, String)>,
    lists: Vec<Vec<Expr>>,
}

fn common_exprs(lists: Vec<Vec<Expr>>, fresh: &dyn Fn() -> String) -> Result<Option<CommonExprs>> {
    Ok(match CSE::new(Always { fresh }).extract_common_nodes(lists)? {
        FoundCommonNodes::No { .. } => None,
        FoundCommonNodes::Yes { common_nodes, new_nodes_list, .. } => {
            Some(CommonExprs { common: common_nodes, lists: new_nodes_list })
        }
    })
}

fn named_as(originals: &[Expr], exprs: Vec<Expr>) -> Vec<Expr> {
    let names = NamePreserver::new_for_projection();
    originals.iter().zip(exprs).map(|(original, expr)| names.save(original).restore(expr)).collect()
}

/// Adds columns to `input`.
fn with_columns(input: Arc<LogicalPlan>, common: Vec<(Expr, String)>) -> Result<Arc<LogicalPlan>> {
    let kept: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let added = common.into_iter().map(|(expr, name)| expr.alias(name));
    let plan = Projection::try_new(kept.into_iter().chain(added).collect(), input)?;
    Ok(Arc::new(LogicalPlan::Projection(plan)))
}

/// Finds the parts that are computed for every row.
struct Always<'a> {
    fresh: &'a dyn Fn() -> String,
}

impl CSEController for Always<'_> {
    type Node = Expr;

    /// Returns the children that are always computed, and those that are computed only for some rows.
    fn conditional_children(node: &Expr) -> Option<(Vec<&Expr>, Vec<&Expr>)> {
        match node {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
                Some((vec![left], vec![right]))
            }
            Expr::Case(Case { expr, when_then_expr, else_expr }) => {
                let always =
                    expr.iter().map(AsRef::as_ref).chain(when_then_expr.first().map(|(when, _)| when.as_ref()));
                let first = when_then_expr.first().map(|(_, then)| then.as_ref());
                let others = when_then_expr.iter().skip(1).flat_map(|(when, then)| [when.as_ref(), then.as_ref()]);
                let sometimes = first.into_iter().chain(others).chain(else_expr.iter().map(AsRef::as_ref));
                Some((always.collect(), sometimes.collect()))
            }
            Expr::ScalarFunction(call) if call.func.short_circuits() => {
                Some((call.args.iter().take(1).collect(), call.args.iter().skip(1).collect()))
            }
            // The algorithm relies on the order in which a tree walk visits the children.
            Expr::AggregateFunction(call) => call.params.filter.as_deref().map(|filter| {
                let ordered = call.params.order_by.iter().map(|sort| &sort.expr);
                (Vec::new(), call.params.args.iter().chain([filter]).chain(ordered).collect())
            }),
            _ => None,
        }
    }

    fn is_valid(node: &Expr) -> bool {
        !node.is_volatile_node()
            && !matches!(
                node,
                Expr::ScalarSubquery(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::SetComparison(_)
                    | Expr::GroupingSet(_)
                    | Expr::Unnest(_)
                    | Expr::Lambda(_)
                    | Expr::LambdaVariable(_)
            )
    }

    fn is_ignored(&self, node: &Expr) -> bool {
        matches!(
            node,
            Expr::Literal(..)
                | Expr::Column(_)
                | Expr::ScalarVariable(..)
                | Expr::Alias(_)
                | Expr::AggregateFunction(_)
        )
    }

    fn generate_alias(&self) -> String {
        (self.fresh)()
    }

    fn rewrite(&mut self, _node: &Expr, alias: &str) -> Expr {
        Expr::Column(Column::new_unqualified(alias))
    }
}
