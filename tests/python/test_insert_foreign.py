"""What pandas, numpy, polars and pyarrow have besides plain columns: taken where exact, refused with our errors elsewhere.

An exception of another library never comes through, and a value is never taken for what it is stored as.
"""

from __future__ import annotations

import array
import collections
import ctypes
import datetime as dt
import decimal
import itertools
from collections.abc import Callable
from typing import Any

import laminardb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from laminardb import codes

D = decimal.Decimal
NAN = float("nan")
DAYS = [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)]


def frame(values: Any) -> pd.DataFrame:
    return pd.DataFrame({"v": values})


TAKEN: dict[str, tuple[str, Any, list[Any]]] = {
    "sparse integers": ("int64", frame(pd.arrays.SparseArray([1, 0, 2])), [1, 0, 2]),
    "sparse floats": ("int64", frame(pd.arrays.SparseArray([1.0, NAN, 2.0])), [1, None, 2]),
    "sparse booleans": ("bool", frame(pd.arrays.SparseArray([True, False])), [True, False]),
    "sparse instants": (
        "timestamp",
        frame(pd.Series(pd.to_datetime([DAYS[0], None])).astype("Sparse[datetime64[ns]]")),
        [DAYS[0], None],
    ),
    "a sparse array": ("int64", {"v": pd.arrays.SparseArray([1, 0, 2])}, [1, 0, 2]),
    "categories of text": ("string", frame(pd.Categorical(["a", "b", None])), ["a", "b", None]),
    "categories of integers": ("int64", frame(pd.Categorical([2**53 + 1, None])), [2**53 + 1, None]),
    "categories of floats": ("float64", frame(pd.Categorical([1.5, 2.5])), [1.5, 2.5]),
    "categories of booleans": ("bool", frame(pd.Categorical([True, False])), [True, False]),
    "categories of instants": ("timestamp", frame(pd.Categorical(pd.to_datetime(DAYS))), DAYS),
    "categories of numbers that all fit": ("float64", frame(pd.Categorical([1, 2.5, None])), [1.0, 2.5, None]),
    "no categories": ("int64", frame(pd.Categorical([None, None])), [None, None]),
    "an index of categories": ("int64", {"v": pd.CategoricalIndex([1, 2])}, [1, 2]),
    "masked integers": ("int64", {"v": np.ma.array([1, 2, 3], mask=[0, 1, 0])}, [1, None, 3]),
    "masked values that do not fit": ("int64", {"v": np.ma.array([1.5, 2.0], mask=[1, 0])}, [None, 2]),
    "masked NaN": ("float64", {"v": np.ma.array([NAN, 2.0], mask=[1, 0])}, [None, 2.0]),
    "all masked": ("int64", {"v": np.ma.masked_all(2)}, [None, None]),
    "none masked": ("int64", {"v": np.ma.array([1, 2])}, [1, 2]),
    "masked text": ("string", {"v": np.ma.array(["a", "b"], mask=[0, 1])}, ["a", None]),
    "masked objects": ("string", {"v": np.ma.array(["a", "b"], mask=[0, 1], dtype=object)}, ["a", None]),
    "masked days": ("timestamp", {"v": np.ma.array(np.array(DAYS, "M8[D]"), mask=[0, 1])}, [DAYS[0], None]),
    "masked instants": ("timestamp", {"v": np.ma.array(np.array(DAYS, "M8[ns]"), mask=[0, 1])}, [DAYS[0], None]),
    "the masked constant": ("int64", [{"v": np.ma.masked}], [None]),
    "no duration": ("int64", [{"v": np.timedelta64("NaT")}], [None]),
    "half floats": ("int64", {"v": np.array([1, 2], np.float16)}, [1, 2]),
    "another order of bytes": ("int64", {"v": np.array([1, 2], ">i8")}, [1, 2]),
    "numpy strings": ("string", {"v": np.array(["a", "b"], np.dtypes.StringDType())}, ["a", "b"]),
    "objects of several kinds that fit": (
        "float64",
        frame(pd.Series([1, 2.5, D("0.5"), None], dtype=object)),
        [1, 2.5, 0.5, None],
    ),
    "an Arrow dictionary": (
        "int64",
        frame(pd.Series([1, 2], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.int64())))),
        [1, 2],
    ),
    "a range": ("int64", {"v": range(2)}, [0, 1]),
    "a deque": ("int64", {"v": collections.deque([1, 2])}, [1, 2]),
    "an array": ("int64", {"v": array.array("i", [1, 2])}, [1, 2]),
    "polars categories": ("string", pl.DataFrame({"v": pl.Series(["a"], dtype=pl.Categorical)}), ["a"]),
    "polars enum": ("string", pl.DataFrame({"v": pl.Series(["a"], dtype=pl.Enum(["a"]))}), ["a"]),
    "polars nothing": ("int64", pl.DataFrame({"v": [None, None]}), [None, None]),
    "polars nothing in a Series": ("string", {"v": pl.Series([None])}, [None]),
}


