//! `Record`: one entry in the history of a database; and `History`, which receives all of them in their order.
//!
//! Everything that changes a database is a record: writes, definitions, drops, restores and watermarks. A record is made
//! under the commit lock, and that of a write also under the lock of the engine which gives its time, so the order of
//! records is the order of their times.

use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::{Diffs, RelationId, Time};

use crate::catalog::Entry;

/// Exact changes of a relation: rows, and how often each is added (or removed, if negative).
pub type Change = (RelationId, RecordBatch, Diffs);

/// One change of a database, made as a whole.
#[derive(Debug)]
pub enum Record<'a> {
    /// A statement, a call or a transaction wrote to relations.
    Write {
        /// The exact changes; none if the rows given were there already.
        changes: &'a [Change],
        /// The number of rows given for each relation; a row that replaces another counts once.
        rows: &'a [(RelationId, u64)],
    },
    /// A relation or view was defined.
    Define {
        /// The new entry of the catalog.
        made: &'a Entry,
        /// The first rows of a table that is made of a query.
        rows: &'a [RecordBatch],
        /// The relation that it replaces, if any.
        gone: &'a [Arc<Entry>],
    },
    /// Relations and views were dropped.
    Drop {
        /// Each before all that it reads.
        gone: &'a [Arc<Entry>],
    },
    /// A checkpoint took the place of the whole database.
    Restore {
        /// Number of the checkpoint.
        checkpoint: u64,
        /// The relations of the checkpoint, and the number of rows that were given for each before it was taken.
        relations: &'a [(RelationId, u64)],
        /// What was there before, each before all that it reads.
        gone: &'a [Arc<Entry>],
    },
    /// A writer moved the watermark of a relation.
    Watermark {
        /// The relation.
        relation: RelationId,
        /// The value given; a lower one than before has no effect.
        to: i64,
    },
}

/// Receives every record of a database, in order.
pub trait History: Send + Sync {
    /// Receives a record that is committed at `time`. Times never fall from one call to the next; records may share one.
    ///
    /// It is called under the locks of the commit path and the engine: it must be short, and must not call the database.
    fn record(&self, time: Time, record: &Record<'_>);
}
