//! The queue of one subscriber: it holds closed times, bounded in rows. Readers wait on it, the engine never does.
#![expect(clippy::disallowed_methods, reason = "waits have deadlines, and look around before they sleep")]

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use laminardb_dataflow::{LOOK_FOR, Time, UpdateBatch};
use laminardb_planner::panics::caught;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::change::{ChangeBatch, Shape};

/// The reason why a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing more can come: the database was shut down or closed, or the query only reads constants.
    Finished,
    /// The subscriber cancelled it.
    Cancelled,
    /// The relation was dropped or replaced; holds its name.
    Dropped(String),
    /// The database was restored; holds the id of the checkpoint.
    Restored(u64),
    /// The reader was too slow.
    Lagged {
        /// Maximum number of pending rows.
        max_pending: usize,
    },
    /// The view has rows that cannot be computed; holds the reason.
    Failed(String),
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

/// The updates of a closed time, decoded by the first reader that takes them and shared by all.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) time: Time,
    pub(super) rows: usize,
    shape: Arc<Shape>,
    shards: Mutex<Vec<UpdateBatch>>,
    decoded: OnceLock<Result<Arc<[ChangeBatch]>, String>>,
}

impl Closed {
    pub(super) fn new(time: Time, shards: Vec<UpdateBatch>, shape: Arc<Shape>) -> Self {
        let count = |shard: &UpdateBatch| -> u64 { (0..shard.len()).map(|r| shard.diffs.at(r).unsigned_abs()).sum() };
        let rows = usize::try_from(shards.iter().map(count).sum::<u64>()).unwrap_or(usize::MAX);
        Closed { time, rows, shape, shards: Mutex::new(shards), decoded: OnceLock::new() }
    }

    fn decode(&self) -> Result<Arc<[ChangeBatch]>, String> {
        let decode = || {
            let shards = std::mem::take(&mut *self.shards.lock());
            // A panic would leave the time without its shards, and its other subscribers would miss the changes.
            let changes = caught(|| self.shape.changes(&shards, self.time))?;
            changes.map(Into::into).map_err(|error| error.to_string())
        };
        self.decoded.get_or_init(decode).clone()
    }
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
    closed: VecDeque<Arc<Closed>>,
    /// Number of rows in `closed`.
    rows: usize,
    end: Option<End>,
    end_reported: bool,
    /// Set while a reader decodes; others wait, so that times are delivered in order.
    decoding: bool,
    ready: Vec<Box<dyn FnOnce() + Send>>,
}

/// Closed times on their way to one subscriber.
pub(super) struct ChangeQueue {
    max_pending: usize,
    state: Mutex<QueueState>,
    changed: Condvar,
}

