//! Finds rows with equal keys in two lists of batches, one bounded block at a time.
//!
//! To the tactic, a key is (hash, tile). A hash with too many pairs of rows for one block is cut into tiles, each of
//! which combines some rows of one side with some of the other. A join is bilinear, so the tiles add up to the whole,
//! and memory stays bounded where a frequent key meets a frequent key.

use std::rc::Rc;

use differential_dataflow::operators::int_proxy::join::JoinMatches;
use differential_dataflow::operators::int_proxy::{JoinInstance, KeyPosition, ProxyBridge, ProxyJoinBackend};

use super::output::{Pair, PairDecoder};
use crate::arrangement::cursor::{UpdateRef, locate};
use crate::arrangement::{ArrangementTime, Batch, Cursor};
use crate::update::PerRow;
use crate::work::Work;
use crate::{Diff, UpdateBatch};

/// Number of rows after which a block ends; small in tests, so that tests meet several blocks.
const BLOCK_ROWS: usize = if cfg!(test) { 50 } else { 1 << 13 };
/// Number of pairs after which a block ends, and maximum number of pairs in a tile.
const BLOCK_PAIRS: usize = if cfg!(test) { 64 } else { 1 << 16 };
/// Maximum number of rows on a side of a tile, if the other side has as many.
const TILE_SIDE: usize = if cfg!(test) { 8 } else { 1 << 8 };
/// Maximum number of rows in an output batch.
const OUTPUT_ROWS: usize = if cfg!(test) { 40 } else { 1 << 13 };
/// Maximum number of row bytes decoded for an output batch.
const OUTPUT_BYTES: usize = 1 << 30;

/// A hash and the number of a tile of its pairs.
type TileKey = (u64, usize);
/// An update of one side.
type SideUpdate<T> = (UpdateRef, T, Diff);
type Bridge<T> = ProxyBridge<T, Diff, TileKey, UpdateRef>;
type Instance<T> = JoinInstance<T, Batch<T>, Batch<T>>;
type Matches<T> = JoinMatches<T, Diff, TileKey, UpdateRef, UpdateRef>;

/// The backend of the join tactic.
pub(super) struct Matcher<T> {
    decoder: PairDecoder,
    /// Hashes in the current block that several keys share, ascending.
    colliding: Vec<u64>,
    left: Vec<SideUpdate<T>>,
    right: Vec<SideUpdate<T>>,
    work: Rc<Work>,
}

impl<T: ArrangementTime> Matcher<T> {
    pub(super) fn new(decoder: PairDecoder, work: Rc<Work>) -> Self {
        Matcher { decoder, colliding: Vec::new(), left: Vec::new(), right: Vec::new(), work }
    }

    /// Takes all updates with this hash from both sides.
    fn draw(&mut self, sides: &mut Sides<'_, T>, hash: u64, instance: &Instance<T>) {
        self.left.clear();
        self.right.clear();
        draw(&mut sides.left, hash, instance.lower, &mut self.left);
        draw(&mut sides.right, hash, instance.lower, &mut self.right);
        self.work.received(self.left.len() + self.right.len());
        if self.has_collision(instance) {
            self.colliding.push(hash);
        }
    }

    /// Whether the updates taken have several keys.
    fn has_collision(&self, instance: &Instance<T>) -> bool {
        let key = |batches, update: &SideUpdate<T>| {
            let (updates, row) = locate(batches, update.0);
            updates.key(row)
        };
        let first = key(&instance.batches0, &self.left[0]);
        self.left[1..].iter().any(|update| key(&instance.batches0, update) != first)
            || self.right.iter().any(|update| key(&instance.batches1, update) != first)
    }

    fn pairs(&self) -> usize {
        self.left.len().saturating_mul(self.right.len())
    }

