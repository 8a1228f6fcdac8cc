"""The seed README's first example, and its section on materialized views and change events, as written."""

from __future__ import annotations

import threading
from typing import Any

import pytest

FIRST = """
import laminardb

conn = laminardb.open(":memory:")
conn.execute("CREATE SOURCE sensors (ts BIGINT, device VARCHAR, value DOUBLE)")
conn.insert("sensors", [
    {"ts": 1, "device": "sensor_a", "value": 42.0},
    {"ts": 2, "device": "sensor_b", "value": 43.5},
    {"ts": 3, "device": "sensor_a", "value": 44.1},
])

conn.sql("SELECT * FROM sensors WHERE value > 43.0").df()
"""

QUICK_START = """
# Query with DuckDB-style .sql()
result = conn.sql("SELECT * FROM sensors WHERE value > 43.0")

result.show()          # print to terminal
df = result.df()       # -> pandas DataFrame
pl_df = result.pl()    # -> polars DataFrame
table = result.arrow() # -> pyarrow Table
rows = result.fetchall()  # -> list of tuples
"""

VIEWS = """
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

EVENTS = """
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


def run(text: str, names: dict[str, Any]) -> None:
    exec(compile(text, "README.md", "exec"), names)


def test_first_example() -> None:
    names: dict[str, Any] = {}
    run(FIRST, names)
    frame = names["conn"].sql("SELECT * FROM sensors WHERE value > 43.0").df()
    assert str(frame) == "   ts    device  value\n0   2  sensor_b   43.5\n1   3  sensor_a   44.1"
    run(QUICK_START, names)
    assert names["rows"] == [(2, "sensor_b", 43.5), (3, "sensor_a", 44.1)]
    assert len(names["df"]) == names["pl_df"].height == names["table"].num_rows == 2
    names["conn"].close()


def test_materialized_views_and_change_events(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    run(FIRST, names)
    run(VIEWS, names)
    assert names["thread"].daemon
    printed = capsys.readouterr().out
    assert "hot_readings" in printed
    assert "Schema(ts: int64, device: string, value: double)" in printed
    run(EVENTS, names)
    seen = threading.Event()
    on_change = names["on_change"]

    def told(event: Any) -> None:
        on_change(event)
        seen.set()

    second = names["mv"].subscribe(handler=told)
    conn = names["conn"]
    conn.insert("sensors", {"ts": 4, "device": "sensor_c", "value": 50.0})
    assert seen.wait(60)
    assert "{'ts': 4, 'device': 'sensor_c', 'value': 50.0}" in capsys.readouterr().out
    conn.close()
    for thread in (names["thread"], second):
        thread.join(60)
        assert not thread.is_alive()


def test_ops_of_an_updating_aggregate() -> None:
    names: dict[str, Any] = {}
    run(FIRST, names)
    conn = names["conn"]
    conn.execute(
        "CREATE MATERIALIZED VIEW per_device AS SELECT device, avg(value) AS mean FROM sensors GROUP BY device"
    )
    sub = conn.subscribe_stream("per_device")
    conn.insert("sensors", {"ts": 4, "device": "sensor_b", "value": 44.5})
    batch = sub.next()
    assert batch.ops == ["UpdateDelete", "UpdateInsert"]
    assert batch.fetchall() == [("sensor_b", 43.5), ("sensor_b", 44.0)]
    conn.close()
