//! References of a subquery to outer queries.
//!
//! DataFusion stores only the column, not the level: a reference belongs to the nearest outer query whose input has the
//! column. So the references of a nested subquery are those that the plan around it does not resolve.

use std::collections::BTreeMap;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use crate::scope::scope_of;

/// Maps the columns that references name to the columns that replace them.
pub(super) type Replacements = BTreeMap<Column, Column>;

/// Returns the columns of outer queries that `plan` refers to, each once.
pub(crate) fn references(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut found = Vec::new();
    plan.apply(|node| {
        let scope = scope_of(node);
        node.apply_expressions(|expr| {
            expression_references(expr, &scope, &mut found)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// Adds the references of `expr`, which is over `scope`, to `found`.
pub(super) fn expression_references(expr: &Expr, scope: &DFSchema, found: &mut Vec<Column>) -> Result<()> {
    expr.apply(|expr| {
        if let Expr::OuterReferenceColumn(_, column) = expr
            && !found.contains(column)
        {
            found.push(column.clone());
        }
        if let Some(subquery) = subquery_of(expr) {
            for column in references(&subquery.subquery)? {
                if !scope.has_column(&column) && !found.contains(&column) {
                    found.push(column);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Returns the subquery of a subquery expression.
pub(crate) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(contained) => Some(&contained.subquery),
        Expr::SetComparison(comparison) => Some(&comparison.subquery),
        _ => None,
    }
}

/// Returns whether `expr` contains a subquery.
pub(super) fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(subquery_of(expr).is_some())).expect("the visitor does not fail")
}

/// Replaces references in `expr` by columns, and references in nested subqueries by references to these columns.
pub(super) fn replace(expr: Expr, scope: &DFSchema, with: &Replacements) -> Result<Expr> {
    let replaced = expr.transform_up(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(field, column) => match with.get(&column) {
                Some(new) => Transformed::yes(Expr::Column(new.clone())),
                None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
            },
            other => replace_nested(other, scope, with)?,
        })
    })?;
    Ok(replaced.data)
}

/// Replaces the references inside a subquery expression by other references.
fn replace_nested(expr: Expr, scope: &DFSchema, with: &Replacements) -> Result<Transformed<Expr>> {
    // A column that the scope around the subquery resolves is not a reference beyond that scope.
    let visible: Replacements =
        with.iter().filter(|(old, _)| !scope.has_column(old)).map(|(old, new)| (old.clone(), new.clone())).collect();
    let in_subquery = |subquery: Subquery| -> Result<Subquery> {
        let plan = std::sync::Arc::unwrap_or_clone(subquery.subquery);
        Ok(Subquery { subquery: std::sync::Arc::new(replace_references(plan, &visible)?), ..subquery })
    };
    Ok(match expr {
        Expr::ScalarSubquery(subquery) => Transformed::yes(Expr::ScalarSubquery(in_subquery(subquery)?)),
        Expr::Exists(Exists { subquery, negated }) => {
            Transformed::yes(Expr::Exists(Exists { subquery: in_subquery(subquery)?, negated }))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery: in_subquery(subquery)?, negated }))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            let subquery = in_subquery(subquery)?;
            Transformed::yes(Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }))
        }
        other => Transformed::no(other),
    })
}

/// Renames the references in `plan`.
fn replace_references(plan: LogicalPlan, with: &Replacements) -> Result<LogicalPlan> {
    let replaced = plan.transform_up(|node| {
        let scope = scope_of(&node);
        node.map_expressions(|expr| {
            expr.transform_up(|expr| {
                Ok(match expr {
                    Expr::OuterReferenceColumn(field, column) => match with.get(&column) {
                        Some(new) => Transformed::yes(Expr::OuterReferenceColumn(field, new.clone())),
                        None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                    },
                    other => replace_nested(other, &scope, with)?,
                })
            })
        })
    })?;
    Ok(replaced.data)
}

/// Turns columns of the outer query, which has `schema`, into references, for use of `expr` in a subquery.
pub(super) fn as_reference(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let replaced = expr.transform_up(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                let (_, field) = schema.qualified_field_from_column(&column)?;
                Transformed::yes(Expr::OuterReferenceColumn(std::sync::Arc::clone(field), column))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(replaced.data)
}
