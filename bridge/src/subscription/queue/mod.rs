//! The queue of one subscriber: it holds closed times, within [`Bounds`]. Readers wait on it, the engine never does.
#![expect(clippy::disallowed_methods, reason = "waits have deadlines, and look around before they sleep")]

mod closed;
mod progress;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use laminardb_dataflow::lock::{Condvar, Mutex, MutexGuard, Rank};
use laminardb_dataflow::{LOOK_FOR, Time};

use super::bounds::{Bound, Bounds};
use super::change::ChangeBatch;
pub(super) use closed::Closed;
pub(super) use progress::Reached;

/// A call that somebody asked for; must be made without any lock.
pub(super) type Call = Box<dyn FnOnce() + Send>;

/// The reason why a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing more can come: the database was shut down or closed, or the query only reads constants.
    Finished,
    /// The subscriber cancelled it.
    Cancelled,
    /// The database was shut down before the view had taken in its first contents.
    ShutDown,
    /// The relation was dropped or replaced; holds its name.
    Dropped(String),
    /// The database was restored; holds the id of the checkpoint.
    Restored(u64),
    /// The reader was too slow; holds the bound that was met.
    Lagged(Bound),
    /// The view has rows that cannot be computed; holds the reason.
    Failed(String),
    /// The view was ended because of its memory; holds the reason.
    OverLimit(String),
    /// A broken invariant stopped the engine; holds the reason.
    Stopped(String),
}

/// The outcome of asking for the next batch.
#[derive(Clone, Debug)]
pub(super) enum Polled {
    /// Changes.
    Batch(ChangeBatch),
    /// Nothing came within the timeout.
    TimedOut,
    /// The subscription has ended; the reason is returned once, then `None`.
    End(Option<End>),
}

#[derive(Debug)]
enum Phase {
    /// The snapshot is being taken: closed times are kept, and none is delivered.
    Starting,
    /// The snapshot covers the times up to this one.
    Started { after: Time },
}

struct QueueState {
    phase: Phase,
    /// Decoded batches, to be delivered before `closed`.
    parts: VecDeque<ChangeBatch>,
    /// Number of rows in `parts`.
    part_rows: usize,
    /// When what is in `parts` was there to be taken.
    parts_since: Option<Instant>,
    closed: VecDeque<Arc<Closed>>,
    /// Number of rows in `closed`.
    rows: usize,
    /// Number of bytes in `closed` without the first time, which does not count.
    bytes_after_first: usize,
    /// The changes of all earlier times are here, or were. 0 if some were discarded.
    closed_before: Time,
    /// Everything through this time was given to the reader.
    given: Time,
    /// Time of the batch that the reader has taken and not confirmed, and whether it is the last of its time.
    in_hand: Option<(Time, bool)>,
    /// Whether a batch counts as given only when the reader confirms it.
    needs_confirmation: bool,
    end: Option<End>,
    end_reported: bool,
    /// Set while a reader decodes; others wait, so that times are delivered in order.
    decoding: bool,
    /// Calls for whoever waits for a batch or the end.
    ready: Vec<Call>,
    /// Calls for whoever waits for a time.
    awaited: Vec<Awaited>,
    last_awaited: u64,
}

/// A call to be made when a time is reached.
struct Awaited {
    id: u64,
    time: Time,
    call: Call,
}

/// What a subscription holds that its reader has not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// Number of rows, those of the snapshot included.
    pub rows: usize,
    /// How long the oldest of them have been there to be taken; zero if there are none.
    pub waiting: Duration,
}

/// The outcome of handing closed times to a queue.
#[derive(Default)]
pub(super) struct Extended {
    /// Number of rows discarded if the reader is too slow.
    pub(super) discarded: usize,
    /// The calls to make once the caller holds no lock.
    pub(super) calls: Vec<Call>,
}

/// Closed times on their way to one subscriber.
pub(super) struct ChangeQueue {
    bounds: Bounds,
    state: Mutex<QueueState>,
    /// Notified when there is something to take.
    changed: Condvar,
    /// Notified when there may be progress, or never will be.
    advanced: Condvar,
}

impl ChangeQueue {
    /// Makes a queue of what closes from now on: all times before `closed_before` are closed already.
    pub(super) fn new(bounds: Bounds, closed_before: Time) -> Self {
        let state = QueueState {
            phase: Phase::Starting,
            parts: VecDeque::new(),
            part_rows: 0,
            parts_since: None,
            closed: VecDeque::new(),
            rows: 0,
            bytes_after_first: 0,
            closed_before,
            given: Time::ZERO,
            in_hand: None,
            needs_confirmation: false,
            end: None,
            end_reported: false,
            decoding: false,
            ready: Vec::new(),
            awaited: Vec::new(),
            last_awaited: 0,
        };
        ChangeQueue { bounds, state: Mutex::new(Rank::Queue, state), changed: Condvar::new(), advanced: Condvar::new() }
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Returns what the reader has not taken.
    pub(super) fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        let rows = state.rows + state.part_rows;
        let since = if state.parts.is_empty() { state.closed.front().map(|first| first.at) } else { state.parts_since };
        Backlog { rows, waiting: since.map_or(Duration::ZERO, |since| since.elapsed()) }
    }

