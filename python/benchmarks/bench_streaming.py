"""How fast changes reach a subscriber: rows per second of bulk writes, and the time from a write to its change."""

from __future__ import annotations

import time

from measure import Table, database, percentiles, readings, rows_asked

import laminardb

BATCH = 1000


def received(subscription: laminardb.Subscription | laminardb.StreamSubscription, conn: laminardb.Connection) -> int:
    """Rows that the subscription was given, once all writes are through."""
    conn.wait()
    rows = 0
    while (batch := subscription.try_next()) is not None:
        rows += len(batch)
    return rows


def main() -> None:
    """Runs all cases."""
    rows = rows_asked(__doc__, 100_000)
    columns = readings(rows)
    parts = [
        {name: values[start : start + BATCH] for name, values in columns.items()} for start in range(0, rows, BATCH)
    ]
    table = Table("Streaming (rows: those written; cases end when all changes are taken)")
    views = (
        ("every row", "SELECT * FROM sensors"),
        ("filter", "SELECT * FROM sensors WHERE value > 50"),
        ("group by of 1,000 groups", "SELECT device, count(*) AS n, sum(value) AS total FROM sensors GROUP BY device"),
    )
    for case, query in views:
        with database() as conn:
            subscription = conn.subscribe(query)
            start = time.perf_counter()
            for part in parts:
                conn.insert("sensors", part)
            changes = received(subscription, conn)
            table.add(case, rows, time.perf_counter() - start)
            assert changes > 0
    with database() as conn:
        conn.insert("sensors", columns)
        start = time.perf_counter()
        taken = received(conn.subscribe("SELECT * FROM sensors"), conn)
        table.add("snapshot of a late subscriber", taken, time.perf_counter() - start)
        assert taken == rows

    with database() as conn:
        changed = conn.subscribe("SELECT device, count(*) AS n FROM sensors GROUP BY device", snapshot=False)
        writes = max(1, min(2000, rows // 50))
        times = []
        for row in range(writes):
            start = time.perf_counter()
            conn.insert("sensors", {"ts": row, "device": columns["device"][row], "value": 1.0})
            changed.next()
            times.append(time.perf_counter() - start)
        table.add("one write, one change, in turn", writes, sum(times))
        print(f"from insert() to its change: {percentiles(times)}")


if __name__ == "__main__":
    main()
