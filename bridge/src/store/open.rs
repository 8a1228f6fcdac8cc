//! `OpenTransaction`: what an open transaction has written so far, and the work left for its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::{Diffs, RelationId};

use super::given::Given;
use super::scan::Scan;
use super::storage::Undo;
use crate::watermark::Watermark;

/// Changes that an open transaction made, and the work left for its end.
#[derive(Default)]
pub(super) struct OpenTransaction {
    /// Undoes the changes of tables.
    pub(super) undo: Vec<(RelationId, Undo)>,
    /// Changes for the engine.
    pub(super) changes: Vec<(RelationId, RecordBatch, Diffs)>,
    /// Rows given by its writes.
    pub(super) given: Given,
    /// Rows for sources: they are added at the end, since they cannot be taken out again.
    pub(super) appended: BTreeMap<RelationId, Vec<RecordBatch>>,
    /// Values to which the transaction moves watermarks.
    pub(super) reached: Vec<(Arc<Watermark>, i64)>,
    /// State of the written relations before the transaction.
    pub(super) before: BTreeMap<RelationId, Before>,
}

/// State of a relation before the transaction.
pub(super) struct Before {
    pub(super) rows: u64,
    /// The rows, once they have been asked for.
    pub(super) scan: Option<Scan>,
}

impl OpenTransaction {
    /// Returns the rows that will be added to a source.
    pub(super) fn appended(&self, id: RelationId) -> &[RecordBatch] {
        self.appended.get(&id).map_or(&[], Vec::as_slice)
    }
}
