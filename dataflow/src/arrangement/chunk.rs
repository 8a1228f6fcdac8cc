//! `Chunk`: a sorted, consolidated run of updates in columns, cut into slices without copying.
//!
//! Updates are ordered by (hash of the key bytes, key bytes, value bytes, time). The key bytes precede the value bytes
//! in one string per row, and both delimit themselves, so one comparison of bytes orders both. Updates of one key are
//! together; their values are in SQL order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use differential_dataflow::lattice::Lattice;
use timely::order::TotalOrder;
use timely::progress::Timestamp;

use super::column::{RunColumn, Slab, shrink};
use crate::{Diff, Time};

/// Number of updates at which a chunk is full. Small in tests, so that tests meet the borders of chunks.
pub(super) const TARGET: usize = if cfg!(test) { 64 } else { 8192 };

/// A time that the updates of a chunk can have. It need not be totally ordered.
pub trait ChunkTime: Timestamp + Lattice + Copy + Default + Sync {}

impl<T: Timestamp + Lattice + Copy + Default + Sync> ChunkTime for T {}

/// Updates, stored by column.
#[derive(Clone, Debug, Default)]
pub struct UpdateColumns<T = Time> {
    pub(super) hashes: Vec<u64>,
    /// Key bytes followed by value bytes.
    pub(super) rows: Slab,
    pub(super) key_lengths: RunColumn<u32>,
    pub(super) times: RunColumn<T>,
    pub(super) diffs: RunColumn<Diff>,
}

impl<T: ChunkTime> UpdateColumns<T> {
    /// Creates empty columns with room for `rows` updates of the average size of those in `model`.
    pub(super) fn with_capacity(rows: usize, model: &UpdateColumns<T>) -> Self {
        let mut updates = UpdateColumns { hashes: Vec::with_capacity(rows), ..UpdateColumns::default() };
        if let Some(average) = model.rows.byte_len().checked_div(model.len()) {
            updates.rows.reserve((average + 1) * rows);
        }
        updates
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn push(&mut self, hash: u64, row: &[u8], key_length: u32, time: T, diff: Diff) {
        self.hashes.push(hash);
        self.rows.push(row);
        self.key_lengths.push(key_length);
        self.times.push(time);
        self.diffs.push(diff);
    }

    /// Appends updates `start..end` of `other` with their times as they are.
    pub(super) fn extend(&mut self, other: &UpdateColumns<T>, start: usize, end: usize) {
        self.extend_data(other, start, end);
        self.times.extend(&other.times, start, end);
    }

    /// Like `extend`, but without the times, which the caller must append.
    pub(super) fn extend_data(&mut self, other: &UpdateColumns<T>, start: usize, end: usize) {
        self.hashes.extend_from_slice(&other.hashes[start..end]);
        self.rows.extend(&other.rows, start, end);
        self.key_lengths.extend(&other.key_lengths, start, end);
        self.diffs.extend(&other.diffs, start, end);
    }

    /// Removes the last update.
    pub(super) fn pop(&mut self) {
        self.hashes.pop();
        self.rows.pop();
        self.key_lengths.pop();
        self.times.pop();
        self.diffs.pop();
    }

    /// Copies the updates `start..end` into columns of their own.
    pub(super) fn copy(&self, start: usize, end: usize) -> Self {
        let mut copy = UpdateColumns::with_capacity(end - start, self);
        copy.extend(self, start, end);
        copy
    }

    /// Whether two updates have the same key and value.
    #[inline]
    pub(super) fn same_row(&self, row: usize, other: &UpdateColumns<T>, other_row: usize) -> bool {
        self.hashes[row] == other.hashes[other_row] && self.rows.at(row) == other.rows.at(other_row)
    }

    #[inline]
    pub(super) fn compare(&self, row: usize, other: &UpdateColumns<T>, other_row: usize) -> Ordering {
        let hashes = self.hashes[row].cmp(&other.hashes[other_row]);
        hashes
            .then_with(|| self.rows.at(row).cmp(other.rows.at(other_row)))
            .then_with(|| self.times.at(row).cmp(&other.times.at(other_row)))
    }

    /// Returns the hash of the key of update `row`.
    #[inline]
    pub fn hash(&self, row: usize) -> u64 {
        self.hashes[row]
    }

    /// Returns the key bytes and value bytes of update `row`.
    #[inline]
    pub fn row(&self, row: usize) -> &[u8] {
        self.rows.at(row)
    }

    /// Returns the key bytes of update `row`.
    #[inline]
    pub fn key(&self, row: usize) -> &[u8] {
        &self.rows.at(row)[..self.key_lengths.at(row) as usize]
    }

    /// Returns the value bytes of update `row`.
    #[inline]
    pub fn value(&self, row: usize) -> &[u8] {
        &self.rows.at(row)[self.key_lengths.at(row) as usize..]
    }

    /// Returns the time of update `row`.
    #[inline]
    pub fn time(&self, row: usize) -> T {
        self.times.at(row)
    }

    /// Returns the diff of update `row`.
    #[inline]
    pub fn diff(&self, row: usize) -> Diff {
        self.diffs.at(row)
    }

    pub(super) fn held_bytes(&self) -> usize {
        let columns = self.key_lengths.bytes() + self.times.bytes() + self.diffs.bytes();
        self.hashes.capacity() * size_of::<u64>() + self.rows.held_bytes() + columns
    }

    pub(super) fn shrink(&mut self) {
        shrink(&mut self.hashes);
        self.rows.shrink();
        self.key_lengths.shrink();
        self.times.shrink();
        self.diffs.shrink();
    }
}

/// A range of shared updates. It is never empty, except for `Default`, which nothing keeps.
#[derive(Clone, Debug, Default)]
pub struct Chunk<T = Time> {
    pub(super) updates: Rc<UpdateColumns<T>>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The hash of the last update in the range, stored here so that seeks can skip the chunk without touching its
    /// updates.
    pub(super) last_hash: u64,
}

impl<T: ChunkTime> Chunk<T> {
    /// Creates a chunk of all `updates`, which must be sorted, consolidated and not empty.
    pub(super) fn new(updates: UpdateColumns<T>) -> Self {
        let end = updates.len();
        Chunk { last_hash: updates.hashes[end - 1], updates: Rc::new(updates), start: 0, end }
    }

