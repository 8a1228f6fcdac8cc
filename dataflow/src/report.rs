//! What an engine holds and has done: sizes of state and counters of work.

use crate::{Time, ViewId};

/// A number of rows and the memory they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Rows held; for an aggregate, its groups.
    pub rows: u64,
    /// Bytes of memory held.
    pub bytes: u64,
}

impl StateSize {
    pub(crate) fn new(rows: usize, bytes: usize) -> Self {
        StateSize { rows: rows as u64, bytes: bytes as u64 }
    }
}

impl std::ops::AddAssign for StateSize {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// Rows that all operators of one kind have processed since they were built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorWork {
    /// The kind of operator.
    pub operator: &'static str,
    /// Rows received.
    pub received: u64,
    /// Rows sent.
    pub sent: u64,
}

/// The state and work of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewReport {
    /// The view's id.
    pub view: ViewId,
    /// State kept for reads of the view.
    pub state: StateSize,
    /// State that the view's operators keep in addition, without shared indexes.
    pub operators: StateSize,
    /// Whether the view still takes in its first contents on some worker.
    pub hydrating: bool,
    /// Rows of its first contents that have entered, those of indexes that it reads included.
    pub taken_in: u64,
    /// Rows of its first contents, as far as they are known: those of a view that it reads are once that is complete.
    pub to_take_in: u64,
    /// Updates of failures received since the view was installed.
    pub failures: u64,
    /// Work by kind of operator, in the order of the dataflow.
    pub work: Vec<OperatorWork>,
}

impl ViewReport {
    /// Returns the rows received and sent by the operators of one kind.
    pub fn work_of(&self, operator: &str) -> (u64, u64) {
        let of_kind = self.work.iter().filter(|w| w.operator == operator);
        of_kind.fold((0, 0), |(received, sent), w| (received + w.received, sent + w.sent))
    }
}

/// The state and work of an index that several views may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexReport {
    /// Describes the indexed rows, the key columns and the columns held.
    pub text: String,
    /// Number of views that read the index.
    pub readers: usize,
    /// The size of the index.
    pub size: StateSize,
    /// Work by kind of operator, in the order of the dataflow.
    pub work: Vec<OperatorWork>,
}

/// The state and work of an engine, summed over its workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineReport {
    /// The last closed time.
    pub time: Time,
    /// Number of workers.
    pub workers: usize,
    /// The views, by ascending id.
    pub views: Vec<ViewReport>,
    /// The indexes, by ascending text.
    pub indexes: Vec<IndexReport>,
    /// Number of dataflows on each worker: one per view and one per shared index.
    pub dataflows: usize,
    /// The largest number of rows that a worker has processed between two looks at its commands since the last report.
    pub largest_piece: u64,
}

impl EngineReport {
    /// Returns the report of `view` if it is installed.
    pub fn view(&self, view: ViewId) -> Option<&ViewReport> {
        self.views.iter().find(|v| v.view == view)
    }

    /// Returns the total size of all state.
    pub fn total(&self) -> StateSize {
        let mut total = StateSize::default();
        for view in &self.views {
            total += view.state;
            total += view.operators;
        }
        for index in &self.indexes {
            total += index.size;
        }
        total
    }

    /// Adds the report of another worker of the same engine, made at the same place in the order of commands.
    pub(crate) fn add(&mut self, other: EngineReport) {
        if self.workers == 0 {
            *self = other;
            return;
        }
        self.workers += other.workers;
        self.largest_piece = self.largest_piece.max(other.largest_piece);
        for (mine, theirs) in self.views.iter_mut().zip(other.views) {
            mine.state += theirs.state;
            mine.operators += theirs.operators;
            mine.hydrating |= theirs.hydrating;
            mine.taken_in += theirs.taken_in;
            mine.to_take_in += theirs.to_take_in;
            mine.failures += theirs.failures;
            add_work(&mut mine.work, theirs.work);
        }
        for (mine, theirs) in self.indexes.iter_mut().zip(other.indexes) {
            mine.size += theirs.size;
            add_work(&mut mine.work, theirs.work);
        }
    }
}

fn add_work(mine: &mut [OperatorWork], theirs: Vec<OperatorWork>) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        mine.received += theirs.received;
        mine.sent += theirs.sent;
    }
}
