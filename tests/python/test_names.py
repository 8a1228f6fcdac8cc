"""What names, row values and subqueries mean, wherever they stand: as views and run once, against DuckDB."""

from __future__ import annotations

from collections import Counter
from typing import Any

import duckdb
import laminardb
import pytest

TABLES = [
    "CREATE TABLE a (i BIGINT, j BIGINT, x BIGINT)",
    "CREATE TABLE b (y BIGINT, j BIGINT, z BIGINT)",
    "CREATE TABLE g (i BIGINT)",
    "CREATE TABLE e (i BIGINT, j BIGINT)",
    "CREATE TABLE s (k BIGINT, p STRUCT(x BIGINT, l BIGINT[]), l BIGINT[])",
]

STEPS = [
    "INSERT INTO a VALUES (1, 1, 10), (2, 2, 20), (3, NULL, 30), (NULL, 4, 40)",
    "INSERT INTO b VALUES (100, 1, 5), (200, 7, 6), (300, NULL, 7), (NULL, 2, 8)",
    "INSERT INTO g VALUES (1), (2), (3), (3), (NULL)",
    "INSERT INTO s VALUES (1, {'x': 1, 'l': [5, 6]}, [1, 2, 3]), (2, NULL, []), (3, {'x': NULL, 'l': NULL}, NULL)",
    "DELETE FROM a WHERE i = 2",
    "INSERT INTO a VALUES (5, 5, 50), (5, 5, 50), (1, 2, 60)",
    "DELETE FROM b",
    "INSERT INTO b VALUES (1, 1, 1), (5, 5, 2)",
    "INSERT INTO e VALUES (1, 1)",
    "DELETE FROM g",
]

# Every other view is made after this step.
LATE = 3


def rows(result: Any) -> Counter[str]:
    return Counter(str(tuple(row)) for row in result.fetchall())


def compare(*queries: str | tuple[str, str]) -> None:
    """Compares queries with DuckDB as rows come and go: run once, and as views made before all rows or among them.

    The second of two is what DuckDB is asked, where the first is not its SQL.
    """
    pairs = [query if isinstance(query, tuple) else (query, query) for query in queries]
    oracle = duckdb.connect()
    with laminardb.open(":memory:") as connection:
        for table in TABLES:
            connection.execute(table)
            oracle.execute(table)
        for number, (query, _) in list(enumerate(pairs))[::2]:
            connection.execute(f"CREATE MATERIALIZED VIEW v{number} AS {query}")
        for step, sql in enumerate(STEPS):
            connection.execute(sql)
            oracle.execute(sql)
            if step == LATE:
                for number, (query, _) in list(enumerate(pairs))[1::2]:
                    connection.execute(f"CREATE MATERIALIZED VIEW v{number} AS {query}")
            if step < LATE or step % 2 == 0:
                continue
            connection.wait()
            for number, (query, same) in enumerate(pairs):
                expected = rows(oracle.execute(same))
                assert rows(connection.query(query)) == expected, f"run once, step {step}: {query}"
                assert rows(connection.query(f"SELECT * FROM v{number}")) == expected, f"view, step {step}: {query}"


def ordered(*queries: str) -> None:
    """Compares the rows of queries that run once with DuckDB's, in their order."""
    oracle = duckdb.connect()
    with laminardb.open(":memory:") as connection:
        for sql in TABLES + STEPS[: LATE + 1]:
            connection.execute(sql)
            oracle.execute(sql)
        for query in queries:
            assert connection.query(query).fetchall() == oracle.execute(query).fetchall(), query


def refused(query: str, code: int, text: str) -> None:
    with laminardb.open(":memory:") as connection:
        for sql in TABLES:
            connection.execute(sql)
        for sql in (query, f"CREATE MATERIALIZED VIEW v AS {query}"):
            with pytest.raises(laminardb.LaminarError) as raised:
                connection.execute(sql)
            assert text in str(raised.value), sql
        with pytest.raises(laminardb.QueryError) as raised_once:
            connection.query(query)
        assert raised_once.value.code == code
        assert "maintained incrementally" not in str(raised_once.value)


