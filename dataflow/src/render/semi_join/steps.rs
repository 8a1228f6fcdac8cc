//! The steps of a semi join: which changes it sends at each closed time.
//!
//! ```text
//! right keys of the time, sealed --> flips of presence --> left rows as of before the time
//! left changes of the time ------------------------------> those of present (or absent) keys
//! ```
//!
//! A step can stop after any of its pieces.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::trace::TraceReader;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::gather::{Gatherer, Give};
use super::layout::SemiJoinLayout;
use super::presence::{Flip, Presence};
use crate::arrangement::cursor::Place;
use crate::arrangement::{Batch, Chunk, Cursor, Seal, Sealed, UpdateBatcher};
use crate::fuel::PIECE_ROWS;
use crate::plan::SemiJoinKind;
use crate::report::StateSize;
use crate::update::PerRow;
use crate::work::Work;
use crate::{Time, UpdateBatch};

/// The state of a semi join between closed times.
pub(super) struct Steps<Left> {
    layout: SemiJoinLayout,
    /// The history of the left side; `None` once no key can change its presence any more.
    trace: Option<Left>,
    /// The trace's compaction frontier at the start: earlier times cannot be told apart in it and count as this one.
    opening: Time,
    /// Chunks of the left side that are not divided by time.
    arrived: VecDeque<Chunk>,
    /// Changes of the left side at times that are still open on a side.
    left: BTreeMap<Time, VecDeque<Chunk>>,
    /// Keys of the right side at times that are still open on a side.
    right: UpdateBatcher,
    presence: Presence,
    step: Option<Step>,
    work: Rc<Work>,
}

/// A step that is under way.
struct Step {
    time: Time,
    stage: Stage,
}

enum Stage {
    /// The keys of the right side are sorted.
    Seal(Seal<Time>),
    Flip(Flips),
    /// The changes of the left side are selected.
    Select,
}

/// The changes of the right side at a time, and the left side as of before it.
struct Flips {
    /// Keys of the right side whose counts are to be changed.
    keys: VecDeque<Chunk>,
    left: Vec<Batch>,
    /// Where the cursors of the left batches were left.
    places: Vec<Place>,
    /// Updates of a key with many rows that are still to be sent, and their sign.
    frequent: VecDeque<Chunk>,
    sign: i64,
}

impl<Left: TraceReader<Time = Time, Batch = Batch>> Steps<Left> {
    pub(super) fn new(mut trace: Left, layout: SemiJoinLayout, work: &Rc<Work>) -> Self {
        let opening = trace.get_logical_compaction().as_option().copied().unwrap_or_default();
        // Every read is of all batches, so the trace may merge them freely.
        trace.set_physical_compaction(AntichainRef::new(&[]));
        Steps {
            right: UpdateBatcher::new(Arc::clone(&layout.right), Rc::clone(work)),
            layout,
            trace: Some(trace),
            opening,
            arrived: VecDeque::new(),
            left: BTreeMap::new(),
            presence: Presence::default(),
            step: None,
            work: Rc::clone(work),
        }
    }

    pub(super) fn receive_left(&mut self, batch: &Batch) {
        self.arrived.extend(batch.chunks.iter().cloned());
    }

    pub(super) fn receive_right(&mut self, mut batch: UpdateBatch) {
        let opening = self.opening;
        batch.times = match batch.times {
            PerRow::Same(time) => PerRow::Same(time.max(opening)),
            PerRow::Each(times) => PerRow::from_vec(times.iter().map(|time| opening.max(*time)).collect()),
        };
        self.right.insert(batch);
    }

    /// Divides what has arrived, as far as the fuel goes. Returns whether nothing is left.
    pub(super) fn divide(&mut self, fuel: &mut usize) -> bool {
        while *fuel > 0 && self.right.has_run() {
            *fuel = fuel.saturating_sub(self.right.sort_run());
        }
        while *fuel > 0
            && let Some(chunk) = self.arrived.pop_front()
        {
            if !chunk.has_one_time() {
                self.spend(chunk.range().len(), fuel);
            }
            for (time, chunk) in chunk.by_time() {
                self.left.entry(time.max(self.opening)).or_default().push_back(chunk);
            }
        }
        self.arrived.is_empty() && !self.right.has_run()
    }

    fn spend(&self, rows: usize, fuel: &mut usize) {
        self.work.tank().touched(rows);
        *fuel = fuel.saturating_sub(rows);
    }

    /// Returns the least time that has changes waiting; everything that arrived must have been divided.
    pub(super) fn next_time(&self) -> Option<Time> {
        if let Some(step) = &self.step {
            return Some(step.time);
        }
        let left = self.left.first_key_value().map(|(time, _)| *time);
        let right = self.right.least().into_option();
        left.into_iter().chain(right).min()
    }

    /// Sends changes at `time`, which must be closed and the next one, as far as the fuel goes. Returns whether all have
    /// been sent.
    pub(super) fn step(&mut self, time: Time, fuel: &mut usize, give: &mut Give<'_>) -> bool {
        let start = || Step { time, stage: Stage::Seal(self.right.seal(Antichain::from_elem(time + 1))) };
        let mut step = self.step.take().unwrap_or_else(start);
        while *fuel > 0 {
            step.stage = match step.stage {
                Stage::Seal(seal) => match seal.work(&mut self.right, fuel) {
                    Sealed::Unfinished(seal) => Stage::Seal(seal),
                    Sealed::Whole(Some(keys)) => Stage::Flip(self.flips(&keys, time)),
                    Sealed::Whole(None) => Stage::Select,
                },
                Stage::Flip(mut flips) => {
                    self.flip(&mut flips, time, fuel, give);
                    if flips.is_done() { Stage::Select } else { Stage::Flip(flips) }
                }
                Stage::Select => {
                    if self.select(time, fuel, give) {
                        return true;
                    }
                    Stage::Select
                }
            };
        }
        self.step = Some(step);
        false
    }

