"""Definitions while other threads write, read and subscribe: who waits for whom, and what ends a wait (API section 16)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

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


GOING = [
    "DROP MATERIALIZED VIEW v",
    "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT a FROM keyed",
    "DROP TABLE t CASCADE",
]


@pytest.mark.parametrize("sql", GOING)
def test_a_view_at_work_is_taken_away_without_a_wait(busy: laminardb.Connection, sql: str) -> None:
    sub = busy.subscribe_stream("v")
    busy.insert("keyed", {"a": [1, 2, 3]})
    busy.execute(sql)
    assert sub.try_next() is None, "the view is still at work"
    busy.insert("keyed", {"a": 4})
    # What was written before is delivered, and what was written after is not.
    assert sub.next() is not None
    with pytest.raises(laminardb.SubscriptionError) as ended:
        sub.next()
    assert ended.value.code == codes.SUBSCRIPTION_CLOSED
    assert busy.materialized_views() == (["v"] if "REPLACE" in sql else [])
    assert busy.tables() == (["keyed"] if "CASCADE" in sql else ["t", "keyed"])
    busy.execute("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM keyed")
    assert busy.query("SELECT * FROM v").fetchall() == [(4,)]


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
def test_a_subscribe_does_not_wait_for_the_query_of_a_definition(busy: laminardb.Connection, target: str) -> None:
    long = f"CREATE TABLE copy AS {BUSY.replace('keyed c', 't c')}"
    failed: list[laminardb.LaminarError] = []

    def define() -> None:
        try:
            busy.execute(long)
        except laminardb.LaminarError as error:
            failed.append(error)

    definer = threading.Thread(target=define)
    definer.start()
    # The definition has begun when its query is listed.
    while busy.active_query_count == 0:
        assert definer.is_alive()
    try:
        with busy.subscribe(target) as sub:
            assert sub.next() is not None
        assert definer.is_alive()
    finally:
        for query in busy.queries():
            busy.cancel_query(query.id)
        definer.join(60)
    assert [error.code for error in failed] == [codes.QUERY_CANCELLED]
    assert busy.active_query_count == 0
