//! Lowers LEFT, RIGHT, FULL, SEMI and ANTI joins to inner joins, semi joins and unions.
//!
//! ```text
//! left --+--> join (keys, condition) ------------------------------> union --> rows
//!        |       ^      |
//! right -+-------+      v  by key; with a condition: by whole row against the matched rows
//!        +--> anti join of left: rows without a partner --> padded with NULLs --^
//! ```
//!
//! Whether a row matches depends only on the columns of the preserved side that are read, so "whole row" means all of
//! these columns; rows that agree on them all match or all do not. NULL keys match nothing: the other side is filtered,
//! so a preserved row with a NULL key finds no partner.

use std::collections::BTreeMap;

use datafusion::common::{JoinType, ScalarValue};
use datafusion::logical_expr::{Expr, Join, lit};
use laminardb_dataflow::plan::{NodeId, Operator, SemiJoin, SemiJoinKind};

use crate::PlanError;
use crate::lower::Lowering;
use crate::lower::join::{Sides, split_keys};
use crate::lower::join_graph::{Equality, Predicate, join_predicates};
use crate::lower::relation::{Demand, Relation, column_scalar, compile, named_schema, null, project, row_marker};

/// Both sides of a join lowered over graph columns (left columns first, then right ones), and its condition.
struct Lowered {
    left: Relation,
    right: Relation,
    keys: Vec<Equality>,
    residual: Vec<Expr>,
    /// The conditions of an anti join that read only the rows it preserves.
    own: Vec<Expr>,
    /// Number of columns of the left side.
    width: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Lowering {
    pub(super) fn lower_outer_join(&mut self, join: &Join, demand: &Demand) -> Result<Relation, PlanError> {
        let Lowered { left, right, keys, residual, width, .. } = self.lower_sides(join, demand)?;
        let keep_left = join.join_type != JoinType::Right;
        let keep_right = join.join_type != JoinType::Left;
        let mut read = demand.clone();
        if !residual.is_empty() {
            // With a residual, matched rows are found by all columns of the preserved side that are read.
            let preserved = |column: &usize| if *column < width { keep_left } else { keep_right };
            let columns = left.columns.keys().chain(right.columns.keys());
            read.extend(columns.copied().filter(preserved));
        }
        let all = self.key_sides(left, right, &keys, &read, &residual)?;
        let filtered = self.without_null_key_rows(&all)?;
        // For the pairs it is enough to filter one side; the preserved side keeps its rows with NULL keys.
        let sides = if keep_left {
            Sides { left: all.left.clone(), ..filtered.clone() }
        } else {
            Sides { right: all.right.clone(), ..filtered.clone() }
        };
        let matched = self.join_sides(&sides, &read, &residual)?;
        let matched_rows = (!residual.is_empty()).then_some(&matched);
        let mut branches = vec![self.branch(&matched, demand, &matched)?];
        for side in [Side::Left, Side::Right] {
            if (side == Side::Left && keep_left) || (side == Side::Right && keep_right) {
                let sides = match side {
                    Side::Left => Sides { left: all.left.clone(), ..filtered.clone() },
                    Side::Right => Sides { right: all.right.clone(), ..filtered.clone() },
                };
                let unmatched = self.by_presence(&sides, side, matched_rows, &read, SemiJoinKind::Anti)?;
                branches.push(self.branch(&unmatched, demand, &matched)?);
            }
        }
        // A union of several branches has no unique key of its own, so its keys are derived here and stated below.
        let keys = self.outer_keys(join.join_type, &matched, (&all.left, &all.right), width, demand);
        let node = self.unite(branches);
        keys.iter().for_each(|key| self.builder.properties_mut(node).add_key(key));
        let columns = demand.iter().enumerate().map(|(place, column)| (*column, place)).collect();
        Ok(Relation { node, columns })
    }

    pub(super) fn lower_semi_join(&mut self, join: &Join, demand: &Demand) -> Result<Relation, PlanError> {
        let left_width = join.left.schema().fields().len();
        let (side, first) = match join.join_type {
            JoinType::RightSemi | JoinType::RightAnti => (Side::Right, left_width),
            _ => (Side::Left, 0),
        };
        let kind = match join.join_type {
            JoinType::LeftSemi | JoinType::RightSemi => SemiJoinKind::Semi,
            _ => SemiJoinKind::Anti,
        };
        let wanted: Demand = demand.iter().map(|column| first + column).collect();
        let Lowered { left, right, keys, residual, own, .. } = self.lower_sides(join, &wanted)?;
        if own.is_empty() {
            let result = self.semi_join((left, right), (&keys, &residual), &wanted, side, kind)?;
            let columns = demand.iter().map(|column| (*column, result.at(first + column))).collect();
            return Ok(Relation { node: result.node, columns });
        }
        // Rows that fail a condition of their own have no partner; only the others need to be looked up.
        let preserved = if side == Side::Left { left.clone() } else { right.clone() };
        let condition = own.into_iter().reduce(Expr::and).expect("there are conditions");
        let mut branches = Vec::new();
        let passed = self.filter(preserved.clone(), &[Expr::IsNotTrue(Box::new(condition.clone()))])?;
        branches.push(self.branch(&passed, &wanted, &preserved)?);
        if !never(&condition) {
            let tested = self.filter(preserved.clone(), &[condition])?;
            let sides = if side == Side::Left { (tested, right) } else { (left, tested) };
            let result = self.semi_join(sides, (&keys, &residual), &wanted, side, kind)?;
            branches.push(self.branch(&result, &wanted, &preserved)?);
        }
        let columns: BTreeMap<usize, usize> =
            demand.iter().enumerate().map(|(place, column)| (*column, place)).collect();
        let preserved_keys = self.builder.properties(preserved.node).unique_keys.clone();
        let node = self.unite(branches);
        for key in preserved_keys {
            // Every row is in exactly one branch, so a unique key of the input is one of the union too.
            let place = |place: &usize| wanted.iter().position(|column| preserved.at(*column) == *place);
            if let Some(key) = key.iter().map(place).collect::<Option<Vec<usize>>>() {
                self.builder.properties_mut(node).add_key(&key);
            }
        }
        Ok(Relation { node, columns })
    }

    /// Returns the rows of `side` that have a partner (semi) or have none (anti), over graph columns.
    fn semi_join(
        &mut self,
        (left, right): (Relation, Relation),
        (keys, residual): (&[Equality], &[Expr]),
        wanted: &Demand,
        side: Side,
        kind: SemiJoinKind,
    ) -> Result<Relation, PlanError> {
        let mut read = wanted.clone();
        if !residual.is_empty() {
            read.extend(if side == Side::Left { left.columns.keys() } else { right.columns.keys() });
        }
        let all = self.key_sides(left, right, keys, &read, residual)?;
        let filtered = self.without_null_key_rows(&all)?;
        let sides = match (kind, side) {
            (SemiJoinKind::Semi, _) => filtered,
            (SemiJoinKind::Anti, Side::Left) => Sides { left: all.left, ..filtered },
            (SemiJoinKind::Anti, Side::Right) => Sides { right: all.right, ..filtered },
        };
        if !residual.is_empty() {
            let matched = self.join_sides(&sides, &read, residual)?;
            return self.by_presence(&sides, side, Some(&matched), &read, kind);
        }
        if kind == SemiJoinKind::Semi && self.other_is_unique(&sides, side) {
            // Each row has at most one partner, so the join returns each row at most once.
            return self.join_sides(&sides, &read, residual);
        }
        self.by_presence(&sides, side, None, &read, kind)
    }

    fn other_is_unique(&self, sides: &Sides, side: Side) -> bool {
        let (other, key) = match side {
            Side::Left => (&sides.right, &sides.right_key),
            Side::Right => (&sides.left, &sides.left_key),
        };
        self.builder.properties(other.node).unique_on(key)
    }

    fn without_null_key_rows(&mut self, sides: &Sides) -> Result<Sides, PlanError> {
        let left = self.without_null_keys(sides.left.clone(), &sides.left_key, &sides.null_safe)?;
        let right = self.without_null_keys(sides.right.clone(), &sides.right_key, &sides.null_safe)?;
        Ok(Sides { left, right, ..sides.clone() })
    }

    fn lower_sides(&mut self, join: &Join, demand: &Demand) -> Result<Lowered, PlanError> {
        let width = join.left.schema().fields().len();
        let both = width + join.right.schema().fields().len();
        let left_columns: Vec<usize> = (0..width).collect();
        let right_columns: Vec<usize> = (width..both).collect();
        let predicates = join_predicates(join, &left_columns, &right_columns)?;
        let mut needed = demand.clone();
        predicates.iter().for_each(|predicate| needed.extend(&predicate.columns));
        let left = self.lower(&join.left, &needed.range(..width).copied().collect())?;
        let right = self.lower(&join.right, &needed.range(width..).map(|column| column - width).collect())?;
        let columns = right.columns.into_iter().map(|(column, place)| (column + width, place)).collect();
        let right = Relation { node: right.node, columns };
        let (own, predicates) = split_own(predicates, width, join.join_type);
        let (left_only, right_only, rest) = split_sides(predicates, width, join.join_type);
        let left = self.filter(left, &left_only)?;
        let right = self.filter(right, &right_only)?;
        let (keys, residual) = split_keys(rest, &|column| column < width);
        Ok(Lowered { left, right, keys, residual, own, width })
    }

    /// Returns the rows of one side that have (or lack) a partner. The partner is looked up by key or, if `matched` is
    /// given, by whole row among the matched pairs.
    fn by_presence(
        &mut self,
        sides: &Sides,
        side: Side,
        matched: Option<&Relation>,
        read: &Demand,
        kind: SemiJoinKind,
    ) -> Result<Relation, PlanError> {
        let (rows, key, other, other_key) = match side {
            Side::Left => (&sides.left, &sides.left_key, &sides.right, &sides.right_key),
            Side::Right => (&sides.right, &sides.right_key, &sides.left, &sides.left_key),
        };
        let (key, right, right_key) = match matched {
            None => (key.clone(), other.node, other_key.clone()),
            Some(matched) => {
                let (mut key, mut right_key) = (Vec::new(), Vec::new());
                for column in read.iter().filter(|column| rows.columns.contains_key(column)) {
                    if !key.contains(&rows.at(*column)) {
                        key.push(rows.at(*column));
                        right_key.push(matched.at(*column));
                    }
                }
                (key, matched.node, right_key)
            }
        };
        let places = read.iter().filter_map(|column| rows.columns.get(column)).copied();
        let mut value: Vec<usize> = Vec::new();
        for place in places.filter(|place| !key.contains(place)) {
            if !value.contains(&place) {
                value.push(place);
            }
        }
        if key.is_empty() && value.is_empty() {
            // A row without columns could not be distinguished from no row, so one column is kept.
            value.push(0);
        }
        let held: Vec<usize> = key.iter().chain(&value).copied().collect();
        let fields = self.builder.schema(rows.node).fields();
        let schema =
            named_schema(held.iter().map(|place| (fields[*place].name().clone(), fields[*place].data_type().clone())));
        let at = |place: &usize| held.iter().position(|other| other == place);
        let columns = rows.columns.iter().filter_map(|(column, place)| Some((*column, at(place)?))).collect();
        let left = self.builder.arrange(rows.node, key, value);
        let node = self.builder.add(Operator::SemiJoin(SemiJoin { left, right, right_key, kind }), schema);
        Ok(Relation { node, columns })
    }

    /// Projects `relation` to `demand`; columns of a side that it lacks are NULL. Types and names are those in `like`.
    fn branch(&mut self, relation: &Relation, demand: &Demand, like: &Relation) -> Result<NodeId, PlanError> {
        let mut columns = Vec::with_capacity(demand.len().max(1));
        for column in demand {
            let field = self.builder.schema(like.node).field(like.at(*column)).clone();
            let scalar = match relation.columns.get(column) {
                Some(place) => column_scalar(&self.builder, relation.node, *place)?,
                None => compile(&self.builder, relation.node, &null(field.data_type())?, |at| at)?,
            };
            columns.push((scalar, field.name().clone()));
        }
        if columns.is_empty() {
            columns.push(row_marker(&self.builder, relation.node)?);
        }
        Ok(project(&mut self.builder, relation.node, columns))
    }

    /// Returns the unique keys of the join: those of the pairs that also identify the rows of each preserved side.
    fn outer_keys(
        &self,
        join_type: JoinType,
        matched: &Relation,
        (left, right): (&Relation, &Relation),
        width: usize,
        demand: &Demand,
    ) -> Vec<Vec<usize>> {
        let (left_facts, right_facts) = (self.builder.properties(left.node), self.builder.properties(right.node));
        let translate = |key: &Vec<usize>| -> Option<Vec<usize>> {
            let mut picked = Vec::new();
            for place in key {
                let here: Vec<usize> = demand.iter().copied().filter(|column| matched.at(*column) == *place).collect();
                match join_type {
                    JoinType::Left => picked.push(*here.first()?),
                    JoinType::Right => picked.push(*here.last()?),
                    _ if here.is_empty() => return None,
                    _ => picked.extend(here),
                }
            }
            let (a, b): (Vec<usize>, Vec<usize>) = picked.iter().partition(|column| **column < width);
            let a: Vec<usize> = a.into_iter().map(|column| left.at(column)).collect();
            let b: Vec<usize> = b.into_iter().map(|column| right.at(column)).collect();
            // Otherwise a padded row could equal a padded row of the other side.
            let told = a.iter().any(|place| !left_facts.nullable[*place])
                || b.iter().any(|place| !right_facts.nullable[*place]);
            let unique = match join_type {
                JoinType::Left => left_facts.unique_on(&a),
                JoinType::Right => right_facts.unique_on(&b),
                _ => left_facts.unique_on(&a) && right_facts.unique_on(&b) && told,
            };
            let position = |column: &usize| demand.iter().position(|other| other == column);
            if unique { picked.iter().map(position).collect() } else { None }
        };
        self.builder.properties(matched.node).unique_keys.iter().filter_map(translate).collect()
    }
}

/// Separates the conditions of an anti join that read only preserved rows, or no columns at all, from the others.
fn split_own(predicates: Vec<Predicate>, width: usize, join_type: JoinType) -> (Vec<Expr>, Vec<Predicate>) {
    let preserved = |predicate: &Predicate| match join_type {
        JoinType::LeftAnti => predicate.columns.iter().all(|column| *column < width),
        JoinType::RightAnti => predicate.columns.iter().all(|column| *column >= width),
        _ => false,
    };
    let (own, others): (Vec<_>, Vec<_>) = predicates.into_iter().partition(preserved);
    let own = own.into_iter().map(|predicate| predicate.expr).filter(|expr| *expr != lit(true));
    (own.collect(), others)
}

/// Returns whether a condition is a literal other than TRUE.
fn never(condition: &Expr) -> bool {
    matches!(condition, Expr::Literal(value, _) if *value != ScalarValue::Boolean(Some(true)))
}

/// Returns the conjuncts that only filter the left side, those that only filter the right side, and the others. A
/// preserved side is not filtered.
fn split_sides(
    predicates: Vec<Predicate>,
    width: usize,
    join_type: JoinType,
) -> (Vec<Expr>, Vec<Expr>, Vec<Predicate>) {
    let semi = matches!(join_type, JoinType::LeftSemi | JoinType::RightSemi);
    let cut_left = semi || matches!(join_type, JoinType::Right | JoinType::RightAnti);
    let cut_right = semi || matches!(join_type, JoinType::Left | JoinType::LeftAnti);
    let (mut left, mut right, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for predicate in predicates {
        let of_left = predicate.columns.iter().all(|column| *column < width);
        let of_right = predicate.columns.iter().all(|column| *column >= width);
        match predicate.columns.is_empty() {
            true if predicate.expr == lit(true) => {}
            false if of_left && cut_left => left.push(predicate.expr),
            false if of_right && cut_right => right.push(predicate.expr),
            _ => rest.push(predicate),
        }
    }
    (left, right, rest)
}
