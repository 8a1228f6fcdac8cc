"""Section 3 of the Python contract: exceptions, codes, and when which is raised."""

from __future__ import annotations

import builtins
import copy
import pickle
import re
import threading
from collections.abc import Callable

import laminardb
import pytest
from expect import fails
from laminardb import codes

SHAPE = re.compile(r"^[A-Z][A-Za-z ]+ \(\d{3}\): .")


def test_connection_error_is_not_the_builtin_one() -> None:
    assert not issubclass(laminardb.ConnectionError, builtins.ConnectionError)


def test_codes_of_classes_and_of_instances_are_apart() -> None:
    error = laminardb.SchemaError("x")
    error.code = 200
    assert (error.code, laminardb.SchemaError.code, laminardb.SchemaError("y").code) == (200, 203, 203)
    assert type(error.code) is int


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_and_copies_keep_code_and_text(conn: laminardb.Connection, protocol: int) -> None:
    with pytest.raises(laminardb.SchemaError) as caught:
        conn.schema("nope")
    for again in (pickle.loads(pickle.dumps(caught.value, protocol)), copy.copy(caught.value)):
        assert (type(again), again.code, str(again), again.args) == (
            laminardb.SchemaError,
            200,
            "Table not found (200): Table not found: nope",
            caught.value.args,
        )


def test_exceptions_made_in_python() -> None:
    error = laminardb.StreamError("one string")
    assert (error.args, str(error), error.code) == (("one string",), "one string", 600)


