"""Intervals that are equally long are equal, wherever rows are compared: against DuckDB, run once and as views."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import laminardb
import pytest

TEXTS = [
    "1 month",
    "30 days",
    "29 days 24 hours",
    "1 day",
    "24 hours",
    "36 hours",
    "1 day 12 hours",
    "-1 day",
    "-24 hours",
    "0 days",
    "61 days",
    "2 months",
    "-1 month",
    "-30 days",
    "5 microseconds",
]
IV = "CAST(s AS INTERVAL)"
A = "CAST(a.s AS INTERVAL)"
B = "CAST(b.s AS INTERVAL)"

QUERIES = {
    "grouped": f"SELECT {IV} AS i, count(*) AS n FROM t GROUP BY {IV}",
    "distinct": f"SELECT DISTINCT {IV} AS i FROM t",
    "least, greatest, counted": f"SELECT min({IV}) AS i, max({IV}) AS j, count(DISTINCT {IV}) AS n FROM t",
    "least of distinct": f"SELECT k % 3 AS g, min(DISTINCT {IV}) AS i, max(DISTINCT {IV}) AS j FROM t GROUP BY k % 3",
    "first by order": f"SELECT k, {IV} AS i FROM t ORDER BY {IV} NULLS LAST, k LIMIT 9",
    "first by descending order": f"SELECT k, {IV} AS i FROM t ORDER BY i DESC NULLS LAST, k LIMIT 5",
    "joined by equality": f"SELECT a.k, b.k AS j FROM t a JOIN t b ON {A} = {B}",
    "joined by order": f"SELECT a.k, b.k AS j FROM t a JOIN t b ON {A} < {B}",
    "joined, NULLs equal": f"SELECT a.k, b.k AS j FROM t a LEFT JOIN t b ON {A} IS NOT DISTINCT FROM {B}",
    "=": f"SELECT k FROM t WHERE {IV} = INTERVAL '1 month'",
    "<>": f"SELECT k FROM t WHERE {IV} <> INTERVAL '24 hours'",
    "<": f"SELECT k FROM t WHERE {IV} < INTERVAL '1 month'",
    "IN": f"SELECT k FROM t WHERE {IV} IN (INTERVAL '1 month', INTERVAL '24 hours')",
    "NOT IN": f"SELECT k FROM t WHERE {IV} NOT IN (INTERVAL '1 month', INTERVAL '24 hours')",
    "IN a subquery": f"SELECT k FROM t WHERE {IV} IN (SELECT {IV} FROM t WHERE k > 10)",
    "BETWEEN": f"SELECT k FROM t WHERE {IV} BETWEEN INTERVAL '-24 hours' AND INTERVAL '31 days'",
    "IS DISTINCT FROM": f"SELECT k FROM t WHERE {IV} IS DISTINCT FROM INTERVAL '30 days'",
    "EXCEPT": f"SELECT {IV} AS i FROM t EXCEPT SELECT INTERVAL '30 days' AS i",
    "EXCEPT ALL": f"SELECT {IV} AS i FROM t EXCEPT ALL SELECT INTERVAL '30 days' AS i",
    "INTERSECT": f"SELECT {IV} AS i FROM t INTERSECT SELECT INTERVAL '30 days' AS i",
    "UNION": f"SELECT {IV} AS i FROM t UNION SELECT INTERVAL '30 days' AS i",
    "nullif": f"SELECT k, nullif({IV}, INTERVAL '24 hours') AS n FROM t",
    "CASE": f"SELECT k, CASE {IV} WHEN INTERVAL '30 days' THEN 'm' WHEN INTERVAL '24 hours' THEN 'd' END AS c FROM t",
    "HAVING": f"SELECT {IV} AS i, count(*) AS n FROM t GROUP BY {IV} HAVING {IV} = INTERVAL '720 hours'",
    "FILTER": f"SELECT count(*) FILTER (WHERE {IV} > INTERVAL '1 day') AS n FROM t",
    "differences of times": f"SELECT k FROM t WHERE TIMESTAMP '2024-01-02 12:00' - TIMESTAMP '2024-01-01' > {IV}",
    "an equal difference": f"SELECT k FROM t WHERE TIMESTAMP '2024-01-02 12:00' - TIMESTAMP '2024-01-01' = {IV}",
    "a difference in a list": "SELECT k FROM t WHERE TIMESTAMP '2024-01-31' - TIMESTAMP '2024-01-01' "
    f"IN ({IV}, INTERVAL '1 year')",
    # A date plus 30 days is not the same date plus 1 month, though the two intervals are equal.
    "carried through a join": f"SELECT a.k, TIMESTAMP '2024-02-01' + {A} AS e FROM t a JOIN t b ON a.k = b.k",
    "carried through a top-k": "SELECT k, TIMESTAMP '2024-02-01' + i AS e FROM "
    f"(SELECT k, {IV} AS i FROM t ORDER BY k LIMIT 6) q",
    "the least is what it was": f"SELECT k, TIMESTAMP '2024-02-01' + min({IV}) AS e FROM t GROUP BY k",
}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[laminardb.Connection, duckdb.DuckDBPyConnection]]:
    ours, theirs = laminardb.open(":memory:"), duckdb.connect()
    for connection in (ours, theirs):
        connection.execute("CREATE TABLE t (k BIGINT PRIMARY KEY, s VARCHAR)")
    for number, query in enumerate(QUERIES.values()):
        ours.execute(f"CREATE MATERIALIZED VIEW v{number} AS {query}")
    for statement in (
        "INSERT INTO t VALUES " + ", ".join(f"({k}, '{text}')" for k, text in enumerate(TEXTS)),
        "INSERT INTO t VALUES (20, NULL), (21, '1 day'), (22, '2 days')",
        "DELETE FROM t WHERE k IN (1, 4, 22)",
    ):
        ours.execute(statement)
        theirs.execute(statement)
    yield ours, theirs
    ours.close()


def compared(value: Any) -> Any:
    """An interval by its length."""
    if isinstance(value, datetime.timedelta):
        return value / datetime.timedelta(microseconds=1)
    if isinstance(value, tuple):
        months, days, nanoseconds = value
        return (months * 30 + days) * 86_400_000_000 + nanoseconds / 1000
    return value


def rows(result: Any) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(compared(value) for value in row) for row in result.fetchall())


@pytest.mark.parametrize("name", QUERIES)
def test_a_month_is_30_days_and_a_day_24_hours(both: Any, name: str) -> None:
    ours, theirs = both
    expected = rows(theirs.execute(QUERIES[name]))
    assert rows(ours.sql(QUERIES[name])) == expected
    assert rows(ours.sql(f"SELECT * FROM v{list(QUERIES).index(name)}")) == expected


def test_the_longest_intervals_do_not_overflow() -> None:
    longest = "178956970 years 7 months 2147483647 days 2562047:47:16"
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE t (k BIGINT, s VARCHAR)")
        conn.execute(f"CREATE MATERIALIZED VIEW v AS SELECT DISTINCT {IV} AS i, {IV} > INTERVAL '1 day' AS g FROM t")
        conn.execute(f"INSERT INTO t VALUES (1, '{longest}'), (2, '{longest}'), (3, '{longest} ago')")
        for query in (f"SELECT DISTINCT {IV} AS i, {IV} > INTERVAL '1 day' AS g FROM t", "SELECT * FROM v"):
            assert Counter(row[1] for row in conn.sql(query).fetchall()) == Counter({True: 1, False: 1})
