//! Advances the times of a sorted run to a frontier where times are totally ordered, and adds up updates that then agree.
//!
//! The updates of a row stay in order when they are advanced, and those that come to agree are neighbours: one pass
//! suffices.

use std::collections::VecDeque;

use timely::order::TotalOrder;

use super::chunk::{Chunk, ChunkTime, TARGET, UpdateColumns, push_chunk};

/// Moves the times before `frontier` to it. Unless `done`, the last update stays in `input`, because the next may add
/// to it.
pub(super) fn advance<T: ChunkTime + TotalOrder>(
    input: &mut VecDeque<Chunk<T>>,
    frontier: Option<T>,
    done: bool,
    out: &mut VecDeque<Chunk<T>>,
) {
    let Some(first) = input.front() else { return };
    let rows: usize = input.iter().map(|chunk| chunk.range().len()).sum();
    let ready = UpdateColumns::with_capacity(rows.min(TARGET + 1), &first.updates);
    let mut advancer = Advancer { frontier, ready, last_time: T::minimum(), out };
    for chunk in input.drain(..) {
        advancer.chunk(&chunk);
    }
    advancer.finish(done, input);
}

struct Advancer<'a, T> {
    frontier: Option<T>,
    /// Consolidated updates, except that the next update may add to the last one.
    ready: UpdateColumns<T>,
    /// The last update's original time, before it was advanced.
    last_time: T,
    out: &'a mut VecDeque<Chunk<T>>,
}

impl<T: ChunkTime + TotalOrder> Advancer<'_, T> {
    fn chunk(&mut self, chunk: &Chunk<T>) {
        let updates = &*chunk.updates;
        let mut row = chunk.start;
        while row < chunk.end {
            if self.adds_to_last(updates, row) {
                let last = self.ready.len() - 1;
                self.ready.diffs.set(last, self.ready.diff(last) + updates.diff(row));
                self.last_time = updates.time(row);
                row += 1;
            } else {
                self.drop_zero();
                // One more than a chunk, because the last update stays back: the next may add to it.
                let most = TARGET + 1 - self.ready.len();
                let end = self.distinct_end(updates, row, chunk.end.min(row + most));
                self.copy(updates, row, end);
                row = end;
            }
        }
    }

    #[inline]
    fn advanced(&self, time: T) -> T {
        self.frontier.map_or(time, |f| f.max(time))
    }

    fn adds_to_last(&self, updates: &UpdateColumns<T>, row: usize) -> bool {
        self.ready.len().checked_sub(1).is_some_and(|last| {
            self.ready.times.at(last) == self.advanced(updates.time(row)) && self.ready.same_row(last, updates, row)
        })
    }

    /// Returns the end, at most `end`, of the rows from `start` on of which none adds to the row before it.
    #[inline]
    fn distinct_end(&self, updates: &UpdateColumns<T>, start: usize, end: usize) -> usize {
        let mut row = start + 1;
        while row < end
            && !(updates.same_row(row - 1, updates, row)
                && self.advanced(updates.time(row - 1)) == self.advanced(updates.time(row)))
        {
            row += 1;
        }
        row
    }

    fn copy(&mut self, updates: &UpdateColumns<T>, start: usize, end: usize) {
        self.ready.extend_data(updates, start, end);
        match updates.times.constant() {
            Some(time) => self.ready.times.push_many(self.advanced(time), end - start),
            None => {
                for row in start..end {
                    self.ready.times.push(self.advanced(updates.time(row)));
                }
            }
        }
        self.last_time = updates.time(end - 1);
        if self.ready.len() > TARGET {
            let last = self.take_last();
            let full = std::mem::replace(&mut self.ready, UpdateColumns::with_capacity(TARGET + 1, updates));
            self.ready.extend(&last, 0, 1);
            push_chunk(full, self.out);
        }
    }

    fn take_last(&mut self) -> UpdateColumns<T> {
        let last = self.ready.len() - 1;
        let taken = self.ready.copy(last, last + 1);
        self.ready.pop();
        taken
    }

    /// Removes the last update if its diffs add up to zero. Returns whether they did.
    fn drop_zero(&mut self) -> bool {
        let zero = self.ready.len().checked_sub(1).is_some_and(|last| self.ready.diff(last) == 0);
        if zero {
            self.ready.pop();
        }
        zero
    }

    fn finish(mut self, done: bool, input: &mut VecDeque<Chunk<T>>) {
        // An update that adds up to zero need not wait: a later update of its row starts anew, and the updates before
        // it are final.
        let dropped = self.drop_zero();
        if !done && !dropped && self.ready.len() > 0 {
            let mut last = self.take_last();
            // Its original time keeps the queue in order; it is advanced again together with the updates that follow.
            last.times.set(0, self.last_time);
            input.push_back(Chunk::new(last));
        }
        push_chunk(self.ready, self.out);
    }
}
