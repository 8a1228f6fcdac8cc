"""Runs statements that are nested deeply, for test_deep_sql.py, on a thread with a small stack.

    python tests/python/deep_sql.py KIBIBYTES

A line says what is run before it is, so that the last line is the statement that ended the process.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import laminardb


def around(before: str, inside: str, after: str, start: str = "SELECT ", end: str = "") -> Callable[[int], str]:
    """Statements with so many `before` and `after` around `inside`."""
    return lambda depth: start + before * depth + inside + after * depth + end


def chain(link: str, start: str = "SELECT x", end: str = " FROM t") -> Callable[[int], str]:
    """Statements with so many `link` in a row."""
    return lambda length: start + link * length + end


FORMS: dict[str, Callable[[int], str]] = {
    "CAST to lists": around("", "INT", "[]", "SELECT CAST(NULL AS ", ")"),
    "CAST to structs": around("STRUCT(a ", "INT", ")", "SELECT CAST(NULL AS ", ")"),
    "CAST to arrays": around("ARRAY<", "INT", ">", "SELECT CAST(NULL AS ", ")"),
    "typed struct": around("STRUCT<a ", "INT", ">", end="(1)"),
    "columns of lists": around("", "INT", "[]", "CREATE TABLE OF (a ", ")"),
    "columns of structs": around("STRUCT(a ", "INT", ")", "CREATE TABLE OF (a ", ")"),
    "columns of structs in <>": around("STRUCT<a ", "INT", ">", "CREATE TABLE OF (a ", ")"),
    "DEFAULT": around("(", "1", ")", "CREATE TABLE OF (a INT DEFAULT ", ")"),
    "parentheses": around("(", "1", ")"),
    "NOT": around("NOT ", "true", ""),
    "signs": around("- ", "1", ""),
    "CASE": around("CASE WHEN true THEN ", "1", " END"),
    "calls": around("abs(", "1", ")"),
    "CAST": around("CAST(", "1", " AS INT)"),
    "lists": around("[", "1", "]"),
    "structs": around("{a: ", "1", "}"),
    "derived tables": around("(SELECT * FROM ", "t", ")", "SELECT * FROM "),
    "scalar subqueries": around("(SELECT ", "1", ")"),
    "EXISTS": around("EXISTS (SELECT 1 WHERE ", "true", ")"),
    "joined tables": around("(", "t", ")", "SELECT * FROM "),
    "queries": around("(", "SELECT 1", ")", ""),
    "unions": around("SELECT 1 UNION ALL (", "SELECT 1", ")", ""),
    "WITH": around("WITH a AS (", "SELECT 1", ") SELECT * FROM a", ""),
    "AND": chain(" AND b", "SELECT b"),
    "sums": chain(" + x"),
    "concatenations": chain(" || 'a'"),
    "IS NULL": chain(" IS NULL"),
    "casts": chain("::INT"),
    "UPDATE": chain(" + v", "UPDATE t SET v = v", ""),
    "DELETE": chain(" + v", "DELETE FROM t WHERE 0 = v", ""),
    "INSERT": chain(" + 1", "INSERT INTO t (x) VALUES (2", ")"),
    "ON CONFLICT": chain(" + 1", "INSERT INTO t (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET v = 1", ""),
    "view": chain(" + x", "CREATE OR REPLACE MATERIALIZED VIEW w AS SELECT x", " AS a FROM t"),
}
# The first is accepted in most forms; the others are refused in all.
DEPTHS = [8, 3_000, 100_000]


def run() -> None:
    """Runs every form at every depth and prints how each ended."""
    conn = laminardb.open(":memory:")
    conn.execute("CREATE TABLE t (x BIGINT PRIMARY KEY, v BIGINT, b BOOLEAN)")
    conn.execute("INSERT INTO t VALUES (1, 2, true)")
    for name, form in FORMS.items():
        for depth in DEPTHS:
            print(name, depth, end=": ", flush=True)
            try:
                conn.execute("DROP TABLE IF EXISTS of")
                conn.execute(form(depth).replace("TABLE OF", "TABLE of"))
            except laminardb.LaminarError as error:
                print(error.code, str(error)[-60:], flush=True)
            else:
                print("accepted", flush=True)


if __name__ == "__main__":
    threading.stack_size(int(sys.argv[1]) * 1024)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    print("DONE")
