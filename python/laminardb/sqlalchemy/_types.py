"""Types of columns: those that SQLAlchemy has no name for, how Python's values are bound, and types from their text."""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy
from sqlalchemy import types
from sqlalchemy.sql.sqltypes import _AbstractInterval
from sqlalchemy.sql.type_api import NativeForEmulated

__all__ = [
    "COLUMN_TYPES",
    "INTERVAL",
    "STRUCT",
    "TINYINT",
    "UBIGINT",
    "UINTEGER",
    "USMALLINT",
    "UTINYINT",
    "column_type",
]

_Processor = Callable[[Any], Any] | None


class TINYINT(types.SmallInteger):
    """Integers of 8 bits."""

    __visit_name__ = "TINYINT"


class UTINYINT(types.SmallInteger):
    """Integers of 8 bits without a sign."""

    __visit_name__ = "UTINYINT"


class USMALLINT(types.SmallInteger):
    """Integers of 16 bits without a sign."""

    __visit_name__ = "USMALLINT"


class UINTEGER(types.Integer):
    """Integers of 32 bits without a sign."""

    __visit_name__ = "UINTEGER"


class UBIGINT(types.BigInteger):
    """Integers of 64 bits without a sign."""

    __visit_name__ = "UBIGINT"


class STRUCT(types.UserDefinedType[dict[str, Any]]):
    """A struct, whose values are dicts; `fields` is what stands between the parentheses in SQL.

    >>> from laminardb.sqlalchemy import STRUCT
    >>> STRUCT("a BIGINT, b VARCHAR").get_col_spec()
    'STRUCT(a BIGINT, b VARCHAR)'
    """

    cache_ok = True

    def __init__(self, fields: str) -> None:
        self.fields = fields

    def get_col_spec(self, **_: Any) -> str:
        """The type in SQL."""
        return f"STRUCT({self.fields})"

    @property
    def python_type(self) -> type[dict[str, Any]]:
        """The class of its values."""
        return dict


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _interval(value: datetime.timedelta) -> str:
    return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"


class LaminarNumeric(types.Numeric[Any]):
    """Decimals; a quotient of decimals is a DOUBLE in the database, and comes as the `Decimal` of its shortest text."""

    def result_processor(self, dialect: Any, coltype: Any) -> _Processor:
        """A `Decimal`, or a float if `asdecimal=False`."""
        if not self.asdecimal:
            return lambda value: None if value is None else float(value)
        return lambda value: decimal.Decimal(str(value)) if isinstance(value, int | float) else value


class LaminarDate(types.Date):
    """Dates, which stand in SQL as `DATE '...'`."""

    def bind_processor(self, dialect: Any) -> _Processor:
        """A moment of a `datetime` is left out, as by other databases."""
        return lambda value: value.date() if isinstance(value, datetime.datetime) else value

    def literal_processor(self, dialect: Any) -> _Processor:
        """The date as SQL."""
        return lambda value: f"DATE '{value:%Y-%m-%d}'" if value.year >= 1000 else f"DATE '{value.isoformat()[:10]}'"


class LaminarTime(types.Time):
    """Times of the day, which stand in SQL as `TIME '...'`."""

    def literal_processor(self, dialect: Any) -> _Processor:
        """The time as SQL."""
        return lambda value: f"TIME '{value.isoformat()}'"


class LaminarDateTime(types.DateTime):
    """Timestamps with and without a zone, which stand in SQL as `TIMESTAMP '...'` and `TIMESTAMPTZ '...'`."""

    def literal_processor(self, dialect: Any) -> _Processor:
        """The timestamp as SQL."""

        def process(value: datetime.datetime) -> str:
            return f"{'TIMESTAMPTZ' if value.tzinfo else 'TIMESTAMP'} '{value.isoformat(sep=' ')}'"

        return process


