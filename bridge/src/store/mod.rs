//! The store holds the rows of all sources and tables; everything else is derived from them.
//!
//! A [`Store`] belongs to one writer at a time (see `commit`). Readers take a [`Scan`], which is cheap, and read it
//! without holding the store. Between two commits, the rows of a relation are always the sum of the deltas that its
//! writes returned. While a transaction is open, a scan includes its writes; the committed rows can be read as
//! well.
//!
//! ```text
//! batches --RelationLayout::prepare--> Prepared --Store::apply--> Storage of each relation --> changes for the engine
//!                                                                 |- Append: a source
//!                                                                 |- Keyed, Bag: a table, whose rows are in a Heap
//! ```

mod append;
mod bag;
mod buffer;
mod delta;
mod encode;
mod given;
mod heap;
mod keyed;
mod keys;
mod layout;
mod open;
mod scan;
mod storage;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::{Diffs, RelationId, panic_text};

pub use delta::Applied;
pub use layout::{Prepared, RelationLayout};
pub use scan::Scan;

use crate::error::Error;
use crate::ingest;
use crate::relation::{Operation, Spec};
use delta::Delta;
pub(crate) use given::Given;
use given::rows_given;
use keys::Keys;
use open::OpenTransaction;
use storage::{Storage, Undo};

/// A relation and its rows.
struct StoredRelation {
    layout: Arc<RelationLayout>,
    storage: Storage,
    /// Number of writes that the relation has had.
    writes: u64,
}

/// The rows of all base relations.
#[derive(Default)]
pub struct Store {
    relations: BTreeMap<RelationId, StoredRelation>,
    /// The open transaction.
    open: Option<OpenTransaction>,
    /// Set when a write broke an invariant half way: the reason why the store can no longer be trusted.
    broken: Option<String>,
}

impl Store {
    /// Adds an empty relation. `id` must not be in use. Fails if the schema or the primary key is invalid.
    pub fn create(&mut self, id: RelationId, spec: Spec) -> Result<(), Error> {
        let layout = Arc::new(RelationLayout::new(id, spec)?);
        let storage = Storage::new(&layout);
        let before = self.relations.insert(id, StoredRelation { layout, storage, writes: 0 });
        assert!(before.is_none(), "relation {id:?} is there already");
        Ok(())
    }

    /// Removes a relation and its rows.
    pub fn drop(&mut self, id: RelationId) {
        self.relations.remove(&id);
    }

    /// Returns the layout of a relation; `None` if it does not exist.
    pub fn layout(&self, id: RelationId) -> Option<Arc<RelationLayout>> {
        self.relations.get(&id).map(|relation| Arc::clone(&relation.layout))
    }

    /// Returns the rows that the next write will see; `None` if the relation does not exist or the store is broken.
    pub fn scan(&mut self, id: RelationId) -> Option<Scan> {
        if self.broken.is_some() {
            return None;
        }
        let relation = self.relations.get_mut(&id)?;
        let scan = relation.storage.scan();
        Some(match &self.open {
            Some(open) => scan.followed_by(open.appended(id)),
            None => scan,
        })
    }

    /// Finds rows of a keyed table by key. `keys` must have the key columns, by name; other columns of the table are
    /// ignored. Returns the positions in `keys` whose key exists, ascending, and the table's rows for them in that
    /// order.
    pub fn find(&self, id: RelationId, keys: &RecordBatch) -> Result<(Vec<u32>, RecordBatch), Error> {
        let relation = self.relations.get(&id).filter(|_| self.broken.is_none());
        let Some(StoredRelation { layout, storage: Storage::Keyed(rows), .. }) = relation else {
            return Err(Error::SchemaMismatch("only a table with a primary key finds rows by key".to_owned()));
        };
        let keys = ingest::conform_key(keys, &layout.spec, &layout.key_schema, 0)?;
        Ok(rows.lookup(&Keys::all(&layout.key, layout.key.encode_chosen(&keys))))
    }

