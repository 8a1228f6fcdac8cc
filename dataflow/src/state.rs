//! The state a view keeps of its rows on one worker, for reads and for views built on it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use differential_dataflow::trace::TraceReader;
use timely::progress::frontier::AntichainRef;

use crate::arrangement::{self, Layout, Trace};
use crate::report::StateSize;
use crate::update::build_rows;
use crate::{DataflowError, Diffs, Time};

/// State from which a view's rows can be read.
pub(crate) trait ViewState {
    /// Returns the rows at `time`, consolidated, with positive diffs. `time` must be complete and not before the last
    /// compaction.
    fn rows(&mut self, time: Time) -> Vec<(RecordBatch, Diffs)>;

    /// Like [`ViewState::rows`], but only the rows with one of `keys`, whose columns are the state's key columns.
    fn rows_of(&mut self, keys: &RecordBatch, time: Time) -> Vec<(RecordBatch, Diffs)>;

    /// Whether rows can be read as of any time since the last compaction; if not, only as of the frontier.
    fn has_history(&self) -> bool;

    /// Allows history before `since` to be forgotten: no earlier time will be read.
    fn compact(&mut self, since: Time);

    /// Returns the size of the state.
    fn size(&self) -> StateSize;
}

/// A trace whose compaction frontiers are advanced as times complete.
pub(crate) struct TraceHandle {
    trace: Trace,
}

impl TraceHandle {
    pub(crate) fn new(trace: Trace) -> Self {
        TraceHandle { trace }
    }

    /// Returns another handle to the trace for a new reader, which must compact it separately.
    pub(crate) fn share(&self) -> Trace {
        self.trace.clone()
    }

    /// Forgets at which times changes through `since` happened; `since` must be complete. Both frontiers advance,
    /// because otherwise the spine could never merge its batches.
    pub(crate) fn compact(&mut self, since: Time) {
        self.trace.set_logical_compaction(AntichainRef::new(&[since]));
        self.trace.set_physical_compaction(AntichainRef::new(&[since + 1]));
    }

    pub(crate) fn size(&self) -> StateSize {
        let size = arrangement::size(&self.trace);
        StateSize::new(size.updates, size.bytes)
    }
}

/// A view's rows, arranged by some of their columns.
pub(crate) struct ArrangementState {
    handle: TraceHandle,
    layout: Arc<Layout>,
    /// For each column of the view, its position among the columns held.
    columns: Vec<usize>,
    schema: SchemaRef,
}

/// Returns the layout that holds all columns of a view, keyed by `key`.
pub(crate) fn layout_by(schema: &SchemaRef, key: &[usize]) -> Result<Arc<Layout>, DataflowError> {
    Layout::new(schema, key, &rest(schema, key))
}

fn rest(schema: &SchemaRef, key: &[usize]) -> Vec<usize> {
    (0..schema.fields().len()).filter(|column| !key.contains(column)).collect()
}

impl ArrangementState {
    /// Creates the state of a view whose rows are arranged by `key`, in the layout of [`layout_by`].
    pub(crate) fn new(trace: Trace, layout: Arc<Layout>, schema: SchemaRef, key: &[usize]) -> Self {
        let held: Vec<usize> = key.iter().copied().chain(rest(&schema, key)).collect();
        let place = |column| held.iter().position(|held| *held == column).expect("all columns are held");
        let columns = (0..schema.fields().len()).map(place).collect();
        ArrangementState { handle: TraceHandle::new(trace), layout, columns, schema }
    }

    fn in_order(&self, held: Vec<(RecordBatch, Diffs)>) -> Vec<(RecordBatch, Diffs)> {
        let order = |(rows, diffs): (RecordBatch, Diffs)| {
            assert!((0..rows.num_rows()).all(|row| diffs.at(row) > 0), "a row is there less than no times");
            let columns = self.columns.iter().map(|column| Arc::clone(rows.column(*column))).collect();
            (build_rows(&self.schema, columns, rows.num_rows()), diffs)
        };
        held.into_iter().map(order).collect()
    }
}

impl ViewState for ArrangementState {
    fn rows(&mut self, time: Time) -> Vec<(RecordBatch, Diffs)> {
        let held = arrangement::snapshot(&mut self.handle.trace, &self.layout, time);
        self.in_order(held)
    }

    fn rows_of(&mut self, keys: &RecordBatch, time: Time) -> Vec<(RecordBatch, Diffs)> {
        let held = arrangement::lookup(&mut self.handle.trace, &self.layout, keys, time);
        self.in_order(held)
    }

    fn has_history(&self) -> bool {
        true
    }

    fn compact(&mut self, since: Time) {
        self.handle.compact(since);
    }

    fn size(&self) -> StateSize {
        self.handle.size()
    }
}
