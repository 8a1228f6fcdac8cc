"""insert_json and insert_csv: forms, exact values, errors that say where (API section 11.4)."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import importlib
import io
import json
import math
import signal
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import laminardb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laminardb import codes

from conftest import cases

UTC = dt.UTC
D = decimal.Decimal
DATE = dt.date(2024, 2, 29)
MIDNIGHT = dt.datetime(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12, 30, 1, 123456)

TYPES = {
    "b": "bool",
    "i": "int64",
    "t": "int8",
    "u": "uint64",
    "f": "float64",
    "r": "float32",
    "d": "decimal(5,2)",
    "w": "decimal(38,9)",
    "s": "string",
    "x": "binary",
    "date": "date",
    "time": "time",
    "ts": "timestamp",
    "tz": "timestamptz",
}


def rows(conn: laminardb.Connection, table: str = "t") -> list[tuple[Any, ...]]:
    return conn.sql(f"SELECT * FROM {table}").fetchall()


@pytest.fixture
def wide(conn: laminardb.Connection) -> laminardb.Connection:
    conn.create_table("t", TYPES)
    return conn


def refused(call: Callable[[str, str], int], data: str, code: int, *words: str) -> str:
    with pytest.raises(laminardb.IngestionError) as error:
        call("t", data)
    text = str(error.value)
    assert error.value.code == code, text
    for word in words:
        assert word in text, text
    return text


# JSON


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": 1, "name": "a", "x": 1.5}, {"id": 2, "name": "b", "x": 2.5}]',
        '\n[\n  {"x": 1.5, "NAME": "a", "id": 1},\n  {"id": 2, "name": "b", "x": 2.5}\n]\n',
        '{"id": 1, "name": "a", "x": 1.5}\n{"id": 2, "name": "b", "x": 2.5}\n',
        '{"id": 1, "name": "a", "x": 1.5}\r\n\r\n{"id": 2, "name": "b", "x": 2.5}',
        '{\n"id": 1, "name": "a", "x": 1.5}\n{"id": 2, "name": "b", "x":\n2.5}',
        '\ufeff[{"id": 1, "name": "a", "x": 1.5}, {"id": 2, "name": "b", "x": 2.5}]',
    ],
)
def test_json_forms(table: laminardb.Connection, text: str) -> None:
    assert table.insert_json("t", text) == 2
    assert rows(table) == [(1, "a", 1.5), (2, "b", 2.5)]


def test_json_one_object(table: laminardb.Connection) -> None:
    assert table.insert_json(table="t", data='{"id": 1, "name": "a"}') == 1
    assert rows(table) == [(1, "a", None)]


def test_json_rows_with_different_keys(table: laminardb.Connection) -> None:
    assert table.insert_json("t", '[{"id": 1}, {"name": "b"}, {"x": 3, "id": 3}, {}, {"name": null}]') == 5
    assert rows(table) == [(1, None, None), (None, "b", None), (3, None, 3.0), (None,) * 3, (None,) * 3]


@pytest.mark.parametrize("text", ["", "  \n", "[]", " [ ] ", "\ufeff"])
def test_json_without_rows(table: laminardb.Connection, text: str) -> None:
    before = table.current_time
    assert table.insert_json("t", text) == 0
    assert table.current_time == before


@pytest.mark.parametrize("data", [None, 1, 1.5, [], {}, ["{}"], object(), str])
def test_what_is_no_text(table: laminardb.Connection, data: Any) -> None:
    for call in (table.insert_json, table.insert_csv):
        with pytest.raises(TypeError):
            call("t", data)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("x", "line 1, column 1"),
        ('{"id": 1', "line 1, column 8"),
        ('{"id": 1}\n{"id": }', "line 2, column 8"),
        ('[\n {"id": 1},\n {"id": 2},\n]', "line 4, column 1"),
        ('[{"id": 1} {"id": 2}]', "line 1, column 12"),
        ('[{"id": 1},, {"id": 2}]', "line 1, column 12"),
        ('[{"id": 1}', "line 1, column 11"),
        ('[{"id": 1}]]', "line 1, column 12"),
        ('{"id": 1},\n{"id": 2}', "line 1, column 10"),
        ('{"id": 1}{"id": 2}', "line 1, column 10"),
        ("{'id': 1}", "line 1, column 2"),
        ("{id: 1}", "line 1, column 2"),
        ('{"id": 1,}', "line 1, column 10"),
        ('{"id" 1}', "line 1, column 7"),
        ('{"id": 01}', "line 1, column 9"),
        ('{"id": +1}', "line 1, column 8"),
        ('{"id": 1.}', "line 1, column 10"),
        ('{"id": .5}', "line 1, column 8"),
        ('{"id": 0x10}', "line 1, column 9"),
        ('{"x": NaN}', "line 1, column 7"),
        ('{"x": Infinity}', "line 1, column 7"),
        ('{"x": -Infinity}', "line 1, column 8"),
        ('{"b": True}', "line 1, column 7"),
        ('{"é": "ü", "x": }', "line 1, column 17"),
        ('{"name": "a\nb"}', "line 1, column 11"),
        ('{"name": "\\x"}', "line 1, column 12"),
        ('{"name": "a}', "line 1"),
        ('// note\n{"id": 1}', "line 1, column 1"),
        ("7", "line 1, column 1"),
        ("null", "line 1, column 1"),
        ('"text"', "line 1, column 1"),
        ("[1]", "line 1, column 2"),
        ('[{"id": 1},\n[1]]', "line 2, column 1"),
        ('{"id": 1}\n7', "line 2, column 1"),
    ],
)
def test_not_json(table: laminardb.Connection, text: str, place: str) -> None:
    before = table.current_time
    refused(table.insert_json, text, codes.INGESTION_FAILED, place)
    assert rows(table) == []
    assert table.current_time == before


JSON_TAKEN: list[tuple[str, str, Any]] = [
    ("b", "true", True),
    ("b", "false", False),
    ("t", "-128", -128),
    ("t", "127.0", 127),
    ("i", "9223372036854775807", 2**63 - 1),
    ("i", "-9223372036854775808", -(2**63)),
    ("i", "9223372036854775807.0", 2**63 - 1),
    ("i", "9007199254740993", 2**53 + 1),
    ("i", "1e3", 1000),
    ("i", "1200E-2", 12),
    ("i", "-0", 0),
    ("u", "18446744073709551615", 2**64 - 1),
    ("f", "0.1", 0.1),
    ("f", "1", 1.0),
    ("f", "1e308", 1e308),
    ("f", "5e-324", 5e-324),
    ("f", "1e-400", 0.0),
    ("f", "9007199254740992", 2.0**53),
    ("f", "100000000000000000000", 1e20),
    ("f", "0.1000000000000000055511151231257827", 0.1),
    ("r", "0.1", 0.10000000149011612),
    ("d", "1.25", D("1.25")),
    ("d", "1", D("1.00")),
    ("d", "1.2500", D("1.25")),
    ("d", "-9.9999e2", D("-999.99")),
    ("d", '"1.25"', D("1.25")),
    ("w", "12345678901234567890123456789.123456789", D("12345678901234567890123456789.123456789")),
    ("s", '""', ""),
    ("s", '"1"', "1"),
    ("s", '"ünï\\u00e9\\ud83d\\ude00"', "ünïé\U0001f600"),
    ("s", '"\\u0000\\"\\\\\\/\\b\\f\\n\\r\\t"', '\0"\\/\b\f\n\r\t'),
    ("s", '"null"', "null"),
    ("date", '"2024-02-29"', DATE),
    ("date", '"2024-02-29T00:00:00"', DATE),
    ("date", '"0001-01-01"', dt.date(1, 1, 1)),
    ("date", '"9999-12-31"', dt.date(9999, 12, 31)),
    ("time", '"12:30:01.123456"', NOON.time()),
    ("time", '"12:30"', dt.time(12, 30)),
    ("time", '"12:30:01.123456000"', NOON.time()),
    ("ts", '"2024-02-29T12:30:01.123456"', NOON),
    ("ts", '"2024-02-29 12:30:01,123456000"', NOON),
    ("ts", '"2024-02-29"', MIDNIGHT),
    ("ts", '"0001-01-01T00:00:00"', dt.datetime(1, 1, 1)),
    ("tz", '"2024-02-29T12:30:01.123456Z"', NOON.replace(tzinfo=UTC)),
    ("tz", '"2024-02-29T14:30:01.123456+02:00"', NOON.replace(tzinfo=UTC)),
    ("tz", '"2024-02-29 10:00:01.123456-0230"', NOON.replace(tzinfo=UTC)),
    ("tz", '"2024-02-29T13:30:01.123456+01"', NOON.replace(tzinfo=UTC)),
]

JSON_REFUSED: list[tuple[str, str]] = [
    ("b", "1"),
    ("b", "0"),
    ("b", '"true"'),
    ("t", "128"),
    ("i", "9223372036854775808"),
    ("i", "-9223372036854775809"),
    ("i", "1.5"),
    ("i", "1e-1"),
    ("i", "1e19"),
    ("i", "1e400"),
    ("i", "1e99999999999999999999"),
    ("i", "1.5e-9223372036854775808"),
    ("i", '"1"'),
    ("i", "true"),
    ("u", "-1"),
    ("f", "9007199254740993"),
    ("f", "1" + "0" * 400),
    ("f", "1e400"),
    ("f", "-1e400"),
    ("f", '"1.5"'),
    ("f", '"NaN"'),
    ("f", "true"),
    ("r", "16777217"),
    ("r", "1e39"),
    ("d", "1.234"),
    ("d", "1000"),
    ("d", '"1.234"'),
    ("d", '"x"'),
    ("d", '" 1"'),
    ("d", '""'),
    ("d", "true"),
    ("w", "123456789012345678901234567890"),
    ("s", "1"),
    ("s", "true"),
    ("s", "[]"),
    ("s", '{"a": 1}'),
    ("s", '"\\ud800"'),
    ("s", '"\\udc00\\ud800"'),
    ("x", '"abc"'),
    ("x", "[1, 2]"),
    ("date", '"2024-02-30"'),
    ("date", '"2024-2-29"'),
    ("date", '"20240229"'),
    ("date", '"29.02.2024"'),
    ("date", '"2024-02-29T00:00:01"'),
    ("date", '"2024-02-29T00:00:00Z"'),
    ("date", "19782"),
    ("time", '"24:00"'),
    ("time", '"12:30:01.1234567"'),
    ("time", '"12:30:01Z"'),
    ("ts", '"2024-02-29T12:30:01Z"'),
    ("ts", '"2024-02-29T12:30:01.1234567"'),
    ("ts", '"2024-02-29T25:00:00"'),
    ("ts", "0"),
    ("ts", '""'),
    ("tz", '"2024-02-29T12:30:01"'),
    ("tz", '"2024-02-29"'),
    ("tz", '"2024-02-29T12:30:01 Europe/Paris"'),
    ("i", "[1]"),
    ("i", "{}"),
]


@pytest.mark.parametrize(("column", "text", "stored"), JSON_TAKEN, ids=lambda case: str(case)[:40])
def test_json_values_taken(wide: laminardb.Connection, column: str, text: str, stored: Any) -> None:
    assert wide.insert_json("t", f'[{{"{column}": {text}}}, {{"{column}": null}}]') == 2
    found = [row[list(TYPES).index(column)] for row in rows(wide)]
    assert found == [stored, None]
    assert type(found[0]) is type(stored)


@pytest.mark.parametrize(("column", "text"), JSON_REFUSED, ids=lambda case: str(case)[:40])
def test_json_values_refused(wide: laminardb.Connection, column: str, text: str) -> None:
    data = f'{{"{column}": null}}\n{{"{column}": {text}}}'
    # A string is shown in single quotes, anything else as it is written.
    shown = f"'{text[1:-1]}'" if text.startswith('"') and "\\" not in text else text[:100]
    refused(wide.insert_json, data, codes.BATCH_SCHEMA_MISMATCH, "row 1 ", "line 2", f"column {column} ", shown)
    assert rows(wide) == []


def test_json_negative_zero_is_kept(wide: laminardb.Connection) -> None:
    wide.insert_json("t", '[{"f": -0.0}, {"f": -0}, {"f": 0}]')
    signs = [math.copysign(1, value) for (value,) in wide.sql("SELECT f FROM t").fetchall()]
    assert signs == [-1, -1, 1]


def test_json_columns(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"Id": "int64", "a b": "string", "ab": "int64", "AB": "int64", "é": "int64"})
    conn.insert_json("T", '{"ID": 1, "A B": "x", "ab": 2, "AB": 3, "\\u00e9": 4}')
    assert rows(conn) == [(1, "x", 2, 3, 4)]
    for text, *words in (
        ('{"nope": 1}', "row 0", "nope"),
        ('[{"Id": 1}, {"Id": 2, "nope": 1}]', "row 1", "nope"),
        ('{"Ab": 1}', "row 0", "Ab"),
        ('{"Id": 1, "Id": 1}', "row 0", "Id"),
        ('{"Id": 1, "id": 1}', "row 0", "Id"),
        ('{"Id": 1, "I\\u0064": 1}', "row 0", "Id"),
        ('{"\\ud800": 1}', "row 0", "ud800"),
        ('{"": 1}', "row 0"),
    ):
        refused(conn.insert_json, text, codes.BATCH_SCHEMA_MISMATCH, *words)
    assert len(rows(conn)) == 1


def test_json_lists_and_structs(conn: laminardb.Connection, pa: ModuleType) -> None:
    struct = pa.struct([("a", pa.int64()), ("b", pa.list_(pa.decimal128(20, 2)))])
    conn.create_table("t", pa.schema([("l", pa.list_(pa.int64())), ("s", struct)]))
    text = """[
        {"l": [1, null, 9007199254740993], "s": {"a": 1, "b": [1.10, "2"]}},
        {"l": [], "s": {}},
        {"l": null, "s": null},
        {"s": {"B": [], "a": null}}
    ]"""
    assert conn.insert_json("t", text) == 4
    stored = [
        ([1, None, 2**53 + 1], {"a": 1, "b": [D("1.10"), D("2.00")]}),
        ([], {"a": None, "b": None}),
        (None, None),
        (None, {"a": None, "b": []}),
    ]
    assert rows(conn) == stored
    for value in (
        '{"l": ["1"]}',
        '{"l": [[1]]}',
        '{"l": 1}',
        '{"l": {"a": 1}}',
        '{"s": []}',
        '{"s": {"c": 1}}',
        '{"s": {"a": 1, "a": 1}}',
        '{"s": {"a": "x"}}',
        '{"s": {"b": [0.001]}}',
    ):
        refused(conn.insert_json, "{}\n" + value, codes.BATCH_SCHEMA_MISMATCH, "row 1 ", f"column {value[2]} ")
    assert rows(conn) == stored
    conn.insert_csv("t", 'l,s\n"[1, 2]","{""a"": 3, ""b"": [4.5]}"\n,\n')
    assert rows(conn)[4:] == [([1, 2], {"a": 3, "b": [D("4.50")]}), (None, None)]
    for field in ("1", '"[1"', '"[1.5]"', "{}", "null", '""'):
        refused(conn.insert_csv, f"l\n{field}\n", codes.BATCH_SCHEMA_MISMATCH, "row 0 ", "column l ")


def test_json_null_in_nested_fields(conn: laminardb.Connection, pa: ModuleType) -> None:
    inner = pa.struct([pa.field("a", pa.int64(), nullable=False)])
    schema = [("l", pa.list_(pa.field("item", pa.int64(), nullable=False))), ("s", inner)]
    conn.create_table("t", pa.schema(schema))
    for text in ('{"l": [1, null]}', '{"s": {}}', '{"s": {"a": null}}'):
        refused(conn.insert_json, text, codes.INGESTION_FAILED, "row 0 ", "NOT NULL")
    assert conn.insert_json("t", '{"l": [1], "s": {"a": 1}}\n{"l": null, "s": null}') == 2


# CSV


@pytest.mark.parametrize(
    "text",
    [
        "id,name,x\n1,a,1.5\n2,b,2.5\n",
        "id,name,x\r\n1,a,1.5\r\n2,b,2.5",
        '"id","name","x"\n"1","a","1.5"\n"2","b","2.5"\n',
        "X,ID,NAME\n1.5,1,a\n2.5,2,b\n",
        "\ufeffid,name,x\n1,a,1.5\n2,b,2.5\n",
        "\nid,name,x\n1,a,1.5\n\n2,b,2.5\n\n\n",
    ],
)
def test_csv_forms(table: laminardb.Connection, text: str) -> None:
    assert table.insert_csv(table="t", data=text) == 2
    assert rows(table) == [(1, "a", 1.5), (2, "b", 2.5)]


def test_csv_quotes_and_nulls(table: laminardb.Connection) -> None:
    text = 'id,name,x\n1,"a,b",\n,"say ""hi""\r\nthere",1\n3,,\n4,"",0\n5, c ,2\n'
    assert table.insert_csv("t", text) == 5
    assert rows(table) == [
        (1, "a,b", None),
        (None, 'say "hi"\r\nthere', 1.0),
        (3, None, None),
        (4, "", 0.0),
        (5, " c ", 2.0),
    ]


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "id,name,x", "id,name,x\n", "x\r\n", "id,name\n\n"])
def test_csv_without_rows(table: laminardb.Connection, text: str) -> None:
    before = table.current_time
    assert table.insert_csv("t", text) == 0
    assert table.current_time == before


def test_csv_empty_line_of_one_column_is_null(table: laminardb.Connection) -> None:
    assert table.insert_csv("t", 'name\na\n\n""\n') == 3
    assert [row[1] for row in rows(table)] == ["a", None, ""]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("id,name\n1,a\n2\n", "line 3"),
        ("id,name\n1,a\n2,b,c\n", "line 3"),
        ("id,name\n1,a,\n", "line 2"),
        ('id,name\n1,"a\nb"\n2\n', "line 4"),
        ('id,name\r\n"1"\r\n', "line 2"),
        ('id,name\n""\n', "line 2"),
        ('id,name\n1,"a\n', "line 2, column 3"),
        ('id,name\n1,a"b\n', "line 2, column 4"),
        ('id,name\n1,"a"b\n', "line 2, column 6"),
        ("id,name\r1,a\r", "line 1, column 8"),
        ("id,name\n1,a\rb\n", "line 2, column 4"),
    ],
)
def test_not_csv(table: laminardb.Connection, text: str, place: str) -> None:
    before = table.current_time
    refused(table.insert_csv, text, codes.INGESTION_FAILED, place)
    assert rows(table) == []
    assert table.current_time == before


CSV_TAKEN: list[tuple[str, str, Any]] = [
    *[("b", text, True) for text in ("true", "t", "1", "True", "TRUE", '"true"')],
    *[("b", text, False) for text in ("false", "f", "0", "False")],
    ("i", "9223372036854775807", 2**63 - 1),
    ("i", "+5", 5),
    ("i", "007", 7),
    ("i", "1e3", 1000),
    ("i", "12.0", 12),
    ("u", "18446744073709551615", 2**64 - 1),
    ("f", "0.1", 0.1),
    ("f", ".5", 0.5),
    ("f", "1e-7", 1e-7),
    ("f", "inf", math.inf),
    ("f", "-Infinity", -math.inf),
    ("r", "0.1", 0.10000000149011612),
    ("d", "1.25", D("1.25")),
    ("w", "12345678901234567890123456789.123456789", D("12345678901234567890123456789.123456789")),
    ("s", "null", "null"),
    ("s", "NaN", "NaN"),
    ("s", "ünï\U0001f600", "ünï\U0001f600"),
    ("s", "\\N", "\\N"),
    ("date", "2024-02-29", DATE),
    ("time", "12:30:01.123456", NOON.time()),
    ("ts", "2024-02-29 12:30:01.123456", NOON),
    ("ts", "2024-02-29T12:30:01.123456", NOON),
    ("tz", "2024-02-29T14:30:01.123456+02:00", NOON.replace(tzinfo=UTC)),
]

CSV_REFUSED: list[tuple[str, str]] = [
    ("b", "yes"),
    ("b", "2"),
    ("b", '""'),
    ("i", '""'),
    ("i", " 1"),
    ("i", "1 "),
    ("i", "1.5"),
    ("i", "1_000"),
    ("i", "0x10"),
    ("i", "NaN"),
    ("i", "9223372036854775808"),
    ("t", "300"),
    ("f", "1e400"),
    ("f", "9007199254740993"),
    ("f", "x"),
    ("d", "1.234"),
    ("d", "NaN"),
    ("x", "abc"),
    ("date", "29/02/2024"),
    ("ts", "2024-02-29T12:30:01Z"),
    ("tz", "2024-02-29T12:30:01"),
]


@pytest.mark.parametrize(("column", "text", "stored"), CSV_TAKEN, ids=lambda case: str(case)[:40])
def test_csv_values_taken(wide: laminardb.Connection, column: str, text: str, stored: Any) -> None:
    other = "s" if column != "s" else "i"
    assert wide.insert_csv("t", f"{column},{other}\n{text},\n,\n") == 2
    found = [row[list(TYPES).index(column)] for row in rows(wide)]
    assert found == [stored, None]
    assert type(found[0]) is type(stored)


@pytest.mark.parametrize(("column", "text"), CSV_REFUSED, ids=lambda case: str(case)[:40])
def test_csv_values_refused(wide: laminardb.Connection, column: str, text: str) -> None:
    shown = "'" + text.strip('"') + "'"
    data = f"{column},s\n,\n{text},\n"
    refused(wide.insert_csv, data, codes.BATCH_SCHEMA_MISMATCH, "row 1 ", "line 3", f"column {column} ", shown)
    assert rows(wide) == []


def test_csv_nan(wide: laminardb.Connection) -> None:
    wide.insert_csv("t", "f\nNaN\nnan\n")
    assert all(math.isnan(value) for (value,) in wide.sql("SELECT f FROM t").fetchall())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("id,nope\n1,2\n", "nope"),
        ("id,id\n1,2\n", "id"),
        ("id,ID\n1,2\n", "id"),
        ("id,,x\n1,2,3\n", "no column"),
        ("id;name;x\n1;a;2\n", "id;name;x"),
        ("id, name\n1,a\n", " name"),
        ("1,a,1.5\n", "1"),
        ("nope\n", "nope"),
    ],
)
def test_csv_columns(table: laminardb.Connection, text: str, word: str) -> None:
    refused(table.insert_csv, text, codes.BATCH_SCHEMA_MISMATCH, word)
    assert rows(table) == []


# Both


def test_defaults_and_not_null(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT NOT NULL, n BIGINT DEFAULT 7, s VARCHAR DEFAULT 'z')")
    conn.insert_json("t", '[{"id": 1}, {"id": 2, "n": null, "s": null}, {"id": 3, "n": 5}, {"s": "y", "id": 4}]')
    conn.insert_csv("t", "id,n\n5,\n6,1\n")
    expected = [(1, 7, "z"), (2, None, None), (3, 5, "z"), (4, 7, "y"), (5, None, "z"), (6, 1, "z")]
    assert sorted(rows(conn)) == expected
    for text in ('{"n": 1}', '{"id": null}', '[{"n": 1, "s": "x"}]'):
        refused(conn.insert_json, text, codes.INGESTION_FAILED, "row 0 ", "column id ")
    refused(conn.insert_json, '[{"id": 9}, {"n": 1}]', codes.INGESTION_FAILED, "row 1 ", "column id ")
    for text in ("n\n1\n", "id,n\n,1\n"):
        refused(conn.insert_csv, text, codes.INGESTION_FAILED, "row 0 ", "column id ")
    assert len(rows(conn)) == 6


def test_keyed_tables(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"id": "int64", "v": "string"}, primary_key="id")
    assert conn.insert_json("t", '[{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 1, "v": "c"}]') == 3
    assert conn.insert_csv("t", "id,v\n2,d\n") == 1
    for call, text in ((conn.insert_json, '{"v": "x"}'), (conn.insert_csv, "id,v\n,x\n"), (conn.insert_csv, "v\nx\n")):
        refused(call, text, codes.INGESTION_FAILED, "row 0 ", "column id ")
    assert sorted(rows(conn)) == [(1, "c"), (2, "d")]


def test_one_write_of_many_batches(table: laminardb.Connection) -> None:
    count = 150_000
    table.execute("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(id) AS t FROM t")
    before = table.current_time
    lines = "".join(f'{{"id": {row}, "name": "n{row}", "x": {row}.5}}\n' for row in range(count))
    assert table.insert_json("t", lines) == count
    assert table.current_time == before + 1
    assert table.insert_csv("t", "id,name\n" + "".join(f"{row},n{row}\n" for row in range(count))) == count
    assert table.current_time == before + 2
    table.wait()
    assert table.sql("SELECT n, t FROM v").fetchone() == (2 * count, count * (count - 1))
    refused(table.insert_json, lines + '{"id": "x"}', codes.BATCH_SCHEMA_MISMATCH, f"row {count} ", f"line {count + 1}")
    refused(table.insert_csv, "id\n" + "1\n" * count + "x\n", codes.BATCH_SCHEMA_MISMATCH, f"row {count} ")
    assert table.current_time == before + 2


def test_relations_that_take_no_rows(table: laminardb.Connection) -> None:
    table.execute("CREATE STREAM v AS SELECT id FROM t")
    for call, text in ((table.insert_json, '{"id": 1}'), (table.insert_csv, "id\n1\n"), (table.insert_json, "")):
        with pytest.raises(laminardb.SchemaError) as error:
            call("v", text)
        assert error.value.code == codes.SCHEMA_MISMATCH
        with pytest.raises(laminardb.SchemaError) as error:
            call("nope", text)
        assert error.value.code == codes.TABLE_NOT_FOUND
    table.shutdown()
    for call in (table.insert_json, table.insert_csv):
        with pytest.raises(laminardb.LaminarError) as ended:
            call("t", "")
        assert ended.value.code == codes.SHUTDOWN
    table.close()
    for call in (table.insert_json, table.insert_csv):
        with pytest.raises(laminardb.ConnectionError, match=r"^Connection is closed$"):
            call("t", "")


def test_half_a_surrogate_pair(table: laminardb.Connection) -> None:
    for call, text in ((table.insert_json, '{"name": "\ud800"}'), (table.insert_csv, "name\n\udfff\n")):
        refused(call, text, codes.BATCH_SCHEMA_MISMATCH, "surrogate")
    assert rows(table) == []


def test_deep_nesting(table: laminardb.Connection) -> None:
    deep = "[" * 200_000 + "]" * 200_000
    refused(table.insert_json, f'{{"id": {deep}}}', codes.BATCH_SCHEMA_MISMATCH, "column id ")
    refused(table.insert_json, "[" * 200_000, codes.INGESTION_FAILED)
    refused(table.insert_json, deep, codes.INGESTION_FAILED, "row 0 ")
    refused(table.insert_json, '{"id":' * 200_000, codes.INGESTION_FAILED, "line 1")


def test_long_line(table: laminardb.Connection) -> None:
    name = "ab\u00e9\n" * 2_500_000
    assert table.insert_json("t", json.dumps({"name": name})) == 1
    assert table.insert_json("t", json.dumps({"name": name}, ensure_ascii=False)) == 1
    assert table.insert_csv("t", f'name\n"{name}"\n') == 1
    assert {row[1] == name for row in rows(table)} == {True}
    digits = "1" * 1_000_000
    text = refused(table.insert_json, f'{{"id": {digits}}}', codes.BATCH_SCHEMA_MISMATCH, "...")
    assert len(text) < 500
    refused(table.insert_json, f'{{"x": {digits}}}', codes.BATCH_SCHEMA_MISMATCH)


def test_what_python_writes_is_read(table: laminardb.Connection) -> None:
    data = [{"id": -1, "name": 'a"b,\n\\', "x": 1e22}, {"id": 2**62, "name": "", "x": 0.1}, {"id": None, "name": None}]
    table.insert_json("t", json.dumps(data))
    table.insert_json("t", json.dumps(data, indent=2, ensure_ascii=False))
    table.insert_json("t", "\n".join(json.dumps(row) for row in data))
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "name", "x"], quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(data[:2])
    table.insert_csv("t", text.getvalue())
    stored = [tuple(row.get(name) for name in ("id", "name", "x")) for row in data]
    assert rows(table) == stored * 3 + stored[:2]


FRAME = {
    "b": [True, False, None],
    "i": [2**53 + 1, -5, None],
    "f": [0.1, 1e22, None],
    "d": [D("1.25"), D("-999.99"), None],
    "s": ['a "b",\n', "😀", None],
    "date": [DATE, dt.date(1, 1, 1), None],
    "time": [NOON.time(), dt.time(0), None],
    "ts": [NOON, MIDNIGHT, None],
    "tz": [NOON.replace(tzinfo=UTC), MIDNIGHT.replace(tzinfo=UTC), None],
}


@pytest.fixture
def written(pa: ModuleType, pd: ModuleType, pl: ModuleType) -> dict[str, str]:
    """FRAME as text of each library."""
    # Integers with NULL as pandas' own nullable ones, else pandas makes doubles of them.
    objects = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in FRAME.items()})
    frame = objects.astype({"b": "boolean", "i": "Int64", "f": "Float64"})
    types = {
        "b": pa.bool_(),
        "i": pa.int64(),
        "f": pa.float64(),
        "d": pa.decimal128(5, 2),
        "s": pa.string(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "ts": pa.timestamp("us"),
        "tz": pa.timestamp("us", "UTC"),
    }
    sink = io.BytesIO()
    importlib.import_module("pyarrow.csv").write_csv(pa.table(FRAME, schema=pa.schema(types)), sink)
    return {
        "polars CSV": pl.DataFrame(FRAME).write_csv(),
        "polars JSON": pl.DataFrame(FRAME).write_json(),
        "polars lines JSON": pl.DataFrame(FRAME).write_ndjson(),
        "pandas CSV": frame.to_csv(index=False),
        "pandas lines CSV": frame.to_csv(index=False, lineterminator="\r\n"),
        "pyarrow CSV": sink.getvalue().decode(),
    }


def check_frame(wide: laminardb.Connection, call: Callable[[str, str], int], text: str) -> None:
    assert call("t", text) == 3
    assert wide.sql(f"SELECT {', '.join(FRAME)} FROM t").to_dicts() == FRAME


WRITERS = ["polars CSV", "polars JSON", "polars lines JSON", "pandas CSV", "pandas lines CSV", "pyarrow CSV"]


@pytest.mark.parametrize("writer", WRITERS)
def test_what_libraries_write_is_read(wide: laminardb.Connection, written: dict[str, str], writer: str) -> None:
    check_frame(wide, wide.insert_csv if writer.endswith("CSV") else wide.insert_json, written[writer])


def test_what_python_writes_of_every_type_is_read(wide: laminardb.Connection) -> None:
    data = [dict(zip(FRAME, row, strict=True)) for row in zip(*FRAME.values(), strict=True)]
    check_frame(wide, wide.insert_json, json.dumps(data, default=str))


def test_ctrl_c_ends_a_long_text(table: laminardb.Connection) -> None:
    text = '{"id": 1, "name": "abcdefghijklmnopqrstuvwxyz", "x": 1.5}\n' * 1_000_000
    before = table.current_time
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            table.insert_json("t", text)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert table.current_time == before
    assert rows(table) == []


def test_other_threads_run_meanwhile(table: laminardb.Connection) -> None:
    text = '{"id": 1, "name": "abcdefghijklmnopqrstuvwxyz", "x": 1.5}\n' * 100_000
    thread = threading.Thread(target=table.insert_json, args=("t", text))
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
    assert len(rows(table)) == 100_000
    assert turns > 100


# Random texts, read by Python too


def damaged(text: str, edits: list[tuple[float, int, str]]) -> str:
    """The text with some of its characters taken out or put in."""
    for place, removed, inserted in edits:
        at = int(place * len(text))
        text = text[:at] + inserted + text[at + removed :]
    return text


def edits(alphabet: str) -> st.SearchStrategy[list[tuple[float, int, str]]]:
    return st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), st.text(alphabet, max_size=2)), max_size=2)


class NotJson(Exception):
    """The text is not of the forms that insert_json takes."""


class Unfit(Exception):
    """A row does not fit the table."""


def read_json(text: str) -> list[list[tuple[str, Any]]]:
    """The objects of a text, as Python's own reader sees them, with every key and with the digits of every number."""

    def constant(name: str) -> None:
        raise ValueError(name)

    decoder = json.JSONDecoder(parse_constant=constant, parse_float=D, object_pairs_hook=tuple)
    space = " \t\n\r"
    text = text.removeprefix("\ufeff").strip(space)
    try:
        if text.startswith("["):
            objects = decoder.decode(text)
        else:
            objects, at = [], 0
            while at < len(text):
                value, end = decoder.raw_decode(text, at)
                objects.append(value)
                at = end + len(text[end:]) - len(text[end:].lstrip(space))
                if at < len(text) and "\n" not in text[end:at]:
                    raise NotJson
    except ValueError:
        raise NotJson from None
    # A tuple is an object; a list of the text is a list.
    if not all(isinstance(value, tuple) for value in objects):
        raise NotJson
    return objects


