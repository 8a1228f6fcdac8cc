"""The memory limit: what passes it ends with an error that names it, and everything else goes on (API section 4).

Each test runs a program of its own under a limit of its address space, so that a limit that is not kept ends that
program and not the tests.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap

import laminardb
import pytest
from laminardb import LaminarConfig, codes

ADDRESS_SPACE = 6_000_000_000
BEGINNING = '''
import laminardb
from laminardb import LaminarConfig, LaminarError, codes

CROSS = "SELECT x.a AS a, y.a AS b, z.a AS c FROM t x CROSS JOIN t y CROSS JOIN t z"

def opened(limit="16MB", workers={workers}):
    conn = laminardb.open(":memory:", config=LaminarConfig(memory_limit=limit, workers=workers))
    conn.create_table("t", {{"a": "int64"}})
    conn.insert("t", {{"a": list(range(10_000))}})
    return conn

def refused(call, *words):
    try:
        result = call()
    except LaminarError as error:
        text = str(error)
        assert (type(error), error.code) == (LaminarError, codes.MEMORY_LIMIT), repr(error)
        assert text.startswith("Memory limit (903): ") and "memory_limit is 16" in text, text
        for word in words:
            assert word in text, text
    else:
        raise AssertionError(f"{{result!r}} instead of an error")

def works(conn):
    """Everything else works: reads, writes, views and subscriptions."""
    count = conn.sql("SELECT count(*) FROM t").fetchone()[0]
    assert conn.insert("t", {{"a": [-1]}}) == 1
    assert conn.sql("SELECT count(*) FROM t").fetchone()[0] == count + 1
    conn.execute("CREATE MATERIALIZED VIEW small AS SELECT a, count(*) AS n FROM t WHERE a < 0 GROUP BY a")
    with conn.subscribe("SELECT a, n FROM small") as changes:
        assert len(next(changes)) >= 1
        assert conn.insert("t", {{"a": [-2]}}) == 1
        assert len(next(changes)) >= 1
    assert conn.sql("SELECT count(*) FROM small").fetchone() == (2,)
    conn.execute("DROP MATERIALIZED VIEW small")
'''


def run(program: str, workers: int = 1, address_space: int = ADDRESS_SPACE) -> None:
    """Runs a program after `BEGINNING`, in a process of its own with this much address space."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

    text = BEGINNING.format(workers=workers) + textwrap.dedent(program)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", text]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-4000:]


both = pytest.mark.parametrize("workers", [1, 2])


def test_a_query_run_once_ends_at_the_limit() -> None:
    run(
        """
        conn = opened()
        refused(lambda: conn.sql(CROSS), "the query SELECT x.a AS a", "drop or delete what is not needed")
        works(conn)
        """
    )


def test_without_a_setting_the_limit_follows_the_address_space() -> None:
    run(
        """
        conn = opened(limit=None)
        try:
            conn.sql(CROSS)
        except LaminarError as error:
            assert error.code == codes.MEMORY_LIMIT and "memory_limit is " in str(error), error
        else:
            raise AssertionError("no error")
        works(conn)
        """,
        address_space=2_000_000_000,
    )


def test_a_stream_of_a_trillion_rows_stays_within_the_limit() -> None:
    run(
        """
        conn = opened()
        stream = conn.stream(CROSS)
        rows = 0
        while rows < 1_000_000:
            rows += len(next(stream))
        del stream
        works(conn)
        """
    )


@pytest.mark.parametrize(
    "query",
    [
        "SELECT x.a, y.a, count(*) FROM t x CROSS JOIN t y GROUP BY x.a, y.a",
        "SELECT DISTINCT x.a, y.a FROM t x CROSS JOIN t y",
        "SELECT x.a, y.a FROM t x CROSS JOIN t y ORDER BY x.a + y.a",
        "SELECT row_number() OVER (ORDER BY x.a + y.a) FROM t x CROSS JOIN t y",
        "SELECT array_agg(x.a + y.a) FROM t x CROSS JOIN t y",
        "SELECT string_agg(CAST(x.a AS VARCHAR), ',') FROM t x CROSS JOIN t y",
        "SELECT x.a, repeat('x', 1000) FROM t x CROSS JOIN t y",
        "SELECT unnest(range(a * 100)) FROM t",
    ],
)
def test_queries_that_keep_their_rows_end_at_the_limit(query: str) -> None:
    run(f"conn = opened()\nrefused(lambda: conn.sql({query!r}))\nworks(conn)")


