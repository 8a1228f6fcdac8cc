//! The first rows of each group in an order: rows are kept as ordered bytes, and a page of them is the output.
//!
//! ```text
//! rows --> group of each row --> its rows in order ; at the close of a time: old and new page of each touched group
//! ```
//!
//! A row's bytes are those of its order columns, with directions applied, followed by those of all its columns: byte
//! order is the requested order, with ties always broken the same way.

mod page;

use std::cell::RefCell;
use std::collections::{BTreeMap, btree_map};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use timely::dataflow::Stream;

use super::allowance::Allowance;
use super::aside::Aside;
use super::by_time::{Changes, Input, TimedState, by_time};
use super::groups::Groups;
use crate::arrangement::exchange_by;
use crate::fuel::PIECE_ROWS;
use crate::plan::TopK;
use crate::report::StateSize;
use crate::row_bytes::{KeyCodec, RowCodec, column_type};
use crate::segments::Segments;
use crate::update::PerRow;
use crate::{DataflowError, Diff, Diffs, Time, UpdateBatch};
use page::{Held, Ordered, Page};

/// Maximum number of rows in an output batch.
const BATCH: usize = 8192;
/// The least number of rows that are encoded at once.
const LEAST_STRIDE: usize = 16;

/// Returns the page of each group of `input`, whose rows have the schema `schema`, and this worker's state.
pub(crate) fn top_k<'s>(
    input: Stream<'s, Time, UpdateBatch>,
    plan: &TopK,
    schema: &SchemaRef,
    aside: Aside,
) -> Result<(Stream<'s, Time, UpdateBatch>, Rc<RefCell<TopKState>>), DataflowError> {
    let state = Rc::new(RefCell::new(TopKState::new(plan, schema)?));
    let key = Arc::new(KeyCodec::new(schema, &plan.group)?);
    let input = Input { updates: input, exchange: exchange_by(key) };
    let rows = by_time("TopK", vec![input], Rc::clone(&state), None, aside);
    Ok((rows, state))
}

/// The rows of each group, in order.
pub(crate) struct TopKState {
    page: Page,
    monotonic: bool,
    groups: Groups,
    order: Vec<usize>,
    codec: RowCodec,
    ordered: Segments<Ordered>,
    /// What `ordered` holds altogether.
    held: Held,
    /// For each group, its position in `touched` plus 1; 0 if it is not touched.
    marks: Segments<u32>,
    touched: Segments<Touched>,
    /// Number of groups of `touched` that have been closed.
    closed: usize,
    /// What is still to be sent of the changes of the group closed last; a diff may be 0.
    unsent: btree_map::IntoIter<Box<[u8]>, Diff>,
    /// How many rows are encoded at once: as many as the allowance of an activation usually suffices for.
    stride: usize,
    /// The groups of the rows of the current batch; kept to reuse the allocation.
    assigned: Vec<u32>,
    schema: SchemaRef,
}

/// A group that has changes at the current time.
#[derive(Default)]
struct Touched {
    group: u32,
    /// Its first rows before these changes.
    head: Vec<(Box<[u8]>, Diff)>,
    /// The changes of its rows; used only without a limit.
    changes: BTreeMap<Box<[u8]>, Diff>,
}

impl TopKState {
    pub(crate) fn new(plan: &TopK, schema: &SchemaRef) -> Result<Self, DataflowError> {
        let (mut types, mut options, mut order) = (Vec::new(), Vec::new(), Vec::new());
        for key in &plan.order {
            types.push(column_type(schema, key.column)?);
            options.push(SortOptions { descending: key.descending, nulls_first: key.nulls_first });
            order.push(key.column);
        }
        types.extend(schema.fields().iter().map(|field| field.data_type().clone()));
        options.resize(types.len(), SortOptions::default());
        Ok(TopKState {
            page: Page { offset: plan.offset, limit: plan.limit },
            monotonic: plan.monotonic,
            groups: Groups::new(KeyCodec::new(schema, &plan.group)?),
            order,
            codec: RowCodec::ordered(types, options, plan.order.len())?,
            ordered: Segments::default(),
            held: Held::default(),
            marks: Segments::default(),
            touched: Segments::default(),
            closed: 0,
            unsent: btree_map::IntoIter::default(),
            stride: PIECE_ROWS,
            assigned: Vec::new(),
            schema: Arc::clone(schema),
        })
    }

    /// Returns the position of a group in `touched`; on its first touch, adds it and saves its first rows.
    fn touch(&mut self, group: u32, allowance: &mut Allowance) -> usize {
        let mark = &mut self.marks[group as usize];
        if *mark == 0 {
            let head = self.ordered[group as usize].head(&self.page);
            allowance.spend(head.len());
            self.touched.push(Touched { group, head, changes: BTreeMap::new() });
            *mark = u32::try_from(self.touched.len()).expect("a worker has less than 2^32 groups");
        }
        *mark as usize - 1
    }

