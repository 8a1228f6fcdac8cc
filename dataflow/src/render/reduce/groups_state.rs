//! `GroupsState`: a view read from the groups of its aggregate, which keeps them anyway.

use std::cell::RefCell;
use std::rc::Rc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::state::ReduceState;
use crate::plan::Step;
use crate::render::by_time::TimedState;
use crate::report::StateSize;
use crate::state::ViewState;
use crate::steps::apply;
use crate::update::PerRow;
use crate::{Diffs, Time, UpdateBatch};

/// The groups of an aggregate that linear steps turn into the view's rows.
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

impl ViewState for GroupsState {
    fn rows(&mut self, time: Time) -> Vec<(RecordBatch, Diffs)> {
        let groups = self.groups.borrow().all_rows();
        self.through_steps(groups, time)
    }

    fn rows_of(&mut self, keys: &RecordBatch, time: Time) -> Vec<(RecordBatch, Diffs)> {
        let groups = self.groups.borrow().rows_of(keys);
        self.through_steps(groups, time)
    }

    fn has_history(&self) -> bool {
        false
    }

    fn compact(&mut self, _: Time) {}

    fn size(&self) -> StateSize {
        self.groups.borrow().size()
    }
}
