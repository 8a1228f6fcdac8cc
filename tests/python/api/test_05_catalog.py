"""Section 5.7 of the Python contract: catalog, metrics and control."""

from __future__ import annotations

import laminardb
import pytest
from expect import NEVER, fails


@pytest.fixture
def several(conn: laminardb.Connection) -> laminardb.Connection:
    """Relations of all kinds, in an order that no sorting gives."""
    for sql in (
        "CREATE TABLE zeta (a BIGINT PRIMARY KEY)",
        "CREATE SOURCE mid (a BIGINT)",
        "CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM mid",
        "CREATE SOURCE alpha (a BIGINT)",
        "CREATE VIEW plain AS SELECT a FROM alpha",
        "CREATE STREAM copies AS SELECT a FROM plain",
        "CREATE TABLE beta (a BIGINT)",
    ):
        conn.execute(sql)
    return conn


def test_lists_are_in_creation_order(several: laminardb.Connection) -> None:
    bases, views = ["zeta", "mid", "alpha", "beta"], ["sums", "copies"]
    assert several.list_tables() == several.tables() == bases
    assert several.list_streams() == several.materialized_views() == views
    assert [each.name for each in several.sources()] == bases
    assert [each.name for each in several.streams()] == views
    assert [each.name for each in several.all_source_metrics()] == bases
    assert [each.name for each in several.all_stream_metrics()] == views
    assert [each.name for each in several.topology().nodes] == [
        "zeta",
        "mid",
        "sums",
        "alpha",
        "plain",
        "copies",
        "beta",
    ]
    assert several.list_sinks() == several.sinks() == []
    assert (several.source_count, several.sink_count) == (4, 0)


def test_a_dropped_relation_is_off_all_lists(several: laminardb.Connection) -> None:
    several.execute("DROP SOURCE mid CASCADE")
    assert several.list_tables() == ["zeta", "alpha", "beta"]
    assert several.list_streams() == ["copies"]
    assert several.source_metrics("mid") is None
    assert several.stream_metrics("sums") is None
    assert several.source_count == 3


def test_numbers(several: laminardb.Connection) -> None:
    assert (several.pipeline_watermark, several.total_events_processed) == (NEVER, 0)
    several.insert("mid", {"a": [1, 2, 3]})
    several.insert("zeta", {"a": [1, 1]})
    several.execute("DELETE FROM zeta")
    several.execute("INSERT INTO beta VALUES (1)")
    assert several.total_events_processed == 3 + 2 + 1 + 1
    assert several.metrics().total_events_ingested == several.total_events_processed
    assert several.is_checkpoint_enabled is False
    for value in (several.source_count, several.sink_count, several.active_query_count, several.total_events_processed):
        assert type(value) is int


def test_active_queries_are_iterators_and_subscriptions(several: laminardb.Connection) -> None:
    assert several.active_query_count == 0
    several.sql("SELECT 1")
    assert several.active_query_count == 0
    subs = [several.subscribe("SELECT a FROM mid"), several.subscribe_stream("sums"), several.stream("SELECT 1")]
    assert several.active_query_count == 3
    for sub in subs:
        sub.cancel()
    assert several.active_query_count == 0


def test_the_metrics_of_a_source_are_there_at_once(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    metrics = conn.source_metrics("t")
    assert metrics is not None
    assert (metrics.name, metrics.total_events) == ("t", 0)


def test_metrics_of_what_is_of_another_kind(several: laminardb.Connection) -> None:
    assert several.source_metrics("sums") is None
    assert several.stream_metrics("mid") is None
    assert several.stream_metrics("plain") is None


def test_stats(several: laminardb.Connection) -> None:
    keys = ["name", "total_events", "pending", "capacity", "is_backpressured", "watermark", "utilization"]
    assert list(several.stats("mid")) == keys
    for unknown in ("nope", "sums", ""):
        assert several.stats(unknown) == {**dict.fromkeys(keys), "name": unknown}


def test_every_query_has_an_id(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    texts = ["SELECT 1 AS first", "SELECT 2 AS second", "SELECT 3 AS third", "SELECT a FROM t"]
    conn.sql(texts[0])
    iterator = conn.stream(texts[1])
    constant = conn.subscribe(texts[2])
    sub = conn.subscribe(texts[3])
    queries = conn.queries()
    assert [query.sql for query in queries] == texts
    assert [query.active for query in queries] == [False, True, True, True]
    assert [query.id for query in queries] == sorted({query.id for query in queries})
    assert all(type(query.id) is int for query in queries)
    assert len(list(iterator)) == len(list(constant)) == 1
    assert [query.active for query in conn.queries()] == [False, False, False, True]
    conn.cancel_query(queries[3].id)
    assert list(sub) == []
    assert [query.active for query in conn.queries()] == [False] * 4


def test_cancelling_an_iterator_a_subscription_and_what_is_over(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    iterator, sub, constant = (
        conn.stream("SELECT 1"),
        conn.subscribe("SELECT a FROM t"),
        conn.subscribe("SELECT 1 AS x"),
    )
    conn.sql("SELECT 4")
    for query in conn.queries():
        conn.cancel_query(query.id)
        conn.cancel_query(query.id)
    for each in (iterator, sub, constant):
        assert not each.is_active
        assert each.try_next() is None
        assert list(each) == []


def test_cancelling_what_was_never_given(conn: laminardb.Connection) -> None:
    for query_id in (0, 1, 10**18):
        with fails(laminardb.SchemaError, 200, "not found"):
            conn.cancel_query(query_id)
    with pytest.raises(OverflowError):
        conn.cancel_query(-1)
    for wrong in ("1", 1.0, None):
        with pytest.raises(TypeError):
            conn.cancel_query(wrong)  # type: ignore[arg-type]


def test_the_last_thousand_finished_queries_stay_listed(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    sub = conn.subscribe("SELECT a FROM t")
    for idx in range(1005):
        conn.sql(f"SELECT {idx} AS x")
    queries = conn.queries()
    assert len(queries) == 1001
    assert (queries[0].active, queries[0].sql) == (True, "SELECT a FROM t")
    assert [query.sql for query in (queries[1], queries[-1])] == ["SELECT 5 AS x", "SELECT 1004 AS x"]
    conn.cancel_query(2)
    assert sub.is_active