@pytest.fixture
def base(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE SOURCE s (a BIGINT, b VARCHAR)")
    conn.execute("CREATE TABLE t (a BIGINT NOT NULL, b VARCHAR)")
    conn.execute("CREATE MATERIALIZED VIEW m AS SELECT a, count(*) AS n FROM s GROUP BY a")
    return conn


CASES: dict[str, tuple[Callable[[laminardb.Connection], object], type[laminardb.LaminarError], int, str]] = {
    "not parsed": (lambda c: c.sql("SELEC 1"), laminardb.QueryError, 401, "SQL parse error (401): "),
    "not parsed in execute": (lambda c: c.execute("CREATE SOURCE ("), laminardb.QueryError, 401, "SQL parse error"),
    "unknown relation": (lambda c: c.sql("SELECT * FROM nope"), laminardb.QueryError, 400, "nope"),
    "unknown column": (lambda c: c.sql("SELECT nope FROM s"), laminardb.QueryError, 400, "nope"),
    "unknown function": (lambda c: c.sql("SELECT nope(a) FROM s"), laminardb.QueryError, 400, "nope"),
    "wrong types": (lambda c: c.sql("SELECT a + b FROM s"), laminardb.QueryError, 400, "Query failed (400): "),
    "ambiguous column": (lambda c: c.sql("SELECT a FROM s, t"), laminardb.QueryError, 400, "a"),
    "empty": (lambda c: c.sql(""), laminardb.QueryError, 400, "Query failed (400): Empty SQL statement"),
    "only a comment": (lambda c: c.execute("/* */ -- x"), laminardb.QueryError, 400, "Empty SQL statement"),
    "only semicolons": (lambda c: c.execute(" ;; "), laminardb.QueryError, 400, "Empty SQL statement"),
    "not supported": (lambda c: c.execute("ALTER TABLE t ADD COLUMN x INT"), laminardb.QueryError, 400, ""),
    "relation of a call": (
        lambda c: c.insert("nope", {"a": 1}),
        laminardb.SchemaError,
        200,
        "Table not found (200): Table not found: nope",
    ),
    "name taken": (lambda c: c.create_table("s", {"a": "int64"}), laminardb.SchemaError, 201, "Table exists (201): "),
    "insert into a view": (lambda c: c.insert("m", {"a": 1}), laminardb.SchemaError, 202, "Schema mismatch (202): "),
    "unknown type": (
        lambda c: c.create_table("x", {"a": "nope"}),
        laminardb.SchemaError,
        203,
        "Invalid schema (203): Unknown type: nope",
    ),
    "null in a column that takes none": (
        lambda c: c.insert("t", {"b": "x"}),
        laminardb.IngestionError,
        300,
        "Ingestion failed (300): ",
    ),
    "bad value": (
        lambda c: c.insert("s", {"a": "x"}),
        laminardb.IngestionError,
        302,
        "Batch schema mismatch (302): ",
    ),
    "not maintainable": (
        lambda c: c.execute("CREATE STREAM v AS SELECT a, random() AS r FROM s"),
        laminardb.StreamError,
        600,
        "Stream failed (600): ",
    ),
    "not maintainable in a subscription": (
        lambda c: c.subscribe("SELECT a, random() AS r FROM s"),
        laminardb.StreamError,
        600,
        "random",
    ),
    "connector": (
        lambda c: c.execute("CREATE SINK k FROM s WITH ('connector' = 'kafka')"),
        laminardb.ConnectorError,
        800,
        "Connector failed (800): ",
    ),
    "cancel of an unknown id": (lambda c: c.cancel_query(999), laminardb.SchemaError, 200, "not found"),
    "timeout": (
        lambda c: c.subscribe_stream("s").next_timeout(0),
        laminardb.SubscriptionError,
        502,
        "Subscription timeout (502): timeout",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_which_error_when(base: laminardb.Connection, case: str) -> None:
    call, kind, code, text = CASES[case]
    with pytest.raises(laminardb.LaminarError) as caught:
        call(base)
    assert (type(caught.value), caught.value.code) == (kind, code), caught.value
    assert text in str(caught.value)
    assert SHAPE.match(str(caught.value))
    assert base.list_tables() == ["s", "t"]
    assert base.list_streams() == ["m"]


def test_a_parse_error_says_line_and_column(conn: laminardb.Connection) -> None:
    with fails(laminardb.QueryError, 401, "at line 3, column "):
        conn.sql("SELECT\n1,\nFROM WHERE")


def test_errors_after_close_and_shutdown(base: laminardb.Connection) -> None:
    base.shutdown()
    with pytest.raises(laminardb.LaminarError) as caught:
        base.sql("SELECT 1")
    assert (type(caught.value), str(caught.value)) == (laminardb.LaminarError, "Shutdown (901): Database is shut down")
    base.close()
    with pytest.raises(laminardb.ConnectionError) as caught:
        base.sql("SELECT 1")
    assert (caught.value.code, str(caught.value)) == (101, "Connection is closed")


@pytest.mark.parametrize(
    "type_name",
    [
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "REAL",
        "DOUBLE",
        "DECIMAL(10,2)",
    ],
)
def test_division_and_modulo_by_zero_are_null(conn: laminardb.Connection, type_name: str) -> None:
    conn.execute(f"CREATE TABLE n (x {type_name}, z {type_name})")
    conn.execute("INSERT INTO n VALUES (1, 0)")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT x / z AS q, x % z AS r FROM n")
    assert conn.sql("SELECT x / z, x % z FROM n").fetchall() == [(None, None)]
    assert conn.sql("SELECT * FROM v").fetchall() == [(None, None)]


@pytest.mark.parametrize("expression", ["a + 1", "a * 2", "-a - 2", "CAST('x' || a AS BIGINT)", "CAST(a AS INT)"])
def test_a_failing_expression_fails_the_query(conn: laminardb.Connection, expression: str) -> None:
    conn.execute("CREATE TABLE n (a BIGINT)")
    conn.execute("INSERT INTO n VALUES (9223372036854775807)")
    with fails(laminardb.QueryError, 400):
        conn.sql(f"SELECT {expression} FROM n")


def test_reading_a_view_with_a_failing_row_names_view_expression_and_cause(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, s VARCHAR)")
    conn.execute("CREATE MATERIALIZED VIEW lengths AS SELECT id, CAST(s AS BIGINT) AS n FROM t")
    assert conn.insert("t", {"id": 1, "s": "seven"}) == 1
    with pytest.raises(laminardb.QueryError) as caught:
        conn.sql("SELECT * FROM lengths")
    assert caught.value.code == 400
    for part in ("lengths", "CAST", "seven"):
        assert part in str(caught.value)
    conn.execute("UPDATE t SET s = '7' WHERE id = 1")
    assert conn.sql("SELECT * FROM lengths").fetchall() == [(1, 7)]


def test_a_cancelled_query_raises_402(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    conn.insert("t", {"x": list(range(3000))})
    met: list[laminardb.LaminarError] = []
    slow = "SELECT count(*) FROM t a, t b, t c WHERE (a.x + b.x * c.x) % 7 = 3"

    def query() -> None:
        try:
            conn.sql(slow)
        except laminardb.LaminarError as error:
            met.append(error)

    thread = threading.Thread(target=query)
    thread.start()
    while not (running := [each for each in conn.queries() if each.active and each.sql == slow]):
        pass
    conn.cancel_query(running[0].id)
    thread.join(120)
    assert [(type(error), error.code) for error in met] == [(laminardb.QueryError, codes.QUERY_CANCELLED)]


def test_wrong_arguments_are_builtin_errors(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    for call in (
        lambda: conn.sql(1),
        lambda: conn.execute(None),
        lambda: conn.insert(1, {"a": 1}),
        lambda: conn.insert("t"),
        lambda: conn.subscribe(3),
        lambda: conn.cancel_query("1"),
        lambda: conn.query("SELECT 1", nope=1),
        lambda: conn.subscribe("SELECT a FROM t", max_pending="x"),
    ):
        with pytest.raises(TypeError):
            call()
    for call in (
        lambda: conn.cancel_query(-1),
        lambda: conn.sql("SELECT 1").fetchmany(-1),
        lambda: conn.sql("SELECT 1").show(max_rows=-1),
        lambda: conn.subscribe_stream("t").next_timeout(-1),
        lambda: conn.subscribe("SELECT a FROM t", max_pending=-1),
        lambda: conn.subscribe_stream("t", max_pending=-1),
    ):
        with pytest.raises(OverflowError):
            call()
