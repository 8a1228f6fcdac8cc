//! Reads an arrangement outside a dataflow: its rows at a time, the rows of some keys, its size.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use differential_dataflow::trace::TraceReader;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::batch::Batch;
use super::chunk::{Chunk, TARGET};
use super::chunk_trace::extract_chunk;
use super::cursor::{Cursor, Place};
use super::layout::Layout;
use super::sort::{merge_chunks, take_range};
use super::time::ArrangementTime;
use super::trace::Trace;
use crate::row_bytes::{EncodedRows, hash_bytes};
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

/// The rows of an arrangement at a time, read a piece after another. It holds the batches, so the arrangement may change
/// and be compacted meanwhile.
pub struct Snapshot<T: ArrangementTime = Time> {
    layout: Arc<Layout>,
    time: T,
    /// What is left to be read of each batch.
    runs: Vec<VecDeque<Chunk<T>>>,
    /// The keys whose rows are read next; `None` if all rows are read.
    keys: Option<WantedKeys<T>>,
}

/// Keys whose rows are to be read.
struct WantedKeys<T: ArrangementTime> {
    batches: Vec<Batch<T>>,
    /// Where the cursors of the batches were left.
    places: Vec<Place>,
    encoded: EncodedRows,
    /// The hash of each key and its position among the encoded, in order of hash and key, each key once.
    order: VecDeque<(u64, usize)>,
}

impl<T: ArrangementTime> WantedKeys<T> {
    fn new(layout: &Layout, keys: &RecordBatch, batches: Vec<Batch<T>>) -> Self {
        let encoded = layout.key().codec().encode(keys.columns(), keys.num_rows());
        let mut order: Vec<(u64, usize)> = (0..encoded.len()).map(|i| (hash_bytes(encoded.row(i)), i)).collect();
        order.sort_unstable_by_key(|(hash, i)| (*hash, encoded.row(*i)));
        order.dedup_by_key(|(_, i)| encoded.row(*i));
        let places = batches.iter().map(|batch| Cursor::new(batch).place()).collect();
        WantedKeys { batches, places, encoded, order: order.into() }
    }

    /// Returns the updates of the next `count` keys in each batch.
    fn next(&mut self, count: usize) -> Vec<VecDeque<Chunk<T>>> {
        let count = count.min(self.order.len());
        let keys: Vec<(u64, usize)> = self.order.drain(..count).collect();
        let runs = self.batches.iter().zip(&mut self.places).map(|(batch, place)| {
            let mut cursor = Cursor::at(batch, *place);
            let mut run = VecDeque::new();
            for (hash, key) in &keys {
                cursor.take_key(*hash, self.encoded.row(*key), &mut run);
            }
            *place = cursor.place();
            run
        });
        runs.filter(|run| !run.is_empty()).collect()
    }
}

impl<T: ArrangementTime> Snapshot<T> {
    /// Prepares to read all rows at `time`. Times before the trace's compaction frontier can no longer be told apart, so
    /// `time` must not be one; not checked here, because the caller holds that frontier.
    pub fn new(trace: &mut Trace<T>, layout: &Arc<Layout>, time: T) -> Self {
        let runs = batches(trace).iter().map(|batch| batch.chunks.iter().cloned().collect()).collect();
        Snapshot { layout: Arc::clone(layout), time, runs, keys: None }
    }

    /// Prepares to read the rows at `time` whose key is among `keys`, which must have the layout's key columns. The same
    /// holds of `time`.
    pub fn of_keys(trace: &mut Trace<T>, layout: &Arc<Layout>, keys: &RecordBatch, time: T) -> Self {
        let keys = WantedKeys::new(layout, keys, batches(trace));
        Snapshot { layout: Arc::clone(layout), time, runs: Vec::new(), keys: Some(keys) }
    }

    /// Reads about `rows` rows; at least one. Returns them with their multiplicities, each row once in all pieces, in
    /// order of hash. A piece can be empty; `None` means that all rows have been read.
    pub fn next(&mut self, rows: usize) -> Option<Vec<(RecordBatch, Diffs)>> {
        if self.runs.is_empty() {
            let keys = self.keys.as_mut().filter(|keys| !keys.order.is_empty())?;
            self.runs = keys.next(rows.max(1));
        }
        let from_one_run = self.runs.len() == 1;
        let range = take_range(&mut self.runs, rows);
        let read = if from_one_run { VecDeque::from(self.through(range)) } else { merge_chunks(&self.through(range)) };
        let read = self.netted(read, from_one_run);
        Some(read.iter().flat_map(|chunk| decode_chunk(&self.layout, chunk)).collect())
    }

    /// Returns the updates through the time.
    fn through(&self, chunks: Vec<Chunk<T>>) -> Vec<Chunk<T>> {
        let (mut least, mut later, mut through) = (Antichain::new(), VecDeque::new(), VecDeque::new());
        for chunk in chunks {
            extract_chunk(chunk, |at| !at.less_equal(&self.time), &mut least, &mut later, &mut through);
        }
        through.into()
    }

    /// Adds up the updates of each row. Updates from one run of which all have one time are of different rows.
    fn netted(&self, mut read: VecDeque<Chunk<T>>, from_one_run: bool) -> VecDeque<Chunk<T>> {
        let first = read.front().map(|chunk| chunk.updates().time(chunk.start));
        if from_one_run && read.iter().all(|chunk| chunk.has_one_time() && Some(chunk.updates().time(0)) == first) {
            return read;
        }
        let mut netted = VecDeque::new();
        T::advance(&mut read, AntichainRef::new(&[self.time]), true, &mut netted);
        netted
    }

    /// Reads all rows that are left.
    fn rest(mut self) -> Vec<(RecordBatch, Diffs)> {
        std::iter::from_fn(|| self.next(TARGET)).flatten().collect()
    }
}

/// Returns the rows at `time` with their multiplicities, each row once, in hash order; see [`Snapshot::new`].
pub fn snapshot<T: ArrangementTime>(trace: &mut Trace<T>, layout: &Arc<Layout>, time: T) -> Vec<(RecordBatch, Diffs)> {
    Snapshot::new(trace, layout, time).rest()
}

/// Returns the rows at `time` whose key is among `keys`, with their multiplicities; see [`Snapshot::of_keys`].
pub fn lookup<T: ArrangementTime>(
    trace: &mut Trace<T>,
    layout: &Arc<Layout>,
    keys: &RecordBatch,
    time: T,
) -> Vec<(RecordBatch, Diffs)> {
    Snapshot::of_keys(trace, layout, keys, time).rest()
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
