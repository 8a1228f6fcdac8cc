//! Selects the rows of a batch that an aggregate uses: its filter is true and its argument is not NULL.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;

use crate::{Diff, Diffs, update::PerRow};

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
