//! Marks on expressions: what the plan must know of a value, and DataFusion does not. The marked keep their names.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::scalar::without_zeros;

static DIVISOR: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Mark::function(Kind::Divisor));
static MAY_BE_NULL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Mark::function(Kind::MayBeNull));
static OF_VALUES: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Mark::function(Kind::Cell));

/// The name by which a value of VALUES is marked in a text's tree; no query can write it.
pub(crate) const CELL: &str = "#cell";

/// The mark of a value of VALUES, if that is what `name` means.
pub(crate) fn cell(name: &str) -> Option<Arc<ScalarUDF>> {
    (name == CELL).then(|| Arc::clone(&OF_VALUES))
}

/// What is marked as a value of VALUES.
pub(crate) fn in_cell(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) => {
            let is_cell = call.func.inner().downcast_ref::<Mark>().is_some_and(|mark| mark.kind == Kind::Cell);
            is_cell.then(|| &call.args[0])
        }
        _ => None,
    }
}

/// `expr`, marked as a divisor: NULL where it is zero.
pub(crate) fn divisor(expr: Expr) -> Expr {
    DIVISOR.call(vec![expr])
}

/// Whether a function is the mark of a divisor.
pub(crate) fn is_divisor(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<Mark>().is_some_and(|mark| mark.kind == Kind::Divisor)
}

/// `expr`, marked as one that may be NULL whatever its parts say.
pub(crate) fn may_be_null(expr: Expr) -> Expr {
    MAY_BE_NULL.call(vec![expr])
}

/// What is marked as one that may be NULL; other expressions as they are.
pub(crate) fn without_may_be_null(expr: &Expr) -> &Expr {
    match expr {
        Expr::ScalarFunction(call)
            if call.func.inner().downcast_ref::<Mark>().is_some_and(|mark| mark.kind == Kind::MayBeNull) =>
        {
            &call.args[0]
        }
        other => other,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Divisor,
    MayBeNull,
    Cell,
}

/// Not registered: no query can call it. As any function it may give NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    kind: Kind,
    signature: Signature,
}

impl Mark {
    fn function(kind: Kind) -> Arc<ScalarUDF> {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Mark { kind, signature }))
    }
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Divisor => "divisor",
            Kind::MayBeNull => "may_be_null",
            Kind::Cell => CELL,
        }
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
        let values = args.args.swap_remove(0);
        match self.kind {
            Kind::Divisor => Ok(ColumnarValue::Array(without_zeros(values.into_array(args.number_rows)?)?)),
            Kind::MayBeNull | Kind::Cell => Ok(values),
        }
    }
}
