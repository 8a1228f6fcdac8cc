"""Checkpoints and restore (API sections 4, 5.1, 5.7, 7 and 12)."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import operator
import os
import pickle
import queue
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import laminardb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_transaction import Elsewhere

Row = tuple[Any, ...]


def opened(storage: Path, interval: int = 0, **settings: Any) -> laminardb.Connection:
    config = laminardb.LaminarConfig(storage_dir=storage, checkpoint_interval_ms=interval, **settings)
    return laminardb.open(":memory:", config=config)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage directory that is not there yet."""
    return tmp_path / "not" / "there yet"


@pytest.fixture
def db(storage: Path) -> Iterator[laminardb.Connection]:
    """A database with checkpoints on request."""
    with opened(storage) as connection:
        yield connection


def rows(conn: laminardb.Connection, relation: str) -> list[Row]:
    return sorted(conn.sql(f'SELECT * FROM "{relation}"').fetchall(), key=repr)


def refused(call: Callable[..., object], *arguments: Any, code: int = 700) -> str:
    with pytest.raises(laminardb.LaminarError) as error:
        call(*arguments)
    assert error.value.code == code
    if code == 700:
        assert type(error.value) is laminardb.CheckpointError
        assert str(error.value).startswith("Checkpoint failed (700): ")
    return str(error.value)


def images(storage: Path) -> list[str]:
    return sorted(path.name for path in storage.iterdir() if path.name.startswith(("checkpoint_", "incomplete_")))


