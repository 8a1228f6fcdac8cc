"""How fast queries answer, and how fast an answer becomes Python, pandas, polars or Arrow."""

from __future__ import annotations

from collections.abc import Callable

from measure import Table, database, installed, readings, rows_asked

QUERIES = (
    ("scan and filter", "SELECT * FROM sensors WHERE value > 50"),
    ("group by", "SELECT device, count(*) AS n, avg(value) AS mean FROM sensors GROUP BY device"),
    ("order by", "SELECT * FROM sensors ORDER BY value, ts"),
    ("top 10", "SELECT * FROM sensors ORDER BY value DESC LIMIT 10"),
    ("read a maintained view", "SELECT * FROM means"),
)


def main() -> None:
    """Runs all cases."""
    rows = rows_asked(__doc__, 100_000)
    with database() as conn:
        conn.insert("sensors", readings(rows))
        conn.execute("CREATE MATERIALIZED VIEW means AS SELECT device, avg(value) AS mean FROM sensors GROUP BY device")
        conn.wait()
        table = Table("Queries (rows: those of the source)")
        for case, query in QUERIES:
            table.time(case, rows, lambda query=query: conn.sql(query))  # type: ignore[misc]
        table.time("stream", rows, lambda: sum(len(batch) for batch in conn.stream("SELECT * FROM sensors")))
        result = conn.sql("SELECT * FROM sensors")
        # Its time does not grow with the result: only one row is converted.
        table.time(f"fetchone of {rows:,} rows", 1, result.fetchone)
        table.time(f"fetchmany(100) of {rows:,} rows", min(100, rows), lambda: result.fetchmany(100))
        everything: list[tuple[str, tuple[str, ...], Callable[[], object]]] = [
            ("fetchall", (), result.fetchall),
            ("iterate over rows", (), lambda: sum(1 for _ in result)),
            ("to_dicts", (), result.to_dicts),
            ("arrow", ("pyarrow",), result.arrow),
            ("df", ("pandas", "pyarrow"), result.df),
            ("pl", ("polars",), result.pl),
        ]
        for case, libraries, convert in everything:
            if installed(*libraries):
                table.time(case, rows, convert)
            else:
                table.skip(case, ", ".join(libraries))


if __name__ == "__main__":
    main()
