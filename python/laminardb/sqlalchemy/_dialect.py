"""The dialect: addresses, connections, transactions and what the compilers may use."""

from __future__ import annotations

import threading
import weakref
from types import ModuleType
from typing import Any, Literal

import sqlalchemy
from sqlalchemy import event, exc, pool

import laminardb
from laminardb import dbapi

from ._compiler import LaminarCompiler, LaminarDDLCompiler, LaminarPreparer, LaminarTypeCompiler
from ._reflection import LaminarReflection
from ._types import COLUMN_TYPES

__all__ = ["LaminarDialect", "engine"]

_Level = Literal["AUTOCOMMIT", "READ COMMITTED", "SERIALIZABLE"]

OPTIONS: dict[str, type[Any]] = {
    "buffer_size": int,
    "checkpoint_interval_ms": int,
    "lock_timeout": float,
    "memory_limit": str,
    "storage_dir": str,
    "table_spill_threshold": int,
    "workers": int,
}
"""The fields of `LaminarConfig`, each with the class that its text in an address is given to."""


def engine(connection: laminardb.Connection, **options: Any) -> sqlalchemy.Engine:
    """An engine on a database that is open already; `dispose()` leaves it open. `options` are `create_engine()`'s.

    >>> import sqlalchemy
    >>> from laminardb.sqlalchemy import engine
    >>> conn.create_table("rooms", {"id": "int64", "name": "string"}, primary_key="id")
    >>> sqlalchemy.inspect(engine(conn)).get_table_names()
    ['rooms']
    """
    return sqlalchemy.create_engine("laminardb://", creator=lambda: dbapi.connect(connection), **options)


def _config(query: Any) -> laminardb.LaminarConfig | None:
    """The settings that the query of an address names."""
    fields: dict[str, Any] = {}
    for name, text in query.items():
        if name not in OPTIONS:
            raise exc.ArgumentError(f"{name} is no option of laminardb; there are {', '.join(sorted(OPTIONS))}")
        if not isinstance(text, str):
            raise exc.ArgumentError(f"the option {name} is given {len(text)} times")
        try:
            fields[name] = OPTIONS[name](text)
        except ValueError:
            raise exc.ArgumentError(f"the option {name} is {text!r}, which is no {OPTIONS[name].__name__}") from None
    return laminardb.LaminarConfig(**fields) if fields else None


