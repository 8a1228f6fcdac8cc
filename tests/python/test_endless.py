"""What is too long or has no end: texts of SQL, names, and the rows of an insert.

Each is refused with an error that says which bound it passes, and Ctrl-C is heard until then.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import laminardb
import pytest
from laminardb import codes

LONGEST_SQL = 64 * 2**20
LONGEST_NAME = 65_535

# What programs with little memory begin with.
BEGINNING = """
import itertools, laminardb
from laminardb import codes

conn = laminardb.open(":memory:", config=laminardb.LaminarConfig(memory_limit="16MB"))
conn.execute("CREATE TABLE t (a BIGINT, s VARCHAR)")

def refused(call, *words):
    try:
        result = call()
    except laminardb.LaminarError as error:
        assert error.code == codes.MEMORY_LIMIT and len(str(error)) < 1000, error
        assert all(word in str(error) for word in ("memory_limit", *words)), error
        assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,)
    else:
        raise AssertionError(result)
"""


@pytest.fixture
def conn() -> Iterator[laminardb.Connection]:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE t (a BIGINT, s VARCHAR)")
        yield conn


def refused(call: Callable[[], Any], code: int, *words: str) -> None:
    with pytest.raises(laminardb.LaminarError) as error:
        call()
    assert error.value.code == code, error.value
    assert len(str(error.value)) < 1000
    for word in words:
        assert word in str(error.value)


def test_a_text_of_sql_that_is_too_long_is_refused(conn: laminardb.Connection) -> None:
    text = "SELECT 1" + " " * LONGEST_SQL
    words = f"the text of the statement has {len(text)} bytes, more than the {LONGEST_SQL} that one can"
    calls = [conn.query, conn.execute, conn.explain, conn.stream, conn.subscribe, conn.cursor().execute]
    for call in calls:
        refused(lambda call=call: call(text), codes.QUERY_FAILED, words)  # type: ignore[misc]
    assert conn.sql("SELECT 1" + " " * 10_000).fetchone() == (1,)


def with_little_memory(program: str) -> None:
    """Runs a program after `BEGINNING` in a process of its own."""
    command = [sys.executable, "-c", BEGINNING + textwrap.dedent(program) + "\nprint('end')"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)


def test_a_text_whose_words_do_not_fit_into_memory_is_refused() -> None:
    with_little_memory("""
        refused(lambda: conn.query("SELECT 1" + " " * 1_000_000), "the text of the statement needs")
        # A long value takes no more than its own length.
        assert conn.query("SELECT length('" + "x" * 1_000_000 + "')").fetchone() == (1_000_000,)
    """)


def test_a_name_that_is_too_long_is_refused(conn: laminardb.Connection) -> None:
    longest, longer = "n" * LONGEST_NAME, "n" * (LONGEST_NAME + 1)
    conn.create_table(longest, {longest: "int64"})
    conn.insert(longest, {longest: 1})
    assert conn.query_stream(longest).fetchall() == [(1,)]
    definitions = [
        lambda: conn.create_table(longer, {"a": "int64"}),
        lambda: conn.create_table("u", {longer: "int64"}),
        *(
            lambda text=text: conn.execute(text)
            for text in (
                f"CREATE TABLE {longer} (a BIGINT)",
                f"CREATE SOURCE u ({longer} BIGINT)",
                f"CREATE TABLE {longer} AS SELECT 1 AS a",
                f"CREATE VIEW {longer} AS SELECT a FROM t",
                f"CREATE MATERIALIZED VIEW {longer} AS SELECT a FROM t",
            )
        ),
    ]
    for definition in definitions:
        refused(definition, codes.INVALID_SCHEMA, f"a name of {len(longer)} bytes is too long")
    uses: list[Callable[[str], Any]] = [
        *(lambda name: conn.insert(name, {"a": 1}), conn.writer, conn.subscribe_stream, conn.schema),
        *(lambda name: conn.insert_json(name, "{}"), lambda name: conn.wait(name, 60)),
    ]
    for use in uses:
        refused(lambda use=use: use(longer), codes.TABLE_NOT_FOUND, f"a name of {len(longer)} bytes")  # type: ignore[misc]


def test_rows_without_end_are_refused_when_memory_has_no_room() -> None:
    with_little_memory("""
        def endless():
            for number in itertools.count():
                yield {"a": number, "s": "x" * 100}

        alternating = ({"a": 1} if number % 2 else {"s": "x"} for number in itertools.count())
        for rows in (endless(), itertools.repeat({"a": 1, "s": "x" * 100}), alternating):
            refused(lambda: conn.insert("t", rows), "the rows to write need")
        refused(lambda: conn.writer("t").insert(endless()), "the rows to write need")
        assert conn.insert("t", itertools.islice(endless(), 20_000)) == 20_000
    """)


def test_arrow_data_without_end_are_refused_when_memory_has_no_room(pa: Any) -> None:
    with_little_memory("""
        import pyarrow as pa
        batches = itertools.repeat(pa.record_batch({"a": list(range(10_000))}))
        reader = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches)
        refused(lambda: conn.insert("t", reader), "the rows to write need")
        assert conn.insert("t", pa.table({"a": list(range(20_000))})) == 20_000
    """)


def test_a_text_of_more_rows_than_memory_has_room_for_is_refused() -> None:
    with_little_memory("""
        refused(lambda: conn.insert_csv("t", "a,s\\n" + "1,abc\\n" * 1_000_000), "the rows to write need")
        refused(lambda: conn.insert_json("t", '{"a": 1}\\n' * 1_000_000), "the rows to write need")
        assert conn.insert_csv("t", "a,s\\n" + "1,abc\\n" * 10_000) == 10_000
    """)


class Pressed(Exception):
    """What the handler of a signal raises."""


@pytest.fixture
def press() -> Iterator[Callable[[], None]]:
    """Sends a signal to the main thread, as Ctrl-C does, whose handler raises `Pressed`."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Pressed

    before = signal.signal(signal.SIGINT, handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("source", ["generator", "iterator", "arrow", "empty arrow"])
def test_a_signal_ends_an_insert_of_rows_without_end(
    conn: laminardb.Connection, press: Callable[[], None], pa: Any, source: str
) -> None:
    begun = threading.Event()

    def rows() -> Iterator[dict[str, int]]:
        for number in itertools.count():
            begun.set()
            yield {"a": number}

    def batches() -> Iterator[Any]:
        batch = pa.record_batch({"a": pa.array([1] if source == "arrow" else [], pa.int64())})
        begun.set()
        yield from itertools.repeat(batch)

    def press_later() -> None:
        assert begun.wait(60)
        press()

    if source == "generator":
        data: Any = rows()
    elif source == "iterator":
        data = itertools.chain(itertools.islice(rows(), 1), itertools.repeat({"a": 1}))
    else:
        data = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches())
    pressing = threading.Thread(target=press_later)
    pressing.start()
    with pytest.raises(Pressed):
        conn.insert("t", data)
    pressing.join()
    assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,)
