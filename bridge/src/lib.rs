//! Arrow in, Arrow out: the embedding API of laminardb for Rust.

pub mod error;
pub mod ingest;
pub mod store;

pub use error::Error;