def test_order_by_sees_the_tables_of_its_own_query_first() -> None:
    compare(
        # Two tables of the subquery have the name, and the outer query has it too.
        "SELECT a.i, (SELECT c.i FROM a AS c JOIN g ON g.i = c.i WHERE c.j = g.i ORDER BY c.i DESC LIMIT 1) AS m FROM a",
        "SELECT g.i, (SELECT a.i FROM a JOIN e AS g2 ON g2.i = a.i OR a.j = g.i ORDER BY a.i DESC LIMIT 1) AS m FROM g",
        "SELECT a.i, (SELECT -g.i AS i FROM g WHERE g.i IS NOT NULL ORDER BY g.i DESC LIMIT 1) AS m FROM a",
        "SELECT a.i, (SELECT i FROM g WHERE i IS NOT NULL ORDER BY -g.i LIMIT 1) AS m FROM a",
        "SELECT a.i, (SELECT g.i FROM g WHERE i > 1 UNION SELECT b.j FROM b WHERE j > 0 ORDER BY i DESC LIMIT 1) AS m FROM a",
        "SELECT i FROM a WHERE i IN (SELECT c.i FROM a AS c JOIN e ON e.i = c.i OR c.x > 20 ORDER BY c.i DESC LIMIT 1)",
        "SELECT i FROM a WHERE EXISTS (SELECT c.i FROM b JOIN g AS c ON c.i = b.j WHERE b.z > a.i GROUP BY c.i, b.j HAVING c.i > 0)",
        "SELECT -i AS i FROM g WHERE i > 0 ORDER BY g.i LIMIT 2",
        "SELECT i % 2 AS i, count(*) AS n FROM g GROUP BY g.i HAVING g.i > 1",
        "SELECT 7 AS i, g.i AS k, count(*) AS n FROM g GROUP BY g.i",
        "SELECT 2 AS two, i, count(*) AS n FROM g GROUP BY two, i",
    )


def test_rows_come_in_the_order_of_what_the_keys_mean() -> None:
    ordered(
        "SELECT -i AS i FROM g ORDER BY g.i",
        "SELECT -i AS i FROM g ORDER BY i",
        "SELECT -i AS i FROM g ORDER BY i + 0",
        "SELECT -i AS k FROM g ORDER BY k + 0",
        "SELECT -i AS k FROM g WHERE i IS NOT NULL ORDER BY k * 2 + i",
        'SELECT x AS "a.j" FROM a ORDER BY a.j',
        "SELECT DISTINCT -i AS i FROM g ORDER BY i",
        "SELECT DISTINCT i + 1 AS k FROM g ORDER BY g.i + 1 DESC",
        "SELECT DISTINCT i + 1 AS k FROM g ORDER BY -(i + 1)",
        "SELECT i FROM g UNION SELECT j FROM a ORDER BY g.i",
        "SELECT i AS q FROM g UNION SELECT j FROM a ORDER BY g.i DESC",
        "SELECT i FROM g EXCEPT SELECT y FROM b ORDER BY g.i DESC",
        "SELECT i, count(*) AS n FROM g GROUP BY i ORDER BY sum(i) DESC",
        "SELECT -i AS i, count(*) AS n FROM g GROUP BY g.i ORDER BY g.i",
        "SELECT i, j FROM a ORDER BY ALL",
        "SELECT x, i FROM a ORDER BY a.j DESC, i",
        "SELECT i AS k FROM a ORDER BY (SELECT max(b.y) FROM b WHERE b.j = a.j), k",
        "SELECT i % 2 AS m, i FROM g ORDER BY (SELECT max(x) FROM a WHERE a.i = m) DESC, i",
        "SELECT i FROM g ORDER BY EXISTS (SELECT 1 FROM b WHERE b.j = g.i) DESC, i",
        "SELECT i FROM g GROUP BY i ORDER BY (SELECT max(x) FROM a WHERE a.i = g.i) DESC, i",
        "SELECT row_number() OVER w AS n, i FROM g WINDOW w AS (ORDER BY i DESC) ORDER BY n * 2",
    )


