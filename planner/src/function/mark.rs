//! Marks on expressions, for facts that the plan needs and DataFusion does not know. Marked expressions keep their
//! names, but for casts, which get one of their own, and for those whose mark is that they have none.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::map::{MAP, MapOfTwo};
use crate::scalar::without_zeros;

static BRIEF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Mark::function(MarkKind::Brief));
static DIVISOR: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Mark::function(MarkKind::Divisor));
static MAY_BE_NULL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Mark::function(MarkKind::MayBeNull));
static OF_TWO: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(MapOfTwo::function()));
static OF_VALUES: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Mark::function(MarkKind::Cell));

/// The name of the mark on a cell of VALUES in the syntax tree. A query that writes it, in quotes, gets its argument.
pub(crate) const CELL: &str = "#cell";

/// The beginning of the name of the mark on a cast in the syntax tree; the type follows. A query that writes it, in
/// quotes, gets its argument.
pub(crate) const CAST: &str = "#cast ";

/// Returns the function that the syntax tree alone calls by this name.
pub(crate) fn of_syntax(name: &str) -> Option<Arc<ScalarUDF>> {
    match name.strip_prefix(CAST) {
        Some(to) => Some(Mark::function(MarkKind::Cast(to.to_owned()))),
        None if name == MAP => Some(Arc::clone(&OF_TWO)),
        None => (name == CELL).then(|| Arc::clone(&OF_VALUES)),
    }
}

/// Returns the cast inside its mark; `None` if `expr` is not marked so.
pub(crate) fn in_cast(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) => {
            let mark = call.func.inner().downcast_ref::<Mark>();
            mark.is_some_and(|mark| matches!(mark.kind, MarkKind::Cast(_))).then(|| &call.args[0])
        }
        _ => None,
    }
}

/// Returns the expression inside the mark of a cell of VALUES; `None` if `expr` is not marked so.
pub(crate) fn in_cell(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) => {
            let is_cell = call.func.inner().downcast_ref::<Mark>().is_some_and(|mark| mark.kind == MarkKind::Cell);
            is_cell.then(|| &call.args[0])
        }
        _ => None,
    }
}

/// Marks `expr` as a divisor, which becomes NULL where it is zero.
pub(crate) fn divisor(expr: Expr) -> Expr {
    DIVISOR.call(vec![expr])
}

/// Returns whether a function is the mark of a divisor.
pub(crate) fn is_divisor(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<Mark>().is_some_and(|mark| mark.kind == MarkKind::Divisor)
}

/// Marks `expr` as possibly NULL even if none of its parts can be.
pub(crate) fn may_be_null(expr: Expr) -> Expr {
    MAY_BE_NULL.call(vec![expr])
}

/// Returns the expression inside the mark of [`may_be_null`]; other expressions are returned unchanged.
pub(crate) fn without_may_be_null(expr: &Expr) -> &Expr {
    match expr {
        Expr::ScalarFunction(call)
            if call.func.inner().downcast_ref::<Mark>().is_some_and(|mark| mark.kind == MarkKind::MayBeNull) =>
        {
            &call.args[0]
        }
        other => other,
    }
}

/// Marks `expr`, which then has a name of constant length.
pub(crate) fn brief(expr: Expr) -> Expr {
    BRIEF.call(vec![expr])
}

/// Returns the expression inside the mark of [`brief`], or `expr` itself as `Err` if it is not marked so.
pub(crate) fn in_brief(expr: Expr) -> std::result::Result<Expr, Expr> {
    match expr {
        Expr::ScalarFunction(mut call)
            if call.func.inner().downcast_ref::<Mark>().is_some_and(|mark| mark.kind == MarkKind::Brief) =>
        {
            Ok(call.args.swap_remove(0))
        }
        other => Err(other),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum MarkKind {
    Divisor,
    MayBeNull,
    Cell,
    /// An expression whose name is left out.
    Brief,
    /// A cast to this type, which is named by it: DataFusion calls a cast what it calls its argument.
    Cast(String),
}

/// A mark, as a function with one argument, which is not listed among the functions. For DataFusion all but [`brief`] can
/// return NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    kind: MarkKind,
    signature: Signature,
}

impl Mark {
    fn function(kind: MarkKind) -> Arc<ScalarUDF> {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Mark { kind, signature }))
    }
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        match self.kind {
            MarkKind::Divisor => "divisor",
            MarkKind::MayBeNull => "may_be_null",
            MarkKind::Cell => CELL,
            MarkKind::Brief => "brief",
            MarkKind::Cast(_) => CAST,
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args[0].to_string())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let name = args[0].schema_name();
        Ok(match &self.kind {
            MarkKind::Brief => "...".to_owned(),
            MarkKind::Cast(to) => format!("CAST({name} AS {to})"),
            MarkKind::Divisor | MarkKind::MayBeNull | MarkKind::Cell => name.to_string(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let is_nullable = self.kind != MarkKind::Brief || args.arg_fields[0].is_nullable();
        Ok(Arc::new(Field::new(self.name(), args.arg_fields[0].data_type().clone(), is_nullable)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args.swap_remove(0);
        match self.kind {
            MarkKind::Divisor => Ok(ColumnarValue::Array(without_zeros(values.into_array(args.number_rows)?)?)),
            MarkKind::MayBeNull | MarkKind::Cell | MarkKind::Brief | MarkKind::Cast(_) => Ok(values),
        }
    }
}
