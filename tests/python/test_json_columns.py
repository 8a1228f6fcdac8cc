"""Columns declared JSON or JSONB take what JSON has, and keep it as compact text (API sections 11.3 and 14)."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import laminardb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laminardb import codes


@pytest.fixture
def docs(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE TABLE d (id BIGINT, doc JSON)")
    return conn


def stored(conn: laminardb.Connection) -> list[Any]:
    return [doc for (doc,) in conn.sql("SELECT doc FROM d").fetchall()]


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Colour(enum.IntEnum):
    RED = 1


VALUES: list[Any] = [
    {},
    [],
    {"a": 1, "b": [True, None, {"c": 'ä"\\\n\u0001\u007f'}], "": -0.0},
    [1.5, 1e16, 1e-5, 1e15, 123456789.125, 0.1, 5e-324, -1.7976931348623157e308],
    (1, (2, 3)),
    [10**40, -(10**40), 2**63, 0],
    True,
    False,
    7,
    10**30,
    0.1,
    1e100,
    Colour.RED,
    [Colour.RED],
    [[[]], {"x": {"y": {}}}],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_what_json_has_is_kept_as_its_compact_text(docs: laminardb.Connection, value: Any) -> None:
    expected = compact(value)
    assert docs.insert("d", [{"id": 1, "doc": value}]) == 1
    assert docs.insert("d", {"id": [2], "doc": [value]}) == 1
    assert docs.insert("d", ({"id": 3, "doc": value} for _ in range(1))) == 1
    assert docs.insert_json("d", json.dumps([{"id": 4, "doc": value}])) == 1
    assert stored(docs)[:3] == [expected] * 3
    assert json.loads(stored(docs)[3]) == json.loads(expected)


def test_text_is_stored_as_it_is_and_none_is_null(docs: laminardb.Connection) -> None:
    text = ' {"a" : 1} '
    assert docs.insert("d", [{"doc": text}, {"doc": "no json"}, {"doc": None}, {"id": 1}]) == 4
    assert docs.insert_json("d", json.dumps([{"doc": text}, {"doc": None}])) == 2
    assert docs.insert_csv("d", 'doc\n"{""a"": [1, 2]}"\n""\n') == 2
    assert stored(docs) == [text, "no json", None, None, text, None, '{"a": [1, 2]}', ""]


def test_json_text_keeps_numbers_and_strings_as_they_are_written(docs: laminardb.Connection) -> None:
    text = '{"doc": { "n" : [1.0, 1e400, -0, 12345678901234567890123],\n "t" : "a \\u00e4\\" ,: b" }}'
    assert docs.insert_json("d", text) == 1
    assert stored(docs) == ['{"n":[1.0,1e400,-0,12345678901234567890123],"t":"a \\u00e4\\" ,: b"}']


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def ring() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


REFUSED: list[Any] = [
    [math.nan],
    math.inf,
    {"a": -math.inf},
    {1: 2},
    {None: 1},
    {"a": {(1,): 2}},
    decimal.Decimal("1.5"),
    {"a": decimal.Decimal("1.5")},
    dt.datetime(2024, 1, 1),
    [dt.date(2024, 1, 1)],
    [uuid.uuid4()],
    b"{}",
    [b""],
    {"a": {1, 2}},
    object(),
    ["\ud800"],
    {"\ud800": 1},
    deep(1000),
    ring(),
    10**5000,
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_what_json_lacks_is_refused(docs: laminardb.Connection, value: Any) -> None:
    for data in ([{"id": 1, "doc": value}], {"id": [1], "doc": [value]}, iter([{"doc": value}])):
        with pytest.raises(laminardb.IngestionError, match=r"'doc', row 0: .*( as JSON|nested too deeply)") as error:
            docs.insert("d", data)
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    assert stored(docs) == []


def test_nested_lists_up_to_a_depth(docs: laminardb.Connection) -> None:
    assert docs.insert("d", [{"doc": deep(200)}]) == 1
    assert json.loads(stored(docs)[0]) == deep(200)


def test_a_dict_is_columnar_only_if_all_values_are_lists_of_one_length(docs: laminardb.Connection) -> None:
    assert docs.insert("d", {"id": 1, "doc": [1, 2]}) == 1
    assert docs.insert("d", {"id": 2, "doc": {"a": [1]}}) == 1
    assert docs.insert("d", {"id": [3, 4], "doc": [[1], {"a": 2}]}) == 2
    assert docs.insert("d", {"doc": [5, 6]}) == 2
    assert stored(docs) == ["[1,2]", '{"a":[1]}', "[1]", '{"a":2}', "5", "6"]


def test_libraries(docs: laminardb.Connection, np: ModuleType, pa: ModuleType, pd: ModuleType, pl: ModuleType) -> None:
    values = [{"a": 1, "b": [1.5, None]}, {"a": None, "b": []}, None]
    expected = ['{"a":1,"b":[1.5,null]}', '{"a":null,"b":[]}', None]
    column = pa.array(values, pa.struct({"a": pa.int64(), "b": pa.list_(pa.float64())}))
    for data in (
        pa.table({"doc": column}),
        pl.DataFrame({"doc": pl.from_arrow(column)}),
        pd.DataFrame({"doc": pd.Series(values, dtype=object)}),
        pd.DataFrame({"doc": pd.Series(values, dtype=pd.ArrowDtype(column.type))}),
        {"doc": column},
        {"doc": pd.Series(values, dtype=object)},
    ):
        docs.execute("TRUNCATE TABLE d")
        assert docs.insert("d", data) == 3
        assert stored(docs) == expected, type(data)
    docs.execute("TRUNCATE TABLE d")
    docs.insert("d", {"doc": np.array([1, 2])})
    docs.insert("d", {"doc": np.array([0.5, 1e16], dtype="float32")})
    docs.insert("d", {"doc": np.array([[1, 2], [3, 4]])})
    docs.insert("d", pa.table({"doc": pa.array(["x", None]).dictionary_encode()}))
    docs.insert("d", [{"doc": np.float32(0.1)}, {"doc": [np.int8(3), np.float64(1)]}, {"doc": {"a": np.array([1])}}])
    docs.insert("d", pd.DataFrame({"doc": [float("nan"), True]}, dtype=object))
    assert stored(docs) == [
        *("1", "2", "0.5", "1e+16", "[1,2]", "[3,4]", "x", None, "0.1", "[3,1.0]", '{"a":[1]}', None, "true"),
    ]
    for wrong in (pa.array([dt.date(2024, 1, 1)]), pa.array([b"x"]), pa.array([math.inf]), pa.array([{"a": b""}])):
        with pytest.raises(laminardb.IngestionError, match="JSON") as error:
            docs.insert("d", pa.table({"doc": wrong}))
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH


def test_the_declaration_is_seen_and_the_schema_is_that_of_text(docs: laminardb.Connection, pa: ModuleType) -> None:
    docs.execute("CREATE SOURCE s (a JSONB NOT NULL, b VARCHAR, c JSON[])")
    docs.execute("CREATE MATERIALIZED VIEW v AS SELECT a FROM s")
    described = [row[:2] for row in docs.sql("DESCRIBE s").fetchall()]
    assert described == [("a", "JSON"), ("b", "VARCHAR"), ("c", "VARCHAR[]")]
    assert [row[:2] for row in docs.sql("DESCRIBE v").fetchall()] == [("a", "VARCHAR")]
    assert docs.schema("d") == pa.schema({"id": pa.int64(), "doc": pa.string()})
    assert docs.schema("d").field("doc").metadata is None
    for column in ("b", "c"):
        with pytest.raises(laminardb.IngestionError) as error:
            docs.insert("s", [{"a": {}, column: [{}]}])
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    with pytest.raises(laminardb.IngestionError) as error:
        docs.insert("s", [{"a": None}])
    assert error.value.code == codes.INGESTION_FAILED


def test_a_table_made_from_rows_has_columns_of_text(docs: laminardb.Connection) -> None:
    docs.execute("CREATE TABLE copy AS SELECT * FROM d")
    with pytest.raises(laminardb.IngestionError):
        docs.insert("copy", [{"doc": {}}])


def test_keys_updates_and_writers(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE d (id JSON PRIMARY KEY, doc JSON)")
    conn.insert("d", [{"id": {"a": 1}, "doc": 1}, {"id": "x", "doc": 2}])
    assert conn.update("d", [{"id": {"a": 1}, "doc": [3]}]) == 1
    conn.writer("d").insert([{"id": "x", "doc": {}}])
    assert stored(conn) == ["[3]", "{}"]
    assert conn.delete("d", [{"id": {"a": 1}}]) == 1
    assert stored(conn) == ["{}"]


def test_the_declaration_survives_a_restore(tmp_path: Path) -> None:
    config = laminardb.LaminarConfig(storage_dir=tmp_path, checkpoint_interval_ms=3_600_000)
    with laminardb.open(":memory:", config=config) as conn:
        conn.execute("CREATE TABLE d (id BIGINT, doc JSON)")
        conn.insert("d", [{"doc": {"a": 1}}])
        conn.execute("CHECKPOINT")
        conn.execute("DROP TABLE d")
        conn.execute("RESTORE FROM CHECKPOINT LATEST")
        assert [row[1] for row in conn.sql("DESCRIBE d").fetchall()] == ["BIGINT", "JSON"]
        conn.insert("d", [{"doc": {"a": 2}}])
        assert stored(conn) == ['{"a":1}', '{"a":2}']


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(JSON_VALUES, min_size=1, max_size=5))
def test_any_value_of_json_is_what_json_dumps_writes(docs: laminardb.Connection, values: list[Any]) -> None:
    docs.execute("TRUNCATE TABLE d")
    docs.insert("d", [{"doc": value} for value in values])
    expected = [value if value is None or isinstance(value, str) else compact(value) for value in values]
    assert stored(docs) == expected
    docs.execute("TRUNCATE TABLE d")
    ascii_only, spaced = (
        json.dumps([{"doc": value} for value in values], ensure_ascii=escaped) for escaped in (True, False)
    )
    docs.insert_json("d", spaced)
    assert stored(docs) == expected
    docs.execute("TRUNCATE TABLE d")
    docs.insert_json("d", ascii_only)
    assert len(stored(docs)) == len(values)
    for doc, text, value in zip(stored(docs), expected, values, strict=True):
        assert (json.loads(doc) if isinstance(value, (dict, list)) else doc) == (
            value if isinstance(value, (dict, list)) else text
        )


def test_statements_store_the_same_text(docs: laminardb.Connection) -> None:
    docs.execute("INSERT INTO d VALUES (1, {'a': [1, NULL]})")
    docs.execute("INSERT INTO d VALUES (2, '{\"a\": 1}')")
    docs.execute("INSERT INTO d SELECT 3, true")
    docs.execute("UPDATE d SET doc = [id] WHERE id = 3")
    assert stored(docs) == ['{"a":[1,null]}', '{"a": 1}', "[3]"]
    with pytest.raises(laminardb.QueryError, match="JSON"):
        docs.execute("INSERT INTO d SELECT 4, DATE '2024-01-01'")
