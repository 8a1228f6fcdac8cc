"""Times, intervals, patterns and numbers against DuckDB: in queries that run once and in views, from columns.

Every expression is read as text, of a column of each row. What differs on purpose is in docs/sql.md.
"""

from __future__ import annotations

import contextlib
import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import laminardb
import pytest
from laminardb import codes

COLUMNS = (
    "id BIGINT, ts TIMESTAMP, ms TIMESTAMP_MS, s TIMESTAMP_S, ns TIMESTAMP_NS, tz TIMESTAMPTZ, d DATE, tm TIME, "
    "x VARCHAR, p VARCHAR, z VARCHAR, f DOUBLE, r REAL, n DECIMAL(10, 3), i INTEGER, b TINYINT, u UINTEGER"
)
ROWS = [
    "1, TIMESTAMP '2024-03-31 02:30:15.5', CAST('2024-03-31 02:30:15.5' AS TIMESTAMP_MS), "
    "CAST('2024-03-31 02:30:15' AS TIMESTAMP_S), CAST('2024-03-31 02:30:15.123456789' AS TIMESTAMP_NS), "
    "TIMESTAMPTZ '2024-03-31 02:30:15.5+00', DATE '2024-03-31', TIME '10:20:30.25', 'C:Users', 'C:\\\\Users', "
    "'Europe/Berlin', 2.675, 2.5, 1.255, 155, 7, 25",
    "2, TIMESTAMP '1969-12-31 23:59:59.4', CAST('1969-12-31 23:59:59.4' AS TIMESTAMP_MS), "
    "CAST('1969-12-31 23:59:59' AS TIMESTAMP_S), CAST('1969-12-31 23:59:59.9999995' AS TIMESTAMP_NS), "
    "TIMESTAMPTZ '2024-10-27 00:30:00+00', DATE '1900-02-28', TIME '00:00:00', 'C:\\Users', 'C:\\\\Users', "
    "'America/New_York', -2.5, -1.5, -155.500, -155, -7, 0",
    "3, TIMESTAMP '290000-05-05 10:20:30.123456', CAST('9999-12-31 23:59:59.999' AS TIMESTAMP_MS), "
    "CAST('9999-12-31 23:59:59' AS TIMESTAMP_S), CAST('2262-01-01 00:00:00' AS TIMESTAMP_NS), "
    "TIMESTAMPTZ '9999-12-31 12:00:00+00', DATE '9999-12-31', TIME '23:59:59.999999', 'a.b', 'a\\.b', "
    "'UTC', 1e300, 0.125, 9999999.999, 2147483647, 127, 4294967295",
    "4, TIMESTAMP '0001-01-01 00:00:00', CAST('0001-01-01 00:00:00' AS TIMESTAMP_MS), "
    "CAST('0001-01-01 00:00:00' AS TIMESTAMP_S), CAST('1700-01-01 00:00:00' AS TIMESTAMP_NS), "
    "TIMESTAMPTZ '1800-01-01 00:00:00+00', DATE '-0005-05-05', TIME '12:00:00', 'axb', 'a\\.b', "
    "'Asia/Kathmandu', 1.115, 1.5, 0.500, 0, 0, 1",
    "5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '.*', NULL, NULL, NULL, NULL, NULL, NULL, NULL",
]
PARTS = [
    "millennium",
    "century",
    "decade",
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "millisecond",
    "microsecond",
    "isoyear",
    "yearweek",
    "dow",
    "isodow",
    "doy",
]

