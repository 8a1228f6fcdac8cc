//! `UpdateBatch`: rows in columns with their times and diffs; the container on every edge of a dataflow.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Schema, SchemaRef};
use timely::bytes::arc::Bytes;
use timely::dataflow::Stream;
use timely::dataflow::channels::ContainerBytes;
use timely::order::TotalOrder;

use crate::{Diff, Time};

/// One value per row, stored once while all rows agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerRow<X> {
    /// Every row has this value.
    Same(X),
    /// One value for each row.
    Each(Arc<[X]>),
}

impl<X: Copy> PerRow<X> {
    /// Returns the value of row `row`, which must be in range.
    #[inline]
    pub fn at(&self, row: usize) -> X {
        match self {
            PerRow::Same(x) => *x,
            PerRow::Each(xs) => xs[row],
        }
    }
}

impl<X: Copy + PartialEq> PerRow<X> {
    /// Builds a column from one value per row, storing them once if they are all equal. `values` must not be empty.
    pub fn from_vec(values: Vec<X>) -> Self {
        match values.first() {
            Some(first) if values.iter().all(|x| x == first) => PerRow::Same(*first),
            _ => PerRow::Each(values.into()),
        }
    }
}

impl<X: Copy> PerRow<X> {
    /// Returns the values of `rows`, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        match self {
            PerRow::Same(x) => PerRow::Same(*x),
            PerRow::Each(xs) => PerRow::Each(rows.iter().map(|row| xs[*row as usize]).collect()),
        }
    }

    /// Returns the values of rows `offset .. offset + len`.
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        match self {
            PerRow::Same(x) => PerRow::Same(*x),
            PerRow::Each(xs) => PerRow::Each(xs[offset..offset + len].into()),
        }
    }

    /// Returns the values of the rows where `keep` is true; NULL counts as false.
    pub fn filter(&self, keep: &BooleanArray) -> Self {
        match self {
            PerRow::Same(x) => PerRow::Same(*x),
            PerRow::Each(xs) => {
                PerRow::Each(xs.iter().zip(keep.iter()).filter(|(_, k)| *k == Some(true)).map(|(x, _)| *x).collect())
            }
        }
    }
}

/// Changes of multiplicity, one per row.
pub type Diffs = PerRow<Diff>;
/// Times, one per row.
pub type Times<T = Time> = PerRow<T>;

/// A batch of updates. It need not be consolidated, and is never empty on an edge of a dataflow.
///
/// The engine's streams have the times `Time`; those of a scope inside a dataflow may have others.
#[derive(Clone, Debug)]
pub struct UpdateBatch<T = Time> {
    /// The rows that change.
    pub rows: RecordBatch,
    /// The time of each change.
    pub times: Times<T>,
    /// The change of each row's multiplicity; never 0.
    pub diffs: Diffs,
}

/// The updates on an edge of a dataflow.
pub(crate) type UpdateStream<'s, T = Time> = Stream<'s, T, UpdateBatch<T>>;

impl<T: Copy> UpdateBatch<T> {
    /// Inserts all rows once at `time`.
    pub fn insert(rows: RecordBatch, time: T) -> Self {
        UpdateBatch { rows, times: PerRow::Same(time), diffs: PerRow::Same(1) }
    }

    /// Returns the number of updates.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether the batch has no updates.
    pub fn is_empty(&self) -> bool {
        self.rows.num_rows() == 0
    }

    /// Returns the updates at positions `rows`, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        UpdateBatch { rows: take_rows(&self.rows, rows), times: self.times.take(rows), diffs: self.diffs.take(rows) }
    }

    /// Returns the updates `offset .. offset + len` without copying the rows.
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        UpdateBatch {
            rows: self.rows.slice(offset, len),
            times: self.times.slice(offset, len),
            diffs: self.diffs.slice(offset, len),
        }
    }

    /// Returns the same rows under `schema`, which may differ from theirs only in names, metadata and nullability.
    pub fn with_schema(mut self, schema: &SchemaRef) -> Self {
        self.rows = rename(self.rows, schema);
        self
    }

    /// Returns the updates where `keep` is true; NULL counts as false.
    pub fn filter(&self, keep: &BooleanArray) -> Self {
        UpdateBatch {
            rows: filter_record_batch(&self.rows, keep).expect("the mask has the batch's length"),
            times: self.times.filter(keep),
            diffs: self.diffs.filter(keep),
        }
    }
}

