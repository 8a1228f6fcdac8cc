//! `map(x, y)`: a map of the one pair of `x` and `y`, or of a list of keys and one of values.
//!
//! DataFusion decides between the two by planning the arguments on trial, and plans them once more afterwards, at each
//! level of nested calls. So the binder sees a function of ours, which is replaced when the types are known.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::registry;

/// The name of the function in the syntax tree. A query that writes it, in quotes, calls `map`.
pub(crate) const MAP: &str = "#map";

/// The function of the syntax tree.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MapOfTwo {
    signature: Signature,
}

impl MapOfTwo {
    pub(super) fn function() -> ScalarUDF {
        ScalarUDF::new_from_impl(MapOfTwo { signature: Signature::any(2, Volatility::Immutable) })
    }
}

/// Returns whether `data_type` is one of lists.
fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

/// Replaces a call of [`MAP`] over the columns of `schema` by the calls that it stands for; other expressions stay.
pub(crate) fn map_written_out(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let call = match expr {
        Expr::ScalarFunction(call) if call.func.inner().downcast_ref::<MapOfTwo>().is_some() => call,
        other => return Ok(Transformed::no(other)),
    };
    let types = call.args.iter().map(|arg| arg.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let (Some(map), Some(list)) = (registry().scalar("map"), registry().scalar("make_array")) else {
        return internal_err!("there is no function map");
    };
    let args = match types.iter().all(is_list) {
        true => call.args,
        false => call.args.into_iter().map(|arg| list.call(vec![arg])).collect(),
    };
    Ok(Transformed::yes(map.call(args)))
}

impl ScalarUDFImpl for MapOfTwo {
    fn name(&self) -> &str {
        MAP
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let Some(map) = registry().scalar("map") else { return internal_err!("there is no function map") };
        if types.iter().all(is_list) {
            return map.return_type(types);
        }
        let lists: Vec<DataType> = types.iter().map(|of| DataType::new_list(of.clone(), true)).collect();
        map.return_type(&lists)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{MAP} was not replaced")
    }
}
