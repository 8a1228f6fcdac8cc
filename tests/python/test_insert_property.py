"""The same random rows, given in every form that an insert takes, store the same rows or fail with the same code."""

from __future__ import annotations

import collections
import dataclasses
import io
import itertools
import json
import math
import types
from collections.abc import Callable
from typing import Any

import laminardb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

COLUMNS = ("id", "small", "n", "x", "name", "flag", "doc")
DEFINITION = "id BIGINT, small TINYINT, n BIGINT, x DOUBLE, name VARCHAR NOT NULL, flag BOOLEAN, doc JSON"
TABLES = {
    "source": f"CREATE SOURCE source ({DEFINITION})",
    "bag": f"CREATE TABLE bag ({DEFINITION})",
    "keyed": f"CREATE TABLE keyed ({DEFINITION}, PRIMARY KEY (id))",
}
ARROW = pa.schema(
    {
        "id": pa.int64(),
        "small": pa.int16(),
        "n": pa.int64(),
        "x": pa.float64(),
        "name": pa.string(),
        "flag": pa.bool_(),
        "doc": pa.struct({"a": pa.int64(), "b": pa.list_(pa.string())}),
    }
)
POLARS = {
    "id": pl.Int64,
    "small": pl.Int16,
    "n": pl.Int64,
    "x": pl.Float64,
    "name": pl.String,
    "flag": pl.Boolean,
    "doc": pl.Struct({"a": pl.Int64, "b": pl.List(pl.String)}),
}

Record = dataclasses.make_dataclass("Record", COLUMNS)
Named = collections.namedtuple("Named", COLUMNS)  # type: ignore[misc]

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
ROW = st.fixed_dictionaries(
    {
        "id": st.integers(0, 5) | INTEGERS,
        # Some do not fit the column, and some rows have no name where one must be.
        "small": st.none() | st.integers(-130, 130),
        "n": st.none() | INTEGERS,
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "name": TEXT | TEXT | TEXT | st.none(),
        "flag": st.none() | st.booleans(),
        "doc": st.none() | st.fixed_dictionaries({"a": st.none() | INTEGERS, "b": st.lists(TEXT, max_size=2)}),
    }
)
Rows = list[dict[str, Any]]
# Shrinking writes the rows in all forms once more for each step, and the forms name what differs.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


