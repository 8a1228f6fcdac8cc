//! The output of a view: each closed time is published once, in order, consolidated.
//!
//! ```text
//! updates --> stash --frontier passes--> one batch a time --> watchers, and the inputs of views built on this one
//! ```
//!
//! Changes that nobody wants are dropped on arrival, but still counted. For a view that keeps an arrangement of its
//! rows, the changes are counted as the arrangement receives them, which nets them; for other views they are counted
//! here.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use hashbrown::HashTable;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use crate::arrangement::Batch;
use crate::failure::{Failures, LiveError, failures_at};
use crate::frontier::Frontier;
use crate::input::Event;
use crate::plan::{DataflowPlan, OutputState};
use crate::row_bytes::{RowCodec, hash_bytes};
use crate::sink::ChangeSink;
use crate::update::{PerRow, UpdateStream};
use crate::work::Work;
use crate::{Diff, Time, UpdateBatch, ViewId};

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
    stash: Vec<UpdateBatch>,
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
            stash: Vec::new(),
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

    fn is_watched(&self, time: Time) -> bool {
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

    /// Tells the sink that the view has ended.
    pub(crate) fn end(&mut self) {
        self.sink.frontier(self.worker, self.view, Time::MAX);
    }

    fn is_wanted(&self) -> bool {
        !self.watched.is_empty() || !self.readers.is_empty()
    }

    fn receive(&mut self, batch: UpdateBatch) {
        if self.counts {
            self.changes.updates(&batch);
        }
        if self.is_wanted() {
            self.stash.push(batch);
        }
    }

    fn advance(&mut self, frontier: Time) {
        if !self.stash.is_empty() {
            for (time, batches) in take_closed(&mut self.stash, frontier) {
                self.publish(time, batches);
            }
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

    fn publish(&mut self, time: Time, batches: Vec<UpdateBatch>) {
        let watched = self.is_watched(time);
        if !watched && self.readers.iter().all(|(after, _)| time <= *after) {
            return;
        }
        let batches = if self.comes_net { batches } else { self.consolidator.consolidate(time, batches) };
        for changes in batches {
            if watched {
                self.sink.changes(self.worker, self.view, time, &changes);
            }
            for (after, queue) in &self.readers {
                if time > *after {
                    queue.borrow_mut().push(Event::Rows(time, changes.clone()));
                }
            }
        }
    }
}

/// Connects `output` to the stream of a view's updates.
pub(crate) fn attach(updates: UpdateStream<'_>, output: Rc<RefCell<ViewOutput>>, work: Rc<Work>) {
    updates.sink(Pipeline, "Output", move |(input, progress)| {
        let mut output = output.borrow_mut();
        input.for_each(|_, batch| {
            work.received(batch.len());
            output.receive(std::mem::take(batch));
        });
        let frontier = progress.frontier().as_option().copied().unwrap_or(Time::MAX);
        if frontier > output.frontier.get() {
            output.advance(frontier);
        }
    });
}

/// Removes the updates with times before `frontier` from `stash` and returns them by time.
fn take_closed(stash: &mut Vec<UpdateBatch>, frontier: Time) -> BTreeMap<Time, Vec<UpdateBatch>> {
    let mut closed: BTreeMap<Time, Vec<UpdateBatch>> = BTreeMap::new();
    let mut open = Vec::new();
    for batch in stash.drain(..) {
        match &batch.times {
            PerRow::Same(time) if *time < frontier => closed.entry(*time).or_default().push(batch),
            PerRow::Same(_) => open.push(batch),
            PerRow::Each(times) => {
                let mut rows: BTreeMap<Time, Vec<u32>> = BTreeMap::new();
                for (row, time) in times.iter().enumerate() {
                    rows.entry(*time).or_default().push(u32::try_from(row).expect("batches have less than 2^32 rows"));
                }
                for (time, rows) in rows {
                    let mut part = batch.take(&rows);
                    part.times = PerRow::Same(time);
                    if time < frontier {
                        closed.entry(time).or_default().push(part);
                    } else {
                        open.push(part);
                    }
                }
            }
        }
    }
    *stash = open;
    closed
}

/// Whether the batches only insert or only remove, so that no row can cancel another.
fn all_of_one_sign(batches: &[UpdateBatch]) -> bool {
    let first = batches[0].diffs.at(0) > 0;
    let agrees = |diff: &Diff| (*diff > 0) == first;
    batches.iter().all(|batch| match &batch.diffs {
        PerRow::Same(diff) => agrees(diff),
        PerRow::Each(diffs) => diffs.iter().all(agrees),
    })
}

/// Adds up the diffs of equal rows.
pub(crate) struct Consolidator {
    schema: SchemaRef,
    codec: Option<RowCodec>,
}

impl Consolidator {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Consolidator { schema, codec: None }
    }

    /// Returns the updates of one time; equal rows are netted if some rows are inserted and others removed.
    ///
    /// Rows stay in the order of their first occurrence. If all rows are inserted, or all removed, the batches are
    /// returned as they are: a large load is not copied here.
    pub(crate) fn consolidate(&mut self, time: Time, batches: Vec<UpdateBatch>) -> Vec<UpdateBatch> {
        if batches.is_empty() || all_of_one_sign(&batches) {
            return batches;
        }
        let batch = self.concatenate(time, &batches);
        let diffs: Vec<Diff> = (0..batch.len()).map(|row| batch.diffs.at(row)).collect();
        let (rows, diffs) = self.net(&batch, &diffs);
        if rows.is_empty() {
            return Vec::new();
        }
        let mut netted = batch.take(&rows);
        netted.diffs = PerRow::from_vec(diffs);
        vec![netted]
    }

    fn concatenate(&self, time: Time, batches: &[UpdateBatch]) -> UpdateBatch {
        if let [one] = batches {
            return one.clone();
        }
        let rows = concat_batches(&self.schema, batches.iter().map(|b| &b.rows)).expect("batches of one view");
        let diffs = batches.iter().flat_map(|b| (0..b.len()).map(|row| b.diffs.at(row))).collect();
        UpdateBatch { rows, times: PerRow::Same(time), diffs: PerRow::from_vec(diffs) }
    }

    /// Returns the first position of each row whose diffs do not add up to zero, with the sum of its diffs.
    fn net(&mut self, batch: &UpdateBatch, diffs: &[Diff]) -> (Vec<u32>, Vec<Diff>) {
        let codec = self.codec.get_or_insert_with(|| {
            let types = self.schema.fields().iter().map(|f| f.data_type().clone()).collect();
            RowCodec::new(types, 0).expect("the plan was checked for types without row bytes")
        });
        let encoded = codec.encode(batch.rows.columns(), batch.len());
        let mut first: HashTable<(u64, usize)> = HashTable::with_capacity(diffs.len());
        let mut nets: Vec<Diff> = vec![0; diffs.len()];
        for (row, diff) in diffs.iter().enumerate() {
            let bytes = encoded.row(row);
            let hash = hash_bytes(bytes);
            let same = |(h, r): &(u64, usize)| *h == hash && encoded.row(*r) == bytes;
            let entry = first.entry(hash, same, |(h, _)| *h).or_insert((hash, row));
            nets[entry.get().1] += diff;
        }
        let kept = (0..diffs.len()).filter(|row| nets[*row] != 0);
        kept.map(|row| (u32::try_from(row).expect("batches have less than 2^32 rows"), nets[row])).unzip()
    }
}
