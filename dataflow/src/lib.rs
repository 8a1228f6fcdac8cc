//! Incremental view maintenance over Arrow data: a plan goes in, changes and snapshots come out.
//!
//! The terms, used in this sense everywhere:
//!
//! * an **update** is (row, time, diff): at `time` the multiplicity of `row` changes by `diff`;
//! * a **time** is a number, so times are totally ordered; one commit, or several that arrived while the workers were
//!   busy, share a time; a time is *closed* once no further update at it can arrive;
//! * the **frontier** of a stream is its least time that is not closed;
//! * an **arrangement** is the indexed, compacted history of a collection, shared by all its readers.
//!
//! Nothing here knows SQL, DataFusion or Python: expressions come in as [`Scalar`]s.
//!
//! ```
//! # use std::num::NonZeroUsize;
//! # use std::sync::Arc;
//! # use arrow::array::{Int64Array, RecordBatch};
//! # use laminardb_dataflow::plan::{DataflowPlan, Node, NodeId, Operator, Output, OutputState};
//! # use laminardb_dataflow::update::PerRow;
//! # use laminardb_dataflow::*;
//! struct Printer;
//!
//! impl ChangeSink for Printer {
//!     fn changes(&self, _: usize, view: ViewId, time: Time, changes: &UpdateBatch) {
//!         println!("{view:?} changes at {time} by {changes:?}");
//!     }
//!     fn frontier(&self, _: usize, _: ViewId, _: Time) {}
//!     fn stopped(&self, reason: &str) {
//!         eprintln!("{reason}");
//!     }
//! }
//!
//! let one: Arc<Int64Array> = Arc::new(Int64Array::from(vec![1]));
//! let rows = RecordBatch::try_from_iter([("a", one as _)]).expect("one column");
//! // A view of all rows of relation 1, kept by their only column.
//! let input = Operator::Input(CollectionId::Relation(RelationId(1)));
//! let plan = DataflowPlan {
//!     nodes: vec![Node { operator: input, schema: rows.schema() }],
//!     arrangements: vec![],
//!     output: Output { node: NodeId(0), unique_key: None, state: OutputState::Arrangement { key: vec![0] } },
//! };
//! let engine = Engine::start(EngineConfig { workers: NonZeroUsize::MIN, memory_limit: None }, Arc::new(Printer))?;
//! engine.install(ViewId(7), Arc::new(plan), vec![])?;
//! engine.watch(ViewId(7), true)?;
//! engine.commit(vec![(RelationId(1), rows.clone(), PerRow::Same(1))])?;
//! let snapshot = engine.snapshot(&[ViewId(7)])?.wait(&CancelToken::new(), None)?.remove(0);
//! assert_eq!(snapshot.rows, vec![(rows, PerRow::Same(1))]);
//! engine.shutdown();
//! # Ok::<(), DataflowError>(())
//! ```

pub mod accumulator;
pub mod arrangement;
pub mod cancel;
mod check;
mod command;
mod consolidator;
mod coordinator;
mod engine;
pub mod error;
mod failure;
mod frontier;
mod fuel;
mod gate;
mod id_table;
mod input;
pub mod interval;
pub mod lock;
pub mod memory;
mod ordered;
mod output;
pub mod plan;
mod render;
mod report;
pub mod row_bytes;
pub mod scalar;
mod segments;
pub mod short;
mod sink;
mod spread;
mod state;
mod steps;
mod stopwatch;
mod time;
pub mod update;
pub mod work;
mod worker;

#[cfg(test)]
mod testing;

pub use cancel::CancelToken;
pub use engine::{Engine, EngineConfig, PendingSnapshot, ViewSnapshot};
pub use error::{DataflowError, panic_text};
pub use failure::LiveError;
pub use memory::{MemoryLimit, OverLimit};
pub use report::{EngineReport, IndexReport, OperatorWork, StateSize, ViewReport};
pub use scalar::{Evaluated, RowError, Scalar};
pub use short::{short_text, short_value};
pub use sink::ChangeSink;
pub use time::Time;
pub use update::{Diffs, UpdateBatch};
pub use worker::LOOK_FOR;

/// Change of a row's multiplicity; negative when the row is removed.
pub type Diff = i64;

/// Identifies a base relation (source or table).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationId(pub u64);

/// Identifies a maintained view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewId(pub u64);

/// What a dataflow can read: the changes of a relation, or those of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CollectionId {
    /// A base relation, whose contents the caller holds.
    Relation(RelationId),
    /// A view maintained by this engine.
    View(ViewId),
}