class INTERVAL(NativeForEmulated, _AbstractInterval):
    """Intervals as values of queries; columns cannot have them, and `Interval(native=False)` is kept as a timestamp."""

    __visit_name__ = "INTERVAL"
    native = True

    @classmethod
    def adapt_emulated_to_native(cls, impl: Any, **kw: Any) -> INTERVAL:
        """The interval of the database in place of SQLAlchemy's own."""
        return cls()

    def bind_processor(self, dialect: Any) -> _Processor:
        """The interval as text, which `bind_expression` casts."""
        return lambda value: None if value is None else _interval(value)

    def bind_expression(self, bindvalue: Any) -> Any:
        """A parameter cannot be an interval, so its text is cast."""
        return sqlalchemy.cast(bindvalue, self)

    def result_processor(self, dialect: Any, coltype: Any) -> _Processor:
        """A `timedelta`; one with months has no such form, and stays `(months, days, nanoseconds)`."""

        def process(value: Any) -> Any:
            if isinstance(value, tuple) and value[0] == 0 and value[2] % 1000 == 0:
                return datetime.timedelta(days=value[1], microseconds=value[2] // 1000)
            return value

        return process

    def literal_processor(self, dialect: Any) -> _Processor:
        """The interval as SQL."""
        return lambda value: f"INTERVAL '{_interval(value)}'"


class LaminarUuid(types.Uuid[Any]):
    """UUIDs, which the database has as text with dashes."""

    def bind_processor(self, dialect: Any) -> _Processor:
        """The UUID as text; a text is brought into the one form that is compared."""

        def process(value: Any) -> str | None:
            return None if value is None else str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))

        return process

    def result_processor(self, dialect: Any, coltype: Any) -> _Processor:
        """A `uuid.UUID`, or text if `as_uuid=False`."""
        if not self.as_uuid:
            return None
        return lambda value: None if value is None else uuid.UUID(value)

    def literal_processor(self, dialect: Any) -> _Processor:
        """The UUID as SQL."""
        bind = self.bind_processor(dialect)
        return lambda value: _quoted(bind(value)) if bind else value


COLUMN_TYPES: dict[type[Any], type[Any]] = {
    types.Numeric: LaminarNumeric,
    types.Float: types.Float,
    types.Date: LaminarDate,
    types.Time: LaminarTime,
    types.DateTime: LaminarDateTime,
    types.Interval: INTERVAL,
    types.Uuid: LaminarUuid,
}

_SIMPLE: dict[str, type[types.TypeEngine[Any]]] = {
    "BIGINT": types.BIGINT,
    "BLOB": types.BLOB,
    "BOOLEAN": types.BOOLEAN,
    "DATE": types.DATE,
    "DOUBLE": types.DOUBLE,
    "INTEGER": types.INTEGER,
    "INTERVAL": INTERVAL,
    "JSON": types.JSON,
    "REAL": types.REAL,
    "SMALLINT": types.SMALLINT,
    "TIME": types.TIME,
    "TINYINT": TINYINT,
    "UBIGINT": UBIGINT,
    "UINTEGER": UINTEGER,
    "USMALLINT": USMALLINT,
    "UTINYINT": UTINYINT,
    "VARCHAR": types.VARCHAR,
}


def column_type(text: str) -> types.TypeEngine[Any]:
    """The type that DESCRIBE writes as `text`; what has no counterpart is a `NullType`."""
    if text.endswith("[]"):
        item = column_type(text[:-2])
        if isinstance(item, types.ARRAY):
            return types.ARRAY(item.item_type, dimensions=(item.dimensions or 1) + 1)
        return types.ARRAY(item, dimensions=1)
    if simple := _SIMPLE.get(text):
        return simple()
    if decimal := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", text):
        return types.DECIMAL(int(decimal[1]), int(decimal[2]))
    if re.fullmatch(r"TIMESTAMPTZ(\(\d\))?", text):
        return types.TIMESTAMP(timezone=True)
    if re.fullmatch(r"TIMESTAMP(\(\d\))?", text):
        return types.TIMESTAMP()
    if text.startswith("STRUCT(") and text.endswith(")"):
        return STRUCT(text[len("STRUCT(") : -1])
    return types.NullType()
