"""Answers of both engines in one form: numbers without widths, moments and intervals as nanoseconds, NaN equal to NaN."""

from __future__ import annotations

import decimal
import math
from typing import Any

import pyarrow as pa

NAN = "NaN"
DAY = 86_400_000_000_000
UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def plain(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """The values of a column, with the class of what is no number."""
    kind = column.type
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        name = "timestamptz" if kind.tz else "timestamp"
        return tagged(name, column.view(pa.int64()), UNIT[kind.unit])
    if pa.types.is_date(kind):
        return tagged("date", column.view(pa.int32()) if pa.types.is_date32(kind) else column, 1)
    if pa.types.is_time(kind):
        return tagged("time", column.view(pa.int64() if pa.types.is_time64(kind) else pa.int32()), UNIT[kind.unit])
    if pa.types.is_duration(kind):
        return tagged("interval", column.view(pa.int64()), UNIT[kind.unit])
    if pa.types.is_interval(kind):
        return [span(value) for value in column.to_pylist()]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [None if not item.is_valid else tuple(plain(item.values)) for item in column]
    if pa.types.is_struct(kind):
        fields = [plain(column.field(place)) for place in range(kind.num_fields)]
        rows = zip(*fields, strict=True)
        return [row if item.is_valid else None for item, row in zip(column, rows, strict=True)]
    return [one(value) for value in column.to_pylist()]


def tagged(name: str, column: pa.Array, unit: int) -> list[Any]:
    return [None if value is None else (name, value * unit) for value in column.to_pylist()]


def span(value: Any) -> Any:
    """An interval by its length, as both compare it: months of 30 days, days of 24 hours."""
    return None if value is None else ("interval", (value.months * 30 + value.days) * DAY + value.nanoseconds)


def one(value: Any) -> Any:
    if isinstance(value, float):
        return NAN if math.isnan(value) else value + 0.0
    return value


def same(ours: Any, theirs: Any) -> bool:
    """Equal, where a DOUBLE equals what differs in its last digits alone."""
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) or isinstance(theirs, float):
        return close(ours, theirs)
    if isinstance(ours, bool) != isinstance(theirs, bool):
        return False
    return bool(ours == theirs) and (ours is None) == (theirs is None)


def close(ours: Any, theirs: Any) -> bool:
    if not (isinstance(ours, (int, float, decimal.Decimal)) and isinstance(theirs, (int, float, decimal.Decimal))):
        return False
    left, right = float(ours), float(theirs)
    return left == right or math.isclose(left, right, rel_tol=1e-12, abs_tol=5e-324)
