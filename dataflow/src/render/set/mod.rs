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

use super::aside::Aside;
use super::by_time::{Changes, Input, TimedState, by_time};
use super::groups::Groups;
use crate::arrangement::exchange_by;
use crate::plan::SetOperator;
use crate::report::StateSize;
use crate::row_bytes::KeyCodec;
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
    counts: Vec<[Diff; 2]>,
    /// Whether each row is in `touched`.
    marks: Vec<bool>,
    /// The rows with changes at the current time, and their multiplicities in the output before.
    touched: Vec<(u32, Diff)>,
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
            counts: Vec::new(),
            marks: Vec::new(),
            touched: Vec::new(),
            assigned: Vec::new(),
            schema: Arc::clone(schema),
            types,
        })
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
    fn apply(&mut self, input: usize, rows: &RecordBatch, diffs: &Diffs) {
        let types = rows.columns().iter().map(|column| column.data_type());
        assert!(types.eq(&self.types), "both sides have the types of the output");
        self.rows.assign(rows, &mut self.assigned);
        self.counts.resize(self.rows.capacity(), [0, 0]);
        self.marks.resize(self.rows.capacity(), false);
        for (row, id) in self.assigned.iter().enumerate() {
            let counts = &mut self.counts[*id as usize];
            if !std::mem::replace(&mut self.marks[*id as usize], true) {
                self.touched.push((*id, multiplicity(self.operator, *counts)));
            }
            counts[input] += diffs.at(row);
        }
    }

    fn close(&mut self) -> Changes {
        let change = |(id, before): &(u32, Diff)| {
            let diff = multiplicity(self.operator, self.counts[*id as usize]) - before;
            (diff != 0).then_some((*id, diff))
        };
        let changed: Vec<(u32, Diff)> = self.touched.iter().filter_map(change).collect();
        let batch = |changed: &[(u32, Diff)]| {
            let columns = self.rows.key().codec().decode(changed.iter().map(|(id, _)| self.rows.key_of(*id)));
            let options = RecordBatchOptions::new().with_row_count(Some(changed.len()));
            let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
            let diffs = PerRow::from_vec(changed.iter().map(|(_, diff)| *diff).collect());
            (rows.expect("rows fit the schema they came under"), diffs)
        };
        let rows = changed.chunks(BATCH).map(batch).collect();
        // Ids are freed only now, because the batches above read their keys.
        for (id, _) in std::mem::take(&mut self.touched) {
            self.marks[id as usize] = false;
            let counts = self.counts[id as usize];
            assert!(counts.iter().all(|count| *count >= 0), "a row was taken back that was not there");
            if counts == [0, 0] {
                self.rows.remove(id);
            }
        }
        Changes { rows, failures: Vec::new() }
    }

    fn size(&self) -> StateSize {
        let bytes = self.rows.bytes()
            + self.counts.capacity() * size_of::<[Diff; 2]>()
            + self.marks.capacity()
            + self.touched.capacity() * size_of::<(u32, Diff)>()
            + self.assigned.capacity() * size_of::<u32>();
        StateSize::new(self.rows.len(), bytes)
    }
}

#[cfg(test)]
mod tests;
