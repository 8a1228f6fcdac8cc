"""Section 5.3 of the Python contract: kinds of relations and `create_table`."""

from __future__ import annotations

import inspect
from typing import Any

import laminardb
import pyarrow as pa
import pytest
from expect import fails

TYPES = {
    "int8 i8": pa.int8(),
    "int16 i16": pa.int16(),
    "int32 i32 int": pa.int32(),
    "int64 i64": pa.int64(),
    "uint8 u8": pa.uint8(),
    "uint16 u16": pa.uint16(),
    "uint32 u32": pa.uint32(),
    "uint64 u64": pa.uint64(),
    "float16 f16 float32 f32 float": pa.float32(),
    "float64 f64 double": pa.float64(),
    "bool boolean": pa.bool_(),
    "string str utf8 large_string large_utf8": pa.string(),
    "binary bytes": pa.binary(),
    "date32 date": pa.date32(),
    "timestamp datetime": pa.timestamp("us"),
    "time": pa.time64("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "decimal(38,9)": pa.decimal128(38, 9),
}


@pytest.mark.parametrize("names", TYPES)
def test_type_strings_in_any_case(conn: laminardb.Connection, names: str) -> None:
    spellings = [spelling for name in names.split() for spelling in (name, name.upper(), name.title())]
    conn.create_table("t", {f"c{idx}": name for idx, name in enumerate(spellings)})
    assert conn.schema("t").types == [TYPES[names]] * len(spellings)


def test_signature() -> None:
    parameters = inspect.signature(laminardb.Connection.create_table).parameters
    assert list(parameters) == ["self", "name", "schema", "primary_key"]
    assert parameters["primary_key"].kind is inspect.Parameter.KEYWORD_ONLY


def test_it_makes_a_source_or_with_a_key_a_table(conn: laminardb.Connection) -> None:
    assert conn.create_table("s", {"a": "int64"}) is None  # type: ignore[func-returns-value]
    conn.create_table("t", {"a": "int64", "b": "int64"}, primary_key="a")
    assert [(each.name, each.kind, each.primary_key) for each in conn.sources()] == [
        ("s", "source", []),
        ("t", "table", ["a"]),
    ]
    assert [field.nullable for field in conn.schema("t")] == [False, True]


class Foreign:
    """An object of no known class with an Arrow schema."""

    def __arrow_c_schema__(self) -> object:
        return pa.schema([("a", pa.int64())]).__arrow_c_schema__()


def test_a_schema_is_anything_with_an_arrow_schema(conn: laminardb.Connection) -> None:
    conn.create_table("t", Foreign())
    assert conn.schema("t") == pa.schema([("a", pa.int64())])


KEPT = [
    pa.timestamp("s"),
    pa.timestamp("ms"),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.decimal128(5, 0),
    pa.decimal128(38, 38),
    pa.list_(pa.int64()),
    pa.struct([("x", pa.list_(pa.string()))]),
]


@pytest.mark.parametrize("kind", KEPT, ids=str)
def test_arrow_types_are_kept(conn: laminardb.Connection, kind: pa.DataType) -> None:
    conn.create_table("t", pa.schema([pa.field("a", kind, nullable=False)]))
    field = conn.schema("t").field("a")
    assert (str(field.type), field.nullable) == (str(kind), False)


STRINGS = [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("kind", STRINGS, ids=str)
def test_all_strings_are_stored_as_string(conn: laminardb.Connection, kind: pa.DataType) -> None:
    conn.create_table("t", pa.schema([("a", kind)]))
    assert conn.schema("t").field("a").type == pa.string()


OTHERS = [pa.duration("s"), pa.month_day_nano_interval(), pa.decimal256(50, 2), pa.map_(pa.string(), pa.int64())]


@pytest.mark.parametrize("kind", OTHERS, ids=str)
def test_other_types_are_refused(conn: laminardb.Connection, kind: pa.DataType) -> None:
    for schema in (pa.schema([("a", kind)]), pa.schema([("a", pa.list_(kind))])):
        with fails(laminardb.SchemaError, 203):
            conn.create_table("t", schema)
    assert conn.list_tables() == []


@pytest.mark.parametrize("schema", [1, "int64", [("a", "int64")], object(), {"a": int}, {"a": None}, {1: "int64"}])
def test_what_is_no_schema(conn: laminardb.Connection, schema: Any) -> None:
    with pytest.raises(TypeError):
        conn.create_table("t", schema)


@pytest.mark.parametrize("key", ["nope", ["a", "nope"], ["a", "a"]])
def test_a_key_is_of_columns(conn: laminardb.Connection, key: Any) -> None:
    with fails(laminardb.SchemaError, 203):
        conn.create_table("t", {"a": "int64"}, primary_key=key)
    assert conn.list_tables() == []


def test_no_columns(conn: laminardb.Connection) -> None:
    for schema in ({}, pa.schema([])):
        with fails(laminardb.SchemaError, 203):
            conn.create_table("t", schema)


def test_all_kinds_are_queried_and_joined_by_name(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE s (a BIGINT)")
    conn.execute("CREATE TABLE b (a BIGINT)")
    conn.execute("CREATE TABLE k (a BIGINT PRIMARY KEY)")
    conn.execute("CREATE VIEW v AS SELECT a FROM s")
    conn.execute("CREATE STREAM m AS SELECT a FROM v")
    conn.execute("CREATE MATERIALIZED VIEW n AS SELECT a, count(*) AS n FROM m GROUP BY a")
    for name in ("s", "b", "k"):
        conn.insert(name, {"a": [1, 2]})
    names = ("s", "b", "k", "v", "m", "n")
    for name in names:
        assert sorted(conn.sql(f"SELECT a FROM {name}").fetchall()) == [(1,), (2,)], name
    joined = " ".join(f"JOIN {name} USING (a)" for name in names[1:])
    assert conn.sql(f"SELECT a FROM s {joined} ORDER BY a").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("kind", ["STREAM", "MATERIALIZED VIEW"])
def test_definitions_of_views_are_checked(conn: laminardb.Connection, kind: str) -> None:
    conn.execute("CREATE SOURCE s (a BIGINT)")
    for select in ("SELECT * FROM nope", "SELECT nope FROM s"):
        with fails(laminardb.QueryError, 400, "nope"):
            conn.execute(f"CREATE {kind} v AS {select}")
    assert conn.list_streams() == []
