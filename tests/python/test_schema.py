"""create_table, schemas and types (API sections 5.3 and 14)."""

from __future__ import annotations

from typing import Any

import laminardb
import polars as pl
import pyarrow as pa
import pytest
from laminardb import codes

TYPES = {
    "int8": pa.int8(),
    "i16": pa.int16(),
    "int": pa.int32(),
    "INT64": pa.int64(),
    "u8": pa.uint8(),
    "uint16": pa.uint16(),
    "u32": pa.uint32(),
    "uint64": pa.uint64(),
    "float16": pa.float32(),
    "float": pa.float32(),
    "Double": pa.float64(),
    "boolean": pa.bool_(),
    "str": pa.string(),
    "large_utf8": pa.string(),
    "bytes": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "datetime": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "decimal(10, 2)": pa.decimal128(10, 2),
}


def test_type_strings(conn: laminardb.Connection) -> None:
    conn.create_table("t", {f"c{idx}": name for idx, name in enumerate(TYPES)})
    assert conn.schema("t").types == list(TYPES.values())


@pytest.mark.parametrize("name", ["nope", "int128", "decimal(40,2)", "decimal(2,3)", "decimal", ""])
def test_unknown_types(conn: laminardb.Connection, name: str) -> None:
    with pytest.raises(laminardb.SchemaError, match=r"Unknown type: ") as error:
        conn.create_table("t", {"a": name})
    assert error.value.code == codes.INVALID_SCHEMA
    assert conn.list_tables() == []


def test_schemas_of_polars_are_kept_though_they_are_dicts(conn: laminardb.Connection) -> None:
    kinds = {"Id": pl.Int16(), "s": pl.String(), "at": pl.Datetime("ms"), "l": pl.List(pl.Float32())}
    conn.create_table("t", pl.Schema(kinds))
    kept = [pa.int16(), pa.string(), pa.timestamp("ms"), pa.list_(pa.float32())]
    assert (conn.schema("t").names, conn.schema("t").types) == (list(kinds), kept)


