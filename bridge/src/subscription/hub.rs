//! The hub takes closed changes from the workers and delivers those of each view to all its subscribers.
//!
//! A time of a view is delivered once every worker has closed it: the workers' shards wait in `pending` until the
//! lowest of the workers' frontiers has passed their time. Callbacks run on worker threads, so they must be short:
//! shards are moved without being read, and the first reader decodes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use laminardb_dataflow::lock::{Mutex, Rank, RwLock};
use laminardb_dataflow::{ChangeSink, DataflowError, Diff, LiveError, Time, UpdateBatch, ViewId};

use super::bounds::Bounds;
use super::change::Shape;
use super::queue::{Call, ChangeQueue, Closed, End};
use crate::error::ended_text;

/// Number of left-out rows that stay listed per view.
const KEPT: usize = 1000;

/// A row on which an expression of a view failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailedRow {
    /// Text of the expression.
    pub expression: String,
    /// The reason of the failure.
    pub message: String,
    /// The row on which it failed, as text.
    pub row: String,
}

impl FailedRow {
    fn text(&self) -> String {
        let FailedRow { expression, message, row } = self;
        format!("{expression} fails: {message}; the row is {row}")
    }
}

/// The hub's state for one view.
struct Channel {
    shape: Arc<Shape>,
    /// Name of the view, for messages.
    name: String,
    /// Whether a failing row ends the view's subscriptions.
    strict: bool,
    /// The views that the view reads, whose failing rows end its subscriptions.
    under: Vec<ViewId>,
    state: Mutex<ChannelState>,
}

/// What the hub needs to know about a view.
pub(crate) struct ViewSetup {
    pub(crate) shape: Arc<Shape>,
    /// Whether failing rows end the subscriptions of the view and of views that read it; otherwise the rows are left
    /// out.
    pub(crate) strict: bool,
    /// The maintained views that it reads, directly or indirectly.
    pub(crate) under: Vec<ViewId>,
    /// Name of the view, for messages.
    pub(crate) name: String,
}

struct ChannelState {
    /// Frontier of each worker: all earlier times are closed there.
    frontiers: Vec<Time>,
    /// All earlier times have been published.
    closed_before: Time,
    pending: BTreeMap<Time, PendingTime>,
    subscribers: Vec<Arc<ChangeQueue>>,
    /// The time of the contents over which the view was installed; `None` until the engine has accepted it.
    opening: Option<Time>,
    /// The last time whose changes are delivered, if the view has left the catalog.
    last: Option<Time>,
    /// What happens when the changes through `last` are delivered or nobody waits for them any more.
    leaving: Option<Leaving>,
    /// Failing rows of each worker as of the last published time, with their counts.
    failures: Vec<Vec<(FailedRow, Diff)>>,
    /// The last rows that were left out, if the view leaves failing rows out.
    left_out: VecDeque<FailedRow>,
    left_out_ever: u64,
    emitted: u64,
    discarded: u64,
}

/// The end of a view that has left the catalog.
struct Leaving {
    end: End,
    /// Keeps the view in the engine.
    keeps: Arc<dyn Send + Sync>,
}

#[derive(Default)]
struct PendingTime {
    shards: Vec<(usize, UpdateBatch)>,
    failures: Vec<(usize, Vec<(FailedRow, Diff)>)>,
    /// Set if a view that this one reads fails at this time: the reason.
    failure: Option<String>,
}

/// Counters of one view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewCounters {
    /// Rows that changes added or removed since the view was created, whether or not anybody was subscribed.
    pub emitted: u64,
    /// Rows discarded from the queues of readers that were too slow.
    pub discarded: u64,
    /// Failing rows left out since the view was created.
    pub left_out: u64,
    /// Undelivered rows of the slowest subscriber.
    pub pending: usize,
    /// Maximum number of pending rows of that subscriber.
    pub capacity: usize,
    /// Number of subscribers.
    pub subscribers: usize,
}

