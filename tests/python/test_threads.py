"""Threads, tasks, finalizers and forks on shared objects (API section 16). Each test ends by events and joins alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import laminardb
import pytest
from laminardb import codes

from conftest import Forked


def together(calls: Iterable[Callable[[], object]]) -> list[BaseException]:
    """Runs each on a thread of its own, all begun at once; gives what they raised."""
    calls = list(calls)
    begun, raised = threading.Barrier(len(calls)), []

    def run(call: Callable[[], object]) -> None:
        begun.wait(60)
        try:
            call()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return raised


def folded(batches: Iterable[laminardb.ChangeBatch]) -> Counter[tuple[Any, ...]]:
    """What is left of all changes."""
    rows: Counter[tuple[Any, ...]] = Counter()
    for batch in batches:
        for op, row in zip(batch.ops, batch, strict=True):
            rows[row] += 1 if op in ("Insert", "UpdateInsert") else -1
    assert min(rows.values(), default=0) >= 0
    return +rows


class Worker:
    """Draws calls on one connection, and knows which errors the others may cause it."""

    # Another thread may have dropped, or made, the relation meanwhile.
    EXPECTED = frozenset({codes.TABLE_NOT_FOUND, codes.TABLE_EXISTS, codes.QUERY_FAILED, codes.SUBSCRIPTION_CLOSED})

    def __init__(self, conn: laminardb.Connection, seed: int) -> None:
        self.conn = conn
        self.draw = random.Random(seed)
        self.seed = seed
        self.written = 0

    def run(self, steps: int = 120) -> None:
        calls = [self.insert, self.insert, self.write, self.query, self.catalog, self.subscribe, self.stream]
        for _ in range(steps):
            self.draw.choice([*calls, self.create, self.drop, self.other])()

    def rows(self) -> list[dict[str, int]]:
        return [{"g": self.draw.randrange(5), "x": self.seed} for _ in range(self.draw.randrange(1, 4))]

    def insert(self) -> None:
        rows = self.rows()
        self.written += self.conn.insert("t", rows)

    def write(self) -> None:
        rows = self.rows()
        with self.conn.writer("t") as writer:
            writer.insert({"g": [row["g"] for row in rows], "x": [row["x"] for row in rows]})
        self.written += len(rows)

    def query(self) -> None:
        mine = self.conn.sql("SELECT count(*) FROM t WHERE x = ?", [self.seed]).fetchone()
        assert mine == (self.written,)
        total, most = self.conn.sql("SELECT CAST(sum(n) AS BIGINT), (SELECT count(*) FROM t) FROM c").fetchall()[0]
        assert (total or 0) == most

    def catalog(self) -> None:
        assert "t" in self.conn.list_tables()
        assert "c" in self.conn.materialized_views()
        assert self.conn.total_events_processed >= self.written
        assert self.conn.metrics().stream_count >= 1
        self.conn.topology()
        self.conn.queries()

    def subscribe(self) -> None:
        sub = self.conn.subscribe("SELECT g, n FROM c")
        batch = sub.try_next()
        # Without a write before, there may have been nothing to begin with.
        assert batch is None or batch.is_snapshot or not self.written
        if self.draw.random() < 0.5:
            sub.cancel()

    def stream(self) -> None:
        seen = sum(len(batch) for batch in self.conn.stream("SELECT * FROM t WHERE x = ?", [self.seed]))
        # A stream ends when the connection is closed, also in the middle.
        assert seen == self.written or self.conn.is_closed

    def name(self) -> str:
        return f"r{self.draw.randrange(3)}"

    def allowed(self, call: Callable[[], object]) -> None:
        try:
            call()
        except laminardb.LaminarError as error:
            if error.code not in self.EXPECTED:
                raise

    def create(self) -> None:
        name = self.name()
        self.allowed(lambda: self.conn.execute(f"CREATE TABLE {name} (a BIGINT)"))
        self.allowed(lambda: self.conn.execute(f"CREATE MATERIALIZED VIEW v{name} AS SELECT sum(a) AS s FROM {name}"))

    def drop(self) -> None:
        name = self.name()
        self.allowed(lambda: self.conn.execute(f"DROP TABLE IF EXISTS {name} CASCADE"))

    def other(self) -> None:
        name = self.name()
        self.allowed(lambda: self.conn.insert(name, {"a": [1, 2]}))
        self.allowed(lambda: self.conn.sql(f"SELECT * FROM v{name}"))
        self.allowed(lambda: self.conn.subscribe_stream(name))


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_do_everything_at_once(workers: int) -> None:
    config = laminardb.LaminarConfig(workers=workers, buffer_size=16)
    with laminardb.open(":memory:", config=config) as conn:
        conn.execute("CREATE SOURCE t (g BIGINT, x BIGINT)")
        conn.execute("CREATE MATERIALIZED VIEW c AS SELECT g, count(*) AS n FROM t GROUP BY g")
        early = conn.subscribe_stream("c", snapshot=True)
        drawn = [Worker(conn, seed) for seed in range(6)]
        assert together(worker.run for worker in drawn) == []
        conn.shutdown()
        late = sum(worker.written for worker in drawn)
        state = folded(early)
        metrics = conn.source_metrics("t")
        assert metrics is not None
        assert sum(n for _, n in state) == late == metrics.total_events
        assert set(state.values()) <= {1}


@pytest.mark.parametrize("end", ["close", "shutdown"])
def test_the_end_comes_while_threads_do_everything(end: str) -> None:
    conn = laminardb.open(":memory:")
    conn.execute("CREATE SOURCE t (g BIGINT, x BIGINT)")
    conn.execute("CREATE MATERIALIZED VIEW c AS SELECT g, count(*) AS n FROM t GROUP BY g")
    over = {codes.CONNECTION_CLOSED, codes.SHUTDOWN, codes.WRITER_CLOSED}
    busy, enough = threading.Semaphore(0), threading.Event()

    def work(seed: int) -> None:
        worker = Worker(conn, seed)
        try:
            while True:
                worker.run(1)
                busy.release()
        except laminardb.LaminarError as error:
            if error.code not in over:
                raise

    def count() -> None:
        for _ in range(40):
            assert busy.acquire(timeout=60)
        enough.set()

    def finish() -> None:
        assert enough.wait(60)
        getattr(conn, end)()

    # Two ends at once are one.
    assert together([*(lambda seed=seed: work(seed) for seed in range(5)), count, finish, finish]) == []  # type: ignore[misc]
    assert conn.is_closed == (end == "close")
    conn.close()


def test_readers_of_one_subscription_share_its_batches(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    sub = conn.subscribe_stream("t")
    seen: list[int] = []

    def read() -> None:
        for batch in sub:
            seen.extend(row[0] for row in batch)

    def write(thread: int) -> None:
        for idx in range(100):
            conn.insert("t", {"x": thread * 100 + idx})

    def all_written() -> None:
        raised = together([lambda: write(0), lambda: write(1), lambda: write(2)])
        # What is pending is delivered, then the readers end.
        conn.shutdown()
        assert raised == []

    assert together([read, read, read, all_written]) == []
    assert sorted(seen) == list(range(300))


def test_subscribers_come_and_go_while_threads_write(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, x BIGINT)")
    conn.execute("CREATE MATERIALIZED VIEW s AS SELECT x % 7 AS g, count(*) AS n FROM t GROUP BY g")
    done = threading.Event()

    def write(thread: int) -> None:
        for idx in range(60):
            conn.upsert("t", {"id": [idx % 20, 100 + thread], "x": [idx, idx * thread]})
            if idx % 3 == 0:
                conn.delete("t", {"id": idx % 20})

    def writers() -> None:
        raised = together([lambda: write(0), lambda: write(1)])
        done.set()
        assert raised == []

    def follow() -> None:
        while not done.is_set():
            # A snapshot is of one time, whenever it is taken.
            sub = conn.subscribe_stream("s", snapshot=True)
            first = sub.try_next()
            state = folded([first] if first is not None else [])
            assert len({g for g, _ in state}) == len(state)
            sub.cancel()

    sub = conn.subscribe_stream("s", snapshot=True)
    assert together([writers, follow, follow]) == []
    conn.wait()
    final = Counter(conn.sql("SELECT * FROM s").fetchall())
    conn.shutdown()
    assert folded(sub) == final


def test_cancel_races_with_every_reader(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    for _ in range(30):
        sub = conn.subscribe_stream("t")
        calls: list[Callable[[], object]] = [lambda sub=sub: list(sub), sub.next, sub.try_next, sub.cancel, sub.cancel]  # type: ignore[misc]
        assert together([*calls, lambda: conn.insert("t", {"x": 1})]) == []
        assert not sub.is_active
        assert sub.next() is None


def test_objects_are_dropped_on_other_threads() -> None:
    for _ in range(10):
        conn = laminardb.open(":memory:")
        conn.create_table("t", {"x": "int64"})
        conn.insert("t", {"x": list(range(1000))})
        held: list[Any] = [conn, conn.subscribe_stream("t"), conn.writer("t"), conn.stream("SELECT * FROM t, t AS u")]
        held.append(conn.subscribe_stream_callback("t", lambda batch: None))
        conn.insert("t", {"x": 1})
        del conn
        # The last handle ends the engine, on whichever thread that is.
        assert together([held.pop] * len(held)) == []
        assert held == []


def test_a_blocked_reader_keeps_its_connection() -> None:
    conn = laminardb.open(":memory:")
    conn.create_table("t", {"x": "int64"})
    writer, sub = conn.writer("t"), conn.subscribe_stream("t")
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(sub.next()))
    thread.start()
    del conn
    gc.collect()
    writer.insert({"x": 5})
    thread.join(60)
    assert [batch.fetchall() for batch in got] == [[(5,)]]


class Last:
    """Something whose end ends other things."""

    def __init__(self, *ends: Callable[[], object]) -> None:
        self.ends = ends
        self.itself = self

    def __del__(self) -> None:
        for end in self.ends:
            end()


def test_finalizers_close_cancel_and_query() -> None:
    for _ in range(5):
        conn = laminardb.open(":memory:")
        conn.create_table("t", {"x": "int64"})
        sub = conn.subscribe_stream("t")
        seen: list[Any] = []
        # In a cycle, so that it is the collector that calls it, wherever that happens to run.
        Last(lambda: seen.append(conn.sql("SELECT count(*) FROM t").fetchone()), sub.cancel, conn.close)  # noqa: B023
        thread = threading.Thread(target=sub.next)
        thread.start()
        while not seen:
            with contextlib.suppress(laminardb.ConnectionError):
                conn.insert("t", [{"x": idx} for idx in range(50)])
            gc.collect()
        thread.join(60)
        assert not thread.is_alive()
        assert conn.is_closed
        assert len(seen) == 1


def test_the_collector_calls_into_the_connection(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    conn.create_table("log", {"x": "int64"})
    calls: list[str] = []

    def collected(phase: str, info: dict[str, int]) -> None:
        # A collection may begin in the middle of any call here.
        if phase == "start" and len(calls) < 50:
            calls.append(phase)
            conn.insert("log", {"x": len(calls)})
            conn.sql("SELECT count(*) FROM t").fetchall()

    thresholds = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(20)
    try:
        while len(calls) < 50:
            conn.insert("t", [{"x": idx} for idx in range(50)])
            conn.sql("SELECT [x] AS l FROM t LIMIT 200").fetchall()
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collected)
    assert conn.sql("SELECT count(*) FROM log").fetchone() == (50,)


@pytest.mark.parametrize("ending", ["cancel", "close", "drop"])
def test_callbacks_drop_what_they_belong_to(ending: str) -> None:
    conn = laminardb.open(":memory:")
    conn.create_table("t", {"x": "int64"})
    held: dict[str, Any] = {"conn": conn}
    called, armed = threading.Event(), threading.Event()

    def on_data(batch: laminardb.ChangeBatch) -> None:
        armed.wait(60)
        if ending == "cancel":
            held["sub"].cancel()
        elif ending == "close":
            held["conn"].close()
        held.clear()
        called.set()

    held["sub"] = conn.subscribe_stream_callback("t", on_data)
    conn.insert("t", {"x": 1})
    del conn
    armed.set()
    assert called.wait(60)


async def read(sub: laminardb.AsyncStreamSubscription, seen: list[int]) -> None:
    """Adds the numbers that come to `seen`, until the subscription ends."""
    async for batch in sub:
        seen.extend(row[0] for row in batch)


async def test_tasks_share_a_subscription_while_threads_write(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    sub = await conn.subscribe_stream_async("t")
    seen: list[int] = []

    def write() -> list[BaseException]:
        def some(thread: int) -> None:
            for idx in range(100):
                conn.insert("t", {"x": thread * 100 + idx})

        raised = together([lambda: some(0), lambda: some(1), lambda: some(2)])
        conn.shutdown()
        return raised

    readers = [asyncio.create_task(read(sub, seen)) for _ in range(4)]
    assert await asyncio.to_thread(write) == []
    await asyncio.wait_for(asyncio.gather(*readers), 60)
    assert sorted(seen) == list(range(300))


async def test_cancelled_tasks_lose_nothing_while_a_thread_writes(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    sub = await conn.subscribe_stream_async("t")
    seen: list[int] = []

    def write() -> None:
        for idx in range(300):
            conn.insert("t", {"x": idx})
        conn.shutdown()

    writing = asyncio.ensure_future(asyncio.to_thread(write))
    while not writing.done():
        task = asyncio.create_task(read(sub, seen))
        for _ in range(len(seen) % 5 + 1):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await writing
    await asyncio.wait_for(read(sub, seen), 60)
    assert seen == list(range(300))


def test_loops_of_many_threads(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    subscribed = threading.Barrier(5)
    sums: list[int] = []

    async def follow() -> None:
        subs = [await conn.subscribe_stream_async("t") for _ in range(3)]
        await asyncio.to_thread(subscribed.wait, 60)

        async def total(sub: laminardb.AsyncStreamSubscription) -> int:
            return sum([row[0] async for batch in sub for row in batch])

        sums.extend(await asyncio.gather(*map(total, subs)))

    def write() -> None:
        subscribed.wait(60)
        for idx in range(100):
            conn.insert("t", {"x": idx})
        conn.shutdown()

    assert together([*[lambda: asyncio.run(follow())] * 4, write]) == []
    assert sums == [4950] * 12


@pytest.mark.parametrize("end", ["cancel", "close", "drop relation"])
async def test_another_thread_ends_waiting_tasks(conn: laminardb.Connection, end: str) -> None:
    conn.create_table("t", {"x": "int64"})
    sub = await conn.subscribe_stream_async("t")
    ends = {"cancel": sub.cancel, "close": conn.close, "drop relation": lambda: conn.execute("DROP SOURCE t")}
    waiting = asyncio.ensure_future(anext(sub))
    await asyncio.sleep(0)
    await asyncio.to_thread(ends[end])
    with pytest.raises(laminardb.SubscriptionError if end == "drop relation" else StopAsyncIteration):
        await asyncio.wait_for(waiting, 60)
    assert not sub.is_active


def alone(program: str) -> None:
    """Runs a program in development mode; it must end well and print nothing but its last word."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_a_closed_loop_leaves_no_noise() -> None:
    alone(
        "import asyncio, laminardb\n"
        "conn = laminardb.open(':memory:')\n"
        "conn.create_table('t', {'x': 'int64'})\n"
        "async def main():\n"
        "    sub = await conn.subscribe_stream_async('t')\n"
        "    waiting = asyncio.ensure_future(anext(sub))\n"
        "    await asyncio.sleep(0)\n"
        "    return sub\n"
        "sub = asyncio.run(main())\n"
        "conn.insert('t', {'x': 1})\n"
        "assert sub.next().fetchall() == [(1,)]\n"
        "async def again():\n"
        "    conn.insert('t', {'x': 2})\n"
        "    return (await anext(sub)).fetchall()\n"
        "assert asyncio.run(again()) == [(2,)]\n"
        "print('end')\n"
    )


