"""The SQLAlchemy dialect: addresses, the ORM, transactions, reflection, types, what is refused, and the suite."""

from __future__ import annotations

import datetime
import decimal
import doctest
import enum
import importlib.util
import itertools
import os
import re
import subprocess
import sys
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import laminardb
import laminardb.sqlalchemy
import pytest
import sqlalchemy as sa
from laminardb.sqlalchemy import STRUCT, UBIGINT, engine, insert
from laminardb.sqlalchemy._dialect import OPTIONS
from sqlalchemy import exc
from sqlalchemy.dialects import registry
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

HERE = Path(__file__).parent
SUITE = HERE / "sqlalchemy_suite"
PAGE = HERE.parents[1] / "docs" / "sqlalchemy.md"

# The entry point of the package is not there when the tests run on a copy of its files.
registry.register("laminardb", "laminardb.sqlalchemy", "LaminarDialect")

NUMBERS = itertools.count(1)


class Base(DeclarativeBase):
    pass


class Room(Base):
    __tablename__ = "rooms"
    id: Mapped[int] = mapped_column(primary_key=True, default=NUMBERS.__next__)
    name: Mapped[str]
    devices: Mapped[list[Device]] = relationship(back_populates="room", order_by="Device.id")


class Device(Base):
    __tablename__ = "devices"
    id: Mapped[int] = mapped_column(primary_key=True, default=NUMBERS.__next__)
    room_id: Mapped[int] = mapped_column(sa.ForeignKey("rooms.id"))
    room: Mapped[Room] = relationship(back_populates="devices")


@pytest.fixture
def memory() -> Iterator[sa.Engine]:
    """An engine on a new database in memory."""
    made = sa.create_engine("laminardb://", laminardb_ignore_constraints=True)
    yield made
    made.dispose()


@pytest.fixture
def rooms(memory: sa.Engine) -> sa.Engine:
    """An engine whose database has the tables of the models."""
    Base.metadata.create_all(memory)
    return memory


# Addresses and the database behind an engine


def test_all_connections_and_threads_of_an_engine_share_one_database(memory: sa.Engine) -> None:
    with memory.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT PRIMARY KEY)")

    def write(number: int) -> None:
        with memory.begin() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (:id)"), {"id": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(50)))
    with memory.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM t")) == 50


def test_two_engines_in_memory_have_two_databases(memory: sa.Engine) -> None:
    with memory.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT)")
    other = sa.create_engine("laminardb://")
    assert sa.inspect(memory).get_table_names() == ["t"]
    assert sa.inspect(other).get_table_names() == []
    other.dispose()


def test_dispose_gives_the_database_up_and_leaves_checked_out_connections_at_work(memory: sa.Engine) -> None:
    with memory.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT)")
        memory.dispose()
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        assert connection.exec_driver_sql("SELECT id FROM t").all() == [(1,)]
    assert sa.inspect(memory).get_table_names() == []


@pytest.mark.parametrize("form", ["laminardb:///{relative}", "laminardb:///{absolute}"])
def test_an_address_has_a_path_and_settings(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = form.format(relative="data", absolute=tmp_path / "data")
    made = sa.create_engine(f"{address}?checkpoint_interval_ms=0&workers=2")
    with made.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT)")
        connection.exec_driver_sql("CHECKPOINT")
    assert list((tmp_path / "data").glob("**/checkpoint_1"))
    made.dispose()


def test_the_options_of_an_address_are_the_fields_of_the_configuration() -> None:
    fields = {name for name in vars(laminardb.LaminarConfig) if not name.startswith("_")}
    assert set(OPTIONS) == fields


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("laminardb://?speed=9", "speed is no option of laminardb"),
        ("laminardb://?workers=many", "the option workers is 'many', which is no int"),
        ("laminardb://?workers=1&workers=2", "the option workers is given 2 times"),
        ("laminardb://data.db", "an address of laminardb has no host"),
        ("laminardb://me@/data", "an address of laminardb has no username"),
    ],
)
def test_an_address_that_means_something_else_is_refused(address: str, message: str) -> None:
    with pytest.raises(exc.ArgumentError, match=re.escape(message)):
        sa.create_engine(address)


