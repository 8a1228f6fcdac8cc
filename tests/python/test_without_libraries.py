"""Without pyarrow, pandas, polars and numpy (API section 15).

Each test runs a program in a process of its own, in development mode with warnings as errors, where a finder refuses to
import these libraries.
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

QUERIES = '''
conn = laminardb.open(":memory:")
conn.create_table("t", {"a": "int64", "b": "string"})
assert conn.insert("t", {"a": 1, "b": "x"}) == 1
assert conn.insert("t", [{"a": 2, "b": "y"}, {"b": "z"}]) == 2
assert conn.insert("t", {"a": [4, 5], "b": ("u", None)}) == 2
assert conn.insert("t", conn.sql("SELECT a + 10 AS a, b FROM t WHERE a < 3")) == 2

assert conn.insert_json("t", '{"a": 30, "b": "json"}') == conn.insert_csv("t", "a,b\\n31,csv\\n") == 1
assert conn.query_stream("t", "a >= 30").num_rows == 2
conn.execute("DROP SOURCE t")
conn.create_table("t", {"a": "int64", "b": "string"})
conn.insert("t", [{"a": a, "b": b} for a, b in [(1, "x"), (2, "y"), (None, "z"), (4, "u"), (5, None), (11, "x"), (12, "y")]])


class Foreign:
    """An Arrow capsule of no known class."""

    def __arrow_c_stream__(self, requested_schema=None):
        return conn.sql("SELECT 20 AS a, 'capsule' AS b").__arrow_c_stream__(requested_schema)


assert conn.insert("t", Foreign()) == 1
r = conn.sql("SELECT a, b FROM t ORDER BY a, b")
rows = [(1, "x"), (2, "y"), (4, "u"), (5, None), (11, "x"), (12, "y"), (20, "capsule"), (None, "z")]
assert r.fetchall() == list(r) == rows, r.fetchall()
assert (r.fetchone(), r.fetchmany(2), len(r), r.num_rows, r.num_columns) == (rows[0], rows[:2], 8, 8, 2)
assert r.columns == ["a", "b"] and r.num_batches >= 1 and repr(r) == "QueryResult(rows=8, columns=2)"
assert r.to_dicts() == {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
r.show()
assert "<table>" in r._repr_html_()
assert r.__arrow_c_stream__() is not None
assert conn.query("SELECT ? + $2 AS x", [1, 2]).fetchone() == (3,)
assert "Input t" in conn.explain("SELECT * FROM t")
assert conn.query_stream("t", "a = 1").fetchall() == [(1, "x")]
assert conn.execute("EXPLAIN SELECT * FROM t").to_query_result().num_rows >= 1
assert conn.execute("DESCRIBE t").result_type == "metadata"

conn.create_table("w", {"a": "int64"})
with conn.writer("w") as writer:
    writer.insert({"a": [1, 2]})
    writer.watermark(2)
    assert (writer.name, writer.current_watermark, writer.flush()) == ("w", 2, 0)
assert [batch.fetchall() for batch in conn.stream("SELECT a FROM w ORDER BY a")] == [[(1,), (2,)]]
conn.execute("DROP SOURCE w")
conn.execute("CREATE TABLE k (id BIGINT, v DOUBLE, PRIMARY KEY (id))")
assert int(conn.execute("INSERT INTO k VALUES (1, 1.5), (2, 2.5)")) == 2
assert conn.upsert("k", [{"id": 2, "v": 9.0}]) == 1 and conn.delete("k", {"id": 1}) == 1
assert conn.execute("UPDATE k SET v = 3 WHERE id = 2").rows_affected == 1
assert conn.sql("SELECT * FROM k").fetchall() == [(2, 3.0)]
conn.execute("CREATE MATERIALIZED VIEW m AS SELECT b, count(*) AS n FROM t GROUP BY b")
assert (conn.tables(), conn.list_tables(), conn.list_streams()) == (["t", "k"], ["t", "k"], ["m"])
assert (conn.materialized_views(), conn.list_sinks(), conn.sinks()) == (["m"], [], [])
assert [source.primary_key for source in conn.sources()] == [[], ["id"]]
assert [(source.name, source.kind) for source in conn.sources()] == [("t", "source"), ("k", "table")]
assert [(stream.name, stream.sql) for stream in conn.streams()] == [("m", "SELECT b, count(*) AS n FROM t GROUP BY b")]
assert [(node.name, node.node_type) for node in conn.topology().nodes] == [("t", "source"), ("k", "table"), ("m", "stream")]
assert [(edge.from_node, edge.to_node) for edge in conn.topology().edges] == [("t", "m")]
assert laminardb.Metrics(conn.metrics()).total_events == conn.total_events_processed > 0
assert conn.source_metrics("t").total_events == 8 and conn.stream_metrics("m").name == "m"
assert len(conn.all_source_metrics()) == 2 and len(conn.all_stream_metrics()) == 1
assert conn.stats("t")["total_events"] == 8
assert conn.queries() == [] or conn.queries()[0].sql
for shown in (conn._repr_html_(), conn.topology()._repr_html_(), conn.topology().to_mermaid(), conn.topology().to_dot()):
    assert "m" in shown
laminardb.execute("CREATE SOURCE d (a BIGINT)")
assert laminardb.sql("SELECT count(*) FROM d").fetchone() == (0,)
'''

SUBSCRIPTIONS = """
import asyncio, threading
conn = laminardb.open(":memory:")
conn.create_table("k", {"id": "int64", "v": "string"}, primary_key="id")
conn.insert("k", {"id": 1, "v": "a"})
sub, stream = conn.subscribe("SELECT * FROM k"), conn.subscribe_stream("k")
batch = sub.next()
assert batch.is_snapshot and batch.ops == ["Insert"] and batch.fetchall() == [(1, "a")]
conn.upsert("k", {"id": 1, "v": "b"})
rows = [ChangeRow("UpdateDelete", {"id": 1, "v": "a"}), ChangeRow("UpdateInsert", {"id": 1, "v": "b"})]
for batch in (sub.next(), stream.next_timeout(60_000)):
    assert list(batch.changes()) == list(ChangeEvent(batch)) == rows and batch.is_last and batch.time == conn.current_time
