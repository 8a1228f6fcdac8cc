//! Expressions that compute their values from those of one operand.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use super::text::is_bare;

/// What such an expression does with the values of its operand.
pub(super) trait Operation: fmt::Debug + Clone + Eq + Hash + Send + Sync + 'static {
    /// Returns the type of the result for an operand of this type.
    fn data_type(&self, operand: DataType) -> DataType {
        operand
    }

    /// Returns whether a result can be NULL where the operand is not.
    fn makes_nulls(&self) -> bool {
        false
    }

    /// Computes the results.
    fn apply(&self, values: &ArrayRef) -> Result<ArrayRef>;

    /// Writes the expression; an operation that changes nothing that SQL knows writes the operand alone, as one whole.
    fn write(&self, f: &mut fmt::Formatter<'_>, operand: &dyn PhysicalExpr) -> fmt::Result {
        if is_bare(operand) { write!(f, "({operand})") } else { write!(f, "{operand}") }
    }
}

/// An operation with its operand.
#[derive(Debug, Eq)]
pub(super) struct Unary<O> {
    operation: O,
    operand: Arc<dyn PhysicalExpr>,
}

impl<O: Operation> Unary<O> {
    /// Applies `operation` to `operand`.
    pub(super) fn of(operation: O, operand: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        Arc::new(Unary { operation, operand: Arc::clone(operand) })
    }
}

// Not derived: the derived implementation would move out of `Arc<dyn PhysicalExpr>`.
impl<O: PartialEq> PartialEq for Unary<O> {
    fn eq(&self, other: &Self) -> bool {
        self.operation == other.operation && self.operand.eq(&other.operand)
    }
}

impl<O: Hash> Hash for Unary<O> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operation.hash(state);
        self.operand.hash(state);
    }
}

impl<O: Operation> fmt::Display for Unary<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.write(f, self.operand.as_ref())
    }
}

impl<O: Operation> PhysicalExpr for Unary<O> {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        Ok(self.operation.data_type(self.operand.data_type(schema)?))
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.operation.makes_nulls() || self.operand.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.operand.evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(self.operation.apply(&values)?),
            // Without rows there is no value, so there must be no error of one.
            ColumnarValue::Scalar(value) if batch.num_rows() == 0 => {
                ColumnarValue::Array(self.operation.apply(&value.to_array_of_size(0)?)?)
            }
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&self.operation.apply(&value.to_array()?)?, 0)?)
            }
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.operand]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Unary::of(self.operation.clone(), &children[0]))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
