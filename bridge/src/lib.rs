//! Arrow in, Arrow out: the embedding API of laminardb for Rust.

pub mod catalog;
pub mod commit;
pub mod error;
pub mod ingest;
pub mod store;
pub mod subscription;

pub use error::Error;
