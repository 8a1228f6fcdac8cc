//! The hub: takes closed changes from the workers and hands each view's to all its subscribers.
//!
//! A time of a view leaves when every worker has closed it: shards wait in `pending` until the least of the workers'
//! frontiers has passed their time. Callbacks come on worker threads, so all done here is short: shards are moved, not
//! looked into; the first reader decodes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use laminardb_dataflow::{ChangeSink, Diff, LiveError, Time, UpdateBatch, ViewId};
use parking_lot::{Mutex, RwLock};

use super::change::Shape;
use super::queue::{Closed, End, Queue};

/// Rows left out that stay listed, per view.
const KEPT: usize = 1000;

/// A row on which an expression of a view failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailedRow {
    /// Text of the expression.
    pub expression: String,
    /// Why it failed.
    pub message: String,
    /// The row it failed on, as text.
    pub row: String,
}

impl FailedRow {
    fn text(&self) -> String {
        let FailedRow { expression, message, row } = self;
        format!("{expression} fails: {message}; the row is {row}")
    }
}

/// What the hub holds of one view.
struct Channel {
    shape: Arc<Shape>,
    /// Whether a failing row ends its subscriptions.
    strict: bool,
    /// The views under it, itself included, whose failing rows end its subscriptions.
    under: Vec<ViewId>,
    state: Mutex<ChannelState>,
}

/// How a view takes part in the hub.
pub(crate) struct ViewSetup {
    pub(crate) shape: Arc<Shape>,
    /// Whether its failing rows end its subscriptions and those of the views built on it; else they are left out.
    pub(crate) strict: bool,
    /// The maintained views it reads, directly or not.
    pub(crate) under: Vec<ViewId>,
}

struct ChannelState {
    /// Per worker: all times before it are closed there.
    frontiers: Vec<Time>,
    pending: BTreeMap<Time, PendingTime>,
    subscribers: Vec<Arc<Queue>>,
    /// What subscribers are told when the view's last time is closed.
    ending: Option<End>,
    /// Per worker, the failing rows as of the last time published, with how often each is there.
    failures: Vec<Vec<(FailedRow, Diff)>>,
    /// The last rows left out, of a view that leaves failing rows out.
    left_out: VecDeque<FailedRow>,
    left_out_ever: u64,
    emitted: u64,
    discarded: u64,
}

#[derive(Default)]
struct PendingTime {
    shards: Vec<(usize, UpdateBatch)>,
    failures: Vec<(usize, Vec<(FailedRow, Diff)>)>,
    /// A view under this one fails at this time.
    failure: Option<String>,
}

/// Counters of one view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewCounters {
    /// Rows that changes have added and removed since the view was made, whether or not somebody subscribed.
    pub emitted: u64,
    /// Rows discarded from queues of readers that were too slow.
    pub discarded: u64,
    /// Failing rows left out since the view was made.
    pub left_out: u64,
    /// Undelivered rows of the slowest subscriber.
    pub pending: usize,
    /// That subscriber's bound.
    pub capacity: usize,
    /// Number of subscribers.
    pub subscribers: usize,
}

/// All views with their subscribers.
pub struct Hub {
    workers: usize,
    views: RwLock<HashMap<ViewId, Arc<Channel>>>,
    discarded: Mutex<u64>,
    stopped: Mutex<Option<String>>,
}

impl Hub {
    /// For an engine of `workers` workers.
    pub fn new(workers: usize) -> Self {
        Hub { workers, views: RwLock::default(), discarded: Mutex::new(0), stopped: Mutex::new(None) }
    }

    /// Makes `view` known; must precede its installation.
    pub(crate) fn open(&self, view: ViewId, setup: ViewSetup) {
        let ViewSetup { shape, strict, under } = setup;
        let state = ChannelState {
            frontiers: vec![0; self.workers],
            pending: BTreeMap::new(),
            subscribers: Vec::new(),
            ending: None,
            failures: vec![Vec::new(); self.workers],
            left_out: VecDeque::new(),
            left_out_ever: 0,
            emitted: 0,
            discarded: 0,
        };
        self.views.write().insert(view, Arc::new(Channel { shape, strict, under, state: Mutex::new(state) }));
    }

    /// A queue that collects what closes from now on; `Queue::start` says what of it is to be given out.
    pub(super) fn subscribe(&self, view: ViewId, max_pending: usize) -> Option<Arc<Queue>> {
        let channel = self.channel(view)?;
        let queue = Arc::new(Queue::new(max_pending));
        channel.state.lock().subscribers.push(Arc::clone(&queue));
        Some(queue)
    }

    /// Forgets a queue; gives the number of those left.
    pub(super) fn unsubscribe(&self, view: ViewId, queue: &Arc<Queue>) -> usize {
        let Some(channel) = self.channel(view) else { return 0 };
        let mut state = channel.state.lock();
        state.subscribers.retain(|other| !Arc::ptr_eq(other, queue));
        state.subscribers.len()
    }