    /// Adds one tile of the updates taken to the bridges and returns where to continue.
    fn push_tile(&self, key: TileKey, left: &mut Bridge<T>, right: &mut Bridge<T>) -> KeyPosition<TileKey> {
        let tiling = Tiling::new(self.left.len(), self.right.len());
        let (rows, columns) = tiling.tile(key.1);
        push(left, key, &self.left[rows]);
        push(right, key, &self.right[columns]);
        if key.1 + 1 < tiling.tiles() {
            return KeyPosition::At((key.0, key.1 + 1));
        }
        key.0.checked_add(1).map_or(KeyPosition::End, |hash| KeyPosition::At((hash, 0)))
    }
}

impl<T: ArrangementTime> ProxyJoinBackend<T, Batch<T>, Batch<T>> for Matcher<T> {
    type Key = TileKey;
    type V0 = UpdateRef;
    type V1 = UpdateRef;
    type R0 = Diff;
    type R1 = Diff;
    type ROut = Diff;
    type Output = UpdateBatch<T>;

    fn advance(
        &mut self,
        instance: &Instance<T>,
        from: &mut KeyPosition<TileKey>,
        left: &mut Bridge<T>,
        right: &mut Bridge<T>,
    ) {
        let mut tile = 0;
        let mut sides = Sides::new(instance);
        match *from {
            KeyPosition::Start => {}
            KeyPosition::At((hash, at)) => {
                sides.seek(hash);
                tile = at;
            }
            KeyPosition::End => return,
        }
        self.colliding.clear();
        let mut pairs = 0;
        while let Some(hash) = sides.next_common() {
            let full = left.len() + right.len() >= BLOCK_ROWS || pairs >= BLOCK_PAIRS;
            if full {
                *from = KeyPosition::At((hash, 0));
                return;
            }
            self.draw(&mut sides, hash, instance);
            if self.pairs() <= BLOCK_PAIRS {
                push(left, (hash, 0), &self.left);
                push(right, (hash, 0), &self.right);
                pairs += self.pairs();
            } else if left.is_empty() {
                // Each tile of this hash is a block of its own.
                *from = self.push_tile((hash, tile), left, right);
                return;
            } else {
                // The hash begins the next block, where it is alone.
                *from = KeyPosition::At((hash, 0));
                return;
            }
            tile = 0;
        }
        *from = KeyPosition::End;
    }

    fn cross(&mut self, instance: &Instance<T>, matches: &mut Matches<T>, output: &mut Vec<UpdateBatch<T>>) {
        let sent = output.len();
        let mut batch = OutputBuilder::new(&self.decoder);
        for (i, ((hash, _), (left, right))) in matches.ids.iter().enumerate() {
            let (left, right) = (locate(&instance.batches0, *left), locate(&instance.batches1, *right));
            // Keys need to be compared only where several share a hash.
            let collides = !self.colliding.is_empty() && self.colliding.binary_search(hash).is_ok();
            if !collides || left.0.key(left.1) == right.0.key(right.1) {
                batch.push((left, right), matches.times[i], matches.diffs[i], output);
            }
        }
        batch.finish(output);
        self.work.sent(output[sent..].iter().map(UpdateBatch::len).sum());
    }
}

/// Pairs that are decoded together.
struct OutputBuilder<'a, T> {
    decoder: &'a PairDecoder,
    pairs: Vec<Pair<'a, T>>,
    times: Vec<T>,
    diffs: Vec<Diff>,
    bytes: usize,
}

