"""The SQLAlchemy dialect: `create_engine("laminardb://")`, or an engine on a database that is open already.

>>> import sqlalchemy
>>> engine = sqlalchemy.create_engine("laminardb://")
>>> with engine.begin() as connection:
...     _ = connection.execute(sqlalchemy.text("CREATE TABLE rooms (id BIGINT PRIMARY KEY, name VARCHAR)"))
...     _ = connection.execute(sqlalchemy.text("INSERT INTO rooms VALUES (1, 'hall')"))
>>> with engine.connect() as connection:
...     connection.execute(sqlalchemy.text("SELECT name FROM rooms")).all()
[('hall',)]
>>> engine.dispose()
"""

from __future__ import annotations

from ._dialect import LaminarDialect, engine
from ._insert import Insert, insert
from ._types import STRUCT, TINYINT, UBIGINT, UINTEGER, USMALLINT, UTINYINT

__all__ = [
    "STRUCT",
    "TINYINT",
    "UBIGINT",
    "UINTEGER",
    "USMALLINT",
    "UTINYINT",
    "Insert",
    "LaminarDialect",
    "engine",
    "insert",
]