def test_the_process_ends_while_a_callback_runs() -> None:
    # The call under way comes to its end, though it gives the interpreter away after the main thread has left it.
    alone(
        "import atexit, threading, laminardb\n"
        "conn = laminardb.open(':memory:')\n"
        "conn.create_table('t', {'x': 'int64'})\n"
        "conn.create_table('u', {'x': 'int64'})\n"
        "begun, ending = threading.Event(), threading.Event()\n"
        "def on_data(batch):\n"
        "    begun.set()\n"
        "    ending.wait()\n"
        "    conn.insert('u', [{'x': x} for x in range(100_000)])\n"
        "    print('end', flush=True)\n"
        "callback = conn.subscribe_callback('SELECT * FROM t', on_data)\n"
        "conn.insert('t', {'x': 1})\n"
        "begun.wait()\n"
        "atexit.register(ending.set)\n"
    )


def test_the_process_ends_while_threads_write_and_read() -> None:
    alone(
        "import threading, weakref, laminardb\n"
        "conn = laminardb.open(':memory:')\n"
        "conn.create_table('t', {'x': 'int64'})\n"
        "conn.execute('CREATE MATERIALIZED VIEW s AS SELECT sum(x) AS s FROM t')\n"
        "busy = threading.Barrier(5)\n"
        "def forever(call):\n"
        "    call()\n"
        "    busy.wait(60)\n"
        "    while True:\n"
        "        call()\n"
        "sub = conn.subscribe_stream('s')\n"
        "callback = conn.subscribe_stream_callback('t', lambda batch: None)\n"
        "for call in (lambda: conn.insert('t', {'x': 1}), lambda: conn.sql('SELECT * FROM s'), sub.try_next, conn.wait):\n"
        "    threading.Thread(target=forever, args=(call,), daemon=True).start()\n"
        "class Last: pass\n"
        "last = Last()\n"
        "weakref.finalize(last, conn.metrics)\n"
        "busy.wait(60)\n"
        "print('end')\n"
    )


