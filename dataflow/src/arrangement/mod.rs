//! The shared index of a collection: its history by key, sorted, consolidated, compacted.
//!
//! ```text
//! UpdateBatch --exchange by key hash--> UpdateBatcher --seal--> batch of chunks --> spine (merges, compacts)
//!                                                                          \--> stream of batches
//! ```
//!
//! All use of differential's young `Chunk` interface is in this directory.

mod advance;
mod advance_by_row;
mod batcher;
pub mod chunk;
mod chunk_trace;
mod column;
pub mod cursor;
pub mod exchange;
mod layout;
mod merge;
pub mod read;
mod sort;
mod time;
mod trace;

use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::operators::arrange::arrangement::{Arranged, arrange_core};
use timely::dataflow::Stream;

use crate::UpdateBatch;
use crate::work::Work;

pub use batcher::UpdateBatcher;
pub use chunk::Chunk;
pub use cursor::Cursor;
pub(crate) use exchange::worker_of_no_columns;
pub use exchange::{KeyExchange, exchange_by};
pub use layout::Layout;
pub use read::{ArrangementSize, lookup, size, snapshot};
pub use time::ArrangementTime;
pub use trace::{Batch, Trace};

/// Indexes a collection by the layout's key, each key on one worker; `work` counts the rows.
///
/// The trace of the result holds back compaction: its owner must advance both of its frontiers as time goes on, or drop
/// it.
#[expect(clippy::disallowed_methods, reason = "this is the function that others must use")]
pub fn arrange<'scope, T: ArrangementTime>(
    stream: Stream<'scope, T, UpdateBatch<T>>,
    layout: &Arc<Layout>,
    name: &str,
    work: Rc<Work>,
) -> Arranged<'scope, Trace<T>> {
    let batcher = UpdateBatcher::new(Arc::clone(layout), work);
    arrange_core(stream, exchange_by(Arc::clone(layout.key())), name, |_, _| batcher)
}

#[cfg(test)]
mod tests;
