//! Runs the states of operators by hand, piece by piece.

use arrow::array::RecordBatch;

use crate::Diffs;
use crate::render::allowance::Allowance;
use crate::render::by_time::{Changes, TimedState};

/// Number of rows that a state processes in one piece.
const PIECE: usize = 10;

/// Applies all rows to `state`.
pub(crate) fn apply_all(state: &mut impl TimedState, input: usize, rows: &RecordBatch, diffs: &Diffs) {
    let mut applied = 0;
    while applied < rows.num_rows() {
        let piece = PIECE.min(rows.num_rows() - applied);
        let mut allowance = Allowance::new(piece);
        let rows = rows.slice(applied, piece);
        let more = state.apply(input, &rows, &diffs.slice(applied, piece), &mut allowance);
        assert!((1..=piece).contains(&more), "at least one row is applied, and none that is not there");
        applied += more;
    }
}

/// Frees `state` in pieces; returns how many there were.
pub(crate) fn free_all(mut state: impl TimedState) -> usize {
    let mut pieces = 1;
    let mut allowance = Allowance::new(PIECE);
    while state.free(&mut allowance) {
        assert!(allowance.spent() < 5 * PIECE, "a piece of {} rows", allowance.spent());
        allowance = Allowance::new(PIECE);
        pieces += 1;
    }
    pieces
}

/// Ends the current time of `state` and returns what it changed.
pub(crate) fn close_all(state: &mut impl TimedState) -> Changes {
    let mut changes = Changes::default();
    loop {
        let part = state.close(&mut Allowance::new(PIECE));
        changes.rows.extend(part.rows);
        changes.failures.extend(part.failures);
        if part.left == 0 {
            return changes;
        }
    }
}
