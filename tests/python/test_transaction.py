"""Transactions (API sections 5.4, 5.1, 8 and 12)."""

# ruff: noqa: PT012 - the blocks that must raise are transactions.

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import laminardb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laminardb import _laminardb, codes

Call = Callable[[], Any]


@pytest.fixture
def bank(conn: laminardb.Connection) -> laminardb.Connection:
    """A keyed table, a table without key and a source, with views over them."""
    conn.execute(
        """
        CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT);
        CREATE TABLE b (v BIGINT);
        CREATE SOURCE s (v BIGINT);
        CREATE VIEW every AS SELECT v FROM t UNION ALL SELECT v FROM b UNION ALL SELECT v FROM s;
        CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(v) AS total FROM every;
        INSERT INTO t VALUES (1, 100), (2, 0)
        """
    )
    return conn


def rows(conn: laminardb.Connection, table: str = "t") -> list[tuple[Any, ...]]:
    return sorted(conn.sql(f"SELECT * FROM {table}").fetchall())


class Elsewhere:
    """A thread that makes one call after the other."""

    def __init__(self) -> None:
        self.asked, self.answered = threading.Semaphore(0), threading.Semaphore(0)
        self.call: Call | None = None
        self.answer: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self) -> None:
        while self.asked.acquire() and self.call is not None:
            try:
                self.answer, self.error = self.call(), None
            except BaseException as error:
                self.answer, self.error = None, error
            self.answered.release()

    def begin(self, call: Call) -> None:
        self.call = call
        self.asked.release()

    def end(self) -> Any:
        assert self.answered.acquire(timeout=60), "it waits for ever"
        if self.error is not None:
            raise self.error
        return self.answer

    def is_waiting(self) -> bool:
        return not self.answered.acquire(timeout=0.2)

    def do(self, call: Call) -> Any:
        self.begin(call)
        return self.end()

    def stop(self) -> None:
        self.call = None
        self.asked.release()
        self.thread.join(60)


@pytest.fixture
def elsewhere() -> Any:
    other = Elsewhere()
    yield other
    other.stop()


def refused(call: Call, code: int = codes.QUERY_FAILED, text: str = "transaction") -> None:
    with pytest.raises(laminardb.LaminarError) as error:
        call()
    assert error.value.code == code
    assert text in str(error.value)


# "Context manager yielding the connection: commit on exit, roll back on exception (which propagates)."


def test_the_block_is_given_the_connection_and_commits_at_its_end(bank: laminardb.Connection) -> None:
    before = bank.wait()
    with bank.transaction() as tx:
        assert tx is not bank
        assert (type(tx), repr(tx)) == (laminardb.Connection, "Connection(open)")
        assert tx.insert("t", {"id": 3, "v": 5}) == 1
        tx.insert("b", [{"v": 1}, {"v": 2}])
        assert bank.current_time == before
    assert rows(bank) == [(1, 100), (2, 0), (3, 5)]
    assert rows(bank, "total") == [(5, 108)]
    assert bank.current_time == before + 1


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, laminardb.QueryError, SystemExit])
def test_an_exception_rolls_back_and_goes_on(bank: laminardb.Connection, raised: type[BaseException]) -> None:
    before = bank.wait()
    with pytest.raises(raised) as error, bank.transaction():
        bank.insert("t", {"id": 1, "v": 5})
        bank.insert("s", {"v": 5})
        raise raised("mine")
    assert error.value.args == ("mine",)
    assert (rows(bank), rows(bank, "s"), rows(bank, "total")) == ([(1, 100), (2, 0)], [], [(2, 100)])
    assert bank.wait() == before
    bank.insert("s", {"v": 1})


def test_an_empty_transaction_takes_no_time(bank: laminardb.Connection) -> None:
    before = bank.wait()
    with bank.transaction():
        pass
    with bank.transaction():
        bank.upsert("t", {"id": 1, "v": 100})
        assert bank.delete("t", {"id": 77}) == 0
    assert bank.wait() == before


def test_it_can_be_used_again_and_is_no_public_class(bank: laminardb.Connection) -> None:
    tx = bank.transaction()
    for value in (7, 8):
        with tx:
            bank.upsert("t", {"id": 9, "v": value})
    assert (9, 8) in rows(bank)
    assert type(tx) is _laminardb._Transaction
    assert "_Transaction" not in laminardb.__all__
    with pytest.raises(TypeError):
        _laminardb._Transaction()  # type: ignore[call-arg]


def test_the_connection_outlives_its_name() -> None:
    tx = laminardb.open(":memory:").transaction()
    gc.collect()
    with tx as conn:
        conn.execute("SELECT 1")
    conn.close()


# "SQL BEGIN/COMMIT/ROLLBACK are the same thing."


def test_statements(bank: laminardb.Connection) -> None:
    for sql, word in (("BEGIN", "BEGIN"), ("COMMIT", "COMMIT"), ("begin transaction;", "BEGIN"), ("END", "COMMIT")):
        result = bank.execute(sql)
        assert (result.result_type, result.ddl_type, result.ddl_object) == ("ddl", word, None)
        assert (result.rows_affected, result.to_query_result(), bool(result)) == (0, None, True)
        assert repr(result) == f"ExecuteResult(ddl, {word})"
    bank.execute("START TRANSACTION")
    assert repr(bank.execute("ROLLBACK")) == "ExecuteResult(ddl, ROLLBACK)"


