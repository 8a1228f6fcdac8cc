"""Section 10 of the Python contract: change batches, and how subscriptions begin, end and are bounded."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import laminardb
import pytest
from expect import fails
from laminardb import ChangeRow


@pytest.fixture
def keyed(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, g VARCHAR, x BIGINT)")
    conn.execute("CREATE MATERIALIZED VIEW per AS SELECT g, count(*) AS n FROM t GROUP BY g")
    return conn


def changes(batch: laminardb.ChangeBatch | None) -> list[tuple[str, tuple[Any, ...]]]:
    assert batch is not None
    return list(zip(batch.ops, batch, strict=True))


def test_a_change_batch_is_a_result_with_ops(keyed: laminardb.Connection, pa: ModuleType) -> None:
    keyed.insert("t", [{"id": 1, "g": "a", "x": 1}])
    keyed.wait()
    sub = keyed.subscribe_stream("per")
    keyed.insert("t", [{"id": 2, "g": "a", "x": 1}])
    batch = sub.next()
    assert batch is not None
    assert isinstance(batch, laminardb.QueryResult)
    assert (batch.columns, batch.num_rows, len(batch), batch.num_columns) == (["g", "n"], 2, 2, 2)
    assert batch.ops == ["UpdateDelete", "UpdateInsert"]
    assert (batch.time, batch.is_snapshot, batch.is_last) == (keyed.current_time, False, True)
    assert repr(batch) == f"ChangeBatch(rows=2, columns=2, time={batch.time})"
    expected = [ChangeRow("UpdateDelete", {"g": "a", "n": 1}), ChangeRow("UpdateInsert", {"g": "a", "n": 2})]
    assert list(batch.changes()) == list(batch.changes()) == expected
    assert iter(batch.changes()) is not batch
    for call in (batch.to_arrow, batch.arrow):
        assert call().equals(pa.table({"g": ["a", "a"], "n": [1, 2]}, schema=batch.schema))
        with_ops = call(ops=True)
        assert with_ops.column_names == ["__op", "g", "n"]
        assert with_ops["__op"].to_pylist() == batch.ops
        assert with_ops.schema.field("__op").type == pa.string()
    assert batch.to_dicts() == {"g": ["a", "a"], "n": [1, 2]}
    for name in ("ops", "time", "is_snapshot", "is_last"):
        with pytest.raises(AttributeError):
            setattr(batch, name, None)


def test_batches_with_deletes_cannot_be_inserted(keyed: laminardb.Connection) -> None:
    keyed.create_table("copy", {"id": "int64", "g": "string", "x": "int64"})
    sub = keyed.subscribe_stream("t")
    keyed.insert("t", {"id": 1, "g": "a", "x": 1})
    assert keyed.insert("copy", sub.next()) == 1
    keyed.delete("t", {"id": 1})
    with fails(laminardb.IngestionError, 300):
        keyed.insert("copy", sub.next())
    assert len(keyed.sql("SELECT * FROM copy")) == 1


@pytest.mark.parametrize("target", ["t", "SELECT id, x FROM t", "SELECT * FROM t WHERE x >= 0"])
def test_pairs_where_the_key_is_kept(keyed: laminardb.Connection, target: str) -> None:
    keyed.insert("t", {"id": list(range(50)), "g": ["a"] * 50, "x": [0] * 50})
    sub = keyed.subscribe(target, snapshot=False)
    keyed.execute("UPDATE t SET x = id + 1")
    batch = sub.next()
    assert batch is not None
    assert batch.ops == ["UpdateDelete", "UpdateInsert"] * 50
    pairs = list(zip(list(batch)[::2], list(batch)[1::2], strict=True))
    assert all(old[0] == new[0] and old[-1] == 0 and new[-1] == new[0] + 1 for old, new in pairs)


def test_no_pairs_without_a_key(keyed: laminardb.Connection) -> None:
    keyed.insert("t", {"id": 1, "g": "a", "x": 0})
    sub = keyed.subscribe("SELECT x FROM t", snapshot=False)
    keyed.execute("UPDATE t SET x = 1")
    assert sorted(changes(sub.next())) == [("Delete", (0,)), ("Insert", (1,))]


def test_equal_rows_come_as_often_as_they_count(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (a BIGINT)")
    conn.insert("t", {"a": [1, 1, 2]})
    sub = conn.subscribe("SELECT a FROM t")
    assert sorted(changes(sub.next())) == [("Insert", (1,)), ("Insert", (1,)), ("Insert", (2,))]
    conn.insert("t", {"a": [3, 3, 3]})
    assert changes(sub.next()) == [("Insert", (3,))] * 3
    conn.delete("t", {"a": [3, 1]})
    assert sorted(changes(sub.next())) == [("Delete", (1,)), ("Delete", (3,))]


def test_an_empty_snapshot_is_not_delivered(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    sub = conn.subscribe("SELECT a FROM t")
    assert sub.try_next() is None
    conn.insert("t", {"a": 1})
    batch = sub.next()
    assert batch is not None
    assert (batch.is_snapshot, changes(batch)) == (False, [("Insert", (1,))])


def test_a_time_is_split_only_above_a_million_rows(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    sub = conn.subscribe_stream("t")
    for rows in (1_000_000, 1_000_001):
        conn.insert("t", {"a": range(rows)})
        parts = [sub.next()]
        while not parts[-1].is_last:  # type: ignore[union-attr]
            parts.append(sub.next())
        assert sum(len(part) for part in parts) == rows  # type: ignore[arg-type]
        assert (len(parts) > 1) == (rows > 1_000_000)
        assert {part.time for part in parts} == {conn.current_time}  # type: ignore[union-attr]
        assert all(0 < len(part) <= 1_000_000 for part in parts)  # type: ignore[arg-type]


def test_threads_that_share_a_subscription_share_its_batches(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    sub = conn.subscribe_stream("t")
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.extend(row[0] for batch in sub for row in batch)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for idx in range(100):
        conn.insert("t", {"a": idx})
    conn.shutdown()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert sorted(got) == list(range(100))


def test_the_bound_counts_neither_the_snapshot_nor_the_first_time(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.insert("t", {"a": list(range(1000))})
    sub = conn.subscribe("SELECT a FROM t", max_pending=10)
    conn.insert("t", {"a": list(range(500))})
    conn.wait()
    assert [len(sub.next()), len(sub.next())] == [1000, 500]  # type: ignore[arg-type]


@pytest.mark.parametrize("call", ["next", "try_next", "next_timeout", "iterate"])
def test_a_lagging_reader_is_told_once(conn: laminardb.Connection, call: str) -> None:
    conn.create_table("t", {"a": "int64"})
    sub = conn.subscribe_stream("t", max_pending=2)
    other = conn.subscribe_stream("t")
    for idx in range(6):
        conn.insert("t", {"a": [idx, idx]})
        conn.wait()
    assert sub.is_active
    calls: dict[str, Callable[[], object]] = {
        "next": sub.next,
        "try_next": sub.try_next,
        "next_timeout": lambda: sub.next_timeout(1),
        "iterate": lambda: next(sub),
    }
    with fails(laminardb.SubscriptionError, 503, "Subscription lagged (503): "):
        calls[call]()
    assert (sub.is_active, repr(sub)) == (False, "StreamSubscription(finished)")
    assert [sub.next(), sub.try_next(), sub.next_timeout(1), list(sub)] == [None, None, None, []]
    assert sum(len(other.next()) for _ in range(6)) == 12  # type: ignore[arg-type]


def test_constants_end_after_their_rows(conn: laminardb.Connection) -> None:
    sub = conn.subscribe("SELECT 1 AS one UNION ALL SELECT 2")
    assert sub.is_active
    batch = sub.next()
    assert batch is not None
    assert (sorted(batch.fetchall()), batch.is_snapshot, batch.ops) == ([(1,), (2,)], True, ["Insert", "Insert"])
    assert sub.is_active, "the reader has not met the end"
    assert sub.next() is None
    assert (sub.is_active, repr(sub), list(sub)) == (False, "Subscription(finished)", [])
    assert list(conn.subscribe("SELECT 1 AS one", snapshot=False)) == []


REPLACED = ["DROP MATERIALIZED VIEW per", "CREATE OR REPLACE MATERIALIZED VIEW per AS SELECT count(*) AS n FROM t"]


@pytest.mark.parametrize("sql", [*REPLACED, "DROP TABLE t CASCADE"])
def test_dropping_or_replacing_delivers_what_is_pending_and_ends(keyed: laminardb.Connection, sql: str) -> None:
    sub = keyed.subscribe_stream("per")
    keyed.insert("t", {"id": 1, "g": "a", "x": 1})
    keyed.execute(sql)
    assert changes(sub.next()) == [("Insert", ("a", 1))]
    with fails(laminardb.SubscriptionError, 501, "Subscription closed (501): "):
        sub.next()
    assert (sub.next(), sub.is_active) == (None, False)


def test_a_failing_view_ends_its_subscriptions_once(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (s VARCHAR)")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT CAST(s AS BIGINT) AS n FROM t")
    subs = [conn.subscribe_stream("v"), conn.subscribe("SELECT n + 1 AS m FROM v")]
    conn.insert("t", {"s": "x"})
    for sub in subs:
        with fails(laminardb.StreamError, 600):
            sub.next()
        assert (sub.next(), sub.is_active) == (None, False)


def test_members_of_the_classes() -> None:
    common = {"is_active", "schema", "try_next", "cancel", "close", "progress", "wait_for"}
    members = {
        name: {member for member in dir(getattr(laminardb, name)) if not member.startswith("_")}
        for name in ("Subscription", "AsyncSubscription", "StreamSubscription", "AsyncStreamSubscription")
    }
    assert members == {
        "Subscription": common | {"next", "next_timeout"},
        "AsyncSubscription": common | {"aclose"},
        "StreamSubscription": common | {"next", "next_timeout"},
        "AsyncStreamSubscription": common | {"aclose", "next", "next_timeout"},
    }
    callback = {member for member in dir(laminardb.CallbackSubscription) if not member.startswith("_")}
    assert callback == {"is_active", "cancel", "close", "progress", "wait", "wait_for"}
    for name in ("Subscription", "StreamSubscription", "AsyncStreamSubscription"):
        assert str(inspect.signature(getattr(laminardb, name).next_timeout)) == "(self, /, timeout_ms)"


async def four(conn: laminardb.Connection) -> list[Any]:
    return [
        conn.subscribe("per"),
        await conn.subscribe_async("per"),
        conn.subscribe_stream("per"),
        await conn.subscribe_stream_async("per"),
    ]


@pytest.mark.usefixtures("pa")
async def test_states_and_reprs(keyed: laminardb.Connection) -> None:
    subs = await four(keyed)
    names = [type(sub).__name__ for sub in subs]
    assert [repr(sub) for sub in subs] == [f"{name}(active)" for name in names]
    for sub in subs:
        assert sub.schema.names == ["g", "n"]
        assert sub.try_next() is None
        sub.cancel()
        sub.cancel()
        assert (sub.is_active, sub.try_next()) == (False, None)
    assert [repr(sub) for sub in subs] == [
        "Subscription(finished)",
        "AsyncSubscription(finished)",
        "StreamSubscription(cancelled)",
        "AsyncStreamSubscription(cancelled)",
    ]
    for sub in subs[2:]:
        with pytest.raises(RuntimeError, match="cancelled"):
            _ = sub.schema
        assert (sub.next(), sub.next_timeout(10_000)) == (None, None)
    for sub in subs[:2]:
        assert sub.schema.names == ["g", "n"]
    assert list(subs[0]) == list(subs[2]) == []
    for sub in (subs[1], subs[3]):
        assert [batch async for batch in sub] == []


async def test_ends_that_nobody_asked_for(keyed: laminardb.Connection) -> None:
    subs = await four(keyed)
    keyed.shutdown()
    assert list(subs[0]) == list(subs[2]) == []
    for sub in (subs[1], subs[3]):
        assert [batch async for batch in sub] == []
    assert [repr(sub) for sub in subs] == [f"{type(sub).__name__}(finished)" for sub in subs]


@pytest.mark.parametrize("way", ["subscribe", "subscribe_stream"])
def test_timeouts(keyed: laminardb.Connection, way: str) -> None:
    sub = getattr(keyed, way)("per")
    for timeout in (0, 5):
        with fails(laminardb.SubscriptionError, 502, "timeout"):
            sub.next_timeout(timeout)
        assert sub.is_active
    with pytest.raises(OverflowError):
        sub.next_timeout(-1)
    keyed.insert("t", {"id": 1, "g": "a", "x": 1})
    assert changes(sub.next_timeout(60_000)) == [("Insert", ("a", 1))]


async def test_timeouts_of_the_async_class_are_synchronous(keyed: laminardb.Connection) -> None:
    sub = await keyed.subscribe_stream_async("per")
    with fails(laminardb.SubscriptionError, 502, "timeout"):
        sub.next_timeout(0)
    with pytest.raises(OverflowError):
        sub.next_timeout(-1)
    keyed.insert("t", {"id": 1, "g": "a", "x": 1})
    assert changes(sub.next()) == [("Insert", ("a", 1))]


@pytest.mark.parametrize("call", ["next", "iterate", "next_timeout"])
@pytest.mark.parametrize("end", ["cancel", "close", "shutdown"])
def test_ends_wake_a_blocked_reader(keyed: laminardb.Connection, call: str, end: str) -> None:
    sub = keyed.subscribe_stream("per")
    got: list[Any] = []
    calls: dict[str, Callable[[], object]] = {
        "next": sub.next,
        "iterate": lambda: list(sub),
        "next_timeout": lambda: sub.next_timeout(60_000),
    }
    begun = threading.Event()

    def read() -> None:
        begun.set()
        got.append(calls[call]())

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(60)
    if end == "cancel":
        sub.cancel()
    else:
        getattr(keyed, end)()
    thread.join(30)
    assert not thread.is_alive()
    assert got == [[] if call == "iterate" else None]


@pytest.mark.usefixtures("pa")
def test_state_is_shown_while_a_reader_waits(keyed: laminardb.Connection) -> None:
    sub = keyed.subscribe_stream("per")
    thread = threading.Thread(target=sub.next)
    thread.start()
    for _ in range(100):
        assert (sub.is_active, repr(sub)) == (True, "StreamSubscription(active)")
        assert sub.schema.names == ["g", "n"]
    sub.cancel()
    thread.join(60)
    assert not thread.is_alive()


def test_callbacks_come_one_at_a_time_with_true_ops(keyed: laminardb.Connection) -> None:
    seen: list[Any] = []
    running = threading.Lock()

    def on_data(batch: laminardb.ChangeBatch) -> None:
        assert running.acquire(blocking=False)
        seen.extend(changes(batch))
        running.release()

    sub = keyed.subscribe_stream_callback("per", on_data)
    assert (sub.is_active, repr(sub)) == (True, "CallbackSubscription(stream, active)")
    for idx in range(20):
        keyed.insert("t", {"id": idx, "g": "a", "x": 1})
        keyed.wait()
    keyed.shutdown()
    sub.wait()
    assert seen[0] == ("Insert", ("a", 1))
    assert seen[-1] == ("UpdateInsert", ("a", 20))
    assert (sub.is_active, repr(sub)) == (False, "CallbackSubscription(stream, finished)")
    sub.wait()


def test_a_callback_that_raises_goes_on_when_errors_are_heard(keyed: laminardb.Connection) -> None:
    errors: list[str] = []
    heard = threading.Semaphore(0)

    class Odd(Exception):
        pass

    def on_data(batch: laminardb.ChangeBatch) -> None:
        raise Odd(f"no {len(batch)}")

    def on_error(text: str) -> None:
        errors.append(text)
        heard.release()

    sub = keyed.subscribe_callback("SELECT g FROM per", on_data, on_error=on_error)
    for idx, group in enumerate("ab"):
        keyed.insert("t", {"id": idx, "g": group, "x": 1})
        assert heard.acquire(timeout=60)
    assert errors == ["Odd: no 1", "Odd: no 1"]
    assert sub.is_active
    sub.cancel()
    sub.wait()
    assert repr(sub) == "CallbackSubscription(query, finished)"


def test_an_error_function_that_raises_stops_it(keyed: laminardb.Connection, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> None:
        raise ValueError("twice")

    sub = keyed.subscribe_stream_callback("t", fail, fail)
    keyed.insert("t", {"id": 1, "g": "a", "x": 1})
    sub.wait()
    assert (sub.is_active, repr(sub)) == (False, "CallbackSubscription(stream, finished)")
    text = capfd.readouterr().err
    line = "laminardb: callback subscription stopped: ValueError: twice; on_error: ValueError: twice"
    assert text.splitlines()[0] == line
    assert text.count("Traceback (most recent call last)") == 2


@pytest.mark.parametrize(("code", "sql"), [("501", "DROP MATERIALIZED VIEW per"), ("600", None), ("503", None)])
def test_callbacks_hear_of_bad_ends(conn: laminardb.Connection, code: str, sql: str | None) -> None:
    conn.execute("CREATE TABLE t (s VARCHAR)")
    conn.execute("CREATE MATERIALIZED VIEW per AS SELECT CAST(s AS BIGINT) AS n FROM t")
    errors: list[str] = []
    entered, go_on = threading.Event(), threading.Event()

    def on_data(batch: laminardb.ChangeBatch) -> None:
        entered.set()
        go_on.wait(60)

    sub = conn.subscribe_stream_callback("per", on_data, errors.append, max_pending=1)
    if code == "503":
        conn.insert("t", {"s": "1"})
        assert entered.wait(60)
        for _ in range(4):
            conn.insert("t", {"s": ["1", "2"]})
            conn.wait()
    elif sql is None:
        conn.insert("t", {"s": "x"})
    else:
        conn.execute(sql)
    go_on.set()
    sub.wait()
    assert len(errors) == 1
    assert code in errors[0]
    assert not sub.is_active


def test_the_connection_keeps_a_callback_subscription(keyed: laminardb.Connection) -> None:
    called = threading.Event()
    sub = keyed.subscribe_stream_callback("t", lambda batch: called.set())
    assert keyed.active_query_count == 1
    del sub
    gc.collect()
    assert keyed.active_query_count == 1
    keyed.insert("t", {"id": 1, "g": "a", "x": 1})
    assert called.wait(60)


async def test_two_tasks_and_two_loops(keyed: laminardb.Connection) -> None:
    one, other = await keyed.subscribe_stream_async("t"), await keyed.subscribe_stream_async("t")

    async def first(sub: laminardb.AsyncStreamSubscription) -> Any:
        async for batch in sub:
            return changes(batch)
        return None

    tasks = [asyncio.create_task(first(one)), asyncio.create_task(first(other))]
    await asyncio.sleep(0)
    subscribed = threading.Event()
    in_another_loop = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(followed(keyed, subscribed))))
    assert await asyncio.to_thread(subscribed.wait, 60)
    keyed.insert("t", {"id": 1, "g": "a", "x": 1})
    expected = [("Insert", (1, "a", 1))]
    assert await asyncio.gather(*tasks, in_another_loop) == [expected] * 3


async def followed(conn: laminardb.Connection, subscribed: threading.Event) -> Any:
    sub = await conn.subscribe_stream_async("t")
    subscribed.set()
    async for batch in sub:
        return changes(batch)
    return None
