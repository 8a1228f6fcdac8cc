"""Exceptions: classes, codes, messages, pickling (API section 3)."""

from __future__ import annotations

import pickle

import laminardb
import pytest
from laminardb import codes

CLASSES = {
    "ConnectionError": 100,
    "SchemaError": 203,
    "IngestionError": 300,
    "QueryError": 400,
    "SubscriptionError": 500,
    "StreamError": 600,
    "CheckpointError": 700,
    "ConnectorError": 800,
    "LaminarError": 900,
}

CODES = {
    "CONNECTION_FAILED": 100,
    "CONNECTION_CLOSED": 101,
    "CONNECTION_IN_USE": 102,
    "TABLE_NOT_FOUND": 200,
    "TABLE_EXISTS": 201,
    "SCHEMA_MISMATCH": 202,
    "INVALID_SCHEMA": 203,
    "INGESTION_FAILED": 300,
    "WRITER_CLOSED": 301,
    "BATCH_SCHEMA_MISMATCH": 302,
    "QUERY_FAILED": 400,
    "SQL_PARSE_ERROR": 401,
    "QUERY_CANCELLED": 402,
    "SUBSCRIPTION_FAILED": 500,
    "SUBSCRIPTION_CLOSED": 501,
    "SUBSCRIPTION_TIMEOUT": 502,
    "SUBSCRIPTION_LAGGED": 503,
    "STREAM_FAILED": 600,
    "CHECKPOINT_FAILED": 700,
    "CONNECTOR_FAILED": 800,
    "INTERNAL_ERROR": 900,
    "SHUTDOWN": 901,
    "TIMEOUT": 902,
    "MEMORY_LIMIT": 903,
}


def test_codes() -> None:
    assert {name: getattr(codes, name) for name in dir(codes) if name.isupper()} == CODES


@pytest.mark.parametrize(("name", "code"), CLASSES.items())
def test_classes_made_in_python(name: str, code: int) -> None:
    cls = getattr(laminardb, name)
    assert cls.__module__ == "laminardb"
    assert cls.__bases__ == ((Exception,) if name == "LaminarError" else (laminardb.LaminarError,))
    error = cls("boom")
    assert error.code == code
    assert str(error) == "boom"
    error.code = 999
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.code, str(again)) == (cls, 999, "boom")
    with pytest.raises(laminardb.LaminarError):
        raise cls("boom")


def failing(conn: laminardb.Connection, sql: str) -> laminardb.LaminarError:
    with pytest.raises(laminardb.LaminarError) as error:
        conn.execute(sql)
    return error.value


def test_engine_errors_pickle_with_code_and_text(conn: laminardb.Connection) -> None:
    error = failing(conn, "SELECT * FROM nope")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.code, str(again)) == (type(error), error.code, str(error))


def test_syntax_error(conn: laminardb.Connection) -> None:
    error = failing(conn, "SELECT 1,\n FROM WHERE")
    assert type(error) is laminardb.QueryError
    assert error.code == codes.SQL_PARSE_ERROR
    assert str(error).startswith("SQL parse error (401): ")
    assert "line 2" in str(error).lower()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM nope",
        "SELECT nope FROM t",
        "SELECT nope(a) FROM t",
        "SELECT a + 'x' FROM t WHERE a LIKE 3",
        "",
        "-- nothing",
        "ALTER TABLE t ADD COLUMN c INT",
        "SET x = 1",
    ],
)
def test_query_errors(conn: laminardb.Connection, sql: str) -> None:
    conn.execute("CREATE TABLE t (a BIGINT, b VARCHAR)")
    error = failing(conn, sql)
    assert type(error) is laminardb.QueryError, error
    assert error.code == codes.QUERY_FAILED, error


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
            "not supported: WITH RECURSIVE",
        ),
        ("SELECT DISTINCT ON (b) a FROM t", "not supported: DISTINCT ON in a query that runs once; create a view"),
    ],
)
def test_a_query_that_is_not_run_is_called_by_its_name(conn: laminardb.Connection, sql: str, text: str) -> None:
    conn.execute("CREATE TABLE t (a BIGINT, b VARCHAR)")
    for statement in (sql, f"CREATE TABLE u AS {sql}", f"SELECT * FROM ({sql}) s"):
        assert text in str(failing(conn, statement))


def test_empty_text(conn: laminardb.Connection) -> None:
    assert "Empty SQL statement" in str(failing(conn, "  "))


