"""laminardb.types (API section 13)."""

from __future__ import annotations

import dataclasses
import threading
from types import ModuleType
from typing import Any

import laminardb
import pytest
from laminardb import ChangeEvent, ChangeRow, CheckpointStatus, Column, Metrics, Schema, TableStats, Watermark


def test_schema(pa: ModuleType) -> None:
    arrow = pa.schema([pa.field("id", pa.int64(), nullable=False), ("name", pa.string())])
    schema = Schema(arrow)
    assert schema.arrow_schema is arrow
    assert schema.columns == [Column("id", "int64", False), Column("name", "string")]
    assert (schema.names, len(schema)) == (["id", "name"], 2)
    assert schema[0] == schema["id"] == Column("id", "int64", nullable=False)
    assert schema[-1].name == "name"
    assert [column.name for column in schema] == ["id", "name"]
    assert repr(schema) == "Schema(id: int64, name: string)"
    with pytest.raises(IndexError):
        schema[2]
    with pytest.raises(KeyError):
        schema["nope"]


def test_dataclasses() -> None:
    for made in (Column("a", "int64"), TableStats(1, 2), Watermark(3), CheckpointStatus(None, True)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, dataclasses.fields(made)[0].name, 1)
    assert Watermark(3).lag_ms == 0


def test_metrics() -> None:
    class Fake:
        total_events_ingested = 10
        uptime_secs = 4.0
        memory_used_bytes = 7
        state = "running"

    metrics = Metrics(Fake())  # type: ignore[arg-type]
    assert (metrics.events_per_second, metrics.total_events, metrics.memory_used_bytes) == (2.5, 10, 7)
    assert repr(metrics) == "Metrics(state='running', eps=2.5, uptime=4.0s)"
    Fake.uptime_secs = 0.0
    assert metrics.events_per_second == 0.0


def test_change_row() -> None:
    row = ChangeRow("Insert", {"id": 1, "x": None})
    assert (row.op, row["id"], row.keys(), row.values()) == ("Insert", 1, ["id", "x"], [1, None])
    assert row.to_dict() == {"id": 1, "x": None}
    assert row.to_dict() is not row.to_dict()
    assert repr(ChangeRow("Insert", {"id": 1})) == "ChangeRow(op='Insert', {'id': 1})"
    assert "id" in row
    assert "nope" not in row
    assert len(row) == 2
    assert list(row) == ["id", "x"]
    assert dict(row.items()) == {"id": 1, "x": None}
    assert row.get("nope", 5) == 5
    assert row == ChangeRow("Insert", {"id": 1, "x": None})
    assert row != ChangeRow("Delete", {"id": 1, "x": None})
    with pytest.raises(KeyError):
        row["nope"]


@pytest.mark.usefixtures("pa", "pd", "pl")
def test_change_event_of_a_result(sensors: laminardb.Connection) -> None:
    event = ChangeEvent(sensors.sql("SELECT ts, device FROM sensors WHERE ts < 3 ORDER BY ts"))
    assert len(event) == 2
    assert [row.op for row in event] == ["Insert", "Insert"]
    assert [row["ts"] for row in event] == [1, 2]
    assert repr(event) == "ChangeEvent(rows=2, op='Insert')"
    assert event.arrow().num_rows == len(event.df()) == event.pl().height == 2
    assert event.pl(lazy=True).collect().height == 2


@pytest.mark.usefixtures("pa")
def test_materialized_view(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE MATERIALIZED VIEW per AS SELECT device, count(*) AS n FROM sensors GROUP BY device")
    view = laminardb.mv(sensors, "per", "SELECT 1")
    assert (view.name, view.sql, repr(view)) == ("per", "SELECT 1", "MaterializedView(name='per')")
    assert repr(view.schema()) == "Schema(device: string, n: int64)"
    assert sorted(view.query().fetchall()) == [("sensor_a", 2), ("sensor_b", 1)]
    assert view.query("n > 1").fetchall() == [("sensor_a", 2)]
    missing = laminardb.mv(sensors, "nope")
    with pytest.raises(laminardb.SchemaError):
        missing.schema()
    with pytest.raises(laminardb.QueryError):
        missing.query()
    sub = view.subscribe(snapshot=True)
    assert isinstance(sub, laminardb.StreamSubscription)
    assert len(sub.next()) == 2  # type: ignore[arg-type]


def test_handlers(sensors: laminardb.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    sensors.execute("CREATE MATERIALIZED VIEW per AS SELECT device, count(*) AS n FROM sensors GROUP BY device")
    view = laminardb.mv(sensors, "per")
    events: list[ChangeEvent] = []
    seen = threading.Event()

    def handler(event: ChangeEvent) -> None:
        events.append(event)
        seen.set()

    thread = view.subscribe(handler)
    assert thread.daemon
    assert thread.is_alive()
    sensors.insert("sensors", {"ts": 9, "device": "sensor_b", "value": 1.0})
    assert seen.wait(60)
    event = events[0]
    assert [(row.op, row["device"], row["n"]) for row in event] == [
        ("UpdateDelete", "sensor_b", 1),
        ("UpdateInsert", "sensor_b", 2),
    ]
    assert [row.op for row in event] == ["UpdateDelete", "UpdateInsert"]
    assert event.time == sensors.current_time
    assert not event.is_snapshot
    assert repr(event) == "ChangeEvent(rows=2, op='mixed')"
    thread.subscription.cancel()
    thread.join(60)
    assert not thread.is_alive()

    hooked: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", hooked.append)
    failing = view.subscribe(lambda event: 1 / 0, snapshot=True)
    failing.join(60)
    assert not failing.is_alive()
    assert hooked[0].exc_type is ZeroDivisionError
    assert not failing.subscription.is_active
