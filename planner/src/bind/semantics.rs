//! Applies our semantics in place of DataFusion's, to a plan whose types are coerced.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Union, cast};

use crate::decorrelate::is_one_row;
use crate::error::PlanError;
use crate::function::{divisor, may_be_null};

/// Replaces what DataFusion computes differently from us, and refuses what it computes wrongly.
pub(super) fn apply(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let mut may_be_null = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                may_be_null |= is_division(expr) || is_scalar_subquery(expr);
                refuse_wrong(expr)?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    if !may_be_null {
        return Ok(plan);
    }
    // A value that can be NULL makes columns nullable in all plans above it, so their schemas are recomputed.
    let marked = plan.transform_up_with_subqueries(|node| {
        // The name of an aggregate contains its FILTER, where the mark would show, so names are preserved.
        let names = NamePreserver::new(&node);
        let marked = node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(mark)?.update_data(|expr| name.restore(expr)))
        })?;
        marked.transform_data(with_new_schema)
    })?;
    Ok(marked.data)
}

/// Returns the node with the schema that it has over its inputs as they are now.
pub(super) fn with_new_schema(node: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    Ok(Transformed::yes(match node {
        LogicalPlan::Union(union) => union_of(union)?,
        other => other.recompute_schema()?,
    }))
}

/// The union with columns that are nullable where those of an input are; DataFusion keeps them as they were planned.
fn union_of(union: Union) -> PlanResult<LogicalPlan> {
    let Union { inputs, schema } = union;
    let fields = schema.iter().enumerate().map(|(column, (qualifier, field))| {
        let is_nullable = inputs.iter().any(|input| input.schema().field(column).is_nullable());
        (qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(is_nullable)))
    });
    let schema = Arc::new(DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?);
    Ok(LogicalPlan::Union(Union { inputs, schema }))
}

/// Refuses operators of which DataFusion gives wrong answers.
fn refuse_wrong(expr: &Expr) -> PlanResult<()> {
    let refused = match expr {
        Expr::SimilarTo(_) => "SIMILAR TO is not supported; use LIKE or ~",
        Expr::Like(like) if like.escape_char.is_some_and(|escape| escape != '\\') => {
            "LIKE ... ESCAPE is supported with the backslash only"
        }
        _ => return Ok(()),
    };
    Err(PlanError::invalid(refused).into())
}

/// Returns whether this is a division or modulo whose divisor can be zero or NULL.
fn is_division(expr: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { op: Operator::Divide | Operator::Modulo, right, .. }) = expr else {
        return false;
    };
    match right.as_ref() {
        Expr::Literal(value, _) => {
            value.is_null() || ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
        }
        _ => true,
    }
}

/// Returns whether this is a scalar subquery that may have no row, which makes its value NULL.
fn is_scalar_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(subquery) if !is_one_row(&subquery.subquery))
}

/// Tells DataFusion that division by zero gives NULL, and so does a scalar subquery without a row.
///
/// Otherwise it would take `a / b IS NULL` for false if neither `a` nor `b` can be NULL, and `(SELECT a ...) IS NULL`
/// if `a` cannot.
fn mark(expr: Expr) -> PlanResult<Transformed<Expr>> {
    let marked = match expr {
        expr if is_scalar_subquery(&expr) => may_be_null(expr),
        // The column of the outer query may be such a value.
        Expr::OuterReferenceColumn(field, column) => {
            Expr::OuterReferenceColumn(Arc::new(field.as_ref().clone().with_nullable(true)), column)
        }
        expr if !is_division(&expr) => return Ok(Transformed::no(expr)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Expr::BinaryExpr(BinaryExpr { left, op, right: Box::new(divisor(*right)) })
        }
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(marked))
}

/// Casts output columns of types that only DataFusion uses to our types.
pub(super) fn plain_output(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let plain: Vec<_> = plan.schema().fields().iter().map(|field| plain_type(field.data_type())).collect();
    if plain.iter().all(Option::is_none) {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter().zip(plain).map(|(column, plain)| match plain {
        Some(data_type) => cast(Expr::Column(column.clone()), data_type).alias(column.name),
        None => Expr::Column(column),
    });
    let columns: Vec<_> = columns.collect();
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}

/// Returns our type for a type that only DataFusion uses; `None` for other types.
pub(super) fn plain_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => Some(DataType::Utf8),
        DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
        DataType::Dictionary(_, value) => Some(plain_type(value).unwrap_or_else(|| value.as_ref().clone())),
        _ => None,
    }
}