EXPRESSIONS = [
    # Casts to a coarser unit round; those to a finer one are exact.
    *(f"CAST({column} AS TIMESTAMP_S)" for column in ("ts", "ms", "s")),
    *(f"CAST({column} AS TIMESTAMP_MS)" for column in ("ts", "s")),
    *(f"CAST({column} AS TIMESTAMP)" for column in ("ms", "s", "ns", "tz", "d")),
    *(f"CAST({column} AS DATE)" for column in ("ts", "ms", "s", "tz")),
    *(f"CAST({column} AS TIME)" for column in ("ts", "ms", "s")),
    # What is added to a coarse timestamp is not lost.
    *(f"{column} + INTERVAL '1 microsecond'" for column in ("ms", "s", "ns", "tz", "d")),
    *(f"{column} - INTERVAL '1 month 1 second'" for column in ("ts", "ms", "s", "ns", "tz", "d")),
    "INTERVAL '1 day' + ms",
    *(
        f"ts + INTERVAL {literal}"
        for literal in ("'10:00'", "'3 days ago'", "'1 day -1:30'", "'1' QUARTER", "'1.5 weeks'")
    ),
    *(f"ts + INTERVAL {literal}" for literal in ("'5' SECOND", "90 MINUTE", "'1 year 2 mons 3 days 04:05:06.789'")),
    "ts - INTERVAL '1 year'",
    "tm + INTERVAL '13 hours'",
    "ms + (TIMESTAMP '2024-01-01 00:00:00.000001' - TIMESTAMP '2024-01-01')",
    "d + (TIMESTAMP '2024-01-01 00:00:00.000001' - TIMESTAMP '2024-01-01')",
    *("d + 1", "d - 1", "1 + d", "d + i % 10", "d - DATE '1970-01-01'"),
    *("d + tm", "tm + d", "d - TIMESTAMP '1990-01-01'", "ms - DATE '1990-01-01'", "ms - s", "ms - ms", "d - d"),
    *("d + NULL", "NULL + d", "d - NULL", "ts + NULL", "NULL + ts", "ts - NULL"),
    # Far dates, with every part of every type.
    *(f"date_trunc('{part}', {column})" for part in PARTS for column in ("ts", "ms", "d", "tz")),
    *(f"date_part('{part}', {column})" for part in (*PARTS, "epoch", "julian", "era") for column in ("ts", "tz", "d")),
    *(f"date_part('{part}', tm)" for part in ("hour", "minute", "second", "millisecond", "microsecond", "epoch")),
    "extract(century FROM d)",
    "extract('isoyear' FROM ts)",
    "date_trunc('month', ts - TIMESTAMP '1990-01-01')",
    "extract(day FROM ms - TIMESTAMP '2024-01-01')",
    "make_date(i % 9000 + 200, 1, 2)",
    # Zones.
    "ts AT TIME ZONE 'Europe/Berlin'",
    "tz AT TIME ZONE 'Europe/Berlin'",
    "CAST(tz AT TIME ZONE 'Europe/Berlin' AS TIMESTAMP)",
    "ts AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York'",
    "tz AT TIME ZONE z",
    "ts AT TIME ZONE z",
    "d AT TIME ZONE 'Europe/Berlin'",
    "timezone('Asia/Kathmandu', ts)",
    "timezone(z, tz)",
    # A backslash is one of the pattern, in a literal as in a column.
    *(f"x {operator} 'C:\\\\Users'" for operator in ("~", "!~")),
    *(f"x {operator} p" for operator in ("~", "!~")),
    *("x ~ '.*'", "NOT (x ~ '.*')", "x ~ NULL", "'C:Users' ~ p"),
    "regexp_replace(x, 'C:\\\\(U)', '<\\1>')",
    # Powers.
    *(
        "i % 5 ^ 2",
        "-2 ^ 2",
        "2 ^ 3 ^ 2",
        "2 ** 3",
        "2 * 3 ^ 2",
        "i % 7 ^ -1",
        "xor(i, b)",
        "xor(b, b - 1)",
        "mod(i, 7)",
    ),
    # Signs.
    *("+i", "+n", "+NULL", "+f", "-n", "-b"),
    # Numbers: the type decides how many digits are shown.
    *(f"{function}({column})" for function in ("floor", "ceil", "round", "trunc", "abs", "sign") for column in "frnib"),
    *(f"{function}(u)" for function in ("floor", "ceil", "trunc", "abs", "sign")),
    *(f"{function}(n, {n})" for function in ("round", "trunc") for n in (-5, -1, 0, 2, 5)),
    *(f"{function}(f, {n})" for function in ("round", "trunc") for n in (-1, 0, 2, 400)),
    *("round(r, 1)", "round(i % 1000, -2)", "trunc(i, -1)", "round(-i % 1000, -1)", "gcd(i, 35)", "lcm(b, 3)"),
    *("greatest(b, i)", "least(n, i)", "greatest(d, ts)", "greatest(f, r)", "greatest(i, NULL)", "nullif(b, 7)"),
    *("nullif(i, n)", "sqrt(abs(f))", "power(i % 10, 2)", "pow(0, -1)"),
    # Texts.
    *(f"CAST({column} AS VARCHAR)" for column in ("ts", "ms", "s", "ns", "tz", "d", "tm", "f", "r", "n")),
    *("ts - TIMESTAMP '2000-01-01'", "CAST(d AS VARCHAR)", "[d, NULL]", "[x, '', 'null']", "[ts]"),
    "CAST(CAST(n AS VARCHAR) AS DECIMAL(12, 1))",
    "CAST(CAST(i AS BOOLEAN) AS DECIMAL(5, 2))",
    "CAST(n AS BOOLEAN)",
]


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[laminardb.Connection, duckdb.DuckDBPyConnection]]:
    theirs = duckdb.connect()
    theirs.execute("SET TimeZone = 'UTC'")
    ours = laminardb.open(":memory:")
    for connection in (theirs, ours):
        connection.execute(f"CREATE TABLE t ({COLUMNS})")
    for number, expression in enumerate(EXPRESSIONS):
        view = f"CREATE MATERIALIZED VIEW v{number} AS SELECT id, CAST({expression} AS VARCHAR) AS e FROM t"
        # Its own test finds it missing.
        with contextlib.suppress(laminardb.LaminarError):
            ours.execute(view)
    for row in ROWS:
        ours.execute(f"INSERT INTO t VALUES ({row})")
        theirs.execute(f"INSERT INTO t VALUES ({row})")
    yield ours, theirs
    ours.close()


