"""The awaitables of the calls that may wait: results, errors, cancellation at every await, loops, ends and forks.

No test waits for a time: a call that must wait does so behind a transaction that the test ends, and `yields` gives
other tasks their turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import laminardb
import pytest
import uvloop
from laminardb import codes

from conftest import Forked

GUARD = 60
"""Seconds after which a test that hangs fails."""

SLOW = "SELECT count(*) AS n FROM t a, t b, t c WHERE (a.id + b.id * c.id) % 7 = 3"
"""A query that runs for longer than any test."""

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[Any]], Any]:
    """Runs a coroutine to its end on an event loop of each kind, and fails it when it hangs."""
    factory = LOOPS[request.param]

    def run(main: Awaitable[Any]) -> Any:
        async def guarded() -> Any:
            return await asyncio.wait_for(main, GUARD)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(guarded())

    return run


@pytest.fixture
def table(conn: laminardb.Connection) -> laminardb.Connection:
    """A database with a table `t` of a key and a name, and a row 0."""
    conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    conn.insert("t", {"id": 0, "name": "zero"})
    return conn


@contextlib.contextmanager
def held(conn: laminardb.Connection) -> Iterator[Callable[[], None]]:
    """Holds the right to write in another thread, until the block ends or what it is given is called."""
    began, release = threading.Event(), threading.Event()

    def hold() -> None:
        with conn.transaction() as transaction:
            transaction.insert("t", {"id": -1, "name": "holder"})
            began.set()
            release.wait(GUARD)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert began.wait(GUARD)
        yield release.set
    finally:
        release.set()
        holder.join(GUARD)


async def yields(turns: int = 20) -> None:
    """Gives the other tasks of the loop so many turns."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def waiters(conn: laminardb.Connection, count: int) -> None:
    """Waits until so many calls wait for the right to write."""
    while sum(not info.holds for info in conn.transactions()) < count:
        await asyncio.sleep(0)


def ids(conn: laminardb.Connection) -> list[int]:
    return [row[0] for row in conn.sql("SELECT id FROM t ORDER BY id")]


CALLS: dict[str, tuple[str, tuple[Any, ...], Callable[[Any], Any]]] = {
    "query": ("query", ("SELECT name FROM t WHERE id = ?", [0]), lambda result: result.fetchall()),
    "sql": ("sql", ("SELECT name FROM t WHERE id = $id", {"id": 0}), lambda result: result.fetchall()),
    "query without parameters": ("query", ("SELECT 1",), lambda result: result.fetchall()),
    "execute": ("execute", ("UPDATE t SET name = ? WHERE id = 0", ["b"]), repr),
    "definition": ("execute", ("CREATE VIEW v AS SELECT * FROM t",), repr),
    "insert": ("insert", ("t", [{"id": 1, "name": "a"}, {"id": 2}]), int),
    "insert_json": ("insert_json", ("t", '{"id": 1, "name": "a"}'), int),
    "insert_csv": ("insert_csv", ("t", "id,name\n1,a\n2,b\n"), int),
    "upsert": ("upsert", ("t", {"id": 0, "name": "a"}), int),
    "update": ("update", ("t", {"id": [0, 7], "name": ["a", "b"]}), int),
    "delete": ("delete", ("t", {"id": [0, 7]}), int),
    "wait": ("wait", (), int),
    "wait with a limit": ("wait", (30.0,), int),
}

FAILING: dict[str, tuple[str, tuple[Any, ...]]] = {
    "unknown table": ("insert", ("nowhere", {"id": 1})),
    "wrong value": ("insert", ("t", {"id": "x"})),
    "no rows": ("insert", ("t", 5)),
    "no text": ("insert_json", ("t", 5)),
    "no JSON": ("insert_json", ("t", "{")),
    "no CSV": ("insert_csv", ("t", "id,name\n1\n")),
    "unknown column": ("upsert", ("t", {"id": 1, "x": 1})),
    "not a key": ("delete", ("t", {"name": "a"})),
    "syntax": ("query", ("SELEC 1",)),
    "a write as a query": ("sql", ("DELETE FROM t",)),
    "a value that cannot be cast": ("query", ("SELECT CAST(name AS BIGINT) FROM t",)),
    "too few parameters": ("execute", ("SELECT ?",)),
    "parameters of a wrong kind": ("execute", ("SELECT ?", 5)),
    "a negative limit": ("wait", (-1.0,)),
    "a limit that is a text": ("wait", ("x",)),
}


