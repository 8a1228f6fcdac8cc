//! `Storage`: the rows of one relation, whichever way it keeps them, and `Undo`: how one write is taken back.

use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::Diffs;

use super::append::Append;
use super::bag::{Bag, BagUndo};
use super::delta::{Conflict, Delta};
use super::keyed::{Keyed, KeyedUndo};
use super::keys::Keys;
use super::layout::RelationLayout;
use super::scan::Scan;
use crate::error::Error;
use crate::relation::{Operation, StorageKind};

/// The rows of one relation.
pub(super) enum Storage {
    Append(Append),
    Keyed(Keyed),
    Bag(Bag),
}

/// Describes one write to a table, with enough detail to undo it.
pub(super) enum Undo {
    Keyed(KeyedUndo),
    Bag(BagUndo),
}

impl Storage {
    /// Makes the storage of an empty relation.
    pub(super) fn new(layout: &Arc<RelationLayout>) -> Self {
        match layout.spec.kind {
            StorageKind::Append => Storage::Append(Append::new(Arc::clone(&layout.spec.schema))),
            StorageKind::Keyed => Storage::Keyed(Keyed::new(Arc::clone(layout))),
            StorageKind::Bag => Storage::Bag(Bag::new(Arc::clone(layout))),
        }
    }

    pub(super) fn is_append(&self) -> bool {
        matches!(self, Storage::Append(_))
    }

    pub(super) fn scan(&mut self) -> Scan {
        match self {
            Storage::Append(rows) => rows.scan(),
            Storage::Keyed(rows) => rows.heap().scan(),
            Storage::Bag(rows) => rows.heap().scan(),
        }
    }

    /// Returns the rows before a series of writes. `undo` must hold all writes since then, the oldest first.
    pub(super) fn scan_before<'a>(&mut self, undo: impl Iterator<Item = &'a mut Undo>) -> Scan {
        let heap = match self {
            // A source's rows are added at commit, so the current ones are those before the transaction.
            Storage::Append(rows) => return rows.scan(),
            Storage::Keyed(rows) => rows.heap(),
            Storage::Bag(rows) => rows.heap(),
        };
        heap.scan_before(undo.map(|undo| match undo {
            Undo::Keyed(undo) => undo.change(),
            Undo::Bag(undo) => undo.change(),
        }))
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        match self {
            Storage::Append(rows) => rows.rows(),
            Storage::Keyed(rows) => rows.rows(),
            Storage::Bag(rows) => rows.rows(),
        }
    }

    /// Returns the memory that the rows and their index take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Storage::Append(rows) => rows.bytes(),
            Storage::Keyed(rows) => rows.bytes(),
            Storage::Bag(rows) => rows.bytes(),
        }
    }

    /// Returns how many rows a write of `rows` rows touches at least.
    pub(super) fn work(&self, operation: Operation, rows: usize) -> usize {
        match (self, operation) {
            // Large batches are kept as they are.
            (Storage::Append(_), _) => 0,
            (_, Operation::Truncate) => self.rows(),
            (Storage::Bag(bag), Operation::Delete) if rows > 0 && !bag.has_index() => rows + self.rows(),
            _ => rows,
        }
    }

    /// Makes the changes of one batch of a write. Rows for a source are only described: they cannot be taken out again,
    /// so they are added at the end of the commit.
    pub(super) fn write(
        &mut self,
        operation: Operation,
        batch: &RecordBatch,
        keys: Option<&Keys>,
    ) -> Result<(Delta, Option<Undo>), Error> {
        let keys = || keys.expect("writes to keyed tables are prepared with keys");
        let conflict = match operation {
            Operation::InsertNew => Conflict::Refuse,
            Operation::InsertMissing => Conflict::Keep,
            _ => Conflict::Replace,
        };
        Ok(match self {
            Storage::Append(_) => {
                let rows = batch.num_rows() as u64;
                let changes = if rows == 0 { Vec::new() } else { vec![(batch.clone(), Diffs::Same(1))] };
                (Delta { changes, given: rows, changed: rows }, None)
            }
            Storage::Keyed(rows) => {
                let (delta, undo) = match operation {
                    Operation::Delete => rows.delete(keys()),
                    _ => rows.insert(batch, keys(), conflict)?,
                };
                (delta, Some(Undo::Keyed(undo)))
            }
            Storage::Bag(rows) => {
                let (delta, undo) = match operation {
                    Operation::Delete => rows.delete(batch)?,
                    _ => rows.insert(batch),
                };
                (delta, Some(Undo::Bag(undo)))
            }
        })
    }

    /// Removes all rows of a table.
    pub(super) fn truncate(&mut self) -> (Delta, Undo) {
        match self {
            Storage::Append(_) => unreachable!("refused when the write was prepared"),
            Storage::Keyed(rows) => {
                let (delta, undo) = rows.truncate();
                (delta, Undo::Keyed(undo))
            }
            Storage::Bag(rows) => {
                let (delta, undo) = rows.truncate();
                (delta, Undo::Bag(undo))
            }
        }
    }

    /// Undoes a write; all later writes must have been undone before.
    pub(super) fn undo(&mut self, undo: Undo) {
        match (self, undo) {
            (Storage::Keyed(rows), Undo::Keyed(undo)) => rows.undo(undo),
            (Storage::Bag(rows), Undo::Bag(undo)) => rows.undo(undo),
            _ => unreachable!("an undo is of the relation that made it"),
        }
    }

    /// Compacts sparse segments of a table; earlier writes cannot be undone afterwards.
    pub(super) fn settle(&mut self) {
        match self {
            Storage::Append(_) => {}
            Storage::Keyed(rows) => rows.settle(),
            Storage::Bag(rows) => rows.settle(),
        }
    }
}