def test_statements_and_blocks_are_one_thing(bank: laminardb.Connection) -> None:
    bank.execute("BEGIN")
    bank.insert("b", {"v": 1})
    bank.execute("ROLLBACK")
    assert rows(bank, "b") == []
    bank.execute("BEGIN; INSERT INTO b VALUES (?); COMMIT", [2])
    assert rows(bank, "b") == [(2,)]
    with bank.transaction() as tx:
        bank.insert("b", {"v": 3})
        bank.execute("COMMIT")
        refused(lambda: tx.insert("b", {"v": 9}), text="the transaction has ended")
    assert rows(bank, "b") == [(2,), (3,)]
    with bank.transaction() as tx:
        tx.insert("b", {"v": 9})
        tx.execute("ROLLBACK; BEGIN")
        tx.insert("b", {"v": 4})
        tx.execute("COMMIT")
    assert rows(bank, "b") == [(2,), (3,), (4,)]


def test_query_runs_none_of_them(bank: laminardb.Connection) -> None:
    for sql in ("BEGIN", "COMMIT", "ROLLBACK", "BEGIN; SELECT 1"):
        with pytest.raises(laminardb.QueryError) as error:
            bank.query(sql)
        assert error.value.code == codes.QUERY_FAILED
    refused(lambda: bank.execute("COMMIT"), text="no transaction is open")


def test_a_script_that_fails_leaves_its_transaction_open(bank: laminardb.Connection) -> None:
    with pytest.raises(laminardb.QueryError):
        bank.execute("BEGIN; INSERT INTO b VALUES (1); INSERT INTO b VALUES ('x'); COMMIT")
    bank.execute("ROLLBACK")
    assert rows(bank, "b") == []


# "Every write is atomic and gets one logical time. All its writes become visible at one time."


def test_a_subscription_is_given_one_net_batch(bank: laminardb.Connection) -> None:
    table, view = bank.subscribe_stream("t"), bank.subscribe_stream("total")
    with bank.transaction():
        bank.execute("UPDATE t SET v = v - 30 WHERE id = 1")
        bank.execute("UPDATE t SET v = v + 30 WHERE id = 2")
        bank.insert("t", {"id": 3, "v": 1})
        bank.delete("t", {"id": 3})
        bank.insert("s", {"v": 7})
        bank.wait()
        assert table.try_next() is None
        assert view.try_next() is None
    bank.wait()
    first, second = table.next(), view.next()
    assert first is not None
    assert second is not None
    assert first.time == second.time == bank.current_time
    assert sorted(zip(first.ops, first.fetchall(), strict=True)) == [
        ("UpdateDelete", (1, 100)),
        ("UpdateDelete", (2, 0)),
        ("UpdateInsert", (1, 70)),
        ("UpdateInsert", (2, 30)),
    ]
    assert list(zip(second.ops, second.fetchall(), strict=True)) == [
        ("UpdateDelete", (2, 100)),
        ("UpdateInsert", (3, 107)),
    ]
    assert (table.try_next(), view.try_next()) == (None, None)


def test_counters_count_at_the_commit(bank: laminardb.Connection) -> None:
    before = bank.metrics()
    with bank.transaction():
        bank.insert("s", {"v": [1, 2, 3]})
        bank.execute("UPDATE t SET v = 1")
        assert bank.stats("s")["total_events"] == 0
        assert bank.metrics().total_batches == before.total_batches
        assert bank.total_events_processed == before.total_events_ingested
    assert (bank.stats("s")["total_events"], bank.stats("t")["total_events"]) == (3, 4)
    assert bank.metrics().total_batches == before.total_batches + 1
    assert bank.metrics().total_events_ingested == before.total_events_ingested + 5
    bank.execute("BEGIN; INSERT INTO s VALUES (1); ROLLBACK")
    assert bank.stats("s")["total_events"] == 3