    /// Ends the current time for a touched group; returns the changes of its output, which may have diffs of 0.
    fn close_group(&mut self, touched: Touched, allowance: &mut Allowance) -> BTreeMap<Box<[u8]>, Diff> {
        let group = touched.group;
        let ordered = &mut self.ordered[group as usize];
        ordered.assert_settled();
        let head = ordered.head(&self.page);
        allowance.spend(1 + touched.head.len() + head.len());
        ordered.settle(&self.page, &head);
        self.marks[group as usize] = 0;
        if ordered.is_empty() {
            *ordered = Ordered::default();
            self.groups.remove(group);
        }
        self.page.changes(&touched.head, &head, touched.changes)
    }

    /// Applies one row of a group.
    fn apply_row(&mut self, group: u32, bytes: &[u8], diff: Diff, allowance: &mut Allowance) {
        assert!(diff > 0 || !self.monotonic, "a row was taken back from an input that only grows");
        allowance.spend(1);
        // The row cannot change the page. If the input never retracts, it never will, so it is not even kept.
        if self.marks[group as usize] == 0 && self.ordered[group as usize].is_beyond(bytes) {
            if !self.monotonic {
                self.ordered[group as usize].add(bytes, diff, &mut self.held);
            }
            return;
        }
        let touched = self.touch(group, allowance);
        self.ordered[group as usize].add(bytes, diff, &mut self.held);
        if self.page.limit.is_none() {
            *self.touched[touched].changes.entry(bytes.into()).or_default() += diff;
        } else if self.monotonic {
            self.ordered[group as usize].trim(&self.page, &mut self.held);
        }
    }

    /// Decodes rows to a batch, leaving out their order columns.
    fn batch(&self, changes: &[(Box<[u8]>, Diff)]) -> (RecordBatch, Diffs) {
        let mut columns: Vec<ArrayRef> = self.codec.decode(changes.iter().map(|(bytes, _)| &bytes[..]));
        columns.drain(..self.order.len());
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        let diffs = PerRow::from_vec(changes.iter().map(|(_, diff)| *diff).collect());
        (rows.expect("rows fit the schema they came under"), diffs)
    }
}

impl TimedState for TopKState {
    fn apply(&mut self, _input: usize, rows: &RecordBatch, diffs: &Diffs, allowance: &mut Allowance) -> usize {
        let rows = rows.slice(0, rows.num_rows().min(self.stride));
        let mut groups = std::mem::take(&mut self.assigned);
        self.groups.assign(&rows, &mut groups);
        self.ordered.grow(self.groups.capacity(), Ordered::default);
        self.marks.grow(self.groups.capacity(), || 0);
        let mut columns: Vec<ArrayRef> = self.order.iter().map(|column| Arc::clone(rows.column(*column))).collect();
        columns.extend_from_slice(rows.columns());
        let encoded = self.codec.encode(&columns, rows.num_rows());
        let mut applied = 0;
        while applied < groups.len() && (applied == 0 || allowance.left() > 0) {
            self.apply_row(groups[applied], encoded.row(applied), diffs.at(applied), allowance);
            applied += 1;
        }
        // Rows that are encoded and not applied are encoded again.
        let complete = applied == groups.len();
        self.stride = if complete { (2 * self.stride).min(PIECE_ROWS) } else { (2 * applied).max(LEAST_STRIDE) };
        self.assigned = groups;
        applied
    }

    fn close(&mut self, allowance: &mut Allowance) -> Changes {
        let mut run = Vec::new();
        while run.len() < BATCH && allowance.left() > 0 {
            if self.unsent.len() > 0 {
                let room = self.unsent.len().min(BATCH - run.len()).min(allowance.left());
                allowance.spend(room);
                run.extend(self.unsent.by_ref().take(room).filter(|(_, diff)| *diff != 0));
            } else if let Some(touched) = self.touched.get_mut(self.closed) {
                self.closed += 1;
                let touched = std::mem::take(touched);
                self.unsent = self.close_group(touched, allowance).into_iter();
            } else {
                break;
            }
        }
        let left = self.unsent.len() + self.touched.len() - self.closed;
        if left == 0 {
            self.touched = Segments::default();
            self.closed = 0;
        }
        let rows = if run.is_empty() { Vec::new() } else { vec![self.batch(&run)] };
        Changes { rows, failures: Vec::new(), left }
    }

    fn free(&mut self, allowance: &mut Allowance) -> bool {
        while allowance.left() > 0 {
            if let Some(last) = self.ordered.last_mut() {
                let more = last.free(allowance);
                if !more {
                    self.ordered.pop();
                }
                continue;
            }
            let freed = match self.groups.discard(allowance.left()) {
                0 => self.marks.free(allowance.left()),
                freed => freed,
            };
            if freed == 0 {
                return false;
            }
            allowance.spend(freed);
        }
        true
    }

    fn size(&self) -> StateSize {
        // B-tree nodes are two thirds full after random insertions.
        let bytes = self.groups.bytes()
            + self.held.bytes
            + self.held.rows * size_of::<(Box<[u8]>, Diff)>() * 3 / 2
            + self.ordered.bytes()
            + self.marks.bytes()
            + self.assigned.capacity() * size_of::<u32>();
        StateSize::new(self.held.rows, bytes)
    }
}

#[cfg(test)]
mod tests;
