"""Tests that a statement of moderate length is planned soon, whatever it repeats, and that its answer stays right."""

import _thread
import signal
import threading
from collections.abc import Iterator

import duckdb
import laminardb
import pytest


@pytest.fixture
def conn() -> Iterator[laminardb.Connection]:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE t (k BIGINT PRIMARY KEY, a BIGINT, b BIGINT)")
        conn.execute(ROWS)
        yield conn


ROWS = "INSERT INTO t VALUES (1, 2, 5), (2, 1, 3), (3, 3, 4), (4, 2, 1), (5, 4, 9), (6, 1, NULL)"


def doubled(name: str, count: int, join: str = "x.k = y.k") -> str:
    """WITH queries, each of which joins the one before with itself, and the name of the last."""
    first = f"WITH {name}0 AS (SELECT k, a, b FROM t)"
    others = (
        f"{name}{at} AS (SELECT x.k, y.a, x.b FROM {name}{at - 1} x JOIN {name}{at - 1} y ON {join})"
        for at in range(1, count + 1)
    )
    return ", ".join([first, *others])


def subqueries(count: int) -> str:
    return ", ".join(f"(SELECT max(u.b) FROM t u WHERE u.a = x.a AND u.b > x.b - {at}) AS m{at}" for at in range(count))


def duckdb_rows(sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as other:
        other.execute("CREATE TABLE t (k BIGINT PRIMARY KEY, a BIGINT, b BIGINT)")
        other.execute(ROWS)
        return sorted(other.sql(sql).fetchall(), key=repr)


def check(conn: laminardb.Connection, sql: str) -> None:
    """Compares a query, and a view of it that is made before a change, with DuckDB."""
    wanted = duckdb_rows(sql)
    assert sorted(conn.query(sql).fetchall(), key=repr) == wanted
    conn.execute(f"CREATE MATERIALIZED VIEW checked AS {sql}")
    conn.execute("DELETE FROM t WHERE k = 3")
    conn.execute("INSERT INTO t VALUES (3, 3, 4)")
    assert sorted(conn.query("SELECT * FROM checked").fetchall(), key=repr) == wanted
    conn.execute("DROP MATERIALIZED VIEW checked")


QUERIES = {
    "with queries joined with themselves": f"{doubled('c', 9)} SELECT k, a FROM c9 WHERE k > 1",
    "read under two conditions": f"{doubled('c', 9)} SELECT p.k, q.a FROM c9 p JOIN c9 q ON p.k = q.a WHERE p.b > 3",
    "grouped above": f"{doubled('c', 9)} SELECT p.a, count(*), sum(q.b) FROM c9 p JOIN c9 q ON p.a = q.a GROUP BY p.a",
    "in a subquery": f"{doubled('c', 9)} SELECT k FROM c9 WHERE EXISTS (SELECT 1 FROM c9 z WHERE z.a = c9.k)",
    "in a union": f"{doubled('c', 9)} SELECT k, a FROM c9 UNION ALL SELECT a, k FROM c9 EXCEPT SELECT a, b FROM c9",
    "correlated subqueries in a list": f"SELECT k, {subqueries(9)} FROM t x",
    "correlated subqueries in conditions": "SELECT k FROM t x WHERE "
    + " AND ".join(f"(SELECT count(*) FROM t u WHERE u.a = x.a AND u.b > x.b - {at}) < 5" for at in range(9)),
    "correlated subqueries over with queries": f"{doubled('c', 9)} SELECT k, {subqueries(4)} FROM c9 x",
    "not in, nested": "SELECT k FROM t WHERE k NOT IN (SELECT a FROM t WHERE a NOT IN (SELECT b FROM t WHERE b NOT IN "
    "(SELECT k FROM t WHERE k NOT IN (SELECT a FROM t WHERE a > 2) AND b > 4) AND b > 1))",
    "limit above a repeated order": f"{doubled('c', 9)}, o AS (SELECT k, a FROM c9 ORDER BY k) "
    "SELECT p.k, q.a FROM (SELECT * FROM o LIMIT 3) p JOIN o q ON p.k = q.k",
    "sixteen left joins": "SELECT x0.k, x16.a FROM t x0 "
    + " ".join(f"LEFT JOIN t x{at} ON x{at - 1}.a = x{at}.k AND x{at - 1}.b > x{at}.b" for at in range(1, 17)),
}


@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES)
def test_what_repeats_itself_is_answered_as_by_duckdb(conn: laminardb.Connection, sql: str) -> None:
    check(conn, sql)


