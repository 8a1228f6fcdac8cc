"""What SQL says is what is computed: faults that were there, each by the smallest input that showed it.

Every condition is asked in WHERE, as a column, in HAVING, FILTER and ON; by a view made before the rows came, by one made
after, and by a query that runs once; and DELETE and UPDATE must take exactly the rows that SELECT finds.
"""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import laminardb
import pytest

TABLE = """CREATE TABLE t (id BIGINT PRIMARY KEY, i INTEGER, d DECIMAL(10, 2), f DOUBLE, r REAL, s VARCHAR,
    ms TIMESTAMP(3), ts TIMESTAMP, day DATE, b BOOLEAN)"""
ROWS = """INSERT INTO t VALUES
    (1, 70000, 1.50, 1e30, 1.5, 'x', TIMESTAMP '2024-01-01 00:00:00.5', TIMESTAMP '9999-12-31 10:00:00',
     DATE '9999-12-31', false),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, 0, 2.25, 1e-20, 0, '7', TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', DATE '2024-01-01',
     true)"""

# Conditions, and what each is for the rows 1, 2 and 3.
CONDITIONS = {
    "a_cast_to_an_integer_is_not_moved_to_the_constant": {
        "CAST(d AS BIGINT) = 2": (True, None, True),
        "CAST(d AS BIGINT) <> 2": (False, None, False),
        "CAST(d AS BIGINT) < 2": (False, None, False),
        "CAST(d AS BIGINT) > 1": (True, None, True),
        "CAST(d AS BIGINT) IN (2)": (True, None, True),
        "CAST(d AS BIGINT) NOT IN (2, 3)": (False, None, False),
        "CAST(d AS BIGINT) BETWEEN 2 AND 2": (True, None, True),
        "2 = CAST(d AS BIGINT)": (True, None, True),
        "CAST(r AS BIGINT) = 2": (True, None, False),
    },
    "a_cast_to_a_narrower_decimal_is_not_moved_to_the_constant": {
        "CAST(d AS DECIMAL(10, 1)) = 2.3": (False, None, True),
        "CAST(d AS DECIMAL(10, 1)) IN (1.5, 2.3)": (True, None, True),
        "CAST(d AS DECIMAL(10, 0)) >= 2": (True, None, True),
    },
    "a_try_cast_that_fails_is_null_in_a_comparison": {
        "TRY_CAST(i AS SMALLINT) > 1": (None, None, False),
        "TRY_CAST(i AS SMALLINT) = 0": (None, None, True),
        "TRY_CAST(s AS BIGINT) IN (7, 8)": (None, None, True),
    },
    "milliseconds_are_compared_with_finer_literals_exactly": {
        "ms >= TIMESTAMP '2024-01-01 00:00:00.5001'": (False, None, False),
        "ms = TIMESTAMP '2024-01-01 00:00:00.5001'": (False, None, False),
        "ms = TIMESTAMP '2024-01-01 00:00:00.5'": (True, None, False),
        "ms < TIMESTAMP '2024-01-01 00:00:00.5001'": (True, None, True),
        "ms IN (TIMESTAMP '2024-01-01 00:00:00.5001')": (False, None, False),
        "ms BETWEEN TIMESTAMP '2024-01-01 00:00:00.4999' AND TIMESTAMP '2024-01-01 00:00:00.5001'": (True, None, False),
    },
    "null_is_not_lost_in_lists": {
        "i NOT IN (1) OR i NOT IN (2)": (True, None, True),
        "i IN (1) AND i IN (2)": (False, None, False),
        "i = 1 OR i = 2 OR i = 0": (False, None, True),
        "i NOT IN (1, NULL)": (None, None, None),
        "NOT (i = 1 AND i = 2)": (True, None, True),
    },
    "null_is_not_lost_in_patterns_and_arithmetic": {
        "s ~ '.*'": (True, None, True),
        "s LIKE '%'": (True, None, True),
        "s NOT LIKE '%'": (False, None, False),
        "xor(i, i) = 0": (True, None, True),
        "i * 0 = 0": (True, None, True),
        "i - i = 0": (True, None, True),
        "i = i": (True, None, True),
        "i % 1 = 0": (True, None, True),
    },
    "a_decimal_beside_a_double_is_a_double": {
        "d < f": (True, None, False),
        "d > f": (False, None, True),
        "d = f": (False, None, False),
        "d IN (f, 2.25)": (False, None, True),
        "d BETWEEN f AND 3": (False, None, True),
        "coalesce(d, f) > 2": (False, None, True),
        "CASE WHEN b THEN d ELSE f END > 1e20": (True, None, False),
        "greatest(d, f) > 1e20": (True, None, False),
        "least(d, f) = 1e-20": (False, None, True),
        "nullif(d, f) IS NULL": (False, True, False),
        "d IS NOT DISTINCT FROM f": (False, True, False),
        "d <> CAST('NaN' AS DOUBLE)": (True, None, True),
        "d + f > 1e20": (True, None, False),
    },
    "decimals_divide_as_doubles": {
        "CAST(1.488464 AS DECIMAL(10, 6)) / 100 * 100 = 1.488464 AND d / 3 = 0.75": (False, None, True),
        "7 / d > 3.1111110 AND 7 / d < 3.1111112": (False, None, True),
        "d / 0 IS NULL": (True, True, True),
    },
    "a_date_beside_a_timestamp_goes_through_no_nanoseconds": {
        "ts = day": (False, None, True),
        "ts > DATE '9999-12-30'": (True, None, False),
        "day < ts": (True, None, False),
        "day IN (ts)": (False, None, True),
        "coalesce(day, ts) > TIMESTAMP '9999-01-01 00:00:00'": (True, None, False),
    },
    "guards_decide_for_their_own_row": {
        "b AND CAST(s AS BIGINT) = 7": (False, None, True),
        "NOT b OR CAST(s AS BIGINT) = 7": (True, None, True),
        "CASE WHEN b THEN CAST(s AS BIGINT) = 7 END": (None, None, True),
        "coalesce(NOT b, false) OR CAST(s AS BIGINT) > 6": (True, None, True),
        "CASE WHEN id > 5 THEN CAST('x' AS BIGINT) = 1 ELSE id = 1 END": (True, False, False),
    },
}


