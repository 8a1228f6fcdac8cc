"""What the database has, in SQLAlchemy's form; it is read by SHOW and DESCRIBE, which need no other library."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc
from sqlalchemy.engine import default, reflection

from ._compiler import DEFAULT_SCHEMA
from ._types import column_type

__all__ = ["LaminarReflection"]


def _key_columns(text: str, columns: list[str]) -> list[str]:
    """The columns of a primary key that SHOW TABLES joins by `, `, which can be a part of a name too."""
    for column in sorted(columns, key=len, reverse=True):
        if text == column:
            return [column]
        if text.startswith(f"{column}, "):
            rest = [other for other in columns if other != column]
            if others := _key_columns(text[len(column) + 2 :], rest):
                return [column, *others]
    return []


class LaminarReflection(default.DefaultDialect):
    """The methods behind `sqlalchemy.inspect(engine)`: there is one schema, and no constraint but primary keys."""

    def _listed(self, connection: Any, schema: str | None, what: str) -> list[tuple[Any, ...]]:
        """The rows of `SHOW what`; a schema that does not exist has none."""
        if schema not in (None, DEFAULT_SCHEMA):
            return []
        return [tuple(row) for row in connection.exec_driver_sql(f"SHOW {what}")]

    @reflection.cache
    def get_schema_names(self, connection: Any, **kw: Any) -> list[str]:
        """The one schema, whose name is never written in SQL."""
        return [DEFAULT_SCHEMA]

    def _get_default_schema_name(self, connection: Any) -> str:
        return DEFAULT_SCHEMA

    @reflection.cache
    def get_table_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """The tables and the sources."""
        return [row[0] for what in ("TABLES", "SOURCES") for row in self._listed(connection, schema, what)]

    @reflection.cache
    def get_view_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """The views that are not kept."""
        return [row[0] for row in self._listed(connection, schema, "VIEWS")]

    @reflection.cache
    def get_materialized_view_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """The materialized views and streams, which are the same."""
        return [row[0] for row in self._listed(connection, schema, "STREAMS")]

    @reflection.cache
    def get_view_definition(self, connection: Any, view_name: str, schema: str | None = None, **kw: Any) -> str:
        """The query of a view, a materialized view or a stream."""
        for what in ("VIEWS", "STREAMS"):
            for name, definition, *_ in self._listed(connection, schema, what):
                if name == view_name:
                    return str(definition)
        raise exc.NoSuchTableError(view_name)

    @reflection.cache
    def _get_all_names(self, connection: Any, schema: str | None = None, **kw: Any) -> set[str]:
        lists = (self.get_table_names, self.get_view_names, self.get_materialized_view_names)
        return {name for names in lists for name in names(connection, schema=schema, **kw)}

    def has_table(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> bool:
        """Whether there is a table, a source or a view of exactly this name."""
        self._ensure_has_table_connection(connection)
        return table_name in self._get_all_names(connection, schema=schema, **kw)

    def _must_exist(self, connection: Any, table_name: str, schema: str | None, **kw: Any) -> None:
        if table_name not in self._get_all_names(connection, schema=schema, **kw):
            raise exc.NoSuchTableError(table_name)

    @reflection.cache
    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> list[Any]:
        """The columns with their types and whether they take NULL; DESCRIBE does not say their defaults."""
        self._must_exist(connection, table_name, schema, **kw)
        described = connection.exec_driver_sql(f"DESCRIBE {self.identifier_preparer.quote_identifier(table_name)}")
        return [
            {"name": name, "type": column_type(text), "nullable": nullable, "default": None}
            for name, text, nullable in described
        ]

    @reflection.cache
    def get_pk_constraint(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        """The columns of the primary key; its name is not kept."""
        self._must_exist(connection, table_name, schema, **kw)
        for name, key, *_ in self._listed(connection, schema, "TABLES"):
            if name == table_name and key:
                columns = [column["name"] for column in self.get_columns(connection, table_name, schema, **kw)]
                return {"name": None, "constrained_columns": _key_columns(key, columns)}
        return reflection.ReflectionDefaults.pk_constraint()

    def _none_of(self, connection: Any, table_name: str, schema: str | None, **kw: Any) -> list[Any]:
        """An empty list, if the table exists."""
        self._must_exist(connection, table_name, schema, **kw)
        return []

    @reflection.cache
    def get_foreign_keys(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> list[Any]:
        """There are none."""
        return self._none_of(connection, table_name, schema, **kw)

    @reflection.cache
    def get_indexes(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> list[Any]:
        """There are none."""
        return self._none_of(connection, table_name, schema, **kw)

    @reflection.cache
    def get_unique_constraints(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[Any]:
        """There are none."""
        return self._none_of(connection, table_name, schema, **kw)

    @reflection.cache
    def get_check_constraints(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[Any]:
        """There are none."""
        return self._none_of(connection, table_name, schema, **kw)

    def get_temp_table_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """There are none."""
        return []
