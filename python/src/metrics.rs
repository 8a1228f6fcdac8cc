//! Counters of a connection. Snapshots that do not change later; everything counts rows.

use laminardb_bridge::metrics;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The connection as a whole.
#[pyclass(frozen, get_all, module = "laminardb._laminardb", name = "PipelineMetrics")]
pub(crate) struct PipelineMetrics {
    total_events_ingested: u64,
    total_events_emitted: u64,
    total_events_dropped: u64,
    total_cycles: u64,
    total_batches: u64,
    source_count: usize,
    stream_count: usize,
    sink_count: usize,
    pipeline_watermark: i64,
    memory_used_bytes: u64,
    uptime_secs: f64,
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
    name: String,
    total_events: u64,
    pending: u64,
    capacity: u64,
    is_backpressured: bool,
    watermark: i64,
    utilization: f64,
}

#[pymethods]
impl SourceMetrics {
    fn __repr__(&self) -> String {
        format!("SourceMetrics(name='{}', events={}, pending={})", self.name, self.total_events, self.pending)
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
    name: String,
    total_events: u64,
    pending: u64,
    capacity: u64,
    is_backpressured: bool,
    watermark: i64,
    sql: Option<String>,
}

#[pymethods]
impl StreamMetrics {
    fn __repr__(&self) -> String {
        format!("StreamMetrics(name='{}', events={}, pending={})", self.name, self.total_events, self.pending)
    }
}

impl From<metrics::StreamMetrics> for StreamMetrics {
    fn from(metrics: metrics::StreamMetrics) -> Self {
        Self {
            name: metrics.name,
            total_events: metrics.total_events,
            pending: metrics.pending,
            capacity: metrics.capacity,
            // The engine never waits for a reader.
            is_backpressured: false,
            watermark: metrics.watermark,
            sql: metrics.sql,
        }
    }
}

/// `stats(name)`: the counters of a source or table as a dict; None for each of an unknown one.
pub(crate) fn stats<'py>(
    py: Python<'py>,
    name: &str,
    metrics: Option<metrics::SourceMetrics>,
) -> PyResult<Bound<'py, PyDict>> {
    let stats = PyDict::new(py);
    stats.set_item("name", name)?;
    stats.set_item("total_events", metrics.as_ref().map(|metrics| metrics.total_events))?;
    stats.set_item("pending", metrics.as_ref().map(|metrics| metrics.pending))?;
    stats.set_item("capacity", metrics.as_ref().map(|metrics| metrics.capacity))?;
    stats.set_item("is_backpressured", metrics.as_ref().map(|metrics| metrics.is_backpressured))?;
    stats.set_item("watermark", metrics.as_ref().map(|metrics| metrics.watermark))?;
    stats.set_item("utilization", metrics.as_ref().map(|metrics| metrics.utilization))?;
    Ok(stats)
}
