"""A service on asyncio: it takes readings, answers queries, and streams the changes of views to whoever follows them.

It listens on a TCP port. A request is a JSON object in a line, and so is each answer:

    {"insert": [{"id": 1, "device": "a", "value": 42.0}]}     -> {"stored": 1}
    {"query": "SELECT * FROM devices WHERE n > ?", "params": [0]} -> {"columns": [...], "rows": [[...]]}
    {"follow": "devices"}                                     -> {"op": "Insert", "row": {...}}, ... until you hang up

    python examples/asyncio_service.py --port 7777
    echo '{"query": "SELECT 1 + 1 AS answer"}' | nc -N 127.0.0.1 7777

It keeps the newest readings only (`--keep`). SIGTERM or Ctrl-C ends it: it takes no more requests, followers get what
is pending, and then the connections are closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import Any

import laminardb


class Service:
    """Serves one database to any number of clients."""

    def __init__(self, conn: laminardb.Connection, keep: int) -> None:
        self.conn = conn
        self.keep = keep
        self.clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.followers: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one client until it hangs up."""
        task = asyncio.current_task()
        assert task is not None
        self.clients[task] = writer
        try:
            async for line in reader:
                if not await self.answer(line, reader, writer):
                    break
        except ConnectionResetError:
            pass  # The client has gone, and wants nothing more.
        finally:
            del self.clients[task]
            self.followers.discard(task)
            writer.close()

    async def answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; what is wrong with it is an answer too. Gives whether others may come."""
        try:
            match json.loads(line):
                case {"insert": list(rows)}:
                    await send(writer, {"stored": await self.insert(rows)})
                case {"query": str(sql), **options}:
                    result = await self.conn.query_async(sql, options.get("params"))
                    await send(writer, {"columns": result.columns, "rows": result.fetchall()})
                case {"follow": str(view)}:
                    await self.follow(view, reader, writer)
                    return False
                case _:
                    await send(writer, {"error": "a request is one of insert, query and follow"})
        except json.JSONDecodeError as error:
            await send(writer, {"error": f"not JSON: {error}"})
        except (laminardb.LaminarError, TypeError) as error:
            await send(writer, {"error": str(error), "code": getattr(error, "code", None)})
        return True

    async def insert(self, rows: list[Any]) -> int:
        """Stores readings and forgets the oldest, as one write: nobody sees more than there may be."""
        async with self.conn.transaction() as tx:
            stored = await tx.insert_async("readings", rows)
            await tx.execute_async("DELETE FROM readings WHERE id <= (SELECT max(id) FROM readings) - ?", [self.keep])
        return stored

    async def follow(self, view: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sends what a view holds, and then its changes, until the client hangs up or the service ends."""
        task = asyncio.current_task()
        assert task is not None
        self.followers.add(task)
        # A client that does not read is cut off when it is so many rows behind; nobody waits for it.
        async with await self.conn.subscribe_stream_async(view, snapshot=True, max_pending=100_000) as changes:
            gone = asyncio.create_task(reader.read())  # ends when the client hangs up
            gone.add_done_callback(lambda _: changes.cancel())
            try:
                async for batch in changes:
                    for change in batch.changes():
                        await send(writer, {"op": change.op, "row": change.to_dict()})
            finally:
                gone.cancel()
                await asyncio.wait([gone])

    async def end(self) -> None:
        """Lets the followers have what is pending, and closes every connection."""
        await asyncio.to_thread(self.conn.shutdown)
        if self.followers:  # A client that does not read is not waited for.
            await asyncio.wait(self.followers, timeout=5)
        clients = dict(self.clients)
        for writer in clients.values():
            writer.close()
        await asyncio.gather(*clients, return_exceptions=True)


async def send(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    """Writes one line; waits while the client does not read."""
    writer.write(json.dumps(answer, default=str).encode() + b"\n")
    await writer.drain()


def define(conn: laminardb.Connection) -> None:
    """The table of readings, and views over it."""
    conn.execute("CREATE TABLE readings (id BIGINT, device VARCHAR, value DOUBLE, PRIMARY KEY (id))")
    conn.execute(
        "CREATE MATERIALIZED VIEW devices AS "
        "SELECT device, count(*) AS n, min(value) AS low, max(value) AS high FROM readings GROUP BY device"
    )
    conn.execute("CREATE MATERIALIZED VIEW hottest AS SELECT * FROM readings ORDER BY value DESC, id LIMIT 3")


async def run(conn: laminardb.Connection, options: argparse.Namespace) -> None:
    """Serves until a signal comes."""
    service = Service(conn, options.keep)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await asyncio.start_server(service.serve, options.host, options.port)
    print(f"listening on {options.host} port {server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    print("ending", flush=True)
    server.close()
    await service.end()


def main() -> int:
    """Runs the service."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free, which is printed")
    parser.add_argument("--keep", type=int, default=100_000, help="how many ids are kept (default: %(default)s)")
    options = parser.parse_args()
    with laminardb.open(":memory:") as conn:
        define(conn)
        try:
            asyncio.run(run(conn, options))
        except OSError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
