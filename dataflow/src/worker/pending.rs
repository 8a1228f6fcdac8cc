//! Reads that wait until their time is complete, and what they hold back.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crossbeam_channel::Sender;

use super::flow::FlowId;
use crate::command::{Reading, Reply, Shard};
use crate::state::RowPieces;
use crate::{Time, ViewId};

/// A read that waits for its time to be complete, or is under way.
pub(super) struct PendingRead {
    pub(super) time: Time,
    pub(super) views: Vec<ViewId>,
    pub(super) then: Then,
    pub(super) hold: Option<FlowHold>,
    /// What was read of each view so far; the last one may be under way.
    pub(super) shards: Vec<Shard>,
    /// The rest of the rows of the last of these.
    pub(super) rest: Option<Box<dyn RowPieces>>,
}

impl PendingRead {
    /// Creates a read that has not begun.
    pub(super) fn new(time: Time, views: Vec<ViewId>, then: Then, hold: Option<FlowHold>) -> Self {
        PendingRead { time, views, then, hold, shards: Vec::new(), rest: None }
    }

    /// Returns what is to be read.
    pub(super) fn reading(&self) -> &Reading {
        match &self.then {
            Then::Reply(reading, _) => reading,
            Then::Open(..) => &Reading::Rows,
        }
    }
}

/// Flows whose states stay at a time until all workers have answered a read.
pub(super) struct FlowHold {
    pub(super) time: Time,
    pub(super) flows: Vec<FlowId>,
    /// The read's number, the same on all workers.
    pub(super) number: u64,
    pub(super) answers: Arc<AtomicUsize>,
}

/// What happens to the rows that were read.
pub(super) enum Then {
    /// They are sent to a caller.
    Reply(Reading, Sender<Reply>),
    /// They become the contents of an input of the flow, given by its position.
    Open(FlowId, usize),
}
