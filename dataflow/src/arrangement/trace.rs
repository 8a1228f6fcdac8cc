//! The types of an arrangement's history: differential's, of our chunks.

use std::rc::Rc;

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::chunk::{ChunkBatch, ChunkSpine};

use super::chunk::Chunk;

/// An immutable part of an arrangement's history.
pub type Batch = Rc<ChunkBatch<Chunk>>;
/// A handle to an arrangement's history; it holds back compaction at its own two frontiers until it is dropped.
pub type Trace = TraceAgent<ChunkSpine<Chunk>>;
