"""GROUPING SETS, ROLLUP, CUBE and grouping(): as views under change and run once, against DuckDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import duckdb
import laminardb
import pytest

TABLE = "CREATE TABLE t (id BIGINT PRIMARY KEY, a BIGINT, b VARCHAR, v BIGINT)"
STEPS = [
    "",
    "INSERT INTO t VALUES (1, 1, 'x', 5), (2, 1, NULL, 6), (3, NULL, 'x', 7), (4, 2, 'y', NULL), (5, 2, 'y', 9)",
    "UPDATE t SET a = 2, b = NULL WHERE id = 1",
    "DELETE FROM t WHERE b = 'y'",
    "DELETE FROM t",
    "INSERT INTO t VALUES (6, NULL, NULL, NULL)",
]
QUERIES = [
    "SELECT a, count(*) AS n FROM t GROUP BY ROLLUP (a)",
    "SELECT a FROM t GROUP BY ROLLUP (a)",
    "SELECT 1 AS one FROM t GROUP BY GROUPING SETS (())",
    "SELECT count(*) AS n FROM t GROUP BY GROUPING SETS ((), ())",
    "SELECT a, b, sum(v) AS s, count(v) AS c, max(b) AS hi, grouping(a, b) AS g FROM t GROUP BY CUBE (a, b)",
    "SELECT a, sum(a) AS s, count(a) AS c FROM t GROUP BY ROLLUP (a)",
    "SELECT a, b, sum(v) AS s FROM t GROUP BY a, ROLLUP (b)",
    "SELECT a, b, v, count(*) AS n FROM t GROUP BY ROLLUP (a, b), CUBE (v)",
    "SELECT a, sum(v) AS s FROM t GROUP BY GROUPING SETS ((a), (a), ())",
    "SELECT a, b, sum(v) AS s FROM t GROUP BY ROLLUP ((a, b), a)",
    "SELECT a, count(*) AS n FROM t GROUP BY ROLLUP (a, a)",
    "SELECT a + 1 AS x, sum(v) AS s FROM t GROUP BY ROLLUP (x)",
    "SELECT a + 1 AS x, b, sum(v) AS s FROM t GROUP BY CUBE (1, 2)",
    "SELECT a % 2 AS x, length(b) AS l, count(DISTINCT v) AS s FROM t GROUP BY GROUPING SETS ((a % 2), (length(b)))",
    "SELECT a, a + 1 AS b, coalesce(a, 0) AS c, CASE WHEN grouping(a) = 1 THEN 'all' END AS d FROM t GROUP BY CUBE (a)",
    "SELECT a FROM t GROUP BY ROLLUP (a) HAVING grouping(a) = 1 OR count(*) > 1",
    "SELECT a, grouping(a) AS g FROM t GROUP BY a",
    "SELECT a, sum(v) FILTER (WHERE b = 'x') AS s, avg(DISTINCT v) AS m FROM t WHERE v > 5 GROUP BY ROLLUP (a)",
    "SELECT a, n FROM (SELECT a, b, count(*) AS n FROM t GROUP BY CUBE (a, b)) q WHERE b IS NULL",
    "SELECT n, count(*) AS m FROM (SELECT a, count(*) AS n FROM t GROUP BY ROLLUP (a)) q GROUP BY ROLLUP (n)",
    "SELECT x.a, y.b, count(*) AS n FROM t x JOIN t y ON x.a = y.a GROUP BY ROLLUP (x.a, y.b)",
    "WITH q AS (SELECT a, b, sum(v) AS s FROM t GROUP BY CUBE (a, b)) SELECT x.a, y.b FROM q x JOIN q y ON x.s = y.s",
    "SELECT id, (SELECT count(*) FROM t y GROUP BY ROLLUP (y.a) HAVING grouping(y.a) = 1 LIMIT 1) AS n FROM t",
    "SELECT id FROM t x WHERE EXISTS (SELECT 1 FROM t y WHERE y.v > x.v GROUP BY ROLLUP (y.a) HAVING count(*) > 1)",
    "SELECT a, count(*) AS n FROM t GROUP BY ROLLUP (a) UNION ALL SELECT id, v FROM t",
    "SELECT a, b, sum(v) AS s FROM t GROUP BY CUBE (a, b) ORDER BY s DESC NULLS LAST, a NULLS LAST, b NULLS LAST LIMIT 3",
    "SELECT DISTINCT b FROM t GROUP BY CUBE (a, b)",
]
REFUSED = {
    "SELECT a, grouping(b) AS g FROM t GROUP BY ROLLUP (a)": "an argument of grouping() is not a key of GROUP BY",
    "SELECT a FROM t GROUP BY ROLLUP (2)": "GROUP BY position 2 is not in the SELECT list",
    "SELECT a FROM t GROUP BY ROLLUP (0)": "GROUP BY position 0 is not in the SELECT list",
    "SELECT a FROM t GROUP BY CUBE (a, a, a, a, a, a, a, a, a, a, a, a, a)": "more than 4096 grouping sets",
    "SELECT a FROM t GROUP BY CUBE (a, b, v), CUBE (a, b, v), CUBE (a, b, v), CUBE (a, b, v), CUBE (a)": "more than 4096",
}


@pytest.fixture(params=[1, 2])
def conn(request: pytest.FixtureRequest) -> Iterator[laminardb.Connection]:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=request.param)) as conn:
        conn.execute(TABLE)
        yield conn


def test_views_and_queries_have_the_rows_of_the_other_database(conn: laminardb.Connection) -> None:
    duck = duckdb.connect()
    duck.execute(TABLE)
    for number, query in enumerate(QUERIES):
        conn.execute(f"CREATE MATERIALIZED VIEW v{number} AS {query}")
    for step in STEPS:
        if step:
            conn.execute(step)
            duck.execute(step)
        conn.wait()
        for number, query in enumerate(QUERIES):
            expected = Counter(duck.execute(query).fetchall())
            assert Counter(conn.query(f"SELECT * FROM v{number}").fetchall()) == expected, f"{query} after {step}"
            assert Counter(conn.query(query).fetchall()) == expected, f"{query} run after {step}"


def test_changes_of_a_cube_add_up_to_its_rows(conn: laminardb.Connection) -> None:
    query = "SELECT a, b, sum(v) AS s, grouping(a, b) AS g FROM t GROUP BY CUBE (a, b)"
    conn.execute(f"CREATE MATERIALIZED VIEW v AS {query}")
    held: Counter[tuple[object, ...]] = Counter()
    with conn.subscribe("SELECT * FROM v") as changes:
        for step in filter(None, STEPS):
            conn.execute(step)
            conn.wait()
            while (batch := changes.try_next()) is not None:
                for kind, row in zip(batch.ops, batch, strict=True):
                    held[tuple(row)] += 1 if kind in ("Insert", "UpdateInsert") else -1
            there = {row: count for row, count in held.items() if count != 0}
            assert there == Counter(conn.query(query).fetchall()), step


@pytest.mark.parametrize("query", REFUSED)
def test_what_cannot_be_is_refused(conn: laminardb.Connection, query: str) -> None:
    for sql in (query, f"CREATE MATERIALIZED VIEW v AS {query}"):
        with pytest.raises(laminardb.LaminarError) as refused:
            conn.execute(sql)
        assert REFUSED[query] in str(refused.value)


def test_the_input_of_the_sets_is_planned_once(conn: laminardb.Connection) -> None:
    query = "SELECT x.a, count(*) AS n FROM t x JOIN t y ON x.a = y.id GROUP BY CUBE (x.a, x.b, y.b)"
    assert conn.explain(query).count("Join") == 1
