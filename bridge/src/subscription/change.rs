//! Change batches: the net updates of one time, with an op per row; a delete and an insert of one key form a pair.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use hashbrown::HashMap;
use laminardb_dataflow::row_bytes::RowCodec;
use laminardb_dataflow::{DataflowError, Diff, Diffs, Time, UpdateBatch};

use crate::batch::relabel;

/// Maximum number of rows in one [`ChangeBatch`]; a time with more rows is split.
pub const MAX_BATCH_ROWS: usize = 1_000_000;

/// What a change does to the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A new row.
    Insert,
    /// A row that is gone.
    Delete,
    /// The old row of a key that changed; the new one follows immediately.
    UpdateDelete,
    /// The new row of a key that changed.
    UpdateInsert,
}

impl Op {
    /// Returns the name that programs see.
    pub fn name(self) -> &'static str {
        match self {
            Op::Insert => "Insert",
            Op::Delete => "Delete",
            Op::UpdateDelete => "UpdateDelete",
            Op::UpdateInsert => "UpdateInsert",
        }
    }

    /// Returns +1 for an added row, -1 for a removed one.
    pub fn diff(self) -> Diff {
        match self {
            Op::Insert | Op::UpdateInsert => 1,
            Op::Delete | Op::UpdateDelete => -1,
        }
    }
}

/// Changes of one time. Never empty.
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    /// The rows, including deleted ones.
    pub rows: RecordBatch,
    /// One op per row.
    pub ops: Arc<[Op]>,
    /// The time at which the changes happened.
    pub time: Time,
    /// Whether these are contents as of `time` rather than changes.
    pub is_snapshot: bool,
    /// Whether no other batch of this time follows.
    pub is_last: bool,
}

/// Columns of a view's rows, and which of them form a unique key.
#[derive(Debug)]
pub struct Shape {
    schema: SchemaRef,
    unique_key: Option<Vec<usize>>,
    /// Encodes whole rows. No column is a key here: as in the engine, intervals are equal only if they are the same.
    rows: RowCodec,
    /// Encodes keys.
    keys: RowCodec,
}

impl Shape {
    /// Makes the shape of a view's rows. Fails if a column type has no row encoding.
    pub fn new(schema: SchemaRef, unique_key: Option<Vec<usize>>) -> Result<Self, DataflowError> {
        let types = |columns: &[usize]| columns.iter().map(|c| schema.field(*c).data_type().clone()).collect();
        let rows = RowCodec::comparing(types(&(0..schema.fields().len()).collect::<Vec<_>>()), 0)?;
        let key = unique_key.as_deref().unwrap_or_default();
        let keys = RowCodec::comparing(types(key), key.len())?;
        Ok(Shape { schema, unique_key, rows, keys })
    }

    /// Returns the columns of the view.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the contents as of `time`, each row as often as it counts.
    pub fn snapshot(&self, rows: &[(RecordBatch, Diffs)], time: Time) -> Result<Vec<ChangeBatch>, ArrowError> {
        let mut batches = Vec::with_capacity(rows.len());
        for (batch, diffs) in rows {
            if batch.num_rows() > 0 {
                batches.push(repeat(&relabel(batch, &self.schema)?, diffs)?);
            }
        }
        let all = concat_batches(&self.schema, &batches)?;
        let ops = vec![Op::Insert; all.num_rows()];
        Ok(split(&all, &ops, time, true))
    }

    /// Returns the net changes of one time from the updates of all workers. The result may be empty.
    pub fn changes(&self, shards: &[UpdateBatch], time: Time) -> Result<Vec<ChangeBatch>, ArrowError> {
        let batches: Vec<RecordBatch> =
            shards.iter().map(|s| relabel(&s.rows, &self.schema)).collect::<Result<_, ArrowError>>()?;
        let all = match &batches[..] {
            [one] => one.clone(),
            several => concat_batches(&self.schema, several)?,
        };
        let mut diffs: Vec<Diff> = shards.iter().flat_map(|s| (0..s.len()).map(|row| s.diffs.at(row))).collect();
        if diffs.iter().all(|diff| *diff == 1) {
            let ops = vec![Op::Insert; all.num_rows()];
            return Ok(split(&all, &ops, time, false));
        }
        let mut values: Vec<u64> = (0..diffs.len() as u64).collect();
        // Without an insertion nothing can cancel, so equal rows need not be found.
        if diffs.iter().any(|diff| *diff > 0) {
            self.consolidate(&all, &mut diffs, &mut values);
        }
        let (rows, ops) = self.pair(&all, &diffs, &values);
        let picked = take_record_batch(&all, &UInt64Array::from(rows))?;
        Ok(split(&picked, &ops, time, false))
    }

