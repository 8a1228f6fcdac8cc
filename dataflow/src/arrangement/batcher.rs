//! `Batcher`: gathers the updates of open times and sorts them when their time closes.
//!
//! The updates of a small step are sorted once, when they are sealed. For a large step, a run is encoded and sorted as
//! soon as enough rows have arrived, which spreads the work over the arrivals; a seal merges all runs at once, one
//! range of hashes after another, and each run frees its memory as it is used up.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::batcher::{Batcher, Extract};
use differential_dataflow::trace::chunk::{ChunkBatch, settle_all};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::chunk::Chunk;
use super::chunk_trace::extract_chunk;
use super::layout::Layout;
use super::sort::{merge_runs, sort};
use super::trace::Batch;
use crate::update::PerRow;
use crate::work::Work;
use crate::{Time, UpdateBatch};

/// Number of rows in a run: few enough that the buffers for sorting stay in the cache and are reused by the next run.
/// Small in tests, so that tests meet several runs.
const RUN: usize = if cfg!(test) { 300 } else { 1 << 15 };

/// The updates of an arrangement whose times are not closed.
pub struct UpdateBatcher {
    layout: Arc<Layout>,
    /// Batches that are not encoded yet, with the least time of each.
    pending: Vec<(Time, UpdateBatch)>,
    pending_rows: usize,
    /// Sorted runs and the least time of each.
    runs: Vec<(Time, VecDeque<Chunk>)>,
    /// The least time held, if any.
    least: Antichain<Time>,
    work: Rc<Work>,
}

impl UpdateBatcher {
    /// Creates a batcher for an arrangement of this layout; `work` counts its rows.
    pub fn new(layout: Arc<Layout>, work: Rc<Work>) -> Self {
        let (pending, runs, least) = (Vec::new(), Vec::new(), Antichain::new());
        UpdateBatcher { layout, pending, pending_rows: 0, runs, least, work }
    }

    /// Encodes and sorts the pending batches that have a time before `upper`, or all if it is `None`.
    fn sort_pending(&mut self, upper: Option<Time>) {
        let ready = |time: &Time| upper.is_none_or(|u| *time < u);
        // A batch may also have later times; `extract_runs` keeps those back.
        let (sorting, waiting): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(|(least, _)| ready(least));
        self.pending_rows = waiting.iter().map(|(_, batch)| batch.len()).sum();
        self.pending = waiting;
        if let Some(least) = sorting.iter().map(|(least, _)| *least).min() {
            let batches: Vec<UpdateBatch> = sorting.into_iter().map(|(_, batch)| batch).collect();
            let run = sort(&self.layout, &batches);
            if !run.is_empty() {
                self.runs.push((least, run));
            }
        }
    }

    /// Removes the updates before `upper`, or all if it is `None`, from the runs and returns them as runs.
    fn extract_runs(&mut self, upper: Option<Time>) -> Vec<VecDeque<Chunk>> {
        let mut shipped = Vec::new();
        for (least, run) in std::mem::take(&mut self.runs) {
            if upper.is_some_and(|u| u <= least) {
                self.runs.push((least, run));
                continue;
            }
            let (mut keep, mut ship) = (VecDeque::new(), VecDeque::new());
            let kept = run.into_iter().filter_map(|chunk| extract_chunk(chunk, upper, &mut keep, &mut ship)).min();
            if let Some(least) = kept {
                self.runs.push((least, keep));
            }
            if !ship.is_empty() {
                shipped.push(ship);
            }
        }
        shipped
    }

    fn add(&mut self, batch: UpdateBatch) {
        let least = match &batch.times {
            PerRow::Same(time) => *time,
            PerRow::Each(times) => times.iter().copied().min().expect("the batch is not empty"),
        };
        self.least.insert(least);
        self.pending_rows += batch.len();
        self.pending.push((least, batch));
        if self.pending_rows >= RUN {
            self.sort_pending(None);
        }
    }

    fn update_least(&mut self) {
        let times = self.pending.iter().map(|(least, _)| *least).chain(self.runs.iter().map(|(least, _)| *least));
        self.least = times.min().map(Antichain::from_elem).unwrap_or_default();
    }
}

impl Extract for UpdateBatcher {
    type Time = Time;
    type Output = Batch;

    fn extract<'a>(&'a mut self, upper: AntichainRef<'_, Time>) -> (Option<Batch>, AntichainRef<'a, Time>) {
        let upper = upper.first().copied();
        self.sort_pending(upper);
        let runs = self.extract_runs(upper);
        let chunks = settle_all(merge_runs(runs));
        self.work.sent(chunks.iter().map(|chunk| chunk.updates().len()).sum());
        self.update_least();
        let batch = (!chunks.is_empty()).then(|| Rc::new(ChunkBatch::new(chunks)));
        (batch, self.least.borrow())
    }
}

impl Batcher<UpdateBatch> for UpdateBatcher {
    fn insert(&mut self, batch: &mut UpdateBatch) {
        let batch = std::mem::take(batch);
        self.work.received(batch.len());
        // A batch of many rows becomes several runs.
        for start in (0..batch.len()).step_by(RUN) {
            let part = batch.slice(start, RUN.min(batch.len() - start));
            self.add(part);
        }
    }
}
