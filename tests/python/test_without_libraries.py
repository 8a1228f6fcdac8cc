"""Without pyarrow, pandas, polars and numpy (API section 15): what asks for them, and how it is refused.

Each test runs a program in a process of its own, in development mode with warnings as errors; a finder refuses to
import these libraries. That all else needs none of them is seen where they are not installed: `--without-libraries`.
"""

from __future__ import annotations

import subprocess
import sys

REFUSE = """
import sys
from importlib.abc import MetaPathFinder

LIBRARIES = ("numpy", "pandas", "polars", "pyarrow")


class Refuse(MetaPathFinder):
    asked = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LIBRARIES:
            self.asked.append(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, Refuse())
import laminardb
from laminardb import ChangeEvent, ChangeRow
"""

NEEDS = """
conn = laminardb.open(":memory:")
conn.create_table("t", {"a": "int64"})
conn.execute("CREATE STREAM s AS SELECT * FROM t")
r = conn.sql("SELECT * FROM t")
sub = conn.subscribe("SELECT * FROM t")
event = ChangeEvent(r)
CALLS = {
    "polars": (r.to_polars, r.pl, event.pl, r.to_df),
    "pandas": (r.to_pandas, r.df, event.df),
    "pyarrow": (
        r.to_arrow,
        r.arrow,
        event.arrow,
        lambda: r.schema,
        lambda: sub.schema,
        lambda: conn.schema("t"),
        lambda: conn.sources()[0].schema,
        lambda: conn.topology().nodes[0].schema,
        lambda: laminardb.mv(conn, "s").schema(),
    ),
}
for extra, calls in CALLS.items():
    for number, call in enumerate(calls):
        try:
            call()
        except ImportError as error:
            assert f"pip install laminardb[{extra}]" in str(error), (extra, number, error)
        else:
            raise SystemExit(f"{extra} {number} did not need it")
assert conn.insert("t", {"a": 1}) == 1, "the connection works on"
"""


def run(program: str) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program + "\nprint('done')\n"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
    assert done.stderr == ""


def test_importing_asks_for_none_of_them() -> None:
    run(REFUSE + "assert Refuse.asked == [], Refuse.asked\n")


def test_without_a_finder_importing_loads_none_of_them() -> None:
    run("import sys, laminardb; assert not {'numpy', 'pandas', 'polars', 'pyarrow'} & set(sys.modules)")


def test_what_needs_a_library_names_the_extra() -> None:
    run(REFUSE + NEEDS)
