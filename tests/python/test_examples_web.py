"""The examples of web services: the FastAPI app, on asyncio and uvloop, and gunicorn with workers that are forked."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import httpx
import laminardb
import pytest
import uvloop
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.websockets import WebSocketDisconnect

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette takes httpx, and would rather have its successor.
    from fastapi.testclient import TestClient

EXAMPLES = Path(__file__).parents[2] / "python" / "examples"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program `fastapi_app.py` as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import fastapi_app

    return fastapi_app


@pytest.fixture
def client(module: ModuleType) -> Iterator[TestClient]:
    """A client of the app with two accounts."""
    with TestClient(module.app) as client:
        assert client.post("/accounts/ada", json={"balance": 100}).status_code == 201
        assert client.post("/accounts/bob", json={"balance": 5}).status_code == 201
        yield client


def balances(client: TestClient) -> dict[str, int]:
    return {account["name"]: account["balance"] for account in client.get("/accounts").json()}


def test_handlers_of_both_kinds_write_and_read(client: TestClient) -> None:
    assert client.post("/accounts/ada", json={"balance": 1}).status_code == 409
    assert balances(client) == {"ada": 100, "bob": 5}
    assert client.get("/total").json() == {"accounts": 2, "balance": 105}


def test_a_transaction_as_a_dependency_commits_before_the_answer_or_not_at_all(client: TestClient) -> None:
    assert client.post("/transfer", params={"source": "ada", "target": "bob", "amount": 30}).status_code == 200
    assert balances(client) == {"ada": 70, "bob": 35}
    assert client.post("/transfer", params={"source": "bob", "target": "ada", "amount": 36}).status_code == 409
    assert client.post("/transfer", params={"source": "ada", "target": "eve", "amount": 1}).status_code == 404
    assert balances(client) == {"ada": 70, "bob": 35}, "the first half of a transfer is taken back"
    assert client.post("/close/ada", params={"heir": "eve"}).status_code == 404
    assert client.post("/close/ada", params={"heir": "bob"}).json() == {"closed": "ada"}
    assert balances(client) == {"bob": 105}
    assert client.get("/total").json() == {"accounts": 1, "balance": 105}


def test_a_websocket_follows_a_relation_until_the_client_hangs_up(client: TestClient, module: ModuleType) -> None:
    conn = module.app.state.conn
    before = conn.active_query_count
    with client.websocket_connect("/follow/total") as socket:
        assert socket.receive_json() == {"op": "Insert", "row": {"accounts": 2, "balance": 105}}
        assert conn.active_query_count == before + 1
        client.post("/accounts/eve", json={"balance": 1})
        assert socket.receive_json()["op"] == "UpdateDelete"
        assert socket.receive_json() == {"op": "UpdateInsert", "row": {"accounts": 3, "balance": 106}}
    # The block returns when the handler has ended.
    assert conn.active_query_count == before
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/follow/nowhere"):
        pass
    assert "nowhere" in refused.value.reason


def run(loop: str, main: Coroutine[Any, Any, None]) -> None:
    """Runs a test on a loop of this kind; one that hangs fails after a minute."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(main, 60))


