//! `Spine`: the history of an arrangement, in few batches although new ones keep arriving.
//!
//! ```text
//! insert --> waiting --readers allow merging--> parts, oldest first: [batch] [merge of two batches] [batch] ..
//!                                                      exert: a bounded number of rows is merged, smallest merge first
//! ```
//!
//! Two neighbours are to be merged if the older is less than twice as large as any part that follows it. So a spine at
//! rest has parts of which each is at least twice as large as the next, and their number is logarithmic in the rows.
//!
//! **Cost.** Among the merges that are due, the one of the fewest rows comes first. Take a row in the smaller half of a
//! merge, or in an older half that is less than twice the newer one: its part grows by half at least, which happens
//! `log(rows) / log(1.5)` times. Other rows are in a newer part that is more than twice as large as the older one it
//! merges with. All parts before that older one are then at least as large as the newer, or they would have been merged
//! first, so the row's next merge lets its part grow, or there is none. Or they are in an older part that merges with a
//! smaller one because a large part follows: then all parts up to the large one are collected, smallest first, which
//! copies the row once, and the merge with the large part follows. So each row is merged a logarithmic number of times.
//!
//! **No merge is forced.** An insert merges nothing; [`Spine::exert`] merges about as many rows as an operator may
//! process in one activation and activates the operator until nothing is due. Should inserts come faster, batches pile
//! up, which readers pay for; above [`OVERDUE`] parts the spine has a backlog, and its dataflow takes in nothing more.

use std::collections::VecDeque;
use std::rc::Rc;

use differential_dataflow::lattice::Lattice;
use differential_dataflow::logging::Logger;
use differential_dataflow::trace::chunk::{Chunk as _, ChunkBatch};
use differential_dataflow::trace::{Description, ExertionLogic, Span, Trace, TraceReader};
use timely::PartialOrder;
use timely::dataflow::operators::generic::OperatorInfo;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;
use timely::scheduling::Activator;

use super::batch::Batch;
use super::chunk::Chunk;
use super::merge::Merger;
use super::time::ArrangementTime;
use crate::Time;
use crate::work::Work;

/// Number of parts among which merges are chosen: twice as many as a spine at rest has.
const PARTS: usize = 64;

/// Number of parts above which merging is a backlog.
const OVERDUE: usize = 48;

/// Number of chunks that are freed in one activation.
const FREED: usize = 64;

/// What it costs to begin and end a merge, in rows.
const MERGE_COST: usize = 64;

/// The history of an arrangement on one worker.
pub struct Spine<T: ArrangementTime = Time> {
    /// What may be merged, oldest first; spans without updates are united with their neighbours.
    parts: Vec<Part<T>>,
    /// Spans that follow the parts.
    waiting: VecDeque<Span<T, Batch<T>>>,
    /// Readers read at times that are not before this frontier.
    logical: Antichain<T>,
    /// Readers need the borders between batches that are not before this frontier.
    physical: Antichain<T>,
    upper: Antichain<T>,
    /// Chunks that have been merged into others and are to be freed.
    discarded: Vec<Chunk<T>>,
    /// Whether a span was inserted since the last call of `exert`.
    inserted: bool,
    /// Number of rows read by merges.
    merged: u64,
    work: Rc<Work>,
    activator: Option<Activator>,
}

enum Part<T: ArrangementTime> {
    /// A span, and its number of updates.
    Whole(Span<T, Batch<T>>, usize),
    Merging(Box<Merging<T>>),
}

/// Two neighbouring spans that are being merged; readers see them until it is done.
struct Merging<T: ArrangementTime> {
    older: Span<T, Batch<T>>,
    newer: Span<T, Batch<T>>,
    rows: usize,
    /// What the result covers.
    description: Description<T>,
    merger: Merger<T>,
    /// Merged updates whose times are to be advanced.
    merged: VecDeque<Chunk<T>>,
    /// Chunks that are to be packed.
    advanced: VecDeque<Chunk<T>>,
    settled: VecDeque<Chunk<T>>,
}

fn rows_in<T: ArrangementTime>(span: &Span<T, Batch<T>>) -> usize {
    span.inner.as_ref().map_or(0, |batch| batch.chunks.iter().map(|chunk| chunk.range().len()).sum())
}

/// Describes two neighbouring spans together.
fn united<T: ArrangementTime>(older: &Description<T>, newer: &Description<T>, since: Antichain<T>) -> Description<T> {
    Description::new(older.lower().clone(), newer.upper().clone(), since)
}

impl<T: ArrangementTime> Part<T> {
    fn rows(&self) -> usize {
        match self {
            Part::Whole(_, rows) => *rows,
            Part::Merging(merging) => merging.rows,
        }
    }
}

impl<T: ArrangementTime> Merging<T> {
    fn new(older: Span<T, Batch<T>>, newer: Span<T, Batch<T>>, rows: usize, logical: &Antichain<T>) -> Self {
        let (Some(a), Some(b)) = (&older.inner, &newer.inner) else { unreachable!("spans without updates are united") };
        let merger = Merger::new(a, b);
        let since = older.desc.since().join(newer.desc.since()).join(logical);
        let description = united(&older.desc, &newer.desc, since);
        let (merged, advanced, settled) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Merging { older, newer, rows, description, merger, merged, advanced, settled }
    }

