"""The places where an expression can stand, each as one branch of a statement about many expressions.

A branch gives rows of three integers, the first of which is the number of its expression: so a statement is the
UNION ALL of its branches, and a difference tells which expression it is about.
"""

from __future__ import annotations

from collections.abc import Callable

from grid import COLUMNS, KIND_OF
from tree import Node

Branch = Callable[[int, Node, str], str]
# DuckDB and laminardb have min and max of these.
ORDERED = {"BOOLEAN", "INTEGER", "FLOAT", "DECIMAL", "VARCHAR", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}


def where(number: int, expr: Node, table: str) -> str:
    return f"SELECT {number} AS c, id AS x, 0 AS y FROM {table} WHERE {expr.text()}"


def where_not(number: int, expr: Node, table: str) -> str:
    return f"SELECT {number} AS c, id AS x, 0 AS y FROM {table} WHERE NOT {expr.text()}"


def group_by(number: int, expr: Node, table: str) -> str:
    return f"SELECT {number} AS c, min(id) AS x, count(*) AS y FROM {table} GROUP BY {expr.text()}"


def distinct(number: int, expr: Node, table: str) -> str:
    once = f"SELECT DISTINCT {expr.text()} AS e FROM {table}"
    return f"SELECT {number} AS c, count(*) AS x, count(e) AS y FROM ({once}) q"


def order_by(number: int, expr: Node, table: str) -> str:
    last = f"SELECT id FROM {table} ORDER BY {expr.text()} DESC, id LIMIT 5"
    return f"SELECT {number} AS c, id AS x, 0 AS y FROM ({last}) q"


def equal(number: int, expr: Node, table: str) -> str:
    """As a key on both sides of a join."""
    left, right = (expr.renamed(lambda name, side=side: f"{side}.{name}").text() for side in "ab")
    return f"SELECT {number} AS c, a.id AS x, b.id AS y FROM {table} a JOIN {table} b ON {left} = {right}"


def among(number: int, expr: Node, table: str) -> str:
    """As a key of a subquery."""
    keys = f"SELECT {expr.text()} FROM {table} WHERE id % 3 = 0"
    return f"SELECT {number} AS c, id AS x, 0 AS y FROM {table} WHERE {expr.text()} IN ({keys})"


def having(number: int, expr: Node, table: str) -> str:
    """Over aggregates of every other column, and over the keys."""
    columns = sorted(expr.columns() - {"id"})
    taken = {name for name in columns[::2] if KIND_OF[COLUMNS[name]] in ORDERED}
    keys = ", ".join(["id", *(name for name in columns if name not in taken)])
    over = expr.renamed(lambda name: f"max({name})" if name in taken else name)
    return f"SELECT {number} AS c, id AS x, count(*) AS y FROM {table} GROUP BY {keys} HAVING {over.text()}"


def of_both(expr: Node) -> str:
    """The expression over columns of two relations `a` and `b`."""
    return expr.renamed(lambda name: f"{'ab'[len(name) % 2] if name != 'id' else 'a'}.{name}").text()


def matched(condition: str) -> str:
    """For DuckDB, which tries a condition on pairs that do not match, and may fail there."""
    return f"CASE WHEN b.id = a.id THEN {condition} END"


def joined(number: int, condition: str, table: str) -> str:
    kind = ["JOIN", "LEFT JOIN", "FULL JOIN"][number % 3]
    on = f"b.id = a.id AND {condition}"
    return f"SELECT {number} AS c, a.id AS x, b.id AS y FROM {table} a {kind} {table} b ON {on}"


def on(number: int, expr: Node, table: str) -> str:
    """Over columns of both sides of a join."""
    return joined(number, of_both(expr), table)


def on_matched(number: int, expr: Node, table: str) -> str:
    return joined(number, matched(of_both(expr)), table)


def filter_where(number: int, expr: Node, table: str) -> str:
    counted = f"FILTER (WHERE {expr.text()})"
    return f"SELECT {number} AS c, count(*) {counted} AS x, sum(id) {counted} AS y FROM {table}"


def case_when(number: int, expr: Node, table: str) -> str:
    text = expr.text()
    return f"SELECT {number} AS c, id AS x, CASE WHEN {text} THEN 1 WHEN NOT {text} THEN 2 ELSE 3 END AS y FROM {table}"


def correlated(number: int, condition: str, table: str) -> str:
    inner = f"SELECT 1 FROM {table} b WHERE b.id = a.id AND {condition}"
    return f"SELECT {number} AS c, a.id AS x, 0 AS y FROM {table} a WHERE EXISTS ({inner})"


def exists(number: int, expr: Node, table: str) -> str:
    """Over columns of a subquery and of the query around it."""
    return correlated(number, of_both(expr), table)


def exists_matched(number: int, expr: Node, table: str) -> str:
    return correlated(number, matched(of_both(expr)), table)


CONDITIONS: dict[str, Branch] = {
    "WHERE": where,
    "WHERE NOT": where_not,
    "HAVING": having,
    "ON": on,
    "FILTER": filter_where,
    "CASE": case_when,
    "EXISTS": exists,
}
# What DuckDB runs instead.
THEIRS: dict[str, Branch] = {"ON": on_matched, "EXISTS": exists_matched}
VALUES: dict[str, Branch] = {
    "GROUP BY": group_by,
    "DISTINCT": distinct,
    "ORDER BY": order_by,
    "JOIN": equal,
    "IN": among,
}

WRITES = {
    "DELETE": "DELETE FROM t WHERE {}",
    "UPDATE": "UPDATE t SET id = id + 100 WHERE {}",
    "UPDATE SET": "UPDATE t SET id = CASE WHEN {} THEN 1000 ELSE id END",
}


def statement(branch: Branch, exprs: dict[int, Node], table: str) -> str:
    return " UNION ALL ".join(branch(number, expr, table) for number, expr in exprs.items())


def select(exprs: dict[int, Node], table: str) -> str:
    columns = "".join(f", {expr.text()} AS e{number}" for number, expr in exprs.items())
    return f"SELECT id{columns} FROM {table}"


def guarded(expr: Node, good: list[int]) -> Node:
    """NULL where an expression has no answer that both engines must agree on."""
    ids = ", ".join(map(str, good))
    return Node(f"CASE WHEN {{INTEGER}} IN ({ids}) THEN {{{expr.kind}}} END", expr.kind, (Node("id", "INTEGER"), expr))
