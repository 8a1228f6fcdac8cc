"""Which open transactions the running code is part of, and how it is called for those who wait for them.

A `contextvars` context belongs to a thread or a task: a task starts with a copy of the context of who made it, and
`asyncio.to_thread` runs a function in one. So what is begun in a context is found by the tasks and functions started
from it, and by nobody else.
"""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from typing import Any

TRANSACTIONS: ContextVar[tuple[Any, ...]] = ContextVar("laminardb.transactions", default=())
"""The transactions that were begun in this context, each as a `_laminardb._OpenTransaction`."""

CALLER: ContextVar[str | None] = ContextVar("laminardb.caller", default=None)
"""The name of the caller where the running thread is not its own: an awaitable's call runs on a thread of a pool."""


def caller() -> str:
    """The name of the running task, or of the thread, for people."""
    named = CALLER.get()
    if named is not None:
        return named
    thread = threading.current_thread().name
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return f"thread {thread}"
        if task is not None:
            return f"task {task.get_name()} in thread {thread}"
    return f"thread {thread}"