    /// Prepares to change the counts of the keys.
    fn flips(&mut self, keys: &Batch, time: Time) -> Flips {
        // Before the opening there are no left rows to add or retract.
        let left = if time > self.opening {
            let trace = self.trace.as_mut().expect("the trace is held while keys can change");
            trace.batches_through(AntichainRef::new(&[])).expect("a trace always has all its batches")
        } else {
            Vec::new()
        };
        let places = left.iter().map(|batch| Cursor::new(batch).place()).collect();
        Flips { keys: keys.chunks.iter().cloned().collect(), left, places, frequent: VecDeque::new(), sign: 1 }
    }

    /// Changes the counts of keys, and sends the left rows, as of before `time`, of those whose presence changes.
    fn flip(&mut self, flips: &mut Flips, time: Time, fuel: &mut usize, give: &mut Give<'_>) {
        let mut gatherer = Gatherer::new(&self.layout, time);
        let mut cursors: Vec<Cursor<'_>> =
            flips.left.iter().zip(&flips.places).map(|(batch, place)| Cursor::at(batch, *place)).collect();
        while *fuel > 0 {
            if let Some(chunk) = flips.frequent.pop_front() {
                let (piece, rest) = cut(&chunk, *fuel);
                if let Some(rest) = rest {
                    flips.frequent.push_front(rest);
                }
                let updates = piece.updates();
                let select = |row| (updates.time(row) < time).then(|| updates.diff(row) * flips.sign);
                gatherer.add(&piece, select, give);
                self.spend(piece.range().len(), fuel);
                continue;
            }
            let Some(chunk) = flips.keys.pop_front() else { break };
            let (piece, rest) = cut(&chunk, 1);
            if let Some(rest) = rest {
                flips.keys.push_front(rest);
            }
            self.spend(1, fuel);
            let (keys, row) = (piece.updates(), piece.range().start);
            let Some(flip) = self.presence.add(keys.hash(row), keys.key(row), keys.diff(row)) else { continue };
            let mut of_key = VecDeque::new();
            cursors.iter_mut().for_each(|cursor| cursor.take_key(keys.hash(row), keys.key(row), &mut of_key));
            let selected = (flip == Flip::Appeared) == (self.layout.kind == SemiJoinKind::Semi);
            flips.sign = if selected { 1 } else { -1 };
            let rows: usize = of_key.iter().map(|chunk| chunk.range().len()).sum();
            if rows > PIECE_ROWS {
                // They are sent as they are held, for adding up equal rows would have to look at all of them.
                flips.frequent = of_key;
                continue;
            }
            let select = |chunk: &Chunk, row: usize| {
                let updates = chunk.updates();
                (updates.time(row) < time).then(|| updates.diff(row) * flips.sign)
            };
            gatherer.add_net(of_key.make_contiguous(), select, give);
            self.spend(rows, fuel);
        }
        gatherer.flush(give);
        flips.places = cursors.iter().map(Cursor::place).collect();
    }

    /// Sends changes of the left side whose keys are present (semi join) or absent (anti join). Returns whether no
    /// change of the time is left.
    fn select(&mut self, time: Time, fuel: &mut usize, give: &mut Give<'_>) -> bool {
        let wanted = self.layout.kind == SemiJoinKind::Semi;
        let mut chunks = self.left.remove(&time).unwrap_or_default();
        let mut gatherer = Gatherer::new(&self.layout, time);
        while *fuel > 0
            && let Some(chunk) = chunks.pop_front()
        {
            let (piece, rest) = cut(&chunk, *fuel);
            if let Some(rest) = rest {
                chunks.push_front(rest);
            }
            let updates = piece.updates();
            let mut last: Option<(&[u8], bool)> = None;
            let select = |row| {
                let key = updates.key(row);
                // Updates of one key are neighbours, so its presence is looked up once.
                let selected = match last {
                    Some((last, selected)) if last == key => selected,
                    _ => self.presence.contains(updates.hash(row), key) == wanted,
                };
                last = Some((key, selected));
                selected.then(|| updates.diff(row))
            };
            gatherer.add(&piece, select, give);
            self.spend(piece.range().len(), fuel);
        }
        gatherer.flush(give);
        let done = chunks.is_empty();
        if !done {
            self.left.insert(time, chunks);
        }
        done
    }

    /// Forgets history of the left side that no later step reads. `left` and `right` are the least open times of the
    /// sides; everything that arrived must have been divided.
    pub(super) fn compact(&mut self, left: Option<Time>, right: Option<Time>) {
        self.presence.shrink();
        let next = self.next_time();
        if right.is_none() && self.right.least().is_empty() && self.step.is_none() {
            // The right side has ended, so no key changes its presence any more.
            self.trace = None;
        }
        let open = left.into_iter().chain(right).chain(next).min();
        if let (Some(trace), Some(before)) = (&mut self.trace, open.and_then(Time::previous)) {
            // A step reads the left rows just before its time.
            trace.set_logical_compaction(AntichainRef::new(&[before]));
        }
    }

    pub(super) fn size(&self) -> StateSize {
        self.presence.size()
    }
}

impl Flips {
    fn is_done(&self) -> bool {
        self.keys.is_empty() && self.frequent.is_empty()
    }
}

/// Divides a chunk after `rows` updates; there must be at least one.
fn cut(chunk: &Chunk, rows: usize) -> (Chunk, Option<Chunk>) {
    let range = chunk.range();
    if rows >= range.len() {
        return (chunk.clone(), None);
    }
    let middle = range.start + rows;
    (chunk.slice(range.start, middle), Some(chunk.slice(middle, range.end)))
}
