//! `Scan`: the rows of a relation at one moment. It is cheap to take, and later writes do not change it.

use std::sync::{Arc, OnceLock};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;

/// The rows of a relation at one moment: in insertion order for a source, in no particular order for a table.
#[derive(Clone, Debug)]
pub struct Scan {
    schema: SchemaRef,
    parts: Vec<ScanPart>,
    rows: usize,
}

/// A batch and which of its rows are live; `None` means all.
#[derive(Clone, Debug)]
pub(super) struct ScanPart {
    pub(super) rows: RecordBatch,
    pub(super) live: Option<Live>,
}

/// Mask of the live rows of a batch, and those rows themselves once they were asked for.
#[derive(Clone, Debug)]
pub(super) struct Live {
    mask: BooleanBuffer,
    count: usize,
    /// Shared by all scans that are taken between two changes of the mask.
    picked: Arc<OnceLock<RecordBatch>>,
}

impl Live {
    pub(super) fn new(mask: BooleanBuffer, count: usize) -> Self {
        Live { mask, count, picked: Arc::new(OnceLock::new()) }
    }

    fn pick(&self, rows: &RecordBatch) -> RecordBatch {
        let pick = || {
            let mask = BooleanArray::new(self.mask.clone(), None);
            filter_record_batch(rows, &mask).expect("the mask has a bit for each row")
        };
        self.picked.get_or_init(pick).clone()
    }
}

impl Scan {
    pub(super) fn new(schema: SchemaRef, parts: Vec<ScanPart>) -> Self {
        let count = |part: &ScanPart| part.live.as_ref().map_or(part.rows.num_rows(), |live| live.count);
        let rows = parts.iter().map(count).sum();
        Scan { schema, parts, rows }
    }

    /// Appends `batches`, which must have the scan's schema, after the rows.
    pub(super) fn followed_by(mut self, batches: &[RecordBatch]) -> Self {
        self.rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        self.parts.extend(batches.iter().map(|rows| ScanPart { rows: rows.clone(), live: None }));
        self
    }

    /// Returns the schema of the rows, which is the relation's own.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the rows as non-empty batches. Deleted rows are filtered out here, so that taking a scan is cheap.
    pub fn batches(&self) -> Vec<RecordBatch> {
        self.iter().collect()
    }

    /// Returns the same batches one by one.
    pub fn iter(&self) -> impl Iterator<Item = RecordBatch> + '_ {
        self.parts.iter().filter_map(|part| match &part.live {
            None => Some(part.rows.clone()),
            Some(live) if live.count == 0 => None,
            Some(live) => Some(live.pick(&part.rows)),
        })
    }
}
