"""What the benchmarks share: arguments, a clock and a table. Figures are of this run on this machine, nothing more."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import random
import time
from collections.abc import Callable
from typing import Any

import laminardb

Columns = dict[str, list[Any]]


def asked(description: str | None, default: int | None, **others: str) -> argparse.Namespace:
    """The values of `--rows` and of the other options, which are given with their help."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rows", type=int, default=default, help="rows of the largest case (default: %(default)s)")
    for option, text in others.items():
        parser.add_argument(f"--{option}", help=text)
    values = parser.parse_args()
    if values.rows is not None and values.rows < 1:
        parser.error("--rows must be at least 1")
    return values


def rows_asked(description: str | None, default: int) -> int:
    """The value of `--rows`."""
    rows: int = asked(description, default).rows
    return rows


def installed(*libraries: str) -> bool:
    """Can all of these be imported?"""
    return all(importlib.util.find_spec(library) for library in libraries)


def readings(rows: int) -> Columns:
    """Columns of made-up sensor readings, the same at every run."""
    draw = random.Random(1)
    return {
        "ts": list(range(rows)),
        "device": [f"sensor_{draw.randrange(1000)}" for _ in range(rows)],
        "value": [draw.random() * 100 for _ in range(rows)],
    }


def database() -> laminardb.Connection:
    """A new database with an empty source of readings."""
    conn = laminardb.open(":memory:", config=laminardb.LaminarConfig(buffer_size=0))
    conn.execute("CREATE SOURCE sensors (ts BIGINT, device VARCHAR, value DOUBLE)")
    return conn


class Table:
    """Cases with their rows and times, printed as they come."""

    def __init__(self, title: str) -> None:
        print(f"{title} (laminardb {laminardb.__version__}, Python {platform.python_version()})")
        print(f"{'case':<36} {'rows':>10} {'ms':>10} {'rows/s':>14}")

    def add(self, case: str, rows: int, seconds: float) -> None:
        """A line for a case that took `seconds` for `rows` rows."""
        print(f"{case:<36} {rows:>10,} {seconds * 1e3:>10.3f} {rows / max(seconds, 1e-9):>14,.0f}")

    def time(self, case: str, rows: int, run: Callable[[], object], repeat: int = 3) -> None:
        """A line for the fastest of `repeat` runs."""
        times = []
        for _ in range(repeat):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        self.add(case, rows, min(times))

    def skip(self, case: str, needs: str) -> None:
        """A line for a case that cannot run here."""
        print(f"{case:<36} needs {needs}")


def percentiles(seconds: list[float]) -> str:
    """Median, 99th percentile and greatest of some times, in milliseconds."""
    ordered = sorted(seconds)
    middle, late = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"p50 {middle * 1e3:.3f} ms, p99 {late * 1e3:.3f} ms, most {ordered[-1] * 1e3:.3f} ms"