    /// Merges updates until about `fuel` have been read. Returns how many, and whether all have been merged.
    fn work(&mut self, fuel: usize) -> (usize, bool) {
        let (mut read, mut done) = (0, false);
        while read < fuel && !done {
            let rows = self.merger.step(&mut self.merged);
            read += rows;
            done = rows == 0;
            if done || !self.merged.is_empty() {
                T::advance(&mut self.merged, self.description.since().borrow(), done, &mut self.advanced);
                Chunk::settle(&mut self.advanced, done, &mut self.settled);
            }
        }
        (read, done)
    }

    /// Returns the merged span, and adds chunks that nobody holds any more to `discarded`. All updates must have been
    /// merged.
    fn finish(self, discarded: &mut Vec<Chunk<T>>) -> Span<T, Batch<T>> {
        let Merging { older, newer, description, merger, settled, .. } = self;
        drop(merger);
        for batch in [older, newer].into_iter().filter_map(|span| Rc::into_inner(span.inner?)) {
            discarded.extend(batch.chunks);
        }
        let batch = (!settled.is_empty()).then(|| Rc::new(ChunkBatch::new(settled.into())));
        Span::new(description, batch)
    }
}

impl<T: ArrangementTime> Spine<T> {
    /// Creates an empty spine. It merges as many rows at a time as `work` is granted, and `activator` activates the
    /// operator that calls [`Spine::exert`].
    pub(super) fn of(work: Rc<Work>, activator: Option<Activator>) -> Self {
        let least = || Antichain::from_elem(T::minimum());
        Spine {
            parts: Vec::new(),
            waiting: VecDeque::new(),
            logical: least(),
            physical: least(),
            upper: least(),
            discarded: Vec::new(),
            inserted: false,
            merged: 0,
            work,
            activator,
        }
    }

    /// Returns a number of rows that must be merged before more are inserted, or 0 if there are not too many batches.
    pub(super) fn overdue(&self) -> usize {
        if self.parts.len() > OVERDUE { self.parts.iter().map(Part::rows).min().unwrap_or(0).max(1) } else { 0 }
    }

    /// Returns how many rows merges have read so far.
    #[cfg(test)]
    pub(super) fn merged(&self) -> u64 {
        self.merged
    }

    /// Lets spans become parts that readers allow to be merged. Activates the operator if merges are due.
    fn admit(&mut self) {
        while self.parts.len() < PARTS
            && self.waiting.front().is_some_and(|span| PartialOrder::less_equal(span.upper(), &self.physical))
        {
            let span = self.waiting.pop_front().expect("there is a span");
            let rows = rows_in(&span);
            self.parts.push(Part::Whole(span, rows));
            self.unite(self.parts.len() - 1);
        }
        if (self.due(true).is_some() || !self.discarded.is_empty())
            && let Some(activator) = &self.activator
        {
            activator.activate();
        }
    }

    /// Unites the part at `at` with the one before it if they are whole and one of them has no updates.
    fn unite(&mut self, at: usize) {
        let Some(before) = at.checked_sub(1) else { return };
        let (Part::Whole(older, n), Part::Whole(newer, m)) = (&self.parts[before], &self.parts[at]) else { return };
        if *n == 0 || *m == 0 {
            let since = older.desc.since().join(newer.desc.since());
            let inner = if *n == 0 { &newer.inner } else { &older.inner };
            let span = Span::new(united(&older.desc, &newer.desc, since), inner.clone().filter(|_| n + m > 0));
            self.parts[before] = Part::Whole(span, n + m);
            self.parts.remove(at);
        }
    }

    /// Returns the position of the merge that comes next, or of the older of two parts to be merged next.
    ///
    /// A spine that is `idle` has nothing better to do than to go on until the other parts are at most half as large as
    /// the largest: merging everything into one part would copy all rows for every small change.
    fn due(&self, idle: bool) -> Option<usize> {
        let (mut total, mut largest) = (0, 0);
        for part in &self.parts {
            total += part.rows();
            largest = largest.max(part.rows());
        }
        let all = idle && (total - largest) * 2 > largest;
        let (mut best, mut following) = (None, 0);
        for (at, part) in self.parts.iter().enumerate().rev() {
            let rows = match (part, self.parts.get(at + 1)) {
                (Part::Merging(merging), _) => Some(merging.rows),
                (Part::Whole(_, n), Some(Part::Whole(_, m))) if all || *n < 2 * following => Some(n + m),
                _ => None,
            };
            following = following.max(part.rows());
            if let Some(rows) = rows
                && best.is_none_or(|(least, _)| rows < least)
            {
                best = Some((rows, at));
            }
        }
        best.map(|(_, at)| at)
    }

