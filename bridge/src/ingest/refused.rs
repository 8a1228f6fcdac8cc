//! `Refused`: the first row that a cast refuses, and why; and the steps that all casts share.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, make_array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

/// Names the first row that cannot be stored.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) row: usize,
    pub(super) why: Why,
}

/// Why a value cannot be stored.
#[derive(Debug)]
pub enum Why {
    /// The value is NULL, or holds NULL, where a nested field must not be NULL.
    Null,
    /// The value does not fit.
    Value(String),
}

/// Why a cast refuses a value; completes a sentence about the value.
pub(super) type Reason = &'static str;

pub(super) const OUT_OF_RANGE: Reason = "it is out of range";

impl From<Reason> for Why {
    fn from(why: Reason) -> Self {
        Why::Value(why.to_owned())
    }
}

impl Refused {
    pub(super) fn new(row: usize, why: impl Into<String>) -> Self {
        Refused { row, why: Why::Value(why.into()) }
    }
}

/// Casts to another encoding, which can hold all of the values.
#[expect(clippy::disallowed_methods, reason = "another encoding of the same values")]
pub(super) fn reencode(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Refused> {
    let cast = arrow::compute::cast(array, target);
    cast.map_err(|_| Refused::new(0, "the batch holds more than the 2 GiB that one can"))
}

/// Refuses the first value of a type that cannot be cast to `target`; a column of only NULLs may have any type.
pub(super) fn refuse_all(array: &ArrayRef, target: &DataType, why: &str) -> Result<ArrayRef, Refused> {
    match first_valid(array) {
        Some(row) => Err(Refused::new(row, why)),
        None => Ok(new_null_array(target, array.len())),
    }
}

pub(super) fn first_valid(array: &ArrayRef) -> Option<usize> {
    (0..array.len()).find(|row| array.is_valid(*row))
}

pub(super) fn first_null(array: &ArrayRef) -> Option<usize> {
    array.nulls().filter(|nulls| nulls.null_count() > 0).and_then(|_| (0..array.len()).find(|row| array.is_null(*row)))
}

/// Returns the same values, with NULL where `nulls` says so.
pub(super) fn with_nulls(array: &ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    let data = array.to_data().into_builder().nulls(nulls).build();
    make_array(data.expect("the same array with other NULLs"))
}

/// Converts each value with `value`; the slots of NULLs need not be convertible.
pub(super) fn convert<S, T>(
    array: &ArrayRef,
    target: &DataType,
    value: impl Fn(S::Native) -> Result<T::Native, Reason>,
) -> Result<ArrayRef, Refused>
where
    S: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
{
    let source = array.as_primitive::<S>();
    let mut values = Vec::with_capacity(source.len());
    for (row, given) in source.values().iter().enumerate() {
        values.push(match value(*given) {
            Ok(value) => value,
            Err(_) if source.is_null(row) => T::Native::default(),
            Err(why) => return Err(Refused::new(row, why)),
        });
    }
    let converted = PrimitiveArray::<T>::new(values.into(), source.nulls().cloned());
    Ok(Arc::new(converted.with_data_type(target.clone())))
}
