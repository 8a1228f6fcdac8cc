"""The two engines over the same rows: values of an expression row by row, where each row may fail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb
import laminardb
import pyarrow as pa
from compare import plain
from tree import Node


class Refused(Exception):
    """DuckDB does not take the statement."""


@dataclass(frozen=True)
class Failure:
    """A row on which an expression fails."""

    text: str


class Duck:
    """DuckDB without its optimiser, which drops arguments that fail."""

    failures = (duckdb.Error, pa.ArrowException, OverflowError, ValueError)
    refusal = Refused

    def __init__(self, settings: Iterable[str] = ()) -> None:
        self.conn = duckdb.connect()
        for setting in ("SET TimeZone = 'UTC'", "SET threads = 1", "PRAGMA disable_optimizer", *settings):
            self.conn.execute(setting)

    def run(self, sql: str) -> None:
        self.conn.execute(sql)

    def read(self, sql: str) -> pa.Table:
        try:
            return self.conn.sql(sql).to_arrow_table()
        except (
            duckdb.BinderException,
            duckdb.CatalogException,
            duckdb.ParserException,
            duckdb.NotImplementedException,
        ) as error:
            raise Refused(str(error)) from error

    def changed(self, sql: str) -> list[int] | str:
        return changed(self, sql)


class Ours:
    """laminardb."""

    failures = (laminardb.LaminarError,)

    def __init__(self, workers: int = 1) -> None:
        self.conn = laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers))

    def run(self, sql: str) -> None:
        self.conn.execute(sql)

    def read(self, sql: str) -> pa.Table:
        return self.conn.sql(sql).to_arrow()

    def attempt(self, sql: str) -> pa.Table | str:
        """The rows of a query, or why there are none."""
        try:
            return self.read(sql)
        except self.failures as error:
            return str(error)

    def define(self, sql: str) -> str | None:
        """Why a definition is refused."""
        try:
            self.run(sql)
        except self.failures as error:
            return str(error)
        return None

    def changed(self, sql: str) -> list[int] | str:
        return changed(self, sql)


def changed(engine: Duck | Ours, sql: str) -> list[int] | str:
    """The ids that a write leaves, or that it fails; it is taken back."""
    engine.run("BEGIN")
    try:
        engine.run(sql)
        left: list[int] | str = sorted(engine.read("SELECT id FROM t")["id"].to_pylist())
    except engine.failures as error:
        left = str(error)
    engine.run("ROLLBACK")
    return left


def columns(expr: Node) -> str:
    """The expression, with the columns that it reads."""
    return ", ".join(["id", f"{expr.text()} AS e", *sorted(expr.columns() - {"id"})])


def some(engine: Duck | Ours, expr: Node, ids: list[int]) -> dict[int, Any]:
    """The values of these rows."""
    listed = ", ".join(map(str, ids))
    found = engine.read(f"SELECT {columns(expr)} FROM t WHERE id IN ({listed})")
    return dict(zip(found["id"].to_pylist(), plain(found["e"]), strict=True))


def values(engine: Duck | Ours, expr: Node, ids: list[int]) -> dict[int, Any]:
    """The value, or the failure, of each row."""
    try:
        return some(engine, expr, ids)
    except Refused:
        raise
    except engine.failures as error:
        if len(ids) == 1:
            return {ids[0]: Failure(str(error).splitlines()[0][:200])}
        half = len(ids) // 2
        return values(engine, expr, ids[:half]) | values(engine, expr, ids[half:])


def alone(engine: Ours, expr: Node, ids: list[int]) -> dict[int, Any]:
    """The values of all rows, or the failure of one that fails alone."""
    if not ids:
        return {}
    try:
        return some(engine, expr, ids)
    except engine.failures as error:
        if len(ids) == 1:
            return {ids[0]: Failure(str(error).splitlines()[0][:200])}
        half = len(ids) // 2
        left = alone(engine, expr, ids[:half])
        failed = any(isinstance(value, Failure) for value in left.values())
        return left if failed else alone(engine, expr, ids[half:])


def refusal(ours: Ours, expr: Node) -> str | None:
    """Why laminardb does not take an expression, whatever the rows."""
    answer = ours.attempt(f"SELECT {expr.text()} AS e FROM none")
    return answer if isinstance(answer, str) else None
