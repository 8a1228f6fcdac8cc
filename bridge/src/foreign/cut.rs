//! Cuts rows out of arrays, down to the values of structs in structs.
//!
//! Arrow's own `ArrayData::slice` cuts the children of a struct and also gives the struct an offset, and `make_array`
//! cuts the children by this offset once more. So arrays whose children have values at the same places are kept without
//! an offset here, and what is cut out of them has none either.

use arrow::array::{ArrayData, ArrayDataBuilder};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{DataType, UnionMode};

/// Returns how many values of each child belong to a value of an array; `None` if no fixed number does.
pub(super) fn children_by_place(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Struct(_) | DataType::Union(_, UnionMode::Sparse) => Some(1),
        DataType::FixedSizeList(_, size) => Some(*size as usize),
        _ => None,
    }
}

/// The parts of an array whose children have `by` values for each of its values.
pub(super) struct Parts {
    pub(super) by: usize,
    pub(super) nulls: Option<NullBuffer>,
    /// The type of each value of a union; none for other types.
    pub(super) type_ids: Option<Buffer>,
    pub(super) children: Vec<ArrayData>,
}

impl Parts {
    /// Makes an array of the `length` values from `offset` on; `nulls` are those of these values alone.
    pub(super) fn cut(self, data_type: &DataType, offset: usize, length: usize) -> ArrayData {
        let Parts { by, nulls, type_ids, children } = self;
        let data = ArrayDataBuilder::new(data_type.clone()).len(length).nulls(nulls);
        let data = data.buffers(type_ids.iter().map(|ids| ids.slice_with_length(offset, length)).collect());
        let data = data.child_data(children.iter().map(|child| cut(child, offset * by, length * by)).collect());
        // SAFETY: the parts are those of an array of this type with values up to `offset + length`.
        #[expect(unsafe_code, reason = "the contents are checked later, row by row")]
        unsafe {
            data.build_unchecked()
        }
    }
}

/// Returns the `length` values of `data` from `offset` on.
fn cut(data: &ArrayData, offset: usize, length: usize) -> ArrayData {
    let Some(by) = children_by_place(data.data_type()) else { return data.slice(offset, length) };
    let parts = Parts {
        by,
        nulls: data.nulls().map(|nulls| nulls.slice(offset, length)),
        type_ids: data.buffers().first().cloned(),
        children: data.child_data().to_vec(),
    };
    parts.cut(data.data_type(), offset, length)
}
