"""insert, upsert, delete with values of Python: forms, matching, exact casting (API section 11)."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import uuid
from collections import deque
from types import ModuleType
from typing import Any

import laminardb
import pytest
from laminardb import codes

UTC = dt.UTC
NAN = float("nan")


def rows(conn: laminardb.Connection, table: str = "t") -> list[tuple[Any, ...]]:
    return conn.sql(f"SELECT * FROM {table}").fetchall()


FORMS = {
    "list": [{"id": 1, "name": "a", "x": 1.5}, {"id": 2, "name": "b", "x": 2.5}],
    "columns": {"id": [1, 2], "name": ["a", "b"], "x": [1.5, 2.5]},
    "tuples": {"x": (1.5, 2.5), "id": (1, 2), "name": ("a", "b")},
    "sequences": {"id": range(1, 3), "name": deque(["a", "b"]), "x": [1.5, 2.5]},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(table: laminardb.Connection, form: str) -> None:
    assert table.insert("t", FORMS[form]) == 2
    assert rows(table) == [(1, "a", 1.5), (2, "b", 2.5)]


def test_one_row(table: laminardb.Connection) -> None:
    assert table.insert("t", {"id": 1, "name": "a", "x": 1.5}) == 1
    assert table.insert("t", {"x": 2, "id": 2.0}) == 1
    assert rows(table) == [(1, "a", 1.5), (2, None, 2.0)]


def test_rows_with_different_keys(table: laminardb.Connection) -> None:
    data = [{"id": 1}, {"name": "b"}, {"x": 3, "id": 3}, {}]
    assert table.insert("t", data) == 4
    assert rows(table) == [(1, None, None), (None, "b", None), (3, None, 3.0), (None, None, None)]


@pytest.mark.parametrize("data", [1, None, "x", (1, 2), [], {}, object(), dict, {1}, {"id": 1}.values()])
def test_no_rows_at_all(table: laminardb.Connection, data: Any) -> None:
    with pytest.raises(TypeError):
        table.insert("t", data)
    assert rows(table) == []


@pytest.mark.parametrize(
    "data",
    [
        [1],
        [{"id": 1}, None],
        {1: 2},
        [{1: 2}],
        {"id": [1, 2], "name": ["a"]},
        {"id": [1, 2], "name": "a"},
        {"id": 1, "name": ["a"]},
    ],
)
def test_malformed_rows(table: laminardb.Connection, data: Any) -> None:
    with pytest.raises(laminardb.IngestionError) as error:
        table.insert("t", data)
    assert error.value.code == codes.INGESTION_FAILED
    assert rows(table) == []


def test_zero_rows(table: laminardb.Connection) -> None:
    before = table.current_time
    assert table.insert("t", {"id": [], "name": [], "x": []}) == 0
    assert rows(table) == []
    assert table.current_time == before


def test_names(conn: laminardb.Connection) -> None:
    conn.create_table("T", {"Id": "int64", "a b": "string", "ab": "int64", "AB": "int64"})
    conn.insert("t", {"ID": 1, "A B": "x", "ab": 2, "AB": 3})
    conn.insert("T", {"id": [2], "a b": ["y"]})
    assert rows(conn) == [(1, "x", 2, 3), (2, "y", None, None)]
    for data in ({"nope": 1}, {"Ab": 1}, {"Id": 1, "id": 2}, [{"Id": 1, "ID": 1}]):
        with pytest.raises(laminardb.IngestionError) as error:
            conn.insert("T", data)
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH, data
    assert len(rows(conn)) == 2


class Color(enum.IntEnum):
    RED = 3


N = None
D = decimal.Decimal
DATE = dt.date(2024, 2, 29)
MIDNIGHT = dt.datetime(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12, 30, 1, 123456)
OLD = dt.datetime(1, 1, 1)

TAKEN: list[tuple[str, Any, Any]] = [
    ("bool", True, True),
    ("int8", -128, -128),
    ("int8", 127.0, 127),
    ("int16", D("12"), 12),
    ("int64", -(2**63), -(2**63)),
    ("int64", Color.RED, 3),
    ("int64", D("1E3"), 1000),
    ("uint64", 2**64 - 1, 2**64 - 1),
    ("uint8", 255, 255),
    ("float32", 0.1, 0.10000000149011612),
    ("float32", 16777216, 16777216.0),
    ("float64", 1, 1.0),
    ("float64", 2**53, float(2**53)),
    ("float64", D("0.1"), 0.1),
    ("float64", float("inf"), float("inf")),
    ("decimal(5,2)", 1, D("1.00")),
    ("decimal(5,2)", 1.25, D("1.25")),
    ("decimal(5,2)", D("-123.4"), D("-123.40")),
    ("decimal(5,2)", D("1.2500"), D("1.25")),
    ("decimal(38,0)", 10**37, D(10**37)),
    ("string", "ünï\U0001f600", "ünï\U0001f600"),
    ("string", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ("binary", b"\x00\xff", b"\x00\xff"),
    ("binary", bytearray(b"ab"), b"ab"),
    ("binary", memoryview(b"abc")[1:], b"bc"),
    ("date", DATE, DATE),
    ("date", MIDNIGHT, DATE),
    ("date", dt.date(1, 1, 1), dt.date(1, 1, 1)),
    ("date", dt.date(9999, 12, 31), dt.date(9999, 12, 31)),
    ("time", dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 4)),
    ("timestamp", NOON, NOON),
    ("timestamp", OLD, OLD),
    ("timestamp", dt.datetime(9999, 12, 31, 23, 59, 59, 999999), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("timestamp", DATE, MIDNIGHT),
    ("timestamptz", NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=UTC)),
    (
        "timestamptz",
        NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2))),
        (NOON - dt.timedelta(hours=2)).replace(tzinfo=UTC),
    ),
]

REFUSED: list[tuple[str, Any]] = [
    ("bool", 1),
    ("bool", "true"),
    ("int8", 128),
    ("int64", True),
    ("int64", "1"),
    ("int64", 1.5),
    ("int64", float("inf")),
    ("int64", 2**63),
    ("int64", 1e19),
    ("int64", D("1.5")),
    ("int64", D("NaN")),
    ("uint8", -1),
    ("float32", 1e39),
    ("float32", 16777217),
    ("float64", 2**53 + 1),
    ("float64", True),
    ("float64", "1.0"),
    ("float64", D("1e400")),
    ("float64", 10**400),
    ("decimal(5,2)", 1.234),
    ("decimal(5,2)", D("1.234")),
    ("decimal(5,2)", 1000),
    ("decimal(5,2)", "1"),
    ("decimal(5,2)", True),
    ("string", 1),
    ("string", b"x"),
    ("string", "\ud800"),
    ("binary", "x"),
    ("date", NOON),
    ("date", "2024-01-01"),
    ("date", 1),
    ("date", MIDNIGHT.replace(tzinfo=UTC)),
    ("time", dt.time(1, tzinfo=UTC)),
    ("time", "01:00"),
    ("timestamp", NOON.replace(tzinfo=UTC)),
    ("timestamp", 0),
    ("timestamp", "2024-01-01"),
    ("timestamptz", NOON),
    ("timestamptz", DATE),
    ("int64", {"a": 1}),
    ("int64", object()),
    ("string", object()),
    ("int64", 1j),
]


def check_taken(conn: laminardb.Connection, type_name: str, value: Any, stored: Any, form: str) -> None:
    conn.create_table("t", {"v": type_name})
    data = {"dict": {"v": value}, "list": [{"v": value}], "columns": {"v": [value]}}[form]
    assert conn.insert("t", data) == 1
    found = rows(conn)[0][0]
    assert (found, type(found)) == (stored, type(stored))


@pytest.mark.parametrize(("type_name", "value", "stored"), TAKEN, ids=lambda case: repr(case)[:40])
@pytest.mark.parametrize("form", ["dict", "list", "columns"])
def test_values_taken(conn: laminardb.Connection, type_name: str, value: Any, stored: Any, form: str) -> None:
    check_taken(conn, type_name, value, stored, form)


def check_refused(conn: laminardb.Connection, type_name: str, value: Any, form: str) -> None:
    conn.create_table("t", {"v": type_name, "w": "int64"})
    good = None
    data = [{"v": good, "w": 1}, {"v": value, "w": 2}] if form == "list" else {"v": [good, value], "w": [1, 2]}
    with pytest.raises(laminardb.IngestionError) as error:
        conn.insert("t", data)
    assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    assert "'v'" in str(error.value)
    assert "row 1" in str(error.value)
    assert rows(conn) == []


@pytest.mark.parametrize(("type_name", "value"), REFUSED, ids=lambda case: repr(case)[:40])
@pytest.mark.parametrize("form", ["list", "columns"])
def test_values_refused(conn: laminardb.Connection, type_name: str, value: Any, form: str) -> None:
    check_refused(conn, type_name, value, form)


@pytest.mark.parametrize("type_name", ["bool", "int8", "uint64", "decimal(5,2)", "string", "binary", "date", "time"])
@pytest.mark.parametrize("form", ["dict", "list", "columns"])
def test_nan_is_null_where_no_number_is_nan(conn: laminardb.Connection, type_name: str, form: str) -> None:
    check_taken(conn, type_name, NAN, None, form)


def test_nan_in_a_not_null_column_is_a_missing_value(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT NOT NULL)")
    for data in ({"id": NAN}, [{"id": NAN}], {"id": [NAN]}):
        with pytest.raises(laminardb.IngestionError, match="id") as error:
            conn.insert("t", data)
        assert error.value.code == codes.INGESTION_FAILED


def test_nan_in_a_float_column_is_a_value(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"f": "float64"})
    conn.insert("t", {"f": [NAN, -0.0]})
    found = [row[0] for row in rows(conn)]
    assert [math.isnan(value) for value in found] == [True, False]
    assert math.copysign(1, found[1]) == -1


def test_not_null_and_defaults(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT NOT NULL, n BIGINT DEFAULT 7, s VARCHAR)")
    conn.insert("t", [{"id": 1}, {"id": 2, "n": None}, {"id": 3, "n": 5, "s": "x"}])
    conn.insert("t", {"id": 4})
    assert sorted(rows(conn)) == [(1, 7, None), (2, None, None), (3, 5, "x"), (4, 7, None)]
    for data in ({"n": 1}, {"id": None}, [{"id": 9}, {"n": 1}], {"id": [9, None]}):
        with pytest.raises(laminardb.IngestionError, match="id") as error:
            conn.insert("t", data)
        assert error.value.code == codes.INGESTION_FAILED, data
    assert len(rows(conn)) == 4


def test_lists_and_structs(conn: laminardb.Connection, pa: ModuleType) -> None:
    conn.create_table(
        "t",
        pa.schema([("l", pa.list_(pa.int64())), ("s", pa.struct([("a", pa.int64()), ("b", pa.string())]))]),
    )
    conn.insert("t", {"l": [1, 2], "s": {"a": 1, "b": "x"}})
    conn.insert("t", [{"l": [], "s": {"a": None}}, {"l": None, "s": None}, {"l": (3, None)}])
    conn.insert("t", {"l": [[4], [5, 6]], "s": [{"a": 1, "b": "y"}, None]})
    assert rows(conn) == [
        ([1, 2], {"a": 1, "b": "x"}),
        ([], {"a": None, "b": None}),
        (None, None),
        ([3, None], None),
        ([4], {"a": 1, "b": "y"}),
        ([5, 6], None),
    ]
    for data in ([{"l": ["x"]}], [{"s": {"c": 1}}], [{"s": {"a": "x"}}], [{"l": 3}]):
        with pytest.raises(laminardb.IngestionError):
            conn.insert("t", data)


def test_a_failed_write_stores_nothing(table: laminardb.Connection) -> None:
    table.insert("t", {"id": 1})
    before = table.current_time
    with pytest.raises(laminardb.IngestionError):
        table.insert("t", [{"id": 2}, {"id": "x"}])
    assert rows(table) == [(1, None, None)]
    assert table.current_time == before


def test_keyed_tables(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"id": "int64", "v": "string"}, primary_key="id")
    assert conn.insert("t", [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 1, "v": "c"}]) == 3
    assert sorted(rows(conn)) == [(1, "c"), (2, "b")]
    assert conn.upsert("t", {"id": 2, "v": "d"}) == 1
    assert conn.delete("t", {"id": [1, 9]}) == 1
    assert rows(conn) == [(2, "d")]
    assert conn.delete("t", {"id": [2]}) == 1
    assert rows(conn) == []
    with pytest.raises(laminardb.IngestionError) as error:
        conn.insert("t", {"v": "x"})
    assert error.value.code == codes.INGESTION_FAILED


def test_bags_and_sources(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (a BIGINT, b VARCHAR)")
    conn.insert("t", {"a": [1, 1, None], "b": ["x", "x", None]})
    assert conn.delete("t", {"a": 1, "b": "x"}) == 1
    assert conn.delete("t", {"a": None, "b": None}) == 1
    with pytest.raises(laminardb.IngestionError) as error:
        conn.delete("t", {"a": [1, 5], "b": ["x", "x"]})
    assert error.value.code == codes.INGESTION_FAILED
    assert rows(conn) == [(1, "x")]
    conn.create_table("s", {"a": "int64"})
    conn.execute("CREATE STREAM v AS SELECT a FROM s")
    for call in (
        lambda: conn.upsert("t", {"a": 1}),
        lambda: conn.upsert("s", {"a": 1}),
        lambda: conn.delete("s", {"a": 1}),
        lambda: conn.insert("v", {"a": 1}),
        lambda: conn.delete("v", {"a": 1}),
    ):
        with pytest.raises(laminardb.SchemaError) as schema_error:
            call()
        assert schema_error.value.code == codes.SCHEMA_MISMATCH


def test_many_small_inserts(table: laminardb.Connection) -> None:
    for idx in range(3000):
        table.insert("t", {"id": idx, "name": "x", "x": 0.5})
    assert table.sql("SELECT count(*), sum(id) FROM t").fetchone() == (3000, 3000 * 2999 // 2)
    assert table.total_events_processed == 3000
