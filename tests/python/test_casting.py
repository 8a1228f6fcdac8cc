"""The rules of storing (API sections 11.2 and 11.3) against a model of them, in every form that can carry a case.

A value is stored exactly, or the call is refused with its code, names column and row, and leaves nothing.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re
import uuid
from collections.abc import Callable
from fractions import Fraction
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
from values import TEXT, UTC, ZONES, plain

D = decimal.Decimal
EPOCH = dt.datetime(1970, 1, 1)
STRUCT = pa.struct([("a", pa.int16()), ("b", pa.string())])
INTEGERS = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
DECIMALS = {"decimal(5,2)": (5, 2), "decimal(38,0)": (38, 0), "decimal(38,38)": (38, 38), "decimal(18,9)": (18, 9)}
UNITS = {"ts_s": 10**9, "ts_ms": 10**6, "timestamp": 10**3, "ts_ns": 1}
TYPES: dict[str, pa.DataType | str] = {
    "bool": "bool",
    **{name: name for name in INTEGERS},
    "float32": "float32",
    "float64": "float64",
    **{name: name for name in DECIMALS},
    "string": "string",
    "binary": "binary",
    "date": "date",
    "time": "time",
    "ts_s": pa.timestamp("s"),
    "ts_ms": pa.timestamp("ms"),
    "timestamp": "timestamp",
    "ts_ns": pa.timestamp("ns"),
    "timestamptz": "timestamptz",
    "list": pa.list_(pa.int16()),
    "struct": STRUCT,
}


class Refused(Exception):
    """The model's word for a value that no column of the type takes."""


def finite_floats() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False)


WHOLE = st.integers(-(2**70), 2**70) | st.integers(-300, 300) | st.sampled_from([2**53 + 1, 2**24 + 1, 2**63, 2**64])
NUMBERS = (
    WHOLE
    | finite_floats()
    | st.integers(-(2**64), 2**64).map(float)
    | st.floats(-1000, 1000, width=16)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=3)
    | st.integers(-(10**38) + 1, 10**38 - 1).map(D)
    | st.sampled_from([D("0.01"), D("1E+3"), D("1.50"), D("-0.00"), D("3.4028236E+38"), 1e39, -0.0, 0.1, float("inf")])
)
DATES = st.dates()
TIMES = st.times()
INSTANTS = (
    st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
    | st.dates().map(lambda day: dt.datetime(day.year, day.month, day.day))
    | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0))
)
ZONED = st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=ZONES)
SCALARS = st.booleans() | NUMBERS | TEXT | st.binary(max_size=5) | DATES | TIMES | INSTANTS | ZONED | st.uuids()
VALUES = (
    SCALARS
    | st.lists(st.none() | st.integers(-40_000, 40_000) | st.booleans() | finite_floats(), max_size=3)
    | st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(-9, 9) | TEXT, max_size=3)
)


