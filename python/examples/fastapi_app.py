"""A FastAPI app on one database: handlers of both kinds, transactions as a dependency, changes to browsers.

    uvicorn --app-dir examples fastapi_app:app
    python examples/fastapi_app.py --port 8000      # the same

    curl -X POST localhost:8000/accounts/ada -H 'content-type: application/json' -d '{"balance": 100}'
    curl -X POST 'localhost:8000/transfer?source=ada&target=bob&amount=30'
    curl localhost:8000/accounts
    curl -N localhost:8000/changes                  # server-sent events, until you hang up

Every process has a database of its own, so it is served by one process. Its threads and tasks all use it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from fastapi.responses import StreamingResponse

import laminardb


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the database when the app starts, and closes it when it ends."""
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE accounts (name VARCHAR, balance BIGINT, PRIMARY KEY (name))")
        conn.execute(
            "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS accounts, sum(balance) AS balance FROM accounts"
        )
        app.state.conn = conn
        yield
        await asyncio.to_thread(conn.shutdown)  # those who still follow get what is pending, and then the end


app = FastAPI(title="Accounts", lifespan=lifespan)


def connection(client: HTTPConnection) -> laminardb.Connection:
    """The database of the app."""
    return client.app.state.conn


Connection = Annotated[laminardb.Connection, Depends(connection)]


async def transaction(conn: Connection) -> AsyncIterator[laminardb.Connection]:
    """Makes all writes of a request one, or none of them if the handler raises.

    It is for handlers of both kinds: what it gives works in any thread. It is `async`, so that a request which waits
    for the transaction of another occupies no thread; FastAPI has 40 of them, and the other needs one to go on.
    """
    async with conn.transaction() as tx:
        yield tx


# With the scope "function" the commit comes before the answer, so that who has the answer can read what it says.
Transaction = Annotated[laminardb.Connection, Depends(transaction, scope="function")]


@app.post("/accounts/{name}", status_code=201)
async def create(name: str, balance: Annotated[int, Body(embed=True)], conn: Connection) -> dict[str, Any]:
    """An asynchronous handler: every call that may wait is awaited."""
    try:
        await conn.execute_async("INSERT INTO accounts VALUES (?, ?)", [name, balance])
    except laminardb.QueryError as error:
        raise HTTPException(409, f"there is an account of that name: {error}") from error
    return {"name": name, "balance": balance}


@app.get("/accounts")
def accounts(conn: Connection) -> list[dict[str, Any]]:
    """A synchronous handler: FastAPI runs it on a thread, where a call may wait."""
    return conn.sql("SELECT * FROM accounts ORDER BY name").rows(named=True)


@app.get("/total")
async def total(conn: Connection) -> dict[str, Any]:
    """Reads a view, which is right after every write."""
    return (await conn.query_async("SELECT * FROM total")).rows(named=True)[0]


def move(tx: laminardb.Connection, source: str, target: str, amount: int) -> None:
    """Moves an amount, in a transaction that is taken back if this raises."""
    names = [(source, -amount), (target, amount)]
    for name, change in names:
        if int(tx.execute("UPDATE accounts SET balance = balance + ? WHERE name = ?", [change, name])) == 0:
            raise HTTPException(404, f"no account {name}")
    balance = tx.sql("SELECT balance FROM accounts WHERE name = ?", [source]).fetchone()
    if balance is None or balance[0] < 0:
        raise HTTPException(409, f"{source} has not so much")


@app.post("/transfer")
def transfer(source: str, target: str, amount: int, tx: Transaction) -> dict[str, str]:
    """A transaction in a synchronous handler."""
    move(tx, source, target, amount)
    return {"moved": f"{amount} from {source} to {target}"}


@app.post("/close/{name}")
async def close(name: str, heir: str, tx: Transaction) -> dict[str, str]:
    """A transaction in an asynchronous handler."""
    found = (await tx.query_async("SELECT balance FROM accounts WHERE name = ?", [name])).fetchone()
    if found is None:
        raise HTTPException(404, f"no account {name}")
    await asyncio.to_thread(move, tx, name, heir, found[0])
    await tx.delete_async("accounts", {"name": name})
    return {"closed": name}


@app.get("/changes")
async def changes(conn: Connection, request: Request) -> StreamingResponse:
    """Server-sent events: what the view holds, then its changes, until the client hangs up."""
    subscription = await conn.subscribe_stream_async("total", snapshot=True)

    async def events() -> AsyncIterator[str]:
        async with subscription:
            async for batch in subscription:
                for change in batch.changes():
                    yield f"event: {change.op}\ndata: {json.dumps(change.to_dict())}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.websocket("/follow/{name}")
async def follow(name: str, websocket: WebSocket, conn: Connection) -> None:
    """A websocket: the changes of any relation, until the client hangs up."""
    try:
        subscription = await conn.subscribe_stream_async(name, snapshot=True)
    except laminardb.SchemaError as error:
        await websocket.close(1008, str(error)[:120])
        return
    await websocket.accept()
    async with subscription, asyncio.TaskGroup() as group:
        hangs_up = group.create_task(until_gone(websocket))
        hangs_up.add_done_callback(lambda _: subscription.cancel())
        async for batch in subscription:
            for change in batch.changes():
                await websocket.send_json({"op": change.op, "row": change.to_dict()})
        hangs_up.cancel()


async def until_gone(websocket: WebSocket) -> None:
    """Returns when the client hangs up; what it sends is not looked at."""
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        return


def main() -> int:
    """Serves the app with uvicorn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    options = parser.parse_args()
    try:
        import uvicorn
    except ImportError:
        print("this needs uvicorn: pip install uvicorn", file=sys.stderr)
        return 2
    uvicorn.run(app, port=options.port, timeout_graceful_shutdown=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
