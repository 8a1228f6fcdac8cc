"""insert with what numpy, pandas, polars and pyarrow have: forms, exact casting (API section 11)."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import laminardb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from laminardb import codes

from test_insert import DATE, MIDNIGHT, NAN, NOON, UTC, D, check_refused, check_taken, rows

FORMS = {
    "numpy": {"id": np.array([1, 2]), "name": np.array(["a", "b"]), "x": np.array([1.5, 2.5], dtype="float32")},
    "series": {
        "id": pd.Series([1, 2], index=[7, 8]),
        "name": pl.Series(["a", "b"]),
        "x": pa.chunked_array([[1.5], [2.5]]),
    },
    "pandas": pd.DataFrame({"id": [1, 2], "name": ["a", "b"], "x": [1.5, 2.5]}, index=[5, 6]),
    "polars": pl.DataFrame({"id": [1, 2], "name": ["a", "b"], "x": [1.5, 2.5]}),
    "record batch": pa.record_batch({"id": [1, 2], "name": ["a", "b"], "x": [1.5, 2.5]}),
    "table": pa.table({"id": [1, 2], "name": ["a", "b"], "x": [1.5, 2.5]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(table: laminardb.Connection, form: str) -> None:
    assert table.insert("t", FORMS[form]) == 2
    assert rows(table) == [(1, "a", 1.5), (2, "b", 2.5)]


def test_readers_capsules_and_results(table: laminardb.Connection) -> None:
    source = pa.table({"id": [1, 2], "name": ["a", "b"], "x": [1.5, 2.5]})

    class Capsule:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return source.__arrow_c_stream__(requested_schema)

    assert table.insert("t", source.to_reader()) == 2
    assert table.insert("t", Capsule()) == 2
    assert table.insert("t", table.sql("SELECT * FROM t WHERE id = 1")) == 2
    assert len(rows(table)) == 6


@pytest.mark.parametrize("data", [pl.LazyFrame({"id": [1]}), pa.array([1])])
def test_no_rows_at_all(table: laminardb.Connection, data: Any) -> None:
    with pytest.raises(TypeError):
        table.insert("t", data)
    assert rows(table) == []


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"id": []}),
        pl.DataFrame({"id": []}, schema={"id": pl.Int64}),
        pa.table({"id": pa.array([], pa.int64())}),
    ],
)
def test_zero_rows(table: laminardb.Connection, data: Any) -> None:
    before = table.current_time
    assert table.insert("t", data) == 0
    assert rows(table) == []
    assert table.current_time == before


def test_columns_of_tables(conn: laminardb.Connection) -> None:
    conn.execute('CREATE TABLE t (id BIGINT NOT NULL, n BIGINT DEFAULT 7, "a b" VARCHAR)')
    conn.insert("t", pa.table({"ID": [5], "A B": ["y"]}))
    assert rows(conn) == [(5, 7, "y")]
    for data, code in (
        (pa.table({"nope": [1]}), codes.BATCH_SCHEMA_MISMATCH),
        (pa.table({"id": [9, None]}), codes.INGESTION_FAILED),
    ):
        with pytest.raises(laminardb.IngestionError) as error:
            conn.insert("t", data)
        assert error.value.code == code
    assert len(rows(conn)) == 1


TAKEN: list[tuple[str, Any, Any]] = [
    ("bool", np.bool_(False), False),
    ("int32", np.int64(5), 5),
    ("int64", np.float32(4.0), 4),
    ("float64", np.float32(0.5), 0.5),
    ("string", np.str_("x"), "x"),
    ("date", np.datetime64("2024-02-29"), DATE),
    ("date", pd.Timestamp("2024-02-29"), DATE),
    ("timestamp", pd.Timestamp(NOON), NOON),
    ("timestamp", np.datetime64(NOON, "us"), NOON),
    ("timestamp", np.datetime64(NOON, "us").astype("M8[ns]"), NOON),
    ("timestamptz", pd.Timestamp("2024-02-29 12:00", tz="Europe/Paris"), dt.datetime(2024, 2, 29, 11, tzinfo=UTC)),
    ("int64", pd.NA, None),
    ("timestamp", pd.NaT, None),
    ("timestamp", np.datetime64("NaT"), None),
    ("int64", np.array(7), 7),
]

REFUSED: list[tuple[str, Any]] = [
    ("int64", np.datetime64("2024-01-01")),
    ("timestamp", pd.Timestamp("2024-01-01 00:00:00.000000001")),
    ("timestamp", np.timedelta64(1, "s")),
]


@pytest.mark.parametrize(("type_name", "value", "stored"), TAKEN, ids=lambda case: repr(case)[:40])
@pytest.mark.parametrize("form", ["dict", "list", "columns"])
def test_values_taken(conn: laminardb.Connection, type_name: str, value: Any, stored: Any, form: str) -> None:
    check_taken(conn, type_name, value, stored, form)


@pytest.mark.parametrize(("type_name", "value"), REFUSED, ids=lambda case: repr(case)[:40])
@pytest.mark.parametrize("form", ["list", "columns"])
def test_values_refused(conn: laminardb.Connection, type_name: str, value: Any, form: str) -> None:
    check_refused(conn, type_name, value, form)


ARROW_TAKEN: list[tuple[str, pa.Array, list[Any]]] = [
    ("int64", pa.array([1, None], pa.int8()), [1, None]),
    ("int8", pa.array([127, -128], pa.int64()), [127, -128]),
    ("int64", pa.array([1.0, 2.0], pa.float64()), [1, 2]),
    ("int64", pa.nulls(2), [None, None]),
    ("float64", pa.array([1, 2], pa.int32()), [1.0, 2.0]),
    ("float64", pa.array([NAN], pa.float64()), [NAN]),
    ("string", pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
    ("string", pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
    ("string", pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    ("binary", pa.array([b"a"], pa.large_binary()), [b"a"]),
    ("decimal(5,2)", pa.array([D("1.5")], pa.decimal128(10, 4)), [D("1.50")]),
    ("date", pa.array([DATE], pa.date64()), [DATE]),
    ("timestamp", pa.array([MIDNIGHT], pa.timestamp("s")), [MIDNIGHT]),
    ("timestamptz", pa.array([NOON], pa.timestamp("us", tz="Asia/Tokyo")), [NOON.replace(tzinfo=UTC)]),
]

ARROW_REFUSED: list[tuple[str, pa.Array]] = [
    ("int8", pa.array([0, 128], pa.int64())),
    ("int64", pa.array([0, 1.5], pa.float64())),
    ("int64", pa.array([0, NAN], pa.float64())),
    ("int64", pa.array(["0", "1"])),
    ("int64", pa.array([True, False])),
    ("bool", pa.array([1, 0])),
    ("float64", pa.array([0, 2**53 + 1], pa.int64())),
    ("string", pa.array([1, 2])),
    ("string", pa.array([b"1", b"2"])),
    ("decimal(5,2)", pa.array([D("0"), D("1.234")], pa.decimal128(10, 4))),
    ("timestamp", pa.array([0, 1], pa.timestamp("us", tz="UTC"))),
    ("timestamptz", pa.array([0, 1], pa.timestamp("us"))),
    ("timestamp", pa.array([0, 1], pa.timestamp("ns"))),
    ("timestamp", pa.array([0, 1])),
]


def same(left: list[Any], right: list[Any]) -> bool:
    """Equal with NaN equal to NaN."""

    def plain(value: Any) -> Any:
        return "NaN" if isinstance(value, float) and math.isnan(value) else value

    return [plain(value) for value in left] == [plain(value) for value in right]


@pytest.mark.parametrize(("type_name", "array", "stored"), ARROW_TAKEN, ids=lambda case: str(case)[:30])
def test_arrow_values_taken(conn: laminardb.Connection, type_name: str, array: pa.Array, stored: list[Any]) -> None:
    conn.create_table("t", {"v": type_name})
    assert conn.insert("t", pa.table({"v": array})) == len(stored)
    assert conn.insert("t", {"v": array}) == len(stored)
    assert same([row[0] for row in rows(conn)], stored + stored)


@pytest.mark.parametrize(("type_name", "array"), ARROW_REFUSED, ids=lambda case: str(case)[:30])
def test_arrow_values_refused(conn: laminardb.Connection, type_name: str, array: pa.Array) -> None:
    conn.create_table("t", {"v": type_name})
    for data in (pa.table({"v": array}), {"v": array}):
        with pytest.raises(laminardb.IngestionError) as error:
            conn.insert("t", data)
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    assert rows(conn) == []


def test_nan_of_pandas_is_null(conn: laminardb.Connection) -> None:
    conn.create_table(
        "t", {"i": "int64", "f": "float64", "g": "float32", "s": "string", "ts": "timestamp", "b": "bool", "o": "int64"}
    )
    frame = pd.DataFrame(
        {
            "i": [1.0, NAN],
            "f": [1.5, NAN],
            "g": np.array([0.5, NAN], dtype="float32"),
            "s": ["x", None],
            "ts": pd.to_datetime(["2024-02-29", None]),
            "b": pd.array([True, None], dtype="boolean"),
            "o": pd.Series([7, NAN], dtype=object),
        }
    )
    assert conn.insert("t", frame) == 2
    assert rows(conn) == [(1, 1.5, 0.5, "x", MIDNIGHT, True, 7), (None,) * 7]


def test_other_pandas_columns(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"i": "int64", "c": "string", "z": "timestamptz", "a": "int64", "d": "decimal(5,2)"})
    frame = pd.DataFrame(
        {
            "i": pd.array([2**53 + 1, None], dtype="Int64"),
            "c": pd.Categorical(["x", "y"]),
            "z": pd.to_datetime(["2024-02-29 12:00", "2024-02-29 13:00"]).tz_localize("UTC"),
            "a": pd.Series([1, 2], dtype=pd.ArrowDtype(pa.int32())),
            "d": pd.Series([D("1.5"), None], dtype=object),
        }
    )
    assert conn.insert("t", frame) == 2
    zoned = dt.datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert rows(conn) == [
        (2**53 + 1, "x", zoned, 1, D("1.50")),
        (None, "y", zoned + dt.timedelta(hours=1), 2, None),
    ]


def test_nan_of_numpy_and_polars_is_a_value(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"f": "float64"})
    conn.insert("t", {"f": np.array([NAN])})
    conn.insert("t", pl.DataFrame({"f": [NAN]}))
    assert [math.isnan(value) for (value,) in rows(conn)] == [True, True]


def test_what_is_inserted_is_a_copy(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64", "b": "float64"})
    a, b = np.arange(3), np.arange(3) / 2
    table = pa.table({"a": a, "b": b})
    frame = pd.DataFrame({"a": a, "b": b}, copy=False)
    batches = [table, table.to_batches()[0], {"a": pa.array(a), "b": pa.array(b)}, {"a": a, "b": b}, frame]
    for data in batches:
        assert conn.insert("t", data) == 3
    a[:], b[:] = 7, 7
    assert sorted(conn.sql("SELECT * FROM t").fetchall()) == sorted([(0, 0.0), (1, 0.5), (2, 1.0)] * 5)
