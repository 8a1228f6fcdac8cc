//! Checks CAST by DuckDB's rules: which types can be cast, and what replaces a cast that DataFusion lacks. Also replaces
//! what the syntax tree alone calls.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast, lit};

use crate::error::PlanError;
use crate::function::{in_cast, map_written_out};
use crate::scope::scope_of;
use crate::statement::type_name;

/// Refuses casts that a query may not contain. Must run before types are coerced, which adds more casts.
pub(super) fn check(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let checked = plan.transform_up_with_subqueries(|node| {
        let schema = scope_of(&node);
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let checked = expr
                .transform_up(|expr| map_written_out(expr, &schema)?.transform_data(|expr| checked(expr, &schema)))?;
            Ok(checked.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(checked.data)
}

fn checked(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    // The mark has served: its name is kept.
    if let Some(cast) = in_cast(&expr) {
        return Ok(Transformed::yes(cast.clone()));
    }
    let (Expr::Cast(Cast { expr: arg, field }) | Expr::TryCast(TryCast { expr: arg, field })) = &expr else {
        return Ok(Transformed::no(expr));
    };
    // An argument without a type is a parameter, or it is refused later.
    let Ok(from) = arg.get_type(schema) else { return Ok(Transformed::no(expr)) };
    let to = field.data_type();
    match (&from, to) {
        (DataType::Decimal128(..), DataType::Boolean) => Ok(Transformed::yes(arg.as_ref().clone().not_eq(lit(0_i64)))),
        (DataType::Boolean, DataType::Decimal128(..)) => {
            let number = Box::new(cast(arg.as_ref().clone(), DataType::Int8));
            Ok(Transformed::yes(match &expr {
                Expr::TryCast(cast) => Expr::TryCast(TryCast { expr: number, ..cast.clone() }),
                _ => cast(*number, to.clone()),
            }))
        }
        _ if is_cast(TypeClass::of(&from), TypeClass::of(to)) => Ok(Transformed::no(expr)),
        _ => {
            let (from, to) = (type_name(&from), type_name(to));
            Err(PlanError::invalid(format!("a {from} cannot be cast to {to}")).into())
        }
    }
}

/// A class of types that can be cast alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TypeClass {
    Number,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    Interval,
    Nested,
    /// NULL without a type, and types that SQL cannot name.
    Any,
}

impl TypeClass {
    fn of(data_type: &DataType) -> TypeClass {
        match data_type {
            DataType::Boolean => TypeClass::Number,
            number if number.is_numeric() => TypeClass::Number,
            text if text.is_string() => TypeClass::Text,
            bytes if bytes.is_binary() => TypeClass::Bytes,
            DataType::Date32 | DataType::Date64 => TypeClass::Date,
            DataType::Time32(_) | DataType::Time64(_) => TypeClass::Time,
            DataType::Timestamp(..) => TypeClass::Timestamp,
            DataType::Interval(_) | DataType::Duration(_) => TypeClass::Interval,
            nested if nested.is_nested() => TypeClass::Nested,
            _ => TypeClass::Any,
        }
    }
}

fn is_cast(from: TypeClass, to: TypeClass) -> bool {
    use TypeClass::{Any, Bytes, Date, Nested, Text, Time, Timestamp};
    match (from, to) {
        (Any, _) | (_, Any | Text) => true,
        (Text, Nested) => false,
        (Text, _) | (Bytes, Bytes) => true,
        (Date | Timestamp, Date | Timestamp) | (Timestamp, Time) => true,
        _ => from == to,
    }
}
