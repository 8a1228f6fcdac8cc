//! Transactions: all writes of a transaction become one write at its end, and all other writes wait for that end.
//!
//! The commit lock is not held while a transaction is open: each of its statements takes it, and readers take it to
//! find the committed rows. Calls that want to write wait here, holding no lock, until the transaction has ended:
//!
//! ```text
//! begin --> open: statements in it ... --> commit or rollback --> the writes that waited --> next begin
//! ```
//!
//! A transaction begins after the writes that came to wait before it, and no call waits longer than the lock timeout for
//! a transaction of another session, so no call waits for ever.

use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use arrow::temporal_conversions::timestamp_s_to_datetime;
use laminardb_dataflow::cancel::{Unready, deadline};
use laminardb_dataflow::lock::MutexGuard;
use laminardb_dataflow::{CancelToken, RelationId};

use super::state::{Actor, CommitState, Open, Waiting};
use super::{Committer, Frozen, TransactionInfo};
use crate::error::Error;
use crate::store::Given;

/// A place in the line of calls that wait to write. Dropping it gives up the place, and takes the lock for that.
pub(crate) struct PlaceInLine<'a> {
    committer: &'a Committer,
    number: u64,
    actor: Actor,
    /// When the call has waited too long for a transaction; `None` means never.
    until: Option<Instant>,
}

impl PlaceInLine<'_> {
    /// Returns whether a transaction can begin from this place: none is under way, nor a long write, and no call of
    /// another session has an earlier place.
    fn can_begin(&self, state: &CommitState) -> bool {
        // A signal handler may begin a transaction while its thread waits to write: that earlier call would wait for
        // the handler, and the handler for the call. So earlier calls do not count if they are of the same session, or
        // are running such a handler at present.
        let mut before = state.line.waiting.range(..self.number).map(|(_, waiting)| waiting);
        let session = self.actor.session;
        state.open.is_none()
            && !state.store.is_any_lent()
            && before.all(|waiting| waiting.session == session || waiting.cancel.is_polling())
    }

    /// Gives up the place; for a caller that holds the lock.
    fn leave(self, state: &mut CommitState) {
        state.line.waiting.remove(&self.number);
        self.committer.state.notify_all();
        // Dropping it would take the lock again.
        std::mem::forget(self);
    }
}

impl Drop for PlaceInLine<'_> {
    fn drop(&mut self) {
        self.committer.state.lock().line.waiting.remove(&self.number);
        self.committer.state.notify_all();
    }
}

/// Holds off all writers until it is dropped. Dropping it takes the lock.
pub(crate) struct WriteHold<'a>(&'a Committer);

