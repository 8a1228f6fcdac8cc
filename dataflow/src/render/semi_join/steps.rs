//! The steps of a semi join: which changes it sends at each closed time.

use std::collections::{BTreeMap, VecDeque};

use differential_dataflow::trace::TraceReader;
use timely::progress::frontier::AntichainRef;

use super::layout::SemiJoinLayout;
use super::presence::{Flip, Presence};
use crate::arrangement::read::{KeyReader, blocks};
use crate::arrangement::{Batch, Chunk};
use crate::plan::SemiJoinKind;
use crate::report::StateSize;
use crate::row_bytes::{EncodedRows, hash_bytes};
use crate::update::{Diffs, PerRow};
use crate::{Diff, Time, UpdateBatch};

/// Receives a batch of output.
type Give<'a> = dyn FnMut(UpdateBatch) + 'a;

/// The state of a semi join between closed times.
pub(super) struct Steps<Left> {
    layout: SemiJoinLayout,
    /// The history of the left side; `None` once no key can change its presence any more.
    trace: Option<Left>,
    /// The trace's compaction frontier at the start: earlier times cannot be told apart in it and count as this one.
    opening: Time,
    /// Changes of the left side at times that are still open on a side.
    left: BTreeMap<Time, Vec<Chunk>>,
    /// Keys of the right side at times that are still open on a side.
    right: BTreeMap<Time, Vec<(EncodedRows, Diffs)>>,
    presence: Presence,
}

impl<Left: TraceReader<Time = Time, Batch = Batch>> Steps<Left> {
    pub(super) fn new(mut trace: Left, layout: SemiJoinLayout) -> Self {
        let opening = trace.get_logical_compaction().as_option().copied().unwrap_or_default();
        // Every read is of all batches, so the trace may merge them freely.
        trace.set_physical_compaction(AntichainRef::new(&[]));
        let (left, right) = (BTreeMap::new(), BTreeMap::new());
        Steps { layout, trace: Some(trace), opening, left, right, presence: Presence::default() }
    }

    pub(super) fn receive_left(&mut self, batch: &Batch) {
        for chunk in &batch.chunks {
            for (time, chunk) in chunk.by_time() {
                self.left.entry(time.max(self.opening)).or_default().push(chunk);
            }
        }
    }

    pub(super) fn receive_right(&mut self, batch: UpdateBatch) {
        for (time, batch) in batch.by_time() {
            let keys = self.layout.right_key.encode(&batch.rows);
            self.right.entry(time.max(self.opening)).or_default().push((keys, batch.diffs));
        }
    }

    /// Returns the least time that has changes waiting.
    pub(super) fn next_time(&self) -> Option<Time> {
        let left = self.left.first_key_value().map(|(time, _)| *time);
        let right = self.right.first_key_value().map(|(time, _)| *time);
        left.into_iter().chain(right).min()
    }

    /// Sends all changes at `time`, which must be closed and the next one.
    pub(super) fn step(&mut self, time: Time, give: &mut Give<'_>) {
        if let Some(keys) = self.right.remove(&time) {
            let flips = flips(&keys, &mut self.presence);
            // Before the opening there are no left rows to add or retract.
            if time > self.opening && !flips.is_empty() {
                self.give_flipped(&flips, time, give);
            }
        }
        for chunk in self.left.remove(&time).unwrap_or_default() {
            self.give_selected(&chunk, time, give);
        }
    }

    /// Sends the left rows, as of before `time`, of the keys whose presence has changed.
    fn give_flipped(&mut self, flips: &[(u64, &[u8], Flip)], time: Time, give: &mut Give<'_>) {
        let trace = self.trace.as_mut().expect("the trace is held while keys can change");
        let batches = trace.batches_through(AntichainRef::new(&[])).expect("a trace always has all its batches");
        let mut reader = KeyReader::new(&batches);
        let mut gatherer = Gatherer::new(&self.layout, time);
        let mut rows = Vec::new();
        for (hash, key, flip) in flips {
            reader.rows(*hash, key, time - 1, &mut rows);
            let selected = (*flip == Flip::Appeared) == (self.layout.kind == SemiJoinKind::Semi);
            let sign = if selected { 1 } else { -1 };
            for (row, diff) in rows.drain(..) {
                gatherer.push(row, diff * sign, give);
            }
        }
        gatherer.flush(give);
    }

