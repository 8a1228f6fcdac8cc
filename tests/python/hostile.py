"""Calls every function of SQL with hostile arguments, for test_functions.py, in a process of its own.

    python tests/python/hostile.py KIND SEED TRIES

Each call runs once as a query, and once in a view over a table whose rows hold the values of `VALUES`. Most arguments
are drawn; from calls that are accepted others are made by changing an argument. A line says what is called before it
is, so that the last line is the call that ended the process, and a line that begins with FAULT what went wrong.
"""

from __future__ import annotations

import datetime as dt
import decimal
import faulthandler
import random
import sys
from collections.abc import Iterator
from typing import Any

import laminardb
from laminardb import _laminardb, codes

D = decimal.Decimal
NAN, INFINITY = float("nan"), float("inf")
LEAST, MOST = dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59)
SECONDS = [None, LEAST, MOST, dt.datetime(1970, 1, 1), dt.datetime(2024, 2, 29, 12, 30, 1)]
DOUBLES = [None, 0.0, -0.0, 1.0, -1.5, 0.5, 1e300, -1e300, NAN, INFINITY, -INFINITY, 5e-324, 1e18, 2.0**63]
SINGLES = [None, 0.0, -0.0, 1.0, -1.5, 3e38, -3e38, NAN, INFINITY, -INFINITY, 1e-45]
WIDEST = "9" * 29 + "." + "9" * 9
TEXTS = [None, "", "a", "abc", "%", "_", "\\", "(", "[", "a{9999}", "é日本😀", "\x00", "Y", "0", "-1", "1e400", "NaN"]
TEXTS += [
    "9" * 40,
    "2024-01-01",
    "year",
    "month",
    "UTC",
    "Europe/Berlin",
    "hex",
    "base64",
    "%Y-%m-%d",
    "%Q",
    "g",
    "x" * 3000,
]


def whole(least: int, most: int) -> list[int | None]:
    """Numbers of a type of integers."""
    return [None, 0, 1, 2, 3, 10, most, least, most - 1, *([-1, -2, -10] if least < 0 else [])]


