"""The asyncio half of what the native classes let a program await."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from ._context import CALLER, TRANSACTIONS, caller
from ._laminardb import _Job

if TYPE_CHECKING:
    from ._laminardb import AsyncStreamSubscription, AsyncSubscription, ChangeBatch, Connection, _Transaction

P = ParamSpec("P")
T = TypeVar("T")


async def next_batch(subscription: AsyncSubscription | AsyncStreamSubscription) -> ChangeBatch:
    """The next batch of changes; ends an `async for` when there are no more.

    The batch is taken by the task that gets it, after the wait: a cancelled wait takes none. Other tasks have a turn
    before each, also when batches are pending, so that a reader that is behind stops nobody.
    """
    loop = running_loop()
    await asyncio.sleep(0)
    while True:
        batch = subscription.try_next()
        if batch is not None:
            return batch
        if not subscription.is_active:
            raise StopAsyncIteration
        future: asyncio.Future[None] = loop.create_future()
        subscription._wake(loop, future)
        try:
            await future
        except BaseException:
            # Who waits no more is forgotten at once, since the next change may never come.
            subscription._unwake(future)
            raise


def resolve(future: asyncio.Future[None]) -> None:
    """Wakes the task that waits for `future`, unless it gave up."""
    if not future.done():
        future.set_result(None)


async def on_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a call that may wait, made on a thread in a copy of the context of the awaiting task.

    If the task is cancelled, the call is ended and its end is waited for, also when the task is cancelled again
    meanwhile. A transaction that the call begins or ends is begun or ended for the task.
    """
    loop = running_loop()
    future: asyncio.Future[None] = loop.create_future()
    transactions = TRANSACTIONS.get()
    context = copy_context()
    context.run(CALLER.set, caller())
    job = _Job(loop, future, context.run, (function, *args), kwargs)
    try:
        await future
    except asyncio.CancelledError:
        job.cancel()
        await ended(job, loop)
        raise
    except GeneratorExit:
        # The coroutine is closed and cannot wait.
        job.cancel()
        raise
    try:
        return cast("T", job.result())
    finally:
        if (now := context.get(TRANSACTIONS, ())) is not transactions:
            TRANSACTIONS.set(now)


async def enter(transaction: _Transaction) -> Connection:
    """Enters the block of a transaction, which begins on a thread; a cancelled wait leaves none open."""
    try:
        return await on_thread(transaction.__enter__)
    except asyncio.CancelledError as error:
        # The transaction may have begun before the cancellation was seen.
        transaction.__exit__(type(error), error, None)
        raise


async def ended(job: _Job, loop: asyncio.AbstractEventLoop) -> None:
    """Waits for the end of a cancelled call, which comes soon; cancelling the wait does not end it."""
    future: asyncio.Future[None] = loop.create_future()
    while job._wakes(future):
        try:
            await future
        except asyncio.CancelledError:
            future = loop.create_future()


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop that runs the caller; `RuntimeError` when it is none of asyncio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        text = "laminardb is awaited in an event loop of asyncio, and none runs here (trio has loops of another kind)"
        raise RuntimeError(text) from None


async def wait_for(subscription: AsyncSubscription | AsyncStreamSubscription, time: int, timeout: float | None) -> int:
    """The progress of a subscription once it has come to `time`.

    A wait that is cancelled leaves nothing behind.
    """
    loop = running_loop()
    end = None if timeout is None else loop.time() + timeout
    while True:
        expired = timeout if end is not None and loop.time() >= end else None
        progress = subscription._reached(time, expired)
        if progress is not None:
            return progress
        future: asyncio.Future[None] = loop.create_future()
        timer = None if end is None else loop.call_at(end, resolve, future)
        wait = subscription._wake_at(loop, future, time)
        try:
            await future
        finally:
            subscription._forget(wait)
            if timer is not None:
                timer.cancel()


async def given(value: T) -> T:
    """`value`, for who must await it."""
    return value