@pytest.mark.parametrize("loop", LOOPS)
def test_many_transfers_at_a_time_leave_the_sum_as_it_is(module: ModuleType, loop: str) -> None:
    async def main() -> None:
        async with module.lifespan(module.app):
            transport = httpx.ASGITransport(module.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                for name in "abcd":
                    await client.post(f"/accounts/{name}", json={"balance": 1000})
                pairs = [(source, target) for source in "abcd" for target in "abcd" if source != target] * 10
                answers = await asyncio.gather(
                    *(
                        client.post("/transfer", params={"source": source, "target": target, "amount": 1 + number % 7})
                        for number, (source, target) in enumerate(pairs)
                    ),
                    *(client.get("/total") for _ in range(20)),
                )
                assert {answer.status_code for answer in answers} == {200}
                assert all(answer.json() == {"accounts": 4, "balance": 4000} for answer in answers[len(pairs) :])
                assert module.app.state.conn.transactions() == []

    run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_server_sent_events_end_with_their_client(module: ModuleType, loop: str) -> None:
    async def main() -> None:
        async with module.lifespan(module.app):
            conn = module.app.state.conn
            conn.insert("accounts", {"name": "ada", "balance": 1})
            sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            gone = asyncio.Event()
            received = iter([{"type": "http.request", "body": b"", "more_body": False}])

            async def receive() -> dict[str, Any]:
                for message in received:
                    return message
                await gone.wait()
                return {"type": "http.disconnect"}

            scope = {"type": "http", "method": "GET", "path": "/changes", "headers": [], "query_string": b""}
            before = conn.active_query_count
            task = asyncio.create_task(module.app({**scope, "http_version": "1.1"}, receive, sent.put))
            assert (await sent.get())["status"] == 200
            assert b'data: {"accounts": 1, "balance": 1}' in (await sent.get())["body"]
            await conn.insert_async("accounts", {"name": "bob", "balance": 2})
            assert b"event: UpdateDelete" in (await sent.get())["body"]
            assert b'data: {"accounts": 2, "balance": 3}' in (await sent.get())["body"]
            assert conn.active_query_count == before + 1
            gone.set()
            await task
            assert conn.active_query_count == before

    run(loop, main())


SYNCHRONOUS = FastAPI()


def transaction(request: Request) -> Iterator[laminardb.Connection]:
    """FastAPI enters it on one thread of its pool and leaves it on another; the handler runs on a third."""
    with request.app.state.conn.transaction() as tx:
        yield tx


@SYNCHRONOUS.post("/{number}")
def store(number: int, tx: Annotated[laminardb.Connection, Depends(transaction, scope="function")]) -> int:
    """Stores a number, or every third time does not."""
    tx.insert("t", {"id": number})
    if number % 3 == 0:
        raise HTTPException(409)
    return number


@pytest.mark.parametrize("loop", LOOPS)
def test_a_synchronous_dependency_is_entered_and_left_on_any_thread(conn: laminardb.Connection, loop: str) -> None:
    conn.execute("CREATE TABLE t (id BIGINT, PRIMARY KEY (id))")
    SYNCHRONOUS.state.conn = conn

    async def main() -> None:
        transport = httpx.ASGITransport(SYNCHRONOUS)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            # Fewer at a time than FastAPI has threads: each waits on one for the transaction of another.
            for start in range(0, 90, 30):
                numbers = range(start, start + 30)
                answers = await asyncio.gather(*(client.post(f"/{number}") for number in numbers))
                assert [answer.status_code for answer in answers] == [200 if n % 3 else 409 for n in numbers]

    run(loop, main())
    stored = conn.sql("SELECT id FROM t ORDER BY id").fetchall()
    assert stored == [(number,) for number in range(90) if number % 3]
    assert conn.transactions() == []


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def gunicorn(command: list[str], home: Path) -> Iterator[Callable[[str], Any]]:
    """Runs gunicorn with two workers; gives a function that asks it."""
    port = free_port()
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join([str(home), *sys.path])}
    # The warnings of gunicorn's own sockets are none of ours.
    environment.pop("PYTHONWARNINGS", None)
    environment.pop("PYTHONDEVMODE", None)
    process = subprocess.Popen(
        [sys.executable, *command, "--workers", "2", "--bind", f"127.0.0.1:{port}"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = []
    try:
        booted = 0
        while booted < 2:
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
            booted += "Booting worker" in lines[-1]

        def ask(query: str) -> Any:
            # Each request is a connection of its own, so any worker may get it.
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{query}", timeout=60) as answer:
                return json.load(answer)

        yield ask
        process.terminate()
        rest = process.communicate(timeout=60)[1]
        assert process.returncode == 0, "".join(lines) + rest
        assert "Traceback" not in rest
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_each_worker_of_gunicorn_has_a_database_of_its_own(tmp_path: Path) -> None:
    with gunicorn([str(EXAMPLES / "gunicorn_app.py")], tmp_path) as ask:
        counts: dict[int, int] = {}
        for _ in range(10_000):
            answer = ask("word=view")
            counts[answer["worker"]] = counts.get(answer["worker"], 0) + 1
            assert answer["often"] == [{"word": "view", "seen": counts[answer["worker"]]}]
            if len(counts) == 2:
                break
        assert len(counts) == 2


BEFORE_THE_FORK = """
import json, os, laminardb
conn = laminardb.open(":memory:")   # wrong: before the fork

def app(environ, start_response):
    try:
        conn.sql("SELECT 1")
        answer = {"worker": os.getpid()}
    except laminardb.ConnectionError as error:
        answer = {"code": error.code, "text": str(error)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""


def test_a_connection_opened_before_the_fork_is_refused_in_the_workers(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(BEFORE_THE_FORK)
    with gunicorn(["-m", "gunicorn", "--preload", "--chdir", str(tmp_path), "early:app"], tmp_path) as ask:
        answer = ask("")
        assert answer["code"] == laminardb.codes.CONNECTION_IN_USE
        assert "fork" in answer["text"]
