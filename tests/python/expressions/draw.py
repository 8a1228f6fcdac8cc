"""Random typed expressions over the columns: operators written here, and functions that both engines have."""

from __future__ import annotations

import random
from collections.abc import Callable

from grid import BY_TYPE, DECIMALS, FLOATS, INTEGERS, KIND_OF, KINDS, LITERALS, TIMESTAMPS, literal, quoted, words
from tree import HOLE, Node

# The kind of the result, then the text. A hole is a kind, a type, a list of words below, `NUMBER` for any number,
# `SCALAR` for what has no parts, or `A`, a kind that is the same in all holes of one operation.
OPERATORS = """
BOOLEAN: ({BOOLEAN} AND {BOOLEAN})
BOOLEAN: ({BOOLEAN} OR {BOOLEAN})
BOOLEAN: (NOT {BOOLEAN})
BOOLEAN: ({A} IS NULL)
BOOLEAN: ({A} IS NOT NULL)
BOOLEAN: ({BOOLEAN} IS TRUE)
BOOLEAN: ({BOOLEAN} IS NOT TRUE)
BOOLEAN: ({BOOLEAN} IS FALSE)
BOOLEAN: ({BOOLEAN} IS NOT FALSE)
BOOLEAN: ({NUMBER} {compare} {NUMBER})
BOOLEAN: ({INTEGER} {compare} {INTEGER})
BOOLEAN: ({FLOAT} {compare} {FLOAT})
BOOLEAN: ({DECIMAL} {compare} {DECIMAL})
BOOLEAN: ({VARCHAR} {compare} {VARCHAR})
BOOLEAN: ({TIMESTAMP} {compare} {TIMESTAMP})
BOOLEAN: ({TIMESTAMP} {compare} {DATE})
BOOLEAN: ({INTERVAL} {compare} {INTERVAL})
BOOLEAN: ({A} {compare} {A})
BOOLEAN: ({A} IS DISTINCT FROM {A})
BOOLEAN: ({A} IS NOT DISTINCT FROM {A})
BOOLEAN: ({NUMBER} BETWEEN {NUMBER} AND {NUMBER})
BOOLEAN: ({A} BETWEEN {A} AND {A})
BOOLEAN: ({A} NOT BETWEEN {A} AND {A})
BOOLEAN: ({A} IN ({A}, {A}))
BOOLEAN: ({A} IN ({A literal}, {A literal}, {A literal}))
BOOLEAN: ({A} NOT IN ({A literal}, {A literal}))
BOOLEAN: ({A} NOT IN ({A}, {A}))
BOOLEAN: ({NUMBER} IN ({NUMBER}, {NUMBER}))
BOOLEAN: ({VARCHAR} LIKE {like})
BOOLEAN: ({VARCHAR} NOT LIKE {like})
BOOLEAN: ({VARCHAR} ILIKE {like})
BOOLEAN: ({VARCHAR} LIKE {VARCHAR})
BOOLEAN: ({VARCHAR} ~ {regex})
BOOLEAN: ({VARCHAR} !~ {regex})
BOOLEAN: (({A}, {A}) {compare} ({A}, {A}))
BOOLEAN: (({INTEGER}, {VARCHAR}) {compare} ({INTEGER}, {VARCHAR}))
INTEGER: ({INTEGER} + {INTEGER})
INTEGER: ({INTEGER} - {INTEGER})
INTEGER: ({INTEGER} * {INTEGER})
INTEGER: ({INTEGER} / {INTEGER})
INTEGER: ({INTEGER} % {INTEGER})
INTEGER: ({INTEGER} & {INTEGER})
INTEGER: ({INTEGER} | {INTEGER})
INTEGER: xor({INTEGER}, {INTEGER})
INTEGER: ({BIGINT} << {small})
INTEGER: ({BIGINT} >> {small})
INTEGER: (- {INTEGER})
INTEGER: (+ {INTEGER})
INTEGER: ({DATE} - {DATE})
INTEGER: EXTRACT({date part} FROM {DATE})
INTEGER: EXTRACT({part} FROM {TIMESTAMP})
INTEGER: EXTRACT({part} FROM {TIMESTAMPTZ})
INTEGER: EXTRACT({clock part} FROM {TIME})
INTEGER: EXTRACT({part} FROM {INTERVAL})
INTEGER: POSITION({VARCHAR} IN {VARCHAR})
INTEGER: ({BIGINT[]})[{index}]
FLOAT: ({FLOAT} + {FLOAT})
FLOAT: ({FLOAT} - {FLOAT})
FLOAT: ({FLOAT} * {FLOAT})
FLOAT: ({FLOAT} / {FLOAT})
FLOAT: ({FLOAT} % {FLOAT})
FLOAT: ({DOUBLE} + {NUMBER})
FLOAT: ({NUMBER} * {DOUBLE})
FLOAT: ({DECIMAL} / {DECIMAL})
FLOAT: ({DECIMAL} / {INTEGER})
FLOAT: ({NUMBER} ^ {small})
FLOAT: (- {FLOAT})
FLOAT: EXTRACT(epoch FROM {TIMESTAMP})
DECIMAL: ({DECIMAL} + {DECIMAL})
DECIMAL: ({DECIMAL} - {DECIMAL})
DECIMAL: ({DECIMAL} * {DECIMAL})
DECIMAL: ({DECIMAL} % {DECIMAL})
DECIMAL: ({DECIMAL} + {INTEGER})
DECIMAL: ({INTEGER} * {DECIMAL})
DECIMAL: (- {DECIMAL})
VARCHAR: ({VARCHAR} || {VARCHAR})
VARCHAR: SUBSTRING({VARCHAR} FROM {small} FOR {count})
VARCHAR: TRIM(BOTH {VARCHAR} FROM {VARCHAR})
VARCHAR: TRIM(LEADING {VARCHAR} FROM {VARCHAR})
VARCHAR: ({VARCHAR[]})[{index}]
VARCHAR: ({STRUCT}).b
INTEGER: ({STRUCT}).a
BLOB: ({BLOB} || {BLOB})
DATE: ({DATE} + {small})
DATE: ({DATE} - {small})
TIMESTAMP: ({DATE} + {INTERVAL})
TIMESTAMP: ({TIMESTAMP} + {INTERVAL})
TIMESTAMP: ({TIMESTAMP} - {INTERVAL})
TIMESTAMP: ({TIMESTAMPTZ} AT TIME ZONE {zone})
TIMESTAMPTZ: ({TIMESTAMP} AT TIME ZONE {zone})
TIMESTAMPTZ: ({TIMESTAMPTZ} + {INTERVAL})
TIME: ({TIME} + {INTERVAL})
INTERVAL: ({TIMESTAMP} - {TIMESTAMP})
INTERVAL: ({TIMESTAMPTZ} - {TIMESTAMPTZ})
INTERVAL: ({INTERVAL} + {INTERVAL})
INTERVAL: ({INTERVAL} - {INTERVAL})
INTERVAL: (- {INTERVAL})
INTERVAL: ({INTERVAL} * {small})
LIST: [{BIGINT}, {BIGINT}]
LIST: ({BIGINT[]})[{index}:{index}]
LIST: ({BIGINT[]} || {BIGINT[]})
R: CASE WHEN {BOOLEAN} THEN {R} ELSE {R} END
R: CASE WHEN {BOOLEAN} THEN {R} WHEN {BOOLEAN} THEN {R} END
R: CASE {A} WHEN {A} THEN {R} WHEN {A literal} THEN {R} ELSE {R} END
R: COALESCE({R}, {R})
R: COALESCE({R}, {R}, {R})
R: NULLIF({R}, {R})
R: GREATEST({R}, {R})
R: LEAST({R}, {R}, {R})
FLOAT: COALESCE({NUMBER}, {DOUBLE})
FLOAT: GREATEST({DOUBLE}, {NUMBER}, {NUMBER})
FLOAT: CASE WHEN {BOOLEAN} THEN {DECIMAL} ELSE {DOUBLE} END
DECIMAL: CASE WHEN {BOOLEAN} THEN {DECIMAL} ELSE {INTEGER} END
R: CAST({C} AS {R type})
R: TRY_CAST({C} AS {R type})
"""

