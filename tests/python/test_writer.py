"""Writers and watermarks (API section 6, WATERMARK FOR in section 12)."""

from __future__ import annotations

import datetime as dt
import gc
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import laminardb
import pytest
from laminardb import codes

from conftest import Forked

NEVER = -9223372036854775808


def count(conn: laminardb.Connection, table: str = "sensors") -> int:
    row = conn.sql(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_names() -> None:
    assert laminardb.BatchWriter is laminardb.Writer
    assert {"Writer", "BatchWriter"} <= set(laminardb.__all__)
    with pytest.raises(TypeError):
        laminardb.Writer()


def test_the_seed_readme(sensors: laminardb.Connection, pa: ModuleType) -> None:
    with sensors.writer("sensors") as w:
        w.insert({"ts": 1, "device": "a", "value": 1.0})
        w.insert([{"ts": 2, "device": "b", "value": 2.0}])
        assert w.flush() == 0
        w.watermark(2)
        assert w.name == "sensors"
        assert w.schema == pa.schema([("ts", pa.int64()), ("device", pa.string()), ("value", pa.float64())])
        assert w.current_watermark == 2
    assert count(sensors) == 5


def test_rows_are_seen_before_any_flush(sensors: laminardb.Connection) -> None:
    w = sensors.writer("sensors")
    assert w.insert({"ts": 4, "device": "c", "value": 1.0}) is None  # type: ignore[func-returns-value]
    assert count(sensors) == 4
    assert sensors.stats("sensors")["total_events"] == 4


def test_forms_and_errors_are_those_of_insert(sensors: laminardb.Connection, pa: ModuleType) -> None:
    w = sensors.writer("SENSORS")
    w.insert(pa.table({"ts": [4, 5], "VALUE": [1.0, 2.0]}))
    w.insert({"ts": [6], "device": ["x"], "value": [3.0]})
    assert count(sensors) == 6
    with pytest.raises(TypeError):
        w.insert(1)
    with pytest.raises(laminardb.IngestionError) as error:
        w.insert({"nope": 1})
    assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    assert count(sensors) == 6


def test_each_call_is_atomic(sensors: laminardb.Connection) -> None:
    w = sensors.writer("sensors")
    before = sensors.current_time
    with pytest.raises(laminardb.IngestionError):
        w.insert([{"ts": 4}, {"ts": "x"}])
    assert (count(sensors), sensors.current_time) == (3, before)
    w.insert([{"ts": 4}, {"ts": 5}])
    assert sensors.current_time == before + 1


def test_a_keyed_table_takes_the_last_row_of_a_key(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"id": "int64", "x": "int64"}, primary_key="id")
    with conn.writer("t") as w:
        w.insert({"id": [1, 1], "x": [10, 11]})
        w.insert({"id": 1, "x": 12})
    assert conn.sql("SELECT * FROM t").fetchall() == [(1, 12)]


