"""The scalar functions that both engines have by one name, with the arguments that both take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import laminardb
from draw import WORDS
from engines import Duck, Ours, refusal
from grid import BY_TYPE, KIND_OF
from tree import HOLE, Node

# Types of DuckDB's catalogue as they are drawn.
PARAMETERS = {
    "ANY": "A",
    "ANY[]": "BIGINT[]",
    "DECIMAL": "DECIMAL",
    "FLOAT": "REAL",
    "STRUCT": "STRUCT",
    "T": "BIGINT",
    "T[]": "BIGINT[]",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
    "TIMESTAMP_NS": "TIMESTAMP(9)",
}
RESULTS = {
    "FLOAT": "FLOAT",
    "HUGEINT": "INTEGER",
    "INTEGER[]": "LIST",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP_S": "TIMESTAMP",
}
# Arguments that count something are small, others are words: of a name, perhaps with so many, from the first on.
ARGUMENTS = {
    "array_extract": "? index",
    "concat": "SCALAR SCALAR SCALAR",
    "concat_ws": "VARCHAR SCALAR SCALAR SCALAR",
    "array_resize": "? count BIGINT",
    "array_slice": "? index index",
    "date_part": "unit",
    "date_trunc": "unit",
    "datepart": "unit",
    "datetrunc": "unit",
    "factorial": "count",
    "generate_series": "count count step",
    "left": "? small",
    "list_element": "? index",
    "list_extract": "? index",
    "list_resize": "? count BIGINT",
    "list_slice": "? index index",
    "lpad": "? count",
    "make_date/3": "year month day",
    "overlay": "? ? small small",
    "pow": "? small",
    "power": "? small",
    "range": "count count step",
    "regexp_replace": "? regex",
    "repeat": "? count",
    "right": "? small",
    "round": "? digits",
    "rpad": "? count",
    "split_part": "? ? small",
    "substr": "? small small",
    "substring": "? small small",
    "timezone/2": "zone",
    "trunc": "? digits",
}
# The moment, and what each engine says of itself.
LEFT_OUT = {"current_date", "now", "today", "version"}
CATALOGUE = """
    SELECT DISTINCT function_name, parameter_types || CASE WHEN varargs IS NULL THEN [] ELSE [varargs, varargs] END
    FROM duckdb_functions()
    WHERE function_type = 'scalar' AND stability <> 'VOLATILE' AND regexp_matches(function_name, '^[a-z]') ORDER BY ALL
"""


@dataclass
class Menu:
    """What both have: by the kind of the result and the name, templates; all names; and the calls that are refused."""

    functions: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    refused: dict[Node, str] = field(default_factory=dict)


def build(duck: Duck, ours: Ours) -> Menu:
    """Asks both engines about every function of DuckDB's catalogue; both have the relation `none`."""
    menu = Menu()
    found = duck.conn.execute(CATALOGUE).fetchall()
    ours_too = set(laminardb._laminardb._functions()["scalar"]) - LEFT_OUT
    for name, parameters in found:
        if name not in ours_too:
            continue
        menu.names.add(name)
        template = call(name, parameters)
        kind = template and kind_of_result(duck, sample(template).text())
        if not template or not kind:
            continue
        reason = refusal(ours, sample(template))
        if reason is None:
            menu.functions.setdefault(kind, {}).setdefault(name, []).append(template)
        else:
            menu.refused[sample(template)] = reason
    return menu


def call(name: str, parameters: list[str | None]) -> str | None:
    """The template of a call; None if an argument has a type that is not drawn."""
    words = (ARGUMENTS.get(name) or ARGUMENTS.get(f"{name}/{len(parameters)}", "")).split()
    holes = []
    for place, parameter in enumerate(parameters):
        if parameter is None:
            return None
        plain = parameter.strip("'")
        hole = words[place] if place < len(words) and words[place] != "?" else PARAMETERS.get(plain, plain)
        if hole not in WORDS and hole not in KIND_OF and hole not in ("A", "DECIMAL", "SCALAR", "STRUCT"):
            return None
        holes.append(f"{{{hole}}}")
    return f"{name}({', '.join(holes)})"


def sample(template: str) -> Node:
    """The call with columns, and with the first of its words."""
    return Node(template, "", tuple(arguments(template)))


def arguments(template: str) -> Iterator[Node]:
    for hole in HOLE.findall(template):
        if hole in WORDS:
            yield Node(WORDS[hole][0], hole)
        elif hole == "INTERVAL":
            yield Node("INTERVAL '1 day'", hole)
        else:
            name = {"A": "BIGINT", "SCALAR": "BIGINT"}.get(hole, hole)
            sql = next(sql for sql, kind in KIND_OF.items() if name in (sql, kind))
            yield Node(BY_TYPE[sql][0], KIND_OF[sql])


def kind_of_result(duck: Duck, expr: str) -> str | None:
    """The kind of what DuckDB gives; None if it refuses the call, or if the type is not drawn."""
    try:
        found = duck.conn.execute(f"DESCRIBE SELECT {expr} AS e FROM none").fetchone()
    except duck.failures:
        return None
    sql = str(found and found[1])
    return "DECIMAL" if sql.startswith("DECIMAL") else RESULTS.get(sql) or KIND_OF.get(sql)
