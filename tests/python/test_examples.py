"""The examples that are services: a consumer of Debezium's changes, an asyncio service, and processes that fork.

`test_scripts.py` runs the other examples, and `test_examples_web.py` those that need a web framework.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import laminardb
import pytest

EXAMPLES = Path(__file__).parents[2] / "python" / "examples"
LOGS = {
    "postgres": [],
    "postgres with schemas": ["--seed", "2", "--schemas", "--decimals", "string"],
    "mysql": ["--seed", "3", "--flavour", "mysql", "--times", "milli"],
    "mysql with schemas": ["--seed", "4", "--flavour", "mysql", "--schemas", "--times", "milli", "--batch", "7"],
    "a replay": ["--seed", "5", "--crash-after", "5"],
    "a replay with schemas": ["--seed", "6", "--crash-after", "2", "--schemas", "--batch", "11"],
    "a new snapshot": ["--seed", "7", "--crash-after", "4", "--lose-database"],
}


# What asyncio's debug mode, which is part of Python's development mode, says on a machine that is busy.
SLOW_STEP = re.compile(r"^Executing <.*> took \d+\.\d+ seconds\n", re.MULTILINE)


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    done.stderr = SLOW_STEP.sub("", done.stderr)
    return done


@pytest.fixture
def cdc(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program `cdc.py` as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import cdc

    return cdc


@pytest.mark.parametrize("log", LOGS)
def test_sinks_and_views_of_a_change_log_equal_a_recomputation(log: str) -> None:
    done = run("cdc.py", "--changes", "300", *LOGS[log])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("view and sink are right") == 4, done.stdout
    assert done.stdout.endswith("all agree\n")
    assert ("is stored and not acknowledged" in done.stdout) == ("--crash-after" in LOGS[log])
    assert ("; 0 messages had been stored before" in done.stdout) == (log not in ("a replay", "a replay with schemas"))


def test_a_change_log_goes_through_a_file(tmp_path: Path) -> None:
    file = str(tmp_path / "log.jsonl")
    written = run("cdc.py", "--changes", "100", "--write", file)
    read = run("cdc.py", "--file", file)
    assert (read.returncode, read.stderr) == (0, "")
    # Batches that are stored while the views are busy may be delivered as one, with fewer changes.
    lines = [re.sub(r" *\d+ changes delivered", "", done.stdout) for done in (written, read)]
    assert lines[0] == lines[1]


def test_a_file_that_is_no_change_log_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    place = {"topic": "shop.public.orders", "partition": 0, "offset": 4, "headers": []}
    file.write_text(json.dumps({**place, "key": '{"id": 1}', "payload": '{"source": {"table": "orders"}, "op": "x"}'}))
    done = run("cdc.py", "--file", str(file))
    assert (done.returncode, done.stderr) == (2, "shop.public.orders, partition 0, offset 4: unknown op 'x'\n")
    missing = run("cdc.py", "--file", str(tmp_path / "none"))
    assert missing.returncode == 2
    assert "No such file" in missing.stderr


def test_ctrl_c_ends_the_consumer_without_a_traceback() -> None:
    command = [sys.executable, str(EXAMPLES / "cdc.py"), "--batch", "1", "--changes", "3000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "messages, in batches of 1" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        shown = process.communicate(timeout=60)[1]
    assert (process.returncode, SLOW_STEP.sub("", shown)) == (130, "interrupted\n")


def test_the_consumer_exits_with_1_if_sink_and_view_differ(cdc: ModuleType) -> None:
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in cdc.TABLES}
    views = cdc.recompute(tables)
    sinks = {view: cdc.Sink() for view in views}
    assert cdc.compare(tables, views, sinks, None)
    sinks["in_debt"].rows[("a row that is not in the view",)] += 1
    assert not cdc.compare(tables, views, sinks, None)


async def test_a_sink_refuses_to_delete_what_it_does_not_hold(cdc: ModuleType, conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT, PRIMARY KEY (id))")
    conn.insert("t", {"id": 1})
    changes = conn.subscribe_stream("t")
    conn.delete("t", {"id": 1})
    with pytest.raises(ValueError, match="which is not there"):
        await cdc.Sink().write(changes.next())


def simulated(cdc: ModuleType, seed: int, changes: int) -> Any:
    """A simulated database with its log, whose schemas, units and flavour the seed decides."""
    draw = random.Random(seed)
    upstream = cdc.Upstream(
        cdc.TABLES,
        seed,
        flavour=draw.choice(("postgres", "mysql")),
        schemas=draw.random() < 0.5,
        decimals="base64",
        times="micro",
    )
    upstream.snapshot()
    upstream.change(changes)
    return upstream


@pytest.mark.parametrize("seed", range(4))
def test_batches_that_come_again_from_any_older_offset_change_nothing(cdc: ModuleType, seed: int) -> None:
    upstream = simulated(cdc, seed, 300)
    draw = random.Random(seed)
    place = 0
    with laminardb.open(":memory:") as conn:
        cdc.define(conn)
        consumer = cdc.Consumer(conn, cdc.Format(cdc.TABLES))
        while place < len(upstream.log):
            size = draw.randint(1, 60)
            consumer.store(upstream.log[place : place + size])
            place += size
            if draw.random() < 0.3:  # a new consumer, which reads from an older offset
                consumer = cdc.Consumer(conn, cdc.Format(cdc.TABLES))
                place = max(0, place - draw.randint(0, 100))
        time = conn.current_time
        cdc.Consumer(conn, cdc.Format(cdc.TABLES)).store(upstream.log)
        assert conn.current_time == time, "a replay of the whole log writes nothing"
        for name, table in cdc.TABLES.items():
            kept = {tuple(r[c] for c in table.key): r for r in conn.sql(f"SELECT * FROM {name}").rows(named=True)}
            assert kept == upstream.rows[name]
        expected = cdc.recompute({name: list(rows.values()) for name, rows in upstream.rows.items()})
        for view in cdc.VIEWS:
            assert cdc.Counter(conn.sql(f"SELECT * FROM {view}").fetchall()) == expected[view]


def envelope(table: str, op: str, after: Any = None) -> dict[str, Any]:
    return {"before": None, "after": after, "source": {"table": table}, "op": op, "ts_ms": 1}


CUSTOMER = {"id": 1, "name": "Ada", "country": "PT", "notes": None, "credit": "AA==", "updated_at": 0}
PLACEHOLDER = "__debezium_unavailable_value"
REFUSED = {
    "unknown op": ("customers", {"id": 1}, envelope("customers", "m"), "unknown op 'm'"),
    "unknown topic": ("invoices", {"id": 1}, envelope("invoices", "c", {"id": 1}), "none of the tables"),
    "another table": ("customers", {"id": 1}, envelope("orders", "c", CUSTOMER), "of the table 'orders'"),
    "no key": ("customers", None, envelope("customers", "c", CUSTOMER), "no key"),
    "another key": ("customers", {"name": "Ada"}, envelope("customers", "c", CUSTOMER), "the key has"),
    "key and row differ": ("customers", {"id": 2}, envelope("customers", "c", CUSTOMER), "not that of the row"),
    "a new column": ("customers", {"id": 1}, envelope("customers", "c", {**CUSTOMER, "age": 7}), "the columns are"),
    "a new row with a placeholder": (
        "customers",
        {"id": 1},
        envelope("customers", "c", {**CUSTOMER, "notes": PLACEHOLDER}),
        "REPLICA IDENTITY FULL",
    ),
    "an update of no row": (
        "customers",
        {"id": 1},
        envelope("customers", "u", {**CUSTOMER, "notes": PLACEHOLDER}),
        "which is not there",
    ),
    "a bad decimal": ("customers", {"id": 1}, envelope("customers", "c", {**CUSTOMER, "credit": "?"}), "not an env"),
    "no envelope": ("customers", {"id": 1}, {"id": 1}, "not an envelope: KeyError: 'source'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_message_that_is_not_understood_stops_the_consumer_and_stores_nothing(
    cdc: ModuleType, conn: laminardb.Connection, case: str
) -> None:
    table, key, value, text = REFUSED[case]
    cdc.define(conn)
    consumer = cdc.Consumer(conn, cdc.Format(cdc.TABLES))

    def message(offset: int, name: str, key: Any, value: Any) -> Any:
        return cdc.Message(
            f"shop.public.{name}", 0, offset, key and json.dumps(key).encode(), json.dumps(value).encode()
        )

    good = message(0, "customers", {"id": 7}, envelope("customers", "c", {**CUSTOMER, "id": 7}))
    with pytest.raises(cdc.EnvelopeError, match=text):
        consumer.store([good, message(1, table, key, value)])
    assert conn.sql("SELECT * FROM customers").fetchall() == []
    assert conn.sql("SELECT * FROM consumed").fetchall() == []
    consumer.store([good])
    assert conn.sql("SELECT next_offset FROM consumed").fetchall() == [(1,)]


def test_an_unchanged_column_keeps_its_value(cdc: ModuleType, conn: laminardb.Connection) -> None:
    cdc.define(conn)
    consumer = cdc.Consumer(conn, cdc.Format(cdc.TABLES))

    def message(offset: int, op: str, **columns: Any) -> Any:
        value = envelope("customers", op, {**CUSTOMER, **columns})
        return cdc.Message("shop.public.customers", 0, offset, b'{"id": 1}', json.dumps(value).encode())

    consumer.store([message(0, "c", notes="a long text")])
    consumer.store(
        [message(1, "u", notes=PLACEHOLDER, name="Bob"), message(2, "u", notes=PLACEHOLDER, name="Bob", country="NO")]
    )
    assert conn.sql("SELECT name, country, notes FROM customers").fetchall() == [("Bob", "NO", "a long text")]
    consumer.store([message(3, "u", notes="another"), message(4, "u", notes=PLACEHOLDER, name="Cleo")])
    assert conn.sql("SELECT name, notes FROM customers").fetchall() == [("Cleo", "another")]


class Client:
    """A client of the asyncio service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, **request: Any) -> Any:
        """Sends a request, and gives the first line of the answer."""
        self.writer.write(json.dumps(request).encode() + b"\n")
        return await self.next()

    async def next(self) -> Any:
        """The next line, or None at the end."""
        line = await self.reader.readline()
        return json.loads(line) if line else None

    async def hang_up(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


class Running:
    """The asyncio service in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port
        self.clients: list[Client] = []

    async def client(self) -> Client:
        self.clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.clients[-1]


@asynccontextmanager
async def service(*arguments: str) -> AsyncIterator[Running]:
    """Starts the service, and ends it with SIGTERM if the test has not."""
    script = str(EXAMPLES / "asyncio_service.py")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, script, *arguments, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(60):
        line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on 127.0.0.1 port "), (await process.stderr.read()).decode()
        running = Running(process, int(line.rpartition(" ")[2]))
        try:
            yield running
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            assert SLOW_STEP.sub("", (await process.stderr.read()).decode()) == ""
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            for client in running.clients:
                await client.hang_up()


READING = {"id": 1, "device": "a", "value": 42.0}


async def test_the_service_stores_answers_and_streams_to_several_followers() -> None:
    async with service() as running:
        writer, first, second = [await running.client() for _ in range(3)]
        assert await writer.ask(insert=[READING]) == {"stored": 1}
        held = {"op": "Insert", "row": {"device": "a", "n": 1, "low": 42.0, "high": 42.0}}
        assert await first.ask(follow="devices") == held
        assert await second.ask(follow="devices") == held
        assert await writer.ask(insert=[{**READING, "id": 2, "value": 44.0}]) == {"stored": 1}
        for client in (first, second):
            assert (await client.next())["op"] == "UpdateDelete"
            assert await client.next() == {"op": "UpdateInsert", "row": {**held["row"], "n": 2, "high": 44.0}}
        answer = await writer.ask(query="SELECT device, n FROM devices WHERE n > ?", params=[1])
        assert answer == {"columns": ["device", "n"], "rows": [["a", 2]]}


async def test_what_is_wrong_with_a_request_is_an_answer_and_the_service_goes_on() -> None:
    async with service() as running:
        client = await running.client()
        assert (await client.ask(query="SELECT * FROM nowhere"))["code"] == 400
        assert (await client.ask(insert=[{"id": 1.5}]))["code"] == 302
        assert (await client.ask(follow="nowhere"))["code"] == 200
        assert "a request is one of" in (await client.ask(hello=1))["error"]
        assert await client.ask(insert=[READING]) == {"stored": 1}


async def test_the_service_keeps_the_newest_readings_only() -> None:
    async with service("--keep", "10") as running:
        client = await running.client()
        for start in range(0, 100, 25):
            await client.ask(insert=[{**READING, "id": start + number} for number in range(25)])
        assert (await client.ask(query="SELECT min(id), count(*) FROM readings"))["rows"] == [[90, 10]]


async def test_a_follower_that_hangs_up_is_let_go() -> None:
    async with service() as running:
        client, follower = await running.client(), await running.client()
        await client.ask(insert=[READING])
        await follower.ask(follow="devices")

        async def followed() -> list[Any]:
            queries = (await client.ask(query="SHOW QUERIES"))["rows"]
            return [sql for _, sql, active in queries if active and "devices" in sql]

        assert len(await followed()) == 1
        await follower.hang_up()
        while await followed():
            pass  # The guard of `service` ends a test for which this never comes.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_service_when_followers_have_all_changes(number: signal.Signals) -> None:
    async with service() as running:
        writer, follower, idle = [await running.client() for _ in range(3)]
        await writer.ask(insert=[READING])
        counts = [(await follower.ask(follow="devices"))["row"]["n"]]
        for number_of_row in range(2, 50):
            await writer.ask(insert=[{**READING, "id": number_of_row}])
        running.process.send_signal(number)
        while (line := await follower.next()) is not None:
            counts.append(line["row"]["n"])
        assert counts[-1] == 49
        assert await idle.next() is None
        assert await writer.next() is None
        assert await running.process.wait() == 0


SPAWNED = """
import multiprocessing, os, sys
sys.path.insert(0, {examples!r})
import gunicorn_app, laminardb

def often(word):
    conn = gunicorn_app.opened()
    assert gunicorn_app.opened() is conn
    conn.upsert("words", {{"word": word, "seen": 1}})
    return conn.sql("SELECT * FROM often").fetchall()

if __name__ == "__main__":
    inherited = gunicorn_app.opened()
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(often, [method]) == [[(method, 1)]]
            pool.close()
            pool.join()
    assert inherited.sql("SELECT * FROM often").fetchall() == []
    print("done")
"""


def test_each_process_of_a_pool_opens_its_own_database(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SPAWNED.format(examples=str(EXAMPLES)))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "done\n")


@pytest.mark.parametrize("script", ["cdc.py", "asyncio_service.py", "gunicorn_app.py"])
def test_a_service_says_how_it_is_used(script: str) -> None:
    done = run(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python examples/{script}" in done.stdout
