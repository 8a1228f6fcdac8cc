"""Section 13 of the Python contract: `laminardb.types`. What is not here is in test_types.py."""

from __future__ import annotations

import dataclasses
import threading
from types import ModuleType
from typing import Any

import laminardb
import pytest
from expect import fails
from laminardb import ChangeEvent, ChangeRow, CheckpointStatus, Column, Schema, TableStats, Watermark


def test_dataclasses_are_frozen_values() -> None:
    assert Column("a", "int64") == Column(name="a", type="int64", nullable=True)
    assert TableStats(row_count=1, size_bytes=2) == TableStats(1, 2)
    assert Watermark(current=5) == Watermark(5, lag_ms=0)
    assert CheckpointStatus(checkpoint_id=None, enabled=True) != CheckpointStatus(1, True)
    for made in (Column("a", "b"), TableStats(1, 2), Watermark(1), CheckpointStatus(1, True)):
        for field in dataclasses.fields(made):
            with pytest.raises(AttributeError):
                setattr(made, field.name, 1)
        assert hash(made) == hash(dataclasses.replace(made))


def test_schema_columns_are_of_arrow_types(pa: ModuleType) -> None:
    schema = Schema(pa.schema([("a", pa.timestamp("us", tz="UTC")), ("b", pa.list_(pa.int8()))]))
    assert [column.type for column in schema] == ["timestamp[us, tz=UTC]", "list<item: int8>"]
    assert (schema[-2].name, len(Schema(pa.schema([])))) == ("a", 0)


def test_change_rows_copy_their_dict() -> None:
    row = ChangeRow("Insert", {"a": 1})
    row.to_dict()["a"] = 2
    assert (row["a"], row.values(), row.keys()) == (1, [1], ["a"])
    assert type(row.keys()) is type(row.values()) is list


@pytest.mark.usefixtures("pa", "pd", "pl")
def test_a_change_event_can_be_read_any_number_of_times(sensors: laminardb.Connection) -> None:
    for made in (
        ChangeEvent(sensors.sql("SELECT ts FROM sensors")),
        ChangeEvent(sensors.subscribe("sensors").next()),  # type: ignore[arg-type]
    ):
        assert list(made) == list(made)
        assert len(list(made)) == len(made) == 3
        assert made.arrow().num_rows == len(made.df()) == made.pl().height == 3
        assert made.pl(lazy=True).collect().height == 3
        with pytest.raises(TypeError):
            made.pl(True)  # type: ignore[call-overload]


def test_ops_of_a_change_event(sensors: laminardb.Connection) -> None:
    plain = ChangeEvent(sensors.sql("SELECT ts FROM sensors"), op="Delete")
    assert ({row.op for row in plain}, repr(plain)) == ({"Delete"}, "ChangeEvent(rows=3, op='Delete')")
    assert (plain.time, plain.is_snapshot) == (None, False)
    batch = sensors.subscribe("sensors").next()
    true = ChangeEvent(batch, op="Delete")  # type: ignore[arg-type]
    assert ({row.op for row in true}, repr(true)) == ({"Insert"}, "ChangeEvent(rows=3, op='Insert')")
    assert (true.time, true.is_snapshot) == (batch.time, True)  # type: ignore[union-attr]


@pytest.mark.usefixtures("pa")
@pytest.mark.parametrize("kind", ["SOURCE", "TABLE", "VIEW", "STREAM"])
def test_a_materialized_view_is_any_relation(conn: laminardb.Connection, kind: str) -> None:
    conn.execute("CREATE SOURCE s (a BIGINT)")
    conn.insert("s", {"a": [1, 2]})
    name = "s" if kind == "SOURCE" else "other"
    if kind == "TABLE":
        conn.execute("CREATE TABLE other AS SELECT a FROM s")
    elif kind != "SOURCE":
        conn.execute(f"CREATE {kind} other AS SELECT a FROM s")
    view = laminardb.MaterializedView(conn, name)
    assert (view.name, view.sql, repr(view)) == (name, None, f"MaterializedView(name='{name}')")
    assert repr(view.schema()) == "Schema(a: int64)"
    assert len(view.query()) == len(view.query("")) == 2
    assert len(view.query(where="a = 1")) == 1
    sub = view.subscribe(snapshot=True)
    assert isinstance(sub, laminardb.StreamSubscription)
    assert len(sub.next()) == 2  # type: ignore[arg-type]


def test_an_unknown_relation_is_met_when_it_is_used(conn: laminardb.Connection) -> None:
    view = laminardb.MaterializedView(conn, "nope", "SELECT 1")
    for call in (view.schema, view.subscribe, lambda: view.subscribe(print)):
        with fails(laminardb.SchemaError, 200):
            call()
    with fails(laminardb.QueryError, 400):
        view.query()


def test_handler_threads_end_with_their_subscription(sensors: laminardb.Connection) -> None:
    view = laminardb.mv(sensors, "sensors")
    events: list[Any] = []
    thread = view.subscribe(handler=events.append, snapshot=True)
    assert isinstance(thread, threading.Thread)
    assert thread.daemon
    sensors.shutdown()
    thread.join(60)
    assert not thread.is_alive()
    assert [len(event) for event in events] == [3]
    assert not thread.subscription.is_active
