"""Section 9 of the Python contract: catalog, topology and metrics objects."""

from __future__ import annotations

from typing import Any

import laminardb
import pytest
from expect import NEVER

ATTRIBUTES = {
    "SourceInfo": {"name", "schema", "watermark_column", "kind", "primary_key"},
    "SinkInfo": {"name"},
    "StreamInfo": {"name", "sql"},
    "QueryInfo": {"id", "sql", "active", "pending", "unread_secs"},
    "PipelineNode": {"name", "node_type", "schema", "sql"},
    "PipelineEdge": {"from_node", "to_node"},
    "PipelineTopology": {"nodes", "edges", "to_mermaid", "to_dot"},
    "PipelineMetrics": {
        "total_events_ingested",
        "total_events_emitted",
        "total_events_dropped",
        "total_cycles",
        "total_batches",
        "source_count",
        "stream_count",
        "sink_count",
        "pipeline_watermark",
        "memory_used_bytes",
        "uptime_secs",
        "state",
    },
    "SourceMetrics": {"name", "total_events", "pending", "capacity", "watermark", "is_backpressured", "utilization"},
    "StreamMetrics": {
        "name",
        "total_events",
        "total_errors",
        "pending",
        "capacity",
        "watermark",
        "is_backpressured",
        "sql",
    },
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes(name: str) -> None:
    found = {member for member in dir(getattr(laminardb, name)) if not member.startswith("_")}
    assert found == ATTRIBUTES[name]


@pytest.fixture
def objects(sensors: laminardb.Connection) -> dict[str, Any]:
    sensors.execute("CREATE TABLE k (a BIGINT PRIMARY KEY)")
    sensors.execute("CREATE VIEW v AS SELECT ts FROM sensors")
    sensors.execute("CREATE STREAM s AS SELECT ts FROM v WHERE ts > 1 -- hot")
    sensors.sql("SELECT 1")
    sensors.wait()
    topology = sensors.topology()
    return {
        "SourceInfo": sensors.sources()[0],
        "StreamInfo": sensors.streams()[0],
        "QueryInfo": sensors.queries()[0],
        "PipelineNode": topology.nodes[0],
        "PipelineEdge": topology.edges[0],
        "PipelineTopology": topology,
        "PipelineMetrics": sensors.metrics(),
        "SourceMetrics": sensors.source_metrics("sensors"),
        "StreamMetrics": sensors.stream_metrics("s"),
        "conn": sensors,
    }


REPRS = {
    "SourceInfo": "SourceInfo(name='sensors', columns=3)",
    "StreamInfo": "StreamInfo(name='s')",
    "QueryInfo": "QueryInfo(id=1, active=False)",
    "PipelineNode": "PipelineNode(name='sensors', type='source')",
    "PipelineEdge": "PipelineEdge('sensors' -> 'v')",
    "PipelineTopology": "PipelineTopology(nodes=4, edges=2)",
    "PipelineMetrics": "PipelineMetrics(state=created, ingested=3, emitted=0)",
    "SourceMetrics": "SourceMetrics(name='sensors', events=3, pending=0)",
    "StreamMetrics": "StreamMetrics(name='s', events=0, pending=0)",
}


@pytest.mark.parametrize("name", REPRS)
def test_reprs_and_that_they_are_read_only(objects: dict[str, Any], name: str) -> None:
    made = objects[name]
    assert type(made) is getattr(laminardb, name)
    assert repr(made) == REPRS[name]
    for attribute in ATTRIBUTES[name]:
        with pytest.raises(AttributeError):
            setattr(made, attribute, None)


def test_types_of_attributes(objects: dict[str, Any]) -> None:
    metrics = objects["PipelineMetrics"]
    numbers = ATTRIBUTES["PipelineMetrics"] - {"uptime_secs", "state"}
    assert {type(getattr(metrics, name)) for name in numbers} == {int}
    assert (type(metrics.uptime_secs), type(metrics.state)) == (float, str)
    source = objects["SourceMetrics"]
    assert {type(getattr(source, name)) for name in ("total_events", "pending", "capacity", "watermark")} == {int}
    assert (type(source.is_backpressured), type(source.utilization)) == (bool, float)


def test_snapshots_do_not_change(objects: dict[str, Any]) -> None:
    conn = objects["conn"]
    conn.insert("sensors", {"ts": [9, 9]})
    conn.writer("sensors").watermark(5)
    conn.start()
    conn.execute("CREATE SOURCE more (a INT)")
    assert {name: repr(objects[name]) for name in REPRS} == REPRS
    assert (objects["SourceMetrics"].watermark, objects["PipelineMetrics"].pipeline_watermark) == (NEVER, NEVER)


@pytest.mark.usefixtures("pa")
def test_nodes_of_all_kinds(objects: dict[str, Any]) -> None:
    nodes = objects["PipelineTopology"].nodes
    assert [(node.name, node.node_type, node.sql) for node in nodes] == [
        ("sensors", "source", None),
        ("k", "table", None),
        ("v", "view", "SELECT ts FROM sensors"),
        ("s", "stream", "SELECT ts FROM v WHERE ts > 1"),
    ]
    assert [node.schema.names for node in nodes] == [["ts", "device", "value"], ["a"], ["ts"], ["ts"]]


def test_edges_come_from_the_plan_and_not_from_the_text(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE a (x BIGINT, b VARCHAR)")
    conn.execute("CREATE SOURCE b (x BIGINT)")
    conn.execute("CREATE SOURCE ab (x BIGINT)")
    conn.execute("CREATE STREAM s AS WITH b AS (SELECT x FROM ab) SELECT b.x, 'a' AS a FROM b -- not from a")
    conn.execute("CREATE STREAM t AS SELECT x FROM b UNION ALL SELECT x FROM b WHERE x IN (SELECT x FROM a)")
    assert [(edge.from_node, edge.to_node) for edge in conn.topology().edges] == [("ab", "s"), ("b", "t"), ("a", "t")]


def test_counters_of_a_source(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"}, primary_key="a")
    conn.insert("t", {"a": [1, 2, 3]})
    conn.insert("t", {"a": [1, 1]})
    conn.delete("t", {"a": [1, 7]})
    with pytest.raises(laminardb.IngestionError):
        conn.insert("t", {"a": ["x", "y"]})
    metrics = conn.metrics()
    assert metrics.total_events_ingested == conn.source_metrics("t").total_events  # type: ignore[union-attr]
    assert metrics.total_batches == 3
    assert metrics.total_cycles == conn.current_time


def test_changes_of_a_view_count_without_a_subscriber(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"g": "string"})
    conn.insert("t", {"g": "z"})
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS n FROM t GROUP BY g")
    conn.insert("t", {"g": ["a", "b"]})
    conn.wait()
    conn.insert("t", {"g": "a"})
    conn.wait()
    metrics = conn.stream_metrics("v")
    assert metrics is not None
    # Two groups, then the old and the new count of one.
    assert metrics.total_events == 4
    assert conn.metrics().total_events_emitted == 4
    subs = [conn.subscribe_stream("v") for _ in range(3)]
    conn.insert("t", {"g": "c"})
    conn.shutdown()
    assert conn.stream_metrics("v").total_events == 5  # type: ignore[union-attr]
    assert [len(sub.next()) for sub in subs] == [1, 1, 1]  # type: ignore[arg-type]


COUNTED = {
    "source": "SELECT a FROM s WHERE a > 1",
    "key of a table": "SELECT id, x FROM t WHERE x < 9",
    "group": "SELECT x, count(*) AS n FROM t GROUP BY x",
    "all rows": "SELECT count(*) AS n, sum(x) AS y FROM t",
    "distinct": "SELECT DISTINCT a FROM s",
    "join": "SELECT a, x FROM s JOIN t ON a = id",
    "outer join": "SELECT a, x FROM s LEFT JOIN t ON a = id",
    "top k": "SELECT id, x FROM t ORDER BY x DESC, id LIMIT 2",
    "sums of a view": "SELECT sum(n) AS m FROM (SELECT x, count(*) AS n FROM t GROUP BY x)",
}


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("workers", [1, 2])
def test_changes_are_those_that_a_subscriber_gets(name: str, workers: int) -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers)) as conn:
        conn.execute("CREATE SOURCE s (a BIGINT)")
        conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, x BIGINT)")
        conn.insert("s", {"a": [1, 2, 3]})
        conn.insert("t", {"id": [1, 2, 3], "x": [7, 7, 8]})
        for view in ("watched", "unwatched"):
            conn.execute(f"CREATE MATERIALIZED VIEW {view} AS {COUNTED[name]}")
        sub = conn.subscribe_stream("watched")
        for write in (
            lambda: conn.insert("s", {"a": [2, 2, 4]}),
            lambda: conn.insert("t", {"id": [2, 4, 5], "x": [8, 7, 9]}),
            lambda: conn.execute("UPDATE t SET x = x + 1"),
            lambda: conn.delete("t", {"id": [1, 5]}),
        ):
            write()
            conn.wait()
        conn.shutdown()
        counts = [metrics.total_events for metrics in conn.all_stream_metrics()]
        assert counts == [sum(len(batch) for batch in sub)] * 2
        assert counts[0] > 0
        assert conn.metrics().total_events_emitted == sum(counts)