class TestConfiguration:
    """Section 4, and `is_checkpoint_enabled` of 5.7."""

    @pytest.mark.parametrize("interval", [0, 5, 2**40])
    def test_an_interval_enables_checkpoints_before_and_after_start(self, storage: Path, interval: int) -> None:
        with opened(storage, interval) as conn:
            assert conn.is_checkpoint_enabled is True
            conn.start()
            assert conn.is_checkpoint_enabled is True
            assert int(conn.checkpoint()) == 1

    def test_a_storage_directory_alone_does_not(self, storage: Path) -> None:
        with laminardb.open(":memory:", config=laminardb.LaminarConfig(storage_dir=storage)) as conn:
            assert conn.is_checkpoint_enabled is False
            for call in (conn.checkpoint, conn.restore):
                assert "not enabled" in refused(call)
            for text in ("CHECKPOINT", "RESTORE FROM CHECKPOINT 1", "RESTORE FROM CHECKPOINT LATEST"):
                refused(conn.execute, text)
        assert not storage.exists()

    def test_without_a_configuration_there_are_none(self, conn: laminardb.Connection) -> None:
        assert conn.is_checkpoint_enabled is False
        refused(conn.checkpoint)

    def test_the_directory_is_made_on_first_use(self, db: laminardb.Connection, storage: Path) -> None:
        db.start()
        refused(db.restore)
        assert not storage.exists()
        db.checkpoint()
        assert images(storage) == ["checkpoint_1"]

    def test_the_directory_of_a_path_is_the_path(self, tmp_path: Path) -> None:
        config = laminardb.LaminarConfig(checkpoint_interval_ms=0)
        with laminardb.open(tmp_path / "db", config=config) as conn:
            conn.checkpoint()
        assert images(tmp_path / "db") == ["checkpoint_1"]

    def test_a_storage_directory_goes_before_the_path(self, tmp_path: Path, storage: Path) -> None:
        config = laminardb.LaminarConfig(checkpoint_interval_ms=0, storage_dir=storage)
        with laminardb.open(tmp_path / "db", config=config) as conn:
            conn.checkpoint()
        assert images(storage) == ["checkpoint_1"]
        assert not (tmp_path / "db").exists()

    @pytest.mark.parametrize("path", [":memory:", ""])
    def test_in_memory_it_is_data_below_the_working_directory_of_the_open(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with laminardb.open(path, config=laminardb.LaminarConfig(checkpoint_interval_ms=0)) as conn:
            (tmp_path / "elsewhere").mkdir()
            monkeypatch.chdir(tmp_path / "elsewhere")
            conn.checkpoint()
        assert images(tmp_path / "data") == ["checkpoint_1"]

    def test_without_checkpoints_a_path_is_not_touched(self, tmp_path: Path) -> None:
        with laminardb.open(tmp_path / "db") as conn:
            conn.execute("CREATE TABLE t (a BIGINT)")
        assert not (tmp_path / "db").exists()


class TestResult:
    """CheckpointResult, section 7."""

    def test_it_is_as_good_as_its_int(self, db: laminardb.Connection) -> None:
        first, second = db.checkpoint(), db.checkpoint()
        assert (first.checkpoint_id, int(first), operator.index(second)) == (1, 1, 2)
        assert repr(first) == "CheckpointResult(checkpoint_id=1)"
        assert bool(first) is True
        assert first == 1
        assert first == first.checkpoint_id == first
        assert first != second
        assert first != "1"
        assert first < second
        assert first < 2
        assert operator.gt(2, first)
        assert second >= 2
        assert second <= second
        assert sorted([second, first]) == [1, 2]  # type: ignore[comparison-overlap]
        assert {first: "a"}[1] == "a"  # type: ignore[index]
        assert hash(second) == hash(2)
        assert list(range(3))[second] == 2
        with pytest.raises(TypeError):
            first < "1"  # type: ignore[operator]  # noqa: B015

    def test_only_checkpoint_makes_one(self) -> None:
        assert "CheckpointResult" in laminardb.__all__
        with pytest.raises(TypeError):
            laminardb.CheckpointResult()

    def test_in_a_status(self, db: laminardb.Connection) -> None:
        status = laminardb.CheckpointStatus(int(db.checkpoint()), db.is_checkpoint_enabled)
        assert status == pickle.loads(pickle.dumps(status)) == laminardb.CheckpointStatus(1, True)


class TestCheckpoint:
    """`checkpoint()`, section 7."""

    def test_before_start_and_when_nothing_changed(self, db: laminardb.Connection) -> None:
        assert [int(db.checkpoint()) for _ in range(2)] == [1, 2]
        db.start()
        assert int(db.checkpoint()) == 3

    def test_ids_increase_over_reopenings_and_the_newest_three_are_kept(self, storage: Path) -> None:
        for start in (1, 4, 7):
            with opened(storage) as conn:
                assert [int(conn.checkpoint()) for _ in range(3)] == [start, start + 1, start + 2]
            assert images(storage) == [f"checkpoint_{start + step}" for step in range(3)]
        shutil.rmtree(storage / "checkpoint_9")
        (storage / "checkpoint_8" / "manifest.json").write_text("damaged")
        with opened(storage) as conn:
            assert int(conn.checkpoint()) == 10

    def test_an_open_connection_holds_the_directory_from_first_use_to_close(self, storage: Path) -> None:
        with opened(storage) as idle, opened(storage) as first, opened(storage) as second:
            first.checkpoint()
            before = sorted(storage.rglob("*"))
            for call in (second.checkpoint, second.restore, idle.checkpoint):
                assert "in use" in refused(call)
            assert sorted(storage.rglob("*")) == before
            first.shutdown()
            refused(second.checkpoint)
            first.close()
            assert int(second.checkpoint()) == 2
            refused(idle.restore)

    def test_a_connection_that_is_dropped_lets_go(self, storage: Path) -> None:
        conn = opened(storage, 1)
        conn.execute("CREATE TABLE t (a BIGINT)")
        conn.start()
        conn.checkpoint()
        del conn
        with opened(storage) as other:
            assert int(other.checkpoint()) >= 2

    def test_a_directory_that_cannot_be_one_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/laminardb")):
            with opened(path) as conn:
                refused(conn.checkpoint)
                refused(conn.restore)
                conn.execute("CREATE TABLE t (a BIGINT)")
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_directory_that_was_removed_is_made_again(self, db: laminardb.Connection, storage: Path) -> None:
        db.checkpoint()
        shutil.rmtree(storage)
        assert int(db.checkpoint()) == 2
        assert images(storage) == ["checkpoint_2"]

    def test_what_a_killed_process_left_is_ignored_and_removed(self, storage: Path) -> None:
        (storage / "incomplete_4").mkdir(parents=True)
        (storage / "incomplete_4" / "relation_0.arrow").write_bytes(b"half")
        (storage / "mine").write_text("kept")
        with opened(storage) as conn:
            refused(conn.restore)
            assert int(conn.checkpoint()) == 5
            assert conn.restore() == 5
        assert images(storage) == ["checkpoint_5"]
        assert (storage / "mine").read_text() == "kept"

    def test_nobody_waits_for_the_disk(self, db: laminardb.Connection, storage: Path) -> None:
        db.execute("CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)")
        db.checkpoint()
        # A checkpoint cannot write to this file before somebody reads it, and cannot bring it to the disk then.
        os.mkfifo(storage / "last_checkpoint.new")
        failed: list[str] = []
        writing = threading.Thread(target=lambda: failed.append(refused(db.checkpoint)))
        writing.start()
        for number in range(100):
            db.insert("t", {"a": number})
            db.execute(f"CREATE TABLE t{number} (a BIGINT)")
            assert len(db.sql("SELECT * FROM t")) == number + 2
        assert writing.is_alive()
        (storage / "last_checkpoint.new").read_bytes()
        writing.join()
        assert len(failed) == 1
        (storage / "last_checkpoint.new").unlink()
        assert images(storage) == ["checkpoint_1"]
        assert db.checkpoint() == 2

    def test_an_image_is_of_one_moment(self, db: laminardb.Connection) -> None:
        db.execute("CREATE SOURCE one (n BIGINT); CREATE TABLE two (n BIGINT PRIMARY KEY)")
        over = threading.Event()

        def write() -> None:
            number = 0
            while not over.is_set():
                db.insert("one", {"n": number})
                db.insert("two", {"n": number})
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        taken = [db.checkpoint() for _ in range(20)]
        over.set()
        writer.join()
        for checkpoint in taken[-3:]:
            assert db.restore(checkpoint) == checkpoint
            one, two = rows(db, "one"), rows(db, "two")
            assert set(two) <= set(one)
            assert {n for (n,) in one} == set(range(len(one)))
            assert 0 <= len(one) - len(two) <= 1
            assert db.stats("one")["total_events"] == len(one)

    def test_many_threads_take_turns(self, db: laminardb.Connection) -> None:
        db.execute("CREATE TABLE t (a BIGINT)")
        ids: list[int] = []

        def take() -> None:
            for number in range(5):
                db.insert("t", {"a": number})
                ids.append(int(db.checkpoint()))

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ids) == list(range(1, 21))
        assert db.restore() == 20
        assert len(rows(db, "t")) == 20


