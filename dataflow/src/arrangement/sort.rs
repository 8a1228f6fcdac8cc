//! Sorts batches into a run of chunks, and several runs into one.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::chunk::{Chunk, ChunkTime, TARGET, UpdateColumns, push_chunk};
use super::layout::Layout;
use crate::row_bytes::{EncodedRows, hash_bytes};
use crate::update::PerRow;
use crate::{Diff, UpdateBatch};

/// Below this many rows one sort is faster than partitioning first.
const PARTITION: usize = 64;

/// Returns the updates of `batches`, sorted and consolidated.
pub(super) fn sort<T: ChunkTime>(layout: &Layout, batches: &[UpdateBatch<T>]) -> VecDeque<Chunk<T>> {
    let unsorted = Unsorted::encode(layout, batches);
    let order = unsorted.hashes.iter().enumerate().map(|(row, hash)| (*hash, position(row))).collect();
    let order = sorted_by_hash(order, |entry| entry.0, |a, b| unsorted.compare(*a, *b));
    unsorted.consolidate(&order)
}

/// Sorts entries by `compare`, which must order by `hash` first. Hashes are spread evenly between the least and the
/// greatest, so entries are first distributed to ordered buckets of a few entries each.
fn sorted_by_hash<E: Copy + Default>(
    mut entries: Vec<E>,
    hash: impl Fn(&E) -> u64,
    compare: impl Fn(&E, &E) -> Ordering,
) -> Vec<E> {
    let (low, high) = entries.iter().map(&hash).fold((u64::MAX, 0), |(low, high), h| (low.min(h), high.max(h)));
    if entries.len() < PARTITION || low == high {
        entries.sort_unstable_by(&compare);
        return entries;
    }
    // Aims at two to four entries per bucket.
    let bits = (usize::BITS - entries.len().leading_zeros()).saturating_sub(2).clamp(1, 16);
    let shift = (u64::BITS - (high - low).leading_zeros()).saturating_sub(bits);
    let bucket = |entry: &E| ((hash(entry) - low) >> shift) as usize;
    // A counting sort: `ends` first holds where each bucket starts, and placing its entries moves this to where it
    // ends.
    let mut ends = vec![0_u32; (1 << bits) + 1];
    for entry in &entries {
        ends[bucket(entry) + 1] += 1;
    }
    for i in 1..ends.len() {
        ends[i] += ends[i - 1];
    }
    let mut sorted = vec![E::default(); entries.len()];
    for entry in &entries {
        let end = &mut ends[bucket(entry)];
        sorted[*end as usize] = *entry;
        *end += 1;
    }
    let mut rest = &mut sorted[..];
    let mut start = 0;
    for end in &ends[..1 << bits] {
        let (bucket, after) = rest.split_at_mut((end - start) as usize);
        if bucket.len() > 1 {
            bucket.sort_unstable_by(&compare);
        }
        (rest, start) = (after, *end);
    }
    sorted
}

/// Encoded updates in order of arrival.
struct Unsorted<T> {
    rows: EncodedRows,
    hashes: Vec<u64>,
    key_lengths: Vec<u32>,
    times: PerRow<T>,
    diffs: PerRow<Diff>,
}

impl<T: ChunkTime> Unsorted<T> {
    fn encode(layout: &Layout, batches: &[UpdateBatch<T>]) -> Self {
        let count = batches.iter().map(UpdateBatch::len).sum();
        let mut rows = layout.row().buffer(count, count * layout.row().width().unwrap_or(0));
        let (mut hashes, mut key_lengths) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for batch in batches {
            let first = rows.len();
            layout.append(&mut rows, &batch.rows);
            layout.key_lengths(&batch.rows, &rows, first, &mut key_lengths);
        }
        let rows = layout.row().packed(rows);
        hashes.extend((0..count).map(|row| hash_bytes(&rows.row(row)[..key_lengths[row] as usize])));
        let times = concatenated(batches, |b| (&b.times, b.len()));
        let diffs = concatenated(batches, |b| (&b.diffs, b.len()));
        Unsorted { rows, hashes, key_lengths, times, diffs }
    }

