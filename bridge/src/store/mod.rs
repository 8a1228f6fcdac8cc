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
mod index;
mod keyed;
mod keys;
mod layout;
mod loan;
mod open;
mod relations;
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
pub use relations::Finder;
pub use scan::Scan;

use crate::error::Error;
use crate::relation::Spec;
pub(crate) use buffer::batch_bytes;
pub(crate) use given::{Given, rows_given};
use open::OpenTransaction;
use relations::{Lent, Relations, StoredRelation, stopped};
use storage::Storage;

/// The rows of all base relations.
#[derive(Default)]
pub struct Store {
    relations: Relations,
    /// Relations that are lent to writes, and are not among the others.
    lent: BTreeMap<RelationId, Lent>,
    /// Relations that were dropped and are not freed yet.
    dropped: Vec<StoredRelation>,
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
        let before = self.relations.0.insert(id, StoredRelation { layout, storage, writes: 0 });
        assert!(before.is_none(), "relation {id:?} is there already");
        Ok(())
    }

    /// Removes a relation. Its rows are kept until the caller frees them without the commit lock.
    pub fn drop(&mut self, id: RelationId) {
        self.dropped.extend(self.relations.0.remove(&id));
        self.lent.remove(&id);
    }

    /// Returns what was dropped, to be freed by the caller: that may take long.
    pub(crate) fn take_dropped(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.dropped)
    }

    /// Returns the layout of a relation; `None` if it does not exist.
    pub fn layout(&self, id: RelationId) -> Option<Arc<RelationLayout>> {
        let here = self.relations.get(id).map(|relation| &relation.layout);
        here.or_else(|| self.lent.get(&id).map(|lent| &lent.layout)).cloned()
    }

    /// Returns the rows that the next write will see; `None` if the relation does not exist or the store is broken.
    pub fn scan(&mut self, id: RelationId) -> Option<Scan> {
        if self.broken.is_some() {
            return None;
        }
        if let Some(lent) = self.lent.get(&id) {
            return Some(lent.scan.clone());
        }
        let relation = self.relations.get_mut(id)?;
        let scan = relation.storage.scan();
        Some(match &self.open {
            Some(open) => scan.followed_by(open.appended(id)),
            None => scan,
        })
    }

    /// Returns access to rows by key; fails if the store can no longer be trusted. Lent relations are not found.
    pub fn finder(&self) -> Result<Finder<'_>, Error> {
        self.check()?;
        Ok(Finder(&self.relations))
    }

    /// Fails if the store can no longer be trusted.
    fn check(&self) -> Result<(), Error> {
        self.broken.as_ref().map_or(Ok(()), |reason| Err(Error::Internal(reason.clone())))
    }

    /// Returns the number of rows that the next write will see; 0 if there is no such relation.
    pub fn rows(&self, id: RelationId) -> u64 {
        let appended = self.open.iter().flat_map(|open| open.appended(id)).map(RecordBatch::num_rows);
        let here = self.relations.get(id).map(|relation| relation.storage.rows() + appended.sum::<usize>());
        here.unwrap_or_else(|| self.lent.get(&id).map_or(0, |lent| lent.scan.rows())) as u64
    }

    /// Returns how many writes the relation has had; 0 if there is none. The committed rows change only with this
    /// number.
    pub fn writes(&self, id: RelationId) -> u64 {
        let here = self.relations.get(id).map(|relation| relation.writes);
        here.unwrap_or_else(|| self.lent.get(&id).map_or(0, |lent| lent.writes))
    }

    /// Returns the memory that the relation's rows and indexes take, in bytes; 0 if there is no such relation.
    pub fn bytes(&self, id: RelationId) -> u64 {
        let here = self.relations.get(id).map(|relation| relation.storage.bytes());
        here.unwrap_or_else(|| self.lent.get(&id).map_or(0, |lent| lent.bytes)) as u64
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
            let made = store.relations.apply_to_tables(&writes, &mut undo);
            match made.and_then(|(changes, applied)| Ok((send(changes, rows_given(&writes, &applied))?, applied))) {
                Ok(done) => {
                    store.settle(&writes);
                    Ok(done)
                }
                Err(error) => {
                    store.relations.take_back(undo);
                    Err(error)
                }
            }
        })
    }

    /// Stores rows in a relation that nobody else knows of yet, also while a transaction is open, which they are no part
    /// of. Fails if a key occurs twice.
    pub(crate) fn load(&mut self, rows: Prepared) -> Result<(), Error> {
        self.guarded(|store| {
            let (mut undo, rows) = (Vec::new(), vec![rows]);
            match store.relations.apply_to_tables(&rows, &mut undo) {
                Ok(_) => {
                    store.settle(&rows);
                    Ok(())
                }
                Err(error) => {
                    store.relations.take_back(undo);
                    Err(error)
                }
            }
        })
    }

    /// Completes successful writes.
    fn settle(&mut self, writes: &[Prepared]) {
        self.relations.settle(writes);
        writes.iter().for_each(|write| self.relations.tidy(write.relation()));
    }

    /// Runs work that may break an invariant half way. After a panic, the store can be neither read nor written any
    /// more: no answer is better than a wrong one.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        self.check()?;
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        done.unwrap_or_else(|panic| {
            let reason = stopped(&panic_text(panic.as_ref()));
            self.broken = Some(reason.clone());
            Err(Error::Internal(reason))
        })
    }
}
