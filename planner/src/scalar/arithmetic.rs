//! Arithmetic that fails when a result does not fit, and returns NULL for division and modulo by zero.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::kernels::numeric::{neg, rem};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{nullif, or, prep_null_mask_filter};
use arrow::datatypes::{DataType, Decimal128Type, IntervalUnit, Schema};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::time::{Direction, shifted};
use super::unary::Operation;
use crate::function::is_divisor;

/// A binary operator: one of `+ - * / %`.
#[derive(Debug, Clone)]
pub(super) struct Arithmetic {
    inner: BinaryExpr,
}

impl Arithmetic {
    /// Wraps DataFusion's operator and makes it check for overflow.
    pub(super) fn new(inner: BinaryExpr) -> Self {
        // `divide` turns zeros into NULL itself, so the function that does it around the divisor is dropped.
        let inner = match inner.right().downcast_ref::<ScalarFunctionExpr>() {
            Some(function) if is_divisor(function.fun()) => {
                BinaryExpr::new(Arc::clone(inner.left()), *inner.op(), Arc::clone(&function.args()[0]))
            }
            _ => inner,
        };
        Arithmetic { inner: inner.with_fail_on_overflow(true) }
    }

    fn divides(&self) -> bool {
        matches!(self.inner.op(), Operator::Divide | Operator::Modulo)
    }

    /// Applies the operator to operands that are evaluated already.
    fn apply(&self, left: ArrayRef, right: ArrayRef) -> Result<ArrayRef> {
        let rows = left.len();
        let schema = Schema::new(vec![
            arrow::datatypes::Field::new("l", left.data_type().clone(), true),
            arrow::datatypes::Field::new("r", right.data_type().clone(), true),
        ]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![left, right])?;
        let column =
            |idx| Arc::new(datafusion::physical_expr::expressions::Column::new("", idx)) as Arc<dyn PhysicalExpr>;
        BinaryExpr::new(column(0), *self.inner.op(), column(1))
            .with_fail_on_overflow(true)
            .evaluate(&batch)?
            .into_array(rows)
    }

    /// Adds an interval to a timestamp or subtracts it; returns `None` for other operand types.
    fn shift(&self, batch: &RecordBatch) -> Result<Option<ArrayRef>> {
        let direction = match self.inner.op() {
            Operator::Plus => Direction::Later,
            Operator::Minus => Direction::Earlier,
            _ => return Ok(None),
        };
        let schema = batch.schema_ref();
        let (left, right) = (self.inner.left(), self.inner.right());
        let (time, by) = match (left.data_type(schema)?, right.data_type(schema)?) {
            (DataType::Timestamp(..), DataType::Interval(IntervalUnit::MonthDayNano)) => (left, right),
            (DataType::Interval(IntervalUnit::MonthDayNano), DataType::Timestamp(..)) => (right, left),
            _ => return Ok(None),
        };
        let rows = batch.num_rows();
        let (time, by) = (time.evaluate(batch)?.into_array(rows)?, by.evaluate(batch)?.into_array(rows)?);
        shifted(&time, &by, direction).map(Some)
    }

    fn divide(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let left = self.inner.left().evaluate(batch)?.into_array(rows)?;
        let right = without_zeros(self.inner.right().evaluate(batch)?.into_array(rows)?)?;
        if *self.inner.op() == Operator::Modulo && right.data_type().is_integer() {
            return integer_remainder(&left, right);
        }
        self.apply(left, right)
    }
}

/// Replaces zeros by NULL; values that are not numbers are returned unchanged.
pub(crate) fn without_zeros(values: ArrayRef) -> Result<ArrayRef> {
    if !values.data_type().is_numeric() {
        return Ok(values);
    }
    let zero = ScalarValue::new_zero(values.data_type())?;
    let mut zeros = eq(&values, &zero.to_scalar()?)?;
    if values.data_type().is_floating() {
        // Arrow distinguishes 0.0 and -0.0.
        zeros = or(&zeros, &eq(&values, &zero.arithmetic_negate()?.to_scalar()?)?)?;
    }
    if zeros.has_true() { Ok(nullif(&values, &zeros)?) } else { Ok(values) }
}

/// Computes integer remainders. The remainder of the minimum value by -1 is 0 here; Arrow fails because the quotient
/// does not fit.
fn integer_remainder(left: &ArrayRef, right: ArrayRef) -> Result<ArrayRef> {
    if let Ok(values) = rem(left, &right) {
        return Ok(values);
    }
    let one = ScalarValue::new_one(right.data_type())?;
    // Every remainder by -1 is 0, as it is by 1, for which no quotient overflows.
    let minus_one = one.arithmetic_negate()?.to_scalar()?;
    let negative: BooleanArray = prep_null_mask_filter(&eq(&right, &minus_one)?);
    let right = zip(&negative, &one.to_scalar()?, &right)?;
    Ok(rem(left, &right)?)
}

/// Returns `values`, or fails if a decimal needs more digits than its type has.
fn checked_digits(values: ArrayRef) -> Result<ArrayRef> {
    if let DataType::Decimal128(precision, _) = values.data_type() {
        let decimals = values.as_primitive::<Decimal128Type>();
        decimals
            .validate_decimal_precision(*precision)
            .map_err(|_| exec_datafusion_err!("the result needs more than {precision} digits"))?;
    }
    Ok(values)
}

impl PartialEq for Arithmetic {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Arithmetic {}

impl Hash for Arithmetic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.inner.left(), self.inner.op(), self.inner.right())
    }
}

impl PhysicalExpr for Arithmetic {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        if !self.divides() {
            return self.inner.nullable(schema);
        }
        let divisor = self.inner.right().downcast_ref::<Literal>();
        let never_zero = divisor.is_some_and(|divisor| {
            let value = divisor.value();
            !value.is_null() && ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero != *value)
        });
        Ok(!never_zero || self.inner.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.divides() {
            return Ok(ColumnarValue::Array(checked_digits(self.divide(batch)?)?));
        }
        if let Some(times) = self.shift(batch)? {
            return Ok(ColumnarValue::Array(times));
        }
        match self.inner.evaluate(batch)? {
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(checked_digits(values)?)),
            ColumnarValue::Scalar(value) => {
                checked_digits(value.to_array()?)?;
                Ok(ColumnarValue::Scalar(value))
            }
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![self.inner.left(), self.inner.right()]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [left, right] = [Arc::clone(&children[0]), Arc::clone(&children[1])];
        Ok(Arc::new(Arithmetic::new(BinaryExpr::new(left, *self.inner.op(), right))))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The unary minus.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Negate;

impl Operation for Negate {
    fn apply(&self, values: &ArrayRef) -> Result<ArrayRef> {
        match values.data_type() {
            DataType::Null => Ok(Arc::clone(values)),
            unsigned if unsigned.is_unsigned_integer() => exec_err!("an unsigned number cannot be negated"),
            _ => Ok(neg(values)?),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, operand: &dyn PhysicalExpr) -> fmt::Result {
        write!(f, "(- {operand})")
    }
}