/// All views and their subscribers.
pub struct Hub {
    workers: usize,
    views: RwLock<HashMap<ViewId, Arc<Channel>>>,
    discarded: Mutex<u64>,
    stopped: Mutex<Option<String>>,
}

impl Hub {
    /// Makes a hub for an engine of `workers` workers.
    pub fn new(workers: usize) -> Self {
        Hub {
            workers,
            views: RwLock::new(Rank::HubViews, HashMap::new()),
            discarded: Mutex::new(Rank::Leaf, 0),
            stopped: Mutex::new(Rank::Leaf, None),
        }
    }

    /// Registers `view`; must be called before the engine installs it.
    pub(crate) fn open(&self, view: ViewId, setup: ViewSetup) {
        let ViewSetup { shape, strict, under, name } = setup;
        let state = ChannelState {
            frontiers: vec![Time::ZERO; self.workers],
            closed_before: Time::ZERO,
            pending: BTreeMap::new(),
            subscribers: Vec::new(),
            opening: None,
            last: None,
            leaving: None,
            failures: vec![Vec::new(); self.workers],
            left_out: VecDeque::new(),
            left_out_ever: 0,
            emitted: 0,
            discarded: 0,
        };
        let state = Mutex::new(Rank::HubView, state);
        self.views.write().insert(view, Arc::new(Channel { shape, name, strict, under, state }));
    }

    /// Returns a queue that collects what is closed from now on; `ChangeQueue::start` then selects what is delivered.
    pub(super) fn subscribe(&self, view: ViewId, bounds: Bounds) -> Option<Arc<ChangeQueue>> {
        let channel = self.channel(view)?;
        let mut state = channel.state.lock();
        let queue = Arc::new(ChangeQueue::new(bounds, state.closed_before));
        state.subscribers.push(Arc::clone(&queue));
        Some(queue)
    }

    /// Removes a queue and returns the number of those left.
    pub(super) fn unsubscribe(&self, view: ViewId, queue: &Arc<ChangeQueue>) -> usize {
        let Some(channel) = self.channel(view) else { return 0 };
        let mut state = channel.state.lock();
        state.subscribers.retain(|other| !Arc::ptr_eq(other, queue));
        let left = state.subscribers.len();
        let leaves = left == 0 && state.leaving.is_some();
        drop(state);
        if leaves {
            self.end(view, &End::Finished);
        }
        left
    }

    /// Notes that the engine has accepted `view` over contents as of `opening`.
    pub(crate) fn installed(&self, view: ViewId, opening: Time) {
        if let Some(channel) = self.channel(view) {
            channel.state.lock().opening = Some(opening);
        }
    }

    /// Returns whether `view` has taken in all its first contents.
    pub(crate) fn is_hydrated(&self, view: ViewId) -> bool {
        self.channel(view).is_some_and(|channel| channel.state.lock().is_hydrated())
    }

    /// Returns whether `view` has subscribers and still takes in its first contents.
    pub(crate) fn is_hydrating_for_somebody(&self, view: ViewId) -> bool {
        self.channel(view).is_some_and(|channel| {
            let state = channel.state.lock();
            !state.subscribers.is_empty() && !state.is_hydrated()
        })
    }

    /// Returns the views that have subscribers and still take in their first contents.
    pub(crate) fn hydrating_for_somebody(&self) -> Vec<ViewId> {
        let views: Vec<ViewId> = self.views.read().keys().copied().collect();
        views.into_iter().filter(|view| self.is_hydrating_for_somebody(*view)).collect()
    }

    /// Delivers no changes of `view` after `last`, the time at which it leaves the catalog.
    pub(crate) fn close_at(&self, view: ViewId, last: Time) {
        if let Some(channel) = self.channel(view) {
            channel.state.lock().last = Some(last);
        }
    }

    /// Returns whether somebody waits for changes of a view that was closed by [`Hub::close_at`]: it has subscribers
    /// and is hydrated, but has not reached its last time.
    pub(crate) fn is_awaited(&self, view: ViewId) -> bool {
        self.channel(view).is_some_and(|channel| channel.state.lock().is_awaited())
    }

