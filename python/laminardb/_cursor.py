"""`Cursor`, the cursor of PEP 249: it runs statements and gives the rows of the last from a position on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from ._errors import CONVERTING, ClosedError, StatementError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from ._laminardb import Connection, ExecuteResult, QueryResult

Row = tuple[Any, ...]
Parameters = Sequence[Any] | Mapping[str, Any]
Description = tuple[str, str, None, None, int | None, int | None, bool]


class Cursor:
    """Runs statements, and gives the rows of the last one from a position on (PEP 249).

    Made by `Connection.cursor()` and `dbapi.Connection.cursor()`. Errors are those of `laminardb.dbapi`. Several
    threads may share connections, but not a cursor.

    >>> cursor = conn.cursor()
    >>> for row in cursor.execute("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id"):
    ...     print(row)
    (1, 'a')
    (2, 'b')
    >>> [column[:2] for column in cursor.description]
    [('id', 'BIGINT'), ('name', 'VARCHAR')]
    """

    arraysize: int
    """How many rows `fetchmany()` gives unless told; 1 at first."""

    def __init__(self, connection: Any, session: Connection, *, owns: bool, begins: Callable[[], bool] = bool) -> None:
        """Make a cursor of `connection` that runs in `session`, and closes it if it `owns` it.

        `begins` is asked before each statement: whether one that writes rows begins a transaction if none is open.
        """
        self.arraysize = 1
        self._connection = connection
        self._session = session
        self._owns = owns
        self._begins = begins
        self._closed = False
        self._forget()

    def _forget(self) -> None:
        self._result: QueryResult | None = None
        self._place = 0
        self._rowcount = -1

    def _live(self) -> Connection:
        if self._closed:
            raise ClosedError("Cursor is closed")
        if self._session.is_closed:
            raise ClosedError("Connection is closed")
        return self._session

    @property
    def connection(self) -> Any:
        """The connection that made the cursor."""
        return self._connection

    @property
    def description(self) -> list[Description] | None:
        """The columns of the rows: name, SQL type, None, None, precision, scale, whether NULL may be there.

        None when the last statement gives no rows. The type equals one of the type objects of `laminardb.dbapi`,
        unless it is that of a list or struct.
        """
        return None if self._result is None else self._result._description

    @property
    def rowcount(self) -> int:
        """How many rows the last statement gives or has written; -1 before the first and after others."""
        return self._rowcount

    @property
    def lastrowid(self) -> None:
        """None: rows have no ids."""
        return None

    @property
    def in_transaction(self) -> bool:
        """Whether a statement executed here and now is part of an open transaction."""
        with CONVERTING:
            return self._live().in_transaction

    def execute(self, operation: str, parameters: Parameters = ()) -> Self:
        """Run a statement, or several divided by semicolons, and keep the rows of the last; returns the cursor.

        `parameters` is a list for `?` and `$1`, or a dict for `$name`.

        >>> conn.cursor().execute("SELECT $a + $b AS x", {"a": 1, "b": 2}).fetchone()
        (3,)
        """
        with CONVERTING:
            session = self._live()
            self._forget()
            self._keep(self._run(session, operation, parameters))
        return self

    def executemany(self, operation: str, seq_of_parameters: Iterable[Parameters]) -> Self:
        """Run a statement that writes rows once for each of the parameters, as one write; returns the cursor.

        Outside a transaction, all are written or none. Inside one, what ran before an error stays in it.

        >>> conn.create_table("t", {"a": "int64"})
        >>> conn.cursor().executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)]).rowcount
        3
        >>> conn.current_time
        1
        """
        # The caller's iterator runs before the transaction begins, so that nobody waits for it.
        many = list(seq_of_parameters)
        with CONVERTING:
            session = self._live()
            self._forget()
            if not many:
                self._rowcount = 0
            elif self._begins() or session.in_transaction:
                self._rowcount = self._run_many(session, operation, many)
            else:
                self._rowcount = self._run_alone(session, operation, many)
        return self

    def _run(self, session: Connection, operation: str, parameters: Parameters) -> ExecuteResult:
        if self._begins():
            return session._execute_beginning(operation, parameters)
        return session.execute(operation, parameters)

    def _run_many(self, session: Connection, operation: str, many: list[Parameters]) -> int:
        """Run a statement for each of the parameters; returns the number of rows that were written."""
        total = 0
        was_open = session.in_transaction
        try:
            for parameters in many:
                result = self._run(session, operation, parameters)
                if result.result_type != "rows_affected":
                    raise StatementError("Query failed (400): executemany runs statements that write rows")
                total += result.rows_affected
        except BaseException:
            if not was_open:
                session.rollback()
            raise
        return total

    def _run_alone(self, session: Connection, operation: str, many: list[Parameters]) -> int:
        """Run a statement for each of the parameters in a transaction of its own."""
        session.begin()
        try:
            total = self._run_many(session, operation, many)
            session.commit()
        except BaseException:
            session.rollback()
            raise
        return total

    def _keep(self, result: ExecuteResult) -> None:
        self._result = result.to_query_result()
        if self._result is not None:
            self._rowcount = self._result.num_rows
        elif result.result_type == "rows_affected":
            self._rowcount = result.rows_affected

    def _rest(self, count: int) -> QueryResult:
        """The next rows, at most `count`; moves the position behind them."""
        if self._closed:
            raise ClosedError("Cursor is closed")
        if self._result is None:
            raise StatementError("Query failed (400): no results to fetch: the last statement gives no rows")
        rows = self._result._slice(self._place, count)
        self._place += rows.num_rows
        return rows

    def _all(self) -> QueryResult:
        return self._rest(self._rowcount)

    def fetchone(self) -> Row | None:
        """The next row, or None.

        >>> cursor = conn.cursor().execute("VALUES (1), (2)")
        >>> cursor.fetchone(), cursor.fetchone(), cursor.fetchone()
        ((1,), (2,), None)
        """
        with CONVERTING:
            return self._rest(1).fetchone()

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next `size` rows, or as many as there are; `arraysize` rows without `size`.

        `OverflowError` when `size` is negative.

        >>> conn.cursor().execute("VALUES (1), (2), (3)").fetchmany(2)
        [(1,), (2,)]
        """
        with CONVERTING:
            return self._rest(self.arraysize if size is None else size).fetchall()

    def fetchall(self) -> list[Row]:
        """All rows from the position on.

        >>> conn.cursor().execute("VALUES (1), (2)").fetchall()
        [(1,), (2,)]
        """
        with CONVERTING:
            return self._all().fetchall()

    def df(self) -> pandas.DataFrame:
        """The rows from the position on as a `pandas.DataFrame`. `ImportError` without pandas and pyarrow.

        >>> conn.cursor().execute("VALUES (1), (2)").df().shape
        (2, 1)
        """
        with CONVERTING:
            return self._all().to_pandas()

    def arrow(self) -> pyarrow.Table:
        """The rows from the position on as a `pyarrow.Table`. `ImportError` without pyarrow.

        >>> conn.cursor().execute("VALUES (1), (2)").arrow().num_rows
        2
        """
        with CONVERTING:
            return self._all().to_arrow()

    def pl(self) -> polars.DataFrame:
        """The rows from the position on as a `polars.DataFrame`. `ImportError` without polars.

        >>> conn.cursor().execute("VALUES (1), (2)").pl().height
        2
        """
        with CONVERTING:
            return self._all().to_polars()

    def begin(self) -> None:
        """Begin a transaction, as the statement `BEGIN` does.

        >>> cursor = conn.cursor()
        >>> cursor.begin()
        >>> cursor.in_transaction
        True
        >>> cursor.rollback()
        """
        with CONVERTING:
            self._live().begin()

    def commit(self) -> None:
        """Commit the transaction that the cursor's statements are part of; does nothing when there is none.

        >>> conn.cursor().commit()
        """
        with CONVERTING:
            self._live().commit()

    def rollback(self) -> None:
        """Roll back the transaction that the cursor's statements are part of; does nothing when there is none.

        >>> conn.cursor().rollback()
        """
        with CONVERTING:
            self._live().rollback()

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Do nothing: PEP 249 demands the method."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing: PEP 249 demands the method."""

    def close(self) -> None:
        """End the cursor, and roll back the transaction that it has begun itself. It may be called again.

        >>> cursor = conn.cursor()
        >>> cursor.close()
        >>> cursor.execute("SELECT 1")
        Traceback (most recent call last):
        laminardb.dbapi.ClosedError: Cursor is closed
        """
        self._closed = True
        self._forget()
        if self._owns:
            with CONVERTING:
                self._session.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Row:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        self.close()
        return False


def of_connection(connection: Connection, has_own: bool) -> Cursor:
    """The cursor of a connection of laminardb; one that has a transaction of its own shares that with the cursor."""
    if has_own:
        return Cursor(connection, connection, owns=False)
    return Cursor(connection, connection._session(), owns=True)
