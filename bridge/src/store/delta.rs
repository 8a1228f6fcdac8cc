//! What one write changed: the exact changes for the engine and the counts for the caller.

use arrow::array::RecordBatch;
use laminardb_dataflow::Diffs;

/// What one write changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Number of rows the caller gave (for `Truncate`, rows removed).
    pub given: u64,
    /// Number of rows added, replaced or removed; replacing a row with an equal one does not count.
    pub changed: u64,
}

/// The exact changes that one write makes to a relation.
#[derive(Clone, Debug, Default)]
pub(super) struct Delta {
    pub(super) changes: Vec<(RecordBatch, Diffs)>,
    pub(super) given: u64,
    pub(super) changed: u64,
}

/// What happens to a written row whose key already exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// It replaces the existing row.
    Replace,
    /// The whole write fails.
    Refuse,
    /// It is left out, and the existing row stays.
    Keep,
}
