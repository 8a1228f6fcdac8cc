"""Random expressions mean the same in laminardb and in DuckDB, wherever they stand; what differs is documented.

Every failure prints its seed and the smallest expression found. `LAMINARDB_TEST_SEED=n` runs one batch alone,
`LAMINARDB_TEST_CASES_FACTOR=n` runs n times as many.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import duckdb
import laminardb
import pytest
from cases import Difference, Outcome, World
from differences import Deliberate, listed
from engines import Duck, Ours
from grid import DEFINITION
from menu import Menu, build
from watch import Watch

BATCH = 25
BATCHES = 80 * int(os.environ.get("LAMINARDB_TEST_CASES_FACTOR", "1"))
SEEDS = [int(os.environ["LAMINARDB_TEST_SEED"])] if "LAMINARDB_TEST_SEED" in os.environ else range(1, BATCHES + 1)
TOTAL = Outcome()


@pytest.fixture(scope="module")
def menu() -> Iterator[Menu]:
    """The functions that both have."""
    duck, ours = Duck(), Ours()
    for engine in (duck, ours):
        engine.run(f"CREATE TABLE none ({DEFINITION})")
    yield build(duck, ours)
    ours.conn.close()


def told(world: World, difference: Difference) -> str:
    """A difference with the values that it comes from."""
    rows = world.rows.values if difference.row is None else [world.rows.values[difference.row]]
    names = sorted(difference.expr.columns())
    values = "\n".join(f"    {{{', '.join(f'{name}: {row[name]!r}' for name in names)}}}" for row in rows)
    return (
        f"{difference.place}: {difference.expr.text()}\n  laminardb: {difference.ours}\n"
        f"  DuckDB:    {difference.theirs}\n  operation: {difference.expr.operation()}\n{values}"
    )


def batch(world: World) -> tuple[Outcome, list[Difference]]:
    """Draws expressions and compares them, first as columns, then everywhere."""
    outcome = Outcome()
    exprs = {}
    for number in range(BATCH):
        expr = world.check(world.draw(), outcome)
        if expr is not None:
            exprs[number] = expr
    watch = Watch(world)
    found = outcome.differences + watch.everywhere(exprs)
    numbers = {expr: number for number, expr in exprs.items()}
    return outcome, [watch.smallest(numbers.get(each.expr, 0), each) for each in found]


@pytest.mark.parametrize("seed", SEEDS)
def test_expressions_mean_the_same(seed: int, menu: Menu) -> None:
    print(f"seed {seed}")
    world = World(menu, listed(), seed)
    try:
        outcome, found = batch(world)
        TOTAL.add(outcome)
        assert not found, f"seed {seed}\n" + "\n".join(told(world, difference) for difference in found)
    finally:
        world.close()


def test_hardly_any_expression_is_refused() -> None:
    """After the cases above; fewer than one in a hundred, and hardly any that DuckDB does not take."""
    assert TOTAL.compared > 0
    reasons = Counter(reason.splitlines()[0] for _, reason in TOTAL.refused)
    print(*(f"{count} refused: {reason}" for reason, count in reasons.most_common()), sep="\n")
    # One batch alone says little about shares: it may have what a whole run may.
    drawn = max(TOTAL.compared + len(TOTAL.refused), 80 * BATCH)
    assert len(TOTAL.refused) < drawn / 100, TOTAL.refused
    assert len(TOTAL.invalid) < drawn / 20, TOTAL.invalid


def test_the_functions_of_both_are_found_and_take_the_same_arguments(menu: Menu) -> None:
    assert len(menu.names) > 100
    assert len({name for named in menu.functions.values() for name in named}) > 100
    refused = [entry for entry in listed() if entry.here == "refused"]
    unlisted = [node for node in menu.refused if not any(entry.is_about(node) for entry in refused)]
    assert not unlisted, {node.text(): menu.refused[node] for node in unlisted}


def answer(conn: laminardb.Connection | duckdb.DuckDBPyConnection, sql: str) -> str:
    """The one value of a query as text, or what its failure is called in the table."""
    try:
        (row,) = conn.sql(sql).fetchall()
    except (laminardb.QueryError, duckdb.Error):
        return "error"
    return "NULL" if row[0] is None else str(row[0])


@pytest.mark.parametrize("entry", listed(), ids=lambda entry: entry.operation)
def test_each_listed_difference_is_one(entry: Deliberate) -> None:
    """What the table says of both engines is so, without the settings that it names."""
    assert entry.here != entry.duckdb
    sql = f"SELECT {entry.example} AS e"
    with laminardb.open(":memory:") as conn:
        assert (answer(conn, sql), answer(Duck().conn, sql)) == (
            entry.here.replace("refused", "error"),
            entry.duckdb,
        )
