"""Section 8 of the Python contract: logical time, and what subscriptions see of it."""

from __future__ import annotations

import threading
from typing import Any

import laminardb
import pytest


def test_a_write_made_when_all_is_delivered_has_its_own_time(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.create_table("u", {"a": "int64"})
    for idx, name in enumerate(["t", "u", "t"], start=1):
        conn.insert(name, {"a": idx})
        assert conn.wait() == conn.current_time == idx


def test_net_changes_per_time(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (a BIGINT PRIMARY KEY, b BIGINT)")
    conn.insert("t", {"a": [1, 2], "b": [1, 2]})
    sub = conn.subscribe_stream("t")
    # Within one write: a key twice, of which the last row counts, and an equal replacement.
    conn.insert("t", [{"a": 3, "b": 1}, {"a": 3, "b": 2}, {"a": 1, "b": 1}])
    batch = sub.next()
    assert batch is not None
    assert list(zip(batch.ops, batch, strict=True)) == [("Insert", (3, 2))]
    conn.insert("t", {"a": 2, "b": 2})
    conn.insert("t", {"a": 2, "b": 5})
    batch = sub.next()
    assert batch is not None
    assert list(zip(batch.ops, batch, strict=True)) == [("UpdateDelete", (2, 2)), ("UpdateInsert", (2, 5))]


@pytest.mark.parametrize("workers", [1, 3])
def test_times_are_delivered_in_order_and_each_change_once(workers: int) -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers)) as conn:
        conn.create_table("t", {"a": "int64"})
        conn.execute("CREATE MATERIALIZED VIEW v AS SELECT a % 5 AS k, count(*) AS n FROM t GROUP BY k")
        subs = [conn.subscribe_stream("t"), conn.subscribe_stream("v")]

        def write(start: int) -> None:
            for idx in range(50):
                conn.insert("t", {"a": start + idx})

        threads = [threading.Thread(target=write, args=(1000 * number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        last = conn.wait()
        conn.shutdown()
        for sub in subs:
            rows: dict[Any, int] = {}
            times = []
            for batch in sub:
                times.append(batch.time)
                assert batch.is_last
                for op, row in zip(batch.ops, batch, strict=True):
                    rows[row] = rows.get(row, 0) + (1 if op.endswith("Insert") else -1)
            assert times == sorted(set(times))
            assert times[-1] <= last
            assert set(rows.values()) <= {0, 1}
        assert {row for row, n in rows.items() if n} == {(k, 40) for k in range(5)}


def test_a_snapshot_and_what_follows_have_no_gap_and_no_overlap(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT a FROM t")
    stop = threading.Event()

    def write() -> None:
        idx = 0
        while not stop.is_set():
            conn.insert("t", {"a": idx})
            idx += 1

    thread = threading.Thread(target=write)
    thread.start()
    subs = [conn.subscribe_stream("v", snapshot=True) for _ in range(20)]
    subs += [conn.subscribe("SELECT a FROM t") for _ in range(5)]
    stop.set()
    thread.join(60)
    expected = sorted(conn.sql("SELECT a FROM t").fetchall())
    conn.shutdown()
    for sub in subs:
        assert sorted(row for batch in sub for row in batch) == expected