def test_schema_errors(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    with pytest.raises(laminardb.SchemaError) as error:
        conn.create_table("t", {"a": "int64"})
    assert error.value.code == codes.TABLE_EXISTS
    with pytest.raises(laminardb.SchemaError) as error:
        conn.insert("nope", {"a": 1})
    assert error.value.code == codes.TABLE_NOT_FOUND
    assert str(error.value) == "Table not found (200): Table not found: nope"
    with pytest.raises(laminardb.SchemaError) as error:
        conn.schema("nope")
    assert error.value.code == codes.TABLE_NOT_FOUND
    with pytest.raises(laminardb.SchemaError) as error:
        conn.subscribe_stream("nope")
    assert error.value.code == codes.TABLE_NOT_FOUND
    with pytest.raises(laminardb.QueryError) as query_error:
        conn.query_stream("nope")
    assert query_error.value.code == codes.QUERY_FAILED


def test_a_query_that_cannot_be_maintained(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (a BIGINT)")
    for make in (
        "CREATE MATERIALIZED VIEW v AS SELECT a, random() AS r FROM t",
        "CREATE STREAM v AS SELECT a, now() AS n FROM t",
    ):
        error = failing(conn, make)
        assert type(error) is laminardb.StreamError, error
        assert error.code == codes.STREAM_FAILED
    assert conn.list_streams() == []


def test_connectors(conn: laminardb.Connection) -> None:
    error = failing(conn, "CREATE SOURCE k (a BIGINT) WITH ('connector' = 'kafka')")
    assert type(error) is laminardb.ConnectorError, error
    assert error.code == codes.CONNECTOR_FAILED
    assert conn.list_tables() == []


def test_query_does_not_execute_what_is_no_query(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (a BIGINT)")
    for sql in ("CREATE SOURCE s (a INT)", "INSERT INTO t VALUES (1)", "DROP TABLE t", "SELECT 1; DROP TABLE t"):
        with pytest.raises(laminardb.QueryError) as error:
            conn.sql(sql)
        assert error.value.code == codes.QUERY_FAILED
    assert conn.list_tables() == ["t"]
    assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,)


def test_live_errors_of_a_view(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, text VARCHAR)")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT id, CAST(text AS BIGINT) AS n FROM t")
    conn.insert("t", {"id": [1, 2], "text": ["1", "2"]})
    sub = conn.subscribe_stream("v")
    assert conn.insert("t", {"id": 3, "text": "x"}) == 1
    with pytest.raises(laminardb.QueryError, match="v") as error:
        conn.sql("SELECT * FROM v")
    assert error.value.code == codes.QUERY_FAILED
    with pytest.raises(laminardb.StreamError) as stream_error:
        sub.next()
    assert stream_error.value.code == codes.STREAM_FAILED
    assert sub.next() is None
    assert not sub.is_active
    conn.delete("t", {"id": 3})
    assert sorted(conn.sql("SELECT * FROM v").fetchall()) == [(1, 1), (2, 2)]


# The function decides before it makes room for the text; without that the process ended, or the engine stopped.
def test_a_row_with_a_senseless_length_harms_no_other(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT id, lpad('ab', n, 'x') AS padded FROM t")
    conn.insert("t", {"id": [1, 2, 3, 4], "n": [4, -1, 10**12, None]})
    with pytest.raises(laminardb.QueryError, match=r"lpad would make more than 134217728 characters; the row is"):
        conn.query("SELECT * FROM v")
    conn.delete("t", {"id": [3]})
    padded = [(1, "xxab"), (2, ""), (4, None)]
    assert conn.query("SELECT * FROM v ORDER BY id").fetchall() == padded
    assert conn.query("SELECT id, lpad('ab', n, 'x') FROM t ORDER BY id").fetchall() == padded


def test_division_by_zero_is_null(conn: laminardb.Connection) -> None:
    assert conn.sql("SELECT 1 / 0 AS a, 1 % 0 AS b, 1.0 / 0 AS c").fetchone() == (None, None, None)


def test_overflow_fails_a_query(conn: laminardb.Connection) -> None:
    with pytest.raises(laminardb.QueryError) as error:
        conn.sql("SELECT a + a FROM (VALUES (9223372036854775807)) AS t(a)")
    assert error.value.code == codes.QUERY_FAILED


def test_division_by_zero_is_null_of_columns_that_are_not(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (a BIGINT NOT NULL, b BIGINT NOT NULL)")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT a, a / b AS q, (a / b) IS NULL AS n FROM t")
    conn.insert("t", {"a": [1, 2], "b": [0, 1]})
    expected = [(1, None, True), (2, 2, False)]
    assert sorted(conn.sql("SELECT a, a / b AS q, (a / b) IS NULL AS n FROM t").fetchall()) == expected
    assert sorted(conn.sql("SELECT * FROM v").fetchall()) == expected
    assert conn.sql("SELECT a FROM t WHERE a / b IS NULL").fetchall() == [(1,)]


@pytest.fixture
def skipping(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, text VARCHAR)")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT id, CAST(text AS BIGINT) AS n FROM t WITH ('on_error' = 'skip')")
    return conn


def total_errors(conn: laminardb.Connection, view: str = "v") -> int:
    metrics = conn.stream_metrics(view)
    assert metrics is not None
    return metrics.total_errors


def test_rows_left_out_are_listed_and_counted(skipping: laminardb.Connection) -> None:
    assert skipping.errors("v") == []
    skipping.insert("t", {"id": [1, 2, 3], "text": ["1", "x", "y"]})
    errors = skipping.errors("V")
    assert [set(error) for error in errors] == [{"row", "expression", "message"}] * 2
    assert [error["row"] for error in errors] == ["(2, x)", "(3, y)"]
    assert all("CAST" in error["expression"].upper() and error["message"] for error in errors)
    assert total_errors(skipping) == 2
    assert skipping.sql("SELECT * FROM v").fetchall() == [(1, 1)]


def test_a_row_that_is_gone_stays_listed(skipping: laminardb.Connection) -> None:
    skipping.insert("t", {"id": 1, "text": "x"})
    skipping.insert("t", {"id": 1, "text": "1"})
    skipping.insert("t", {"id": 1, "text": "y"})
    assert [error["row"] for error in skipping.errors("v")] == ["(1, x)", "(1, y)"]
    assert total_errors(skipping) == 2


def test_the_last_thousand_rows_left_out_are_listed(skipping: laminardb.Connection) -> None:
    skipping.insert("t", {"id": list(range(700)), "text": ["x"] * 700})
    skipping.insert("t", {"id": list(range(700, 1400)), "text": ["y"] * 700})
    errors = skipping.errors("v")
    assert len(errors) == 1000
    assert [error["row"].endswith("y)") for error in errors] == [False] * 300 + [True] * 700
    assert total_errors(skipping) == 1400


def test_equal_rows_left_out_count_each(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE s (text VARCHAR)")
    conn.insert("s", {"text": ["x", "x", "1"]})
    conn.execute("CREATE STREAM v AS SELECT CAST(text AS BIGINT) AS n FROM s WITH ('on_error' = 'skip')")
    assert [error["row"] for error in conn.errors("v")] == ["(x)", "(x)"]
    conn.insert("s", {"text": ["x"]})
    assert len(conn.errors("v")) == 3
    assert total_errors(conn) == 3


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_left_out_with_any_number_of_workers(workers: int) -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers)) as conn:
        conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, text VARCHAR)")
        conn.execute(
            "CREATE MATERIALIZED VIEW v AS SELECT sum(CAST(text AS BIGINT)) AS n FROM t WITH ('on_error' = 'skip')"
        )
        conn.insert("t", {"id": list(range(60)), "text": ["1", "x", "z"] * 20})
        for text in ("x", "y"):
            conn.insert("t", {"id": 1, "text": text})
        assert len(conn.errors("v")) == total_errors(conn) == 41
        assert conn.sql("SELECT n FROM v").fetchone() == (20,)


