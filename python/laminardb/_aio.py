"""The asyncio half of what the native classes let a program await."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ._laminardb import AsyncStreamSubscription, AsyncSubscription, ChangeBatch

T = TypeVar("T")


async def next_batch(subscription: AsyncSubscription | AsyncStreamSubscription) -> ChangeBatch:
    """The next batch of changes; ends an `async for` when there are no more.

    The batch is taken by the task that gets it, after the wait: a cancelled wait takes none. Other tasks have a turn
    before each, also when batches are pending, so that a reader that is behind stops nobody.
    """
    await asyncio.sleep(0)
    while True:
        batch = subscription.try_next()
        if batch is not None:
            return batch
        if not subscription.is_active:
            raise StopAsyncIteration
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        subscription._wake(loop, future)
        await future


def resolve(future: asyncio.Future[None]) -> None:
    """Wakes the task that waits for `future`, unless it gave up."""
    if not future.done():
        future.set_result(None)


async def on_thread(call: Callable[..., T], *args: Any) -> T:
    """The result of a call that may block, made on a thread."""
    return await asyncio.to_thread(call, *args)


async def given(value: T) -> T:
    """`value`, for who must await it."""
    return value