def stored(value: Any, column: str) -> Any:
    if value is None:
        return None
    kind = {"id": (int, D), "x": (int, D), "name": (str,)}[column]
    if type(value) not in kind:
        raise Unfit
    if column == "name":
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise Unfit
        return value
    if column == "id":
        if not -(2**63) <= value < 2**63 or value != int(value):
            raise Unfit
        return int(value)
    if math.isinf(float(value)) or (type(value) is int and float(value) != value):
        raise Unfit
    return float(value)


def stored_row(members: list[tuple[str, Any]]) -> tuple[Any, ...]:
    row: dict[str, Any] = {}
    for name, value in members:
        column = name.lower()
        if column not in ("id", "name", "x") or column in row:
            raise Unfit
        row[column] = stored(value, column)
    return row.get("id"), row.get("name"), row.get("x")


JSON_NUMBER = st.sampled_from(
    ["0", "-0", "7", "2.0", "1.5", "-12", "1e3", "10E-1", "9007199254740993", "1e400", "92233720368547758.07e2"]
)
JSON_TEXT = st.sampled_from(['""', '"a\\"b"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud800"', '"{[,]}"', '"é😀"'])
JSON_VALUE = JSON_NUMBER | JSON_TEXT | st.sampled_from(["null", "true", "[1]", '{"a": []}'])
FITTING = {"id": JSON_NUMBER, "name": JSON_TEXT, "x": JSON_NUMBER}
JSON_ROW = st.lists(
    st.sampled_from(sorted(FITTING)).flatmap(
        lambda name: (FITTING[name] | FITTING[name] | JSON_VALUE).map(lambda value: f'"{name}": {value}')
    ),
    max_size=3,
    unique_by=lambda member: member[:3],
).map(lambda members: "{" + ", ".join(members) + "}")
JSON = st.lists(JSON_ROW, max_size=4).flatmap(
    lambda rows: st.sampled_from(["[" + ", ".join(rows) + "]", "\n".join(rows), "\r\n ".join(rows) + "\n"])
)


