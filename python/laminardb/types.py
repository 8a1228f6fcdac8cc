"""High-level types over the native classes: schemas, change events and materialized views."""

from __future__ import annotations

import threading
from collections.abc import Callable, ItemsView, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from ._laminardb import ChangeBatch, Connection, PipelineMetrics, QueryResult, StreamSubscription, _visible

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

__all__ = [
    "ChangeEvent",
    "ChangeRow",
    "CheckpointStatus",
    "Column",
    "MaterializedView",
    "Metrics",
    "Schema",
    "TableStats",
    "Watermark",
]


@dataclass(frozen=True)
class Column:
    """One column of a schema; `type` is the Arrow type as text."""

    name: str
    type: str
    nullable: bool = True


class Schema:
    """A `pyarrow.Schema` with its columns by place and by name.

    >>> conn.create_table("t", {"id": "int64", "name": "string"})
    >>> schema = laminardb.Schema(conn.schema("t"))
    >>> schema
    Schema(id: int64, name: string)
    >>> schema["name"].type, schema[0].name, schema.names
    ('string', 'id', ['id', 'name'])
    """

    __slots__ = ("_arrow_schema", "_columns")

    def __init__(self, arrow_schema: pyarrow.Schema) -> None:
        self._arrow_schema = arrow_schema
        self._columns = [Column(field.name, str(field.type), field.nullable) for field in arrow_schema]

    @property
    def arrow_schema(self) -> pyarrow.Schema:
        """The wrapped schema."""
        return self._arrow_schema

    @property
    def columns(self) -> list[Column]:
        """The columns in order."""
        return list(self._columns)

    @property
    def names(self) -> list[str]:
        """The names of the columns in order."""
        return [column.name for column in self._columns]

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, key: int | str) -> Column:
        if isinstance(key, str):
            for column in self._columns:
                if column.name == key:
                    return column
            raise KeyError(key)
        return self._columns[key]

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __repr__(self) -> str:
        columns = ", ".join(f"{_visible(column.name)}: {column.type}" for column in self._columns)
        return f"Schema({columns})"


@dataclass(frozen=True)
class TableStats:
    """Size of a relation."""

    row_count: int
    size_bytes: int


@dataclass(frozen=True)
class Watermark:
    """Where event time stands."""

    current: int
    lag_ms: int = 0


@dataclass(frozen=True)
class CheckpointStatus:
    """The last checkpoint, if any."""

    checkpoint_id: int | None
    enabled: bool


class Metrics:
    """Rates over `PipelineMetrics`.

    >>> laminardb.Metrics(conn.metrics()).total_events
    0
    """

    __slots__ = ("_metrics",)

    def __init__(self, pipeline_metrics: PipelineMetrics) -> None:
        self._metrics = pipeline_metrics

    @property
    def events_per_second(self) -> float:
        """Rows written per second since the database was opened."""
        uptime = self._metrics.uptime_secs
        return self._metrics.total_events_ingested / uptime if uptime > 0 else 0.0

    @property
    def total_events(self) -> int:
        """Rows written."""
        return self._metrics.total_events_ingested

    @property
    def memory_used_bytes(self) -> int:
        """Bytes held by rows and arrangements, about."""
        return self._metrics.memory_used_bytes

    @property
    def uptime_secs(self) -> float:
        """Seconds since the database was opened."""
        return self._metrics.uptime_secs

    @property
    def state(self) -> str:
        """State of the pipeline."""
        return self._metrics.state

    def __repr__(self) -> str:
        return f"Metrics(state={self.state!r}, eps={self.events_per_second:.1f}, uptime={self.uptime_secs:.1f}s)"