def test_changes_of_what_keeps_no_rows_count_before_equal_ones_cancel_out(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, x BIGINT, y BIGINT)")
    conn.insert("t", {"id": [1, 2], "x": [5, 5], "y": [1, 2]})
    conn.execute("CREATE STREAM passed AS SELECT x FROM t")
    conn.execute("CREATE STREAM kept AS SELECT DISTINCT x FROM t")
    sub = conn.subscribe_stream("passed")
    conn.execute("UPDATE t SET y = 0 WHERE id = 1")
    conn.shutdown()
    assert list(sub) == []
    assert [metrics.total_events for metrics in conn.all_stream_metrics()] == [2, 0]


def test_pending_and_capacity_are_those_of_the_slowest_subscriber(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.execute("CREATE STREAM v AS SELECT a FROM t")
    idle = conn.stream_metrics("v")
    assert idle is not None
    assert (idle.pending, idle.is_backpressured) == (0, False)
    fast, slow = conn.subscribe_stream("v", max_pending=100), conn.subscribe_stream("v", max_pending=50)
    for idx in range(3):
        conn.insert("t", {"a": [idx, idx]})
    conn.wait()
    fast.next()
    metrics = conn.stream_metrics("v")
    assert metrics is not None
    assert (metrics.pending, metrics.capacity) == (6, 50)
    assert len(slow.next()) > 0  # type: ignore[arg-type]


def test_ten_million_rows_may_be_pending_unless_said_otherwise(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.execute("CREATE STREAM v AS SELECT a FROM t")
    sub = conn.subscribe_stream("v")
    metrics = conn.stream_metrics("v")
    assert metrics is not None
    assert (sub.is_active, metrics.capacity) == (True, 10_000_000)


def test_dropped_rows_are_those_of_subscribers_that_lag(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.execute("CREATE STREAM v AS SELECT a FROM t")
    sub = conn.subscribe_stream("v", max_pending=4)
    for _ in range(4):
        assert conn.metrics().total_events_dropped == 0
        conn.insert("t", {"a": [1, 2, 3]})
        conn.wait()
    dropped = conn.metrics().total_events_dropped
    assert dropped >= 9
    with pytest.raises(laminardb.SubscriptionError):
        list(sub)
    assert conn.metrics().total_events_dropped == dropped


def test_watermarks_of_streams_are_the_least_of_their_inputs(conn: laminardb.Connection) -> None:
    for name in ("a", "b"):
        conn.create_table(name, {"x": "int64"})
    conn.execute("CREATE STREAM both AS SELECT x FROM a UNION ALL SELECT x FROM b")
    a, b = conn.writer("a"), conn.writer("b")
    a.watermark(10)
    assert (conn.stream_metrics("both").watermark, conn.pipeline_watermark) == (NEVER, 10)  # type: ignore[union-attr]
    b.watermark(4)
    assert (conn.stream_metrics("both").watermark, conn.pipeline_watermark) == (4, 4)  # type: ignore[union-attr]


def test_memory_grows_with_rows_and_views(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64", "b": "string"})
    empty = conn.metrics().memory_used_bytes
    conn.insert("t", {"a": list(range(10_000)), "b": ["some text"] * 10_000})
    rows = conn.metrics().memory_used_bytes
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT a, count(*) AS n FROM t GROUP BY a")
    conn.sql("SELECT count(*) FROM v")
    assert 0 <= empty < rows < conn.metrics().memory_used_bytes
