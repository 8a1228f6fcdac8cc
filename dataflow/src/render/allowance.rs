//! `Allowance`: how much an operator may still process in one activation.

use crate::fuel::PIECE_ROWS;

/// The least that a step costs, in rows: a step over a single row takes much longer than the row would in a large one.
const LEAST: usize = PIECE_ROWS / 256;

/// How many rows an operator may still process in one activation.
#[derive(Debug)]
pub(crate) struct Allowance {
    granted: usize,
    spent: usize,
}

impl Allowance {
    /// Returns an allowance for about `rows` rows.
    pub(crate) fn new(rows: usize) -> Self {
        Allowance { granted: rows, spent: 0 }
    }

    /// Records that `rows` rows have been processed.
    pub(crate) fn spend(&mut self, rows: usize) {
        self.spent += rows;
    }

    /// Ends a step that began when `before` rows had been processed.
    pub(crate) fn end_step(&mut self, before: usize) {
        self.spent = self.spent.max(before + LEAST);
    }

    /// Returns how many rows may still be processed.
    pub(crate) fn left(&self) -> usize {
        self.granted.saturating_sub(self.spent)
    }

    /// Returns how many rows have been processed.
    pub(crate) fn spent(&self) -> usize {
        self.spent
    }
}
