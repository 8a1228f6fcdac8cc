//! `UpdateBatcher`: gathers the updates of open times and sorts them when their time closes.
//!
//! ```text
//! batches --encode, sort--> runs --seal: split by time, merge--> batch of chunks
//! ```
//!
//! The updates of a small step are sorted once, when they are sealed. For a large step, a run is encoded and sorted as
//! soon as enough rows have arrived, which spreads the work over the arrivals. A [`Seal`] merges many runs at once, one
//! range of rows after another, and each run frees its memory as it is used up. Both are done in pieces, so that an
//! operator can stop after any of them.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::trace::chunk::{Chunk as _, ChunkBatch};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::batch::Batch;
use super::chunk::Chunk;
use super::chunk_trace::extract_chunk;
use super::layout::Layout;
use super::sort::{RunMerge, rows_of, sort};
use super::time::ArrangementTime;
use crate::update::PerRow;
use crate::work::Work;
use crate::{Time, UpdateBatch};

/// Number of rows in a run: few enough that the buffers for sorting stay in the cache and are reused by the next run.
/// Small in tests, so that tests meet several runs.
const RUN: usize = if cfg!(test) { 100 } else { 1 << 14 };

/// Greatest number of runs that are merged at once: each step of a merge looks at all of them.
const FAN: usize = if cfg!(test) { 3 } else { 256 };

/// A sorted run and its least times.
type Run<T> = (Antichain<T>, VecDeque<Chunk<T>>);

/// The updates of an arrangement whose times are not closed.
pub struct UpdateBatcher<T = Time> {
    layout: Arc<Layout>,
    /// Batches that are not encoded yet, with the least times of each.
    pending: Vec<(Antichain<T>, UpdateBatch<T>)>,
    pending_rows: usize,
    runs: Vec<Run<T>>,
    work: Rc<Work>,
}

/// Whether updates whose least times are these may be before `upper`.
fn has_before<T: ArrangementTime>(least: &Antichain<T>, upper: AntichainRef<'_, T>) -> bool {
    least.iter().any(|time| !upper.less_equal(time))
}

impl<T: ArrangementTime> UpdateBatcher<T> {
    /// Creates a batcher for an arrangement of this layout; rows that it processes count as touched by `work`.
    pub fn new(layout: Arc<Layout>, work: Rc<Work>) -> Self {
        UpdateBatcher { layout, pending: Vec::new(), pending_rows: 0, runs: Vec::new(), work }
    }

    /// Adds a batch.
    pub fn insert(&mut self, batch: UpdateBatch<T>) {
        let mut start = 0;
        while start < batch.len() {
            // Pending batches make up whole runs.
            let rows = (RUN - self.pending_rows % RUN).min(batch.len() - start);
            let part = if rows == batch.len() { batch.clone() } else { batch.slice(start, rows) };
            let least: Antichain<T> = match &part.times {
                PerRow::Same(time) => Antichain::from_elem(*time),
                PerRow::Each(times) => times.iter().copied().collect(),
            };
            self.pending_rows += rows;
            self.pending.push((least, part));
            start += rows;
        }
    }

    /// Whether enough batches wait to be sorted into a run.
    pub(crate) fn has_run(&self) -> bool {
        self.pending_rows >= RUN
    }

    /// Returns the number of rows in batches that are not sorted.
    pub(super) fn pending_rows(&self) -> usize {
        self.pending_rows
    }

    /// Sorts pending batches into a run. Returns their number of rows.
    pub(crate) fn sort_run(&mut self) -> usize {
        self.sort_pending(AntichainRef::new(&[]))
    }

    /// Encodes and sorts pending batches that have a time before `upper` (any if it is empty), as many as make up a
    /// run. Returns their number of rows; 0 if there are none.
    fn sort_pending(&mut self, upper: AntichainRef<'_, T>) -> usize {
        let mut rows = 0;
        // A batch may also have later times; the seal keeps those back.
        let ready = self.pending.extract_if(.., |(least, batch)| {
            let takes = rows < RUN && has_before(least, upper);
            rows += if takes { batch.len() } else { 0 };
            takes
        });
        let (times, batches): (Vec<Antichain<T>>, Vec<UpdateBatch<T>>) = ready.unzip();
        self.pending_rows -= rows;
        if !batches.is_empty() {
            let run = sort(&self.layout, &batches);
            if !run.is_empty() {
                self.runs.push((times.into_iter().flatten().collect(), run));
            }
        }
        self.work.tank().touched(rows);
        rows
    }

