//! Counters of a connection, returned as snapshots that do not change later. Event totals count rows.

use laminardb_bridge::metrics;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::visible;

/// The connection as a whole.
#[pyclass(frozen, get_all, module = "laminardb._laminardb", name = "PipelineMetrics")]
pub(crate) struct PipelineMetrics {
    /// Rows in accepted writes, over all sources and tables.
    total_events_ingested: u64,
    /// Changes of all streams and materialized views there are.
    total_events_emitted: u64,
    /// Undelivered rows of subscriptions that were too slow; nothing else is ever dropped.
    total_events_dropped: u64,
    /// Closed times.
    total_cycles: u64,
    /// Accepted writes.
    total_batches: u64,
    /// Number of sources and tables.
    source_count: usize,
    /// Number of streams and materialized views.
    stream_count: usize,
    /// Number of sinks.
    sink_count: usize,
    /// Least of the watermarks that were set.
    pipeline_watermark: i64,
    /// Bytes held by kept rows and views; an estimate.
    memory_used_bytes: u64,
    /// Seconds since the connection was opened.
    uptime_secs: f64,
    /// `"created"`, `"running"` or `"stopped"`.
    state: &'static str,
}

#[pymethods]
impl PipelineMetrics {
    fn __repr__(&self) -> String {
        let (state, ingested, emitted) = (self.state, self.total_events_ingested, self.total_events_emitted);
        format!("PipelineMetrics(state={state}, ingested={ingested}, emitted={emitted})")
    }
}

impl From<metrics::PipelineMetrics> for PipelineMetrics {
    fn from(metrics: metrics::PipelineMetrics) -> Self {
        Self {
            total_events_ingested: metrics.total_events_ingested,
            total_events_emitted: metrics.total_events_emitted,
            total_events_dropped: metrics.total_events_dropped,
            total_cycles: metrics.total_cycles,
            total_batches: metrics.total_batches,
            source_count: metrics.source_count,
            stream_count: metrics.stream_count,
            // This build has no connectors.
            sink_count: 0,
            pipeline_watermark: metrics.pipeline_watermark,
            memory_used_bytes: metrics.memory_used_bytes,
            uptime_secs: metrics.uptime.as_secs_f64(),
            state: metrics.state,
        }
    }
}

/// A source or table.
#[pyclass(frozen, get_all, module = "laminardb._laminardb", name = "SourceMetrics")]
pub(crate) struct SourceMetrics {
    /// The stored name.
    name: String,
    /// Rows in accepted writes.
    total_events: u64,
    /// Rows accepted and not yet through all views.
    pending: u64,
    /// How many may be; 0 is no bound.
    capacity: u64,
    /// Whether a write would wait now.
    is_backpressured: bool,
    /// Its watermark; -9223372036854775808 when it was never set.
    watermark: i64,
    /// Pending rows in percent of the capacity, 0.0 to 100.0; 0.0 without a bound.
    utilization: f64,
}

#[pymethods]
impl SourceMetrics {
    fn __repr__(&self) -> String {
        format!(
            "SourceMetrics(name='{}', events={}, pending={})",
            visible::line(&self.name),
            self.total_events,
            self.pending
        )
    }
}

impl From<metrics::SourceMetrics> for SourceMetrics {
    fn from(metrics: metrics::SourceMetrics) -> Self {
        Self {
            name: metrics.name,
            total_events: metrics.total_events,
            pending: metrics.pending,
            capacity: metrics.capacity,
            is_backpressured: metrics.is_backpressured,
            watermark: metrics.watermark,
            utilization: metrics.utilization,
        }
    }
}

/// A stream or materialized view.
#[pyclass(frozen, get_all, module = "laminardb._laminardb", name = "StreamMetrics")]
pub(crate) struct StreamMetrics {
    /// The stored name.
    name: String,
    /// Rows that its changes have added and removed since it was made.
    total_events: u64,
    /// Failing rows that the view was made to skip and left out.
    total_errors: u64,
    /// Undelivered rows of its slowest subscriber.
    pending: u64,
    /// How many that one may have.
    capacity: u64,
    /// False: the engine never waits for a reader.
    is_backpressured: bool,
    /// Least watermark of what it reads.
    watermark: i64,
    /// Its SELECT, as written.
    sql: Option<String>,
}

#[pymethods]
impl StreamMetrics {
    fn __repr__(&self) -> String {
        format!(
            "StreamMetrics(name='{}', events={}, pending={})",
            visible::line(&self.name),
            self.total_events,
            self.pending
        )
    }
}

impl From<metrics::StreamMetrics> for StreamMetrics {
    fn from(metrics: metrics::StreamMetrics) -> Self {
        Self {
            name: metrics.name,
            total_events: metrics.total_events,
            total_errors: metrics.total_errors,
            pending: metrics.pending,
            capacity: metrics.capacity,
            // The engine never waits for a reader.
            is_backpressured: false,
            watermark: metrics.watermark,
            sql: metrics.sql,
        }
    }
}

/// Returns the counters of a source or table as a dict, for `stats(name)`; each is `None` if the name is unknown.
pub(crate) fn stats<'py>(
    py: Python<'py>,
    name: &str,
    metrics: Option<metrics::SourceMetrics>,
) -> PyResult<Bound<'py, PyDict>> {
    let stats = PyDict::new(py);
    stats.set_item("name", metrics.as_ref().map_or(name, |metrics| metrics.name.as_str()))?;
    stats.set_item("total_events", metrics.as_ref().map(|metrics| metrics.total_events))?;
    stats.set_item("pending", metrics.as_ref().map(|metrics| metrics.pending))?;
    stats.set_item("capacity", metrics.as_ref().map(|metrics| metrics.capacity))?;
    stats.set_item("is_backpressured", metrics.as_ref().map(|metrics| metrics.is_backpressured))?;
    stats.set_item("watermark", metrics.as_ref().map(|metrics| metrics.watermark))?;
    stats.set_item("utilization", metrics.as_ref().map(|metrics| metrics.utilization))?;
    Ok(stats)
}
