//! The commands that a worker executes. Every worker receives the same commands in the same order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow::array::RecordBatch;
use crossbeam_channel::Sender;

use crate::failure::RowFailure;
use crate::memory::OverLimit;
use crate::plan::DataflowPlan;
use crate::report::EngineReport;
use crate::{DataflowError, Diff, Diffs, RelationId, Time, UpdateBatch, ViewId};

/// One command. Data that a command carries is this worker's share of it.
#[derive(Debug)]
pub(crate) enum Command {
    /// Applies changes at a time and closes that time.
    Commit {
        /// The time of the changes: one more than the last closed time.
        time: Time,
        /// The changes by relation; each relation occurs at most once.
        changes: Vec<(RelationId, Vec<UpdateBatch>)>,
    },
    /// Closes all times through this one, without changes.
    CloseThrough(Time),
    /// Installs a new view.
    Install(Install),
    /// Drops a view that no other view reads.
    Drop(ViewId),
    /// Removes views that use too much memory.
    End(Ending),
    /// Starts sending the view's changes after this time to the sink.
    Watch(ViewId, Time),
    /// Stops sending the view's changes after this time to the sink.
    Unwatch(ViewId, Time),
    /// Reads views as of the last closed time.
    Read(Read),
    /// Reports sizes and counters to the sender.
    Report(Sender<EngineReport>),
    /// Finishes the commands received before this one, then ends the worker.
    Shutdown,
}

/// A new view and the contents of its relations as of a time.
#[derive(Debug)]
pub(crate) struct Install {
    pub(crate) view: ViewId,
    pub(crate) plan: Arc<DataflowPlan>,
    /// The last closed time, at which the contents enter.
    pub(crate) time: Time,
    pub(crate) contents: Vec<(RelationId, Vec<UpdateBatch>)>,
}

/// A view that has passed the memory limit, and those that stand on it.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// The view that has grown most.
    pub(crate) cause: ViewId,
    /// That view and those that read it, directly or through others; each after those that read it.
    pub(crate) views: Vec<ViewId>,
    pub(crate) over: OverLimit,
    /// Number of workers that have not removed the views yet.
    pub(crate) workers: Arc<AtomicUsize>,
}

/// A read of one or more views.
#[derive(Debug)]
pub(crate) struct Read {
    /// The last closed time, as of which the views are read.
    pub(crate) time: Time,
    pub(crate) views: Vec<ViewId>,
    pub(crate) what: Reading,
    pub(crate) reply: Sender<Reply>,
}

/// What to read.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// All rows, and the failures.
    Rows,
    /// The rows with one of these keys, and the failures.
    RowsOf(RecordBatch),
    /// The failures only.
    Errors,
}

/// One worker's answer: its shard of each requested view, in the order requested.
pub(crate) type Reply = Result<Vec<Shard>, DataflowError>;

/// A worker's part of a view.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) rows: Vec<(RecordBatch, Diffs)>,
    /// Failed rows with their counts. A count may be negative where another worker received the insertion.
    pub(crate) failures: BTreeMap<RowFailure, Diff>,
}