def test_calls_of_threads_run_no_python_code_in_which_the_end_of_the_interpreter_could_meet_them() -> None:
    conn = laminardb.open(":memory:")
    conn.create_table("t", {"x": "int64"})
    sub = conn.subscribe_stream("t")
    calls = [lambda: conn.insert("t", {"x": 1}), lambda: conn.sql("SELECT * FROM t"), sub.try_next, conn.wait]
    ran: list[str] = []

    def run() -> None:
        for call in calls:
            call()
        sys.setprofile(lambda frame, event, _: ran.append(frame.f_code.co_filename) if event == "call" else None)
        for call in calls:
            call()
        sys.setprofile(None)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    conn.close()
    assert set(ran) == {__file__}


INHERITED = """
conn = laminardb.open(":memory:")
conn.create_table("t", {"x": "int64"})
conn.insert("t", {"x": [1, 2, 3]})
conn.execute("CREATE MATERIALIZED VIEW s AS SELECT sum(x) AS s FROM t")
laminardb.sql("SELECT 1")
result = conn.sql("SELECT x FROM t ORDER BY x")
writer = conn.writer("t")
sub = conn.subscribe("SELECT * FROM t", snapshot=False)
stream_sub = conn.subscribe_stream("s")
callback = conn.subscribe_stream_callback("t", lambda batch: None)
it = conn.stream("SELECT x FROM t")
batch = conn.subscribe("SELECT x FROM t").next()
"""
REFUSED = """
conn.sql("SELECT 1")
conn.execute("SELECT 1")
conn.stream("SELECT 1")
conn.insert("t", {"x": 1})
conn.insert_json("t", "[]")
conn.writer("t")
conn.subscribe("SELECT 1")
conn.subscribe_stream("t")
conn.tables()
conn.sources()
conn.stats("t")
conn.metrics()
conn.topology()
conn.current_time
conn.pipeline_state
conn.wait()
conn.cancel_query(1)
conn.start()
conn.shutdown()
writer.insert({"x": 1})
writer.flush()
writer.watermark(1)
writer.name
writer.current_watermark
sub.next()
sub.try_next()
sub.next_timeout(5)
next(sub)
stream_sub.next()
next(it)
it.try_next()
""".strip().splitlines()
HARMLESS = """
assert result.fetchall() == batch.fetchall() == [(1,), (2,), (3,)]
for each in (sub, stream_sub, it, callback):
    assert not each.is_active
    each.cancel()
    repr(each)
with writer, conn:
    pass
writer.close()
conn.close()
del conn, writer, sub, stream_sub, it, callback
assert laminardb.sql("SELECT 2").fetchone() == (2,)
with laminardb.open(":memory:") as new:
    new.create_table("u", {"x": "int64"})
    seen = new.subscribe_stream("u")
    new.insert("u", result)
    assert seen.next().fetchall() == [(1,), (2,), (3,)]
"""
THEN = '(conn.insert("t", {"x": 4}), sub.next().fetchall(), sum(len(part) for part in it), writer.flush())'


