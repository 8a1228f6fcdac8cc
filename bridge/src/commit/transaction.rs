//! Transactions: the writes of one are one write at its end, and all other writes wait for it.
//!
//! The store's lock is not held while a transaction is open: each of its statements takes it, and readers take it to
//! find the committed rows. Who wants to write waits here, in no lock, until the transaction has ended:
//!
//! ```text
//! begin --> open: statements in it ... --> commit or rollback --> the writes that waited --> next begin
//! ```
//!
//! A transaction is begun after the writes that came to wait before it, so nobody waits for ever for his turn.

use std::sync::atomic::Ordering;

use laminardb_dataflow::CancelToken;
use parking_lot::MutexGuard;

use super::state::{Actor, CommitState, Open};
use super::{Committer, Frozen};
use crate::error::Error;
use crate::store::Given;

/// A place in the line, until it is dropped. That takes the lock.
pub(crate) struct PlaceInLine<'a> {
    committer: &'a Committer,
    number: u64,
    actor: Actor,
}

impl PlaceInLine<'_> {
    fn can_begin(&self, state: &CommitState) -> bool {
        // A session cannot wait for itself: a signal handler may begin a transaction while the session waits to write.
        let mut before = state.line.waiting.range(..self.number);
        state.open.is_none() && before.all(|(_, session)| *session == self.actor.session)
    }

    /// Gives up the place of who has the lock.
    fn leave(self, state: &mut CommitState) {
        state.line.waiting.remove(&self.number);
        self.committer.state.notify_all();
        std::mem::forget(self);
    }
}

impl Drop for PlaceInLine<'_> {
    fn drop(&mut self) {
        self.committer.state.lock().line.waiting.remove(&self.number);
        self.committer.state.notify_all();
    }
}

/// Holds off all who want to write, until it is dropped. That takes the lock.
pub(crate) struct WriteHold<'a>(&'a Committer);

impl WriteHold<'_> {
    /// Ends it for who has the lock.
    pub(super) fn leave(self, state: &mut CommitState) {
        state.held = false;
        self.0.state.notify_all();
        std::mem::forget(self);
    }
}

impl Drop for WriteHold<'_> {
    fn drop(&mut self) {
        self.0.state.lock().held = false;
        self.0.state.notify_all();
    }
}