    #[inline]
    fn compare(&self, a: (u64, u32), b: (u64, u32)) -> Ordering {
        let (i, j) = (a.1 as usize, b.1 as usize);
        a.0.cmp(&b.0)
            .then_with(|| self.rows.row(i).cmp(self.rows.row(j)))
            .then_with(|| self.times.at(i).cmp(&self.times.at(j)))
    }

    /// Builds chunks of the rows in this order, adding up the diffs of equal updates.
    fn consolidate(&self, order: &[(u64, u32)]) -> VecDeque<Chunk<T>> {
        let mut run = RunBuilder::new(order.len(), self.rows.byte_len() / order.len().max(1));
        let mut at = 0;
        while at < order.len() {
            let row = order[at].1 as usize;
            let mut diff = self.diffs.at(row);
            at += 1;
            while at < order.len() && self.compare(order[at - 1], order[at]).is_eq() {
                diff += self.diffs.at(order[at].1 as usize);
                at += 1;
            }
            run.push(order[at - 1].0, self.rows.row(row), self.key_lengths[row], self.times.at(row), diff);
        }
        run.finish()
    }
}

/// Cuts sorted updates into chunks of the target size.
struct RunBuilder<T> {
    chunks: VecDeque<Chunk<T>>,
    updates: UpdateColumns<T>,
    /// Upper bound on the number of updates in the run.
    coming: usize,
    /// Average bytes of a row.
    row_bytes: usize,
}

impl<T: ChunkTime> RunBuilder<T> {
    fn new(coming: usize, row_bytes: usize) -> Self {
        RunBuilder { chunks: VecDeque::new(), updates: UpdateColumns::default(), coming, row_bytes }
    }

    /// Adds an update, which must sort after the previous one. An update with diff 0 is left out.
    #[inline]
    fn push(&mut self, hash: u64, row: &[u8], key_length: u32, time: T, diff: Diff) {
        if diff != 0 {
            if self.updates.len() == 0 {
                self.reserve();
            }
            self.updates.push(hash, row, key_length, time, diff);
            if self.updates.len() == TARGET {
                push_chunk(std::mem::take(&mut self.updates), &mut self.chunks);
            }
        }
    }

    fn reserve(&mut self) {
        let taken = self.chunks.len() * TARGET;
        let rows = self.coming.saturating_sub(taken).clamp(1, TARGET);
        self.updates.hashes.reserve(rows);
        self.updates.rows.reserve((self.row_bytes + 1) * rows);
    }

    fn finish(mut self) -> VecDeque<Chunk<T>> {
        push_chunk(self.updates, &mut self.chunks);
        self.chunks
    }
}

fn concatenated<T, X: Copy + PartialEq>(
    batches: &[UpdateBatch<T>],
    column: impl Fn(&UpdateBatch<T>) -> (&PerRow<X>, usize),
) -> PerRow<X> {
    if let PerRow::Same(first) = column(&batches[0]).0
        && batches.iter().all(|b| matches!(column(b).0, PerRow::Same(x) if x == first))
    {
        return PerRow::Same(*first);
    }
    let values = batches.iter().flat_map(|batch| {
        let (values, rows) = column(batch);
        (0..rows).map(move |row| values.at(row))
    });
    PerRow::from_vec(values.collect())
}

/// Sorted runs that are merged into one, a range of rows of all runs after another.
pub(super) struct RunMerge<T> {
    runs: Vec<VecDeque<Chunk<T>>>,
    merged: RunBuilder<T>,
}

impl<T: ChunkTime> RunMerge<T> {
    /// Starts to merge these runs.
    pub(super) fn new(runs: Vec<VecDeque<Chunk<T>>>) -> Self {
        let rows = rows_of(&runs);
        let bytes: usize = runs.iter().flatten().map(|chunk| chunk.updates().rows.byte_len()).sum();
        RunMerge { runs, merged: RunBuilder::new(rows, bytes / rows.max(1)) }
    }