def test_connect_args_take_a_configuration_and_nothing_else() -> None:
    config = laminardb.LaminarConfig(workers=2)
    made = sa.create_engine("laminardb://", connect_args={"config": config})
    with made.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    made.dispose()
    for address, arguments in (("laminardb://", {"timeout": 1}), ("laminardb://?workers=1", {"config": config})):
        with pytest.raises(exc.ArgumentError, match="connect_args"):
            sa.create_engine(address, connect_args=arguments).connect()


def test_an_engine_on_an_open_database_shares_it_and_leaves_it_open(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"id": "int64"}, primary_key="id")
    made = engine(conn)
    with made.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    assert conn.sql("SELECT * FROM t").fetchall() == [(1,)]
    made.dispose()
    assert not conn.is_closed


def test_a_closed_database_is_a_disconnect_and_is_not_replaced_by_an_empty_one(conn: laminardb.Connection) -> None:
    made = engine(conn)
    connection = made.connect()
    conn.close()
    with pytest.raises(exc.DBAPIError) as caught:
        connection.exec_driver_sql("SELECT 1")
    assert caught.value.connection_invalidated
    with pytest.raises(exc.DBAPIError):
        made.connect()


# Transactions


def test_a_session_commits_and_rolls_back(rooms: sa.Engine) -> None:
    with Session(rooms) as session:
        hall = Room(name="hall", devices=[Device(), Device()])
        session.add(hall)
        session.commit()
        hall.name = "attic"
        session.delete(hall.devices[0])
        session.flush()
        assert session.scalars(sa.select(Room.name)).all() == ["attic"]
        session.rollback()
        assert session.scalars(sa.select(Room.name)).all() == ["hall"]
        assert session.scalar(sa.select(sa.func.count()).select_from(Device)) == 2
        session.delete(hall.devices[1])
        session.commit()
    with Session(rooms) as session:
        assert session.scalars(sa.select(Room).join(Room.devices)).one().devices[0].room.name == "hall"


def test_definitions_share_a_transaction_with_each_other_and_not_with_writes(memory: sa.Engine) -> None:
    with memory.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT)")
        connection.exec_driver_sql("CREATE TABLE u (id BIGINT)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with pytest.raises(exc.DBAPIError, match="definitions cannot be changed inside a transaction"):
            connection.exec_driver_sql("DROP TABLE u")


def test_autocommit_writes_at_once(memory: sa.Engine) -> None:
    with memory.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.exec_driver_sql("CREATE TABLE u (id BIGINT)")
        connection.rollback()
    with memory.connect() as connection:
        assert connection.get_isolation_level() == "READ COMMITTED"
        assert connection.exec_driver_sql("SELECT * FROM t").all() == [(1,)]


def test_serializable_transactions_that_read_and_write_lose_no_update(memory: sa.Engine) -> None:
    with memory.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 0)")
    serializable = memory.execution_options(isolation_level="SERIALIZABLE")

    def count(_: int) -> None:
        with serializable.begin() as connection:
            n = connection.exec_driver_sql("SELECT n FROM t").scalar_one()
            connection.exec_driver_sql("UPDATE t SET n = ?", (n + 1,))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(40)))
    with memory.connect() as connection:
        assert connection.exec_driver_sql("SELECT n FROM t").scalar() == 40


def test_savepoints_and_two_phases_are_refused(memory: sa.Engine) -> None:
    with memory.connect() as connection, pytest.raises(exc.CompileError, match="savepoints"):
        connection.begin_nested()
    with memory.connect() as connection, pytest.raises(exc.CompileError, match="two-phase"):
        connection.begin_twophase()


# Reflection