def test_arrow_schemas_are_kept(conn: laminardb.Connection) -> None:
    schema = pa.schema(
        [
            pa.field("Id", pa.int64(), nullable=False),
            pa.field("a b", pa.timestamp("ns")),
            pa.field("d", pa.decimal128(12, 3)),
            pa.field("l", pa.list_(pa.int32())),
        ]
    )
    conn.create_table("T", schema)
    found = conn.schema("T")
    assert found.names == schema.names
    assert [field.nullable for field in found] == [False, True, True, True]
    assert found.field("a b").type == pa.timestamp("ns")
    assert found.field("d").type == pa.decimal128(12, 3)
    assert conn.sql("select id from t").columns == ["Id"]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({}, laminardb.SchemaError),
        ({"": "int64"}, laminardb.SchemaError),
        (pa.schema([("a", pa.int64()), ("a", pa.int64())]), laminardb.SchemaError),
        (pa.schema([("a", pa.duration("s"))]), laminardb.SchemaError),
        ({"a": 3}, TypeError),
        ({3: "int64"}, TypeError),
        ([("a", "int64")], TypeError),
        (None, TypeError),
    ],
)
def test_bad_schemas(conn: laminardb.Connection, schema: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as error:
        conn.create_table("t", schema)
    if isinstance(error.value, laminardb.SchemaError):
        assert error.value.code == codes.INVALID_SCHEMA
    assert conn.list_tables() == []


def test_primary_keys(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64", "b": "string", "c": "int64"}, primary_key=["b", "a"])
    info = conn.sources()[0]
    assert (info.kind, info.primary_key) == ("table", ["b", "a"])
    assert [field.nullable for field in info.schema] == [False, False, True]
    with pytest.raises(laminardb.SchemaError) as error:
        conn.create_table("u", {"a": "int64"}, primary_key="nope")
    assert error.value.code == codes.INVALID_SCHEMA
    with pytest.raises(TypeError):
        conn.create_table("u", {"a": "int64"}, primary_key=3)  # type: ignore[arg-type]


def test_names_of_relations(conn: laminardb.Connection) -> None:
    conn.create_table("Events", {"Id": "int64"})
    conn.insert("events", {"ID": 1})
    assert conn.sql("select id from events").fetchall() == [(1,)]
    with pytest.raises(laminardb.SchemaError) as error:
        conn.execute("CREATE SOURCE EVENTS (a INT)")
    assert error.value.code == codes.TABLE_EXISTS


def test_catalog(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE STREAM hot AS SELECT * FROM sensors WHERE value > 43")
    sensors.execute("CREATE MATERIALIZED VIEW per AS SELECT device, count(*) AS n FROM hot GROUP BY device")
    sensors.execute("CREATE TABLE k (id BIGINT PRIMARY KEY)")
    assert sensors.list_tables() == sensors.tables() == ["sensors", "k"]
    assert sensors.list_streams() == sensors.materialized_views() == ["hot", "per"]
    assert sensors.list_sinks() == sensors.sinks() == []
    assert (sensors.source_count, sensors.sink_count) == (2, 0)
    source = sensors.sources()[0]
    assert repr(source) == "SourceInfo(name='sensors', columns=3)"
    assert (source.kind, source.primary_key, source.watermark_column) == ("source", [], None)
    stream = sensors.streams()[0]
    assert repr(stream) == "StreamInfo(name='hot')"
    assert stream.sql == "SELECT * FROM sensors WHERE value > 43"
    topology = sensors.topology()
    assert [(node.name, node.node_type) for node in topology.nodes] == [
        ("sensors", "source"),
        ("hot", "stream"),
        ("per", "stream"),
        ("k", "table"),
    ]
    assert [(edge.from_node, edge.to_node) for edge in topology.edges] == [("sensors", "hot"), ("hot", "per")]
    assert repr(topology) == "PipelineTopology(nodes=4, edges=2)"
    assert repr(topology.edges[0]) == "PipelineEdge('sensors' -> 'hot')"
    assert repr(topology.nodes[0]) == "PipelineNode(name='sensors', type='source')"


def test_metrics(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE STREAM hot AS SELECT * FROM sensors WHERE value > 43")
    metrics = sensors.metrics()
    assert metrics.total_events_ingested == sensors.total_events_processed == 3
    assert (metrics.source_count, metrics.stream_count, metrics.sink_count) == (1, 1, 0)
    assert metrics.uptime_secs > 0
    assert metrics.memory_used_bytes >= 0
    wrapped = laminardb.Metrics(metrics)
    assert wrapped.total_events == 3
    assert wrapped.events_per_second > 0
    source = sensors.source_metrics("sensors")
    assert source is not None
    assert (source.total_events, source.capacity, source.is_backpressured) == (3, 65536, False)
    assert sensors.source_metrics("nope") is None
    assert sensors.stream_metrics("nope") is None
    stream = sensors.stream_metrics("hot")
    assert stream is not None
    assert stream.sql == "SELECT * FROM sensors WHERE value > 43"
    assert [found.name for found in sensors.all_source_metrics()] == ["sensors"]
    assert [found.name for found in sensors.all_stream_metrics()] == ["hot"]
    stats = sensors.stats("sensors")
    assert list(stats) == [
        "name",
        "total_events",
        "pending",
        "capacity",
        "is_backpressured",
        "watermark",
        "utilization",
    ]
    assert stats["total_events"] == 3
    assert sensors.stats("nope") == dict.fromkeys(stats) | {"name": "nope"}
    assert sensors.pipeline_watermark == -(2**63)


def test_queries_and_cancel(sensors: laminardb.Connection) -> None:
    sub = sensors.subscribe("SELECT device FROM sensors")
    running = [query for query in sensors.queries() if query.active]
    assert len(running) == sensors.active_query_count == 1
    assert "SELECT device FROM sensors" in running[0].sql
    sensors.cancel_query(running[0].id)
    sensors.cancel_query(running[0].id)
    assert not sub.is_active
    assert sensors.active_query_count == 0
    with pytest.raises(laminardb.SchemaError, match="not found") as error:
        sensors.cancel_query(10**9)
    assert error.value.code == codes.TABLE_NOT_FOUND
    with pytest.raises(OverflowError):
        sensors.cancel_query(-1)
    with pytest.raises(TypeError):
        sensors.cancel_query("1")  # type: ignore[arg-type]