    /// Merges about `rows` rows, but not less than a quarter of a chunk nor more than a whole one. Returns their number;
    /// 0 if there are no more.
    pub(super) fn step(&mut self, rows: usize) -> usize {
        let range = take_range(&mut self.runs, rows.clamp(TARGET / 4, TARGET));
        merge_range(&range, &mut self.merged);
        range.iter().map(|chunk| chunk.range().len()).sum()
    }

    /// Removes the chunks that are full.
    pub(super) fn take_full(&mut self) -> impl Iterator<Item = Chunk<T>> {
        self.merged.chunks.drain(..)
    }

    /// Returns the chunks that were not taken; all steps must have been made.
    pub(super) fn finish(self) -> VecDeque<Chunk<T>> {
        self.merged.finish()
    }
}

/// Returns the number of updates in the runs.
pub(super) fn rows_of<T: ChunkTime>(runs: &[VecDeque<Chunk<T>>]) -> usize {
    runs.iter().flatten().map(|chunk| chunk.range().len()).sum()
}

/// Merges chunks, each of which is a run of its own.
pub(super) fn merge_chunks<T: ChunkTime>(chunks: &[Chunk<T>]) -> VecDeque<Chunk<T>> {
    let rows: usize = chunks.iter().map(|chunk| chunk.range().len()).sum();
    let bytes: usize = chunks.iter().map(|chunk| chunk.updates().rows.byte_len()).sum();
    let mut merged = RunBuilder::new(rows, bytes / rows.max(1));
    merge_range(chunks, &mut merged);
    merged.finish()
}

/// Removes the updates of the next rows from the front of all runs: about `rows` updates, at most twice as many, and all
/// updates of each row. Drops runs that are used up.
///
/// Ranges end between two rows and not between two hashes, because all rows of an arrangement can have one hash.
pub(super) fn take_range<T: ChunkTime>(runs: &mut Vec<VecDeque<Chunk<T>>>, rows: usize) -> Vec<Chunk<T>> {
    let share = rows / runs.len().max(1);
    let mut ends: Vec<(&Chunk<T>, usize)> = runs.iter().filter_map(|run| place_of(run, share)).collect();
    if ends.is_empty() {
        return runs.drain(..).flatten().collect();
    }
    // Hashes are spread evenly, so that half of the runs have more rows up to the median and half have less. Where it is
    // not so, the least end is safe: up to there no run has more than its share.
    let middle = ends.len() / 2;
    ends.select_nth_unstable_by(middle, |(a, i), (b, j)| compare_rows(a.updates(), *i, b.updates(), *j));
    let through = |(chunk, end): &(&Chunk<T>, usize)| chunk.slice(*end, end + 1);
    let median = through(&ends[middle]);
    let last = if has_more_than(runs, 2 * rows, &median) {
        let least = ends[..=middle].iter().min_by(|(a, i), (b, j)| compare_rows(a.updates(), *i, b.updates(), *j));
        through(least.expect("there are ends"))
    } else {
        median
    };
    let range = runs.iter_mut().flat_map(|run| take_through(run, &last)).collect();
    runs.retain(|run| !run.is_empty());
    range
}

/// Whether the runs have more than `rows` updates of rows up to that of `last`.
fn has_more_than<T: ChunkTime>(runs: &[VecDeque<Chunk<T>>], rows: usize, last: &Chunk<T>) -> bool {
    let mut left = rows;
    for run in runs {
        for chunk in run {
            let end = end_through(chunk, last);
            if end - chunk.start > left {
                return true;
            }
            left -= end - chunk.start;
            if end < chunk.end {
                break;
            }
        }
    }
    false
}