class ChangeRow:
    """One changed row: its op and its values by column, like a dict.

    >>> row = laminardb.ChangeRow("Insert", {"id": 1})
    >>> row.op, row["id"], row.to_dict()
    ('Insert', 1, {'id': 1})
    """

    __slots__ = ("_data", "_op")

    def __init__(self, op: str, data: dict[str, Any]) -> None:
        self._op = op
        self._data = data

    @property
    def op(self) -> str:
        """`"Insert"`, `"Delete"`, `"UpdateInsert"` or `"UpdateDelete"`."""
        return self._op

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self._data.keys())

    def values(self) -> list[Any]:
        """The values in the order of the columns."""
        return list(self._data.values())

    def items(self) -> ItemsView[str, Any]:
        """Names and values."""
        return self._data.items()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a column, or `default` when there is no such column."""
        return self._data.get(key, default)

    def to_dict(self) -> dict[str, Any]:
        """A copy as a dict."""
        return dict(self._data)

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChangeRow):
            return NotImplemented
        return self._op == other._op and self._data == other._data

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ChangeRow(op={self._op!r}, {self._data!r})"


class ChangeEvent:
    """The changes of one delivery as rows with ops, or as a frame.

    Made of a `ChangeBatch` the rows have their own ops, of another result all have the `op` given.

    >>> event = laminardb.ChangeEvent(conn.subscribe("SELECT 1 AS id").next())
    >>> len(event), list(event), event.is_snapshot
    (1, [ChangeRow(op='Insert', {'id': 1})], True)
    """

    __slots__ = ("_op", "_result")

    def __init__(self, query_result: QueryResult, op: str = "Insert") -> None:
        self._result = query_result
        self._op = op

    @property
    def time(self) -> int | None:
        """The logical time of the changes; None when made from a plain result."""
        return self._result.time if isinstance(self._result, ChangeBatch) else None

    @property
    def is_snapshot(self) -> bool:
        """Are these the contents at the start of the subscription?"""
        return isinstance(self._result, ChangeBatch) and self._result.is_snapshot

    def __len__(self) -> int:
        return len(self._result)

    def __iter__(self) -> Iterator[ChangeRow]:
        if isinstance(self._result, ChangeBatch):
            return self._result.changes()
        names = self._result.columns
        return (ChangeRow(self._op, dict(zip(names, row, strict=True))) for row in self._result)

    def df(self) -> pandas.DataFrame:
        """The rows as a `pandas.DataFrame`."""
        return self._result.df()

    @overload
    def pl(self, *, lazy: Literal[False] = False) -> polars.DataFrame: ...
    @overload
    def pl(self, *, lazy: Literal[True]) -> polars.LazyFrame: ...
    def pl(self, *, lazy: bool = False) -> polars.DataFrame | polars.LazyFrame:
        """The rows as a `polars.DataFrame` or `polars.LazyFrame`."""
        return self._result.pl(lazy=True) if lazy else self._result.pl()

    def arrow(self) -> pyarrow.Table:
        """The rows as a `pyarrow.Table`."""
        return self._result.arrow()

    def __repr__(self) -> str:
        ops = set(self._result.ops) if isinstance(self._result, ChangeBatch) else {self._op}
        op = ops.pop() if len(ops) == 1 else "mixed"
        return f"ChangeEvent(rows={len(self)}, op={op!r})"


class _HandlerThread(threading.Thread):
    """Calls a handler with each delivery until the subscription ends."""

    def __init__(self, name: str, subscription: StreamSubscription, handler: Callable[[ChangeEvent], object]) -> None:
        super().__init__(name=f"laminardb-{name}", daemon=True)
        self.subscription = subscription
        self._handler = handler

    def run(self) -> None:
        try:
            for batch in self.subscription:
                self._handler(ChangeEvent(batch))
        finally:
            self.subscription.cancel()


class MaterializedView:
    """A relation by name: query it, look at its schema, subscribe to its changes.

    >>> conn.create_table("t", {"id": "int64"})
    >>> conn.insert("t", {"id": [1, 2, 3]})
    3
    >>> view = laminardb.mv(conn, "t")
    >>> view
    MaterializedView(name='t')
    >>> view.query("id > 1").num_rows
    2
    """

    __slots__ = ("_conn", "_name", "_sql")

    def __init__(self, conn: Connection, name: str, sql: str | None = None) -> None:
        self._conn = conn
        self._name = name
        self._sql = sql

    @property
    def name(self) -> str:
        """The name of the relation."""
        return self._name

    @property
    def sql(self) -> str | None:
        """The text given when this object was made."""
        return self._sql

    def query(self, where: str = "") -> QueryResult:
        """The rows now, in the order of a view that has one, or those for which the SQL condition `where` is true.

        `QueryError` 400 when there is no such relation or the condition is wrong, 401 when it is no expression or
        something follows it.
        """
        return self._conn.query_stream(self._name, where or None)

    def schema(self) -> Schema:
        """The columns. `SchemaError` 200 when there is no such relation, `ImportError` without pyarrow."""
        return Schema(self._conn.schema(self._name))

    @overload
    def subscribe(self, handler: None = None, *, snapshot: bool = False) -> StreamSubscription: ...
    @overload
    def subscribe(self, handler: Callable[[ChangeEvent], object], *, snapshot: bool = False) -> _HandlerThread: ...
    def subscribe(
        self, handler: Callable[[ChangeEvent], object] | None = None, *, snapshot: bool = False
    ) -> StreamSubscription | _HandlerThread:
        """A subscription, or a started daemon thread that calls `handler` with each `ChangeEvent`.

        The thread has its `subscription`; cancelling that ends it. What the handler raises ends it through
        `threading.excepthook`. `SchemaError` 200 when there is no such relation.

        >>> conn.create_table("t", {"id": "int64"})
        >>> conn.insert("t", {"id": 1})
        1
        >>> seen = []
        >>> thread = laminardb.mv(conn, "t").subscribe(seen.extend, snapshot=True)
        >>> conn.shutdown()  # delivers what is pending, then ends subscriptions
        >>> thread.join()
        >>> seen
        [ChangeRow(op='Insert', {'id': 1})]
        """
        subscription = self._conn.subscribe_stream(self._name, snapshot=snapshot)
        if handler is None:
            return subscription
        thread = _HandlerThread(self._name, subscription, handler)
        thread.start()
        return thread

    def __repr__(self) -> str:
        return f"MaterializedView(name={self._name!r})"
