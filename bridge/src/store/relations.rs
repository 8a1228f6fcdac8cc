//! `Relations`: stored relations by id, and what writes do to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::{Diffs, RelationId};

use super::delta::{Applied, Delta};
use super::keys::Keys;
use super::layout::{Prepared, RelationLayout};
use super::scan::Scan;
use super::storage::{Storage, Undo};
use crate::error::Error;
use crate::ingest;
use crate::relation::Operation;

/// A relation and its rows.
pub(super) struct StoredRelation {
    pub(super) layout: Arc<RelationLayout>,
    pub(super) storage: Storage,
    /// Number of writes that the relation has had.
    pub(super) writes: u64,
}

/// What readers find of a relation while it is lent.
pub(super) struct Lent {
    pub(super) layout: Arc<RelationLayout>,
    pub(super) scan: Scan,
    pub(super) bytes: usize,
    pub(super) writes: u64,
}

/// The exact changes of some writes, for the engine, and the counts of each write.
pub(super) type Made = (Vec<(RelationId, RecordBatch, Diffs)>, Vec<Applied>);

/// Stored relations by id.
#[derive(Default)]
pub(super) struct Relations(pub(super) BTreeMap<RelationId, StoredRelation>);

impl Relations {
    pub(super) fn get(&self, id: RelationId) -> Option<&StoredRelation> {
        self.0.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: RelationId) -> Option<&mut StoredRelation> {
        self.0.get_mut(&id)
    }

    /// Computes the changes of all writes and makes those of tables. Rows of sources are added only when nothing can
    /// fail any more, since they cannot be taken out again.
    pub(super) fn apply_to_tables(
        &mut self,
        writes: &[Prepared],
        undo: &mut Vec<(RelationId, Undo)>,
    ) -> Result<Made, Error> {
        let mut changes = Vec::new();
        let mut applied = Vec::with_capacity(writes.len());
        for write in writes {
            let id = write.relation();
            let relation = self.get_mut(id);
            let relation = relation.ok_or_else(|| Error::Dropped(write.layout.spec.name.clone()))?;
            let mut total = Applied::default();
            let mut record = |delta: Delta| {
                total.given += delta.given;
                total.changed += delta.changed;
                changes.extend(delta.changes.into_iter().map(|(rows, diffs)| (id, rows, diffs)));
            };
            if write.operation == Operation::Truncate {
                let (delta, step) = relation.storage.truncate();
                undo.push((id, step));
                record(delta);
            }
            for (batch, keys) in &write.batches {
                let (delta, step) = relation.storage.write(write.operation, batch, keys.as_ref())?;
                // Pushed before the next batch can fail, so that `take_back` also covers a write that fails half way.
                undo.extend(step.map(|step| (id, step)));
                record(delta);
            }
            applied.push(total);
        }
        Ok((changes, applied))
    }

    /// Undoes changes of tables, the last first.
    pub(super) fn take_back(&mut self, undo: Vec<(RelationId, Undo)>) {
        for (id, undo) in undo.into_iter().rev() {
            let relation = self.get_mut(id).expect("a relation with open writes is not dropped");
            relation.storage.undo(undo);
        }
    }

    /// Completes successful writes but for [`Relations::tidy`]: adds rows to sources and moves watermarks.
    pub(super) fn settle(&mut self, writes: &[Prepared]) {
        for write in writes {
            let relation = self.get_mut(write.relation()).expect("looked up before");
            relation.writes += 1;
            if let Storage::Append(rows) = &mut relation.storage {
                write.batches.iter().for_each(|(batch, _)| rows.insert(batch));
            }
            if let Some((watermark, reached)) = write.moved() {
                watermark.advance(reached);
            }
        }
    }

    /// Rewrites sparse segments of a table; earlier writes cannot be undone afterwards.
    pub(super) fn tidy(&mut self, id: RelationId) {
        if let Some(relation) = self.get_mut(id) {
            relation.storage.settle();
        }
    }
}

/// Finds rows of keyed tables by key, as the next write finds them.
pub struct Finder<'a>(pub(super) &'a Relations);

impl Finder<'_> {
    /// Finds rows of a keyed table by key. `keys` must have the key columns, by name; other columns of the table are
    /// ignored. Returns the positions in `keys` whose key exists, ascending, and the table's rows for them in that
    /// order. Fails if there is no such relation or it is not keyed.
    pub fn find(&self, id: RelationId, keys: &RecordBatch) -> Result<(Vec<u32>, RecordBatch), Error> {
        let relation = self.0.get(id).ok_or_else(|| Error::Dropped("the relation".to_owned()))?;
        let StoredRelation { layout, storage: Storage::Keyed(rows), .. } = relation else {
            return Err(Error::SchemaMismatch("only a table with a primary key finds rows by key".to_owned()));
        };
        let keys = ingest::conform_key(keys, &layout.spec, &layout.key_schema, 0)?;
        Ok(rows.lookup(&Keys::all(&layout.key, layout.key.encode_chosen(&keys))))
    }
}

/// Returns the reason why a store whose invariants are broken cannot be used.
pub(super) fn stopped(panic: &str) -> String {
    format!("the store stopped: {panic}")
}
