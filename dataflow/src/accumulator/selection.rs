//! Selects the rows of a batch that an aggregate uses: its filter is true and its argument is not NULL.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;

use crate::segments::Segments;
use crate::update::PerRow;
use crate::{Diff, Diffs};

/// Some of the rows of a batch, with their diffs.
pub(super) struct Selection<'a> {
    rows: usize,
    /// `None` if all rows are selected.
    selected: Option<BooleanBuffer>,
    diffs: &'a Diffs,
}

impl<'a> Selection<'a> {
    /// Selects the rows that pass the filter and have an argument, if the aggregate has these.
    pub(super) fn new(
        rows: usize,
        argument: Option<&ArrayRef>,
        diffs: &'a Diffs,
        filter: Option<&BooleanArray>,
    ) -> Self {
        let present = argument.and_then(|a| a.logical_nulls()).filter(|n| n.null_count() > 0).map(|n| n.into_inner());
        let passed = filter.map(|filter| match filter.nulls() {
            Some(nulls) => filter.values() & nulls.inner(),
            None => filter.values().clone(),
        });
        let selected = match (present, passed) {
            (Some(present), Some(passed)) => Some(&present & &passed),
            (present, passed) => present.or(passed),
        };
        Selection { rows, selected, diffs }
    }

    /// Calls `visit` with the position and diff of each selected row, in order.
    #[inline(always)]
    pub(super) fn for_each(&self, mut visit: impl FnMut(usize, Diff)) {
        match (&self.selected, self.diffs) {
            (None, PerRow::Same(1)) => (0..self.rows).for_each(|row| visit(row, 1)),
            (None, PerRow::Same(diff)) => (0..self.rows).for_each(|row| visit(row, *diff)),
            (None, PerRow::Each(diffs)) => diffs.iter().enumerate().for_each(|(row, diff)| visit(row, *diff)),
            (Some(selected), PerRow::Same(diff)) => selected.set_indices().for_each(|row| visit(row, *diff)),
            (Some(selected), PerRow::Each(diffs)) => selected.set_indices().for_each(|row| visit(row, diffs[row])),
        }
    }
}

/// The numbers of a batch that an aggregate uses, with their groups.
pub(super) struct Arguments<'a> {
    groups: &'a [u32],
    values: &'a ArrayRef,
    selection: Selection<'a>,
}

impl<'a> Arguments<'a> {
    /// Selects among the rows of an update of an aggregate that has an argument.
    pub(super) fn new(
        groups: &'a [u32],
        argument: Option<&'a ArrayRef>,
        diffs: &'a Diffs,
        filter: Option<&BooleanArray>,
    ) -> Self {
        let values = argument.expect("the aggregate has an argument");
        Arguments { groups, values, selection: Selection::new(groups.len(), argument, diffs, filter) }
    }

    /// Returns the type of the numbers.
    pub(super) fn data_type(&self) -> &DataType {
        self.values.data_type()
    }

    /// Calls `add` with the group, value and diff of each number. `T` must be their type.
    #[inline(always)]
    pub(super) fn for_each<T: ArrowPrimitiveType>(&self, mut add: impl FnMut(u32, T::Native, Diff)) {
        let values = self.values.as_primitive::<T>().values();
        self.selection.for_each(|row, diff| add(self.groups[row], values[row], diff));
    }

    /// Does the same, and counts the numbers of each group in `counts`.
    #[inline(always)]
    pub(super) fn count_each<T: ArrowPrimitiveType>(
        &self,
        counts: &mut Segments<Diff>,
        mut add: impl FnMut(u32, T::Native, Diff),
    ) {
        self.for_each::<T>(|group, value, diff| {
            counts[group as usize] = counts[group as usize].wrapping_add(diff);
            add(group, value, diff);
        });
    }
}