def test_twenty_views_that_each_join_the_one_before_with_itself(conn: laminardb.Connection) -> None:
    conn.execute("CREATE VIEW v0 AS SELECT k, a FROM t")
    for at in range(1, 21):
        conn.execute(f"CREATE VIEW v{at} AS SELECT x.k, y.a FROM v{at - 1} x JOIN v{at - 1} y ON x.k = y.k")
    wanted = sorted(conn.query("SELECT k, a FROM t").fetchall())
    assert sorted(conn.query("SELECT * FROM v20").fetchall()) == wanted
    conn.execute("CREATE MATERIALIZED VIEW m AS SELECT * FROM v20")
    conn.execute("INSERT INTO t VALUES (7, 7, 7)")
    assert sorted(conn.query("SELECT * FROM m").fetchall()) == [*wanted, (7, 7)]
    assert conn.query("SELECT a FROM v20 WHERE k = 7").fetchall() == [(7,)]


def test_forty_with_queries_that_each_join_the_one_before_with_itself(conn: laminardb.Connection) -> None:
    sql = f"{doubled('c', 40)} SELECT k, a FROM c40"
    assert sorted(conn.query(sql).fetchall()) == sorted(conn.query("SELECT k, a FROM t").fetchall())
    assert len(conn.explain(sql).splitlines()) < 500


def test_explain_prints_shared_parts_once(conn: laminardb.Connection) -> None:
    text = conn.explain(QUERIES["sixteen left joins"])
    assert " as part 1" in text
    assert "\nPart 1\n" in "\n".join(line.strip() for line in text.splitlines())
    assert len(text) < 100_000


@pytest.mark.parametrize("shape", ["chain", "star", "clique"])
def test_a_join_of_forty_tables_is_planned(conn: laminardb.Connection, shape: str) -> None:
    count = 40 if shape != "clique" else 16
    pairs = {
        "chain": [f"x{at - 1}.a = x{at}.k" for at in range(1, count)],
        "star": [f"x0.a = x{at}.k" for at in range(1, count)],
        "clique": [f"x{at}.k = x{other}.k" for at in range(count) for other in range(at)],
    }
    tables = ", ".join(f"t x{at}" for at in range(count))
    sql = f"SELECT x0.k FROM {tables} WHERE {' AND '.join(pairs[shape])}"
    assert "Join" in conn.explain(sql)
    conn.execute(f"CREATE MATERIALIZED VIEW m AS {sql}")
    assert sorted(conn.query("SELECT * FROM m").fetchall()) == sorted(conn.query(sql).fetchall())


# Each branch is a subquery with a join; the branches alone do not exceed the limit of a statement's depth.
BRANCH = "SELECT x.k FROM (SELECT k, a FROM t WHERE a > {0}) x JOIN (SELECT k, b FROM t WHERE b < {0}) y ON x.k = y.k"


def branches(count: int) -> str:
    return " UNION ALL ".join(BRANCH.format(at) for at in range(count))


def explain_for_ever(conn: laminardb.Connection, sql: str) -> None:
    while True:
        conn.explain(sql)


def test_planning_hears_ctrl_c(conn: laminardb.Connection) -> None:
    sql = branches(100)
    # A shell that starts the tests in the background has them ignore the signal.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            explain_for_ever(conn, sql)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, handler)
    assert conn.query("SELECT count(*) FROM t").fetchone() == (6,)
