"""What the tests of the contract share: the exact class, code and text of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import laminardb
import pytest

NEVER = -(2**63)


@contextmanager
def fails(kind: type[laminardb.LaminarError], code: int, text: str = "") -> Iterator[None]:
    """The block raises just this class, with this code, and with `text` in its message."""
    with pytest.raises(laminardb.LaminarError) as caught:
        yield
    error = caught.value
    assert (type(error), error.code) == (kind, code), error
    assert text in str(error)


def count(conn: laminardb.Connection, relation: str) -> int:
    """Number of rows of a relation."""
    row = conn.sql(f'SELECT count(*) FROM "{relation}"').fetchone()
    assert row is not None
    return int(row[0])