# From which kinds a value can be cast to a kind.
CASTS: dict[str, tuple[str, ...]] = {
    "BOOLEAN": ("INTEGER", "VARCHAR", "FLOAT", "DECIMAL"),
    "INTEGER": ("BOOLEAN", "INTEGER", "FLOAT", "DECIMAL", "VARCHAR"),
    "FLOAT": ("BOOLEAN", "INTEGER", "FLOAT", "DECIMAL", "VARCHAR"),
    "DECIMAL": ("BOOLEAN", "INTEGER", "FLOAT", "DECIMAL", "VARCHAR"),
    "VARCHAR": tuple(kind for kind in KINDS if kind not in ("VARCHAR", "BLOB", "STRUCT", "TEXTS")),
    "BLOB": ("VARCHAR",),
    "DATE": ("VARCHAR", "TIMESTAMP", "TIMESTAMPTZ"),
    "TIME": ("VARCHAR", "TIMESTAMP"),
    "TIMESTAMP": ("VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMPTZ"),
    "TIMESTAMPTZ": ("VARCHAR", "DATE", "TIMESTAMP"),
    "INTERVAL": ("VARCHAR",),
    "LIST": ("LIST", "VARCHAR"),
    "TEXTS": ("TEXTS", "LIST"),
    "STRUCT": ("STRUCT",),
}

