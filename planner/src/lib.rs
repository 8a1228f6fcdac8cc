//! SQL text to statements, statements to plans; pure functions, no I/O.
//!
//! ```text
//! text --parse--> Statement --bind--> LogicalPlan --decorrelate, rewrite--> LogicalPlan --lower--> DataflowPlan
//! ```
//!
//! DataFusion serves as a set of parts: the binder, the coercion rules, the function catalogue, chosen rewrite rules
//! and vectorised expressions. Its types end here, but for the ad-hoc executor of the bridge.

pub mod bind;
mod calendar;
pub mod catalog;
mod common_type;
pub mod decorrelate;
pub mod error;
pub mod function;
pub mod lower;
pub mod panics;
pub mod property;
pub mod rewrite;
pub mod scalar;
mod scope;
pub mod set_operation;
pub mod stack;
pub mod statement;

pub use bind::{BoundQuery, Params};
pub use catalog::{Catalog, CatalogSource, Definition, RelationInfo, RelationKind};
pub use error::PlanError;
pub use lower::{ViewPlan, plan_view};
