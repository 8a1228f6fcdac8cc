"""Columns of every type, what is drawn for them, and how values are compared."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
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


def plain(value: Any) -> Any:
    """Comparable: NaN equal to itself, the zeros apart, one instant in one zone."""
    if isinstance(value, float):
        return ("float", repr(float(value)))
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


def of_pandas(value: Any, data_type: pa.DataType) -> Any:
    """A value of a frame as the value that it stands for in a column of `data_type`, where NaN stands for NULL."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if pa.types.is_list(data_type):
        return [of_pandas(item, data_type.value_type) for item in value]
    if pa.types.is_struct(data_type):
        return {field.name: of_pandas(value[field.name], field.type) for field in data_type}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if value != value:
            return None
        # Integers beside NULL are floats.
        if pa.types.is_integer(data_type):
            assert value.is_integer()
            return int(value)
    return value


def nan_is_null(value: Any) -> Any:
    """`value` as pandas can tell it."""
    return None if isinstance(value, float) and value != value else value
