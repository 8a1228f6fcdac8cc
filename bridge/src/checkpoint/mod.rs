//! Checkpoints write a whole database, as of one moment, to files from which it can be restored.
//!
//! ```text
//! storage directory
//!   laminardb.lock        locked by the connection that uses the directory
//!   last_checkpoint       the last id that was given out
//!   checkpoint_7/         an image; it gets this name once all of it is on the disk
//!     manifest.json       the catalogue, times, sizes and checksums of the files, and a checksum of itself
//!     relation_0.arrow    rows of the catalogue's first relation, an Arrow IPC file
//!     defaults_0.arrow    the defaults of its columns, one row
//!     parameters_2.arrow  the values that were bound in the catalogue's third entry, a view
//!   incomplete_8/         left by a process that was killed; removed at the next checkpoint
//! ```
//!
//! An image is complete or does not exist. Every byte of it is verified before anything is made from it.

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
    /// The time of the last write.
    pub(crate) time: Time,
    /// Relations and views, in creation order.
    pub(crate) items: Vec<Item<R>>,
}

/// An image to be written: its scans have been taken, which is cheap, and are read batch by batch.
pub(crate) type ImageSource = Image<Scan>;

/// An image that was read and verified.
pub(crate) type Verified = Image<Vec<RecordBatch>>;

/// An entry of the catalogue.
pub(crate) enum Item<R> {
    /// A source or table.
    Base {
        /// Its description.
        base: BaseImage,
        /// Its columns.
        schema: SchemaRef,
        /// Default of each column, an array of one row; `None` if it has none.
        defaults: Vec<Option<ArrayRef>>,
        /// Its rows.
        rows: R,
    },
    /// A view of any kind. Its contents are not stored; it is rebuilt from what it reads.
    View {
        /// Its description.
        view: ViewImage,
        /// The values bound in its query.
        params: Params,
    },
}

/// Describes a source or table, apart from its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseImage {
    pub(crate) name: String,
    pub(crate) kind: RelationKind,
    /// Positions of the key columns, in key order.
    pub(crate) primary_key: Vec<usize>,
    /// Positions of the columns that were declared JSON.
    pub(crate) json_columns: Vec<usize>,
    /// Position of its watermark; `None` if it was never set.
    pub(crate) watermark: Option<i64>,
    /// The column that the watermark follows, and by how many nanoseconds it lags.
    pub(crate) follow: Option<(usize, i128)>,
    /// Number of rows in accepted writes.
    pub(crate) total_events: u64,
}

/// Describes a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ViewImage {
    pub(crate) name: String,
    pub(crate) kind: RelationKind,
    /// New names for the first columns of the query.
    pub(crate) columns: Vec<String>,
    /// The query as written.
    pub(crate) query: String,
    /// Number of `?` placeholders before the query in its statement.
    pub(crate) placeholders_before: usize,
    pub(crate) on_error: OnError,
}
