//! The changes of one closed time, as all subscribers of a view share them.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::datatypes::DataType;
use laminardb_dataflow::lock::{Mutex, Rank};
use laminardb_dataflow::{Time, UpdateBatch};
use laminardb_planner::panics::caught;

use crate::subscription::change::{ChangeBatch, Shape};

/// The updates of a closed time, decoded by the first reader that takes them and shared by all.
#[derive(Debug)]
pub(in crate::subscription) struct Closed {
    pub(in crate::subscription) time: Time,
    pub(in crate::subscription) rows: usize,
    /// When the time was closed.
    pub(super) at: Instant,
    /// Whether as many rows are added as removed, so that perhaps nothing is left of the updates.
    is_balanced: bool,
    shape: Arc<Shape>,
    /// Not empty until the updates are decoded.
    pub(super) shards: Mutex<Vec<UpdateBatch>>,
    decoded: OnceLock<Result<Arc<[ChangeBatch]>, String>>,
    bytes: OnceLock<usize>,
}

impl Closed {
    /// Makes the changes of `time` of the updates of all workers.
    pub(in crate::subscription) fn new(time: Time, shards: Vec<UpdateBatch>, shape: Arc<Shape>) -> Self {
        let diffs = || shards.iter().flat_map(|shard| (0..shard.len()).map(|row| shard.diffs.at(row)));
        let rows = usize::try_from(diffs().map(i64::unsigned_abs).sum::<u64>()).unwrap_or(usize::MAX);
        let is_balanced = diffs().sum::<i64>() == 0;
        #[expect(clippy::disallowed_methods, reason = "a subscription that nobody reads is ended by its age")]
        let at = Instant::now();
        Closed {
            time,
            rows,
            at,
            is_balanced,
            shape,
            shards: Mutex::new(Rank::Changes, shards),
            decoded: OnceLock::new(),
            bytes: OnceLock::new(),
        }
    }

    /// Returns the batches of the time; there are none if its updates cancel.
    pub(super) fn decode(&self) -> Result<Arc<[ChangeBatch]>, String> {
        let decode = || {
            // The shards stay until there are batches, so that `bytes` finds one or the other.
            let shards = self.shards.lock().clone();
            // A panic would leave the time without its shards, and its other subscribers would miss the changes.
            let changes = caught(|| self.shape.changes(&shards, self.time))?;
            changes.map(Into::into).map_err(|error| error.to_string())
        };
        let decoded = self.decoded.get_or_init(decode).clone();
        self.shards.lock().clear();
        decoded
    }

    /// Whether the updates may cancel, as far as is known without decoding them.
    pub(super) fn may_be_empty(&self) -> bool {
        match self.decoded.get() {
            None => self.is_balanced,
            Some(Ok(batches)) => batches.is_empty(),
            Some(Err(_)) => false,
        }
    }

    /// Returns the size of the columns in bytes, as it was when this was first called.
    pub(super) fn bytes(&self) -> usize {
        *self.bytes.get_or_init(|| {
            let shards = self.shards.lock();
            let of_columns = |columns: &[ArrayRef]| columns.iter().map(|column| bytes_of(column)).sum::<usize>();
            if !shards.is_empty() {
                return shards.iter().map(|shard| of_columns(shard.rows.columns())).sum();
            }
            match self.decoded.get() {
                Some(Ok(batches)) => batches.iter().map(|batch| of_columns(batch.rows.columns())).sum(),
                Some(Err(_)) | None => 0,
            }
        })
    }
}

/// Returns the bytes that the values of a column take.
///
/// The buffers of a column may be shared: the parts of a large table that are inserted one after the other keep it as a
/// whole. So only the values of the column itself count, and not the size of the buffers.
pub(super) fn bytes_of(array: &dyn Array) -> usize {
    let nulls = if array.nulls().is_some() { array.len().div_ceil(8) } else { 0 };
    let values = match array.data_type() {
        DataType::Boolean => array.len().div_ceil(8),
        DataType::Utf8 => bytes_between(array.as_string::<i32>().value_offsets(), |_, bytes| bytes),
        DataType::Binary => bytes_between(array.as_binary::<i32>().value_offsets(), |_, bytes| bytes),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            bytes_between(list.value_offsets(), |start, rows| bytes_of(&list.values().slice(start, rows)))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| bytes_of(column)).sum(),
        other => match other.primitive_width() {
            Some(width) => array.len() * width,
            None => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_buffer_memory_size()),
        },
    };
    nulls + values
}

/// Returns the bytes of the offsets and of what is between the first and the last, given where it starts and its length.
fn bytes_between<O: OffsetSizeTrait>(offsets: &[O], between: impl Fn(usize, usize) -> usize) -> usize {
    let [start, end] = [offsets.first(), offsets.last()].map(|offset| offset.map_or(0, |offset| offset.as_usize()));
    size_of_val(offsets) + between(start, end - start)
}