/// Returns the chunk that has the row `at` of a run, and the position there; `None` if the run has not so many rows.
fn place_of<T: ChunkTime>(run: &VecDeque<Chunk<T>>, mut at: usize) -> Option<(&Chunk<T>, usize)> {
    for chunk in run {
        let rows = chunk.range().len();
        if at < rows {
            return Some((chunk, chunk.start + at));
        }
        at -= rows;
    }
    None
}

/// Compares two updates without their times.
fn compare_rows<T: ChunkTime>(a: &UpdateColumns<T>, i: usize, b: &UpdateColumns<T>, j: usize) -> Ordering {
    a.hashes[i].cmp(&b.hashes[j]).then_with(|| a.rows.at(i).cmp(b.rows.at(j)))
}

/// Removes the updates of rows up to that of `last` from the front of a run.
fn take_through<T: ChunkTime>(run: &mut VecDeque<Chunk<T>>, last: &Chunk<T>) -> Vec<Chunk<T>> {
    let mut taken = Vec::new();
    while let Some(chunk) = run.pop_front() {
        let end = end_through(&chunk, last);
        if end == chunk.end {
            taken.push(chunk);
            continue;
        }
        if end > chunk.start {
            taken.push(chunk.slice(chunk.start, end));
        }
        run.push_front(chunk.slice(end, chunk.end));
        break;
    }
    taken
}

/// Returns the position after the last update of `chunk` whose row is not after that of `last`.
fn end_through<T: ChunkTime>(chunk: &Chunk<T>, last: &Chunk<T>) -> usize {
    let (updates, hash) = (chunk.updates(), last.last_hash);
    if chunk.last_hash < hash {
        return chunk.end;
    }
    let mut from = gallop(&updates.hashes[..chunk.end], chunk.start, |h| *h < hash);
    let mut to = gallop(&updates.hashes[..chunk.end], from, |h| *h <= hash);
    // Updates before `from` are not after the row, those at `to` are.
    while from < to {
        let middle = from + (to - from) / 2;
        if updates.rows.at(middle) <= last.updates().rows.at(last.start) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}

/// Returns the first position from `start` on where `is_before` does not hold; it must hold for all those before and
/// none of those after. Looks near `start` first: the end of a range is there, and what is near is in the cache.
fn gallop(hashes: &[u64], start: usize, is_before: impl Fn(&u64) -> bool) -> usize {
    let (mut from, mut step) = (start, 1);
    while hashes.get(from + step - 1).is_some_and(&is_before) {
        from += step;
        step *= 2;
    }
    let end = hashes.len().min(from + step - 1);
    from + hashes[from..end].partition_point(is_before)
}

/// Sorts and consolidates the updates of several chunks.
fn merge_range<T: ChunkTime>(chunks: &[Chunk<T>], merged: &mut RunBuilder<T>) {
    let rows = chunks.iter().map(|chunk| chunk.range().len()).sum();
    let at = |entry: &(u64, u32, u32)| (chunks[entry.1 as usize].updates(), entry.2 as usize);
    let compare = |a: &(u64, u32, u32), b: &(u64, u32, u32)| {
        a.0.cmp(&b.0).then_with(|| {
            let ((x, i), (y, j)) = (at(a), at(b));
            x.compare(i, y, j)
        })
    };
    let mut entries: Vec<(u64, u32, u32)> = Vec::with_capacity(rows);
    for (source, chunk) in chunks.iter().enumerate() {
        let source = position(source);
        entries.extend(chunk.range().map(|row| (chunk.updates().hashes[row], source, position(row))));
    }
    let order = sorted_by_hash(entries, |entry| entry.0, compare);
    for equal in order.chunk_by(|a, b| compare(a, b).is_eq()) {
        let (updates, row) = at(&equal[0]);
        let diff = equal.iter().map(|entry| at(entry).0.diff(entry.2 as usize)).sum();
        merged.push(equal[0].0, updates.row(row), updates.key_lengths.at(row), updates.time(row), diff);
    }
}

fn position(row: usize) -> u32 {
    u32::try_from(row).expect("a run has less than 2^32 rows")
}