    /// The view is about to be dropped: when its last time is closed its subscribers are told `end`.
    pub(crate) fn ending(&self, view: ViewId, end: End) {
        if let Some(channel) = self.channel(view) {
            channel.state.lock().ending = Some(end);
        }
    }

    /// Ends all subscriptions of `view` now; what was closed is still delivered.
    pub(crate) fn end(&self, view: ViewId, end: &End) {
        let removed = self.views.write().remove(&view);
        if let Some(channel) = removed {
            self.finish(&channel, end);
        }
    }

    /// Ends all subscriptions, as `end` does each. When all has finished in good order the counters stay.
    pub(crate) fn end_all(&self, end: &End) {
        let mut all: Vec<(ViewId, Arc<Channel>)> = match end {
            End::Finished => self.views.read().iter().map(|(view, channel)| (*view, Arc::clone(channel))).collect(),
            _ => self.views.write().drain().collect(),
        };
        all.sort_by_key(|(view, _)| *view);
        for (_, channel) in all {
            self.finish(&channel, end);
        }
    }

    /// Counters of `view`, if it is known.
    pub fn counters(&self, view: ViewId) -> Option<ViewCounters> {
        let channel = self.channel(view)?;
        let state = channel.state.lock();
        let mut counters = ViewCounters {
            emitted: state.emitted,
            discarded: state.discarded,
            left_out: state.left_out_ever,
            subscribers: state.subscribers.len(),
            ..ViewCounters::default()
        };
        for queue in &state.subscribers {
            let pending = queue.pending();
            if pending > counters.pending || counters.capacity == 0 {
                counters.pending = pending;
                counters.capacity = queue.max_pending();
            }
        }
        Some(counters)
    }

    /// The last rows that `view`, which leaves failing rows out, left out, in the order of their times.
    pub(crate) fn left_out(&self, view: ViewId) -> Vec<FailedRow> {
        let Some(channel) = self.channel(view) else { return Vec::new() };
        let state = channel.state.lock();
        state.left_out.iter().cloned().collect()
    }

    /// Rows discarded from slow readers' queues since the start, over all views.
    pub fn discarded(&self) -> u64 {
        *self.discarded.lock()
    }

    /// Why the engine stopped, if it did.
    pub fn stopped_reason(&self) -> Option<String> {
        self.stopped.lock().clone()
    }

    fn channel(&self, view: ViewId) -> Option<Arc<Channel>> {
        self.views.read().get(&view).map(Arc::clone)
    }

    fn finish(&self, channel: &Channel, end: &End) {
        let subscribers = std::mem::take(&mut channel.state.lock().subscribers);
        for queue in subscribers {
            queue.end(end.clone());
        }
    }

    /// One worker's changes of a time that is about to close there.
    pub(super) fn take_changes(&self, worker: usize, view: ViewId, time: Time, changes: &UpdateBatch) {
        let Some(channel) = self.channel(view) else { return };
        let mut state = channel.state.lock();
        state.pending.entry(time).or_default().shards.push((worker, changes.clone()));
    }

    /// One worker's failing rows as of a time that is about to close there.
    pub(super) fn take_failures(&self, worker: usize, view: ViewId, time: Time, failures: Vec<(FailedRow, Diff)>) {
        let Some(channel) = self.channel(view) else { return };
        let mut state = channel.state.lock();
        state.pending.entry(time).or_default().failures.push((worker, failures));
    }

    /// One worker has closed all times before `frontier`.
    pub(super) fn take_frontier(&self, worker: usize, view: ViewId, frontier: Time) {
        let Some(channel) = self.channel(view) else { return };
        let mut state = channel.state.lock();
        state.frontiers[worker] = frontier.max(state.frontiers[worker]);
        let closed_before = state.frontiers.iter().copied().min().unwrap_or(Time::MAX);
        let published = state.publish(closed_before, &channel);
        let ended = closed_before == Time::MAX;
        let dropped = state.ending.clone();
        drop(state);
        if published.discarded > 0 {
            *self.discarded.lock() += published.discarded as u64;
        }
        if let Some((time, reason)) = published.failure {
            self.fail_dependents(view, time, &reason);
        }
        match dropped {
            _ if !ended => {}
            Some(end) => self.end(view, &end),
            // The engine has finished; the view is still there, with its counters.
            None => self.finish(&channel, &End::Finished),
        }
    }

    /// Ends the subscriptions of all views that read `view`, whose rows are not all there from `time` on.
    fn fail_dependents(&self, view: ViewId, time: Time, reason: &str) {
        let dependents: Vec<Arc<Channel>> = {
            let views = self.views.read();
            let mut ids: Vec<&ViewId> = views.keys().collect();
            ids.sort();
            let reads = |id: &&&ViewId| views[**id].under.contains(&view);
            ids.iter().filter(reads).map(|id| Arc::clone(&views[*id])).collect()
        };
        for channel in dependents {
            let mut state = channel.state.lock();
            let closed_before = state.frontiers.iter().copied().min().unwrap_or(Time::MAX);
            if time < closed_before {
                state.fail(reason);
            } else {
                state.pending.entry(time).or_default().failure.get_or_insert_with(|| reason.to_owned());
            }
        }
    }

