"""Fixtures of the Python tests."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Protocol

import laminardb
import pytest


@pytest.fixture
def conn() -> Iterator[laminardb.Connection]:
    """A new database in memory."""
    with laminardb.open(":memory:") as connection:
        yield connection


@pytest.fixture
def sensors(conn: laminardb.Connection) -> laminardb.Connection:
    """A database with the seed README's source and its three rows."""
    conn.execute("CREATE SOURCE sensors (ts BIGINT, device VARCHAR, value DOUBLE)")
    conn.insert(
        "sensors",
        [
            {"ts": 1, "device": "sensor_a", "value": 42.0},
            {"ts": 2, "device": "sensor_b", "value": 43.5},
            {"ts": 3, "device": "sensor_a", "value": 44.1},
        ],
    )
    return conn


class Forked(Protocol):
    """What the fixture `forked` gives."""

    def __call__(
        self, made: str, refused: Iterable[str], harmless: str, then: str, *, orderly: bool = False
    ) -> str: ...


FORK = """
import os, sys, threading, traceback, warnings, laminardb
warnings.simplefilter("ignore", DeprecationWarning)
{made}
pid = os.fork()
if pid == 0:
    try:
        for text, call in {calls}:
            try:
                call()
            except laminardb.ConnectionError as error:
                assert error.code == 102, (text, error)
            else:
                raise AssertionError(f"not refused: {{text}}")
{harmless}
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    if {orderly}:
        sys.exit(0)
    os._exit(0)
status = os.waitpid(pid, 0)[1]
assert status == 0, status
print({then}, flush=True)
"""


@pytest.fixture
def forked() -> Forked:
    """Runs a program that forks: what it made must be refused in the child, and be of use in the parent.

    `refused` are expressions that raise 102 in the child, `harmless` is what the child does then; it ends at once, or
    in order. Gives what the parent prints, the value of the expression `then`.
    """

    def run(made: str, refused: Iterable[str], harmless: str, then: str, *, orderly: bool = False) -> str:
        calls = "".join(f"({text!r}, lambda: {text}), " for text in refused)
        program = FORK.format(
            made=made,
            calls=f"({calls})",
            harmless=textwrap.indent(harmless, " " * 8),
            orderly=orderly,
            then=then,
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    return run
