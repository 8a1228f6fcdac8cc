//! Comparisons in which -0.0 equals 0.0, all NaNs are equal, and a month is 30 days. Arrow's kernels distinguish these.
//!
//! Inside lists and structs, NULL is a value and the greatest one: nested values are compared by bytes with that order.
//!
//! As a result `=` and the other operators, IN, and CASE with an operand agree with grouping and joining.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column, InListExpr, Literal};
use laminardb_dataflow::{interval, row_bytes};

use super::unary::{Operation, Unary};

/// Makes the comparison `binary` use our rules.
pub(super) fn binary(binary: &BinaryExpr) -> BinaryExpr {
    BinaryExpr::new(operand(binary.left()), *binary.op(), operand(binary.right()))
}

/// Makes the IN list `list` use our rules.
///
/// DataFusion looks literals up in a table that it keeps even when children are replaced. So the table is made anew:
/// from the current literals, or none if the list contains anything else.
pub(super) fn in_list(list: &InListExpr) -> Result<Arc<dyn PhysicalExpr>> {
    let items: Vec<_> = list.list().iter().map(operand).collect();
    let values: Option<Vec<_>> = items.iter().map(|item| literal(item).cloned()).collect();
    // Nested values are compared as bytes, so nested literals cannot be in the table.
    let values = values.filter(|values| !values.iter().any(|value| value.data_type().is_nested()));
    let data_type = values.iter().flatten().map(ScalarValue::data_type).find(|data_type| *data_type != DataType::Null);
    // The binder has checked the types; a column of the list's type stands in for the value that is looked up.
    let data_type = data_type.unwrap_or(DataType::Null);
    let column = Arc::new(Column::new("value", 0)) as Arc<dyn PhysicalExpr>;
    let schema = Schema::new(vec![Field::new("value", data_type, true)]);
    let table = if values.is_some() { items.clone() } else { vec![Arc::clone(&column)] };
    let table = Arc::new(InListExpr::try_new(column, table, list.negated(), &schema)?);
    table.with_new_children(std::iter::once(operand(list.expr())).chain(items).collect())
}

/// Makes a CASE with an operand compare as `=` does; returns `None` for a CASE without one.
pub(super) fn case(case: &CaseExpr) -> Option<Result<Arc<dyn PhysicalExpr>>> {
    let value = operand(case.expr()?);
    let branches = case.when_then_expr().iter().map(|(when, then)| (operand(when), Arc::clone(then))).collect();
    let compared = CaseExpr::try_new(Some(value), branches, case.else_expr().cloned());
    Some(compared.map(|case| Arc::new(case) as Arc<dyn PhysicalExpr>))
}

/// Returns `arg` as comparisons see it; a literal stays a literal because DataFusion treats literals specially.
fn operand(arg: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    match literal(arg) {
        Some(value) if !value.data_type().is_nested() => Arc::new(Literal::new(compared_scalar(value.clone()))),
        _ => Unary::of(Compared, arg),
    }
}

fn literal(arg: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    arg.downcast_ref::<Literal>().map(Literal::value)
}

/// Maps the operand to the form in which it is compared; see [`compared`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Compared;

impl Operation for Compared {
    fn data_type(&self, operand: DataType) -> DataType {
        compared_type(&operand)
    }

    fn apply(&self, values: &ArrayRef) -> Result<ArrayRef> {
        compared(values)
    }
}

/// Maps equal numbers to one: adding 0.0 changes -0.0 and no other number.
fn one_f64(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x + 0.0 }
}

fn one_f32(x: f32) -> f32 {
    if x.is_nan() { f32::NAN } else { x + 0.0 }
}

/// Returns the values in the form that comparisons and orders use: 0.0 for -0.0, one NaN for all NaNs, one interval for
/// all of the same length, and bytes for lists and structs.
pub fn compared(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Float64 => Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(one_f64)),
        DataType::Float32 => Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(one_f32)),
        nested if nested.is_nested() => Arc::new(row_bytes::order_bytes(values)?),
        _ => interval::map(values, interval::ordered),
    })
}

/// Returns the type of [`compared`] values of `data_type`.
pub fn compared_type(data_type: &DataType) -> DataType {
    if data_type.is_nested() { DataType::Binary } else { data_type.clone() }
}

/// Returns the values as group keys are shown; values that compare as equal become the same value.
pub fn grouped(values: &ArrayRef) -> ArrayRef {
    interval::map(&row_bytes::normalise(values), interval::plain)
}

fn compared_scalar(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float64(Some(x)) => ScalarValue::from(one_f64(x)),
        ScalarValue::Float32(Some(x)) => ScalarValue::from(one_f32(x)),
        ScalarValue::IntervalMonthDayNano(Some(value)) => {
            ScalarValue::IntervalMonthDayNano(Some(interval::ordered(value)))
        }
        other => other,
    }
}
