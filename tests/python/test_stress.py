"""Definitions, writes, reads and restores from threads beside each other: every call ends, none with 900.

A watchdog prints the stacks of all threads and fails if a call hangs.
"""

from __future__ import annotations

import faulthandler
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import laminardb
import pytest

PATIENCE = 60.0  # seconds after which a call counts as hanging
HOT = 4000  # rows that are each joined with each of the others: enough work for the whole test
ENDLESS = "CREATE MATERIALIZED VIEW endless AS SELECT x.k, y.k AS other FROM t x JOIN t y ON x.v = y.v"


def beside_each_other(calls: dict[str, Callable[[int], object]], rounds: int) -> Counter[tuple[str, int]]:
    """Makes each call again and again on a thread of its own; gives the names and codes of their errors."""
    errors: Counter[tuple[str, int]] = Counter()
    begun = threading.Barrier(len(calls))

    def run(name: str, call: Callable[[int], object]) -> None:
        begun.wait(PATIENCE)
        for number in range(rounds):
            try:
                call(number)
            except laminardb.LaminarError as error:
                errors[name, error.code] += 1

    threads = [threading.Thread(target=run, args=call, daemon=True) for call in calls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        if thread.is_alive():
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
            pytest.fail(f"a call hangs; errors so far: {dict(errors)}")
    return errors


def states(conn: laminardb.Connection) -> dict[str, str]:
    """The state of each view."""
    return {row[0]: row[2] for row in conn.query("SHOW MATERIALIZED VIEWS").fetchall()}


@pytest.fixture(params=[1, 2])
def conn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[laminardb.Connection]:
    config = laminardb.LaminarConfig(workers=request.param, storage_dir=tmp_path, checkpoint_interval_ms=0)
    conn = laminardb.open(":memory:", config=config)
    conn.execute("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT)")
    conn.execute("CREATE SOURCE s (a BIGINT)")
    conn.execute("CREATE MATERIALIZED VIEW a AS SELECT t.k, t.v, s.a FROM t JOIN s ON t.k = s.a")
    conn.execute("CREATE MATERIALIZED VIEW b AS SELECT v % 7 AS m, count(*) AS n FROM a GROUP BY 1")
    conn.insert("s", [{"a": 1}])
    conn.checkpoint()
    yield conn
    conn.close()


def test_every_call_ends_beside_restore(conn: laminardb.Connection) -> None:
    over_a_view = "CREATE OR REPLACE MATERIALIZED VIEW b AS SELECT v % 7 AS m, count(*) + {} AS n FROM a GROUP BY 1"

    def write(number: int) -> None:
        conn.upsert("t", [{"k": (number * 7 + row) % 100, "v": number} for row in range(20)])
        conn.insert("s", [{"a": number % 100}] * 5)

    def subscribe(_: int) -> None:
        with conn.subscribe("SELECT m, n + 1 AS n FROM b") as subscription:
            subscription.next_timeout(50)

    errors = beside_each_other(
        {
            "write": write,
            "restore": lambda _: conn.restore(),
            "replace": lambda number: conn.execute(over_a_view.format(number)),
            "read": lambda _: conn.query("SELECT * FROM b, a"),
            "subscribe": subscribe,
        },
        rounds=25,
    )
    # A subscription may find what it reads replaced, or empty: then nothing comes.
    assert set(errors) <= {("subscribe", 501), ("subscribe", 502)}


def test_definitions_and_drops_do_not_wait_for_a_view_that_takes_in_its_contents(conn: laminardb.Connection) -> None:
    conn.upsert("t", [{"k": key, "v": -1} for key in range(HOT)])
    conn.wait(timeout=PATIENCE)
    conn.execute(ENDLESS)
    assert states(conn)["endless"] == "hydrating"
    conn.execute("CREATE MATERIALIZED VIEW other AS SELECT a, count(*) AS n FROM s GROUP BY a")
    conn.execute("CREATE OR REPLACE MATERIALIZED VIEW other AS SELECT a, count(*) + 1 AS n FROM s GROUP BY a")
    conn.execute("CREATE OR REPLACE TABLE copy AS SELECT a + 1 AS a FROM s")
    conn.execute("DROP MATERIALIZED VIEW b")
    conn.checkpoint()
    assert states(conn)["endless"] == "hydrating"
    conn.execute("DROP MATERIALIZED VIEW endless")
    assert "endless" not in states(conn)
    conn.wait(timeout=PATIENCE)
    assert conn.query("SELECT * FROM other").fetchall() == [(1, 2)]


def test_a_restore_does_not_wait_for_a_view_that_takes_in_its_contents(conn: laminardb.Connection) -> None:
    conn.upsert("t", [{"k": key, "v": -1} for key in range(HOT)])
    conn.wait(timeout=PATIENCE)
    conn.execute(ENDLESS)
    conn.restore()
    assert conn.query("SELECT count(*) FROM t").fetchall() == [(0,)]
    assert "endless" not in states(conn)
    conn.wait(timeout=PATIENCE)


def test_wait_for_a_view_is_for_its_first_contents(conn: laminardb.Connection) -> None:
    conn.upsert("t", [{"k": key, "v": key % 3} for key in range(1000)])
    conn.execute("CREATE MATERIALIZED VIEW counts AS SELECT v, count(*) AS n FROM t GROUP BY v")
    assert conn.wait("counts", timeout=PATIENCE) == conn.current_time
    assert states(conn)["counts"] == "created"
    assert conn.wait("t") == conn.current_time
    with pytest.raises(laminardb.SchemaError) as missing:
        conn.wait("nothing")
    assert missing.value.code == 200


def test_subscribers_of_a_dropped_view_get_the_changes_of_all_earlier_writes(conn: laminardb.Connection) -> None:
    subscription = conn.subscribe("b", snapshot=False)
    conn.upsert("t", [{"k": 1, "v": 9}])
    conn.execute("DROP MATERIALIZED VIEW a CASCADE")
    batch = subscription.next()
    assert batch is not None
    assert 2 in batch.to_dicts()["m"]
    with pytest.raises(laminardb.SubscriptionError) as dropped:
        subscription.next()
    assert dropped.value.code == 501