    /// Returns the number of rows that were closed but not taken yet.
    pub(super) fn pending(&self) -> usize {
        self.state.lock().rows
    }

    /// Delivers `snapshot`, the contents as of `after`, then the times after it.
    pub(super) fn start(&self, after: Time, snapshot: Vec<ChangeBatch>) {
        let mut state = self.state.lock();
        state.phase = Phase::Started { after };
        state.closed.retain(|closed| closed.time > after);
        state.rows = state.closed.iter().map(|closed| closed.rows).sum();
        state.bytes_after_first = state.closed.iter().skip(1).map(|closed| closed.bytes()).sum();
        if state.end != Some(End::Cancelled) {
            state.closed_before = state.closed_before.max(after + 1);
            state.accept(snapshot, Instant::now());
        }
        self.wake(state);
    }

    /// Ends the queue before it has been started: the reader is given nothing but `end`.
    pub(super) fn fail(&self, end: End) {
        let mut state = self.state.lock();
        state.phase = Phase::Started { after: Time::ZERO };
        state.clear();
        if state.end != Some(End::Cancelled) {
            state.end = Some(end);
        }
        self.wake(state);
    }

    /// Appends closed times, in order; all times before `closed_before` are closed then. If the reader is too slow,
    /// everything is discarded and the subscription ends.
    pub(super) fn extend(&self, times: &[Arc<Closed>], closed_before: Time) -> Extended {
        let mut state = self.state.lock();
        let mut discarded = 0;
        for closed in times {
            discarded += state.push(closed, &self.bounds);
        }
        if state.end.is_none() {
            state.closed_before = state.closed_before.max(closed_before);
        }
        let calls = state.take_calls();
        drop(state);
        // Readers are not woken for progress alone.
        if !times.is_empty() {
            self.changed.notify_all();
        }
        self.advanced.notify_all();
        Extended { discarded, calls }
    }

    /// Accepts no more times; those already here are still delivered, except after a cancel. Returns the calls to make
    /// once the caller holds no lock.
    #[must_use]
    pub(super) fn end(&self, end: End) -> Vec<Call> {
        let mut state = self.state.lock();
        if end == End::Cancelled {
            state.clear();
            state.end = Some(End::Cancelled);
        } else if state.end.is_none() {
            state.end = Some(end);
        }
        self.notify(state)
    }

    pub(super) fn is_active(&self) -> bool {
        let state = self.state.lock();
        !state.end_reported && state.end != Some(End::Cancelled)
    }

    /// Calls `ready` once, as soon as there is something to take, which may be at once.
    pub(super) fn on_ready(&self, ready: Call) {
        let mut state = self.state.lock();
        if state.is_ready() {
            drop(state);
            ready();
        } else {
            state.ready.push(ready);
        }
    }

