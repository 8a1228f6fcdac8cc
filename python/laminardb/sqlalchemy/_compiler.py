"""How SQLAlchemy's constructs are written in the SQL of laminardb; what it does not have is a `CompileError`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Integer, String, exc
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS as POSTGRESQL_WORDS
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.sql import compiler

__all__ = ["LaminarCompiler", "LaminarDDLCompiler", "LaminarPreparer", "LaminarTypeCompiler"]

DEFAULT_SCHEMA = "main"

# Parts of SQLAlchemy's compilers have no annotations.
_SQL: Any = compiler.SQLCompiler
_SQLITE: Any = SQLiteCompiler


def _refused(what: str) -> Callable[..., str]:
    """A method of a compiler that refuses `what`."""

    def visit(self: Any, *_: Any, **__: Any) -> str:
        raise exc.CompileError(f"laminardb does not have {what}")

    visit.__doc__ = f"Refused: {what}."
    return visit


class LaminarCompiler(compiler.SQLCompiler):
    """Queries and DML."""

    visit_collation = _refused("collations: text is ordered by its bytes")
    visit_sequence = _refused("sequences: give the column a value, or a default of Python")
    visit_json_getitem_op_binary = _refused("access to the parts of JSON, which is text")
    visit_json_path_getitem_op_binary = _refused("access to the parts of JSON, which is text")
    for_update_clause = _refused("SELECT ... FOR UPDATE: a transaction locks out other writers with its first write")
    update_from_clause = _refused("UPDATE ... FROM: use a subquery")
    delete_extra_from_clause = _refused("DELETE ... USING: use a subquery")

    # SQLite writes ON CONFLICT as laminardb does.
    _on_conflict_target = _SQLITE._on_conflict_target
    visit_on_conflict_do_nothing = _SQLITE.visit_on_conflict_do_nothing

    def visit_on_conflict_do_update(self, on_conflict: Any, **kw: Any) -> str:
        """`ON CONFLICT ... DO UPDATE`, of laminardb's, SQLite's and PostgreSQL's insert()."""
        if getattr(on_conflict, "constraint_target", None) is not None:
            raise exc.CompileError("laminardb does not have ON CONFLICT ON CONSTRAINT: name the columns of the key")
        text: str = _SQLITE.visit_on_conflict_do_update(self, on_conflict, **kw)
        return text

    def visit_insert(self, insert_stmt: Any, visited_bindparam: Any = None, visiting_cte: Any = None, **kw: Any) -> str:
        """An INSERT, which must give a value to an integer primary key, because the database makes none."""
        text: str = _SQL.visit_insert(self, insert_stmt, visited_bindparam, visiting_cte, **kw)
        key = getattr(insert_stmt.table, "_autoincrement_column", None)
        if key is not None and key.server_default is None and not self._is_given(insert_stmt, key):
            raise exc.CompileError(
                f"column {key} has no value: laminardb makes no numbers for primary keys; "
                "give one, or a default of Python: Column(..., default=...)"
            )
        return text

    def _is_given(self, insert_stmt: Any, key: Any) -> bool:
        """Whether the INSERT that was just compiled has a value for the column `key`."""
        if key.default is not None and not key.default.is_sequence:
            return True
        if insert_stmt.select is not None:
            return not {key.key, key.name}.isdisjoint(insert_stmt._select_names or ())
        state: Any = self.compile_state
        values = {getattr(column, "key", column) for column in getattr(state, "_dict_parameters", None) or ()}
        if self.column_keys is None:
            return not values or key.key in values
        return key.key in values or key.key in self.column_keys

    def visit_true(self, expr: Any, **kw: Any) -> str:
        """TRUE."""
        return "true"

    def visit_false(self, expr: Any, **kw: Any) -> str:
        """FALSE."""
        return "false"

    def limit_clause(self, select: Any, **kw: Any) -> str:
        """LIMIT and OFFSET, each of which can stand alone."""
        text = ""
        if select._limit_clause is not None:
            text += "\n LIMIT " + self.process(select._limit_clause, **kw)
        if select._offset_clause is not None:
            text += "\n OFFSET " + self.process(select._offset_clause, **kw)
        return text

    def fetch_clause(self, select: Any, *_: Any, **kw: Any) -> str:
        """FETCH FIRST ... ROWS ONLY, which is LIMIT here."""
        if any(select._fetch_clause_options[option] for option in ("with_ties", "percent")):
            raise exc.CompileError("laminardb does not have FETCH ... WITH TIES and PERCENT")
        text = "\n LIMIT " + self.process(select._fetch_clause, **kw)
        if select._offset_clause is not None:
            text += "\n OFFSET " + self.process(select._offset_clause, **kw)
        return text

    def get_select_precolumns(self, select: Any, **kw: Any) -> str:
        """DISTINCT and DISTINCT ON."""
        if select._distinct and select._distinct_on:
            keys = ", ".join(self.process(column, **kw) for column in select._distinct_on)
            return f"DISTINCT ON ({keys}) "
        return super().get_select_precolumns(select, **kw)

    def visit_empty_set_expr(self, element_types: Any, **kw: Any) -> str:
        """A subquery without rows, for an IN with an empty list."""
        columns = ", ".join(
            f"CAST(NULL AS {self.dialect.type_compiler_instance.process(type_)})" if not type_._isnull else "NULL"
            for type_ in element_types or [Integer()]
        )
        return f"SELECT {columns} WHERE 1!=1"

    def visit_ilike_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """ILIKE."""
        return self._like(binary, "ILIKE", **kw)

    def visit_not_ilike_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """NOT ILIKE."""
        return self._like(binary, "NOT ILIKE", **kw)

    def visit_like_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """LIKE."""
        return self._like(binary, "LIKE", **kw)

    def visit_not_like_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """NOT LIKE."""
        return self._like(binary, "NOT LIKE", **kw)

    def _like(self, binary: Any, words: str, **kw: Any) -> str:
        """A comparison with a pattern, in which only the backslash escapes.

        If another character escapes in it, the pattern is rewritten by `regexp_replace`: a backslash becomes two, and
        the other character becomes a backslash.
        """
        pattern = self.process(binary.right, **kw)
        escape = binary.modifiers.get("escape")
        if escape not in (None, "\\"):
            character = "\\" + escape if not escape.isalnum() else escape
            match = self.render_literal_value(rf"(\\)|{character}(.)", String())
            pattern = rf"regexp_replace({pattern}, {match}, '\\\1\2', 'gs')"
        return f"{self.process(binary.left, **kw)} {words} {pattern}"

    def visit_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """A regular expression that matches anywhere."""
        return self._matches(binary, "~", **kw)

    def visit_not_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """A regular expression that matches nowhere."""
        return self._matches(binary, "!~", **kw)

    def _matches(self, binary: Any, symbol: str, **kw: Any) -> str:
        text, pattern = self.process(binary.left, **kw), self.process(binary.right, **kw)
        flags = binary.modifiers["flags"]
        if flags is None:
            return f"{text} {symbol} {pattern}"
        negation = "NOT " if symbol == "!~" else ""
        return f"{negation}regexp_like({text}, {pattern}, {self.render_literal_value(flags, String())})"

    def visit_regexp_replace_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """The first match replaced, or all of them with the flag `g`."""
        arguments = [self.process(binary.left, **kw), self.process(binary.right, **kw)]
        flags = binary.modifiers["flags"]
        if flags is not None:
            arguments.append(self.render_literal_value(flags, String()))
        return f"regexp_replace({', '.join(arguments)})"

    def visit_truediv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """A quotient with a fraction, which is a DOUBLE, as that of decimals is anyway."""
        return f"{self.process(binary.left, **kw)} / CAST({self.process(binary.right, **kw)} AS DOUBLE)"

    def visit_frame_clause(self, frameclause: Any, **kw: Any) -> str:
        """The bounds of a window, which cannot be parameters."""
        kw["literal_execute"] = kw["skip_bind_expression"] = True
        text: str = _SQL.visit_frame_clause(self, frameclause, **kw)
        return text

    def visit_bitwise_not_op_unary_operator(self, element: Any, operator: Any, **kw: Any) -> str:
        """The complement, as an exclusive or with ones."""
        return f"xor({self.process(element.element, **kw)}, -1)"

    def visit_bitwise_xor_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Exclusive or, which is a function."""
        return f"xor({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)})"

    def visit_getitem_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """An element of a list."""
        return f"{self.process(binary.left, **kw)}[{self.process(binary.right, **kw)}]"

    def visit_slice(self, element: Any, **kw: Any) -> str:
        """The bounds of a part of a list."""
        return f"{self.process(element.start, **kw)}:{self.process(element.stop, **kw)}"


class LaminarDDLCompiler(compiler.DDLCompiler):
    """Definitions.

    Constraints that the database does not keep are refused, unless the engine was made with
    `laminardb_ignore_constraints=True`: then they stand in the metadata alone.
    """

    visit_create_schema = _refused("schemas")
    visit_drop_schema = _refused("schemas")
    visit_create_sequence = _refused("sequences")
    visit_drop_sequence = _refused("sequences")
    visit_add_constraint = _refused("ALTER TABLE")
    visit_drop_constraint = _refused("ALTER TABLE")
    visit_set_table_comment = _refused("comments")
    visit_drop_table_comment = _refused("comments")
    visit_set_column_comment = _refused("comments")
    visit_drop_column_comment = _refused("comments")
    visit_computed_column = _refused("computed columns: make a view")
    visit_identity_column = _refused("columns that number rows: give values, or a default of Python")

    def _unkept(self, what: str) -> None:
        """Refuses a constraint, or agrees to leave it out."""
        if not self.dialect.ignore_constraints:  # type: ignore[attr-defined]
            raise exc.CompileError(
                f"laminardb does not have {what}; "
                "create_engine(..., laminardb_ignore_constraints=True) leaves such constraints out of the database"
            )

    def visit_foreign_key_constraint(self, constraint: Any, **kw: Any) -> Any:
        """Refused or left out."""
        names = ", ".join(constraint.column_keys)
        return self._unkept(f"foreign keys, such as that of {names} in table {constraint.table}")

    def visit_unique_constraint(self, constraint: Any, **kw: Any) -> Any:
        """Refused or left out."""
        names = ", ".join(column.name for column in constraint)
        return self._unkept(f"unique columns besides the primary key, such as {names} in table {constraint.table}")

    def visit_check_constraint(self, constraint: Any, **kw: Any) -> Any:
        """Refused or left out."""
        return self._unkept(f"checks, such as {constraint.sqltext}")

    visit_table_or_column_check_constraint = visit_check_constraint
    visit_column_check_constraint = visit_check_constraint

    def visit_create_index(self, create: Any, *_: Any, **kw: Any) -> str:
        """Refused, or an empty statement, which the dialect does not run."""
        self._unkept(f"indexes, such as {create.element.name} of table {create.element.table}")
        return ""

    def visit_drop_index(self, drop: Any, **kw: Any) -> str:
        """Refused, or nothing where indexes are left out."""
        self._unkept(f"indexes, such as {drop.element.name}")
        return ""

    def visit_create_column(self, create: Any, first_pk: bool = False, **kw: Any) -> Any:
        """A column with its type, default and whether it takes NULL."""
        column = create.element
        if column.system:
            return None
        constraints = [self.process(constraint) for constraint in column.constraints]
        return " ".join(part for part in [self.get_column_specification(column), *constraints] if part)

    def get_column_specification(self, column: Any, **kw: Any) -> str:
        """The name, the type, the default and NOT NULL."""
        if column.computed is not None:
            return self.process(column.computed)
        if column.identity is not None:
            return self.process(column.identity)
        type_ = self.dialect.type_compiler_instance.process(column.type, type_expression=column)
        if type_ == "INTERVAL":
            raise exc.CompileError("columns cannot be intervals; Interval(native=False) is kept as a timestamp")
        text = f"{self.preparer.format_column(column)} {type_}"
        default = self.get_column_default_string(column)
        if default is not None:
            text += f" DEFAULT {default}"
        return text if column.nullable else text + " NOT NULL"

    def post_create_table(self, table: Any) -> str:
        """Nothing."""
        return ""


class LaminarTypeCompiler(compiler.GenericTypeCompiler):
    """Types."""

    def visit_float(self, type_: Any, **kw: Any) -> str:
        """A `Float`: 64 bits as in Python, unless its precision asks for less."""
        return "DOUBLE" if type_.precision is None else f"FLOAT({type_.precision})"

    def visit_datetime(self, type_: Any, **kw: Any) -> str:
        """A timestamp with or without a zone."""
        return "TIMESTAMPTZ" if type_.timezone else "TIMESTAMP"

    visit_DATETIME = visit_datetime
    visit_TIMESTAMP = visit_datetime

    def visit_TIME(self, type_: Any, **kw: Any) -> str:
        """A time of the day, which has no zone."""
        if type_.timezone:
            raise exc.CompileError("laminardb does not have times with a zone")
        return "TIME"

    def _render_string_type(self, name: str, length: Any, collation: Any, *_: Any, **__: Any) -> str:
        """Text, whose length is read and not enforced."""
        if collation:
            raise exc.CompileError("laminardb does not have collations: text is ordered by its bytes")
        return f"{name}({length})" if length else name

    def visit_text(self, type_: Any, **kw: Any) -> str:
        """Text, which has no other names for long ones."""
        return "TEXT"

    visit_TEXT = visit_text
    visit_CLOB = visit_text
    visit_NCLOB = visit_text
    visit_unicode_text = visit_text

    def visit_NCHAR(self, type_: Any, **kw: Any) -> str:
        """Text."""
        return self.visit_CHAR(type_, **kw)

    def visit_NVARCHAR(self, type_: Any, **kw: Any) -> str:
        """Text."""
        return self.visit_VARCHAR(type_, **kw)

    def visit_uuid(self, type_: Any, **kw: Any) -> str:
        """A UUID, also where SQLAlchemy would keep it without its dashes."""
        return "UUID"

    def visit_JSON(self, type_: Any, **kw: Any) -> str:
        """JSON, which is text."""
        return "JSON"

    def visit_ARRAY(self, type_: Any, **kw: Any) -> str:
        """A list, or lists of lists."""
        return self.process(type_.item_type, **kw) + "[]" * (type_.dimensions or 1)

    def visit_INTERVAL(self, type_: Any, **kw: Any) -> str:
        """An interval, which is a value of queries alone."""
        return "INTERVAL"

    def visit_TINYINT(self, type_: Any, **kw: Any) -> str:
        """8 bits."""
        return "TINYINT"

    def visit_UTINYINT(self, type_: Any, **kw: Any) -> str:
        """8 bits without a sign."""
        return "UTINYINT"

    def visit_USMALLINT(self, type_: Any, **kw: Any) -> str:
        """16 bits without a sign."""
        return "USMALLINT"

    def visit_UINTEGER(self, type_: Any, **kw: Any) -> str:
        """32 bits without a sign."""
        return "UINTEGER"

    def visit_UBIGINT(self, type_: Any, **kw: Any) -> str:
        """64 bits without a sign."""
        return "UBIGINT"


class LaminarPreparer(compiler.IdentifierPreparer):
    """Names: quoted if they have capitals or other characters, or are words of SQL."""

    reserved_words = (
        compiler.RESERVED_WORDS | POSTGRESQL_WORDS | {"exists", "interval", "lateral", "replace", "top", "trim"}
    )

    @staticmethod
    def schema_for_object(obj: Any) -> None:  # type: ignore[override]
        """The schema of a table, which is always the default one and never written."""
        if obj.schema not in (None, DEFAULT_SCHEMA):
            raise exc.CompileError(f"laminardb has one schema and not {obj.schema}")

    def quote_schema(self, schema: str) -> str:
        """Refused: names have no schema."""
        raise exc.CompileError(f"laminardb has one schema and not {schema}")