    /// Begins to remove the updates before `upper`, or all if it is empty.
    pub fn seal(&mut self, upper: Antichain<T>) -> Seal<T> {
        Seal { upper, stage: Stage::Sort, split: Vec::new(), shipped: Vec::new(), left: self.pending_rows }
    }

    /// Returns the least times of the updates held.
    pub fn least(&self) -> Antichain<T> {
        let least = self.pending.iter().map(|(least, _)| least).chain(self.runs.iter().map(|(least, _)| least));
        least.flat_map(|times| times.iter().copied()).collect()
    }
}

/// The updates before a frontier, while they are made into a batch. Until that is whole, the batcher's [`least`] does
/// not count for the updates that it will get back.
///
/// [`least`]: UpdateBatcher::least
pub struct Seal<T> {
    upper: Antichain<T>,
    stage: Stage<T>,
    /// Runs to be split into the updates before the frontier and others.
    split: Vec<Run<T>>,
    /// Runs of updates before the frontier.
    shipped: Vec<VecDeque<Chunk<T>>>,
    /// Number of updates that the stage still has to process.
    left: usize,
}

enum Stage<T> {
    /// Pending batches are sorted.
    Sort,
    /// The last of the runs is split.
    Split(SplitRun<T>),
    Merge(Box<RunMerge<T>>, Merged<T>),
}

/// What a merge makes.
enum Merged<T> {
    /// A run that is merged with others afterwards.
    Run(VecDeque<Chunk<T>>),
    Batch(Packer<T>),
}

/// The parts of a run that is being split.
struct SplitRun<T> {
    least: Antichain<T>,
    keep: VecDeque<Chunk<T>>,
    ship: VecDeque<Chunk<T>>,
}

/// Chunks of a batch: those that are still to be packed, and those that are.
struct Packer<T> {
    staged: VecDeque<Chunk<T>>,
    settled: VecDeque<Chunk<T>>,
}

impl<T> SplitRun<T> {
    fn new() -> Self {
        SplitRun { least: Antichain::new(), keep: VecDeque::new(), ship: VecDeque::new() }
    }
}

impl<T: ArrangementTime> Packer<T> {
    fn new() -> Self {
        Packer { staged: VecDeque::new(), settled: VecDeque::new() }
    }

    fn settle(&mut self, done: bool) {
        Chunk::settle(&mut self.staged, done, &mut self.settled);
    }

    fn batch(mut self) -> Option<Batch<T>> {
        self.settle(true);
        (!self.settled.is_empty()).then(|| Rc::new(ChunkBatch::new(self.settled.into())))
    }
}

/// How far a seal is.
pub enum Sealed<T: ArrangementTime> {
    /// More is to be done.
    Unfinished(Seal<T>),
    /// All updates before the frontier, if there are any.
    Whole(Option<Batch<T>>),
}

impl<T: ArrangementTime> Seal<T> {
    /// Returns the frontier.
    pub(super) fn upper(&self) -> &Antichain<T> {
        &self.upper
    }

    /// Returns about how many updates are still to be processed.
    pub(super) fn left(&self) -> usize {
        self.left.max(1)
    }

