//! `GroupsState`: a view read from the groups of its aggregate, which keeps them anyway.

use std::cell::RefCell;
use std::rc::Rc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::state::ReduceState;
use crate::plan::Step;
use crate::render::by_time::TimedState;
use crate::report::StateSize;
use crate::state::{Free, RowPieces, ViewState};
use crate::steps::apply;
use crate::update::PerRow;
use crate::{Diffs, Time, UpdateBatch};

/// The groups of an aggregate that linear steps turn into the view's rows.
#[derive(Clone)]
pub(crate) struct GroupsState {
    groups: Rc<RefCell<ReduceState>>,
    steps: Vec<Step>,
    schema: SchemaRef,
}

impl GroupsState {
    pub(crate) fn new(groups: Rc<RefCell<ReduceState>>, steps: Vec<Step>, schema: SchemaRef) -> Self {
        GroupsState { groups, steps, schema }
    }

    fn through_steps(&self, groups: Vec<(RecordBatch, Diffs)>, time: Time) -> Vec<(RecordBatch, Diffs)> {
        let through = |(rows, diffs): (RecordBatch, Diffs)| {
            let batch = UpdateBatch { rows, times: PerRow::Same(time), diffs };
            // The view's ledger recorded these failures when the groups first passed through the steps.
            let batch = apply(&self.steps, batch, &mut Vec::new())?.with_schema(&self.schema);
            Some((batch.rows, batch.diffs))
        };
        groups.into_iter().filter_map(through).collect()
    }
}

/// The rows of all groups, which do not change meanwhile.
struct AllGroups {
    state: GroupsState,
    time: Time,
    /// The first group that has not been read.
    next: usize,
}

impl RowPieces for AllGroups {
    fn next(&mut self, rows: usize) -> Option<Vec<(RecordBatch, Diffs)>> {
        let (groups, next) = self.state.groups.borrow().rows_from(self.next, rows)?;
        self.next = next;
        Some(self.state.through_steps(groups, self.time))
    }
}

/// The rows of chosen groups, read at once.
struct SomeGroups(Option<Vec<(RecordBatch, Diffs)>>);

impl RowPieces for SomeGroups {
    fn next(&mut self, _rows: usize) -> Option<Vec<(RecordBatch, Diffs)>> {
        self.0.take()
    }
}

impl ViewState for GroupsState {
    fn start(&mut self, time: Time) -> Box<dyn RowPieces> {
        Box::new(AllGroups { state: self.clone(), time, next: 0 })
    }

    fn start_of(&mut self, keys: &RecordBatch, time: Time) -> Box<dyn RowPieces> {
        let groups = self.groups.borrow().rows_of(keys);
        Box::new(SomeGroups(Some(self.through_steps(groups, time))))
    }

    fn into_debris(self: Box<Self>) -> Option<Free> {
        None
    }

    fn has_history(&self) -> bool {
        false
    }

    fn compact(&mut self, _: Time) {}

    fn size(&self) -> StateSize {
        self.groups.borrow().size()
    }
}
