"""The types of columns, the values that their rows are drawn from, and the relation that expressions are about."""

from __future__ import annotations

import random
from dataclasses import dataclass

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
FLOATS = ("REAL", "DOUBLE")
DECIMALS = ("DECIMAL(4,1)", "DECIMAL(10,2)", "DECIMAL(28,9)")
TIMESTAMPS = ("TIMESTAMP", "TIMESTAMP(0)", "TIMESTAMP(3)", "TIMESTAMP(9)")

# A kind is what an operator cares about; each has one type or several.
KINDS: dict[str, tuple[str, ...]] = {
    "BOOLEAN": ("BOOLEAN",),
    "INTEGER": INTEGERS,
    "FLOAT": FLOATS,
    "DECIMAL": DECIMALS,
    "VARCHAR": ("VARCHAR",),
    "BLOB": ("BLOB",),
    "DATE": ("DATE",),
    "TIME": ("TIME",),
    "TIMESTAMP": TIMESTAMPS,
    "TIMESTAMPTZ": ("TIMESTAMPTZ",),
    "INTERVAL": ("INTERVAL",),
    "LIST": ("BIGINT[]",),
    "TEXTS": ("VARCHAR[]",),
    "STRUCT": ("STRUCT(a BIGINT, b VARCHAR)",),
}
KIND_OF = {sql: kind for kind, types in KINDS.items() for sql in types}


def words(text: str) -> list[str]:
    """What stands between bars."""
    return text.split(" | ")


