//! `Matcher`: finds rows with equal keys in two lists of batches, a bounded number of rows and pairs at a time.
//!
//! ```text
//! seek the next hash that both sides have --> draw its updates from both sides --> cross them, a tile at a time
//! ```
//!
//! It can stop in the middle of each: a frequent key is drawn once, in pieces, and its pairs are made in tiles, each of
//! which combines some rows of one side with some of the other. A join is bilinear, so the tiles add up to the whole.

use super::output::{OutputBuilder, PairDecoder, SideUpdate, Updates};
use crate::UpdateBatch;
use crate::arrangement::cursor::{Place, locate};
use crate::arrangement::{ArrangementTime, Batch, Cursor};
use crate::fuel::PIECE_ROWS;

/// Maximum number of pairs in a tile.
const TILE_PAIRS: usize = PIECE_ROWS;
/// Maximum number of rows on a side of a tile, if the other side has as many.
const TILE_SIDE: usize = if cfg!(test) { 8 } else { 1 << 6 };

/// What a matcher may still do before it stops.
#[derive(Clone, Copy, Debug)]
pub(super) struct MatchFuel {
    /// Updates drawn, and hashes looked up.
    pub(super) rows: usize,
    /// Pairs made.
    pub(super) pairs: usize,
}

impl MatchFuel {
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0 || self.pairs == 0
    }
}

/// Two lists of batches that are being joined.
pub(super) struct Matcher<T: ArrangementTime> {
    left: Vec<Batch<T>>,
    right: Vec<Batch<T>>,
    /// Times before this one count as this one.
    lower: T,
    /// Where the cursors of both sides were left.
    places: [Vec<Place>; 2],
    stage: Stage,
    /// The updates with one hash; kept to reuse its memory.
    group: Group<T>,
}

/// What a matcher does next.
#[derive(Clone, Copy)]
enum Stage {
    Seek,
    Draw,
    Cross,
}

/// The updates with one hash.
struct Group<T> {
    hash: u64,
    left: Vec<SideUpdate<T>>,
    right: Vec<SideUpdate<T>>,
    /// Whether several keys have the hash.
    collides: bool,
    /// The first rows of the next tile.
    next: (usize, usize),
}

impl<T: ArrangementTime> Matcher<T> {
    /// Prepares the join of all updates in `left` with all in `right`, at times not before `lower`.
    pub(super) fn new(left: Vec<Batch<T>>, right: Vec<Batch<T>>, lower: T) -> Self {
        assert!(left.len() < 1 << 20 && right.len() < 1 << 20, "references have 20 bits for the batch");
        let places = [&left, &right].map(|side| side.iter().map(|batch| Cursor::new(batch).place()).collect());
        let group = Group { hash: 0, left: Vec::new(), right: Vec::new(), collides: false, next: (0, 0) };
        Matcher { left, right, lower, places, stage: Stage::Seek, group }
    }

    /// Appends pairs to `output` until the fuel is used up or all pairs are made; returns whether they are. A step that
    /// uses up the fuel may do more than there is, by a tile at most.
    pub(super) fn work(
        &mut self,
        decoder: &PairDecoder,
        fuel: &mut MatchFuel,
        output: &mut Vec<UpdateBatch<T>>,
    ) -> bool {
        let Matcher { left, right, lower, places, stage, group } = self;
        let mut sides = Sides::new(left, right, places);
        let mut builder = OutputBuilder::new(decoder);
        let mut done = false;
        while !fuel.is_empty() && !done {
            *stage = match *stage {
                Stage::Seek => match sides.next_common(&mut fuel.rows) {
                    Some(hash) => {
                        group.begin(hash);
                        Stage::Draw
                    }
                    None => {
                        done = fuel.rows > 0;
                        Stage::Seek
                    }
                },
                Stage::Draw => {
                    let drawn = group.draw(left, right, &mut sides, *lower, fuel);
                    if drawn { Stage::Cross } else { Stage::Draw }
                }
                Stage::Cross => {
                    let crossed = group.cross(left, right, &mut builder, fuel);
                    if crossed { Stage::Seek } else { Stage::Cross }
                }
            };
        }
        *places = sides.places();
        output.extend(builder.finish());
        done
    }
}

