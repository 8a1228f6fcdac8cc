//! Merges two sorted runs of chunks: first determines which rows come from where, then copies one column at a time.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::rc::Rc;

use super::batch::Batch;
use super::chunk::{Chunk, ChunkTime, TARGET, UpdateColumns, push_chunk};
use super::column::RunColumn;
use super::time::ArrangementTime;
use crate::Diff;

/// Merges until one of the runs is used up; the rest of the other stays in its queue.
pub(super) fn merge<T: ChunkTime>(
    left: &mut VecDeque<Chunk<T>>,
    right: &mut VecDeque<Chunk<T>>,
    out: &mut VecDeque<Chunk<T>>,
) {
    let mut gather = Gather::default();
    let mut current = (left.pop_front(), right.pop_front());
    while let (Some(a), Some(b)) = (&mut current.0, &mut current.1) {
        merge_chunks(a, b, &mut gather, out);
        if a.start == a.end {
            current.0 = left.pop_front();
        }
        if b.start == b.end {
            current.1 = right.pop_front();
        }
    }
    gather.build(out);
    for (rest, queue) in [(current.0, left), (current.1, right)] {
        if let Some(chunk) = rest {
            queue.push_front(chunk);
        }
    }
}

/// The merge of two sorted runs, a bounded number of updates at a time.
pub(super) struct Merger<T: ArrangementTime> {
    left: Source<T>,
    right: Source<T>,
    gather: Gather<T>,
}

/// What is left of a run that is being merged. The chunks belong to a batch, so that taking one counts references.
struct Source<T: ArrangementTime> {
    batch: Batch<T>,
    /// Number of chunks taken.
    taken: usize,
    current: Option<Chunk<T>>,
}

impl<T: ArrangementTime> Source<T> {
    fn new(batch: &Batch<T>) -> Self {
        Source { batch: Rc::clone(batch), taken: 1, current: batch.chunks.first().cloned() }
    }