CATALOGUE = """
    CREATE SOURCE "Sensors 1" (ts TIMESTAMP, "Device" VARCHAR NOT NULL, value DOUBLE DEFAULT 1.5,
                               WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
    CREATE SOURCE counted (n BIGINT, WATERMARK FOR n AS n - 3);
    CREATE TABLE rooms (device VARCHAR, room VARCHAR DEFAULT NULL, floor TINYINT, PRIMARY KEY (room, device));
    CREATE TABLE copied AS SELECT 1 AS one, 'a' AS letter UNION ALL SELECT 1, 'a';
    CREATE VIEW plain ("A", b) AS SELECT "Device", value * 2 FROM "Sensors 1"; -- a comment
    CREATE MATERIALIZED VIEW "Totals" AS
        SELECT "A", sum(b) AS total, count(*) AS n
        FROM plain GROUP BY "A";
    CREATE STREAM joined AS SELECT t.*, r.room FROM "Totals" t JOIN rooms r ON r.device = t."A";
    CREATE STREAM best AS SELECT "Device", value FROM "Sensors 1" ORDER BY value DESC LIMIT 2;
    CREATE STREAM lax AS SELECT CAST("Device" AS BIGINT) AS n FROM "Sensors 1" WITH ('on_error' = 'skip');
    CREATE STREAM strict AS SELECT CAST("Device" AS BIGINT) AS n FROM "Sensors 1"
"""


def fill(conn: laminardb.Connection) -> None:
    conn.execute(CATALOGUE)
    conn.create_table("Frame", {"Id": "uint64", "Price": "decimal(10,2)", "raw": "binary"}, primary_key="Id")
    conn.execute(
        "SELECT ?; CREATE VIEW chosen AS SELECT n, ? AS text FROM counted WHERE n > ? AND n < $5; SELECT ?, ?",
        [0, "ü", 1, 2, 9],
    )
    conn.execute("CREATE STREAM picked AS SELECT n FROM counted WHERE n = $which OR n IS NULL", {"which": 4})
    conn.execute("""INSERT INTO "Sensors 1" ("Device", ts) VALUES ('1', TIMESTAMP '2020-01-01'), ('2', NULL)""")
    conn.insert("Sensors 1", {"Device": "1", "value": -0.0})
    conn.insert("counted", {"n": [1, 4, 8, 12, None]})
    conn.execute(
        "INSERT INTO rooms VALUES ('1', 'hall', 1), ('2', 'attic', NULL); DELETE FROM rooms WHERE device = '2'"
    )
    conn.insert("Frame", {"Id": 2**64 - 1, "Price": decimal.Decimal("1.50"), "raw": b"\0\xff"})
    with conn.writer("rooms") as writer:
        writer.watermark(-7)


def overview(conn: laminardb.Connection) -> dict[str, Any]:
    """All that can be seen of a database, but counters of its process."""
    relations = conn.tables() + conn.list_streams() + ["plain", "chosen"]
    shown = {kind: conn.sql(f"SHOW {kind}").fetchall() for kind in ("SOURCES", "TABLES", "STREAMS", "VIEWS")}
    topology = conn.topology()
    return {
        "tables": conn.tables(),
        "streams": [(stream.name, stream.sql) for stream in conn.streams()],
        "sources": [(s.name, s.kind, s.primary_key, s.watermark_column) for s in conn.sources()],
        "columns": {name: conn.sql(f'DESCRIBE "{name}"').fetchall() for name in relations},
        "rows": {name: rows(conn, name) for name in relations},
        "order": conn.sql('SELECT * FROM "Sensors 1"').fetchall(),
        "stats": [conn.stats(name) for name in conn.tables()],
        "watermark": conn.pipeline_watermark,
        "events": conn.total_events_processed,
        "shown": shown,
        "edges": [(edge.from_node, edge.to_node) for edge in topology.edges],
        "nodes": [(node.name, node.node_type, node.sql) for node in topology.nodes],
        "errors": sorted(error["row"] for error in conn.errors("lax")),
    }


