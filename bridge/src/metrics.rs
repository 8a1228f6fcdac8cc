//! Counters of a database, as snapshots that do not change later. Everything counts rows.

use std::sync::Arc;
use std::time::Duration;

use laminardb_planner::catalog::RelationKind;

use crate::catalog::Entry;
use crate::database::Database;
use crate::error::Error;
use crate::subscription::ViewCounters;
use crate::watermark::{NO_WATERMARK, Watermark};

/// A database as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineMetrics {
    /// Rows in accepted writes, over all sources and tables.
    pub total_events_ingested: u64,
    /// Changes of all existing streams and materialized views.
    pub total_events_emitted: u64,
    /// Undelivered rows of subscriptions that were too slow; nothing else is ever dropped.
    pub total_events_dropped: u64,
    /// Number of closed times.
    pub total_cycles: u64,
    /// Number of accepted writes.
    pub total_batches: u64,
    /// Number of sources and tables.
    pub source_count: usize,
    /// Number of streams and materialized views.
    pub stream_count: usize,
    /// Lowest of the watermarks that have been set.
    pub pipeline_watermark: i64,
    /// Estimated bytes held by the rows of relations and by views.
    pub memory_used_bytes: u64,
    /// Since the database was opened.
    pub uptime: Duration,
    /// The database's state in a word.
    pub state: &'static str,
}

/// Counters of a source or table.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceMetrics {
    /// Name of the relation.
    pub name: String,
    /// Rows in accepted writes.
    pub total_events: u64,
    /// Rows that were accepted and have not passed through all views yet.
    pub pending: u64,
    /// Maximum number of pending rows; 0 means no bound.
    pub capacity: u64,
    /// Whether a write would have to wait now.
    pub is_backpressured: bool,
    /// Watermark of the relation.
    pub watermark: i64,
    /// Pending rows in percent of the capacity; 0 without a bound.
    pub utilization: f64,
}

/// Counters of a stream or materialized view.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamMetrics {
    /// Name of the view.
    pub name: String,
    /// Rows that its changes have added or removed since it was created.
    pub total_events: u64,
    /// Number of failing rows left out, if the view was created to skip them.
    pub total_errors: u64,
    /// Undelivered rows of the slowest subscriber.
    pub pending: u64,
    /// Maximum number of pending rows of that subscriber.
    pub capacity: u64,
    /// Lowest watermark of the sources and tables it depends on; one that was never set counts as the lowest possible.
    pub watermark: i64,
    /// SELECT of the view, as written.
    pub sql: Option<String>,
}

impl Database {
    /// Counters of the database.
    pub fn metrics(&self) -> Result<PipelineMetrics, Error> {
        let entries = self.relations()?;
        let sources: Vec<SourceMetrics> = entries.iter().filter_map(|entry| self.source_metrics_of(entry)).collect();
        let streams: Vec<StreamMetrics> = entries.iter().filter_map(|entry| self.stream_metrics_of(entry)).collect();
        let views = self.engine.report().map_or(0, |report| report.total().bytes);
        let rows = |entry: &Arc<Entry>| entry.relation_id().map_or(0, |id| self.committer.bytes(id));
        // Not read in the expression below: it would keep this lock while it takes the committer's, which comes first.
        let total_batches = self.accepted.writes();
        Ok(PipelineMetrics {
            total_events_ingested: sources.iter().map(|source| source.total_events).sum(),
            total_events_emitted: streams.iter().map(|stream| stream.total_events).sum(),
            total_events_dropped: self.hub.discarded(),
            total_cycles: self.current_time().0,
            total_batches,
            source_count: sources.len(),
            stream_count: streams.len(),
            pipeline_watermark: self.pipeline_watermark()?,
            memory_used_bytes: views + entries.iter().map(rows).sum::<u64>(),
            uptime: self.uptime(),
            state: self.state().name(),
        })
    }

    /// Returns the lowest of the watermarks that have been set; [`NO_WATERMARK`] if none has.
    pub fn pipeline_watermark(&self) -> Result<i64, Error> {
        let entries = self.relations()?;
        let set = entries.iter().map(current).filter(|watermark| *watermark != NO_WATERMARK);
        Ok(set.min().unwrap_or(NO_WATERMARK))
    }

    /// Returns the counters of a source or table; `None` for any other name.
    pub fn source_metrics(&self, name: &str) -> Result<Option<SourceMetrics>, Error> {
        Ok(self.entry(name)?.and_then(|entry| self.source_metrics_of(&entry)))
    }

    /// Returns the counters of a stream or materialized view; `None` for any other name.
    pub fn stream_metrics(&self, name: &str) -> Result<Option<StreamMetrics>, Error> {
        Ok(self.entry(name)?.and_then(|entry| self.stream_metrics_of(&entry)))
    }

    /// Returns the relation that a name in a call refers to, if there is one.
    fn entry(&self, name: &str) -> Result<Option<Arc<Entry>>, Error> {
        // Fails when the database is closed.
        self.relations()?;
        match self.catalog().named(name) {
            Ok(entry) => Ok(Some(Arc::clone(entry))),
            Err(Error::TableNotFound(_)) => Ok(None),
            Err(ambiguous) => Err(ambiguous),
        }
    }

    /// Returns the counters of all sources and tables, in creation order.
    pub fn all_source_metrics(&self) -> Result<Vec<SourceMetrics>, Error> {
        Ok(self.relations()?.iter().filter_map(|entry| self.source_metrics_of(entry)).collect())
    }

    /// Returns the counters of all streams and materialized views, in creation order.
    pub fn all_stream_metrics(&self) -> Result<Vec<StreamMetrics>, Error> {
        Ok(self.relations()?.iter().filter_map(|entry| self.stream_metrics_of(entry)).collect())
    }

    fn source_metrics_of(&self, entry: &Arc<Entry>) -> Option<SourceMetrics> {
        let id = entry.relation_id()?;
        let (pending, capacity) = (self.engine.rows_pending(id), self.buffer_size() as u64);
        let total_events = self.accepted.rows(id);
        Some(SourceMetrics {
            name: entry.name().to_owned(),
            total_events,
            pending,
            capacity,
            is_backpressured: capacity > 0 && pending >= capacity,
            watermark: current(entry),
            utilization: if capacity == 0 { 0.0 } else { (100.0 * pending as f64 / capacity as f64).min(100.0) },
        })
    }

    fn stream_metrics_of(&self, entry: &Arc<Entry>) -> Option<StreamMetrics> {
        if !matches!(entry.kind(), RelationKind::Stream | RelationKind::MaterializedView) {
            return None;
        }
        let view = entry.maintained.as_ref()?;
        let ViewCounters { emitted, left_out, pending, capacity, .. } = self.hub.counters(view.id).unwrap_or_default();
        Some(StreamMetrics {
            name: entry.name().to_owned(),
            total_events: emitted,
            total_errors: left_out,
            pending: pending as u64,
            capacity: capacity as u64,
            watermark: self.catalog().bases(entry).into_iter().map(current).min().unwrap_or(NO_WATERMARK),
            sql: entry.sql.clone(),
        })
    }
}

/// Returns the watermark of `entry` itself; [`NO_WATERMARK`] if it has none.
fn current(entry: &Arc<Entry>) -> i64 {
    entry.watermark.as_deref().map_or(NO_WATERMARK, Watermark::current)
}
