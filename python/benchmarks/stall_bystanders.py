"""Threads that use a database beside the work that `stalls.py` measures, and how long each of their calls took."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import laminardb

# Seconds between two calls of a thread.
CHANGE_EVERY, READ_EVERY, DEFINE_EVERY, SLEEP_EVERY = 0.001, 0.01, 0.05, 0.005
# Codes of a closed connection and of a database that is shut down: no later call can succeed.
ENDED = (101, 901)
KINDS = ("insert", "delivery", "read", "definition", "sleep")


class Calls:
    """When the calls of one kind began and ended, and when the one that still runs began."""

    def __init__(self) -> None:
        self.ended: list[tuple[float, float]] = []
        self.running: float | None = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """A call: from the start to the end of the block, also if it raises."""
        self.running = start = time.perf_counter()
        try:
            yield
        finally:
            self.ended.append((start, time.perf_counter()))
            self.running = None

    def between(self, start: float, end: float) -> dict[str, Any]:
        """Number, 99th percentile and greatest time of the calls that ran at some moment from `start` to `end`.

        A call that still runs counts with its time up to `end`; `open` says that the greatest is one of these.
        """
        running = self.running
        seconds = sorted(ended - began for began, ended in list(self.ended) if ended >= start and began <= end)
        open_for = end - running if running is not None and running < end else 0.0
        is_open = open_for > (seconds[-1] if seconds else 0.0)
        if is_open:
            seconds.append(open_for)
        if not seconds:
            return {"calls": 0, "p99": None, "worst": None, "open": False}
        late = seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]
        return {"calls": len(seconds), "p99": late, "worst": seconds[-1], "open": is_open}


def prepare(conn: laminardb.Connection) -> None:
    """The small tables and views of the bystanders: `b` gets rows, `c` is only read."""
    for table in ("b", "c"):
        conn.execute(f"CREATE TABLE {table} (k BIGINT PRIMARY KEY, v BIGINT)")
        grouped = f"SELECT k % 16 AS part, count(*) AS n, sum(v) AS total FROM {table} GROUP BY k % 16"
        conn.execute(f"CREATE MATERIALIZED VIEW {table}_sums AS {grouped}")
        conn.insert(table, {"k": list(range(-100, 0)), "v": [1] * 100})
    conn.wait()


class Bystanders:
    """Four threads: one changes `b` and waits for each change, one reads, one defines and drops a view over `b`.

    The last only sleeps for a millisecond at a time: how late it wakes is not the engine's doing.
    """

    def __init__(self, conn: laminardb.Connection) -> None:
        self.calls = {kind: Calls() for kind in KINDS}
        self.errors: Counter[str] = Counter()
        self.keys = itertools.count()
        self._conn = conn
        self._subscription: laminardb.Subscription | None = None
        # How often each thread has been through its loop.
        self._rounds = [0, 0, 0, 0]
        turns = (
            (self._change, CHANGE_EVERY),
            (self._read, READ_EVERY),
            (self._define, DEFINE_EVERY),
            (self._sleep, SLEEP_EVERY),
        )
        self._threads = [
            threading.Thread(target=self._loop, args=(idx, turn, pause), daemon=True)
            for idx, (turn, pause) in enumerate(turns)
        ]
        for thread in self._threads:
            thread.start()

    def settle(self) -> None:
        """Returns when each thread has made a whole round that began after this call, or has ended."""
        begun = list(self._rounds)
        for idx, thread in enumerate(self._threads):
            while thread.is_alive() and self._rounds[idx] < begun[idx] + 2:
                time.sleep(0.002)

    def figures(self, start: float, end: float) -> dict[str, Any]:
        """The figures of each kind of call from `start` to `end`."""
        return {kind: calls.between(start, end) for kind, calls in self.calls.items()}

    def _loop(self, idx: int, turn: Callable[[], None], pause: float) -> None:
        while True:
            try:
                turn()
            except laminardb.LaminarError as error:
                self.errors[f"{turn.__name__.strip('_')}: {type(error).__name__} {error.code}"] += 1
                if error.code in ENDED:
                    return
            self._rounds[idx] += 1
            time.sleep(pause)

    def _change(self) -> None:
        if self._subscription is None:
            self._subscription = self._conn.subscribe("SELECT * FROM b_sums", snapshot=False)
        with self.calls["delivery"].one():
            with self.calls["insert"].one():
                self._conn.insert("b", {"k": next(self.keys), "v": 1})
            try:
                self._subscription.next()
            except laminardb.SubscriptionError:
                # A restore ends subscriptions. The next one shows what has become of the row.
                self._subscription = self._conn.subscribe("SELECT * FROM b_sums", snapshot=False)

    def _read(self) -> None:
        with self.calls["read"].one():
            self._conn.sql("SELECT * FROM c_sums")

    def _define(self) -> None:
        with self.calls["definition"].one():
            self._conn.execute("CREATE MATERIALIZED VIEW defined AS SELECT k, v FROM b WHERE v > 5")
        with self.calls["definition"].one():
            # A restore may have removed it.
            self._conn.execute("DROP MATERIALIZED VIEW IF EXISTS defined")

    def _sleep(self) -> None:
        with self.calls["sleep"].one():
            time.sleep(0.001)