impl ChangeQueue {
    pub(super) fn new(max_pending: usize) -> Self {
        let state = QueueState {
            phase: Phase::Starting,
            parts: VecDeque::new(),
            closed: VecDeque::new(),
            rows: 0,
            end: None,
            end_reported: false,
            decoding: false,
            ready: Vec::new(),
        };
        ChangeQueue { max_pending, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn max_pending(&self) -> usize {
        self.max_pending
    }

    /// Returns the number of rows that were closed but not taken yet.
    pub(super) fn pending(&self) -> usize {
        self.state.lock().rows
    }

    /// Delivers `snapshot`, then the times after `after`.
    pub(super) fn start(&self, after: Time, snapshot: Vec<ChangeBatch>) {
        let mut state = self.state.lock();
        state.phase = Phase::Started { after };
        state.closed.retain(|closed| closed.time > after);
        state.rows = state.closed.iter().map(|closed| closed.rows).sum();
        if state.end != Some(End::Cancelled) {
            state.parts = snapshot.into();
        }
        self.wake(state);
    }

    /// Appends a closed time; returns the number of rows discarded if the reader is too slow.
    pub(super) fn push(&self, closed: &Arc<Closed>) -> usize {
        let mut state = self.state.lock();
        let in_snapshot = matches!(state.phase, Phase::Started { after } if closed.time <= after);
        if state.end.is_some() || in_snapshot {
            return 0;
        }
        // Neither the snapshot nor the first undelivered time counts towards the bound.
        let counted = state.closed.front().map(|first| state.rows - first.rows);
        if matches!(state.phase, Phase::Started { .. }) && counted.is_some_and(|rows| rows >= self.max_pending) {
            let discarded = state.rows + closed.rows;
            state.clear();
            state.end = Some(End::Lagged { max_pending: self.max_pending });
            self.wake(state);
            return discarded;
        }
        state.rows += closed.rows;
        state.closed.push_back(Arc::clone(closed));
        self.wake(state);
        0
    }

    /// Accepts no more times; those already here are still delivered, except after a cancel.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state.lock();
        if end == End::Cancelled {
            state.clear();
            state.end = Some(End::Cancelled);
        } else if state.end.is_none() {
            state.end = Some(end);
        }
        self.wake(state);
    }

    pub(super) fn is_active(&self) -> bool {
        let state = self.state.lock();
        !state.end_reported && state.end != Some(End::Cancelled)
    }

    /// Calls `ready` once, as soon as there is something to take, which may be at once.
    pub(super) fn on_ready(&self, ready: Box<dyn FnOnce() + Send>) {
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
        let polled = loop {
            let idle = |state: &mut QueueState| !state.is_ready();
            match deadline {
                None => self.changed.wait_while(&mut state, idle),
                Some(deadline) => {
                    if self.changed.wait_while_until(&mut state, idle, deadline).timed_out() && !state.is_ready() {
                        break Polled::TimedOut;
                    }
                }
            }
            if let Some(polled) = Self::take_ready(&mut state) {
                break polled;
            }
            // Times that net to nothing may come without end.
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break Polled::TimedOut;
            }
        };
        self.wake(state);
        polled
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
        if let Some(part) = state.parts.pop_front() {
            return Some(Polled::Batch(part));
        }
        let Some(closed) = state.closed.pop_front() else { return Some(Polled::End(state.meet_end())) };
        state.rows -= closed.rows;
        state.decoding = true;
        // Decodes without the lock: workers push to this queue and must not wait for a reader.
        let decoded = MutexGuard::unlocked(state, || closed.decode());
        state.decoding = false;
        state.accept(decoded);
        match state.parts.pop_front() {
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

    /// Tells all who wait if there is something to take.
    fn wake(&self, mut state: MutexGuard<'_, QueueState>) {
        let ready = if state.is_ready() { std::mem::take(&mut state.ready) } else { Vec::new() };
        // The calls may use this queue, so they run without its lock.
        drop(state);
        self.changed.notify_all();
        for call in ready {
            call();
        }
    }
}

impl QueueState {
    fn can_give_out(&self) -> bool {
        matches!(self.phase, Phase::Started { .. })
    }

    /// Whether a reader would get something now.
    fn is_ready(&self) -> bool {
        let cancelled = self.end == Some(End::Cancelled);
        let waiting =
            !self.parts.is_empty() || (self.can_give_out() && (!self.closed.is_empty() || self.end.is_some()));
        cancelled || (!self.decoding && waiting)
    }

    /// Adds decoded batches, which are delivered before the times that are still closed.
    fn accept(&mut self, decoded: Result<Arc<[ChangeBatch]>, String>) {
        match decoded {
            _ if self.end == Some(End::Cancelled) => {}
            Ok(parts) => self.parts.extend(parts.iter().cloned()),
            Err(reason) => {
                self.clear();
                self.end = Some(End::Failed(reason));
            }
        }
    }

    /// Returns the reason of the end to the first reader that asks.
    fn meet_end(&mut self) -> Option<End> {
        let met = std::mem::replace(&mut self.end_reported, true);
        self.end.clone().filter(|_| !met)
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.closed.clear();
        self.rows = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use laminardb_dataflow::{Diff, update::PerRow};

    use super::*;

    /// Returns a time whose rows, all equal, have these diffs.
    fn closed(time: Time, diffs: &[Diff]) -> Arc<Closed> {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let keys = Arc::new(Int64Array::from(vec![1; diffs.len()]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![keys]).expect("one column");
        let shape = Arc::new(Shape::new(schema, None).expect("types with a row encoding"));
        let update = UpdateBatch { rows, times: PerRow::Same(time), diffs: PerRow::from_vec(diffs.to_vec()) };
        Arc::new(Closed::new(time, vec![update], shape))
    }

    fn started() -> ChangeQueue {
        let queue = ChangeQueue::new(1000);
        queue.start(Time(0), Vec::new());
        queue
    }

    #[test]
    fn who_asks_while_a_time_is_decoded_is_called_when_another_reader_has_taken_it() {
        let queue = started();
        let first = closed(Time(1), &[1]);
        queue.push(&first);
        queue.end(End::Finished);
        let called = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            // The reader decodes until it gets the shards.
            let shards = first.shards.lock();
            let reader = scope.spawn(|| queue.take(None));
            while !queue.state.lock().decoding {
                thread::yield_now();
            }
            let call = Arc::clone(&called);
            queue.on_ready(Box::new(move || call.store(true, Ordering::SeqCst)));
            assert!(!called.load(Ordering::SeqCst), "nothing can be taken while a time is decoded");
            drop(shards);
            assert!(matches!(reader.join().expect("the reader gets the time"), Polled::Batch(_)));
        });
        assert!(called.load(Ordering::SeqCst), "the end can be taken, and nothing else will come");
    }

    #[test]
    fn times_that_net_to_nothing_do_not_prolong_a_timeout() {
        const MOST: u64 = 1_000_000;
        let queue = started();
        let (gone, pushed) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            // Each time is pushed once the one before was taken, so that the reader is never without one for long.
            scope.spawn(|| {
                for time in 1..=MOST {
                    queue.push(&closed(Time(time), &[1, -1]));
                    while queue.pending() > 0 && !gone.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                    if gone.load(Ordering::SeqCst) {
                        break;
                    }
                    pushed.fetch_add(1, Ordering::SeqCst);
                }
            });
            assert!(matches!(queue.take(Some(Duration::from_millis(100))), Polled::TimedOut));
            gone.store(true, Ordering::SeqCst);
        });
        assert!(pushed.load(Ordering::SeqCst) < MOST, "the reader waited until no more times came");
    }

    #[test]
    fn a_panic_while_a_time_is_decoded_ends_all_its_subscribers() {
        let (one, other) = (started(), started());
        let broken = closed(Time(1), &[1, -1]);
        // Two rows with one diff, which no worker sends.
        broken.shards.lock()[0].diffs = PerRow::Each(vec![-1].into());
        one.push(&broken);
        other.push(&broken);
        for queue in [one, other] {
            let taken = queue.try_take();
            assert!(
                matches!(&taken, Polled::End(Some(End::Failed(why))) if why.contains("out of bounds")),
                "{taken:?}"
            );
            assert!(matches!(queue.try_take(), Polled::End(None)));
        }
    }
}
