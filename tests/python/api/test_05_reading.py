"""Section 5.5 of the Python contract: reading, parameters, names of columns."""

from __future__ import annotations

import datetime as dt
import decimal
import inspect
import uuid
from typing import Any

import laminardb
import pytest
from expect import count, fails


def test_signatures() -> None:
    found = {
        name: str(inspect.signature(getattr(laminardb.Connection, name)))
        for name in ("query", "sql", "execute", "stream", "explain", "query_stream", "schema")
    }
    assert found == {
        "query": "(self, /, sql, params=None)",
        "sql": "(self, /, query, params=None)",
        "execute": "(self, /, sql, params=None)",
        "stream": "(self, /, sql, params=None)",
        "explain": "(self, /, query, params=None)",
        "query_stream": "(self, /, name, filter=None)",
        "schema": "(self, /, table)",
    }


READS = [
    "SELECT * FROM sensors",
    "VALUES (1, 'a')",
    "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
    "SHOW SOURCES",
    "DESCRIBE sensors",
    "DESC sensors",
    "EXPLAIN SELECT * FROM sensors",
    "SELECT 1;",
    "-- first\nSELECT /* second */ 1 -- third\n;",
    "\n\tSELECT\n1\n",
    "(SELECT 1) UNION ALL (SELECT 2)",
]


@pytest.mark.parametrize("sql", READS)
def test_query_takes_all_that_reads(sensors: laminardb.Connection, sql: str) -> None:
    for call in (sensors.query, sensors.sql):
        result = call(sql)
        assert type(result) is laminardb.QueryResult
        assert len(result) > 0


def test_several_statements(sensors: laminardb.Connection) -> None:
    assert sensors.sql("SELECT 1; SHOW TABLES; SELECT 3 AS x;").to_dicts() == {"x": [3]}
    assert int(sensors.execute("INSERT INTO sensors VALUES (4, 'x', 1); INSERT INTO sensors VALUES (5, 'y', 2)")) == 1
    assert count(sensors, "sensors") == 5


WRITES = [
    "CREATE SOURCE x (a INT)",
    "DROP SOURCE sensors",
    "INSERT INTO sensors VALUES (1, 'x', 1.0)",
    "SELECT 1; INSERT INTO sensors VALUES (1, 'x', 1.0)",
    "INSERT INTO sensors VALUES (1, 'x', 1.0); SELECT 1",
    "BEGIN",
    "CHECKPOINT",
]


@pytest.mark.parametrize("sql", WRITES)
@pytest.mark.parametrize("call", ["query", "sql", "stream", "subscribe"])
def test_what_writes_is_not_executed_by_what_reads(sensors: laminardb.Connection, sql: str, call: str) -> None:
    with fails(laminardb.QueryError, 400):
        getattr(sensors, call)(sql)
    assert sensors.list_tables() == ["sensors"]
    assert count(sensors, "sensors") == 3


def test_execute_parses_all_before_it_runs_the_first(sensors: laminardb.Connection) -> None:
    with fails(laminardb.QueryError, 401):
        sensors.execute("CREATE SOURCE x (a INT); SELEC 1")
    assert sensors.list_tables() == ["sensors"]


def test_execute_stops_at_the_first_error_and_keeps_what_ran_before(sensors: laminardb.Connection) -> None:
    with fails(laminardb.QueryError, 400):
        sensors.execute("CREATE SOURCE x (a INT); SELECT * FROM nope; CREATE SOURCE y (a INT)")
    assert sensors.list_tables() == ["sensors", "x"]


@pytest.mark.parametrize(
    ("sql", "code"), [("SELECT * FROM nope", 400), ("SELEC", 401), ("", 400), ("SELECT nope()", 400)]
)
def test_explain_fails_as_query_does(conn: laminardb.Connection, sql: str, code: int) -> None:
    for call in (conn.explain, conn.query, conn.sql, conn.stream, conn.execute):
        with fails(laminardb.QueryError, code):
            call(sql)