PARTS = words(
    "year | quarter | month | week | day | hour | minute | second | millisecond | decade | century | millennium"
)
WORDS: dict[str, list[str]] = {
    "compare": words("= | <> | < | <= | > | >="),
    "like": words("'a%' | '%' | '_' | '%b%' | 'a\\%%' | 'A_c' | '' | '%ü%' | 'a_c%' | '%\\\\%'"),
    "regex": words("'a' | '^a' | 'b$' | '.*' | '[a-c]+' | 'C:\\\\Users' | '\\d+' | '(a|b)c' | '^$' | 'x\\.y'"),
    "small": words("0 | 1 | 2 | 3 | -1 | -2 | 10"),
    "count": words("0 | 1 | 2 | 5"),
    "digits": words("0 | 1 | 2 | -1 | 5"),
    "index": words("1 | 2 | -1 | 5"),
    "year": words("1970 | 2024 | 1 | 9999 | 0"),
    "month": words("1 | 2 | 12 | 13"),
    "day": words("1 | 15 | 29 | 31 | 32"),
    "step": words("1 | 2 | -1"),
    "zone": words("'UTC' | 'Europe/Berlin' | 'America/New_York' | 'Asia/Kolkata'"),
    "date part": words(
        "year | month | day | quarter | week | dow | isodow | doy | decade | century | millennium | epoch"
    ),
    "part": words(
        "year | month | day | hour | minute | second | millisecond | microsecond | quarter | decade | century"
    ),
    "clock part": words("hour | minute | second | millisecond | microsecond"),
    "unit": [quoted(part) for part in PARTS],
}
NUMBERS = ("INTEGER", "FLOAT", "DECIMAL")
SEVERAL = {"NUMBER": NUMBERS, "SCALAR": (*NUMBERS, "BOOLEAN", "VARCHAR", "DATE", "TIME", "TIMESTAMP")}


