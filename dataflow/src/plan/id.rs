//! Numbers of the nodes and arrangements of a plan.

/// Position of a node in [`DataflowPlan::nodes`](super::DataflowPlan::nodes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Position of an arrangement in [`DataflowPlan::arrangements`](super::DataflowPlan::arrangements).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArrangementId(pub usize);
