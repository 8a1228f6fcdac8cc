//! Progress of a subscription: the time through which its reader was given everything, and waits for it.
#![expect(clippy::disallowed_methods, reason = "waits have deadlines")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use laminardb_dataflow::Time;
use laminardb_dataflow::lock::MutexGuard;

use super::closed::Closed;
use super::{Awaited, Call, ChangeQueue, End, Phase, QueueState};

/// The outcome of asking for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::subscription) enum Reached {
    /// Everything through this time, which is not before the one asked for, was given.
    At(Time),
    /// Not yet.
    NotYet,
    /// The subscription has ended before: everything through the time was given, and no more will be.
    Never(Time, End),
}

impl ChangeQueue {
    /// Returns the time through which everything was given to the reader.
    pub(in crate::subscription) fn progress(&self) -> Time {
        self.settle();
        self.state.lock().given
    }

    /// Returns whether everything through `time` was given. Does not wait.
    pub(in crate::subscription) fn reached(&self, time: Time) -> Reached {
        self.settle();
        self.state.lock().reached(time)
    }

    /// Waits until everything through `time` was given, or never will be; a timeout of `None` means for ever.
    pub(in crate::subscription) fn wait_for(&self, time: Time, timeout: Option<Duration>) -> Reached {
        // A timeout that ends after the clock does is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            self.settle();
            let mut state = self.state.lock();
            let reached = state.reached(time);
            if reached != Reached::NotYet || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return reached;
            }
            // A time that came since may be empty, and nobody else may look.
            if state.first_unless_not_empty().is_none() {
                match deadline {
                    None => self.advanced.wait(&mut state),
                    Some(deadline) => {
                        self.advanced.wait_until(&mut state, deadline);
                    }
                }
            }
        }
    }

    /// Calls `call` once, as soon as [`ChangeQueue::reached`] may have another answer for `time`, which may be at once.
    /// Returns a number by which it can be forgotten.
    pub(in crate::subscription) fn on_reached(&self, time: Time, call: Call) -> u64 {
        let mut state = self.state.lock();
        let id = state.last_awaited + 1;
        state.last_awaited = id;
        state.awaited.push(Awaited { id, time, call });
        self.wake(state);
        id
    }

    /// Takes back a call that [`ChangeQueue::on_reached`] was given, unless it was made.
    pub(in crate::subscription) fn forget(&self, id: u64) {
        let mut state = self.state.lock();
        let position = state.awaited.iter().position(|awaited| awaited.id == id);
        let forgotten = position.map(|position| state.awaited.remove(position));
        // Dropped without the lock, since the function may own anything.
        drop(state);
        drop(forgotten);
    }

    /// From now on, a batch counts as given when the reader confirms that it has handled it.
    pub(in crate::subscription) fn require_confirmation(&self) {
        self.state.lock().needs_confirmation = true;
    }

    /// Confirms that the batch that was taken last has been handled.
    pub(in crate::subscription) fn confirm(&self) {
        let mut state = self.state.lock();
        state.confirm();
        self.wake(state);
    }

    /// Records that the batch that was taken last will not be confirmed: there is no more progress.
    pub(in crate::subscription) fn refuse(&self) {
        let mut state = self.state.lock();
        state.in_hand = None;
        state.clear();
        self.wake(state);
    }

    /// Removes the times in front whose updates cancel: there is nothing to give of them.
    fn settle(&self) {
        let mut state = self.state.lock();
        let mut removed = false;
        while let Some(first) = state.first_unless_not_empty() {
            // Decodes without the lock, as readers do, and for them: they find it done.
            let is_empty = MutexGuard::unlocked(&mut state, || first.decode().is_ok_and(|batches| batches.is_empty()));
            let is_first = state.first_unless_not_empty().is_some_and(|now| Arc::ptr_eq(&now, &first));
            if is_empty && is_first {
                state.take_closed();
                removed = true;
            }
        }
        if removed {
            self.wake(state);
        }
    }
}

impl QueueState {
    /// Returns the time that would be given next if its updates may cancel.
    fn first_unless_not_empty(&self) -> Option<Arc<Closed>> {
        let first = self.closed.front().filter(|first| first.may_be_empty())?;
        let is_next = self.can_give_out() && self.parts.is_empty() && !self.decoding;
        is_next.then(|| Arc::clone(first))
    }

    /// Records that `time` was given as far as it is in the reader's hand.
    pub(super) fn confirm(&mut self) {
        if let Some((time, is_last)) = self.in_hand.take()
            && is_last
        {
            self.given = self.given.max(time);
        }
    }

    /// Advances the progress if nothing is left to give of the next times.
    pub(super) fn advance(&mut self) {
        if !self.can_give_out() || !self.parts.is_empty() || self.decoding || self.in_hand.is_some() {
            return;
        }
        let before = self.closed.front().map_or(self.closed_before, |first| first.time);
        self.given = self.given.max(before.previous().unwrap_or_default());
    }

    fn reached(&self, time: Time) -> Reached {
        match &self.end {
            _ if self.given >= time => Reached::At(self.given),
            Some(end) if self.last_reachable() < time => Reached::Never(self.given, end.clone()),
            _ => Reached::NotYet,
        }
    }

    /// Returns the last time that can be reached if no more times are closed.
    fn last_reachable(&self) -> Time {
        let closed = self.closed_before.previous().unwrap_or_default();
        let in_hand = self.in_hand.filter(|(_, is_last)| *is_last).map_or(Time::ZERO, |(time, _)| time);
        self.given.max(closed).max(in_hand)
    }

    /// Removes and returns the calls that wait for a time about which there is something new.
    pub(super) fn take_awaited(&mut self) -> Vec<Call> {
        if self.awaited.is_empty() {
            return Vec::new();
        }
        let may_be_empty = self.first_unless_not_empty().is_some();
        let awaited = std::mem::take(&mut self.awaited);
        let (told, kept): (Vec<_>, Vec<_>) =
            awaited.into_iter().partition(|one| may_be_empty || self.reached(one.time) != Reached::NotYet);
        self.awaited = kept;
        told.into_iter().map(|one| one.call).collect()
    }

    /// Whether the snapshot was taken, so that a reader can be given something.
    pub(super) fn can_give_out(&self) -> bool {
        matches!(self.phase, Phase::Started { .. })
    }
}