def test_what_order_by_and_group_by_cannot_mean_is_refused() -> None:
    for query, text in [
        ("SELECT DISTINCT i % 2 AS m FROM g ORDER BY g.i", "SELECT DISTINCT cannot be ordered by g.i"),
        ("SELECT DISTINCT i % 2 AS m FROM g ORDER BY max(g.i)", "SELECT DISTINCT cannot be ordered by max(g.i)"),
        (
            "SELECT i % 2 AS m FROM g GROUP BY i HAVING EXISTS (SELECT 1 FROM a WHERE a.i = m)",
            "m of the SELECT list cannot be used in a subquery here",
        ),
        (
            "SELECT i AS m FROM g GROUP BY i HAVING EXISTS (SELECT 1 FROM g WHERE g.i = m)",
            "m of the SELECT list cannot be used in a subquery here",
        ),
    ]:
        refused(query, 400, text)


def test_subqueries_without_from_around_them_are_maintained() -> None:
    compare(
        "SELECT EXISTS (SELECT 1 FROM g) AS e",
        "SELECT NOT EXISTS (SELECT 1 FROM e) AS e",
        "SELECT 1 IN (SELECT i FROM a) AS e",
        "SELECT 1 NOT IN (SELECT i FROM a) AS e",
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM b)",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM e)",
        "SELECT 1 WHERE 1 IN (SELECT i FROM a)",
        "SELECT 1 WHERE 5 NOT IN (SELECT i FROM e)",
        "SELECT (SELECT i FROM a ORDER BY i LIMIT 1) AS m",
        "SELECT (SELECT max(i) FROM a) + (SELECT count(*) FROM b) AS m",
        "SELECT 2 > ANY (SELECT i FROM a) AS m, 2 > ALL (SELECT i FROM a) AS n",
        "SELECT p.o, EXISTS (SELECT 1 FROM a WHERE a.i = p.o) AS e FROM (SELECT 1 AS o) AS p",
        "SELECT p.o, g.i FROM (SELECT 1 AS o) AS p LEFT JOIN g ON g.i = p.o",
        "SELECT 1 AS o FROM (SELECT 1) AS p LEFT JOIN g ON true",
        "SELECT count(*) AS n FROM (SELECT 1) AS p FULL JOIN (SELECT 1 FROM g) AS q ON true",
        "VALUES ((SELECT max(i) FROM g), 1), (2, (SELECT count(*) FROM a))",
    )


def test_limit_zero_is_no_rows() -> None:
    compare(
        "SELECT i FROM a LIMIT 0",
        "SELECT i FROM a ORDER BY i LIMIT 0",
        "SELECT i FROM a ORDER BY j LIMIT 0 OFFSET 1",
        "SELECT i, (SELECT y FROM b LIMIT 0) AS z FROM a",
        "SELECT i, (SELECT y FROM b WHERE b.j = a.j ORDER BY y LIMIT 0) AS z FROM a",
        "SELECT i FROM a WHERE EXISTS (SELECT 1 FROM b ORDER BY y LIMIT 0)",
        "SELECT i FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.j = a.j ORDER BY y LIMIT 0)",
        "SELECT i FROM a WHERE i NOT IN (SELECT y FROM b ORDER BY y LIMIT 0)",
        "SELECT count(*) AS n, max(i) AS m FROM (SELECT i FROM a ORDER BY i LIMIT 0) AS p",
        "SELECT a.i, p.y FROM a LEFT JOIN (SELECT y, j FROM b ORDER BY y LIMIT 0) AS p ON p.j = a.j",
        "SELECT i FROM g UNION ALL (SELECT j FROM a ORDER BY j LIMIT 0)",
        "SELECT (SELECT i FROM a ORDER BY i LIMIT 0) AS m",
        "SELECT i FROM g LIMIT 1 - 1",
    )


