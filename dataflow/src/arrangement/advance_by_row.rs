//! Advances the times of a sorted run to a frontier where times are only partially ordered.
//!
//! The updates of a row may change their order when they are advanced, so all of them are taken together, and sorted
//! again.

use std::collections::VecDeque;

use timely::progress::frontier::AntichainRef;

use super::chunk::{Chunk, ChunkTime, TARGET, UpdateColumns, push_chunk};
use crate::Diff;

/// Advances times by `frontier`. Unless `done`, the updates of the last row stay in `input`, because more of them may
/// follow.
pub(super) fn advance_by_row<T: ChunkTime>(
    input: &mut VecDeque<Chunk<T>>,
    frontier: AntichainRef<'_, T>,
    done: bool,
    out: &mut VecDeque<Chunk<T>>,
) {
    let waiting = if done { VecDeque::new() } else { take_last_row(input) };
    let complete = std::mem::replace(input, waiting);
    let mut rows = Rows { ready: UpdateColumns::default(), out };
    let mut updates_of_row: Vec<(T, Diff)> = Vec::new();
    let mut last: Option<(&UpdateColumns<T>, usize)> = None;
    for (updates, row) in complete.iter().flat_map(|chunk| chunk.range().map(|row| (chunk.updates(), row))) {
        if let Some((before, at)) = last.filter(|(before, at)| !before.same_row(*at, updates, row)) {
            rows.push(before, at, &mut updates_of_row);
        }
        let mut time = updates.time(row);
        time.advance_by(frontier);
        updates_of_row.push((time, updates.diff(row)));
        last = Some((updates, row));
    }
    if let Some((updates, row)) = last {
        rows.push(updates, row, &mut updates_of_row);
    }
    push_chunk(rows.ready, out);
}

/// Removes the updates of the last row from `input` and returns them.
fn take_last_row<T: ChunkTime>(input: &mut VecDeque<Chunk<T>>) -> VecDeque<Chunk<T>> {
    let mut taken = VecDeque::new();
    let Some(last) = input.back().cloned() else { return taken };
    let is_last = |chunk: &Chunk<T>, row: usize| chunk.updates().same_row(row, last.updates(), last.end - 1);
    while let Some(chunk) = input.pop_back() {
        let count = chunk.range().rev().take_while(|row| is_last(&chunk, *row)).count();
        let middle = chunk.end - count;
        if count > 0 {
            taken.push_front(chunk.slice(middle, chunk.end));
        }
        if middle > chunk.start {
            input.push_back(chunk.slice(chunk.start, middle));
            break;
        }
    }
    taken
}

/// The rows whose updates are advanced.
struct Rows<'a, T> {
    ready: UpdateColumns<T>,
    out: &'a mut VecDeque<Chunk<T>>,
}

impl<T: ChunkTime> Rows<'_, T> {
    /// Adds the row at `row` with all of its times and diffs, and empties these.
    fn push(&mut self, updates: &UpdateColumns<T>, row: usize, times: &mut Vec<(T, Diff)>) {
        times.sort_unstable_by_key(|(time, _)| *time);
        for equal in times.chunk_by(|(a, _), (b, _)| a == b) {
            let diff = equal.iter().map(|(_, diff)| diff).sum();
            if diff != 0 {
                self.ready.push(updates.hash(row), updates.row(row), updates.key_lengths.at(row), equal[0].0, diff);
                if self.ready.len() == TARGET {
                    push_chunk(std::mem::take(&mut self.ready), self.out);
                }
            }
        }
        times.clear();
    }
}
