//! The output of a view: each closed time is published once, in order, consolidated.
//!
//! ```text
//! updates --> stash by time --frontier passes--> net batches --> watchers, and the inputs of views built on this one
//! ```
//!
//! A time of many rows is published piece by piece, and closed when the last piece is out: nobody sees a part of it.
//! Changes that nobody wants are dropped on arrival, but still counted. For a view that keeps an arrangement of its
//! rows, the changes are counted as the arrangement receives them, which nets them; for other views they are counted
//! here.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::arrangement::Batch;
use crate::consolidator::{Consolidator, Netted};
use crate::failure::{Failures, LiveError, failures_at};
use crate::frontier::Frontier;
use crate::input::Event;
use crate::plan::{DataflowPlan, OutputState};
use crate::sink::ChangeSink;
use crate::update::UpdateStream;
use crate::work::Work;
use crate::{DataflowError, Time, UpdateBatch, ViewId};

/// Counts the rows that a view's changes add and remove on this worker.
#[derive(Debug)]
pub(crate) struct ChangeCount {
    /// The time of the contents over which the view was made. These do not count as changes.
    opening: Time,
    rows: Cell<u64>,
}

impl ChangeCount {
    fn new(opening: Time) -> Rc<Self> {
        Rc::new(ChangeCount { opening, rows: Cell::new(0) })
    }

    fn updates(&self, batch: &UpdateBatch) {
        self.rows.set(self.rows.get() + batch.changes_after(self.opening));
    }

    /// Counts a batch that the arrangement of the view's rows receives.
    pub(crate) fn arranged(&self, batch: &Batch) {
        let rows: u64 = batch.chunks.iter().map(|chunk| chunk.changes_after(self.opening)).sum();
        self.rows.set(self.rows.get() + rows);
    }
}

/// The queue of a view's events for a dataflow that reads the view.
pub(crate) type EventQueue = Rc<RefCell<Vec<Event>>>;

/// The output of a view on one worker.
pub(crate) struct ViewOutput {
    worker: usize,
    view: ViewId,
    sink: Arc<dyn ChangeSink>,
    consolidator: Consolidator,
    /// Whether the batches of one time never contain the same row twice, so that they need no consolidation.
    comes_net: bool,
    changes: Rc<ChangeCount>,
    /// Whether `changes` counts the batches that arrive here, not those that the view's arrangement receives.
    counts: bool,
    /// Intervals of times whose changes go to the sink: after the first time, through the second. The last one may be
    /// open.
    watched: Vec<(Time, Option<Time>)>,
    /// The queues of readers; each receives the changes after its time.
    readers: Vec<(Time, EventQueue)>,
    /// The updates of times that are not published yet.
    stash: BTreeMap<Time, Vec<UpdateBatch>>,
    /// The time that is being published.
    publishing: Option<Time>,
    /// What is left of it, if the updates come net.
    net: VecDeque<UpdateBatch>,
    frontier: Frontier,
    /// The last frontier reported to the sink.
    told: Time,
    /// How many updates of failures the sink has been told of.
    failures_told: u64,
}

impl ViewOutput {
    /// Creates the output of a view with this plan, made over contents as of `opening`.
    pub(crate) fn new(
        worker: usize,
        view: ViewId,
        plan: &DataflowPlan,
        opening: Time,
        sink: Arc<dyn ChangeSink>,
    ) -> Self {
        ViewOutput {
            worker,
            view,
            sink,
            consolidator: Consolidator::new(Arc::clone(plan.schema())),
            comes_net: plan.comes_net(plan.output.node),
            changes: ChangeCount::new(opening),
            counts: !matches!(plan.output.state, OutputState::Arrangement { .. }),
            watched: Vec::new(),
            readers: Vec::new(),
            stash: BTreeMap::new(),
            publishing: None,
            net: VecDeque::new(),
            frontier: Frontier::default(),
            told: Time::ZERO,
            failures_told: 0,
        }
    }

