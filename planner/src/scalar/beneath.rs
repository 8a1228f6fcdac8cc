//! Clears what lies beneath NULL lists and structs: the values of a branch that CASE did not take, those that NULLIF
//! removed, and whatever an imported Arrow array holds there.
//!
//! This is needed because kernels read and cast fields and elements without looking at the NULLs of their parents.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{nullif, take};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::unary::{Operation, Unary};

/// Names of the functions that read fields or elements.
static READERS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let nested = datafusion::functions_nested::all_default_nested_functions();
    nested.iter().map(|function| function.name().to_owned()).chain(["get_field".to_owned()]).collect()
});

/// Wraps the arguments of a function that reads fields or elements so that nothing is beneath their NULLs.
///
/// Returns `None` for any other expression.
pub(super) fn reader(expr: &Arc<dyn PhysicalExpr>) -> Option<Result<Arc<dyn PhysicalExpr>>> {
    let function = expr.downcast_ref::<ScalarFunctionExpr>()?;
    if !READERS.contains(function.fun().name()) {
        return None;
    }
    let visible = |arg: &Arc<dyn PhysicalExpr>| -> Arc<dyn PhysicalExpr> {
        // DataFusion requires some arguments to be literals, so plain literals are not wrapped.
        let is_plain = arg.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().data_type().is_nested());
        if is_plain || arg.is::<Unary<Visible>>() { Arc::clone(arg) } else { Unary::of(Visible, arg) }
    };
    Some(Arc::clone(expr).with_new_children(function.args().iter().map(visible).collect()))
}

/// Returns the same values with NULL fields beneath NULL structs, and lists without the elements of NULL rows and those
/// outside of all rows.
pub(super) fn visible(values: &ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Struct(fields) => {
            let (values, nulls) = (values.as_struct(), values.nulls());
            let is_null = nulls.filter(|nulls| nulls.null_count() > 0);
            let is_null = is_null.map(|nulls| BooleanArray::new(!nulls.inner(), None));
            let column = |column: &ArrayRef| match &is_null {
                Some(is_null) => visible(&nullif(column, is_null)?),
                None => visible(column),
            };
            let columns = values.columns().iter().map(column).collect::<Result<_>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls.cloned(), values.len())?))
        }
        DataType::List(field) => {
            let (list, nulls) = (values.as_list::<i32>(), values.nulls());
            let kept = elements(list, nulls);
            if kept.len() == list.values().len() {
                let (field, offsets, elements, nulls) = list.clone().into_parts();
                return Ok(Arc::new(ListArray::try_new(field, offsets, visible(&elements)?, nulls)?));
            }
            let length = |row| if list.is_null(row) { 0 } else { list.value_length(row).unsigned_abs() as usize };
            let lengths = (0..list.len()).map(length);
            let elements = visible(&take(list.values(), &kept, None)?)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, elements, nulls.cloned())?))
        }
        _ => Ok(Arc::clone(values)),
    }
}

/// Returns the positions of all elements that belong to rows that are not NULL.
fn elements(list: &ListArray, nulls: Option<&NullBuffer>) -> UInt64Array {
    let rows = (0..list.len()).filter(|row| nulls.is_none_or(|nulls| nulls.is_valid(*row)));
    let offsets = list.value_offsets();
    rows.flat_map(|row| offsets[row]..offsets[row + 1]).map(|place| u64::from(place.unsigned_abs())).collect()
}

/// Clears what lies beneath the NULLs of the operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Visible;

impl Operation for Visible {
    fn apply(&self, values: &ArrayRef) -> Result<ArrayRef> {
        visible(values)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Fields, Int64Type};

    use super::*;

    #[test]
    fn fields_beneath_a_null_struct_are_null() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("hidden"), Some("shown"), None]));
        let inner = Fields::from(vec![Field::new("b", DataType::Utf8, true)]);
        let outer = Fields::from(vec![Field::new("s", DataType::Struct(inner.clone()), true)]);
        let structs: ArrayRef = Arc::new(StructArray::new(inner, vec![texts], None));
        let nulls = Some(NullBuffer::from(vec![false, true, true]));
        let structs: ArrayRef = Arc::new(StructArray::new(outer, vec![structs], nulls));
        let seen = visible(&structs).expect("a struct");
        assert_eq!(&seen, &structs, "the values are the same");
        let inner = seen.as_struct().column(0);
        assert!(inner.is_null(0) && inner.is_valid(1) && inner.is_valid(2));
        let seen = inner.as_struct().column(0).as_string::<i32>().iter().collect::<Vec<_>>();
        assert_eq!(seen, [None, Some("shown"), None]);
    }

    #[test]
    fn elements_beneath_null_lists_and_of_other_rows_are_left_out() {
        let field = Arc::new(Field::new("item", DataType::Int64, true));
        let elements = Arc::new(Int64Array::from(vec![1000, 2, 3, 4]));
        let nulls = Some(NullBuffer::from(vec![false, true, true]));
        let lists: ArrayRef = Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([2, 1, 1]), elements, nulls));
        for (values, wanted) in [(Arc::clone(&lists), vec![3, 4]), (lists.slice(2, 1), vec![4])] {
            let seen = visible(&values).expect("a list");
            assert_eq!(&seen, &values, "the values are the same");
            assert_eq!(seen.as_list::<i32>().values().as_primitive::<Int64Type>().values(), &wanted);
        }
    }
}