def number(value: Any) -> Fraction:
    """An int, float or decimal as the number that it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float, D)):
        raise Refused
    if isinstance(value, float) and not np.isfinite(value):
        raise Refused
    return Fraction(value)


@np.errstate(over="ignore")
def nearest(exact: Fraction, kind: type[np.floating[Any]]) -> float:
    """The float nearest to a number, of two the even one."""
    about = kind(float(exact)) if abs(exact) < 2**1024 else kind("inf") * (1 if exact > 0 else -1)
    near = [about, np.nextafter(about, kind("inf")), np.nextafter(about, kind("-inf"))]
    finite = [value for value in near if np.isfinite(value)]
    best = min(
        finite, key=lambda value: (abs(Fraction(float(value)) - exact), int(value.view(f"u{value.itemsize}")) & 1)
    )
    # Beyond half a step past the last float there is none.
    most = Fraction(float(np.finfo(kind).max))
    step = most - Fraction(float(np.nextafter(np.finfo(kind).max, kind(0))))
    if abs(exact) >= most + step / 2:
        raise Refused
    return float(best)


def to_float(value: Any, kind: type[np.floating[Any]]) -> float:
    if isinstance(value, float):
        if not np.isfinite(value):
            return value
        found = nearest(Fraction(value), kind)
        return float(np.copysign(found, value))
    exact = number(value)
    found = nearest(exact, kind)
    if isinstance(value, int) and found != exact:
        raise Refused
    return -0.0 if isinstance(value, D) and value.is_signed() and found == 0 else found


def to_decimal(value: Any, precision: int, scale: int) -> D:
    number(value)
    # A float counts as its shortest text.
    digits = Fraction(D(repr(value)) if isinstance(value, float) else value) * 10**scale
    if digits.denominator != 1 or abs(digits) >= 10**precision:
        raise Refused
    return D(int(digits)).scaleb(-scale, decimal.Context(60))


def to_whole(value: Any, low: int, high: int) -> int:
    exact = number(value)
    if exact.denominator != 1 or not low <= exact <= high:
        raise Refused
    return int(exact)


def to_instant(value: Any, nanos: int) -> dt.datetime:
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            raise Refused
    elif isinstance(value, dt.date):
        value = dt.datetime(value.year, value.month, value.day)
    else:
        raise Refused
    since = (value - EPOCH) // dt.timedelta(microseconds=1) * 1000
    if since % nanos or not -(2**63) <= since // nanos < 2**63:
        raise Refused
    return value.replace(fold=0)


def stored(column: str, value: Any) -> Any:
    """What a column holds after `value` was given; raises `Refused`."""
    if column in INTEGERS:
        return to_whole(value, *INTEGERS[column])
    if column in DECIMALS:
        return to_decimal(value, *DECIMALS[column])
    if column in UNITS:
        return to_instant(value, UNITS[column])
    if column in ("float32", "float64"):
        return to_float(value, np.float32 if column == "float32" else np.float64)
    if column == "list":
        if not isinstance(value, (list, tuple)):
            raise Refused
        return [None if item is None else to_whole(item, -(2**15), 2**15 - 1) for item in value]
    if column == "struct":
        if not isinstance(value, dict) or not value.keys() <= {"a", "b"}:
            raise Refused
        a, b = value.get("a"), value.get("b")
        if b is not None and not isinstance(b, str):
            raise Refused
        return {"a": None if a is None else to_whole(a, -(2**15), 2**15 - 1), "b": b}
    if column == "string" and isinstance(value, uuid.UUID):
        return str(value)
    if column == "timestamptz":
        if not isinstance(value, dt.datetime) or value.tzinfo is None:
            raise Refused
        return value.astimezone(UTC)
    if column == "date" and isinstance(value, dt.datetime):
        if value.tzinfo is not None or value.time() != dt.time():
            raise Refused
        return value.date()
    kinds = {"bool": bool, "string": str, "binary": bytes, "date": dt.date, "time": dt.time}
    if type(value) is not kinds[column]:
        raise Refused
    return value.replace(fold=0) if column == "time" else value


def arrow_of(value: Any) -> pa.Array:
    """NULL and the value as Arrow would have it, if it has it."""
    try:
        array = pa.array([None, value])
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return None
    # What Arrow made another value of is another case.
    return array if is_same(array[1].as_py(), value) else None


def is_same(made: Any, value: Any) -> bool:
    """Is it the value itself that a library holds? No decimal but Python's has a negative zero."""
    if isinstance(value, D) and value == 0 and value.is_signed():
        return False
    return plain(made) == plain(value)


# Types of polars that Arrow has not.
WIDER = (pl.Int128, pl.UInt128)


def polars_of(value: Any) -> pl.DataFrame | None:
    try:
        series = pl.Series("v", [None, value])
    except Exception:
        # polars says in many ways that it has no such value.
        return None
    carried = series.dtype not in (pl.Object, *WIDER) and is_same(series.to_list()[1], value)
    return pl.DataFrame([series]) if carried else None


def forms(column: str, value: Any) -> dict[str, Any]:
    """The data of each form: a row of NULL, and one of the value."""
    made: dict[str, Any] = {
        "list of dicts": [{"v": None}, {"v": value}],
        "columns": {"v": [None, value]},
        "tuples": {"v": (None, value)},
    }
    if not isinstance(value, float) or value == value:
        made["pandas"] = pd.DataFrame({"v": pd.Series([None, value], dtype=object)})
    # A struct of Arrow has the same fields in all rows, a list one type of elements.
    array = None if isinstance(value, uuid.UUID) else arrow_of(value)
    if array is not None:
        made["Table"] = pa.table({"v": array})
        made["Arrow column"] = {"v": array}
        made["RecordBatch"] = pa.record_batch({"v": array})
    frame = None if isinstance(value, (uuid.UUID, dict, list)) else polars_of(value)
    if frame is not None:
        made["polars"] = frame
    return made


