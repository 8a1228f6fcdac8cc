//! What an engine holds and has done: sizes and counted work.

use crate::{Time, ViewId};

/// Rows held and the memory they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Rows, or groups of an aggregate.
    pub rows: u64,
    /// Bytes of memory.
    pub bytes: u64,
}

impl std::ops::AddAssign for StateSize {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// Rows that all operators of a kind have touched, ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorWork {
    /// The kind.
    pub operator: &'static str,
    /// Rows in.
    pub received: u64,
    /// Rows out.
    pub sent: u64,
}

/// One view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewReport {
    /// Which.
    pub view: ViewId,
    /// What is kept for reads.
    pub state: StateSize,
    /// What its operators keep beside, shared indexes left out.
    pub operators: StateSize,
    /// Failures received, ever.
    pub failures: u64,
    /// By kind of operator, in the order of the dataflow.
    pub work: Vec<OperatorWork>,
}

impl ViewReport {
    /// Rows in and out of the operators of one kind.
    pub fn work_of(&self, operator: &str) -> (u64, u64) {
        let of_kind = self.work.iter().filter(|w| w.operator == operator);
        of_kind.fold((0, 0), |(received, sent), w| (received + w.received, sent + w.sent))
    }
}

/// An index that several views may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexReport {
    /// What it indexes, by what, holding what.
    pub text: String,
    /// How many times views read it.
    pub readers: usize,
    /// What it holds.
    pub size: StateSize,
    /// By kind of operator, in the order of the dataflow.
    pub work: Vec<OperatorWork>,
}

/// An engine, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineReport {
    /// The last closed time.
    pub time: Time,
    /// How many workers.
    pub workers: usize,
    /// By id.
    pub views: Vec<ViewReport>,
    /// By text.
    pub indexes: Vec<IndexReport>,
    /// Dataflows on a worker: one a view, one a shared index.
    pub dataflows: usize,
}

impl EngineReport {
    /// The view `view`, if it is installed.
    pub fn view(&self, view: ViewId) -> Option<&ViewReport> {
        self.views.iter().find(|v| v.view == view)
    }

    /// Everything held.
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

    /// Adds what another worker of the same engine reports at the same place in the order of commands.
    pub(crate) fn add(&mut self, other: EngineReport) {
        if self.workers == 0 {
            *self = other;
            return;
        }
        self.workers += other.workers;
        for (mine, theirs) in self.views.iter_mut().zip(other.views) {
            mine.state += theirs.state;
            mine.operators += theirs.operators;
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