def test_explain_shows_operators_keys_and_shared_arrangements(sensors: laminardb.Connection) -> None:
    join = "SELECT a.ts FROM sensors a JOIN sensors b ON a.device = b.device"
    first = sensors.explain(join)
    assert "Join" in first
    assert "device" in first
    sensors.execute(f"CREATE MATERIALIZED VIEW j AS {join}")
    assert ", shared with j" in sensors.explain(join)
    assert "shared" not in first
    counts = "SELECT device, count(*) AS n FROM sensors GROUP BY device"
    plan = sensors.explain(f"SELECT a.ts, n FROM sensors a JOIN ({counts}) b ON a.device = b.device")
    assert "Arrangement of Filter device IS NOT NULL of Reduce by [device]" in plan
    assert ", its own" in plan


def test_query_stream_is_a_select(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE STREAM hot AS SELECT * FROM sensors WHERE value > 43")
    assert sensors.query_stream("hot").fetchall() == sensors.sql("SELECT * FROM hot").fetchall()
    assert sensors.query_stream("hot", filter="ts = 2 OR ts = 3").num_rows == 2
    for call in (
        lambda: sensors.query_stream("nope"),
        lambda: sensors.query_stream("hot", "nope > 1"),
        lambda: sensors.query_stream("hot", "ts"),
    ):
        with fails(laminardb.QueryError, 400):
            call()
    with fails(laminardb.QueryError, 401):
        sensors.query_stream("hot", "ts >")
    with fails(laminardb.SchemaError, 200):
        sensors.schema("nope")


@pytest.mark.usefixtures("pa")
def test_schema_of_every_kind(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE VIEW v AS SELECT ts FROM sensors")
    sensors.execute("CREATE MATERIALIZED VIEW m AS SELECT device, count(*) AS n FROM sensors GROUP BY device")
    assert [sensors.schema(name).names for name in ("sensors", "v", "m")] == [
        ["ts", "device", "value"],
        ["ts"],
        ["device", "n"],
    ]


SEED = "SELECT * FROM (SELECT * FROM (VALUES (1,'a',42.0),(2,'b',43.5)) AS t(ts, device, value)) sub WHERE value > 43.0"


@pytest.mark.parametrize("sql", [SEED, SEED.replace(" ", "\n")])
def test_inline_values_without_a_relation(conn: laminardb.Connection, sql: str) -> None:
    result = conn.sql(sql)
    assert (result.columns, result.fetchall()) == (["ts", "device", "value"], [(2, "b", 43.5)])


def test_a_where_that_leaves_nothing(conn: laminardb.Connection) -> None:
    result = conn.sql(SEED.replace("43.0", "99"))
    assert (len(result), result.columns, result.num_batches) == (0, ["ts", "device", "value"], 0)


@pytest.mark.usefixtures("pa")
def test_literals(conn: laminardb.Connection) -> None:
    result = conn.sql("SELECT 1 AS i, 1.5 AS d, 'x' AS s, TRUE AS b")
    assert [str(kind) for kind in result.schema.types] == ["int64", "double", "string", "bool"]


def test_order_by_without_limit(sensors: laminardb.Connection) -> None:
    assert [row[0] for row in sensors.sql("SELECT ts FROM sensors ORDER BY value DESC")] == [3, 2, 1]


PARAMETERS: list[tuple[Any, str, Any]] = [
    (1, "int64", 1),
    (2**63, "uint64", 2**63),
    (1.5, "double", 1.5),
    (True, "bool", True),
    ("x", "string", "x"),
    (b"x", "binary", b"x"),
    (None, "null", None),
    (decimal.Decimal("1.25"), "decimal128(3, 2)", decimal.Decimal("1.25")),
    (dt.date(2024, 2, 29), "date32[day]", dt.date(2024, 2, 29)),
    (dt.time(1, 2, 3), "time64[us]", dt.time(1, 2, 3)),
    (dt.datetime(2024, 2, 29, 1), "timestamp[us]", dt.datetime(2024, 2, 29, 1)),
    (
        dt.datetime(2024, 2, 29, 1, tzinfo=dt.UTC),
        "timestamp[us, tz=UTC]",
        dt.datetime(2024, 2, 29, 1, tzinfo=dt.UTC),
    ),
    (uuid.UUID(int=1), "string", str(uuid.UUID(int=1))),
    ([1, None, 3], "list<item: int64>", [1, None, 3]),
]


@pytest.mark.usefixtures("pa")
@pytest.mark.parametrize(("value", "kind", "back"), PARAMETERS, ids=lambda value: str(value)[:20])
def test_values_of_parameters(conn: laminardb.Connection, value: Any, kind: str, back: Any) -> None:
    for sql, params in (("SELECT ? AS v", [value]), ("SELECT $1 AS v", (value,)), ("SELECT $v AS v", {"v": value})):
        result = conn.sql(sql, params)
        assert result.fetchall() == [(back,)]
        if value is not None:
            assert str(result.schema.field("v").type) == kind


def test_positions_and_numbers_may_be_mixed(conn: laminardb.Connection) -> None:
    assert conn.sql("SELECT ?, $2, ?, $1", ["a", "b"]).fetchone() == ("a", "b", "b", "a")
    assert conn.sql("SELECT $a, $b, $a", {"b": 2, "a": 1}).fetchone() == (1, 2, 1)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT ?", []),
        ("SELECT ?", None),
        ("SELECT $2", [1]),
        ("SELECT ?", [1, 2]),
        ("SELECT 1", [1]),
        ("SELECT $a", {}),
        ("SELECT $a", {"b": 1}),
        ("SELECT $a", {"a": 1, "b": 2}),
        ("SELECT $a", [1]),
        ("SELECT ?", {"a": 1}),
        ("SELECT ?", [object()]),
    ],
)
def test_wrong_parameters(conn: laminardb.Connection, sql: str, params: Any) -> None:
    for call in (conn.query, conn.execute, conn.stream, conn.explain, lambda s, p: conn.subscribe(s, params=p)):
        with fails(laminardb.QueryError, 400):
            call(sql, params)


