"""Rows of every column type, in by every form of insert and out by every way of reading: they are the same rows."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

UTC = dt.UTC
Row = dict[str, Any]


def integers(bits: int, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.sampled_from([low, high, 0]) | st.integers(low, high)


def decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    bound = 10**precision - 1
    return st.integers(-bound, bound).map(lambda digits: decimal.Decimal(digits).scaleb(-scale, decimal.Context(50)))


def datetimes(low: int, high: int) -> st.SearchStrategy[dt.datetime]:
    return st.datetimes(dt.datetime(low, 1, 1), dt.datetime(high, 12, 31))


ZONES = st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
STRUCT = pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))])
# Text with what CSV and JSON have to quote, more often than chance would have it.
TEXT = (
    st.text()
    | st.text("\",\r\n\\ '{}[]:aé\0\U0001f600", max_size=8)
    | st.sampled_from(["", "null", "NaN", "1", "\ufeff"])
)

COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bool": (pa.bool_(), st.booleans()),
    **{f"int{bits}": (getattr(pa, f"int{bits}")(), integers(bits)) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (getattr(pa, f"uint{bits}")(), integers(bits, signed=False)) for bits in (8, 16, 32, 64)},
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), st.floats()),
    "decimal": (pa.decimal128(10, 3), decimals(10, 3)),
    "wide": (pa.decimal128(38, 9), decimals(38, 9)),
    "string": (pa.string(), TEXT),
    "binary": (pa.binary(), st.binary()),
    "date": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "ts_s": (pa.timestamp("s"), datetimes(1, 9999).map(lambda value: value.replace(microsecond=0))),
    "ts_ms": (pa.timestamp("ms"), datetimes(1, 9999).map(lambda value: value.replace(microsecond=7000))),
    "ts_us": (pa.timestamp("us"), datetimes(1, 9999)),
    "ts_ns": (pa.timestamp("ns"), datetimes(1678, 2261)),
    "tz": (pa.timestamp("us", tz="UTC"), st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=ZONES)),
    "list": (pa.list_(pa.int64()), st.lists(st.none() | integers(64), max_size=3)),
    "struct": (
        STRUCT,
        st.fixed_dictionaries({"a": st.none() | integers(64), "b": st.none() | st.lists(TEXT, max_size=2)}),
    ),
}
SCHEMA = pa.schema([(name, data_type) for name, (data_type, _) in COLUMNS.items()])
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values) in COLUMNS.items()}), min_size=1, max_size=4
)


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


class Capsule:
    """A table that shows nothing but its Arrow stream."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def arrow(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def columns(rows: list[Row]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in COLUMNS}


def insert(data: Callable[[list[Row]], Any]) -> Callable[[laminardb.Connection, list[Row]], int]:
    return lambda conn, rows: conn.insert("t", data(rows))


def insert_json(text: Callable[[list[Row]], str]) -> Callable[[laminardb.Connection, list[Row]], int]:
    return lambda conn, rows: conn.insert_json("t", text(rows))


def insert_result(conn: laminardb.Connection, rows: list[Row]) -> int:
    conn.create_table("other", SCHEMA)
    conn.insert("other", rows)
    written = conn.insert("t", conn.sql("SELECT * FROM other"))
    conn.execute("DROP SOURCE other")
    return written


FORMS: dict[str, Callable[[laminardb.Connection, list[Row]], int]] = {
    "list of dicts": insert(lambda rows: rows),
    "columnar dict": insert(columns),
    "pyarrow": insert(arrow),
    "record batches": insert(lambda rows: arrow(rows).to_reader(max_chunksize=2)),
    "pandas objects": insert(lambda rows: pd.DataFrame(columns(rows), dtype=object)),
    "pandas of arrow": insert(lambda rows: arrow(rows).to_pandas(types_mapper=pd.ArrowDtype)),
    "polars": insert(lambda rows: pl.from_arrow(arrow(rows))),
    "capsule": insert(lambda rows: Capsule(arrow(rows))),
    "result": insert_result,
    "JSON array": insert_json(json_of),
    "JSON lines": insert_json(lambda rows: "\n".join(json_of(row, ascii_only=False) for row in rows)),
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
        return form.startswith(("JSON", "pandas")) and (
            math.isnan(value) or (form.startswith("JSON") and math.isinf(value))
        )

    return [{name: None if cannot(value) else value for name, value in row.items()} for row in rows]


def plain(value: Any) -> Any:
    """Comparable: NaN equal to itself, the zeros apart, one instant in one zone."""
    if isinstance(value, float):
        return ("float", repr(value))
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, pd.Timestamp):
        assert value.nanosecond == 0
        value = value.to_pydatetime()
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    return (type(value).__name__, value)


@settings(max_examples=50, deadline=None)
@given(data=ROWS)
def test_every_form_and_type(data: list[Row]) -> None:
    with laminardb.open(":memory:") as conn:
        for form, write in FORMS.items():
            rows = carried(form, data)
            conn.create_table("t", SCHEMA)
            assert write(conn, rows) == len(rows), form
            result = conn.sql("SELECT * FROM t")
            assert plain(result.to_dicts()) == plain(columns(rows)), form
            assert plain(result.fetchall()) == plain([[row[name] for name in COLUMNS] for row in rows]), form
            table = result.to_arrow()
            assert table.schema.types == SCHEMA.types
            assert plain(table.to_pylist()) == plain(rows), form
            conn.execute("DROP SOURCE t")