def test_watermark_columns_move_at_the_commit(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE w (ts BIGINT, WATERMARK FOR ts)")
    conn.insert("w", {"ts": 5})
    with pytest.raises(ValueError, match="mine"), conn.transaction():
        conn.insert("w", {"ts": 9})
        raise ValueError("mine")
    assert conn.stats("w")["watermark"] == 5
    with conn.transaction():
        conn.insert("w", {"ts": [7, 8]})
        assert conn.stats("w")["watermark"] == 5
    assert conn.stats("w")["watermark"] == 8


# "Writes of other threads wait until it ends, their reads see the state before it."


def test_reads_of_other_threads_see_the_state_before(bank: laminardb.Connection, elsewhere: Elsewhere) -> None:
    bank.insert("b", {"v": [1, 2, 2]})
    bank.insert("s", {"v": [9]})
    reads: list[Call] = [
        lambda: [rows(bank, table) for table in ("t", "b", "s", "every", "total")],
        lambda: bank.sql("SELECT t.id FROM t JOIN b ON t.v = b.v").fetchall(),
        lambda: [batch.fetchall() for batch in bank.stream("SELECT * FROM t ORDER BY id")],
        lambda: bank.query_stream("b", "v = 2").fetchall(),
        lambda: bank.execute("SHOW TABLES").to_query_result().to_dicts()["row_count"],  # type: ignore[union-attr]
        lambda: bank.subscribe("SELECT * FROM t").next().to_dicts(),  # type: ignore[union-attr]
        lambda: bank.subscribe("SELECT v, count(*) AS n FROM every GROUP BY v HAVING count(*) > 1").next().fetchall(),  # type: ignore[union-attr]
        lambda: bank.subscribe_stream("total", snapshot=True).next().fetchall(),  # type: ignore[union-attr]
        lambda: [bank.stats(name)["total_events"] for name in ("t", "b", "s")],
        lambda: (bank.current_time, bank.wait(), bank.tables(), bank.explain("SELECT * FROM t")),
    ]
    bank.wait()
    before = [elsewhere.do(read) for read in reads]
    writes: list[Call] = [
        lambda: bank.insert("t", {"id": [1, 5], "v": [2, 2]}),
        lambda: bank.delete("b", {"v": 2}),
        lambda: bank.insert("s", {"v": list(range(5000))}),
        lambda: bank.execute("UPDATE t SET v = v + 1, id = id + 10"),
        lambda: bank.execute("TRUNCATE b"),
        lambda: bank.insert("b", {"v": [4, 4]}),
        lambda: bank.execute("TRUNCATE t"),
        lambda: bank.execute("INSERT INTO t SELECT v, v FROM s WHERE v > 4000"),
    ]
    with bank.transaction():
        for write in writes:
            write()
            assert [elsewhere.do(read) for read in reads] == before
    after = [elsewhere.do(read) for read in reads]
    assert [before[idx] != after[idx] for idx in (0, 2, 4, 5, 6, 7, 8, 9)] == [True] * 8
    assert after[0][0] == [(v, v) for v in range(4001, 5000)]
    assert after[0][1] == [(4,), (4,)]


def test_a_subscription_of_another_thread_follows_the_commit(bank: laminardb.Connection, elsewhere: Elsewhere) -> None:
    bank.execute("BEGIN")
    bank.insert("t", {"id": 3, "v": 1})
    sub = elsewhere.do(lambda: bank.subscribe("SELECT id FROM t"))
    assert elsewhere.do(sub.next).fetchall() == [(1,), (2,)]
    bank.delete("t", {"id": 1})
    bank.execute("COMMIT")
    batch = sub.next()
    assert sorted(zip(batch.ops, batch.fetchall(), strict=True)) == [("Delete", (1,)), ("Insert", (3,))]


WRITES: dict[str, Callable[[laminardb.Connection], Any]] = {
    "insert": lambda conn: conn.insert("b", {"v": 5}),
    "insert_json": lambda conn: conn.insert_json("b", '{"v": 5}'),
    "insert_csv": lambda conn: conn.insert_csv("b", "v\n5\n"),
    "writer": lambda conn: conn.writer("b").insert({"v": 5}),
    "sql insert": lambda conn: conn.execute("INSERT INTO b VALUES (5)"),
    "insert select": lambda conn: conn.execute("INSERT INTO b SELECT 5 AS v FROM t WHERE id = 1"),
    "upsert": lambda conn: conn.upsert("t", {"id": 1, "v": 5}),
    "delete": lambda conn: conn.delete("t", {"id": 1}),
    "update": lambda conn: conn.execute("UPDATE t SET v = v * 2"),
    "sql delete": lambda conn: conn.execute("DELETE FROM t WHERE id = 1"),
    "truncate": lambda conn: conn.execute("TRUNCATE t"),
    "on conflict": lambda conn: conn.execute("INSERT INTO t VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET v = t.v + 3"),
    "create_table": lambda conn: conn.create_table("x", {"a": "int64"}),
    "create view": lambda conn: conn.execute("CREATE MATERIALIZED VIEW x AS SELECT sum(v) AS v FROM t"),
    "create table as": lambda conn: conn.execute("CREATE TABLE x AS SELECT * FROM t"),
    "drop": lambda conn: conn.execute("DROP TABLE b CASCADE"),
    "begin": lambda conn: conn.execute("BEGIN; UPDATE t SET v = v * 2; COMMIT"),
}


def picture(conn: laminardb.Connection) -> Any:
    return [(name, rows(conn, name)) for name in conn.tables() + conn.materialized_views()]


@pytest.mark.parametrize("name", WRITES)
def test_writes_and_definitions_of_other_threads_wait(
    bank: laminardb.Connection, elsewhere: Elsewhere, name: str
) -> None:
    with bank.transaction():
        bank.execute("UPDATE t SET v = v + 1")
        before = elsewhere.do(lambda: picture(bank))
        elsewhere.begin(lambda: WRITES[name](bank))
        assert elsewhere.is_waiting()
        assert rows(bank) == [(1, 101), (2, 1)]
    elsewhere.end()
    after = picture(bank)
    with laminardb.open(":memory:") as twin:
        twin.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT); CREATE TABLE b (v BIGINT)")
        twin.execute("CREATE SOURCE s (v BIGINT)")
        twin.execute("CREATE VIEW every AS SELECT v FROM t UNION ALL SELECT v FROM b UNION ALL SELECT v FROM s")
        twin.execute("CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(v) AS total FROM every")
        twin.execute("INSERT INTO t VALUES (1, 101), (2, 1)")
        WRITES[name](twin)
        if name == "create table as":
            # Its query runs before it waits for its turn.
            assert dict(after)["x"] == [(1, 100), (2, 0)]
            twin.execute("UPDATE x SET v = v - 1")
        assert sorted(picture(twin)) == sorted(after)
    assert after != before


def test_a_transaction_waits_for_another(bank: laminardb.Connection, elsewhere: Elsewhere) -> None:
    def move() -> None:
        with bank.transaction():
            bank.execute("UPDATE t SET v = v + 1 WHERE id = 2")

    with bank.transaction():
        elsewhere.begin(move)
        assert elsewhere.is_waiting()
        bank.execute("UPDATE t SET v = v * 2")
    elsewhere.end()
    assert rows(bank) == [(1, 200), (2, 1)]