class Draw:
    """Draws expressions of a wanted kind."""

    def __init__(
        self, rng: random.Random, functions: dict[str, dict[str, list[str]]], is_refused: Callable[[Node], bool]
    ) -> None:
        self.rng, self.functions, self.is_refused = rng, functions, is_refused
        self.operators: dict[str, list[str]] = {}
        for line in OPERATORS.strip().splitlines():
            kind, template = line.split(": ", 1)
            for result in KINDS if kind == "R" else [kind]:
                self.operators.setdefault(result, []).append(template)

    def root(self) -> Node:
        """An expression of any kind, half of them conditions."""
        kind = "BOOLEAN" if self.rng.random() < 0.45 else self.rng.choice(list(KINDS))
        return self.operation(kind, self.rng.choice([1, 1, 2, 2, 3]))

    def node(self, kind: str, depth: int) -> Node:
        if depth <= 0 or self.rng.random() < 0.15:
            return self.leaf(kind)
        return self.operation(kind, depth)

    def operation(self, kind: str, depth: int) -> Node:
        """An operator, or a function: by its name, of which there may be several with other arguments."""
        named = self.functions.get(kind)
        while True:
            templates = self.operators[kind]
            if named and self.rng.random() < 0.4:
                templates = named[self.rng.choice(list(named))]
            node = self.filled(self.rng.choice(templates), kind, depth)
            if not self.is_refused(node):
                return node

    def filled(self, template: str, kind: str, depth: int) -> Node:
        """The template with its holes filled; literals beside a comparison may stand without a cast."""
        shared = self.rng.choice([kind for kind in KINDS if kind != "STRUCT"])
        source = self.rng.choice(CASTS[kind]) if "{C}" in template else kind
        children = []
        for hole in HOLE.findall(template):
            bare = kind == "BOOLEAN" and template.startswith("(")
            children.append(self.hole(hole, {"A": shared, "R": kind, "C": source}, depth - 1, bare))
        return Node(template, kind, tuple(children))

    def hole(self, hole: str, names: dict[str, str], depth: int, bare: bool) -> Node:
        if hole in WORDS:
            return Node(self.rng.choice(WORDS[hole]), hole)
        if hole == "R type":
            sql = self.rng.choice(KINDS[names["R"]])
            return Node(sql, sql)
        if hole.endswith(" literal"):
            return self.literal(names[hole[0]], bare)
        kind = names.get(hole, hole)
        kind = self.rng.choice(SEVERAL[kind]) if kind in SEVERAL else kind
        if kind not in KINDS or (kind in BY_TYPE and len(KINDS[KIND_OF[kind]]) > 1):
            return self.exactly(kind, depth)
        return self.leaf(kind, bare) if depth <= 0 else self.node(kind, depth)

    def exactly(self, sql: str, depth: int) -> Node:
        """An expression of just this type."""
        kind = KIND_OF[sql]
        choice = self.rng.random()
        if choice < 0.6 and sql in BY_TYPE:
            return Node(self.rng.choice(BY_TYPE[sql]), kind)
        if choice < 0.85 or depth <= 0 or kind in ("LIST", "STRUCT"):
            return Node(literal(sql, self.value(sql)), kind)
        return Node(f"CAST({{{kind}}} AS {sql})", kind, (self.node(kind, depth - 1),))

    def leaf(self, kind: str, bare: bool = False) -> Node:
        types = [sql for sql in KINDS[kind] if sql in BY_TYPE]
        if types and self.rng.random() < 0.75:
            return Node(self.rng.choice(BY_TYPE[self.rng.choice(types)]), kind)
        return self.literal(kind, bare)

    def literal(self, kind: str, bare: bool = False) -> Node:
        sql = self.rng.choice(KINDS[kind])
        value = self.value(sql)
        if value is not None and bare and (sql in INTEGERS or (sql in FLOATS + DECIMALS and value[-1].isdigit())):
            return Node(value, kind)
        if value is not None and sql in TIMESTAMPS and self.rng.random() < 0.5:
            return Node(literal("TIMESTAMP", value), kind)
        return Node(literal(sql, value), kind)

    def value(self, sql: str) -> str | None:
        return None if self.rng.random() < 0.08 else self.rng.choice(LITERALS[sql])
