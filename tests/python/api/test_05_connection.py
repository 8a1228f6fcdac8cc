"""Section 5.1 and 5.2 of the Python contract: life of a connection, and names."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import laminardb
import pytest
from expect import fails

USES: dict[str, Callable[[laminardb.Connection], object]] = {
    "start": lambda c: c.start(),
    "shutdown": lambda c: c.shutdown(),
    "pipeline_state": lambda c: c.pipeline_state,
    "wait": lambda c: c.wait(),
    "current_time": lambda c: c.current_time,
    "create_table": lambda c: c.create_table("x", {"a": "int64"}),
    "insert": lambda c: c.insert("t", {"a": 1}),
    "insert_json": lambda c: c.insert_json("t", "[]"),
    "insert_csv": lambda c: c.insert_csv("t", ""),
    "upsert": lambda c: c.upsert("t", {"a": 1}),
    "update": lambda c: c.update("t", {"a": 1}),
    "delete": lambda c: c.delete("t", {"a": 1}),
    "writer": lambda c: c.writer("t"),
    "transaction": lambda c: c.transaction().__enter__(),
    "begin": lambda c: c.begin(),
    "commit": lambda c: c.commit(),
    "rollback": lambda c: c.rollback(),
    "in_transaction": lambda c: c.in_transaction,
    "transactions": lambda c: c.transactions(),
    "checkpoint": lambda c: c.checkpoint(),
    "restore": lambda c: c.restore(),
    "query": lambda c: c.query("SELECT 1"),
    "sql": lambda c: c.sql("SELECT 1"),
    "execute": lambda c: c.execute("SELECT 1"),
    "cursor": lambda c: c.cursor(),
    "stream": lambda c: c.stream("SELECT 1"),
    "explain": lambda c: c.explain("SELECT 1"),
    "query_stream": lambda c: c.query_stream("t"),
    "schema": lambda c: c.schema("t"),
    "subscribe": lambda c: c.subscribe("t"),
    "subscribe_async": lambda c: c.subscribe_async("t"),
    "subscribe_callback": lambda c: c.subscribe_callback("t", print),
    "subscribe_stream": lambda c: c.subscribe_stream("t"),
    "subscribe_stream_async": lambda c: c.subscribe_stream_async("t"),
    "subscribe_stream_callback": lambda c: c.subscribe_stream_callback("t", print),
    "list_tables": lambda c: c.list_tables(),
    "tables": lambda c: c.tables(),
    "list_streams": lambda c: c.list_streams(),
    "materialized_views": lambda c: c.materialized_views(),
    "list_sinks": lambda c: c.list_sinks(),
    "sinks": lambda c: c.sinks(),
    "sources": lambda c: c.sources(),
    "streams": lambda c: c.streams(),
    "queries": lambda c: c.queries(),
    "source_count": lambda c: c.source_count,
    "sink_count": lambda c: c.sink_count,
    "active_query_count": lambda c: c.active_query_count,
    "pipeline_watermark": lambda c: c.pipeline_watermark,
    "total_events_processed": lambda c: c.total_events_processed,
    "is_checkpoint_enabled": lambda c: c.is_checkpoint_enabled,
    "topology": lambda c: c.topology(),
    "metrics": lambda c: c.metrics(),
    "errors": lambda c: c.errors("v"),
    "source_metrics": lambda c: c.source_metrics("t"),
    "stream_metrics": lambda c: c.stream_metrics("t"),
    "all_source_metrics": lambda c: c.all_source_metrics(),
    "all_stream_metrics": lambda c: c.all_stream_metrics(),
    "stats": lambda c: c.stats("t"),
    "cancel_query": lambda c: c.cancel_query(1),
    "query_async": lambda c: c.query_async("SELECT 1"),
    "sql_async": lambda c: c.sql_async("SELECT 1"),
    "execute_async": lambda c: c.execute_async("SELECT 1"),
    "insert_async": lambda c: c.insert_async("t", {"a": 1}),
    "insert_json_async": lambda c: c.insert_json_async("t", "[]"),
    "insert_csv_async": lambda c: c.insert_csv_async("t", ""),
    "upsert_async": lambda c: c.upsert_async("t", {"a": 1}),
    "update_async": lambda c: c.update_async("t", {"a": 1}),
    "delete_async": lambda c: c.delete_async("t", {"a": 1}),
    "wait_async": lambda c: c.wait_async(),
}
# They work on a stopped database; all others are refused.
AFTER_SHUTDOWN = """
shutdown pipeline_state current_time list_tables tables list_streams materialized_views list_sinks sinks sources streams
queries source_count sink_count active_query_count pipeline_watermark total_events_processed topology metrics
is_checkpoint_enabled source_metrics stream_metrics all_source_metrics all_stream_metrics stats cancel_query
commit rollback in_transaction transactions cursor
"""


def test_every_member_is_walked() -> None:
    members = {name for name in dir(laminardb.Connection) if not name.startswith("_")}
    assert members == USES.keys() | {"close", "is_closed"}


@pytest.mark.parametrize("use", USES)
def test_a_closed_connection_refuses(conn: laminardb.Connection, use: str) -> None:
    conn.close()
    with pytest.raises(laminardb.ConnectionError) as caught:
        USES[use](conn)
    assert (caught.value.code, str(caught.value)) == (101, "Connection is closed")
    assert (conn.is_closed, repr(conn)) == (True, "Connection(closed)")


@pytest.mark.parametrize("use", [use for use in USES if use != "schema"])
def test_a_stopped_database(conn: laminardb.Connection, use: str) -> None:
    conn.create_table("t", {"a": "int64"}, primary_key="a")
    conn.execute("CREATE STREAM v AS SELECT a + 1 AS b FROM t")
    conn.sql("SELECT 1")
    conn.shutdown()
    if use in AFTER_SHUTDOWN.split():
        USES[use](conn)
    elif use.endswith("_async"):
        with fails(laminardb.LaminarError, 901, "Database is shut down"):
            asyncio.run(awaited(USES[use](conn)))
    else:
        with fails(laminardb.LaminarError, 901, "Database is shut down"):
            USES[use](conn)
    assert not conn.is_closed


@pytest.mark.usefixtures("pa")
def test_a_stopped_database_has_its_schemas(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.shutdown()
    assert conn.schema("t").names == ["a"]


async def awaited(what: Any) -> object:
    return await what


def test_shutdown_without_start_and_again() -> None:
    conn = laminardb.open(":memory:")
    conn.shutdown()
    conn.shutdown()
    assert (conn.pipeline_state, conn.is_closed, repr(conn)) == ("stopped", False, "Connection(open)")
    with fails(laminardb.LaminarError, 901):
        conn.start()
    conn.close()


def test_shutdown_lets_subscriptions_deliver_what_is_pending(sensors: laminardb.Connection) -> None:
    sub = sensors.subscribe("SELECT device, count(*) AS n FROM sensors GROUP BY device", snapshot=False)
    sensors.insert("sensors", {"ts": 4, "device": "new", "value": 0.0})
    sensors.shutdown()
    assert [batch.fetchall() for batch in sub] == [[("new", 1)]]
    assert not sub.is_active


def test_close_discards_what_is_pending_and_ends_all(sensors: laminardb.Connection) -> None:
    sub = sensors.subscribe("SELECT * FROM sensors")
    stream = sensors.subscribe_stream("sensors", snapshot=True)
    iterator = sensors.stream("SELECT * FROM sensors")
    constant = sensors.subscribe("SELECT 1 AS one")
    sensors.close()
    for each in (sub, stream, iterator, constant):
        assert not each.is_active, each
        assert each.try_next() is None
        assert list(each) == []


def test_close_never_raises(conn: laminardb.Connection) -> None:
    for _ in range(3):
        assert conn.close() is None  # type: ignore[func-returns-value]
    threads = [threading.Thread(target=conn.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert conn.is_closed


def test_start_on_an_empty_database(conn: laminardb.Connection) -> None:
    assert conn.start() is None  # type: ignore[func-returns-value]
    assert conn.pipeline_state == "running"


def test_a_closed_connection_can_be_entered(conn: laminardb.Connection) -> None:
    conn.close()
    with conn as same:
        assert same is conn


async def leaves_with_an_error(conn: laminardb.Connection) -> None:
    async with conn as same:
        assert same is conn
        raise ZeroDivisionError


async def test_async_with() -> None:
    conn = laminardb.open(":memory:")
    with pytest.raises(ZeroDivisionError):
        await leaves_with_an_error(conn)
    assert conn.is_closed
    async with conn as same:
        assert same is conn


def test_views_are_live_before_start(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.execute("CREATE STREAM before AS SELECT a FROM t")
    conn.insert("t", {"a": 1})
    assert conn.sql("SELECT * FROM before").fetchall() == [(1,)]
    conn.start()
    conn.execute("CREATE STREAM after AS SELECT a FROM t")
    conn.insert("t", {"a": 2})
    assert conn.sql("SELECT * FROM after ORDER BY a").fetchall() == [(1,), (2,)]


def test_wait_expires(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"x": "int64"})
    conn.insert("t", {"x": list(range(2000))})
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t a, t b WHERE (a.x * b.x) % 7 = 3")
    conn.insert("t", {"x": list(range(2000))})
    with fails(laminardb.LaminarError, 902, "Timeout (902): "):
        conn.wait(timeout=0)
    assert conn.wait() == conn.current_time == 2


def test_current_time_counts_accepted_writes(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    assert conn.current_time == 0
    times = []
    for idx in range(5):
        conn.insert("t", {"a": idx})
        conn.wait()
        times.append(conn.current_time)
    assert times == [1, 2, 3, 4, 5]
    with pytest.raises(laminardb.IngestionError):
        conn.insert("t", {"a": "x"})
    conn.insert("t", {"a": []})
    assert conn.current_time == 5


def test_a_connection_lives_as_long_as_what_was_made_from_it() -> None:
    for make in (
        lambda c: c.subscribe("SELECT a FROM t"),
        lambda c: c.subscribe_stream("t", snapshot=True),
        lambda c: c.stream("SELECT a FROM t"),
    ):
        conn = laminardb.open(":memory:")
        conn.create_table("t", {"a": "int64"})
        conn.insert("t", {"a": 7})
        made = make(conn)
        del conn
        gc.collect()
        assert next(iter(made)).fetchall() == [(7,)]


def test_dropping_a_subscription_cancels_it(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    sub = conn.subscribe("SELECT a FROM t")
    assert conn.active_query_count == 1
    del sub
    gc.collect()
    assert conn.active_query_count == 0


def test_a_process_that_never_closes_ends_quietly() -> None:
    program = (
        "import asyncio, threading, laminardb\n"
        "conn = laminardb.open(':memory:')\n"
        "conn.create_table('t', {'a': 'int64'})\n"
        "conn.start()\n"
        "w = conn.writer('t')\n"
        "w.insert({'a': 1})\n"
        "kept = [conn.subscribe('t'), conn.stream('SELECT * FROM t'), conn.subscribe_stream_callback('t', print)]\n"
        "async def main():\n"
        "    kept.append(await conn.subscribe_async('t'))\n"
        "asyncio.run(main(), debug=False)\n"
        "print('end')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


# 5.2 names


def test_sql_folds_unquoted_names_and_takes_quoted_ones_exactly(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE Plain (Id BIGINT)")
    conn.execute('CREATE SOURCE "Quoted" ("Id" BIGINT, "id" VARCHAR)')
    assert conn.list_tables() == ["plain", "Quoted"]
    assert conn.sql("SELECT * FROM plain").columns == ["id"]
    conn.insert("PLAIN", {"ID": 1})
    conn.insert("quoted", {"Id": 2, "id": "x"})
    assert conn.sql("SELECT ID FROM pLaIn").fetchall() == [(1,)]
    assert conn.sql('SELECT id, "Id" FROM QUOTED').fetchall() == [("x", 2)]
    for sql in ('SELECT * FROM "PLAIN"', 'SELECT "ID" FROM plain', 'SELECT * FROM "quoted"'):
        with fails(laminardb.QueryError, 400):
            conn.sql(sql)


def test_names_of_calls_are_kept_as_written(conn: laminardb.Connection, pa: ModuleType) -> None:
    conn.create_table("Events", {"Id": "int64", "two words": "string"})
    assert conn.insert("events", {"ID": 1, "TWO WORDS": "x"}) == 1
    assert conn.insert("EVENTS", pa.table({"id": [2]})) == 1
    found = conn.sql('select id, "two words" from events order by id')
    assert (found.columns, found.fetchall()) == (["Id", "two words"], [(1, "x"), (2, None)])
    assert conn.schema("eVENTS").names == ["Id", "two words"]
    assert len(conn.query_stream("EVENTS")) == 2
    assert conn.writer("events").name == "Events"
    sub = conn.subscribe_stream("EVENTS", snapshot=True)
    assert len(sub.next()) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "view"), [("Events", "Big"), ("events", "big"), ("EVENTS", "BIG")])
def test_metrics_are_found_by_the_rule_of_names(conn: laminardb.Connection, name: str, view: str) -> None:
    conn.create_table("Events", {"Id": "int64"})
    conn.execute('CREATE STREAM "Big" AS SELECT * FROM events')
    conn.insert("events", {"id": 1})
    metrics = conn.source_metrics(name)
    assert metrics is not None
    assert (metrics.name, metrics.total_events) == ("Events", 1)
    stats = conn.stats(name)
    assert (stats["name"], stats["total_events"]) == ("Events", 1)
    stream = conn.stream_metrics(view)
    assert stream is not None
    assert stream.name == "Big"


def test_ambiguous_names(conn: laminardb.Connection) -> None:
    conn.create_table("Ab", {"x": "int64", "Col": "int64", "cOL": "int64"})
    conn.create_table("aB", {"x": "int64"})
    with fails(laminardb.QueryError, 400, "ambiguous"):
        conn.sql("SELECT * FROM AB")
    with fails(laminardb.QueryError, 400, "ambiguous"):
        conn.sql('SELECT COL FROM "Ab"')
    with fails(laminardb.IngestionError, 302, "ambiguous"):
        conn.insert("Ab", {"col": 1})
    for call in (lambda: conn.insert("AB", {"x": 1}), lambda: conn.schema("AB"), lambda: conn.writer("ab")):
        with pytest.raises(laminardb.LaminarError, match="ambiguous"):
            call()
    assert conn.insert("Ab", {"Col": 1, "cOL": 2}) == 1
    assert conn.sql('SELECT "Col", "cOL" FROM "Ab"').fetchall() == [(1, 2)]
    # The lower-case spelling comes first.
    conn.create_table("ab", {"x": "int64"})
    assert conn.sql("SELECT * FROM AB").columns == ["x"]


def test_a_name_that_differs_only_in_case_is_taken_for_sql(conn: laminardb.Connection) -> None:
    conn.create_table("Events", {"a": "int64"})
    for sql in ("CREATE SOURCE events (a INT)", "CREATE TABLE EVENTS (a INT)", "CREATE STREAM eVents AS SELECT 1 AS x"):
        with fails(laminardb.SchemaError, 201):
            conn.execute(sql)
    conn.execute('CREATE SOURCE "events" (a INT)')
    assert conn.list_tables() == ["Events", "events"]


def test_relations_of_all_kinds_share_one_name_space(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE s (a INT)")
    conn.execute("CREATE TABLE t (a INT)")
    conn.execute("CREATE VIEW v AS SELECT * FROM s")
    conn.execute("CREATE STREAM m AS SELECT * FROM s")
    for name in ("s", "t", "v", "m"):
        for sql in (
            f"CREATE SOURCE {name} (a INT)",
            f"CREATE TABLE {name} (a INT)",
            f"CREATE VIEW {name} AS SELECT 1 AS x",
            f"CREATE MATERIALIZED VIEW {name} AS SELECT a FROM t",
        ):
            with fails(laminardb.SchemaError, 201):
                conn.execute(sql)
        with fails(laminardb.SchemaError, 201):
            conn.create_table(name, {"a": "int64"})


def test_columns_may_hold_any_text(conn: laminardb.Connection) -> None:
    names = ["a b", 'quote"d', "ünï", "select", "1", "\n", "a.b", "__op"]
    conn.create_table("t", dict.fromkeys(names, "int64"))
    conn.insert("t", {name: idx for idx, name in enumerate(names)})
    result = conn.sql("SELECT * FROM t")
    assert (result.columns, result.fetchall()) == (names, [tuple(range(len(names)))])
    assert result.to_dicts() == {name: [idx] for idx, name in enumerate(names)}


@pytest.mark.parametrize("sql", ["CREATE SOURCE t (a INT, a INT)", 'CREATE TABLE t ("" INT)'])
def test_columns_are_unique_and_not_empty(conn: laminardb.Connection, sql: str, pa: ModuleType) -> None:
    with fails(laminardb.SchemaError, 203):
        conn.execute(sql)
    with fails(laminardb.SchemaError, 203):
        conn.create_table("t", pa.schema([("a", pa.int64()), ("a", pa.string())]))
    with fails(laminardb.SchemaError, 203):
        conn.create_table("t", {"": "int64"})
    assert conn.list_tables() == []


def test_subscribe_async_checks_the_connection_at_the_call(conn: laminardb.Connection) -> None:
    conn.close()
    with fails(laminardb.ConnectionError, 101):
        conn.subscribe_stream_async("t")
    assert not inspect.iscoroutinefunction(conn.subscribe_async)
