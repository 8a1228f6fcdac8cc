"""Subscriptions as context managers, their progress, waits for a time, and what `queries()` tells of unread ones."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import queue
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import laminardb
import pytest
from laminardb import codes

KINDS = ("query", "stream", "async query", "async stream", "callback", "stream callback")
ASYNC = ("async query", "async stream")
CALLBACKS = ("callback", "stream callback")
NEVER = 2**63


class Reader:
    """A subscription of any class, read by one batch at a time."""

    def __init__(self, conn: laminardb.Connection, kind: str, name: str = "t", **options: Any) -> None:
        self.kind = kind
        self.batches: list[laminardb.ChangeBatch] = []
        self._permits = threading.Semaphore(0)
        self._handled: queue.Queue[None] = queue.Queue()
        options = {"snapshot": False, **options}
        if kind == "query":
            self.sub: Any = conn.subscribe(name, **options)
        elif kind == "stream":
            self.sub = conn.subscribe_stream(name, **options)
        elif kind == "callback":
            self.sub = conn.subscribe_callback(name, self._handle, **options)
        elif kind == "stream callback":
            self.sub = conn.subscribe_stream_callback(name, self._handle, **options)
        else:
            subscribe = conn.subscribe_async if kind == "async query" else conn.subscribe_stream_async

            async def subscribed() -> Any:
                return await subscribe(name, **options)

            self.sub = asyncio.run(subscribed())

    def _handle(self, batch: laminardb.ChangeBatch) -> None:
        assert self._permits.acquire(timeout=60)
        self.batches.append(batch)
        self._handled.put(None)

    def read(self, count: int = 1) -> None:
        """Reads so many batches; for a callback, lets it handle them."""
        for _ in range(count):
            if self.kind in CALLBACKS:
                self._permits.release()
                self._handled.get(timeout=60)
            elif self.kind in ASYNC:
                self.batches.append(asyncio.run(self._next()))
            else:
                self.batches.append(self.sub.next_timeout(60_000))

    async def _next(self) -> laminardb.ChangeBatch:
        async for batch in self.sub:
            return batch
        raise AssertionError("the subscription has ended")

    def wait_for(self, time: int, timeout: float | None = 60) -> int:
        if self.kind in ASYNC:

            async def waited() -> int:
                return await self.sub.wait_for(time, timeout)

            return asyncio.run(waited())
        return self.sub.wait_for(time, timeout)

    def release(self) -> None:
        """Lets a callback handle more batches than any test has."""
        self._permits.release(100)


Make = Callable[..., Reader]


@pytest.fixture
def tables(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE TABLE t (a BIGINT PRIMARY KEY, x BIGINT)")
    conn.execute("CREATE TABLE other (a BIGINT)")
    conn.execute("CREATE MATERIALIZED VIEW none AS SELECT a FROM t WHERE a < 0")
    conn.insert("t", {"a": 1, "x": 1})
    conn.wait()
    return conn


@pytest.fixture
def make(tables: laminardb.Connection) -> Iterator[Make]:
    made: list[Reader] = []

    def reader(kind: str, name: str = "t", **options: Any) -> Reader:
        made.append(Reader(tables, kind, name, **options))
        return made[-1]

    yield reader
    for one in made:
        one.sub.cancel()
        one.release()


def inserted(conn: laminardb.Connection, table: str = "t") -> int:
    """Inserts a row that was not there, and returns the time at which every view has it."""
    conn.insert(table, {"a": conn.total_events_processed + 1000})
    return conn.wait()


def in_thread(work: Callable[[], object]) -> queue.Queue[object]:
    """Runs `work` in a thread; the queue gets what it returns or raises."""
    outcome: queue.Queue[object] = queue.Queue()

    def run() -> None:
        try:
            outcome.put(work())
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


@pytest.mark.parametrize("kind", KINDS)
class TestBlocks:
    def test_the_end_of_a_block_cancels(self, tables: laminardb.Connection, make: Make, kind: str) -> None:
        sub = make(kind).sub
        with sub as entered:
            assert entered is sub
            assert sub.is_active
        assert not sub.is_active
        assert "active" not in repr(sub)
        assert not tables.queries()[-1].active

    def test_an_exception_leaves_the_block(self, make: Make, kind: str) -> None:
        sub = make(kind).sub
        with pytest.raises(ZeroDivisionError), sub:
            1 / 0  # noqa: B018
        assert not sub.is_active

    def test_a_cancelled_or_closed_one_can_leave_its_block(
        self, tables: laminardb.Connection, make: Make, kind: str
    ) -> None:
        with make(kind).sub as sub:
            sub.cancel()
        with make(kind).sub as sub:
            tables.close()
        assert not sub.is_active

    def test_close_is_cancel(self, make: Make, kind: str) -> None:
        sub = make(kind).sub
        for _ in range(2):
            assert sub.close() is None
            assert not sub.is_active
        if kind not in CALLBACKS:
            assert sub.try_next() is None


@pytest.mark.parametrize("kind", ASYNC)
class TestAsyncBlocks:
    async def made(self, conn: laminardb.Connection, kind: str) -> Any:
        return await (conn.subscribe_async("t") if kind == "async query" else conn.subscribe_stream_async("t"))

    async def test_the_end_of_a_block_cancels(self, tables: laminardb.Connection, kind: str) -> None:
        sub = await self.made(tables, kind)
        async with sub as entered:
            assert entered is sub
            assert sub.is_active
        assert not sub.is_active

    async def test_an_exception_and_a_cancellation_leave_the_block(
        self, tables: laminardb.Connection, kind: str
    ) -> None:
        sub = await self.made(tables, kind)
        with pytest.raises(ZeroDivisionError):
            async with sub:
                1 / 0  # noqa: B018
        assert not sub.is_active
        sub = await self.made(tables, kind)
        entered = asyncio.Event()

        async def forever() -> None:
            async with sub:
                entered.set()
                await sub.wait_for(NEVER)

        task = asyncio.create_task(forever())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not sub.is_active

    async def test_aclose_ends_a_loop(self, tables: laminardb.Connection, kind: str) -> None:
        sub = await self.made(tables, kind)

        async def read() -> int:
            return len([batch async for batch in sub if not batch.is_snapshot])

        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        assert await sub.aclose() is None
        assert await sub.aclose() is None
        assert await task == 0
        async with contextlib.aclosing(await self.made(tables, kind)) as sub:
            pass
        assert not sub.is_active


def test_the_end_of_the_block_of_a_callback_waits_for_the_call_under_way(tables: laminardb.Connection) -> None:
    entered, may_go, calls = threading.Event(), threading.Event(), []

    def on_data(_batch: laminardb.ChangeBatch) -> None:
        entered.set()
        assert may_go.wait(60)
        calls.append("done")

    with tables.subscribe_callback("t", on_data):
        assert entered.wait(60)
        threading.Timer(0.05, may_go.set).start()
    assert calls == ["done"]
    inserted(tables)
    assert calls == ["done"]


def test_a_callback_may_leave_a_block_of_itself(tables: laminardb.Connection) -> None:
    subs: queue.Queue[laminardb.CallbackSubscription] = queue.Queue()
    ended = threading.Event()

    def on_data(_batch: laminardb.ChangeBatch) -> None:
        with subs.get(timeout=60):
            pass
        ended.set()

    sub = tables.subscribe_callback("t", on_data)
    subs.put(sub)
    assert ended.wait(60)
    sub.wait()
    assert not sub.is_active


@pytest.mark.parametrize("kind", KINDS)
class TestProgress:
    def test_it_is_nothing_until_the_snapshot_was_given(
        self, tables: laminardb.Connection, make: Make, kind: str
    ) -> None:
        start = tables.wait()
        reader = make(kind, snapshot=True)
        assert reader.sub.progress == 0
        reader.read()
        assert reader.batches[0].is_snapshot
        assert reader.wait_for(start) == reader.batches[0].time == start

    def test_without_a_snapshot_it_is_the_time_of_the_start(
        self, tables: laminardb.Connection, make: Make, kind: str
    ) -> None:
        assert make(kind).sub.progress == tables.wait()
        assert make(kind, "none", snapshot=True).sub.progress == tables.wait(), "an empty snapshot"

    def test_it_stops_before_what_is_not_given(self, tables: laminardb.Connection, make: Make, kind: str) -> None:
        reader = make(kind)
        first, second = inserted(tables), inserted(tables)
        inserted(tables, "other")
        assert reader.sub.progress == first - 1
        reader.read()
        assert reader.wait_for(first) == second - 1
        reader.read()
        assert reader.wait_for(second) == tables.wait()

    def test_it_goes_on_where_nothing_changes(self, tables: laminardb.Connection, make: Make, kind: str) -> None:
        reader = make(kind, "none")
        for table in ("t", "other"):
            time = inserted(tables, table)
            assert reader.sub.progress == time
            assert reader.wait_for(time) == time
        with tables.transaction():
            tables.insert("t", {"a": -1, "x": 1})
            tables.execute("DELETE FROM t WHERE a = -1")
        tables.upsert("t", {"a": 1, "x": 1})
        assert reader.wait_for(tables.wait()) == tables.wait()
        assert reader.batches == []

    def test_it_stays_after_the_end(self, tables: laminardb.Connection, make: Make, kind: str) -> None:
        reader = make(kind)
        time = inserted(tables)
        reader.read()
        assert reader.wait_for(time) == time
        reader.sub.cancel()
        inserted(tables)
        assert reader.sub.progress == time
        assert reader.wait_for(time) == time


@pytest.mark.parametrize("kind", KINDS)
class TestWaitFor:
    def test_a_timeout_is_502(self, tables: laminardb.Connection, make: Make, kind: str) -> None:
        reader = make(kind)
        time = inserted(tables)
        for timeout in (0, 0.01):
            with pytest.raises(laminardb.SubscriptionError, match="timeout") as caught:
                reader.wait_for(time, timeout)
            assert caught.value.code == codes.SUBSCRIPTION_TIMEOUT
        reader.read()
        assert reader.wait_for(time, float("inf")) == time

    def test_bad_arguments_are_refused_at_the_call(self, make: Make, kind: str) -> None:
        sub = make(kind).sub
        with pytest.raises(OverflowError):
            sub.wait_for(-1)
        for timeout in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                sub.wait_for(1, timeout)
        with pytest.raises(TypeError):
            sub.wait_for("1")
        with pytest.raises(TypeError):
            sub.wait_for(1, "1")
        with pytest.raises(TypeError):
            sub.wait_for()

    def test_another_thread_reads(self, tables: laminardb.Connection, make: Make, kind: str) -> None:
        reader = make(kind)
        time = inserted(tables)
        waiter = in_thread(lambda: reader.wait_for(time))
        reader.read()
        assert waiter.get(timeout=60) == time

    @pytest.mark.parametrize("end", ["cancel", "cancel_query", "drop", "close"])
    def test_an_end_is_501(self, tables: laminardb.Connection, make: Make, kind: str, end: str) -> None:
        reader = make(kind)
        waiter = in_thread(lambda: reader.wait_for(NEVER, None))
        if end == "cancel":
            reader.sub.cancel()
        elif end == "cancel_query":
            tables.cancel_query(tables.queries()[-1].id)
        elif end == "drop":
            tables.execute("DROP MATERIALIZED VIEW none")
            tables.execute("DROP TABLE t")
        else:
            tables.close()
        error = waiter.get(timeout=60)
        assert isinstance(error, laminardb.SubscriptionError), error
        assert error.code == codes.SUBSCRIPTION_CLOSED
        assert "the subscription ended" in str(error)
        assert ("cancelled" in str(error)) == (end != "drop")

    def test_shutdown_delivers_first(self, tables: laminardb.Connection, make: Make, kind: str) -> None:
        reader = make(kind)
        idle = make(kind, "none")
        time = inserted(tables)
        tables.shutdown()
        assert idle.wait_for(time) == time
        waiter = in_thread(lambda: reader.wait_for(time))
        reader.read()
        assert waiter.get(timeout=60) == time
        with pytest.raises(laminardb.SubscriptionError, match="nothing more comes") as caught:
            reader.wait_for(time + 1)
        assert caught.value.code == codes.SUBSCRIPTION_CLOSED

    def test_a_reader_too_far_behind_never_comes_to_a_time(
        self, tables: laminardb.Connection, make: Make, kind: str
    ) -> None:
        reader = make(kind, max_pending=1)
        for _ in range(5):
            last = inserted(tables)
        with pytest.raises(laminardb.SubscriptionError, match="more than 1 undelivered rows") as caught:
            reader.wait_for(last)
        assert caught.value.code == codes.SUBSCRIPTION_CLOSED


@pytest.mark.parametrize("kind", ["query", "async query", "callback"])
def test_constants_are_given_through_the_time_of_their_snapshot(
    tables: laminardb.Connection, make: Make, kind: str
) -> None:
    time = tables.wait()
    reader = make(kind, "SELECT 1 AS one", snapshot=True)
    assert reader.sub.progress == 0
    reader.read()
    assert reader.wait_for(time) == time
    with pytest.raises(laminardb.SubscriptionError, match="nothing more comes"):
        reader.wait_for(time + 1)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_given_through_a_time_is_the_view_at_that_time(kind: str, workers: int) -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers)) as conn:
        conn.execute("CREATE TABLE t (a BIGINT PRIMARY KEY, x BIGINT)")
        conn.execute("CREATE MATERIALIZED VIEW v AS SELECT x % 7 AS g, sum(x) AS s FROM t GROUP BY x % 7")
        reader = Reader(conn, kind, "v")
        reader.release()
        for step in range(20):
            conn.upsert("t", {"a": list(range(step, step + 10)), "x": [step * n for n in range(10)]})
            time = conn.wait()
            while kind not in CALLBACKS and reader.sub.progress < time:
                reader.read()
            assert reader.wait_for(time) == time
            rows: Counter[tuple[Any, ...]] = Counter()
            for batch in reader.batches:
                for row, op in zip(batch, batch.ops, strict=True):
                    rows[row] += 1 if op.endswith("Insert") else -1
            assert +rows == Counter(conn.sql("SELECT * FROM v"))
        reader.sub.cancel()


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("kind", ["query", "async query"])
def test_times_whose_changes_cancel_between_workers_are_progress_unread(kind: str, workers: int) -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers)) as conn:
        conn.execute("CREATE TABLE t (a BIGINT PRIMARY KEY, x BIGINT)")
        conn.insert("t", {"a": 0, "x": 5})
        reader = Reader(conn, kind, "SELECT x FROM t")
        for a in range(20):
            with conn.transaction():
                conn.execute(f"DELETE FROM t WHERE a = {a}")
                conn.insert("t", {"a": a + 1, "x": 5})
            assert reader.wait_for(conn.wait()) == conn.wait()
        assert reader.sub.try_next() is None


class TestCallbacks:
    def test_a_batch_is_given_when_the_function_has_returned(self, tables: laminardb.Connection) -> None:
        inside: queue.Queue[int] = queue.Queue()
        may_return = threading.Event()

        def on_data(_batch: laminardb.ChangeBatch) -> None:
            inside.put(sub.progress)
            assert may_return.wait(60)

        sub = tables.subscribe_stream_callback("t", on_data)
        start = sub.progress
        time = inserted(tables)
        assert inside.get(timeout=60) == start == sub.progress
        sub.cancel()
        waiter = in_thread(lambda: sub.wait_for(time))
        may_return.set()
        assert waiter.get(timeout=60) == time

    def test_the_function_cannot_wait_for_its_own_batch(self, tables: laminardb.Connection) -> None:
        raised: queue.Queue[BaseException] = queue.Queue()

        def on_data(batch: laminardb.ChangeBatch) -> None:
            assert sub.wait_for(batch.time - 1) == batch.time - 1
            try:
                sub.wait_for(batch.time)
            except laminardb.SubscriptionError as error:
                raised.put(error)

        sub = tables.subscribe_stream_callback("t", on_data)
        inserted(tables)
        error = raised.get(timeout=60)
        assert isinstance(error, laminardb.SubscriptionError)
        assert error.code == codes.SUBSCRIPTION_TIMEOUT

    def test_what_on_error_accepts_is_given_and_what_ends_the_subscription_is_not(
        self, tables: laminardb.Connection, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def fails(_batch: laminardb.ChangeBatch) -> None:
            raise ValueError("boom")

        accepted: list[str] = []
        accepting = tables.subscribe_stream_callback("t", fails, accepted.append)
        ending = tables.subscribe_stream_callback("t", fails)
        time = inserted(tables)
        assert accepting.wait_for(time, 60) == time
        assert accepted == ["ValueError: boom"]
        with pytest.raises(laminardb.SubscriptionError) as caught:
            ending.wait_for(time, 60)
        assert caught.value.code == codes.SUBSCRIPTION_CLOSED
        ending.wait()
        assert [query.active for query in tables.queries()[-2:]] == [True, False]
        assert "ValueError: boom" in capfd.readouterr().err


class TestAsyncio:
    async def test_other_tasks_run_while_one_waits(self, tables: laminardb.Connection) -> None:
        sub = await tables.subscribe_stream_async("t")
        turns = 0

        async def read() -> laminardb.ChangeBatch:
            nonlocal turns
            for _ in range(100):
                await asyncio.sleep(0)
                turns += 1
            tables.insert("t", {"a": 2})
            async for batch in sub:
                return batch
            raise AssertionError

        task = asyncio.create_task(read())
        time = tables.wait() + 1
        assert await sub.wait_for(time) == time
        assert turns == 100
        assert (await task).time == time

    async def test_many_tasks_wait_for_different_times(self, tables: laminardb.Connection) -> None:
        sub = await tables.subscribe_async("none")
        start = tables.wait()
        tasks = [asyncio.create_task(sub.wait_for(start + 1 + n, 60)) for n in range(20)]
        await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.to_thread(inserted, tables)
        assert all(reached > start + n for n, reached in enumerate(await asyncio.gather(*tasks)))

    async def test_a_cancelled_wait_leaves_nothing_behind(self, tables: laminardb.Connection) -> None:
        sub = await tables.subscribe_async("none")
        loop = asyncio.get_running_loop()
        problems: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _loop, problem: problems.append(problem))
        before = sys.getrefcount(loop)
        for _ in range(200):
            task = asyncio.create_task(sub.wait_for(NEVER))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(laminardb.SubscriptionError):
                await sub.wait_for(NEVER, 0.0001)
        del task
        gc.collect()
        assert sys.getrefcount(loop) < before + 20
        time = await asyncio.to_thread(inserted, tables)
        assert await sub.wait_for(time, 60) == time
        sub.cancel()
        await asyncio.sleep(0)
        assert problems == []

    async def test_a_wait_in_a_timeout_of_asyncio(self, tables: laminardb.Connection) -> None:
        sub = await tables.subscribe_async("none")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await sub.wait_for(NEVER)
        assert sub.is_active

    async def test_a_cancel_in_another_thread_ends_the_wait(self, tables: laminardb.Connection) -> None:
        sub = await tables.subscribe_stream_async("t")
        task = asyncio.create_task(sub.wait_for(NEVER))
        await asyncio.sleep(0)
        await asyncio.to_thread(sub.cancel)
        with pytest.raises(laminardb.SubscriptionError, match="cancelled"):
            await task


@pytest.mark.parametrize("kind", ["query", "stream", "callback"])
def test_ctrl_c_ends_a_wait_and_the_subscription_goes_on(tables: laminardb.Connection, make: Make, kind: str) -> None:
    reader = make(kind)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        reader.sub.wait_for(NEVER)
    timer.join()
    time = inserted(tables)
    reader.read()
    assert reader.wait_for(time) == time


@pytest.mark.parametrize("kind", KINDS)
class TestUnread:
    def test_queries_tell_what_a_reader_has_not_taken_and_for_how_long(
        self, tables: laminardb.Connection, make: Make, kind: str
    ) -> None:
        reader = make(kind)
        assert (tables.queries()[-1].pending, tables.queries()[-1].unread_secs) == (0, 0.0)
        # A callback has one of them in its hand.
        last = [inserted(tables) for _ in range(4)][-1]
        held = 1 if kind in CALLBACKS else 0
        first = tables.queries()[-1]
        while first.pending != 4 - held:
            assert kind in CALLBACKS, "the thread of a callback takes the first in its own time"
            first = tables.queries()[-1]
        assert first.unread_secs > 0
        assert tables.queries()[-1].unread_secs > first.unread_secs
        reader.read(4)
        reader.wait_for(last)
        assert (tables.queries()[-1].pending, tables.queries()[-1].unread_secs) == (0, 0.0)

    def test_what_is_over_holds_nothing(self, tables: laminardb.Connection, make: Make, kind: str) -> None:
        reader = make(kind)
        inserted(tables)
        reader.sub.cancel()
        over = tables.queries()[-1]
        assert (over.active, over.pending, over.unread_secs) == (False, 0, 0.0)


def test_an_unread_snapshot_is_pending_and_other_queries_hold_nothing(tables: laminardb.Connection) -> None:
    sub = tables.subscribe("t")
    tables.sql("SELECT a FROM t")
    with_snapshot, other = tables.queries()[-2:]
    assert with_snapshot.pending == 1
    assert with_snapshot.unread_secs > 0
    assert (other.pending, other.unread_secs) == (0, 0.0)
    sub.next()
    assert tables.queries()[-2].pending == 0


def test_a_number_of_rows_replaces_all_default_bounds(tables: laminardb.Connection) -> None:
    sub = tables.subscribe_stream("t", max_pending=3)
    for _ in range(5):
        inserted(tables)
    with pytest.raises(laminardb.SubscriptionError, match="more than 3 undelivered rows") as caught:
        sub.next()
    assert caught.value.code == codes.SUBSCRIPTION_LAGGED