def refused(conn: laminardb.Connection, call: Callable[[], object], code: int, *words: str) -> None:
    """Checks that a call is refused with `code`, says these words and leaves nothing."""
    before, rows = conn.current_time, conn.sql("SELECT * FROM t").fetchall()
    with pytest.raises(laminardb.IngestionError) as error:
        call()
    assert error.value.code == code
    for word in words:
        assert word in str(error.value), (word, str(error.value))
    assert plain(conn.sql("SELECT * FROM t").fetchall()) == plain(rows)
    assert conn.current_time == before
    assert conn.stats("t")["total_events"] == len(rows)


@cases(200)
@given(column=st.sampled_from(sorted(TYPES)), value=VALUES)
def test_every_value_in_every_column(column: str, value: Any) -> None:
    check(column, value)


@cases(200)
@given(column=st.sampled_from([*INTEGERS, *DECIMALS, "float32", "float64"]), value=NUMBERS)
def test_numbers_in_columns_of_numbers(column: str, value: Any) -> None:
    check(column, value)


@cases(100)
@given(column=st.sampled_from([*UNITS, "date", "timestamptz"]), value=INSTANTS | DATES | ZONED)
def test_instants_in_columns_of_instants(column: str, value: Any) -> None:
    check(column, value)


def check(column: str, value: Any) -> None:
    try:
        expected = stored(column, value)
    except Refused:
        expected = Refused
    with laminardb.open(":memory:") as conn:
        kind = TYPES[column]
        conn.create_table("t", {"v": kind} if isinstance(kind, str) else pa.schema([("v", kind)]))
        held = 0
        for form, data in forms(column, value).items():
            if expected is Refused:
                refused_as_whole(conn, data)
                continue
            assert conn.insert("t", data) == 2, form
            held += 2
            rows = conn.sql("SELECT v FROM t").fetchall()
            assert len(rows) == held, form
            assert plain([row[0] for row in rows[-2:]]) == plain([None, expected]), form


def refused_as_whole(conn: laminardb.Connection, data: Any) -> None:
    refused(conn, lambda: conn.insert("t", data), codes.BATCH_SCHEMA_MISMATCH, "v", "row 1")


