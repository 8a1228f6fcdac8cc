"""Statements that are nested deeply, or that have many parts: none ends the process or takes for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import laminardb
import pytest

DEEP = Path(__file__).with_name("deep_sql.py")
# Seconds after which a process that does not end hangs.
HANG = 300
TOO_DEEP = "nested too deeply"


@pytest.mark.parametrize("kibibytes", [64, 256])
def test_deep_statements_are_refused_on_threads_with_small_stacks(kibibytes: int) -> None:
    command = [sys.executable, str(DEEP), str(kibibytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    *lines, last = done.stdout.splitlines()
    assert (done.returncode, last) == (0, "DONE"), f"{last} ended the process: {done.stderr[-3000:]}"
    assert sum("accepted" in line for line in lines) > 20
    deep = [line for line in lines if " 3000: " in line or " 100000: " in line]
    assert len(deep) > 60
    assert [line for line in deep if TOO_DEEP not in line] == []


# The parser tries several ways to read these; below a mistake it did so at each level.
MISTAKES = ["CAST({} AS INT)", "POSITION({})", "TRY_CAST({} AS INT)", "SUBSTRING({})", "CAST(({}) AS INT)"]


@pytest.mark.parametrize("form", MISTAKES)
def test_a_mistake_below_many_alternatives_is_found_soon(form: str) -> None:
    before, after = form.split("{}")
    text = "SELECT " + before * 60 + "1 x y" + after * 60
    script = (
        "import laminardb\n"
        "try: laminardb.open(':memory:').execute(" + repr(text) + ")\n"
        "except laminardb.QueryError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr
    assert TOO_DEEP in done.stdout or "expected" in done.stdout


def test_sixty_thousand_parameters_are_bound() -> None:
    conn = laminardb.open(":memory:")
    conn.execute("CREATE TABLE t (x BIGINT PRIMARY KEY)")
    conn.execute("INSERT INTO t VALUES " + ", ".join(["(?)"] * 60_000), list(range(60_000)))
    assert conn.query("SELECT count(*), max(x) FROM t").fetchall() == [(60_000, 59_999)]
    named = {f"p{number}": number for number in range(20_000)}
    answer = conn.query("SELECT count(*) FROM t WHERE x IN (" + ", ".join(f"${name}" for name in named) + ")", named)
    assert answer.fetchall() == [(20_000,)]
