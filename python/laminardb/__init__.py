"""laminardb: SQL views that stay up to date, embedded in your process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from . import types
from ._laminardb import (
    AsyncStreamSubscription,
    AsyncSubscription,
    CallbackSubscription,
    ChangeBatch,
    CheckpointError,
    CheckpointResult,
    Connection,
    ConnectionError,
    ConnectorError,
    ExecuteResult,
    IngestionError,
    LaminarConfig,
    LaminarError,
    PipelineEdge,
    PipelineMetrics,
    PipelineNode,
    PipelineTopology,
    QueryError,
    QueryInfo,
    QueryResult,
    SchemaError,
    SinkInfo,
    SourceInfo,
    SourceMetrics,
    StreamError,
    StreamInfo,
    StreamMetrics,
    StreamSubscription,
    Subscription,
    SubscriptionError,
    Writer,
    __version__,
    codes,
    connect,
    open,
)
from .types import (
    ChangeEvent,
    ChangeRow,
    CheckpointStatus,
    Column,
    MaterializedView,
    Metrics,
    Schema,
    TableStats,
    Watermark,
)

__all__ = [
    "AsyncStreamSubscription",
    "AsyncSubscription",
    "BatchWriter",
    "CallbackSubscription",
    "ChangeBatch",
    "ChangeEvent",
    "ChangeRow",
    "CheckpointError",
    "CheckpointResult",
    "CheckpointStatus",
    "Column",
    "Config",
    "Connection",
    "ConnectionError",
    "ConnectorError",
    "ExecuteResult",
    "IngestionError",
    "LaminarConfig",
    "LaminarError",
    "MaterializedView",
    "Metrics",
    "PipelineEdge",
    "PipelineMetrics",
    "PipelineNode",
    "PipelineTopology",
    "QueryError",
    "QueryInfo",
    "QueryResult",
    "Schema",
    "SchemaError",
    "SinkInfo",
    "SourceInfo",
    "SourceMetrics",
    "StreamError",
    "StreamInfo",
    "StreamMetrics",
    "StreamSubscription",
    "Subscription",
    "SubscriptionError",
    "TableStats",
    "Watermark",
    "Writer",
    "__version__",
    "codes",
    "connect",
    "execute",
    "mv",
    "open",
    "sql",
    "types",
]

Config = LaminarConfig
BatchWriter = Writer

_Params = Sequence[Any] | Mapping[str, Any] | None

_default_lock = threading.Lock()
_default: Connection | None = None


def _default_connection() -> Connection:
    """The connection of the module's own functions: made at first use, and again when it was closed."""
    global _default
    with _default_lock:
        if _default is None or _default.is_closed:
            _default = open(":memory:")
        return _default


def _forget_default() -> None:
    """In a forked child the connection is the parent's, and its lock may be held by a thread that is gone."""
    global _default, _default_lock
    _default_lock = threading.Lock()
    _default = None


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_default)


def sql(query: str, params: _Params = None) -> QueryResult:
    """The rows of a query on the default in-memory database; as `Connection.sql()`.

    >>> laminardb.sql("SELECT 1 + 1 AS answer").fetchone()
    (2,)
    """
    return _default_connection().sql(query, params)


def execute(query: str, params: _Params = None) -> ExecuteResult:
    """Runs any statement on the default in-memory database; as `Connection.execute()`.

    >>> laminardb.execute("CREATE SOURCE IF NOT EXISTS clicks (id BIGINT)")
    ExecuteResult(ddl, CREATE SOURCE clicks)
    """
    return _default_connection().execute(query, params)


def mv(conn: Connection, name: str, sql_def: str | None = None) -> MaterializedView:
    """The relation `name` of `conn` as a `MaterializedView`; the name is not checked."""
    return MaterializedView(conn, name, sql_def)