@both
def test_a_view_ends_at_the_limit_and_others_go_on(workers: int) -> None:
    run(
        """
        conn = opened()
        conn.execute("CREATE MATERIALIZED VIEW other AS SELECT a % 10 AS g, count(*) AS n FROM t GROUP BY a % 10")
        conn.execute(f"CREATE MATERIALIZED VIEW v AS {CROSS}")
        refused(lambda: conn.sql("SELECT count(*) FROM v"), "view v was ended", "grew")
        refused(lambda: conn.subscribe_stream("v"), "view v was ended")
        refused(lambda: conn.execute("CREATE MATERIALIZED VIEW w AS SELECT a, count(*) FROM v GROUP BY a"), "view v")
        states = {row[0]: row[2] for row in conn.sql("SHOW MATERIALIZED VIEWS").fetchall()}
        assert states == {"other": "created", "v": "ended: memory limit"}, states
        assert conn.sql("SELECT sum(n) FROM other").fetchone() == (10_000,)
        works(conn)
        conn.execute("DROP MATERIALIZED VIEW v")
        conn.execute("CREATE MATERIALIZED VIEW v AS SELECT a, count(*) AS n FROM t GROUP BY a")
        assert conn.sql("SELECT count(*) FROM v").fetchone() == (10_002,)
        works(conn)
        """,
        workers,
    )


def test_a_view_over_a_view_ends_with_it() -> None:
    run(
        """
        conn = opened()
        conn.execute("CREATE TABLE on_off (b BOOLEAN)")
        pairs = "SELECT x.a AS a, y.a AS b FROM t x CROSS JOIN t y CROSS JOIN on_off"
        conn.execute(f"CREATE MATERIALIZED VIEW v AS {pairs}")
        conn.execute("CREATE MATERIALIZED VIEW w AS SELECT a, count(*) AS n FROM v GROUP BY a")
        changes = conn.subscribe_stream("w", snapshot=False)
        conn.execute("INSERT INTO on_off VALUES (true)")
        refused(lambda: [batch for batch in changes], "view w was ended, since view v, which it reads, was ended")
        refused(lambda: conn.sql("SELECT * FROM w"), "view w was ended, since view v, which it reads, was ended")
        conn.execute("DROP MATERIALIZED VIEW v CASCADE")
        works(conn)
        """
    )


@both
def test_a_subscription_to_a_query_ends_at_the_limit(workers: int) -> None:
    run(
        """
        conn = opened()
        def follow():
            for _ in conn.subscribe(CROSS):
                pass
        refused(follow, "view of the subscription was ended")
        works(conn)
        """,
        workers,
    )


def test_changes_that_nobody_reads_end_the_subscription_at_the_limit() -> None:
    run(
        """
        conn = opened()
        changes = conn.subscribe("SELECT x.a AS a, y.a AS b FROM t x JOIN u y ON x.a % 2 = y.a", snapshot=False) if (
            conn.execute("CREATE TABLE u (a BIGINT)")) else None
        try:
            for turn in range(200):
                conn.execute("INSERT INTO u VALUES (0), (1)")
                conn.wait()
            for _ in changes:
                pass
        except laminardb.SubscriptionError as error:
            assert error.code == codes.SUBSCRIPTION_LAGGED and "memory_limit is 16" in str(error), error
        else:
            raise AssertionError("no error")
        works(conn)
        """
    )