def test_a_transaction_in_a_thread_holds_up_the_main_one(bank: laminardb.Connection, elsewhere: Elsewhere) -> None:
    elsewhere.do(lambda: bank.execute("BEGIN; INSERT INTO b VALUES (1)"))
    refused(lambda: bank.execute("COMMIT"), text="the one under way is of thread ")
    refused(lambda: bank.execute("ROLLBACK"), text="the one under way is of thread ")
    timer = threading.Timer(0.2, lambda: elsewhere.do(lambda: bank.execute("COMMIT")))
    timer.start()
    assert bank.execute("DELETE FROM b").rows_affected == 1
    timer.join()


def test_many_threads(bank: laminardb.Connection) -> None:
    """Money is moved, never made."""
    bank.execute("TRUNCATE t")
    bank.insert("t", {"id": list(range(5)), "v": [100] * 5})
    sub = bank.subscribe_stream("total")
    done, seen, failures = threading.Event(), [], []

    def guarded(work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)
            raise

    def move(number: int) -> None:
        for step in range(40):
            try:
                with bank.transaction():
                    bank.execute("UPDATE t SET v = v - 1 WHERE id = ?", [(number + step) % 5])
                    if step % 5 == 4:
                        raise ValueError
                    bank.execute("UPDATE t SET v = v + 1 WHERE id = ?", [(number + step * 3 + 1) % 5])
            except ValueError:
                continue

    def plain(number: int) -> None:
        for _ in range(40):
            bank.insert("s", {"v": 0})

    def read(number: int) -> None:
        while not done.is_set():
            seen.extend(bank.sql("SELECT sum(v) FROM t").fetchall() + bank.sql("SELECT total FROM total").fetchall())

    movers = [threading.Thread(target=guarded, args=(move, number)) for number in range(3)]
    movers.append(threading.Thread(target=guarded, args=(plain, 0)))
    readers = [threading.Thread(target=guarded, args=(read, number)) for number in range(2)]
    for thread in movers + readers:
        thread.start()
    for thread in movers:
        thread.join(120)
    done.set()
    for thread in readers:
        thread.join(120)
    assert failures == []
    assert set(seen) == {(500,)}
    bank.wait()
    while (batch := sub.try_next()) is not None:
        assert {total for _, total in batch} == {500}
    assert rows(bank, "total") == [(45, 500)]


def test_writers_are_not_starved_by_transactions(bank: laminardb.Connection, elsewhere: Elsewhere) -> None:
    written = threading.Event()

    def write() -> None:
        bank.insert("b", {"v": 1})
        written.set()

    elsewhere.begin(write)
    for _ in range(100_000):
        if written.is_set():
            break
        with bank.transaction():
            bank.insert("s", {"v": 1})
    assert written.is_set()
    elsewhere.end()


# "(interruptibly)", API section 16.


INTERRUPTED = """
import os, signal, threading, laminardb
signal.signal(signal.SIGINT, signal.default_int_handler)   # a process started in the background ignores it
conn = laminardb.open(":memory:")
conn.create_table("t", {"id": "int64"}, primary_key="id")
open_, let_go = threading.Event(), threading.Event()
def hold():
    with conn.transaction():
        conn.insert("t", {"id": 1})
        open_.set()
        let_go.wait(60)
thread = threading.Thread(target=hold)
thread.start()
open_.wait(60)
def enter():
    with conn.transaction():
        conn.insert("t", {"id": 2})
for call in (
    lambda: conn.insert("t", {"id": 2}),
    lambda: conn.execute("UPDATE t SET id = 2"),
    lambda: conn.execute("INSERT INTO t SELECT 2"),
    lambda: conn.execute("INSERT INTO t VALUES (2) ON CONFLICT (id) DO UPDATE SET id = 2"),
    lambda: conn.execute("BEGIN"),
    lambda: conn.execute("DROP TABLE t"),
    lambda: conn.create_table("x", {"a": "int64"}),
    enter,
):
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        call()
    except KeyboardInterrupt:
        print("interrupted", end=" ")
    timer.join()
print(conn.tables(), conn.sql("SELECT * FROM t").fetchall())
let_go.set()
thread.join()
print(conn.sql("SELECT * FROM t").fetchall())
with conn.transaction():
    conn.insert("t", {"id": 3})
conn.close()
"""


def script(text: str) -> str:
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_ctrl_c_ends_a_wait_for_a_transaction() -> None:
    assert script(INTERRUPTED) == "interrupted " * 8 + "['t'] []\n[(1,)]\n"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT is KeyboardInterrupt, also where the process was started in the background and ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_the_block_rolls_back_and_lets_others_go_on(bank: laminardb.Connection, elsewhere: Elsewhere) -> None:
    with pytest.raises(KeyboardInterrupt), bank.transaction():
        bank.insert("b", {"v": 1})
        elsewhere.begin(lambda: bank.insert("b", {"v": 2}))
        assert elsewhere.is_waiting()
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(60)
    elsewhere.end()
    assert rows(bank, "b") == [(2,)]


def test_a_signal_handler_may_use_the_transaction(bank: laminardb.Connection) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: bank.insert("b", {"v": 1}))
    try:
        with pytest.raises(ValueError, match="mine"), bank.transaction():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert rows(bank, "b") == [(1,)]
            raise ValueError("mine")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert rows(bank, "b") == []


# "A statement that fails inside leaves the transaction open and itself undone."