    /// Ends the subscriptions of a view that was closed by [`Hub::close_at`] when they have got its last time, and then
    /// drops `keeps`; both at once if nobody waits for that.
    pub(crate) fn leave(&self, view: ViewId, end: End, keeps: Arc<dyn Send + Sync>) {
        let Some(channel) = self.channel(view) else { return };
        let mut state = channel.state.lock();
        if state.is_awaited() {
            state.leaving = Some(Leaving { end, keeps });
            return;
        }
        drop(state);
        self.end(view, &end);
    }

    /// Ends all subscriptions of `view` now; what was closed before is still delivered.
    pub(crate) fn end(&self, view: ViewId, end: &End) {
        let removed = self.views.write().remove(&view);
        if let Some(channel) = removed {
            self.finish(&channel, end);
        }
    }

    /// Ends all subscriptions like `end`. After an orderly finish, the views and their counters are kept.
    pub(crate) fn end_all(&self, end: &End) {
        let mut all: Vec<(ViewId, Arc<Channel>)> = match end {
            End::Finished => self.views.read().iter().map(|(view, channel)| (*view, Arc::clone(channel))).collect(),
            _ => self.views.write().drain().collect(),
        };
        // The map has no order; subscriptions end in the same order in every run.
        all.sort_by_key(|(view, _)| *view);
        for (_, channel) in all {
            self.finish(&channel, end);
        }
    }

    /// Returns the counters of `view`; `None` if it is not registered.
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
                counters.capacity = queue.bounds().rows;
            }
        }
        Some(counters)
    }

    /// Returns the last rows that `view` left out, in the order of their times.
    pub(crate) fn left_out(&self, view: ViewId) -> Vec<FailedRow> {
        let Some(channel) = self.channel(view) else { return Vec::new() };
        let state = channel.state.lock();
        state.left_out.iter().cloned().collect()
    }

    /// Returns the rows discarded from the queues of slow readers since the start, over all views.
    pub fn discarded(&self) -> u64 {
        *self.discarded.lock()
    }

    /// Returns the reason why the engine stopped, if it did.
    pub fn stopped_reason(&self) -> Option<String> {
        self.stopped.lock().clone()
    }

    fn channel(&self, view: ViewId) -> Option<Arc<Channel>> {
        self.views.read().get(&view).map(Arc::clone)
    }

    fn finish(&self, channel: &Channel, end: &End) {
        let mut state = channel.state.lock();
        let subscribers = std::mem::take(&mut state.subscribers);
        let leaving = state.leaving.take();
        drop(state);
        for queue in subscribers {
            make(queue.end(end.clone()));
        }
        // May drop views of the engine, whose lock comes after those of the hub.
        drop(leaving.map(|leaving| leaving.keeps));
    }

    /// Takes one worker's changes at a time that it is about to close.
    pub(super) fn take_changes(&self, worker: usize, view: ViewId, time: Time, changes: &UpdateBatch) {
        let Some(channel) = self.channel(view) else { return };
        let mut state = channel.state.lock();
        state.pending.entry(time).or_default().shards.push((worker, changes.clone()));
    }

    /// Takes one worker's failing rows as of a time that it is about to close.
    pub(super) fn take_failures(&self, worker: usize, view: ViewId, time: Time, failures: Vec<(FailedRow, Diff)>) {
        let Some(channel) = self.channel(view) else { return };
        let mut state = channel.state.lock();
        state.pending.entry(time).or_default().failures.push((worker, failures));
    }

    /// Records that one worker has closed all times before `frontier`, and publishes the times that all have closed.
    pub(super) fn take_frontier(&self, worker: usize, view: ViewId, frontier: Time) {
        let Some(channel) = self.channel(view) else { return };
        let mut state = channel.state.lock();
        state.frontiers[worker] = frontier.max(state.frontiers[worker]);
        let closed_before = state.frontiers.iter().copied().min().unwrap_or(Time::MAX);
        let published = state.publish(closed_before, &channel);
        let ended = closed_before == Time::MAX;
        let left = if state.is_awaited() { None } else { state.leaving.as_ref().map(|leaving| leaving.end.clone()) };
        // The steps below lock this channel and others, so the lock must not be held.
        drop(state);
        make(published.calls);
        if published.discarded > 0 {
            *self.discarded.lock() += published.discarded as u64;
        }
        if let Some((time, reason)) = published.failure {
            self.fail_dependents(view, time, &reason);
        }
        match left {
            Some(end) => self.end(view, &end),
            // The engine has finished; the view stays registered, with its counters.
            None if ended => self.finish(&channel, &End::Finished),
            None => {}
        }
    }

    /// Ends the subscriptions of all views that read `view`, since some of its rows are missing from `time` on.
    fn fail_dependents(&self, view: ViewId, time: Time, reason: &str) {
        let dependents: Vec<(ViewId, Arc<Channel>)> = {
            let views = self.views.read();
            let mut ids: Vec<&ViewId> = views.keys().collect();
            ids.sort();
            let reads = |id: &&&ViewId| views[**id].under.contains(&view);
            ids.iter().filter(reads).map(|id| (**id, Arc::clone(&views[*id]))).collect()
        };
        for (dependent, channel) in dependents {
            let mut state = channel.state.lock();
            let closed_before = state.frontiers.iter().copied().min().unwrap_or(Time::MAX);
            // A time that is still open must fail in its turn, after the earlier times have been delivered.
            if time < closed_before {
                let calls = state.fail(reason);
                let leaves = state.leaving.is_some();
                drop(state);
                make(calls);
                if leaves {
                    self.end(dependent, &End::Finished);
                }
            } else {
                state.pending.entry(time).or_default().failure.get_or_insert_with(|| reason.to_owned());
            }
        }
    }

    /// Ends every subscription with the reason why the engine stopped.
    pub(super) fn take_stop(&self, reason: &str) {
        self.stopped.lock().get_or_insert_with(|| reason.to_owned());
        self.end_all(&End::Stopped(reason.to_owned()));
    }
}

