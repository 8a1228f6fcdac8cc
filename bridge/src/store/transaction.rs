//! Transactions of the store: several writes that are committed as one. Each is made in the tables as it comes; until
//! the end, the rows before it can be read and restored.
//!
//! ```text
//! writes --> tables in place  (undo kept)  --commit--> changes of all to the engine, rows to the sources
//!        +-> rows for sources (kept aside) --rollback--> undo, the last first
//! ```
//!
//! No segment is compacted while a transaction is open, so the positions in its undo stay valid. Its whole cost is
//! proportional to the rows written: nothing is copied to keep the state before.

use arrow::array::RecordBatch;
use laminardb_dataflow::{Diffs, RelationId};

use super::Store;
use super::delta::Applied;
use super::given::{self, Given, rows_given};
use super::layout::Prepared;
use super::open::{Before, OpenTransaction};
use super::scan::Scan;
use super::storage::Storage;
use crate::error::Error;

impl Store {
    /// Opens a transaction; none may be open.
    pub(crate) fn begin(&mut self) {
        let before = self.open.replace(OpenTransaction::default());
        assert!(before.is_none(), "a transaction is begun when the one before has ended");
    }

    /// Applies writes in order, all or none, as part of the open transaction.
    pub(crate) fn apply_in_transaction(&mut self, writes: &[Prepared]) -> Result<Vec<Applied>, Error> {
        self.guarded(|store| {
            let rows: Vec<u64> = writes.iter().map(|write| store.rows(write.relation())).collect();
            let mut undo = Vec::new();
            let (changes, applied) = match store.relations.apply_to_tables(writes, &mut undo) {
                Ok(done) => done,
                Err(error) => {
                    store.relations.take_back(undo);
                    return Err(error);
                }
            };
            let is_source = |id| store.relations.get(id).is_some_and(|relation| relation.storage.is_append());
            let open = store.open.as_mut().expect("the writes are part of a transaction");
            open.undo.append(&mut undo);
            open.changes.extend(changes);
            given::add(&mut open.given, rows_given(writes, &applied));
            for (write, rows) in writes.iter().zip(rows) {
                let id = write.relation();
                open.before.entry(id).or_insert(Before { rows, scan: None });
                if is_source(id) {
                    let batches = write.batches.iter().map(|(batch, _)| batch).filter(|batch| batch.num_rows() > 0);
                    open.appended.entry(id).or_default().extend(batches.cloned());
                }
                open.reached.extend(write.moved());
            }
            Ok(applied)
        })
    }

    /// Ends the open transaction and passes its changes and the rows given to `send`. If `send` fails, the whole transaction is undone.
    pub(crate) fn commit<T>(
        &mut self,
        send: impl FnOnce(Vec<(RelationId, RecordBatch, Diffs)>, Given) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut open = self.open.take().expect("there is a transaction to end");
        self.guarded(|store| match send(std::mem::take(&mut open.changes), std::mem::take(&mut open.given)) {
            Ok(done) => {
                for (id, batches) in open.appended {
                    let relation = store.relations.get_mut(id).expect("no relation is dropped in a transaction");
                    let Storage::Append(rows) = &mut relation.storage else {
                        unreachable!("only sources wait for their rows")
                    };
                    batches.iter().for_each(|batch| rows.insert(batch));
                }
                for id in open.before.keys() {
                    store.relations.get_mut(*id).expect("no relation is dropped in a transaction").writes += 1;
                    store.relations.tidy(*id);
                }
                open.reached.iter().for_each(|(watermark, reached)| watermark.advance(*reached));
                Ok(done)
            }
            Err(error) => {
                store.relations.take_back(open.undo);
                open.before.keys().for_each(|id| store.relations.tidy(*id));
                Err(error)
            }
        })
    }

    /// Ends the open transaction and undoes all its writes.
    pub(crate) fn rollback(&mut self) -> Result<(), Error> {
        let open = self.open.take().expect("there is a transaction to end");
        self.guarded(|store| {
            store.relations.take_back(open.undo);
            open.before.keys().for_each(|id| store.relations.tidy(*id));
            Ok(())
        })
    }

    /// Returns the relations that the open transaction wrote to.
    pub(crate) fn written(&self) -> Vec<RelationId> {
        self.open.iter().flat_map(|open| open.before.keys().copied()).collect()
    }

    /// Returns the relation's rows without the writes of the open transaction; otherwise like [`Store::scan`].
    pub fn committed_scan(&mut self, id: RelationId) -> Option<Scan> {
        match self.open.as_ref().and_then(|open| open.before.get(&id)) {
            None => self.scan(id),
            Some(Before { scan: Some(scan), .. }) => Some(scan.clone()),
            Some(Before { scan: None, .. }) => self.guarded(|store| Ok(store.scan_before(id))).ok().flatten(),
        }
    }

    /// Returns the number of rows without the writes of the open transaction; 0 if there is no such relation.
    pub fn committed_rows(&self, id: RelationId) -> u64 {
        match self.open.as_ref().and_then(|open| open.before.get(&id)) {
            Some(before) => before.rows,
            None => self.rows(id),
        }
    }

    /// Computes the rows before the transaction and caches them: they do not change until its end.
    fn scan_before(&mut self, id: RelationId) -> Option<Scan> {
        let relation = self.relations.get_mut(id)?;
        let open = self.open.as_mut()?;
        let undo = open.undo.iter_mut().filter(|(of, _)| *of == id).map(|(_, undo)| undo);
        let scan = relation.storage.scan_before(undo);
        if let Some(before) = open.before.get_mut(&id) {
            before.scan = Some(scan.clone());
        }
        Some(scan)
    }
}