class TestRestore:
    """`restore()`, section 7."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_everything_is_there_again_in_a_new_process(self, storage: Path, workers: int) -> None:
        with opened(storage) as conn:
            fill(conn)
            before, time = overview(conn), conn.current_time
            assert before["rows"]["chosen"] == [(4, "ü"), (8, "ü")]
            taken = conn.checkpoint()
        with opened(storage, workers=workers) as conn:
            assert conn.restore() == taken
            assert overview(conn) == before
            assert conn.current_time == time

    def test_everything_is_as_it_was_in_the_same_process(self, db: laminardb.Connection) -> None:
        fill(db)
        before = overview(db)
        taken, time = db.checkpoint(), db.current_time
        db.execute("DROP TABLE copied; CREATE SOURCE copied (other VARCHAR); DROP STREAM best; DROP STREAM strict")
        db.insert("Sensors 1", {"Device": "not a number", "ts": dt.datetime(2030, 1, 1)})
        db.execute("TRUNCATE rooms; CREATE TABLE more (a BIGINT)")
        assert overview(db) != before
        for _ in range(3):
            assert db.current_time > time
            time = db.current_time
            assert db.restore(taken) == 1
            assert overview(db) == before

    def test_what_is_restored_goes_on(self, storage: Path) -> None:
        with opened(storage) as conn:
            fill(conn)
            conn.checkpoint()
        with opened(storage) as conn:
            conn.restore()
            conn.insert("Sensors 1", {"Device": "1"})
            assert rows(conn, "joined") == [("1", 6.0, 3, "hall")]
            assert conn.sql("SELECT value FROM best").fetchall() == [(1.5,), (1.5,)]
            refused(conn.execute, "INSERT INTO rooms VALUES ('1', 'hall', 2)", code=400)
            refused(conn.insert, "Sensors 1", {"value": 1.0}, code=300)
            conn.insert("Sensors 1", {"Device": "x"})
            refused(conn.sql, "SELECT * FROM strict", code=400)
            assert len(conn.errors("lax")) == 1
            conn.insert("counted", {"n": [5, 4, 20]})
            assert rows(conn, "chosen") == [(4, "ü"), (4, "ü"), (5, "ü"), (8, "ü")]
            assert rows(conn, "picked") == [(4,), (4,), (None,)]
            assert conn.stats("counted")["watermark"] == 17
            assert conn.stats("rooms")["watermark"] == -7
            refused(conn.execute, "DROP TABLE rooms", code=400)
            conn.execute("DROP TABLE rooms CASCADE")
            assert conn.checkpoint() == 2
            conn.restore(1)
            assert rows(conn, "joined") == [("1", 3.0, 2, "hall")]

    def test_a_view_over_failing_rows_fails_again(self, storage: Path) -> None:
        with opened(storage) as conn:
            conn.execute("CREATE SOURCE s (a VARCHAR); CREATE STREAM n AS SELECT CAST(a AS BIGINT) AS n FROM s")
            conn.insert("s", {"a": "x"})
            before = refused(conn.sql, "SELECT * FROM n", code=400)
            conn.checkpoint()
        with opened(storage) as conn:
            conn.restore()
            assert refused(conn.sql, "SELECT * FROM n", code=400) == before

    def test_times_go_on_above_the_image_and_never_back(self, storage: Path) -> None:
        with opened(storage) as conn:
            conn.execute("CREATE TABLE t (a BIGINT); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t")
            for number in range(1, 31):
                conn.insert("t", {"a": number})
                conn.wait()
            assert conn.current_time == 30
            conn.checkpoint()
        with opened(storage) as conn:
            conn.execute("CREATE TABLE other (a BIGINT)")
            conn.insert("other", {"a": 1})
            assert conn.current_time == 1
            conn.restore()
            assert conn.current_time == 30
            sub = conn.subscribe_stream("n", snapshot=True)
            first = sub.next()
            assert first is not None
            assert (first.time, first.is_snapshot, first.fetchall()) == (30, True, [(30,)])
            conn.insert("t", {"a": 31})
            change = sub.next()
            assert change is not None
            assert (change.time, change.ops) == (31, ["UpdateDelete", "UpdateInsert"])
            assert conn.wait() == 31
            conn.restore()
            assert conn.current_time == 32
            assert conn.metrics().total_cycles == 32

    def test_subscriptions_end_with_501_after_what_is_pending(self, db: laminardb.Connection) -> None:
        db.execute("CREATE TABLE t (a BIGINT); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t")
        taken = db.checkpoint()
        errors: queue.Queue[str] = queue.Queue()
        subscriptions = [
            db.subscribe_stream("t"),
            db.subscribe_stream("n"),
            db.subscribe("SELECT a + 1 AS b FROM t", snapshot=False),
        ]
        callback = db.subscribe_stream_callback("n", lambda batch: None, errors.put)
        waiting = db.subscribe_stream("t")
        outcome: queue.Queue[Any] = queue.Queue()

        def wait() -> None:
            waiting.next()
            outcome.put(None)
            try:
                waiting.next()
            except laminardb.SubscriptionError as error:
                outcome.put(error.code)

        thread = threading.Thread(target=wait)
        thread.start()
        db.insert("t", {"a": 1})
        assert outcome.get(timeout=60) is None
        db.restore(taken)
        for sub in subscriptions:
            assert sub.next() is not None
            text = refused(sub.next, code=501)
            assert "restored from checkpoint 1" in text
            assert sub.next() is None
            assert not sub.is_active
        assert outcome.get(timeout=60) == 501
        assert "501" in errors.get(timeout=60)
        callback.wait()
        thread.join()
        assert db.active_query_count == 0

    def test_a_writer_of_before_fails_and_says_why(self, db: laminardb.Connection) -> None:
        db.execute("CREATE SOURCE s (a BIGINT)")
        taken = db.checkpoint()
        writer = db.writer("s")
        writer.insert({"a": 1})
        db.restore(taken)
        assert "was replaced since the writer was made" in refused(writer.insert, {"a": 2}, code=200)
        refused(writer.watermark, 5, code=200)
        writer.close()
        assert rows(db, "s") == []
        assert db.stats("s")["watermark"] == -(2**63)
        with db.writer("s") as fresh:
            fresh.insert({"a": 3})
        assert rows(db, "s") == [(3,)]

    def test_an_iterator_of_before_goes_on(self, db: laminardb.Connection) -> None:
        db.create_table("t", {"a": "int64"})
        taken = db.checkpoint()
        db.insert("t", {"a": list(range(200_000))})
        stream = db.stream("SELECT a FROM t")
        got = next(stream).num_rows
        db.restore(taken)
        assert got + sum(batch.num_rows for batch in stream) == 200_000
        assert rows(db, "t") == []

    def test_readers_and_writers_meanwhile_see_one_or_the_other(self, db: laminardb.Connection) -> None:
        db.execute("""
            CREATE TABLE t (a BIGINT PRIMARY KEY); CREATE TABLE u (a BIGINT PRIMARY KEY);
            CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t
        """)
        db.insert("t", {"a": list(range(100))})
        db.insert("u", {"a": list(range(100))})
        taken = db.checkpoint()
        over = threading.Event()
        wrong: list[object] = []

        def read() -> None:
            while not over.is_set():
                try:
                    seen = db.sql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u), (SELECT n FROM n)")
                    t, u, n = seen.fetchall()[0]
                    if not (t == n and 0 <= t - u <= 1):
                        wrong.append((t, u, n))
                except laminardb.LaminarError as error:
                    wrong.append(error)

        def write() -> None:
            number = 100
            while not over.is_set():
                try:
                    db.insert("t", {"a": number})
                    db.delete("t", {"a": number})
                except laminardb.LaminarError as error:
                    if error.code not in (200, 400):
                        wrong.append(error)
                number += 1

        threads = [threading.Thread(target=target) for target in (read, read, write)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            db.restore(taken)
        over.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        db.restore(taken)
        assert rows(db, "n") == [(100,)]

    def test_the_argument_is_an_id(self, db: laminardb.Connection) -> None:
        taken = db.checkpoint()
        for given_as in (1, taken, True):
            assert db.restore(given_as) == 1
            assert db.restore(checkpoint_id=given_as) == 1
        with pytest.raises(OverflowError):
            db.restore(-1)
        for bad in ("1", 1.0, "LATEST"):
            with pytest.raises(TypeError):
                db.restore(bad)  # type: ignore[arg-type]
        assert "checkpoint 0 not found" in refused(db.restore, 0)
        assert "there are 1" in refused(db.restore, 2**63)

    def test_of_an_empty_database(self, db: laminardb.Connection) -> None:
        taken = db.checkpoint()
        fill(db)
        db.restore(taken)
        assert (db.tables(), db.list_streams(), db.sources(), db.total_events_processed) == ([], [], [], 0)
        fill(db)


class TestTransactions:
    """Sections 5.4 and 5.7: with a transaction of one thread under way."""

    @pytest.fixture
    def other(self, db: laminardb.Connection) -> Iterator[Elsewhere]:
        """A thread with a transaction under way, which wrote to relations of each kind."""
        db.execute(
            """
            CREATE TABLE keyed (k BIGINT PRIMARY KEY, v BIGINT);
            CREATE TABLE bag (v BIGINT);
            CREATE SOURCE source (v BIGINT);
            CREATE VIEW total AS SELECT count(*) AS n, sum(v) AS v FROM keyed;
            INSERT INTO keyed VALUES (1, 10), (2, 20);
            INSERT INTO bag VALUES (1), (1);
            INSERT INTO source VALUES (5)
            """
        )
        thread = Elsewhere()
        for text in (
            "BEGIN",
            "UPDATE keyed SET v = 11 WHERE k = 1; DELETE FROM keyed WHERE k = 2; INSERT INTO keyed VALUES (3, 30)",
            "DELETE FROM bag; INSERT INTO source VALUES (6)",
        ):
            thread.do(lambda text=text: db.execute(text))
        yield thread
        thread.stop()

    COMMITTED = ([(1, 10), (2, 20)], [(1,), (1,)], [(5,)], [(2, 30)])

    def contents(self, conn: laminardb.Connection) -> tuple[list[Row], ...]:
        return tuple(rows(conn, name) for name in ("keyed", "bag", "source", "total"))

    def test_an_image_holds_what_was_committed(self, db: laminardb.Connection, other: Elsewhere) -> None:
        assert db.checkpoint() == 1
        other.do(lambda: db.execute("COMMIT"))
        assert self.contents(db) == ([(1, 11), (3, 30)], [], [(5,), (6,)], [(2, 41)])
        assert db.restore() == 1
        assert self.contents(db) == self.COMMITTED

    def test_none_is_taken_or_restored_inside(self, db: laminardb.Connection, other: Elsewhere) -> None:
        db.checkpoint()
        for call in (db.checkpoint, db.restore, lambda: db.execute("CHECKPOINT")):
            with pytest.raises(laminardb.QueryError, match="inside a transaction"):
                other.do(call)
        other.do(lambda: db.execute("ROLLBACK"))
        assert self.contents(db) == self.COMMITTED

    def test_a_restore_waits_for_its_end(self, db: laminardb.Connection, other: Elsewhere) -> None:
        db.checkpoint()
        restoring = Elsewhere()
        restoring.begin(db.restore)
        assert restoring.is_waiting()
        other.do(lambda: db.execute("COMMIT"))
        assert restoring.end() == 1
        restoring.stop()
        assert self.contents(db) == self.COMMITTED

    def test_a_write_that_waits_for_its_end_may_find_its_table_replaced(
        self, db: laminardb.Connection, other: Elsewhere
    ) -> None:
        db.checkpoint()
        threads = [Elsewhere() for _ in range(2)]
        threads[0].begin(db.restore)
        assert threads[0].is_waiting()
        threads[1].begin(lambda: db.insert("bag", {"v": 7}))
        assert threads[1].is_waiting()
        other.do(lambda: db.execute("ROLLBACK"))
        assert threads[0].end() == 1
        added, reason = 0, ""
        try:
            added = threads[1].end()
        except laminardb.LaminarError as error:
            reason = str(error)
        for thread in threads:
            thread.stop()
        assert added == 1 or "dropped meanwhile" in reason
        keyed, bag, source, total = self.contents(db)
        assert (keyed, source, total) == (self.COMMITTED[0], self.COMMITTED[2], self.COMMITTED[3])
        # It was written before the restore, or after it, or its table was gone.
        assert bag in ([[*self.COMMITTED[1], (7,)], self.COMMITTED[1]] if added else [self.COMMITTED[1]])


class TestDamage:
    """All or nothing, section 7."""

    @pytest.fixture
    def image(self, db: laminardb.Connection, storage: Path) -> Path:
        """An image of a database that has gone on since."""
        fill(db)
        db.checkpoint()
        db.execute("DROP STREAM best; CREATE TABLE more AS SELECT 1 AS a")
        return storage / "checkpoint_1"

    def check_refused(self, db: laminardb.Connection) -> None:
        time, names = db.current_time, db.tables() + db.list_streams()
        totals = rows(db, "Totals")
        for which in (1, None):
            refused(db.restore, which)
        assert (db.current_time, db.tables() + db.list_streams()) == (time, names)
        assert rows(db, "Totals") == totals

    def test_a_changed_bit_in_any_file(self, db: laminardb.Connection, image: Path) -> None:
        seed = random.randrange(2**32)
        print("seed", seed)
        generator = random.Random(seed)
        files = sorted(image.iterdir())
        assert len(files) > 8
        for path in files:
            whole = path.read_bytes()
            for _ in range(10):
                damaged = bytearray(whole)
                damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
                path.write_bytes(damaged)
                self.check_refused(db)
            path.write_bytes(whole)
        assert db.restore() == 1

    def test_files_that_are_cut_gone_or_others(self, db: laminardb.Connection, image: Path) -> None:
        for path in sorted(image.iterdir()):
            whole = path.read_bytes()
            for damaged in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"\0", whole[1:]):
                path.write_bytes(damaged)
                self.check_refused(db)
            path.unlink()
            self.check_refused(db)
            path.mkdir()
            self.check_refused(db)
            path.rmdir()
            path.write_bytes(whole)
        first, second = image / "relation_0.arrow", image / "relation_1.arrow"
        one, two = first.read_bytes(), second.read_bytes()
        first.write_bytes(two)
        second.write_bytes(one)
        self.check_refused(db)
        first.write_bytes(one)
        second.write_bytes(two)
        assert db.restore(1) == 1

    def test_the_newest_image_is_not_passed_over(self, db: laminardb.Connection, image: Path) -> None:
        newest = image.with_name(f"checkpoint_{int(db.checkpoint())}")
        (newest / "manifest.json").unlink()
        assert "checkpoint_2" in refused(db.restore)
        assert db.restore(1) == 1

    def test_manifests_are_json(self, image: Path, pa: ModuleType) -> None:
        manifest = json.loads((image / "manifest.json").read_text())["manifest"]
        assert (manifest["format"], manifest["id"]) == (1, 1)
        assert [entry["name"] for entry in manifest["entries"]][:3] == ["Sensors 1", "counted", "rooms"]
        assert pa.ipc.open_file(image / "relation_3.arrow").read_all().to_pylist() == [{"one": 1, "letter": "a"}] * 2


class TestStatements:
    """Section 12."""

    def test_results(self, db: laminardb.Connection) -> None:
        db.execute("CREATE TABLE t (a BIGINT)")
        taken = db.execute("CHECKPOINT")
        assert (taken.result_type, taken.ddl_type, taken.ddl_object) == ("ddl", "CHECKPOINT", "checkpoint_1")
        assert (taken.rows_affected, taken.to_query_result()) == (0, None)
        assert repr(taken) == "ExecuteResult(ddl, CHECKPOINT checkpoint_1)"
        for text in ("RESTORE FROM CHECKPOINT 1", "restore from checkpoint latest;"):
            done = db.execute(text)
            assert (done.result_type, done.ddl_type, done.ddl_object) == ("ddl", "RESTORE", "checkpoint_1")
        db.execute("INSERT INTO t VALUES (1); CHECKPOINT; TRUNCATE t; RESTORE FROM CHECKPOINT 2")
        assert rows(db, "t") == [(1,)]

    def test_errors(self, db: laminardb.Connection) -> None:
        refused(db.execute, "RESTORE FROM CHECKPOINT LATEST")
        refused(db.execute, "RESTORE FROM CHECKPOINT 7")
        for text in ("RESTORE", "RESTORE FROM CHECKPOINT", "RESTORE FROM CHECKPOINT x", "CHECKPOINT 1"):
            refused(db.execute, text, code=401)
        for text in ("CHECKPOINT", "RESTORE FROM CHECKPOINT LATEST"):
            for call in (db.query, db.sql, db.stream, db.subscribe):
                refused(call, text, code=400)
        assert db.checkpoint() == 1


class TestLifecycle:
    """Section 5.1."""

    def test_after_close_and_shutdown(self, storage: Path) -> None:
        conn = opened(storage)
        conn.execute("CREATE TABLE t (a BIGINT)")
        conn.checkpoint()
        conn.shutdown()
        for call in (conn.checkpoint, conn.restore):
            refused(call, code=901)
        refused(conn.execute, "CHECKPOINT", code=901)
        assert conn.is_checkpoint_enabled is True
        conn.close()
        for closed in (conn.checkpoint, conn.restore, lambda: conn.is_checkpoint_enabled):
            assert refused(closed, code=101) == "Connection is closed"
        assert images(storage) == ["checkpoint_1"]

    def test_a_failure_of_arguments_comes_after_the_check_for_closed(self, storage: Path) -> None:
        conn = opened(storage)
        conn.close()
        refused(conn.restore, 1, code=101)

    def test_close_ends_a_checkpoint(self, storage: Path) -> None:
        conn = opened(storage)
        conn.create_table("t", {"a": "int64"})
        conn.insert("t", {"a": range(2_000_000)})
        outcome: list[object] = []
        taking = threading.Event()

        def take() -> None:
            taking.set()
            try:
                while True:
                    outcome.append(conn.checkpoint())
            except laminardb.ConnectionError as error:
                outcome.append(error.code)

        thread = threading.Thread(target=take)
        thread.start()
        taking.wait()
        conn.close()
        # Nobody holds the directory any more, and what there is in it is whole.
        with opened(storage) as other:
            other.checkpoint()
            assert not any(name.startswith("incomplete") for name in images(storage))
            for name in images(storage)[:-1]:
                other.restore(int(name.removeprefix("checkpoint_")))
                assert len(other.sql("SELECT * FROM t")) == 2_000_000
        thread.join()
        assert outcome[-1] == 101


class TestTimed:
    """`checkpoint_interval_ms`, section 4."""

    def test_one_is_taken_when_something_changed(self, storage: Path) -> None:
        with opened(storage, 1) as conn:
            conn.execute("CREATE TABLE t (a BIGINT)")
            conn.start()
            taken = 0
            # Ends when one was taken that nobody asked for.
            while (next_id := int(conn.checkpoint())) == taken + 1:
                taken = next_id
                conn.insert("t", {"a": taken})
            conn.shutdown()
        with opened(storage) as conn:
            conn.restore()
            assert {a for (a,) in rows(conn, "t")} >= set(range(1, taken + 1))

    def test_none_is_taken_before_start_or_when_nothing_changed(self, storage: Path) -> None:
        with opened(storage, 1) as conn:
            conn.execute("CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)")
            for _ in range(100):
                conn.sql("SELECT count(*) FROM t")
            assert not storage.exists()
            assert conn.checkpoint() == 1
            conn.start()
            for _ in range(100):
                conn.sql("SELECT count(*) FROM t")
            assert conn.checkpoint() == 2

    def test_zero_is_only_on_request(self, storage: Path) -> None:
        with opened(storage, 0) as conn:
            conn.start()
            for number in range(50):
                conn.execute(f"CREATE TABLE t{number} (a BIGINT)")
            assert not storage.exists()

    def test_a_failure_is_told_once_to_the_hook_of_what_nobody_can_catch(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: queue.Queue[Any] = queue.Queue()
        monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.put(unraisable.exc_value))
        (tmp_path / "file").write_text("mine")
        with opened(tmp_path / "file", 1) as conn:
            conn.start()
            conn.execute("CREATE TABLE t (a BIGINT)")
            error = told.get(timeout=60)
            assert type(error) is laminardb.CheckpointError
            assert error.code == 700
            for number in range(50):
                conn.insert("t", {"a": number})
            text = refused(conn.checkpoint)
        assert str(error) == text
        assert told.empty()

    def test_with_two_starts_and_a_shutdown(self, storage: Path) -> None:
        with opened(storage, 1) as conn:
            conn.start()
            conn.start()
            conn.shutdown()
            conn.shutdown()
            refused(conn.start, code=901)

    def test_an_interval_without_end(self, storage: Path) -> None:
        with opened(storage, 2**64 - 1) as conn:
            conn.start()
            assert conn.checkpoint() == 1


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Raises KeyboardInterrupt in the main thread after so many seconds."""
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, handler)


