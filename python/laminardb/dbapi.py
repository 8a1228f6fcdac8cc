"""The interface that PEP 249 describes: `connect()`, its connections and cursors, type objects and exceptions.

>>> from laminardb import dbapi
>>> connection = dbapi.connect(":memory:")
>>> cursor = connection.cursor()
>>> cursor.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR)").rowcount
-1
>>> cursor.execute("INSERT INTO t VALUES (?, ?)", (1, "a")).rowcount
1
>>> connection.commit()
>>> cursor.execute("SELECT name FROM t").fetchone()
('a',)
>>> connection.close()
"""

from __future__ import annotations

import datetime
import os
import time
from types import TracebackType
from typing import Literal, Self

from . import _laminardb as native
from ._cursor import Cursor
from ._errors import (
    CONVERTING,
    CancelledError,
    ClosedError,
    ConstraintError,
    DatabaseError,
    DataError,
    DefinitionError,
    Error,
    ExternalError,
    ImageError,
    IntegrityError,
    InterfaceError,
    InternalError,
    MaintenanceError,
    NotSupportedError,
    OpenError,
    OperationalError,
    ProgrammingError,
    RowsError,
    StatementError,
    Warning,
)

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "CancelledError",
    "ClosedError",
    "Connection",
    "ConstraintError",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "DefinitionError",
    "Error",
    "ExternalError",
    "ImageError",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "MaintenanceError",
    "NotSupportedError",
    "OpenError",
    "OperationalError",
    "ProgrammingError",
    "RowsError",
    "StatementError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "TypeObject",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]

apilevel = "2.0"
threadsafety = 2
paramstyle = "qmark"

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


class TypeObject:
    """A kind of columns: it equals the SQL types that a cursor's description names, if they are of the kind.

    >>> from laminardb import dbapi
    >>> "DECIMAL(10,2)" == dbapi.NUMBER
    True
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str, *types: str) -> None:
        self._name = name
        self._types = frozenset(types)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            # Lists and structs are of no kind, whatever is in them.
            nested = other.endswith("]") or other.startswith("STRUCT")
            return not nested and other.partition("(")[0] in self._types
        return self is other

    def __repr__(self) -> str:
        return f"laminardb.dbapi.{self._name}"


STRING = TypeObject("STRING", "VARCHAR")
BINARY = TypeObject("BINARY", "BLOB")
NUMBER = TypeObject(
    "NUMBER",
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("REAL", "DOUBLE", "DECIMAL"),
)
DATETIME = TypeObject("DATETIME", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "INTERVAL")
ROWID = TypeObject("ROWID")


def DateFromTicks(ticks: float) -> datetime.date:
    """The local day of a number of seconds since 1970."""
    return datetime.date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> datetime.time:
    """The local time of day of a number of seconds since 1970, in whole seconds."""
    return datetime.time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """The local time of a number of seconds since 1970, in whole seconds."""
    return datetime.datetime(*time.localtime(ticks)[:6])


class Connection:
    """A connection of PEP 249. Made by `connect()`; threads may share it, and all its cursors share its transaction.

    A `with` block commits at its end, or rolls back on an exception; it does not close.

    >>> from laminardb import dbapi
    >>> conn.create_table("t", {"a": "int64"})
    >>> with dbapi.connect(conn) as connection:
    ...     connection.cursor().execute("INSERT INTO t VALUES (1)").rowcount
    1
    >>> len(conn.sql("SELECT * FROM t"))
    1
    """

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    DataError = DataError
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    InternalError = InternalError
    ProgrammingError = ProgrammingError
    NotSupportedError = NotSupportedError

    def __init__(self, database: native.Connection, *, owns: bool, autocommit: bool) -> None:
        """Make a connection to `database`, which `close()` closes if the connection `owns` it."""
        self._database = database
        self._owns = owns
        self._autocommit = autocommit
        self._session = database._session(joins=False)

    @property
    def autocommit(self) -> bool:
        """Whether each statement is a write of its own, outside a transaction that was begun explicitly.

        Without it, INSERT, UPDATE, DELETE and TRUNCATE begin a transaction that `commit()` or `rollback()` ends. It
        cannot be changed while a transaction is open (`ProgrammingError`).
        """
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if self.in_transaction:
            raise StatementError("Query failed (400): autocommit cannot be changed inside a transaction")
        self._autocommit = bool(value)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction of the connection is open."""
        with CONVERTING:
            return self._session.in_transaction

    def cursor(self) -> Cursor:
        """Make a cursor whose statements run in this connection.

        >>> from laminardb import dbapi
        >>> dbapi.connect(conn).cursor().execute("SELECT 1").fetchone()
        (1,)
        """
        if self._session.is_closed:
            raise ClosedError("Connection is closed")
        return Cursor(self, self._session, owns=False, begins=self._begins)

    def _begins(self) -> bool:
        return not self._autocommit

    def commit(self) -> None:
        """Commit the open transaction; does nothing when there is none.

        >>> from laminardb import dbapi
        >>> dbapi.connect(conn).commit()
        """
        with CONVERTING:
            self._session.commit()

    def rollback(self) -> None:
        """Roll back the open transaction; does nothing when there is none.

        >>> from laminardb import dbapi
        >>> dbapi.connect(conn).rollback()
        """
        with CONVERTING:
            self._session.rollback()

    def close(self) -> None:
        """End the connection, and roll back its transaction. It may be called again.

        The database ends with it only if `connect()` has opened it.

        >>> from laminardb import dbapi
        >>> dbapi.connect(conn).close()
        >>> conn.is_closed
        False
        """
        with CONVERTING:
            self._session.close()
            if self._owns:
                self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        if exc_type is None:
            self.commit()
        else:
            self.rollback()
        return False


def connect(
    database: str | os.PathLike[str] | native.Connection = ":memory:",
    *,
    config: native.LaminarConfig | None = None,
    autocommit: bool = False,
) -> Connection:
    """Open a database, or make a further connection to an open one.

    `database` is a path, `":memory:"`, or a connection of laminardb, which `close()` of the result leaves open.
    `config` is for a path alone (`TypeError`). Without `autocommit`, INSERT, UPDATE, DELETE and TRUNCATE begin a
    transaction, which `commit()` or `rollback()` of the connection ends; until then, writes of others wait.

    >>> from laminardb import dbapi
    >>> dbapi.connect(conn, autocommit=True).autocommit
    True
    """
    with CONVERTING:
        if not isinstance(database, native.Connection):
            return Connection(native.open(database, config=config), owns=True, autocommit=autocommit)
        if config is not None:
            raise TypeError("config is for a database that connect() opens, not for an open connection")
        return Connection(database, owns=False, autocommit=autocommit)
