"""How fast rows come in, by input format. Every case ends when a view over the source holds all rows.

With `--rival PYTHON` it compares instead: what single calls cost with this package and with the one that this other
interpreter calls laminardb, in one run. `--rows` is then the number of rows of a call of insert (10,000 unless given).
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Columns, Table, asked, database, installed, readings

import laminardb


def forms(columns: Columns) -> list[tuple[str, str, Callable[[], Any]]]:
    """Each bulk form: its name, the library it needs, and what makes the data."""
    names = list(columns)
    dicts = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def made(library: str, kind: str) -> Callable[[], Any]:
        return lambda: getattr(importlib.import_module(library), kind)(columns)

    return [
        ("list of dicts", "", lambda: dicts),
        ("columns (dict of lists)", "", lambda: columns),
        ("pandas.DataFrame", "pandas", made("pandas", "DataFrame")),
        ("polars.DataFrame", "polars", made("polars", "DataFrame")),
        ("pyarrow.Table", "pyarrow", made("pyarrow", "table")),
        ("pyarrow.RecordBatch", "pyarrow", made("pyarrow", "record_batch")),
    ]


def watched() -> laminardb.Connection:
    """A source with a view over it."""
    conn = database()
    conn.execute("CREATE MATERIALIZED VIEW counts AS SELECT device, count(*) AS n FROM sensors GROUP BY device")
    return conn


def bulk(table: Table, case: str, rows: int, method: str, data: Any) -> None:
    """One call of `method` with all rows, with a view over them."""

    def run() -> None:
        with watched() as conn:
            getattr(conn, method)("sensors", data)
            conn.wait()

    table.time(case, rows, run)


def calls(python: str, rows: int) -> dict[str, Any]:
    """The figures of `calls.py` with an interpreter."""
    command = [python, str(Path(__file__).with_name("calls.py")), str(rows)]
    # What finds this package must not hide the other one.
    hidden = () if python == sys.executable else ("PYTHONPATH",)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=1_800)
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cost(figure: dict[str, Any]) -> str:
    """Microseconds of a call, and rows a second."""
    seconds = figure["seconds"]
    if seconds is None:
        return f"{'-':>12}{'-':>14}"
    return f"{seconds * 1e6:>12,.1f}{figure['rows'] / seconds:>14,.0f}"


def compare(python: str, rows: int) -> None:
    """Prints what single calls cost with this package and with its rival, and what can be read of what was written."""
    ours, theirs = calls(sys.executable, rows), calls(python, rows)
    print(f"Medians of single calls: laminardb {ours['version']}, and its rival {theirs['version']} in {python}")
    print(f"{'':<30}{'ours':>18}{'rival':>26}")
    print(f"{'case':<20}{'rows':>8}{'us':>12}{'rows/s':>14}{'us':>12}{'rows/s':>14}  readable of the rival's rows")
    others = {figure["case"]: figure for figure in theirs["cases"]}
    for mine in ours["cases"]:
        if mine["read"] != "all":
            raise SystemExit(f"{mine['case']}: {mine['read']}")
        other = others.get(mine["case"], {"seconds": None, "read": "library missing"})
        print(f"{mine['case']:<20}{mine['rows']:>8,}{cost(mine)}{cost(other)}  {other['read']}")


def main() -> None:
    """Runs all cases."""
    options = asked(__doc__, None, rival="an interpreter with another laminardb to compare with")
    if options.rival:
        compare(options.rival, options.rows or 10_000)
        return
    rows = options.rows or 100_000
    columns = readings(rows)
    table = Table("Ingestion")
    for case, library, make in forms(columns):
        if library and not installed(library):
            table.skip(case, library)
            continue
        bulk(table, case, rows, "insert", make())
    dicts = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    bulk(table, "insert_json (array of objects)", rows, "insert_json", json.dumps(dicts))
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    bulk(table, "insert_csv", rows, "insert_csv", "\n".join([",".join(columns), *lines]) + "\n")
    few = max(1, rows // 50)

    def one_by_one() -> None:
        with watched() as conn:
            for row in dicts[:few]:
                conn.insert("sensors", row)
            conn.wait()

    table.time("one row per insert (dict)", few, one_by_one)

    def by_writer() -> None:
        with watched() as conn, conn.writer("sensors") as writer:
            for row in dicts[:few]:
                writer.insert(row)
            writer.flush()

    table.time("one row per insert of a writer", few, by_writer)

    fewer = max(1, few // 20)

    def by_sql() -> None:
        with watched() as conn:
            for row in dicts[:fewer]:
                conn.execute("INSERT INTO sensors VALUES ($ts, $device, $value)", row)
            conn.wait()

    table.time("one row per SQL INSERT", fewer, by_sql, repeat=1)


if __name__ == "__main__":
    main()
