//! The state a view keeps of its rows on one worker, for reads and for views built on it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use differential_dataflow::trace::TraceReader;
use timely::progress::frontier::AntichainRef;

use crate::arrangement::{self, Layout, Remains, Snapshot, Trace};
use crate::report::StateSize;
use crate::update::build_rows;
use crate::{DataflowError, Diffs, Time};

/// Frees a part of what a dropped dataflow kept, about as many rows as given; returns whether more may be left.
pub(crate) type Free = Box<dyn FnMut(usize) -> bool>;

/// The rows of a view's state, to be read piece by piece.
pub(crate) trait RowPieces {
    /// Returns about `rows` more rows, maybe none, or `None` at the end.
    fn next(&mut self, rows: usize) -> Option<Vec<(RecordBatch, Diffs)>>;
}

/// State from which a view's rows can be read.
pub(crate) trait ViewState {
    /// Begins to read the rows at `time`, consolidated, with positive diffs. `time` must be complete and not before the
    /// last compaction. If the state has no history, it must not change before the last piece is read.
    fn start(&mut self, time: Time) -> Box<dyn RowPieces>;

    /// Like [`ViewState::start`], but gives only the rows with one of `keys`, whose columns are the state's key columns.
    fn start_of(&mut self, keys: &RecordBatch, time: Time) -> Box<dyn RowPieces>;

    /// Returns what frees the state in pieces, if it is not freed with the operators of the dataflow.
    fn into_debris(self: Box<Self>) -> Option<Free>;

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

    /// Returns what frees the rows in pieces, once all other handles to the trace are gone.
    pub(crate) fn into_debris(self) -> Free {
        let mut remains = Remains::of(&self.trace);
        Box::new(move |rows| remains.free(rows))
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

    fn pieces(&self, snapshot: Snapshot) -> Box<dyn RowPieces> {
        Box::new(ArrangedRows { snapshot, columns: self.columns.clone(), schema: Arc::clone(&self.schema) })
    }
}

/// The rows of an arrangement at a time, in the order of the view's columns.
struct ArrangedRows {
    snapshot: Snapshot,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl RowPieces for ArrangedRows {
    fn next(&mut self, rows: usize) -> Option<Vec<(RecordBatch, Diffs)>> {
        let in_order = |(rows, diffs): (RecordBatch, Diffs)| {
            assert!((0..rows.num_rows()).all(|row| diffs.at(row) > 0), "a row is there less than no times");
            let columns = self.columns.iter().map(|column| Arc::clone(rows.column(*column))).collect();
            (build_rows(&self.schema, columns, rows.num_rows()), diffs)
        };
        let held = self.snapshot.next(rows)?;
        Some(held.into_iter().map(in_order).collect())
    }
}

impl ViewState for ArrangementState {
    fn start(&mut self, time: Time) -> Box<dyn RowPieces> {
        let snapshot = Snapshot::new(&mut self.handle.trace, &self.layout, time);
        self.pieces(snapshot)
    }

    fn start_of(&mut self, keys: &RecordBatch, time: Time) -> Box<dyn RowPieces> {
        let snapshot = Snapshot::of_keys(&mut self.handle.trace, &self.layout, keys, time);
        self.pieces(snapshot)
    }

    fn into_debris(self: Box<Self>) -> Option<Free> {
        Some(self.handle.into_debris())
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
