//! Comparisons for which -0.0 and 0.0 are one number, all NaNs are, and a month is 30 days; Arrow's tell them apart.
//!
//! Inside lists and structs NULL is a value, the greatest: these are compared by bytes that have their order.
//!
//! So `=` and the rest, IN, and CASE with an operand agree with grouping and joining on each other.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column, InListExpr, Literal};
use laminardb_dataflow::{interval, row_bytes};

/// The comparison `binary`.
pub(super) fn binary(binary: &BinaryExpr) -> BinaryExpr {
    BinaryExpr::new(operand(binary.left()), *binary.op(), operand(binary.right()))
}

/// The IN list `list`.
///
/// DataFusion looks literals up in a table that it keeps when children are replaced, so the table is made anew: of the
/// literals as they are now, or none when the list has anything else.
pub(super) fn in_list(list: &InListExpr) -> Result<Arc<dyn PhysicalExpr>> {
    let items: Vec<_> = list.list().iter().map(operand).collect();
    let values: Option<Vec<_>> = items.iter().map(|item| literal(item).cloned()).collect();
    // Nested literals are no literals as they are compared.
    let values = values.filter(|values| !values.iter().any(|value| value.data_type().is_nested()));
    let data_type = values.iter().flatten().map(ScalarValue::data_type).find(|data_type| *data_type != DataType::Null);
    // The types are checked already; a column of the list's type stands for the value that is looked up.
    let data_type = data_type.unwrap_or(DataType::Null);
    let column = Arc::new(Column::new("value", 0)) as Arc<dyn PhysicalExpr>;
    let schema = Schema::new(vec![Field::new("value", data_type, true)]);
    let table = if values.is_some() { items.clone() } else { vec![Arc::clone(&column)] };
    let table = Arc::new(InListExpr::try_new(column, table, list.negated(), &schema)?);
    table.with_new_children(std::iter::once(operand(list.expr())).chain(items).collect())
}

/// CASE with an operand: it is compared as by `=`.
pub(super) fn case(case: &CaseExpr) -> Option<Result<Arc<dyn PhysicalExpr>>> {
    let value = operand(case.expr()?);
    let branches = case.when_then_expr().iter().map(|(when, then)| (operand(when), Arc::clone(then))).collect();
    let compared = CaseExpr::try_new(Some(value), branches, case.else_expr().cloned());
    Some(compared.map(|case| Arc::new(case) as Arc<dyn PhysicalExpr>))
}

/// `arg` as a comparison sees it; a literal stays one, because DataFusion treats these apart.
fn operand(arg: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    match literal(arg) {
        Some(value) if !value.data_type().is_nested() => Arc::new(Literal::new(compared_scalar(value.clone()))),
        _ => Arc::new(Compared { arg: Arc::clone(arg) }),
    }
}

fn literal(arg: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    arg.downcast_ref::<Literal>().map(Literal::value)
}

/// Its operand, with 0.0 in place of -0.0, one NaN in place of any, one interval in place of all of its length, and
/// bytes in place of lists and structs.
#[derive(Debug, Eq)]
struct Compared {
    arg: Arc<dyn PhysicalExpr>,
}

// Written out because the derived one moves out of `Arc<dyn PhysicalExpr>`.
impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        self.arg.eq(&other.arg)
    }
}

impl Hash for Compared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.arg.hash(state);
    }
}

/// Adding 0.0 changes -0.0 and no other number.
fn one_f64(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x + 0.0 }
}

fn one_f32(x: f32) -> f32 {
    if x.is_nan() { f32::NAN } else { x + 0.0 }
}

/// The values as comparisons and orders see them: 0.0 for -0.0, one NaN for all, one interval of each length, bytes for
/// lists and structs.
pub fn compared(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Float64 => Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(one_f64)),
        DataType::Float32 => Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(one_f32)),
        nested if nested.is_nested() => Arc::new(row_bytes::order_bytes(values)?),
        _ => interval::map(values, interval::ordered),
    })
}

/// The type of values of a type as comparisons see them.
pub fn compared_type(data_type: &DataType) -> DataType {
    if data_type.is_nested() { DataType::Binary } else { data_type.clone() }
}

/// The values as keys of groups are shown: equal where those that are compared are.
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

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.arg)
    }
}

impl PhysicalExpr for Compared {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        Ok(compared_type(&self.arg.data_type(schema)?))
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.arg.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.arg.evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(compared(&values)?),
            ColumnarValue::Scalar(value) if value.data_type().is_nested() => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&compared(&value.to_array()?)?, 0)?)
            }
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(compared_scalar(value)),
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.arg]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Compared { arg: Arc::clone(&children[0]) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arg.fmt_sql(f)
    }
}