CONDITIONS = [
    ("(i, j) = (1, 1)", "i = 1 AND j = 1"),
    ("(i, j) <> (1, 1)", "NOT (i = 1 AND j = 1)"),
    ("(i, j) < (2, 2)", "i < 2 OR (i = 2 AND j < 2)"),
    ("(j, 4) < (2, 2)", "j < 2 OR (j = 2 AND 4 < 2)"),
    ("(i, j) <= (2, 2)", "i < 2 OR (i = 2 AND j <= 2)"),
    ("(2, 2) < (i, j)", "2 < i OR (2 = i AND 2 < j)"),
    ("ROW(i, j, x) >= ROW(1, 2, 60)", "i > 1 OR (i = 1 AND (j > 2 OR (j = 2 AND x >= 60)))"),
    ("((i, j), x) > ((1, 1), 5)", "(i > 1 OR (i = 1 AND j > 1)) OR (i = 1 AND j = 1 AND x > 5)"),
    ("(i, j) IN ((1, 1), (3, NULL))", "(i = 1 AND j = 1) OR (i = 3 AND j = NULL)"),
    ("(i, j) NOT IN ((1, 1), (3, NULL))", "NOT ((i = 1 AND j = 1) OR (i = 3 AND j = NULL))"),
    (
        "(i, j) BETWEEN (1, 1) AND (3, 3)",
        "(i > 1 OR (i = 1 AND j >= 1)) AND (i < 3 OR (i = 3 AND j <= 3))",
    ),
    (
        "(i, j) NOT BETWEEN (1, 1) AND (3, 3)",
        "NOT ((i > 1 OR (i = 1 AND j >= 1)) AND (i < 3 OR (i = 3 AND j <= 3)))",
    ),
    ("(i, j) IS DISTINCT FROM (3, NULL)", "i IS DISTINCT FROM 3 OR j IS DISTINCT FROM NULL"),
    ("(i, j) IS NOT DISTINCT FROM (3, NULL)", "i IS NOT DISTINCT FROM 3 AND j IS NOT DISTINCT FROM NULL"),
    ("CASE (i, j) WHEN (1, 1) THEN true WHEN (3, NULL) THEN NULL ELSE false END", "coalesce(i = 1 AND j = 1, false)"),
    ("(i, j) = ANY (SELECT y, j FROM b)", "(i, j) IN (SELECT y, j FROM b)"),
    ("(i, j) <> ALL (SELECT y, j FROM b)", "(i, j) NOT IN (SELECT y, j FROM b)"),
    ("(i, j) IN (SELECT i, j FROM e)", "(i, j) IN (SELECT i, j FROM e)"),
    ("(i, j) NOT IN (SELECT y, j FROM b)", "(i, j) NOT IN (SELECT y, j FROM b)"),
    ("(i, j) NOT IN (SELECT i, j FROM e)", "(i, j) NOT IN (SELECT i, j FROM e)"),
    ("(i + 1, j) IN (SELECT y + 1, b.j FROM b)", "(i + 1, j) IN (SELECT y + 1, b.j FROM b)"),
    (
        "(i, j) IN (SELECT y, j FROM b WHERE b.z < a.x)",
        "(SELECT CASE WHEN bool_or(i = y AND a.j = b.j) THEN true WHEN bool_or((i = y AND a.j = b.j) IS NULL) "
        "THEN NULL ELSE false END FROM b WHERE b.z < a.x)",
    ),
    (
        "(i, j) < ANY (SELECT y, z FROM b)",
        "(SELECT CASE WHEN bool_or(i < y OR (i = y AND a.j < z)) THEN true "
        "WHEN bool_or((i < y OR (i = y AND a.j < z)) IS NULL) THEN NULL ELSE false END FROM b)",
    ),
    (
        "(i, j) >= ALL (SELECT y, z FROM b)",
        "(SELECT CASE WHEN bool_or(NOT (i > y OR (i = y AND a.j >= z))) THEN false "
        "WHEN bool_or((i > y OR (i = y AND a.j >= z)) IS NULL) THEN NULL ELSE true END FROM b)",
    ),
    ("(i, j) = (SELECT i, j FROM e ORDER BY i LIMIT 1)", "(SELECT a.i = e.i AND a.j = e.j FROM e ORDER BY i LIMIT 1)"),
    (
        "(SELECT max(i), max(j) FROM e) > (i, j)",
        "(SELECT max(e.i) > a.i OR (max(e.i) = a.i AND max(e.j) > a.j) FROM e)",
    ),
    (
        "(i, j) IS NOT DISTINCT FROM (SELECT i, j FROM e LIMIT 1)",
        "coalesce((SELECT a.i IS NOT DISTINCT FROM e.i AND a.j IS NOT DISTINCT FROM e.j FROM e LIMIT 1), "
        "i IS NULL AND j IS NULL)",
    ),
]