def conditions() -> list[Any]:
    return [
        pytest.param(condition, values, id=f"{kind}-{number}")
        for kind, cases in CONDITIONS.items()
        for number, (condition, values) in enumerate(cases.items())
    ]


def queries(condition: str, values: tuple[bool | None, ...]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """The condition in every clause, with the rows that each gives."""
    true = [number for number, value in enumerate(values, 1) if value]
    ids = [(number,) for number in true]
    return [
        (f"SELECT id FROM t WHERE {condition}", ids),
        (f"SELECT id, ({condition}) AS c FROM t", list(enumerate(values, 1))),
        (f"SELECT id FROM t GROUP BY ALL HAVING bool_or({condition})".replace("GROUP BY ALL", "GROUP BY id"), ids),
        (f"SELECT count(*) FILTER (WHERE {condition}) AS n FROM t", [(len(true),)]),
        (f"SELECT t.id FROM t JOIN (SELECT 1 AS one) o ON {condition}", ids),
        (f"SELECT t.id, one FROM t LEFT JOIN (SELECT 1 AS one) o ON {condition}",
         [(number, 1 if value else None) for number, value in enumerate(values, 1)]),
        (f"SELECT id, CASE WHEN {condition} THEN 'yes' ELSE 'no' END AS c FROM t",
         [(number, "yes" if value else "no") for number, value in enumerate(values, 1)]),
    ]  # fmt: skip


def ordered(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)


@pytest.mark.parametrize(("condition", "values"), conditions())
def test_condition(condition: str, values: tuple[bool | None, ...]) -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute(TABLE)
        asked = queries(condition, values)
        for number, (query, _) in enumerate(asked):
            conn.execute(f"CREATE MATERIALIZED VIEW before{number} AS {query}")
        conn.execute(ROWS)
        for number, (query, expected) in enumerate(asked):
            conn.execute(f"CREATE MATERIALIZED VIEW after{number} AS {query}")
            for answer in (query, f"SELECT * FROM before{number}", f"SELECT * FROM after{number}"):
                assert ordered(conn.query(answer).fetchall()) == ordered(expected), (query, answer)
        # Wrong here is lost data.
        others = [(number,) for number, value in enumerate(values, 1) if not value]
        conn.execute("CREATE TABLE u AS SELECT * FROM t")
        conn.execute(f"UPDATE u SET id = -id WHERE {condition}")
        assert ordered(conn.query("SELECT id FROM u WHERE id > 0").fetchall()) == others, condition
        conn.execute(f"DELETE FROM t WHERE {condition}")
        assert ordered(conn.query("SELECT id FROM t").fetchall()) == others, condition


@pytest.fixture
def conn() -> Any:
    with laminardb.open(":memory:") as conn:
        conn.execute(TABLE)
        conn.execute(ROWS)
        yield conn


def both(conn: laminardb.Connection, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, which are those of a view of it."""
    rows = ordered(conn.query(query).fetchall())
    conn.execute(f"CREATE OR REPLACE MATERIALIZED VIEW kept AS {query}")
    assert ordered(conn.query("SELECT * FROM kept").fetchall()) == rows, query
    return rows


def test_a_cast_that_does_not_fit_fails_its_row_in_a_comparison(conn: laminardb.Connection) -> None:
    with pytest.raises(laminardb.QueryError, match="70000"):
        conn.query("SELECT id FROM t WHERE CAST(i AS SMALLINT) > 1")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t WHERE CAST(i AS SMALLINT) > 1")
    with pytest.raises(laminardb.QueryError, match="70000"):
        conn.query("SELECT * FROM v")
    with pytest.raises(laminardb.QueryError, match="70000"):
        conn.execute("DELETE FROM t WHERE CAST(i AS SMALLINT) > 1")
    assert conn.query("SELECT count(*) FROM t").fetchall() == [(3,)]


def test_a_parameter_finer_than_its_column_is_compared_exactly(conn: laminardb.Connection) -> None:
    moment = datetime.datetime(2024, 1, 1, 0, 0, 0, 500_100)
    assert conn.query("SELECT id FROM t WHERE ms >= ?", [moment]).fetchall() == []
    assert conn.query("SELECT id FROM t WHERE ms = ?", [moment]).fetchall() == []
    assert conn.query("SELECT id FROM t WHERE ms < ? ORDER BY id", [moment]).fetchall() == [(1,), (3,)]


def test_a_filter_guards_the_argument_of_its_aggregate(conn: laminardb.Connection) -> None:
    aggregates = "sum(CAST(s AS BIGINT)) FILTER (WHERE b) AS n, max(CAST(s AS BIGINT)) FILTER (WHERE b) AS m"
    assert both(conn, f"SELECT {aggregates} FROM t") == [(7, 7)]
    assert both(conn, f"SELECT b, {aggregates} FROM t GROUP BY b") == [
        (False, None, None),
        (None, None, None),
        (True, 7, 7),
    ]
    assert both(conn, "SELECT count(CAST(s AS BIGINT)) FILTER (WHERE b) AS n FROM t") == [(1,)]
    assert both(conn, "SELECT count(DISTINCT CAST(s AS BIGINT)) FILTER (WHERE b) AS n FROM t") == [(1,)]


def test_conditions_of_a_join_guard_each_other(conn: laminardb.Connection) -> None:
    for condition in (
        "CASE WHEN l.b AND r.b THEN CAST(l.s AS BIGINT) = CAST(r.s AS BIGINT) END",
        "r.b AND l.b AND CAST(l.s AS BIGINT) = 7",
        "l.b AND r.b AND CAST(r.s AS BIGINT) + l.id = 10",
    ):
        assert both(conn, f"SELECT l.id, r.id AS other FROM t l JOIN t r ON {condition}") == [(3, 3)], condition
        assert both(conn, f"SELECT l.id, r.id AS other FROM t l, t r WHERE {condition}") == [(3, 3)], condition
        padded = both(conn, f"SELECT l.id, r.id AS other FROM t l LEFT JOIN t r ON {condition}")
        assert padded == [(1, None), (2, None), (3, 3)], condition
    exists = "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t r WHERE r.b AND t.b AND CAST(t.s AS BIGINT) = CAST(r.s AS BIGINT))"
    assert both(conn, exists) == [(3,)]


def test_where_guards_the_columns_of_a_query_that_runs_once(conn: laminardb.Connection) -> None:
    assert both(conn, "SELECT id, CAST(s AS BIGINT) AS n FROM t WHERE b") == [(3, 7)]
    assert both(conn, "SELECT CAST(s AS BIGINT) AS n FROM t WHERE b") == [(7,)]


def test_values_of_double_keep_their_exponents_beside_decimals(conn: laminardb.Connection) -> None:
    rows = [(1, 1.5), (1, 1e30), (2, None), (2, None), (3, 1e-20), (3, 2.25)]
    assert both(conn, "SELECT id, d AS x FROM t UNION ALL SELECT id, f FROM t") == ordered(rows)
    assert both(conn, "SELECT coalesce(d, f) AS x FROM t") == ordered([(1.5,), (None,), (2.25,)])
    assert both(conn, "SELECT CASE WHEN b THEN f ELSE d END AS x FROM t WHERE id > 1") == ordered([(None,), (1e-20,)])
    assert both(conn, "SELECT f AS x FROM t INTERSECT SELECT d FROM t") == [(None,)]
    assert both(conn, "SELECT id FROM t WHERE d IN (SELECT f FROM t)") == []
    assert both(conn, "SELECT l.id FROM t l JOIN t r ON l.d = r.f") == []
    assert both(conn, "SELECT id FROM t WHERE d > ANY (SELECT f FROM t)") == [(1,), (3,)]


def test_decimals_of_one_column_keep_the_digits_before_the_point(conn: laminardb.Connection) -> None:
    small, large = "CAST('1.00000000001' AS DECIMAL(38, 11))", f"CAST('1{'0' * 28}' AS DECIMAL(38, 9))"
    rows = [(decimal.Decimal(1),), (decimal.Decimal(10**28),)]
    assert both(conn, f"SELECT {small} AS x UNION ALL SELECT {large}") == rows
    assert both(conn, f"SELECT x FROM (VALUES ({small}), ({large})) q(x)") == rows
    assert both(conn, f"SELECT {small} AS x INTERSECT SELECT CAST(1 AS DECIMAL(38, 9))") == rows[:1]
    assert both(conn, f"SELECT coalesce({small}, {large}) AS x") == rows[:1]
    assert both(conn, f"SELECT greatest({small}, {large}) AS x") == rows[1:]
    assert both(conn, f"SELECT CASE WHEN b THEN {small} ELSE {large} END AS x FROM t WHERE id = 1") == rows[1:]
    assert both(conn, f"SELECT [{small}, {large}] AS x") == [([row[0] for row in rows],)]
    assert both(conn, f"SELECT {small} = CAST(1 AS DECIMAL(38, 9)) AS x") == [(False,)]


def test_a_division_by_zero_is_null_below_a_union_and_beside_what_cannot_be_null(conn: laminardb.Connection) -> None:
    assert both(conn, "SELECT 3 / (id - 1) AS x FROM t UNION ALL SELECT 4") == ordered([(None,), (3,), (1,), (4,)])
    assert both(conn, "SELECT 3 / (id - 1) AS x FROM t UNION SELECT 3") == ordered([(None,), (3,), (1,)])
    quotients = "SELECT 3 / (id - 1) AS x FROM t UNION ALL SELECT 3 % (id - 2) FROM t"
    assert both(conn, f"SELECT count(*) AS n FROM ({quotients}) q WHERE x IS NULL") == [(2,)]
    batch = conn.subscribe("SELECT 3 / (id - 1) AS x FROM t UNION ALL SELECT 4").next()
    assert batch is not None
    assert ordered(batch.fetchall()) == ordered([(None,), (3,), (1,), (4,)])


def test_coalesce_of_what_cannot_be_null_runs_once(conn: laminardb.Connection) -> None:
    keys = "SELECT b IS NOT FALSE AS k, count(*) AS n FROM t GROUP BY 1"
    assert both(conn, f"SELECT coalesce(k, coalesce(k, k)) AS k FROM ({keys}) q") == [(False,), (True,)]


def test_casts_of_one_column_stand_side_by_side(conn: laminardb.Connection) -> None:
    day = datetime.date(2024, 1, 1)
    first = "SELECT min(day) AS d, min(CAST(day AS VARCHAR)) AS s, min(TRY_CAST(day AS TIMESTAMP)) AS m FROM t"
    assert both(conn, f"{first} WHERE id = 3") == [(day, "2024-01-01", datetime.datetime(2024, 1, 1))]
    keys = "SELECT CAST(id AS DOUBLE) AS f, CAST(id AS VARCHAR) AS s, id, count(*) AS n FROM t GROUP BY 1, 2, 3"
    assert both(conn, keys) == [(1.0, "1", 1, 1), (2.0, "2", 2, 1), (3.0, "3", 3, 1)]
    having = "HAVING max(CAST(d AS DOUBLE)) > max(CAST(d AS BIGINT)) OR max(d) IS NULL"
    grouped = f"SELECT CAST(id AS VARCHAR) AS s, max(d) AS d FROM t GROUP BY id, CAST(id AS VARCHAR) {having}"
    assert both(conn, f"{grouped} ORDER BY CAST(id AS VARCHAR)") == ordered(
        [("2", None), ("3", decimal.Decimal("2.25"))]
    )


def test_a_null_of_values_has_the_type_that_it_is_cast_to(conn: laminardb.Connection) -> None:
    assert both(conn, "SELECT x + 1 AS n, s FROM (VALUES (CAST(NULL AS BIGINT), 'z')) q(x, s)") == [(None, "z")]
    assert both(conn, "SELECT x, s FROM (VALUES (CAST(NULL AS DOUBLE), CAST(NULL AS VARCHAR))) q(x, s)") == [
        (None, None)
    ]
    lists = "VALUES (CAST(NULL AS BIGINT[]), CAST(1 AS BIGINT))"
    assert both(conn, f"SELECT list_contains(l, e) AS x FROM ({lists}) q(l, e)") == [(None,)]


def test_views_of_lists_that_differ_in_a_null_do_not_share_their_rows() -> None:
    lists = ["CAST([] AS BIGINT[])", "[CAST(NULL AS BIGINT)]", "[NULL, 1]", "[1]"]
    groups = [f"SELECT {n} AS c, count(*) AS n FROM t GROUP BY list_contains({x}, i)" for n, x in enumerate(lists)]
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, i BIGINT)")
        conn.execute("INSERT INTO t VALUES (1, 1), (2, NULL), (3, 2)")
        rows = [(0, 3), (1, 1), (1, 2), (2, 1), (2, 1), (2, 1), (3, 1), (3, 1), (3, 1)]
        assert both(conn, " UNION ALL ".join(groups)) == rows
        for n, x in enumerate(lists):
            conn.execute(f"CREATE MATERIALIZED VIEW keys{n} AS SELECT DISTINCT list_contains({x}, i) AS e FROM t")
        assert [conn.sql(f"SELECT count(*) FROM keys{n}").fetchall()[0][0] for n in range(4)] == [1, 2, 3, 3]


def test_a_quotient_of_decimals_has_the_digits_of_a_double(conn: laminardb.Connection) -> None:
    assert both(conn, "SELECT CAST(1 AS DECIMAL(18, 2)) / CAST(3 AS DECIMAL(18, 2)) AS q") == [(1 / 3,)]
    assert both(conn, "SELECT id, 7 / d AS q FROM t") == [(1, 7 / 1.5), (2, None), (3, 7 / 2.25)]
    assert both(conn, "SELECT sum(d) / count(d) AS q FROM t") == [(1.875,)]
    assert both(conn, "SELECT CAST(7.5 AS DECIMAL(10, 2)) % 2 AS m") == [(decimal.Decimal("1.50"),)]


def test_the_number_of_the_one_row_kept_is_in_the_result(conn: laminardb.Connection) -> None:
    ranked = "SELECT id, b, ROW_NUMBER() OVER (PARTITION BY b ORDER BY id) AS rn FROM t"
    assert both(conn, f"SELECT id, rn FROM ({ranked}) q WHERE rn <= 1") == [(1, 1), (2, 1), (3, 1)]
    assert both(conn, f"SELECT id, rn + 1 AS n FROM ({ranked}) q WHERE rn = 1") == [(1, 2), (2, 2), (3, 2)]
    assert both(conn, f"SELECT id FROM ({ranked}) q WHERE rn < 1") == []


def test_zeros_that_are_grouped_together_are_filtered_together() -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE g (k BIGINT, x DOUBLE)")
        conn.execute("INSERT INTO g VALUES (1, -0.0), (2, 0.0), (3, 1.0)")
        grouped = "SELECT x, n FROM (SELECT x, count(*) AS n FROM g GROUP BY x) q"
        assert both(conn, f"{grouped} WHERE CAST(x AS VARCHAR) = '-0.0'") == []
        assert both(conn, f"{grouped} WHERE CAST(x AS VARCHAR) = '0.0'") == [(0.0, 2)]
        assert both(conn, f"{grouped} WHERE x = 0") == [(0.0, 2)]
        # An equal key of the other side is not the same text.
        joined = "SELECT l.k, r.k AS other FROM g l JOIN g r ON l.x = r.x WHERE CAST(l.x AS VARCHAR) = '-0.0'"
        assert both(conn, joined) == [(1, 1), (1, 2)]


def test_a_constant_that_fails_is_an_error_only_where_it_is_reached(conn: laminardb.Connection) -> None:
    assert both(conn, "SELECT CASE WHEN id > 5 THEN CAST('x' AS BIGINT) ELSE 0 END AS x FROM t WHERE id = 1") == [(0,)]
    assert both(conn, "SELECT coalesce(id, CAST('x' AS BIGINT)) AS x FROM t") == [(1,), (2,), (3,)]
    with pytest.raises(laminardb.QueryError, match="'x'"):
        conn.query("SELECT CAST('x' AS BIGINT) AS x FROM t")


def test_no_column_is_called_as_what_expressions_share() -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE g (shared_1 BIGINT, k BIGINT)")
        conn.execute("INSERT INTO g VALUES (5, -3)")
        query = "SELECT abs(k + 1) * 2 AS a, abs(k + 1) * 3 AS b, shared_1 FROM g"
        assert both(conn, query) == [(4, 6, 5)]


def code(conn: laminardb.Connection, statement: str) -> int | None:
    """The code of the error of a statement, if it has one."""
    try:
        conn.execute(statement)
    except laminardb.LaminarError as error:
        return error.code
    return None


def test_a_panic_of_planning_is_a_typed_error(capfd: pytest.CaptureFixture[str], conn: laminardb.Connection) -> None:
    for query in ("SELECT DISTINCT ON (1) 1 AS a", "SELECT 1 AS a LIMIT 0", "SELECT EXISTS (SELECT 1 FROM t) AS e"):
        for statement in (query, f"CREATE OR REPLACE MATERIALIZED VIEW v AS {query}"):
            assert code(conn, statement) != 900, statement
    assert capfd.readouterr().err == ""
