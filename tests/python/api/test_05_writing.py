"""Section 5.4 of the Python contract: writes are atomic, have one time, and are seen by every later read."""

from __future__ import annotations

import inspect
import threading
from types import ModuleType
from typing import Any

import laminardb
import pytest
from expect import count, fails


@pytest.fixture
def kinds(conn: laminardb.Connection) -> laminardb.Connection:
    """A source, a table without a key, one with a key, and a view on each."""
    conn.execute("CREATE SOURCE s (a BIGINT, b VARCHAR)")
    conn.execute("CREATE TABLE t (a BIGINT, b VARCHAR)")
    conn.execute("CREATE TABLE k (a BIGINT PRIMARY KEY, b VARCHAR)")
    for name in ("s", "t", "k"):
        conn.execute(f"CREATE MATERIALIZED VIEW v{name} AS SELECT count(*) AS n FROM {name}")
    return conn


@pytest.mark.parametrize("call", ["insert", "insert_json", "insert_csv", "upsert", "update", "delete"])
def test_signatures(call: str) -> None:
    parameters = inspect.signature(getattr(laminardb.Connection, call)).parameters
    assert list(parameters)[:3] == ["self", "table", "data"]
    extra = {} if call == "delete" else {"extra": "error"}
    assert {name: parameter.default for name, parameter in list(parameters.items())[3:]} == extra


@pytest.mark.parametrize("name", ["s", "t"])
def test_sources_and_tables_without_a_key_append(kinds: laminardb.Connection, name: str) -> None:
    for _ in range(2):
        assert kinds.insert(name, [{"a": 1, "b": "x"}, {"a": 1, "b": "x"}]) == 2
    assert kinds.sql(f"SELECT * FROM {name}").fetchall() == [(1, "x")] * 4
    assert kinds.sql(f"SELECT n FROM v{name}").fetchone() == (4,)


def test_a_keyed_table_takes_the_last_row_of_a_key(kinds: laminardb.Connection) -> None:
    assert kinds.insert("k", {"a": [1, 2, 1], "b": ["x", "y", "z"]}) == 3
    assert sorted(kinds.sql("SELECT * FROM k").fetchall()) == [(1, "z"), (2, "y")]
    assert kinds.upsert("k", {"a": 2}) == 1
    assert sorted(kinds.sql("SELECT * FROM k").fetchall()) == [(1, "z"), (2, None)]
    assert kinds.sql("SELECT n FROM vk").fetchone() == (2,)


@pytest.mark.parametrize("name", ["s", "t", "vs"])
def test_upsert_needs_a_key(kinds: laminardb.Connection, name: str) -> None:
    with fails(laminardb.SchemaError, 202):
        kinds.upsert(name, {"a": 1})


@pytest.mark.parametrize("call", ["insert", "upsert", "delete"])
def test_unknown_tables_and_views(kinds: laminardb.Connection, call: str) -> None:
    with fails(laminardb.SchemaError, 200):
        getattr(kinds, call)("nope", {"a": 1})
    with fails(laminardb.SchemaError, 202):
        getattr(kinds, call)("vs", {"n": 1})


@pytest.mark.parametrize("call", ["insert_json", "insert_csv"])
def test_text_into_unknown_tables_and_views(kinds: laminardb.Connection, call: str) -> None:
    with fails(laminardb.SchemaError, 200):
        getattr(kinds, call)("nope", "[]")
    with fails(laminardb.SchemaError, 202):
        getattr(kinds, call)("vs", '{"n": 1}' if call == "insert_json" else "n\n1\n")


DELETES: list[Any] = [
    {"a": 2},
    [{"a": 2}, {"a": 99}],
    {"a": [2, 99]},
    {"a": 2, "b": "another"},
]