def test_relations_of_all_kinds_are_reflected(memory: sa.Engine) -> None:
    with memory.begin() as connection:
        for statement in (
            'CREATE TABLE "Plants, green" (a INTEGER, "b, c" VARCHAR NOT NULL, PRIMARY KEY ("b, c", a))',
            "CREATE SOURCE readings (ts TIMESTAMP, value DOUBLE)",
            "CREATE VIEW warm AS SELECT * FROM readings WHERE value > 25",
            "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM warm",
            "CREATE STREAM s AS SELECT value FROM readings",
        ):
            connection.exec_driver_sql(statement)
    inspector = sa.inspect(memory)
    assert inspector.get_schema_names() == ["main"]
    assert inspector.get_table_names() == inspector.get_table_names("main") == ["Plants, green", "readings"]
    assert inspector.get_table_names("other") == []
    assert inspector.get_view_names() == ["warm"]
    assert sorted(inspector.get_materialized_view_names()) == ["n", "s"]
    assert inspector.get_view_definition("warm") == "SELECT * FROM readings WHERE value > 25"
    assert inspector.get_view_definition("n") == "SELECT count(*) AS n FROM warm"
    assert inspector.get_pk_constraint("Plants, green")["constrained_columns"] == ["b, c", "a"]
    assert [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns("n")] == [("n", "BIGINT", False)]
    assert inspector.get_indexes("warm") == inspector.get_foreign_keys("warm") == []
    assert [inspector.has_table(name) for name in ("readings", "warm", "n", "none")] == [True, True, True, False]
    for call in (inspector.get_columns, inspector.get_pk_constraint, inspector.get_indexes):
        with pytest.raises(exc.NoSuchTableError):
            call("none")


def test_a_maintained_view_is_read_as_a_table(memory: sa.Engine) -> None:
    with memory.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (k VARCHAR, x BIGINT)")
        connection.exec_driver_sql("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(x) AS s FROM t GROUP BY k")
    t, sums = (sa.Table(name, sa.MetaData(), autoload_with=memory) for name in ("t", "sums"))
    with memory.begin() as connection:
        connection.execute(sa.insert(t), [{"k": "a", "x": 1}, {"k": "a", "x": 2}, {"k": "b", "x": 3}])
    with memory.connect() as connection:
        assert connection.execute(sa.select(sums).order_by(sums.c.k)).all() == [("a", 3), ("b", 3)]


def test_sqlalchemy_makes_maintained_views(memory: sa.Engine) -> None:
    metadata = sa.MetaData()
    t = sa.Table("t", metadata, sa.Column("k", sa.String), sa.Column("at", sa.DateTime))
    late = sa.select(t.c.k, sa.func.count().label("n")).where(t.c.at > datetime.datetime(2026, 1, 1)).group_by(t.c.k)
    view = sa.CreateView(late, "late", metadata=metadata, materialized=True)
    metadata.create_all(memory)
    with memory.begin() as connection:
        connection.execute(t.insert(), [{"k": "a", "at": datetime.datetime(2026, 1, 2)}, {"k": "b", "at": None}])
    with memory.connect() as connection:
        assert connection.execute(sa.select(view.table)).all() == [("a", 1)]
    metadata.drop_all(memory)
    assert sa.inspect(memory).get_materialized_view_names() == []


# Types and expressions


class Colour(enum.Enum):
    RED = 1


TYPES = [
    (sa.Boolean, True, "BOOLEAN"),
    (sa.SmallInteger, -3, "SMALLINT"),
    (UBIGINT, 2**64 - 1, "UBIGINT"),
    (sa.Float, 0.1, "DOUBLE"),
    (sa.Float(10), 0.5, "REAL"),
    (sa.Numeric(12, 2), decimal.Decimal("1.50"), "DECIMAL(12, 2)"),
    (sa.String(3), "longer", "VARCHAR"),
    (sa.LargeBinary, b"\x00\xff", "BLOB"),
    (sa.Date, datetime.date(2026, 1, 2), "DATE"),
    (sa.Time, datetime.time(1, 2, 3, 4), "TIME"),
    (sa.DateTime, datetime.datetime(2026, 1, 2, 3, 4, 5, 6), "TIMESTAMP"),
    (sa.DateTime(timezone=True), datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "TIMESTAMPTZ"),
    (sa.Uuid, uuid.UUID(int=7), "VARCHAR"),
    (sa.Enum(Colour), Colour.RED, "VARCHAR"),
    (sa.JSON, {"a": [1, None]}, "JSON"),
    (sa.ARRAY(sa.Integer), [1, None], "INTEGER[]"),
    (sa.ARRAY(sa.String, dimensions=2), [["a"], []], "VARCHAR[][]"),
    (STRUCT("a BIGINT"), {"a": 1}, "STRUCT(a BIGINT)"),
    (sa.Interval(native=False), datetime.timedelta(days=1, microseconds=2), "TIMESTAMP"),
]