class LaminarDialect(LaminarReflection):
    """What SQLAlchemy knows about laminardb.

    An engine has one database, which its first connection opens and all of its threads share. `dispose()` gives it up:
    the database is closed as soon as no connection is checked out, and the next connection opens another.
    """

    name = "laminardb"
    driver = "laminardb"
    default_paramstyle = "qmark"
    supports_statement_cache = True

    statement_compiler = LaminarCompiler
    ddl_compiler = LaminarDDLCompiler
    type_compiler_cls = LaminarTypeCompiler
    preparer = LaminarPreparer
    colspecs = COLUMN_TYPES

    supports_native_boolean = True
    supports_native_decimal = True
    supports_native_uuid = True
    returns_native_bytes = True
    supports_schemas = False
    supports_alter = False
    supports_default_values = False
    supports_empty_insert = False
    supports_multivalues_insert = True
    use_insertmanyvalues = True
    use_insertmanyvalues_wo_returning = True
    cte_follows_insert = True
    postfetch_lastrowid = False
    supports_sane_rowcount = True
    supports_sane_multi_rowcount = True

    def __init__(
        self,
        laminardb_ignore_constraints: bool = False,
        json_serializer: Any = None,
        json_deserializer: Any = None,
        **options: Any,
    ) -> None:
        """Makes a dialect with options of `create_engine()`.

        With `laminardb_ignore_constraints`, foreign keys, UNIQUE, CHECK and indexes are left out of CREATE TABLE;
        without it they are refused, because the database does not keep them.
        """
        super().__init__(**options)
        self.ignore_constraints = laminardb_ignore_constraints
        self._json_serializer = json_serializer
        self._json_deserializer = json_deserializer
        self._opening = threading.Lock()
        self._database: laminardb.Connection | None = None
        self._serializable: weakref.WeakSet[Any] = weakref.WeakSet()

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """The module of PEP 249."""
        return dbapi

    @classmethod
    def get_pool_class(cls, url: Any) -> type[pool.Pool]:
        """A pool whose connections go from thread to thread, also on a database in memory."""
        return pool.QueuePool

    @classmethod
    def engine_created(cls, engine: Any) -> None:
        """Has `dispose()` give up the database."""
        event.listen(engine, "engine_disposed", lambda disposed: disposed.dialect._give_up())

    def create_connect_args(self, url: Any) -> tuple[Any, dict[str, Any]]:
        """The path and the settings that an address names; None of a path is a database in memory."""
        for part in ("username", "password", "host", "port"):
            if getattr(url, part) is not None:
                raise exc.ArgumentError(
                    f"an address of laminardb has no {part}: it is laminardb:// for a database in memory, "
                    "laminardb:///relative/path or laminardb:////absolute/path"
                )
        return [url.database or ":memory:", _config(url.query)], {}

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Opens the database if it is not open, and gives a connection to it.

        `connect_args={"config": LaminarConfig(...)}` of `create_engine()` has settings in place of the address.
        """
        path, config = arguments
        if unknown := options.keys() - {"config"}:
            raise exc.ArgumentError(f"connect_args of laminardb has no {', '.join(sorted(unknown))}")
        if config is not None and "config" in options:
            raise exc.ArgumentError("settings are given in the address and in connect_args")
        with self._opening:
            if self._database is None:
                self._database = laminardb.open(path, config=options.get("config", config))
            return dbapi.connect(self._database)

    def _give_up(self) -> None:
        # Not closed here: connections that are checked out hold it, and closing it in a forked child is not ours.
        with self._opening:
            self._database = None

    def get_isolation_level_values(self, dbapi_connection: Any) -> list[_Level]:
        """The values of `isolation_level`."""
        return ["AUTOCOMMIT", "READ COMMITTED", "SERIALIZABLE"]

    def get_isolation_level(self, dbapi_connection: Any) -> _Level:
        """The level of a connection: READ COMMITTED, unless it was set.

        There a transaction begins with its first write, and what was read before may have changed by then.
        """
        if dbapi_connection.autocommit:
            return "AUTOCOMMIT"
        return "SERIALIZABLE" if dbapi_connection in self._serializable else "READ COMMITTED"

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Sets the level of a connection."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"
        self._serializable.discard(dbapi_connection)
        if level == "SERIALIZABLE":
            self._serializable.add(dbapi_connection)

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begins a transaction at once if the level is SERIALIZABLE; else the first write does."""
        connection = getattr(dbapi_connection, "dbapi_connection", dbapi_connection)
        if connection in self._serializable:
            connection.cursor().execute("BEGIN")

    def detect_autocommit_setting(self, dbapi_connection: Any) -> bool:
        """Whether each statement is a transaction of its own."""
        return bool(dbapi_connection.autocommit)

    def do_savepoint(self, connection: Any, name: str) -> None:
        """Refused: `begin_nested()` has no counterpart."""
        raise exc.CompileError("laminardb does not have savepoints")

    def do_begin_twophase(self, connection: Any, xid: Any) -> None:
        """Refused: `begin_twophase()` has no counterpart."""
        raise exc.CompileError("laminardb does not have two-phase commit")

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Runs a statement; that of an index which is left out is empty, and not run."""
        if statement or context is None or not context.isddl:
            cursor.execute(statement, parameters)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        """Runs a statement, as `do_execute`."""
        self.do_execute(cursor, statement, (), context)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Whether the database was closed, or belongs to the process that this one was forked from."""
        codes = laminardb.codes
        return getattr(e, "code", None) in (codes.CONNECTION_CLOSED, codes.CONNECTION_IN_USE, codes.SHUTDOWN)

    def _get_server_version_info(self, connection: Any) -> tuple[int | str, ...]:
        return tuple(int(part) if part.isdigit() else part for part in laminardb.__version__.split("."))
