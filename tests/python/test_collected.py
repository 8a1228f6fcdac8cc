"""What the program can no longer reach ends: connections, their threads and their subscriptions.

So it is also where a callback holds the object that holds its own subscription, which only the garbage collector can
tell. What can still be reached goes on.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import laminardb
import pytest
from laminardb import dbapi

GUARD = 60.0
TASKS = Path("/proc/self/task")

pytestmark = pytest.mark.skipif(not TASKS.exists(), reason="counts threads in /proc")


def threads() -> list[str]:
    """The names of this process's threads that are ours.

    Those for calls that are awaited and for memory are left out, since all connections share them.
    """
    names = []
    for task in TASKS.iterdir():
        with suppress(OSError):
            names.append((task / "comm").read_text().strip())
    ours = [name for name in names if name.startswith(("laminardb-", "timely:"))]
    return sorted(name for name in ours if name not in ("laminardb-await", "laminardb-notif", "laminardb-memor"))


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Fails the test if threads are left that were not there before."""
    gc.collect()
    before = len(threads())
    yield
    # What the test itself held is garbage now. Threads end a moment after they are told to.
    settle(lambda: gc.collect() >= 0 and len(threads()) <= before)
    assert len(threads()) <= before, f"threads are left: {threads()}"


def settle(until: Callable[[], bool]) -> None:
    """Waits until the condition holds or the guard has passed."""
    end = time.monotonic() + GUARD
    while not until() and time.monotonic() < end:
        threading.Event().wait(0.01)


def is_collected(reference: weakref.ref[Any]) -> bool:
    """Whether the object goes away when garbage is collected, perhaps after a call that is under way."""
    settle(lambda: gc.collect() >= 0 and reference() is None)
    return reference() is None


class Follower:
    """An object whose methods are the callbacks of a subscription that it holds."""

    def __init__(self, conn: laminardb.Connection | None = None) -> None:
        self.conn: Any = conn or laminardb.open(":memory:")
        if conn is None:
            self.conn.execute("CREATE TABLE t (a BIGINT)")
        self.kept: Any = None
        self.seen: list[Any] = []
        self.called = threading.Event()

    def on_data(self, batch: laminardb.ChangeBatch) -> None:
        self.seen += batch.fetchall()
        self.called.set()

    def on_error(self, text: str) -> None:
        self.seen.append(text)
        self.called.set()


def raising(batch: laminardb.ChangeBatch) -> None:
    raise ValueError


def query(follower: Follower) -> None:
    follower.kept = follower.conn.subscribe_callback("SELECT a FROM t", follower.on_data)


def stream(follower: Follower) -> None:
    follower.kept = follower.conn.subscribe_stream_callback("t", follower.on_data)


def not_kept(follower: Follower) -> None:
    follower.conn.subscribe_callback("SELECT a FROM t", follower.on_data)


def errors(follower: Follower) -> None:
    follower.conn.subscribe_callback("SELECT a FROM t", raising, follower.on_error)


def closure(follower: Follower) -> None:
    follower.conn.subscribe_callback("SELECT a FROM t", lambda batch: follower.on_data(batch))


def many(follower: Follower) -> None:
    for _ in range(5):
        query(follower)
        stream(follower)


def ended(follower: Follower) -> None:
    query(follower)
    follower.kept.cancel()
    follower.kept.wait()
    not_kept(follower)


def cursor(follower: Follower) -> None:
    not_kept(follower)
    follower.kept = follower.conn.cursor()
    follower.kept.execute("SELECT 1")


def database_api(follower: Follower) -> None:
    not_kept(follower)
    conn = dbapi.connect(follower.conn)
    conn.cursor().execute("SELECT 1")
    follower.kept = [conn, conn.cursor()]


def writer(follower: Follower) -> None:
    not_kept(follower)
    follower.kept = follower.conn.writer("t")


def iterator(follower: Follower) -> None:
    not_kept(follower)
    follower.kept = follower.conn.stream("SELECT 1")


def block(follower: Follower) -> None:
    not_kept(follower)
    follower.kept = [follower.conn.transaction(), follower.conn.transaction()]
    with follower.kept[0] as bound:
        follower.kept.append(bound)


def reader(follower: Follower) -> None:
    not_kept(follower)
    follower.kept = [follower.conn.subscribe("SELECT a FROM t"), follower.conn.subscribe_stream("t")]


def unawaited(follower: Follower) -> None:
    not_kept(follower)
    conn = follower.conn
    follower.kept = [
        *(conn.subscribe_async("SELECT a FROM t"), conn.subscribe_stream_async("t")),
        *(conn.query_async("SELECT 1"), conn.insert_async("t", {"a": 1}), conn.transaction().__aenter__()),
    ]


CALLBACKS = [query, stream, not_kept, errors, closure, many, ended]
HANDLES = [cursor, database_api, writer, iterator, block, reader, unawaited]


