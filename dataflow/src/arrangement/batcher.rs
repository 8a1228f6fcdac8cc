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
use super::time::ArrangementTime;
use super::trace::Batch;
use crate::update::PerRow;
use crate::work::Work;
use crate::{Time, UpdateBatch};

/// Number of rows in a run: few enough that the buffers for sorting stay in the cache and are reused by the next run.
/// Small in tests, so that tests meet several runs.
const RUN: usize = if cfg!(test) { 300 } else { 1 << 15 };

/// The updates of an arrangement whose times are not closed.
pub struct UpdateBatcher<T = Time> {
    layout: Arc<Layout>,
    /// Batches that are not encoded yet, with the least times of each.
    pending: Vec<(Antichain<T>, UpdateBatch<T>)>,
    pending_rows: usize,
    /// Sorted runs and the least times of each.
    runs: Vec<(Antichain<T>, VecDeque<Chunk<T>>)>,
    /// The least times held.
    least: Antichain<T>,
    work: Rc<Work>,
}

/// Whether updates whose least times are these may be before `upper`.
fn has_before<T: ArrangementTime>(least: &Antichain<T>, upper: AntichainRef<'_, T>) -> bool {
    least.iter().any(|time| !upper.less_equal(time))
}

impl<T: ArrangementTime> UpdateBatcher<T> {
    /// Creates a batcher for an arrangement of this layout; `work` counts its rows.
    pub fn new(layout: Arc<Layout>, work: Rc<Work>) -> Self {
        let (pending, runs, least) = (Vec::new(), Vec::new(), Antichain::new());
        UpdateBatcher { layout, pending, pending_rows: 0, runs, least, work }
    }

    /// Encodes and sorts the pending batches that have a time before `upper`; all if it is empty.
    fn sort_pending(&mut self, upper: AntichainRef<'_, T>) {
        // A batch may also have later times; `extract_runs` keeps those back.
        let ready = self.pending.extract_if(.., |(least, _)| has_before(least, upper));
        let (times, batches): (Vec<Antichain<T>>, Vec<UpdateBatch<T>>) = ready.unzip();
        self.pending_rows = self.pending.iter().map(|(_, batch)| batch.len()).sum();
        if !batches.is_empty() {
            let run = sort(&self.layout, &batches);
            if !run.is_empty() {
                self.runs.push((times.into_iter().flatten().collect(), run));
            }
        }
    }

    /// Removes the updates before `upper`, or all if it is empty, from the runs and returns them as runs.
    fn extract_runs(&mut self, upper: AntichainRef<'_, T>) -> Vec<VecDeque<Chunk<T>>> {
        let mut shipped = Vec::new();
        for (least, run) in std::mem::take(&mut self.runs) {
            if !has_before(&least, upper) {
                self.runs.push((least, run));
                continue;
            }
            let (mut least, mut keep, mut ship) = (Antichain::new(), VecDeque::new(), VecDeque::new());
            for chunk in run {
                extract_chunk(chunk, |time| upper.less_equal(time), &mut least, &mut keep, &mut ship);
            }
            if !keep.is_empty() {
                self.runs.push((least, keep));
            }
            if !ship.is_empty() {
                shipped.push(ship);
            }
        }
        shipped
    }

    fn add(&mut self, batch: UpdateBatch<T>) {
        let least: Antichain<T> = match &batch.times {
            PerRow::Same(time) => Antichain::from_elem(*time),
            PerRow::Each(times) => times.iter().copied().collect(),
        };
        self.least.extend(least.iter().copied());
        self.pending_rows += batch.len();
        self.pending.push((least, batch));
        if self.pending_rows >= RUN {
            self.sort_pending(AntichainRef::new(&[]));
        }
    }

    fn update_least(&mut self) {
        let least = self.pending.iter().map(|(least, _)| least).chain(self.runs.iter().map(|(least, _)| least));
        self.least = least.flat_map(|times| times.iter().copied()).collect();
    }
}

impl<T: ArrangementTime> Extract for UpdateBatcher<T> {
    type Time = T;
    type Output = Batch<T>;

    fn extract<'a>(&'a mut self, upper: AntichainRef<'_, T>) -> (Option<Batch<T>>, AntichainRef<'a, T>) {
        self.sort_pending(upper);
        let runs = self.extract_runs(upper);
        let chunks = settle_all(merge_runs(runs));
        self.work.sent(chunks.iter().map(|chunk| chunk.updates().len()).sum());
        self.update_least();
        let batch = (!chunks.is_empty()).then(|| Rc::new(ChunkBatch::new(chunks)));
        (batch, self.least.borrow())
    }
}

impl<T: ArrangementTime> Batcher<UpdateBatch<T>> for UpdateBatcher<T> {
    fn insert(&mut self, batch: &mut UpdateBatch<T>) {
        let batch = std::mem::take(batch);
        self.work.received(batch.len());
        // A batch of many rows becomes several runs.
        for start in (0..batch.len()).step_by(RUN) {
            let part = batch.slice(start, RUN.min(batch.len() - start));
            self.add(part);
        }
    }
}
