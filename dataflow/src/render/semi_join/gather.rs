//! `Gatherer`: collects rows of the left side, and decodes them when they make up a batch.

use super::layout::SemiJoinLayout;
use crate::arrangement::Chunk;
use crate::arrangement::read::blocks;
use crate::fuel::PIECE_ROWS;
use crate::update::PerRow;
use crate::{Diff, Time, UpdateBatch};

/// Receives a batch of output.
pub(super) type Give<'a> = dyn FnMut(UpdateBatch) + 'a;

/// Rows collected for output at one time.
pub(super) struct Gatherer<'a> {
    layout: &'a SemiJoinLayout,
    time: Time,
    /// The chunks that hold the rows.
    chunks: Vec<Chunk>,
    /// The chunk, the row in it, and the diff.
    rows: Vec<(usize, usize, Diff)>,
}

impl<'a> Gatherer<'a> {
    pub(super) fn new(layout: &'a SemiJoinLayout, time: Time) -> Self {
        Gatherer { layout, time, chunks: Vec::new(), rows: Vec::new() }
    }

    /// Adds those updates of a chunk for which `select` returns a diff.
    pub(super) fn add(&mut self, chunk: &Chunk, mut select: impl FnMut(usize) -> Option<Diff>, give: &mut Give<'_>) {
        if self.rows.len() >= PIECE_ROWS {
            self.flush(give);
        }
        let at = self.chunks.len();
        self.chunks.push(chunk.clone());
        self.rows.extend(chunk.range().filter_map(|row| Some((at, row, select(row)?))));
    }

    /// Adds the updates of chunks that hold a part of one arrangement each, and adds up those of equal rows.
    pub(super) fn add_net(
        &mut self,
        chunks: &[Chunk],
        mut select: impl FnMut(&Chunk, usize) -> Option<Diff>,
        give: &mut Give<'_>,
    ) {
        if self.rows.len() >= PIECE_ROWS {
            self.flush(give);
        }
        let (first_chunk, first) = (self.chunks.len(), self.rows.len());
        self.chunks.extend_from_slice(chunks);
        for (at, chunk) in chunks.iter().enumerate() {
            self.rows.extend(chunk.range().filter_map(|row| Some((first_chunk + at, row, select(chunk, row)?))));
        }
        let chunks = &self.chunks;
        let bytes = |(chunk, row, _): &(usize, usize, Diff)| chunks[*chunk].updates().row(*row);
        self.rows[first..].sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        let mut kept = first;
        for at in first..self.rows.len() {
            if kept > first && bytes(&self.rows[kept - 1]) == bytes(&self.rows[at]) {
                self.rows[kept - 1].2 += self.rows[at].2;
                continue;
            }
            if kept > first && self.rows[kept - 1].2 == 0 {
                kept -= 1;
            }
            self.rows[kept] = self.rows[at];
            kept += 1;
        }
        if kept > first && self.rows[kept - 1].2 == 0 {
            kept -= 1;
        }
        self.rows.truncate(kept);
    }

    /// Sends what has been collected.
    pub(super) fn flush(&mut self, give: &mut Give<'_>) {
        let rows: Vec<&[u8]> =
            self.rows.iter().map(|(chunk, row, _)| self.chunks[*chunk].updates().row(*row)).collect();
        let mut diffs = self.rows.iter().map(|(_, _, diff)| *diff);
        for block in blocks(&rows) {
            let rows = self.layout.left.decode_as(&self.layout.schema, block.iter().copied());
            let diffs = PerRow::from_vec(diffs.by_ref().take(block.len()).collect());
            give(UpdateBatch { rows, times: PerRow::Same(self.time), diffs });
        }
        self.chunks.clear();
        self.rows.clear();
    }
}
