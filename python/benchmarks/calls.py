"""What single calls cost: `insert` in each form, and `fetchone`. Prints JSON; runs with whatever is called laminardb.

`bench_ingestion.py --rival` runs it twice, with this package and with another, so it keeps to what both have.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from measure import installed, readings

import laminardb

# Calls of one row, of many rows, and first calls, which pay for what is done once.
SINGLES, BULKS, WARM = 1_000, 9, 2
QUERY = "SELECT ts, device, value FROM sensors"


def forms(rows: int) -> list[tuple[str, str, str, Callable[[], Any]]]:
    """Each form: its name, the library it needs, the method and what makes the data."""
    columns = readings(rows)
    dicts = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    return [
        ("list of dicts", "", "insert", lambda: dicts),
        ("columns", "", "insert", lambda: columns),
        ("JSON", "", "insert_json", lambda: json.dumps(dicts)),
        ("CSV", "", "insert_csv", lambda: "\n".join([",".join(columns), *lines]) + "\n"),
        ("pandas", "pandas", "insert", lambda: importlib.import_module("pandas").DataFrame(columns)),
        ("polars", "polars", "insert", lambda: importlib.import_module("polars").DataFrame(columns)),
        ("Arrow", "pyarrow", "insert", lambda: importlib.import_module("pyarrow").table(columns)),
    ]


def started() -> laminardb.Connection:
    """A running database with an empty source of readings."""
    conn = laminardb.open(":memory:")
    conn.execute("CREATE SOURCE sensors (ts BIGINT, device VARCHAR, value DOUBLE)")
    conn.start()
    return conn


def median(calls: int, call: Callable[[int], object]) -> float:
    """The median time of the calls."""
    times = []
    for idx in range(calls):
        start = time.perf_counter()
        call(idx)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def readable(conn: laminardb.Connection) -> str:
    """The number of rows that a query finds, or the error it meets."""
    try:
        return f"{conn.query(QUERY).num_rows:,}"
    except Exception as error:
        return type(error).__name__


def inserts(case: str, rows: int, calls: int, call: Callable[[laminardb.Connection, int], object]) -> dict[str, Any]:
    """The cost of a call that writes `rows` rows, and whether all of them can be read afterwards."""
    figure = {"case": case, "rows": rows, "seconds": None}
    with started() as conn:
        try:
            median(WARM, lambda idx: call(conn, idx))
            seconds = median(calls, lambda idx: call(conn, WARM + idx))
        except Exception as error:
            return {**figure, "read": type(error).__name__}
        written = f"{rows * (WARM + calls):,}"
        found = readable(conn)
        return {**figure, "seconds": seconds, "read": "all" if found == written else f"{found} of {written}"}


def fetches(rows: int) -> dict[str, Any]:
    """The cost of the first row of a result of `rows` rows; each call has a result of its own."""
    with started() as conn:
        conn.insert("sensors", readings(rows))
        results = [conn.query(QUERY) for _ in range(BULKS)]
        seconds = median(BULKS, lambda idx: results[idx].fetchone())
        return {"case": f"fetchone of {rows:,}", "rows": 1, "seconds": seconds, "read": "all"}


def main() -> None:
    """Prints all figures."""
    rows = int(sys.argv[1])
    dicts = forms(SINGLES + WARM)[0][3]()
    cases = [inserts("one dict", 1, SINGLES, lambda conn, idx: conn.insert("sensors", dicts[idx]))]
    for case, library, method, make in forms(rows):
        if library and not installed(library):
            continue
        given = make()

        def call(conn: laminardb.Connection, idx: int, method: str = method, data: Any = given) -> None:
            getattr(conn, method)("sensors", data)

        cases.append(inserts(case, rows, BULKS, call))
    # Ten times the rows: a cost that grows with them is seen.
    cases += [fetches(rows), fetches(10 * rows)]
    print(json.dumps({"version": getattr(laminardb, "__version__", "?"), "cases": cases}))


if __name__ == "__main__":
    main()