@pytest.mark.parametrize("end", ["at once", "in order"])
def test_a_forked_child_is_refused_and_can_open_anew(forked: Forked, end: str) -> None:
    assert forked(INHERITED, REFUSED, HARMLESS, THEN, orderly=end == "in order") == "(1, [(4,)], 3, 0)"


def test_a_fork_while_threads_hold_everything(forked: Forked) -> None:
    busy = """
held = threading.Barrier(4)
def forever(call):
    call()
    held.wait(60)
    while not over.is_set():
        call()
over = threading.Event()
blocked = threading.Thread(target=conn.subscribe_stream("s").next, daemon=True)
calls = (lambda: conn.insert("t", {"x": 1}), lambda: conn.sql("SELECT * FROM s"), lambda: laminardb.sql("SELECT 1"))
for thread in [blocked, *(threading.Thread(target=forever, args=(call,), daemon=True) for call in calls)]:
    thread.start()
held.wait(60)
"""
    parent = '(over.set(), conn.sql("SELECT count(*) > 3 FROM t").fetchone())'
    assert forked(INHERITED + busy, REFUSED, HARMLESS, parent) == "(None, (True,))"


def test_a_child_of_a_child(forked: Forked) -> None:
    inner = """
new = laminardb.open(":memory:")
pid = os.fork()
if pid == 0:
    for call in (lambda: new.sql("SELECT 1"), lambda: conn.sql("SELECT 1")):
        try:
            call()
        except laminardb.ConnectionError as error:
            assert error.code == 102
        else:
            os._exit(1)
    assert laminardb.sql("SELECT 3").fetchone() == (3,)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert new.sql("SELECT 4").fetchone() == (4,)
"""
    assert forked(INHERITED, REFUSED[:2], inner, '"parent"') == "parent"


