//! Decides whether an expression can fail on a row for which all its columns could be computed.
//!
//! Rules that move or drop expressions ask this first, so only expressions that are known never to fail count as safe.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

/// Functions that have a value for all arguments of their types.
const TOTAL: [&str; 25] = [
    "bit_length",
    "btrim",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "divisor",
    "ends_with",
    "greatest",
    "ifnull",
    "least",
    "length",
    "lower",
    "ltrim",
    "may_be_null",
    "nvl",
    "nvl2",
    "octet_length",
    "position",
    "rtrim",
    "starts_with",
    "strpos",
    "struct",
    "trim",
    "upper",
];

/// Returns whether `expr`, over the columns of `schema`, can fail.
pub(super) fn can_fail(expr: &Expr, schema: &DFSchema) -> bool {
    let mut found = false;
    expr.apply(|expr| {
        found = node_can_fail(expr, schema);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("the visitor does not fail");
    found
}

/// Returns whether the outermost operation of `expr` can fail when its operands do not.
fn node_can_fail(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) | Expr::OuterReferenceColumn(..) | Expr::Alias(_) => false,
        Expr::BinaryExpr(binary) => operator_can_fail(binary, schema),
        Expr::Negative(arg) => !is_float(arg, schema),
        Expr::Cast(cast) => {
            let Ok(from) = cast.expr.get_type(schema) else { return true };
            !always_fits(&from, cast.field.data_type())
        }
        // It casts values of two types to a common one itself.
        Expr::ScalarFunction(call) if call.func.name() == "nullif" => !have_one_type(&call.args, schema),
        Expr::ScalarFunction(call) => !TOTAL.contains(&call.func.name()),
        other => !is_total(other),
    }
}

/// Returns whether the outermost operation of `expr` is part of the language, depends on its operands alone, and has a
/// value for all of them.
pub(super) fn is_total(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Like(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Case(_)
            | Expr::TryCast(_)
    )
}

fn operator_can_fail(binary: &BinaryExpr, schema: &DFSchema) -> bool {
    use Operator::{And, BitwiseAnd, BitwiseOr, BitwiseXor, Divide, Modulo, Or, StringConcat};
    match binary.op {
        And | Or | BitwiseAnd | BitwiseOr | BitwiseXor | StringConcat => false,
        op if is_comparison(op) => false,
        // Division by zero is NULL, and the minimum integer modulo -1 is 0, so nothing can overflow.
        Modulo => !is_integer(&binary.left, schema) && !is_float(&binary.left, schema),
        Operator::Plus | Operator::Minus | Operator::Multiply | Divide => {
            !is_float(&binary.left, schema) || !is_float(&binary.right, schema)
        }
        _ => true,
    }
}

/// Returns whether an operator compares two values.
pub(super) fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn have_one_type(exprs: &[Expr], schema: &DFSchema) -> bool {
    let types = exprs.iter().map(|expr| expr.get_type(schema)).collect::<Result<Vec<_>, _>>();
    types.is_ok_and(|types| types.windows(2).all(|pair| pair[0] == pair[1]))
}

fn is_float(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_floating())
}

fn is_integer(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer())
}

/// Returns whether a cast succeeds for every value of a type.
fn always_fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Date32, Float16, Float32, Float64, Timestamp, Utf8};
    if from == to {
        return true;
    }
    match (from, to) {
        (DataType::Null, _) => true,
        (from, Float64) => from.is_numeric(),
        (from, Float32) => from.is_integer() || matches!(from, Float16),
        (from, Utf8) => from.is_numeric() || matches!(from, Boolean | Date32 | Timestamp(..) | DataType::Time64(_)),
        (from, to) if from.is_integer() && to.is_integer() => integer_holds(to, from),
        (from, DataType::Decimal128(precision, scale)) if from.is_integer() => {
            // An integer of any type has at most 20 digits.
            i16::from(*precision) - i16::from(*scale) >= 20
        }
        (DataType::Decimal128(p, s), DataType::Decimal128(wide_p, wide_s)) => {
            wide_s >= s && i16::from(*wide_p) - i16::from(*wide_s) >= i16::from(*p) - i16::from(*s)
        }
        // Microseconds end in the year 294247; dates go beyond it.
        (Date32, Timestamp(unit, _)) => matches!(unit, TimeUnit::Second | TimeUnit::Millisecond),
        _ => false,
    }
}

/// Returns whether an integer type holds all values of another.
fn integer_holds(wide: &DataType, narrow: &DataType) -> bool {
    let bits = |data_type: &DataType| data_type.primitive_width().unwrap_or(0);
    match (wide.is_signed_integer(), narrow.is_signed_integer()) {
        (true, true) | (false, false) => bits(wide) >= bits(narrow),
        (true, false) => bits(wide) > bits(narrow),
        (false, true) => false,
    }
}