    /// Returns the part of the range from `start` to `end`, which must not be empty.
    pub(crate) fn slice(&self, start: usize, end: usize) -> Self {
        Chunk { last_hash: self.updates.hashes[end - 1], updates: Rc::clone(&self.updates), start, end }
    }

    /// Returns the shared updates, of which only those at [`Chunk::range`] belong to the chunk.
    pub fn updates(&self) -> &UpdateColumns<T> {
        &self.updates
    }

    /// Whether all updates are known to have one time.
    pub(crate) fn has_one_time(&self) -> bool {
        self.updates.times.constant().is_some()
    }

    /// Returns the positions of the chunk's updates.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

impl<T: ChunkTime + TotalOrder> Chunk<T> {
    /// Returns how many rows are added and removed after `time`, counting multiplicities.
    pub(crate) fn changes_after(&self, time: T) -> u64 {
        let UpdateColumns { times, diffs, .. } = &*self.updates;
        match (times.constant(), diffs.constant()) {
            (Some(at), _) if at.less_equal(&time) => 0,
            (Some(_), Some(diff)) => diff.unsigned_abs() * self.range().len() as u64,
            _ => {
                let later = self.range().filter(|row| time.less_than(&times.at(*row)));
                later.map(|row| diffs.at(row).unsigned_abs()).sum()
            }
        }
    }

    /// Splits the chunk into one chunk per time, by ascending time.
    pub(crate) fn by_time(&self) -> Vec<(T, Chunk<T>)> {
        if let Some(time) = self.updates.times.constant() {
            return vec![(time, self.clone())];
        }
        let mut times: BTreeMap<T, UpdateColumns<T>> = BTreeMap::new();
        for row in self.range() {
            let updates = times.entry(self.updates.time(row)).or_default();
            updates.extend(&self.updates, row, row + 1);
        }
        times.into_iter().map(|(time, updates)| (time, Chunk::new(updates))).collect()
    }
}

/// Pushes the updates as a chunk if there are any.
pub(super) fn push_chunk<T: ChunkTime>(updates: UpdateColumns<T>, out: &mut VecDeque<Chunk<T>>) {
    if updates.len() > 0 {
        out.push_back(Chunk::new(updates));
    }
}
