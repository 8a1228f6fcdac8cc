"""The compliance suite of SQLAlchemy, set up as its README for dialects of others says.

All engines of the suite are on one database, as they would be on a server. Foreign keys, UNIQUE and indexes, which the
suite's tables have, are left out of the database. Where a table of the suite counts on the database to number its rows,
the column gets a default of Python, which is what users are told to do.
"""

import itertools
from typing import Any

import laminardb
import pytest
import sqlalchemy
from laminardb import dbapi
from sqlalchemy import URL, event
from sqlalchemy.dialects import registry

registry.register("laminardb", "laminardb.sqlalchemy", "LaminarDialect")
registry.register("laminardb.laminardb", "laminardb.sqlalchemy", "LaminarDialect")
pytest_plugins = ["skips"]
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing import provision  # noqa: E402
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403

# A test that waits for a lock waits for itself: it fails soon.
DATABASE = laminardb.open(":memory:", config=laminardb.LaminarConfig(lock_timeout=10.0))


@provision.update_db_opts.for_db("laminardb")
def options_of_all_engines(db_url: URL, db_opts: dict[str, Any]) -> None:
    db_opts["creator"] = lambda: dbapi.connect(DATABASE)
    db_opts["laminardb_ignore_constraints"] = True


@event.listens_for(sqlalchemy.Table, "after_parent_attach")
def numbers(table: sqlalchemy.Table, _metadata: object) -> None:
    for column in table.columns:
        if column.info.get("test_needs_autoincrement") and column.default is None:
            column._init_items(sqlalchemy.ColumnDefault(itertools.count(1).__next__))
