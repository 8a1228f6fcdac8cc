//! `Debris`: frees what dropped dataflows kept, a piece a round. To free the rows of a large view at once takes long.

use std::collections::VecDeque;

use crate::fuel::Meter;
use crate::state::Free;

/// What dropped dataflows kept.
#[derive(Default)]
pub(super) struct Debris(VecDeque<Free>);

impl Debris {
    /// Adds functions that free what a dataflow kept, which must be dropped by now.
    pub(super) fn add(&mut self, frees: impl IntoIterator<Item = Free>) {
        self.0.extend(frees);
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Frees about a piece of rows; returns whether more is left.
    pub(super) fn free_piece(&mut self, meter: &Meter) -> bool {
        let Some(free) = self.0.front_mut() else { return false };
        let rows = meter.part_of_piece(1);
        meter.touched(rows);
        if !free(rows) {
            self.0.pop_front();
        }
        !self.0.is_empty()
    }
}