@pytest.mark.parametrize(("type_", "value", "reflected"), TYPES)
def test_values_of_a_type_come_back_and_its_column_is_reflected(
    memory: sa.Engine, type_: Any, value: object, reflected: str
) -> None:
    t = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", type_))
    t.create(memory)
    with memory.begin() as connection:
        connection.execute(t.insert(), [{"id": 1, "x": value}, {"id": 2, "x": None}])
    with memory.connect() as connection:
        assert connection.execute(sa.select(t.c.x).order_by(t.c.id)).all() == [(value,), (None,)]
    column = sa.inspect(memory).get_columns("t")[1]
    assert column["type"].compile(memory.dialect) == reflected


def test_intervals_are_values_of_queries(memory: sa.Engine) -> None:
    start, day = datetime.datetime(2026, 1, 1), datetime.timedelta(days=1, seconds=5)
    with memory.connect() as connection:
        assert connection.scalar(sa.select(sa.literal(start) + sa.literal(day))) == start + day
        assert connection.scalar(sa.select(sa.literal(start + day) - sa.literal(start))) == day


@pytest.mark.parametrize("text", ["a/b", "100%", "a_b", "back\\slash", "//", "it's"])
def test_a_pattern_that_another_character_escapes_means_itself(memory: sa.Engine, text: str) -> None:
    column = sa.literal(f"<{text}>")
    others = [sa.literal(other) for other in ("<axb>", "<100x>", "<>", "<back/slash>", "</>")]
    with memory.connect() as connection:
        for escape in (None, "^", "\\", "x"):
            if escape is None or escape not in text:
                assert connection.scalar(sa.select(column.contains(text, autoescape=True, escape=escape)))
                for other in others:
                    assert not connection.scalar(sa.select(other.contains(text, autoescape=True, escape=escape)))


def test_expressions_that_are_written_differently_here(memory: sa.Engine) -> None:
    seven, text = sa.literal(7), sa.literal("Abc")
    cases = [
        (seven / 2, 3.5),
        (seven // 2, 3),
        (seven % 4, 3),
        (seven.bitwise_xor(2), 5),
        (seven.bitwise_not(), -8),
        (text.ilike("aB%"), True),
        (text.regexp_match("b.$"), True),
        (~text.regexp_match("^B", flags="i"), True),
        (text.regexp_replace("[bc]", "x", flags="g"), "Axx"),
        (sa.tuple_(seven, text).in_([(7, "Abc"), (8, "x")]), True),
        (seven.in_([]), False),
        (sa.literal([5, 6], sa.ARRAY(sa.Integer))[2], 6),
        (sa.func.current_date() == sa.func.current_date(), True),
    ]
    with memory.connect() as connection:
        for expression, expected in cases:
            assert connection.scalar(sa.select(expression)) == expected, str(expression)


def test_names_are_quoted_where_the_database_needs_it(memory: sa.Engine) -> None:
    names = ["Mixed", "with space", "select", "interval", "trim", 'a "quote"', "per%cent", "ünï", "1st"]
    for name in names:
        t = sa.Table(name, sa.MetaData(), sa.Column(name, sa.Integer))
        t.create(memory)
        with memory.begin() as connection:
            connection.execute(t.insert(), {name: 1})
            assert connection.execute(sa.select(t.alias().c[name].label(name))).one()._mapping[name] == 1
    assert sa.inspect(memory).get_table_names() == names


def test_rows_are_replaced_by_key(memory: sa.Engine) -> None:
    t = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.String))
    t.create(memory)
    statement = insert(t)
    with memory.begin() as connection:
        connection.execute(statement, [{"id": 1, "x": "a"}, {"id": 2, "x": "b"}])
        replacing = statement.on_conflict_do_update(["id"], set_={"x": statement.excluded.x})
        connection.execute(replacing, [{"id": 1, "x": "c"}, {"id": 3, "x": "d"}])
        connection.execute(statement.on_conflict_do_nothing(), {"id": 2, "x": "e"})
        assert connection.execute(sa.select(t).order_by(t.c.id)).all() == [(1, "c"), (2, "b"), (3, "d")]


# What is refused

REFUSED = [
    (lambda: sa.Column("x", sa.Integer, sa.ForeignKey("t.id")), "foreign keys, such as that of x in table t"),
    (lambda: sa.Column("x", sa.Integer, unique=True), "unique columns besides the primary key, such as x in table t"),
    (lambda: sa.Column("x", sa.Integer, sa.CheckConstraint("x > 0")), "checks, such as x > 0"),
    (lambda: sa.Column("x", sa.Integer, index=True), "indexes, such as ix_t_x of table t"),
]