def test_only_a_view_that_skips_leaves_rows_out(skipping: laminardb.Connection) -> None:
    skipping.execute("CREATE MATERIALIZED VIEW strict AS SELECT CAST(text AS BIGINT) AS n FROM t")
    skipping.execute("CREATE MATERIALIZED VIEW above AS SELECT n + 1 AS m FROM v")
    skipping.execute("CREATE VIEW plain AS SELECT * FROM t")
    skipping.insert("t", {"id": 1, "text": "x"})
    assert (skipping.errors("strict"), skipping.errors("above")) == ([], [])
    assert (total_errors(skipping, "strict"), total_errors(skipping, "above")) == (0, 0)
    for name, code in (("t", codes.SCHEMA_MISMATCH), ("plain", codes.SCHEMA_MISMATCH), ("nope", codes.TABLE_NOT_FOUND)):
        with pytest.raises(laminardb.SchemaError) as error:
            skipping.errors(name)
        assert error.value.code == code


def test_rows_left_out_of_a_closed_connection(skipping: laminardb.Connection) -> None:
    skipping.insert("t", {"id": 1, "text": "x"})
    skipping.shutdown()
    assert total_errors(skipping) == 1
    with pytest.raises(laminardb.LaminarError) as error:
        skipping.errors("v")
    assert error.value.code == codes.SHUTDOWN
    skipping.close()
    with pytest.raises(laminardb.ConnectionError):
        skipping.errors("v")


@pytest.mark.parametrize(("condition", "kind"), [("v", "BIGINT"), ("s", "VARCHAR"), ("excluded.v + 1", "BIGINT")])
def test_a_condition_of_on_conflict_is_a_boolean(
    conn: laminardb.Connection, capfd: pytest.CaptureFixture[str], condition: str, kind: str
) -> None:
    conn.execute("CREATE TABLE t (x BIGINT PRIMARY KEY, v BIGINT, s VARCHAR)")
    conn.execute("INSERT INTO t VALUES (1, 1, 'a')")
    upsert = "INSERT INTO t VALUES (1, 2, 'b') ON CONFLICT (x) DO UPDATE SET v = 9 WHERE "
    with pytest.raises(laminardb.QueryError, match=f"ON CONFLICT is of type {kind}, not BOOLEAN"):
        conn.execute(upsert + condition)
    for nothing in ("NULL", "FALSE", "v > NULL"):
        conn.execute(upsert + nothing)
        assert conn.sql("SELECT v FROM t").fetchall() == [(1,)]
    conn.execute(upsert + "v = 1")
    assert conn.sql("SELECT v FROM t").fetchall() == [(9,)]
    assert capfd.readouterr().err == ""
