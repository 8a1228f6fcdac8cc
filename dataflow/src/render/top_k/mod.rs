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
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use timely::dataflow::Stream;

use super::aside::Aside;
use super::by_time::{Changes, Input, TimedState, by_time};
use super::groups::Groups;
use crate::arrangement::exchange_by;
use crate::plan::TopK;
use crate::report::StateSize;
use crate::row_bytes::{KeyCodec, RowCodec, column_type};
use crate::update::PerRow;
use crate::{DataflowError, Diff, Diffs, Time, UpdateBatch};
use page::{Ordered, Page};

/// Maximum number of rows in an output batch.
const BATCH: usize = 8192;

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
    ordered: Vec<Ordered>,
    /// For each group, its position in `touched` plus 1; 0 if it is not touched.
    marks: Vec<u32>,
    touched: Vec<Touched>,
    /// The groups of the rows of the current batch; kept to reuse the allocation.
    assigned: Vec<u32>,
    schema: SchemaRef,
}

/// A group that has changes at the current time.
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
            ordered: Vec::new(),
            marks: Vec::new(),
            touched: Vec::new(),
            assigned: Vec::new(),
            schema: Arc::clone(schema),
        })
    }

    /// Returns the position of a group in `touched`; on its first touch, adds it and saves its first rows.
    fn touch(&mut self, group: u32) -> usize {
        let mark = &mut self.marks[group as usize];
        if *mark == 0 {
            let head = self.ordered[group as usize].head(&self.page);
            self.touched.push(Touched { group, head, changes: BTreeMap::new() });
            *mark = u32::try_from(self.touched.len()).expect("a worker has less than 2^32 groups");
        }
        *mark as usize - 1
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
    fn apply(&mut self, _input: usize, rows: &RecordBatch, diffs: &Diffs) {
        let mut groups = std::mem::take(&mut self.assigned);
        self.groups.assign(rows, &mut groups);
        self.ordered.resize_with(self.groups.capacity(), Ordered::default);
        self.marks.resize(self.groups.capacity(), 0);
        let mut columns: Vec<ArrayRef> = self.order.iter().map(|column| Arc::clone(rows.column(*column))).collect();
        columns.extend_from_slice(rows.columns());
        let encoded = self.codec.encode(&columns, rows.num_rows());
        for (row, group) in groups.iter().enumerate() {
            let (bytes, diff) = (encoded.row(row), diffs.at(row));
            assert!(diff > 0 || !self.monotonic, "a row was taken back from an input that only grows");
            // The row cannot change the page. If the input never retracts, it never will, so it is not even kept.
            if self.marks[*group as usize] == 0 && self.ordered[*group as usize].is_beyond(bytes) {
                if !self.monotonic {
                    self.ordered[*group as usize].add(bytes, diff);
                }
                continue;
            }
            let touched = self.touch(*group);
            self.ordered[*group as usize].add(bytes, diff);
            if self.page.limit.is_none() {
                *self.touched[touched].changes.entry(bytes.into()).or_default() += diff;
            } else if self.monotonic {
                self.ordered[*group as usize].trim(&self.page);
            }
        }
        self.assigned = groups;
    }

    fn close(&mut self) -> Changes {
        let mut changes: Vec<(Box<[u8]>, Diff)> = Vec::new();
        for touched in std::mem::take(&mut self.touched) {
            let group = touched.group;
            let ordered = &mut self.ordered[group as usize];
            ordered.assert_settled();
            let head = ordered.head(&self.page);
            ordered.settle(&self.page, &head);
            self.page.changes(&touched.head, &head, touched.changes, &mut changes);
            self.marks[group as usize] = 0;
            if ordered.is_empty() {
                self.ordered[group as usize] = Ordered::default();
                self.groups.remove(group);
            }
        }
        let rows = changes.chunks(BATCH).map(|changes| self.batch(changes)).collect();
        Changes { rows, failures: Vec::new() }
    }

    fn size(&self) -> StateSize {
        let bytes = self.groups.bytes()
            + self.ordered.iter().map(Ordered::bytes).sum::<usize>()
            + self.ordered.capacity() * size_of::<Ordered>()
            + (self.marks.capacity() + self.assigned.capacity()) * size_of::<u32>();
        StateSize::new(self.ordered.iter().map(Ordered::len).sum(), bytes)
    }
}

#[cfg(test)]
mod tests;
