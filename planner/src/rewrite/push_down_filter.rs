//! Moves filters down the plan, as close to the relations as possible without changing the answer.
//!
//! Besides the operators themselves, two things can hold a condition back. A condition that can fail stays behind the
//! conditions that guard it (see [`movable`]). And an operator may treat several values as one (0.0 and -0.0, 24 hours
//! and 1 day); only conditions that cannot distinguish such values can move below it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, Result};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, Extension, Filter, Join, LogicalPlan, Operator, Projection,
    SubqueryAlias, Union, Window,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::can_fail::{can_fail, is_comparison};
use super::conditions::{all, alternatives, movable, split};
use crate::set_operation::SetOperationNode;

/// A condition that would have more than this number of operands and operators below a projection stays above it. One
/// that uses a computed column twice doubles at each projection, so that it would be exponential in their number.
const LONGEST: usize = 1000;

/// The optimiser rule that this module describes.
#[derive(Debug)]
pub(super) struct PushDownFilter;

impl OptimizerRule for PushDownFilter {
    fn name(&self) -> &str {
        "push_down_filter"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => below(merged(filter)),
            LogicalPlan::Join(join) => into_join(join, Vec::new()),
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Merges a filter with the filters directly below it; the conditions of the lowest come first.
fn merged(filter: Filter) -> Filter {
    let Filter { mut predicate, mut input, .. } = filter;
    while let LogicalPlan::Filter(lower) = input.as_ref() {
        predicate = lower.predicate.clone().and(predicate);
        input = Arc::clone(&lower.input);
    }
    let predicate = all(split(predicate)).expect("a predicate has a conjunct");
    Filter::new(predicate, input)
}

/// Moves a filter one step down: the conditions that can be evaluated below the filter's input go there.
fn below(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let Filter { predicate, input, .. } = filter;
    if has_subquery_or_volatile(&predicate) {
        return Ok(Transformed::no(filtered(input, vec![predicate])));
    }
    let conditions = movable(predicate.clone(), input.schema());
    match Arc::unwrap_or_clone(input) {
        LogicalPlan::Projection(projection) => below_projection(projection, conditions),
        LogicalPlan::SubqueryAlias(alias) => below_alias(&alias, &conditions),
        LogicalPlan::Sort(mut sort) if sort.fetch.is_none() => {
            sort.input = Arc::new(filtered(sort.input, conditions));
            Ok(Transformed::yes(LogicalPlan::Sort(sort)))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let (blind, rest) = split_by(conditions, |condition| is_blind(condition, input.schema()));
            let below = LogicalPlan::Distinct(Distinct::All(Arc::new(filtered(input, blind.clone()))));
            moved(!blind.is_empty(), below, rest)
        }
        LogicalPlan::Aggregate(aggregate) => below_aggregate(aggregate, conditions),
        LogicalPlan::Window(window) => below_window(window, conditions),
        LogicalPlan::Union(union) => below_union(union, &conditions),
        LogicalPlan::Extension(extension) => below_extension(extension, conditions),
        LogicalPlan::Join(join) => into_join(join, conditions),
        // Nothing is moved, so the guards that `movable` added are not needed.
        other => Ok(Transformed::no(filtered(Arc::new(other), split(predicate)))),
    }
}

/// Puts a filter with the conjunction of `conditions` above `input`; without conditions `input` is returned.
fn filtered(input: Arc<LogicalPlan>, conditions: Vec<Expr>) -> LogicalPlan {
    match all(conditions) {
        Some(predicate) => LogicalPlan::Filter(Filter::new(predicate, input)),
        None => Arc::unwrap_or_clone(input),
    }
}

/// Puts the conditions that were not moved above `plan`; `any` says whether others were moved.
fn moved(any: bool, plan: LogicalPlan, rest: Vec<Expr>) -> Result<Transformed<LogicalPlan>> {
    let plan = filtered(Arc::new(plan), rest);
    Ok(if any { Transformed::yes(plan) } else { Transformed::no(plan) })
}

fn split_by(conditions: Vec<Expr>, goes: impl Fn(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    conditions.into_iter().partition(goes)
}

/// Replaces each column of `schema` in `expr` by the expression that `with` returns for its position.
fn replaced(expr: &Expr, schema: &DFSchema, with: impl Fn(usize) -> Expr) -> Result<Expr> {
    let replaced = expr.clone().transform_up(|expr| match expr {
        Expr::Column(column) => Ok(Transformed::yes(with(schema.index_of_column(&column)?))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// Returns whether `expr` reads at least one column, and only columns of `schema` for which `holds` is true.
fn reads_only(expr: &Expr, schema: &DFSchema, holds: impl Fn(usize) -> bool) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.iter().all(|column| schema.maybe_index_of_column(column).is_some_and(&holds))
}

fn below_projection(mut projection: Projection, conditions: Vec<Expr>) -> Result<Transformed<LogicalPlan>> {
    let stays = |at: usize| has_subquery_or_volatile(&projection.expr[at]);
    let goes = |condition: &Expr| {
        reads_only(condition, &projection.schema, |at| !stays(at))
            && length_over(condition, &projection.schema, &projection.expr) <= LONGEST
    };
    let (down, rest) = split_by(conditions, goes);
    let any = !down.is_empty();
    projection.input = Arc::new(computed_below(projection.input, &down, &projection.schema, &projection.expr)?);
    moved(any, LogicalPlan::Projection(projection), rest)
}

/// Returns the number of operands and operators of `condition` after the columns of `schema` in it are replaced by
/// `exprs`.
fn length_over(condition: &Expr, schema: &DFSchema, exprs: &[Expr]) -> usize {
    let length = |expr: &Expr| {
        let mut length = 0;
        expr.apply(|_| {
            length += 1;
            Ok(TreeNodeRecursion::Continue)
        })
        .expect("the visitor does not fail");
        length
    };
    let mut total = 0;
    condition
        .apply(|expr| {
            total += match expr {
                Expr::Column(column) => schema.maybe_index_of_column(column).map_or(1, |at| length(&exprs[at])),
                _ => 1,
            };
            Ok(TreeNodeRecursion::Continue)
        })
        .expect("the visitor does not fail");
    total
}

/// Puts `conditions` above `input`; the columns of `schema`, which they use, are computed from it by `exprs`.
fn computed_below(
    input: Arc<LogicalPlan>,
    conditions: &[Expr],
    schema: &DFSchema,
    exprs: &[Expr],
) -> Result<LogicalPlan> {
    let with = |at: usize| exprs[at].clone().unalias_nested().data;
    let down = conditions.iter().map(|condition| replaced(condition, schema, with)).collect::<Result<_>>()?;
    Ok(filtered(input, down))
}

fn below_alias(alias: &SubqueryAlias, conditions: &[Expr]) -> Result<Transformed<LogicalPlan>> {
    let input = Arc::new(below_names(&alias.input, conditions, &alias.schema)?);
    Ok(Transformed::yes(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(input, alias.alias.clone())?)))
}

fn below_aggregate(mut aggregate: Aggregate, conditions: Vec<Expr>) -> Result<Transformed<LogicalPlan>> {
    let groups = aggregate.group_expr.len();
    let goes = |condition: &Expr| {
        reads_only(condition, &aggregate.schema, |at| {
            at < groups && !has_subquery_or_volatile(&aggregate.group_expr[at])
        }) && is_blind(condition, &aggregate.schema)
    };
    let (down, rest) = split_by(conditions, goes);
    let any = !down.is_empty();
    aggregate.input = Arc::new(computed_below(aggregate.input, &down, &aggregate.schema, &aggregate.group_expr)?);
    moved(any, LogicalPlan::Aggregate(aggregate), rest)
}

/// Moves conditions that depend only on the partition: they drop whole partitions, so other rows are not affected.
fn below_window(mut window: Window, conditions: Vec<Expr>) -> Result<Transformed<LogicalPlan>> {
    let partitions = |column: &Column| {
        window.window_expr.iter().all(|expr| match expr.clone().unalias_nested().data {
            Expr::WindowFunction(function) => {
                function.params.partition_by.iter().any(|by| matches!(by, Expr::Column(by) if by == column))
            }
            _ => false,
        })
    };
    let goes = |condition: &Expr| {
        let columns = condition.column_refs();
        !columns.is_empty() && columns.into_iter().all(&partitions) && is_blind(condition, window.input.schema())
    };
    let (down, rest) = split_by(conditions, goes);
    let any = !down.is_empty();
    window.input = Arc::new(filtered(window.input, down));
    moved(any, LogicalPlan::Window(window), rest)
}

fn below_union(mut union: Union, conditions: &[Expr]) -> Result<Transformed<LogicalPlan>> {
    for input in &mut union.inputs {
        *input = Arc::new(below_names(input, conditions, &union.schema)?);
    }
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

/// Puts `conditions` above `input`; they use the column names of `schema`.
fn below_names(input: &Arc<LogicalPlan>, conditions: &[Expr], schema: &DFSchema) -> Result<LogicalPlan> {
    let columns = input.schema().columns();
    let with = |at: usize| Expr::Column(columns[at].clone());
    let down = conditions.iter().map(|condition| replaced(condition, schema, with)).collect::<Result<_>>()?;
    Ok(filtered(Arc::clone(input), down))
}

/// Moves conditions below EXCEPT and INTERSECT, where each distinct row is decided independently of the others.
fn below_extension(extension: Extension, conditions: Vec<Expr>) -> Result<Transformed<LogicalPlan>> {
    let Some(set) = extension.node.as_any().downcast_ref::<SetOperationNode>() else {
        return Ok(Transformed::no(filtered(Arc::new(LogicalPlan::Extension(extension)), conditions)));
    };
    let schema = Arc::clone(set.left.schema());
    let (down, rest) = split_by(conditions, |condition| is_blind(condition, &schema));
    let node = SetOperationNode {
        left: Arc::new(below_names(&set.left, &down, &schema)?),
        right: Arc::new(below_names(&set.right, &down, &schema)?),
        operator: set.operator,
    };
    moved(!down.is_empty(), LogicalPlan::Extension(Extension { node: Arc::new(node) }), rest)
}

/// Says which inputs of a join can be filtered, first by conditions on its result and second by those of its ON.
fn sides(join_type: JoinType) -> ([bool; 2], [bool; 2]) {
    match join_type {
        JoinType::Inner => ([true, true], [true, true]),
        JoinType::Left => ([true, false], [false, true]),
        JoinType::Right => ([false, true], [true, false]),
        JoinType::Full => ([false, false], [false, false]),
        JoinType::LeftSemi => ([true, false], [true, true]),
        JoinType::RightSemi => ([false, true], [true, true]),
        JoinType::LeftAnti | JoinType::LeftMark => ([true, false], [false, true]),
        JoinType::RightAnti | JoinType::RightMark => ([false, true], [true, false]),
    }
}

/// The conditions of a join by where they are evaluated: on a side, on the pairs, or above the join.
#[derive(Default)]
struct Placed {
    sides: [Vec<Expr>; 2],
    pairs: Vec<Expr>,
    above: Vec<Expr>,
}

/// Distributes the conditions of a join: those in `above`, over its result, and those of its ON.
fn into_join(mut join: Join, above: Vec<Expr>) -> Result<Transformed<LogicalPlan>> {
    let pairs = DFSchema::join(join.left.schema(), join.right.schema())?;
    let on = join.filter.take().map_or_else(Vec::new, |filter| movable(filter, &pairs));
    let given = (on.clone(), above.clone());
    let mut placed = place(&join, on, above);
    // Conditions that are inferred for a side are additional filters; the original conditions stay where they are.
    let weaker: Vec<(usize, Expr)> = weaker(&join, &placed, &pairs);
    let inferred = across(&join, &placed);
    let mut any = !placed.sides.iter().all(Vec::is_empty);
    for (side, condition) in weaker.into_iter().chain(inferred) {
        let input = if side == 0 { &join.left } else { &join.right };
        // The rules run repeatedly; without this test each pass would add the condition again.
        if !holds_already(input, &condition)? && !placed.sides[side].contains(&condition) {
            placed.sides[side].push(condition);
            any = true;
        }
    }
    let Placed { sides: [left, right], pairs, above } = placed;
    any |= (&pairs, &above) != (&given.0, &given.1);
    join.left = Arc::new(filtered(join.left, left));
    join.right = Arc::new(filtered(join.right, right));
    join.filter = all(pairs);
    moved(any, LogicalPlan::Join(join), above)
}

fn reads_side(join: &Join, side: usize, condition: &Expr) -> bool {
    let schema = if side == 0 { join.left.schema() } else { join.right.schema() };
    reads_only(condition, schema, |_| true)
}

fn place(join: &Join, on: Vec<Expr>, above: Vec<Expr>) -> Placed {
    let (of_rows, of_on) = sides(join.join_type);
    let mut placed = Placed::default();
    let side_of = |condition: &Expr| (0..2).find(|side| reads_side(join, *side, condition));
    for condition in on {
        match side_of(&condition) {
            Some(side) if of_on[side] => placed.sides[side].push(condition),
            _ => placed.pairs.push(condition),
        }
    }
    for condition in above {
        match side_of(&condition) {
            Some(side) if of_rows[side] => placed.sides[side].push(condition),
            _ if join.join_type == JoinType::Inner => placed.pairs.push(condition),
            _ => placed.above.push(condition),
        }
    }
    placed
}

/// Infers conditions on one side from an OR over both: from `l AND r OR m AND s`, `l OR m` follows on the left.
fn weaker(join: &Join, placed: &Placed, schema: &DFSchema) -> Vec<(usize, Expr)> {
    let (of_rows, of_on) = sides(join.join_type);
    let mut found = Vec::new();
    for side in 0..2 {
        let on = placed.pairs.iter().filter(|_| of_on[side]);
        let rows = placed.above.iter().filter(|_| of_rows[side]);
        for condition in on.chain(rows) {
            let branches = alternatives(condition);
            if branches.len() < 2 || can_fail(condition, schema) {
                continue;
            }
            let of_side = |branch: &&Expr| {
                all(split((*branch).clone()).into_iter().filter(|conjunct| reads_side(join, side, conjunct)))
            };
            if let Some(parts) = branches.iter().map(of_side).collect::<Option<Vec<_>>>()
                && let Some(either) = parts.into_iter().reduce(Expr::or)
            {
                found.push((side, either));
            }
        }
    }
    found
}

/// Copies conditions across an equality `a = b`: a comparison of one column with constants also holds for the other.
fn across(join: &Join, placed: &Placed) -> Vec<(usize, Expr)> {
    let reaches = |side: usize| match join.join_type {
        JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => true,
        JoinType::Left | JoinType::LeftAnti => side == 1,
        JoinType::Right | JoinType::RightAnti => side == 0,
        _ => false,
    };
    let mut found = Vec::new();
    for (left, right) in &join.on {
        let (Expr::Column(left), Expr::Column(right)) = (left, right) else { continue };
        for (side, from, to, schema) in [(1, left, right, join.right.schema()), (0, right, left, join.left.schema())] {
            let input = if side == 1 { join.left.schema() } else { join.right.schema() };
            let types = (column_type(from, input), column_type(to, schema));
            if !reaches(side) || types.0.is_none() || types.0 != types.1 {
                continue;
            }
            for condition in placed.sides[1 - side].iter().filter(|condition| compares_with_constants(condition, from))
            {
                let with = condition.clone().transform_up(|expr| match expr {
                    Expr::Column(_) => Ok(Transformed::yes(Expr::Column(to.clone()))),
                    other => Ok(Transformed::no(other)),
                });
                found.push((side, with.expect("the visitor does not fail").data));
            }
        }
    }
    found
}

fn column_type(column: &Column, schema: &DFSchema) -> Option<DataType> {
    schema.qualified_field_from_column(column).ok().map(|(_, field)| field.data_type().clone())
}

/// Returns whether `condition` compares `column` with literals and does nothing else.
fn compares_with_constants(condition: &Expr, column: &Column) -> bool {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(other) if other == column);
    let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
            let pair = is_column(left) && is_literal(right) || is_literal(left) && is_column(right);
            matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) && pair
        }
        Expr::InList(list) => is_column(&list.expr) && list.list.iter().all(is_literal),
        Expr::Between(between) => is_column(&between.expr) && is_literal(&between.low) && is_literal(&between.high),
        _ => false,
    }
}

/// Returns whether a filter at the top of `input`, or below renamings or joins, has this condition already.
fn holds_already(input: &Arc<LogicalPlan>, condition: &Expr) -> Result<bool> {
    let (mut input, mut condition) = (input, condition.clone());
    loop {
        match input.as_ref() {
            LogicalPlan::Filter(filter) => {
                let conjuncts = split(filter.predicate.clone());
                if split(condition.clone()).iter().all(|part| conjuncts.contains(part)) {
                    return Ok(true);
                }
                input = &filter.input;
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let columns = alias.input.schema().columns();
                condition = replaced(&condition, &alias.schema, |at| Expr::Column(columns[at].clone()))?;
                input = &alias.input;
            }
            LogicalPlan::Projection(projection) => {
                if length_over(&condition, &projection.schema, &projection.expr) > LONGEST {
                    return Ok(false);
                }
                let with = |at: usize| projection.expr[at].clone().unalias_nested().data;
                condition = replaced(&condition, &projection.schema, with)?;
                input = &projection.input;
            }
            LogicalPlan::Join(join) => {
                let side = (0..2).find(|side| reads_side(join, *side, &condition));
                let (of_rows, _) = sides(join.join_type);
                match side {
                    Some(side) if of_rows[side] => input = if side == 0 { &join.left } else { &join.right },
                    _ => return Ok(false),
                }
            }
            _ => return Ok(false),
        }
    }
}

fn has_subquery_or_volatile(expr: &Expr) -> bool {
    let found = expr.exists(|expr| {
        Ok(expr.is_volatile_node()
            || matches!(
                expr,
                Expr::ScalarSubquery(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::SetComparison(_)
                    | Expr::Unnest(_)
            ))
    });
    found.expect("the visitor does not fail")
}

/// Returns whether `condition` cannot distinguish values that are equal as keys: columns of types with such values may
/// only be compared.
fn is_blind(condition: &Expr, schema: &DFSchema) -> bool {
    let mut blind = true;
    condition
        .apply(|expr| {
            let compares = match expr {
                Expr::BinaryExpr(binary) => is_comparison(binary.op),
                Expr::InList(_) | Expr::Between(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
                _ => false,
            };
            let operands_are_columns = || {
                let mut plain = true;
                let visited = expr.apply_children(|child| {
                    plain &= matches!(child, Expr::Column(_) | Expr::Literal(..));
                    Ok(TreeNodeRecursion::Continue)
                });
                visited.is_ok() && plain
            };
            if compares && operands_are_columns() {
                return Ok(TreeNodeRecursion::Jump);
            }
            if let Expr::Column(_) = expr {
                blind &= expr.get_type(schema).is_ok_and(|data_type| has_one_form(&data_type));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .expect("the visitor does not fail");
    blind
}

/// Returns whether equal values of a type are identical in every respect.
fn has_one_form(data_type: &DataType) -> bool {
    !(data_type.is_floating() || data_type.is_nested() || matches!(data_type, DataType::Interval(_)))
}