@pytest.mark.parametrize("case", CALLS)
def test_an_awaitable_gives_what_the_call_gives(case: str, run: Callable[[Awaitable[Any]], Any]) -> None:
    name, arguments, shown = CALLS[case]
    given = []
    for method in (name, f"{name}_async"):
        with laminardb.open(":memory:") as conn:
            conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
            conn.insert("t", {"id": 0, "name": "zero"})
            result = getattr(conn, method)(*arguments)

            async def main(result: Awaitable[Any] = result) -> Any:
                return await result

            result = run(main()) if method.endswith("_async") else result
            given.append((shown(result), conn.sql("SELECT * FROM t ORDER BY id").fetchall()))
    assert given[0] == given[1]


@pytest.mark.parametrize("case", FAILING)
async def test_an_awaitable_raises_what_the_call_raises(case: str, table: laminardb.Connection) -> None:
    name, arguments = FAILING[case]
    with pytest.raises((laminardb.LaminarError, TypeError, ValueError)) as expected:
        getattr(table, name)(*arguments)
    with pytest.raises(type(expected.value)) as raised:
        await getattr(table, f"{name}_async")(*arguments)
    assert type(raised.value) is type(expected.value)
    assert str(raised.value) == str(expected.value)
    assert getattr(raised.value, "code", None) == getattr(expected.value, "code", None)


async def test_the_arguments_may_be_named_as_those_of_the_call(table: laminardb.Connection) -> None:
    assert (await table.query_async(sql="SELECT ?", params=[1])).fetchone() == (1,)
    assert (await table.sql_async(query="SELECT ?", params=[1])).fetchone() == (1,)
    assert (await table.execute_async(sql="DELETE FROM t WHERE id = ?", params=[7])).rows_affected == 0
    assert await table.insert_async(table="t", data={"id": 1}) == 1
    assert await table.wait_async(timeout=60.0) == table.current_time
    row = {"id": 2, "name": "a", "more": 1}
    assert await table.insert_async("t", row, extra="ignore") == 1
    assert await table.upsert_async("t", row, extra="ignore") == 1
    assert await table.update_async("t", row, extra="ignore") == 1
    assert await table.insert_json_async("t", '{"id": 3, "more": 1}', extra="ignore") == 1
    assert await table.insert_csv_async("t", b"id,more\n4,1\n", extra="ignore") == 1
    assert ids(table) == [0, 1, 2, 3, 4]
    with pytest.raises(TypeError):
        table.insert_async("t")  # type: ignore[call-arg]


def test_a_closed_connection_raises_at_the_call() -> None:
    conn = laminardb.open(":memory:")
    conn.close()
    calls: list[Callable[[], object]] = [
        *(lambda name=name, given=given: getattr(conn, f"{name}_async")(*given) for name, given, _ in CALLS.values()),
        lambda: conn.subscribe_async("SELECT 1"),
        lambda: conn.subscribe_stream_async("t"),
    ]
    for call in calls:
        with pytest.raises(laminardb.ConnectionError) as error:
            call()
        assert error.value.code == codes.CONNECTION_CLOSED


def test_the_loop_goes_on_while_a_write_waits(
    table: laminardb.Connection, run: Callable[[Awaitable[Any]], Any]
) -> None:
    async def main() -> None:
        with held(table) as release:
            writing = asyncio.create_task(table.insert_async("t", {"id": 1, "name": "a"}))
            await waiters(table, 1)
            # The loop has turns, and reads are answered: the write alone waits.
            assert (await table.query_async("SELECT count(*) FROM t")).fetchone() == (1,)
            assert not writing.done()
            release()
            assert await writing == 1

    run(main())
    assert ids(table) == [-1, 0, 1]


async def test_the_loop_goes_on_while_a_full_buffer_is_waited_for() -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(buffer_size=1)) as conn:
        conn.execute("CREATE SOURCE s (k BIGINT, v BIGINT); CREATE SOURCE u (a BIGINT)")
        conn.execute("CREATE STREAM y AS SELECT a FROM u")
        conn.execute(
            "CREATE MATERIALIZED VIEW sums AS SELECT a.v + b.v AS s, count(*) AS n FROM s a JOIN s b ON a.k = b.k"
            " GROUP BY a.v + b.v"
        )
        conn.insert("s", {"k": [1] * 15_000, "v": list(range(15_000))})
        waiting = [asyncio.create_task(conn.insert_async("u", {"a": [n] * 9})) for n in range(9)]
        await yields()
        assert not all(task.done() for task in waiting)
        conn.close()
        ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), GUARD)
        assert {getattr(error, "code", None) for error in ended} <= {codes.CONNECTION_CLOSED, None}
        assert codes.CONNECTION_CLOSED in {getattr(error, "code", None) for error in ended}