@pytest.mark.parametrize("data", DELETES, ids=str)
def test_delete_matches_on_the_key_alone(kinds: laminardb.Connection, data: Any) -> None:
    kinds.insert("k", {"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert kinds.delete("k", data) == 1
    assert sorted(kinds.sql("SELECT a FROM k").fetchall()) == [(1,), (3,)]
    assert kinds.delete("k", data) == 0


def test_delete_by_an_arrow_table(kinds: laminardb.Connection, pa: ModuleType) -> None:
    kinds.insert("k", {"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert kinds.delete("k", pa.table({"a": [2, 99]})) == 1
    assert sorted(kinds.sql("SELECT a FROM k").fetchall()) == [(1,), (3,)]


def test_delete_without_a_key_removes_one_equal_row_for_each(kinds: laminardb.Connection) -> None:
    kinds.insert("t", {"a": [1, 1, 1, None], "b": ["x", "x", "x", None]})
    assert kinds.delete("t", {"a": [1, 1], "b": ["x", "x"]}) == 2
    assert kinds.delete("t", [{"a": None, "b": None}]) == 1
    with fails(laminardb.IngestionError, 300):
        kinds.delete("t", {"a": [1, 1], "b": ["x", "x"]})
    assert kinds.sql("SELECT * FROM t").fetchall() == [(1, "x")]
    assert kinds.sql("SELECT n FROM vt").fetchone() == (1,)


def test_delete_from_a_source(kinds: laminardb.Connection) -> None:
    with fails(laminardb.SchemaError, 202):
        kinds.delete("s", {"a": 1})


FAILING = [
    lambda c: c.insert("t", [{"a": 1}, {"a": 1.5}]),
    lambda c: c.insert("k", [{"a": 1}, {"b": "x"}]),
    lambda c: c.insert_json("t", '[{"a": 1}, {"a": "x"}]'),
    lambda c: c.insert_csv("t", "a\n1\nx\n"),
    lambda c: c.delete("t", {"a": [7, 8], "b": ["x", "x"]}),
    lambda c: c.execute("INSERT INTO t VALUES (1, 'x'), ('y', 'z')"),
    lambda c: c.execute("INSERT INTO k VALUES (5, 'x'), (5, 'y')"),
    lambda c: c.execute("UPDATE t SET a = 1000 * CAST(b AS BIGINT)"),
]


@pytest.mark.parametrize("number", range(len(FAILING)))
def test_a_failed_write_stores_nothing(kinds: laminardb.Connection, number: int) -> None:
    kinds.insert("t", {"a": [7, 9], "b": ["x", "1"]})
    kinds.wait()
    before, events = kinds.current_time, kinds.total_events_processed
    with pytest.raises((laminardb.IngestionError, laminardb.QueryError)):
        FAILING[number](kinds)
    assert sorted(kinds.sql("SELECT * FROM t").fetchall()) == [(7, "x"), (9, "1")]
    assert (count(kinds, "k"), kinds.current_time, kinds.total_events_processed) == (0, before, events)
    assert kinds.insert("t", {"a": 1, "b": "y"}) == 1


def test_a_write_is_seen_by_every_later_read_whole_and_of_all_relations_at_one_time() -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=2)) as conn:
        conn.create_table("t", {"x": "int64"})
        conn.execute("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
        conn.execute("CREATE MATERIALIZED VIEW w AS SELECT n AS m FROM v")
        stop = threading.Event()
        seen: list[tuple[Any, ...]] = []

        def read() -> None:
            while not stop.is_set():
                seen.extend(conn.sql("SELECT n, m, (SELECT count(*) FROM t) FROM v, w").fetchall())

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for idx in range(1, 60):
            conn.insert("t", {"x": [idx] * 10})
            assert conn.sql("SELECT n, m, (SELECT count(*) FROM t) FROM v, w").fetchone() == (idx * 10,) * 3
        stop.set()
        for thread in threads:
            thread.join(60)
        assert all(n == m == rows and n % 10 == 0 for n, m, rows in seen)


def test_one_call_has_one_time(kinds: laminardb.Connection) -> None:
    sub = kinds.subscribe_stream("t")
    for write in (
        lambda: kinds.insert("t", [{"a": idx} for idx in range(100)]),
        lambda: kinds.execute("UPDATE t SET b = 'y'"),
        lambda: kinds.execute("DELETE FROM t WHERE a < 50"),
    ):
        before = kinds.current_time
        write()
        kinds.wait()
        assert kinds.current_time == before + 1
        batch = sub.next()
        assert batch is not None
        assert batch.time == before + 1
        assert sub.try_next() is None
