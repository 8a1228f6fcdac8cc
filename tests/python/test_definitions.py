"""Definitions while other threads write, read and subscribe: who waits for whom, and what ends a wait (API section 16)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import laminardb
import pytest
from laminardb import codes

BUSY = "SELECT count(*) AS n FROM t a, t b, keyed c WHERE (a.a + b.a * c.a) % 7 = 3"


@pytest.fixture
def busy() -> Iterator[laminardb.Connection]:
    """A database whose view `v` looks at a million rows for each row of `keyed`, and whose writers wait for nothing."""
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(buffer_size=0)) as conn:
        conn.execute("CREATE TABLE t (a BIGINT)")
        conn.insert("t", {"a": list(range(1000))})
        conn.create_table("keyed", {"a": "int64"}, primary_key="a")
        conn.execute(f"CREATE MATERIALIZED VIEW v AS {BUSY}")
        yield conn


@contextmanager
def meanwhile(look: Callable[[], bool]) -> Iterator[None]:
    """Calls `look` on this thread while it waits in a call, until it gives true."""

    def on_alarm(*_: object) -> None:
        if not look():
            signal.setitimer(signal.ITIMER_REAL, 0.02)

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Between:
    """Looks on while a definition that takes `v` away waits: writes more for `v`, and sees what is when it has gone."""

    def __init__(self, conn: laminardb.Connection, sub: laminardb.Subscription) -> None:
        self.conn, self.sub = conn, sub
        self.wrote = False
        self.seen: list[tuple[int, bool, bool]] = []

    def __call__(self) -> bool:
        if not self.wrote:
            self.conn.insert("keyed", {"a": [2, 3, 4]})
            self.wrote = True
            return False
        if BUSY in [view.sql for view in self.conn.streams()]:
            return False
        (rows,) = self.conn.query("SELECT count(*) FROM keyed").fetchall()
        self.seen.append((rows[0], self.sub.try_next() is not None, self.sub.try_next() is not None))
        return True


DROP = "DROP MATERIALIZED VIEW v"
GOING = [DROP, "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT a FROM keyed", "DROP TABLE t CASCADE"]


@pytest.mark.parametrize("sql", GOING)
def test_reads_go_on_while_a_definition_waits_for_views(busy: laminardb.Connection, sql: str) -> None:
    sub = busy.subscribe_stream("v")
    busy.insert("keyed", {"a": 1})
    between = Between(busy, sub)
    with meanwhile(between):
        busy.execute(sql)
    # When the change was seen, what was written first was delivered and what was written last was not, but is by now.
    assert between.seen == [(4, True, False)]
    assert sub.next() is not None
    with pytest.raises(laminardb.SubscriptionError) as ended:
        sub.next()
    assert ended.value.code == codes.SUBSCRIPTION_CLOSED


@pytest.mark.parametrize("sql", GOING)
def test_ctrl_c_after_the_change_ends_the_wait_alone(busy: laminardb.Connection, sql: str) -> None:
    sub = busy.subscribe_stream("v")
    busy.insert("keyed", {"a": 1})
    between = Between(busy, sub)

    def look() -> bool:
        if between():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt), meanwhile(look):
        busy.execute(sql)
    assert between.seen == [(4, True, False)]
    assert busy.materialized_views() == (["v"] if "REPLACE" in sql else [])
    assert busy.tables() == (["keyed"] if "CASCADE" in sql else ["t", "keyed"])
    with pytest.raises(laminardb.SubscriptionError) as ended:
        list(sub)
    assert ended.value.code == codes.SUBSCRIPTION_CLOSED
    busy.execute("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM keyed")
    assert busy.query("SELECT * FROM v").fetchall() == [(4,)]


@pytest.mark.parametrize("sql", GOING)
def test_ctrl_c_before_the_change_leaves_all_as_it_was(busy: laminardb.Connection, sql: str) -> None:
    sub = busy.subscribe_stream("v")
    busy.insert("keyed", {"a": 1})

    def look() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), meanwhile(look):
        busy.execute(sql)
    assert (busy.tables(), busy.materialized_views()) == (["t", "keyed"], ["v"])
    assert busy.streams()[0].sql == BUSY
    assert sub.next() is not None
    assert sub.is_active


def test_what_no_view_reads_goes_without_a_wait(busy: laminardb.Connection) -> None:
    busy.execute("CREATE SOURCE other (a BIGINT)")
    sub = busy.subscribe_stream("v")
    busy.insert("keyed", {"a": [1, 2, 3, 4]})
    busy.execute("DROP SOURCE other")
    assert sub.try_next() is None
    assert sub.next() is not None


def test_a_table_replaced_by_a_query_of_itself_loses_no_write(conn: laminardb.Connection) -> None:
    # The first of them is keyed, those that replace it are not.
    conn.execute("CREATE TABLE t (a BIGINT PRIMARY KEY)")
    over = threading.Event()
    accepted: list[int] = []
    errors: list[laminardb.LaminarError] = []

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                conn.insert("t", {"a": number})
                accepted.append(number)
            except laminardb.LaminarError as error:
                errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(50):
        conn.execute("CREATE OR REPLACE TABLE t AS SELECT a FROM t")
    over.set()
    writer.join(60)
    # A write that finds the table just replaced is refused.
    assert {error.code for error in errors} <= {codes.TABLE_NOT_FOUND, codes.QUERY_FAILED}
    assert [row[0] for row in conn.query("SELECT a FROM t ORDER BY a").fetchall()] == accepted


@pytest.mark.parametrize("target", ["SELECT count(*) AS n FROM t", "SELECT 1 AS one", "t"])
def test_ctrl_c_ends_a_subscribe_that_waits_for_a_definition(busy: laminardb.Connection, target: str) -> None:
    long = f"CREATE TABLE copy AS {BUSY.replace('keyed c', 't c')}"
    failed: list[laminardb.LaminarError] = []

    def define() -> None:
        try:
            busy.execute(long)
        except laminardb.LaminarError as error:
            failed.append(error)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    definer = threading.Thread(target=define)
    definer.start()
    # The definition has begun when its query is listed.
    while busy.active_query_count == 0:
        assert definer.is_alive()
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            busy.subscribe(target)
        assert definer.is_alive()
    finally:
        signal.signal(signal.SIGINT, before)
        for query in busy.queries():
            busy.cancel_query(query.id)
        definer.join(60)
    assert [error.code for error in failed] == [codes.QUERY_CANCELLED]
    assert busy.active_query_count == 0