impl<'a, T: ArrangementTime> OutputBuilder<'a, T> {
    fn new(decoder: &'a PairDecoder) -> Self {
        OutputBuilder { decoder, pairs: Vec::new(), times: Vec::new(), diffs: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, pair: Pair<'a, T>, time: T, diff: Diff, output: &mut Vec<UpdateBatch<T>>) {
        let bytes = self.decoder.bytes(&pair);
        if self.pairs.len() == OUTPUT_ROWS || self.bytes + bytes > OUTPUT_BYTES {
            self.flush(output);
        }
        self.bytes += bytes;
        self.pairs.push(pair);
        self.times.push(time);
        self.diffs.push(diff);
    }

    fn flush(&mut self, output: &mut Vec<UpdateBatch<T>>) {
        if !self.pairs.is_empty() {
            output.push(UpdateBatch {
                rows: self.decoder.decode(&self.pairs),
                times: PerRow::from_vec(std::mem::take(&mut self.times)),
                diffs: PerRow::from_vec(std::mem::take(&mut self.diffs)),
            });
            self.pairs.clear();
            self.bytes = 0;
        }
    }

    fn finish(mut self, output: &mut Vec<UpdateBatch<T>>) {
        self.flush(output);
    }
}

/// Cursors over the batches of both sides.
struct Sides<'a, T> {
    left: Vec<Cursor<'a, T>>,
    right: Vec<Cursor<'a, T>>,
}

impl<'a, T: ArrangementTime> Sides<'a, T> {
    fn new(instance: &'a Instance<T>) -> Self {
        let cursors = |batches: &'a [Batch<T>]| {
            assert!(batches.len() < 1 << 20, "positions have 20 bits for the batch");
            batches.iter().map(Cursor::new).collect()
        };
        Sides { left: cursors(&instance.batches0), right: cursors(&instance.batches1) }
    }

    fn seek(&mut self, hash: u64) {
        for cursor in self.left.iter_mut().chain(&mut self.right) {
            cursor.seek(hash);
        }
    }

    /// Returns the next hash that both sides have, starting at the cursors.
    fn next_common(&mut self) -> Option<u64> {
        loop {
            let (left, right) = (least(&self.left)?, least(&self.right)?);
            if left == right {
                return Some(left);
            }
            let behind = if left < right { &mut self.left } else { &mut self.right };
            for cursor in behind {
                cursor.seek(left.max(right));
            }
        }
    }
}

fn least<T: ArrangementTime>(cursors: &[Cursor<'_, T>]) -> Option<u64> {
    cursors.iter().filter_map(Cursor::hash).min()
}

/// Appends the updates with this hash in order of their positions, and moves the cursors past them.
fn draw<T: ArrangementTime>(cursors: &mut [Cursor<'_, T>], hash: u64, lower: T, to: &mut Vec<SideUpdate<T>>) {
    for (batch, cursor) in cursors.iter_mut().enumerate() {
        while cursor.hash() == Some(hash) {
            let (updates, row) = cursor.get().expect("there is a hash");
            to.push((cursor.update_ref(batch), updates.time(row).join(&lower), updates.diff(row)));
            cursor.step();
        }
    }
}

fn push<T: ArrangementTime>(bridge: &mut Bridge<T>, key: TileKey, updates: &[SideUpdate<T>]) {
    bridge.extend(updates.iter().map(|(position, time, diff)| ((key, *position), *time, *diff)));
}

/// Divides the pairs of a frequent key into tiles of at most `BLOCK_PAIRS` pairs.
struct Tiling {
    left: usize,
    right: usize,
    left_step: usize,
    right_step: usize,
}

impl Tiling {
    fn new(left: usize, right: usize) -> Self {
        let (left_step, right_step) = if left <= TILE_SIDE {
            (left, BLOCK_PAIRS / left)
        } else if right <= TILE_SIDE {
            (BLOCK_PAIRS / right, right)
        } else {
            (TILE_SIDE, BLOCK_PAIRS / TILE_SIDE)
        };
        Tiling { left, right, left_step, right_step }
    }

    fn columns(&self) -> usize {
        self.right.div_ceil(self.right_step)
    }

    fn tiles(&self) -> usize {
        self.left.div_ceil(self.left_step) * self.columns()
    }

    /// Returns the rows of the left and of the right side in a tile.
    fn tile(&self, tile: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (i, j) = (tile / self.columns() * self.left_step, tile % self.columns() * self.right_step);
        (i..(i + self.left_step).min(self.left), j..(j + self.right_step).min(self.right))
    }
}
