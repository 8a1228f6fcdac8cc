//! Transactions: one thread's writes are one write at its end, and all other writes wait for it.
//!
//! The store's lock is not held while a transaction is open: its owner takes it for each statement, and readers take
//! it to find the committed rows. Who wants to write waits here, in no lock, until the transaction has ended:
//!
//! ```text
//! begin --> open: statements of the owner ... --> commit or rollback --> the writes that waited --> next begin
//! ```
//!
//! A transaction is begun after the writes that came to wait before it, so nobody waits for ever for his turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use laminardb_dataflow::RelationId;
use parking_lot::MutexGuard;

use super::{Caller, Committer, Frozen, State};
use crate::error::Error;

/// How long a wait goes on before it asks whether its caller is still interested: a signal cannot wake it.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// The transaction under way, beyond what the store has of it.
pub(super) struct Open {
    owner: u64,
    /// Rows of its writes, by relation.
    counts: BTreeMap<RelationId, u64>,
}

/// Who waits for a turn.
#[derive(Default)]
pub(super) struct Line {
    last: u64,
    /// Their callers, in the order in which they came.
    waiting: BTreeMap<u64, u64>,
}

/// A place in the line, until it is dropped. That takes the lock.
pub(crate) struct Place<'a> {
    committer: &'a Committer,
    number: u64,
    caller: u64,
}

impl Place<'_> {
    fn can_begin(&self, state: &State) -> bool {
        // A thread cannot wait for itself: a signal handler may begin a transaction while the thread waits to write.
        let mut before = state.line.waiting.range(..self.number);
        state.open.is_none() && before.all(|(_, caller)| *caller == self.caller)
    }

    /// Gives up the place of who has the lock.
    fn leave(self, state: &mut State) {
        state.line.waiting.remove(&self.number);
        self.committer.turn.notify_all();
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.committer.state.lock().line.waiting.remove(&self.number);
        self.committer.turn.notify_all();
    }
}

/// Holds off all who want to write, until it is dropped. That takes the lock.
pub(crate) struct Hold<'a>(&'a Committer);

impl Hold<'_> {
    /// Ends it for who has the lock.
    pub(super) fn leave(self, state: &mut State) {
        state.held = false;
        self.0.turn.notify_all();
        std::mem::forget(self);
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.state.lock().held = false;
        self.0.turn.notify_all();
    }
}

impl State {
    /// Whether the transaction under way is this caller's.
    pub(super) fn is_open_for(&self, caller: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.owner == caller)
    }

    /// Whether this caller may write now.
    fn may_write(&self, caller: u64) -> bool {
        !self.held && (self.open.is_none() || self.is_open_for(caller))
    }
}

impl Committer {
    /// Whether a transaction is under way.
    pub(crate) fn is_open(&self) -> bool {
        self.owner.load(Ordering::Acquire) != 0
    }

    /// Whether a transaction of the calling thread is under way.
    pub fn in_transaction(&self) -> bool {
        let owner = self.owner.load(Ordering::Acquire);
        owner != 0 && owner == Caller::current().id()
    }

