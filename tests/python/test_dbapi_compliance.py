"""The checks of PEP 249 that the package dbapi-compliance has, in both modes of commit."""

from __future__ import annotations

from typing import Any

import dbapi20
import laminardb
import pytest
from laminardb import dbapi


class _Compliance(dbapi20.DatabaseAPI20Test):
    """The checks; every connection of one check is to the same database."""

    __test__ = False
    driver = dbapi

    def setUp(self) -> None:
        self.database = laminardb.open(":memory:")
        self.connect_args = (self.database,)

    def tearDown(self) -> None:
        super().tearDown()
        assert self.database.list_tables() == []
        self.database.close()

    def test_non_idempotent_close(self) -> None:
        """Replaces a check whose own text says that persons differ about it: here `close()` may be called again."""
        connection = self._connect()
        connection.close()
        connection.close()

    def test_nextset(self) -> None:
        """Replaces a check that every driver writes itself: there is no `nextset`, which PEP 249 allows."""
        assert not hasattr(self._connect().cursor(), "nextset")

    def test_setoutputsize(self) -> None:
        """Replaces a check that every driver writes itself: the method does nothing."""
        self._connect().cursor().setoutputsize(1000, 1)

    def test_callproc(self) -> None:
        """Replaces a check that passes without a check: there is no `callproc`, which PEP 249 allows."""
        assert not hasattr(self._connect().cursor(), "callproc")


class TestAutocommit(_Compliance):
    """Each statement is a write of its own."""

    __test__ = True
    connect_kw_args: dict[str, Any] = {"autocommit": True}  # noqa: RUF012 (as the package has it)


class TestTransactions(_Compliance):
    """Writes begin a transaction; definitions, which are refused inside one, come after a commit."""

    __test__ = True

    def executeDDL1(self, cursor: dbapi.Cursor) -> None:
        cursor.connection.commit()
        super().executeDDL1(cursor)

    def executeDDL2(self, cursor: dbapi.Cursor) -> None:
        cursor.connection.commit()
        super().executeDDL2(cursor)


def test_every_check_of_the_package_runs_twice(request: pytest.FixtureRequest) -> None:
    checks = {name for name in dir(dbapi20.DatabaseAPI20Test) if name.startswith("test_")}
    for mode in (TestAutocommit, TestTransactions):
        assert checks == {name for name in dir(mode) if name.startswith("test_")}
