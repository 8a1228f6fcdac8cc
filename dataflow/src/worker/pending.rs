//! Reads that wait until their time is complete, and what they hold back.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crossbeam_channel::Sender;

use super::flow::FlowId;
use crate::command::{Reading, Reply};
use crate::{Time, ViewId};

/// A read whose time is not complete yet.
pub(super) struct PendingRead {
    pub(super) time: Time,
    pub(super) views: Vec<ViewId>,
    pub(super) then: Then,
    pub(super) hold: Option<FlowHold>,
}

/// Flows that admit no later time until all workers have answered a read.
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
