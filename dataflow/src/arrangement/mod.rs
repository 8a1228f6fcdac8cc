//! The shared index of a collection: its history by key, sorted, consolidated, compacted.
//!
//! ```text
//! UpdateBatch --exchange by key hash--> UpdateBatcher --seal--> batch of chunks --> Spine (merges, compacts)
//!                                                                          \--> stream of batches
//! ```
//!
//! All use of differential's young `Chunk` interface is in this directory.

mod advance;
mod advance_by_row;
mod arrange;
mod batch;
mod batcher;
pub mod chunk;
mod chunk_trace;
mod column;
pub mod cursor;
pub mod exchange;
mod layout;
mod merge;
pub mod read;
mod remains;
mod sort;
mod spine;
mod time;
mod trace;

pub use arrange::arrange;
pub use batch::Batch;
pub use batcher::{Seal, Sealed, UpdateBatcher};
pub use chunk::Chunk;
pub use cursor::Cursor;
pub(crate) use exchange::worker_of_no_columns;
pub use exchange::{KeyExchange, exchange_by};
pub use layout::Layout;
pub use read::{ArrangementSize, Snapshot, lookup, size, snapshot};
pub use remains::Remains;
pub use spine::Spine;
pub use time::ArrangementTime;
pub use trace::Trace;

#[cfg(test)]
mod tests;
