//! `UpdateBatch`: rows in columns with their times and diffs; the container on every edge of a dataflow.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::{Diff, Time};

/// One value per row, held once while all rows agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerRow<X> {
    /// Every row has this value.
    Same(X),
    /// One value a row.
    Each(Arc<[X]>),
}

impl<X: Copy> PerRow<X> {
    /// The value of row `row`, which must be in range.
    #[inline]
    pub fn at(&self, row: usize) -> X {
        match self {
            PerRow::Same(x) => *x,
            PerRow::Each(xs) => xs[row],
        }
    }
}

impl<X: Copy + PartialEq> PerRow<X> {
    /// Holds `values` once if they are all equal. `values` must not be empty.
    pub fn from_vec(values: Vec<X>) -> Self {
        match values.first() {
            Some(first) if values.iter().all(|x| x == first) => PerRow::Same(*first),
            _ => PerRow::Each(values.into()),
        }
    }
}

/// Multiplicity changes, one per row.
pub type Diffs = PerRow<Diff>;
/// Times, one per row.
pub type Times = PerRow<Time>;

/// A batch of updates. Not necessarily consolidated; never empty on an edge.
#[derive(Clone, Debug)]
pub struct UpdateBatch {
    /// The rows.
    pub rows: RecordBatch,
    /// When each row changes.
    pub times: Times,
    /// By how much its multiplicity changes; never 0.
    pub diffs: Diffs,
}

impl UpdateBatch {
    /// All rows inserted once at `time`.
    pub fn insert(rows: RecordBatch, time: Time) -> Self {
        UpdateBatch { rows, times: PerRow::Same(time), diffs: PerRow::Same(1) }
    }

    /// Number of updates.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there is no update.
    pub fn is_empty(&self) -> bool {
        self.rows.num_rows() == 0
    }
}