def test_the_model_knows_what_it_is_about() -> None:
    """A few cases of the table by hand, so that model and engine cannot be wrong together."""
    taken = [
        ("bool", True, True),
        ("int8", 127.0, 127),
        ("int64", D("1E+3"), 1000),
        ("float32", 0.1, float(np.float32(0.1))),
        ("float32", D("3.4028235E+38"), float(np.finfo(np.float32).max)),
        ("float64", 2**53, 2.0**53),
        ("decimal(5,2)", 1.25, D("1.25")),
        ("date", dt.datetime(2024, 2, 29), dt.date(2024, 2, 29)),
        ("ts_s", dt.date(2024, 2, 29), dt.datetime(2024, 2, 29)),
        ("list", [1, None, 2.0], [1, None, 2]),
        ("struct", {"b": "x"}, {"a": None, "b": "x"}),
        ("string", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ]
    for column, value, expected in taken:
        assert plain(stored(column, value)) == plain(expected), column
    wrong = [
        ("bool", 1),
        ("int8", 128),
        ("int64", True),
        ("int64", 0.5),
        ("int64", float("inf")),
        ("float32", 1e39),
        ("float32", 2**24 + 1),
        ("float64", 2**53 + 1),
        ("decimal(5,2)", D("0.001")),
        ("decimal(5,2)", 1000),
        ("string", b"x"),
        ("binary", "x"),
        ("date", dt.datetime(2024, 2, 29, 1)),
        ("ts_s", dt.datetime(2024, 2, 29, 0, 0, 0, 1)),
        ("ts_ns", dt.datetime(1, 1, 1)),
        ("timestamp", dt.datetime(2024, 2, 29, tzinfo=UTC)),
        ("timestamptz", dt.datetime(2024, 2, 29)),
        ("list", [2**15]),
        ("struct", {"c": 1}),
    ]
    for column, value in wrong:
        with pytest.raises(Refused):
            stored(column, value)


def columnar(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def csv_of(rows: list[dict[str, Any]]) -> str:
    lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
    return "\n".join(lines)


def arrow_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table([pa.array(values) for values in columnar(rows).values()], names=list(rows[0]))


MATCHED: dict[str, Callable[[laminardb.Connection, list[dict[str, Any]]], int]] = {
    "dicts": lambda conn, rows: conn.insert("t", rows),
    "columns": lambda conn, rows: conn.insert("t", columnar(rows)),
    "pandas": lambda conn, rows: conn.insert("t", pd.DataFrame(columnar(rows))),
    "polars": lambda conn, rows: conn.insert("t", pl.DataFrame(columnar(rows))),
    "Table": lambda conn, rows: conn.insert("t", arrow_table(rows)),
    "RecordBatch": lambda conn, rows: conn.insert("t", arrow_table(rows).to_batches()[0]),
    "RecordBatchReader": lambda conn, rows: conn.insert("t", arrow_table(rows).to_reader()),
    "QueryResult": lambda conn, rows: conn.insert("t", selected(conn, rows)),
    "JSON": lambda conn, rows: conn.insert_json("t", json.dumps(rows)),
    "CSV": lambda conn, rows: conn.insert_csv("t", csv_of(rows)),
}


def selected(conn: laminardb.Connection, rows: list[dict[str, Any]]) -> laminardb.QueryResult:
    names = ", ".join(f'"{name}"' for name in rows[0])
    tuples = ", ".join("({})".format(", ".join(map(str, row.values()))) for row in rows)
    return conn.sql(f"SELECT * FROM (VALUES {tuples}) AS given({names})")


DEFINED = {"Id": None, "a b": None, "low": 7, "LOW": None}


@pytest.mark.parametrize("form", MATCHED)
@cases(25)
@given(
    names=st.permutations(["Id", "a b", "low", "LOW"]).flatmap(
        lambda names: st.integers(1, 4).map(lambda n: names[:n])
    ),
    swap=st.booleans(),
    count=st.integers(1, 3),
)
def test_columns_are_matched_by_name(form: str, names: list[str], swap: bool, count: int) -> None:
    if "Id" not in names:
        names = [*names, "Id"]
    rows = [{name: 10 * row + place for place, name in enumerate(names)} for row in range(count)]
    # Where one column alone has the name but for case, any case will do.
    given = [
        {name.swapcase() if swap and name in ("Id", "a b") else name: v for name, v in row.items()} for row in rows
    ]
    with laminardb.open(":memory:") as conn:
        conn.execute('CREATE TABLE t ("Id" BIGINT NOT NULL, "a b" BIGINT, "low" BIGINT DEFAULT 7, "LOW" BIGINT)')
        assert MATCHED[form](conn, given) == count
        expected = [tuple(row.get(name, default) for name, default in DEFINED.items()) for row in rows]
        assert conn.sql('SELECT * FROM t ORDER BY "Id"').fetchall() == expected


WRONG: dict[str, tuple[list[dict[str, Any]], int, list[str]]] = {
    "an unknown column": ([{"Id": 1, "nope": 2}], codes.BATCH_SCHEMA_MISMATCH, ["nope"]),
    "an ambiguous column": ([{"Id": 1, "Low": 2}], codes.BATCH_SCHEMA_MISMATCH, ["Low"]),
    "a column given twice": ([{"Id": 1, "iD": 2}], codes.BATCH_SCHEMA_MISMATCH, ["Id", "twice"]),
    "a missing NOT NULL column": ([{"low": 1}], codes.INGESTION_FAILED, ["Id"]),
}


@pytest.mark.parametrize("form", MATCHED)
@pytest.mark.parametrize("case", WRONG)
def test_columns_that_do_not_match(conn: laminardb.Connection, form: str, case: str) -> None:
    rows, code, words = WRONG[case]
    conn.execute('CREATE TABLE t ("Id" BIGINT NOT NULL, "a b" BIGINT, "low" BIGINT DEFAULT 7, "LOW" BIGINT)')
    assert MATCHED[form](conn, [{"Id": 0}]) == 1
    refused(conn, lambda: MATCHED[form](conn, rows), code, *words)


NULLS: dict[str, Callable[[laminardb.Connection], int]] = {
    "dicts": lambda conn: conn.insert("t", [{"k": 1}, {"k": None}]),
    "dicts that leave it out": lambda conn: conn.insert("t", [{"k": 1}, {"x": 1}]),
    "columns": lambda conn: conn.insert("t", {"k": [1, None]}),
    "pandas": lambda conn: conn.insert("t", pd.DataFrame({"k": [1, float("nan")]})),
    "nullable pandas": lambda conn: conn.insert("t", pd.DataFrame({"k": pd.array([1, None], dtype="Int64")})),
    "polars": lambda conn: conn.insert("t", pl.DataFrame({"k": [1, None]})),
    "Table": lambda conn: conn.insert("t", pa.table({"k": [1, None]})),
    "column of NULL": lambda conn: conn.insert("t", pa.table({"k": pa.array([1, None]), "x": pa.nulls(2)})),
    "Reader": lambda conn: conn.insert("t", pa.table({"k": [1, None]}).to_reader(max_chunksize=1)),
    "QueryResult": lambda conn: conn.insert("t", conn.sql("SELECT * FROM (VALUES (1), (NULL)) AS g(k)")),
    "JSON": lambda conn: conn.insert_json("t", '[{"k": 1}, {"k": null}]'),
    "CSV": lambda conn: conn.insert_csv("t", "k,x\n1,1\n,2\n"),
}


@pytest.mark.parametrize("form", NULLS)
@pytest.mark.parametrize("column", ["BIGINT NOT NULL", "BIGINT PRIMARY KEY"])
def test_null_where_it_must_not_be(conn: laminardb.Connection, form: str, column: str) -> None:
    conn.execute(f"CREATE TABLE t (k {column}, x BIGINT)")
    refused(conn, lambda: NULLS[form](conn), codes.INGESTION_FAILED, "k", "row 1")


# One value in a thousand that does not fit: the others are not stored either.
LATE: dict[str, Callable[[laminardb.Connection, list[int]], int]] = {
    "dicts": lambda conn, values: conn.insert("t", [{"v": value} for value in values]),
    "columns": lambda conn, values: conn.insert("t", {"v": values}),
    "numpy": lambda conn, values: conn.insert("t", {"v": np.array(values)}),
    "pandas": lambda conn, values: conn.insert("t", pd.DataFrame({"v": values})),
    "polars": lambda conn, values: conn.insert("t", pl.DataFrame({"v": values})),
    "Table": lambda conn, values: conn.insert("t", pa.table({"v": values})),
    "Reader": lambda conn, values: conn.insert("t", pa.table({"v": values}).to_reader(max_chunksize=7)),
    "JSON": lambda conn, values: conn.insert_json("t", json.dumps([{"v": value} for value in values])),
    "CSV": lambda conn, values: conn.insert_csv("t", "\n".join(["v", *map(str, values)])),
}


@pytest.mark.parametrize("form", LATE)
def test_one_bad_row_of_many(conn: laminardb.Connection, form: str) -> None:
    conn.execute("CREATE SOURCE t (v TINYINT); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t")
    values = [7] * 1000
    values[642] = 128
    refused(conn, lambda: LATE[form](conn, values), codes.BATCH_SCHEMA_MISMATCH, "v", "row 642", "128")
    assert conn.sql("SELECT n FROM n").fetchall() in ([], [(0,)])


class Growing:
    """A sequence that changes the dict that it is in whenever it is asked for its length."""

    def __init__(self, of: dict[str, Any]) -> None:
        self.of = of

    def __len__(self) -> int:
        self.of[f"more {len(self.of)}"] = 1
        return 1

    def __getitem__(self, at: int) -> int:
        return range(1)[at]


def test_a_dict_that_changes_while_it_is_read(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"v": "int64", "w": "int64"})
    data: dict[str, Any] = {}
    data |= {"v": Growing(data), "w": [1]}
    assert conn.insert("t", data) == 1
    assert conn.sql("SELECT * FROM t").fetchall() == [(0, 1)]


@pytest.mark.parametrize("data_type", WIDER)
def test_a_type_that_arrow_has_not(conn: laminardb.Connection, data_type: type[pl.DataType]) -> None:
    conn.create_table("t", {"v": "decimal(38,0)"})
    frame = pl.DataFrame({"v": [1]}, schema={"v": data_type})
    for data in (frame, {"v": frame["v"]}):
        refused(conn, lambda data=data: conn.insert("t", data), codes.BATCH_SCHEMA_MISMATCH)  # type: ignore[misc]
    with pytest.raises(laminardb.SchemaError) as error:
        conn.create_table("u", frame.schema)
    assert error.value.code == codes.INVALID_SCHEMA
    assert conn.list_tables() == ["t"]


def test_single_floats_of_numpy_are_one_value_in_every_form(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"d": "decimal(5,2)", "f": "float64"})
    tenth = np.float32(0.1)
    forms = [{"d": tenth, "f": tenth}, [{"d": tenth, "f": tenth}], {"d": [tenth], "f": [tenth]}]
    forms += [
        {"d": np.array([tenth]), "f": np.array([tenth])},
        pd.DataFrame({"d": [tenth], "f": [tenth]}, dtype="float32"),
    ]
    for data in forms:
        assert conn.insert("t", data) == 1
    assert set(conn.sql("SELECT * FROM t").fetchall()) == {(D("0.10"), float(tenth))}