impl<T: ArrangementTime> Group<T> {
    /// Forgets the updates, for those of another hash.
    fn begin(&mut self, hash: u64) {
        self.hash = hash;
        self.left.clear();
        self.right.clear();
        (self.collides, self.next) = (false, (0, 0));
    }

    /// Draws updates from both sides; returns whether all have been drawn.
    fn draw<'a>(
        &mut self,
        left: &'a [Batch<T>],
        right: &'a [Batch<T>],
        sides: &mut Sides<'a, T>,
        lower: T,
        fuel: &mut MatchFuel,
    ) -> bool {
        let drawn = self.left.first().map(|update| (left, update)).or(self.right.first().map(|update| (right, update)));
        let mut first = drawn.map(|(batches, update)| {
            let (columns, row) = locate(batches, update.0);
            columns.key(row)
        });
        for (cursors, updates) in [(&mut sides.left, &mut self.left), (&mut sides.right, &mut self.right)] {
            for (batch, cursor) in cursors.iter_mut().enumerate() {
                while let Some((columns, row)) = cursor.get().filter(|(columns, row)| columns.hash(*row) == self.hash) {
                    if fuel.rows == 0 {
                        return false;
                    }
                    fuel.rows -= 1;
                    let key = columns.key(row);
                    self.collides |= *first.get_or_insert(key) != key;
                    updates.push((cursor.update_ref(batch), columns.time(row).join(&lower), columns.diff(row)));
                    cursor.step();
                }
            }
        }
        true
    }

    /// Makes the pairs of the next tile; returns whether it was the last.
    fn cross<'a>(
        &mut self,
        left: &'a [Batch<T>],
        right: &'a [Batch<T>],
        builder: &mut OutputBuilder<'a, T>,
        fuel: &mut MatchFuel,
    ) -> bool {
        let (rows, columns) = tile(self.left.len(), self.right.len());
        let (i, j) = self.next;
        let (to_i, to_j) = ((i + rows).min(self.left.len()), (j + columns).min(self.right.len()));
        let lefts = Updates { batches: left, updates: &self.left[i..to_i] };
        let rights = Updates { batches: right, updates: &self.right[j..to_j] };
        builder.cross(lefts, rights, self.collides);
        fuel.pairs = fuel.pairs.saturating_sub((to_i - i) * (to_j - j));
        self.next = if to_j < self.right.len() { (i, to_j) } else { (to_i, 0) };
        self.next.0 == self.left.len()
    }
}

/// Returns how many rows of the left and of the right side make up a tile, given the rows of the sides.
fn tile(left: usize, right: usize) -> (usize, usize) {
    if right <= TILE_SIDE {
        (TILE_PAIRS / right, right)
    } else if left <= TILE_SIDE {
        (left, TILE_PAIRS / left)
    } else {
        (TILE_SIDE, TILE_PAIRS / TILE_SIDE)
    }
}

/// Cursors over the batches of both sides.
struct Sides<'a, T> {
    left: Vec<Cursor<'a, T>>,
    right: Vec<Cursor<'a, T>>,
}

impl<'a, T: ArrangementTime> Sides<'a, T> {
    fn new(left: &'a [Batch<T>], right: &'a [Batch<T>], places: &[Vec<Place>; 2]) -> Self {
        let cursors = |batches: &'a [Batch<T>], places: &[Place]| {
            batches.iter().zip(places).map(|(batch, place)| Cursor::at(batch, *place)).collect()
        };
        Sides { left: cursors(left, &places[0]), right: cursors(right, &places[1]) }
    }

    fn places(&self) -> [Vec<Place>; 2] {
        [&self.left, &self.right].map(|cursors| cursors.iter().map(Cursor::place).collect())
    }

    /// Returns the next hash that both sides have, starting at the cursors; `None` if there is none or the fuel is used
    /// up.
    fn next_common(&mut self, fuel: &mut usize) -> Option<u64> {
        while *fuel > 0 {
            let (left, right) = (least(&self.left)?, least(&self.right)?);
            if left == right {
                return Some(left);
            }
            *fuel -= 1;
            let behind = if left < right { &mut self.left } else { &mut self.right };
            for cursor in behind {
                cursor.seek(left.max(right));
            }
        }
        None
    }
}

fn least<T: ArrangementTime>(cursors: &[Cursor<'_, T>]) -> Option<u64> {
    cursors.iter().filter_map(Cursor::hash).min()
}
