"""Every function that SQL can call, with hostile arguments: an answer or one of our errors, and nothing else.

Not: a panic, the end of the process, a call without an end, code 900, or anything on standard error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from laminardb import _laminardb

HOSTILE = Path(__file__).with_name("hostile.py")
# Calls of each function, by kind: most have an answer, for what is accepted is called again with other arguments.
TRIES = {"scalar": 12, "aggregate": 12, "window": 30}


def test_all_functions_are_listed() -> None:
    functions = _laminardb._functions()
    assert {kind: len(names) for kind, names in functions.items()}.keys() == TRIES.keys()
    assert len(functions["scalar"]) > 200
    assert {"sum", "median"} <= set(functions["aggregate"])
    assert {"lag", "row_number"} <= set(functions["window"])


@pytest.mark.parametrize("kind", TRIES)
def test_hostile_arguments(kind: str) -> None:
    seed = int(os.environ.get("LAMINARDB_TEST_SEED", "1"))
    tries = TRIES[kind] * int(os.environ.get("LAMINARDB_TEST_CASES_FACTOR", "1"))
    limit = ["bash", "-c", 'ulimit -v 8000000; exec "$@"', "bash"] if sys.platform == "linux" else []
    command = [*limit, sys.executable, str(HOSTILE), kind, str(seed), str(tries)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    lines = done.stdout.splitlines()
    again = f"LAMINARDB_TEST_SEED={seed}"
    assert done.returncode == 0, f"{again}: {lines[-1:]} ended the process: {done.stderr[-3000:]}"
    assert done.stderr == "", again
    faults = [line for line in lines if line.startswith("FAULT")]
    assert not faults, f"{again}: " + "\n".join(faults)
    _, made, answered = lines[-1].split()
    assert int(made) == 2 * tries * len(_laminardb._functions()[kind])
    # A draw that nothing accepts would test nothing.
    assert int(answered) > int(made) // 20, again