class TestSignalsAndForks:
    """Section 16."""

    def test_ctrl_c_ends_a_checkpoint_and_leaves_no_image(
        self, db: laminardb.Connection, storage: Path, alarm: Callable[[float], None], pa: ModuleType
    ) -> None:
        db.create_table("t", {"a": "int64", "b": "int64"})
        column = pa.array(range(6_000_000))
        db.insert("t", pa.table({"a": column, "b": column}))
        alarm(0.01)
        with pytest.raises(KeyboardInterrupt):
            db.checkpoint()
        assert images(storage) == []
        alarm(0.01)
        with pytest.raises(KeyboardInterrupt):
            db.execute("CHECKPOINT")
        assert images(storage) == []
        assert db.checkpoint() == 1
        db.insert("t", {"a": 1})
        alarm(0.01)
        with pytest.raises(KeyboardInterrupt):
            db.restore()
        assert len(db.sql("SELECT 1 FROM t")) == 6_000_001
        assert db.restore() == 1
        assert len(db.sql("SELECT 1 FROM t")) == 6_000_000

    def test_a_forked_child_may_not_and_does_not_keep_the_directory(self, storage: Path) -> None:
        conn = opened(storage)
        conn.checkpoint()
        answers, answer = os.pipe()
        go, let_go = os.pipe()
        child = os.fork()
        if child == 0:
            codes = []
            for call in (conn.checkpoint, conn.restore):
                try:
                    call()
                except laminardb.ConnectionError as error:
                    codes.append(error.code)
            os.write(answer, f"{codes}\n".encode())
            os.read(go, 1)
            os._exit(0)
        try:
            assert os.read(answers, 100) == b"[102, 102]\n"
            assert conn.checkpoint() == 2
            conn.close()
            with opened(storage) as other:
                assert other.checkpoint() == 3
        finally:
            os.write(let_go, b"x")
            os.waitpid(child, 0)
            for end in (answers, answer, go, let_go):
                os.close(end)


