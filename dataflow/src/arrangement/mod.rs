//! The shared index of a collection: its history by key, sorted, consolidated, compacted.
//!
//! ```text
//! UpdateBatch --exchange by key hash--> Batcher --seal--> batch of chunks --> spine (merges, compacts)
//!                                                                  \--> stream of batches
//! ```

pub mod exchange;

pub use exchange::{KeyExchange, exchange_by};
