//! `Cursor`: a position in a batch, moved forward by hash.

use std::collections::VecDeque;
use std::rc::Rc;

use differential_dataflow::trace::chunk::ChunkBatch;

use super::batch::Batch;
use super::chunk::{Chunk, UpdateColumns};
use super::time::ArrangementTime;
use crate::Time;

/// A position in the updates of a batch. Seeks go forward only.
#[derive(Clone)]
pub struct Cursor<'a, T = Time> {
    chunks: &'a [Chunk<T>],
    chunk: usize,
    /// Position in the updates of the chunk.
    row: usize,
}

/// A position in a batch that holds no reference to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    chunk: usize,
    row: usize,
}

/// Refers to an update in a list of batches: 20 bits for the batch, 24 for the chunk, 20 for the row. References sort in
/// the order of the batches.
pub(crate) type UpdateRef = u64;

/// Returns the updates that contain the one that `update` refers to, and its row in them.
#[inline]
pub(crate) fn locate<T: ArrangementTime>(batches: &[Batch<T>], update: UpdateRef) -> (&UpdateColumns<T>, usize) {
    let batch: &Rc<ChunkBatch<Chunk<T>>> = &batches[(update >> 44) as usize];
    let chunk = &batch.chunks[(update >> 20 & 0xff_ffff) as usize];
    (chunk.updates(), (update & 0xf_ffff) as usize)
}

impl<'a, T: ArrangementTime> Cursor<'a, T> {
    /// Creates a cursor at the first update.
    pub fn new(batch: &'a Batch<T>) -> Self {
        let chunks = &batch.chunks[..];
        Cursor { chunks, chunk: 0, row: chunks.first().map_or(0, |c| c.start) }
    }

    /// Creates a cursor at a position that a cursor of this batch was at.
    pub(crate) fn at(batch: &'a Batch<T>, place: Place) -> Self {
        Cursor { chunks: &batch.chunks[..], chunk: place.chunk, row: place.row }
    }

    /// Returns the current position.
    pub(crate) fn place(&self) -> Place {
        Place { chunk: self.chunk, row: self.row }
    }

    /// Returns the hash of the current update, or `None` at the end.
    #[inline]
    pub fn hash(&self) -> Option<u64> {
        self.chunks.get(self.chunk).map(|chunk| chunk.updates().hashes[self.row])
    }

    /// Returns the current update, or `None` at the end.
    #[inline]
    pub fn get(&self) -> Option<(&'a UpdateColumns<T>, usize)> {
        self.chunks.get(self.chunk).map(|chunk| (chunk.updates(), self.row))
    }

    /// Returns a reference to the current update, whose batch is number `batch` of a list.
    #[inline]
    pub(crate) fn update_ref(&self, batch: usize) -> UpdateRef {
        debug_assert!(batch < 1 << 20 && self.chunk < 1 << 24 && self.row < 1 << 20, "positions fit their bits");
        (batch as u64) << 44 | (self.chunk as u64) << 20 | self.row as u64
    }

    /// Moves on by one update; must not be at the end.
    #[inline]
    pub fn step(&mut self) {
        self.row += 1;
        if self.row == self.chunks[self.chunk].end {
            self.enter(self.chunk + 1);
        }
    }

    /// Moves to the first update with this hash or a greater one, unless already past it.
    #[inline]
    pub fn seek(&mut self, hash: u64) {
        match self.hash() {
            Some(current) if current < hash => {}
            _ => return,
        }
        if self.chunks[self.chunk].last_hash < hash {
            self.seek_chunk(hash);
        } else {
            let chunk = &self.chunks[self.chunk];
            self.row = seek_near(&chunk.updates().hashes[..chunk.end], self.row, chunk.last_hash, hash);
        }
    }

    /// Moves to the first update with this hash or a greater one; the current chunk must not contain such an update.
    fn seek_chunk(&mut self, hash: u64) {
        let from = self.chunk + 1;
        let Some(last) = self.chunks.last().filter(|last| hash <= last.last_hash && from < self.chunks.len()) else {
            self.enter(self.chunks.len());
            return;
        };
        let spread = Spread::new(self.chunks[self.chunk].last_hash, last.last_hash, self.chunks.len() - from);
        self.chunk = spread.seek(from, self.chunks.len(), hash, |chunk| self.chunks[chunk].last_hash);
        // The last hashes of the chunks bound the hashes of this one. Reading its own first and last hash instead would
        // miss the processor's cache twice.
        let chunk = &self.chunks[self.chunk];
        let hashes = &chunk.updates().hashes[..chunk.end];
        let spread = Spread::new(self.chunks[self.chunk - 1].last_hash, chunk.last_hash, chunk.end - chunk.start);
        self.row = spread.seek(chunk.start, chunk.end, hash, |row| hashes[row]);
    }

    /// Appends the updates of a key to `run`. Seeks its hash, and stays there, because another key may have the same hash.
    pub(crate) fn take_key(&mut self, hash: u64, key: &[u8], run: &mut VecDeque<Chunk<T>>) {
        self.seek(hash);
        let mut from = self.row;
        for chunk in self.chunks.get(self.chunk..).unwrap_or_default() {
            let (updates, from) = (chunk.updates(), std::mem::take(&mut from).max(chunk.start));
            let order = |row: usize| updates.hash(row).cmp(&hash).then_with(|| updates.key(row).cmp(key));
            let first = first_not(from, chunk.end, |row| order(row).is_lt());
            let end = first_not(first, chunk.end, |row| order(row).is_le());
            if first < end {
                run.push_back(chunk.slice(first, end));
            }
            if end < chunk.end {
                return;
            }
        }
    }

