"""A batch of random expressions over random rows in both engines: what differs, where, and the smallest that does."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

from compare import same
from differences import BESIDE_NULL, Deliberate
from draw import Draw
from engines import Duck, Failure, Ours, Refused, alone, refusal, some, values
from grid import DEFINITION, KINDS, draw_rows
from menu import Menu
from places import guarded
from tree import Node

# Operations that do not compute every argument for each row; all compute the first.
GUARDING = re.compile(r"^(CASE|coalesce|ifnull|nvl|if)\b| (AND|OR|IN) |\), ?\(|^\(\(", re.IGNORECASE)
ROWS = 16
IDS = list(range(ROWS))


@dataclass(frozen=True)
class Difference:
    """An expression that has two answers, in the place where it stands; in one row, where it is about one."""

    place: str
    expr: Node
    ours: Any
    theirs: Any
    row: int | None = None


@dataclass
class Outcome:
    """What a batch came to: cases that were compared, and those that one of the engines refuses."""

    compared: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    invalid: list[tuple[str, str]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.compared += other.compared
        self.refused += other.refused
        self.invalid += other.invalid


class World:
    """Both engines with the same random rows in `t`; the relations `none` and `u` are empty."""

    def __init__(self, menu: Menu, deliberate: list[Deliberate], seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.menu, self.deliberate = menu, deliberate
        self.duck = Duck([entry.operation for entry in deliberate if entry.setting])
        self.ours = Ours(self.rng.choice([1, 1, 2]))
        self.rows = draw_rows(self.rng, ROWS)
        for engine in (self.duck, self.ours):
            for table in ("t", "none", "u"):
                engine.run(f"CREATE TABLE {table} ({DEFINITION})")
        self.duck.run(self.rows.insert("t"))
        self.table = self.duck.read("SELECT * FROM t")
        self.ours.conn.insert("t", self.table)

    def close(self) -> None:
        self.duck.conn.close()
        self.ours.conn.close()

    def draw(self) -> Node:
        return Draw(self.rng, self.menu.functions, self.is_refused).root()

    def is_refused(self, node: Node) -> bool:
        """Whether docs/sql.md says that laminardb does not have the operation."""
        return any(entry.here == "refused" and entry.is_about(node) for entry in self.deliberate)

    def excused(self, expr: Node, ids: list[int]) -> set[int]:
        """The rows for which docs/sql.md says that an operation inside has another value."""
        found: set[int] = set()
        for node in expr.nodes():
            for entry in self.deliberate:
                condition = entry.condition(node)
                if condition is not None:
                    differs = values(self.duck, Node(condition, "BOOLEAN"), ids)
                    found |= {row for row, value in differs.items() if value is True or isinstance(value, Failure)}
        return found

    def guards(self, expr: Node) -> bool:
        """Whether docs/sql.md says that DuckDB may fail where laminardb does not."""
        return any(entry.guards and entry.is_about(node) for node in expr.nodes() for entry in self.deliberate)

    def fails_beside_null(self, expr: Node, row: int) -> bool:
        """Whether an argument that is always computed fails in DuckDB too, which may spare it beside a NULL."""
        if all(entry.when != BESIDE_NULL for entry in self.deliberate):
            return False
        always = expr.children[:1] if GUARDING.search(expr.template) else expr.children
        values_of = [child for child in always if child.kind in KINDS]
        return isinstance(values(self.duck, expr, [row])[row], Failure) or any(
            self.fails_beside_null(child, row) for child in values_of
        )

    def row_that_differs(self, expr: Node, ids: list[int]) -> tuple[Difference | None, list[int]]:
        """A row with two answers, if there is one, and the rows that both have one value for."""
        theirs = values(self.duck, expr, ids)
        excused = self.excused(expr, ids)
        good = [row for row in ids if row not in excused and not isinstance(theirs[row], Failure)]
        ours = alone(self.ours, expr, good)
        for row, value in ours.items():
            if isinstance(value, Failure) and theirs[row] is None and self.fails_beside_null(expr, row):
                return self.row_that_differs(expr, [other for other in ids if other != row])
            if isinstance(value, Failure) or not same(value, theirs[row]):
                return Difference("SELECT", expr, value, theirs[row], row), []
        failing = [row for row in ids if row not in excused and isinstance(theirs[row], Failure)]
        if not self.guards(expr):
            for row in self.rng.sample(failing, min(len(failing), 3)):
                value = alone(self.ours, expr, [row])[row]
                if not isinstance(value, Failure):
                    return Difference("SELECT", expr, value, theirs[row], row), []
        return None, good

    def differs(self, expr: Node, row: int) -> bool:
        """Whether this row has two answers; a refusal by one of the engines is none."""
        try:
            found, _ = self.row_that_differs(expr, [row])
        except Refused:
            return False
        return found is not None and refusal(self.ours, expr) is None

    def check(self, expr: Node, outcome: Outcome) -> Node | None:
        """The expression as a column of a query that runs once; gives it with a guard for the rows that fail."""
        try:
            found, good = self.row_that_differs(expr, IDS)
        except Refused as error:
            outcome.invalid.append((expr.text(), str(error)))
            return None
        reason = refusal(self.ours, expr) if found else None
        if reason is not None:
            outcome.refused.append((expr.text(), reason))
            return None
        outcome.compared += 1
        if found:
            outcome.differences.append(found)
        return self.settled(expr if good == IDS else guarded(expr, good)) if good else None

    def settled(self, expr: Node) -> Node | None:
        """The expression, unless DuckDB fails on rows together that it has values for one by one."""
        try:
            some(self.duck, expr, IDS)
        except self.duck.failures:
            return None
        return expr