    /// Returns the frontier through which the view's changes are complete.
    pub(crate) fn frontier(&self) -> Frontier {
        self.frontier.clone()
    }

    /// Returns the counter of the view's changes.
    pub(crate) fn changes(&self) -> Rc<ChangeCount> {
        Rc::clone(&self.changes)
    }

    /// Sends the changes after `time` to the sink, in addition to those it already receives.
    pub(crate) fn watch(&mut self, time: Time) {
        if self.watched.last().is_none_or(|(_, until)| until.is_some()) {
            self.watched.push((time, None));
        }
    }

    /// Ends the interval that [`ViewOutput::watch`] began: changes after `time` are no longer sent to the sink.
    pub(crate) fn unwatch(&mut self, time: Time) {
        if let Some((_, until @ None)) = self.watched.last_mut() {
            *until = Some(time);
        }
    }

    /// Whether some changes go to the sink.
    pub(crate) fn is_watched(&self) -> bool {
        !self.watched.is_empty()
    }

    fn is_watched_at(&self, time: Time) -> bool {
        self.watched.iter().any(|(after, until)| *after < time && until.is_none_or(|until| time <= until))
    }

    /// Returns a queue that receives the changes after `time`. Panics if some of those may already have been published.
    pub(crate) fn subscribe(&mut self, time: Time) -> EventQueue {
        assert!(self.frontier.get() <= time + 1, "a queue starts before the changes it is for");
        let queue = EventQueue::default();
        self.readers.push((time, Rc::clone(&queue)));
        queue
    }

    /// Removes queues whose dataflow is gone.
    pub(crate) fn prune(&mut self) {
        self.readers.retain(|(_, queue)| Rc::strong_count(queue) > 1);
    }

    /// Tells the sink why the view is about to end.
    pub(crate) fn ended(&mut self, why: &DataflowError) {
        self.sink.ended(self.worker, self.view, why);
    }

    /// Tells the sink that the view has ended.
    pub(crate) fn end(&mut self) {
        self.sink.frontier(self.worker, self.view, Time::MAX);
    }

    fn is_wanted_at(&self, time: Time) -> bool {
        self.is_watched_at(time) || self.readers.iter().any(|(after, _)| *after < time)
    }

    fn receive(&mut self, batch: UpdateBatch) {
        if self.counts {
            self.changes.updates(&batch);
        }
        if self.watched.is_empty() && self.readers.is_empty() {
            return;
        }
        for (time, batch) in batch.by_time() {
            if self.is_wanted_at(time) {
                self.stash.entry(time).or_default().push(batch);
            }
        }
    }

    /// Publishes the times before `frontier`, about as many rows as there is room for.
    fn advance(&mut self, frontier: Time, mut room: usize) {
        while room > 0 {
            let Some(time) = self.publishing.or_else(|| self.begin_next(frontier)) else { return self.close(frontier) };
            let left = self.unpublished();
            match self.next_changes(time, room) {
                Netted::Rows(changes) => self.publish(time, &changes),
                Netted::Working => {}
                Netted::Done => {
                    self.publishing = None;
                    self.close(time + 1);
                }
            }
            room = room.saturating_sub(left - self.unpublished());
        }
    }

    /// Begins to publish the first time before `frontier` that has updates.
    fn begin_next(&mut self, frontier: Time) -> Option<Time> {
        let first = self.stash.first_entry().filter(|first| *first.key() < frontier)?;
        let (time, batches) = first.remove_entry();
        if self.comes_net {
            self.net = batches.into();
        } else {
            batches.into_iter().for_each(|batch| self.consolidator.add(batch));
        }
        self.publishing = Some(time);
        self.publishing
    }

    /// Returns net changes of the time that is being published, about `rows` of them.
    fn next_changes(&mut self, time: Time, rows: usize) -> Netted {
        match self.net.pop_front() {
            Some(changes) => Netted::Rows(changes),
            None if self.comes_net => Netted::Done,
            None => self.consolidator.next(time, rows),
        }
    }

