//! The write path: rows are cast to the columns of their relation; then, under the one commit lock, they are checked
//! and applied to the store, and their exact changes are passed to the engine.
//!
//! ```text
//! wait for room -> fit, encode keys -> [ lock: delta -> tables -> engine -> record -> sources ] -> done
//! a long write:                        [ lock: lend ] delta -> tables [ lock: engine -> record -> sources ] -> done
//! ```
//!
//! A long write changes its relations without the lock (see `long`), so that writes to others do not wait for it.
//!
//! Definitions, drops, restores and watermarks take the same lock, and every change of the database is passed to its
//! [`History`] under it. Because the lock is held over store and engine, the times of the engine and the states of the
//! store have the same order: what [`Committer::frozen`] sees in the store is exactly what was committed to the engine.
//! No call waits for a view while it holds the lock.
//!
//! In a transaction (see `transaction`), a write changes only the store. The engine receives the changes of all its
//! writes when the transaction is committed; until then, other sessions see the store as the engine knows it.

mod long;
mod record;
mod state;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arrow::array::RecordBatch;
use laminardb_dataflow::cancel::Monitor;
use laminardb_dataflow::lock::{MutexGuard, Rank};
use laminardb_dataflow::{CancelToken, DataflowError, Engine, MemoryLimit, RelationId, Time};

use crate::error::Error;
use crate::relation::{Operation, Spec};
use crate::store::{Applied, Finder, Prepared, RelationLayout, Scan, Store, batch_bytes};
pub use record::{Change, History, Record};
use state::CommitState;
pub use state::TransactionInfo;
pub(crate) use state::{Actor, Call};
pub(crate) use transaction::WriteHold;

/// A write to one relation, as a caller requests it.
#[derive(Clone, Debug)]
pub struct Write {
    /// The relation that is written to.
    pub relation: RelationId,
    /// What to do with the rows.
    pub operation: Operation,
    /// The rows, with the columns and types that the caller gave.
    pub rows: Vec<RecordBatch>,
}

/// The part of the engine that the write path uses; tests replace it by a slow one.
trait Downstream: Send + Sync {
    /// Commits changes, as [`Engine::commit_with`] does.
    fn commit(&self, changes: Vec<Change>, committed: &mut dyn FnMut(Time, &[Change])) -> Result<Time, DataflowError>;

    /// Returns the last time that was given to a commit.
    fn last_time(&self) -> Time;

    /// Waits until at most `rows` rows of a relation are pending.
    fn wait_for_room(&self, relation: RelationId, rows: u64, cancel: &CancelToken) -> Result<(), DataflowError>;
}

impl Downstream for Engine {
    fn commit(&self, changes: Vec<Change>, committed: &mut dyn FnMut(Time, &[Change])) -> Result<Time, DataflowError> {
        Engine::commit_with(self, changes, committed)
    }

    fn last_time(&self) -> Time {
        Engine::last_time(self)
    }

    fn wait_for_room(&self, relation: RelationId, rows: u64, cancel: &CancelToken) -> Result<(), DataflowError> {
        Engine::wait_for_room(self, relation, rows, None, cancel)
    }
}

/// Owns the store: all reads and writes of it pass through a committer.
pub struct Committer {
    engine: Arc<dyn Downstream>,
    history: Box<dyn History>,
    /// Notified whenever a waiting call may have its turn.
    state: Arc<Monitor<CommitState>>,
    /// Id of the transaction under way, readable without the lock; 0 if there is none.
    open: AtomicU64,
    /// Number of pending rows of a relation at which its writers wait; 0 means no limit.
    buffer_size: u64,
    /// How long a call waits for a transaction of another session to end; `None` means without limit.
    lock_timeout: Option<Duration>,
    memory_limit: Option<MemoryLimit>,
}

impl Committer {
    /// Makes a committer with an empty store. `history` receives a record of everything that is committed.
    pub fn new(
        engine: Arc<Engine>,
        history: Box<dyn History>,
        buffer_size: usize,
        lock_timeout: Option<Duration>,
    ) -> Self {
        Committer::over(engine, history, buffer_size as u64, lock_timeout)
    }