@pytest.mark.parametrize("case", TAKEN)
def test_taken(conn: laminardb.Connection, case: str) -> None:
    type_name, data, stored = TAKEN[case]
    conn.create_table("t", {"v": type_name})
    assert conn.insert("t", data) == len(stored)
    assert conn.sql("SELECT * FROM t").fetchall() == [(value,) for value in stored]


class NoLength:
    """Has a length that fails."""

    def __getitem__(self, place: int) -> int:
        return place

    def __len__(self) -> int:
        raise ValueError("no length")


class Failing:
    """Gives no Arrow data."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise ValueError("not today")


REFUSED: dict[str, Any] = {
    "categories of several kinds": frame(pd.Categorical([1, "a", None])),
    "intervals in categories": frame(pd.cut([1, 2, 3], 2)),
    "periods": frame(pd.period_range("2024", periods=2)),
    "periods in Arrow": pa.table({"v": pa.array(pd.period_range("2024", periods=2))}),
    "periods in an Arrow array": {"v": pa.array(pd.period_range("2024", periods=2))},
    "an index of periods": {"v": pd.period_range("2024", periods=2)},
    "intervals": frame(pd.interval_range(0, 2)),
    "durations": frame(pd.to_timedelta([1, 2], unit="s")),
    "durations of numpy": {"v": np.array([1, 2], "m8[ns]")},
    "durations of numpy in a row": [{"v": np.array(1, "m8[ns]")}],
    "a duration": [{"v": dt.timedelta(1)}],
    "durations of polars": pl.DataFrame({"v": [dt.timedelta(1)]}),
    "durations of Arrow": frame(pd.Series([1, 2], dtype=pd.ArrowDtype(pa.duration("s")))),
    "complex numbers": {"v": np.array([1j, 2])},
    "complex numbers in a frame": frame([1j, 2]),
    "a complex number": [{"v": np.complex128(1)}],
    "records": {"v": np.array([(1, 2)], [("a", "i4"), ("b", "i4")])},
    "a record array": {"v": np.rec.array([(1, 2)])},
    "masked lists": {"v": np.ma.array([[1, 2], [3, 4]], mask=[[1, 0], [0, 0]])},
    "objects of several kinds": frame(pd.Series([1, object()], dtype=object)),
    "a set": {"v": {1, 2}},
    "a generator": {"v": (value for value in [1, 2])},
    "values of a dict": {"v": {"a": 1}.values()},
    "a frame in a frame": {"v": pd.DataFrame({"a": [1, 2]})},
    "a polars frame in a dict": {"v": pl.DataFrame({"a": [1, 2]})},
    "a Series in a row": [{"v": pd.Series([1, 2])}],
    "columns in levels": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("v", "x"), ("v", "y")])),
    "a column twice": pd.DataFrame([[1, 2]], columns=["v", "v"]),
    "a number as a name": pd.DataFrame([[1]], columns=[1]),
    "half a surrogate pair as a name": pd.DataFrame([[1]], columns=pd.Index(["\ud800"], dtype=object)),
    "half a surrogate pair": frame(pd.Series(["\ud800"], dtype=object)),
    "half a surrogate pair in numpy": {"v": np.array(["\ud800"])},
    "polars objects": pl.DataFrame({"v": [object()]}),
    "a polars Series of objects": {"v": pl.Series("v", [object()], dtype=pl.Object)},
    "polars integers of 128 bits": pl.DataFrame({"v": pl.Series([1], dtype=pl.Int128)}),
    "Arrow unions": pa.table({"v": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}),
    "Arrow maps": pa.table({"v": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}),
    "Arrow intervals": pa.table({"v": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
    "an array in itself": [{"v": (lambda inner: (inner.__setitem__((), inner), inner)[1])(np.empty((), object))}],
    "a sequence without a length": {"v": NoLength()},
    "a library that fails": Failing(),
}


COLUMNS = ["BIGINT", "VARCHAR", "TIMESTAMP", "BLOB", "BIGINT[]", "STRUCT(a VARCHAR)"]
# What is a list in a column of lists has a test of its own.
PAIRS = [pair for pair in itertools.product(REFUSED, COLUMNS) if pair != ("masked lists", "BIGINT[]")]


@pytest.mark.parametrize(("case", "type_name"), PAIRS)
def test_refused(conn: laminardb.Connection, case: str, type_name: str) -> None:
    conn.execute(f"CREATE TABLE t (v {type_name})")
    with pytest.raises(laminardb.IngestionError) as error:
        conn.insert("t", REFUSED[case])
    assert error.value.code in (codes.BATCH_SCHEMA_MISMATCH, codes.INGESTION_FAILED)
    assert conn.sql("SELECT * FROM t").fetchall() == []


def test_lists_of_masked_arrays(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (v BIGINT[])")
    conn.insert("t", {"v": np.ma.array([[1, 2], [3, 4]], mask=[[1, 0], [0, 0]])})
    conn.insert("t", [{"v": np.ma.array([5, 6], mask=[0, 1])}, {"v": np.ma.masked}])
    assert conn.sql("SELECT * FROM t").fetchall() == [([None, 2],), ([3, 4],), ([5, None],), (None,)]


def test_the_error_of_a_library_is_the_cause(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"v": "int64"})
    with pytest.raises(laminardb.IngestionError, match="ValueError: not today") as error:
        conn.insert("t", Failing())
    assert isinstance(error.value.__cause__, ValueError)


def test_a_signal_is_no_error_of_a_library(conn: laminardb.Connection) -> None:
    class Interrupted:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise KeyboardInterrupt

    conn.create_table("t", {"v": "int64"})
    with pytest.raises(KeyboardInterrupt):
        conn.insert("t", Interrupted())


class Stream(ctypes.Structure):
    """The C stream of Arrow."""


Read = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Stream), ctypes.c_void_p)
Text = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(Stream))
Stream._fields_ = [
    ("get_schema", Read),
    ("get_next", Read),
    ("get_last_error", Text),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


def stream_that_fails(method: str, text: bytes | None, keep: list[Any]) -> Any:
    """A stream of Arrow one method of which gives error 5, with this text."""
    capsule = pa.table({"v": pa.array([1], pa.int64())}).__arrow_c_stream__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = pointer(capsule, b"arrow_array_stream")
    stream = ctypes.cast(address, ctypes.POINTER(Stream)).contents
    said = ctypes.create_string_buffer(text) if text is not None else None
    fail = Read(lambda stream, out: 5)
    tell = Text(lambda stream: ctypes.addressof(said) if said is not None else None)
    setattr(stream, method, fail)
    stream.get_last_error = tell
    keep += [capsule, said, fail, tell]

    class Source:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return capsule

    return Source()


@pytest.mark.parametrize(("text", "shown"), [(None, "error 5"), (b"broken", "broken"), (b"\xff\x1b[2J", r"\x1b[2J")])
@pytest.mark.parametrize("method", ["get_schema", "get_next"])
def test_the_error_of_a_stream_may_have_no_text(
    conn: laminardb.Connection, capfd: pytest.CaptureFixture[str], method: str, text: bytes | None, shown: str
) -> None:
    keep: list[Any] = []
    conn.create_table("t", {"v": "int64"})
    with pytest.raises(laminardb.IngestionError) as error:
        conn.insert("t", stream_that_fails(method, text, keep))
    assert shown in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_stream_read_twice_is_an_error(conn: laminardb.Connection) -> None:
    capsule = pa.table({"v": [1]}).__arrow_c_stream__()

    class Source:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return capsule

    conn.create_table("t", {"v": "int64"})
    assert conn.insert("t", Source()) == 1
    with pytest.raises(laminardb.IngestionError, match="read already"):
        conn.insert("t", Source())


@pytest.fixture
def keyed(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, g VARCHAR, x DOUBLE)")
    return conn


WRITES: list[Callable[[laminardb.Connection, Any], Any]] = [
    lambda conn, data: conn.insert("t", data),
    lambda conn, data: conn.upsert("t", data),
    lambda conn, data: conn.writer("t").insert(data),
]


@pytest.mark.parametrize("write", WRITES)
def test_a_named_index_is_the_column_of_that_name(keyed: laminardb.Connection, write: Any) -> None:
    write(keyed, pd.DataFrame({"id": [7, 8], "g": ["a", "b"], "x": [0.5, 1.5]}).set_index("id"))
    assert sorted(keyed.sql("SELECT * FROM t").fetchall()) == [(7, "a", 0.5), (8, "b", 1.5)]
    keyed.delete("t", pd.DataFrame(index=pd.Index([7], name="ID")))
    assert keyed.sql("SELECT id FROM t").fetchall() == [(8,)]


def test_each_named_level_of_an_index_is_a_column(keyed: laminardb.Connection) -> None:
    grouped = pd.DataFrame({"id": [1, 1, 2], "g": ["a", "a", "b"], "x": [1.0, 2.0, 4.0]}).groupby(["id", "g"]).sum()
    assert keyed.insert("t", grouped) == 2
    assert sorted(keyed.sql("SELECT * FROM t").fetchall()) == [(1, "a", 3.0), (2, "b", 4.0)]
    levels = pd.MultiIndex.from_tuples([(3, "c", 0)], names=["id", None, "other"])
    assert keyed.insert("t", pd.DataFrame({"x": [9.0]}, index=levels)) == 1
    assert (3, None, 9.0) in keyed.sql("SELECT * FROM t").fetchall()


def test_a_column_comes_before_the_index_of_its_name(keyed: laminardb.Connection) -> None:
    frame = pd.DataFrame({"id": [1], "x": [0.5]}, index=pd.Index([7], name="ID"))
    keyed.insert("t", frame)
    assert keyed.sql("SELECT * FROM t").fetchall() == [(1, None, 0.5)]


def test_the_values_of_an_index_are_cast_as_those_of_a_column(keyed: laminardb.Connection) -> None:
    with pytest.raises(laminardb.IngestionError, match="id") as error:
        keyed.insert("t", pd.DataFrame({"x": [0.5]}, index=pd.Index(["a"], name="id")))
    assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
    with pytest.raises(laminardb.IngestionError, match="given twice"):
        keyed.insert("t", pd.DataFrame(index=pd.MultiIndex.from_tuples([(1, 2)], names=["id", "ID"])))


NOTHING: dict[str, Any] = {"None": None, "NaN": NAN, "NaT": pd.NaT, "NA": pd.NA, "numpy NaN": np.float64(NAN)}
EVERY = ["bool", "int8", "uint64", "decimal(5,2)", "string", "binary", "date", "time", "timestamp", "timestamptz"]
FORMS: dict[str, Callable[[Any], Any]] = {
    "row": lambda value: {"v": value},
    "rows": lambda value: [{"v": value}],
    "columns": lambda value: {"v": [value]},
    "frame": lambda value: pd.DataFrame({"v": [value]}),
    "frame of objects": lambda value: pd.DataFrame({"v": pd.Series([value], dtype=object)}),
    "Series": lambda value: {"v": pd.Series([value], dtype=object)},
    "array of objects": lambda value: {"v": np.array([value], dtype=object)},
    "records": lambda value: pd.DataFrame({"v": pd.Series([value], dtype=object)}).to_dict("records"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nothing", NOTHING)
def test_what_is_missing_is_null_in_every_form(conn: laminardb.Connection, nothing: str, form: str) -> None:
    conn.create_table("t", {"v": "int64"})
    for type_name in EVERY:
        conn.execute("DROP SOURCE t")
        conn.create_table("t", {"v": type_name})
        assert conn.insert("t", FORMS[form](NOTHING[nothing])) == 1
        assert conn.sql("SELECT * FROM t").fetchall() == [(None,)], type_name


def test_nan_of_an_array_is_null_where_no_number_is_nan(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"i": "int64", "d": "decimal(5,2)", "f": "float64"})
    for kind in ("float16", "float32", "float64"):
        values = np.array([1, NAN], kind)
        conn.insert("t", {"i": values, "d": values, "f": values})
    assert [str(row) for row in conn.sql("SELECT * FROM t")] == ["(1, Decimal('1.00'), 1.0)", "(None, None, nan)"] * 3


def test_records_of_a_frame_are_its_rows(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"id": "int64", "s": "string", "ts": "timestamp", "n": "decimal(5,2)"})
    frame = pd.DataFrame(
        {
            "id": [1.0, NAN],
            "s": ["x", None],
            "ts": pd.to_datetime([DAYS[0], None]),
            "n": pd.Series([D("1.5"), NAN], dtype=object),
        }
    )
    conn.insert("t", frame)
    conn.insert("t", frame.to_dict("records"))
    conn.insert("t", frame.to_dict("list"))
    assert conn.sql("SELECT * FROM t").fetchall() == [(1, "x", DAYS[0], D("1.50")), (None,) * 4] * 3


def test_nan_of_arrow_is_no_null(conn: laminardb.Connection) -> None:
    """There NULL is another thing."""
    conn.create_table("t", {"v": "int64"})
    for data in (pa.table({"v": [1.0, NAN]}), pl.DataFrame({"v": [1.0, NAN]})):
        with pytest.raises(laminardb.IngestionError) as error:
            conn.insert("t", data)
        assert error.value.code == codes.BATCH_SCHEMA_MISMATCH
