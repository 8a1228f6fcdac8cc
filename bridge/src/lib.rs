//! Embeds the engine, with Arrow data in and out: relations, maintained views, queries and subscriptions behind one
//! [`Session`].

pub mod catalog;
mod checkpoint;
pub mod commit;
pub mod error;
pub mod ingest;
pub mod metrics;
mod query;
pub mod session;
pub mod store;
pub mod subscription;
pub mod watermark;

pub use commit::Caller;
pub use error::Error;
pub use laminardb_planner::function::registry;
pub use laminardb_planner::panics::caught;
pub use laminardb_planner::statement::{RestoreFrom, type_name};
pub use laminardb_planner::{Params, RelationKind};
pub use session::{
    CheckpointConfig, NextRows, Outcome, QueryOutput, QueryStream, Session, SessionConfig, SessionState, Target, Writer,
};
pub use subscription::{ChangeBatch, Next, Op, SubscribeOptions, Subscription};
