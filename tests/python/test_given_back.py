"""Memory that is no longer used goes back to the system, and no call of the program does that work."""

import subprocess
import sys
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")

PROGRAM = """
import os, threading, time
import laminardb

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

nothing = threading.Event()
with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=1)) as conn:
    conn.execute("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT)")
    conn.insert("t", {"k": range(1_000_000), "v": range(1_000_000)})
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT v, count(*) AS n FROM t GROUP BY v")
    conn.wait()
    full = resident()
    conn.execute("DROP MATERIALIZED VIEW v")
    conn.execute("TRUNCATE t")
    conn.wait()
    # No call is made meanwhile.
    end = time.monotonic() + 60
    while resident() > full - 64_000_000 and time.monotonic() < end:
        nothing.wait(0.05)
    print(full - resident())
"""


@pytest.mark.skipif(not STATM.exists(), reason="reads the size of the process in /proc")
def test_freed_memory_stayed_until_a_later_call_gave_all_of_it_back() -> None:
    """That call held the interpreter for up to 100 ms. Of 1,000,000 rows and groups, 64 MB at least are given back."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(run.stdout) >= 64_000_000
