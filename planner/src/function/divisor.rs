//! The mark on what something is divided by: NULL where it is zero.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::scalar::without_zeros;

static DIVISOR: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Divisor { signature }))
});

/// `expr`, marked as a divisor. Its name stays.
pub(crate) fn divisor(expr: Expr) -> Expr {
    DIVISOR.call(vec![expr])
}

/// Whether a function is the mark.
pub(crate) fn is_divisor(function: &ScalarUDF) -> bool {
    function.inner().is::<Divisor>()
}

/// Not registered: no query can call it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Divisor {
    signature: Signature,
}

impl ScalarUDFImpl for Divisor {
    fn name(&self) -> &str {
        "divisor"
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args[0].to_string())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args[0].schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args.swap_remove(0).into_array(args.number_rows)?;
        Ok(ColumnarValue::Array(without_zeros(values)?))
    }
}
