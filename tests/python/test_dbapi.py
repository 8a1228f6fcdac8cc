"""`laminardb.dbapi` and cursors, beyond what the checks of PEP 249 ask (API section 5.5)."""

from __future__ import annotations

import datetime
import pickle
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import laminardb
import pytest
from laminardb import dbapi


@pytest.fixture
def bank(conn: laminardb.Connection) -> laminardb.Connection:
    """A database with a table of two accounts."""
    conn.create_table("accounts", {"id": "int64", "amount": "int64"}, primary_key="id")
    conn.insert("accounts", {"id": [1, 2], "amount": [100, 0]})
    return conn


@pytest.fixture
def connection(bank: laminardb.Connection) -> Iterator[dbapi.Connection]:
    """A connection that begins transactions by itself."""
    made = dbapi.connect(bank)
    yield made
    made.close()


def amounts(of: Any) -> list[tuple[int, int]]:
    cursor: dbapi.Cursor = of.cursor()
    with cursor:
        return cursor.execute("SELECT id, amount FROM accounts ORDER BY id").fetchall()  # type: ignore[return-value]


# Transactions.


def test_commit_makes_the_writes_visible_to_others(bank: laminardb.Connection, connection: dbapi.Connection) -> None:
    other = dbapi.connect(bank)
    cursor = connection.cursor()
    cursor.execute("UPDATE accounts SET amount = 70 WHERE id = 1")
    connection.cursor().execute("UPDATE accounts SET amount = 30 WHERE id = 2")
    assert amounts(connection) == [(1, 70), (2, 30)]
    assert amounts(other) == amounts(bank) == [(1, 100), (2, 0)]
    before = bank.current_time
    connection.commit()
    assert amounts(other) == amounts(bank) == [(1, 70), (2, 30)]
    assert bank.current_time == before + 1


def test_rollback_takes_the_writes_back(connection: dbapi.Connection) -> None:
    connection.cursor().execute("DELETE FROM accounts")
    assert amounts(connection) == []
    connection.rollback()
    assert amounts(connection) == [(1, 100), (2, 0)]
    assert not connection.in_transaction


def test_close_takes_the_writes_back_and_leaves_the_database(
    bank: laminardb.Connection, connection: dbapi.Connection
) -> None:
    connection.cursor().execute("DELETE FROM accounts")
    connection.close()
    assert bank.transactions() == []
    assert amounts(bank) == [(1, 100), (2, 0)]


@pytest.mark.parametrize(
    ("sql", "begins"),
    [
        ("SELECT * FROM accounts", False),
        ("SHOW TABLES", False),
        ("CREATE TABLE t (a BIGINT)", False),
        ("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM accounts", False),
        ("INSERT INTO accounts VALUES (3, 0)", True),
        ("UPDATE accounts SET amount = 1", True),
        ("DELETE FROM accounts", True),
        ("TRUNCATE TABLE accounts", True),
        ("CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)", True),
        ("BEGIN", True),
        ("INSERT INTO accounts VALUES (3, 0); COMMIT", False),
        ("BEGIN; INSERT INTO accounts VALUES (3, 0); ROLLBACK", False),
    ],
)
def test_what_begins_a_transaction(connection: dbapi.Connection, sql: str, begins: bool) -> None:
    connection.cursor().execute(sql)
    assert connection.in_transaction is begins


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO accounts VALUES (3)",
        "INSERT INTO nowhere VALUES (3)",
        "INSERT INTO accounts VALUES (3, 0); SELECT * FROM nowhere",
        "UPDATE accounts SET amount = CAST('x' AS BIGINT)",
    ],
)
def test_a_failed_first_write_leaves_no_transaction(
    bank: laminardb.Connection, connection: dbapi.Connection, sql: str
) -> None:
    with pytest.raises(dbapi.ProgrammingError):
        connection.cursor().execute(sql)
    assert not connection.in_transaction
    assert bank.transactions() == []
    assert amounts(bank) == [(1, 100), (2, 0)]