@pytest.mark.parametrize(
    "write",
    {
        "insert": lambda conn: conn.insert_async("t", {"id": 1}),
        "insert_json": lambda conn: conn.insert_json_async("t", '{"id": 1}'),
        "insert_csv": lambda conn: conn.insert_csv_async("t", "id\n1\n"),
        "upsert": lambda conn: conn.upsert_async("t", {"id": 1}),
        "update": lambda conn: conn.update_async("t", {"id": 0, "name": "a"}),
        "delete": lambda conn: conn.delete_async("t", {"id": 0}),
        "execute": lambda conn: conn.execute_async("INSERT INTO t VALUES (1, 'a')"),
        "execute an update": lambda conn: conn.execute_async("UPDATE t SET id = 1"),
        "begin": lambda conn: conn.execute_async("BEGIN"),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_cancelled_write_that_waited_has_stored_nothing(
    write: tuple[str, Callable[[laminardb.Connection], Awaitable[Any]]],
    table: laminardb.Connection,
    run: Callable[[Awaitable[Any]], Any],
) -> None:
    async def main() -> None:
        with held(table):
            writing = asyncio.ensure_future(write[1](table))
            await waiters(table, 1)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            # Its end was waited for: nothing of it is left.
            assert [info for info in table.transactions() if not info.holds] == []

    run(main())
    assert ids(table) == [-1, 0]
    assert table.transactions() == []


@pytest.mark.parametrize("turns", range(12))
def test_a_write_cancelled_at_any_turn_is_whole_or_not_there(
    turns: int, table: laminardb.Connection, run: Callable[[Awaitable[Any]], Any]
) -> None:
    async def main() -> None:
        for number in range(1, 20):
            writing = asyncio.ensure_future(table.insert_async("t", {"id": [2 * number, 2 * number + 1]}))
            await yields(turns)
            finished = not writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert await writing == 2
                finished = True
            present = {2 * number, 2 * number + 1} & set(ids(table))
            assert len(present) in ({2} if finished else {0, 2})
            # The call is over: nothing is stored after its cancelled await.
            assert {2 * number, 2 * number + 1} & set(ids(table)) == present

    run(main())


@pytest.mark.parametrize(
    "call",
    {
        "query": lambda conn: conn.query_async(SLOW),
        "sql": lambda conn: conn.sql_async(SLOW),
        "execute": lambda conn: conn.execute_async(SLOW),
        "subscribe": lambda conn: conn.subscribe_async(SLOW),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_long_query_ends_when_it_is_cancelled(
    call: tuple[str, Callable[[laminardb.Connection], Awaitable[Any]]],
    table: laminardb.Connection,
    run: Callable[[Awaitable[Any]], Any],
) -> None:
    table.insert("t", {"id": list(range(1, 3000))})

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await call[1](table)

    run(main())


def test_a_wait_ends_when_it_is_cancelled(run: Callable[[Awaitable[Any]], Any]) -> None:
    async def main() -> None:
        with laminardb.open(":memory:") as conn:
            conn.execute("CREATE SOURCE s (k BIGINT, v BIGINT)")
            conn.execute(
                "CREATE MATERIALIZED VIEW sums AS SELECT a.v + b.v AS s, count(*) AS n FROM s a JOIN s b ON a.k = b.k"
                " GROUP BY a.v + b.v"
            )
            conn.insert("s", {"k": [1] * 15_000, "v": list(range(15_000))})
            waiting = asyncio.create_task(conn.wait_async())
            await yields()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    run(main())


def test_rows_made_by_a_generator_stop_when_the_await_is_cancelled(table: laminardb.Connection) -> None:
    made = itertools.count(1)
    begun = threading.Event()

    def rows() -> Iterator[dict[str, int]]:
        for number in made:
            begun.set()
            yield {"id": number}

    async def main() -> None:
        writing = asyncio.create_task(table.insert_async("t", rows()))
        while not begun.is_set():
            await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    asyncio.run(asyncio.wait_for(main(), GUARD))
    stopped = next(made)
    assert ids(table) == [0]
    assert next(made) == stopped + 1


async def test_a_cancelled_await_that_is_cancelled_again_waits_for_the_end(table: laminardb.Connection) -> None:
    ending, goes_on = threading.Event(), threading.Event()

    class Slow(list[dict[str, int]]):
        """Rows that take their time."""

        def __iter__(self) -> Iterator[dict[str, int]]:
            ending.set()
            assert goes_on.wait(GUARD)
            return super().__iter__()

    from laminardb._aio import on_thread

    task = asyncio.create_task(on_thread(list, Slow([{"id": 1}])))
    while not ending.is_set():
        await asyncio.sleep(0)
    for _ in range(5):
        task.cancel()
        await yields()
        assert not task.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


def test_cancel_scopes_of_anyio(table: laminardb.Connection, run: Callable[[Awaitable[Any]], Any]) -> None:
    async def main() -> None:
        with held(table) as release:
            with anyio.move_on_after(0.02) as scope:
                await table.insert_async("t", {"id": 1})
            assert scope.cancelled_caught
            with pytest.raises(TimeoutError), anyio.fail_after(0.02):
                await table.execute_async("DELETE FROM t")
            async with anyio.create_task_group() as group:
                for number in range(10, 20):
                    group.start_soon(table.insert_async, "t", {"id": number})
                await waiters(table, 10)
                group.cancel_scope.cancel()
            assert [info for info in table.transactions() if not info.holds] == []
            async with anyio.create_task_group() as group:
                for number in range(20, 30):
                    group.start_soon(table.insert_async, "t", {"id": number})
                await waiters(table, 10)
                with anyio.CancelScope(shield=True), anyio.move_on_after(0.02):
                    await table.delete_async("t", {"id": 0})
                release()

    run(main())
    assert ids(table) == [-1, 0, *range(20, 30)]


def test_an_error_in_a_task_group_ends_the_other_calls(table: laminardb.Connection) -> None:
    async def main() -> None:
        async def group() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(table.insert_async("t", {"id": number + 1}))
                await waiters(table, 5)
                group.create_task(table.query_async("SELECT * FROM nowhere"))

        with held(table), pytest.raises(ExceptionGroup) as errors:
            await group()
        assert [type(error) for error in errors.value.exceptions] == [laminardb.QueryError]

    asyncio.run(asyncio.wait_for(main(), GUARD))
    assert ids(table) == [-1, 0]


def test_no_result_of_a_thousand_is_lost(table: laminardb.Connection, run: Callable[[Awaitable[Any]], Any]) -> None:
    async def main() -> list[int]:
        with held(table) as release:
            writing = [asyncio.create_task(table.insert_async("t", {"id": n})) for n in range(1, 1001)]
            reading = [asyncio.create_task(table.query_async("SELECT ?", [n])) for n in range(1000)]
            assert [(await answer).fetchone() for answer in reading] == [(n,) for n in range(1000)]
            release()
            return await asyncio.gather(*writing)

    assert run(main()) == [1] * 1000
    assert ids(table) == list(range(-1, 1001))


def test_loops_in_many_threads_share_a_connection(table: laminardb.Connection) -> None:
    async def main(first: int) -> None:
        for number in range(first, first + 30):
            assert await table.insert_async("t", {"id": number}) == 1
            assert (await table.query_async("SELECT id FROM t WHERE id = ?", [number])).fetchone() == (number,)

    factories = [*LOOPS.values()] * 3
    with ThreadPoolExecutor(len(factories)) as threads:

        def loop(place: int) -> None:
            with asyncio.Runner(loop_factory=factories[place]) as runner:
                runner.run(main(1 + 100 * place))

        for done in [threads.submit(loop, place) for place in range(len(factories))]:
            done.result(GUARD)
    assert len(ids(table)) == 1 + 30 * len(factories)


async def test_a_transaction_of_sql_is_that_of_the_awaiting_task(table: laminardb.Connection) -> None:
    async def other() -> None:
        assert not table.in_transaction
        assert await table.insert_async("t", {"id": 9}) == 1

    outside = contextvars.copy_context()
    await table.execute_async("BEGIN")
    assert table.in_transaction
    waiting = asyncio.get_running_loop().create_task(other(), context=outside)
    await table.insert_async("t", {"id": 1})
    await asyncio.create_task(table.insert_async("t", {"id": 2}))
    assert await asyncio.to_thread(table.insert, "t", {"id": 3}) == 1
    await waiters(table, 1)
    assert (await table.query_async("SELECT count(*) FROM t")).fetchone() == (4,)
    await table.execute_async("ROLLBACK")
    assert not table.in_transaction
    await waiting
    assert ids(table) == [0, 9]


async def test_a_failed_statement_leaves_the_transaction_of_the_task_open(table: laminardb.Connection) -> None:
    with pytest.raises(laminardb.QueryError):
        await table.execute_async("BEGIN; SELECT * FROM nowhere")
    assert table.in_transaction
    await table.execute_async("INSERT INTO t VALUES (1, 'a'); COMMIT")
    assert not table.in_transaction
    assert ids(table) == [0, 1]


async def test_those_who_wait_are_listed_by_the_name_of_their_task(table: laminardb.Connection) -> None:
    with held(table):
        writing = asyncio.create_task(table.insert_async("t", {"id": 1}), name="the writer")
        await waiters(table, 1)
        assert "the writer" in next(info.name for info in table.transactions() if not info.holds)
    assert await writing == 1


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


async def test_the_call_runs_in_a_copy_of_the_context_of_its_task(table: laminardb.Connection) -> None:
    from laminardb._aio import on_thread

    seen = []

    def call() -> int:
        seen.append((VARIABLE.get(), threading.get_ident()))
        VARIABLE.set("inner")
        return 1

    VARIABLE.set("outer")
    assert await on_thread(call) == 1
    assert seen[0][0] == "outer"
    assert seen[0][1] != threading.get_ident()
    assert VARIABLE.get() == "outer"


class Stop(BaseException):
    """An exception that is no `Exception`."""


@pytest.mark.parametrize("error", [Stop("x"), KeyError("x"), GeneratorExit(), asyncio.CancelledError("x")])
async def test_what_a_call_raises_is_raised_by_the_await(error: BaseException) -> None:
    from laminardb._aio import on_thread

    def call() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        await on_thread(call)
    assert raised.value is error


async def test_a_stop_of_iteration_is_an_error() -> None:
    from laminardb._aio import on_thread

    with pytest.raises(RuntimeError, match="StopIteration"):
        await on_thread(next, iter([]))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_the_program_in_a_call_ends_the_loop(error: type[BaseException]) -> None:
    from laminardb._aio import on_thread

    def call() -> None:
        raise error

    async def main() -> None:
        await on_thread(call)

    with pytest.raises(error):
        asyncio.run(main())


def test_outside_an_event_loop_of_asyncio_the_error_says_so(table: laminardb.Connection) -> None:
    call = table.insert_async("t", {"id": 1})
    with pytest.raises(RuntimeError, match="event loop of asyncio"):
        call.send(None)
    assert ids(table) == [0]
    subscription = asyncio.run(table.subscribe_async("t"))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="event loop of asyncio"):
        subscription.__anext__().send(None)


def test_a_loop_closed_while_a_call_runs_leaves_no_noise(
    table: laminardb.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    loop = asyncio.new_event_loop()
    call = table.insert_async("t", {"id": 1})

    async def begin(call: Coroutine[Any, Any, int]) -> None:
        # Begins the call as a task would, and leaves it.
        call.send(None)
        await waiters(table, 1)

    with held(table):
        loop.run_until_complete(begin(call))
        loop.close()
    table.wait(timeout=GUARD)
    while len(ids(table)) < 3:
        pass
    call.close()
    del call
    gc.collect()
    assert ids(table) == [-1, 0, 1]
    assert capfd.readouterr() == ("", "")


def test_a_closed_coroutine_ends_its_call(table: laminardb.Connection) -> None:
    call = table.insert_async("t", {"id": 1})

    async def begin() -> None:
        with held(table):
            call.send(None)
            await waiters(table, 1)
            call.close()
            while any(not info.holds for info in table.transactions()):
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(begin(), GUARD))
    assert ids(table) == [-1, 0]


async def test_closing_the_connection_ends_the_awaits(table: laminardb.Connection) -> None:
    began, release = threading.Event(), threading.Event()

    def hold() -> None:
        with contextlib.suppress(laminardb.LaminarError), table.transaction():
            began.set()
            release.wait(GUARD)

    holder = asyncio.create_task(asyncio.to_thread(hold))
    while not began.is_set():
        await asyncio.sleep(0)
    writing = [asyncio.create_task(table.insert_async("t", {"id": n})) for n in range(5)]
    await waiters(table, 5)
    await table.__aexit__()
    ended = await asyncio.wait_for(asyncio.gather(*writing, return_exceptions=True), GUARD)
    assert [getattr(error, "code", None) for error in ended] == [codes.CONNECTION_CLOSED] * 5
    release.set()
    await holder


async def test_subscriptions_are_made_while_the_loop_goes_on(table: laminardb.Connection) -> None:
    query = asyncio.create_task(table.subscribe_async("SELECT count(*) AS n FROM t"))
    stream = asyncio.create_task(table.subscribe_stream_async("t", snapshot=True))
    for subscription in (await query, await stream):
        async for batch in subscription:
            assert len(batch) == 1
            break
        subscription.cancel()


async def test_full_pools_of_asyncio_do_not_hold_up_the_calls(table: laminardb.Connection) -> None:
    loop = asyncio.get_running_loop()
    release = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        loop.set_default_executor(threads)
        blocked = asyncio.create_task(asyncio.to_thread(release.wait, GUARD))
        await yields()
        assert await table.insert_async("t", {"id": 1}) == 1
        async with laminardb.open(":memory:"):
            pass
        release.set()
        assert await blocked


def program(text: str) -> tuple[int, str, str]:
    """Runs a program; gives its status and what it printed."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", text],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * GUARD,
    )
    return done.returncode, done.stdout, done.stderr


WAITING_AT_THE_END = """
import asyncio, sys, threading, laminardb
conn = laminardb.open(":memory:", config=laminardb.LaminarConfig(lock_timeout=1e6))
conn.create_table("t", {"id": "int64"})
conn.begin()

def loop():
    async def main():
        await asyncio.gather(*(conn.insert_async("t", {"id": n}) for n in range(20)), return_exceptions=True)
    try:
        asyncio.run(main())
    except RuntimeError:
        pass

thread = threading.Thread(target=loop, daemon=True)
thread.start()
while sum(not info.holds for info in conn.transactions()) < 20:
    pass
print("ends", flush=True)
"""


@pytest.mark.parametrize("ending", ["", "conn.rollback()", "conn.close()", "sys.exit(0)"])
def test_the_interpreter_ends_while_calls_wait(ending: str) -> None:
    status, out, err = program(WAITING_AT_THE_END + ending)
    assert (status, out) == (0, "ends\n"), err
    assert "Fatal" not in err
    assert "panicked" not in err


INTERRUPTED = """
import asyncio, os, signal, threading, laminardb
conn = laminardb.open(":memory:")
conn.create_table("t", {"id": "int64"})
began, release = threading.Event(), threading.Event()

def hold():
    with conn.transaction():
        began.set()
        release.wait()

holder = threading.Thread(target=hold)
holder.start()
began.wait()

async def main():
    writing = asyncio.create_task(conn.insert_async("t", {"id": 1}))
    while all(info.holds for info in conn.transactions()):
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    await writing

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", len(conn.transactions()))
release.set()
holder.join()
print(conn.sql("SELECT * FROM t").fetchall())
"""


def test_ctrl_c_ends_an_awaited_call() -> None:
    assert program(INTERRUPTED) == (0, "interrupted 1\n[]\n", "")


def test_a_forked_child_has_calls_of_its_own_and_the_parent_goes_on(forked: Forked) -> None:
    made = """
import asyncio
conn = laminardb.open(":memory:")
conn.create_table("t", {"id": "int64"})
async def insert(conn, number):
    return await conn.insert_async("t", {"id": number})
asyncio.run(insert(conn, 1))
began, release = threading.Event(), threading.Event()
def hold():
    with conn.transaction():
        began.set()
        release.wait()
holder = threading.Thread(target=hold)
holder.start()
began.wait()
waiting = threading.Thread(target=lambda: asyncio.run(insert(conn, 2)))
waiting.start()
while all(info.holds for info in conn.transactions()):
    pass
"""
    harmless = """
with laminardb.open(":memory:") as new:
    new.create_table("t", {"id": "int64"})
    assert asyncio.run(insert(new, 7)) == 1
    assert new.sql("SELECT * FROM t").fetchall() == [(7,)]
"""
    then = "(release.set(), holder.join(), waiting.join(), conn.sql('SELECT * FROM t').fetchall())[-1]"
    assert forked(made, ["conn.insert_async('t', {'id': 1})"], harmless, then) == "[(1,), (2,)]"
