"""Section 6 of the Python contract: writers. What is not here is in test_writer.py."""

from __future__ import annotations

import threading

import laminardb
import pytest
from expect import NEVER, count, fails


def test_what_calls_give(sensors: laminardb.Connection) -> None:
    w = sensors.writer("sensors")
    given = [w.insert({"ts": 4}), w.flush(), w.watermark(4), w.close()]  # type: ignore[func-returns-value]
    assert given == [None, 0, None, None]
    assert w.close() is None  # type: ignore[func-returns-value]


def test_an_insert_that_fails_leaves_the_writer_open(sensors: laminardb.Connection) -> None:
    with sensors.writer("sensors") as w:
        with fails(laminardb.IngestionError, 302):
            w.insert([{"ts": 4}, {"ts": 1.5}])
        with pytest.raises(TypeError):
            w.insert([])
        w.insert({"ts": 5})
    assert count(sensors, "sensors") == 4


def test_watermarks_of_many_writers_are_one(sensors: laminardb.Connection) -> None:
    one, other = sensors.writer("sensors"), sensors.writer("SENSORS")
    assert one.current_watermark == other.current_watermark == NEVER
    one.watermark(10)
    other.watermark(7)
    assert one.current_watermark == other.current_watermark == sensors.pipeline_watermark == 10
    assert sensors.stats("sensors")["watermark"] == 10
    metrics = sensors.source_metrics("sensors")
    assert metrics is not None
    assert metrics.watermark == sensors.metrics().pipeline_watermark == 10


def test_a_watermark_is_of_64_bits(sensors: laminardb.Connection) -> None:
    w = sensors.writer("sensors")
    w.watermark(2**63 - 1)
    assert w.current_watermark == 2**63 - 1
    with pytest.raises(OverflowError):
        w.watermark(2**63)


def test_a_watermark_changes_no_plain_view(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM sensors")
    sub = sensors.subscribe_stream("m")
    w = sensors.writer("sensors")
    w.watermark(10**12)
    w.insert({"ts": 1})
    w.flush()
    batch = sub.next()
    assert batch is not None
    assert batch.fetchall() == [(3,), (4,)]


def test_a_writer_of_a_dropped_table(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    w = conn.writer("t")
    conn.execute("DROP SOURCE t")
    with fails(laminardb.SchemaError, 200):
        w.insert({"a": 1})


def test_threads_share_a_writer(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    with conn.writer("t") as w:
        threads = [threading.Thread(target=lambda: [w.insert({"a": idx}) for idx in range(25)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert count(conn, "t") == 100
