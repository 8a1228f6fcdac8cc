"""close() discards what is accepted and not through the views, and shutdown() finishes it (API section 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import laminardb
import pytest
from laminardb import codes

Calls = dict[str, Callable[[laminardb.Connection], Any]]

# Calls of one group are made at once.
WAITING: dict[str, Calls] = {
    "reads and writes": {
        "wait": lambda conn: conn.wait(),
        "wait for long": lambda conn: conn.wait(timeout=3600),
        "query": lambda conn: conn.query("SELECT count(*) FROM sums"),
        "errors": lambda conn: conn.errors("sums"),
        "subscribe": lambda conn: conn.subscribe_stream("sums", snapshot=True),
        "insert": lambda conn: conn.insert("t", {"k": 1, "v": 1}),
        "insert_json": lambda conn: conn.insert_json("t", '{"k": 1, "v": 1}'),
        "sql insert": lambda conn: conn.execute("INSERT INTO t VALUES (1, 1)"),
        "insert select": lambda conn: conn.execute("INSERT INTO t SELECT s, n FROM sums"),
    },
    "transaction": {"commit": lambda conn: conn.execute("BEGIN; INSERT INTO t VALUES (1, 1); COMMIT")},
}


@pytest.fixture(params=[1, 2])
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[laminardb.Connection]:
    """A database that has much to do: no call of the tests waits until it is done."""
    config = laminardb.LaminarConfig(
        buffer_size=1, workers=request.param, storage_dir=str(tmp_path), checkpoint_interval_ms=0
    )
    with laminardb.open(":memory:", config=config) as conn:
        conn.execute("CREATE SOURCE u (a BIGINT); CREATE SOURCE t (k BIGINT, v BIGINT)")
        conn.execute("CREATE STREAM y AS SELECT a FROM u; CREATE STREAM z AS SELECT a FROM u")
        conn.execute(
            "CREATE MATERIALIZED VIEW sums AS SELECT a.v + b.v AS s, count(*) AS n FROM t a JOIN t b ON a.k = b.k"
            " GROUP BY a.v + b.v"
        )
        conn.checkpoint()
        conn.insert("t", {"k": [1] * 15_000, "v": list(range(15_000))})
        yield conn


def still_busy(conn: laminardb.Connection) -> None:
    with pytest.raises(laminardb.LaminarError) as error:
        conn.wait(timeout=0.05)
    assert error.value.code == codes.TIMEOUT


@pytest.mark.parametrize("group", WAITING)
def test_every_call_that_waits_ends_at_once(busy: laminardb.Connection, group: str) -> None:
    calls = WAITING[group]
    with ThreadPoolExecutor(len(calls)) as threads:
        waiting = {name: threads.submit(call, busy) for name, call in calls.items()}
        still_busy(busy)
        busy.close()
        ended = {name: future.exception(60) for name, future in waiting.items()}
    for name, error in ended.items():
        assert isinstance(error, laminardb.ConnectionError), name
        assert (error.code, str(error)) == (codes.CONNECTION_CLOSED, "Connection is closed"), name


def test_iterations_end_without_an_error(busy: laminardb.Connection) -> None:
    stream, subscription = busy.stream("SELECT * FROM sums"), busy.subscribe_stream("u")
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(list, iteration) for iteration in (stream, subscription)]
        still_busy(busy)
        busy.close()
        assert [future.result(60) for future in waiting] == [[], []]


def test_a_shutdown_that_works_through_its_backlog_ends(busy: laminardb.Connection) -> None:
    with ThreadPoolExecutor(1) as threads:
        shutdown = threads.submit(busy.shutdown)
        # Nothing but the state itself tells of it.
        while busy.pipeline_state != "stopped":
            pass
        busy.close()
        ended = shutdown.exception(60)
    assert isinstance(ended, laminardb.ConnectionError), ended
    assert ended.code == codes.CONNECTION_CLOSED


@pytest.mark.parametrize("workers", [1, 2])
def test_what_follows_a_new_view_got_its_first_contents_and_nothing_more(workers: int) -> None:
    """It ended as if that were all, if the database was shut down before the view had taken in its first contents."""
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers, buffer_size=0)) as conn:
        conn.execute("CREATE TABLE t (v BIGINT)")
        conn.insert("t", {"v": range(1_000_000)})
        subscriptions = [conn.subscribe("SELECT v FROM t", snapshot=snapshot) for snapshot in (True, False) * 2]
        conn.insert("t", {"v": -1})
        conn.shutdown()
        assert [list(subscription)[-1].fetchall() for subscription in subscriptions] == [[(-1,)]] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_what_follows_a_view_that_a_shutdown_gives_up_is_told(workers: int) -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers)) as conn:
        conn.execute("CREATE TABLE t (v BIGINT)")
        conn.insert("t", {"v": range(100_000)})
        # No row fails in it, so the call does not wait to know those that do.
        pairs = "SELECT a.v AS v, count(b.v) AS n FROM t a CROSS JOIN t b GROUP BY a.v"
        subscription = conn.subscribe(pairs, snapshot=False)
        conn.shutdown()
        with pytest.raises(laminardb.SubscriptionError, match="shut down before the view") as error:
            list(subscription)
        assert error.value.code == codes.SUBSCRIPTION_CLOSED
        assert list(subscription) == []


def test_shutdown_alone_finishes_its_backlog() -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(buffer_size=0)) as conn:
        conn.execute("CREATE SOURCE t (v BIGINT); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t")
        subscription = conn.subscribe_stream("n", snapshot=False)
        for first in range(0, 50_000, 500):
            conn.insert("t", {"v": list(range(first, first + 500))})
        conn.shutdown()
        assert [row for batch in subscription for row in batch][-1] == (50_000,)