def test_a_failing_statement_is_undone_alone(bank: laminardb.Connection) -> None:
    failing: list[Call] = [
        lambda: bank.insert("t", [{"id": 5, "v": 1}, {"id": 6, "v": "x"}]),
        lambda: bank.insert("t", {"v": 1}),
        lambda: bank.insert("nope", {"v": 1}),
        lambda: bank.insert_json("t", '[{"id": 5}, 7'),
        lambda: bank.insert_csv("t", "id,v\n5,1\n6\n"),
        lambda: bank.delete("b", [{"v": 1}, {"v": 77}]),
        lambda: bank.delete("s", {"v": 1}),
        lambda: bank.upsert("b", {"v": 1}),
        lambda: bank.insert("total", {"n": 1}),
        lambda: bank.writer("t").insert({"id": None}),
        lambda: bank.execute("INSERT INTO t VALUES (5, 1), (1, 1)"),
        lambda: bank.execute("INSERT INTO t VALUES (5, 1), (5, 1)"),
        lambda: bank.execute("UPDATE t SET id = 7"),
        lambda: bank.execute("UPDATE t SET v = CAST('x' AS BIGINT)"),
        lambda: bank.execute("INSERT INTO t VALUES (5, 1), (5, 2) ON CONFLICT (id) DO UPDATE SET v = 1"),
        lambda: bank.execute("SELECT nope FROM t"),
        lambda: bank.execute("SELEC"),
    ]
    with bank.transaction():
        bank.insert("b", {"v": [1, 2]})
        bank.insert("s", {"v": 3})
        bank.execute("UPDATE t SET v = v + 1")
        for call in failing:
            with pytest.raises(laminardb.LaminarError):
                call()
            assert [rows(bank, name) for name in ("t", "b", "s")] == [[(1, 101), (2, 1)], [(1,), (2,)], [(3,)]]
        bank.insert("b", {"v": 9})
    assert [rows(bank, name) for name in ("t", "b", "s")] == [[(1, 101), (2, 1)], [(1,), (2,), (9,)], [(3,)]]
    assert rows(bank, "total") == [(6, 117)]


# "UPDATE, DELETE, ON CONFLICT, INSERT … SELECT inside work on the transaction's own state of base relations."


def test_statements_inside_work_on_its_own_state(bank: laminardb.Connection) -> None:
    with bank.transaction():
        assert bank.insert_json("t", '[{"id": 3, "v": 3}]') == 1
        assert bank.insert_csv("t", "id,v\n4,4\n") == 1
        assert bank.execute("UPDATE t SET v = v * 10 WHERE id >= 3").rows_affected == 2
        assert bank.execute("DELETE FROM t WHERE v = 40").rows_affected == 1
        assert bank.delete("t", [{"id": 4}, {"id": 2}]) == 1
        assert int(bank.execute("INSERT INTO t VALUES (3, 7) ON CONFLICT (id) DO UPDATE SET v = t.v + excluded.v")) == 1
        assert int(bank.execute("INSERT INTO t VALUES (3, 0), (5, 5) ON CONFLICT (id) DO NOTHING")) == 1
        assert int(bank.execute("INSERT OR REPLACE INTO t VALUES (5, 6)")) == 1
        with bank.writer("s") as writer:
            writer.insert({"v": [1, 2]})
            assert writer.flush() == 0
        assert int(bank.execute("INSERT INTO s SELECT v + 10 FROM s")) == 2
        assert int(bank.execute("INSERT INTO b SELECT v FROM every WHERE v < 20")) == 5
        assert bank.delete("b", {"v": 1}) == 1
        assert int(bank.execute("UPDATE b SET v = (SELECT max(id) FROM t) WHERE v IN (SELECT v FROM s)")) == 3
        bank.insert("b", bank.sql("SELECT v FROM b WHERE v = 6"))
    assert rows(bank) == [(1, 100), (3, 37), (5, 6)]
    assert rows(bank, "s") == [(1,), (2,), (11,), (12,)]
    assert rows(bank, "b") == [(5,), (5,), (5,), (6,), (6,)]
    assert rows(bank, "total") == [(12, 100 + 37 + 6 + 26 + 27)]


def test_many_small_writes(bank: laminardb.Connection) -> None:
    """More rows than a chunk of the store, changed again and again, and taken back."""
    sub = bank.subscribe_stream("total")
    for commits in (False, True):
        bank.execute("BEGIN")
        for step in range(3000):
            bank.upsert("t", {"id": step % 7, "v": step})
            bank.insert("b", {"v": step})
            if step % 3 == 2:
                bank.delete("b", {"v": step - 1})
        bank.insert("b", {"v": list(range(20_000))})
        bank.execute("DELETE FROM b WHERE v % 2 = 0")
        bank.execute("COMMIT" if commits else "ROLLBACK")
        if not commits:
            assert (rows(bank), rows(bank, "b"), sub.try_next()) == ([(1, 100), (2, 0)], [], None)
    kept = [step for step in range(3000) if step % 3 != 1] + list(range(20_000))
    assert [row[0] for row in rows(bank, "b")] == sorted(value for value in kept if value % 2)
    assert [row[0] for row in rows(bank)] == list(range(7))
    batch = sub.next()
    assert batch is not None
    assert (batch.ops, sub.try_next()) == (["UpdateDelete", "UpdateInsert"], None)


# "A SELECT inside (by the owner) either sees the transaction's own writes or is refused."


