//! The types of an arrangement's history: differential's, of our chunks.

use std::rc::Rc;

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::chunk::{ChunkBatch, ChunkSpine};

use super::chunk::Chunk;
use crate::Time;

/// An immutable part of an arrangement's history.
pub type Batch<T = Time> = Rc<ChunkBatch<Chunk<T>>>;
/// A handle to an arrangement's history; it holds back compaction at its own two frontiers until it is dropped.
pub type Trace<T = Time> = TraceAgent<ChunkSpine<Chunk<T>>>;