/// Makes the calls that somebody asked for. They may do anything, so no lock may be held.
fn make(calls: Vec<Call>) {
    for call in calls {
        call();
    }
}

/// The outcome of publishing closed times.
#[derive(Default)]
struct Published {
    /// Rows discarded from the queues of slow readers.
    discarded: usize,
    /// The first time at which rows of the view fail, and why.
    failure: Option<(Time, String)>,
    /// The calls to make when no lock is held.
    calls: Vec<Call>,
}

/// The reason why a time ends the subscriptions of a view.
enum Failure {
    /// Rows of the view fail.
    OfView(String),
    /// Rows of a view that it reads fail.
    Below(String),
}

impl ChannelState {
    /// Returns whether the view has taken in all its first contents.
    fn is_hydrated(&self) -> bool {
        self.opening.is_some_and(|opening| opening < self.closed_before)
    }

    /// Returns whether a subscriber waits for changes through the view's last time, and will get them.
    fn is_awaited(&self) -> bool {
        !self.subscribers.is_empty() && self.is_hydrated() && self.last.is_some_and(|last| last >= self.closed_before)
    }

    /// Publishes the times before `frontier`, in order, and tells the subscribers that these are closed.
    fn publish(&mut self, frontier: Time, channel: &Channel) -> Published {
        let mut published = Published::default();
        let frontier = self.last.map_or(frontier, |last| frontier.min(last + 1));
        if frontier <= self.closed_before {
            return published;
        }
        let mut times = Vec::new();
        while let Some(entry) = self.pending.first_entry() {
            if *entry.key() >= frontier {
                break;
            }
            let (time, pending) = entry.remove_entry();
            match self.changes_at(time, pending, channel) {
                Ok(changes) => times.extend(changes),
                Err(failure) => {
                    self.deliver(&std::mem::take(&mut times), time, &mut published);
                    let (Failure::OfView(reason) | Failure::Below(reason)) = &failure;
                    published.calls.append(&mut self.fail(reason));
                    if let Failure::OfView(reason) = failure {
                        published.failure.get_or_insert((time, reason));
                    }
                }
            }
        }
        // The end of a view closes the times through its last one, not those to come.
        let closed_before = match frontier {
            Time::MAX => times.last().map_or(self.closed_before, |last| (last.time + 1).max(self.closed_before)),
            frontier => frontier,
        };
        self.deliver(&times, closed_before, &mut published);
        self.closed_before = frontier;
        self.discarded += published.discarded as u64;
        published
    }

