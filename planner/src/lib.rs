//! Parses SQL text into statements and turns statements into plans. All functions are pure: there is no I/O.
//!
//! ```text
//! text --parse--> Statement --bind--> LogicalPlan --decorrelate, rewrite--> LogicalPlan --lower--> DataflowPlan
//! ```
//!
//! What a large plan repeats is a [`part`] of it, which each of these steps handles once.
//!
//! DataFusion supplies parts: the binder, the coercion rules, the function catalogue, some of its rewrite rules and
//! vectorised expressions. No other crate sees DataFusion types, except the bridge's executor for ad-hoc queries.

pub mod bind;
pub mod budget;
pub mod calendar;
pub mod catalog;
mod common_type;
pub mod decorrelate;
pub mod error;
pub mod function;
pub mod lower;
pub mod numeral;
pub mod panics;
pub mod part;
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
