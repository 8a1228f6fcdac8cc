"""Callbacks that use their connection while the garbage collector takes it: nothing is called that is half gone.

Each test runs a program in a process of its own, which ends with a stack if memory is damaged, and whose standard error
must be empty: a function that is called although nobody can reach it would be seen there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

# Enough to find a call of what is half gone: with references that the collector did not know, the first two programs
# ended with a stack or an AttributeError at every threshold.
ROUNDS = 40

COMMON = """
import asyncio, faulthandler, gc, sys, threading, time, weakref
import laminardb
faulthandler.enable()
faulthandler.dump_traceback_later(100, exit=True)
gc.set_threshold(*THRESHOLD)

class Feeding:
    "Inserts into its own table when it is called, and holds whatever was made for it."
    def __init__(self):
        self.conn = laminardb.open(":memory:")
        self.conn.execute("CREATE TABLE t (a BIGINT)")
        self.seen, self.called = [], threading.Event()
    def on_data(self, batch):
        self.seen += batch.fetchall()
        self.called.set()
        if len(self.seen) < 5:
            self.conn.insert("t", {"a": len(self.seen)})

def garbage(references):
    "Waits until all are collected."
    end = time.monotonic() + 60
    while any(reference() is not None for reference in references):
        gc.collect()
        assert time.monotonic() < end, [gc.get_referrers(r()) for r in references if r() is not None]
        time.sleep(0.0001)
"""

PROGRAMS = {
    "one after the other": """
        def made():
            follower = Feeding()
            follower.kept = follower.conn.subscribe_callback("SELECT a FROM t", follower.on_data)
            follower.conn.insert("t", {"a": 0})
            assert follower.called.wait(60)
            return weakref.ref(follower)
        for _ in range(ROUNDS):
            garbage([made()])
    """,
    "many at once, in one circle": """
        def made():
            followers = [Feeding() for _ in range(3)]
            for number, follower in enumerate(followers):
                other = followers[number - 1]
                follower.kept = [
                    other.conn.subscribe_callback("SELECT a FROM t", follower.on_data),
                    other.conn.subscribe_stream_callback("t", follower.on_data, follower.on_data),
                    other.conn.writer("t"), other.conn.cursor(), other.conn.subscribe("SELECT a FROM t"),
                    other.conn.transaction(), other.conn.stream("SELECT 1"),
                ]
                other.conn.insert("t", {"a": 0})
            for follower in followers:
                assert follower.called.wait(60)
            return [weakref.ref(follower) for follower in followers]
        for _ in range(ROUNDS // 3):
            garbage(made())
    """,
    "on several threads": """
        def run():
            for _ in range(ROUNDS // 4):
                follower = Feeding()
                follower.kept = follower.conn.subscribe_callback("SELECT a FROM t", follower.on_data)
                inserts = [threading.Thread(target=follower.conn.insert, args=("t", {"a": 1})) for _ in range(2)]
                for thread in inserts:
                    thread.start()
                references.append(weakref.ref(follower))
                del follower
                for thread in inserts:
                    thread.join()
                inserts.clear()
        references = []
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        garbage(references)
    """,
    "in an event loop": """
        async def made():
            follower = Feeding()
            follower.conn.subscribe_callback("SELECT a FROM t", follower.on_data)
            follower.kept = await follower.conn.subscribe_async("SELECT a FROM t")
            inserting = asyncio.ensure_future(follower.conn.insert_async("t", {"a": 0}))
            async for batch in follower.kept:
                break
            waiting = asyncio.ensure_future(anext(follower.kept))
            await inserting
            waiting.cancel()
            await asyncio.wait([waiting])
            return weakref.ref(follower)
        async def main():
            return [await made() for _ in range(ROUNDS // 2)]
        garbage(asyncio.run(main()))
    """,
}


@pytest.mark.parametrize("threshold", [(1, 1, 1), (700, 10, 10)])
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_called_that_the_collector_has_begun_to_take(program: str, threshold: tuple[int, ...]) -> None:
    text = COMMON.replace("THRESHOLD", repr(threshold)) + textwrap.dedent(PROGRAMS[program]) + "\nprint('end')\n"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", text.replace("ROUNDS", str(ROUNDS))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=os.environ)
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)