KILLED = """
import sys, threading, laminardb

config = laminardb.LaminarConfig(storage_dir=sys.argv[1], checkpoint_interval_ms=1)
conn = laminardb.open(":memory:", config=config)
try:
    conn.restore()
except laminardb.CheckpointError:
    conn.execute('''
        CREATE SOURCE one (n BIGINT); CREATE TABLE two (n BIGINT PRIMARY KEY);
        CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS n, max(n) AS last FROM one''')
start = conn.sql("SELECT count(*) FROM one").fetchall()[0][0]
conn.execute("INSERT INTO two SELECT n FROM one EXCEPT SELECT n FROM two")

def write():
    number = start
    while True:
        conn.insert("one", {"n": number})
        conn.insert("two", {"n": number})
        number += 1

threading.Thread(target=write, daemon=True).start()
conn.start()
while True:
    print(int(conn.checkpoint()), conn.sql("SELECT count(*) FROM two").fetchall()[0][0], flush=True)
"""


def test_killed_at_any_moment_the_newest_image_is_whole(storage: Path) -> None:
    generator = random.Random(7)
    last_id = known = 0
    for _ in range(6):
        arguments = [sys.executable, "-c", KILLED, str(storage)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = []
            for _ in range(generator.randrange(1, 8)):
                said.append([int(word) for word in process.stdout.readline().split()])
            process.kill()
            # What it could still say counts, too, but for a line that was cut.
            rest = process.stdout.read().splitlines(keepends=True)
            said += [[int(word) for word in line.split()] for line in rest if line.endswith("\n")]
        ids = [last_id, *(checkpoint for checkpoint, _ in said)]
        assert ids == sorted(set(ids))
        with opened(storage) as conn:
            restored = conn.restore()
            assert restored >= ids[-1]
            one, two = rows(conn, "one"), rows(conn, "two")
            assert {n for (n,) in one} == set(range(len(one)))
            assert set(two) <= set(one)
            assert 0 <= len(one) - len(two) <= 1
            assert rows(conn, "counts") == [(len(one), len(one) - 1 if one else None)]
            assert len(one) >= known
            known = len(one)
            last_id = int(conn.checkpoint())
            assert last_id > restored
        assert len(images(storage)) == 3 or last_id < 3


NAMES = ["a", "B", "c d"]


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, Any]]:
    name, number = st.sampled_from(NAMES), st.integers(0, 5)
    step = st.one_of(
        st.tuples(st.just("create"), st.tuples(name, st.booleans())),
        st.tuples(st.just("drop"), name),
        st.tuples(st.just("insert"), st.tuples(name, st.lists(number, min_size=1, max_size=4))),
        st.tuples(st.just("delete"), st.tuples(name, number)),
        st.tuples(st.just("view"), name),
        st.tuples(st.sampled_from(["checkpoint", "restore", "reopen"]), st.integers(0, 3)),
    )
    return draw(st.lists(step, max_size=25))


