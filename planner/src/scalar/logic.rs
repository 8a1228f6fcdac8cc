//! AND, OR and COALESCE whose errors depend on the row alone, not on the batch it is in.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and_kleene, is_null, or_kleene};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::BinaryExpr;

/// AND or OR; an error of the right side counts only on rows that the left side does not decide.
#[derive(Debug, Eq)]
pub(super) struct Logic {
    left: Arc<dyn PhysicalExpr>,
    right: Arc<dyn PhysicalExpr>,
    and: bool,
}

// Not derived: the derived implementation would move out of `Arc<dyn PhysicalExpr>`.
impl PartialEq for Logic {
    fn eq(&self, other: &Self) -> bool {
        self.left.eq(&other.left) && self.right.eq(&other.right) && self.and == other.and
    }
}

impl Hash for Logic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.left.hash(state);
        self.right.hash(state);
        self.and.hash(state);
    }
}

impl Logic {
    /// Makes the node for a binary AND or OR.
    pub(super) fn new(binary: &BinaryExpr) -> Self {
        let and = *binary.op() == Operator::And;
        Logic { left: Arc::clone(binary.left()), right: Arc::clone(binary.right()), and }
    }

    /// Evaluates the right side on the whole batch; if that fails, only on the rows that the left side does not decide.
    fn right_values(&self, batch: &RecordBatch, left: &BooleanArray) -> Result<Arc<dyn Array>> {
        let rows = batch.num_rows();
        if let Ok(values) = self.right.evaluate(batch).and_then(|value| value.into_array(rows)) {
            return Ok(values);
        }
        let undecided: BooleanArray =
            left.iter().map(|value| Some(value.is_none_or(|value| value == self.and))).collect();
        self.right.evaluate_selection(batch, &undecided)?.into_array(rows)
    }
}

impl fmt::Display for Logic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.left, if self.and { "AND" } else { "OR" }, self.right)
    }
}

impl PhysicalExpr for Logic {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.left.nullable(schema)? || self.right.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let left = self.left.evaluate(batch)?.into_array(batch.num_rows())?;
        let left = left.as_boolean();
        let right = self.right_values(batch, left)?;
        let right = right.as_boolean();
        let both = if self.and { and_kleene(left, right)? } else { or_kleene(left, right)? };
        Ok(ColumnarValue::Array(Arc::new(both)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Logic { left: Arc::clone(&children[0]), right: Arc::clone(&children[1]), and: self.and }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// COALESCE; each argument is evaluated only on the rows for which all arguments before it are NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Coalesce {
    args: Vec<Arc<dyn PhysicalExpr>>,
    data_type: DataType,
    /// As it was planned: what stands in for it must not say otherwise, even when an argument may be NULL by now.
    is_nullable: bool,
}

impl Coalesce {
    /// Of arguments that all have the type.
    pub(super) fn new(args: Vec<Arc<dyn PhysicalExpr>>, data_type: DataType, is_nullable: bool) -> Self {
        Coalesce { args, data_type, is_nullable }
    }
}

impl fmt::Display for Coalesce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args: Vec<_> = self.args.iter().map(ToString::to_string).collect();
        write!(f, "coalesce({})", args.join(", "))
    }
}

impl PhysicalExpr for Coalesce {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, _schema: &Schema) -> Result<bool> {
        Ok(self.is_nullable)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let mut values = arrow::array::new_null_array(&self.data_type, rows);
        for arg in &self.args {
            let missing = is_null(&values)?;
            if !missing.has_true() {
                break;
            }
            let next = arg.evaluate_selection(batch, &missing)?.into_array(rows)?;
            values = zip(&missing, &next, &values)?;
        }
        Ok(ColumnarValue::Array(values))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.args.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Coalesce::new(children, self.data_type.clone(), self.is_nullable)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