NUMPY_IN_TRANSACTIONS = """
import threading, laminardb, numpy, pyarrow
conn = laminardb.open(":memory:")
conn.create_table("t", {"a": "int64"})
conn.execute("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
over = threading.Event()
def write():
    for _ in range(300):
        with conn.transaction():
            for _ in range(3):
                conn.insert("t", pyarrow.table({"a": numpy.arange(100)}))
    over.set()
writer = threading.Thread(target=write)
writer.start()
while not over.is_set():
    conn.current_time
    conn.subscribe("t", snapshot=False).cancel()
writer.join()
print(conn.sql("SELECT n FROM v").fetchone())
"""


@pytest.mark.usefixtures("np", "pa")
def test_rows_of_numpy_are_given_back_where_nobody_waits_for_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NUMPY_IN_TRANSACTIONS], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(90000,)\n", "")


# A signal's handler runs when the call looks for it: without that once, after the call.
@pytest.mark.parametrize("call", ["fetchall", "to_dicts", "list of dicts", "columns", "tuple"])
def test_signals_are_heard_while_many_rows_are_read(conn: laminardb.Connection, call: str) -> None:
    conn.create_table("t", {"a": "int64"})
    numbers = list(range(1_000_000))
    conn.insert("t", {"a": numbers})
    result = conn.query("SELECT * FROM t")
    rows = [{"a": number} for number in numbers]
    calls: dict[str, Callable[[], object]] = {
        "fetchall": result.fetchall,
        "to_dicts": result.to_dicts,
        "list of dicts": lambda: conn.insert("t", rows),
        "columns": lambda: conn.insert("t", {"a": numbers}),
        "tuple": lambda: conn.insert("t", {"a": tuple(numbers)}),
    }
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _frame: heard.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        calls[call]()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(heard) > 5