def test_a_failed_later_write_leaves_the_transaction_open(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO accounts VALUES (3, 5)")
    with pytest.raises(dbapi.Error):
        cursor.execute("INSERT INTO accounts VALUES (4)")
    assert connection.in_transaction
    connection.commit()
    assert len(amounts(connection)) == 3


def test_a_block_commits_or_rolls_back_and_does_not_close(
    bank: laminardb.Connection, connection: dbapi.Connection
) -> None:
    with connection as entered:
        entered.cursor().execute("UPDATE accounts SET amount = 1 WHERE id = 1")
    assert amounts(bank) == [(1, 1), (2, 0)]
    with pytest.raises(dbapi.ProgrammingError), connection:
        connection.cursor().execute("DELETE FROM accounts").fetchone()
    assert amounts(connection) == [(1, 1), (2, 0)]


def test_autocommit_is_switched_outside_transactions(bank: laminardb.Connection, connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    assert connection.autocommit is False
    connection.autocommit = True
    cursor.execute("UPDATE accounts SET amount = 1 WHERE id = 1")
    assert not connection.in_transaction
    assert amounts(bank) == [(1, 1), (2, 0)]
    connection.autocommit = False
    cursor.execute("UPDATE accounts SET amount = 2 WHERE id = 1")
    with pytest.raises(dbapi.ProgrammingError, match="inside a transaction"):
        connection.autocommit = True
    assert connection.autocommit is False
    connection.rollback()
    assert amounts(bank) == [(1, 1), (2, 0)]


def test_another_connection_waits_for_the_right_to_write_and_is_told_who_has_it() -> None:
    config = laminardb.LaminarConfig(lock_timeout=0.05)
    with laminardb.open(":memory:", config=config) as database:
        database.execute("CREATE TABLE t (a BIGINT)")
        first, second = dbapi.connect(database), dbapi.connect(database)
        first.cursor().execute("INSERT INTO t VALUES (1)")
        with pytest.raises(dbapi.OperationalError) as raised:
            second.cursor().execute("INSERT INTO t VALUES (2)")
        assert raised.value.code == laminardb.codes.TIMEOUT
        assert threading.current_thread().name in str(raised.value)
        first.commit()
        second.cursor().execute("INSERT INTO t VALUES (2)")
        second.commit()
        assert database.sql("SELECT count(*) FROM t").fetchone() == (2,)


def test_a_connection_is_in_no_transaction_of_the_calling_context(bank: laminardb.Connection) -> None:
    other = dbapi.connect(bank)
    with bank.transaction():
        bank.execute("DELETE FROM accounts")
        assert amounts(other) == [(1, 100), (2, 0)]
        assert not other.in_transaction


def test_a_connection_that_is_dropped_with_an_open_transaction_rolls_it_back(bank: laminardb.Connection) -> None:
    connection = dbapi.connect(bank)
    connection.cursor().execute("DELETE FROM accounts")
    kept = [connection]
    del connection
    with pytest.warns(ResourceWarning, match="transaction"):
        kept.clear()
    assert bank.transactions() == []
    assert amounts(bank) == [(1, 100), (2, 0)]


# The cursor of a native connection.


def test_a_native_cursor_commits_each_statement(bank: laminardb.Connection) -> None:
    with bank.cursor() as cursor:
        assert cursor.connection is bank
        cursor.execute("UPDATE accounts SET amount = 1 WHERE id = 1")
        assert not cursor.in_transaction
        assert amounts(bank) == [(1, 1), (2, 0)]


def test_the_transaction_of_a_native_cursor_is_its_own(bank: laminardb.Connection) -> None:
    cursor = bank.cursor()
    cursor.execute("BEGIN")
    cursor.execute("DELETE FROM accounts")
    assert cursor.in_transaction
    assert not bank.in_transaction
    assert amounts(bank) == [(1, 100), (2, 0)]
    cursor.execute("COMMIT")
    assert amounts(bank) == []
    cursor.begin()
    cursor.execute("INSERT INTO accounts VALUES (1, 1)")
    cursor.close()
    assert amounts(bank) == []
    assert bank.transactions() == []


def test_a_native_cursor_takes_part_in_the_transaction_around_it(bank: laminardb.Connection) -> None:
    cursor = bank.cursor()
    with bank.transaction() as inside:
        cursor.execute("DELETE FROM accounts")
        assert cursor.in_transaction
        assert amounts(inside) == []
        inside.rollback()
    assert amounts(bank) == [(1, 100), (2, 0)]


def test_the_cursor_of_a_transaction_is_inside_it_from_any_thread(bank: laminardb.Connection) -> None:
    with bank.transaction() as inside:
        thread = threading.Thread(target=lambda: inside.cursor().execute("DELETE FROM accounts"))
        thread.start()
        thread.join()
        assert amounts(inside) == []
        assert amounts(dbapi.connect(bank)) == [(1, 100), (2, 0)]
    assert amounts(bank) == []


# Fetching.


def test_rows_are_fetched_from_a_position_on(conn: laminardb.Connection) -> None:
    cursor = conn.cursor()
    cursor.execute("VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
    assert (cursor.rowcount, cursor.arraysize) == (10, 1)
    rows = [cursor.fetchone(), *cursor.fetchmany(), *cursor.fetchmany(2)]
    cursor.arraysize = 3
    rows += cursor.fetchmany()
    rows.append(next(cursor))
    assert cursor.fetchmany(0) == []
    rows += list(cursor)
    assert rows == [(number,) for number in range(10)]
    assert (cursor.fetchone(), cursor.fetchmany(5), cursor.fetchall(), list(cursor)) == (None, [], [], [])
    with pytest.raises(OverflowError):
        cursor.fetchmany(-1)


def test_big_results_are_fetched_whole(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.insert("t", {"a": list(range(150_000))})
    cursor = conn.cursor().execute("SELECT a FROM t ORDER BY a")
    rows = cursor.fetchmany(1) + cursor.fetchmany(70_000)
    while some := cursor.fetchmany(9_999):
        rows += some
    assert rows == [(number,) for number in range(150_000)]


def test_the_rest_goes_to_libraries(conn: laminardb.Connection, pd: Any, pl: Any, pa: Any) -> None:
    for read, column in (
        (lambda cursor: cursor.df(), lambda frame: list(frame["a"])),
        (lambda cursor: cursor.arrow(), lambda rows: rows.column("a").to_pylist()),
        (lambda cursor: cursor.pl(), lambda frame: frame["a"].to_list()),
    ):
        cursor = conn.cursor().execute("SELECT * FROM (VALUES (1), (2), (3)) AS t(a) ORDER BY a")
        cursor.fetchone()
        assert column(read(cursor)) == [2, 3]
        assert cursor.fetchone() is None


@pytest.mark.parametrize("sql", [None, "CREATE TABLE t (a BIGINT)", "DELETE FROM accounts"])
@pytest.mark.parametrize("fetch", ["fetchone", "fetchmany", "fetchall", "__next__", "df", "arrow", "pl"])
def test_without_a_result_set_there_is_nothing_to_fetch(
    bank: laminardb.Connection, sql: str | None, fetch: str
) -> None:
    cursor = bank.cursor()
    if sql is not None:
        cursor.execute(sql)
    assert cursor.description is None
    with pytest.raises(dbapi.ProgrammingError, match="no results to fetch") as raised:
        getattr(cursor, fetch)()
    assert isinstance(raised.value, laminardb.QueryError)
    assert raised.value.code == 400


def test_a_failed_statement_leaves_no_rows_of_the_one_before(conn: laminardb.Connection) -> None:
    cursor = conn.cursor().execute("SELECT 1")
    with pytest.raises(dbapi.ProgrammingError):
        cursor.execute("SELECT nothing")
    assert (cursor.description, cursor.rowcount) == (None, -1)


def test_rowcount(bank: laminardb.Connection) -> None:
    cursor = bank.cursor()
    assert cursor.rowcount == -1
    for sql, count in [
        ("SELECT * FROM accounts", 2),
        ("UPDATE accounts SET amount = 1", 2),
        ("DELETE FROM accounts WHERE id = 7", 0),
        ("CREATE TABLE t (a BIGINT)", -1),
        ("SHOW TABLES", 2),
    ]:
        assert cursor.execute(sql).rowcount == count
    assert cursor.lastrowid is None


# Types and parameters.

TYPES: list[tuple[str, Any, str, Any]] = [
    ("BOOLEAN", True, "BOOLEAN", dbapi.NUMBER),
    ("TINYINT", 1, "TINYINT", dbapi.NUMBER),
    ("SMALLINT", 1, "SMALLINT", dbapi.NUMBER),
    ("INT", 1, "INTEGER", dbapi.NUMBER),
    ("BIGINT", 1, "BIGINT", dbapi.NUMBER),
    ("UTINYINT", 1, "UTINYINT", dbapi.NUMBER),
    ("USMALLINT", 1, "USMALLINT", dbapi.NUMBER),
    ("UINTEGER", 1, "UINTEGER", dbapi.NUMBER),
    ("UBIGINT", 1, "UBIGINT", dbapi.NUMBER),
    ("REAL", 1.5, "REAL", dbapi.NUMBER),
    ("DOUBLE", 1.5, "DOUBLE", dbapi.NUMBER),
    ("DECIMAL(10, 2)", Decimal("1.50"), "DECIMAL(10,2)", dbapi.NUMBER),
    ("VARCHAR", "a", "VARCHAR", dbapi.STRING),
    ("JSON", '{"a": 1}', "VARCHAR", dbapi.STRING),
    ("BLOB", dbapi.Binary(b"\x00\xff"), "BLOB", dbapi.BINARY),
    ("DATE", dbapi.Date(2024, 2, 29), "DATE", dbapi.DATETIME),
    ("TIME", dbapi.Time(1, 2, 3), "TIME", dbapi.DATETIME),
    ("TIMESTAMP", dbapi.Timestamp(2024, 2, 29, 1, 2, 3), "TIMESTAMP", dbapi.DATETIME),
    ("TIMESTAMP(3)", dbapi.Timestamp(2024, 2, 29, 1, 2, 3), "TIMESTAMP(3)", dbapi.DATETIME),
    (
        "TIMESTAMPTZ",
        datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.UTC),
        "TIMESTAMPTZ",
        dbapi.DATETIME,
    ),
    ("BIGINT[]", [1, 2], "BIGINT[]", None),
    ("STRUCT(a BIGINT)", {"a": 1}, "STRUCT(a BIGINT)", None),
]
OBJECTS = [dbapi.STRING, dbapi.BINARY, dbapi.NUMBER, dbapi.DATETIME, dbapi.ROWID]


@pytest.mark.parametrize(("sql", "value", "name", "kind"), TYPES, ids=[row[0] for row in TYPES])
def test_description_and_values_of_every_type(
    conn: laminardb.Connection, sql: str, value: Any, name: str, kind: Any
) -> None:
    cursor = conn.cursor()
    cursor.execute(f"CREATE TABLE t (k BIGINT PRIMARY KEY, x {sql})")
    cursor.execute("INSERT INTO t VALUES (?, ?), (?, ?)", (1, value, 2, None))
    cursor.execute("SELECT x, k FROM t ORDER BY k")
    assert cursor.description is not None
    column, key = cursor.description
    precision_and_scale = (10, 2) if sql.startswith("DECIMAL") else (None, None)
    assert column == ("x", name, None, None, *precision_and_scale, True)
    assert key == ("k", "BIGINT", None, None, None, None, False)
    assert [other for other in OBJECTS if column[1] == other] == ([] if kind is None else [kind])
    assert cursor.fetchall() == [(value, 1), (None, 2)]


def test_an_interval_is_a_time(conn: laminardb.Connection) -> None:
    cursor = conn.cursor().execute("SELECT INTERVAL '1' DAY AS x")
    assert cursor.description is not None
    assert cursor.description[0][1] == dbapi.DATETIME


def test_type_objects_are_no_keys_of_dicts() -> None:
    """They equal several strings, which have different hashes."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(dbapi.STRING)
    assert dbapi.STRING == dbapi.STRING
    assert dbapi.STRING != dbapi.NUMBER
    assert repr(dbapi.STRING) == "laminardb.dbapi.STRING"


def test_constructors_from_ticks_are_local_times() -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 30, 15)
    ticks = moment.timestamp()
    assert dbapi.TimestampFromTicks(ticks) == moment
    assert dbapi.DateFromTicks(ticks) == moment.date()
    assert dbapi.TimeFromTicks(ticks) == moment.time()


def test_parameters_of_both_kinds(conn: laminardb.Connection) -> None:
    cursor = conn.cursor()
    assert cursor.execute("SELECT ? + ?", (1, 2)).fetchone() == (3,)
    assert cursor.execute("SELECT $2 - $1", [1, 3]).fetchone() == (2,)
    assert cursor.execute("SELECT $a + $b", {"a": 1, "b": 2}).fetchone() == (3,)
    assert cursor.execute("SELECT CAST(? AS BIGINT) IS NULL", (None,)).fetchone() == (True,)
    assert cursor.execute("SELECT 1").fetchone() == cursor.execute("SELECT 1", {}).fetchone() == (1,)
    for parameters in ((), (1, 2), {"a": 1}):
        with pytest.raises(dbapi.ProgrammingError):
            cursor.execute("SELECT ?", parameters)


# executemany.


def test_executemany_is_one_write(bank: laminardb.Connection) -> None:
    before = bank.current_time
    cursor = bank.cursor().executemany("INSERT INTO accounts VALUES (?, ?)", ((id, 0) for id in range(10, 60)))
    assert cursor.rowcount == 50
    assert bank.current_time == before + 1
    assert len(amounts(bank)) == 52


def test_executemany_writes_nothing_if_one_fails(bank: laminardb.Connection) -> None:
    cursor = bank.cursor()
    with pytest.raises(dbapi.Error):
        cursor.executemany("INSERT INTO accounts VALUES (?, ?)", [(10, 0), (11, "not a number")])
    assert not cursor.in_transaction
    assert amounts(bank) == [(1, 100), (2, 0)]


def test_executemany_asks_for_its_parameters_before_it_begins(bank: laminardb.Connection) -> None:
    def parameters() -> Iterator[tuple[int, int]]:
        bank.insert("accounts", {"id": [3], "amount": [0]})
        assert bank.transactions() == []
        yield 4, 0

    bank.cursor().executemany("INSERT INTO accounts VALUES (?, ?)", parameters())
    assert len(amounts(bank)) == 4


def test_executemany_is_part_of_the_transaction(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO accounts VALUES (?, ?)", [(3, 0), (4, 0)])
    assert connection.in_transaction
    cursor.executemany("DELETE FROM accounts WHERE id = $id", [{"id": 1}, {"id": 2}])
    assert cursor.rowcount == 2
    assert amounts(connection) == [(3, 0), (4, 0)]
    connection.rollback()
    with pytest.raises(dbapi.Error):
        cursor.executemany("INSERT INTO accounts VALUES (?, ?)", [(3, 0), (4, "x")])
    assert not connection.in_transaction
    assert amounts(connection) == [(1, 100), (2, 0)]


def test_executemany_of_nothing_does_nothing(connection: dbapi.Connection) -> None:
    assert connection.cursor().executemany("INSERT INTO accounts VALUES (?, ?)", []).rowcount == 0
    assert not connection.in_transaction


@pytest.mark.parametrize("sql", ["SELECT ?", "SHOW TABLES", "COMMIT", "CREATE TABLE t (a BIGINT)"])
@pytest.mark.parametrize("autocommit", [True, False])
def test_executemany_is_for_writes(bank: laminardb.Connection, sql: str, autocommit: bool) -> None:
    connection = dbapi.connect(bank, autocommit=autocommit)
    with pytest.raises(dbapi.ProgrammingError):
        connection.cursor().executemany(sql, [(1,)] if "?" in sql else [()])
    assert not connection.in_transaction
    assert amounts(bank) == [(1, 100), (2, 0)]


# Ends.


def test_a_closed_cursor_is_of_no_use(bank: laminardb.Connection) -> None:
    cursor = bank.cursor().execute("SELECT 1")
    cursor.close()
    cursor.close()
    for call in (
        lambda: cursor.execute("SELECT 1"),
        lambda: cursor.executemany("SELECT ?", [(1,)]),
        cursor.fetchone,
        cursor.fetchmany,
        cursor.fetchall,
        cursor.begin,
        cursor.commit,
        cursor.rollback,
        lambda: next(cursor),
    ):
        with pytest.raises(dbapi.InterfaceError, match="Cursor is closed") as raised:
            call()
        assert raised.value.code == 101
    assert not bank.is_closed


def test_a_closed_connection_is_of_no_use(connection: dbapi.Connection) -> None:
    cursor = connection.cursor().execute("SELECT 1")
    connection.close()
    connection.close()
    calls: list[Callable[[], Any]] = [
        connection.cursor,
        connection.commit,
        connection.rollback,
        lambda: connection.in_transaction,
        lambda: setattr(connection, "autocommit", True),
        lambda: cursor.execute("SELECT 1"),
        lambda: cursor.executemany("SELECT ?", [(1,)]),
    ]
    for call in calls:
        with pytest.raises(dbapi.InterfaceError) as raised:
            call()
        assert isinstance(raised.value, laminardb.ConnectionError)
        assert raised.value.code == 101


def test_the_end_of_the_database_ends_its_connections(tmp_path: Path) -> None:
    database = laminardb.open(":memory:")
    connection, cursor = dbapi.connect(database), database.cursor()
    database.close()
    with pytest.raises(dbapi.InterfaceError):
        connection.cursor()
    with pytest.raises(dbapi.InterfaceError):
        cursor.execute("SELECT 1")
    with pytest.raises(dbapi.InterfaceError):
        dbapi.connect(database)


def test_connect_opens_a_database_of_its_own_and_closes_it(tmp_path: Path) -> None:
    for database in (":memory:", str(tmp_path / "db"), tmp_path / "db"):
        connection = dbapi.connect(database, config=laminardb.LaminarConfig(workers=2))
        connection.cursor().execute("CREATE TABLE t (a BIGINT)")
        connection.close()
        with pytest.raises(dbapi.InterfaceError):
            connection.commit()


def test_connect_refuses_a_configuration_of_an_open_database(conn: laminardb.Connection) -> None:
    with pytest.raises(TypeError, match="config"):
        dbapi.connect(conn, config=laminardb.LaminarConfig())
    with pytest.raises(TypeError):
        dbapi.connect(conn, isolation_level=None)  # type: ignore[call-arg]


# Threads.


def test_threads_share_a_connection(bank: laminardb.Connection) -> None:
    connection = dbapi.connect(bank)
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for id in range(first, first + 20):
                connection.cursor().execute("INSERT INTO accounts VALUES (?, 0)", (id,))
                assert (id, 0) in amounts(connection)
        except BaseException as error:
            errors.append(error)

    connection.cursor().execute("DELETE FROM accounts")
    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert amounts(bank) == [(1, 100), (2, 0)]
    connection.commit()
    assert len(amounts(bank)) == 80
    connection.close()


# Exceptions.

WRONG: list[tuple[str, type[Exception], type[Exception], int]] = [
    ("SELEC 1", dbapi.ProgrammingError, laminardb.QueryError, 401),
    ("SELECT * FROM nowhere", dbapi.ProgrammingError, laminardb.QueryError, 400),
    ("SELECT CAST('x' AS BIGINT)", dbapi.ProgrammingError, laminardb.QueryError, 400),
    ("INSERT INTO accounts VALUES (1, 1)", dbapi.IntegrityError, laminardb.QueryError, 400),
    ("INSERT INTO accounts VALUES (3, 1), (3, 2)", dbapi.IntegrityError, laminardb.QueryError, 400),
    ("INSERT INTO accounts VALUES (NULL, 1)", dbapi.IntegrityError, laminardb.QueryError, 400),
    ("INSERT INTO accounts (amount) VALUES (1)", dbapi.IntegrityError, laminardb.QueryError, 400),
    ("UPDATE accounts SET id = NULL", dbapi.IntegrityError, laminardb.QueryError, 400),
    ("UPDATE accounts SET id = 1", dbapi.IntegrityError, laminardb.QueryError, 400),
    ("CREATE TABLE accounts (a BIGINT)", dbapi.ProgrammingError, laminardb.SchemaError, 201),
    ("CREATE TABLE t (a BIGINT, a BIGINT)", dbapi.ProgrammingError, laminardb.SchemaError, 203),
    ("CREATE STREAM v AS SELECT random() AS x FROM accounts", dbapi.NotSupportedError, laminardb.StreamError, 600),
    ("CREATE SOURCE s (a BIGINT) WITH (connector = 'kafka')", dbapi.NotSupportedError, laminardb.ConnectorError, 800),
    ("CHECKPOINT", dbapi.OperationalError, laminardb.CheckpointError, 700),
]


@pytest.mark.parametrize(("sql", "pep", "ours", "code"), WRONG, ids=[row[0] for row in WRONG])
def test_an_error_is_of_both_hierarchies(
    bank: laminardb.Connection, sql: str, pep: type[Exception], ours: type[laminardb.LaminarError], code: int
) -> None:
    with pytest.raises(laminardb.LaminarError) as plain:
        bank.execute(sql)
    with pytest.raises(pep) as raised:
        bank.cursor().execute(sql)
    error = raised.value
    assert isinstance(error, dbapi.DatabaseError)
    assert isinstance(error, ours)
    assert error.code == code == plain.value.code
    assert str(error) == str(plain.value)
    assert type(error.__cause__) is type(plain.value)
    others = set(laminardb.LaminarError.__subclasses__()) - {dbapi.DatabaseError, dbapi.InterfaceError, ours}
    assert not isinstance(error, tuple(others))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.code, str(copy)) == (type(error), code, str(error))


def test_exceptions_have_the_hierarchy_of_pep_249() -> None:
    assert dbapi.Error is laminardb.LaminarError
    assert not issubclass(dbapi.Warning, dbapi.Error)
    assert issubclass(dbapi.InterfaceError, dbapi.Error)
    assert not issubclass(dbapi.InterfaceError, dbapi.DatabaseError)
    for name in ("Data", "Operational", "Integrity", "Internal", "Programming", "NotSupported"):
        assert issubclass(getattr(dbapi, f"{name}Error"), dbapi.DatabaseError)
        assert getattr(dbapi.Connection, f"{name}Error") is getattr(dbapi, f"{name}Error")


def test_a_shut_down_database_is_an_operational_error(conn: laminardb.Connection) -> None:
    cursor = conn.cursor()
    conn.shutdown()
    with pytest.raises(dbapi.OperationalError) as raised:
        cursor.execute("SELECT 1")
    assert raised.value.code == 901
