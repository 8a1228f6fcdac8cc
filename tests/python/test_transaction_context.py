"""Transactions belong to their object and to the context they were begun in, never to a thread (API section 5.4)."""

# ruff: noqa: PT012 - the blocks that must raise are transactions.

from __future__ import annotations

import asyncio
import contextvars
import datetime
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import laminardb
import pytest
from laminardb import _laminardb, codes

GUARD = 60
"""Seconds after which something hangs."""


@pytest.fixture
def bank(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT); CREATE SOURCE s (v BIGINT)")
    conn.execute("CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM t")
    return conn


@pytest.fixture
def impatient() -> Iterator[laminardb.Connection]:
    """A database whose writes wait for a transaction hardly at all."""
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(lock_timeout=0.05)) as conn:
        conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)")
        yield conn


def ids(conn: laminardb.Connection) -> list[int]:
    return sorted(row[0] for row in conn.sql("SELECT id FROM t").fetchall())


def in_thread(call: Callable[[], Any]) -> Any:
    """What a call gives on a thread with a context of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(GUARD)


def too_long(call: Callable[[], Any]) -> str:
    with pytest.raises(laminardb.LaminarError) as error:
        call()
    assert (type(error.value), error.value.code) == (laminardb.LaminarError, codes.TIMEOUT)
    return str(error.value)


# "The block may be left in another thread than it was entered in."


def test_a_block_that_is_entered_in_one_thread_and_left_in_another(bank: laminardb.Connection) -> None:
    """As a framework enters and leaves a synchronous dependency: each step in some thread of a pool."""
    for raised in (None, ValueError("mine")):
        manager = bank.transaction()
        tx = in_thread(manager.__enter__)
        assert tx.insert("t", {"id": 1, "v": 1}) == 1
        in_thread(lambda: tx.execute("INSERT OR REPLACE INTO t VALUES (2, 2)"))  # noqa: B023
        assert ids(tx) == [1, 2]
        assert ids(bank) == ([] if raised is None else [1, 2])
        if raised is None:
            in_thread(lambda: manager.__exit__(None, None, None))  # noqa: B023
        else:
            in_thread(lambda: manager.__exit__(ValueError, raised, None))  # noqa: B023
        assert ids(bank) == [1, 2]
        in_thread(lambda: bank.insert("s", {"v": 1}))
        bank.upsert("t", {"id": 1, "v": 3})
        bank.execute("UPDATE t SET v = 1")


def test_a_block_left_in_another_thread_leaves_the_first_one_free(bank: laminardb.Connection) -> None:
    manager = bank.transaction()
    manager.__enter__().insert("t", {"id": 1, "v": 1})
    assert bank.in_transaction
    in_thread(lambda: manager.__exit__(None, None, None))
    assert not bank.in_transaction
    assert in_thread(lambda: bank.insert("t", {"id": 2, "v": 2})) == 1
    with bank.transaction():
        bank.insert("t", {"id": 3, "v": 3})
    assert ids(bank) == [1, 2, 3]


# "… by what it runs with asyncio.to_thread, and by tasks it starts, are part of it."


async def test_a_call_on_a_thread_for_the_block_is_part_of_it(bank: laminardb.Connection) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="mine"), bank.transaction():
            await asyncio.to_thread(bank.insert, "t", {"id": 1, "v": 1})
            assert await asyncio.to_thread(ids, bank) == [1]
            await asyncio.create_task(asyncio.to_thread(bank.insert, "t", {"id": 2, "v": 2}))
            assert ids(bank) == [1, 2]
            raise ValueError("mine")
        with bank.transaction() as tx:
            await asyncio.to_thread(bank.insert, "t", {"id": 3, "v": 3})
            await asyncio.to_thread(tx.insert, "t", {"id": 4, "v": 4})

    await asyncio.wait_for(main(), GUARD)
    assert ids(bank) == [3, 4]


async def test_tasks_of_one_loop_do_not_share_a_transaction(bank: laminardb.Connection) -> None:
    entered, acknowledged = asyncio.Event(), []

    async def first() -> None:
        with pytest.raises(ValueError, match="mine"), bank.transaction():
            bank.insert("t", {"id": 1, "v": 1})
            entered.set()
            await asyncio.sleep(0)
            raise ValueError("mine")

    async def second() -> None:
        await entered.wait()
        assert not bank.in_transaction
        assert ids(bank) == []
        acknowledged.append(await asyncio.to_thread(bank.insert, "t", {"id": 2, "v": 2}))

    await asyncio.wait_for(asyncio.gather(first(), second()), GUARD)
    assert acknowledged == [1]
    assert ids(bank) == [2]


async def test_a_task_that_outlives_the_block_writes_for_itself(bank: laminardb.Connection) -> None:
    gate = asyncio.Event()

    async def later() -> None:
        assert bank.in_transaction
        await gate.wait()
        assert not bank.in_transaction
        bank.insert("t", {"id": 2, "v": 2})

    with pytest.raises(ValueError, match="mine"), bank.transaction():
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
        raise ValueError("mine")
    gate.set()
    await task
    assert ids(bank) == [2]


def test_a_copy_of_the_context_is_part_and_an_empty_one_is_not(bank: laminardb.Connection) -> None:
    outside = contextvars.copy_context()
    with bank.transaction():
        assert contextvars.copy_context().run(lambda: bank.in_transaction)
        assert not outside.run(lambda: bank.in_transaction)
        assert not in_thread(lambda: bank.in_transaction)


# "The yielded object works from any thread and task."


def test_the_yielded_object_is_bound_to_its_transaction(bank: laminardb.Connection) -> None:
    with bank.transaction() as tx:
        assert in_thread(lambda: tx.in_transaction)
        with tx.writer("s") as writer:
            in_thread(lambda: writer.insert({"v": [1, 2]}))
        assert in_thread(lambda: tx.sql("SELECT count(*) FROM s").fetchone()) == (2,)
        assert bank.sql("SELECT count(*) FROM s").fetchone() == (2,)
        assert in_thread(lambda: bank.sql("SELECT count(*) FROM s").fetchone()) == (0,)
        for refused in (tx.begin, lambda: tx.execute("BEGIN"), tx.transaction().__enter__):
            with pytest.raises(laminardb.QueryError, match="a transaction is open already"):
                refused()
    assert not tx.in_transaction
    assert not tx.is_closed
    ended: list[Callable[[], Any]] = [
        lambda: tx.insert("s", {"v": 3}),
        lambda: tx.sql("SELECT 1"),
        lambda: tx.execute("BEGIN"),
        lambda: writer.insert({"v": 1}),
        tx.begin,
        tx.transaction().__enter__,
        lambda: tx.subscribe_stream("s"),
    ]
    for call in ended:
        with pytest.raises(laminardb.LaminarError) as error:
            call()
        assert error.value.code in (codes.QUERY_FAILED, codes.WRITER_CLOSED)
    tx.commit()
    tx.rollback()
    assert bank.sql("SELECT count(*) FROM s").fetchone() == (2,)


def test_the_block_may_end_its_transaction_early(bank: laminardb.Connection) -> None:
    with bank.transaction() as tx:
        tx.insert("t", {"id": 1, "v": 1})
        in_thread(tx.commit)
        assert ids(bank) == [1]
        bank.insert("t", {"id": 2, "v": 2})
    with bank.transaction() as tx:
        tx.insert("t", {"id": 3, "v": 3})
        bank.rollback()
    with pytest.raises(laminardb.QueryError, match="was closed in it"), bank.transaction() as tx:
        tx.insert("t", {"id": 4, "v": 4})
        tx.close()
        assert (tx.is_closed, repr(tx), bank.is_closed) == (True, "Connection(closed)", False)
        with pytest.raises(laminardb.ConnectionError, match="Connection is closed"):
            tx.insert("t", {"id": 5, "v": 5})
    assert ids(bank) == [1, 2]


def test_a_manager_is_entered_once_at_a_time(bank: laminardb.Connection) -> None:
    manager = bank.transaction()
    with manager as tx:
        with pytest.raises(laminardb.QueryError, match="entered already"):
            in_thread(manager.__enter__)
        tx.insert("t", {"id": 1, "v": 1})
    assert ids(bank) == [1]
    manager.__exit__(None, None, None)


# begin(), commit(), rollback() and the statements.


def test_begin_commit_and_rollback(bank: laminardb.Connection) -> None:
    assert (bank.commit(), bank.rollback(), bank.in_transaction) == (None, None, False)
    bank.begin()
    assert bank.in_transaction
    with pytest.raises(laminardb.QueryError, match="a transaction is open already"):
        bank.begin()
    bank.insert("t", {"id": 1, "v": 1})
    in_thread(bank.commit)
    in_thread(bank.rollback)
    assert bank.in_transaction
    bank.rollback()
    assert ids(bank) == []
    bank.execute("BEGIN")
    bank.insert("t", {"id": 2, "v": 2})
    bank.commit()
    bank.begin()
    bank.insert("t", {"id": 3, "v": 3})
    bank.execute("COMMIT")
    assert (ids(bank), bank.in_transaction) == ([2, 3], False)
    with pytest.raises(laminardb.QueryError, match="no transaction is open"):
        bank.execute("COMMIT")


def test_a_script_leaves_its_transaction_to_its_context(bank: laminardb.Connection) -> None:
    bank.execute("BEGIN; INSERT INTO t VALUES (1, 1); COMMIT; begin; INSERT INTO t VALUES (2, 2)")
    assert bank.in_transaction
    assert not in_thread(lambda: bank.in_transaction)
    with pytest.raises(laminardb.QueryError, match="nope"):
        bank.execute("ROLLBACK; START TRANSACTION; INSERT INTO nope VALUES (1)")
    assert bank.in_transaction
    bank.insert("t", {"id": 3, "v": 3})
    bank.commit()
    assert ids(bank) == [1, 3]


# "A transaction whose object is dropped without an end is rolled back, with a ResourceWarning."


def test_an_abandoned_transaction_is_rolled_back_with_a_warning(bank: laminardb.Connection) -> None:
    def enter() -> None:
        bank.transaction().__enter__().insert("t", {"id": 1, "v": 1})

    def begin() -> None:
        bank.begin()
        bank.insert("t", {"id": 1, "v": 1})

    def in_a_task() -> None:
        async def main() -> None:
            await asyncio.create_task(asyncio.to_thread(bank.execute, "BEGIN; INSERT INTO t VALUES (1, 1)"))

        asyncio.run(main())

    def by_a_session() -> None:
        bank._session().execute("BEGIN; INSERT INTO t VALUES (1, 1)")

    for leave in (enter, begin, in_a_task, by_a_session):
        with pytest.warns(ResourceWarning, match="dropped before its end"):
            in_thread(lambda: contextvars.Context().run(leave))  # noqa: B023
        assert bank.transactions() == []
        assert (ids(bank), bank.insert("s", {"v": 1})) == ([], 1)


def test_a_transaction_dropped_while_an_exception_is_raised_does_not_touch_it(bank: laminardb.Connection) -> None:
    with (
        pytest.warns(ResourceWarning, match="dropped before its end"),
        pytest.raises(laminardb.QueryError, match="a transaction is open already"),
    ):
        bank.transaction().__enter__().transaction().__enter__()
    assert bank.transactions() == []


def test_a_connection_that_is_dropped_rolls_back_with_a_warning() -> None:
    conn = laminardb.open(":memory:")
    conn.create_table("t", {"id": "int64"})
    sub = conn.subscribe_stream("t")
    conn.begin()
    conn.insert("t", {"id": 1})
    kept = [conn]
    del conn
    with pytest.warns(ResourceWarning, match="dropped before its end"):
        kept.clear()
    assert sub.try_next() is None


def test_an_end_by_close_or_shutdown_warns_of_nothing() -> None:
    for end in (laminardb.Connection.close, laminardb.Connection.shutdown):
        conn = laminardb.open(":memory:")
        conn.create_table("t", {"id": "int64"})
        conn.begin()
        conn.insert("t", {"id": 1})
        end(conn)
        with pytest.raises(laminardb.LaminarError):
            conn.commit()
        del conn
        gc.collect()


def test_many_contexts_leave_nothing_behind(bank: laminardb.Connection) -> None:
    """Marks of transactions that have ended are forgotten when the next one begins."""
    from laminardb._context import TRANSACTIONS

    for number in range(100):
        with bank.transaction() as tx:
            tx.insert("t", {"id": number, "v": 0})
        bank.begin()
        bank.commit()
    assert len(TRANSACTIONS.get()) <= 1


# "their writes wait (interruptibly, at most lock_timeout)"; `conn.transactions()` lists who holds and who waits.


def test_a_wait_for_a_transaction_ends_and_names_the_holder(impatient: laminardb.Connection) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with impatient.transaction() as tx:
            tx.execute("INSERT INTO t VALUES (1, 1)")
            held.set()
            assert let_go.wait(GUARD)

    thread = threading.Thread(target=hold, name="night job")
    thread.start()
    assert held.wait(GUARD)
    other = impatient._session()
    waits: list[Callable[[], Any]] = [
        lambda: impatient.insert("t", {"id": 2, "v": 2}),
        lambda: impatient.execute("UPDATE t SET v = 1"),
        lambda: impatient.execute("INSERT INTO t SELECT 2, 2"),
        lambda: impatient.execute("BEGIN"),
        lambda: impatient.execute("DROP TABLE t"),
        lambda: impatient.writer("t").insert({"id": 2, "v": 2}),
        lambda: other.insert("t", {"id": 2, "v": 2}),
        other.begin,
        impatient.begin,
        impatient.transaction().__enter__,
    ]
    for wait in waits:
        text = too_long(wait)
        assert text.startswith("Timeout (902): waited 0.05 s for the transaction of thread night job, open since 20")
        assert text.endswith(" UTC, last statement: INSERT INTO t VALUES (1, 1)")
    assert not impatient.in_transaction
    let_go.set()
    thread.join(GUARD)
    assert impatient.sql("SELECT * FROM t").fetchall() == [(1, 1)]
    impatient.insert("t", {"id": 2, "v": 2})


def test_who_holds_and_who_waits_is_listed(bank: laminardb.Connection) -> None:
    assert bank.transactions() == []
    bank.begin()
    bank.execute("INSERT INTO t VALUES (1, 1)")
    (holder,) = bank.transactions()
    assert (holder.name, holder.statement, holder.holds) == (
        "thread MainThread",
        "INSERT INTO t VALUES (1, 1)",
        True,
    )
    assert holder.since.tzinfo is datetime.UTC
    assert repr(holder).startswith("TransactionInfo('thread MainThread' holds for ")
    thread = threading.Thread(target=lambda: bank.execute("DELETE FROM t"), name="sweeper")
    thread.start()
    while len(bank.transactions()) < 2:
        bank.insert("s", {"v": 1})
    waiter = bank.transactions()[1]
    assert (waiter.name, waiter.statement, waiter.holds) == ("thread sweeper", "DELETE FROM t", False)
    assert waiter.since >= holder.since
    bank.commit()
    thread.join(GUARD)
    assert bank.transactions() == []
    assert type(holder) is _laminardb._TransactionInfo
    with pytest.raises(TypeError):
        _laminardb._TransactionInfo()  # type: ignore[call-arg]


async def test_a_task_is_named_by_its_name(bank: laminardb.Connection) -> None:
    async def begin() -> str:
        with bank.transaction():
            return bank.transactions()[0].name

    assert await asyncio.create_task(begin(), name="import of today") == "task import of today in thread MainThread"


def test_lock_timeout_of_the_configuration() -> None:
    config = laminardb.LaminarConfig
    assert (config().lock_timeout, config(lock_timeout=None).lock_timeout) == (30.0, None)
    assert config(lock_timeout=5).lock_timeout == 5.0
    assert "lock_timeout" not in repr(config(lock_timeout=30))
    assert repr(config(lock_timeout=2.5)).endswith(", workers=1, lock_timeout=2.5)")
    assert repr(config(lock_timeout=None)).endswith(", workers=1, lock_timeout=None)")
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="lock_timeout must not be negative"):
            config(lock_timeout=wrong)
    with pytest.raises(TypeError):
        config(lock_timeout="30")  # type: ignore[arg-type]
    with laminardb.open(":memory:", config=config(lock_timeout=0)) as conn:
        conn.create_table("t", {"id": "int64"})
        conn.begin()
        assert "waited 0 s" in too_long(lambda: in_thread(lambda: conn.insert("t", {"id": 1})))
        conn.rollback()
        conn.insert("t", {"id": 1})
    with laminardb.open(":memory:", config=config(lock_timeout=1e300)) as conn:
        conn.create_table("t", {"id": "int64"})


# Sessions with a transaction of their own, on which cursors are built.


def test_a_session_has_a_transaction_of_its_own(bank: laminardb.Connection) -> None:
    one, two = bank._session(), bank._session()
    one.begin()
    one.insert("t", {"id": 1, "v": 1})
    assert (one.in_transaction, two.in_transaction, bank.in_transaction) == (True, False, False)
    assert (ids(one), ids(two), ids(bank)) == ([1], [], [])
    in_thread(lambda: one.execute("INSERT INTO t VALUES (2, 2)"))
    in_thread(one.commit)
    assert ids(bank) == [1, 2]
    two.execute("BEGIN; DELETE FROM t")
    two.rollback()
    assert ids(two) == [1, 2]
    two.begin()
    two.insert("t", {"id": 3, "v": 3})
    two.close()
    assert (two.is_closed, one.is_closed, bank.is_closed) == (True, False, False)
    with pytest.raises(laminardb.ConnectionError, match="Connection is closed"):
        two.sql("SELECT 1")
    assert ids(bank) == [1, 2]


def test_a_session_joins_the_transaction_of_the_context_or_not(impatient: laminardb.Connection) -> None:
    joins, alone = impatient._session(), impatient._session(joins=False)
    with impatient.transaction():
        joins.insert("t", {"id": 1, "v": 1})
        assert (joins.in_transaction, alone.in_transaction) == (True, False)
        assert (ids(joins), ids(alone)) == ([1], [])
        too_long(lambda: alone.insert("t", {"id": 2, "v": 2}))
        assert not in_thread(lambda: joins.in_transaction)
        with pytest.raises(laminardb.QueryError, match="open already"):
            joins.begin()
    assert ids(impatient) == [1]


# `async with`, and the awaitables.


async def test_an_async_block_commits_or_rolls_back(bank: laminardb.Connection) -> None:
    async with bank.transaction() as tx:
        assert bank.in_transaction
        assert await tx.insert_async("t", {"id": 1, "v": 1}) == 1
        assert await bank.insert_async("t", {"id": 2, "v": 2}) == 1
        assert not in_thread(lambda: bank.in_transaction)
        holder = bank.transactions()[0]
        assert holder.name.startswith("task ")
        assert holder.name.endswith(" in thread MainThread")
    assert (ids(bank), bank.in_transaction) == ([1, 2], False)
    with pytest.raises(ValueError, match="mine"):
        async with bank.transaction():
            await bank.execute_async("DELETE FROM t")
            raise ValueError("mine")
    assert (ids(bank), bank.in_transaction, bank.transactions()) == ([1, 2], False, [])


async def test_an_async_block_waits_without_holding_up_its_loop(bank: laminardb.Connection) -> None:
    order = []

    async def one(number: int) -> None:
        async with bank.transaction() as tx:
            order.append(number)
            await tx.insert_async("t", {"id": number, "v": len(order)})
            await asyncio.sleep(0)
            assert ids(tx) == sorted(order)

    await asyncio.wait_for(asyncio.gather(*(one(number) for number in range(20))), GUARD)
    assert ids(bank) == list(range(20))


async def test_a_cancelled_async_block_leaves_nothing_open(bank: laminardb.Connection) -> None:
    async def block() -> None:
        async with bank.transaction() as tx:
            await tx.insert_async("t", {"id": 1, "v": 1})
            await asyncio.sleep(GUARD)

    bank.begin()
    waits = asyncio.create_task(block(), context=contextvars.Context())
    while len(bank.transactions()) < 2:
        await asyncio.sleep(0)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert [it.holds for it in bank.transactions()] == [True]
    bank.rollback()
    holds = asyncio.create_task(block())
    while not bank.transactions():
        await asyncio.sleep(0)
    holds.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holds
    assert bank.transactions() == []
    assert (ids(bank), bank.insert("t", {"id": 2, "v": 2})) == ([], 1)


async def test_statements_that_are_awaited_are_of_the_task(bank: laminardb.Connection) -> None:
    await bank.execute_async("BEGIN")
    assert bank.in_transaction
    await bank.insert_async("t", {"id": 1, "v": 1})
    assert not await asyncio.create_task(asyncio.to_thread(in_thread, lambda: bank.in_transaction))
    await bank.execute_async("COMMIT")
    assert (bank.in_transaction, ids(bank)) == (False, [1])


async def test_many_writers_that_wait_do_not_hold_up_the_block_they_wait_for(bank: laminardb.Connection) -> None:
    """More than a pool of fixed size would have threads."""
    async with bank.transaction() as tx:
        writers = [asyncio.create_task(in_a_context_of_its_own(bank, number)) for number in range(100)]
        while len(bank.transactions()) < 101:
            await asyncio.sleep(0)
        await asyncio.wait_for(tx.insert_async("t", {"id": 1000, "v": 0}), GUARD)
    await asyncio.wait_for(asyncio.gather(*writers), GUARD)
    assert len(ids(bank)) == 101


async def in_a_context_of_its_own(conn: laminardb.Connection, number: int) -> None:
    await asyncio.create_task(conn.insert_async("t", {"id": number, "v": 0}), context=contextvars.Context())


# Signals.


def test_a_block_in_a_signal_handler_begins_before_the_write_that_waits(bank: laminardb.Connection) -> None:
    """The write has the place before it, and waits for the handler, which runs in its thread."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with bank.transaction() as tx:
            tx.insert("t", {"id": 1, "v": 1})
            held.set()
            while len(bank.transactions()) < 2:
                continue
            os.kill(os.getpid(), signal.SIGUSR1)
            assert let_go.wait(GUARD)

    def handle(*_: Any) -> None:
        let_go.set()
        with bank.transaction() as tx:
            tx.insert("t", {"id": 2, "v": 2})

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(GUARD)
        assert bank.insert("t", {"id": 3, "v": 3}) == 1
        thread.join(GUARD)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ids(bank) == [1, 2, 3]


def test_calls_are_listed_with_what_they_do(impatient: laminardb.Connection) -> None:
    impatient.begin()
    impatient.insert("t", {"id": 1, "v": 1})
    assert impatient.transactions()[0].statement == "a write to t"
    assert too_long(lambda: in_thread(lambda: impatient.upsert("t", {"id": 2}))).endswith("statement: a write to t")
    impatient.rollback()