def test_row_values_are_compared_part_by_part() -> None:
    pairs = []
    for condition, same in CONDITIONS:
        for query in ("SELECT x, {} AS r FROM a", "SELECT x FROM a WHERE {}", "SELECT x FROM a WHERE NOT ({})"):
            pairs.append((query.format(condition), query.format(same)))
    compare(*pairs)


def test_row_values_stand_in_every_clause() -> None:
    compare(
        "SELECT i, j, count(*) AS n FROM a GROUP BY (i, j)",
        "SELECT a.i, b.z FROM a LEFT JOIN b ON (a.i, a.j) = (b.y, b.j)",
        "SELECT count(*) FILTER (WHERE (i, j) = (5, 5)) AS n FROM a",
        "SELECT i FROM a GROUP BY i HAVING (i, count(*)) IN ((5, 2), (1, 2))",
        "SELECT a.i, b.z FROM a LEFT JOIN b ON (a.i, b.j) IN (SELECT e.i, e.j FROM e)",
    )


def test_row_values_that_cannot_be_compared_are_refused() -> None:
    for query, text in [
        ("SELECT (1, 2) = (1, 2, 3)", "a row of 2 is compared with a row of 3"),
        ("SELECT i FROM a WHERE (i, j) IN (SELECT y FROM b)", "a row of 2 is compared with a subquery of 1 columns"),
        ("SELECT i FROM a WHERE (i, j) IN (1, 2)", "1 is not a row value"),
    ]:
        refused(query, 400, text)


ON = [
    "EXISTS (SELECT 1 FROM g WHERE g.i = a.i)",
    "EXISTS (SELECT 1 FROM g WHERE g.i = b.j)",
    "EXISTS (SELECT 1 FROM g WHERE g.i > a.i AND a.x > 20)",
    "a.j = b.j AND EXISTS (SELECT 1 FROM g WHERE g.i = a.i)",
    "a.j = b.j AND NOT EXISTS (SELECT 1 FROM g WHERE g.i = a.i)",
    "a.j = b.j AND (SELECT count(*) FROM g WHERE g.i <= a.i) > 1",
    "(SELECT count(*) FROM g WHERE g.i <= a.i) = b.j",
    "a.j = b.j AND (SELECT max(i) FROM g) > 1",
    "a.j = b.j AND a.i IN (SELECT i FROM g)",
    "a.j = b.j AND b.y NOT IN (SELECT i FROM e)",
    "a.j = b.j AND (SELECT min(i) FROM g WHERE g.i > b.j) < 3 AND a.x > 0",
    "a.j = b.j AND (a.x > 20 OR EXISTS (SELECT 1 FROM g WHERE g.i = b.j))",
]

ON_BOTH = [
    "EXISTS (SELECT 1 FROM g WHERE g.i = a.i + b.j)",
    "a.j <= b.j AND EXISTS (SELECT 1 FROM g WHERE g.i > a.i AND g.i < b.j)",
    "(SELECT count(*) FROM g WHERE g.i = a.i OR g.i = b.j) = 1",
    "a.j IN (SELECT g.i FROM g WHERE g.i <= b.j)",
    "a.x > 10 AND NOT EXISTS (SELECT 1 FROM g WHERE g.i = a.i AND g.i = b.j)",
]


