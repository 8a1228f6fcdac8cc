//! `now()` and `current_time` in microseconds, as all times that SQL computes here.
//!
//! A timestamp compared with nanoseconds would be cast to them, and nanoseconds cannot hold all years.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Returns `function`, changed to return microseconds if it is `now` or `current_time`.
pub(super) fn in_microseconds(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let data_type = match function.name() {
        "now" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "current_time" => DataType::Time64(TimeUnit::Microsecond),
        _ => return function,
    };
    Arc::new(ScalarUDF::new_from_impl(InMicroseconds { telling: function, data_type }))
}

/// DataFusion's function with its value cast to microseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct InMicroseconds {
    telling: Arc<ScalarUDF>,
    data_type: DataType,
}

impl ScalarUDFImpl for InMicroseconds {
    fn name(&self) -> &str {
        self.telling.name()
    }

    fn aliases(&self) -> &[String] {
        self.telling.aliases()
    }

    fn signature(&self) -> &Signature {
        self.telling.signature()
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.data_type.clone(), false)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} is made a value before a query runs", self.name())
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.telling.simplify(args, context)? {
            ExprSimplifyResult::Simplified(Expr::Literal(value, metadata)) => {
                Ok(ExprSimplifyResult::Simplified(Expr::Literal(value.cast_to(&self.data_type)?, metadata)))
            }
            other => Ok(other),
        }
    }
}