def test_a_write_beyond_the_limit_is_refused_and_stores_nothing() -> None:
    run(
        """
        conn = opened()
        conn.create_table("texts", {"id": "int64", "text": "string"}, primary_key="id")
        stored = 0
        def fill():
            nonlocal_rows = 1_000
            global stored
            while True:
                ids = range(stored, stored + nonlocal_rows)
                conn.insert("texts", {"id": list(ids), "text": ["x" * 1_000] * nonlocal_rows})
                stored += nonlocal_rows
        refused(fill, "the rows to write need")
        assert 5_000 < stored < 16_000, stored
        assert conn.sql("SELECT count(*) FROM texts").fetchone() == (stored,)
        refused(lambda: conn.execute("INSERT INTO texts SELECT a + 1000000, repeat('x', 10000) FROM t"))
        assert conn.sql("SELECT count(*) FROM texts").fetchone() == (stored,)
        assert conn.execute("DELETE FROM texts WHERE id < 300").rows_affected == 300
        conn.execute("DROP TABLE texts")
        works(conn)
        """
    )


def test_a_write_of_many_batches_counts_the_memory_that_they_share_once() -> None:
    run(
        """
        conn = opened(limit="256MB")
        conn.execute("CREATE TABLE many (id BIGINT, v BIGINT)")
        conn.insert("many", {"id": list(range(500_000)), "v": [1] * 500_000})
        assert conn.execute("UPDATE many SET v = id").rows_affected == 500_000
        assert conn.sql("SELECT sum(v) FROM many").fetchone() == (124_999_750_000,)
        works(conn)
        """
    )


def test_text_of_any_size_is_refused_by_its_size() -> None:
    run(
        """
        conn = opened()
        for call in ("repeat('x', 10000000000)", "rpad('x', 2000000000, 'y')", "lpad('x', 2000000000, 'y')",
                     "range(1, 1000000000000)", "generate_series(1, 1000000000000)", "array_repeat(1, 10000000000)"):
            try:
                conn.sql(f"SELECT {call}")
            except laminardb.QueryError as error:
                assert error.code == codes.QUERY_FAILED, error
            else:
                raise AssertionError(call)
        refused(lambda: conn.sql("SELECT repeat('x', 100000) FROM t"))
        refused(lambda: conn.sql("SELECT range(a * 100) FROM t"))
        refused(lambda: conn.sql("SELECT unnest(range(a * 100)) FROM t"))
        works(conn)
        """
    )


def test_what_the_configuration_takes() -> None:
    config = LaminarConfig
    sizes: list[int | str] = [1, 2**63, "8GB", "1.5 GiB", " 100 mb ", "7B", "0.5kB", "12TiB", "3TB", "5kib", "9MiB"]
    for size in sizes:
        assert config(memory_limit=size).memory_limit == size
        assert repr(config(memory_limit=size)).endswith(f", workers=1, memory_limit={size!r})")
    assert config().memory_limit is None
    assert "memory_limit" not in repr(config(memory_limit=None))
    nonsense = [
        "",
        "GB",
        "8",
        "8 XB",
        "-8GB",
        "8GBs",
        ".5GB",
        "5.GB",
        "1e9B",
        "1.2.3GB",
        "99999999999TB",
        "8 G B",
        "0GB",
    ]
    for text in nonsense:
        with pytest.raises(ValueError, match="memory_limit must be"):
            config(memory_limit=text)
    with pytest.raises(ValueError, match="memory_limit must be at least 1 byte"):
        config(memory_limit=0)
    with pytest.raises(OverflowError):
        config(memory_limit=-1)
    for wrong in (True, 1.5, b"8GB", [8]):
        with pytest.raises(TypeError, match="memory_limit must be an int, a str or None"):
            config(memory_limit=wrong)  # type: ignore[arg-type]
    with laminardb.open(":memory:", config=config(memory_limit=1)) as conn:
        conn.execute("CREATE TABLE t (a BIGINT)")
        with pytest.raises(laminardb.LaminarError, match="memory_limit is 1 bytes") as error:
            conn.insert("t", {"a": [1]})
        assert error.value.code == codes.MEMORY_LIMIT