@pytest.mark.parametrize(("column", "message"), REFUSED)
def test_constraints_are_refused_or_left_out_as_the_engine_says(
    column: Callable[[], sa.Column[int]], message: str
) -> None:
    strict, lax = sa.create_engine("laminardb://"), sa.create_engine("laminardb://", laminardb_ignore_constraints=True)
    t = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), column())
    with pytest.raises(exc.CompileError, match=f"{re.escape(message)}.*laminardb_ignore_constraints=True"):
        t.create(strict)
    t.create(lax)
    with lax.begin() as connection:
        connection.execute(t.insert(), [{"id": 1, "x": -1}, {"id": 2, "x": -1}])
    t.drop(lax)
    strict.dispose()
    lax.dispose()


COLUMNS = [
    (lambda: sa.Column("x", sa.Integer, sa.Computed("id + 1")), "computed columns"),
    (lambda: sa.Column("x", sa.Integer, sa.Identity()), "columns that number rows"),
    (lambda: sa.Column("x", sa.Interval), "columns cannot be intervals"),
    (lambda: sa.Column("x", sa.Time(timezone=True)), "times with a zone"),
    (lambda: sa.Column("x", sa.String(collation="C")), "collations"),
]


@pytest.mark.parametrize(("column", "message"), COLUMNS)
def test_columns_that_the_database_does_not_have_are_refused(
    memory: sa.Engine, column: Callable[[], sa.Column[Any]], message: str
) -> None:
    t = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), column())
    with pytest.raises(exc.CompileError, match=message):
        t.create(memory)


T = sa.table("t", sa.column("id", sa.Integer), sa.column("x", sa.JSON))
U = sa.table("u", sa.column("id", sa.Integer))

STATEMENTS = [
    (sa.select(T).with_for_update(), "FOR UPDATE"),
    (sa.update(T).values(id=U.c.id).where(T.c.id == U.c.id), "UPDATE ... FROM"),
    (sa.delete(T).where(T.c.id == U.c.id), "DELETE ... USING"),
    (sa.select(T).fetch(1, with_ties=True), "WITH TIES"),
    (sa.select(T.c.x["a"]), "parts of JSON"),
    (sa.select(sa.column("k", sa.String).collate("C")), "collations"),
    (sa.select(sa.Sequence("s").next_value()), "sequences"),
    (sa.schema.CreateSequence(sa.Sequence("s")), "sequences"),
    (sa.schema.CreateSchema("s"), "schemas"),
    (sa.select(sa.table("t", sa.column("id"), schema="s")), "one schema and not s"),
    (sa.schema.CreateTable(sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer), schema="s")), "one schema"),
]


@pytest.mark.parametrize(("statement", "message"), STATEMENTS)
def test_statements_that_the_database_does_not_have_are_refused(
    memory: sa.Engine, statement: Any, message: str
) -> None:
    with memory.connect() as connection, pytest.raises(exc.CompileError, match=re.escape(message)):
        connection.execute(statement)


def test_an_integer_primary_key_needs_a_value(memory: sa.Engine) -> None:
    metadata = sa.MetaData()
    t = sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.Integer))
    u = sa.Table(
        "u", metadata, sa.Column("id", sa.Integer, primary_key=True, default=lambda: 7), sa.Column("x", sa.Integer)
    )
    metadata.create_all(memory)
    with memory.begin() as connection:
        for statement, rows in (
            (t.insert(), {"x": 1}),
            (t.insert(), [{"x": 1}, {"x": 2}]),
            (t.insert().values(x=1), None),
            (t.insert().values([{"x": 1}, {"x": 2}]), None),
            (t.insert().from_select(["x"], sa.select(u.c.x)), None),
        ):
            with pytest.raises(exc.CompileError, match=r"column t.id has no value.*a default of Python"):
                connection.execute(statement, rows)
        connection.execute(t.insert(), {"id": 1, "x": 1})
        connection.execute(t.insert().values([{"id": 2}, {"id": 3}]))
        connection.execute(t.insert().from_select(["id"], sa.select(sa.literal(4))))
        connection.execute(u.insert(), {"x": 1})
        assert connection.scalars(sa.select(t.c.id).order_by(t.c.id)).all() == [1, 2, 3, 4]
        assert connection.scalars(sa.select(u.c.id)).all() == [7]