    /// Sends the changes of the left side whose keys are present (semi join) or absent (anti join).
    fn give_selected(&self, chunk: &Chunk, time: Time, give: &mut Give<'_>) {
        let updates = chunk.updates();
        let wanted = self.layout.kind == SemiJoinKind::Semi;
        let mut gatherer = Gatherer::new(&self.layout, time);
        let mut last: Option<(&[u8], bool)> = None;
        for row in chunk.range() {
            let key = updates.key(row);
            // Updates of one key are neighbours, so its presence is looked up once.
            let selected = match last {
                Some((last, selected)) if last == key => selected,
                _ => self.presence.contains(updates.hash(row), key) == wanted,
            };
            last = Some((key, selected));
            if selected {
                gatherer.push(updates.row(row), updates.diff(row), give);
            }
        }
        gatherer.flush(give);
    }

    /// Forgets history of the left side that no later step reads. `left` and `right` are the least open times of the
    /// sides.
    pub(super) fn compact(&mut self, left: Option<Time>, right: Option<Time>) {
        self.presence.shrink();
        if right.is_none() && self.right.is_empty() {
            // The right side has ended, so no key changes its presence any more.
            self.trace = None;
        }
        let open = left.into_iter().chain(right).chain(self.next_time()).min();
        if let (Some(trace), Some(before)) = (&mut self.trace, open.and_then(Time::previous)) {
            // A step reads the left rows just before its time.
            trace.set_logical_compaction(AntichainRef::new(&[before]));
        }
    }

    pub(super) fn size(&self) -> StateSize {
        self.presence.size()
    }
}

/// Adds up the keys of a time. Returns those whose presence changes, in order of hash and key.
fn flips<'a>(keys: &'a [(EncodedRows, Diffs)], presence: &mut Presence) -> Vec<(u64, &'a [u8], Flip)> {
    let changes = keys.iter().flat_map(|(keys, diffs)| (0..keys.len()).map(move |i| (keys.row(i), diffs.at(i))));
    let mut changes: Vec<(u64, &[u8], Diff)> = changes.map(|(key, diff)| (hash_bytes(key), key, diff)).collect();
    changes.sort_unstable();
    let of_one_key = changes.chunk_by(|a, b| a.0 == b.0 && a.1 == b.1);
    let flip = |of_key: &[(u64, &'a [u8], Diff)]| {
        let (hash, key, _) = of_key[0];
        let diff = of_key.iter().map(|(_, _, diff)| diff).sum();
        presence.add(hash, key, diff).map(|flip| (hash, key, flip))
    };
    of_one_key.filter_map(flip).collect()
}

/// Collects rows of the arrangement for output at one time.
struct Gatherer<'a> {
    layout: &'a SemiJoinLayout,
    time: Time,
    rows: Vec<&'a [u8]>,
    diffs: VecDeque<Diff>,
}

/// Number of rows collected before they are decoded.
const GATHERED: usize = if cfg!(test) { 30 } else { 1 << 13 };

impl<'a> Gatherer<'a> {
    fn new(layout: &'a SemiJoinLayout, time: Time) -> Self {
        Gatherer { layout, time, rows: Vec::new(), diffs: VecDeque::new() }
    }

    fn push(&mut self, row: &'a [u8], diff: Diff, give: &mut Give<'_>) {
        self.rows.push(row);
        self.diffs.push_back(diff);
        if self.rows.len() == GATHERED {
            self.flush(give);
        }
    }

    fn flush(&mut self, give: &mut Give<'_>) {
        for block in blocks(&self.rows) {
            let rows = self.layout.left.decode_as(&self.layout.schema, block.iter().copied());
            let diffs = PerRow::from_vec(self.diffs.drain(..block.len()).collect());
            give(UpdateBatch { rows, times: PerRow::Same(self.time), diffs });
        }
        self.rows.clear();
    }
}