def rows(connection: Any, query: str) -> Counter[tuple[Any, ...]]:
    result = connection.execute(query) if isinstance(connection, duckdb.DuckDBPyConnection) else connection.sql(query)
    return Counter(tuple(row) for row in result.fetchall())


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_has_the_values_of_duckdb(both: Any, expression: str) -> None:
    ours, theirs = both
    query = f"SELECT id, CAST({expression} AS VARCHAR) AS e FROM t"
    expected = rows(theirs, query)
    assert rows(ours, query) == expected
    assert rows(ours, f"SELECT * FROM v{EXPRESSIONS.index(expression)}") == expected
    # Conditions are evaluated on other rows, and folded where they are constant.
    condition = f"SELECT id FROM t WHERE CAST({expression} AS VARCHAR) IS NOT NULL"
    assert rows(ours, condition) == rows(theirs, condition)
    groups = f"SELECT CAST({expression} AS VARCHAR) AS e, count(*) AS n FROM t GROUP BY CAST({expression} AS VARCHAR)"
    assert rows(ours, groups) == rows(theirs, groups)


TEXTS = {
    "DATE": "2024-01-05|2024-1-5|2024/01/05|2024 01 05|20240105|2024-01-05 10:00|2024-01-05x|2024-02-30|0005-01-01 (BC)|"
    "-0001-01-01|290000-01-01|5874897-01-01|epoch|2024-01|x",
    "TIME": "10:00|1:2|1:2:3|10|10:00:00.1234567|23:59:60|10:00:00+02|2024-01-05T10:00:00|100:00:00",
    "TIMESTAMP": "2024-01-05 10:00|2024-01-05 10|2024-1-5 1:2:3|2024-01-05T10:00Z|2024-01-05 10:00:00.1234567|20240105|"
    "2024-01-05 10:00+02|2024-01-05 24:00:00|2024-01-05 10:60|2024-01-05x|290000-01-01|300000-01-01|0000-01-01|now|",
    "TIMESTAMPTZ": "2024-01-05 10:00|2024-01-05 10:00+02|2024-01-05 10:00+0230|2024-01-05 10:00:00-02:30:15|"
    "2024-01-05 10:00 Europe/Berlin|2024-07-05 10:00 Europe/Berlin|2024-01-05 10:00 Nowhere|2024-01-05 10:00+2",
    "TIMESTAMP_S": "2024-01-05 10:00:00.5|1969-12-31 23:59:59.4|2024-01-05 10:00:00.4999999",
    "INTERVAL": "1 day|1d|1 day 2 hours|3 days ago|1.5 months|1.5 years|10:00|100:00:00.5|1 day -1:30|-1.5 days|1|@ 1 week|"
    "1 century|1 fortnight|1 2|P1D|99999999999 days|1.55555555 seconds|| 1 day ",
    "DECIMAL(10, 2)": "1e3|1.005|-2.5e-1|1e|e3|.5|5.|+5",
    "BLOB": "ab|\\xAB|\\xZZ|a\\b|",
    "BOOLEAN": "true|T|yes|n|0|1|2|x",
}