VALUES: dict[str, list[Any]] = {
    "BOOLEAN": [None, True, False],
    **{name: whole(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for name, bits in (("TINYINT", 8), ("SMALLINT", 16))},
    **{name: whole(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for name, bits in (("INTEGER", 32), ("BIGINT", 64))},
    **{name: whole(0, 2**bits - 1) for name, bits in (("UTINYINT", 8), ("USMALLINT", 16))},
    **{name: whole(0, 2**bits - 1) for name, bits in (("UINTEGER", 32), ("UBIGINT", 64))},
    "REAL": SINGLES,
    "DOUBLE": DOUBLES,
    "DECIMAL(5,2)": [None, D("0"), D("999.99"), D("-999.99"), D("0.01"), D("1.50")],
    "DECIMAL(38,9)": [None, D("0"), D(WIDEST), D("-" + WIDEST), D("0.000000001")],
    "DECIMAL(38,0)": [None, D("9" * 38), D("-" + "9" * 38), D(1)],
    "VARCHAR": TEXTS,
    "BLOB": [None, b"", b"\x00\xff", b"a" * 100],
    "DATE": [None, LEAST.date(), MOST.date(), dt.date(1970, 1, 1), dt.date(2024, 2, 29)],
    "TIME": [None, dt.time(0), dt.time(23, 59, 59, 999999)],
    "TIMESTAMP": [*SECONDS, MOST.replace(microsecond=999999)],
    "TIMESTAMP(0)": SECONDS,
    "TIMESTAMP(3)": SECONDS,
    "TIMESTAMP(9)": [None, dt.datetime(1970, 1, 1), dt.datetime(2262, 1, 1), dt.datetime(1678, 1, 1)],
    "TIMESTAMPTZ": [None if at is None else at.replace(tzinfo=dt.UTC) for at in SECONDS],
    "BIGINT[]": [None, [], [None], [1, 2, 3], [2**63 - 1, -(2**63)], [0]],
    "DOUBLE[]": [None, [], [NAN], [1.0, None], [INFINITY, -INFINITY], [1e308, 1e308]],
    "VARCHAR[]": [None, [], [""], ["a", None, "b"]],
    "BIGINT[][]": [None, [], [[]], [[1], None, [2, 3]]],
    "DATE[]": [None, [], [LEAST.date(), None, MOST.date()]],
    "DECIMAL(38,9)[]": [None, [D(WIDEST)]],
    "STRUCT(a BIGINT, b VARCHAR)": [None, {"a": None, "b": None}, {"a": 1, "b": "x"}],
}
LITERALS = ["NULL", "0", "1", "-1", "2", "9223372036854775807", "-9223372036854775807", "1e308", "0.5", "1000"]
LITERALS += ["CAST('NaN' AS DOUBLE)", "CAST(1.5 AS DECIMAL(38,9))", "''", "'a'", "'('", "'%'", "'year'", "'UTC'"]
LITERALS += ["'hex'", "'%Q'", "'a{9999}'", "TRUE", "DATE '9999-12-31'", "DATE '0001-01-01'", "TIME '23:59:59'"]
LITERALS += ["TIMESTAMP '9999-12-31 23:59:59'", "TIMESTAMP '0001-01-01 00:00:00'", "INTERVAL '1 day'"]
LITERALS += ["INTERVAL '-178000000 years'", "INTERVAL '0 second'", "INTERVAL '1 month'", "ARRAY[1, 2]", "ARRAY[]"]
LITERALS += ["100000000000", "repeat('x', 1000)"]
COLUMNS = [f"c{place}" for place in range(len(VALUES))]
ROWS = max(map(len, VALUES.values()))
FRAMES = ["", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"]
# A call that takes longer hangs.
SECONDS_OF_A_CALL = 60


def opened(random_: random.Random) -> laminardb.Connection:
    """A database with a row for each text; the shorter lists of values come again in other orders."""
    conn = laminardb.open(":memory:")
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, VALUES, strict=True))
    conn.execute(f"CREATE TABLE t (id BIGINT PRIMARY KEY, {columns})")
    rows: list[dict[str, Any]] = [{"id": row} for row in range(ROWS)]
    for name, values in zip(COLUMNS, VALUES.values(), strict=True):
        pool: list[Any] = []
        for row in rows:
            pool = pool or random_.sample(values, len(values))
            row[name] = pool.pop()
    conn.insert("t", rows)
    return conn


def drawn(random_: random.Random, accepted: list[list[str]]) -> list[str]:
    """Arguments: some that were accepted with one of them changed, or any."""

    def one() -> str:
        return random_.choice(LITERALS if random_.random() < 0.4 else COLUMNS)

    if not accepted or random_.random() < 0.4:
        return [one() for _ in range(random_.choice([0, 1, 1, 1, 2, 2, 2, 3, 3, 4]))]
    args = list(random_.choice(accepted))
    change = random_.random()
    if args and change < 0.8:
        args[random_.randrange(len(args))] = one()
    elif args and change < 0.9:
        args.pop()
    else:
        args.append(one())
    return args


def call_of(random_: random.Random, kind: str, name: str, args: list[str]) -> str:
    """The call, for aggregates and windows with one of their clauses."""
    call, over = f'"{name}"({", ".join(args)})', kind == "window"
    if kind == "aggregate":
        clause = random_.random()
        if args and clause < 0.2:
            call = f'"{name}"(DISTINCT {", ".join(args)})'
        elif args and clause < 0.3:
            call = f'"{name}"({", ".join(args)} ORDER BY {random_.choice(COLUMNS)})'
        elif clause < 0.4:
            call += " FILTER (WHERE id > 3)"
        over = clause > 0.7
    if over:
        order = random_.choice(["id", *COLUMNS])
        call += f" OVER (PARTITION BY id % 3 ORDER BY {order}{random_.choice(FRAMES)})"
    return call


def once(conn: laminardb.Connection, call: str) -> None:
    """Runs the call as a query and reads the answer in each form."""
    result = conn.query(f"SELECT {call} AS x FROM t")
    result._repr_html_()
    result.fetchall()


def in_view(conn: laminardb.Connection, call: str) -> None:
    """Runs the call in a view, row by row: a row that fails does not keep others from it."""
    conn.execute(f"CREATE MATERIALIZED VIEW v AS SELECT {call} AS x FROM t WITH ('on_error' = 'skip')")
    try:
        conn.query("SELECT * FROM v").fetchall()
    finally:
        conn.execute("DROP MATERIALIZED VIEW v")


def fault(error: BaseException) -> bool:
    """Is this no answer that a call may give?"""
    if not isinstance(error, laminardb.LaminarError):
        return True
    return error.code == codes.INTERNAL_ERROR or "panic" in str(error)


def calls(kind: str, tries: int, seed: int) -> Iterator[tuple[random.Random, str, list[list[str]]]]:
    """Each function so many times, with what it has accepted; the draws of one do not depend on the others."""
    for name in _laminardb._functions()[kind]:
        accepted: list[list[str]] = []
        random_ = random.Random(f"{seed} {name}")
        for _ in range(tries):
            yield random_, name, accepted


def main(kind: str, seed: int, tries: int) -> None:
    """Prints what is called, the faults, and at the end how many calls there were and how many had an answer."""
    conn, made, answered = opened(random.Random(seed)), 0, 0
    for random_, name, accepted in calls(kind, tries, seed):
        args = drawn(random_, accepted)
        call = call_of(random_, kind, name, args)
        for form in (once, in_view):
            made += 1
            written = call
            for column, data_type in reversed(list(zip(COLUMNS, VALUES, strict=True))):
                written = written.replace(column, f"<{data_type}>")
            print(form.__name__, written, flush=True)
            faulthandler.dump_traceback_later(SECONDS_OF_A_CALL, exit=True)
            try:
                form(conn, call)
            except BaseException as error:
                if fault(error):
                    print("FAULT", form.__name__, written, type(error).__name__, str(error)[:300], flush=True)
                    conn.close()
                    conn = opened(random.Random(seed))
            else:
                answered += 1
                accepted.append(args)
            faulthandler.cancel_dump_traceback_later()
    print("DONE", made, answered)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
