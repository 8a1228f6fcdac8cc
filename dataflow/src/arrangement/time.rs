//! `ArrangementTime`: the times that an arrangement can have.

use std::collections::VecDeque;

use timely::order::Product;
use timely::progress::frontier::AntichainRef;

use super::chunk::{Chunk, ChunkTime};
use super::{advance, advance_by_row};
use crate::Time;

/// A time that the updates of an arrangement can have. It need not be totally ordered: inside a loop, times are pairs
/// of a time outside and a round.
///
/// What holds only for totally ordered times has the bound `TotalOrder` besides this one.
pub trait ArrangementTime: ChunkTime {
    /// Advances the times of a sorted run to `frontier`, and adds up updates that then agree. Unless `done`, updates to
    /// which later ones may add stay in `input`, with the times they have there.
    fn advance(
        input: &mut VecDeque<Chunk<Self>>,
        frontier: AntichainRef<'_, Self>,
        done: bool,
        out: &mut VecDeque<Chunk<Self>>,
    );
}

impl ArrangementTime for Time {
    fn advance(
        input: &mut VecDeque<Chunk<Self>>,
        frontier: AntichainRef<'_, Self>,
        done: bool,
        out: &mut VecDeque<Chunk<Self>>,
    ) {
        advance::advance(input, frontier.as_option().copied(), done, out);
    }
}

impl<Outer: ArrangementTime> ArrangementTime for Product<Outer, u32> {
    fn advance(
        input: &mut VecDeque<Chunk<Self>>,
        frontier: AntichainRef<'_, Self>,
        done: bool,
        out: &mut VecDeque<Chunk<Self>>,
    ) {
        advance_by_row::advance_by_row(input, frontier, done, out);
    }
}
