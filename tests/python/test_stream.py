"""The answer of a query in batches (API sections 5.5 and 7)."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import sys
import threading
from typing import Any

import laminardb
import pytest
from laminardb import _laminardb, codes

from conftest import Forked

BATCH = 65_536
# More rows than anybody waits for.
ENDLESS = "SELECT a.x + b.x AS y FROM t a, t b, t c"


@pytest.fixture
def numbers(conn: laminardb.Connection) -> laminardb.Connection:
    conn.create_table("t", {"x": "int64"})
    conn.insert("t", {"x": list(range(3000))})
    return conn


def active(conn: laminardb.Connection) -> list[str]:
    return [query.sql for query in conn.queries() if query.active]


def test_batches_of_bounded_size_are_the_whole_answer(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    conn.insert("t", {"x": list(range(200_000))})
    sizes, values = [], []
    for batch in conn.stream("SELECT x FROM t"):
        assert type(batch) is laminardb.QueryResult
        sizes.append(len(batch))
        values += batch.to_dicts()["x"]
    assert len(sizes) >= 4
    assert 0 < min(sizes) <= max(sizes) <= BATCH
    assert values == list(range(200_000))


def test_order_names_types_and_parameters(numbers: laminardb.Connection) -> None:
    it = numbers.stream("SELECT x, x, 'a' AS s FROM t WHERE x > ? ORDER BY x DESC", [2997])
    batch = next(it)
    assert batch.columns == ["x", "x", "s"]
    assert batch.fetchall() == [(2999, 2999, "a"), (2998, 2998, "a")]
    assert list(it) == []
    assert next(numbers.stream("SELECT $v AS v", {"v": 7})).fetchall() == [(7,)]


def test_an_empty_answer_has_no_batches(numbers: laminardb.Connection) -> None:
    it = numbers.stream("SELECT x FROM t WHERE x < 0")
    assert list(it) == []
    assert not it.is_active


def test_the_answer_is_of_one_time(numbers: laminardb.Connection) -> None:
    numbers.execute("CREATE MATERIALIZED VIEW v AS SELECT x % 10 AS k, count(*) AS n FROM t GROUP BY k")
    its = [numbers.stream("SELECT count(*) FROM t"), numbers.stream("SELECT CAST(sum(n) AS BIGINT) FROM v")]
    later = numbers.stream("SELECT a.x FROM t a, t b")
    first = next(later)
    numbers.insert("t", {"x": [1, 2, 3]})
    assert [next(it).fetchall() for it in its] == [[(3000,)], [(3000,)]]
    assert len(first) + sum(len(batch) for batch in later) == 3000 * 3000


def test_rows_come_before_the_query_is_through(numbers: laminardb.Connection) -> None:
    it = numbers.stream(ENDLESS)
    for _ in range(3):
        assert 0 < len(next(it)) <= BATCH
    assert it.is_active
    it.cancel()


def test_states(numbers: laminardb.Connection) -> None:
    it = numbers.stream("SELECT x FROM t")
    assert iter(it) is it
    assert (it.is_active, repr(it)) == (True, "QueryStream(active)")
    assert sum(len(batch) for batch in it) == 3000
    assert (it.is_active, repr(it)) == (False, "QueryStream(finished)")
    with pytest.raises(StopIteration):
        next(it)
    assert it.try_next() is None
    assert isinstance(it, _laminardb._QueryStreamIter)
    assert "_QueryStreamIter" not in laminardb.__all__
    with pytest.raises(TypeError):
        _laminardb._QueryStreamIter()


def test_try_next_never_waits(numbers: laminardb.Connection) -> None:
    it = numbers.stream("SELECT count(*) AS n FROM t a, t b, t c WHERE (a.x + b.x * c.x) % 7 = 3")
    assert it.try_next() is None
    assert it.is_active
    it.cancel()
    it = numbers.stream("SELECT x FROM t")
    rows = 0
    while it.is_active:
        batch = it.try_next()
        rows += len(batch) if batch is not None else 0
    assert rows == 3000


def test_cancel(numbers: laminardb.Connection) -> None:
    it = numbers.stream(ENDLESS)
    next(it)
    it.cancel()
    it.cancel()
    assert (it.is_active, repr(it), it.try_next()) == (False, "QueryStream(finished)", None)
    with pytest.raises(StopIteration):
        next(it)
    assert active(numbers) == []


def waiting(it: Any) -> tuple[threading.Thread, list[Any]]:
    """A thread that waits in `next`, and what becomes of it."""
    met: list[Any] = []
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        try:
            met.append(next(it))
        except BaseException as error:
            met.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait(60)
    return thread, met


SLOW = "SELECT count(*) AS n FROM t a, t b, t c WHERE (a.x + b.x * c.x) % 7 = 3"


def test_cancel_wakes_a_blocked_next(numbers: laminardb.Connection) -> None:
    it = numbers.stream(SLOW)
    thread, met = waiting(it)
    it.cancel()
    thread.join(60)
    assert [type(end) for end in met] == [StopIteration]


def test_close_of_the_connection_ends_it(numbers: laminardb.Connection) -> None:
    blocked, unread, done = numbers.stream(SLOW), numbers.stream(ENDLESS), numbers.stream("SELECT 1")
    assert len(list(done)) == 1
    next(unread)
    thread, met = waiting(blocked)
    numbers.close()
    thread.join(60)
    assert [type(end) for end in met] == [StopIteration]
    for it in (blocked, unread, done):
        assert not it.is_active
        assert it.try_next() is None
        with pytest.raises(StopIteration):
            next(it)


def test_close_ends_a_running_query(numbers: laminardb.Connection) -> None:
    met: list[BaseException] = []
    begun = threading.Event()

    def query() -> None:
        begun.set()
        try:
            numbers.query(SLOW)
        except BaseException as error:
            met.append(error)

    thread = threading.Thread(target=query)
    thread.start()
    begun.wait(60)
    numbers.close()
    thread.join(60)
    assert not thread.is_alive()
    assert [(type(end), getattr(end, "code", None)) for end in met] == [(laminardb.ConnectionError, 101)]


@pytest.mark.parametrize(
    "sql", ["INSERT INTO t VALUES (1)", "CREATE TABLE u (a INT)", "DROP SOURCE t", "SELECT 1; INSERT INTO t VALUES (1)"]
)
def test_what_is_no_query_is_not_executed(numbers: laminardb.Connection, sql: str) -> None:
    with pytest.raises(laminardb.QueryError) as error:
        numbers.stream(sql)
    assert error.value.code == codes.QUERY_FAILED
    assert numbers.list_tables() == ["t"]
    assert numbers.sql("SELECT count(*) FROM t").fetchone() == (3000,)


@pytest.mark.parametrize(("sql", "code"), [("SELECT nope FROM t", 400), ("SELECT * FROM nope", 400), ("SELEC 1", 401)])
def test_a_wrong_query_fails_at_once(numbers: laminardb.Connection, sql: str, code: int) -> None:
    with pytest.raises(laminardb.QueryError) as error:
        numbers.stream(sql)
    assert error.value.code == code


def test_a_failing_row_ends_it_once(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (s VARCHAR)")
    conn.execute("INSERT INTO t VALUES ('1'), ('x')")
    it = conn.stream("SELECT CAST(s AS BIGINT) FROM t")
    with pytest.raises(laminardb.QueryError) as error:
        next(it)
    assert error.value.code == codes.QUERY_FAILED
    assert not it.is_active
    assert list(it) == []
    assert active(conn) == []


def test_a_view_with_failing_rows(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (s VARCHAR)")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT CAST(s AS BIGINT) AS n FROM t")
    conn.execute("INSERT INTO t VALUES ('1'), ('x')")
    with pytest.raises(laminardb.QueryError, match="v"):
        list(conn.stream("SELECT * FROM v"))


def test_metadata(numbers: laminardb.Connection) -> None:
    (batch,) = numbers.stream("SHOW SOURCES")
    assert batch.fetchall() == [("t", None, None, None)]
    (batch,) = numbers.stream("SELECT 1; DESCRIBE t;")
    assert batch.fetchall() == [("x", "BIGINT", True)]
    assert list(numbers.stream("SHOW TABLES")) == []


def test_it_is_listed_until_its_end(numbers: laminardb.Connection) -> None:
    it, other = numbers.stream("SELECT x FROM t"), numbers.stream(ENDLESS)
    assert active(numbers) == ["SELECT x FROM t", ENDLESS]
    assert numbers.active_query_count == 2
    assert sum(len(batch) for batch in it) == 3000
    assert active(numbers) == [ENDLESS]
    (query,) = [query for query in numbers.queries() if query.active]
    numbers.cancel_query(query.id)
    assert not other.is_active
    assert list(other) == []
    assert numbers.active_query_count == 0
    numbers.cancel_query(query.id)


def test_dropping_it_ends_its_thread(numbers: laminardb.Connection) -> None:
    def threads() -> set[str]:
        found = set()
        for task in pathlib.Path("/proc/self/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if (task / "comm").read_text().startswith("laminardb-strea"):
                    found.add(task.name)
        return found

    # Those of other tests may still be about to end.
    before = threads() if sys.platform == "linux" else set()
    it = numbers.stream(ENDLESS)
    next(it)
    if sys.platform == "linux":
        (own,) = threads() - before
    del it
    assert numbers.active_query_count == 0
    # Nothing but the end of the thread itself tells of it.
    while sys.platform == "linux" and own in threads():
        pass


def test_it_keeps_its_connection_alive_and_goes_on_after_shutdown() -> None:
    conn = laminardb.open(":memory:")
    conn.create_table("t", {"x": "int64"})
    conn.insert("t", {"x": list(range(200_000))})
    it = conn.stream("SELECT x FROM t")
    conn.shutdown()
    with pytest.raises(laminardb.LaminarError) as error:
        conn.stream("SELECT 1")
    assert error.value.code == codes.SHUTDOWN
    del conn
    assert sum(len(batch) for batch in it) == 200_000


def test_closed_and_wrong_arguments(numbers: laminardb.Connection) -> None:
    with pytest.raises(TypeError):
        numbers.stream(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        numbers.stream("SELECT ?", 1)  # type: ignore[arg-type]
    with pytest.raises(laminardb.QueryError):
        numbers.stream("SELECT ?", [1, 2])
    numbers.close()
    with pytest.raises(laminardb.ConnectionError, match=r"^Connection is closed$"):
        numbers.stream("SELECT 1")


def test_threads_share_its_batches(numbers: laminardb.Connection) -> None:
    it = numbers.stream("SELECT a.x FROM t a, t b")
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(sum(len(batch) for batch in it))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sum(counts) == 3000 * 3000


def test_the_connection_may_be_used_meanwhile(numbers: laminardb.Connection) -> None:
    for idx, _ in enumerate(numbers.stream("SELECT a.x FROM t a, t b")):
        numbers.insert("t", {"x": idx})
        if idx == 3:
            break
    assert numbers.sql("SELECT count(*) FROM t").fetchone() == (3004,)


def test_fork(forked: Forked) -> None:
    made = "conn = laminardb.open(':memory:'); it = conn.stream('SELECT 1')"
    harmless = "assert not it.is_active\nit.cancel()\ndel conn, it"
    assert forked(made, ["it.try_next()", "next(it)"], harmless, "next(it).fetchall()") == "[(1,)]"


def test_the_process_ends_quietly() -> None:
    program = (
        "import laminardb\n"
        "conn = laminardb.open(':memory:')\n"
        "conn.create_table('t', {'x': 'int64'})\n"
        "conn.insert('t', {'x': list(range(3000))})\n"
        f"it = conn.stream('{ENDLESS}')\n"
        "next(it)\n"
        "print('end')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")