@pytest.mark.parametrize("hold", CALLBACKS + HANDLES)
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_callback_that_holds_its_own_subscription_is_collected(hold: Callable[[Follower], None]) -> None:
    follower = Follower()
    hold(follower)
    follower.conn.insert("t", {"a": 1})
    assert follower.called.wait(GUARD)
    reference = weakref.ref(follower)
    del follower
    assert is_collected(reference), "nobody holds it"


@pytest.mark.parametrize("hold", HANDLES)
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_handle_that_only_a_callback_holds_is_collected(hold: Callable[[Follower], None]) -> None:
    follower = Follower()
    hold(follower)
    del follower.conn
    reference = weakref.ref(follower)
    del follower
    assert is_collected(reference), "nobody holds it"


def test_a_callback_goes_on_while_the_connection_can_be_reached() -> None:
    conn = laminardb.open(":memory:")
    conn.execute("CREATE TABLE t (a BIGINT)")
    follower = Follower(conn)
    query(follower)
    reference, called, seen = weakref.ref(follower), follower.called, follower.seen
    del follower
    for value in range(3):
        gc.collect()
        called.clear()
        conn.insert("t", {"a": value})
        assert called.wait(GUARD), "the connection holds the function"
    assert seen == [(0,), (1,), (2,)]
    assert reference() is not None
    conn.close()
    assert is_collected(reference), "after the end of the subscription nobody holds the function"


@pytest.mark.parametrize("holder", ["writer", "reader", "callback", "block"])
def test_a_callback_goes_on_while_any_handle_can_be_reached(holder: str) -> None:
    conn = laminardb.open(":memory:")
    conn.execute("CREATE TABLE t (a BIGINT)")
    follower = Follower(conn)
    callback, write = conn.subscribe_callback("SELECT a FROM t", follower.on_data), conn.writer("t")
    called, others = follower.called, {"writer": write, "callback": callback}
    others |= {"reader": conn.subscribe("SELECT a FROM t"), "block": conn.transaction()}
    kept: Any = others.pop(holder)
    del follower, conn, callback, write
    others.clear()
    gc.collect()
    assert "laminardb-callb" in threads(), "the callback's thread goes on"
    if holder == "writer":
        kept.insert({"a": 1})
        assert called.wait(GUARD)


@pytest.mark.parametrize("end", ["cancel", "close", "raise", "finish", "drop"])
def test_a_callback_that_has_ended_holds_its_functions_no_more(end: str, capfd: pytest.CaptureFixture[str]) -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE t (a BIGINT)")
        follower = Follower(conn)
        function = follower.on_data
        if end == "raise":
            function = lambda batch, follower=follower: 1 // 0  # noqa: E731
        callback = conn.subscribe_callback("SELECT 1 AS a" if end == "finish" else "SELECT a FROM t", function)
        if end in ("cancel", "close"):
            getattr(callback, end)()
        elif end == "raise":
            conn.insert("t", {"a": 1})
        elif end == "drop":
            conn.execute("DROP TABLE t")
        callback.wait()
        reference = weakref.ref(follower)
        del follower, function
        assert reference() is None, "not even a collection is needed"
        assert not callback.is_active
    capfd.readouterr()


def test_a_callback_whose_function_raises_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    class Failing(Follower):
        def on_data(self, batch: laminardb.ChangeBatch) -> None:
            local = self
            raise ValueError(local)

    for hold in (query, errors):
        follower = Failing()
        hold(follower)
        follower.conn.insert("t", {"a": 1})
        if hold is query:
            follower.kept.wait()
        reference = weakref.ref(follower)
        del follower
        assert is_collected(reference)
    capfd.readouterr()


def test_a_collection_during_calls_takes_nothing_that_is_in_use() -> None:
    follower = Follower()
    query(follower)
    stopping = threading.Event()

    def collect() -> None:
        while not stopping.is_set():
            gc.collect()

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for value in range(200):
            follower.conn.insert("t", {"a": value})
        follower.kept.wait_for(follower.conn.wait(), GUARD)
    finally:
        stopping.set()
        collector.join()
    assert [row[0] for row in follower.seen] == list(range(200))


def test_a_finalizer_in_a_circle_finds_everything_whole() -> None:
    answers: list[Any] = []

    class Finalized(Follower):
        def __del__(self) -> None:
            answers.append((self.conn.sql("SELECT count(*) FROM t").fetchone(), self.kept.is_active))

    follower = Finalized()
    query(follower)
    reference = weakref.ref(follower)
    del follower
    assert is_collected(reference)
    assert answers == [((0,), True)]


def test_an_open_transaction_in_a_circle_is_rolled_back() -> None:
    follower = Follower()
    not_kept(follower)
    follower.kept = [follower.conn.transaction()]
    follower.kept.append(follower.kept[0].__enter__())
    follower.kept[1].insert("t", {"a": 1})
    reference = weakref.ref(follower)
    del follower
    with pytest.warns(ResourceWarning):
        assert is_collected(reference)


