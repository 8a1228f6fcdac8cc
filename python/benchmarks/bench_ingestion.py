"""How fast rows come in, by input format. Every case ends when a view over the source holds all rows."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from measure import Columns, Table, database, installed, readings, rows_asked

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


def main() -> None:
    """Runs all cases."""
    rows = rows_asked(__doc__, 100_000)
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
