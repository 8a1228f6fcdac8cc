//! `RowBuffer`: the growing end of a relation. Small inserts are appended to one set of columns, in amortised O(1) per
//! row, and leave it as one frozen batch when it is full.
//!
//! Rows are only ever appended, so a row keeps its place until the buffer is frozen, and has the same place in the
//! frozen batch. A reader gets the rows as a few runs, each at least twice as long as the next: rows that have not been
//! read yet become a run, and runs are joined as they grow. So reading after each insert copies a row O(log n) times
//! instead of n times.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, GenericByteArray,
    NullBufferBuilder, PrimitiveArray, RecordBatch, UInt32Array, downcast_primitive, new_empty_array,
};
use arrow::buffer::{MutableBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{concat, concat_batches, interleave_record_batch, take};
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, SchemaRef, Utf8Type};

use crate::batch::with_columns;

/// Number of rows at which a buffer is frozen.
pub(super) const FULL_ROWS: usize = 8192;
/// Batches with this many rows are kept as they are instead of being copied into a buffer.
pub(super) const LARGE_ROWS: usize = 1024;
/// Batches with this many bytes are kept as well; this also keeps 32-bit offsets from overflowing.
const LARGE_BYTES: usize = 1 << 20;

/// Whether `batch` should be kept as it is instead of being copied into a buffer.
pub(super) fn is_large(batch: &RecordBatch) -> bool {
    batch.num_rows() >= LARGE_ROWS || batch.columns().iter().map(variable_bytes).sum::<usize>() >= LARGE_BYTES
}

/// Returns the bytes of the values of a column whose rows differ in size; 0 for fixed-width columns.
fn variable_bytes(array: &ArrayRef) -> usize {
    fn used<T: ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> usize {
        let offsets = array.value_offsets();
        (offsets[array.len()] - offsets[0]) as usize
    }
    match array.data_type() {
        DataType::Utf8 => used(array.as_string::<i32>()),
        DataType::Binary => used(array.as_binary::<i32>()),
        DataType::List(_) | DataType::Struct(_) => array.to_data().get_slice_memory_size().unwrap_or(LARGE_BYTES),
        _ => 0,
    }
}

/// Returns the bytes that the rows of `batch` take, excluding unused parts of its buffers.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    let of =
        |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size());
    batch.columns().iter().map(of).sum()
}

/// Returns `batch`, copied if it keeps much more memory alive than its rows need (a small slice of a large batch).
pub(super) fn owned(batch: &RecordBatch) -> RecordBatch {
    if batch.get_array_memory_size() <= 2 * batch_bytes(batch) + 4096 {
        return batch.clone();
    }
    let copy = |column: &ArrayRef| {
        let data = column.to_data();
        let mut rows = arrow::array::MutableArrayData::new(vec![&data], false, column.len());
        rows.try_extend(0, 0, column.len()).expect("no longer than the original");
        arrow::array::make_array(rows.freeze())
    };
    with_columns(batch.schema_ref(), batch.columns().iter().map(copy).collect(), batch.num_rows())
}

/// Rows of one schema that grow at the end.
pub(super) struct RowBuffer {
    schema: SchemaRef,
    /// The first rows, those that have been read before. Each run is at least twice as long as the next.
    runs: Vec<RecordBatch>,
    rows_in_runs: usize,
    bytes_in_runs: usize,
    /// The other rows, not read yet.
    columns: Vec<Box<dyn ColumnBuffer>>,
    rows_in_columns: usize,
}

