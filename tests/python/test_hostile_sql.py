"""Statements that nobody would write by hand: an answer or one of our errors that says what is wrong, and nothing else.

Not: code 900, a panic, the end of the process, or a call without an end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import laminardb
import pytest
from laminardb import _laminardb, codes

# An expression of each type over the columns of `t`, and one that is NULL.
TYPED = {
    "BOOLEAN": "b",
    "TINYINT": "CAST(x AS TINYINT)",
    "BIGINT": "x",
    "UBIGINT": "CAST(x AS UBIGINT)",
    "REAL": "CAST(x AS REAL)",
    "DOUBLE": "CAST(x AS DOUBLE)",
    "DECIMAL": "CAST(x AS DECIMAL(38,9))",
    "VARCHAR": "s",
    "BLOB": "CAST(s AS BLOB)",
    "DATE": "d",
    "TIME": "CAST(ts AS TIME)",
    "TIMESTAMP": "ts",
    "TIMESTAMP(9)": "CAST(ts AS TIMESTAMP(9))",
    "TIMESTAMPTZ": "CAST(ts AS TIMESTAMPTZ)",
    "INTERVAL": "CAST(s || ' day' AS INTERVAL)",
    "DURATION": "ts - CAST(d AS TIMESTAMP)",
    "LIST": "[x, v]",
    "LIST OF LISTS": "[[x], [v]]",
    "LIST OF STRUCTS": "[{a: x}]",
    "STRUCT": "{a: x, b: s}",
    "ROW": "row(x, s)",
    "MAP": "map([s], [x])",
    "EMPTY LIST": "[]",
    "NULL": "NULL",
}

# A query for each clause that takes an expression of any type.
CLAUSES = {
    "DISTINCT": "SELECT DISTINCT {} AS a FROM t",
    "DISTINCT ON": "SELECT DISTINCT ON ({}) x FROM t ORDER BY {}",
    "GROUP BY": "SELECT {} AS a, count(*) FROM t GROUP BY {}",
    "GROUP BY ALL": "SELECT {} AS a, count(*) FROM t GROUP BY ALL",
    "ORDER BY": "SELECT {} AS a FROM t ORDER BY a",
    "LIMIT": "SELECT x FROM t ORDER BY {} LIMIT 1",
    "top k": "SELECT {} AS a FROM t ORDER BY a DESC LIMIT 1 OFFSET 1",
    "UNION": "SELECT {} AS a FROM t UNION SELECT {} FROM u",
    "UNION ALL": "SELECT {} AS a FROM t UNION ALL SELECT {} FROM u",
    "EXCEPT": "SELECT {} AS a FROM t EXCEPT SELECT {} FROM u",
    "EXCEPT ALL": "SELECT {} AS a FROM t EXCEPT ALL SELECT {} FROM u",
    "INTERSECT": "SELECT {} AS a FROM t INTERSECT SELECT {} FROM u",
    "IN": "SELECT x FROM t WHERE {} IN ({}, NULL)",
    "IN (SELECT)": "SELECT x FROM t WHERE {} IN (SELECT {} FROM u)",
    "NOT IN (SELECT)": "SELECT x FROM t WHERE {} NOT IN (SELECT {} FROM u)",
    "ANY": "SELECT x FROM t WHERE {} = ANY (SELECT {} FROM u)",
    "scalar subquery": "SELECT (SELECT max({}) FROM u) AS a FROM t",
    "correlated": "SELECT (SELECT count(*) FROM u AS o WHERE o.x = t.x AND {} IS NOT NULL) AS a FROM t",
    "JOIN": "SELECT l.a FROM (SELECT {} AS a FROM t) l JOIN (SELECT {} AS a FROM u) r ON l.a = r.a",
    "LEFT JOIN": "SELECT l.a, r.a FROM (SELECT {} AS a FROM t) l LEFT JOIN (SELECT {} AS a FROM u) r ON l.a = r.a",
    "FULL JOIN": "SELECT l.a, r.a FROM (SELECT {} AS a FROM t) l FULL JOIN (SELECT {} AS a FROM u) r ON l.a < r.a",
    "CASE": "SELECT CASE {} WHEN {} THEN {} ELSE {} END AS a FROM t",
    "coalesce": "SELECT coalesce({}, {}) AS a FROM t",
    "comparison": "SELECT {} < {} AS a, {} IS NOT DISTINCT FROM {} AS b FROM t",
    "BETWEEN": "SELECT {} BETWEEN {} AND {} AS a FROM t",
    "VALUES": "SELECT * FROM t, (VALUES (1)) AS o(n) WHERE {} IS NOT NULL",
    "count DISTINCT": "SELECT count(DISTINCT {}) AS a FROM t GROUP BY v",
    "aggregate ORDER BY": "SELECT array_agg(x ORDER BY {}) AS a FROM t",
    "array_agg DISTINCT": "SELECT array_agg(DISTINCT {}) AS a FROM t",
    "min and max": "SELECT min({}) AS a, max({}) AS b FROM t GROUP BY v",
    "first_value": "SELECT first_value({} ORDER BY x) AS a, last_value({} ORDER BY x) AS b FROM t",
    "PARTITION BY": "SELECT row_number() OVER (PARTITION BY {} ORDER BY {}, x) AS a FROM t",
    "lag": "SELECT lag({}) OVER (ORDER BY x) AS a, first_value({}) OVER (ORDER BY x) AS b FROM t",
    "QUALIFY": "SELECT {} AS a FROM t QUALIFY row_number() OVER (PARTITION BY v ORDER BY {}) = 1",
    "to text": "SELECT CAST({} AS VARCHAR) AS a, {} || 'x' AS b FROM t",
    "list of it": "SELECT [{}, {}] AS a, {{a: {}}} AS b FROM t",
    "UNNEST": "SELECT unnest([{}]) AS a FROM t",
}

# A statement for each place of a condition.
CONDITIONS = {
    "WHERE": "SELECT x FROM t WHERE {}",
    "HAVING": "SELECT v FROM t GROUP BY v HAVING min({})",
    "HAVING of a constant": "SELECT count(*) FROM t HAVING {}",
    "ON": "SELECT 1 FROM t JOIN u AS o ON {}",
    "ON of an outer join": "SELECT 1 FROM t LEFT JOIN u AS o ON o.x = t.x AND {}",
    "FILTER": "SELECT count(*) FILTER (WHERE {}) FROM t",
    "CASE": "SELECT CASE WHEN {} THEN 1 END FROM t",
    "AND": "SELECT x FROM t WHERE {} AND {}",
    "NOT": "SELECT NOT {} FROM t",
    "IS TRUE": "SELECT {} IS TRUE FROM t",
    "UPDATE": "UPDATE t SET v = 2 WHERE {}",
    "DELETE": "DELETE FROM t WHERE {}",
    "ON CONFLICT": "INSERT INTO t (x, v) VALUES (1, 2) ON CONFLICT (x) DO UPDATE SET v = 2 WHERE {}",
    "QUALIFY": "SELECT x FROM t QUALIFY {} AND row_number() OVER (ORDER BY x) > 0",
    "EXISTS": "SELECT x FROM t WHERE EXISTS (SELECT 1 FROM u WHERE {})",
}

CONSTANTS = ["1", "2", "0", "-1", "NULL", "'a'", "1.5", "true", "1 + 0", "[1]", "DATE '2020-01-01'", "now()", "?"]

# A query for each place where a constant could be a position or a number of rows.
PLACES_OF_CONSTANTS = [
    "SELECT 1 AS a{from_} GROUP BY {}",
    "SELECT count(*){from_} GROUP BY {}",
    "SELECT 1 AS a{from_} ORDER BY {}",
    "SELECT DISTINCT 1 AS a{from_} ORDER BY {}",
    "SELECT DISTINCT ON ({}) 1 AS a{from_}",
    "SELECT DISTINCT ON ({}) 1 AS a, 2 AS b, 3 AS c{from_} ORDER BY {}",
    "SELECT DISTINCT ON ({}, {}) count(*) AS a{from_}",
    "SELECT 1 AS a{from_} LIMIT {}",
    "SELECT 1 AS a{from_} OFFSET {}",
    "SELECT 1 AS a{from_} LIMIT {} OFFSET {}",
    "SELECT count(*) AS a{from_} HAVING {} = 1",
    "SELECT 1 AS a{from_} WHERE {} = 1",
    "SELECT row_number() OVER (PARTITION BY {} ORDER BY {}) AS a{from_}",
    "SELECT sum({}) OVER () AS a{from_}",
    "SELECT array_agg({} ORDER BY {}) AS a{from_}",
    "SELECT {} AS a{from_} UNION ALL SELECT {} ORDER BY {}",
    "SELECT {} AS a{from_} UNION SELECT NULL",
    "SELECT {} AS a{from_} EXCEPT SELECT NULL",
    "VALUES ({}), ({}) ORDER BY {} LIMIT {}",
]


def opened() -> laminardb.Connection:
    """A database with rows in `t` and `u`; some of `t` are NULL but for the key."""
    conn = laminardb.open(":memory:")
    for table in "tu":
        conn.execute(
            f"CREATE TABLE {table} (x BIGINT PRIMARY KEY, v BIGINT, b BOOLEAN, s VARCHAR, d DATE, ts TIMESTAMP)"
        )
        conn.execute(
            f"INSERT INTO {table} VALUES (1, 2, true, '1', DATE '2020-01-01', TIMESTAMP '2020-01-01 01:00:00'),"
            " (2, 2, false, '2', DATE '2020-01-02', TIMESTAMP '2020-01-02 01:00:00')"
        )
    conn.execute("INSERT INTO t (x) VALUES (3), (4)")
    return conn


def in_view(conn: laminardb.Connection, query: str) -> None:
    """Maintains the query, changes what it reads, and reads it, with failing rows left out."""
    conn.execute(f"CREATE OR REPLACE MATERIALIZED VIEW w AS {query} WITH ('on_error' = 'skip')")
    conn.execute("UPDATE t SET v = v + 1 WHERE x = 1")
    conn.query("SELECT * FROM w")


def faults(statements: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> list[str]:
    """Runs statements as queries and as views; returns those that end in no error that a statement may end in."""
    found, answered, conn = [], 0, opened()
    for form, statement in statements:
        try:
            if form == "view":
                in_view(conn, statement)
            elif form == "once":
                conn.query(statement)
            else:
                conn.execute(statement)
        except laminardb.LaminarError as error:
            if (
                error.code in (codes.INTERNAL_ERROR, codes.SHUTDOWN)
                or "panic" in str(error)
                or "index out" in str(error)
            ):
                found.append(f"{form} {statement}: {error}")
                conn.close()
                conn = opened()
        except BaseException as error:
            found.append(f"{form} {statement}: {type(error).__name__} {error}")
            conn.close()
            conn = opened()
        else:
            answered += 1
    conn.close()
    # Statements that nothing accepts would show nothing.
    assert answered > 0
    return found


@pytest.mark.parametrize("clause", CLAUSES)
def test_a_clause_takes_or_refuses_every_type(clause: str) -> None:
    queries = [CLAUSES[clause].replace("{}", typed).replace("{{", "{").replace("}}", "}") for typed in TYPED.values()]
    assert faults(list(itertools.product(["once", "view"], queries))) == []


@pytest.mark.parametrize("place", CONDITIONS)
def test_a_condition_of_any_type_is_taken_or_refused(place: str) -> None:
    statements = [
        CONDITIONS[place].replace("{}", typed) for typed in [*TYPED.values(), "v", "x + v", "true", "1", "'a'"]
    ]
    forms = ["statement", "view"] if CONDITIONS[place].startswith("SELECT") else ["statement"]
    assert faults(list(itertools.product(forms, statements))) == []


@pytest.mark.parametrize("place", PLACES_OF_CONSTANTS)
def test_a_constant_stands_anywhere_with_and_without_from(place: str) -> None:
    queries = [
        place.replace("{from_}", from_).replace("{}", constant) for constant in CONSTANTS for from_ in ("", " FROM t")
    ]
    assert faults(list(itertools.product(["once", "view"], queries))) == []


def test_distinct_on_without_from_panicked() -> None:
    conn = opened()
    conn.execute("CREATE MATERIALIZED VIEW w AS SELECT DISTINCT ON (1) 1 AS a, 2 AS b")
    assert conn.query("SELECT * FROM w").fetchall() == [(1, 2)]
    conn.execute("CREATE MATERIALIZED VIEW wide AS SELECT DISTINCT ON (v) v, v + 1, v + 2, v + 3 FROM u")
    assert conn.query("SELECT * FROM wide").fetchall() == [(2, 3, 4, 5)]


def test_a_null_of_a_division_stands_in_a_union_of_constants() -> None:
    conn = opened()
    for union, rows in (("UNION ALL", [(None,), (1,)]), ("UNION", [(None,), (1,)]), ("EXCEPT", [(None,)])):
        query = f"SELECT 1 + 1 / 0 AS answer {union} SELECT 1"
        assert sorted(conn.query(query).fetchall(), key=str, reverse=True) == rows
        conn.execute(f"CREATE OR REPLACE MATERIALIZED VIEW w AS {query}")
        assert sorted(conn.query("SELECT * FROM w").fetchall(), key=str, reverse=True) == rows
    for failing in ("CAST('a' AS BIGINT)", "abs(CAST('-9223372036854775808' AS BIGINT))", "9223372036854775807 + 1"):
        for query in (f"SELECT {failing} AS a UNION ALL SELECT 1", f"SELECT 1 AS a UNION SELECT {failing}"):
            with pytest.raises(laminardb.QueryError) as error:
                conn.query(query)
            assert error.value.code == codes.QUERY_FAILED


@pytest.mark.parametrize("kind", ["scalar", "aggregate", "window"])
def test_every_function_with_up_to_three_arguments_of_every_type(kind: str) -> None:
    assert faults(calls(kind)) == []


def calls(kind: str) -> Iterator[tuple[str, str]]:
    """Each function with no argument, and with up to three whose types go round."""
    types = list(TYPED.values())
    for nth, name in enumerate(_laminardb._functions()[kind]):
        # The neighbours of a function, which are much like it, get the types that it does not get.
        share = 1 if kind == "window" else 3
        lists: list[list[str]] = [[], *([one] for one in types[nth % share :: share])]
        # Over all functions each pair of types comes up, and each function gets some of them.
        for turn in range(2):
            place = nth * 7 + turn * 5
            lists.append([types[place % len(types)], types[(place // len(types) + turn) % len(types)]])
            lists.append([types[(place + step * (turn + 1)) % len(types)] for step in range(3)])
        over = " OVER (ORDER BY x)" if kind == "window" else ""
        for at, args in enumerate(lists):
            call = f'SELECT "{name}"({", ".join(args)}){over} AS a FROM t'
            yield "once", call
            if at % 4 == nth % 4:
                yield "view", call
        if kind == "aggregate":
            for at, one in enumerate(types):
                if at % 3 == nth % 3:
                    yield "once", f'SELECT "{name}"(DISTINCT {one}) AS a FROM t GROUP BY v'
                    yield "view", f'SELECT "{name}"(DISTINCT {one}) FILTER (WHERE b) AS a FROM t GROUP BY v'
