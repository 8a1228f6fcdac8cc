//! Lowers inner joins: the leaves are lowered, ordered, and joined one after the other through arrangements that hold
//! only the columns that are read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan, cast};
use laminardb_dataflow::plan::{Join, JoinColumn, NodeId, Operator};

use crate::PlanError;
use crate::common_type::comparison_type;
use crate::lower::join_graph::{Equality, JoinGraph, Predicate};
use crate::lower::join_order::{Edge, LeafFacts, join_order};
use crate::lower::relation::{Demand, Relation, compile, named_schema, with_values};
use crate::lower::{Lowering, refuse};

/// The two inputs of a join and the positions of their key columns. The relations map graph columns.
#[derive(Clone)]
pub(super) struct Sides {
    pub(super) left: Relation,
    pub(super) right: Relation,
    pub(super) left_key: Vec<usize>,
    pub(super) right_key: Vec<usize>,
    /// For each key column, whether NULL equals NULL.
    pub(super) null_safe: Vec<bool>,
}

impl Lowering {
    pub(super) fn lower_inner_joins(&mut self, plan: &LogicalPlan, demand: &Demand) -> Result<Relation, PlanError> {
        let mut graph = JoinGraph::default();
        let columns = graph.flatten(plan)?;
        let wanted: Demand = demand.iter().map(|column| columns[*column]).collect();
        let mut needed = wanted.clone();
        graph.predicates.iter().for_each(|predicate| needed.extend(&predicate.columns));
        let mut pending = std::mem::take(&mut graph.predicates);
        let mut leaves = Vec::with_capacity(graph.leaves.len());
        for position in 0..graph.leaves.len() {
            leaves.push(Some(self.lower_leaf(&graph, position, &needed, &mut pending)?));
        }
        let order = self.order(&graph, &leaves, &pending);
        let mut joined: Option<Relation> = None;
        let mut done = BTreeSet::new();
        for position in order {
            let leaf = leaves[position].take().expect("each leaf is joined once");
            done.insert(position);
            joined = Some(match joined {
                None => leaf,
                Some(joined) => {
                    let in_leaf = |column: usize| graph.leaf_of(column) == position;
                    let covered = |predicate: &Predicate| {
                        predicate.columns.iter().all(|column| done.contains(&graph.leaf_of(*column)))
                    };
                    let (now, later): (Vec<_>, Vec<_>) = pending.into_iter().partition(covered);
                    pending = later;
                    let mut read = wanted.clone();
                    // Keep only columns that the result or a later predicate reads.
                    pending.iter().for_each(|predicate| read.extend(&predicate.columns));
                    self.join_leaf(joined, leaf, now, &read, &in_leaf)?
                }
            });
        }
        let joined = joined.expect("a join has leaves");
        let rest: Vec<Expr> = pending.into_iter().map(|predicate| predicate.expr).collect();
        let joined = self.filter(joined, &rest)?;
        let columns = demand.iter().map(|column| (*column, joined.at(columns[*column]))).collect();
        Ok(Relation { node: joined.node, columns })
    }

    /// Lowers one leaf over graph columns and applies the predicates that read only this leaf.
    fn lower_leaf(
        &mut self,
        graph: &JoinGraph<'_>,
        position: usize,
        needed: &Demand,
        pending: &mut Vec<Predicate>,
    ) -> Result<Relation, PlanError> {
        let leaf = &graph.leaves[position];
        let lowered = self.lower(leaf.plan, &graph.demand_of(position, needed))?;
        let columns = lowered.columns.into_iter().map(|(column, place)| (leaf.first + column, place)).collect();
        let of_leaf = |predicate: &Predicate| {
            !predicate.columns.is_empty() && predicate.columns.iter().all(|column| graph.leaf_of(*column) == position)
        };
        let (own, others): (Vec<_>, Vec<_>) = std::mem::take(pending).into_iter().partition(of_leaf);
        *pending = others;
        let own: Vec<Expr> = own.into_iter().map(|predicate| predicate.expr).collect();
        self.filter(Relation { node: lowered.node, columns }, &own)
    }

    fn order(&self, graph: &JoinGraph<'_>, leaves: &[Option<Relation>], predicates: &[Predicate]) -> Vec<usize> {
        let facts: Vec<LeafFacts> = leaves.iter().flatten().map(|leaf| self.leaf_facts(leaf)).collect();
        let edges: Vec<Edge> = predicates.iter().filter_map(|predicate| edge(graph, predicate)).collect();
        join_order(&facts, &edges)
    }