def test_unknown_names_and_views(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM sensors")
    sensors.execute("CREATE VIEW v AS SELECT * FROM sensors")
    for name, code in (("nope", codes.TABLE_NOT_FOUND), ("m", codes.SCHEMA_MISMATCH), ("v", codes.SCHEMA_MISMATCH)):
        with pytest.raises(laminardb.SchemaError) as error:
            sensors.writer(name)
        assert error.value.code == code


def test_flush_brings_rows_through_all_views(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE MATERIALIZED VIEW m AS SELECT device, count(*) AS n FROM sensors GROUP BY device")
    w = sensors.writer("sensors")
    for idx in range(50):
        w.insert({"ts": idx, "device": "x", "value": 0.0})
    assert w.flush() == 0
    assert sensors.stats("sensors")["pending"] == 0


def test_a_watermark_only_moves_forward(sensors: laminardb.Connection) -> None:
    w = sensors.writer("sensors")
    assert w.current_watermark == NEVER
    for given, shown in ((-3, -3), (10, 10), (4, 10), (11, 11)):
        w.watermark(given)
        assert w.current_watermark == shown


@pytest.mark.parametrize("wrong", ["1", 1.0, None])
def test_a_watermark_is_an_int(sensors: laminardb.Connection, wrong: Any) -> None:
    w = sensors.writer("sensors")
    with pytest.raises(TypeError):
        w.watermark(wrong)
    assert w.current_watermark == NEVER


def test_a_watermark_is_the_relations_own(conn: laminardb.Connection) -> None:
    conn.create_table("a", {"x": "int64"})
    conn.create_table("b", {"x": "int64"})
    conn.execute("CREATE MATERIALIZED VIEW va AS SELECT x FROM a")
    conn.execute("CREATE VIEW inline AS SELECT x FROM va")
    conn.execute("CREATE MATERIALIZED VIEW both AS SELECT i.x FROM inline AS i JOIN b ON i.x = b.x")
    assert conn.pipeline_watermark == NEVER
    one, two, other = conn.writer("a"), conn.writer("a"), conn.writer("b")
    one.watermark(7)
    assert (two.current_watermark, other.current_watermark) == (7, NEVER)
    assert conn.stats("a")["watermark"] == 7
    assert [metrics.watermark for metrics in conn.all_source_metrics()] == [7, NEVER]
    assert [metrics.watermark for metrics in conn.all_stream_metrics()] == [7, NEVER]
    assert (conn.pipeline_watermark, conn.metrics().pipeline_watermark) == (7, 7)
    other.watermark(5)
    assert [metrics.watermark for metrics in conn.all_stream_metrics()] == [7, 5]
    assert (conn.pipeline_watermark, conn.metrics().pipeline_watermark) == (5, 5)
    one.close()
    assert conn.writer("a").current_watermark == 7


def test_a_new_relation_of_the_name_is_another(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    w = conn.writer("t")
    w.watermark(3)
    conn.execute("DROP SOURCE t")
    conn.create_table("t", {"x": "int64"})
    assert conn.writer("t").current_watermark == NEVER
    with pytest.raises(laminardb.SchemaError) as error:
        w.insert({"x": 1})
    assert error.value.code == codes.TABLE_NOT_FOUND
    assert count(conn, "t") == 0
    w.close()


USES: dict[str, Callable[[laminardb.Writer], object]] = {
    "insert": lambda w: w.insert({"ts": 1}),
    "flush": lambda w: w.flush(),
    "watermark": lambda w: w.watermark(1),
    "name": lambda w: w.name,
    "schema": lambda w: w.schema,
    "current_watermark": lambda w: w.current_watermark,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("closed", ["writer", "connection"])
def test_a_closed_writer(sensors: laminardb.Connection, use: str, closed: str) -> None:
    w = sensors.writer("sensors")
    (w if closed == "writer" else sensors).close()
    with pytest.raises(laminardb.IngestionError, match=r"^Writer is closed$") as error:
        USES[use](w)
    assert error.value.code == codes.WRITER_CLOSED
    assert repr(w) == "Writer(closed)"
    with w as same:
        assert same is w
    w.close()


def test_repr(sensors: laminardb.Connection) -> None:
    w = sensors.writer("SENSORS")
    assert repr(w) == "Writer(source='sensors', open)"
    w.close()
    assert repr(w) == "Writer(closed)"


def test_leaving_the_context_closes_and_lets_exceptions_pass(sensors: laminardb.Connection) -> None:
    w = sensors.writer("sensors")
    with pytest.raises(ZeroDivisionError), w:
        raise ZeroDivisionError(w.insert({"ts": 4}))
    assert repr(w) == "Writer(closed)"
    assert count(sensors) == 4


def test_after_shutdown(sensors: laminardb.Connection) -> None:
    w = sensors.writer("sensors")
    w.watermark(9)
    sensors.shutdown()
    for use in ("insert", "flush", "watermark"):
        with pytest.raises(laminardb.LaminarError) as error:
            USES[use](w)
        assert error.value.code == codes.SHUTDOWN
    assert (w.name, w.current_watermark, sensors.pipeline_watermark) == ("sensors", 9, 9)
    w.close()
    with pytest.raises(laminardb.LaminarError) as error:
        sensors.writer("sensors")
    assert error.value.code == codes.SHUTDOWN


def test_a_writer_keeps_its_connection_alive() -> None:
    conn = laminardb.open(":memory:")
    conn.create_table("t", {"x": "int64"})
    w = conn.writer("t")
    del conn
    gc.collect()
    w.insert({"x": [1, 2]})
    assert w.flush() == 0


def test_writers_of_many_threads(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    failures: list[BaseException] = []

    def write(thread: int) -> None:
        try:
            with conn.writer("t") as w:
                for idx in range(50):
                    w.insert({"x": idx})
                    w.watermark(thread * 100 + idx)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert (count(conn, "t"), conn.pipeline_watermark) == (200, 349)


def test_fork(forked: Forked) -> None:
    made = "conn = laminardb.open(':memory:'); conn.create_table('t', {'x': 'int64'}); w = conn.writer('t')"
    refused = ["w.insert({'x': 1})", "w.flush()", "w.watermark(1)", "w.name"]
    harmless = "with w:\n    pass\nw.close()\nassert repr(w) == 'Writer(closed)'\ndel conn, w"
    then = "(w.insert({'x': 1}), conn.sql('SELECT count(*) FROM t').fetchone())"
    assert forked(made, refused, harmless, then) == "(None, (1,))"


def watermark(conn: laminardb.Connection, table: str = "s") -> int:
    metrics = conn.source_metrics(table)
    assert metrics is not None
    return metrics.watermark


def test_watermark_for_names_its_column(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE s (a INT, \"Ts\" TIMESTAMP, WATERMARK FOR TS AS ts - INTERVAL '5' SECOND)")
    conn.execute("CREATE SOURCE plain (a INT)")
    assert [source.watermark_column for source in conn.sources()] == ["Ts", None]
    assert conn.sql("SHOW SOURCES").fetchall() == [("s", None, None, "Ts"), ("plain", None, None, None)]
    assert watermark(conn) == NEVER


@pytest.mark.parametrize(
    ("column", "delay", "value", "reached"),
    [
        ("TIMESTAMP", "", "1970-01-01 00:00:10", 10_000),
        ("TIMESTAMP", " AS ts", "1970-01-01 00:00:10", 10_000),
        ("TIMESTAMP", " AS ts - INTERVAL '5' SECOND", "1970-01-01 00:00:10", 5_000),
        ("TIMESTAMP", " AS ts - INTERVAL '1 day 2 hours'", "1970-01-02 03:00:00", 3_600_000),
        ("TIMESTAMP", " AS ts - INTERVAL '1' SECOND", "1970-01-01 00:00:00", -1_000),
        ("TIMESTAMP", "", "1970-01-01 00:00:00.001999", 1),
        ("TIMESTAMP", "", "1969-12-31 23:59:59.999999", -1),
        ("TIMESTAMP(0)", "", "1970-01-01 00:00:10", 10_000),
        ("TIMESTAMP(3)", "", "1970-01-01 00:00:10", 10_000),
        ("TIMESTAMP(9)", "", "1970-01-01 00:00:10", 10_000),
        ("TIMESTAMPTZ", "", "1970-01-01 00:00:10Z", 10_000),
        ("BIGINT", "", 10_000, 10_000),
        ("BIGINT", " AS ts - 1", 10_000, 9_999),
        ("BIGINT", " AS ts - INTERVAL '5' SECOND", 10_000, 5_000),
        ("BIGINT", " AS ts - 1", -9223372036854775808, NEVER),
        ("SMALLINT", "", -7, -7),
        ("UBIGINT", "", 2**63 + 5, 2**63 - 1),
    ],
)
def test_watermark_for_follows_its_column(
    conn: laminardb.Connection, column: str, delay: str, value: object, reached: int
) -> None:
    conn.execute(f"CREATE SOURCE s (ts {column}, WATERMARK FOR ts{delay})")
    conn.insert("s", {"ts": dt.datetime.fromisoformat(value) if isinstance(value, str) else value})
    assert watermark(conn) == reached
    assert conn.pipeline_watermark == reached


def test_watermark_for_takes_the_maximum_of_every_accepted_write(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE s (ts BIGINT, x BIGINT NOT NULL, WATERMARK FOR ts AS ts - 10)")
    conn.insert("s", {"ts": [30, 50, None, 20], "x": [1, 2, 3, 4]})
    assert watermark(conn) == 40
    conn.insert("s", {"ts": 45, "x": 5})
    conn.insert("s", {"ts": None, "x": 6})
    assert watermark(conn) == 40
    with pytest.raises(laminardb.IngestionError):
        conn.insert("s", {"ts": [90], "x": [None]})
    assert watermark(conn) == 40
    conn.execute("INSERT INTO s VALUES (60, 7), (55, 8)")
    assert watermark(conn) == 50
    with conn.writer("s") as w:
        w.insert({"ts": 70, "x": 9})
        assert w.current_watermark == 60
        w.watermark(200)
        w.insert({"ts": 100, "x": 9})
        assert w.current_watermark == 200


@pytest.mark.parametrize("value", [None, "NULL"])
def test_watermark_for_of_no_value_is_never_set(conn: laminardb.Connection, value: str | None) -> None:
    conn.execute("CREATE SOURCE s (ts TIMESTAMP, x BIGINT, WATERMARK FOR ts)")
    conn.execute("INSERT INTO s VALUES (NULL, 1)") if value else conn.insert("s", {"x": 1})
    assert watermark(conn) == NEVER


@pytest.mark.parametrize(
    ("elements", "error", "code"),
    [
        ("ts VARCHAR, WATERMARK FOR ts", laminardb.SchemaError, codes.INVALID_SCHEMA),
        ("ts DOUBLE, WATERMARK FOR ts", laminardb.SchemaError, codes.INVALID_SCHEMA),
        ("ts TIMESTAMP, WATERMARK FOR nope", laminardb.SchemaError, codes.INVALID_SCHEMA),
        ("ts TIMESTAMP, WATERMARK FOR ts AS ts - 5", laminardb.QueryError, codes.QUERY_FAILED),
        ("ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1' MONTH", laminardb.QueryError, codes.QUERY_FAILED),
        ("ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '-1' SECOND", laminardb.QueryError, codes.QUERY_FAILED),
        ("ts TIMESTAMP, WATERMARK FOR ts AS ts + INTERVAL '1' SECOND", laminardb.QueryError, codes.QUERY_FAILED),
        ("ts BIGINT, WATERMARK FOR ts AS ts - NULL", laminardb.QueryError, codes.QUERY_FAILED),
        ("ts BIGINT, x BIGINT, WATERMARK FOR ts AS ts - x", laminardb.QueryError, codes.QUERY_FAILED),
        ("ts BIGINT, WATERMARK FOR ts AS ts - 9223372036854775808", laminardb.QueryError, codes.QUERY_FAILED),
    ],
)
def test_watermark_for_that_is_refused(
    conn: laminardb.Connection, elements: str, error: type[laminardb.LaminarError], code: int
) -> None:
    with pytest.raises(error) as raised:
        conn.execute(f"CREATE SOURCE s ({elements})")
    assert raised.value.code == code
    assert conn.list_tables() == []
