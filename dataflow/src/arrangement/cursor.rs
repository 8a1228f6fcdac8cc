//! `Cursor`: a position in a batch, moved forward by hash.

use std::rc::Rc;

use differential_dataflow::trace::chunk::ChunkBatch;

use super::Batch;
use super::chunk::{Chunk, Updates};

/// A position in the updates of a batch. Seeks go forward only.
#[derive(Clone)]
pub struct Cursor<'a> {
    chunks: &'a [Chunk],
    chunk: usize,
    /// Position in the updates of the chunk.
    row: usize,
}

/// Where an update is in a list of batches: 20 bits of batch, 24 of chunk, 20 of row; in order of the batches.
pub(crate) type Position = u64;

/// The updates that hold the one at `position`, and its row in them.
#[inline]
pub(crate) fn locate(batches: &[Batch], position: Position) -> (&Updates, usize) {
    let batch: &Rc<ChunkBatch<Chunk>> = &batches[(position >> 44) as usize];
    let chunk = &batch.chunks[(position >> 20 & 0xff_ffff) as usize];
    (chunk.updates(), (position & 0xf_ffff) as usize)
}

impl<'a> Cursor<'a> {
    /// Before the first update.
    pub fn new(batch: &'a Batch) -> Self {
        let chunks = &batch.chunks[..];
        Cursor { chunks, chunk: 0, row: chunks.first().map_or(0, |c| c.start) }
    }

    /// Hash of the update at hand; `None` at the end.
    #[inline]
    pub fn hash(&self) -> Option<u64> {
        self.chunks.get(self.chunk).map(|chunk| chunk.updates().hashes[self.row])
    }

    /// The update at hand, if there is one.
    #[inline]
    pub fn get(&self) -> Option<(&'a Updates, usize)> {
        self.chunks.get(self.chunk).map(|chunk| (chunk.updates(), self.row))
    }

    /// The position at hand within batch number `batch` of a list.
    #[inline]
    pub(crate) fn position(&self, batch: usize) -> Position {
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
            let rest = &self.chunks[self.chunk + 1..];
            let next = match rest.first() {
                Some(chunk) if chunk.last_hash < hash => rest.partition_point(|c| c.last_hash < hash),
                _ => 0,
            };
            self.enter(self.chunk + 1 + next);
        }
        if let Some(chunk) = self.chunks.get(self.chunk) {
            self.row = seek_row(&chunk.updates().hashes[..chunk.end], self.row, hash);
        }
    }

    fn enter(&mut self, chunk: usize) {
        self.chunk = chunk;
        self.row = self.chunks.get(chunk).map_or(0, |c| c.start);
    }
}

/// The first position from `from` on with at least `hash`; the last hash must be at least that.
///
/// A few steps first, as a seek is often near; then interpolation, as hashes are spread evenly.
#[inline]
fn seek_row(hashes: &[u64], from: usize, hash: u64) -> usize {
    const STEPS: usize = 4;
    for (row, at) in hashes.iter().enumerate().skip(from).take(STEPS) {
        if *at >= hash {
            return row;
        }
    }
    let from = from + STEPS;
    let (low, high) = (hashes[from], hashes[hashes.len() - 1]);
    if low >= hash {
        return from;
    }
    let share = u128::from(hash - low) * (hashes.len() - 1 - from) as u128 / u128::from(high - low);
    gallop(hashes, from, from + share as usize, hash)
}

/// As `seek_row`, from a guess, with `hashes[from] < hash`.
#[inline]
fn gallop(hashes: &[u64], from: usize, guess: usize, hash: u64) -> usize {
    let (mut below, mut above) = (guess, guess);
    let mut step = 4;
    if hashes[guess] < hash {
        while hashes[above] < hash {
            below = above;
            above = (above + step).min(hashes.len() - 1);
            step <<= 1;
        }
    } else {
        while hashes[below] >= hash {
            above = below;
            below = below.saturating_sub(step).max(from);
            step <<= 1;
        }
    }
    below + 1 + hashes[below + 1..=above].partition_point(|at| *at < hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seek_finds_the_first_not_less() {
        let mut hashes: Vec<u64> =
            (0..500_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> ((i % 3) * 8)).collect();
        hashes.extend([7; 20]);
        hashes.extend([u64::MAX; 3]);
        hashes.sort_unstable();
        for from in [0, 1, 17, 400] {
            for wanted in hashes.iter().flat_map(|h| [*h, h.saturating_add(1), h.saturating_sub(1)]) {
                let naive = from + hashes[from..].partition_point(|h| *h < wanted);
                assert_eq!(seek_row(&hashes, from, wanted), naive, "from {from} to {wanted}");
            }
        }
    }
}
