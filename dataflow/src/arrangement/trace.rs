//! `Trace`: a handle to an arrangement's history.

use differential_dataflow::operators::arrange::TraceAgent;

use super::spine::Spine;
use crate::Time;

/// A handle to an arrangement's history; it holds back compaction at its own two frontiers until it is dropped.
pub type Trace<T = Time> = TraceAgent<Spine<T>>;