impl Committer {
    /// Whether a transaction is under way.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) != 0
    }

    /// Whether the transaction under way is the one that a call is part of.
    pub(crate) fn is_open_for(&self, actor: Actor) -> bool {
        self.is_open() && self.state.lock().is_open_for(actor)
    }

    /// A place behind all who wait for a turn.
    pub(crate) fn line_up(&self, actor: Actor) -> PlaceInLine<'_> {
        let mut state = self.state.lock();
        state.line.last += 1;
        let number = state.line.last;
        state.line.waiting.insert(number, actor.session);
        PlaceInLine { committer: self, number, actor }
    }

    /// Waits, in no lock, until `ready`.
    fn wait_until(
        &self,
        cancel: &CancelToken,
        ready: impl Fn(&CommitState) -> bool,
    ) -> Result<MutexGuard<'_, CommitState>, Error> {
        let found = |state: &mut CommitState| match state.ended {
            true => Some(Err(Error::Shutdown)),
            false => ready(state).then_some(Ok(())),
        };
        let (state, found) = self.state.wait_for(cancel, None, found).map_err(|_| Error::Interrupted)?;
        found.map(|()| state)
    }

    /// Waits until no transaction of another session is under way; gives the place that was waited in, if any. None is
    /// begun by another session before that place is dropped.
    pub(crate) fn wait_for_turn(&self, actor: Actor, cancel: &CancelToken) -> Result<Option<PlaceInLine<'_>>, Error> {
        if !self.is_open() {
            return Ok(None);
        }
        let place = self.line_up(actor);
        drop(self.wait_until(cancel, |state| state.may_write(actor))?);
        Ok(Some(place))
    }

    /// Lets all who want to write wait, while reads go on and [`Committer::frozen`] still writes. The caller must hold
    /// off transactions, and other holds.
    pub(crate) fn hold(&self) -> WriteHold<'_> {
        let mut state = self.state.lock();
        assert!(!state.held && state.open.is_none(), "somebody else has the turn");
        state.held = true;
        WriteHold(self)
    }

    /// The store, as soon as the caller may write to it. `waited` is run, without a lock, after each wait.
    pub(super) fn turn(
        &self,
        actor: Actor,
        cancel: &CancelToken,
        waited: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Frozen<'_>, Error> {
        let mut place: Option<PlaceInLine<'_>> = None;
        loop {
            let mut frozen = self.lock(Some(actor));
            if frozen.may_write() {
                if let Some(place) = place {
                    place.leave(&mut frozen.state);
                }
                return Ok(frozen);
            }
            drop(frozen);
            place.get_or_insert_with(|| self.line_up(actor));
            drop(self.wait_until(cancel, |state| state.may_write(actor))?);
            waited()?;
        }
    }

    /// Waits until a transaction can be begun: none is under way, and nobody else waits who came before. Fails if the
    /// one under way is the caller's own.
    pub(crate) fn wait_to_begin(&self, place: &PlaceInLine<'_>, cancel: &CancelToken) -> Result<(), Error> {
        let ready = |state: &CommitState| place.can_begin(state) || state.is_open_for(place.actor);
        if self.wait_until(cancel, ready)?.is_open_for(place.actor) {
            return Err(Error::QueryFailed("a transaction is open already: COMMIT or ROLLBACK it first".to_owned()));
        }
        Ok(())
    }

    /// Begins transaction `id`, which is not 0, if one can be begun. The caller must hold off definitions.
    pub(crate) fn begin(&self, place: &PlaceInLine<'_>, id: u64) -> bool {
        let mut state = self.state.lock();
        if state.ended || !place.can_begin(&state) {
            return false;
        }
        state.store.begin();
        state.open = Some(Open { id, session: place.actor.session });
        self.open.store(id, Ordering::Release);
        true
    }

    /// The state, if transaction `id` is under way.
    fn within(&self, id: u64) -> Result<MutexGuard<'_, CommitState>, Error> {
        let state = self.state.lock();
        if state.ended {
            return Err(Error::Shutdown);
        }
        match state.open.as_ref().map(|open| open.id == id) {
            Some(true) => Ok(state),
            Some(false) | None => Err(Error::QueryFailed("no transaction is open".to_owned())),
        }
    }

    /// Makes all writes of transaction `id`, at one time, or none if that fails; waits first for room in the relations
    /// that were written to: if that wait is cancelled, the transaction stays open.
    pub(crate) fn commit_transaction(&self, id: u64, cancel: &CancelToken) -> Result<(), Error> {
        let written = self.within(id)?.store.written();
        self.wait_for_room(&written, cancel)?;
        let mut state = self.within(id)?;
        // A transaction without a write is nothing to tell of.
        let send = |changes: Vec<_>, rows: Given| if rows.is_empty() { Ok(()) } else { self.send(changes, &rows) };
        let committed = state.store.commit(send);
        self.close_open(&mut state);
        committed
    }

    /// Ends transaction `id` as if it had never been.
    pub(crate) fn rollback_transaction(&self, id: u64) -> Result<(), Error> {
        let mut state = self.within(id)?;
        let undone = state.store.rollback();
        self.close_open(&mut state);
        undone
    }

    fn close_open(&self, state: &mut CommitState) {
        self.open.store(0, Ordering::Release);
        self.state.notify_all();
        state.open = None;
    }

    /// Rolls transaction `id` back if it is under way: nobody is left to commit it.
    pub(crate) fn abandon(&self, id: u64) {
        if self.open.load(Ordering::Acquire) != id {
            return;
        }
        let mut state = self.state.lock();
        if !state.ended && state.open.as_ref().is_some_and(|open| open.id == id) {
            // A store that fails here says why at the next write.
            let _ = state.store.rollback();
            self.close_open(&mut state);
        }
    }

    /// Ends all writing: the transaction under way is rolled back, and those who wait are told.
    pub fn end(&self) {
        let mut state = self.state.lock();
        if !state.ended {
            state.ended = true;
            if state.open.is_some() {
                // Nothing is read any more; whoever commits it is told that the database has ended.
                let _ = state.store.rollback();
            }
        }
        self.state.notify_all();
    }
}

impl Frozen<'_> {
    /// Lets those write again who were held off.
    pub(crate) fn release(&mut self, hold: WriteHold<'_>) {
        hold.leave(&mut self.state);
    }
}