    /// Moves on to the next chunk if the current one is used up.
    fn refill(&mut self) {
        if self.current.as_ref().is_some_and(|chunk| chunk.start == chunk.end) {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Chunk<T>> {
        let next = self.batch.chunks.get(self.taken).cloned();
        self.taken += 1;
        std::mem::replace(&mut self.current, next)
    }
}

impl<T: ArrangementTime> Merger<T> {
    pub(super) fn new(left: &Batch<T>, right: &Batch<T>) -> Self {
        Merger { left: Source::new(left), right: Source::new(right), gather: Gather::default() }
    }

    /// Merges until a chunk of either run is used up, and appends full chunks to `out`. Returns how many updates were
    /// read; 0 if both runs are used up, and then `out` has all of them.
    pub(super) fn step(&mut self, out: &mut VecDeque<Chunk<T>>) -> usize {
        let (Some(a), Some(b)) = (&mut self.left.current, &mut self.right.current) else {
            self.gather.build(out);
            let rest = self.left.pop().or_else(|| self.right.pop());
            let rows = rest.as_ref().map_or(0, |chunk| chunk.range().len());
            out.extend(rest);
            return rows;
        };
        let before = a.start + b.start;
        merge_chunks(a, b, &mut self.gather, out);
        let rows = a.start + b.start - before;
        self.left.refill();
        self.right.refill();
        rows
    }
}

/// Merges until one of the chunks is used up, and advances their starts past the merged rows.
fn merge_chunks<T: ChunkTime>(
    a: &mut Chunk<T>,
    b: &mut Chunk<T>,
    gather: &mut Gather<T>,
    out: &mut VecDeque<Chunk<T>>,
) {
    let (mut from_a, mut from_b) = (gather.source(a), gather.source(b));
    let (x, y) = (Rc::clone(&a.updates), Rc::clone(&b.updates));
    while a.start < a.end && b.start < b.end {
        match x.compare(a.start, &y, b.start) {
            Ordering::Less => {
                let start = a.start;
                a.start = run_end(&x, a, y.hashes[b.start], gather.room());
                gather.run(from_a, start, a.start);
            }
            Ordering::Greater => {
                let start = b.start;
                b.start = run_end(&y, b, x.hashes[a.start], gather.room());
                gather.run(from_b, start, b.start);
            }
            Ordering::Equal => {
                gather.sum(from_a, a.start, x.diff(a.start) + y.diff(b.start));
                a.start += 1;
                b.start += 1;
            }
        }
        if gather.rows >= TARGET {
            gather.build(out);
            // `build` has forgotten the sources.
            (from_a, from_b) = (gather.source(a), gather.source(b));
        }
    }
}

/// Returns the end of the run of rows with hashes before `hash` that starts at the first row of the chunk, or of its
/// first `most` rows. The first row belongs to the run in any case: the caller has compared it.
#[inline]
fn run_end<T: ChunkTime>(updates: &UpdateColumns<T>, chunk: &Chunk<T>, hash: u64, most: usize) -> usize {
    let last = chunk.end.min(chunk.start + most);
    let mut end = chunk.start + 1;
    while end < last && updates.hashes[end] < hash {
        end += 1;
    }
    end
}

/// A range of rows of one source.
struct Run {
    source: usize,
    start: usize,
    end: usize,
}

/// Rows of several sources that are going to be copied into one chunk.
#[derive(Default)]
struct Gather<T> {
    sources: Vec<Rc<UpdateColumns<T>>>,
    runs: Vec<Run>,
    rows: usize,
    /// Position among the gathered rows, and diff, of each row that stands for one update of either side.
    sums: Vec<(usize, Diff)>,
}

impl<T: ChunkTime> Gather<T> {
    /// Returns how many more rows make up a chunk.
    fn room(&self) -> usize {
        TARGET - self.rows
    }

    fn source(&mut self, chunk: &Chunk<T>) -> usize {
        self.sources.push(Rc::clone(&chunk.updates));
        self.sources.len() - 1
    }

    #[inline]
    fn run(&mut self, source: usize, start: usize, end: usize) {
        self.rows += end - start;
        match self.runs.last_mut() {
            Some(last) if last.source == source && last.end == start => last.end = end,
            _ => self.runs.push(Run { source, start, end }),
        }
    }

    /// Gathers a row with a new diff, or leaves it out if that diff is 0.
    fn sum(&mut self, source: usize, row: usize, diff: Diff) {
        if diff != 0 {
            self.sums.push((self.rows, diff));
            self.run(source, row, row + 1);
        }
    }

    fn build(&mut self, out: &mut VecDeque<Chunk<T>>) {
        if let Some(first) = self.runs.first() {
            let mut updates = UpdateColumns::with_capacity(self.rows, &self.sources[first.source]);
            self.gather_hashes(&mut updates.hashes);
            for run in &self.runs {
                updates.rows.extend(&self.sources[run.source].rows, run.start, run.end);
            }
            self.gather_column(&mut updates.key_lengths, |u| &u.key_lengths);
            self.gather_column(&mut updates.times, |u| &u.times);
            self.gather_column(&mut updates.diffs, |u| &u.diffs);
            for (row, diff) in &self.sums {
                updates.diffs.set(*row, *diff);
            }
            push_chunk(updates, out);
        }
        self.sources.clear();
        self.runs.clear();
        self.sums.clear();
        self.rows = 0;
    }

    fn gather_hashes(&self, hashes: &mut Vec<u64>) {
        for run in &self.runs {
            let source = &self.sources[run.source].hashes;
            if run.end - run.start == 1 {
                hashes.push(source[run.start]);
            } else {
                hashes.extend_from_slice(&source[run.start..run.end]);
            }
        }
    }

    fn gather_column<X: Copy + PartialEq + Default>(
        &self,
        to: &mut RunColumn<X>,
        column: impl Fn(&UpdateColumns<T>) -> &RunColumn<X>,
    ) {
        let source = |run: &Run| column(&self.sources[run.source]);
        let first = source(&self.runs[0]).constant();
        if let Some(value) = first
            && self.runs.iter().all(|run| source(run).constant() == first)
        {
            to.push_many(value, self.rows);
        } else {
            for run in &self.runs {
                to.extend(source(run), run.start, run.end);
            }
        }
    }
}