    /// Adds the diffs of equal rows to the first of them: several workers may hold parts of one row.
    ///
    /// Equal rows may have different values, such as 0.0 and -0.0. `values` holds for each row the row whose values are
    /// delivered for it: what is left is an addition with values that were added, or a removal with values that were
    /// removed.
    fn consolidate(&self, all: &RecordBatch, diffs: &mut [Diff], values: &mut [u64]) {
        let encoded = self.rows.encode(all.columns(), all.num_rows());
        let mut first: HashMap<&[u8], usize> = HashMap::with_capacity(diffs.len());
        for row in 0..diffs.len() {
            let holder = *first.entry(encoded.row(row)).or_insert(row);
            if holder != row {
                let before = diffs[holder];
                diffs[holder] += std::mem::take(&mut diffs[row]);
                // Then the sum has the sign of this row, or is 0 and has none.
                if diffs[holder].signum() != before.signum() {
                    values[holder] = row as u64;
                }
            }
        }
    }

    /// Returns rows and ops in delivery order: by first appearance of the key, and deletes before inserts within it.
    /// `values` is what [`Shape::consolidate`] makes of it.
    fn pair(&self, all: &RecordBatch, diffs: &[Diff], values: &[u64]) -> (Vec<u64>, Vec<Op>) {
        let mut rows = Vec::with_capacity(diffs.len());
        let mut ops = Vec::with_capacity(diffs.len());
        let live = (0..diffs.len()).filter(|row| diffs[*row] != 0);
        let Some(key) = &self.unique_key else {
            for row in live {
                let op = if diffs[row] > 0 { Op::Insert } else { Op::Delete };
                for _ in 0..diffs[row].unsigned_abs() {
                    rows.push(values[row]);
                    ops.push(op);
                }
            }
            return (rows, ops);
        };
        let mut groups: Vec<(Vec<u64>, Vec<u64>)> = Vec::new();
        let columns: Vec<ArrayRef> = key.iter().map(|column| Arc::clone(all.column(*column))).collect();
        let encoded = self.keys.encode(&columns, all.num_rows());
        let mut group_of: HashMap<&[u8], usize> = HashMap::with_capacity(diffs.len());
        for row in live {
            let group = *group_of.entry(encoded.row(row)).or_insert_with(|| {
                groups.push((Vec::new(), Vec::new()));
                groups.len() - 1
            });
            let side = if diffs[row] < 0 { &mut groups[group].0 } else { &mut groups[group].1 };
            side.extend(std::iter::repeat_n(values[row], diffs[row].unsigned_abs() as usize));
        }
        for (deletes, inserts) in groups {
            let pairs = deletes.len().min(inserts.len());
            for (delete, insert) in deletes.iter().zip(&inserts) {
                rows.extend([*delete, *insert]);
                ops.extend([Op::UpdateDelete, Op::UpdateInsert]);
            }
            for (rest, op) in [(&deletes[pairs..], Op::Delete), (&inserts[pairs..], Op::Insert)] {
                rows.extend_from_slice(rest);
                ops.extend(std::iter::repeat_n(op, rest.len()));
            }
        }
        (rows, ops)
    }
}

/// Repeats each row as often as its diff says; rows with a diff below 1 are left out.
pub(crate) fn repeat(batch: &RecordBatch, diffs: &Diffs) -> Result<RecordBatch, ArrowError> {
    if *diffs == Diffs::Same(1) {
        return Ok(batch.clone());
    }
    let rows: UInt64Array = (0..batch.num_rows())
        .flat_map(|row| std::iter::repeat_n(row as u64, usize::try_from(diffs.at(row)).unwrap_or(0)))
        .map(Some)
        .collect();
    take_record_batch(batch, &rows)
}

/// Splits changes into batches of at most `MAX_BATCH_ROWS` rows without separating an update pair.
fn split(all: &RecordBatch, ops: &[Op], time: Time, is_snapshot: bool) -> Vec<ChangeBatch> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < all.num_rows() {
        let mut end = all.num_rows().min(start + MAX_BATCH_ROWS);
        if end < all.num_rows() && ops[end] == Op::UpdateInsert {
            end -= 1;
        }
        parts.push(ChangeBatch {
            rows: all.slice(start, end - start),
            ops: ops[start..end].into(),
            time,
            is_snapshot,
            is_last: end == all.num_rows(),
        });
        start = end;
    }
    parts
}
