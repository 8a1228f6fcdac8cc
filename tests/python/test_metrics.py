"""Catalog, topology and metrics objects (API section 9): snapshots that do not change later."""

from __future__ import annotations

import laminardb
import pytest

NO_WATERMARK = -(2**63)


@pytest.fixture
def counted(sensors: laminardb.Connection) -> laminardb.Connection:
    """Three rows, a view on them that two subscribers watch, and two more rows."""
    sensors.execute("CREATE TABLE devices (device VARCHAR, room VARCHAR, PRIMARY KEY (device))")
    sensors.execute("CREATE MATERIALIZED VIEW counts AS SELECT device, count(*) AS n FROM sensors GROUP BY device")
    return sensors


def test_pipeline_metrics(counted: laminardb.Connection) -> None:
    counted.insert("devices", {"device": ["a", "b"], "room": ["x", "y"]})
    counted.wait()
    metrics = counted.metrics()
    assert (metrics.total_events_ingested, metrics.total_events_dropped) == (5, 0)
    assert counted.total_events_processed == 5
    assert metrics.total_batches == 2
    assert 1 <= metrics.total_cycles <= 2
    assert metrics.total_events_emitted == 0, "the contents that a view was made over are no changes"
    assert (metrics.source_count, metrics.stream_count, metrics.sink_count) == (2, 1, 0)
    assert (counted.source_count, counted.sink_count) == (2, 0)
    assert metrics.pipeline_watermark == counted.pipeline_watermark == NO_WATERMARK
    assert metrics.memory_used_bytes > 0
    assert metrics.uptime_secs > 0.0
    assert metrics.state == counted.pipeline_state == "created"
    counted.insert("devices", {"device": "c"})
    assert metrics.total_events_ingested == 5, "a snapshot does not change later"
    with pytest.raises(AttributeError):
        metrics.state = "running"  # type: ignore[misc]


def test_source_metrics_and_stats(counted: laminardb.Connection) -> None:
    counted.wait()
    metrics = counted.source_metrics("sensors")
    assert metrics is not None
    assert repr(metrics) == "SourceMetrics(name='sensors', events=3, pending=0)"
    assert (metrics.name, metrics.total_events, metrics.pending, metrics.capacity) == ("sensors", 3, 0, 65536)
    assert (metrics.is_backpressured, metrics.watermark, metrics.utilization) == (False, NO_WATERMARK, 0.0)
    assert counted.stats("sensors") == {
        "name": "sensors",
        "total_events": 3,
        "pending": 0,
        "capacity": 65536,
        "is_backpressured": False,
        "watermark": NO_WATERMARK,
        "utilization": 0.0,
    }
    assert set(counted.stats("nothing").values()) == {"nothing", None}
    assert counted.source_metrics("nothing") is None
    assert [each.name for each in counted.all_source_metrics()] == ["sensors", "devices"]


def test_stream_metrics(counted: laminardb.Connection) -> None:
    taken = counted.subscribe_stream("counts")
    behind = counted.subscribe_stream("counts", max_pending=10)
    counted.insert("sensors", {"ts": [4, 5], "device": ["sensor_a", "sensor_z"], "value": [1.0, 2.0]})
    counted.wait()
    assert taken.next() is not None
    metrics = counted.stream_metrics("counts")
    assert metrics is not None
    # The old and the new count of sensor_a, and the new sensor_z.
    assert (metrics.name, metrics.total_events, metrics.pending, metrics.capacity) == ("counts", 3, 3, 10)
    assert (metrics.is_backpressured, metrics.watermark) == (False, NO_WATERMARK)
    assert metrics.sql == "SELECT device, count(*) AS n FROM sensors GROUP BY device"
    behind.cancel()
    assert counted.stream_metrics("nothing") is None
    assert [repr(each) for each in counted.all_stream_metrics()] == [
        "StreamMetrics(name='counts', events=3, pending=0)"
    ]


@pytest.mark.usefixtures("pa")
def test_catalog_objects(counted: laminardb.Connection) -> None:
    sensors, devices = counted.sources()
    assert (repr(sensors), repr(devices)) == (
        "SourceInfo(name='sensors', columns=3)",
        "SourceInfo(name='devices', columns=2)",
    )
    assert (sensors.kind, sensors.primary_key, sensors.watermark_column) == ("source", [], None)
    assert (devices.kind, devices.primary_key) == ("table", ["device"])
    assert sensors.schema.names == ["ts", "device", "value"]
    (counts,) = counted.streams()
    assert repr(counts) == "StreamInfo(name='counts')"
    assert counts.sql == "SELECT device, count(*) AS n FROM sensors GROUP BY device"
    topology = counted.topology()
    assert repr(topology) == "PipelineTopology(nodes=3, edges=1)"
    assert [repr(node) for node in topology.nodes] == [
        "PipelineNode(name='sensors', type='source')",
        "PipelineNode(name='devices', type='table')",
        "PipelineNode(name='counts', type='stream')",
    ]
    assert [node.sql for node in topology.nodes] == [None, None, counts.sql]
    assert topology.nodes[2].schema.names == ["device", "n"]  # type: ignore[union-attr]
    assert [repr(edge) for edge in topology.edges] == ["PipelineEdge('sensors' -> 'counts')"]


def test_queries_are_listed_and_end(counted: laminardb.Connection) -> None:
    counted.sql("SELECT count(*) FROM sensors")
    sub = counted.subscribe("SELECT device FROM sensors")
    over, running = counted.queries()[-2:]
    assert (over.sql, over.active) == ("SELECT count(*) FROM sensors", False)
    assert (running.sql, running.active) == ("SELECT device FROM sensors", True)
    assert repr(running) == f"QueryInfo(id={running.id}, active=True)"
    assert counted.active_query_count == 1
    counted.cancel_query(running.id)
    counted.cancel_query(running.id)
    assert not sub.is_active
    assert counted.active_query_count == 0
    with pytest.raises(laminardb.SchemaError, match="not found") as error:
        counted.cancel_query(10**9)
    assert error.value.code == laminardb.codes.TABLE_NOT_FOUND
    with pytest.raises(OverflowError):
        counted.cancel_query(-1)
    with pytest.raises(TypeError):
        counted.cancel_query("1")  # type: ignore[arg-type]
