"""Calls while relations are replaced or restored: what is there before and after is there for every call."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import laminardb
import pytest
from laminardb import codes

Call = Callable[[laminardb.Connection], Any]

TABLES = ("CREATE TABLE t (a BIGINT)", "CREATE TABLE k (a BIGINT PRIMARY KEY, b BIGINT)")
VIEW = "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t"


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[laminardb.Connection]:
    config = laminardb.LaminarConfig(workers=2, storage_dir=str(tmp_path), checkpoint_interval_ms=0)
    with laminardb.open(":memory:", config=config) as conn:
        for sql in TABLES:
            conn.execute(sql)
        yield conn


def restored(conn: laminardb.Connection) -> Call:
    conn.execute(VIEW)
    conn.checkpoint()
    return lambda conn: conn.restore()


def replaced(conn: laminardb.Connection) -> Call:
    return lambda conn: [conn.execute(sql.replace("CREATE", "CREATE OR REPLACE")) for sql in TABLES]


def view_replaced(conn: laminardb.Connection) -> Call:
    conn.execute(VIEW)
    return lambda conn: conn.execute(VIEW.replace("CREATE", "CREATE OR REPLACE"))


def dropped(conn: laminardb.Connection) -> Call:
    return lambda conn: conn.execute(f"DROP TABLE t; {TABLES[0]}; DROP TABLE k; {TABLES[1]}")


@contextlib.contextmanager
def over_and_over(conn: laminardb.Connection, call: Call) -> Iterator[None]:
    """Makes a call on another thread, again and again."""
    over, raised = threading.Event(), []

    def run() -> None:
        try:
            while not over.is_set():
                call(conn)
        except laminardb.LaminarError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
    assert raised == []


def ends(conn: laminardb.Connection, calls: dict[str, Call], rounds: int) -> dict[str, set[Any]]:
    """How the calls ended: None, or a class of error and its code."""
    found: dict[str, Counter[Any]] = {name: Counter() for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            try:
                call(conn)
            except laminardb.LaminarError as error:
                found[name][type(error), error.code] += 1
            else:
                found[name][None] += 1
    return {name: set(counter) for name, counter in found.items()}


READS: dict[str, Call] = {
    "query": lambda conn: conn.query("SELECT count(*) FROM t, k"),
    "stream": lambda conn: list(conn.stream("SELECT count(*) FROM t, k")),
    "last of a stream": lambda conn: list(conn.stream("SELECT 1; SELECT a FROM t WHERE a > ?", [0])),
}
VIEW_READS: dict[str, Call] = {
    "query of a view": lambda conn: conn.query("SELECT n FROM v"),
    "stream of a view": lambda conn: list(conn.stream("SELECT n FROM v")),
}
WRITES: dict[str, Call] = {
    "insert": lambda conn: conn.insert("t", {"a": 1}),
    "insert_json": lambda conn: conn.insert_json("t", '{"a": 1}'),
    "insert_csv": lambda conn: conn.insert_csv("t", "a\n1\n"),
    "upsert": lambda conn: conn.upsert("k", {"a": 1}),
    "delete": lambda conn: conn.delete("k", {"a": 1}),
}
STATEMENTS: dict[str, Call] = {
    "INSERT": lambda conn: conn.execute("INSERT INTO t VALUES (1)"),
    "UPDATE": lambda conn: conn.execute("UPDATE k SET b = a"),
    "DELETE": lambda conn: conn.execute("DELETE FROM k"),
    "TRUNCATE": lambda conn: conn.execute("TRUNCATE k"),
    "ON CONFLICT": lambda conn: conn.execute("INSERT INTO k VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET b = 3"),
}
NO_TABLE = (laminardb.SchemaError, codes.TABLE_NOT_FOUND)


@pytest.mark.parametrize(
    ("replace", "calls"),
    [(restored, READS | VIEW_READS | WRITES), (replaced, READS | WRITES), (view_replaced, READS | VIEW_READS)],
    ids=["restore", "replace", "replace view"],
)
def test_what_is_always_there_is_found(
    conn: laminardb.Connection, replace: Callable[[laminardb.Connection], Call], calls: dict[str, Call]
) -> None:
    replace_all = replace(conn)
    with over_and_over(conn, replace_all):
        assert ends(conn, calls, 150) == {name: {None} for name in calls}


def test_a_view_was_replaced_before_each_read_of_it(conn: laminardb.Connection) -> None:
    """Restores that followed each other took the definitions again and again, and the view before it was read.

    A read took hundreds or thousands of them.
    """
    restore, reads = restored(conn), 30
    restores = itertools.count()
    with over_and_over(conn, lambda conn: (restore(conn), next(restores))):
        assert ends(conn, VIEW_READS, reads) == {name: {None} for name in VIEW_READS}
    assert next(restores) < 150 * reads * len(VIEW_READS)


def test_a_relation_that_goes_is_an_unknown_name(conn: laminardb.Connection) -> None:
    writing: dict[str, Call] = WRITES | {"writer": lambda conn: conn.writer("t").insert({"a": 1})}
    with over_and_over(conn, dropped(conn)):
        called, stated = ends(conn, writing, 300), ends(conn, STATEMENTS, 100)
    assert {name: found - {None, NO_TABLE} for name, found in called.items()} == {name: set() for name in writing}
    failed = (laminardb.QueryError, codes.QUERY_FAILED)
    assert {name: found - {None, failed} for name, found in stated.items()} == {name: set() for name in STATEMENTS}


def test_a_writer_does_not_go_over_to_another_relation(conn: laminardb.Connection) -> None:
    writer = conn.writer("t")
    with over_and_over(conn, replaced(conn)):
        found = ends(conn, {"writer": lambda conn: conn.writer("t").insert({"a": 1})}, 1000)["writer"]
    assert found - {None, NO_TABLE} == set()
    with pytest.raises(laminardb.SchemaError, match="was replaced"):
        writer.insert({"a": 1})
