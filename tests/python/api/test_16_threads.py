"""Section 16 of the Python contract: threads, asyncio, fork. Ctrl-C is in test_subscribe.py."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from typing import Any

import laminardb
import pytest

SLOW = "SELECT count(*) AS n FROM t a, t b, t c WHERE (a.x + b.x * c.x) % 7 = 3"


@pytest.fixture
def busy(conn: laminardb.Connection) -> laminardb.Connection:
    """A database whose query `SLOW` runs for longer than any test waits."""
    conn.create_table("t", {"x": "int64"})
    conn.insert("t", {"x": list(range(5000))})
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT x % 10 AS k, count(*) AS n FROM t GROUP BY k")
    return conn


def running(conn: laminardb.Connection) -> tuple[threading.Thread, list[Any], int]:
    """A thread in the middle of `SLOW`, what becomes of it, and its id."""
    met: list[Any] = []

    def query() -> None:
        try:
            met.append(conn.sql(SLOW))
        except laminardb.LaminarError as error:
            met.append(error.code)

    thread = threading.Thread(target=query)
    thread.start()
    while not (active := [query for query in conn.queries() if query.active]):
        pass
    return thread, met, active[0].id


@pytest.mark.usefixtures("pa")
def test_nothing_waits_for_a_running_query(busy: laminardb.Connection) -> None:
    thread, met, query_id = running(busy)
    assert busy.list_tables() == ["t"]
    assert busy.active_query_count == 1
    assert busy.metrics().total_events_ingested == busy.total_events_processed == 5000
    assert len(busy.topology().nodes) == 2
    assert repr(busy) == "Connection(open)"
    assert len(busy.schema("t")) == 1
    # Other reads and writes run meanwhile, and definitions.
    assert busy.insert("t", {"x": [1, 2]}) == 2
    assert busy.sql("SELECT sum(n) FROM v").fetchone() == (5002,)
    busy.execute("CREATE STREAM w AS SELECT x FROM t WHERE x < 3")
    assert len(busy.sql("SELECT * FROM w")) == 5
    sub = busy.subscribe_stream("v")
    busy.insert("t", {"x": 3})
    assert len(sub.next()) == 2  # type: ignore[arg-type]
    assert (thread.is_alive(), met) == (True, [])
    busy.cancel_query(query_id)
    thread.join(60)
    assert met == [402]


def test_close_wakes_a_running_query(busy: laminardb.Connection) -> None:
    thread, met, _ = running(busy)
    busy.close()
    thread.join(60)
    assert met == [101]


def test_writes_of_threads_are_ordered(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)")
    conn.insert("t", {"id": 1, "n": 0})

    def add() -> None:
        for _ in range(25):
            conn.execute("UPDATE t SET n = n + 1 WHERE id = 1")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert conn.sql("SELECT n FROM t").fetchone() == (100,)


def test_results_are_read_by_threads_at_once(busy: laminardb.Connection) -> None:
    result = busy.sql("SELECT x FROM t ORDER BY x")
    expected = result.fetchall()
    found: list[bool] = []
    reads = [result.fetchall, lambda: list(result), lambda: [(x,) for x in result.to_dicts()["x"]]]
    threads = [threading.Thread(target=lambda read=read: found.append(read() == expected)) for read in reads * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [True] * 9


def test_subscriptions_are_made_and_dropped_by_threads_at_once(busy: laminardb.Connection) -> None:
    failures: list[BaseException] = []

    def follow(number: int) -> None:
        try:
            for _ in range(5):
                sub = busy.subscribe(f"SELECT k FROM v WHERE k < {number}")
                assert len(sub.next()) == number  # type: ignore[arg-type]
                sub.cancel()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for idx in range(20):
        busy.insert("t", {"x": idx})
    for thread in threads:
        thread.join(60)
    assert (failures, busy.active_query_count) == ([], 0)


async def test_the_loop_goes_on_while_a_subscription_opens(busy: laminardb.Connection) -> None:
    opening = asyncio.ensure_future(busy.subscribe_async("SELECT a.x FROM t a JOIN t b ON a.x % 5 = b.x % 5"))
    # The turn of the loop that begins it ends before it is open.
    await asyncio.sleep(0)
    assert not opening.done()
    (await asyncio.wait_for(opening, 60)).cancel()


async def test_many_tasks(busy: laminardb.Connection) -> None:
    subs = [await busy.subscribe_stream_async("t") for _ in range(20)]

    async def first(sub: laminardb.AsyncStreamSubscription) -> int:
        return len(await anext(sub))

    tasks = [asyncio.create_task(first(sub)) for sub in subs]
    await asyncio.sleep(0)
    busy.insert("t", {"x": [1, 2, 3]})
    assert await asyncio.gather(*tasks) == [3] * 20
    for sub in subs:
        sub.cancel()


def test_a_closed_loop_leaves_no_noise(conn: laminardb.Connection, capfd: pytest.CaptureFixture[str]) -> None:
    conn.create_table("t", {"a": "int64"})

    async def leave() -> laminardb.AsyncStreamSubscription:
        sub = await conn.subscribe_stream_async("t")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(sub), 0.01)
        return sub

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sub = asyncio.run(leave())
        conn.insert("t", {"a": 1})
        conn.wait()
        assert len(sub.next()) == 1  # type: ignore[arg-type]
        # The same subscription goes on in another loop.
        conn.insert("t", {"a": 2})

        async def go_on(sub: laminardb.AsyncStreamSubscription) -> list[Any]:
            return (await anext(sub)).fetchall()

        assert asyncio.run(go_on(sub)) == [(2,)]
        del sub
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr().err == ""


FORK = """
import os, sys, laminardb
config = laminardb.LaminarConfig(workers=2)
conn = laminardb.open(":memory:", config=config)
conn.create_table("t", {"a": "int64"})
conn.insert("t", {"a": [1, 2]})
laminardb.execute("CREATE SOURCE d (a INT)")
things = {
    "writer": conn.writer("t"),
    "sub": conn.subscribe("SELECT a FROM t"),
    "stream": conn.subscribe_stream("t"),
    "iterator": conn.stream("SELECT a FROM t"),
    "callback": conn.subscribe_stream_callback("t", print),
    "view": laminardb.mv(conn, "t"),
}
result = conn.sql("SELECT a FROM t")
pid = os.fork()
if pid == 0:
    calls = [
        lambda: conn.sql("SELECT 1"), lambda: conn.insert("t", {"a": 1}), lambda: conn.list_tables(),
        lambda: conn.metrics(), lambda: conn.pipeline_state, lambda: conn.wait(), lambda: conn.subscribe("t"),
        lambda: conn.shutdown(), lambda: conn.writer("t"), lambda: conn.start(), lambda: conn.current_time,
        lambda: things["writer"].insert({"a": 1}), lambda: things["writer"].flush(),
        lambda: things["sub"].next(), lambda: next(things["sub"]), lambda: things["stream"].next_timeout(5),
        lambda: next(things["iterator"]), lambda: things["callback"].wait(), lambda: things["view"].query(),
    ]
    for number, call in enumerate(calls):
        try:
            call()
        except laminardb.ConnectionError as error:
            if error.code != 102:
                os._exit(100 + number)
        else:
            os._exit(50 + number)
    for thing in list(things.values())[:5]:
        (thing.close if hasattr(thing, "close") else thing.cancel)()
    assert result.fetchall() == [(1,), (2,)]
    conn.close()
    del conn, thing
    things.clear()
    with laminardb.open(":memory:", config=config) as new:
        new.create_table("t", {"a": "int64"})
        new.insert("t", {"a": 1})
        assert new.subscribe("SELECT a FROM t").next().fetchall() == [(1,)]
    try:
        laminardb.sql("SELECT * FROM d")
    except laminardb.QueryError:
        os._exit(0)
    os._exit(99)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
things["writer"].insert({"a": 3})
assert [len(things["sub"].next()), len(things["sub"].next()), len(things["stream"].next())] == [2, 1, 1]
assert len(laminardb.sql("SELECT * FROM d")) == 0
things["callback"].cancel()
print("status", status)
"""


def test_a_forked_child_is_refused_everywhere_and_the_parent_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["status 0"], done.stdout + done.stderr