    /// Processes updates until `fuel` is used up, from which their number is subtracted, or the batch is whole. The step
    /// that uses up the fuel may process more than there is.
    pub fn work(mut self, batcher: &mut UpdateBatcher<T>, fuel: &mut usize) -> Sealed<T> {
        loop {
            let rows = match self.stage {
                Stage::Sort => batcher.sort_pending(self.upper.borrow()),
                Stage::Split(_) => self.split(batcher),
                Stage::Merge(ref mut merge, ref mut merged) => {
                    let rows = merge.step(*fuel);
                    match merged {
                        Merged::Run(run) => run.extend(merge.take_full()),
                        Merged::Batch(packer) => {
                            packer.staged.extend(merge.take_full());
                            packer.settle(false);
                        }
                    }
                    batcher.work.tank().touched(rows);
                    rows
                }
            };
            if rows == 0 {
                self = match self.next(batcher) {
                    Sealed::Unfinished(seal) => seal,
                    whole => return whole,
                };
                continue;
            }
            *fuel = fuel.saturating_sub(rows);
            self.left = self.left.saturating_sub(rows);
            if *fuel == 0 && !self.is_about_done(batcher) {
                return Sealed::Unfinished(self);
            }
        }
    }

    /// Whether all updates are in one sorted run, from which the batch is made by moving chunks.
    fn is_about_done(&self, batcher: &UpdateBatcher<T>) -> bool {
        let waits = |(least, _): &(Antichain<T>, UpdateBatch<T>)| has_before(least, self.upper.borrow());
        matches!(self.stage, Stage::Sort) && batcher.runs.len() <= 1 && !batcher.pending.iter().any(waits)
    }

    /// Splits a chunk. Chunks whose updates all have one time are moved as they are and count for nothing.
    fn split(&mut self, batcher: &mut UpdateBatcher<T>) -> usize {
        let (Stage::Split(parts), upper) = (&mut self.stage, &self.upper) else { unreachable!("a run is being split") };
        while let Some((_, run)) = self.split.last_mut() {
            let Some(chunk) = run.pop_front() else {
                let SplitRun { least, keep, ship } = std::mem::replace(parts, SplitRun::new());
                if !keep.is_empty() {
                    batcher.runs.push((least, keep));
                }
                if !ship.is_empty() {
                    self.shipped.push(ship);
                }
                self.split.pop();
                continue;
            };
            let rows = if chunk.has_one_time() { 0 } else { chunk.range().len() };
            extract_chunk(chunk, |time| upper.less_equal(time), &mut parts.least, &mut parts.keep, &mut parts.ship);
            if rows > 0 {
                batcher.work.tank().touched(rows);
                return rows;
            }
        }
        0
    }

    /// Goes to the next stage.
    fn next(mut self, batcher: &mut UpdateBatcher<T>) -> Sealed<T> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Sort) {
            Stage::Sort => {
                let upper = self.upper.borrow();
                self.split = batcher.runs.extract_if(.., |(least, _)| has_before(least, upper)).collect();
                self.left = self.split.iter().flat_map(|(_, run)| run).map(|chunk| chunk.range().len()).sum();
                Stage::Split(SplitRun::new())
            }
            Stage::Split(_) => return self.merge(),
            Stage::Merge(merge, Merged::Run(mut run)) => {
                run.extend(merge.finish());
                if !run.is_empty() {
                    self.shipped.push(run);
                }
                return self.merge();
            }
            Stage::Merge(merge, Merged::Batch(mut packer)) => {
                packer.staged.extend(merge.finish());
                return Sealed::Whole(packer.batch());
            }
        };
        Sealed::Unfinished(self)
    }

    /// Merges the shipped runs: all of them into the batch, or if they are too many the first into one run, no more than
    /// must be so that the others can be merged at once.
    fn merge(mut self) -> Sealed<T> {
        self.left = rows_of(&self.shipped);
        if self.shipped.len() <= 1 {
            let staged = self.shipped.pop().unwrap_or_default();
            return Sealed::Whole(Packer { staged, settled: VecDeque::new() }.batch());
        }
        let is_last = self.shipped.len() <= FAN;
        let count = if is_last { self.shipped.len() } else { (self.shipped.len() - FAN + 1).min(FAN) };
        let runs = self.shipped.drain(..count).collect();
        let merged = if is_last { Merged::Batch(Packer::new()) } else { Merged::Run(VecDeque::new()) };
        self.stage = Stage::Merge(Box::new(RunMerge::new(runs)), merged);
        Sealed::Unfinished(self)
    }
}