    /// Merges about `fuel` rows at the position that `due` has returned. Returns what this has cost.
    fn merge(&mut self, at: usize, fuel: usize) -> usize {
        let mut cost = 0;
        if let Part::Whole(older, n) = &self.parts[at] {
            let Part::Whole(newer, m) = &self.parts[at + 1] else { unreachable!("whole parts are merged") };
            let merging = Merging::new(older.clone(), newer.clone(), n + m, &self.logical);
            self.parts[at] = Part::Merging(Box::new(merging));
            self.parts.remove(at + 1);
            cost += MERGE_COST;
        }
        let Part::Merging(merging) = &mut self.parts[at] else { unreachable!("the merge has begun") };
        let (read, done) = merging.work(fuel);
        self.merged += read as u64;
        self.work.tank().touched(read);
        if done {
            let Part::Merging(merging) = self.parts.remove(at) else { unreachable!("the merge is at this position") };
            let span = merging.finish(&mut self.discarded);
            let rows = rows_in(&span);
            self.parts.insert(at, Part::Whole(span, rows));
            if at + 1 < self.parts.len() {
                self.unite(at + 1);
            }
            self.unite(at);
        }
        cost + read
    }

    /// Returns all chunks, also of merges that are under way.
    pub(super) fn chunks(&self) -> Vec<Chunk<T>> {
        let mut chunks = self.discarded.clone();
        self.each_span(|span| chunks.extend(span.inner.iter().flat_map(|batch| &batch.chunks).cloned()));
        for part in &self.parts {
            if let Part::Merging(merging) = part {
                chunks.extend(merging.settled.iter().cloned());
            }
        }
        chunks
    }

    /// Calls `visit` with all spans, oldest first.
    fn each_span(&self, mut visit: impl FnMut(&Span<T, Batch<T>>)) {
        for part in &self.parts {
            match part {
                Part::Whole(span, _) => visit(span),
                Part::Merging(merging) => {
                    visit(&merging.older);
                    visit(&merging.newer);
                }
            }
        }
        self.waiting.iter().for_each(visit);
    }
}

impl<T: ArrangementTime> TraceReader for Spine<T> {
    type Time = T;
    type Batch = Batch<T>;

    fn spans_through(&mut self, upper: AntichainRef<'_, T>) -> Option<Vec<Span<T, Batch<T>>>> {
        let mut spans = Vec::new();
        if upper.less_equal(&T::minimum()) {
            return Some(spans);
        }
        assert!(PartialOrder::less_equal(&self.physical.borrow(), &upper), "borders before the frontier are gone");
        self.each_span(|span| {
            if span.has_updates() {
                if PartialOrder::less_equal(&span.upper().borrow(), &upper) {
                    spans.push(span.clone());
                } else {
                    let outside = upper == span.lower().borrow();
                    let reaches_in = PartialOrder::less_equal(&span.lower().borrow(), &upper);
                    assert!(outside || !reaches_in, "a batch has updates on both sides of the frontier");
                }
            }
        });
        Some(spans)
    }

    fn set_logical_compaction(&mut self, frontier: AntichainRef<'_, T>) {
        self.logical.clear();
        self.logical.extend(frontier.iter().copied());
    }

    fn get_logical_compaction(&mut self) -> AntichainRef<'_, T> {
        self.logical.borrow()
    }

    fn set_physical_compaction(&mut self, frontier: AntichainRef<'_, T>) {
        debug_assert!(PartialOrder::less_equal(&self.physical.borrow(), &frontier), "the frontier only advances");
        self.physical.clear();
        self.physical.extend(frontier.iter().copied());
        self.admit();
    }

    fn get_physical_compaction(&mut self) -> AntichainRef<'_, T> {
        self.physical.borrow()
    }

    fn map_spans<F: FnMut(&Span<T, Batch<T>>)>(&self, visit: F) {
        self.each_span(visit);
    }
}

impl<T: ArrangementTime> Trace for Spine<T> {
    fn new(_: OperatorInfo, _: Option<Logger>, activator: Option<Activator>) -> Self {
        Spine::of(Work::new("arrange"), activator)
    }

    fn exert(&mut self) {
        let idle = !std::mem::take(&mut self.inserted);
        let mut fuel = self.work.tank().grant();
        while fuel > 0
            && let Some(at) = self.due(idle)
        {
            let cost = self.merge(at, fuel);
            fuel = fuel.saturating_sub(cost);
        }
        self.discarded.truncate(self.discarded.len().saturating_sub(FREED));
        // Merges have made room, and what is left to do waits for the next activation.
        self.admit();
    }

    fn set_exert_logic(&mut self, _: ExertionLogic) {}

    fn insert(&mut self, span: Span<T, Batch<T>>) {
        assert!(span.lower() != span.upper(), "a span is not empty");
        assert_eq!(span.lower(), &self.upper, "spans follow each other");
        self.upper.clone_from(span.upper());
        self.inserted |= span.has_updates();
        self.waiting.push_back(span);
        self.admit();
    }

    fn close(&mut self) {
        if !self.upper.is_empty() {
            self.insert(Span::empty(self.upper.clone(), Antichain::new()));
        }
    }
}