@cases(200)
@given(text=st.builds(damaged, JSON, edits('{}[],:"\\01.eE+-\n\r\t u8dnm\0é﻿')))
def test_random_json(text: str) -> None:
    with laminardb.open(":memory:") as conn:
        conn.create_table("t", {"id": "int64", "name": "string", "x": "float64"})
        try:
            expected = [stored_row(members) for members in read_json(text)]
        except Unfit:
            refused(conn.insert_json, text, codes.BATCH_SCHEMA_MISMATCH)
        except NotJson:
            # A row before that place may be refused first.
            with pytest.raises(laminardb.IngestionError):
                conn.insert_json("t", text)
        else:
            assert conn.insert_json("t", text) == len(expected)
            assert rows(conn) == expected
            return
        assert rows(conn) == []


@cases(200)
@given(
    text=st.builds(
        damaged, st.sampled_from(["1,2\n3,4\n", '"1","2"\r\n"3","a""b"\r\n', '1,"a\nb"\n,']), edits('",\n\r 1')
    )
)
def test_random_csv(text: str) -> None:
    with laminardb.open(":memory:") as conn:
        conn.create_table("t", {"a": "string", "b": "string"})
        text = "a,b\n" + text
        try:
            count = conn.insert_csv("t", text)
        except laminardb.IngestionError:
            refused(conn.insert_csv, text, codes.INGESTION_FAILED)
            assert rows(conn) == []
            # Python takes quotes inside fields and carriage returns alone; else what is refused is not CSV.
            if '"' not in text and "\r" not in text:
                assert any(line and line.count(",") != 1 for line in text.split("\n"))
            return
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row][1:]
        assert count == len(expected)
        assert [[value or "" for value in row] for row in rows(conn)] == expected