assert (sub.try_next(), stream.try_next(), sub.is_active) == (None, None, True)
sub.cancel()
assert (sub.next(), sub.is_active) == (None, False)

seen, done = [], threading.Event()


def on_data(batch):
    seen.extend(row.to_dict() for row in batch.changes())
    done.set()


callback = conn.subscribe_callback("SELECT v FROM k", on_data)
assert done.wait(60) and seen == [{"v": "b"}]
callback.cancel()
callback.wait()


async def follow():
    async with laminardb.open(":memory:") as other:
        other.create_table("s", {"a": "int64"})
        sub = await other.subscribe_async("SELECT * FROM s")
        other.insert("s", {"a": 7})
        async for batch in sub:
            sub.cancel()
            return batch.fetchall()


assert asyncio.run(follow()) == [(7,)]
event = ChangeEvent(conn.sql("SELECT 1 AS x"), "Delete")
assert list(event) == [ChangeRow("Delete", {"x": 1})] and len(event) == 1
view = laminardb.mv(conn, "k")
assert view.query("id = 1").fetchall() == [(1, "b")]
handled = threading.Event()
thread = view.subscribe(lambda event: handled.set())
conn.insert("k", {"id": 2, "v": "c"})
assert handled.wait(60)
thread.subscription.cancel()
thread.join(60)
stats = laminardb.TableStats(1, 2), laminardb.Watermark(3), laminardb.CheckpointStatus(None, False)
conn.close()
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


def test_writing_reading_and_the_catalog_need_nothing() -> None:
    run(REFUSE + QUERIES)


def test_subscribing_needs_nothing() -> None:
    run(REFUSE + SUBSCRIPTIONS)


def test_what_needs_a_library_names_the_extra() -> None:
    run(REFUSE + NEEDS)
