//! Finds keys for the joins of many tables.
//!
//! This does for many inner joins what DataFusion's rule does for few: it takes adjacent joins and the filter above them
//! apart, and joins each table as soon as an equality connects it with those before. DataFusion's rule begins anew at
//! every join, so its time is at least cubic in their number.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, NullEquality, Result};
use datafusion::logical_expr::utils::{can_hash, conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, Join, JoinConstraint, JoinType, LogicalPlan, Operator, Projection,
};

use crate::budget;

/// Returns whether `join` can be taken apart.
fn is_plain(join: &Join) -> bool {
    join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNothing && !join.null_aware
}

/// Joins the inputs of adjacent joins in `plan`, at any depth, by keys.
pub(super) fn with_keys(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_down_with_subqueries(|node| match joins_of(&node) {
        true => {
            let joined = of_joins(node)?;
            // The joins below are made, and their inputs are done.
            Ok(Transformed::new(joined.data, joined.transformed, TreeNodeRecursion::Jump))
        }
        false => Ok(Transformed::no(node)),
    })
}

/// Returns whether `plan` is a join that can be taken apart, or a filter above one.
fn joins_of(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => matches!(&*filter.input, LogicalPlan::Join(join) if is_plain(join)),
        LogicalPlan::Join(join) => is_plain(join),
        _ => false,
    }
}

fn of_joins(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let (schema, unchanged, mut chain) = (Arc::clone(plan.schema()), plan.clone(), Chain::default());
    match plan {
        LogicalPlan::Filter(filter) => {
            chain.conditions = split_conjunction_owned(filter.predicate);
            chain.take_apart(Arc::unwrap_or_clone(filter.input));
        }
        joins => chain.take_apart(joins),
    }
    let mut is_changed = false;
    for input in &mut chain.inputs {
        let done = with_keys(std::mem::take(input))?;
        is_changed |= done.transformed;
        *input = done.data;
    }
    let before = chain.without_keys;
    let (joined, without_keys) = chain.joined()?;
    if !is_changed && without_keys == before {
        return Ok(Transformed::no(unchanged));
    }
    if joined.schema() == &schema {
        return Ok(Transformed::yes(joined));
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::new_from_schema(Arc::new(joined), schema))))
}

/// Joins that were taken apart.
#[derive(Default)]
struct Chain {
    inputs: Vec<LogicalPlan>,
    /// Conditions on all inputs together, keys among them.
    conditions: Vec<Expr>,
    /// The number of joins without keys.
    without_keys: usize,
}

/// An equality of two inputs: the columns of one side are those of the first, and those of the other side of the second.
struct Key {
    inputs: [usize; 2],
    sides: [Expr; 2],
}

impl Chain {
    fn take_apart(&mut self, plan: LogicalPlan) {
        match plan {
            LogicalPlan::Join(join) if is_plain(&join) => {
                self.without_keys += usize::from(join.on.is_empty());
                let keys = join.on.into_iter().map(|(left, right)| left.eq(right));
                self.conditions.extend(keys);
                self.conditions.extend(join.filter.into_iter().flat_map(split_conjunction_owned));
                self.take_apart(Arc::unwrap_or_clone(join.left));
                self.take_apart(Arc::unwrap_or_clone(join.right));
            }
            other => self.inputs.push(other),
        }
    }

    /// Joins the inputs, each time with the first that a key connects with those before, or else with the first. Returns
    /// the number of joins without keys too.
    fn joined(mut self) -> Result<(LogicalPlan, usize)> {
        let (keys, others) = self.keys()?;
        let mut keys_of = vec![Vec::new(); self.inputs.len()];
        for (at, key) in keys.iter().enumerate() {
            key.inputs.iter().for_each(|input| keys_of[*input].push(at));
        }
        let mut inputs: Vec<Option<LogicalPlan>> = self.inputs.drain(..).map(Some).collect();
        let mut is_joined = vec![false; inputs.len()];
        is_joined[0] = true;
        let mut without_keys = 0;
        let mut left = inputs[0].take().expect("a join has inputs");
        for _ in 1..inputs.len() {
            budget::spend(inputs.len() / 64 + 1)?;
            let other = |key: &Key, input| key.inputs[usize::from(key.inputs[0] == input)];
            let connects = |input: usize, at: &usize| is_joined[other(&keys[*at], input)];
            let mut free = (0..inputs.len()).filter(|input| !is_joined[*input]);
            let connected = free.clone().find(|input| keys_of[*input].iter().any(|at| connects(*input, at)));
            let next = connected.or_else(|| free.next()).expect("an input is left");
            let on = keys_of[next].iter().filter(|at| connects(next, at)).map(|at| {
                let Key { inputs, sides: [first, second] } = &keys[*at];
                if inputs[0] == next { (second.clone(), first.clone()) } else { (first.clone(), second.clone()) }
            });
            let on: Vec<_> = on.collect();
            without_keys += usize::from(on.is_empty());
            let right = inputs[next].take().expect("an input is joined once");
            is_joined[next] = true;
            left = LogicalPlan::Join(Join::try_new(
                Arc::new(left),
                Arc::new(right),
                on,
                None,
                JoinType::Inner,
                JoinConstraint::On,
                NullEquality::NullEqualsNothing,
                false,
            )?);
        }
        match conjunction(others) {
            Some(predicate) => Ok((LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(left))?), without_keys)),
            None => Ok((left, without_keys)),
        }
    }

    /// Divides the conditions into keys and others.
    fn keys(&mut self) -> Result<(Vec<Key>, Vec<Expr>)> {
        let mut input_of: HashMap<Column, usize> = HashMap::new();
        for (at, input) in self.inputs.iter().enumerate() {
            input_of.extend(input.schema().columns().into_iter().map(|column| (column, at)));
        }
        let (mut keys, mut others) = (Vec::new(), Vec::new());
        for condition in std::mem::take(&mut self.conditions) {
            match self.key(&condition, &input_of)? {
                Some(key) => keys.push(key),
                None => others.push(condition),
            }
        }
        Ok((keys, others))
    }

    fn key(&self, condition: &Expr, input_of: &HashMap<Column, usize>) -> Result<Option<Key>> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return Ok(None) };
        let input = |side: &Expr| {
            let mut inputs = side.column_refs().into_iter().map(|column| input_of.get(column).copied());
            let first = inputs.next()??;
            inputs.all(|input| input == Some(first)).then_some(first)
        };
        let (Some(one), Some(two)) = (input(left), input(right)) else { return Ok(None) };
        let data_type = left.get_type(self.inputs[one].schema())?;
        if one == two || !can_hash(&data_type) || left.is_volatile() || right.is_volatile() {
            return Ok(None);
        }
        Ok(Some(Key { inputs: [one, two], sides: [left.as_ref().clone(), right.as_ref().clone()] }))
    }
}
