//! The first rows of each group in an order: rows are kept as ordered bytes, and a page of them is the output.
//!
//! ```text
//! rows --> group of each row --> its rows in order ; at the close of a time: what changed in each touched group's page
//! ```
//!
//! A row's bytes are those of its order columns, with directions applied, followed by those of all its columns: byte
//! order is the requested order, with ties always broken the same way.

mod closing;
mod page;
mod run;

use std::cell::RefCell;
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
use crate::ordered::{Bytes, Held};
use crate::plan::TopK;
use crate::report::StateSize;
use crate::row_bytes::{KeyCodec, RowCodec, column_type};
use crate::segments::Segments;
use crate::update::PerRow;
use crate::{DataflowError, Diff, Diffs, Time, UpdateBatch};
use closing::{Closing, Rows, Touched};
use page::Page;
use run::Run;

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
    by_group: Segments<Group>,
    /// What the rows of all groups take.
    held: Held,
    /// For each group, its position in `touched` plus 1; 0 if it is not touched.
    marks: Segments<u32>,
    touched: Segments<Touched>,
    /// What the notes of `touched` take.
    noted: Held,
    /// Number of groups of `touched` whose close has begun.
    closed: usize,
    /// The group that is being closed.
    closing: Option<Closing>,
    /// How many rows are encoded at once: as many as the allowance of an activation usually suffices for.
    stride: usize,
    /// The groups of the rows of the current batch; kept to reuse the allocation.
    assigned: Vec<u32>,
    /// The bytes of a row that is dropped; kept to reuse the allocation.
    dropped: Vec<u8>,
    schema: SchemaRef,
}

/// The rows of a group.
#[derive(Default)]
struct Group {
    rows: Rows,
    /// The last row that decided the output when a time was last closed, if there were enough of them: changes after it
    /// do not affect the output.
    boundary: Option<Box<[u8]>>,
}

impl Group {
    /// Whether `row` cannot affect the output, as long as no row up to the boundary changes.
    fn is_beyond(&self, row: &[u8]) -> bool {
        self.boundary.as_ref().is_some_and(|boundary| row > &boundary[..])
    }

    /// Returns how many rows decided the output at the last close.
    fn head(&self, page: Page) -> Diff {
        if self.boundary.is_some() { page.end } else { self.rows.total().min(page.end) }
    }

    /// Saves the boundary at the close of a time.
    fn settle(&mut self, page: Page) {
        // Without a limit the rows after the page's start are all in the output.
        let is_full = page.is_bounded() && self.rows.total() >= page.end;
        let last = is_full.then(|| self.rows.from(page.end - 1).next()).flatten().map(|entry| entry.key);
        if self.boundary.as_deref() != last {
            self.boundary = last.map(Box::from);
        }
    }