def test_a_query_inside_sees_its_own_writes_or_is_refused(bank: laminardb.Connection) -> None:
    bank.execute("CREATE STREAM small AS SELECT v FROM b WHERE v < 10")
    with bank.transaction():
        bank.insert("t", {"id": 3, "v": 3})
        bank.insert("b", {"v": 4})
        bank.insert("s", {"v": 5})
        assert rows(bank) == [(1, 100), (2, 0), (3, 3)]
        assert rows(bank, "every") == [(0,), (3,), (4,), (5,), (100,)]
        assert bank.query("SELECT count(*) FROM s").fetchone() == (1,)
        assert [batch.fetchall() for batch in bank.stream("SELECT v FROM b")] == [[(4,)]]
        assert bank.query_stream("t", "id = 3").fetchall() == [(3, 3)]
        assert bank.execute("SHOW TABLES").to_query_result().to_dicts()["row_count"] == [3, 1]  # type: ignore[union-attr]
        for sql in ("SELECT * FROM total", "SELECT * FROM small", "SELECT 1 AS x WHERE EXISTS (SELECT * FROM total)"):
            refused(lambda sql=sql: bank.sql(sql))  # type: ignore[misc]
            refused(lambda sql=sql: bank.stream(sql))  # type: ignore[misc]
        refused(lambda: bank.query_stream("total"))
        refused(lambda: laminardb.mv(bank, "total").query())
        refused(lambda: bank.errors("total"))
        for sql in ("INSERT INTO b SELECT n FROM total", "DELETE FROM b WHERE v IN (SELECT v FROM small)"):
            refused(lambda sql=sql: bank.execute(sql))  # type: ignore[misc]
        refused(lambda: bank.subscribe("SELECT * FROM t"))
        refused(lambda: bank.subscribe("total"))
        refused(lambda: bank.subscribe_stream("t", snapshot=True))
        refused(lambda: bank.subscribe_callback("SELECT * FROM t", print))
    assert rows(bank, "small") == [(4,)]


def test_a_subscription_without_a_snapshot_can_be_made_inside(bank: laminardb.Connection) -> None:
    with bank.transaction():
        bank.insert("t", {"id": 3, "v": 3})
        table, view = bank.subscribe_stream("t"), bank.subscribe("SELECT sum(v) AS v FROM t", snapshot=False)
        bank.insert("t", {"id": 4, "v": 4})
    bank.wait()
    batch = table.next()
    assert batch is not None
    assert sorted(batch.fetchall()) == [(3, 3), (4, 4)]
    batch = view.next()
    assert batch is not None
    assert (batch.fetchall(), batch.ops) == ([(100,), (107,)], ["UpdateDelete", "UpdateInsert"])


def test_lists_and_metrics_work_inside(bank: laminardb.Connection) -> None:
    with bank.transaction():
        bank.insert("s", {"v": 1})
        assert bank.tables() == ["t", "b", "s"]
        assert bank.materialized_views() == ["total"]
        assert len(bank.topology().nodes) == 5
        assert bank.stats("s")["pending"] == 0
        assert bank.execute("DESCRIBE t").result_type == "metadata"
        assert bank.metrics().source_count == 3
        assert "Reduce" in bank.explain("SELECT v, count(*) FROM t GROUP BY v")
        assert bank.pipeline_state == "created"
        bank.start()
        assert bank.wait() == bank.current_time


# "Nested BEGIN, COMMIT without BEGIN, DDL inside: QueryError 400."


def test_what_is_refused_inside(bank: laminardb.Connection) -> None:
    for sql in ("COMMIT", "ROLLBACK"):
        refused(lambda sql=sql: bank.execute(sql), text="no transaction is open")  # type: ignore[misc]
    with bank.transaction():
        bank.insert("b", {"v": 1})
        for sql in (
            "BEGIN",
            "CREATE TABLE x (a BIGINT)",
            "CREATE SOURCE IF NOT EXISTS s (a BIGINT)",
            "CREATE VIEW x AS SELECT 1 AS a",
            "CREATE OR REPLACE STREAM x AS SELECT * FROM t",
            "CREATE TABLE x AS SELECT * FROM t",
            "DROP TABLE b CASCADE",
            "DROP TABLE IF EXISTS nope",
            "CHECKPOINT",
            "RESTORE FROM CHECKPOINT LATEST",
        ):
            refused(lambda sql=sql: bank.execute(sql))  # type: ignore[misc]
        refused(lambda: bank.create_table("x", {"a": "int64"}))
        with pytest.raises(laminardb.QueryError, match="already"), bank.transaction():
            raise AssertionError("not reached")
        assert rows(bank, "b") == [(1,)]
    assert rows(bank, "b") == [(1,)]
    assert bank.tables() == ["t", "b", "s"]


# "close() rolls back an open transaction, wakes every blocked call (which raises 101)."


def test_close_rolls_back_and_wakes_who_waits(bank: laminardb.Connection) -> None:
    others = [Elsewhere() for _ in range(4)]
    calls: list[Call] = [
        lambda: bank.insert("b", {"v": 1}),
        lambda: bank.execute("UPDATE t SET v = 1"),
        lambda: bank.execute("DROP TABLE t CASCADE"),
        lambda: bank.transaction().__enter__(),
    ]
    with pytest.raises(laminardb.ConnectionError, match="closed"), bank.transaction():
        bank.insert("b", {"v": 1})
        for other, call in zip(others, calls, strict=True):
            other.begin(call)
        assert all(other.is_waiting() for other in others)
        bank.close()
        for other in others:
            with pytest.raises(laminardb.ConnectionError) as error:
                other.end()
            assert error.value.code == codes.CONNECTION_CLOSED
            other.stop()
    with pytest.raises(laminardb.ConnectionError, match="closed"):
        bank.transaction()


def test_close_by_another_thread(bank: laminardb.Connection, elsewhere: Elsewhere) -> None:
    with pytest.raises(ValueError, match="mine"), bank.transaction():
        bank.insert("b", {"v": 1})
        elsewhere.do(bank.close)
        with pytest.raises(laminardb.ConnectionError, match="closed"):
            bank.insert("b", {"v": 1})
        raise ValueError("mine")
    elsewhere.do(bank.close)