def test_errors_of_the_database_are_those_of_sqlalchemy(memory: sa.Engine) -> None:
    with memory.connect() as connection:
        with pytest.raises(exc.ProgrammingError) as caught:
            connection.exec_driver_sql("SELECT * FROM nowhere")
        assert isinstance(caught.value.orig, laminardb.QueryError)
        assert caught.value.orig.code == laminardb.codes.QUERY_FAILED
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT PRIMARY KEY)")
        with pytest.raises(exc.IntegrityError):
            connection.exec_driver_sql("INSERT INTO t VALUES (1), (1)")


# pandas


def test_pandas_reads_and_writes_through_an_engine(memory: sa.Engine, pd: ModuleType) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, float("inf")]})
    frame.to_sql("t", memory, index=False)
    frame.to_sql("t", memory, index=False, if_exists="append")
    frame.to_sql("t", memory, index=False, if_exists="replace")
    assert pd.read_sql("SELECT a, c FROM t ORDER BY a", memory).to_dict("list") == {
        "a": [1, 2],
        "c": [0.5, float("inf")],
    }
    assert list(pd.read_sql_table("t", memory)["b"].fillna("-")) == ["x", "-"]


# Rows of SQLAlchemy as data of an insert


def test_rows_of_other_engines_are_inserted(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"id": "int64", "name": "string", "x": "float64"})
    other = sa.create_engine("sqlite://")
    query = sa.text("SELECT 1 AS id, 'a' AS name, 1.5 AS x UNION ALL SELECT 2, 'b', 2.5")
    with other.connect() as connection:
        assert conn.insert("t", connection.execute(query)) == 2
        assert conn.insert("t", connection.execute(query).all()) == 2
        assert conn.insert("t", connection.execute(query).mappings()) == 2
    other.dispose()
    assert sorted(conn.sql("SELECT * FROM t").fetchall()) == [(1, "a", 1.5)] * 3 + [(2, "b", 2.5)] * 3


# The examples and the suite


@pytest.mark.parametrize("name", ["laminardb.sqlalchemy", "engine", "insert", "STRUCT"])
def test_its_examples_are_true(name: str, conn: laminardb.Connection) -> None:
    documented = laminardb.sqlalchemy if name == "laminardb.sqlalchemy" else getattr(laminardb.sqlalchemy, name)
    test = doctest.DocTestParser().get_doctest(documented.__doc__ or "", {"conn": conn}, name, None, None)
    failures: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    assert test.examples
    assert failures == []


def test_the_program_of_the_page_prints_what_its_comment_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    # SQLAlchemy looks for the names of annotations in the module of a class.
    page = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    exec(compile(program, PAGE.name, "exec", dont_inherit=True), vars(page))
    assert capsys.readouterr().out.strip() in [line.partition("# ")[2] for line in program.splitlines()]


def requirements() -> Any:
    """The module of the suite that says what is left out."""
    spec = importlib.util.spec_from_file_location("suite_requirements", SUITE / "requirements.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_every_reason_for_what_the_suite_leaves_out() -> None:
    module = requirements()
    assert module.undecided() == []
    rows = re.findall(r"^\| ([^|]+) \| ([^|]*) \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)
    page = {
        reason: (closed.replace("`", "").split(), skipped.replace("`", "").split()) for reason, closed, skipped in rows
    }
    reasons = {*module.CLOSED, *module.SKIPPED}
    assert {reason: lists for reason, lists in page.items() if reason in reasons} == {
        reason: (module.CLOSED.get(reason, "").split(), module.SKIPPED.get(reason, "").split()) for reason in reasons
    }


def test_the_compliance_suite_of_sqlalchemy_passes(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    options = ["-c", "setup.cfg", "--rootdir", ".", "--confcutdir", ".", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", "test_suite.py"],
        cwd=SUITE,
        env={**os.environ, "PYTHONWARNINGS": "default", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    outcomes = [
        next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        for case in ElementTree.parse(report).iter("testcase")
    ]
    assert set(outcomes) == {"passed", "skipped"}
    assert outcomes.count("passed") >= 660
