//! Splits conjunctions into conditions that can be moved separately.

use std::collections::HashSet;

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction_owned;

use super::can_fail::can_fail;

/// Returns the conjuncts of `predicate` over the columns of `schema`, each once and in order, as conditions that remain
/// correct wherever each of them is evaluated.
///
/// A conjunct that can fail is guarded by those before it: `a.ok AND f(b.x)` must not compute `f` where `a.ok` is not
/// true. So it is combined with the earlier conjuncts that read other columns, and can only be moved where these can.
/// Earlier conjuncts that read no other columns than it can be moved wherever it can, and stay before it there.
pub(crate) fn movable(predicate: Expr, schema: &DFSchema) -> Vec<Expr> {
    let conjuncts = split(predicate);
    let columns: Vec<HashSet<Column>> =
        conjuncts.iter().map(|conjunct| conjunct.column_refs().into_iter().cloned().collect()).collect();
    let guarded = |(at, conjunct): (usize, &Expr)| {
        if !can_fail(conjunct, schema) {
            return conjunct.clone();
        }
        let guards = (0..at).filter(|guard| !columns[*guard].is_subset(&columns[at])).map(|guard| &conjuncts[guard]);
        all(guards.chain([conjunct]).cloned()).expect("at least the conjunct itself")
    };
    conjuncts.iter().enumerate().map(guarded).collect()
}

/// Returns the conjuncts of `predicate`, each once and in order.
pub(super) fn split(predicate: Expr) -> Vec<Expr> {
    let mut conjuncts: Vec<Expr> = Vec::new();
    for conjunct in split_conjunction_owned(predicate) {
        if !conjuncts.contains(&conjunct) {
            conjuncts.push(conjunct);
        }
    }
    conjuncts
}

/// Returns the conjunction of `conditions` in order, or `None` if there are none.
pub(super) fn all(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    conditions.into_iter().reduce(Expr::and)
}

/// Returns the operands of a chain of OR, in order.
pub(super) fn alternatives(expr: &Expr) -> Vec<&Expr> {
    use datafusion::logical_expr::{BinaryExpr, Operator};
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut found = alternatives(left);
            found.extend(alternatives(right));
            found
        }
        other => vec![other],
    }
}
