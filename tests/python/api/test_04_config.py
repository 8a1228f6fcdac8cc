"""Section 4 of the Python contract: what a connection is opened with."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import laminardb
import pytest

FIELDS = (
    *("buffer_size", "storage_dir", "checkpoint_interval_ms", "table_spill_threshold", "workers", "lock_timeout"),
    "memory_limit",
)
COUNTS = ("buffer_size", "checkpoint_interval_ms", "table_spill_threshold", "workers")


def test_signature_and_defaults() -> None:
    config = laminardb.LaminarConfig()
    assert [getattr(config, name) for name in FIELDS] == [65536, None, None, 1_000_000, 1, 30.0, None]
    parameters = inspect.signature(laminardb.LaminarConfig).parameters
    assert tuple(parameters) == FIELDS
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_read_only(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(laminardb.LaminarConfig(), name, 1)


@pytest.mark.parametrize("name", COUNTS)
def test_numbers(name: str) -> None:
    with pytest.raises(OverflowError):
        laminardb.LaminarConfig(**{name: -1})  # type: ignore[arg-type]
    for wrong in ("1", 1.5, [1]):
        with pytest.raises(TypeError):
            laminardb.LaminarConfig(**{name: wrong})  # type: ignore[arg-type]
    if name != "workers":
        for right in (0, 2**40):
            assert getattr(laminardb.LaminarConfig(**{name: right}), name) == right  # type: ignore[arg-type]


def test_storage_dir_is_text_and_need_not_exist() -> None:
    config = laminardb.LaminarConfig(storage_dir="/does/not/exist")
    assert config.storage_dir == "/does/not/exist"
    assert repr(config) == (
        "LaminarConfig(buffer_size=65536, storage_dir='/does/not/exist', checkpoint_interval_ms=None, "
        "table_spill_threshold=1000000, workers=1)"
    )


@pytest.mark.parametrize(("interval", "enabled"), [(None, False), (0, True), (1000, True)])
def test_an_interval_enables_checkpoints(interval: int | None, enabled: bool, tmp_path: Any) -> None:
    config = laminardb.LaminarConfig(checkpoint_interval_ms=interval, storage_dir=str(tmp_path / "x"))
    with laminardb.open(":memory:", config=config) as conn:
        assert conn.is_checkpoint_enabled is enabled
        conn.start()
        assert conn.is_checkpoint_enabled is enabled


SLOW = "SELECT count(*) AS n FROM big a, big b, fed c WHERE (a.x + b.x * c.x) % 7 = 3"


def fed(buffer_size: int) -> laminardb.Connection:
    """A database whose view over `fed` works for long on each of its rows."""
    conn = laminardb.open(":memory:", config=laminardb.LaminarConfig(buffer_size=buffer_size))
    conn.create_table("big", {"x": "int64"})
    conn.insert("big", {"x": list(range(600))})
    conn.create_table("fed", {"x": "int64"})
    conn.execute(f"CREATE MATERIALIZED VIEW busy AS {SLOW}")
    return conn


def test_a_write_waits_while_the_buffer_is_full() -> None:
    with fed(2) as conn:
        conn.insert("fed", {"x": [1, 2]})
        metrics = conn.source_metrics("fed")
        assert metrics is not None
        assert (metrics.capacity, metrics.pending, metrics.is_backpressured, metrics.utilization) == (2, 2, True, 100.0)
        conn.insert("fed", {"x": 3})
        # It could only be accepted when those before it were through.
        pending = conn.stats("fed")["pending"]
        assert pending <= 1
        assert conn.sql("SELECT count(*) FROM fed").fetchone() == (3,)


def test_a_write_larger_than_the_buffer_is_taken_whole() -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(buffer_size=2)) as conn:
        conn.create_table("t", {"x": "int64"})
        assert conn.insert("t", {"x": list(range(1000))}) == 1000
        assert conn.insert("t", {"x": list(range(1000))}) == 1000
        assert conn.sql("SELECT count(*) FROM t").fetchone() == (2000,)


def test_no_bound() -> None:
    with fed(0) as conn:
        for idx in range(5):
            conn.insert("fed", {"x": idx})
        metrics = conn.source_metrics("fed")
        assert metrics is not None
        assert (metrics.capacity, metrics.is_backpressured, metrics.utilization) == (0, False, 0.0)
        assert metrics.pending > 0


@pytest.mark.parametrize("settings", [{"workers": 1}, {"workers": 3}, {"table_spill_threshold": 0}, {"buffer_size": 1}])
def test_answers_do_not_depend_on_settings(settings: dict[str, int]) -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(**settings)) as conn:  # type: ignore[arg-type]
        conn.create_table("t", {"k": "int64", "x": "int64"}, primary_key="k")
        conn.execute("CREATE MATERIALIZED VIEW v AS SELECT x, count(*) AS n FROM t GROUP BY x")
        for start in range(0, 300, 100):
            conn.insert("t", {"k": range(start, start + 100), "x": [idx % 7 for idx in range(100)]})
        conn.delete("t", {"k": list(range(0, 300, 2))})
        expected = conn.sql("SELECT x, count(*) FROM t GROUP BY x ORDER BY x").fetchall()
        assert conn.sql("SELECT * FROM v ORDER BY x").fetchall() == expected
        assert sum(n for _, n in expected) == 150


def test_a_waiting_write_of_another_thread_does_not_hold_readers() -> None:
    with fed(1) as conn:
        conn.insert("fed", {"x": 1})
        thread = threading.Thread(target=conn.insert, args=("fed", {"x": 2}))
        thread.start()
        assert conn.list_tables() == ["big", "fed"]
        assert conn.stats("fed")["capacity"] == 1
        thread.join(60)
        assert not thread.is_alive()