impl RowBuffer {
    pub(super) fn new(schema: SchemaRef) -> Self {
        let columns = schema.fields().iter().map(|field| column_buffer(field.data_type())).collect();
        RowBuffer { schema, runs: Vec::new(), rows_in_runs: 0, bytes_in_runs: 0, columns, rows_in_columns: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows_in_runs + self.rows_in_columns
    }

    /// Whether the rows should be frozen.
    pub(super) fn is_full(&self) -> bool {
        self.rows() >= FULL_ROWS
            || self.bytes_in_runs >= 8 * LARGE_BYTES
            || self.columns.iter().any(|column| column.variable_bytes() >= 8 * LARGE_BYTES)
    }

    /// Appends the rows of `batch`, which must have the buffer's schema.
    pub(super) fn append(&mut self, batch: &RecordBatch) {
        for (buffer, column) in self.columns.iter_mut().zip(batch.columns()) {
            buffer.append(column);
        }
        self.rows_in_columns += batch.num_rows();
    }

    /// Returns the given rows, in the given order.
    pub(super) fn gather(&self, rows: &[u32]) -> RecordBatch {
        if self.runs.is_empty() {
            return self.gather_columns(rows);
        }
        let late = |row: &u32| (*row as usize).checked_sub(self.rows_in_runs).map(|row| row as u32);
        let late_rows: Vec<u32> = rows.iter().filter_map(late).collect();
        let late_batch = self.gather_columns(&late_rows);
        if late_rows.len() == rows.len() {
            return late_batch;
        }
        let mut late_rows = 0..;
        let starts: Vec<usize> = self.starts().collect();
        let pick = |row: &u32| match late(row) {
            Some(_) => (self.runs.len(), late_rows.next().expect("endless")),
            None => {
                let run = starts.partition_point(|start| *start <= *row as usize) - 1;
                (run, *row as usize - starts[run])
            }
        };
        let picks: Vec<(usize, usize)> = rows.iter().map(pick).collect();
        if let [(run, row)] = picks.as_slice() {
            return self.runs[*run].slice(*row, 1);
        }
        let sources: Vec<&RecordBatch> = self.runs.iter().chain([&late_batch]).collect();
        interleave_record_batch(&sources, &picks).expect("batches of one schema")
    }

    fn gather_columns(&self, rows: &[u32]) -> RecordBatch {
        let columns = self.columns.iter().map(|column| column.gather(rows)).collect();
        with_columns(&self.schema, columns, rows.len())
    }

    /// Returns the first row of each run.
    fn starts(&self) -> impl Iterator<Item = usize> + '_ {
        self.runs.iter().scan(0, |end, run| {
            let start = *end;
            *end += run.num_rows();
            Some(start)
        })
    }

    /// Returns all rows as batches that later appends do not change.
    pub(super) fn snapshot(&mut self) -> &[RecordBatch] {
        if self.rows_in_columns > 0 {
            let fresh = self.take_columns();
            self.rows_in_runs += fresh.num_rows();
            // Collects every run that must be joined before concatenating once: a join in pairs would copy rows
            // repeatedly.
            let mut rows = fresh.num_rows();
            let mut joined = vec![fresh];
            while let Some(run) = self.runs.pop_if(|run| run.num_rows() < 2 * rows) {
                rows += run.num_rows();
                joined.push(run);
            }
            joined.reverse();
            self.runs.push(join_batches(&self.schema, joined));
            self.bytes_in_runs = self.runs.iter().map(RecordBatch::get_array_memory_size).sum();
        }
        &self.runs
    }

    /// Returns all rows as one batch and leaves the buffer empty.
    pub(super) fn freeze(&mut self) -> RecordBatch {
        let fresh = self.take_columns();
        self.rows_in_runs = 0;
        self.bytes_in_runs = 0;
        if self.runs.is_empty() {
            return fresh;
        }
        let mut runs = std::mem::take(&mut self.runs);
        runs.push(fresh);
        join_batches(&self.schema, runs)
    }

    fn take_columns(&mut self) -> RecordBatch {
        let columns = self.columns.iter_mut().map(|column| column.freeze()).collect();
        with_columns(&self.schema, columns, std::mem::take(&mut self.rows_in_columns))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes_in_runs + self.columns.iter().map(|column| column.bytes()).sum::<usize>()
    }
}

fn join_batches(schema: &SchemaRef, mut batches: Vec<RecordBatch>) -> RecordBatch {
    if batches.len() == 1 {
        return batches.remove(0);
    }
    concat_batches(schema, &batches).expect("batches of one schema, far below 2 GiB")
}

/// One growing column.
trait ColumnBuffer: Send + Sync {
    fn append(&mut self, array: &ArrayRef);
    fn gather(&self, rows: &[u32]) -> ArrayRef;
    fn freeze(&mut self) -> ArrayRef;
    fn bytes(&self) -> usize;
    fn variable_bytes(&self) -> usize {
        0
    }
}

macro_rules! primitive_buffer {
    ($t:ty, $data_type:expr) => {
        Box::new(PrimitiveBuffer::<$t> {
            data_type: $data_type.clone(),
            values: Vec::new(),
            validity: NullBufferBuilder::new(FULL_ROWS),
        })
    };
}

fn column_buffer(data_type: &DataType) -> Box<dyn ColumnBuffer> {
    downcast_primitive! {
        data_type => (primitive_buffer, data_type),
        DataType::Boolean => Box::new(BooleanBuffer {
            values: BooleanBufferBuilder::new(0),
            validity: NullBufferBuilder::new(FULL_ROWS),
        }),
        DataType::Utf8 => Box::new(ByteBuffer::<Utf8Type>::new()),
        DataType::Binary => Box::new(ByteBuffer::<BinaryType>::new()),
        _ => Box::new(AnyBuffer { data_type: data_type.clone(), runs: Vec::new() })
    }
}