impl<T: TotalOrder + Copy> UpdateBatch<T> {
    /// Returns how many rows are added and removed after `time`, counting multiplicities.
    pub fn changes_after(&self, time: T) -> u64 {
        match (&self.times, &self.diffs) {
            (PerRow::Same(at), _) if at.less_equal(&time) => 0,
            (PerRow::Same(_), PerRow::Same(diff)) => diff.unsigned_abs() * self.len() as u64,
            (PerRow::Same(_), PerRow::Each(diffs)) => diffs.iter().map(|diff| diff.unsigned_abs()).sum(),
            (PerRow::Each(times), diffs) => {
                let later = times.iter().enumerate().filter(|(_, at)| time.less_than(at));
                later.map(|(row, _)| diffs.at(row).unsigned_abs()).sum()
            }
        }
    }
}

impl<T: TotalOrder + Ord + Copy> UpdateBatch<T> {
    /// Splits the batch into one batch per time, by ascending time.
    pub(crate) fn by_time(self) -> Vec<(T, UpdateBatch<T>)> {
        let times = match &self.times {
            PerRow::Same(time) => return vec![(*time, self)],
            PerRow::Each(times) => times,
        };
        let mut rows: BTreeMap<T, Vec<u32>> = BTreeMap::new();
        for (row, time) in (0_u32..).zip(times.iter()) {
            rows.entry(*time).or_default().push(row);
        }
        rows.into_iter().map(|(time, rows)| (time, self.take(&rows))).collect()
    }
}

/// Returns `rows` under `schema`, which may differ from theirs only in names, metadata and nullability.
pub(crate) fn rename(rows: RecordBatch, schema: &SchemaRef) -> RecordBatch {
    if Arc::ptr_eq(rows.schema_ref(), schema) || rows.schema_ref() == schema {
        return rows;
    }
    build_rows(schema, rows.columns().to_vec(), rows.num_rows())
}

/// Builds a batch of `rows` rows; `columns` may be empty and must fit the schema.
pub(crate) fn build_rows(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).expect("columns fit their schema")
}

/// Returns the rows at `positions`, which must be in range, in that order.
pub(crate) fn take_rows(rows: &RecordBatch, positions: &[u32]) -> RecordBatch {
    let indices = UInt32Array::from(positions.to_vec());
    let columns = rows.columns().iter().map(|c| take(c, &indices, None).expect("positions are in range")).collect();
    build_rows(rows.schema_ref(), columns, positions.len())
}

static NO_COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::empty()));

/// The placeholder that timely leaves behind when it moves a batch out of an edge; it is never sent.
impl<T: Copy + Default> Default for UpdateBatch<T> {
    fn default() -> Self {
        UpdateBatch::insert(RecordBatch::new_empty(Arc::clone(&NO_COLUMNS)), T::default())
    }
}

impl<T: Copy> timely::Accountable for UpdateBatch<T> {
    fn record_count(&self) -> i64 {
        i64::try_from(self.len()).expect("a batch is smaller than memory")
    }
}

/// The exchange between workers requires this trait but calls it only between processes; all our workers are threads of
/// one process.
impl<T> ContainerBytes for UpdateBatch<T> {
    fn from_bytes(_: Bytes) -> Self {
        unreachable!("workers are threads of one process")
    }

    fn length_in_bytes(&self) -> usize {
        unreachable!("workers are threads of one process")
    }

    fn into_bytes<W: Write>(&self, _: &mut W) {
        unreachable!("workers are threads of one process")
    }
}
