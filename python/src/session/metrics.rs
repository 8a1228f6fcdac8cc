//! Reads counters, watermarks, and the rows that views left out.

use laminardb_bridge::subscription::FailedRow;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::Connection;
use crate::detach::{attentive, detached};
use crate::error::checked;
use crate::metrics::{PipelineMetrics, SourceMetrics, StreamMetrics, stats};

#[pymethods]
impl Connection {
    /// Least of the watermarks that were set; -9223372036854775808 when none was.
    #[getter]
    fn pipeline_watermark(&self, py: Python<'_>) -> PyResult<i64> {
        checked(py, self.database(py)?.pipeline_watermark())
    }

    /// Rows in accepted writes, over all sources and tables.
    #[getter]
    fn total_events_processed(&self, py: Python<'_>) -> PyResult<u64> {
        let database = self.database(py)?;
        let sources = checked(py, detached(py, || database.all_source_metrics()))?;
        Ok(sources.iter().map(|source| source.total_events).sum())
    }

    /// Counters of the whole connection, as they are now.
    ///
    /// >>> conn.metrics()
    /// PipelineMetrics(state=created, ingested=0, emitted=0)
    fn metrics(&self, py: Python<'_>) -> PyResult<PipelineMetrics> {
        let database = self.database(py)?;
        checked(py, detached(py, || database.metrics())).map(PipelineMetrics::from)
    }

    /// The last 1,000 rows that a view made with `on_error` = `skip` left out.
    ///
    /// Each is a dict of `row`, `expression` and `message`. `SchemaError` 200 when there is no such relation.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> made = conn.execute("CREATE STREAM v AS SELECT a * 9223372036854775807 AS b FROM t WITH ('on_error' = 'skip')")
    /// >>> conn.insert("t", {"a": [1, 2]})
    /// 2
    /// >>> [sorted(error) for error in conn.errors("v")]
    /// [['expression', 'message', 'row']]
    fn errors<'py>(&self, py: Python<'py>, view: &str) -> PyResult<Bound<'py, PyList>> {
        let session = self.session(py)?;
        let rows = checked(py, attentive(py, |cancel| session.with_cancel(cancel).left_out(view))?)?;
        let dict = |row: FailedRow| {
            let dict = PyDict::new(py);
            dict.set_item("row", row.row)?;
            dict.set_item("expression", row.expression)?;
            dict.set_item("message", row.message)?;
            Ok(dict)
        };
        PyList::new(py, rows.into_iter().map(dict).collect::<PyResult<Vec<_>>>()?)
    }

    /// Counters of a source or table; None when there is none of that name.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.insert("t", {"a": [1, 2]})
    /// 2
    /// >>> conn.source_metrics("t").total_events
    /// 2
    fn source_metrics(&self, py: Python<'_>, name: &str) -> PyResult<Option<SourceMetrics>> {
        let database = self.database(py)?;
        Ok(checked(py, detached(py, || database.source_metrics(name)))?.map(SourceMetrics::from))
    }

    /// Counters of a stream or materialized view; None when there is none of that name.
    ///
    /// >>> conn.stream_metrics("nothing") is None
    /// True
    fn stream_metrics(&self, py: Python<'_>, name: &str) -> PyResult<Option<StreamMetrics>> {
        let database = self.database(py)?;
        Ok(checked(py, detached(py, || database.stream_metrics(name)))?.map(StreamMetrics::from))
    }

    /// Counters of all sources and tables, oldest first.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.all_source_metrics()
    /// [SourceMetrics(name='t', events=0, pending=0)]
    fn all_source_metrics(&self, py: Python<'_>) -> PyResult<Vec<SourceMetrics>> {
        let database = self.database(py)?;
        let all = checked(py, detached(py, || database.all_source_metrics()))?;
        Ok(all.into_iter().map(SourceMetrics::from).collect())
    }

    /// Counters of all streams and materialized views, oldest first.
    ///
    /// >>> conn.all_stream_metrics()
    /// []
    fn all_stream_metrics(&self, py: Python<'_>) -> PyResult<Vec<StreamMetrics>> {
        let database = self.database(py)?;
        let all = checked(py, detached(py, || database.all_stream_metrics()))?;
        Ok(all.into_iter().map(StreamMetrics::from).collect())
    }

    /// Counters of a source or table as a dict; None for each when there is none of that name.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sorted(conn.stats("t"))
    /// ['capacity', 'is_backpressured', 'name', 'pending', 'total_events', 'utilization', 'watermark']
    fn stats<'py>(&self, py: Python<'py>, table: &str) -> PyResult<Bound<'py, PyDict>> {
        let database = self.database(py)?;
        let metrics = checked(py, detached(py, || database.source_metrics(table)))?;
        stats(py, table, metrics)
    }
}