    /// Asserts that no row has been retracted more often than inserted; release builds check only the total.
    fn assert_settled(&self) {
        let rows = &self.rows;
        let settled = rows.total() >= 0 && (!cfg!(debug_assertions) || rows.entries().all(|entry| entry.count > 0));
        assert!(settled, "a row was taken back that was not there");
    }
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
            page: Page::new(plan.offset, plan.limit),
            monotonic: plan.monotonic,
            groups: Groups::new(KeyCodec::new(schema, &plan.group)?),
            order,
            codec: RowCodec::ordered(types, options, plan.order.len())?,
            by_group: Segments::default(),
            held: Held::default(),
            marks: Segments::default(),
            touched: Segments::default(),
            noted: Held::default(),
            closed: 0,
            closing: None,
            stride: PIECE_ROWS,
            assigned: Vec::new(),
            dropped: Vec::new(),
            schema: Arc::clone(schema),
        })
    }

    /// Returns the position of a group in `touched`; on its first touch, notes what it was.
    fn touch(&mut self, group: u32, allowance: &mut Allowance) -> usize {
        let mark = &mut self.marks[group as usize];
        if *mark == 0 {
            let kept = &self.by_group[group as usize];
            let before = self.noted.values;
            self.touched.push(Touched::new(group, &kept.rows, kept.head(self.page), &mut self.noted));
            allowance.spend(self.noted.values - before);
            *mark = u32::try_from(self.touched.len()).expect("a worker has less than 2^32 groups");
        }
        *mark as usize - 1
    }

    /// Applies one row of a group.
    fn apply_row(&mut self, group: u32, bytes: &[u8], diff: Diff, allowance: &mut Allowance) {
        assert!(diff > 0 || !self.monotonic, "a row was taken back from an input that only grows");
        allowance.spend(1);
        let kept = &mut self.by_group[group as usize];
        if kept.is_beyond(bytes) {
            // The row cannot change the page. If the input never retracts, it never will, so it is not even kept.
            if !self.monotonic {
                kept.rows.add(bytes, diff, &mut self.held);
            }
            return;
        }
        let touched = self.touch(group, allowance);
        let (kept, touched) = (&mut self.by_group[group as usize], &mut self.touched[touched]);
        kept.rows.add(bytes, diff, &mut self.held);
        if touched.has_changes() {
            touched.note(bytes, diff, &mut self.noted);
        }
        while self.monotonic && kept.rows.total() > self.page.end {
            // The page cannot reach the last rows.
            let Some((last, count)) = kept.rows.last() else { return };
            let excess = (kept.rows.total() - self.page.end).min(count);
            self.dropped.clear();
            self.dropped.extend_from_slice(last);
            kept.rows.add(&self.dropped, -excess, &mut self.held);
            if touched.has_changes() {
                touched.note(&self.dropped, -excess, &mut self.noted);
            }
        }
    }

    /// Does a part of the close of a group, and appends what changes in its page to `run`. Returns whether more is left.
    fn close_group(&mut self, closing: &mut Closing, run: &mut Run, allowance: &mut Allowance) -> bool {
        if !closing.is_done() {
            let group = closing.touched.group as usize;
            let kept = &mut self.by_group[group];
            closing.advance(&kept.rows, self.page, run, BATCH, allowance);
            if !closing.is_done() {
                return true;
            }
            kept.settle(self.page);
            self.marks[group] = 0;
            if kept.rows.is_empty() {
                *kept = Group::default();
                self.groups.remove(group as u32);
            }
        }
        let most = allowance.left().max(1);
        let freed = closing.touched.discard(most);
        allowance.spend(freed);
        freed == most
    }

    /// Decodes rows to a batch, leaving out their order columns.
    fn batch(&self, run: Run) -> (RecordBatch, Diffs) {
        let mut columns: Vec<ArrayRef> = self.codec.decode(run.rows());
        columns.drain(..self.order.len());
        let options = RecordBatchOptions::new().with_row_count(Some(run.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        (rows.expect("rows fit the schema they came under"), PerRow::from_vec(run.into_diffs()))
    }
}

impl TimedState for TopKState {
    fn apply(&mut self, _input: usize, rows: &RecordBatch, diffs: &Diffs, allowance: &mut Allowance) -> usize {
        let rows = rows.slice(0, rows.num_rows().min(self.stride));
        let mut groups = std::mem::take(&mut self.assigned);
        self.groups.assign(&rows, &mut groups);
        self.by_group.grow(self.groups.capacity(), Group::default);
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
        let mut run = Run::default();
        while run.len() < BATCH && allowance.left() > 0 {
            if let Some(mut closing) = self.closing.take() {
                if self.close_group(&mut closing, &mut run, allowance) {
                    self.closing = Some(closing);
                }
            } else if let Some(touched) = self.touched.get_mut(self.closed) {
                self.closed += 1;
                let touched = std::mem::take(touched);
                allowance.spend(1);
                self.by_group[touched.group as usize].assert_settled();
                self.closing = Some(Closing::new(touched));
            } else {
                break;
            }
        }
        let of_group = |closing: &Closing| closing.left(&self.by_group[closing.touched.group as usize].rows, self.page);
        let left = self.closing.as_ref().map_or(0, of_group) + self.touched.len() - self.closed;
        if left == 0 {
            self.touched = Segments::default();
            self.noted = Held::default();
            self.closed = 0;
        }
        let rows = if run.len() == 0 { Vec::new() } else { vec![self.batch(run)] };
        Changes { rows, failures: Vec::new(), left }
    }

    fn free(&mut self, allowance: &mut Allowance) -> bool {
        while allowance.left() > 0 {
            let freed = if let Some(last) = self.by_group.last_mut() {
                let freed = last.rows.discard(allowance.left());
                if last.rows.is_empty() {
                    self.by_group.pop();
                }
                1 + freed
            } else if let Some(last) = self.touched.last_mut() {
                let freed = last.discard(allowance.left());
                if freed == 0 {
                    self.touched.pop();
                }
                1 + freed
            } else {
                match self.groups.discard(allowance.left()) {
                    0 => self.marks.free(allowance.left()),
                    freed => freed,
                }
            };
            if freed == 0 {
                return false;
            }
            allowance.spend(freed);
        }
        true
    }

    fn size(&self) -> StateSize {
        let bytes = self.groups.bytes()
            + self.held.bytes::<Bytes>()
            + self.noted.bytes::<Bytes>()
            + self.by_group.bytes()
            + self.marks.bytes()
            + self.assigned.capacity() * size_of::<u32>();
        StateSize::new(self.held.values, bytes)
    }
}

#[cfg(test)]
mod tests;
