//! Rewrites IN and ANY/ALL as EXISTS with exact three-valued logic: true, false or unknown.
//!
//! ```text
//! x IN S      = CASE WHEN EXISTS(S: v = x) THEN true
//!                    WHEN EXISTS(S: v IS NULL) OR x IS NULL AND EXISTS(S) THEN NULL ELSE false END
//! x op ANY S  = the same with x op v
//! x op ALL S  = NOT (x not-op ANY S)
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Operator, Subquery, binary_expr, lit, when};

use crate::decorrelate::outer_reference::{as_reference, has_subquery};

/// Rewrites IN and ANY/ALL of subqueries in `expr`, which is over `schema`, as EXISTS.
pub(super) fn with_exists(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let replaced = expr.transform_up(|expr| {
        Ok(match expr {
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let any = any(*expr, Operator::Eq, &subquery, schema)?;
                Transformed::yes(if negated { !any } else { any })
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                Transformed::yes(match quantifier {
                    SetQuantifier::Any => any(*expr, op, &subquery, schema)?,
                    SetQuantifier::All => match op.negate() {
                        Some(negated) => !any(*expr, negated, &subquery, schema)?,
                        None => return not_impl_err!("{op} ALL of a subquery"),
                    },
                })
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(replaced.data)
}

fn any(value: Expr, op: Operator, subquery: &Subquery, schema: &DFSchema) -> Result<Expr> {
    if has_subquery(&value) {
        return not_impl_err!("a subquery on both sides of IN, ANY or ALL");
    }
    let Some(column) = subquery.subquery.schema().columns().into_iter().next() else {
        return not_impl_err!("a subquery without columns");
    };
    // The subquery's own columns take precedence over the value's, so the subquery gets a relation name of its own.
    let inner = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
        .project([Expr::Column(column).alias("__value")])?
        .alias("__subquery")?
        .build()?;
    let exists = |condition: Option<Expr>| -> Result<Expr> {
        let mut plan = LogicalPlanBuilder::from(inner.clone());
        if let Some(condition) = condition {
            plan = plan.filter(condition)?;
        }
        let subquery = Subquery {
            subquery: Arc::new(plan.build()?),
            outer_ref_columns: subquery.outer_ref_columns.clone(),
            spans: subquery.spans.clone(),
        };
        Ok(Expr::Exists(Exists { subquery, negated: false }))
    };
    let contained = super::column("__subquery", "__value");
    // A comparison is unknown exactly if a side is NULL. Tested separately, neither side needs all pairs of values.
    let null_contained = exists(Some(contained.clone().is_null()))?;
    let null_compared = value.clone().is_null().and(exists(None)?);
    let compared = binary_expr(as_reference(value, schema)?, op, contained);
    when(exists(Some(compared))?, lit(true))
        .when(null_contained.or(null_compared), lit(ScalarValue::Boolean(None)))
        .otherwise(lit(false))
}
