//! `Accepted`: counters of the accepted writes of a database, updated from the database's records.

use std::sync::Arc;

use hashbrown::HashMap;
use laminardb_dataflow::lock::{Mutex, Rank};
use laminardb_dataflow::{RelationId, Time};

use crate::catalog::Entry;
use crate::commit::{History, Record};

/// Counts the accepted writes of a database, and the rows given in them.
pub(crate) struct Accepted(Mutex<Counters>);

impl Default for Accepted {
    fn default() -> Self {
        Accepted(Mutex::new(Rank::Leaf, Counters::default()))
    }
}

#[derive(Default)]
struct Counters {
    writes: u64,
    rows: HashMap<RelationId, u64>,
}

impl Accepted {
    /// Returns the number of writes to any relation.
    pub(crate) fn writes(&self) -> u64 {
        self.0.lock().writes
    }

    /// Returns the number of rows given in writes to `relation`.
    pub(crate) fn rows(&self, relation: RelationId) -> u64 {
        self.0.lock().rows.get(&relation).copied().unwrap_or(0)
    }
}

impl Counters {
    /// Removes the counters of relations that were dropped.
    fn forget(&mut self, gone: &[Arc<Entry>]) {
        for relation in gone.iter().filter_map(|entry| entry.relation_id()) {
            self.rows.remove(&relation);
        }
    }
}

impl History for Accepted {
    fn record(&self, _time: Time, record: &Record<'_>) {
        let mut counters = self.0.lock();
        match record {
            Record::Write { rows, .. } => {
                counters.writes += 1;
                for (relation, rows) in *rows {
                    *counters.rows.entry(*relation).or_default() += rows;
                }
            }
            Record::Define { gone, .. } | Record::Drop { gone } => counters.forget(gone),
            Record::Restore { relations, gone, .. } => {
                counters.rows.extend(relations.iter().copied());
                counters.forget(gone);
            }
            Record::Watermark { .. } => {}
        }
    }
}
