//! Our own scalar functions: the arguments that each takes, the type that it returns, and its values.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::statement::type_name;

/// A call being planned: the types of its arguments, and the values of those that are literals.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) types: Vec<&'a DataType>,
    literals: &'a [Option<&'a ScalarValue>],
}

impl Call<'_> {
    /// Returns the text of an argument that is a text literal.
    pub(super) fn literal_text(&self, argument: usize) -> Option<&str> {
        self.literals.get(argument).copied().flatten()?.try_as_str()?
    }

    /// Returns the integer value of an argument that is a literal.
    pub(super) fn literal_integer(&self, argument: usize) -> Option<i64> {
        match self.literals.get(argument).copied().flatten()?.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(value)) => value,
            _ => None,
        }
    }
}

/// The definition of a function.
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    /// Returns the types that arguments of the given types are cast to, or `None` if the function does not take them.
    pub(super) takes: fn(&[DataType]) -> Option<Vec<DataType>>,
    /// Returns the type of the values, or the error for literals that the function does not take.
    pub(super) gives: fn(&Call<'_>) -> Result<DataType>,
    /// Computes the values, which must be of the given type.
    pub(super) values: fn(&[ArrayRef], &DataType) -> Result<ArrayRef>,
}

/// A function as DataFusion sees it.
struct Own {
    definition: &'static Definition,
    aliases: Vec<String>,
    signature: Signature,
}

/// Makes DataFusion's function from a definition.
pub(super) fn function(definition: &'static Definition) -> Arc<ScalarUDF> {
    let aliases = definition.aliases.iter().map(|alias| (*alias).to_owned()).collect();
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Own { definition, aliases, signature }))
}

// Not derived: function pointers have no reliable equality. Names are unique.
impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.definition.name)
    }
}

impl ScalarUDFImpl for Own {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let Some(taken) = (self.definition.takes)(types) {
            return Ok(taken);
        }
        let types: Vec<_> = types.iter().map(type_name).collect();
        plan_err!("there is no function {}({})", self.name(), types.join(", "))
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on its literals", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args.arg_fields.iter().map(|field| field.data_type()).collect();
        let call = Call { name: self.name(), types, literals: args.scalar_arguments };
        Ok(Arc::new(Field::new(self.name(), (self.definition.gives)(&call)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let values = (self.definition.values)(&arrays, args.return_field.data_type())?;
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?));
        }
        Ok(ColumnarValue::Array(values))
    }
}

/// Returns whether values of the type are text; a bare NULL counts as text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}