    fn over(
        engine: Arc<dyn Downstream>,
        history: Box<dyn History>,
        buffer_size: u64,
        lock_timeout: Option<Duration>,
    ) -> Self {
        let state = Monitor::new(Rank::Commit, CommitState::default());
        Committer { engine, history, state, open: AtomicU64::new(0), buffer_size, lock_timeout, memory_limit: None }
    }

    /// Returns the committer with a limit of memory: writes of rows that would pass it are refused.
    pub(crate) fn with_memory_limit(mut self, limit: Option<MemoryLimit>) -> Self {
        self.memory_limit = limit;
        self
    }

    /// Fails if there is no room for the rows of a write; those that it removes need none.
    fn check_memory<'a>(&self, rows: impl IntoIterator<Item = &'a RecordBatch>) -> Result<(), Error> {
        let Some(limit) = self.memory_limit else { return Ok(()) };
        // The batches of a query share buffers, of which each holds a part.
        let bytes: usize = rows.into_iter().map(batch_bytes).sum();
        limit.check_write(bytes as u64).map_err(|over| Error::of_memory("the rows to write need", over))
    }

    /// Fails if there is no room for any write.
    pub(crate) fn check_room(&self) -> Result<(), Error> {
        self.check_memory([])
    }

    /// Fails if there is no room for the rows that writes add.
    fn check_memory_of(&self, writes: &[Write]) -> Result<(), Error> {
        let adds = |write: &&Write| !matches!(write.operation, Operation::Delete | Operation::Truncate);
        let mut added = writes.iter().filter(adds).flat_map(|write| &write.rows).peekable();
        if added.peek().is_none() { Ok(()) } else { self.check_memory(added) }
    }

    /// Makes writes in order, at one time, all or none; when it returns, every later read sees them. Waits first while
    /// one of the relations has as many rows pending as the buffer holds, and while a transaction of another session is
    /// under way; if such a wait is cancelled, nothing is written. Writes in the caller's own transaction become part
    /// of it and do not wait.
    pub(crate) fn commit(&self, actor: Actor, writes: Vec<Write>, cancel: &CancelToken) -> Result<Vec<Applied>, Error> {
        let relations = each_once(writes.iter().map(|write| write.relation));
        let room = || if self.is_open_for(&actor) { Ok(()) } else { self.wait_for_room(&relations, cancel) };
        room()?;
        let prepared = self.prepare(&writes)?;
        // The buffer may fill up again while the call waits for its turn.
        let frozen = self.turn(&actor, &relations, cancel, &room)?;
        Ok(frozen.apply_if(prepared, &|_| true)?.expect("there is no condition"))
    }

    /// Makes writes as [`Committer::commit`] does, if `condition` is true when they are made; otherwise returns `None`.
    /// Does not wait for room in the buffer.
    pub(crate) fn commit_if(
        &self,
        actor: Actor,
        writes: &[Write],
        cancel: &CancelToken,
        condition: &dyn Fn(&Frozen<'_>) -> bool,
    ) -> Result<Option<Vec<Applied>>, Error> {
        let prepared = self.prepare(writes)?;
        self.turn(&actor, &each_once(writes.iter().map(|write| write.relation)), cancel, &|| Ok(()))?
            .apply_if(prepared, condition)
    }

    /// Makes the writes to a relation that `make` returns, at one time, all or none. `make` finds rows of the relation
    /// by key, and no other write to it comes in between. `rows` says about how many rows that are. If `bounded`, waits
    /// first while the relation has as many rows pending as the buffer holds; always waits for a transaction of another
    /// session.
    pub(crate) fn commit_found<T>(
        &self,
        actor: Actor,
        relation: RelationId,
        rows: usize,
        bounded: bool,
        cancel: &CancelToken,
        make: impl FnOnce(&Finder<'_>) -> Result<(Vec<Write>, T), Error>,
    ) -> Result<T, Error> {
        let unbounded = || !bounded || self.is_open_for(&actor);
        let room = || if unbounded() { Ok(()) } else { self.wait_for_room(&[relation], cancel) };
        room()?;
        // The buffer may fill up again while the call waits for its turn.
        let mut frozen = self.turn(&actor, &[relation], cancel, &room)?;
        if Store::is_long_change(rows) && frozen.may_lend() {
            let make = |finder: &Finder<'_>| {
                let (writes, made) = make(finder)?;
                Ok((self.prepare(&writes)?, made))
            };
            let made = frozen.apply_lent(&[relation], make, &|_| true)?;
            return Ok(made.expect("there is no condition").1);
        }
        let (writes, made) = make(&frozen.state.store.finder()?)?;
        frozen.write(writes)?;
        Ok(made)
    }

    /// Makes writes fit their relations. Fails if there is no memory for them or a relation does not exist.
    fn prepare(&self, writes: &[Write]) -> Result<Vec<Prepared>, Error> {
        self.check_memory_of(writes)?;
        let layouts = self.layouts(writes)?;
        let prepared = writes.iter().zip(&layouts).map(|(write, layout)| layout.prepare(write.operation, &write.rows));
        prepared.collect()
    }

    /// Waits until each relation has fewer rows pending than the buffer holds.
    fn wait_for_room(&self, relations: &[RelationId], cancel: &CancelToken) -> Result<(), Error> {
        if let Some(rows) = self.buffer_size.checked_sub(1) {
            for relation in relations {
                self.engine.wait_for_room(*relation, rows, cancel)?;
            }
        }
        Ok(())
    }

    /// Stores rows in a relation that no other call knows of yet. Fails if a key occurs twice. This is not a write: it
    /// takes no time, neither the engine nor the history receives it, and it is part of no transaction.
    pub(crate) fn load(&self, relation: RelationId, rows: &[RecordBatch]) -> Result<(), Error> {
        self.check_memory(rows)?;
        let layout = layout(&self.state.lock().store, relation)?;
        // In pieces, so that no writer waits for all rows.
        for rows in rows {
            for start in (0..rows.num_rows()).step_by(LOADED_ROWS) {
                let piece = rows.slice(start, LOADED_ROWS.min(rows.num_rows() - start));
                let prepared = layout.prepare(Operation::InsertNew, &[piece])?;
                self.state.lock().store.load(prepared)?;
            }
        }
        Ok(())
    }

    /// Passes the changes of a write to the engine, and its record to the history. A write that changes nothing, such
    /// as an equal replacement, takes no time; its record has the time of the last commit.
    fn send(&self, changes: Vec<Change>, rows: &[(RelationId, u64)]) -> Result<(), Error> {
        let mut committed =
            |time: Time, changes: &[Change]| self.history.record(time, &Record::Write { changes, rows });
        if changes.is_empty() {
            committed(self.engine.last_time(), &changes);
            return Ok(());
        }
        self.engine.commit(changes, &mut committed)?;
        Ok(())
    }

    /// Returns the layouts of the relations written to; fails if one of them does not exist.
    fn layouts(&self, writes: &[Write]) -> Result<Vec<Arc<RelationLayout>>, Error> {
        let state = self.state.lock();
        writes.iter().map(|write| layout(&state.store, write.relation)).collect()
    }

    /// Takes the commit lock. Only an `actor` of the transaction under way sees that transaction's writes.
    fn lock(&self, actor: Option<&Actor>) -> Frozen<'_> {
        let state = self.state.lock();
        let in_transaction = actor.is_some_and(|actor| state.is_open_for(actor));
        Frozen { committer: self, state, in_transaction }
    }

    /// Runs `look` under the commit lock, so that all it sees is of one time: the committed rows. It should be short,
    /// and must not call the committer, nor write while a transaction may be under way.
    pub fn frozen<T>(&self, look: impl FnOnce(&mut Frozen<'_>) -> T) -> T {
        let mut frozen = self.lock(None);
        let seen = look(&mut frozen);
        let dropped = frozen.state.store.take_dropped();
        drop(frozen);
        // To free the rows of a large table takes long.
        drop(dropped);
        seen
    }

    /// Runs `look` as [`Committer::frozen`] does; in a transaction of the caller, it sees the rows as they are inside.
    pub(crate) fn frozen_for<T>(&self, actor: Actor, look: impl FnOnce(&mut Frozen<'_>) -> T) -> T {
        look(&mut self.lock(Some(&actor)))
    }

    /// Runs `write` as [`Committer::frozen_for`] does, after waiting until no transaction of another session is under
    /// way, writers are not held off, and no long write to the relation is under way. Fails if that wait is cancelled.
    pub(crate) fn writing<T>(
        &self,
        actor: Actor,
        relation: RelationId,
        cancel: &CancelToken,
        write: impl FnOnce(&mut Frozen<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        write(&mut self.turn(&actor, &[relation], cancel, &|| Ok(()))?)
    }

    /// Returns the memory that the relation's rows and indexes take, in bytes; 0 if there is no such relation.
    pub fn bytes(&self, relation: RelationId) -> u64 {
        self.state.lock().store.bytes(relation)
    }
}

/// Number of rows that are loaded at once.
const LOADED_ROWS: usize = 1 << 13;

/// Returns the relations in order, each once.
fn each_once(relations: impl Iterator<Item = RelationId>) -> Vec<RelationId> {
    let mut relations: Vec<RelationId> = relations.collect();
    relations.sort_unstable();
    relations.dedup();
    relations
}

fn layout(store: &Store, relation: RelationId) -> Result<Arc<RelationLayout>, Error> {
    store.layout(relation).ok_or_else(|| Error::Dropped("the relation".to_owned()))
}

/// The store under the commit lock. A call of the transaction under way sees that transaction's writes, all other calls
/// see the committed rows.
pub struct Frozen<'a> {
    committer: &'a Committer,
    state: MutexGuard<'a, CommitState>,
    in_transaction: bool,
}

impl Frozen<'_> {
    /// Returns whether the call is part of the transaction under way.
    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Returns whether the call may write to the relations now, as [`CommitState::may_write`] does.
    fn may_write(&self, relations: &[RelationId]) -> bool {
        let has_turn = self.state.open.is_none() || self.in_transaction;
        !self.state.held && has_turn && !self.state.store.is_lent(relations)
    }

    /// Adds an empty relation. `id` must be new.
    pub fn create(&mut self, id: RelationId, spec: Spec) -> Result<(), Error> {
        self.state.store.create(id, spec)
    }

    /// Removes a relation and its rows. No transaction under way may have written to it.
    pub fn drop(&mut self, id: RelationId) {
        Store::drop(&mut self.state.store, id);
    }

    /// Returns the layout of the relation; `None` if there is no such relation.
    pub fn layout(&self, id: RelationId) -> Option<Arc<RelationLayout>> {
        self.state.store.layout(id)
    }

    /// Returns the relation's rows as the caller sees them; `None` if there is no such relation.
    pub fn scan(&mut self, id: RelationId) -> Option<Scan> {
        if self.in_transaction { self.state.store.scan(id) } else { self.committed_scan(id) }
    }

    /// Returns the relation's rows as the engine knows them; `None` if there is no such relation.
    pub fn committed_scan(&mut self, id: RelationId) -> Option<Scan> {
        self.state.store.committed_scan(id)
    }

    /// Returns the number of rows of the relation as the caller sees them; 0 if there is no such relation.
    pub fn rows(&self, id: RelationId) -> u64 {
        let store = &self.state.store;
        if self.in_transaction { store.rows(id) } else { store.committed_rows(id) }
    }

    /// Returns how many writes the relation has had; 0 if there is no such relation. While the number stays the same,
    /// so do the committed rows.
    pub fn writes(&self, id: RelationId) -> u64 {
        self.state.store.writes(id)
    }

    /// Makes writes in order, at one time, all or none. Does not wait for room in the buffer.
    pub fn write(&mut self, writes: Vec<Write>) -> Result<Vec<Applied>, Error> {
        self.committer.check_memory_of(&writes)?;
        let store = &self.state.store;
        let prepare = |write: Write| layout(store, write.relation)?.prepare(write.operation, &write.rows);
        let prepared = writes.into_iter().map(prepare).collect::<Result<_, Error>>()?;
        self.apply(prepared)
    }

    fn apply(&mut self, prepared: Vec<Prepared>) -> Result<Vec<Applied>, Error> {
        if self.state.ended {
            return Err(Error::Shutdown);
        }
        if self.in_transaction {
            return self.state.store.apply_in_transaction(&prepared);
        }
        let committer = self.committer;
        let ((), applied) = self.state.store.apply(prepared, |changes, given| committer.send(changes, &given))?;
        Ok(applied)
    }

    /// Passes the record of a change that takes no time of its own to the history, with the time of the last commit.
    pub(crate) fn record(&self, record: &Record<'_>) {
        self.committer.history.record(self.committer.engine.last_time(), record);
    }
}

#[cfg(test)]
mod tests;
