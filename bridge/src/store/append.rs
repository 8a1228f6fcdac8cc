//! `Append`: the rows of a source, which are never removed. Large batches are kept as they are, small ones are
//! coalesced.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::buffer::{RowBuffer, batch_bytes, is_large, owned};
use super::scan::{Scan, ScanPart};

/// Rows in insertion order: `frozen`, then `tail`.
pub(super) struct Append {
    schema: SchemaRef,
    frozen: Vec<RecordBatch>,
    tail: RowBuffer,
    rows: usize,
    frozen_bytes: usize,
}

impl Append {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Append { tail: RowBuffer::new(Arc::clone(&schema)), schema, frozen: Vec::new(), rows: 0, frozen_bytes: 0 }
    }

    /// Appends rows, which must be of the schema.
    pub(super) fn insert(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows();
        if is_large(batch) {
            // The rows in the tail are older; they must come first in insertion order.
            self.freeze_tail();
            self.keep(owned(batch));
        } else if batch.num_rows() > 0 {
            self.tail.append(batch);
            if self.tail.is_full() {
                self.freeze_tail();
            }
        }
    }

    fn freeze_tail(&mut self) {
        if self.tail.rows() > 0 {
            let batch = self.tail.freeze();
            self.keep(batch);
        }
    }

    fn keep(&mut self, batch: RecordBatch) {
        self.frozen_bytes += batch_bytes(&batch);
        self.frozen.push(batch);
    }

    pub(super) fn scan(&mut self) -> Scan {
        let batches = self.frozen.iter().chain(self.tail.snapshot());
        let parts = batches.map(|rows| ScanPart { rows: rows.clone(), live: None });
        Scan::new(Arc::clone(&self.schema), parts.collect())
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.frozen_bytes + self.tail.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{random_batch, schema_of_all_types};

    #[test]
    fn scans_hold_all_rows_in_order_and_stay_what_they_were() {
        let schema = schema_of_all_types();
        let mut source = Append::new(Arc::clone(&schema));
        let mut given = Vec::new();
        let mut scans = Vec::new();
        for (seed, rows) in [1, 3, 2000, 1, 0, 500, 500, 1024, 7, 9000, 2].into_iter().enumerate() {
            let batch = random_batch(&schema, seed as u64, rows);
            source.insert(&batch);
            given.push(batch);
            let all = arrow::compute::concat_batches(&schema, &given).expect("one schema");
            scans.push((source.scan(), all));
        }
        for (scan, all) in scans {
            assert_eq!(scan.rows(), all.num_rows());
            assert_eq!(arrow::compute::concat_batches(&schema, &scan.batches()).expect("one schema"), all);
        }
    }

    #[test]
    fn one_row_inserts_are_coalesced() {
        let schema = schema_of_all_types();
        let mut source = Append::new(Arc::clone(&schema));
        let row = random_batch(&schema, 1, 1);
        for _ in 0..20_000 {
            source.insert(&row);
        }
        assert_eq!(source.scan().batches().len(), 3);
        for _ in 0..100 {
            source.insert(&row);
            assert!(source.scan().batches().len() < 3 + 14);
        }
        assert_eq!(source.rows(), 20_100);
    }

    #[test]
    fn a_large_batch_is_kept_without_a_copy() {
        let schema = schema_of_all_types();
        let mut source = Append::new(Arc::clone(&schema));
        let batch = random_batch(&schema, 1, 4096);
        source.insert(&batch);
        let kept = source.scan().batches().remove(0);
        assert_eq!(kept.column(0).to_data().buffers()[0].as_ptr(), batch.column(0).to_data().buffers()[0].as_ptr());
    }
}