@pytest.mark.parametrize("join", ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
def test_a_subquery_in_on_loses_no_rows(join: str) -> None:
    queries = []
    for condition in ON + ON_BOTH:
        query = f"SELECT a.i, a.x, b.y, b.z FROM a {join} b ON {condition}"
        if join == "FULL JOIN" and condition in ON_BOTH:
            refused(query, 400, "a subquery that refers to both sides of a Full join in its ON")
            continue
        # DuckDB does not bind them there: the pairs, then the rows without one.
        same = (
            f"WITH pairs AS (SELECT a.rowid AS l, b.rowid AS r FROM a CROSS JOIN b WHERE {condition}) "
            "SELECT a.i, a.x, b.y, b.z FROM pairs JOIN a ON a.rowid = l JOIN b ON b.rowid = r"
        )
        if join in ("LEFT JOIN", "FULL JOIN"):
            same += " UNION ALL SELECT i, x, NULL, NULL FROM a WHERE rowid NOT IN (SELECT l FROM pairs)"
        if join in ("RIGHT JOIN", "FULL JOIN"):
            same += " UNION ALL SELECT NULL, NULL, y, z FROM b WHERE rowid NOT IN (SELECT r FROM pairs)"
        queries.append((query, same))
    compare(*queries)


def test_subqueries_stand_in_aggregates_groups_and_orders() -> None:
    compare(
        "SELECT sum((SELECT max(x) FROM a WHERE a.i = g.i)) AS s FROM g",
        "SELECT sum((SELECT max(x) FROM a)) AS s, min((SELECT count(*) FROM b)) AS t FROM g",
        "SELECT sum((SELECT max(x) FROM a)) AS s, sum((SELECT count(*) FROM b)) AS t FROM g",
        "SELECT count(*) FILTER (WHERE i IN (SELECT j FROM a)) AS s FROM g",
        "SELECT count(*) FILTER (WHERE i NOT IN (SELECT j FROM b)) AS s FROM g",
        "SELECT i, count(*) FILTER (WHERE EXISTS (SELECT 1 FROM b WHERE b.j = g.i)) AS s FROM g GROUP BY i",
        "SELECT bool_or(EXISTS (SELECT 1 FROM b WHERE b.j = g.i)) AS s FROM g",
        "SELECT count(DISTINCT (SELECT max(x) FROM a WHERE a.i = g.i)) AS s FROM g",
        "SELECT count(*) FILTER (WHERE (i, i) IN (SELECT i, j FROM a)) AS s FROM g",
        "SELECT sum((SELECT max(x) FROM a WHERE a.i = g.i) + (SELECT min(y) FROM b WHERE b.j = g.i)) AS s FROM g",
        "SELECT EXISTS (SELECT 1 FROM b WHERE b.j = g.i) AS e, count(*) AS n FROM g "
        "GROUP BY EXISTS (SELECT 1 FROM b WHERE b.j = g.i)",
        "SELECT i IN (SELECT j FROM a) AS e, count(*) AS n FROM g GROUP BY e",
        "SELECT (SELECT max(x) FROM a WHERE a.i = g.i) AS e, count(*) AS n FROM g GROUP BY 1",
        "SELECT i, count(*) AS n FROM g GROUP BY i HAVING count(*) IN (SELECT i FROM g)",
        "SELECT i, count(*) AS n FROM g GROUP BY i HAVING EXISTS (SELECT 1 FROM a WHERE a.i = g.i)",
        "SELECT i AS m, count(*) AS n FROM g GROUP BY m HAVING EXISTS (SELECT 1 FROM a WHERE a.j = m)",
        "SELECT i FROM g WHERE i IS NOT NULL ORDER BY EXISTS (SELECT 1 FROM b WHERE b.j = g.i) DESC, i LIMIT 2",
        "SELECT i, count(*) AS n FROM g GROUP BY i ORDER BY (SELECT max(x) FROM a WHERE a.i = g.i) DESC, i LIMIT 2",
    )


def test_row_values_are_counted_once_each() -> None:
    compare(
        "SELECT count(DISTINCT (i, j)) AS n, count(DISTINCT (j, NULL)) AS m, count((i, j)) AS c FROM a",
        "SELECT j, count(DISTINCT (i, x)) AS n FROM a GROUP BY j",
        "SELECT count(DISTINCT l) AS n, count(DISTINCT p) AS m FROM s",
    )


def test_a_query_that_runs_once_is_not_refused_for_not_being_maintained() -> None:
    for query, text in [
        (
            "SELECT i, (SELECT y FROM b WHERE b.j = a.j) AS y FROM a",
            "a correlated scalar subquery that can return more than one row",
        ),
        (
            "SELECT i, (SELECT y FROM b WHERE b.j = a.j ORDER BY y LIMIT 1 OFFSET 1) AS y FROM a",
            "a correlated subquery with OFFSET",
        ),
        (
            "SELECT i FROM a WHERE EXISTS (SELECT y FROM b WHERE b.j = a.j EXCEPT SELECT i FROM g)",
            "a correlated subquery with",
        ),
    ]:
        refused(query, 400, text)


def test_fields_and_subscripts_of_qualified_columns() -> None:
    compare(
        "SELECT k, p['x'] AS x, s.p['x'] AS y, (p).x AS z, (s.p).x AS w, p.x AS v, s.p.x AS u FROM s",
        "SELECT k, p.l[1] AS a, s.p.l[2] AS b, l[1] AS c, s.l[2] AS d, l[-1] AS e, (s.l)[3] AS f FROM s",
        "SELECT k, l[1:2] AS a, s.l[2:3] AS b, s.l[2:] AS c, l[:2] AS d, p.l[:1] AS e FROM s",
        "SELECT k FROM s WHERE s.p['x'] = 1 OR s.l[1] = 9",
        "SELECT k, (SELECT max(a.x) FROM a WHERE a.i = s.p.x) AS m, "
        "(SELECT count(*) FROM a WHERE a.i <= s.l[2]) AS n FROM s",
        "SELECT q.p.x AS x, q.l[1] AS y FROM (SELECT p, l FROM s) AS q",
        "SELECT p.x AS x, count(*) AS n FROM s GROUP BY s.p.x",
        "SELECT s.k FROM s AS s JOIN a ON a.i = s.p['x'] AND a.j = s.l[k]",
    )


@pytest.mark.parametrize("join", ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
def test_a_column_of_using_stays_at_its_place(join: str) -> None:
    oracle = duckdb.connect()
    with laminardb.open(":memory:") as connection:
        for sql in TABLES + STEPS[:4]:
            connection.execute(sql)
            oracle.execute(sql)
        for query in (
            f"SELECT * FROM a {join} b USING (j)",
            f"SELECT * FROM a NATURAL {join} b",
            f"SELECT * FROM g {join} a USING (i) {join} b USING (j)",
            f"SELECT * FROM a {join} a AS c USING (j, i)",
            f"SELECT a.*, b.* FROM a {join} b USING (j)",
        ):
            expected = oracle.execute(query)
            names = [column[0] for column in expected.description]
            result = connection.query(query)
            assert result.columns == names, query
            assert rows(result) == rows(expected), query


def test_in_takes_a_list_as_its_parameter() -> None:
    with laminardb.open(":memory:") as connection:
        for sql in TABLES + STEPS[:4]:
            connection.execute(sql)

        def found(sql: str, params: Any) -> list[Any]:
            return sorted(row[0] for row in connection.query(sql, params).fetchall())

        assert found("SELECT x FROM a WHERE i IN ?", [[1, 3]]) == [10, 30]
        assert found("SELECT x FROM a WHERE i NOT IN ?", [[1, 3]]) == [20]
        assert found("SELECT x FROM a WHERE i NOT IN ?", [[1, None]]) == []
        assert found("SELECT x FROM a WHERE i IN ? OR x = ?", [[1, None], 40]) == [10, 40]
        assert found("SELECT x FROM a WHERE i IN ?", [[]]) == []
        assert found("SELECT x FROM a WHERE i NOT IN ?", [[]]) == [10, 20, 30, 40]
        assert found("SELECT x FROM a WHERE i IN ?", [None]) == []
        assert found("SELECT x FROM a WHERE i + 1 IN $2 AND x > $1", [5, [2, 3]]) == [10, 20]
        assert found("SELECT x FROM a WHERE i IN $is AND NOT j IN $is", {"is": [1, 2, 3]}) == []
        assert found("SELECT x FROM a WHERE i = ANY(?)", [[1, 3]]) == [10, 30]
        assert found("SELECT x FROM a WHERE i IN ?", [list(range(3, 5_000))]) == [30]
        connection.execute("CREATE MATERIALIZED VIEW v AS SELECT x FROM a WHERE i IN ?", [[1, 3]])
        assert found("SELECT x FROM v", []) == [10, 30]
        connection.execute("DELETE FROM a WHERE i IN ?", [[1]])
        connection.wait()
        assert found("SELECT x FROM v", []) == [30]
        with pytest.raises(laminardb.QueryError, match="IN takes a list as its parameter, not a value of type BIGINT"):
            connection.query("SELECT x FROM a WHERE i IN ?", [1])
