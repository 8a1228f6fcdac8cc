"""pandas frames of results, exact where pandas' own conversion would round or lose a value."""

from __future__ import annotations

from typing import Any

import pandas
import pyarrow
import pyarrow.compute

from ._laminardb import QueryError

# Beyond it a float holds no longer every integer.
_EXACT = 2**53
# What pandas reads as NaT.
_LEAST = -(2**63)


def frame(table: pyarrow.Table) -> pandas.DataFrame:
    """The table as a frame; integers that NULL beside them would make rounded floats stay integers."""
    try:
        made = table.to_pandas()
        for place, column in enumerate(table.columns):
            if _is_rounded(column):
                made.isetitem(place, _exact(column))
            elif _loses_instants(column):
                name = table.column_names[place]
                raise ValueError(f"column {name!r}: the least instant is none in pandas")
    except (ValueError, OverflowError) as error:
        raise QueryError(
            f"Query failed (400): pandas does not hold a value: {error}; export the result as Arrow"
        ) from error
    return made


def _is_rounded(column: pyarrow.ChunkedArray) -> bool:
    """Would floats hold these integers, or those in these lists and structs, only nearly?"""
    kind = column.type
    if pyarrow.types.is_integer(kind):
        if column.null_count == 0 or kind.bit_width < 64:
            return False
        ends = pyarrow.compute.min_max(column).as_py()
        return ends["min"] is not None and (ends["min"] < -_EXACT or ends["max"] > _EXACT)
    return any(_is_rounded(part) for part in _parts(column))


def _loses_instants(column: pyarrow.ChunkedArray) -> bool:
    kind = column.type
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_duration(kind):
        return bool(pyarrow.compute.min(column.cast(pyarrow.int64())).as_py() == _LEAST)
    return any(_loses_instants(part) for part in _parts(column))


def _parts(column: pyarrow.ChunkedArray) -> list[pyarrow.ChunkedArray]:
    """The columns inside lists or structs."""
    kind = column.type
    if pyarrow.types.is_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        return [pyarrow.compute.list_flatten(column)]
    if pyarrow.types.is_struct(kind):
        return [pyarrow.compute.struct_field(column, place) for place in range(kind.num_fields)]
    return []


def _exact(column: pyarrow.ChunkedArray) -> pandas.Series[Any]:
    nullable = {pyarrow.int64(): pandas.Int64Dtype(), pyarrow.uint64(): pandas.UInt64Dtype()}
    if column.type in nullable:
        return column.to_pandas(types_mapper=nullable.get)
    return column.to_pandas(integer_object_nulls=True)