# Texts of literals, negative, long, with a point, with an exponent, and what is no number.
LITERALS = st.one_of(
    st.integers(-(10**19), 10**19).map(str),
    st.sampled_from([2**24 + 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 10**38]).map(
        str
    ),
    st.decimals(-(10**25), 10**25, places=3).map(lambda value: format(value, "f")),
    st.decimals(-1, 1, places=40).map(lambda value: format(value, "f")),
    st.sampled_from(["1e3", "-1.5e1", "5e-1", "1e-40", "1e300", "0.0", "-0.0", "007", "1.", ".5", "+3", "3.000"]),
    st.sampled_from(["(1.5)", "-(2)", "(9007199254740993)", "0e-2000000000", "1e-2000000000", "1e2000000000"]),
    st.sampled_from(["'5'", "'a'", "true", "NULL"]),
)


def is_stored(conn: laminardb.Connection, table: str, values: str) -> bool:
    try:
        conn.execute(f"INSERT INTO {table} VALUES {values}")
    except laminardb.QueryError as error:
        if error.code != codes.QUERY_FAILED:
            raise
        return False
    return True


# Without the care of planner/src/bind/literal.rs, (9007199254740993), (0.5) stored 9007199254740992, and ('5'), (1) a 5.
@pytest.mark.parametrize("column", ["DECIMAL(38,3)", "DECIMAL(5,2)", "BIGINT", "DOUBLE", "REAL", "VARCHAR", "BOOLEAN"])
@cases(150)
@given(st.lists(LITERALS, min_size=2, max_size=4))
def test_a_literal_in_values_is_stored_as_it_is_alone(column: str, literals: list[str]) -> None:
    with laminardb.open(":memory:") as conn:
        conn.execute(f"CREATE TABLE alone (x {column}); CREATE TABLE together (x {column})")
        are_stored = [is_stored(conn, "alone", f"({literal})") for literal in literals]
        alone = conn.query("SELECT x FROM alone").fetchall()
        if is_stored(conn, "together", f"({'), ('.join(literals)})"):
            assert all(are_stored)
            # The zeros apart.
            assert repr(conn.query("SELECT x FROM together").fetchall()) == repr(alone)
        else:
            assert conn.query("SELECT x FROM together").num_rows == 0
    if column.startswith("DECIMAL"):
        numbers = [D(re.sub("[()]", "", text)) for text in literals if text not in ("'5'", "'a'", "true", "NULL")]
        assert {value for (value,) in alone} <= {*numbers, None}