    fn leaf_facts(&self, leaf: &Relation) -> LeafFacts {
        let properties = self.builder.properties(leaf.node);
        let columns: BTreeMap<usize, usize> = leaf.columns.iter().map(|(column, place)| (*place, *column)).collect();
        let in_graph = |key: &Vec<usize>| key.iter().map(|place| columns.get(place).copied()).collect();
        let unique_keys = properties.unique_keys.iter().filter_map(in_graph).collect();
        LeafFacts { rows: properties.rows, kept: properties.kept, unique_keys }
    }

    /// Joins one more leaf to `joined` under `predicates`; keeps the columns in `read`.
    fn join_leaf(
        &mut self,
        joined: Relation,
        leaf: Relation,
        predicates: Vec<Predicate>,
        read: &Demand,
        in_leaf: &dyn Fn(usize) -> bool,
    ) -> Result<Relation, PlanError> {
        let is_left = |column: usize| !in_leaf(column);
        let (keys, residual) = split_keys(predicates, &is_left);
        let mut sides = self.key_sides(joined, leaf, &keys, read, &residual)?;
        sides.left = self.without_null_keys(sides.left, &sides.left_key, &sides.null_safe)?;
        sides.right = self.without_null_keys(sides.right, &sides.right_key, &sides.null_safe)?;
        self.join_sides(&sides, read, &residual)
    }

    /// Returns both sides with their key values as columns of equal types.
    pub(super) fn key_sides(
        &mut self,
        left: Relation,
        right: Relation,
        keys: &[Equality],
        read: &Demand,
        residual: &[Expr],
    ) -> Result<Sides, PlanError> {
        let mut keep = read.clone();
        residual.iter().for_each(|expr| keep.extend(crate::lower::relation::positions(expr)));
        let mut left_exprs = Vec::with_capacity(keys.len());
        let mut right_exprs = Vec::with_capacity(keys.len());
        for key in keys {
            let (a, b) = self.same_type(&left, &key.left, &right, &key.right)?;
            left_exprs.push((a, "key".to_owned()));
            right_exprs.push((b, "key".to_owned()));
        }
        let of = |relation: &Relation| keep.iter().copied().filter(|c| relation.columns.contains_key(c)).collect();
        let (left_keep, right_keep): (Demand, Demand) = (of(&left), of(&right));
        let (left, left_key) = with_values(&mut self.builder, &left, &left_exprs, &left_keep)?;
        let (right, right_key) = with_values(&mut self.builder, &right, &right_exprs, &right_keep)?;
        let null_safe = keys.iter().map(|key| key.null_safe).collect();
        Ok(Sides { left, right, left_key, right_key, null_safe })
    }

    fn same_type(
        &self,
        left: &Relation,
        left_expr: &Expr,
        right: &Relation,
        right_expr: &Expr,
    ) -> Result<(Expr, Expr), PlanError> {
        let type_of = |relation: &Relation, expr: &Expr| {
            let scalar = compile(&self.builder, relation.node, expr, |column| relation.at(column))?;
            Ok::<_, PlanError>(scalar.data_type().clone())
        };
        let (a, b) = (type_of(left, left_expr)?, type_of(right, right_expr)?);
        if a == b {
            return Ok((left_expr.clone(), right_expr.clone()));
        }
        let common =
            comparison_type(&a, &b).ok_or_else(|| refuse::construct(format!("a join that compares {a} with {b}")))?;
        let to_common =
            |expr: &Expr, from| if from == &common { expr.clone() } else { cast(expr.clone(), common.clone()) };
        Ok((to_common(left_expr, &a), to_common(right_expr, &b)))
    }

    /// Drops the rows that cannot match: those with NULL in a key column for which NULL equals nothing.
    pub(super) fn without_null_keys(
        &mut self,
        side: Relation,
        key: &[usize],
        null_safe: &[bool],
    ) -> Result<Relation, PlanError> {
        let strict: Vec<usize> =
            key.iter().zip(null_safe).filter(|(_, safe)| !**safe).map(|(place, _)| *place).collect();
        self.filter_not_null(side, &strict)
    }

