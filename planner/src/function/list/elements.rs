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
    /// The elements of `lists`, which is a column of lists.
    pub(super) fn new(lists: &ArrayRef) -> Result<Self> {
        let lists = lists.as_list::<i32>().clone();
        Ok(Elements { rows: rows_of(lists.values())?, lists })
    }

    /// Where the elements of a list are; none if it is NULL.
    pub(super) fn range(&self, list: usize) -> Option<Range<usize>> {
        let [start, end] = [list, list + 1].map(|at| self.lists.value_offsets()[at] as usize);
        self.lists.is_valid(list).then_some(start..end)
    }

    /// An element; none if it is NULL.
    pub(super) fn row(&self, at: usize) -> Option<Row<'_>> {
        let is_value = self.values().is_valid(at) && !self.values().data_type().is_null();
        is_value.then(|| self.rows.row(at))
    }

    /// What is in a list and not NULL; none if the list is NULL.
    pub(super) fn set(&self, list: usize) -> Option<HashSet<Row<'_>>> {
        Some(self.range(list)?.filter_map(|at| self.row(at)).collect())
    }

    /// The elements as they are.
    pub(super) fn values(&self) -> &ArrayRef {
        self.lists.values()
    }
}

/// Values as rows: equal where the values are, and in their order, NULLs last.
pub(super) fn rows_of(values: &ArrayRef) -> Result<Rows> {
    let options = SortOptions { descending: false, nulls_first: false };
    let values = compared(values)?;
    let converter = RowConverter::new(vec![SortField::new_with_options(values.data_type().clone(), options)])?;
    Ok(converter.convert_columns(&[values])?)
}

/// Lists of so many of `values`, one after the other; NULL where no length is.
pub(super) fn built(values: ArrayRef, lengths: &[Option<usize>], to: &DataType) -> Result<ArrayRef> {
    let DataType::List(field) = to else { return internal_err!("{to} is no type of lists") };
    if i32::try_from(values.len()).is_err() {
        return Err(exec_datafusion_err!("lists of more than {} elements together", i32::MAX));
    }
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| length.unwrap_or(0)));
    let nulls: NullBuffer = lengths.iter().map(Option::is_some).collect::<Vec<_>>().into();
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, Some(nulls))?))
}
