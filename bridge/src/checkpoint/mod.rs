//! Checkpoints: a whole database at one moment in files, to go back to.
//!
//! ```text
//! storage directory
//!   laminardb.lock        locked by the connection that uses the directory
//!   last_checkpoint       the last id that was given out
//!   checkpoint_7/         an image: it gets this name when all of it is on the disk
//!     manifest.json       the catalogue, times, sizes and checksums of the files, and a checksum of itself
//!     relation_0.arrow    rows of the catalogue's first relation, an Arrow IPC file
//!     defaults_0.arrow    the defaults of its columns, one row
//!     parameters_2.arrow  the values that were bound in the catalogue's third entry, a view
//!   incomplete_8/         left by a process that was killed; removed at the next checkpoint
//! ```
//!
//! An image is complete or not there at all. Reading one verifies every byte of it before anything is made of it.

mod directory;
mod file;
mod image;
mod manifest;
#[cfg(test)]
mod tests;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use laminardb_dataflow::Time;
use laminardb_planner::statement::OnError;
use laminardb_planner::{Params, RelationKind};

pub(crate) use directory::Directory;

use crate::store::Scan;

/// A database at one moment.
pub(crate) struct Image<R> {
    /// The time of its last write.
    pub(crate) time: Time,
    /// Relations and views, in creation order.
    pub(crate) items: Vec<Item<R>>,
}

/// An image to be written: its rows are taken, which costs nothing, and read one batch after the other.
pub(crate) type Taken = Image<Scan>;

/// An image that was read, and was found to be what was written.
pub(crate) type Verified = Image<Vec<RecordBatch>>;

/// One entry of the catalogue.
pub(crate) enum Item<R> {
    /// A source or table.
    Base {
        /// What it is.
        base: Base,
        /// Its columns.
        schema: SchemaRef,
        /// For each column the value that stands in where a write leaves it out, an array of one row.
        defaults: Vec<Option<ArrayRef>>,
        /// Its rows.
        rows: R,
    },
    /// A view of any kind, which is built again from what it reads.
    View {
        /// What it is.
        view: View,
        /// The values that were bound in its query.
        params: Params,
    },
}

/// What a source or table is, beyond its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) name: String,
    pub(crate) kind: RelationKind,
    /// Positions of the key columns, in key order.
    pub(crate) primary_key: Vec<usize>,
    /// Where its watermark is; `None` if it was never set.
    pub(crate) watermark: Option<i64>,
    /// The column that the watermark follows, and how many nanoseconds behind.
    pub(crate) follow: Option<(usize, i128)>,
    /// Rows in accepted writes.
    pub(crate) total_events: u64,
}

/// What a view is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) kind: RelationKind,
    /// New names for the first of the query's columns.
    pub(crate) columns: Vec<String>,
    /// The query as written.
    pub(crate) query: String,
    /// How many `?` stood before the query.
    pub(crate) placeholders_before: usize,
    pub(crate) on_error: OnError,
}
