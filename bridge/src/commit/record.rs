//! `Record`: one entry in the history of a database; and `History`, which receives all records in order.
//!
//! Everything that changes a database has a record: writes, definitions, drops, restores and watermarks. A record is
//! made under the commit lock, and that of a write also under the lock of the engine that assigns its time, so records
//! are in the order of their times.

use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::{Diffs, RelationId, Time};

use crate::catalog::Entry;

/// Exact changes of a relation: rows, and for each how often it is added (or, if negative, removed).
pub type Change = (RelationId, RecordBatch, Diffs);

/// One change of a database, which happened as a whole.
#[derive(Debug)]
pub enum Record<'a> {
    /// A statement, a call or a transaction wrote to relations.
    Write {
        /// The exact changes; empty if the rows given were there already.
        changes: &'a [Change],
        /// Number of rows given for each relation; a row that replaces another counts once.
        rows: &'a [(RelationId, u64)],
    },
    /// A relation or view was defined.
    Define {
        /// The new entry of the catalog.
        made: &'a Entry,
        /// The first rows of a table that was created from a query.
        rows: &'a [RecordBatch],
        /// The entry that it replaces, if any.
        gone: &'a [Arc<Entry>],
    },
    /// Relations and views were dropped.
    Drop {
        /// The dropped entries, each before all that it reads.
        gone: &'a [Arc<Entry>],
    },
    /// A checkpoint replaced the whole database.
    Restore {
        /// Number of the checkpoint.
        checkpoint: u64,
        /// The relations of the checkpoint, each with the number of rows given for it before the checkpoint was taken.
        relations: &'a [(RelationId, u64)],
        /// The entries that were there before, each before all that it reads.
        gone: &'a [Arc<Entry>],
    },
    /// A writer moved the watermark of a relation.
    Watermark {
        /// The relation.
        relation: RelationId,
        /// The value given; it has no effect if it is lower than the current one.
        to: i64,
    },
}

/// Receives every record of a database, in order.
pub trait History: Send + Sync {
    /// Receives a record that is committed at `time`. Times never fall from one call to the next; records may share
    /// one.
    ///
    /// Runs under the locks of the commit path and the engine, so it must be short and must not call the database.
    fn record(&self, time: Time, record: &Record<'_>);
}