class Mapping:
    """Has keys() and [], and no more, as rows of sqlite3."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row

    def keys(self) -> list[str]:
        return list(self.row)

    def __getitem__(self, key: str) -> Any:
        return self.row[key]


def columns(rows: Rows) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in COLUMNS}


def arrow(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=ARROW)


def pandas(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns(rows).items()})


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def csv_text(rows: Rows) -> str:
    def field(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, dict):
            value = compact(value)
        return '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(COLUMNS), *(",".join(field(row[name]) for name in COLUMNS) for row in rows)]
    return "".join(line + "\n" for line in lines)


VALUES: dict[str, Callable[[Rows], Any]] = {
    "list": list,
    "columns": columns,
    "tuples": lambda rows: {name: tuple(values) for name, values in columns(rows).items()},
    "generator": lambda rows: (row for row in rows),
    "dataclasses": lambda rows: [Record(**row) for row in rows],
    "iterator of dataclasses": lambda rows: iter([Record(**row) for row in rows]),
    "named tuples": lambda rows: (Named(**row) for row in rows),
    "mappings": lambda rows: [Mapping(row) for row in rows],
    "proxies": lambda rows: map(types.MappingProxyType, rows),
    "mixed": lambda rows: iter(
        [make(**row) for make, row in zip(itertools.cycle([Record, Named, dict]), rows, strict=False)]
    ),
    "other order": lambda rows: [dict(reversed(row.items())) for row in rows],
    "pandas": pandas,
    "pandas of arrow": lambda rows: arrow(rows).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda rows: pl.DataFrame(rows, schema=POLARS),
    "table": arrow,
    "batch": lambda rows: arrow(rows).combine_chunks().to_batches()[0],
    "reader": lambda rows: pa.Table.from_batches(arrow(rows).to_batches(max_chunksize=2)).to_reader(),
    "array of structs": lambda rows: arrow(rows).to_struct_array().combine_chunks(),
}
TEXTS: dict[str, tuple[str, Callable[[Rows], Any]]] = {
    "json": ("insert_json", json.dumps),
    "json lines": ("insert_json", lambda rows: "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)),
    "json bytes": ("insert_json", lambda rows: json.dumps(rows, ensure_ascii=False).encode()),
    "json file": ("insert_json", lambda rows: io.StringIO(json.dumps(rows, ensure_ascii=False))),
    "csv": ("insert_csv", csv_text),
    "csv bytes": ("insert_csv", lambda rows: bytearray(csv_text(rows).encode())),
    "csv file": ("insert_csv", lambda rows: io.BytesIO(csv_text(rows).encode())),
}
FORMS = [("insert", name, make) for name, make in VALUES.items()]
FORMS += [(call, name, make) for name, (call, make) in TEXTS.items()]


@pytest.fixture(scope="module")
def shared() -> Any:
    with laminardb.open(":memory:") as conn:
        for statement in TABLES.values():
            conn.execute(statement)
        yield conn


def outcome(conn: laminardb.Connection, call: str, table: str, data: Any, **options: Any) -> Any:
    """The rows that a write stores, or the code with which it is refused; takes the write back."""
    conn.execute("BEGIN")
    try:
        given = getattr(conn, call)(table, data, **options)
        stored = conn.sql(f"SELECT * FROM {table}").fetchall()
    except laminardb.IngestionError as error:
        assert conn.sql(f"SELECT count(*) FROM {table}").fetchall() == [(0,)]
        return error.code
    finally:
        conn.execute("ROLLBACK")
    # Text of Arrow's structs and of dicts is one; escapes of JSON text stay as they are written.
    normal = [(*row[:-1], row[-1] and json.dumps(json.loads(row[-1]), sort_keys=True)) for row in stored]
    return given, [repr(row) for row in normal]


@pytest.mark.parametrize("table", TABLES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25, phases=PHASES)
@given(rows=st.lists(ROW, min_size=1, max_size=6))
def test_every_form_stores_the_same(shared: laminardb.Connection, table: str, rows: Rows) -> None:
    expected = outcome(shared, "insert", table, [dict(row) for row in rows])
    for call, form, make in FORMS:
        got = outcome(shared, call, table, make(rows))
        assert got == expected or both_wrong(rows, got, expected), form
        # An unknown column, left out, changes nothing.
        if form not in ("array of structs",):
            wide = [row | {"nope": 1} for row in rows] if form in ("list", "generator", "json", "json lines") else rows
            assert outcome(shared, call, table, make(wide), extra="ignore") == got, form
    if isinstance(expected, tuple):
        check_result(shared, table, rows, expected)


def check_result(conn: laminardb.Connection, table: str, rows: Rows, expected: Any) -> None:
    """Checks that a QueryResult stores the rows that it has."""
    conn.execute("CREATE OR REPLACE TABLE given AS SELECT * FROM bag WHERE false")
    conn.insert("given", [row | {"doc": row["doc"] and compact(row["doc"])} for row in rows])
    assert outcome(conn, "insert", table, conn.sql("SELECT * FROM given")) == expected


def both_wrong(rows: Rows, got: Any, expected: Any) -> bool:
    """Whether rows are refused for two reasons, of which a form by rows and one by columns find different ones first."""
    is_null = any(row["name"] is None for row in rows)
    is_unfit = any(row["small"] is not None and not -128 <= row["small"] <= 127 for row in rows)
    return is_null and is_unfit and {got, expected} == {300, 302}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25, phases=PHASES)
@given(
    old=st.lists(ROW, min_size=1, max_size=6),
    new=st.lists(ROW, min_size=1, max_size=6),
    named=st.sets(st.sampled_from(COLUMNS[1:])),
)
def test_every_form_updates_the_same(shared: laminardb.Connection, old: Rows, new: Rows, named: set[str]) -> None:
    usable = [row for row in old if row["name"] is not None and (row["small"] is None or abs(row["small"]) < 128)]
    some = [{name: value for name, value in row.items() if name == "id" or name in named} for row in new]
    shared.insert("keyed", usable) if usable else None
    try:
        outcomes = []
        for data in (some, iter(some), {name: [row[name] for row in some] for name in some[0]}):
            shared.execute("BEGIN")
            try:
                got = shared.update("keyed", data)
                outcomes.append(
                    (got, repr(shared.sql("SELECT id, small, n, name, flag FROM keyed ORDER BY id").fetchall()))
                )
            except laminardb.IngestionError as error:
                outcomes.append((error.code, ""))
            shared.execute("ROLLBACK")
        assert outcomes[0] == outcomes[1]
        assert outcomes[0] == outcomes[2] or both_wrong(new, outcomes[0][0], outcomes[2][0])
        if outcomes[0][1]:
            model = {row["id"]: dict(row) for row in usable}
            for row in some:
                if row["id"] in model:
                    model[row["id"]].update(row)
            assert outcomes[0][0] == len({row["id"] for row in some} & model.keys())
            kept = [
                tuple(row[name] for name in ("id", "small", "n", "name", "flag")) for _, row in sorted(model.items())
            ]
            assert outcomes[0][1] == repr(kept)
    finally:
        shared.execute("TRUNCATE TABLE keyed")


KEYS = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3)
HOSTILE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.sampled_from([object(), int, math, ..., {1}, range(2), 1j, frozenset(), lambda: None])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, phases=PHASES)
@given(
    data=st.recursive(
        HOSTILE,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*COLUMNS, "nope"]) | KEYS, inner)
            | st.lists(inner, max_size=3).map(iter)
            | st.lists(inner, max_size=3).map(tuple)
        ),
        max_leaves=8,
    ),
    call=st.sampled_from(["insert", "upsert", "update", "delete", "insert_json", "insert_csv"]),
)
def test_anything_else_is_a_type_error_or_refused(shared: laminardb.Connection, data: Any, call: str) -> None:
    shared.execute("BEGIN")
    try:
        getattr(shared, call)("keyed", data)
    except (TypeError, laminardb.IngestionError):
        assert shared.sql("SELECT count(*) FROM keyed").fetchall() == [(0,)]
    finally:
        shared.execute("ROLLBACK")