    /// Joins the rows with equal keys that satisfy `residual`; keeps the columns in `read`.
    pub(super) fn join_sides(
        &mut self,
        sides: &Sides,
        read: &Demand,
        residual: &[Expr],
    ) -> Result<Relation, PlanError> {
        let mut needed = read.clone();
        residual.iter().for_each(|expr| needed.extend(crate::lower::relation::positions(expr)));
        let (mut left_value, mut right_value) = (Vec::new(), Vec::new());
        let (mut output, mut columns) = (Vec::new(), BTreeMap::new());
        for column in &needed {
            let (side, key, value, other): (_, _, _, fn(usize) -> JoinColumn) =
                if sides.left.columns.contains_key(column) {
                    (&sides.left, &sides.left_key, &mut left_value, JoinColumn::Left)
                } else if sides.right.columns.contains_key(column) {
                    (&sides.right, &sides.right_key, &mut right_value, JoinColumn::Right)
                } else {
                    continue;
                };
            let place = side.at(*column);
            let from = match key.iter().position(|key| *key == place) {
                Some(key) => JoinColumn::Key(key),
                None => other(position_or_push(value, place)),
            };
            columns.insert(*column, position_or_push(&mut output, from));
        }
        if output.is_empty() {
            // A row without columns could not be distinguished from no row, so one column is kept.
            output.push(match sides.left_key.first() {
                Some(_) => JoinColumn::Key(0),
                None => JoinColumn::Left(position_or_push(&mut left_value, 0)),
            });
        }
        let schema = self.join_schema(sides, (&left_value, &right_value), &output);
        let left = self.builder.arrange(sides.left.node, sides.left_key.clone(), left_value);
        let right = self.builder.arrange(sides.right.node, sides.right_key.clone(), right_value);
        let mut join = Join { left, right, output, residual: None };
        if let Some(condition) = residual.iter().cloned().reduce(Expr::and) {
            // The residual is compiled over the pairs, which have the columns of the join without its residual.
            let pairs = self.builder.add(Operator::Join(join.clone()), Arc::clone(&schema));
            join.residual = Some(compile(&self.builder, pairs, &condition, |column| columns[&column])?);
        }
        Ok(Relation { node: self.builder.add(Operator::Join(join), schema), columns })
    }

    fn join_schema(
        &self,
        sides: &Sides,
        (left_value, right_value): (&[usize], &[usize]),
        output: &[JoinColumn],
    ) -> arrow::datatypes::SchemaRef {
        let field = |node: NodeId, place: usize| {
            let field = self.builder.schema(node).field(place);
            (field.name().clone(), field.data_type().clone())
        };
        named_schema(output.iter().map(|column| match column {
            JoinColumn::Key(key) => field(sides.left.node, sides.left_key[*key]),
            JoinColumn::Left(value) => field(sides.left.node, left_value[*value]),
            JoinColumn::Right(value) => field(sides.right.node, right_value[*value]),
        }))
    }
}

/// Separates the equalities that can be keys from the other conditions. A column is a key only once per side; a second
/// equality on it becomes a condition on the pairs.
pub(super) fn split_keys(predicates: Vec<Predicate>, is_left: &dyn Fn(usize) -> bool) -> (Vec<Equality>, Vec<Expr>) {
    let (mut keys, mut residual): (Vec<Equality>, Vec<Expr>) = (Vec::new(), Vec::new());
    for predicate in predicates {
        match predicate.across(is_left) {
            Some(equality) if keys.iter().all(|key| key.left != equality.left && key.right != equality.right) => {
                keys.push(equality);
            }
            _ => residual.push(predicate.expr),
        }
    }
    (keys, residual)
}

fn edge(graph: &JoinGraph<'_>, predicate: &Predicate) -> Option<Edge> {
    let equality = predicate.equality.as_ref()?;
    let leaves = |expr: &Expr| -> BTreeSet<usize> {
        crate::lower::relation::positions(expr).iter().map(|column| graph.leaf_of(*column)).collect()
    };
    let (left, right) = (leaves(&equality.left), leaves(&equality.right));
    if left.is_empty() || right.is_empty() || !left.is_disjoint(&right) {
        return None;
    }
    Some(Edge { leaves: [left, right], columns: equality.plain().map(|(a, b)| [a, b]) })
}

fn position_or_push<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items.iter().position(|other| *other == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}
