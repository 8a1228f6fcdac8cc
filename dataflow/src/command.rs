//! All that can happen to a worker. Every worker gets the same commands in the same order.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use crossbeam_channel::Sender;

use crate::plan::DataflowPlan;
use crate::render::errors::RowFailure;
use crate::report::EngineReport;
use crate::{DataflowError, Diff, Diffs, RelationId, Time, UpdateBatch, ViewId};

/// One thing to do. Where data comes along it is this worker's share.
#[derive(Debug)]
pub(crate) enum Command {
    /// Changes at a time, which is then closed.
    Commit {
        /// One more than the last.
        time: Time,
        /// Each relation at most once.
        changes: Vec<(RelationId, Vec<UpdateBatch>)>,
    },
    /// No changes through a later time, which is then closed with all before it.
    CloseThrough(Time),
    /// A new view.
    Install(Install),
    /// The end of a view that no other view reads.
    Drop(ViewId),
    /// Changes after a time go to the sink.
    Watch(ViewId, Time),
    /// Changes after a time do not go to the sink.
    Unwatch(ViewId, Time),
    /// Reads views as of the last closed time.
    Read(Read),
    /// Sizes and counters.
    Report(Sender<EngineReport>),
    /// Finish what was asked for, then end.
    Shutdown,
}

/// A new view over contents as of a time.
#[derive(Debug)]
pub(crate) struct Install {
    pub(crate) view: ViewId,
    pub(crate) plan: Arc<DataflowPlan>,
    /// The last closed time; the contents are given at it.
    pub(crate) time: Time,
    pub(crate) contents: Vec<(RelationId, Vec<UpdateBatch>)>,
}

/// A read of one or more views.
#[derive(Debug)]
pub(crate) struct Read {
    /// The last closed time.
    pub(crate) time: Time,
    pub(crate) views: Vec<ViewId>,
    pub(crate) what: Reading,
    pub(crate) reply: Sender<Reply>,
}

/// What to read.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// All rows, and errors.
    Rows,
    /// The rows with these keys, and errors.
    RowsOf(RecordBatch),
    /// Errors only.
    Errors,
}

/// One worker's answer: a shard of each view asked for, in that order.
pub(crate) type Reply = Result<Vec<Shard>, DataflowError>;

/// A worker's part of a view.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) rows: Vec<(RecordBatch, Diffs)>,
    /// Negative where another worker saw the insertion.
    pub(crate) failures: BTreeMap<RowFailure, Diff>,
}