@pytest.mark.parametrize("own", [True, False])
def test_shutdown_rolls_back(bank: laminardb.Connection, elsewhere: Elsewhere, own: bool) -> None:
    sub = bank.subscribe_stream("b")
    with pytest.raises(laminardb.LaminarError) as error, bank.transaction():
        bank.insert("b", {"v": 1})
        if own:
            bank.shutdown()
        else:
            elsewhere.do(bank.shutdown)
    assert error.value.code == codes.SHUTDOWN
    assert sub.next() is None
    assert bank.stats("b")["total_events"] == 0
    with pytest.raises(laminardb.LaminarError) as error, bank.transaction():
        raise AssertionError("not reached")
    assert error.value.code == codes.SHUTDOWN


# Around it.


def test_a_thread_that_ends_leaves_no_transaction_behind(bank: laminardb.Connection) -> None:
    def leave() -> None:
        thread = threading.Thread(target=lambda: bank.execute("BEGIN; INSERT INTO b VALUES (1)"))
        thread.start()
        thread.join()

    with pytest.warns(ResourceWarning, match="dropped before its end, and rolled back"):
        leave()
    bank.insert("b", {"v": 2})
    assert rows(bank, "b") == [(2,)]


def test_a_process_may_end_inside() -> None:
    text = """
import laminardb, os, threading
conn = laminardb.open(":memory:")
conn.create_table("t", {"a": "int64"})
conn.execute("BEGIN")
conn.insert("t", {"a": 1})
threading.Thread(target=lambda: conn.insert("t", {"a": 2}), daemon=True).start()
child = os.fork()
if child == 0:
    try:
        conn.execute("COMMIT")
    except laminardb.ConnectionError as error:
        assert error.code == 102
    with laminardb.open(":memory:") as mine:
        mine.create_table("t", {"a": "int64"})
        mine.execute("BEGIN; INSERT INTO t VALUES (1)")
else:
    assert os.waitpid(child, 0)[1] == 0
    print(conn.sql("SELECT * FROM t").fetchall())
"""
    assert script(text) == "[(1,)]\n"


def test_two_connections_do_not_know_of_each_other(bank: laminardb.Connection) -> None:
    with laminardb.open(":memory:") as other:
        other.create_table("t", {"id": "int64"}, primary_key="id")
        with bank.transaction(), other.transaction():
            bank.insert("b", {"v": 1})
            other.insert("t", {"id": 1})
        assert (len(rows(bank, "b")), len(rows(other))) == (1, 1)


def test_a_full_buffer_is_waited_for_at_the_commit_alone() -> None:
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(buffer_size=10)) as conn:
        conn.execute("CREATE SOURCE s (v BIGINT); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM s")
        with conn.transaction():
            for _ in range(50):
                conn.insert("s", {"v": [1] * 7})
        assert rows(conn, "n") == [(350,)]


def test_tasks_of_one_loop_share_it(bank: laminardb.Connection) -> None:
    async def main() -> None:
        sub = await bank.subscribe_async("SELECT v FROM b")
        with bank.transaction():
            bank.insert("b", {"v": 1})
            await asyncio.sleep(0)
            await asyncio.get_running_loop().create_task(add())
        async for batch in sub:
            assert sorted(batch.fetchall()) == [(1,), (2,)]
            break

    async def add() -> None:
        bank.insert("b", {"v": 2})

    asyncio.run(main())


def test_a_callback_that_writes_waits_for_the_end(bank: laminardb.Connection) -> None:
    bank.execute("CREATE TABLE log (n BIGINT)")
    written = threading.Event()

    def log(batch: laminardb.ChangeBatch) -> None:
        bank.insert("log", {"n": len(batch)})
        written.set()

    callback = bank.subscribe_callback("SELECT v FROM b", log)
    bank.insert("b", {"v": 1})
    with bank.transaction():
        bank.insert("b", {"v": 2})
        bank.insert("b", {"v": 3})
    assert written.wait(60)
    while sum(row[0] for row in rows(bank, "log")) < 3:
        written.clear()
        if sum(row[0] for row in rows(bank, "log")) < 3:
            assert written.wait(60)
    callback.cancel()


# Anything, compared with a model.

Keys = st.integers(0, 6)
Values = st.integers(-3, 3)
Row = st.tuples(Keys, Values)
Steps = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.lists(Row, max_size=4)),
        st.tuples(st.just("new"), st.lists(Row, min_size=1, max_size=3)),
        st.tuples(st.just("delete"), st.lists(Row, max_size=3)),
        st.tuples(st.just("update"), st.lists(Row, min_size=1, max_size=1)),
        st.tuples(st.just("conflict"), st.lists(Row, min_size=1, max_size=1)),
        st.tuples(st.just("put"), st.lists(Row, max_size=4)),
        st.tuples(st.just("take"), st.lists(Row, min_size=1, max_size=2)),
        st.tuples(st.just("copy"), st.lists(Row, min_size=1, max_size=1)),
        st.tuples(st.just("append"), st.lists(Row, max_size=3)),
        st.tuples(st.just("truncate"), st.just([])),
    ),
    max_size=7,
)
Ends = st.sampled_from(["commit", "rollback", "plain"])


class Model:
    """What the relations hold: a table by key, a bag, a source."""

    def __init__(self) -> None:
        self.t: dict[int, int] = {}
        self.b: Counter[tuple[int, int]] = Counter()
        self.s: Counter[tuple[int, int]] = Counter()

    def copy(self) -> Model:
        model = Model()
        model.t, model.b, model.s = dict(self.t), Counter(self.b), Counter(self.s)
        return model

    def state(self) -> tuple[Any, ...]:
        return (Counter(self.t.items()), +self.b, +self.s)

    def totals(self) -> Counter[tuple[int, int, int]]:
        every = Counter(self.t.items()) + self.b + self.s
        keys = {key for key, _ in every}
        group = {key: [(v, n) for (k, v), n in every.items() if k == key] for key in keys}
        return Counter({(k, sum(n for _, n in g), sum(v * n for v, n in g)): 1 for k, g in group.items()})


