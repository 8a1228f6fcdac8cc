//! EXCEPT and INTERSECT, with or without ALL: keeps the multiplicities of each row on both sides.
//!
//! ```text
//! left --\
//!         rows by their bytes, with both counts ; at the close of a time: changes of their counts in the output
//! right -/
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use timely::dataflow::Stream;

use super::allowance::Allowance;
use super::aside::Aside;
use super::by_time::{Changes, Input, TimedState, by_time};
use super::groups::Groups;
use crate::arrangement::exchange_by;
use crate::plan::SetOperator;
use crate::report::StateSize;
use crate::row_bytes::KeyCodec;
use crate::segments::Segments;
use crate::update::PerRow;
use crate::{DataflowError, Diff, Diffs, Time, UpdateBatch};

/// Maximum number of rows in an output batch.
const BATCH: usize = 8192;

/// Combines `left` and `right`, whose column types are those of `schema`, the schema of the output. Also returns this
/// worker's state.
pub(crate) fn set<'s>(
    left: Stream<'s, Time, UpdateBatch>,
    right: Stream<'s, Time, UpdateBatch>,
    operator: SetOperator,
    schema: &SchemaRef,
    aside: Aside,
) -> Result<(Stream<'s, Time, UpdateBatch>, Rc<RefCell<SetState>>), DataflowError> {
    let state = Rc::new(RefCell::new(SetState::new(operator, schema)?));
    let key = Arc::new(whole_row(schema)?);
    let inputs = [left, right].map(|updates| Input { updates, exchange: exchange_by(Arc::clone(&key)) });
    let rows = by_time("Set", inputs.into(), Rc::clone(&state), None, aside);
    Ok((rows, state))
}

fn whole_row(schema: &Schema) -> Result<KeyCodec, DataflowError> {
    let columns: Vec<usize> = (0..schema.fields().len()).collect();
    KeyCodec::new(schema, &columns)
}

/// The rows of both sides and their multiplicities.
pub(crate) struct SetState {
    operator: SetOperator,
    rows: Groups,
    /// The multiplicities of each row on the left and on the right.
    counts: Segments<[Diff; 2]>,
    /// Whether each row is in `touched`.
    marks: Segments<bool>,
    /// The rows with changes at the current time, and their multiplicities in the output before.
    touched: Segments<(u32, Diff)>,
    /// Number of rows of `touched` whose changes have been sent.
    closed: usize,
    /// The ids of the rows of the current batch; kept to reuse the allocation.
    assigned: Vec<u32>,
    schema: SchemaRef,
    types: Vec<DataType>,
}

impl SetState {
    pub(crate) fn new(operator: SetOperator, schema: &SchemaRef) -> Result<Self, DataflowError> {
        let key = whole_row(schema)?;
        let types = key.codec().types().to_vec();
        Ok(SetState {
            operator,
            rows: Groups::new(key),
            counts: Segments::default(),
            marks: Segments::default(),
            touched: Segments::default(),
            closed: 0,
            assigned: Vec::new(),
            schema: Arc::clone(schema),
            types,
        })
    }
}

impl SetState {
    /// Builds the rows with these ids and diffs.
    fn batch(&self, changed: &[(u32, Diff)]) -> (RecordBatch, Diffs) {
        let columns = self.rows.key().codec().decode(changed.iter().map(|(id, _)| self.rows.key_of(*id)));
        let options = RecordBatchOptions::new().with_row_count(Some(changed.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        let diffs = PerRow::from_vec(changed.iter().map(|(_, diff)| *diff).collect());
        (rows.expect("rows fit the schema they came under"), diffs)
    }
}

/// Returns the multiplicity in the output of a row with these multiplicities on the two sides.
fn multiplicity(operator: SetOperator, [left, right]: [Diff; 2]) -> Diff {
    match operator {
        SetOperator::Except => Diff::from(left > 0 && right <= 0),
        SetOperator::ExceptAll => (left - right.max(0)).max(0),
        SetOperator::Intersect => Diff::from(left > 0 && right > 0),
        SetOperator::IntersectAll => left.min(right).max(0),
    }
}

impl TimedState for SetState {
    fn apply(&mut self, input: usize, rows: &RecordBatch, diffs: &Diffs, allowance: &mut Allowance) -> usize {
        let types = rows.columns().iter().map(|column| column.data_type());
        assert!(types.eq(&self.types), "both sides have the types of the output");
        self.rows.assign(rows, &mut self.assigned);
        self.counts.grow(self.rows.capacity(), || [0, 0]);
        self.marks.grow(self.rows.capacity(), || false);
        for (row, id) in self.assigned.iter().enumerate() {
            let counts = &mut self.counts[*id as usize];
            if !std::mem::replace(&mut self.marks[*id as usize], true) {
                self.touched.push((*id, multiplicity(self.operator, *counts)));
            }
            counts[input] += diffs.at(row);
        }
        allowance.spend(rows.num_rows());
        rows.num_rows()
    }

    fn close(&mut self, allowance: &mut Allowance) -> Changes {
        let range = self.closed..self.touched.len().min(self.closed + BATCH.min(allowance.left()));
        let change = |at: usize| {
            let (id, before) = self.touched[at];
            let diff = multiplicity(self.operator, self.counts[id as usize]) - before;
            (diff != 0).then_some((id, diff))
        };
        let changed: Vec<(u32, Diff)> = range.clone().filter_map(change).collect();
        let rows = if changed.is_empty() { Vec::new() } else { vec![self.batch(&changed)] };
        // Ids are freed only now, because the batch above reads their keys.
        for at in range.clone() {
            let (id, _) = self.touched[at];
            self.marks[id as usize] = false;
            let counts = self.counts[id as usize];
            assert!(counts.iter().all(|count| *count >= 0), "a row was taken back that was not there");
            if counts == [0, 0] {
                self.rows.remove(id);
            }
        }
        allowance.spend(range.len());
        self.closed = range.end;
        let left = self.touched.len() - self.closed;
        if left == 0 {
            self.touched = Segments::default();
            self.closed = 0;
        }
        Changes { rows, failures: Vec::new(), left }
    }

    fn free(&mut self, allowance: &mut Allowance) -> bool {
        while allowance.left() > 0 {
            let freed = match self.rows.discard(allowance.left()) {
                0 => self.counts.free(allowance.left()) + self.marks.free(allowance.left()),
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
        let bytes = self.rows.bytes()
            + self.counts.bytes()
            + self.marks.bytes()
            + self.touched.bytes()
            + self.assigned.capacity() * size_of::<u32>();
        StateSize::new(self.rows.len(), bytes)
    }
}

#[cfg(test)]
mod tests;
