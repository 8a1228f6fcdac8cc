"""Expressions in every place where one can stand: run once, and as views made before and after the rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from cases import Difference, World
from compare import plain, same
from places import CONDITIONS, THEIRS, VALUES, WRITES, Branch, select, statement
from tree import Node, shrink

Exprs = dict[int, Node]
PLACES = ["SELECT", *VALUES, *CONDITIONS]


class Watch:
    """Compares a batch in all places; every expression has one value in each row, by a guard if need be."""

    def __init__(self, world: World) -> None:
        self.world = world

    def everywhere(self, exprs: Exprs) -> list[Difference]:
        """All as columns, and each in every other of the places that it can stand in."""
        conditions = {number: expr for number, expr in exprs.items() if expr.kind == "BOOLEAN"}
        found = self.columns(exprs)
        for turn, place in enumerate([*VALUES, *CONDITIONS, *WRITES]):
            drawn = exprs if place in VALUES else conditions
            taken = {number: expr for number, expr in drawn.items() if (number + turn) % 2 == 0}
            found += self.write(place, taken) if place in WRITES else self.rows(place, taken)
        return found

    def smallest(self, number: int, difference: Difference) -> Difference:
        """The same difference of the smallest expression found."""
        if difference.row is not None and difference.place == "SELECT":
            row = difference.row
            expr = shrink(difference.expr, lambda less: self.world.differs(less, row))
            found, _ = self.world.row_that_differs(expr, [row])
            return found or difference
        place = difference.place.split(",")[0]
        check = self.columns if place == "SELECT" else self.write if place in WRITES else self.rows
        call = check if place == "SELECT" else lambda exprs: check(place, exprs)
        expr = shrink(difference.expr, lambda less: self.attempted(lambda: call({number: less})), attempts=30)
        return (call({number: expr}) or [difference])[0]

    def attempted(self, call: Callable[[], list[Difference]]) -> bool:
        """Whether a call finds a difference; DuckDB may refuse what a smaller expression is."""
        try:
            return bool(call())
        except (self.world.duck.refusal, *self.world.duck.failures):
            return False

    def answers(self, place: str, sql: Callable[[str], str]) -> Iterator[tuple[str, pa.Table | str]]:
        """What laminardb says to a query: its rows, or why there are none.

        Views take the longest, so every other batch makes those of one place before the rows, and the others after.
        """
        ours = self.world.ours
        ours.run("TRUNCATE u")
        yield "run once", ours.attempt(sql("t"))
        when = ("before", "after")[(PLACES.index(place) + self.world.seed) % 2]
        if when == "after":
            ours.conn.insert("u", self.world.table)
        refused = ours.define(f"CREATE MATERIALIZED VIEW v AS {sql('u')}")
        if when == "before":
            ours.conn.insert("u", self.world.table)
        yield f"a view made {when} the rows", refused or ours.attempt("SELECT * FROM v")
        ours.run("DROP MATERIALIZED VIEW IF EXISTS v")

    def rows(self, place: str, exprs: Exprs) -> list[Difference]:
        """One statement about all; when laminardb does not answer it, one about each."""
        branch: Branch = {**VALUES, **CONDITIONS}[place]
        if not exprs:
            return []
        theirs = by_number(self.world.duck.read(statement(THEIRS.get(place, branch), exprs, "t")))
        found = []
        for how, answer in list(self.answers(place, lambda table: statement(branch, exprs, table))):
            if isinstance(answer, str):
                if len(exprs) > 1:
                    return [each for one in exprs.items() for each in self.rows(place, dict([one]))]
                return [Difference(f"{place}, {how}", *exprs.values(), answer, theirs)]
            ours = by_number(answer)
            for number, expr in exprs.items():
                left, right = ours[number] - theirs[number], theirs[number] - ours[number]
                if left or right:
                    found.append(Difference(f"{place}, {how}", expr, sorted(left.items()), sorted(right.items())))
        return found

    def columns(self, exprs: Exprs) -> list[Difference]:
        """All as columns of one SELECT."""
        if not exprs:
            return []
        theirs = by_id(self.world.duck.read(select(exprs, "t")))
        found = []
        for how, answer in list(self.answers("SELECT", lambda table: select(exprs, table))):
            if isinstance(answer, str):
                if len(exprs) > 1:
                    return [each for one in exprs.items() for each in self.columns(dict([one]))]
                return [Difference(f"SELECT, {how}", *exprs.values(), answer, theirs)]
            found += list(columns_that_differ(f"SELECT, {how}", exprs, by_id(answer), theirs))
        return found

    def write(self, place: str, exprs: Exprs) -> list[Difference]:
        """A DELETE or UPDATE, taken back."""
        found = []
        for expr in exprs.values():
            left = [engine.changed(WRITES[place].format(expr.text())) for engine in (self.world.ours, self.world.duck)]
            if left[0] != left[1]:
                found.append(Difference(place, expr, *left))
        return found


def by_number(table: pa.Table) -> defaultdict[int, Counter[tuple[Any, Any]]]:
    """How often each pair of integers is there, by the number of its expression."""
    found: defaultdict[int, Counter[tuple[Any, Any]]] = defaultdict(Counter)
    for number, left, right in zip(*(plain(table[name]) for name in ("c", "x", "y")), strict=True):
        found[number][left or 0, right or 0] += 1
    return found


def by_id(table: pa.Table) -> dict[int, tuple[Any, ...]]:
    """The rows by their first column."""
    return {row[0]: row for row in zip(*(plain(table.column(at)) for at in range(table.num_columns)), strict=True)}


def columns_that_differ(
    place: str, exprs: Exprs, ours: dict[int, tuple[Any, ...]], theirs: dict[int, tuple[Any, ...]]
) -> Iterator[Difference]:
    """The first row that differs of each column."""
    for at, expr in enumerate(exprs.values(), 1):
        for row, right in theirs.items():
            left = ours[row][at] if row in ours else "no row"
            if not same(left, right[at]):
                yield Difference(place, expr, left, right[at], row)
                break