def step(conn: laminardb.Connection, model: Model, kind: str, given: list[tuple[int, int]]) -> None:
    """The same write in both; one that fails changes neither."""
    data = [{"k": k, "v": v} for k, v in given] or {"k": [], "v": []}
    first = given[0] if given else (0, 0)
    if kind == "upsert":
        conn.upsert("t", data)
        model.t.update(given)
    elif kind == "new":
        sql = "INSERT INTO t VALUES " + ", ".join(str(row) for row in given)
        keys = [k for k, _ in given]
        if len(set(keys)) < len(keys) or set(keys) & model.t.keys():
            with pytest.raises(laminardb.QueryError):
                conn.execute(sql)
        else:
            assert int(conn.execute(sql)) == len(given)
            model.t.update(given)
    elif kind == "delete":
        gone = {k for k, _ in given} & model.t.keys()
        assert conn.delete("t", data) == len(gone)
        model.t = {k: v for k, v in model.t.items() if k not in gone}
    elif kind == "update":
        conn.execute("UPDATE t SET v = v + ?, k = k + 1 WHERE k >= ?", [first[1], first[0]])
        changed = {k + 1: v + first[1] for k, v in model.t.items() if k >= first[0]}
        model.t = {k: v for k, v in model.t.items() if k < first[0]} | changed
    elif kind == "conflict":
        sql = "INSERT INTO t VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = t.v + excluded.v"
        assert int(conn.execute(sql, list(first))) == 1
        model.t[first[0]] = model.t.get(first[0], 0) + first[1]
    elif kind == "put":
        conn.insert("b", data)
        model.b.update(given)
    elif kind == "take":
        wanted = Counter(given)
        if wanted <= model.b:
            assert conn.delete("b", data) == len(given)
            model.b -= wanted
        else:
            with pytest.raises(laminardb.IngestionError):
                conn.delete("b", data)
    elif kind == "copy":
        conn.execute("INSERT INTO b SELECT k, v FROM t WHERE k <> ? UNION ALL SELECT v, k FROM s", [first[0]])
        model.b.update([(k, v) for k, v in model.t.items() if k != first[0]])
        model.b.update([(v, k) for k, v in model.s.elements()])
    elif kind == "append":
        with conn.writer("s") as writer:
            writer.insert(data)
        model.s.update(given)
    else:
        conn.execute("TRUNCATE b")
        model.b.clear()


def seen(conn: laminardb.Connection) -> tuple[Any, ...]:
    return tuple(Counter(conn.sql(f"SELECT * FROM {name}").fetchall()) for name in ("t", "b", "s"))


class Follower:
    """A subscription, what it says the view holds, and at how many times it changed."""

    def __init__(self, sub: Any) -> None:
        self.sub, self.contents, self.times = sub, Counter[Any](), set[int]()

    def catch_up(self) -> Counter[Any]:
        while (batch := self.sub.try_next()) is not None:
            self.times.add(batch.time)
            for op, row in zip(batch.ops, batch.fetchall(), strict=True):
                self.contents[row] += 1 if op in ("Insert", "UpdateInsert") else -1
        assert min(self.contents.values(), default=0) >= 0
        return +self.contents


@settings(deadline=None, max_examples=30)
@given(plan=st.lists(st.tuples(Ends, Steps), max_size=6), workers=st.sampled_from([1, 2]))
def test_anything_equals_a_model(plan: list[tuple[str, Any]], workers: int) -> None:
    other = Elsewhere()
    with laminardb.open(":memory:", config=laminardb.LaminarConfig(workers=workers)) as conn:
        conn.execute(
            """
            CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT);
            CREATE TABLE b (k BIGINT, v BIGINT);
            CREATE SOURCE s (k BIGINT, v BIGINT);
            CREATE VIEW every AS SELECT * FROM t UNION ALL SELECT * FROM b UNION ALL SELECT * FROM s;
            CREATE MATERIALIZED VIEW totals AS SELECT k, count(*) AS n, sum(v) AS v FROM every GROUP BY k
            """
        )
        model = Model()
        followers = {name: Follower(conn.subscribe(name)) for name in ("t", "b", "s", "totals")}
        for end, steps in plan:
            time, before = conn.wait(), model.copy()
            for follower in followers.values():
                follower.catch_up()
                follower.times.clear()
            if end != "plain":
                conn.execute("BEGIN")
            for kind, rows_given in steps:
                step(conn, model, kind, rows_given)
                assert seen(conn) == model.state()
                if end != "plain":
                    assert other.do(lambda: seen(conn)) == before.state()
                    assert other.do(lambda: Counter(conn.sql("SELECT * FROM totals").fetchall())) == before.totals()
                    assert conn.wait() == time
                    assert all(follower.sub.try_next() is None for follower in followers.values())
            if end != "plain":
                conn.execute(end)
                assert conn.wait() <= time + (end == "commit")
            if end == "rollback":
                model = before
            conn.wait()
            assert seen(conn) == model.state()
            assert Counter(conn.sql("SELECT * FROM totals").fetchall()) == model.totals()
            followed = [followers[name].catch_up() for name in ("t", "b", "s", "totals")]
            assert followed == [*model.state(), model.totals()]
            if end != "plain":
                assert len(set().union(*(follower.times for follower in followers.values()))) <= (end == "commit")
    other.stop()