class Model:
    """Tables as dicts of key and count, and which of them have a view that counts them."""

    def __init__(self) -> None:
        self.tables: dict[str, tuple[bool, dict[int, int]]] = {}
        self.views: list[str] = []

    def copy(self) -> Model:
        other = Model()
        other.tables = {name: (keyed, dict(held)) for name, (keyed, held) in self.tables.items()}
        other.views = list(self.views)
        return other

    def check(self, conn: laminardb.Connection) -> None:
        assert conn.tables() == list(self.tables)
        assert conn.list_streams() == [f"count {name}" for name in self.views]
        for name, (_, held) in self.tables.items():
            assert rows(conn, name) == [(key,) for key, count in sorted(held.items()) for _ in range(count)]
            if name in self.views:
                total = sum(held.values())
                assert rows(conn, f"count {name}") == ([(total,)])


def apply(conn: laminardb.Connection, model: Model, kind: str, given: Any) -> None:
    """One definition or write, on both."""
    name = given if isinstance(given, str) else given[0]
    there = name in model.tables
    if kind == "create" and not there:
        conn.execute(f'CREATE TABLE "{name}" (k BIGINT{" PRIMARY KEY" if given[1] else ""})')
        model.tables[name] = (given[1], {})
    elif kind == "drop" and there:
        conn.execute(f'DROP TABLE "{name}" CASCADE')
        del model.tables[name]
        model.views = [view for view in model.views if view != name]
    elif kind == "view" and there and name not in model.views:
        conn.execute(f'CREATE STREAM "count {name}" AS SELECT count(*) AS n FROM "{name}"')
        model.views.append(name)
    elif kind == "insert" and there:
        conn.insert(name, {"k": given[1]})
        keyed, held = model.tables[name]
        for key in given[1]:
            held[key] = 1 if keyed else held.get(key, 0) + 1
    elif kind == "delete" and there:
        conn.execute(f'DELETE FROM "{name}" WHERE k = {given[1]}')
        model.tables[name][1].pop(given[1], None)


@settings(max_examples=40, deadline=None)
@given(plan=steps())
def test_any_history_goes_back_to_any_image(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[str, Any]]
) -> None:
    storage = tmp_path_factory.mktemp("history")
    conn, model = opened(storage), Model()
    kept: dict[int, Model] = {}
    time = 0
    for kind, given_to in plan:
        if kind == "checkpoint":
            taken = int(conn.checkpoint())
            assert taken > max(kept, default=0)
            kept = dict([*kept.items(), (taken, model.copy())][-3:])
        elif kind == "reopen":
            conn.close()
            conn, model, time = opened(storage), Model(), 0
        elif kind == "restore" and kept:
            which = sorted(kept)[given_to % len(kept)]
            assert conn.restore(which) == which
            model = kept[which].copy()
        elif kind == "restore":
            refused(conn.restore)
        else:
            apply(conn, model, kind, given_to)
        assert conn.current_time >= time
        time = conn.current_time
        model.check(conn)
    conn.close()