    /// Returns the number of rows that the next write will see; 0 if there is no such relation.
    pub fn rows(&self, id: RelationId) -> u64 {
        let appended = self.open.iter().flat_map(|open| open.appended(id)).map(RecordBatch::num_rows);
        self.relations.get(&id).map_or(0, |relation| relation.storage.rows() + appended.sum::<usize>()) as u64
    }

    /// Returns how many writes the relation has had; 0 if there is none. The committed rows change only with this
    /// number.
    pub fn writes(&self, id: RelationId) -> u64 {
        self.relations.get(&id).map_or(0, |relation| relation.writes)
    }

    /// Returns the memory that the relation's rows and indexes take, in bytes; 0 if there is no such relation.
    pub fn bytes(&self, id: RelationId) -> u64 {
        self.relations.get(&id).map_or(0, |relation| relation.storage.bytes()) as u64
    }

    /// Applies writes in order, all or none, and passes their exact changes and the rows given to `send`. If `send`
    /// fails, the writes are undone and its error is returned. No transaction may be open.
    pub(crate) fn apply<T>(
        &mut self,
        writes: Vec<Prepared>,
        send: impl FnOnce(Vec<(RelationId, RecordBatch, Diffs)>, Given) -> Result<T, Error>,
    ) -> Result<(T, Vec<Applied>), Error> {
        assert!(self.open.is_none(), "a write outside of the open transaction waits for its end");
        self.guarded(|store| {
            let mut undo = Vec::new();
            let made = store.apply_to_tables(&writes, &mut undo);
            match made.and_then(|(changes, applied)| Ok((send(changes, rows_given(&writes, &applied))?, applied))) {
                Ok(done) => {
                    store.settle(writes);
                    Ok(done)
                }
                Err(error) => {
                    store.take_back(undo);
                    Err(error)
                }
            }
        })
    }

    /// Runs work that may break an invariant half way. After a panic, the store can be neither read nor written any
    /// more: no answer is better than a wrong one.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(reason) = &self.broken {
            return Err(Error::Internal(reason.clone()));
        }
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        done.unwrap_or_else(|panic| {
            let reason = format!("the store stopped: {}", panic_text(panic.as_ref()));
            self.broken = Some(reason.clone());
            Err(Error::Internal(reason))
        })
    }

    /// Computes the changes of all writes and makes those of tables. Rows of sources are added only when nothing can
    /// fail any more, since they cannot be taken out again.
    fn apply_to_tables(
        &mut self,
        writes: &[Prepared],
        undo: &mut Vec<(RelationId, Undo)>,
    ) -> Result<(Vec<(RelationId, RecordBatch, Diffs)>, Vec<Applied>), Error> {
        let mut changes = Vec::new();
        let mut applied = Vec::with_capacity(writes.len());
        for write in writes {
            let id = write.relation();
            let relation = self.relations.get_mut(&id);
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
    fn take_back(&mut self, undo: Vec<(RelationId, Undo)>) {
        for (id, undo) in undo.into_iter().rev() {
            let relation = self.relations.get_mut(&id).expect("a relation with open writes is not dropped");
            relation.storage.undo(undo);
        }
    }

    /// Completes successful writes: adds rows to sources, compacts tables and moves watermarks.
    fn settle(&mut self, writes: Vec<Prepared>) {
        for write in writes {
            let relation = self.relations.get_mut(&write.relation()).expect("looked up before");
            relation.writes += 1;
            if let Storage::Append(rows) = &mut relation.storage {
                write.batches.iter().for_each(|(batch, _)| rows.insert(batch));
            }
            self.tidy(write.relation());
            if let Some((watermark, reached)) = write.moved() {
                watermark.advance(reached);
            }
        }
    }

    /// Rewrites sparse segments of a table; earlier writes cannot be undone afterwards.
    fn tidy(&mut self, id: RelationId) {
        if let Some(relation) = self.relations.get_mut(&id) {
            relation.storage.settle();
        }
    }
}
