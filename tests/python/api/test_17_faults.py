"""Section 17 of the Python contract: faults of the package up to 0.17, none of which this one has; a test for each."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import laminardb
import pytest
from expect import count, fails


def final(sub: Any) -> list[tuple[Any, ...]]:
    """The rows that the changes of a subscription, from its beginning to its end, leave."""
    state: dict[tuple[Any, ...], int] = {}
    for batch in sub:
        for op, row in zip(batch.ops, batch, strict=True):
            state[row] = state.get(row, 0) + (1 if op.endswith("Insert") else -1)
        assert min(state.values()) >= 0, "a row goes that was not there"
    return sorted((row for row, times in state.items() for _ in range(times)), key=repr)


@pytest.mark.usefixtures("pa")
def test_inserts_of_every_form_keep_a_source_readable(
    conn: laminardb.Connection, pd: ModuleType, pl: ModuleType
) -> None:
    conn.create_table("t", {"id": "int64", "x": "float64", "s": "string"})
    conn.insert("t", pd.DataFrame({"s": ["a"], "x": [1], "id": [1]}))
    conn.insert("t", pl.DataFrame({"x": [2], "id": [2]}))
    conn.insert_json("t", '[{"s": "c", "id": 3}, {"x": 4, "id": 4}]')
    conn.insert("t", [{"x": 5, "id": 5}, {"s": "f", "id": 6}])
    conn.insert("t", {"id": [7], "x": [None], "s": [None]})
    rows = conn.sql("SELECT * FROM t ORDER BY id").fetchall()
    assert [row[1:] for row in rows] == [
        (1.0, "a"),
        (2.0, None),
        (None, "c"),
        (4.0, None),
        (5.0, None),
        (None, "f"),
        (None, None),
    ]


def test_bad_values_are_refused_and_not_counted(sensors: laminardb.Connection) -> None:
    with fails(laminardb.IngestionError, 302):
        sensors.insert("sensors", {"ts": "x", "device": 1, "value": "y"})
    for values in ("('x', 'y', 1.0)", "(1, 'y')", "(1, 'y', 1.0, 2)"):
        with fails(laminardb.QueryError, 400):
            sensors.execute(f"INSERT INTO sensors VALUES {values}")
    assert (count(sensors, "sensors"), sensors.total_events_processed) == (3, 3)


def test_any_number_of_inserts_before_start_are_all_kept(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
    for idx in range(2100):
        conn.insert("t", {"a": idx})
    assert conn.sql("SELECT count(*), min(a), max(a) FROM t").fetchone() == (2100, 0, 2099)
    assert conn.sql("SELECT n FROM v").fetchone() == (2100,)


def test_counters_count_rows() -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(buffer_size=500)) as conn:
        conn.create_table("t", {"a": "int64"})
        conn.insert("t", {"a": list(range(100))})
        stats = conn.stats("t")
        assert (stats["total_events"], stats["capacity"]) == (100, 500)
        sub = conn.subscribe_stream("t")
        conn.insert("t", {"a": list(range(30))})
        assert conn.total_events_processed == 130
        assert len(sub.next()) == 30  # type: ignore[arg-type]


def test_order_by_without_limit(sensors: laminardb.Connection) -> None:
    assert sensors.sql("SELECT ts FROM sensors ORDER BY ts DESC").fetchall() == [(3,), (2,), (1,)]


def test_window_functions_as_bare_columns(sensors: laminardb.Connection) -> None:
    over = "OVER (ORDER BY ts)"
    whole = "OVER (ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    result = sensors.sql(
        f"SELECT lag(device) {over}, lead(device) {over}, first_value(device) {whole}, last_value(value) {whole}, "
        f"nth_value(value, 2) {whole} FROM sensors ORDER BY ts"
    )
    assert result.fetchall() == [
        (None, "sensor_b", "sensor_a", 44.1, 43.5),
        ("sensor_a", "sensor_a", "sensor_a", 44.1, 43.5),
        ("sensor_b", None, "sensor_a", 44.1, 43.5),
    ]


def test_views_are_read_by_name_and_kept(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE STREAM hot AS SELECT ts FROM sensors WHERE value > 43")
    sensors.execute("CREATE MATERIALIZED VIEW per AS SELECT device, count(*) AS n FROM sensors GROUP BY device")
    assert sorted(sensors.sql("SELECT * FROM hot JOIN per ON n = ts").fetchall()) == [(2, "sensor_a", 2)]
    assert sorted(laminardb.mv(sensors, "per", "SELECT 1").query().fetchall()) == [("sensor_a", 2), ("sensor_b", 1)]


def test_explain_has_a_plan_and_refuses_missing_tables(sensors: laminardb.Connection) -> None:
    plan = sensors.explain("SELECT device, count(*) FROM sensors GROUP BY device")
    assert "Reduce by [device]" in plan
    assert "Input sensors" in plan
    with fails(laminardb.QueryError, 400):
        sensors.explain("SELECT * FROM nope")


def test_create_table_loses_nothing(conn: laminardb.Connection, pa: ModuleType) -> None:
    schema = pa.schema(
        [
            pa.field("Mixed Case", pa.int64(), nullable=False),
            pa.field("ns", pa.timestamp("ns")),
            pa.field("l", pa.list_(pa.string())),
            pa.field("d", pa.decimal128(20, 4)),
        ]
    )
    conn.create_table("My Table", schema)
    assert conn.schema("My Table").names == schema.names
    assert [str(field.type) for field in conn.schema("My Table")][1:3] == ["timestamp[ns]", "list<item: string>"]
    conn.insert("My Table", [{"Mixed Case": 1, "l": ["x"], "d": decimal.Decimal("1.2345")}])
    assert conn.sql('SELECT * FROM "My Table"').fetchall() == [(1, None, ["x"], decimal.Decimal("1.2345"))]
    with fails(laminardb.IngestionError, 300):
        conn.insert("My Table", {"d": 1})
    with fails(laminardb.SchemaError, 203):
        conn.create_table("two", pa.schema([("a", pa.int64()), ("a", pa.int64())]))


def test_query_executes_no_definition(conn: laminardb.Connection) -> None:
    with fails(laminardb.QueryError, 400):
        conn.query("CREATE SOURCE x (a INT)")
    assert conn.list_tables() == []


def test_queries_end_take_parameters_and_count_no_emitted_rows(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE STREAM copy AS SELECT * FROM sensors")
    sub = sensors.subscribe_stream("copy", snapshot=True)
    assert sensors.sql("SELECT ts FROM sensors WHERE ts = ?", [2]).fetchall() == [(2,)]
    assert sensors.active_query_count == 1
    assert len(sub.next()) == 3  # type: ignore[arg-type]
    assert sensors.total_events_processed == 3


def test_there_is_no_tick_between_insert_and_delivery(conn: laminardb.Connection) -> None:
    rounds, tick = 100, 0.1
    conn.create_table("t", {"a": "int64"})
    sub = conn.subscribe_stream("t")
    start = time.monotonic()
    for idx in range(rounds):
        conn.insert("t", {"a": idx})
        assert sub.next().fetchall() == [(idx,)]  # type: ignore[union-attr]
    assert time.monotonic() - start < rounds * tick / 2
    told = threading.Semaphore(0)
    callback = conn.subscribe_stream_callback("t", lambda batch: told.release())
    start = time.monotonic()
    for idx in range(rounds):
        conn.insert("t", {"a": idx})
        assert told.acquire(timeout=60)
    assert time.monotonic() - start < rounds * tick / 2
    callback.cancel()


def test_every_subscriber_gets_data(sensors: laminardb.Connection) -> None:
    sensors.execute("CREATE STREAM hot AS SELECT ts FROM sensors WHERE value > 43")
    subs = [sensors.subscribe_stream("hot") for _ in range(3)]
    sensors.insert("sensors", {"ts": 9, "value": 50.0})
    assert [sub.next().fetchall() for sub in subs] == [[(9,)]] * 3  # type: ignore[union-attr]


def test_subscriptions_to_queries_go_on_and_late_ones_begin_with_the_state(sensors: laminardb.Connection) -> None:
    query = "SELECT device, count(*) AS n FROM sensors GROUP BY device"
    early = sensors.subscribe(query)
    for idx in range(5):
        sensors.insert("sensors", {"ts": idx, "device": "sensor_a"})
    late = sensors.subscribe(query)
    first = late.next()
    assert first is not None
    assert (first.is_snapshot, sorted(first)) == (True, [("sensor_a", 7), ("sensor_b", 1)])
    sensors.insert("sensors", {"ts": 6, "device": "sensor_c"})
    sensors.shutdown()
    assert final(early) == [("sensor_a", 7), ("sensor_b", 1), ("sensor_c", 1)]
    assert [batch.fetchall() for batch in late] == [[("sensor_c", 1)]]


def test_the_schema_of_a_subscription(sensors: laminardb.Connection, pa: ModuleType) -> None:
    sensors.execute("CREATE STREAM hot AS SELECT ts, value FROM sensors WHERE value > 43")
    wanted = pa.schema([("ts", pa.int64()), ("value", pa.float64())])
    assert sensors.subscribe_stream("hot").schema == wanted
    assert sensors.subscribe("SELECT ts, value FROM sensors").schema == wanted


def test_streams_made_after_start(sensors: laminardb.Connection) -> None:
    sensors.start()
    sensors.execute("CREATE STREAM hot AS SELECT ts FROM sensors WHERE value > 43")
    sensors.insert("sensors", {"ts": 9, "value": 50.0})
    assert sorted(sensors.sql("SELECT * FROM hot").fetchall()) == [(2,), (3,), (9,)]
    with fails(laminardb.QueryError, 400):
        sensors.execute("CREATE STREAM other AS SELECT * FROM nope")
    sensors.execute("CREATE STREAM IF NOT EXISTS hot AS SELECT 1 AS x")
    assert count(sensors, "hot") == 3
    sensors.execute("CREATE OR REPLACE STREAM hot AS SELECT ts FROM sensors WHERE value > 44")
    assert sorted(sensors.sql("SELECT * FROM hot").fetchall()) == [(3,), (9,)]


def test_waiting_readers_freeze_nothing(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})

    async def loop() -> int:
        sub = await conn.subscribe_async("SELECT a FROM t")
        waiting = asyncio.ensure_future(anext(sub))
        for _ in range(100):
            await asyncio.sleep(0)
        conn.insert("t", {"a": 1})
        return len(await waiting)

    assert asyncio.run(loop()) == 1
    sub = conn.subscribe_stream("t")
    thread = threading.Thread(target=sub.next)
    thread.start()
    assert sub.is_active
    sub.cancel()
    thread.join(60)
    assert not thread.is_alive()


def test_only_changed_groups_are_emitted(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"g": "int64"})
    conn.insert("t", {"g": list(range(1000))})
    sub = conn.subscribe("SELECT g, count(*) AS n FROM t GROUP BY g", snapshot=False)
    conn.insert("t", {"g": 7})
    batch = sub.next()
    assert batch is not None
    assert list(batch) == [(7, 1), (7, 2)]
    assert sub.try_next() is None


def test_ops_are_true(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"k": "int64", "v": "int64"}, primary_key="k")
    sub = conn.subscribe_stream("t")
    seen = []
    for write in (
        lambda: conn.insert("t", {"k": 1, "v": 1}),
        lambda: conn.insert("t", {"k": 1, "v": 2}),
        lambda: conn.delete("t", {"k": 1}),
    ):
        write()
        seen += sub.next().ops  # type: ignore[union-attr]
    assert seen == ["Insert", "UpdateDelete", "UpdateInsert", "Delete"]


VIEWS = {
    "having": "SELECT g, count(*) AS n FROM t GROUP BY g HAVING count(*) > 2",
    "expression of an aggregate": "SELECT g, sum(x) * 2 + 1 AS y FROM t GROUP BY g",
    "distinct": "SELECT DISTINCT g FROM t",
    "top k": "SELECT x, g FROM t ORDER BY x DESC, g LIMIT 3",
    "row number": "SELECT g, x FROM (SELECT g, x, row_number() OVER (PARTITION BY g ORDER BY x DESC) AS r FROM t) "
    "WHERE r = 1",
    "scalar subquery": "SELECT g, x FROM t WHERE x = (SELECT max(x) FROM t)",
    "aggregate of an aggregate": "SELECT max(n) AS most, count(*) AS groups FROM "
    "(SELECT g, count(*) AS n FROM t GROUP BY g)",
    "join": "SELECT a.x, b.x AS y FROM t a JOIN u b ON a.g = b.g",
    "left join": "SELECT a.x, b.x AS y FROM t a LEFT JOIN u b ON a.g = b.g",
    "join within a distance": "SELECT a.x, b.x AS y FROM t a JOIN u b ON a.g = b.g AND b.x BETWEEN a.x - 5 AND a.x + 5",
    "join of a table": "SELECT t.x, k.label FROM t JOIN k ON t.g = k.g",
    "left join of a table": "SELECT t.x, k.label FROM t LEFT JOIN k ON t.g = k.g",
    "tumbling by date_trunc": "SELECT date_trunc('minute', ts) AS minute, count(*) AS n FROM t GROUP BY minute",
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_over_all_rows_and_not_over_batches(conn: laminardb.Connection, name: str) -> None:
    for source in ("t", "u"):
        conn.execute(f"CREATE SOURCE {source} (g VARCHAR, x BIGINT, ts TIMESTAMP)")
    conn.execute("CREATE TABLE k (g VARCHAR PRIMARY KEY, label VARCHAR)")
    conn.execute(f"CREATE MATERIALIZED VIEW v AS {VIEWS[name]}")
    sub = conn.subscribe_stream("v", snapshot=True)
    for idx in range(12):
        source = "t" if idx % 3 else "u"
        stamp = dt.datetime(2024, 1, 1) + dt.timedelta(seconds=20 * idx)
        conn.insert(source, {"g": "abc"[idx % 3 - 1 if idx % 2 else 0], "x": idx % 7, "ts": stamp})
        if idx in (4, 8):
            conn.insert("k", {"g": "ab"[idx // 8], "label": f"l{idx}"})
    expected = sorted(conn.sql(VIEWS[name]).fetchall(), key=repr)
    assert len(expected) > 0
    assert sorted(conn.sql("SELECT * FROM v").fetchall(), key=repr) == expected
    conn.shutdown()
    assert final(sub) == expected


UNBUILT = [
    "SELECT * FROM TUMBLE(t, ts, INTERVAL '1' MINUTE)",
    "SELECT hop_start(ts, INTERVAL '1' MINUTE, INTERVAL '2' MINUTE), count(*) FROM t GROUP BY 1",
    "SELECT count(*) AS n FROM t GROUP BY SESSION(ts, INTERVAL '5' MINUTE)",
    "SELECT * FROM t ASOF JOIN t AS u ON t.x = u.x AND t.ts >= u.ts",
]


@pytest.mark.parametrize("query", UNBUILT)
def test_windows_and_joins_that_are_not_built_are_refused(conn: laminardb.Connection, query: str) -> None:
    conn.execute("CREATE SOURCE t (x BIGINT, ts TIMESTAMP)")
    with pytest.raises((laminardb.QueryError, laminardb.StreamError)):
        conn.execute(f"CREATE STREAM v AS {query}")
    assert conn.list_streams() == []


CLAUSES = [
    "CREATE STREAM v AS SELECT x FROM t EMIT CHANGES",
    "CREATE STREAM v AS SELECT count(*) AS n FROM t EMIT ON WINDOW CLOSE",
    "CREATE STREAM v AS SELECT x FROM t ALLOW LATENESS INTERVAL '1' MINUTE",
    "CREATE STREAM v AS SELECT x FROM t LATE DATA TO s",
    "CREATE STREAM v AS SELECT x FROM t WITH ('lateness' = '1s')",
    "CREATE SINK k FROM v WITH ('connector' = 'print')",
]


@pytest.mark.parametrize("sql", CLAUSES)
def test_no_clause_is_accepted_without_effect(conn: laminardb.Connection, sql: str) -> None:
    conn.execute("CREATE SOURCE t (x BIGINT, ts TIMESTAMP)")
    with pytest.raises(laminardb.LaminarError):
        conn.execute(sql)
    assert (conn.list_streams(), conn.list_sinks()) == ([], [])


def test_a_watermark_moves_at_once(sensors: laminardb.Connection) -> None:
    sensors.writer("sensors").watermark(42)
    assert sensors.pipeline_watermark == sensors.stats("sensors")["watermark"] == 42


def test_checkpoints_hold_the_database_and_restore_brings_it_back(tmp_path: Path) -> None:
    config = laminardb.LaminarConfig(storage_dir=str(tmp_path / "images"), checkpoint_interval_ms=0)
    with laminardb.open(":memory:", config=config) as conn:
        conn.create_table("t", {"a": "int64"})
        conn.execute("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
        conn.insert("t", {"a": [1, 2]})
        taken = conn.checkpoint()
        conn.insert("t", {"a": 3})
        conn.execute("RESTORE FROM CHECKPOINT LATEST")
        assert (conn.sql("SELECT a FROM t").fetchall(), conn.sql("SELECT n FROM v").fetchone()) == ([(1,), (2,)], (2,))
    with laminardb.open(":memory:", config=config) as again:
        assert again.restore() == taken
        assert again.sql("SELECT n FROM v").fetchone() == (2,)


def test_nothing_lives_on_after_shutdown_and_close(sensors: laminardb.Connection) -> None:
    w, sub = sensors.writer("sensors"), sensors.subscribe_stream("sensors")
    sensors.shutdown()
    for call in (lambda: sensors.insert("sensors", {"ts": 1}), lambda: w.insert({"ts": 1})):
        with fails(laminardb.LaminarError, 901):
            call()
    sensors.close()
    with fails(laminardb.IngestionError, 301):
        w.insert({"ts": 1})
    assert (sub.next(), sub.is_active, repr(w)) == (None, False, "Writer(closed)")


def test_every_error_class_is_raised_with_a_code(sensors: laminardb.Connection) -> None:
    for sql, kind, code in (
        ("CREATE STREAM v AS SELECT random() AS r FROM sensors", laminardb.StreamError, 600),
        ("CHECKPOINT", laminardb.CheckpointError, 700),
        ("RESTORE FROM CHECKPOINT LATEST", laminardb.CheckpointError, 700),
        ("CREATE SINK k FROM sensors", laminardb.ConnectorError, 800),
    ):
        with fails(kind, code):
            sensors.execute(sql)


def test_definitions_are_all_or_nothing_and_tables_hold_rows(sensors: laminardb.Connection) -> None:
    with fails(laminardb.StreamError, 600):
        sensors.execute("CREATE STREAM v AS SELECT now() AS n FROM sensors")
    assert sensors.list_streams() == []
    with fails(laminardb.QueryError, 400):
        sensors.execute("ALTER SOURCE sensors ADD COLUMN x INT")
    assert count(sensors, "sensors") == 3
    sensors.execute("CREATE TABLE copy AS SELECT * FROM sensors")
    assert sensors.insert("copy", {"ts": 4}) == 1
    assert count(sensors, "copy") == 4


def test_edges_are_not_found_in_text(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE a (x BIGINT)")
    conn.execute("CREATE SOURCE ab (x BIGINT)")
    conn.execute("CREATE STREAM s AS SELECT x AS a, 'a' AS b FROM ab -- a")
    assert [repr(edge) for edge in conn.topology().edges] == ["PipelineEdge('ab' -> 's')"]


def test_listing_tables_does_not_wait_for_a_query(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    conn.insert("t", {"x": list(range(5000))})
    it = conn.stream("SELECT count(*) FROM t a, t b, t c WHERE (a.x + b.x * c.x) % 7 = 3")
    thread = threading.Thread(target=lambda: list(it))
    thread.start()
    assert conn.list_tables() == ["t"]
    assert it.is_active
    it.cancel()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.usefixtures("pa", "pd")
def test_results_leave_whole_and_come_back(sensors: laminardb.Connection) -> None:
    result = sensors.sql("SELECT ts, ts FROM sensors")
    assert "arrow_array_stream" in repr(result.__arrow_c_stream__())
    assert result.arrow().num_columns == len(result.df().columns) == len(result.fetchone()) == 2  # type: ignore[arg-type]
    assert sensors.insert("sensors", sensors.sql("SELECT * FROM sensors")) == 3


def test_rows_need_no_library() -> None:
    program = (
        "import sys\n"
        "for name in ('numpy', 'pandas', 'polars', 'pyarrow'):\n"
        "    sys.modules[name] = None\n"
        "import laminardb\n"
        "result = laminardb.sql('SELECT 1 AS x')\n"
        "result.show()\n"
        "print(result.fetchall(), result.fetchone(), result.fetchmany(1), result.to_dicts())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines()[-1] == "[(1,)] (1,) [(1,)] {'x': [1]}", done.stderr


def test_the_module_declares_that_it_needs_no_gil() -> None:
    source = Path(__file__).parents[3] / "python" / "src" / "lib.rs"
    assert "#[pymodule(gil_used = false)]" in source.read_text()


def test_the_spill_threshold_of_the_readme_is_taken() -> None:
    config = laminardb.LaminarConfig(table_spill_threshold=2_000_000)
    with laminardb.open(":memory:", config=config) as conn:
        assert conn.sql("SELECT 1").fetchone() == (1,)
    assert config.table_spill_threshold == 2_000_000