    /// Returns how many rows of the time that is being published are left to be looked at.
    fn unpublished(&self) -> usize {
        self.net.iter().map(UpdateBatch::len).sum::<usize>() + self.consolidator.left()
    }

    /// Returns how many rows of times before `frontier` are left to be looked at; at least 1 if there is anything to do.
    fn left(&self, frontier: Time) -> usize {
        let waiting = self.stash.range(..frontier).flat_map(|(_, batches)| batches).map(UpdateBatch::len);
        let left = self.unpublished() + waiting.sum::<usize>();
        left.max(usize::from(self.publishing.is_some()))
    }

    fn close(&mut self, frontier: Time) {
        if frontier <= self.frontier.get() {
            return;
        }
        self.frontier.set(frontier);
        self.watched.retain(|(_, until)| until.is_none_or(|until| until >= frontier));
        if frontier == Time::MAX {
            return;
        }
        for (after, queue) in &self.readers {
            if frontier > *after + 1 {
                queue.borrow_mut().push(Event::Close(frontier - 1));
            }
        }
    }

    fn publish(&self, time: Time, changes: &UpdateBatch) {
        if self.is_watched_at(time) {
            self.sink.changes(self.worker, self.view, time, changes);
        }
        for (after, queue) in &self.readers {
            if time > *after {
                queue.borrow_mut().push(Event::Rows(time, changes.clone()));
            }
        }
    }

    /// Tells the sink that the view is complete before `frontier`; before that, which rows failed at which times, and
    /// how many rows changed.
    ///
    /// This does not happen when the output itself advances, because the shared indexes that the view reads may be
    /// behind.
    pub(crate) fn tell(&mut self, frontier: Time, failures: &[Failures]) {
        if frontier <= self.told || frontier == Time::MAX {
            return;
        }
        self.tell_failures(frontier, failures);
        let changed = self.changes.rows.take();
        if changed > 0 {
            self.sink.changed(self.worker, self.view, changed);
        }
        self.told = frontier;
        self.sink.frontier(self.worker, self.view, frontier);
    }

    fn tell_failures(&mut self, frontier: Time, ledgers: &[Failures]) {
        let received = ledgers.iter().map(|ledger| ledger.borrow().received).sum();
        if received == self.failures_told {
            return;
        }
        // A shared ledger may have forgotten some times; their failures are reported at the last closed time.
        let mut times = BTreeSet::from([frontier - 1]);
        let mut all_closed = true;
        for ledger in ledgers {
            for time in ledger.borrow().recent_times() {
                all_closed &= time < frontier;
                if time >= self.told && time < frontier {
                    times.insert(time);
                }
            }
        }
        for time in times {
            let live = failures_at(ledgers, time).into_iter();
            let live = live.map(|(failure, count)| LiveError::new(failure, count)).collect();
            self.sink.failures(self.worker, self.view, time, live);
        }
        if all_closed {
            self.failures_told = received;
        }
    }
}

/// Connects `output` to the stream of a view's updates.
pub(crate) fn attach(updates: UpdateStream<'_>, output: Rc<RefCell<ViewOutput>>, work: Rc<Work>) {
    let mut builder = OperatorBuilder::new("Output".to_owned(), updates.scope());
    let activator = updates.scope().activator_for(builder.operator_info().address);
    let mut input = builder.new_input(updates, Pipeline);
    builder.build(move |_| {
        move |frontiers| {
            let mut output = output.borrow_mut();
            input.for_each(|_, batch| {
                work.received(batch.len());
                output.receive(std::mem::take(batch));
            });
            let frontier = frontiers[0].frontier().as_option().copied().unwrap_or(Time::MAX);
            if frontier <= output.frontier.get() {
                return;
            }
            let tank = work.tank();
            let before = output.left(frontier);
            output.advance(frontier, tank.grant());
            let left = output.left(frontier);
            tank.touched(before - left);
            tank.leaves(left);
            if left > 0 {
                activator.activate();
            }
        }
    });
}
