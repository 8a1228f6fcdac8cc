//! `Batch`: an immutable part of an arrangement's history.

use std::rc::Rc;

use differential_dataflow::trace::chunk::ChunkBatch;

use super::chunk::Chunk;
use crate::Time;

/// An immutable part of an arrangement's history.
pub type Batch<T = Time> = Rc<ChunkBatch<Chunk<T>>>;
