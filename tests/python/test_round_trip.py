"""Rows of every column type, in by every form of insert and out by every way of reading: they are the same rows.

The values here are Python's; those that Python has not are in `test_round_trip_arrow.py`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from collections.abc import Callable
from typing import Any

import laminardb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import cases
from values import COLUMNS, Row, nan_is_null, of_pandas, plain

SCHEMA = pa.schema([(name, data_type) for name, (data_type, _) in COLUMNS.items()])
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values) in COLUMNS.items()}), min_size=1, max_size=4
)
Rows = list[tuple[Any, ...]]


def json_of(value: Any, ascii_only: bool = True) -> str:
    """Written so that nothing is lost on the way: numbers by their own digits."""
    if isinstance(value, dict):
        members = (f"{json_of(key)}: {json_of(item, ascii_only)}" for key, item in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_of(item, ascii_only) for item in value) + "]"
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (dt.date, dt.time)):
        return f'"{value.isoformat()}"'
    return json.dumps(value, ensure_ascii=ascii_only)


def csv_of(rows: list[Row], newline: str) -> str:
    def field(value: Any) -> str:
        if value is None:
            return ""
        text = value if isinstance(value, str) else str(value).lower()
        if isinstance(value, (list, dict)):
            text = json_of(value)
        elif isinstance(value, (dt.date, dt.time)):
            text = value.isoformat()
        if text == "" or any(char in text for char in ',"\r\n'):
            return '"{}"'.format(text.replace('"', '""'))
        return text

    lines = [",".join(COLUMNS), *(",".join(field(row[name]) for name in COLUMNS) for row in rows)]
    return newline.join(lines) + newline


class Stream:
    """A table that shows nothing but its Arrow stream."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Array:
    """A batch that shows nothing but its Arrow array."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self.batch.__arrow_c_array__(requested_schema)


def arrow(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def batch(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


def columns(rows: list[Row]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in COLUMNS}


def arrow_columns(rows: list[Row]) -> dict[str, pa.ChunkedArray]:
    """Arrow columns in two chunks."""
    halves = pa.concat_tables([arrow(rows[:1]), arrow(rows[1:])])
    return dict(zip(COLUMNS, halves.columns, strict=True))


def result(rows: list[Row]) -> laminardb.QueryResult:
    with laminardb.open(":memory:") as other:
        other.create_table("t", SCHEMA)
        other.insert("t", rows)
        return other.sql("SELECT * FROM t")


# What `insert`, `upsert`, `delete` and writers take.
DATA: dict[str, Callable[[list[Row]], Any]] = {
    "list of dicts": lambda rows: rows,
    "columnar dict": columns,
    "columnar dict of Arrow": arrow_columns,
    "columnar dict of pandas": lambda rows: {
        name: pd.Series(values, dtype=object) for name, values in columns(rows).items()
    },
    "columnar dict of polars": lambda rows: pl.from_arrow(arrow(rows)).to_dict(),
    "pandas objects": lambda rows: pd.DataFrame(columns(rows), dtype=object),
    "pandas of Arrow": lambda rows: arrow(rows).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda rows: pl.from_arrow(arrow(rows)),
    "Table": arrow,
    "RecordBatch": batch,
    "RecordBatchReader": lambda rows: arrow(rows).to_reader(max_chunksize=2),
    "Arrow stream": lambda rows: Stream(arrow(rows)),
    "Arrow array": lambda rows: Array(batch(rows)),
    "QueryResult": result,
}


def each_alone(conn: laminardb.Connection, rows: list[Row]) -> int:
    # Columnar, as lists are in it, unless another value is none; so rows go in lists of one.
    return sum(conn.insert("t", [row]) for row in rows)


def by_writer(conn: laminardb.Connection, rows: list[Row]) -> int:
    with conn.writer("t") as writer:
        writer.insert(rows)
    return len(rows)


FORMS: dict[str, Callable[[laminardb.Connection, list[Row]], int]] = {
    **{form: lambda conn, rows, made=made: conn.insert("t", made(rows)) for form, made in DATA.items()},
    "one dict": each_alone,
    "writer": by_writer,
    "JSON array": lambda conn, rows: conn.insert_json("t", json_of(rows)),
    "JSON lines": lambda conn, rows: conn.insert_json("t", "\n".join(json_of(row, False) for row in rows)),
    "CSV": lambda conn, rows: conn.insert_csv("t", csv_of(rows, "\n")),
    "CSV with CRLF": lambda conn, rows: conn.insert_csv("t", csv_of(rows, "\r\n")),
}


def carried(form: str, rows: list[Row]) -> list[Row]:
    """The rows with NULL for what the form has no way to say."""

    def cannot(value: Any) -> bool:
        if form.startswith(("JSON", "CSV")) and isinstance(value, bytes):
            return True
        if not isinstance(value, float):
            return False
        # A NaN of pandas is NULL, which is another test's matter.
        return ("pandas" in form or form.startswith("JSON")) and (
            math.isnan(value) or (form.startswith("JSON") and math.isinf(value))
        )

    return [{name: None if cannot(value) else value for name, value in row.items()} for row in rows]


def of_dicts(made: dict[str, list[Any]]) -> Rows:
    return list(zip(*made.values(), strict=True))


def of_arrow(table: pa.Table) -> Rows:
    return [tuple(column[row].as_py() for column in table.columns) for row in range(table.num_rows)]


def of_frame(frame: pd.DataFrame) -> Rows:
    made = [[of_pandas(value, field.type) for value in frame[field.name]] for field in SCHEMA]
    return list(zip(*made, strict=True))


# Each way out of a result, as rows of Python values.
OUT: dict[str, Callable[[laminardb.QueryResult], Rows]] = {
    "fetchall": lambda r: r.fetchall(),
    "fetchmany": lambda r: r.fetchmany(100),
    "fetchone": lambda r: [r.fetchone(), *r.fetchall()[1:]],  # type: ignore[list-item]
    "iteration": list,
    "to_dicts": lambda r: of_dicts(r.to_dicts()),
    "to_arrow": lambda r: of_arrow(r.to_arrow()),
    "arrow": lambda r: of_arrow(r.arrow()),
    "capsule": lambda r: of_arrow(pa.RecordBatchReader.from_stream(r).read_all()),
    "to_pandas": lambda r: of_frame(r.to_pandas()),
    "df": lambda r: of_frame(r.df()),
    "to_polars": lambda r: r.to_polars().rows(),
    "pl": lambda r: r.pl().rows(),
    "pl lazy": lambda r: r.pl(lazy=True).collect().rows(),
    "to_df": lambda r: r.to_df().rows(),
}


def check_out(found: laminardb.QueryResult, rows: list[Row], note: str) -> None:
    expected = plain([[row[name] for name in COLUMNS] for row in rows])
    for way, read in OUT.items():
        wanted = expected
        if way in ("to_pandas", "df"):
            wanted = plain([[nan_is_null(row[name]) for name in COLUMNS] for row in rows])
        assert plain(read(found)) == wanted, (note, way)
    assert found.to_arrow().schema.types == SCHEMA.types


@cases(25)
@given(data=ROWS)
def test_every_form_and_type(data: list[Row]) -> None:
    with laminardb.open(":memory:") as conn:
        for form, write in FORMS.items():
            rows = carried(form, data)
            conn.create_table("t", SCHEMA)
            assert write(conn, rows) == len(rows), form
            check_out(conn.sql("SELECT * FROM t"), rows, form)
            conn.execute("DROP SOURCE t")


# Relations that keep the rows each in its own way, and the queries that read them.
KEPT = {
    "SOURCE": ("CREATE SOURCE t (n BIGINT, {columns})", "SELECT {names} FROM t ORDER BY n"),
    "TABLE": ("CREATE TABLE t (n BIGINT, {columns})", "SELECT {names} FROM t ORDER BY n"),
    "keyed TABLE": ("CREATE TABLE t (n BIGINT PRIMARY KEY, {columns})", "SELECT {names} FROM t ORDER BY n"),
    "view": (
        "CREATE SOURCE t (n BIGINT, {columns}); CREATE MATERIALIZED VIEW v AS SELECT * FROM t WHERE n >= 0",
        "SELECT {names} FROM v ORDER BY n",
    ),
}
SQL_TYPES = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INT",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float32": "REAL",
    "float64": "DOUBLE",
    "decimal": "DECIMAL(10,3)",
    "wide": "DECIMAL(38,9)",
    "string": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "ts_s": "TIMESTAMP(0)",
    "ts_ms": "TIMESTAMP(3)",
    "ts_us": "TIMESTAMP",
    "ts_ns": "TIMESTAMP(9)",
    "tz": "TIMESTAMPTZ",
    "list": "BIGINT[]",
    "struct": "STRUCT(a BIGINT, b VARCHAR[])",
}
DEFINED = ", ".join(f'"{name}" {SQL_TYPES[name]}' for name in COLUMNS)
NAMES = ", ".join(f'"{name}"' for name in COLUMNS)


@cases(25)
@given(data=ROWS)
def test_every_relation_keeps_every_type(data: list[Row]) -> None:
    numbered = [{"n": n, **row} for n, row in enumerate(data)]
    for kind, (define, query) in KEPT.items():
        with laminardb.open(":memory:") as conn:
            conn.execute(define.format(columns=DEFINED))
            relation = "v" if kind == "view" else "t"
            changes = conn.subscribe(f"SELECT * FROM {relation}")
            assert conn.insert("t", numbered) == len(numbered)
            conn.wait()
            query = query.format(names=NAMES)
            found = conn.sql(query)
            assert found.arrow().schema.types == SCHEMA.types, kind
            check_out(found, data, kind)
            # As a subscription delivers them, now and to a late subscriber, and as a stream does.
            expected = [(n, *(row[name] for name in COLUMNS)) for n, row in enumerate(data)]
            for batches in ([changes.next()], list(conn.stream(f"SELECT * FROM {relation}"))):
                rows = [row for part in batches for row in part.fetchall()]
                assert plain(sorted(rows, key=lambda row: row[0])) == plain(expected), kind
            late = conn.subscribe(f"SELECT * FROM {relation}").next()
            assert late is not None
            assert plain(sorted(late, key=lambda row: row[0])) == plain(expected), kind


@cases(15)
@given(data=ROWS)
def test_what_was_inserted_is_deleted_in_every_form(data: list[Row]) -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute(f"CREATE TABLE t ({DEFINED})")
        for form, made in DATA.items():
            rows = carried(form, data)
            conn.insert("t", rows)
            assert conn.delete("t", made(rows)) == len(rows), form
            assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,), form


def test_integers_beside_null_are_exact_in_pandas(conn: laminardb.Connection) -> None:
    big = 2**53 + 1
    columns = [
        ("i", pa.int64(), [big, None]),
        ("u", pa.uint64(), [2**64 - 1, None]),
        ("l", pa.list_(pa.int64()), [[big, None], None]),
        ("s", pa.struct([("a", pa.int64())]), [{"a": big}, {"a": None}]),
        ("small", pa.int64(), [1, None]),
        ("whole", pa.int64(), [big, -big]),
    ]
    conn.create_table("t", pa.schema([(name, data_type) for name, data_type, _ in columns]))
    conn.insert("t", {name: values for name, _, values in columns})
    frame = conn.sql("SELECT * FROM t").df()
    for name, data_type, values in columns:
        assert [of_pandas(value, data_type) for value in frame[name]] == values
    # Where floats are exact they stay, as everywhere in pandas.
    assert [str(frame[name].dtype) for name in ("i", "u", "small", "whole")] == ["Int64", "UInt64", "float64", "int64"]


def test_intervals_and_durations_leave_or_are_refused(conn: laminardb.Connection) -> None:
    lasting = conn.sql("SELECT TIMESTAMP '2024-01-02 00:00:01' - TIMESTAMP '2024-01-01 00:00:00' AS v")
    day = dt.timedelta(days=1, seconds=1)
    assert lasting.fetchall() == lasting.pl().rows() == of_arrow(lasting.arrow()) == [(day,)]
    assert list(lasting.df()["v"]) == [day]
    months = conn.sql("SELECT INTERVAL '14 months' AS v, [INTERVAL '1 day'] AS l")
    assert months.fetchall() == [((14, 0, 0), [(0, 1, 0)])]
    assert [tuple(value) for value in months.arrow()["v"].to_pylist()] == [(14, 0, 0)]
    for read in (months.pl, months.to_polars, months.to_df, lambda: months.pl(lazy=True)):
        with pytest.raises(laminardb.QueryError, match="'v'") as error:
            read()
        assert error.value.code == laminardb.codes.QUERY_FAILED


@cases(30)
@given(data=ROWS)
def test_images_keep_rows_of_every_type(tmp_path_factory: pytest.TempPathFactory, data: list[Row]) -> None:
    config = laminardb.LaminarConfig(storage_dir=tmp_path_factory.mktemp("types"), checkpoint_interval_ms=0)
    table = pa.Table.from_pylist(data, schema=SCHEMA)
    with laminardb.open(":memory:", config=config) as conn:
        conn.create_table("t", SCHEMA)
        conn.insert("t", table)
        before = conn.sql("SELECT * FROM t")
        conn.checkpoint()
        conn.insert("t", table)
        conn.restore()
        after = conn.sql("SELECT * FROM t")
    assert after.schema == before.schema
    assert plain(after.to_dicts()) == plain(before.to_dicts())
