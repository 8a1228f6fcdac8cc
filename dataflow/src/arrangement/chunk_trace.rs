//! Makes `Chunk` what differential's spines are built of: chunks are merged, advanced, cut at a frontier and packed.

use std::collections::VecDeque;
use std::rc::Rc;

use differential_dataflow::trace::chunk::{self, pack};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::chunk::{Chunk, UpdateColumns, push_chunk};
use super::{advance, merge};
use crate::Time;

impl chunk::Chunk for Chunk {
    type Time = Time;

    /// Small in tests, so that tests meet the borders of chunks.
    const TARGET: usize = if cfg!(test) { 64 } else { 8192 };

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn merge(left: &mut VecDeque<Self>, right: &mut VecDeque<Self>, out: &mut VecDeque<Self>) {
        merge::merge(left, right, out);
    }

    fn extract(
        input: &mut VecDeque<Self>,
        frontier: AntichainRef<Time>,
        residual: &mut Antichain<Time>,
        keep: &mut VecDeque<Self>,
        ship: &mut VecDeque<Self>,
    ) {
        if let Some(chunk) = input.pop_front() {
            let frontier = frontier.first().copied();
            if let Some(least) = extract_chunk(chunk, frontier, keep, ship) {
                residual.insert(least);
            }
        }
    }

    fn advance(input: &mut VecDeque<Self>, frontier: AntichainRef<Time>, done: bool, out: &mut VecDeque<Self>) {
        advance::advance(input, frontier.first().copied(), done, out);
    }

    fn settle(input: &mut VecDeque<Self>, done: bool, out: &mut VecDeque<Self>) {
        pack(input, done, out, Chunk::concatenated, Chunk::split, Chunk::settled);
    }
}

impl Chunk {
    /// Returns the chunk with updates of its own, and without spare capacity if nobody shares them.
    fn settled(mut self) -> Self {
        if self.range().len() < self.updates.len() {
            self = Chunk::new(self.updates.copy(self.start, self.end));
        }
        if let Some(updates) = Rc::get_mut(&mut self.updates) {
            updates.shrink();
        }
        self
    }

    fn concatenated(chunks: Vec<Chunk>) -> Self {
        let rows = chunks.iter().map(|c| c.range().len()).sum();
        let mut updates = UpdateColumns::with_capacity(rows, &chunks[0].updates);
        for chunk in &chunks {
            updates.extend(&chunk.updates, chunk.start, chunk.end);
        }
        Chunk::new(updates)
    }

    fn split(self, rows: usize) -> (Self, Self) {
        let middle = self.start + rows;
        (self.slice(self.start, middle), self.slice(middle, self.end))
    }
}

/// Moves the updates at or after `frontier` to `keep` and those before it to `ship`. Returns the least time kept.
pub(super) fn extract_chunk(
    chunk: Chunk,
    frontier: Option<Time>,
    keep: &mut VecDeque<Chunk>,
    ship: &mut VecDeque<Chunk>,
) -> Option<Time> {
    let kept = |time: Time| frontier.is_some_and(|f| f <= time);
    if let Some(time) = chunk.updates.times.constant() {
        if kept(time) {
            keep.push_back(chunk);
            return Some(time);
        }
        ship.push_back(chunk);
        return None;
    }
    let (mut keeping, mut shipping) = (UpdateColumns::default(), UpdateColumns::default());
    let mut least = None;
    let updates = &chunk.updates;
    let mut row = chunk.start;
    while row < chunk.end {
        let start = row;
        let keeps = kept(updates.time(row));
        while row < chunk.end && kept(updates.time(row)) == keeps {
            if keeps {
                least = Some(least.map_or(updates.time(row), |l: Time| l.min(updates.time(row))));
            }
            row += 1;
        }
        if keeps { &mut keeping } else { &mut shipping }.extend(updates, start, row);
    }
    push_chunk(keeping, keep);
    push_chunk(shipping, ship);
    least
}
