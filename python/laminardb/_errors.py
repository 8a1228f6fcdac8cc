"""The exceptions of PEP 249, and the only place that converts an error of laminardb into one of them.

Each error that a cursor raises is of a class that is both PEP 249's and ours, so that `except ProgrammingError` and
`except QueryError` both work; its `code` and text are those of ours, which is its cause.
"""

from __future__ import annotations

from types import TracebackType

from . import _laminardb as native
from ._laminardb import LaminarError

Error = LaminarError


class Warning(Exception):
    """An important warning. PEP 249 demands the class; nothing raises it."""

    __module__ = "laminardb.dbapi"


class InterfaceError(Error):
    """A cursor or connection is used in a way that it does not allow, such as after its end."""

    __module__ = "laminardb.dbapi"


class DatabaseError(Error):
    """The database refuses or fails."""

    __module__ = "laminardb.dbapi"


class DataError(DatabaseError):
    """A value does not fit its column."""

    __module__ = "laminardb.dbapi"


class OperationalError(DatabaseError):
    """Something outside the program is the reason: a time limit, a cancelled statement, a database in use."""

    __module__ = "laminardb.dbapi"


class IntegrityError(DatabaseError):
    """A row violates a constraint: its key is there already, or a value is missing."""

    __module__ = "laminardb.dbapi"


class InternalError(DatabaseError):
    """The engine has stopped on a fault of its own."""

    __module__ = "laminardb.dbapi"


class ProgrammingError(DatabaseError):
    """A statement is wrong or fails, or names what is not there."""

    __module__ = "laminardb.dbapi"


class NotSupportedError(DatabaseError):
    """The engine does not have what is asked for."""

    __module__ = "laminardb.dbapi"


class ClosedError(InterfaceError, native.ConnectionError):
    """The cursor or connection is closed."""

    __module__ = "laminardb.dbapi"
    code = native.codes.CONNECTION_CLOSED


class OpenError(OperationalError, native.ConnectionError):
    """The database cannot be opened, or is in use."""

    __module__ = "laminardb.dbapi"


class DefinitionError(ProgrammingError, native.SchemaError):
    """A relation is missing, exists already or has a wrong schema."""

    __module__ = "laminardb.dbapi"


class RowsError(DataError, native.IngestionError):
    """Rows cannot be stored as they are."""

    __module__ = "laminardb.dbapi"


class StatementError(ProgrammingError, native.QueryError):
    """A statement is wrong or fails."""

    __module__ = "laminardb.dbapi"
    code = native.codes.QUERY_FAILED


class ConstraintError(IntegrityError, native.QueryError):
    """A row of a statement violates a constraint."""

    __module__ = "laminardb.dbapi"


class CancelledError(OperationalError, native.QueryError):
    """A statement was cancelled."""

    __module__ = "laminardb.dbapi"


class MaintenanceError(NotSupportedError, native.StreamError):
    """A view cannot be kept up to date."""

    __module__ = "laminardb.dbapi"


class ImageError(OperationalError, native.CheckpointError):
    """A checkpoint cannot be taken or restored."""

    __module__ = "laminardb.dbapi"


class ExternalError(NotSupportedError, native.ConnectorError):
    """The statement needs an external connector."""

    __module__ = "laminardb.dbapi"


_BY_CODE: dict[int, type[LaminarError]] = {
    native.codes.CONNECTION_CLOSED: ClosedError,
    native.codes.QUERY_CANCELLED: CancelledError,
    native.codes.INTERNAL_ERROR: InternalError,
}
_BY_HUNDREDS: dict[int, type[LaminarError]] = {
    1: OpenError,
    2: DefinitionError,
    3: RowsError,
    4: StatementError,
    6: MaintenanceError,
    7: ImageError,
    8: ExternalError,
}


def converted(error: LaminarError) -> LaminarError:
    """The same error in a class of PEP 249; itself if it is in one."""
    if isinstance(error, (InterfaceError, DatabaseError)):
        return error
    code = error.code
    kind = _BY_CODE.get(code, _BY_HUNDREDS.get(code // 100, OperationalError))
    if getattr(error, "_violates_constraint", False):
        kind = ConstraintError
    made = kind(*error.args)
    made.code = code
    return made


class _Converting:
    """A `with` block whose errors of laminardb leave it as errors of PEP 249."""

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc_value, LaminarError):
            made = converted(exc_value)
            if made is not exc_value:
                raise made from exc_value


CONVERTING = _Converting()
