//! Reads an arrangement outside a dataflow: its rows at a time, the rows of some keys, its size.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use differential_dataflow::trace::TraceReader;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::chunk::{Chunk, TARGET};
use super::chunk_trace::extract_chunk;
use super::cursor::Cursor;
use super::layout::Layout;
use super::sort::merge_runs;
use super::time::ArrangementTime;
use super::trace::{Batch, Trace};
use crate::row_bytes::hash_bytes;
use crate::update::{Diffs, PerRow};
use crate::{Diff, Time};

/// Maximum number of row bytes decoded at once, so that the offsets of a string column do not overflow.
const DECODED_BYTES: usize = 1 << 30;

/// The size of an arrangement on one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArrangementSize {
    /// Number of updates held; equals the number of distinct rows once all history is compacted.
    pub updates: usize,
    /// Bytes allocated for the updates.
    pub bytes: usize,
    /// Number of batches that hold them.
    pub batches: usize,
}

/// Returns all batches of the trace.
fn batches<T: ArrangementTime>(trace: &mut Trace<T>) -> Vec<Batch<T>> {
    trace.batches_through(AntichainRef::new(&[])).expect("a trace always has all its batches")
}

/// Returns the size of the arrangement.
pub fn size<T: ArrangementTime>(trace: &Trace<T>) -> ArrangementSize {
    let mut size = ArrangementSize::default();
    trace.map_spans(|span| {
        if let Some(batch) = &span.inner {
            size.batches += 1;
            size.updates += batch.chunks.iter().map(|chunk| chunk.range().len()).sum::<usize>();
            size.bytes += batch.chunks.iter().map(|chunk| chunk.updates().held_bytes()).sum::<usize>();
        }
    });
    size
}

/// Returns the rows at `time` with their multiplicities, each row once, in hash order. Times before the trace's
/// compaction frontier can no longer be told apart, so `time` must not be one; not checked here, because the caller
/// holds that frontier.
pub fn snapshot<T: ArrangementTime>(trace: &mut Trace<T>, layout: &Layout, time: T) -> Vec<(RecordBatch, Diffs)> {
    let runs: Vec<_> = batches(trace).iter().map(|batch| through(batch, time)).filter(|run| !run.is_empty()).collect();
    // A single run whose updates all have one time contains each row once, so it needs no netting.
    let at_one_time = match &runs[..] {
        [run] => run.iter().all(|c| c.updates().times.constant().is_some_and(|t| t == run[0].updates().time(0))),
        _ => false,
    };
    let mut merged = merge_runs(runs);
    if !at_one_time {
        let mut netted = VecDeque::new();
        T::advance(&mut merged, AntichainRef::new(&[time]), true, &mut netted);
        merged = netted;
    }
    merged.iter().flat_map(|chunk| decode_chunk(layout, chunk)).collect()
}

/// Returns the updates of a batch through `time`.
fn through<T: ArrangementTime>(batch: &Batch<T>, time: T) -> VecDeque<Chunk<T>> {
    let (mut least, mut later, mut run) = (Antichain::new(), VecDeque::new(), VecDeque::new());
    for chunk in &batch.chunks {
        extract_chunk(chunk.clone(), |at| !at.less_equal(&time), &mut least, &mut later, &mut run);
    }
    run
}

fn decode_chunk<T: ArrangementTime>(layout: &Layout, chunk: &Chunk<T>) -> Vec<(RecordBatch, Diffs)> {
    let updates = chunk.updates();
    let rows: Vec<&[u8]> = chunk.range().map(|row| updates.row(row)).collect();
    let mut start = chunk.start;
    let decode = |block: &[&[u8]]| {
        let range = start..start + block.len();
        start = range.end;
        (layout.decode(block.iter().copied()), diffs_of(range.map(|row| updates.diff(row))))
    };
    blocks(&rows).map(decode).collect()
}

fn diffs_of(diffs: impl Iterator<Item = Diff>) -> Diffs {
    PerRow::from_vec(diffs.collect())
}

/// Cuts rows into blocks that are small enough to be decoded at once.
pub(crate) fn blocks<'r, 'a>(rows: &'r [&'a [u8]]) -> impl Iterator<Item = &'r [&'a [u8]]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(TARGET).take_while(|row| {
            bytes += row.len();
            bytes <= DECODED_BYTES
        });
        // A single row above the limit still makes a block of its own.
        let count = fits.count().max(1).min(rest.len());
        let (block, after) = rest.split_at(count);
        rest = after;
        (!block.is_empty()).then_some(block)
    })
}

/// Returns the rows at `time` whose key is among `keys`, with their multiplicities. `keys` must have the layout's key
/// columns.
pub fn lookup<T: ArrangementTime>(
    trace: &mut Trace<T>,
    layout: &Layout,
    keys: &RecordBatch,
    time: T,
) -> Vec<(RecordBatch, Diffs)> {
    let encoded = layout.key().codec().encode(keys.columns(), keys.num_rows());
    let mut wanted: Vec<(u64, &[u8])> =
        (0..encoded.len()).map(|i| (hash_bytes(encoded.row(i)), encoded.row(i))).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let batches = batches(trace);
    let mut reader = KeyReader::new(&batches);
    let mut found = Vec::new();
    for (hash, key) in wanted {
        reader.rows(hash, key, time, &mut found);
    }
    let rows: Vec<&[u8]> = found.iter().map(|(row, _)| *row).collect();
    let mut diffs = found.iter().map(|(_, diff)| *diff);
    let decode = |block: &[&[u8]]| (layout.decode(block.iter().copied()), diffs_of(diffs.by_ref().take(block.len())));
    blocks(&rows).map(decode).collect()
}

/// Reads the rows of one key after another; the keys must come in the order of their hashes.
pub(crate) struct KeyReader<'a, T = Time> {
    cursors: Vec<Cursor<'a, T>>,
}

impl<'a, T: ArrangementTime> KeyReader<'a, T> {
    pub(crate) fn new(batches: &'a [Batch<T>]) -> Self {
        KeyReader { cursors: batches.iter().map(Cursor::new).collect() }
    }

    /// Appends the rows of `key` at `time`, each once, in value order; hashes must not decrease from call to call.
    pub(crate) fn rows(&mut self, hash: u64, key: &[u8], time: T, found: &mut Vec<(&'a [u8], Diff)>) {
        let first = found.len();
        for cursor in &mut self.cursors {
            cursor.seek(hash);
            // Another key may share the hash, so the cursor itself stays.
            let mut ahead = cursor.clone();
            while ahead.hash() == Some(hash) {
                let (updates, row) = ahead.get().expect("there is a hash");
                if updates.time(row).less_equal(&time) && updates.key(row) == key {
                    found.push((updates.row(row), updates.diff(row)));
                }
                ahead.step();
            }
        }
        net(found, first);
    }
}

/// Adds up the diffs of equal rows from position `first` on, and drops the rows whose sum is zero.
fn net(rows: &mut Vec<(&[u8], Diff)>, first: usize) {
    rows[first..].sort_unstable_by_key(|(row, _)| *row);
    let mut kept = first;
    for at in first..rows.len() {
        if kept > first && rows[kept - 1].0 == rows[at].0 {
            rows[kept - 1].1 += rows[at].1;
            continue;
        }
        if kept > first && rows[kept - 1].1 == 0 {
            kept -= 1;
        }
        rows[kept] = rows[at];
        kept += 1;
    }
    if kept > first && rows[kept - 1].1 == 0 {
        kept -= 1;
    }
    rows.truncate(kept);
}