    /// Hands closed times to all subscribers.
    fn deliver(&self, times: &[Arc<Closed>], closed_before: Time, published: &mut Published) {
        for queue in &self.subscribers {
            let mut extended = queue.extend(times, closed_before);
            published.discarded += extended.discarded;
            published.calls.append(&mut extended.calls);
        }
    }

    /// Returns the changes of a time, if there are any, or the reason why it ends the subscriptions.
    fn changes_at(
        &mut self,
        time: Time,
        mut pending: PendingTime,
        channel: &Channel,
    ) -> Result<Option<Arc<Closed>>, Failure> {
        let changed = !pending.failures.is_empty();
        self.take_in(pending.failures, channel.strict);
        if channel.strict
            && changed
            && let Some(row) = self.failing_row()
        {
            return Err(Failure::OfView(row));
        }
        if let Some(reason) = pending.failure {
            return Err(Failure::Below(reason));
        }
        if pending.shards.is_empty() {
            return Ok(None);
        }
        // Shards arrive in any order; sorted by worker, they make the same batch in every run.
        pending.shards.sort_by_key(|(worker, _)| *worker);
        let shards: Vec<UpdateBatch> = pending.shards.into_iter().map(|(_, shard)| shard).collect();
        Ok(Some(Arc::new(Closed::new(time, shards, Arc::clone(&channel.shape)))))
    }

    /// Returns a row that fails in the sum over all workers, if there is one, as text.
    fn failing_row(&self) -> Option<String> {
        let mut live: BTreeMap<&FailedRow, Diff> = BTreeMap::new();
        for (row, count) in self.failures.iter().flatten() {
            *live.entry(row).or_default() += count;
        }
        live.into_iter().find(|(_, count)| *count > 0).map(|(row, _)| row.text())
    }

    /// Replaces the failing rows of some workers. Unless failing rows end subscriptions, those that are new in the sum
    /// over all workers are recorded as left out.
    fn take_in(&mut self, failures: Vec<(usize, Vec<(FailedRow, Diff)>)>, strict: bool) {
        let mut before: BTreeMap<usize, Vec<(FailedRow, Diff)>> = BTreeMap::new();
        for (worker, failures) in failures {
            let old = std::mem::replace(&mut self.failures[worker], failures);
            // If a worker reported several times, the change counts from its first previous state.
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

    /// Ends all subscriptions, since some rows of the view cannot be computed. Returns the calls to make when no lock is
    /// held.
    fn fail(&mut self, reason: &str) -> Vec<Call> {
        self.subscribers.drain(..).flat_map(|queue| queue.end(End::Failed(reason.to_owned()))).collect()
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

    fn ended(&self, _worker: usize, view: ViewId, why: &DataflowError) {
        let (Some(channel), DataflowError::Ended { cause, over, .. }) = (self.channel(view), why) else { return };
        // The cause may be gone if another worker is faster; then only the view itself is named.
        let cause = self.channel(*cause).map_or_else(|| channel.name.clone(), |cause| cause.name.clone());
        let text = ended_text(&channel.name, &cause, *over);
        self.end(view, &End::OverLimit(text));
    }

    fn given_up(&self, view: ViewId) {
        self.end(view, &End::ShutDown);
    }

    fn stopped(&self, reason: &str) {
        self.take_stop(reason);
    }
}
