//! Comparisons for which -0.0 and 0.0 are one number; Arrow's tell them apart.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::BinaryExpr;

/// The comparison `binary` of operands that have one zero.
pub(super) fn of_one_zero(binary: &BinaryExpr) -> BinaryExpr {
    let operand = |arg: &Arc<dyn PhysicalExpr>| Arc::new(OneZero { arg: Arc::clone(arg) }) as Arc<dyn PhysicalExpr>;
    BinaryExpr::new(operand(binary.left()), *binary.op(), operand(binary.right()))
}

/// Its operand, with 0.0 in place of -0.0.
#[derive(Debug, Eq)]
struct OneZero {
    arg: Arc<dyn PhysicalExpr>,
}

// Written out because the derived one moves out of `Arc<dyn PhysicalExpr>`.
impl PartialEq for OneZero {
    fn eq(&self, other: &Self) -> bool {
        self.arg.eq(&other.arg)
    }
}

impl Hash for OneZero {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.arg.hash(state);
    }
}

/// Adding 0.0 changes -0.0 and no other number.
fn one_zero(values: ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Float64 => Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| x + 0.0)),
        DataType::Float32 => Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(|x| x + 0.0)),
        _ => values,
    }
}

impl fmt::Display for OneZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.arg)
    }
}

impl PhysicalExpr for OneZero {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.arg.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.arg.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.arg.evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(one_zero(values)),
            ColumnarValue::Scalar(ScalarValue::Float64(Some(x))) => ColumnarValue::from(ScalarValue::from(x + 0.0)),
            ColumnarValue::Scalar(ScalarValue::Float32(Some(x))) => ColumnarValue::from(ScalarValue::from(x + 0.0)),
            other => other,
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.arg]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(OneZero { arg: Arc::clone(&children[0]) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arg.fmt_sql(f)
    }
}