    fn enter(&mut self, chunk: usize) {
        self.chunk = chunk;
        self.row = self.chunks.get(chunk).map_or(0, |c| c.start);
    }
}

/// Returns the first position in `from..to` for which `holds` does not hold, or `to`; it must hold for all before that.
/// Takes steps of growing width, as the position is often near.
fn first_not(from: usize, to: usize, holds: impl Fn(usize) -> bool) -> usize {
    // It holds for all positions before `low`.
    let (mut low, mut high, mut step) = (from, from, 1);
    while high < to && holds(high) {
        (low, high) = (high + 1, (high + step).min(to));
        step *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Returns the first position from `from` on whose hash is at least `hash`. `last` must be the last hash, and at least
/// `hash`.
///
/// Tries a few steps first, as a seek is often near.
#[inline]
fn seek_near(hashes: &[u64], from: usize, last: u64, hash: u64) -> usize {
    const STEPS: usize = 4;
    for (row, at) in hashes.iter().enumerate().skip(from).take(STEPS) {
        if *at >= hash {
            return row;
        }
    }
    let from = from + STEPS;
    if hashes[from] >= hash {
        return from;
    }
    Spread::new(hashes[from], last, hashes.len() - from).seek(from, hashes.len(), hash, |row| hashes[row])
}

/// Estimates positions among sorted hashes, assuming that they are spread evenly.
struct Spread {
    /// A hash that is not greater than the first one.
    low: u64,
    /// Number of positions per unit of hash.
    density: f64,
}

impl Spread {
    /// Describes `count` hashes that are greater than `low` and at most `high`.
    #[inline]
    fn new(low: u64, high: u64, count: usize) -> Self {
        Spread { low, density: count as f64 / (high - low).max(1) as f64 }
    }

    /// Returns the first position in `from..to` whose hash is at least `hash`. `hash` must be greater than `low` and at
    /// most the last hash.
    ///
    /// Interpolates twice, the second time from what the first try found, then takes steps of growing width (Bentley
    /// and Yao 1976).
    #[inline]
    fn seek(&self, from: usize, to: usize, hash: u64, at: impl Fn(usize) -> u64) -> usize {
        let last = to - 1;
        let way = |distance: u64| (distance as f64 * self.density) as usize;
        let guess = from.saturating_add(way(hash - self.low)).min(last);
        let found = at(guess);
        let guess = if found < hash {
            guess.saturating_add(way(hash - found)).min(last)
        } else {
            guess.saturating_sub(way(found - hash)).max(from)
        };
        let (mut below, mut above, mut step) = (guess, guess, 4);
        if at(guess) < hash {
            while at(above) < hash {
                below = above;
                above = (above + step).min(last);
                step <<= 1;
            }
        } else {
            while at(below) >= hash {
                if below == from {
                    return from;
                }
                above = below;
                below = below.saturating_sub(step).max(from);
                step <<= 1;
            }
        }
        // Invariant: the hash at `below` is less than `hash`, the hash at `above` is not.
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if at(middle) < hash {
                below = middle;
            } else {
                above = middle;
            }
        }
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evenly spread hashes and crowded ones, with repetitions and the greatest hash.
    fn hashes() -> Vec<u64> {
        let mut hashes: Vec<u64> =
            (0..500_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> ((i % 3) * 8)).collect();
        hashes.extend([7; 20]);
        hashes.extend([u64::MAX; 3]);
        hashes.sort_unstable();
        hashes
    }

    #[test]
    fn a_seek_finds_the_first_not_less() {
        let hashes = hashes();
        for from in [0, 1, 17, 400] {
            for wanted in hashes.iter().flat_map(|h| [*h, h.saturating_add(1), h.saturating_sub(1)]) {
                let naive = from + hashes[from..].partition_point(|h| *h < wanted);
                assert_eq!(seek_near(&hashes, from, u64::MAX, wanted), naive, "from {from} to {wanted}");
            }
        }
    }

    #[test]
    fn the_first_position_is_found_at_any_distance() {
        for to in [0_usize, 1, 2, 7, 100] {
            for from in 0..=to {
                for first in from..=to {
                    assert_eq!(first_not(from, to, |row| row < first), first, "{from}..{to}");
                }
            }
        }
    }

    #[test]
    fn a_seek_does_not_depend_on_what_is_known_of_the_spread() {
        let hashes = hashes();
        for (low, high) in [(0, u64::MAX), (0, 0), (6, 7), (u64::MAX - 1, u64::MAX), (1 << 40, 1 << 41)] {
            let spread = Spread::new(low, high, 9);
            for wanted in hashes.iter().filter(|h| **h > low) {
                let naive = hashes.partition_point(|h| h < wanted);
                assert_eq!(spread.seek(0, hashes.len(), *wanted, |row| hashes[row]), naive, "{low} {high} {wanted}");
            }
        }
    }
}
