//! `Heap`: the rows of a table in columns. Each row has a position, which it keeps until its segment is compacted.
//!
//! A deleted row stays in place and is masked out. When fewer than half of the rows of a segment are left, the table
//! that owns the heap rewrites the segment and updates its index. So memory falls with the number of rows, and a row is
//! copied O(1) times, amortised.

use std::sync::Arc;

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;

use super::buffer::{RowBuffer, batch_bytes, is_large, owned};
use super::scan::{Live, Scan, ScanPart};

/// Maximum number of rows in a segment, which bounds the work of the first read after a delete.
const SEGMENT_ROWS: usize = 8192;

/// Where a row is: the number of its segment, and the row in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowRef {
    pub(super) segment: u32,
    row: u32,
}

/// A set of rows, each at a position.
pub(super) struct Heap {
    schema: SchemaRef,
    segments: Vec<Segment>,
    /// Empty segments that can be reused.
    free: Vec<u32>,
    tail: RowBuffer,
    /// The segment whose rows are in `tail`; `None` while the tail is empty.
    tail_segment: Option<u32>,
    /// Segments that lost rows and may have become sparse.
    touched: Vec<u32>,
    rows: usize,
    frozen_bytes: usize,
}

/// What one write changed in a heap.
pub(super) enum HeapChange<'a> {
    /// For each changed row, the position of the row that was deleted and of the row that was added.
    Rows(Vec<(Option<RowRef>, Option<RowRef>)>),
    /// A new heap took the place of this one, which held all rows before the write.
    Replaced(&'a mut Heap),
}

/// A batch and a mask of the rows that are left.
struct Segment {
    /// `None` for the tail and for a free segment.
    rows: Option<RecordBatch>,
    bytes: usize,
    /// One bit per row, set while the row is live; made at the first delete.
    mask: Option<BooleanBufferBuilder>,
    live: usize,
    /// The mask as given to scans; cleared when the mask changes.
    shared: Option<Live>,
    /// The same for each run of the tail.
    shared_runs: Vec<Live>,
}

impl Segment {
    fn new(rows: Option<RecordBatch>) -> Self {
        let bytes = rows.as_ref().map_or(0, batch_bytes);
        let live = rows.as_ref().map_or(0, RecordBatch::num_rows);
        Segment { rows, bytes, mask: None, live, shared: None, shared_runs: Vec::new() }
    }

    /// Marks a row as live or as deleted; `len` is the number of rows in the segment.
    fn set(&mut self, row: u32, len: usize, live: bool) {
        let mask = self.mask.get_or_insert_with(|| {
            let mut mask = BooleanBufferBuilder::new(len);
            mask.append_n(len, true);
            mask
        });
        assert_ne!(mask.get_bit(row as usize), live, "a row is deleted and brought back in turn");
        mask.set_bit(row as usize, live);
        if live {
            self.live += 1
        } else {
            self.live -= 1
        }
        self.forget_shared();
    }

    fn forget_shared(&mut self) {
        self.shared = None;
        self.shared_runs.clear();
    }

    /// Returns the mask for a scan; `None` if no row was ever deleted.
    fn live(&mut self) -> Option<Live> {
        let mask = self.mask.as_ref()?;
        let count = self.live;
        Some(self.shared.get_or_insert_with(|| Live::new(mask.finish_cloned(), count)).clone())
    }

    /// Adds the tail's runs, with their masks, to the parts of a scan.
    fn tail_parts(&mut self, runs: &[RecordBatch], parts: &mut Vec<ScanPart>) {
        let Some(mask) = &self.mask else {
            parts.extend(runs.iter().map(|rows| ScanPart { rows: rows.clone(), live: None }));
            return;
        };
        if self.shared_runs.len() != runs.len() {
            let mask = mask.finish_cloned();
            let mut start = 0;
            let live = |rows: &RecordBatch| {
                let mask = mask.slice(start, rows.num_rows());
                start += rows.num_rows();
                let count = mask.count_set_bits();
                Live::new(mask, count)
            };
            self.shared_runs = runs.iter().map(live).collect();
        }
        let live = runs.iter().zip(&self.shared_runs);
        parts.extend(live.map(|(rows, live)| ScanPart { rows: rows.clone(), live: Some(live.clone()) }));
    }
}