fn append_validity(validity: &mut NullBufferBuilder, array: &dyn Array) {
    match array.nulls() {
        Some(nulls) => validity.append_buffer(nulls),
        None => validity.append_n_non_nulls(array.len()),
    }
}

fn gather_validity(validity: &NullBufferBuilder, rows: &[u32]) -> Option<arrow::buffer::NullBuffer> {
    validity.as_slice()?;
    let mut gathered = NullBufferBuilder::new(rows.len());
    for &row in rows {
        gathered.append(validity.is_valid(row as usize));
    }
    gathered.finish()
}

struct PrimitiveBuffer<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    validity: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> PrimitiveBuffer<T> {
    fn array(&self, values: Vec<T::Native>, nulls: Option<arrow::buffer::NullBuffer>) -> ArrayRef {
        let array = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
        Arc::new(array.with_data_type(self.data_type.clone()))
    }
}

impl<T: ArrowPrimitiveType> ColumnBuffer for PrimitiveBuffer<T> {
    fn append(&mut self, array: &ArrayRef) {
        self.values.extend_from_slice(array.as_primitive::<T>().values());
        append_validity(&mut self.validity, array);
    }

    fn gather(&self, rows: &[u32]) -> ArrayRef {
        let values = rows.iter().map(|&row| self.values[row as usize]).collect();
        self.array(values, gather_validity(&self.validity, rows))
    }

    fn freeze(&mut self) -> ArrayRef {
        let values = std::mem::take(&mut self.values);
        let nulls = self.validity.finish();
        self.array(values, nulls)
    }

    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.validity.allocated_size() / 8
    }
}

struct BooleanBuffer {
    values: BooleanBufferBuilder,
    validity: NullBufferBuilder,
}

impl ColumnBuffer for BooleanBuffer {
    fn append(&mut self, array: &ArrayRef) {
        self.values.append_buffer(array.as_boolean().values());
        append_validity(&mut self.validity, array);
    }

    fn gather(&self, rows: &[u32]) -> ArrayRef {
        let values = rows.iter().map(|&row| self.values.get_bit(row as usize)).collect();
        Arc::new(BooleanArray::new(values, gather_validity(&self.validity, rows)))
    }

    fn freeze(&mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.finish(), self.validity.finish()))
    }

    fn bytes(&self) -> usize {
        self.values.capacity() / 8 + self.validity.allocated_size() / 8
    }
}

struct ByteBuffer<T: ByteArrayType<Offset = i32>> {
    /// Has one more entry than there are rows; the first is 0.
    offsets: Vec<i32>,
    values: Vec<u8>,
    validity: NullBufferBuilder,
    _type: std::marker::PhantomData<fn() -> T>,
}

impl<T: ByteArrayType<Offset = i32>> ByteBuffer<T> {
    fn new() -> Self {
        ByteBuffer {
            offsets: vec![0],
            values: Vec::new(),
            validity: NullBufferBuilder::new(FULL_ROWS),
            _type: std::marker::PhantomData,
        }
    }

    fn array(offsets: Vec<i32>, values: Vec<u8>, nulls: Option<arrow::buffer::NullBuffer>) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let values = MutableBuffer::from(values).into();
        let array = GenericByteArray::<T>::try_new(offsets, values, nulls);
        Arc::new(array.expect("values were copied whole from arrays of the same type"))
    }
}

impl<T: ByteArrayType<Offset = i32>> ColumnBuffer for ByteBuffer<T> {
    fn append(&mut self, array: &ArrayRef) {
        let array = array.as_bytes::<T>();
        let offsets = array.value_offsets();
        let (first, last) = (offsets[0], offsets[array.len()]);
        let base = i32::try_from(self.values.len()).expect("buffers are frozen long before 2 GiB");
        self.values.extend_from_slice(&array.value_data()[first as usize..last as usize]);
        self.offsets.extend(offsets[1..].iter().map(|offset| offset - first + base));
        append_validity(&mut self.validity, array);
    }

    fn gather(&self, rows: &[u32]) -> ArrayRef {
        let mut offsets = Vec::with_capacity(rows.len() + 1);
        offsets.push(0);
        let mut values = Vec::new();
        for &row in rows {
            let (from, to) = (self.offsets[row as usize], self.offsets[row as usize + 1]);
            values.extend_from_slice(&self.values[from as usize..to as usize]);
            offsets.push(i32::try_from(values.len()).expect("fewer bytes than a full buffer per row gathered"));
        }
        Self::array(offsets, values, gather_validity(&self.validity, rows))
    }

    fn freeze(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        Self::array(offsets, std::mem::take(&mut self.values), self.validity.finish())
    }

