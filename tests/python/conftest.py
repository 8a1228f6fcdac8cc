"""Fixtures of the Python tests, and their run without the libraries that are optional.

A test that needs such a library names its fixture: `np`, `pa`, `pd`, `pl`. With `--without-libraries` these tests are
deselected, and a file that imports one at its top is about them and not collected. Without the option nothing is left
out, and a library that is not there is a failure.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol

import laminardb
import pytest
from hypothesis import settings

LIBRARIES = (
    *("dbapi20", "duckdb", "fastapi", "gunicorn", "httpx", "nbclient"),
    *("numpy", "pandas", "polars", "pyarrow", "sqlalchemy", "uvloop"),
)
ABOUT_LIBRARIES = re.compile(rf"^(?:import|from) (?:{'|'.join(LIBRARIES)})\b", re.MULTILINE)
FIXTURES = {"np", "pa", "pd", "pl"}
collect_ignore = ["sqlalchemy_suite"]  # has a pytest plugin of its own; test_sqlalchemy.py runs it
LEFT_OUT = pytest.StashKey[set[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-libraries",
        action="store_true",
        help=f"run what needs none of {', '.join(LIBRARIES)}, where none of them is installed",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = set()
    if config.getoption("--without-libraries"):
        installed = [name for name in LIBRARIES if importlib.util.find_spec(name)]
        if installed:
            raise pytest.UsageError(f"--without-libraries, but installed: {', '.join(installed)}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--without-libraries") or not collection_path.match("test_*.py"):
        return None
    if not ABOUT_LIBRARIES.search(collection_path.read_text()):
        return None
    config.stash[LEFT_OUT].add(collection_path.name)
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    if config.getoption("--without-libraries"):
        deselected = [item for item in items if not FIXTURES.isdisjoint(item.fixturenames)]
        items[:] = [item for item in items if FIXTURES.isdisjoint(item.fixturenames)]
        config.hook.pytest_deselected(items=deselected)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    names = sorted(config.stash[LEFT_OUT])
    return [f"not collected, since they are about libraries: {', '.join(names)}"] if names else []


@pytest.fixture(scope="session")
def np() -> ModuleType:
    """The library numpy."""
    return importlib.import_module("numpy")


@pytest.fixture(scope="session")
def pa() -> ModuleType:
    """The library pyarrow."""
    return importlib.import_module("pyarrow")


@pytest.fixture(scope="session")
def pd() -> ModuleType:
    """The library pandas."""
    return importlib.import_module("pandas")


@pytest.fixture(scope="session")
def pl() -> ModuleType:
    """The library polars."""
    return importlib.import_module("polars")


def cases(count: int) -> settings:
    """So many random cases, or as many times more as `LAMINARDB_TEST_CASES_FACTOR` says, however long they take."""
    return settings(max_examples=count * int(os.environ.get("LAMINARDB_TEST_CASES_FACTOR", "1")), deadline=None)


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


@pytest.fixture
def result(sensors: laminardb.Connection) -> laminardb.QueryResult:
    """The rows of `sensors`, in the order of their times."""
    return sensors.sql("SELECT * FROM sensors ORDER BY ts")


@pytest.fixture
def table(conn: laminardb.Connection) -> laminardb.Connection:
    """A database with an empty source of a number, a text and a double."""
    conn.create_table("t", {"id": "int64", "name": "string", "x": "float64"})
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


@pytest.fixture
def recursion() -> Iterator[Callable[[int], None]]:
    """Sets the limit of recursion of Python itself, for tests that build deep values."""
    limit = sys.getrecursionlimit()
    yield sys.setrecursionlimit
    sys.setrecursionlimit(limit)