impl Heap {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Heap {
            tail: RowBuffer::new(Arc::clone(&schema)),
            schema,
            segments: Vec::new(),
            free: Vec::new(),
            tail_segment: None,
            touched: Vec::new(),
            rows: 0,
            frozen_bytes: 0,
        }
    }

    /// Adds rows, which must have the heap's schema, and returns their positions in the same order.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Vec<RowRef> {
        self.rows += batch.num_rows();
        let mut positions = Vec::with_capacity(batch.num_rows());
        if is_large(batch) {
            let batch = owned(batch);
            for start in (0..batch.num_rows()).step_by(SEGMENT_ROWS) {
                let rows = batch.slice(start, SEGMENT_ROWS.min(batch.num_rows() - start));
                let len = rows.num_rows() as u32;
                let segment = self.add(Segment::new(Some(rows)));
                positions.extend((0..len).map(|row| RowRef { segment, row }));
            }
        } else if batch.num_rows() > 0 {
            self.push_to_tail(batch, &mut positions);
        }
        positions
    }

    fn push_to_tail(&mut self, batch: &RecordBatch, positions: &mut Vec<RowRef>) {
        let segment = match self.tail_segment {
            Some(segment) => segment,
            None => self.add(Segment::new(None)),
        };
        self.tail_segment = Some(segment);
        let first = self.tail.rows() as u32;
        self.tail.append(batch);
        positions.extend((first..self.tail.rows() as u32).map(|row| RowRef { segment, row }));
        let tail = &mut self.segments[segment as usize];
        tail.live += batch.num_rows();
        if let Some(mask) = &mut tail.mask {
            mask.append_n(batch.num_rows(), true);
            tail.forget_shared();
        }
        if self.tail.is_full() {
            let rows = self.tail.freeze();
            tail.bytes = batch_bytes(&rows);
            self.frozen_bytes += tail.bytes;
            tail.rows = Some(rows);
            tail.forget_shared();
            self.tail_segment = None;
            // A growing tail is not checked for sparseness, so rows deleted from it are only considered now.
            self.touched.push(segment);
        }
    }

    /// Adds a segment and returns its number.
    fn add(&mut self, segment: Segment) -> u32 {
        self.frozen_bytes += segment.bytes;
        match self.free.pop() {
            Some(number) => {
                self.segments[number as usize] = segment;
                number
            }
            None => {
                self.segments.push(segment);
                u32::try_from(self.segments.len() - 1).expect("fewer than 2^32 segments fit in memory")
            }
        }
    }

    /// Returns the number of rows in a segment, deleted ones included.
    fn len(&self, segment: u32) -> usize {
        self.segments[segment as usize].rows.as_ref().map_or(self.tail.rows(), RecordBatch::num_rows)
    }

    /// Deletes the row at `position`, which must be live.
    pub(super) fn delete(&mut self, position: RowRef) {
        let len = self.len(position.segment);
        let segment = &mut self.segments[position.segment as usize];
        segment.set(position.row, len, false);
        // A segment may be listed more than once, since `next_sparse` checks it again.
        if segment.rows.is_some() && segment.live * 2 < len && self.touched.last() != Some(&position.segment) {
            self.touched.push(position.segment);
        }
        self.rows -= 1;
    }

    /// Restores a deleted row; its segment must not have been compacted in between.
    pub(super) fn restore(&mut self, position: RowRef) {
        let len = self.len(position.segment);
        self.segments[position.segment as usize].set(position.row, len, true);
        self.rows += 1;
    }

    /// Returns the rows at `positions`, in that order, whether deleted or not.
    pub(super) fn gather(&self, positions: &[RowRef]) -> RecordBatch {
        if let [RowRef { segment, row }] = positions
            && let Some(rows) = &self.segments[*segment as usize].rows
        {
            return rows.slice(*row as usize, 1);
        }
        let in_tail = |position: &&RowRef| self.tail_segment == Some(position.segment);
        let tail_rows: Vec<u32> = positions.iter().filter(in_tail).map(|position| position.row).collect();
        let tail = self.tail.gather(&tail_rows);
        if tail_rows.len() == positions.len() {
            return tail;
        }
        // The rows are interleaved from several sources: number 0 holds those of the tail, in their order in
        // `positions`, and each segment that is met becomes another.
        let mut sources = vec![&tail];
        let mut source_of: HashMap<u32, usize> = HashMap::new();
        let mut tail_rows = 0..;
        let pick = |position: &RowRef| match &self.segments[position.segment as usize].rows {
            None => (0, tail_rows.next().expect("endless")),
            Some(rows) => {
                let source = *source_of.entry(position.segment).or_insert_with(|| {
                    sources.push(rows);
                    sources.len() - 1
                });
                (source, position.row as usize)
            }
        };
        let picks: Vec<(usize, usize)> = positions.iter().map(pick).collect();
        interleave_record_batch(&sources, &picks).expect("batches of one schema")
    }

    /// Returns a sparse segment with the positions and contents of its live rows. The caller must push the rows again,
    /// update its references to them, and then `release` the segment.
    pub(super) fn next_sparse(&mut self) -> Option<(u32, Vec<RowRef>, RecordBatch)> {
        while let Some(number) = self.touched.pop() {
            let segment = &self.segments[number as usize];
            let (Some(rows), Some(mask)) = (&segment.rows, &segment.mask) else { continue };
            if segment.live * 2 >= rows.num_rows() {
                continue;
            }
            let mask = mask.finish_cloned();
            let positions = mask.set_indices().map(|row| RowRef { segment: number, row: row as u32 }).collect();
            let rows = filter_record_batch(rows, &BooleanArray::new(mask, None)).expect("one bit a row");
            return Some((number, positions, rows));
        }
        None
    }

    /// Removes a segment and all rows in it.
    pub(super) fn release(&mut self, number: u32) {
        let segment = std::mem::replace(&mut self.segments[number as usize], Segment::new(None));
        self.rows -= segment.live;
        self.frozen_bytes -= segment.bytes;
        self.free.push(number);
    }

    pub(super) fn scan(&mut self) -> Scan {
        let mut parts = Vec::with_capacity(self.segments.len());
        for (number, segment) in self.segments.iter_mut().enumerate() {
            if let Some(rows) = &segment.rows {
                let rows = rows.clone();
                parts.push(ScanPart { rows, live: segment.live() });
            } else if self.tail_segment == Some(number as u32) {
                segment.tail_parts(self.tail.snapshot(), &mut parts);
            }
        }
        Scan::new(Arc::clone(&self.schema), parts)
    }

    /// Returns the rows as they were before `writes`, which are all writes since then, the oldest first. No segment may
    /// have been compacted in between.
    pub(super) fn scan_before<'a>(&'a mut self, writes: impl Iterator<Item = HeapChange<'a>>) -> Scan {
        let mut heap = self;
        let mut steps = Vec::new();
        for write in writes {
            match write {
                HeapChange::Rows(rows) => steps.extend(rows),
                HeapChange::Replaced(before) => {
                    // Later writes did not touch the heap from before the truncation, so they need not be undone.
                    heap = before;
                    break;
                }
            }
        }
        // Undoing the steps and redoing them leaves the heap unchanged, and the scan keeps its own copy of the masks.
        for (old, new) in steps.iter().rev() {
            new.iter().for_each(|position| heap.delete(*position));
            old.iter().for_each(|position| heap.restore(*position));
        }
        let scan = heap.scan();
        for (old, new) in &steps {
            old.iter().for_each(|position| heap.delete(*position));
            new.iter().for_each(|position| heap.restore(*position));
        }
        scan
    }

    /// Returns the positions of all live rows, in the order of a scan.
    pub(super) fn positions(&self) -> Vec<RowRef> {
        let mut positions = Vec::with_capacity(self.rows);
        for (number, segment) in self.segments.iter().enumerate() {
            let at = |row: usize| RowRef { segment: number as u32, row: row as u32 };
            match &segment.mask {
                Some(mask) => positions.extend(mask.finish_cloned().set_indices().map(at)),
                None => positions.extend((0..segment.live).map(at)),
            }
        }
        positions
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.frozen_bytes + self.tail.bytes()
    }
}