    fn bytes(&self) -> usize {
        self.offsets.capacity() * 4 + self.values.capacity() + self.validity.allocated_size() / 8
    }

    fn variable_bytes(&self) -> usize {
        self.values.len()
    }
}

/// A column of a nested type, kept as arrays that are joined so that each is at least twice as long as the next. So a
/// row is copied O(log n) times and there are O(log n) arrays.
struct AnyBuffer {
    data_type: DataType,
    runs: Vec<ArrayRef>,
}

impl AnyBuffer {
    fn joined(&self) -> ArrayRef {
        match self.runs.as_slice() {
            [] => new_empty_array(&self.data_type),
            runs => join(runs),
        }
    }
}

fn join(runs: &[ArrayRef]) -> ArrayRef {
    let runs: Vec<&dyn Array> = runs.iter().map(|run| run.as_ref()).collect();
    concat(&runs).expect("arrays of one type, far below 2 GiB")
}

impl ColumnBuffer for AnyBuffer {
    fn append(&mut self, array: &ArrayRef) {
        if array.is_empty() {
            return;
        }
        self.runs.push(Arc::clone(array));
        while let [.., before, last] = self.runs.as_slice()
            && before.len() < 2 * last.len()
        {
            let run = join(&self.runs[self.runs.len() - 2..]);
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(run);
        }
    }

    fn gather(&self, rows: &[u32]) -> ArrayRef {
        take(&self.joined(), &UInt32Array::from(rows.to_vec()), None).expect("rows are in the buffer")
    }

    fn freeze(&mut self) -> ArrayRef {
        let all = self.joined();
        self.runs.clear();
        all
    }

    fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.get_array_memory_size()).sum()
    }

    fn variable_bytes(&self) -> usize {
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{random_batch, schema_of_all_types};

    fn joined(buffer: &mut RowBuffer) -> RecordBatch {
        let runs = buffer.snapshot().to_vec();
        concat_batches(&runs[0].schema(), &runs).expect("one schema")
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let schema = schema_of_all_types();
        let mut buffer = RowBuffer::new(Arc::clone(&schema));
        let mut given = Vec::new();
        for seed in 0..40 {
            let batch = random_batch(&schema, seed, 1 + (seed as usize * 7) % 30);
            let batch = batch.slice(seed as usize % 2, batch.num_rows() - seed as usize % 2);
            buffer.append(&batch);
            given.push(batch);
            let all = concat_batches(&schema, &given).expect("one schema");
            if seed % 3 == 0 {
                assert_eq!(joined(&mut buffer), all);
            }
            let picked: Vec<u32> = (0..buffer.rows() as u32).rev().step_by(3).collect();
            let expected = arrow::compute::take_record_batch(&all, &UInt32Array::from(picked.clone()));
            assert_eq!(buffer.gather(&picked), expected.expect("in range"));
        }
        let all = concat_batches(&schema, &given).expect("one schema");
        assert_eq!(buffer.freeze(), all);
        assert_eq!(buffer.rows(), 0);
        buffer.append(&given[3]);
        assert_eq!(joined(&mut buffer), given[3]);
    }

    #[test]
    fn a_snapshot_stays_what_it_was() {
        let schema = schema_of_all_types();
        let mut buffer = RowBuffer::new(Arc::clone(&schema));
        let first = random_batch(&schema, 1, 5);
        buffer.append(&first);
        let snapshot = buffer.snapshot().to_vec();
        buffer.append(&random_batch(&schema, 2, 5));
        buffer.snapshot();
        buffer.freeze();
        assert_eq!(snapshot, [first]);
    }

    #[test]
    fn reading_after_each_insert_makes_few_runs() {
        let schema = schema_of_all_types();
        let mut buffer = RowBuffer::new(Arc::clone(&schema));
        let row = random_batch(&schema, 1, 1);
        let mut copied = 0;
        for rows in 1..=2000 {
            buffer.append(&row);
            let runs = buffer.snapshot();
            assert!(runs.len() <= 12, "{} runs", runs.len());
            copied += runs.last().expect("not empty").num_rows();
            assert_eq!(buffer.rows(), rows);
        }
        assert!(copied < 2000 * 12, "{copied} rows copied");
    }

    #[test]
    fn a_small_slice_of_a_large_batch_does_not_keep_it() {
        let schema = schema_of_all_types();
        let large = random_batch(&schema, 1, 20_000);
        let slice = large.slice(7, 10);
        let kept = owned(&slice);
        assert_eq!(kept, slice);
        assert!(kept.get_array_memory_size() < large.get_array_memory_size() / 10);
        assert_eq!(
            owned(&large).column(0).to_data().buffers()[0].as_ptr(),
            large.column(0).to_data().buffers()[0].as_ptr()
        );
    }
}
