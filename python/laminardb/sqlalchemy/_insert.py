"""INSERT with ON CONFLICT, as a construct of SQLAlchemy."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import sqlite

__all__ = ["Insert", "insert"]


class Insert(sqlite.Insert):
    """An INSERT that has `on_conflict_do_nothing()` and `on_conflict_do_update()`, as SQLite's and PostgreSQL's have.

    `excluded` names the columns of the row that was to be inserted. The columns of the conflict must be the whole
    primary key of the table.
    """

    stringify_dialect = "laminardb"
    inherit_cache = True


def insert(table: Any) -> Insert:
    """An INSERT into `table` that can say what happens to a row whose primary key exists.

    >>> import sqlalchemy
    >>> from laminardb.sqlalchemy import insert
    >>> rooms = sqlalchemy.table("rooms", sqlalchemy.column("id"), sqlalchemy.column("name"))
    >>> statement = insert(rooms).values(id=1, name="hall")
    >>> statement = statement.on_conflict_do_update(["id"], set_={"name": statement.excluded.name})
    >>> print(statement)
    INSERT INTO rooms (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name
    """
    return Insert(table)
