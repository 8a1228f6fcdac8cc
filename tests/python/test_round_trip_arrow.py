"""Values that Arrow has and Python may not have, in by every form that carries Arrow data and out again: the same bits.

Python values of them are exact or refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import laminardb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laminardb import codes

from conftest import cases
from values import decimals, integers

DAY = 86_400_000_000
WORDS = st.text(max_size=6)

# Each column's type, the type that holds its raw values, and these.
RAW: dict[str, tuple[pa.DataType, pa.DataType, st.SearchStrategy[Any]]] = {
    "int64": (pa.int64(), pa.int64(), integers(64)),
    "uint64": (pa.uint64(), pa.uint64(), integers(64, signed=False)),
    "date": (pa.date32(), pa.int32(), integers(32)),
    "time": (pa.time64("us"), pa.int64(), st.integers(0, DAY - 1)),
    **{f"ts_{unit}": (pa.timestamp(unit), pa.int64(), integers(64)) for unit in ("s", "ms", "us", "ns")},
    **{f"tz_{unit}": (pa.timestamp(unit, tz="UTC"), pa.int64(), integers(64)) for unit in ("s", "ms", "us", "ns")},
    "decimal": (pa.decimal128(38, 37), pa.decimal128(38, 37), decimals(38, 37)),
    "whole": (pa.decimal128(38, 0), pa.decimal128(38, 0), decimals(38, 0)),
    "string": (pa.string(), pa.string(), WORDS),
    "binary": (pa.binary(), pa.binary(), st.binary(max_size=6)),
    "bits32": (pa.float32(), pa.uint32(), integers(32, signed=False)),
    "bits64": (pa.float64(), pa.uint64(), integers(64, signed=False)),
}
COLUMNS = st.integers(1, 4).flatmap(
    lambda rows: st.fixed_dictionaries(
        {name: st.lists(st.none() | values, min_size=rows, max_size=rows) for name, (_, _, values) in RAW.items()}
    )
)


def array(name: str, values: list[Any]) -> pa.Array:
    data_type, raw, _ = RAW[name]
    return pa.array(values, raw).view(data_type)


def table(columns: dict[str, list[Any]]) -> pa.Table:
    return pa.table({name: array(name, columns[name]) for name in RAW})


SCHEMA = table({name: [] for name in RAW}).schema
# Columns of lists and structs with the same values inside.
NESTED = pa.schema(
    [field for name, (kind, _, _) in RAW.items() for field in (
        pa.field(f"l_{name}", pa.list_(kind)), pa.field(f"s_{name}", pa.struct([("v", kind)])),
    )]
)  # fmt: skip


def nested(rows: pa.Table) -> pa.Table:
    made: list[pa.Array] = []
    for column in rows.columns:
        values = column.combine_chunks()
        offsets = pa.array([*range(len(values)), len(values)], pa.int32())
        made += [pa.ListArray.from_arrays(offsets, values), pa.StructArray.from_arrays([values], ["v"])]
    return pa.table(made, NESTED)


def bits(column: pa.ChunkedArray) -> list[Any]:
    """The raw values of a column, or of those inside it."""
    kind = column.type
    if pa.types.is_list(kind):
        return [None if value is None else bits(pa.chunked_array([value.values])) for value in column]
    if pa.types.is_struct(kind):
        return bits(pa.compute.struct_field(column, 0))
    if pa.types.is_floating(kind):
        size = kind.bit_width // 8
        # NaN stays this very NaN.
        raw = [np.frombuffer(chunk.buffers()[1], f"u{size}")[chunk.offset :][: len(chunk)] for chunk in column.chunks]
        values = [int(value) for part in raw for value in part]
        return [value if there.as_py() else None for value, there in zip(values, column.is_valid(), strict=True)]
    if pa.types.is_temporal(kind):
        return column.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64()).to_pylist()
    return column.to_pylist()


def same(found: pa.Table, given: pa.Table) -> None:
    assert found.schema.types == given.schema.types
    for name in given.column_names:
        assert bits(found[name]) == bits(given[name]), name


class Shown:
    """An object with one of the two capsules and nothing else."""

    def __init__(self, of: Any, method: str) -> None:
        setattr(type(self), method, lambda self, requested_schema=None: getattr(of, method)(requested_schema))


def shown(of: Any, method: str) -> Any:
    return type("Shown", (Shown,), {})(of, method)


def wider(rows: pa.Table) -> pa.Table:
    """The same values in the other encodings that Arrow has for them."""
    encoded = {
        "string": [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
        "binary": [pa.large_binary(), pa.binary_view()],
    }
    columns = {}
    for name in rows.column_names:
        kinds = encoded.get(name, [])
        for kind in kinds[: 1 + rows.num_rows % 3]:
            columns[name] = rows[name].cast(kind)
        columns.setdefault(name, rows[name])
    return pa.table(columns)


def query_result(rows: pa.Table) -> laminardb.QueryResult:
    with laminardb.open(":memory:") as other:
        other.create_table("t", rows.schema)
        other.insert("t", rows)
        return other.sql("SELECT * FROM t")


FORMS: dict[str, Callable[[pa.Table], Any]] = {
    "Table": lambda rows: rows,
    "chunks": lambda rows: pa.concat_tables([rows.slice(0, 1), rows.slice(1)]),
    "slice": lambda rows: pa.concat_tables([rows, rows]).combine_chunks().slice(rows.num_rows),
    "RecordBatch": lambda rows: rows.combine_chunks().to_batches()[0],
    "RecordBatchReader": lambda rows: rows.to_reader(max_chunksize=2),
    "stream": lambda rows: shown(rows, "__arrow_c_stream__"),
    "array": lambda rows: shown(rows.combine_chunks().to_batches()[0], "__arrow_c_array__"),
    "columns": lambda rows: dict(zip(rows.column_names, rows.columns, strict=True)),
    "other encodings": wider,
    "QueryResult": query_result,
}


@cases(30)
@given(columns=COLUMNS)
def test_every_bit_is_kept(columns: dict[str, list[Any]]) -> None:
    with laminardb.open(":memory:") as conn:
        for flat in (table(columns), nested(table(columns))):
            for form, made in FORMS.items():
                conn.create_table("t", flat.schema)
                assert conn.insert("t", made(flat)) == flat.num_rows, form
                found = conn.sql("SELECT * FROM t")
                for read in (found.to_arrow, found.arrow, lambda: pa.table(found), lambda: reader(found).read_all()):  # noqa: B023
                    same(read(), flat)
                conn.execute("DROP SOURCE t")


def reader(found: laminardb.QueryResult) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_stream(found)


# Of each way to Python values: its rows' columns.
VALUES: dict[str, Callable[[laminardb.QueryResult], list[Any]]] = {
    "fetchall": lambda r: [row[0] for row in r.fetchall()],
    "fetchmany": lambda r: [row[0] for row in r.fetchmany(9)],
    "iteration": lambda r: [row[0] for row in r],
    "to_dicts": lambda r: r.to_dicts()["v"],
}
EPOCH = dt.datetime(1970, 1, 1)


def instant(raw: int, unit: str) -> dt.datetime | None:
    """The datetime of a count of units; None when Python has none."""
    nanos = raw * {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    try:
        return None if nanos % 1000 else EPOCH + dt.timedelta(microseconds=nanos // 1000)
    except OverflowError:
        return None


@cases(60)
@given(
    unit=st.sampled_from(["s", "ms", "us", "ns"]), raw=integers(64) | st.integers(-(2**40), 2**40), zoned=st.booleans()
)
def test_instants_are_exact_in_python_or_refused(unit: str, raw: int, zoned: bool) -> None:
    kind = pa.timestamp(unit, tz="UTC" if zoned else None)
    expected = instant(raw, unit)
    if expected is not None and zoned:
        expected = expected.replace(tzinfo=dt.UTC)
    read_or_refused(pa.array([raw], pa.int64()).view(kind), expected)


@cases(60)
@given(raw=integers(32) | st.integers(-800_000, 3_000_000))
def test_dates_are_exact_in_python_or_refused(raw: int) -> None:
    ordinal = raw + dt.date(1970, 1, 1).toordinal()
    expected = dt.date.fromordinal(ordinal) if 1 <= ordinal <= dt.date.max.toordinal() else None
    read_or_refused(pa.array([raw], pa.int32()).view(pa.date32()), expected)


def read_or_refused(values: pa.Array, expected: dt.date | None) -> None:
    with laminardb.open(":memory:") as conn:
        conn.create_table("t", pa.schema([("v", values.type)]))
        conn.insert("t", pa.table({"v": values}))
        found = conn.sql("SELECT v FROM t")
        for way, read in VALUES.items():
            if expected is None:
                with pytest.raises(laminardb.QueryError) as error:
                    read(found)
                assert error.value.code == codes.QUERY_FAILED
            else:
                assert (way, read(found)) == (way, [expected])
        same(found.arrow(), pa.table({"v": values}))


@cases(30)
@given(columns=COLUMNS)
def test_polars_keeps_every_bit_or_refuses(columns: dict[str, list[Any]]) -> None:
    with laminardb.open(":memory:") as conn:
        conn.create_table("t", SCHEMA)
        conn.insert("t", table(columns))
        seconds = [value for name in ("ts_s", "tz_s") for value in columns[name] if value is not None]
        found = conn.sql("SELECT * FROM t")
        # polars has no seconds.
        if any(not -(2**63) <= value * 1000 < 2**63 for value in seconds):
            with pytest.raises(laminardb.QueryError) as error:
                found.pl()
            assert error.value.code == codes.QUERY_FAILED
            found = conn.sql(f"SELECT {', '.join(name for name in RAW if not name.endswith('_s'))} FROM t")
        frame = found.pl()
        for name in frame.columns:
            back = frame[name].to_arrow()
            wanted = array(name, columns[name])
            if name.endswith("_s"):
                wanted = wanted.cast(pa.timestamp("ms", wanted.type.tz))
            if name == "time":
                # Nanoseconds there.
                assert [
                    None if value is None else value // 1000 for value in bits(pa.chunked_array([back]))
                ] == columns[name]
            else:
                assert bits(pa.chunked_array([back.cast(wanted.type)])) == bits(pa.chunked_array([wanted])), name
        # And back in.
        if len(frame.columns) == len(RAW):
            conn.create_table("again", SCHEMA)
            assert conn.insert("again", frame) == len(frame)
            same(conn.sql("SELECT * FROM again").arrow(), table(columns))


@cases(60)
@given(unit=st.sampled_from(["s", "ms", "us", "ns"]), raw=st.none() | integers(64))
def test_pandas_keeps_every_instant_or_refuses(unit: str, raw: int | None) -> None:
    values = pa.array([raw, 0], pa.int64()).view(pa.timestamp(unit))
    with laminardb.open(":memory:") as conn:
        conn.create_table("t", pa.schema([("v", values.type)]))
        conn.insert("t", pa.table({"v": values}))
        found = conn.sql("SELECT v FROM t")
        if raw == -(2**63):
            # The value that pandas takes for none.
            with pytest.raises(laminardb.QueryError) as error:
                found.df()
            assert error.value.code == codes.QUERY_FAILED
            return
        frame = found.df()
        assert frame["v"].to_numpy().view("int64").tolist() == [-(2**63) if raw is None else raw, 0]
        assert frame["v"].dtype == np.dtype(f"M8[{unit}]")
        assert conn.insert("t", frame) == 2
        assert bits(conn.sql("SELECT v FROM t").arrow()["v"]) == [raw, 0] * 2


def test_a_date_that_pandas_has_not_is_refused(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"v": "date"})
    conn.insert("t", pa.table({"v": pa.array([2**31 - 1], pa.int32()).view(pa.date32())}))
    for read in (conn.sql("SELECT v FROM t").df, conn.sql("SELECT v FROM t").to_pandas):
        with pytest.raises(laminardb.QueryError, match="pandas") as error:
            read()
        assert error.value.code == codes.QUERY_FAILED


def broken(kind: pa.DataType, offsets: list[int], text: bytes) -> pa.Array:
    width = np.int64 if kind in (pa.large_string(), pa.large_binary()) else np.int32
    buffers = [None, pa.py_buffer(np.array(offsets, width)), pa.py_buffer(text)]
    return pa.Array.from_buffers(kind, len(offsets) - 1, buffers)


def raw_decimal(digits: list[int], precision: int, scale: int) -> pa.Array:
    text = b"".join(value.to_bytes(16, "little", signed=True) for value in digits)
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(digits), [None, pa.py_buffer(text)])


NOT_UTF8 = broken(pa.string(), [0, 1, 3], b"a\xff\xfe")
INVALID: dict[str, tuple[str, pa.Array]] = {
    "bytes that are no UTF-8": ("string", NOT_UTF8),
    "half a character": ("string", broken(pa.string(), [0, 1, 2, 3], "aä".encode())),
    "large text": ("string", broken(pa.large_string(), [0, 1, 3], b"a\xff\xfe")),
    "text in a dictionary": ("string", pa.DictionaryArray.from_arrays(pa.array([0, 1]), NOT_UTF8)),
    "a time before its day": ("time", pa.array([0, -1], pa.int64()).view(pa.time64("us"))),
    "a time after its day": ("time", pa.array([0, DAY], pa.int64()).view(pa.time64("us"))),
    "a time after its day in nanoseconds": ("time", pa.array([0, DAY * 1000], pa.int64()).view(pa.time64("ns"))),
    "more digits than the type": ("decimal(5,2)", raw_decimal([99_999, 100_000], 5, 2)),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_arrow_data_is_refused(conn: laminardb.Connection, case: str) -> None:
    type_name, values = INVALID[case]
    conn.create_table("t", {"v": type_name, "w": "int64"})
    forms: list[Any] = [pa.table({"v": values}), {"v": values}, pa.table({"v": values}).to_reader()]
    forms += [shown(pa.record_batch({"v": values}), "__arrow_c_array__")]
    for data in forms:
        before = conn.current_time
        with pytest.raises(laminardb.IngestionError, match="v") as error:
            conn.insert("t", data)
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
        assert "row 1" in str(error.value)
        assert (conn.sql("SELECT * FROM t").fetchall(), conn.current_time) == ([], before)
    # What is right is stored afterwards; a dictionary is right as a whole or not at all.
    right = values.slice(0, 1)
    if pa.types.is_dictionary(right.type):
        right = right.dictionary_decode()
    assert conn.insert("t", pa.table({"v": right})) == 1


def test_invalid_arrow_data_inside_lists_and_structs(conn: laminardb.Connection) -> None:
    late = pa.array([0, DAY], pa.int64()).view(pa.time64("us"))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), late)
    texts = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), NOT_UTF8)
    for values in (lists, texts, pa.StructArray.from_arrays([late], ["x"])):
        conn.create_table("t", pa.schema([("v", values.type)]))
        for data in (pa.table({"v": values}), {"v": values}):
            with pytest.raises(laminardb.IngestionError, match="row 1") as error:
                conn.insert("t", data)
            assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
        assert conn.sql("SELECT * FROM t").fetchall() == []
        conn.execute("DROP SOURCE t")


def test_invalid_text_of_a_pandas_column(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"v": "string"})
    with pytest.raises(laminardb.IngestionError, match="row 1") as error:
        conn.insert("t", pd.DataFrame({"v": pd.Series(NOT_UTF8, dtype=pd.ArrowDtype(pa.string()))}))
    assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    assert conn.insert("t", pl.DataFrame({"v": ["ä"]})) == 1
    assert conn.sql("SELECT v FROM t").fetchall() == [("ä",)]


PAIRS = pa.StructArray.from_arrays(
    [pa.array(range(12)), pa.array([str(i) if i % 3 else None for i in range(12)])],
    ["b", "s"],
    mask=pa.array([i % 5 == 4 for i in range(12)]),
)
NESTINGS: dict[str, tuple[str, pa.Array]] = {
    "structs in structs": (
        "STRUCT(a STRUCT(b BIGINT, s VARCHAR), n BIGINT)",
        pa.StructArray.from_arrays([PAIRS.slice(2), pa.array(range(10))], ["a", "n"]),
    ),
    "structs in structs in structs": (
        "STRUCT(c STRUCT(a STRUCT(b BIGINT, s VARCHAR)))",
        pa.StructArray.from_arrays([pa.StructArray.from_arrays([PAIRS], ["a"]).slice(1, 10)], ["c"]),
    ),
    "structs in lists of fixed size": (
        "STRUCT(b BIGINT, s VARCHAR)[]",
        pa.FixedSizeListArray.from_arrays(PAIRS.slice(2), 2),
    ),
    "lists of fixed size in structs": (
        "STRUCT(l STRUCT(b BIGINT, s VARCHAR)[])",
        pa.StructArray.from_arrays([pa.FixedSizeListArray.from_arrays(PAIRS, 2).slice(1)], ["l"]),
    ),
    "structs in lists": (
        "STRUCT(b BIGINT, s VARCHAR)[]",
        pa.ListArray.from_arrays([0, 2, 2, 3, 7, 10], PAIRS.slice(2)),
    ),
}


@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("name", NESTINGS)
def test_rows_cut_out_of_nested_arrays_are_those(conn: laminardb.Connection, name: str, start: int) -> None:
    column, whole = NESTINGS[name]
    conn.execute(f"CREATE TABLE t (x {column})")
    some = whole.slice(start, 3)
    conn.insert("t", pa.table({"x": some}))
    conn.insert("t", pa.record_batch({"x": whole}).slice(start, 3))
    assert conn.sql("SELECT x FROM t").arrow()["x"].to_pylist() == 2 * some.to_pylist()