@pytest.mark.parametrize("params", ["x", 1, {1, 2}, (each for each in [1])])
def test_other_containers(conn: laminardb.Connection, params: Any) -> None:
    for call in (conn.query, conn.execute, conn.stream, conn.explain, lambda s, p: conn.subscribe(s, params=p)):
        with pytest.raises(TypeError):
            call("SELECT ?", params)


def test_parameters_of_definitions_are_bound_as_literals(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE MATERIALIZED VIEW hot AS SELECT ts FROM sensors WHERE value > ?", [43])
    sensors.execute("CREATE TABLE some AS SELECT * FROM sensors WHERE device = $d", {"d": "sensor_b"})
    sub = sensors.subscribe("SELECT ts FROM sensors WHERE device = $1", params=["new"])
    sensors.insert("sensors", {"ts": [4, 5], "device": ["new", "old"], "value": [50.0, 1.0]})
    assert sorted(sensors.sql("SELECT * FROM hot").fetchall()) == [(2,), (3,), (4,)]
    assert sensors.sql("SELECT ts FROM some").fetchall() == [(2,)]
    assert sub.next().fetchall() == [(4,)]  # type: ignore[union-attr]


def test_names_of_columns(sensors: laminardb.Connection) -> None:
    sensors.create_table("Mixed", {"Key": "int64"})
    cases = {
        "SELECT ts FROM sensors": ["ts"],
        "SELECT TS FROM sensors": ["ts"],
        "SELECT key FROM mixed": ["Key"],
        "SELECT s.ts FROM sensors s": ["ts"],
        "SELECT 1 + 1": ["1 + 1"],
        "SELECT count(*) FROM sensors": ["count(*)"],
        "SELECT ts AS Other FROM sensors": ["other"],
        'SELECT ts AS "Other" FROM sensors': ["Other"],
        "SELECT ts * 2, upper(device) FROM sensors": ["ts * 2", "upper(device)"],
        "SELECT CAST(ts AS VARCHAR) FROM sensors": ["CAST(ts AS VARCHAR)"],
        "SELECT 'x'": ["'x'"],
    }
    assert {sql: sensors.sql(sql).columns for sql in cases} == cases