    /// The engine stopped: every subscription ends with the reason.
    pub(super) fn take_stop(&self, reason: &str) {
        self.stopped.lock().get_or_insert_with(|| reason.to_owned());
        self.end_all(&End::Stopped(reason.to_owned()));
    }
}

/// What handing out closed times led to.
#[derive(Default)]
struct Published {
    /// Rows discarded from queues of slow readers.
    discarded: usize,
    /// The first time at which rows of the view fail, and why.
    failure: Option<(Time, String)>,
}

impl ChannelState {
    /// Hands out the times before `frontier`, in order.
    fn publish(&mut self, frontier: Time, channel: &Channel) -> Published {
        let mut published = Published::default();
        while let Some(entry) = self.pending.first_entry() {
            if *entry.key() >= frontier {
                break;
            }
            let (time, pending) = entry.remove_entry();
            self.publish_time(time, pending, channel, &mut published);
        }
        self.discarded += published.discarded as u64;
        published
    }

    fn publish_time(&mut self, time: Time, mut pending: PendingTime, channel: &Channel, published: &mut Published) {
        let changed = !pending.failures.is_empty();
        self.take_in(pending.failures, channel.strict);
        if channel.strict
            && changed
            && let Some(row) = self.failing_row()
        {
            self.fail(&row);
            published.failure.get_or_insert((time, row));
            return;
        }
        if let Some(reason) = pending.failure {
            self.fail(&reason);
            return;
        }
        if pending.shards.is_empty() {
            return;
        }
        // Shards come as workers happen to close the time; in the order of workers the batch is the same every run.
        pending.shards.sort_by_key(|(worker, _)| *worker);
        let shards: Vec<UpdateBatch> = pending.shards.into_iter().map(|(_, shard)| shard).collect();
        let closed = Arc::new(Closed::new(time, shards, Arc::clone(&channel.shape)));
        published.discarded += self.subscribers.iter().map(|queue| queue.push(&closed)).sum::<usize>();
    }

    /// A row that fails, all workers taken together.
    fn failing_row(&self) -> Option<String> {
        let mut live: BTreeMap<&FailedRow, Diff> = BTreeMap::new();
        for (row, count) in self.failures.iter().flatten() {
            *live.entry(row).or_default() += count;
        }
        live.into_iter().find(|(_, count)| *count > 0).map(|(row, _)| row.text())
    }

    /// Takes in the failing rows as they are now on some workers; those that are new, all workers taken together, are
    /// noted as left out unless they end subscriptions.
    fn take_in(&mut self, failures: Vec<(usize, Vec<(FailedRow, Diff)>)>, strict: bool) {
        let mut before: BTreeMap<usize, Vec<(FailedRow, Diff)>> = BTreeMap::new();
        for (worker, failures) in failures {
            let old = std::mem::replace(&mut self.failures[worker], failures);
            before.entry(worker).or_insert(old);
        }
        if strict {
            return;
        }
        let mut more: BTreeMap<&FailedRow, Diff> = BTreeMap::new();
        for (worker, old) in &before {
            for (row, count) in &self.failures[*worker] {
                *more.entry(row).or_default() += count;
            }
            for (row, count) in old {
                *more.entry(row).or_default() -= count;
            }
        }
        for (row, count) in more {
            let count = usize::try_from(count).unwrap_or(0);
            self.left_out_ever += count as u64;
            self.left_out.extend(std::iter::repeat_n(row, count.min(KEPT)).cloned());
        }
        self.left_out.drain(..self.left_out.len().saturating_sub(KEPT));
    }

    /// Ends all subscriptions: the view's rows cannot all be computed.
    fn fail(&mut self, reason: &str) {
        for queue in self.subscribers.drain(..) {
            queue.end(End::Failed(reason.to_owned()));
        }
    }
}

impl ChangeSink for Hub {
    fn changes(&self, worker: usize, view: ViewId, time: Time, changes: &UpdateBatch) {
        self.take_changes(worker, view, time, changes);
    }

    fn changed(&self, _worker: usize, view: ViewId, rows: u64) {
        if let Some(channel) = self.channel(view) {
            channel.state.lock().emitted += rows;
        }
    }

    fn frontier(&self, worker: usize, view: ViewId, frontier: Time) {
        self.take_frontier(worker, view, frontier);
    }

    fn failures(&self, worker: usize, view: ViewId, time: Time, failures: Vec<LiveError>) {
        let text = |error: LiveError| {
            let LiveError { expression, message, row, count } = error;
            (FailedRow { expression, message, row }, count)
        };
        self.take_failures(worker, view, time, failures.into_iter().map(text).collect());
    }

    fn stopped(&self, reason: &str) {
        self.take_stop(reason);
    }
}