    /// A place behind all who wait for a turn.
    pub(crate) fn line_up(&self) -> Place<'_> {
        let caller = Caller::current().id();
        let mut state = self.state.lock();
        state.line.last += 1;
        let number = state.line.last;
        state.line.waiting.insert(number, caller);
        Place { committer: self, number, caller }
    }

    /// Waits, in no lock, until `ready`.
    fn wait_until(
        &self,
        interrupted: &dyn Fn() -> bool,
        ready: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, Error> {
        let mut look = Instant::now() + LOOK;
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return Err(Error::Shutdown);
            }
            if ready(&state) {
                return Ok(state);
            }
            if self.turn.wait_until(&mut state, look).timed_out() {
                // Foreign code must not run under the lock.
                if MutexGuard::unlocked(&mut state, interrupted) {
                    return Err(Error::Interrupted);
                }
                look = Instant::now() + LOOK;
            }
        }
    }

    /// Waits until no transaction of another thread is under way; gives the place that was waited in, if any. None is
    /// begun by another thread before that place is dropped.
    pub(crate) fn wait_for_turn(&self, interrupted: &dyn Fn() -> bool) -> Result<Option<Place<'_>>, Error> {
        if !self.is_open() {
            return Ok(None);
        }
        let place = self.line_up();
        drop(self.wait_until(interrupted, |state| state.may_write(place.caller))?);
        Ok(Some(place))
    }

    /// Lets all who want to write wait, while reads go on and [`Committer::frozen`] still writes. The caller must hold
    /// off transactions, and other holds.
    pub(crate) fn hold(&self) -> Hold<'_> {
        let mut state = self.state.lock();
        assert!(!state.held && state.open.is_none(), "somebody else has the turn");
        state.held = true;
        Hold(self)
    }

    /// The store, as soon as the caller may write to it. `waited` is run, without a lock, after each wait.
    pub(super) fn turn(
        &self,
        interrupted: &dyn Fn() -> bool,
        waited: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Frozen<'_>, Error> {
        let mut place: Option<Place<'_>> = None;
        loop {
            let mut frozen = self.lock();
            if frozen.may_write() {
                if let Some(place) = place {
                    place.leave(&mut frozen.state);
                }
                return Ok(frozen);
            }
            drop(frozen);
            let place = place.get_or_insert_with(|| self.line_up());
            drop(self.wait_until(interrupted, |state| state.may_write(place.caller))?);
            waited()?;
        }
    }

    /// Waits until a transaction can be begun: none is under way, and nobody else waits who came before. Fails if the
    /// one under way is the caller's own.
    pub(crate) fn wait_to_begin(&self, place: &Place<'_>, interrupted: &dyn Fn() -> bool) -> Result<(), Error> {
        let ready = |state: &State| place.can_begin(state) || state.is_open_for(place.caller);
        if self.wait_until(interrupted, ready)?.is_open_for(place.caller) {
            return Err(Error::QueryFailed("a transaction is open already: COMMIT or ROLLBACK it first".to_owned()));
        }
        Ok(())
    }

    /// Begins a transaction of the calling thread, if it can be begun. The caller must hold off definitions.
    pub(crate) fn begin(self: &Arc<Self>, place: &Place<'_>) -> bool {
        // Dropped after the lock: the last of a caller takes it.
        let caller = Caller::current();
        let mut state = self.state.lock();
        if state.ended || !place.can_begin(&state) {
            return false;
        }
        caller.remember(self);
        state.store.begin();
        state.open = Some(Open { owner: caller.id(), counts: BTreeMap::new() });
        self.owner.store(caller.id(), Ordering::Release);
        true
    }

    /// The state, if a transaction of the calling thread is under way.
    fn own(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.state.lock();
        if state.ended {
            return Err(Error::Shutdown);
        }
        match state.open.as_ref().map(|open| open.owner == Caller::current().id()) {
            Some(true) => Ok(state),
            Some(false) => Err(Error::QueryFailed("the transaction under way is of another thread".to_owned())),
            None => Err(Error::QueryFailed("no transaction is open".to_owned())),
        }
    }

    /// Makes all writes of the calling thread's transaction, at one time, or none if that fails; waits first for room
    /// in the relations that were written to, unless `interrupted` says so: then the transaction stays open. Gives the
    /// rows of its writes.
    pub fn commit_transaction(&self, interrupted: &dyn Fn() -> bool) -> Result<BTreeMap<RelationId, u64>, Error> {
        let written = self.own()?.store.written();
        self.wait_for_room(&written, interrupted)?;
        let mut state = self.own()?;
        let engine = &*self.engine;
        // A transaction that changes nothing takes no time.
        let send = |changes: Vec<_>| if changes.is_empty() { Ok(0) } else { Ok(engine.commit(changes)?) };
        let committed = state.store.commit(send);
        let open = self.close_open(&mut state);
        committed.map(|_| open.counts)
    }

    /// Ends the calling thread's transaction as if it had never been.
    pub fn rollback_transaction(&self) -> Result<(), Error> {
        let mut state = self.own()?;
        let undone = state.store.rollback();
        self.close_open(&mut state);
        undone
    }

    fn close_open(&self, state: &mut State) -> Open {
        self.owner.store(0, Ordering::Release);
        self.turn.notify_all();
        state.open.take().expect("a transaction is under way")
    }

    /// The thread `caller` has ended: nobody can commit what it left open.
    pub(super) fn abandon(&self, caller: u64) {
        let mut state = self.state.lock();
        if !state.ended && state.is_open_for(caller) {
            // A store that fails here says why at the next write.
            let _ = state.store.rollback();
            self.close_open(&mut state);
        }
    }

    /// Ends all writing: the transaction under way, of whatever thread, is rolled back, and those who wait are told.
    pub fn end(&self) {
        let mut state = self.state.lock();
        if !state.ended {
            state.ended = true;
            if state.open.is_some() {
                // Nothing is read any more; the owner is told that the session has ended.
                let _ = state.store.rollback();
            }
        }
        self.turn.notify_all();
    }

    /// Remembers the rows of a write of the calling thread for the end of its transaction. Gives false if it is in none.
    pub(crate) fn count_in_transaction(&self, relation: RelationId, rows: u64) -> bool {
        if !self.in_transaction() {
            return false;
        }
        if let Some(open) = &mut self.state.lock().open {
            *open.counts.entry(relation).or_default() += rows;
        }
        true
    }
}