    /// Waits until there is something to take; a timeout of `None` means for ever.
    pub(super) fn take(&self, timeout: Option<Duration>) -> Polled {
        let start = Instant::now();
        // A timeout that ends after the clock does is none.
        let deadline = timeout.and_then(|timeout| start.checked_add(timeout));
        let mut state = self.look_for(start, deadline);
        loop {
            let idle = |state: &mut QueueState| !state.is_ready();
            match deadline {
                None => self.changed.wait_while(&mut state, idle),
                Some(deadline) => {
                    if self.changed.wait_while_until(&mut state, idle, deadline).timed_out() && !state.is_ready() {
                        return Polled::TimedOut;
                    }
                }
            }
            let polled = Self::take_ready(&mut state);
            self.wake(state);
            if let Some(polled) = polled {
                return polled;
            }
            // Times that net to nothing may come without end.
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Polled::TimedOut;
            }
            state = self.state.lock();
        }
    }

    /// Takes what is there without waiting.
    pub(super) fn try_take(&self) -> Polled {
        let mut state = self.state.lock();
        let mut polled = None;
        while polled.is_none() && state.is_ready() {
            polled = Self::take_ready(&mut state);
        }
        self.wake(state);
        polled.unwrap_or(Polled::TimedOut)
    }

    /// Takes the first of what is there; returns `None` if this was a time that nets to nothing. Afterwards, `wake`
    /// must be called: while a time is decoded, others wait.
    fn take_ready(state: &mut MutexGuard<'_, QueueState>) -> Option<Polled> {
        if let Some(part) = state.take_part() {
            return Some(Polled::Batch(part));
        }
        let Some(closed) = state.take_closed() else { return Some(Polled::End(state.meet_end())) };
        state.decoding = true;
        // Decodes without the lock: workers push to this queue and must not wait for a reader.
        let decoded = MutexGuard::unlocked(state, || closed.decode());
        state.decoding = false;
        match decoded {
            _ if state.end == Some(End::Cancelled) => {}
            Ok(parts) => state.accept(parts.iter().cloned(), closed.at),
            Err(reason) => {
                state.clear();
                state.end = Some(End::Failed(reason));
            }
        }
        match state.take_part() {
            Some(part) => Some(Polled::Batch(part)),
            None if state.closed.is_empty() && state.end.is_some() => Some(Polled::End(state.meet_end())),
            None => None,
        }
    }

    /// Spins for a short time before the thread sleeps: waking a thread on an idle core takes longer than the engine
    /// needs for a small change.
    fn look_for(&self, start: Instant, deadline: Option<Instant>) -> MutexGuard<'_, QueueState> {
        let end = start + LOOK_FOR;
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        loop {
            let state = self.state.lock();
            if state.is_ready() || Instant::now() >= end {
                return state;
            }
            drop(state);
            std::thread::yield_now();
        }
    }

    /// Tells all who wait if there is something for them.
    fn wake(&self, state: MutexGuard<'_, QueueState>) {
        for call in self.notify(state) {
            call();
        }
    }

    /// Wakes the threads that wait, and returns the calls to be made. They may use this queue, so they must run without
    /// its lock.
    fn notify(&self, mut state: MutexGuard<'_, QueueState>) -> Vec<Call> {
        let calls = state.take_calls();
        drop(state);
        self.changed.notify_all();
        self.advanced.notify_all();
        calls
    }
}

impl QueueState {
    /// Whether a reader would get something now.
    fn is_ready(&self) -> bool {
        let cancelled = self.end == Some(End::Cancelled);
        let waiting =
            !self.parts.is_empty() || (self.can_give_out() && (!self.closed.is_empty() || self.end.is_some()));
        cancelled || (!self.decoding && waiting)
    }

    /// Appends a closed time; returns the number of rows discarded if the reader is too slow.
    fn push(&mut self, closed: &Arc<Closed>, bounds: &Bounds) -> usize {
        let in_snapshot = matches!(self.phase, Phase::Started { after } if closed.time <= after);
        if self.end.is_some() || in_snapshot {
            return 0;
        }
        if self.can_give_out()
            && let Some(first) = self.closed.front()
            && let age = closed.at.saturating_duration_since(first.at)
            && let Some(met) = bounds.met(self.rows - first.rows, self.bytes_after_first, age)
        {
            let discarded = self.rows + closed.rows;
            self.clear();
            self.end = Some(End::Lagged(met));
            return discarded;
        }
        if !self.closed.is_empty() {
            self.bytes_after_first += closed.bytes();
        }
        self.rows += closed.rows;
        self.closed.push_back(Arc::clone(closed));
        0
    }

    /// Removes and returns the first closed time.
    fn take_closed(&mut self) -> Option<Arc<Closed>> {
        let first = self.closed.pop_front()?;
        self.rows -= first.rows;
        if let Some(next) = self.closed.front() {
            self.bytes_after_first -= next.bytes();
        }
        Some(first)
    }

    /// Adds decoded batches, which are delivered before the times that are still closed.
    fn accept(&mut self, parts: impl IntoIterator<Item = ChangeBatch>, since: Instant) {
        self.parts.extend(parts);
        self.part_rows = self.parts.iter().map(|part| part.rows.num_rows()).sum();
        self.parts_since = Some(since);
    }

    /// Takes the first decoded batch for the reader.
    fn take_part(&mut self) -> Option<ChangeBatch> {
        let part = self.parts.pop_front()?;
        self.part_rows -= part.rows.num_rows();
        self.in_hand = Some((part.time, part.is_last));
        if !self.needs_confirmation {
            self.confirm();
        }
        Some(part)
    }

    /// Removes and returns the calls for which there is something new, after advancing the progress.
    fn take_calls(&mut self) -> Vec<Call> {
        self.advance();
        let mut calls = self.take_awaited();
        if self.is_ready() {
            calls.append(&mut self.ready);
        }
        calls
    }

    /// Returns the reason of the end to the first reader that asks.
    fn meet_end(&mut self) -> Option<End> {
        let met = std::mem::replace(&mut self.end_reported, true);
        self.end.clone().filter(|_| !met)
    }

    /// Discards everything, so that nothing more is given.
    fn clear(&mut self) {
        self.parts.clear();
        self.part_rows = 0;
        self.closed.clear();
        self.rows = 0;
        self.bytes_after_first = 0;
        self.closed_before = Time::ZERO;
    }
}
