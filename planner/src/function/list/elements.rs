//! The elements of a column of lists, in a form that can be compared and looked up.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::{Result, exec_datafusion_err, internal_err};

use crate::scalar::compared;

/// The lists of a column, and their elements as rows.
pub(super) struct Elements {
    lists: ListArray,
    rows: Rows,
}

impl Elements {
    /// Takes the elements of `lists`, which must be a column of lists.
    pub(super) fn new(lists: &ArrayRef) -> Result<Self> {
        let lists = lists.as_list::<i32>().clone();
        Ok(Elements { rows: rows_of(lists.values())?, lists })
    }

    /// Returns the positions of a list's elements, or `None` if the list is NULL.
    pub(super) fn range(&self, list: usize) -> Option<Range<usize>> {
        let [start, end] = [list, list + 1].map(|at| self.lists.value_offsets()[at] as usize);
        self.lists.is_valid(list).then_some(start..end)
    }

    /// Returns an element as a row, or `None` if it is NULL.
    pub(super) fn row(&self, at: usize) -> Option<Row<'_>> {
        let is_value = self.values().is_valid(at) && !self.values().data_type().is_null();
        is_value.then(|| self.rows.row(at))
    }

    /// Returns the elements of a list that are not NULL, or `None` if the list is NULL.
    pub(super) fn set(&self, list: usize) -> Option<HashSet<Row<'_>>> {
        Some(self.range(list)?.filter_map(|at| self.row(at)).collect())
    }

    /// Returns the elements of all lists as an array.
    pub(super) fn values(&self) -> &ArrayRef {
        self.lists.values()
    }
}

/// Converts values to rows that are equal and ordered as the values are, with NULLs last.
pub(super) fn rows_of(values: &ArrayRef) -> Result<Rows> {
    let options = SortOptions { descending: false, nulls_first: false };
    let values = compared(values)?;
    let converter = RowConverter::new(vec![SortField::new_with_options(values.data_type().clone(), options)])?;
    Ok(converter.convert_columns(&[values])?)
}

/// Builds lists that take `values` in turn, each as many as its length says; a list without a length is NULL.
pub(super) fn built(values: ArrayRef, lengths: &[Option<usize>], to: &DataType) -> Result<ArrayRef> {
    let DataType::List(field) = to else { return internal_err!("{to} is no type of lists") };
    if i32::try_from(values.len()).is_err() {
        return Err(exec_datafusion_err!("lists of more than {} elements together", i32::MAX));
    }
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| length.unwrap_or(0)));
    let nulls: NullBuffer = lengths.iter().map(Option::is_some).collect::<Vec<_>>().into();
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, Some(nulls))?))
}