@pytest.mark.parametrize("data_type", TEXTS)
def test_texts_are_cast_or_refused_as_by_duckdb(data_type: str) -> None:
    theirs = duckdb.connect()
    theirs.execute("SET TimeZone = 'UTC'")
    with laminardb.open(":memory:") as ours:
        for connection in (theirs, ours):
            connection.execute("CREATE TABLE t (x VARCHAR)")
        for text in TEXTS[data_type].split("|"):
            quoted = f"'{text}'"
            for connection in (theirs, ours):
                connection.execute("DELETE FROM t")
                connection.execute(f"INSERT INTO t VALUES ({quoted})")
            for x in (quoted, "x"):
                tried = f"SELECT CAST(TRY_CAST({x} AS {data_type}) AS VARCHAR) AS e FROM t"
                assert rows(ours, tried) == rows(theirs, tried), text
                cast = f"SELECT CAST(CAST({x} AS {data_type}) AS VARCHAR) AS e FROM t"
                if rows(theirs, tried)[(None,)]:
                    with pytest.raises(laminardb.QueryError) as refused:
                        rows(ours, cast)
                    assert refused.value.code == codes.QUERY_FAILED, text
                else:
                    assert rows(ours, cast) == rows(theirs, cast), text


@pytest.mark.parametrize(
    ("expression", "cause"),
    [
        ("date_trunc('foo', ts)", "'foo' is no part of a time"),
        ("extract(foo FROM ts)", "found foo"),
        ("extract('foo' FROM ts)", "'foo' is no part of a time"),
        ("date_part('year', tm)", "TIME has no year"),
        ("date_trunc('era', ts)", "has no era"),
        ("ts AT TIME ZONE 'Nowhere'", "there is no time zone 'Nowhere'"),
        ("ts AT TIME ZONE '+02'", "there is no time zone '+02'"),
        ("tm AT TIME ZONE 'UTC'", "there is no function timezone"),
        ("x ~ '('", "is no regular expression"),
        ("CAST(ts AS BIGINT)", "a TIMESTAMP cannot be cast to BIGINT"),
        ("CAST(i AS TIMESTAMP)", "a INTEGER cannot be cast to TIMESTAMP"),
        ("CAST(x AS BIGINT[])", "a VARCHAR cannot be cast to BIGINT[]"),
        ("xor(true, false)", "there is no function xor"),
        ("round(x)", "there is no function round"),
        ("+ x", "+"),
        ("+ true", "+"),
        ("i # 3", "xor(a, b) in place of a # b"),
    ],
)
def test_what_is_wrong_for_every_row_is_refused_when_a_view_is_created(expression: str, cause: str) -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute(f"CREATE TABLE t ({COLUMNS})")
        for statement in ("SELECT {} AS e FROM t", "CREATE MATERIALIZED VIEW v AS SELECT {} AS e FROM t"):
            with pytest.raises(laminardb.LaminarError) as refused:
                conn.execute(statement.format(expression))
            assert cause in str(refused.value)


def test_a_zone_that_a_row_names_wrongly_is_an_error_of_the_row() -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, z VARCHAR)")
        conn.execute("CREATE MATERIALIZED VIEW v AS SELECT id, TIMESTAMP '2024-01-01' AT TIME ZONE z AS e FROM t")
        conn.execute("INSERT INTO t VALUES (1, 'UTC'), (2, 'Nowhere')")
        with pytest.raises(laminardb.QueryError, match="there is no time zone 'Nowhere'"):
            conn.sql("SELECT * FROM v").fetchall()
        conn.execute("DELETE FROM t WHERE id = 2")
        assert len(conn.sql("SELECT * FROM v").fetchall()) == 1


def test_a_condition_of_far_dates_deletes_the_rows_it_says() -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, d DATE, a TIMESTAMP, b TIMESTAMP)")
        conn.execute(
            "INSERT INTO t VALUES (1, DATE '9999-12-31', TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-02 12:00:00'), "
            "(2, DATE '2024-01-05', TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-01 12:00:00'), "
            "(3, DATE '0001-01-01', TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-02')"
        )
        conn.execute("DELETE FROM t WHERE date_trunc('century', d) = TIMESTAMP '9900-01-01'")
        assert rows(conn, "SELECT id FROM t") == Counter({(2,): 1, (3,): 1})
        conn.execute("UPDATE t SET d = d + 1 WHERE b - a >= INTERVAL '24 hours'")
        assert rows(conn, "SELECT id, d FROM t") == Counter(
            {(2, datetime.date(2024, 1, 5)): 1, (3, datetime.date(1, 1, 2)): 1}
        )
