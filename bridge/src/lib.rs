//! Arrow in, Arrow out: relations, maintained views, queries and subscriptions behind a [`Database`] and its [`Session`]s.

mod batch;
pub mod catalog;
mod checkpoint;
pub mod commit;
pub mod database;
pub mod error;
pub mod foreign;
pub mod ingest;
pub mod memory;
pub mod metrics;
mod query;
pub mod relation;
pub mod session;
pub mod store;
pub mod subscription;
pub mod transaction;
pub mod watermark;

pub use commit::TransactionInfo;
pub use database::{CheckpointConfig, DEFAULT_LOCK_TIMEOUT, Database, DatabaseConfig, DatabaseState};
pub use error::Error;
pub use laminardb_dataflow::{CancelToken, Time};
pub use laminardb_planner::function::registry;
pub use laminardb_planner::panics::caught;
pub use laminardb_planner::statement::{RestoreFrom, type_name};
pub use laminardb_planner::{Params, RelationInfo, RelationKind};
pub use session::{NextRows, Outcome, QueryOutput, QueryStream, Session, Target, Writer};
pub use subscription::{Bounds, ChangeBatch, Next, Op, SubscribeOptions, Subscription};
pub use transaction::Transaction;
