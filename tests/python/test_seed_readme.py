"""The seed README's Python blocks, all and in its order, as written.

A test adds only the names and rows that its block assumes, and what happens in the world between two of its statements:
rows that come in, or a new database where a block shows several ways to do one thing.
"""

from __future__ import annotations

import ast
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import laminardb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

ROWS = [(1, "sensor_a", 42.0), (2, "sensor_b", 43.5), (3, "sensor_a", 44.1)]

World = dict[str, Callable[[], object]]


def statements(text: str, after: World | None) -> Iterator[tuple[CodeType, Callable[[], object]]]:
    """The statements of a block, each with what happens after it: `after` holds that by how the statement begins."""
    events = dict(after or {})
    for node in ast.parse(text).body:
        tree: ast.Expression | ast.Module
        tree = ast.Expression(node.value) if isinstance(node, ast.Expr) else ast.Module([node], [])
        mode = "eval" if isinstance(node, ast.Expr) else "exec"
        code = compile(tree, "README.md", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        written = ast.get_source_segment(text, node) or ""
        found = [start for start in events if written.startswith(start)]
        yield code, (events.pop(found[0]) if found else lambda: None)
    assert not events, f"no statement begins with {list(events)}"


def run(text: str, names: dict[str, Any], after: World | None = None) -> list[Any]:
    """Runs a block; gives the values of its expressions."""
    values = []
    for code, event in statements(text, after):
        value = eval(code, names)
        if value is not None:
            values.append(value)
        event()
    return values


async def run_async(text: str, names: dict[str, Any], after: World | None = None) -> None:
    """Runs a block that awaits outside of a function."""
    for code, event in statements(text, after):
        value = eval(code, names)
        if code.co_flags & inspect.CO_COROUTINE:
            await value
        event()


def comments(text: str) -> list[str]:
    """What stands behind the statements of a block."""
    return [line.partition("#")[2].strip() for line in text.splitlines() if "#" in line]


@pytest.fixture
def names(sensors: laminardb.Connection) -> dict[str, Any]:
    """The README's connection with its source and rows, which its later blocks go on with."""
    return {"laminardb": laminardb, "conn": sensors}


@pytest.fixture
def streaming(names: dict[str, Any]) -> dict[str, Any]:
    """With the README's stream of hot readings."""
    names["conn"].execute("CREATE STREAM hot_readings AS SELECT * FROM sensors WHERE value > 40.0")
    return names


def row_comes(names: dict[str, Any]) -> Callable[[], object]:
    """A reading arrives and is through all views."""

    def insert() -> None:
        names["conn"].insert("sensors", {"ts": 4, "device": "sensor_c", "value": 50.0})
        names["conn"].wait()

    return insert


FIRST = r"""
import laminardb

conn = laminardb.open(":memory:")
conn.execute("CREATE SOURCE sensors (ts BIGINT, device VARCHAR, value DOUBLE)")
conn.insert("sensors", [
    {"ts": 1, "device": "sensor_a", "value": 42.0},
    {"ts": 2, "device": "sensor_b", "value": 43.5},
    {"ts": 3, "device": "sensor_a", "value": 44.1},
])

conn.sql("SELECT * FROM sensors WHERE value > 43.0").df()
#    ts    device  value
# 0   2  sensor_b   43.5
# 1   3  sensor_a   44.1
"""


def test_first_example() -> None:
    names: dict[str, Any] = {}
    *_, frame = run(FIRST, names)
    assert str(frame) == "   ts    device  value\n0   2  sensor_b   43.5\n1   3  sensor_a   44.1"
    assert all(f"\n# {line}\n" in FIRST for line in str(frame).splitlines())
    names["conn"].close()


QUICK_START = r"""
import laminardb

# Open a connection
conn = laminardb.open(":memory:")

# Create a source and insert data
conn.execute("CREATE SOURCE sensors (ts BIGINT, device VARCHAR, value DOUBLE)")
conn.insert("sensors", [
    {"ts": 1, "device": "sensor_a", "value": 42.0},
    {"ts": 2, "device": "sensor_b", "value": 43.5},
    {"ts": 3, "device": "sensor_a", "value": 44.1},
])

# Query with DuckDB-style .sql()
result = conn.sql("SELECT * FROM sensors WHERE value > 43.0")

result.show()          # print to terminal
df = result.df()       # -> pandas DataFrame
pl_df = result.pl()    # -> polars DataFrame
table = result.arrow() # -> pyarrow Table
rows = result.fetchall()  # -> list of tuples

conn.close()
"""


def test_connect_and_query(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    run(QUICK_START, names)
    assert "sensor_b" in capsys.readouterr().out
    assert names["rows"] == ROWS[1:]
    found = [type(names[name]) for name in ("df", "pl_df", "table", "rows")]
    assert found == [pd.DataFrame, pl.DataFrame, pa.Table, list]
    assert len(names["df"]) == names["pl_df"].height == names["table"].num_rows == 2
    assert names["conn"].is_closed


MODULE_LEVEL = r"""
import laminardb

# Uses a thread-safe default in-memory connection
result = laminardb.sql("SELECT 1 + 1 AS answer")
result.show()
"""


def test_module_level_queries(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    run(MODULE_LEVEL, names)
    assert names["result"].to_dicts() == {"answer": [2]}
    assert "answer" in capsys.readouterr().out


CONTEXT_MANAGER = r"""
with laminardb.open(":memory:") as conn:
    conn.execute("CREATE SOURCE events (id BIGINT, name VARCHAR)")
    conn.insert("events", [{"id": 1, "name": "click"}, {"id": 2, "name": "view"}])
    conn.sql("SELECT * FROM events").show()
# auto-closes on exit
"""


def test_context_manager(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"laminardb": laminardb}
    run(CONTEXT_MANAGER, names)
    assert "click" in capsys.readouterr().out
    assert names["conn"].is_closed


CONNECTIONS = r"""
# In-memory database
conn = laminardb.open(":memory:")

# Path-based (reserved for future persistence)
conn = laminardb.open("mydb")

# URI-based (reserved for future remote connections)
conn = laminardb.connect("laminar://localhost:5432/mydb")

# With configuration
config = laminardb.LaminarConfig(
    buffer_size=131072,
    checkpoint_interval_ms=5000,
    table_spill_threshold=2_000_000,
)
conn = laminardb.open(":memory:", config=config)
"""


def test_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"laminardb": laminardb}
    opened: list[laminardb.Connection] = []

    def keep() -> None:
        opened.append(names["conn"])

    ways = ('laminardb.open(":memory:")', 'laminardb.open("mydb")', "laminardb.connect", 'laminardb.open(":memory:", c')
    run(CONNECTIONS, names, {f"conn = {way}": keep for way in ways})
    for conn in opened:
        assert conn.sql("SELECT 1").fetchone() == (1,)
        conn.close()
    assert names["config"].buffer_size == 131072


PROPERTIES = r"""
conn.is_closed              # bool
conn.pipeline_state         # "running", "stopped", etc.
conn.pipeline_watermark     # global watermark (int64)
conn.total_events_processed # total events across all sources
conn.source_count           # number of sources
conn.sink_count             # number of sinks
conn.active_query_count     # number of active queries
conn.is_checkpoint_enabled  # whether checkpointing is enabled
"""


def test_connection_properties(names: dict[str, Any]) -> None:
    assert run(PROPERTIES, names) == [False, "created", -(2**63), 3, 1, 0, 0, False]


CREATING_SOURCES = r"""
# Dict schema (column_name -> Arrow type string)
conn.create_table("events", {
    "ts": "int64",
    "kind": "string",
    "payload": "float64",
})

# PyArrow schema
import pyarrow as pa
conn.create_table("events", pa.schema([
    ("ts", pa.int64()),
    ("kind", pa.string()),
    ("payload", pa.float64()),
]))

# Via SQL
conn.execute("CREATE SOURCE events (ts BIGINT, kind VARCHAR, payload DOUBLE)")
"""


def test_creating_sources(conn: laminardb.Connection) -> None:
    schemas = []

    def another_way() -> None:
        schemas.append([(field.name, str(field.type)) for field in conn.schema("events")])
        conn.execute("DROP SOURCE events")

    run(
        CREATING_SOURCES,
        {"conn": conn},
        {'conn.create_table("events", {': another_way, 'conn.create_table("events", pa': another_way},
    )
    another_way()
    assert schemas == [[("ts", "int64"), ("kind", "string"), ("payload", "double")]] * 3


INGESTION = r"""
# Single dict (one row)
conn.insert("sensors", {"ts": 1, "device": "a", "value": 42.0})

# List of dicts (row-oriented)
conn.insert("sensors", [
    {"ts": 1, "device": "a", "value": 42.0},
    {"ts": 2, "device": "b", "value": 43.5},
])

# Columnar dict
conn.insert("sensors", {
    "ts": [1, 2, 3],
    "device": ["a", "b", "c"],
    "value": [42.0, 43.5, 44.1],
})

# pandas DataFrame
conn.insert("sensors", pd.DataFrame({"ts": [1, 2], "device": ["a", "b"], "value": [1.0, 2.0]}))

# polars DataFrame
conn.insert("sensors", pl.DataFrame({"ts": [1, 2], "device": ["a", "b"], "value": [1.0, 2.0]}))

# pyarrow RecordBatch or Table
conn.insert("sensors", pa.record_batch({"ts": [1], "device": ["a"], "value": [1.0]}))
conn.insert("sensors", pa.table({"ts": [1], "device": ["a"], "value": [1.0]}))

# JSON string
conn.insert_json("sensors", '[{"ts": 1, "device": "a", "value": 1.0}]')

# CSV string
conn.insert_csv("sensors", "ts,device,value\n1,a,1.0\n2,b,2.0\n")

# Any object with __arrow_c_stream__ (zero-copy)
conn.insert("sensors", arrow_capsule_object)
"""


def test_data_ingestion(names: dict[str, Any]) -> None:
    class Capsule:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.table({"ts": [9], "device": ["z"], "value": [0.5]}).__arrow_c_stream__(requested_schema)

    names |= {"pd": pd, "pl": pl, "pa": pa, "arrow_capsule_object": Capsule()}
    assert run(INGESTION, names) == [1, 2, 3, 2, 2, 1, 1, 1, 2, 1]
    assert len(names["conn"].sql("SELECT * FROM sensors")) == len(ROWS) + 16


WRITER = r"""
with conn.writer("sensors") as w:
    w.insert({"ts": 1, "device": "a", "value": 1.0})
    w.insert({"ts": 2, "device": "b", "value": 2.0})
    w.watermark(2)  # emit watermark
    w.flush()       # explicit flush

    print(w.name)              # "sensors"
    print(w.schema)            # pyarrow.Schema
    print(w.current_watermark) # 2
# auto-flush on context exit
"""


def test_streaming_writer(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(WRITER, names)
    printed = capsys.readouterr().out.splitlines()
    assert (printed[0], printed[-1]) == ("sensors", "2")
    assert printed[1:-1] == str(names["conn"].schema("sensors")).splitlines()
    assert repr(names["w"]) == "Writer(closed)"
    assert len(names["conn"].sql("SELECT * FROM sensors")) == 5


SQL_QUERIES = r"""
# Standard query — collects all results
result = conn.query("SELECT * FROM sensors WHERE value > 43.0")

# DuckDB-style alias
result = conn.sql("SELECT * FROM sensors WHERE value > 43.0")

# DDL / DML execution
exec_result = conn.execute("CREATE SOURCE metrics (ts BIGINT, value DOUBLE)")
print(exec_result.result_type)  # "ddl"
print(exec_result.ddl_type)     # "CREATE SOURCE"
print(exec_result.ddl_object)   # "metrics"
print(int(exec_result))         # rows affected
"""


def test_sql_queries(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    kept = []
    run(SQL_QUERIES, names, {"result = conn.query(": lambda: kept.append(names["result"])})
    assert kept[0].fetchall() == names["result"].fetchall() == ROWS[1:]
    assert capsys.readouterr().out.splitlines() == ["ddl", "CREATE SOURCE", "metrics", "0"]


QUERY_RESULT = r"""
result = conn.sql("SELECT * FROM sensors")

# Properties
result.num_rows       # total row count
result.num_columns    # column count
result.num_batches    # Arrow batch count
result.columns        # list of column names
result.schema         # pyarrow.Schema
len(result)           # same as num_rows
"""


def test_properties_of_a_result(names: dict[str, Any]) -> None:
    rows, columns, batches, titles, schema, length = run(QUERY_RESULT, names)
    assert (rows, columns, titles, length) == (3, 3, ["ts", "device", "value"], 3)
    assert batches >= 1
    assert schema == pa.schema([("ts", pa.int64()), ("device", pa.string()), ("value", pa.float64())])


@pytest.fixture
def result(names: dict[str, Any]) -> dict[str, Any]:
    """With the result that the next blocks export."""
    run(QUERY_RESULT, names)
    return names


EXPORT = r"""
result.to_pandas()    # -> pandas.DataFrame
result.to_polars()    # -> polars.DataFrame
result.to_arrow()     # -> pyarrow.Table
result.to_dicts()     # -> dict[str, list]  (columnar)
result.to_df()        # -> auto-detect best library (polars > pandas > pyarrow)
"""


def test_export_to_data_frames(result: dict[str, Any]) -> None:
    pandas, polars, arrow, dicts, found = run(EXPORT, result)
    assert [type(each) for each in (pandas, polars, arrow, found)] == [
        pd.DataFrame,
        pl.DataFrame,
        pa.Table,
        pl.DataFrame,
    ]
    assert polars.rows() == found.rows() == list(pandas.itertuples(index=False, name=None)) == ROWS
    assert (
        arrow.to_pydict()
        == dicts
        == {"ts": [1, 2, 3], "device": ["sensor_a", "sensor_b", "sensor_a"], "value": [42.0, 43.5, 44.1]}
    )


DUCKDB_STYLE = r"""
result.df()                # -> pandas.DataFrame
result.pl()                # -> polars.DataFrame
result.pl(lazy=True)       # -> polars.LazyFrame
result.arrow()             # -> pyarrow.Table
result.fetchall()          # -> list[tuple]
result.fetchone()          # -> tuple | None
result.fetchmany(10)       # -> list[tuple] (up to 10 rows)
result.show()              # print preview (default 20 rows)
result.show(max_rows=50)   # print more rows
result._repr_html_()       # Jupyter HTML rendering
"""


def test_duckdb_style_methods(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    values = run(DUCKDB_STYLE, result)
    frames, (every, one, many, html) = values[:4], values[4:]
    assert [type(each) for each in frames] == [pd.DataFrame, pl.DataFrame, pl.LazyFrame, pa.Table]
    assert (every, one, many) == (ROWS, ROWS[0], ROWS)
    assert "<table>" in html
    assert capsys.readouterr().out.count("sensor_b") == 2


ITERATION = r"""
# Iterate over rows as tuples
for row in result:
    ts, device, value = row
    print(f"{device}: {value}")

# Zero-copy Arrow PyCapsule export
capsule = result.__arrow_c_stream__()
"""


def test_iteration(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(ITERATION, result)
    assert capsys.readouterr().out.splitlines() == ["sensor_a: 42.0", "sensor_b: 43.5", "sensor_a: 44.1"]
    assert "arrow_array_stream" in repr(result["capsule"])


STREAMING = r"""
for batch in conn.stream("SELECT * FROM sensors"):
    print(batch.num_rows)   # each batch is a QueryResult
    df = batch.to_pandas()
"""


def test_streaming_large_results(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(STREAMING, names)
    assert sum(int(line) for line in capsys.readouterr().out.splitlines()) == 3
    assert type(names["batch"]) is laminardb.QueryResult
    assert type(names["df"]) is pd.DataFrame


EXPLAIN = r"""
plan = conn.explain("SELECT * FROM sensors WHERE value > 43.0")
print(plan)
"""


def test_explain_queries(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(EXPLAIN, names)
    assert "Input sensors" in capsys.readouterr().out


SYNCHRONOUS = r"""
sub = conn.subscribe("SELECT * FROM sensors")

# Iterator protocol
for result in sub:
    df = result.to_pandas()
    process(df)

# Or non-blocking poll
batch = sub.try_next()  # returns QueryResult or None

sub.cancel()  # safe to call multiple times
print(sub.is_active)  # False
"""


def test_synchronous_subscription(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    frames: list[pd.DataFrame] = []

    def process(frame: pd.DataFrame) -> None:
        frames.append(frame)
        if len(frames) == 2:
            names["sub"].cancel()

    names["process"] = process
    run(SYNCHRONOUS, names, {"sub = conn.subscribe": row_comes(names)})
    assert [len(frame) for frame in frames] == [3, 1]
    assert names["batch"] is None
    assert capsys.readouterr().out == "False\n"


ASYNCHRONOUS = r"""
sub = await conn.subscribe_async("SELECT * FROM sensors")

async for result in sub:
    df = result.to_pandas()
    await process(df)

sub.cancel()
"""


async def test_asynchronous_subscription(names: dict[str, Any]) -> None:
    frames: list[pd.DataFrame] = []

    async def process(frame: pd.DataFrame) -> None:
        frames.append(frame)
        if len(frames) == 2:
            names["sub"].cancel()

    names["process"] = process
    await run_async(ASYNCHRONOUS, names, {"sub = await": row_comes(names)})
    assert [len(frame) for frame in frames] == [3, 1]
    assert not names["sub"].is_active


NAMED_STREAMS = r"""
sub = conn.subscribe_stream("hot_readings")
print(sub.schema)  # pyarrow.Schema

# Blocking with timeout
batch = sub.next_timeout(1000)  # wait up to 1000ms

# Non-blocking
batch = sub.try_next()

# Async variant
sub = await conn.subscribe_stream_async("hot_readings")
async for batch in sub:
    process(batch)
"""


async def test_named_stream_subscriptions(streaming: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    batches: list[laminardb.ChangeBatch] = []
    seen: list[laminardb.ChangeBatch | None] = []

    def process(batch: laminardb.ChangeBatch) -> None:
        batches.append(batch)
        streaming["sub"].cancel()

    streaming["process"] = process
    comes = row_comes(streaming)
    await run_async(
        NAMED_STREAMS,
        streaming,
        {
            "print(sub.schema)": comes,
            "batch = sub.next_timeout": lambda: seen.append(streaming["batch"]),
            "batch = sub.try_next": lambda: seen.append(streaming["batch"]),
            "sub = await": comes,
        },
    )
    assert capsys.readouterr().out == f"{streaming['conn'].schema('hot_readings')}\n"
    assert seen[0] is not None
    assert seen[0].fetchall() == batches[0].fetchall() == [(4, "sensor_c", 50.0)]
    assert seen[1] is None


VIEWS = r"""
from laminardb import MaterializedView, ChangeEvent

# Set up a stream
conn.execute("CREATE STREAM hot_readings AS SELECT * FROM sensors WHERE value > 40.0")
conn.start()

# Wrap as MaterializedView
mv = laminardb.mv(conn, "hot_readings", "SELECT * FROM sensors WHERE value > 40.0")
print(mv.name)     # "hot_readings"
print(mv.sql)      # "SELECT * FROM sensors WHERE value > 40.0"
print(mv.schema()) # Schema wrapper around pyarrow.Schema

# Query current state
result = mv.query()
result.show()

# Subscribe with a callback
def on_change(event: ChangeEvent):
    print(f"Received {len(event)} changes")
    for row in event:
        print(row["device"], row["value"])

thread = mv.subscribe(handler=on_change)  # runs in background daemon thread
"""

EVENTS = r"""
def on_change(event: ChangeEvent):
    print(len(event))        # number of rows
    df = event.df()          # -> pandas DataFrame
    table = event.arrow()    # -> pyarrow Table

    for row in event:
        print(row.op)        # "Insert", "Delete", "UpdateInsert", "UpdateDelete"
        print(row["device"]) # dict-style access
        print(row.keys())    # column names
        print(row.to_dict()) # full row as dict
"""


def test_materialized_views_and_change_events(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(VIEWS, names)
    assert names["thread"].daemon
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == ["hot_readings", "SELECT * FROM sensors WHERE value > 40.0"]
    assert "Schema(ts: int64, device: string, value: double)" in printed
    assert "sensor_b" in printed
    run(EVENTS, names)
    seen = threading.Event()
    on_change = names["on_change"]

    def told(event: laminardb.ChangeEvent) -> None:
        on_change(event)
        seen.set()

    second = names["mv"].subscribe(handler=told)
    row_comes(names)()
    assert seen.wait(60)
    names["conn"].shutdown()
    for thread in (names["thread"], second):
        thread.join(60)
        assert not thread.is_alive()
    printed = capsys.readouterr().out
    assert "Received 1 changes" in printed
    assert "sensor_c 50.0" in printed
    for line in (
        "1",
        "Insert",
        "sensor_c",
        "['ts', 'device', 'value']",
        "{'ts': 4, 'device': 'sensor_c', 'value': 50.0}",
    ):
        assert line in printed.splitlines()


def test_ops_of_an_updating_aggregate(names: dict[str, Any]) -> None:
    conn = names["conn"]
    conn.execute(
        "CREATE MATERIALIZED VIEW per_device AS SELECT device, avg(value) AS mean FROM sensors GROUP BY device"
    )
    sub = conn.subscribe_stream("per_device")
    conn.insert("sensors", {"ts": 4, "device": "sensor_b", "value": 44.5})
    batch = sub.next()
    assert batch.ops == ["UpdateDelete", "UpdateInsert"]
    assert batch.fetchall() == [("sensor_b", 43.5), ("sensor_b", 44.0)]


PIPELINE_CONTROL = r"""
conn.start()        # start the streaming pipeline
conn.shutdown()     # graceful shutdown
conn.checkpoint()   # trigger a checkpoint (returns checkpoint ID)
conn.cancel_query(query_id)  # cancel a running query
"""


def test_pipeline_control(tmp_path: Path) -> None:
    config = laminardb.LaminarConfig(storage_dir=tmp_path / "laminar", checkpoint_interval_ms=0)
    names: dict[str, Any] = {"conn": laminardb.open(":memory:", config=config)}

    def open_anew() -> None:
        assert names["conn"].pipeline_state == "stopped"
        names["conn"] = laminardb.open(":memory:", config=config)
        names["rows"] = names["conn"].stream("SELECT 1")
        names["query_id"] = names["conn"].queries()[-1].id

    assert [int(value) for value in run(PIPELINE_CONTROL, names, {"conn.shutdown()": open_anew})] == [1]
    assert names["conn"].active_query_count == 0
    names["conn"].close()


CATALOG = r"""
# List names
conn.list_tables()   # or conn.tables()
conn.list_streams()  # or conn.materialized_views()
conn.list_sinks()

# Get schema
schema = conn.schema("sensors")  # -> pyarrow.Schema

# Detailed catalog info
for source in conn.sources():
    print(source.name, source.schema, source.watermark_column)

for stream in conn.streams():
    print(stream.name, stream.sql)

for sink in conn.sinks():
    print(sink.name)

for query in conn.queries():
    print(query.id, query.sql, query.active)
"""


def test_catalog_introspection(streaming: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    streaming["conn"].sql("SELECT 1")
    assert run(CATALOG, streaming) == [["sensors"], ["hot_readings"], []]
    assert streaming["schema"].names == ["ts", "device", "value"]
    printed = capsys.readouterr().out
    assert printed.startswith("sensors ts: int64")
    assert "hot_readings SELECT * FROM sensors WHERE value > 40.0\n" in printed
    assert re.search(r"^\d+ SELECT 1 False$", printed, re.MULTILINE)


TABLE_STATS = r"""
stats = conn.stats("sensors")
print(stats["name"])            # "sensors"
print(stats["total_events"])    # total ingested events
print(stats["pending"])         # pending events
print(stats["capacity"])        # buffer capacity
print(stats["is_backpressured"])
print(stats["watermark"])
print(stats["utilization"])     # buffer utilization %
"""


def test_table_statistics(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names["conn"].wait()
    run(TABLE_STATS, names)
    assert capsys.readouterr().out.split() == ["sensors", "3", "0", "65536", "False", str(-(2**63)), "0.0"]


METRICS = r"""
# Pipeline-wide metrics
m = conn.metrics()
print(m.total_events_ingested)
print(m.total_events_emitted)
print(m.total_events_dropped)
print(m.total_cycles)
print(m.total_batches)
print(m.uptime_secs)
print(m.state)                # "running", "stopped", etc.
print(m.source_count, m.stream_count, m.sink_count)
print(m.pipeline_watermark)

# Per-source metrics
for sm in conn.all_source_metrics():
    print(sm.name, sm.total_events, sm.pending, sm.utilization)

sm = conn.source_metrics("sensors")  # specific source, or None

# Per-stream metrics
for stm in conn.all_stream_metrics():
    print(stm.name, stm.total_events, stm.sql)

# Pipeline topology (DAG)
topo = conn.topology()
for node in topo.nodes:
    print(node.name, node.node_type, node.sql)
for edge in topo.edges:
    print(f"{edge.from_node} -> {edge.to_node}")
"""


def test_pipeline_metrics(streaming: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    streaming["conn"].start()
    streaming["conn"].wait()
    run(METRICS, streaming)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:1] + printed[6:9] == ["3", "running", "1 1 0", str(-(2**63))]
    assert printed[9:] == [
        "sensors 3 0 0.0",
        printed[10],
        "sensors source None",
        "hot_readings stream SELECT * FROM sensors WHERE value > 40.0",
        "sensors -> hot_readings",
    ]
    assert re.fullmatch(r"hot_readings \d+ SELECT .*", printed[10])
    assert streaming["sm"].name == "sensors"


ERRORS = r"""
import laminardb

try:
    conn.query("INVALID SQL")
except laminardb.QueryError as e:
    print(f"Query failed: {e}")
    print(f"Error code: {e.code}")
except laminardb.LaminarError as e:
    print(f"LaminarDB error: {e}")
"""


def test_error_handling(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(ERRORS, names)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Query failed: SQL parse error (401): ")
    assert second == "Error code: 401"


CODES = r"""
from laminardb import codes

codes.CONNECTION_FAILED     # 100
codes.CONNECTION_CLOSED     # 101
codes.TABLE_NOT_FOUND       # 200
codes.TABLE_EXISTS          # 201
codes.SCHEMA_MISMATCH       # 202
codes.INGESTION_FAILED      # 300
codes.WRITER_CLOSED         # 301
codes.QUERY_FAILED          # 400
codes.SQL_PARSE_ERROR       # 401
codes.SUBSCRIPTION_FAILED   # 500
codes.INTERNAL_ERROR        # 900
"""


def test_error_codes() -> None:
    assert run(CODES, {}) == [int(comment) for comment in comments(CODES)]


CONFIGURATION = r"""
config = laminardb.LaminarConfig(
    buffer_size=65536,             # source buffer size (default: 65536)
    storage_dir="/tmp/laminar",    # storage directory (optional)
    checkpoint_interval_ms=10000,  # checkpoint interval in ms (optional)
    table_spill_threshold=1_000_000,  # spill threshold (default: 1M)
)

conn = laminardb.open(":memory:", config=config)
"""


def test_configuration(tmp_path: Path) -> None:
    names: dict[str, Any] = {"laminardb": laminardb}
    folder = str(tmp_path / "laminar")
    run(CONFIGURATION.replace("/tmp/laminar", folder), names)
    config = names["config"]
    assert (config.buffer_size, config.storage_dir, config.table_spill_threshold) == (65536, folder, 1_000_000)
    assert names["conn"].is_checkpoint_enabled is True
    names["conn"].close()
    assert laminardb.Config is laminardb.LaminarConfig


TYPES = r"""
from laminardb import Schema, Column, TableStats, Watermark, CheckpointStatus, Metrics
"""


def test_python_types() -> None:
    names: dict[str, Any] = {}
    run(TYPES, names)
    for name in ("Schema", "Column", "TableStats", "Watermark", "CheckpointStatus", "Metrics"):
        assert names[name] is getattr(laminardb.types, name)


ASYNC_SUPPORT = r"""
import asyncio
import laminardb

async def main():
    async with laminardb.open(":memory:") as conn:
        conn.execute("CREATE SOURCE events (id BIGINT, name VARCHAR)")
        conn.insert("events", [{"id": 1, "name": "click"}])

        sub = await conn.subscribe_async("SELECT * FROM events")
        async for batch in sub:
            print(batch.to_dicts())
            break
        sub.cancel()

asyncio.run(main())
"""


def test_async_support(capsys: pytest.CaptureFixture[str]) -> None:
    run(ASYNC_SUPPORT, {})
    assert capsys.readouterr().out == "{'id': [1], 'name': ['click']}\n"