impl WriteHold<'_> {
    /// Ends the hold; for a caller that holds the lock.
    pub(super) fn leave(self, state: &mut CommitState) {
        state.held = false;
        self.0.state.notify_all();
        // Dropping it would take the lock again.
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
    /// Returns whether a transaction is under way.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) != 0
    }

    /// Returns whether a call is part of the transaction under way.
    pub(crate) fn is_open_for(&self, actor: &Actor) -> bool {
        self.is_open() && self.state.lock().is_open_for(actor)
    }

    /// Returns whether transaction `id` is under way.
    pub(crate) fn is_open_as(&self, id: u64) -> bool {
        self.open.load(Ordering::Acquire) == id
    }

    /// Returns the transaction under way and the calls that wait for their turn, in order of arrival.
    pub(crate) fn transactions(&self) -> Vec<TransactionInfo> {
        self.state.lock().transactions()
    }

    /// Notes what the transaction under way does next, if the caller is part of it.
    pub(crate) fn note(&self, actor: &Actor) {
        let mut state = self.state.lock();
        if state.is_open_for(actor)
            && let Some(open) = &mut state.open
        {
            open.call.statement.clone_from(&actor.call.statement);
        }
    }

    /// Takes a place, for a call that begins a transaction, behind all calls that wait for a turn. `cancel` is the token
    /// of the call.
    pub(crate) fn line_up(&self, actor: &Actor, cancel: &CancelToken) -> PlaceInLine<'_> {
        self.take_place(actor, true, cancel)
    }

    /// Takes a place behind all calls that wait for a turn. `begins` says whether the call begins a transaction then.
    #[expect(clippy::disallowed_methods, reason = "people are told since when a call waits")]
    fn take_place(&self, actor: &Actor, begins: bool, cancel: &CancelToken) -> PlaceInLine<'_> {
        let mut state = self.state.lock();
        state.line.last += 1;
        let number = state.line.last;
        let waiting = Waiting {
            begins,
            session: actor.session,
            since: SystemTime::now(),
            call: actor.call.clone(),
            cancel: cancel.clone(),
        };
        state.line.waiting.insert(number, waiting);
        PlaceInLine { committer: self, number, actor: actor.clone(), until: deadline(self.lock_timeout) }
    }

    /// Waits, holding no lock, until `ready` returns true; returns the locked state. Fails if `cancel` is cancelled or
    /// writing has ended, or if a transaction of another session is under way when the time of `place` is over.
    fn wait_until(
        &self,
        place: &PlaceInLine<'_>,
        cancel: &CancelToken,
        ready: impl Fn(&CommitState) -> bool,
    ) -> Result<MutexGuard<'_, CommitState>, Error> {
        let mut until = place.until;
        loop {
            let found = |state: &mut CommitState| match state.ended {
                true => Some(Err(Error::Shutdown)),
                false => ready(state).then_some(Ok(())),
            };
            match self.state.wait_for(cancel, until, found) {
                Ok((state, found)) => return found.map(|()| state),
                Err(Unready::Cancelled) => return Err(Error::Interrupted),
                Err(Unready::TimedOut) => {}
            }
            let state = self.state.lock();
            match &state.open {
                Some(open) if !state.is_open_for(&place.actor) => return Err(self.waited_too_long(open)),
                // What holds the call up is a definition or a restore, which end by themselves.
                _ => until = deadline(self.lock_timeout),
            }
        }
    }

    /// Returns the error of a call that has waited too long for the transaction under way.
    fn waited_too_long(&self, open: &Open) -> Error {
        let seconds = self.lock_timeout.unwrap_or_default().as_secs_f64();
        let by = open.call.by.as_deref().unwrap_or("another session");
        let since = open.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let since = i64::try_from(since).ok().and_then(timestamp_s_to_datetime);
        let since = since.map_or_else(String::new, |since| format!(", open since {since} UTC"));
        let doing = open.call.statement.as_deref().map_or_else(String::new, |text| format!(", last statement: {text}"));
        Error::Timeout(format!("waited {seconds} s for the transaction of {by}{since}{doing}"))
    }

    /// Waits until no transaction of another session is under way; returns the place in line if it had to wait. No
    /// other session begins a transaction before that place is dropped.
    pub(crate) fn wait_for_turn(&self, actor: Actor, cancel: &CancelToken) -> Result<Option<PlaceInLine<'_>>, Error> {
        if !self.is_open() {
            return Ok(None);
        }
        let place = self.take_place(&actor, false, cancel);
        drop(self.wait_until(&place, cancel, |state| state.may_write(&actor, &[]))?);
        Ok(Some(place))
    }

    /// Holds off all writers, while reads go on and [`Committer::frozen`] can still write. Waits until the long writes
    /// under way have ended; fails if that is cancelled. The caller must make sure that no transaction begins, and that
    /// no other hold exists.
    pub(crate) fn hold(&self, cancel: &CancelToken) -> Result<WriteHold<'_>, Error> {
        let mut state = self.state.lock();
        assert!(!state.held && state.open.is_none(), "somebody else has the turn");
        state.held = true;
        drop(state);
        let hold = WriteHold(self);
        let free = |state: &mut CommitState| (!state.store.is_any_lent()).then_some(());
        let waited = self.state.wait_for(cancel, None, free).map(|_| hold);
        waited.map_err(|_| Error::Interrupted)
    }

    /// Returns the store under the commit lock, as soon as the caller may write to `relations`. Runs `waited`, without the lock,
    /// after each wait.
    pub(super) fn turn(
        &self,
        actor: &Actor,
        relations: &[RelationId],
        cancel: &CancelToken,
        waited: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Frozen<'_>, Error> {
        let mut place: Option<PlaceInLine<'_>> = None;
        // Checks again after each wait: another call may have taken the turn while `waited` ran without the lock.
        loop {
            let mut frozen = self.lock(Some(actor));
            if frozen.may_write(relations) {
                if let Some(place) = place {
                    place.leave(&mut frozen.state);
                }
                return Ok(frozen);
            }
            drop(frozen);
            let place = place.get_or_insert_with(|| self.take_place(actor, false, cancel));
            drop(self.wait_until(place, cancel, |state| state.may_write(actor, relations))?);
            waited()?;
        }
    }

    /// Waits until a transaction can begin: none is under way, and no call of another session came to wait before.
    /// Fails if the transaction under way is the caller's own.
    pub(crate) fn wait_to_begin(&self, place: &PlaceInLine<'_>, cancel: &CancelToken) -> Result<(), Error> {
        let ready = |state: &CommitState| place.can_begin(state) || state.is_open_for(&place.actor);
        if self.wait_until(place, cancel, ready)?.is_open_for(&place.actor) {
            return Err(Error::QueryFailed("a transaction is open already: COMMIT or ROLLBACK it first".to_owned()));
        }
        Ok(())
    }

    /// Begins transaction `id`, which must not be 0; returns false if none can begin now. The caller must hold the
    /// definitions.
    #[expect(clippy::disallowed_methods, reason = "people are told since when a transaction is open")]
    pub(crate) fn begin(&self, place: &PlaceInLine<'_>, id: u64) -> bool {
        let mut state = self.state.lock();
        if state.ended || !place.can_begin(&state) {
            return false;
        }
        state.store.begin();
        let (session, call) = (place.actor.session, place.actor.call.clone());
        state.open = Some(Open { id, session, since: SystemTime::now(), call });
        self.open.store(id, Ordering::Release);
        true
    }

    /// Returns the locked state if transaction `id` is under way, and fails otherwise.
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

    /// Commits all writes of transaction `id` at one time. If that fails, none is made and the transaction has ended.
    /// Waits first for room in the relations that were written to; if that wait is cancelled, the transaction stays
    /// open.
    pub(crate) fn commit_transaction(&self, id: u64, cancel: &CancelToken) -> Result<(), Error> {
        let written = self.within(id)?.store.written();
        self.wait_for_room(&written, cancel)?;
        // Checked again, since the transaction may have ended during the wait.
        let mut state = self.within(id)?;
        // A transaction without writes leaves no record.
        let send = |changes: Vec<_>, rows: Given| if rows.is_empty() { Ok(()) } else { self.send(changes, &rows) };
        let committed = state.store.commit(send);
        self.close_open(&mut state);
        committed
    }

    /// Undoes all writes of transaction `id`, and ends it.
    pub(crate) fn rollback_transaction(&self, id: u64) -> Result<(), Error> {
        let mut state = self.within(id)?;
        let undone = state.store.rollback();
        self.close_open(&mut state);
        undone
    }

    /// Marks the transaction under way as ended, and wakes the calls that wait for it.
    fn close_open(&self, state: &mut CommitState) {
        self.open.store(0, Ordering::Release);
        self.state.notify_all();
        state.open = None;
    }

    /// Rolls transaction `id` back if it is under way; called when no handle is left to commit it.
    pub(crate) fn abandon(&self, id: u64) {
        if self.open.load(Ordering::Acquire) != id {
            return;
        }
        let mut state = self.state.lock();
        if !state.ended && state.open.as_ref().is_some_and(|open| open.id == id) {
            // If the rollback fails, the store is broken and reports the reason at the next write.
            let _ = state.store.rollback();
            self.close_open(&mut state);
        }
    }

    /// Ends all writing for good: rolls the transaction under way back, and wakes the calls that wait, which fail.
    pub fn end(&self) {
        let mut state = self.state.lock();
        if !state.ended {
            state.ended = true;
            if state.open.is_some() {
                // A failure does not matter: nothing is read any more, and a later commit fails because writing has
                // ended.
                let _ = state.store.rollback();
            }
        }
        self.state.notify_all();
    }
}

impl Frozen<'_> {
    /// Ends a hold, so that writers can go on as soon as the lock is released.
    pub(crate) fn release(&mut self, hold: WriteHold<'_>) {
        hold.leave(&mut self.state);
    }
}
