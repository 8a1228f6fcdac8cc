//! Makes `Chunk` what differential's spines are built of: chunks are merged, advanced, cut at a frontier and packed.

use std::collections::VecDeque;
use std::rc::Rc;

use differential_dataflow::trace::chunk::{self, pack};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::chunk::{Chunk, TARGET, UpdateColumns, push_chunk};
use super::merge;
use super::time::ArrangementTime;

impl<T: ArrangementTime> chunk::Chunk for Chunk<T> {
    type Time = T;

    const TARGET: usize = TARGET;

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn merge(left: &mut VecDeque<Self>, right: &mut VecDeque<Self>, out: &mut VecDeque<Self>) {
        merge::merge(left, right, out);
    }

    fn extract(
        input: &mut VecDeque<Self>,
        frontier: AntichainRef<T>,
        residual: &mut Antichain<T>,
        keep: &mut VecDeque<Self>,
        ship: &mut VecDeque<Self>,
    ) {
        if let Some(chunk) = input.pop_front() {
            extract_chunk(chunk, |time| frontier.less_equal(time), residual, keep, ship);
        }
    }

    fn advance(input: &mut VecDeque<Self>, frontier: AntichainRef<T>, done: bool, out: &mut VecDeque<Self>) {
        T::advance(input, frontier, done, out);
    }

    fn settle(input: &mut VecDeque<Self>, done: bool, out: &mut VecDeque<Self>) {
        pack(input, done, out, Chunk::concatenated, Chunk::split, Chunk::settled);
    }
}

impl<T: ArrangementTime> Chunk<T> {
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

    fn concatenated(chunks: Vec<Chunk<T>>) -> Self {
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

/// Moves the updates whose times are `kept` to `keep` and the others to `ship`. Adds the times kept to `least`.
pub(super) fn extract_chunk<T: ArrangementTime>(
    chunk: Chunk<T>,
    kept: impl Fn(&T) -> bool,
    least: &mut Antichain<T>,
    keep: &mut VecDeque<Chunk<T>>,
    ship: &mut VecDeque<Chunk<T>>,
) {
    if let Some(time) = chunk.updates.times.constant() {
        if kept(&time) {
            keep.push_back(chunk);
            least.insert(time);
        } else {
            ship.push_back(chunk);
        }
        return;
    }
    let (mut keeping, mut shipping) = (UpdateColumns::default(), UpdateColumns::default());
    let updates = &chunk.updates;
    let mut row = chunk.start;
    while row < chunk.end {
        let start = row;
        let keeps = kept(&updates.time(row));
        while row < chunk.end && kept(&updates.time(row)) == keeps {
            if keeps {
                least.insert(updates.time(row));
            }
            row += 1;
        }
        if keeps { &mut keeping } else { &mut shipping }.extend(updates, start, row);
    }
    push_chunk(keeping, keep);
    push_chunk(shipping, ship);
}
