"""Section 5.6 of the Python contract: ways to subscribe."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import laminardb
import pytest
from expect import fails

SIGNATURES = {
    "subscribe": "(self, /, sql, *, params=None, snapshot=True, max_pending=None)",
    "subscribe_async": "(self, /, sql, *, params=None, snapshot=True, max_pending=None)",
    "subscribe_callback": "(self, /, sql, on_data, on_error=None, *, params=None, snapshot=True, max_pending=None)",
    "subscribe_stream": "(self, /, name, *, snapshot=False, max_pending=None)",
    "subscribe_stream_async": "(self, /, name, *, snapshot=False, max_pending=None)",
    "subscribe_stream_callback": "(self, /, name, on_data, on_error=None, *, snapshot=False, max_pending=None)",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    assert str(inspect.signature(getattr(laminardb.Connection, name))) == SIGNATURES[name]


async def opened(conn: laminardb.Connection, way: str, target: str, **options: Any) -> Any:
    """A subscription made in one of the six ways."""
    if way.endswith("callback"):
        return getattr(conn, way)(target, lambda batch: None, **options)
    made = getattr(conn, way)(target, **options)
    return await made if way.endswith("async") else made


CLASSES = {
    "subscribe": laminardb.Subscription,
    "subscribe_async": laminardb.AsyncSubscription,
    "subscribe_callback": laminardb.CallbackSubscription,
    "subscribe_stream": laminardb.StreamSubscription,
    "subscribe_stream_async": laminardb.AsyncStreamSubscription,
    "subscribe_stream_callback": laminardb.CallbackSubscription,
}


@pytest.mark.parametrize("way", CLASSES)
async def test_what_each_gives(sensors: laminardb.Connection, way: str) -> None:
    sub = await opened(sensors, way, "sensors")
    assert type(sub) is CLASSES[way]
    assert sub.is_active
    sub.cancel()
    assert not sub.is_active


@pytest.mark.parametrize("way", CLASSES)
async def test_a_relation_of_any_kind_by_name(sensors: laminardb.Connection, way: str) -> None:
    sensors.execute("CREATE TABLE k (a BIGINT PRIMARY KEY)")
    sensors.execute("CREATE VIEW v AS SELECT ts FROM sensors")
    sensors.execute("CREATE STREAM s AS SELECT ts FROM v")
    sensors.execute("CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM s")
    for name in ("sensors", "k", "v", "s", "m", "M"):
        (await opened(sensors, way, name)).cancel()


@pytest.mark.parametrize("way", CLASSES)
async def test_unknown_names_and_bad_sql(sensors: laminardb.Connection, way: str) -> None:
    if "stream" in way:
        for name in ("nope", "SELECT * FROM sensors"):
            with fails(laminardb.SchemaError, 200):
                await opened(sensors, way, name)
        return
    for sql, code in (
        ("SELECT * FROM nope", 400),
        ("nope", 401),
        ("SELEC", 401),
        ("", 400),
        ("INSERT INTO sensors VALUES (1, 'x', 1.0)", 400),
        ("DROP SOURCE sensors", 400),
        ("SELECT 1; SELECT 2", 400),
    ):
        with fails(laminardb.QueryError, code):
            await opened(sensors, way, sql)
    assert sensors.sql("SELECT count(*) FROM sensors").fetchone() == (3,)
    assert sensors.active_query_count == 0


@pytest.mark.parametrize("way", CLASSES)
async def test_before_start(sensors: laminardb.Connection, way: str) -> None:
    assert sensors.pipeline_state == "created"
    sub = await opened(sensors, way, "sensors")
    sensors.start()
    assert sub.is_active
    sub.cancel()


@pytest.mark.parametrize("way", ["subscribe_callback", "subscribe_stream_callback"])
def test_functions_that_cannot_be_called(sensors: laminardb.Connection, way: str) -> None:
    with pytest.raises(TypeError):
        getattr(sensors, way)("sensors", 3)
    with pytest.raises(TypeError):
        getattr(sensors, way)("sensors", print, on_error=3)
    assert sensors.active_query_count == 0


@pytest.mark.parametrize("way", ["subscribe", "subscribe_stream"])
@pytest.mark.parametrize("snapshot", [None, True, False])
def test_which_begin_with_the_rows_there_are(sensors: laminardb.Connection, way: str, snapshot: bool | None) -> None:
    options = {} if snapshot is None else {"snapshot": snapshot}
    sub = getattr(sensors, way)("sensors", **options)
    sensors.insert("sensors", {"ts": 4})
    first = sub.next()
    begins = (way == "subscribe") if snapshot is None else snapshot
    assert (first.is_snapshot, len(first)) == ((True, 3) if begins else (False, 1))


def test_parameters_by_name_and_by_place(sensors: laminardb.Connection) -> None:
    by_place = sensors.subscribe("SELECT ts FROM sensors WHERE device = ?", params=["sensor_b"])
    by_name = sensors.subscribe("SELECT ts FROM sensors WHERE device = $d", params={"d": "sensor_b"})
    assert [sub.next().fetchall() for sub in (by_place, by_name)] == [[(2,)], [(2,)]]  # type: ignore[union-attr]


def test_a_callback_takes_a_snapshot_and_options(sensors: laminardb.Connection) -> None:
    seen: list[Any] = []
    done = threading.Event()

    def on_data(batch: laminardb.ChangeBatch) -> None:
        seen.append((batch.is_snapshot, len(batch)))
        done.set()

    sub = sensors.subscribe_stream_callback("sensors", on_data, None, snapshot=True, max_pending=5)
    assert done.wait(60)
    assert seen == [(True, 3)]
    sub.cancel()
    sub.wait()
