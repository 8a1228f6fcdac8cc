"""An engine with nothing to do does nothing."""

import subprocess
import sys

PROGRAM = """
import threading, time
import laminardb
with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=2)) as conn:
    conn.execute("CREATE TABLE t (k BIGINT, v BIGINT, PRIMARY KEY (k))")
    conn.execute("CREATE MATERIALIZED VIEW g AS SELECT v, count(*) AS n FROM t GROUP BY v")
    conn.execute("CREATE MATERIALIZED VIEW j AS SELECT a.k FROM t a JOIN t b ON a.k = b.v")
    conn.insert("t", {"k": list(range(1000)), "v": list(range(1000))})
    conn.wait()
    nothing = threading.Event()
    nothing.wait(0.5)  # idle merges may still be under way
    before = time.process_time()
    nothing.wait(1.0)
    print(time.process_time() - before)
"""


def test_workers_without_a_clock_never_parked() -> None:
    """Two spinning workers used two seconds of processor time in this second; parked ones use next to none."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.2