def whole(bits: int, signed: bool) -> list[str]:
    """Small numbers, mostly, and the extremes."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    below = ["-1", "-2", "-7"] if signed else []
    return [*words("0 | 1 | 2 | 3 | 5 | 7 | 12 | 100"), *below, str(low), str(high), str(high - 1)]


FRACTIONS = words("0.0 | -0.0 | 1.0 | -1.0 | 0.5 | 1.5 | 2.5 | -2.5 | 0.1 | 3.25 | 100.0 | NaN | inf | -inf")
MOMENTS = words(
    "1970-01-01 00:00:00 | 1969-12-31 23:59:59.999999 | 1970-01-01 00:00:00.5 | 1970-01-01 00:00:01.5 | "
    "2024-02-29 12:30:15.123456 | 2024-03-31 01:30:00 | 2024-10-27 00:30:00 | 2024-12-30 23:59:59.5 | 1900-01-01 00:00:00"
)
FAR_MOMENTS = [*MOMENTS, "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"]
TEXTS = words(
    "a | A | abc | ABC | a%c | a_c | % | _ | a\\b | \\ | \\% | C:\\Users | x.y | ü | Ünï | 日本語 | 😀a | e\u0301 | a b c | "
    "a,b,,c | ' | $1 | \\1 | 0 | 12 | -7 | 2.5 | 1e3 | true | NaN | [1, 2] | 2024-02-29 | 12:30:15 | 2024-02-29 12:30:15"
)

VALUES: dict[str, list[str]] = {
    "BOOLEAN": ["true", "false"],
    **{name: whole(8 << (place % 4), place < 4) for place, name in enumerate(INTEGERS)},
    "REAL": [*FRACTIONS, "3.4e38", "1e-40"],
    "DOUBLE": [*FRACTIONS, *words("1e-20 | 1e30 | 1e300 | -1e300 | 5e-324 | 9007199254740993.0")],
    "DECIMAL(4,1)": words("0.0 | 0.5 | 1.5 | 2.5 | -2.5 | -0.5 | 10.0 | 999.9 | -999.9"),
    "DECIMAL(10,2)": words(
        "0.00 | 0.50 | 1.50 | 2.50 | -2.50 | -0.50 | 0.01 | 3.14 | 99999999.99 | -99999999.99 | 123.45"
    ),
    "DECIMAL(28,9)": words(
        "0 | 0.5 | 1.5 | -2.5 | 0.000000001 | -1 | 123456789.123456789 | " + "9" * 19 + ".999999999"
    ),
    "VARCHAR": [*TEXTS, "", " ", " pad ", "line\nbreak"],
    "BLOB": ["", "a", "abc", "\\x00", "\\xFF\\xFE", "\\xC3\\xBC"],
    "DATE": words(
        "1970-01-01 | 1969-12-31 | 2000-02-29 | 2024-02-29 | 2024-03-31 | 2024-12-30 | 1900-03-01 | 0001-01-01 | 9999-12-31"
    ),
    "TIME": words("00:00:00 | 23:59:59.999999 | 12:30:15.5 | 00:00:00.5 | 01:02:03.000001"),
    "TIMESTAMP": FAR_MOMENTS,
    "TIMESTAMP(0)": FAR_MOMENTS,
    "TIMESTAMP(3)": FAR_MOMENTS,
    "TIMESTAMP(9)": [*MOMENTS, "2024-02-29 12:30:15.123456789"],
    "TIMESTAMPTZ": [f"{moment}+00" for moment in FAR_MOMENTS],
    "INTERVAL": words(
        "0 days | 1 day | 24 hours | 36 hours | -1 day | 30 days | 1 month | 1 year | 12 months | 1 hour | 1 second | "
        "1 microsecond | 1 month 1 day | -1 month | 1 day 12 hours"
    ),
    "BIGINT[]": words("[] | [1] | [1, 2, 2] | [3, NULL, 1] | [-9223372036854775807] | [NULL]"),
    "VARCHAR[]": words("[] | ['a'] | ['b', NULL, 'a'] | ['ü', '']"),
    "STRUCT(a BIGINT, b VARCHAR)": words("{'a': 1, 'b': 'x'} | {'a': NULL, 'b': ''} | {'a': -5, 'b': NULL}"),
}

# A text is not the same BLOB in both, and no text is a STRUCT here.
LITERALS: dict[str, list[str | None]] = {**VALUES, "BLOB": ["", "a", "abc"], "STRUCT(a BIGINT, b VARCHAR)": [None]}

# Two columns of what is most often used together; `id` tells the rows apart.
COLUMNS: dict[str, str] = {
    "b1": "BOOLEAN",
    "b2": "BOOLEAN",
    "i8": "TINYINT",
    "i16": "SMALLINT",
    "i32": "INTEGER",
    "i64": "BIGINT",
    "j64": "BIGINT",
    "u8": "UTINYINT",
    "u16": "USMALLINT",
    "u32": "UINTEGER",
    "u64": "UBIGINT",
    "f32": "REAL",
    "f64": "DOUBLE",
    "g64": "DOUBLE",
    "d4": "DECIMAL(4,1)",
    "d10": "DECIMAL(10,2)",
    "e10": "DECIMAL(10,2)",
    "d28": "DECIMAL(28,9)",
    "s1": "VARCHAR",
    "s2": "VARCHAR",
    "x1": "BLOB",
    "x2": "BLOB",
    "dt1": "DATE",
    "dt2": "DATE",
    "tm1": "TIME",
    "tm2": "TIME",
    "ts1": "TIMESTAMP",
    "ts2": "TIMESTAMP",
    "ts_s": "TIMESTAMP(0)",
    "ts_ms": "TIMESTAMP(3)",
    "ts_ns": "TIMESTAMP(9)",
    "tz1": "TIMESTAMPTZ",
    "tz2": "TIMESTAMPTZ",
    "li": "BIGINT[]",
    "lj": "BIGINT[]",
    "ls": "VARCHAR[]",
    "st": "STRUCT(a BIGINT, b VARCHAR)",
}
BY_TYPE: dict[str, list[str]] = {}
for column, sql_type in COLUMNS.items():
    BY_TYPE.setdefault(sql_type, []).append(column)

DEFINITION = "id BIGINT, " + ", ".join(f"{name} {sql}" for name, sql in COLUMNS.items())


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def literal(sql: str, value: str | None) -> str:
    """A value of a type as SQL; `CAST` where a bare literal has another type in one of the engines."""
    if value is None:
        return f"CAST(NULL AS {sql})"
    if sql in ("VARCHAR", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "INTERVAL"):
        return quoted(value) if sql == "VARCHAR" else f"{sql} {quoted(value)}"
    if sql == "BOOLEAN":
        return value
    if sql.endswith("[]"):
        return f"CAST({value} AS {sql})"
    if sql in INTEGERS:
        return f"CAST({value} AS {sql})"
    if sql == "DOUBLE" and value[-1].isdigit():
        return value if "e" in value else f"{value}e0"
    return f"CAST({quoted(value)} AS {sql})"


@dataclass(frozen=True)
class Rows:
    """Rows of the relation as the literals of their values, a dictionary each."""

    values: list[dict[str, str | None]]

    def insert(self, table: str) -> str:
        """The statement for DuckDB; laminardb gets the very values from there."""
        rows = ", ".join(
            f"({row['id']}, " + ", ".join(stored(sql, row[name]) for name, sql in COLUMNS.items()) + ")"
            for row in self.values
        )
        return f"INSERT INTO {table} VALUES {rows}"


def stored(sql: str, value: str | None) -> str:
    if value is None:
        return "NULL"
    return value if sql.endswith("[]") or sql.startswith("STRUCT") else f"CAST({quoted(value)} AS {sql})"


def draw_rows(rng: random.Random, count: int) -> Rows:
    """Rows of independent values; the first is all NULL, and one in eight values is."""
    rows: list[dict[str, str | None]] = [dict.fromkeys(COLUMNS)]
    for _ in range(count - 1):
        rows.append({name: None if rng.random() < 0.12 else rng.choice(VALUES[sql]) for name, sql in COLUMNS.items()})
    for number, row in enumerate(rows):
        row["id"] = str(number)
    return Rows(rows)
