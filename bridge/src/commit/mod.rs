//! The write path: rows are fitted to their relation, then, under the one commit lock, checked and applied to the
//! store, and their exact changes given to the engine.
//!
//! ```text
//! wait for room -> fit, encode keys -> [ lock: delta -> tables -> engine -> sources ] -> done
//! ```
//!
//! Because the lock is held over store and engine, the times of the engine and the states of the store are in the
//! same order: what [`Committer::frozen`] sees in the store is exactly what was committed to the engine. Nobody waits
//! for a view while holding the lock.

use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::{DataflowError, Diffs, Engine, RelationId, Time, Waited};
use parking_lot::{Mutex, MutexGuard};

use crate::error::Error;
use crate::store::{Applied, Layout, Operation, Prepared, Scan, Spec, Store};

/// A write as it is asked for.
#[derive(Clone, Debug)]
pub struct Write {
    /// What is written to.
    pub relation: RelationId,
    /// What is done with the rows.
    pub operation: Operation,
    /// The rows, as the caller has them.
    pub rows: Vec<RecordBatch>,
}

/// What the write path needs of the engine; tests put a slow one in its place.
trait Downstream: Send + Sync {
    fn commit(&self, changes: Vec<(RelationId, RecordBatch, Diffs)>) -> Result<Time, DataflowError>;

    /// Waits until at most `rows` of a relation are pending. Gives false if it was interrupted.
    fn wait_for_room(
        &self,
        relation: RelationId,
        rows: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<bool, DataflowError>;
}

impl Downstream for Engine {
    fn commit(&self, changes: Vec<(RelationId, RecordBatch, Diffs)>) -> Result<Time, DataflowError> {
        Engine::commit(self, changes)
    }

    fn wait_for_room(
        &self,
        relation: RelationId,
        rows: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<bool, DataflowError> {
        Ok(Engine::wait_for_room(self, relation, rows, None, interrupted)? == Waited::Done)
    }
}

/// The only way to the store.
pub struct Committer {
    engine: Arc<dyn Downstream>,
    store: Mutex<Store>,
    /// Pending rows of a relation at which its writers wait; 0 is no bound.
    buffer_size: u64,
}

impl Committer {
    /// A committer with an empty store.
    pub fn new(engine: Arc<Engine>, buffer_size: usize) -> Self {
        Committer { engine, store: Mutex::new(Store::default()), buffer_size: buffer_size as u64 }
    }

    /// Makes writes in order, at one time, all or none; returns once every later read sees them. Waits first while a
    /// relation has as many rows pending as the buffer holds, unless `interrupted` says so: then nothing was written.
    pub fn commit(&self, writes: Vec<Write>, interrupted: &dyn Fn() -> bool) -> Result<Vec<Applied>, Error> {
        if let Some(rows) = self.buffer_size.checked_sub(1) {
            for write in &writes {
                if !self.engine.wait_for_room(write.relation, rows, interrupted)? {
                    return Err(Error::Interrupted);
                }
            }
        }
        let layouts = self.layouts(&writes)?;
        let prepared = writes.iter().zip(&layouts).map(|(write, layout)| layout.prepare(write.operation, &write.rows));
        let prepared = prepared.collect::<Result<_, Error>>()?;
        self.lock().apply(prepared)
    }

    fn layouts(&self, writes: &[Write]) -> Result<Vec<Arc<Layout>>, Error> {
        let store = self.store.lock();
        writes.iter().map(|write| layout(&store, write.relation)).collect()
    }

    fn lock(&self) -> Frozen<'_> {
        Frozen { engine: &*self.engine, store: self.store.lock() }
    }

    /// Runs `look` with no commit by anybody else in between, so that all it sees is of one time. It should be short,
    /// and must not call the committer.
    pub fn frozen<T>(&self, look: impl FnOnce(&mut Frozen<'_>) -> T) -> T {
        look(&mut self.lock())
    }

    /// The relation's rows as they are; None if there is no such relation.
    pub fn scan(&self, relation: RelationId) -> Option<Scan> {
        self.store.lock().scan(relation)
    }

    /// Number of rows of the relation; 0 if there is none.
    pub fn rows(&self, relation: RelationId) -> u64 {
        self.store.lock().rows(relation)
    }

    /// Memory the relation's rows and indexes take; 0 if there is none.
    pub fn bytes(&self, relation: RelationId) -> u64 {
        self.store.lock().bytes(relation)
    }
}

fn layout(store: &Store, relation: RelationId) -> Result<Arc<Layout>, Error> {
    store.layout(relation).ok_or_else(|| Error::QueryFailed("the table was dropped meanwhile".to_owned()))
}

/// The store while nobody else writes.
pub struct Frozen<'a> {
    engine: &'a dyn Downstream,
    store: MutexGuard<'a, Store>,
}

impl Frozen<'_> {
    /// Adds an empty relation. `id` must be new.
    pub fn create(&mut self, id: RelationId, spec: Spec) -> Result<(), Error> {
        self.store.create(id, spec)
    }

    /// Forgets a relation and its rows.
    pub fn drop(&mut self, id: RelationId) {
        Store::drop(&mut self.store, id);
    }

    /// What the relation is; None if there is none.
    pub fn layout(&self, id: RelationId) -> Option<Arc<Layout>> {
        self.store.layout(id)
    }

    /// The relation's rows as they are; None if there is no such relation.
    pub fn scan(&mut self, id: RelationId) -> Option<Scan> {
        self.store.scan(id)
    }

    /// Rows of a keyed table by key, see [`Store::find`].
    pub fn find(&self, id: RelationId, keys: &RecordBatch) -> Result<(Vec<u32>, RecordBatch), Error> {
        self.store.find(id, keys)
    }

    /// Number of rows of the relation; 0 if there is none.
    pub fn rows(&self, id: RelationId) -> u64 {
        self.store.rows(id)
    }

    /// Makes writes in order, at one time, all or none, without waiting for room.
    pub fn write(&mut self, writes: Vec<Write>) -> Result<Vec<Applied>, Error> {
        let prepare = |write: Write| layout(&self.store, write.relation)?.prepare(write.operation, &write.rows);
        let prepared = writes.into_iter().map(prepare).collect::<Result<_, Error>>()?;
        self.apply(prepared)
    }

    fn apply(&mut self, prepared: Vec<Prepared>) -> Result<Vec<Applied>, Error> {
        let engine = self.engine;
        // A write that changes nothing, such as an equal replacement, takes no time.
        let send = |changes: Vec<_>| if changes.is_empty() { Ok(0) } else { Ok(engine.commit(changes)?) };
        let (_, applied) = self.store.apply(prepared, send)?;
        Ok(applied)
    }
}

#[cfg(test)]
mod tests;
