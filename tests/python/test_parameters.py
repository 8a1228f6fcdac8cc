"""Parameters: which Python values they are, as lists and structs too, and how a wrong one is named (API section 5.5)."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from types import ModuleType
from typing import Any

import laminardb
import pytest
from laminardb import codes

D = decimal.Decimal

CALLS: dict[str, Callable[[laminardb.Connection, str, Any], list[tuple[Any, ...]]]] = {
    "query": lambda conn, sql, params: conn.query(sql, params).fetchall(),
    "execute": lambda conn, sql, params: rows_of(conn.execute(sql, params)),
    "stream": lambda conn, sql, params: [row for batch in conn.stream(sql, params) for row in batch],
    "subscribe": lambda conn, sql, params: [row for row in conn.subscribe(sql, params=params).next() or ()],
    "view": lambda conn, sql, params: in_a_view(conn, sql, params),
}


def rows_of(result: laminardb.ExecuteResult) -> list[tuple[Any, ...]]:
    rows = result.to_query_result()
    assert rows is not None
    return rows.fetchall()


def in_a_view(conn: laminardb.Connection, sql: str, params: Any) -> list[tuple[Any, ...]]:
    conn.execute(f"CREATE OR REPLACE MATERIALIZED VIEW v AS {sql}", params)
    return conn.query("SELECT * FROM v").fetchall()


@pytest.fixture
def letters(conn: laminardb.Connection) -> laminardb.Connection:
    conn.create_table("t", {"i": "int64", "s": "string"})
    conn.insert("t", {"i": [1, 2, 3], "s": ["a", "b", "c"]})
    return conn


@pytest.mark.parametrize("call", CALLS)
def test_a_list_or_tuple_is_a_list_of_sql(letters: laminardb.Connection, call: str) -> None:
    for values in ([1, 3], (1, 3)):
        found = CALLS[call](letters, "SELECT s FROM t WHERE i = ANY(?)", [values])
        assert sorted(found) == [("a",), ("c",)]
        assert CALLS[call](letters, "SELECT ? AS l FROM t WHERE i = 1", [values]) == [([1, 3],)]


@pytest.mark.parametrize("call", CALLS)
def test_a_dict_is_a_struct(letters: laminardb.Connection, call: str) -> None:
    value = {"a": 1, "b": "x", "c": [1, None], "d": {"e": None}}
    assert CALLS[call](letters, "SELECT ? AS p FROM t WHERE i = 1", [value]) == [(value,)]
    assert CALLS[call](letters, "SELECT $p AS p FROM t WHERE i = 1", {"p": value}) == [(value,)]


@pytest.mark.parametrize("call", CALLS)
def test_numpy_values_are_their_values(letters: laminardb.Connection, np: ModuleType, call: str) -> None:
    values = [np.int8(3), np.float32(0.5), np.bool_(True), np.str_("x"), np.datetime64("2024-01-01"), np.array([1, 2])]
    found = CALLS[call](letters, "SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f FROM t WHERE i = 1", values)
    assert found == [(3, 0.5, True, "x", dt.datetime(2024, 1, 1), [1, 2])]


LISTS: list[tuple[Any, Any]] = [
    ([], []),
    ([None], [None]),
    ([1, None, 2.5], [1.0, None, 2.5]),
    ([1, 2**63], [D(1), D(2**63)]),
    ([D("1.5"), D("2.25"), 3], [D("1.50"), D("2.25"), D("3.00")]),
    ([D("1.5"), 0.25], [1.5, 0.25]),
    ([dt.date(2024, 1, 1), dt.datetime(2024, 1, 2, 3)], [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2, 3)]),
    ([[1], [], [2.5]], [[1.0], [], [2.5]]),
    ([{"a": 1}, {"b": "x"}, None], [{"a": 1, "b": None}, {"a": None, "b": "x"}, None]),
    ([{"a": 1}, {"a": 0.5}], [{"a": 1.0}, {"a": 0.5}]),
]


@pytest.mark.parametrize(("values", "back"), LISTS, ids=lambda case: str(case)[:30])
def test_the_values_of_a_list_have_a_type_in_common(conn: laminardb.Connection, values: Any, back: Any) -> None:
    for given in (values, tuple(values)):
        assert conn.sql("SELECT ? AS l", [given]).fetchall() == [(back,)]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def endless() -> tuple[list[Any], dict[str, Any]]:
    values: list[Any] = []
    values.append(values)
    members: dict[str, Any] = {}
    members["a"] = members
    return values, members


REFUSED: list[tuple[Any, str]] = [
    ([1, "a"], "a list holds values of one type, not BIGINT and VARCHAR"),
    ([True, 1], "not BOOLEAN and BIGINT"),
    ([[1], ["a"]], "not BIGINT[] and VARCHAR[]"),
    ([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], "a list holds values of one type"),
    ([2**60 + 1, 0.5], "cannot be stored as DOUBLE[]"),
    ({}, "an empty dict"),
    ({1: 2}, "must be strings"),
    ({"a": object()}, "class object"),
    ([object()], "class object"),
    (dt.timedelta(1), "class timedelta"),
    ({1, 2}, "class set"),
    (range(3), "class range"),
    (10**40, "class int"),
    (nested(1000), "nested too deeply (limit 32)"),
    (endless()[0], "nested too deeply (limit 32)"),
    (endless()[1], "nested too deeply (limit 32)"),
]


@pytest.mark.parametrize(("value", "text"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_value_of_sql(conn: laminardb.Connection, value: Any, text: str) -> None:
    for params, name in (([1, value], "parameter 2: "), ({"a": 1, "v": value}, "parameter $v: ")):
        for call in (conn.query, conn.execute, conn.stream, conn.explain):
            with pytest.raises(laminardb.QueryError) as error:
                call("SELECT $1, $2", params)
            assert error.value.code == codes.QUERY_FAILED
            assert name in str(error.value)
            assert text in str(error.value)


def test_values_of_inserts(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (l BIGINT[], s STRUCT(a BIGINT, b VARCHAR), i INTEGER)")
    conn.execute("INSERT INTO t VALUES (?, ?, ?)", [(1, 2), {"a": 1, "b": "x"}, 3])
    conn.execute("INSERT INTO t VALUES ($l, $s, $i)", {"l": [], "s": {"b": None, "a": 2}, "i": None})
    conn.execute("INSERT INTO t VALUES (?, ?, ?)", [None, None, 4])
    assert conn.sql("SELECT * FROM t ORDER BY i").fetchall() == [
        ([1, 2], {"a": 1, "b": "x"}, 3),
        (None, None, 4),
        ([], {"a": 2, "b": None}, None),
    ]


@pytest.mark.parametrize(
    ("sql", "params", "text"),
    [
        ("SELECT * FROM t WHERE i BETWEEN ? ?", [1, 2], "found ? at line 1, column 35"),
        ("SELECT ? FROM ?", [1, 2], "found ? at line 1, column 15"),
        ("SELECT i ? 3 FROM t", [1], "found ? at line 1, column 10"),
        ("SELECT 1 $1", [1], "found $1 at line 1, column 10"),
        ("SELECT i FROM t ORDER BY i $x", {"x": 1}, "found $x at line 1, column 28"),
    ],
)
def test_a_syntax_error_names_what_was_written(letters: laminardb.Connection, sql: str, params: Any, text: str) -> None:
    with pytest.raises(laminardb.QueryError) as error:
        letters.query(sql, params)
    assert error.value.code == codes.SQL_PARSE_ERROR
    assert text in str(error.value)