def test_a_generator_in_an_insert_that_holds_the_connection_is_collected() -> None:
    class Source(Follower):
        def rows(self) -> Iterator[dict[str, int]]:
            yield {"a": 1}
            raise KeyError(self)

    source = Source()
    source.kept = source.rows()
    not_kept(source)
    with pytest.raises(KeyError):
        source.conn.insert("t", source.kept)
    reference = weakref.ref(source)
    del source
    assert is_collected(reference)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_collects_what_it_inherited() -> None:
    follower = Follower()
    query(follower)
    child = os.fork()
    if child == 0:
        reference = weakref.ref(follower)
        del follower
        gc.collect()
        os._exit(0 if reference() is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    follower.conn.insert("t", {"a": 1})
    assert follower.called.wait(GUARD), "the parent goes on"


def test_an_async_subscription_in_a_circle_is_collected() -> None:
    async def main() -> weakref.ref[Follower]:
        follower = Follower()
        not_kept(follower)
        follower.kept = await follower.conn.subscribe_async("SELECT a FROM t")
        follower.conn.insert("t", {"a": 1})
        async for batch in follower.kept:
            assert batch.fetchall() == [(1,)]
            break
        del follower.conn
        return weakref.ref(follower)

    assert is_collected(asyncio.run(main()))


@pytest.mark.parametrize("wait", ["next", "wait_for"])
def test_a_cancelled_reader_leaves_nothing_of_its_event_loop(wait: str) -> None:
    async def main() -> weakref.ref[Follower]:
        follower = Follower()
        # The loop holds the object, whose subscription has been given the loop.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: follower.on_error(str(context)))
        follower.kept = await follower.conn.subscribe_async("SELECT a FROM t")
        waiting = anext(follower.kept) if wait == "next" else follower.kept.wait_for(1000)
        task = asyncio.ensure_future(waiting)
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return weakref.ref(follower)

    assert is_collected(asyncio.run(main()))


def test_a_reader_that_waits_again_after_a_cancel_gets_the_next_batch() -> None:
    async def main() -> None:
        with laminardb.open(":memory:") as conn:
            conn.execute("CREATE TABLE t (a BIGINT)")
            sub = await conn.subscribe_async("SELECT a FROM t")
            for value in range(3):
                for _ in range(3):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(anext(sub), 0.01)
                reading = asyncio.ensure_future(anext(sub))
                await asyncio.sleep(0.01)
                conn.insert("t", {"a": value})
                assert (await asyncio.wait_for(reading, GUARD)).fetchall() == [(value,)]

    asyncio.run(main())


def test_a_task_that_nobody_holds_is_not_collected_while_it_waits() -> None:
    seen: list[Any] = []

    async def follow(conn: laminardb.Connection, ready: asyncio.Event, done: asyncio.Event) -> None:
        sub = await conn.subscribe_async("SELECT a FROM t")
        ready.set()
        async for batch in sub:
            seen.extend(batch.fetchall())
            done.set()
            return

    async def main() -> None:
        conn = laminardb.open(":memory:")
        conn.execute("CREATE TABLE t (a BIGINT)")
        ready, done = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().create_task(follow(conn, ready, done))
        await ready.wait()
        for _ in range(3):
            await asyncio.sleep(0)
            gc.collect()
        conn.insert("t", {"a": 1})
        await asyncio.wait_for(done.wait(), GUARD)

    asyncio.run(main())
    assert seen == [(1,)]


class Rows:
    """Rows for an awaited call, which fails with an exception that holds them."""

    def __init__(self, conn: laminardb.Connection) -> None:
        self.conn, self.begun, self.go = conn, threading.Event(), threading.Event()
        self.kept: Any = None

    def __iter__(self) -> Iterator[dict[str, int]]:
        self.begun.set()
        self.go.wait(GUARD)
        raise ValueError(self)
        yield {}


@pytest.mark.parametrize("cancelled", [False, True])
def test_an_awaited_call_whose_exception_holds_the_awaiting_task_is_collected(*, cancelled: bool) -> None:
    async def main() -> weakref.ref[Rows]:
        conn = laminardb.open(":memory:")
        conn.execute("CREATE TABLE t (a BIGINT)")
        rows = Rows(conn)
        task = asyncio.ensure_future(conn.insert_async("t", iter(rows)))
        await asyncio.to_thread(rows.begun.wait, GUARD)
        if cancelled:
            task.cancel()
            await asyncio.sleep(0)
        rows.go.set()
        try:
            await task
        except (ValueError, asyncio.CancelledError) as error:
            # Its frames hold the call, and that holds what the call has raised if nobody took it.
            rows.kept = [error, task]
        return weakref.ref(rows)

    assert is_collected(asyncio.run(main()))
