"""Consumes the changes of a database, keeps its tables here, and delivers the changes of views over them to sinks.

The changes are messages of Debezium as Kafka Connect writes them, of three tables of a shop. They come in batches.
Each batch is one transaction that also stores how far it reached, so a batch that is delivered twice, or a replay from
an older offset after a crash, changes nothing. Four views over the tables follow; an asyncio task each takes the
changes of a view to a sink. At the end sink, view and a recomputation in plain Python are compared.

    python examples/cdc.py                                  # a simulated Postgres, 2,000 changes
    python examples/cdc.py --flavour mysql --schemas --seed 7
    python examples/cdc.py --crash-after 10                 # stored, not acknowledged: the batches come again
    python examples/cdc.py --crash-after 10 --lose-database # a new process: the connector sends a new snapshot
    python examples/cdc.py --write log.jsonl                # the messages, as `kcat -J` prints them
    python examples/cdc.py --file log.jsonl

The database is in memory. A program that must start again has lost it, and needs what `--lose-database` shows: a new
snapshot of the connector (`op` is "r"), or the topics read again from offset 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from debezium.envelope import Change, EnvelopeError, Format, Key, Message, Table
from debezium.file import read_file, write_file
from debezium.upstream import Upstream

import laminardb

TABLES = {
    table.name: table
    for table in (
        Table(
            "customers",
            ("id",),
            {
                "id": "BIGINT",
                "name": "VARCHAR",
                "country": "VARCHAR",
                "notes": "VARCHAR",
                "credit": "DECIMAL(12,2)",
                "updated_at": "TIMESTAMP",
            },
        ),
        Table(
            "orders",
            ("id",),
            {"id": "BIGINT", "customer_id": "BIGINT", "status": "VARCHAR", "placed_at": "TIMESTAMP"},
        ),
        Table(
            "order_lines",
            ("order_id", "line_no"),
            {
                "order_id": "BIGINT",
                "line_no": "INT",
                "product": "VARCHAR",
                "quantity": "INT",
                "price": "DECIMAL(12,2)",
            },
        ),
    )
}
VIEWS = {
    "order_totals": (
        "SELECT o.id, o.customer_id, o.status, count(l.line_no) AS lines, sum(l.quantity * l.price) AS total "
        "FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id GROUP BY o.id, o.customer_id, o.status"
    ),
    "countries": (
        "SELECT c.country, count(*) AS orders, sum(t.total) AS revenue "
        "FROM customers c JOIN order_totals t ON t.customer_id = c.id WHERE t.status <> 'cancelled' GROUP BY c.country"
    ),
    "best_products": (
        "SELECT product, sum(quantity) AS sold FROM order_lines GROUP BY product ORDER BY sold DESC, product LIMIT 2"
    ),
    "in_debt": "SELECT id, name, notes, credit, updated_at FROM customers WHERE credit < 0",
}
Place = tuple[str, int]
Rows = Counter[tuple[Any, ...]]


class Crash(Exception):
    """The simulated crash of the consumer, after a batch is stored and before it is acknowledged."""


class Broker:
    """Stands for Kafka: gives messages in batches, and keeps the offsets that a consumer has acknowledged."""

    def __init__(self, log: list[Message], batch: int) -> None:
        self.log = log
        self.batch = batch
        self.acknowledged: dict[Place, int] = {}

    async def batches(self) -> AsyncIterator[list[Message]]:
        """The messages that are not acknowledged, in batches."""
        left = [m for m in self.log if m.offset >= self.acknowledged.get((m.topic, m.partition), 0)]
        for start in range(0, len(left), self.batch):
            await asyncio.sleep(0)  # where a real consumer waits for the network
            yield left[start : start + self.batch]


class Batch:
    """What a batch does to one table: the last known state of each row that it touches."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.truncated = False
        self.rows: dict[Key, dict[str, Any] | None] = {}  # None: deleted
        self.patches: dict[Key, dict[str, Any]] = {}  # columns of rows that are stored already

    def add(self, change: Change) -> None:
        """Takes one change, in the order of the log."""
        key = change.key
        match change.kind:
            case "truncate":
                self.truncated = True
                self.rows.clear()
                self.patches.clear()
            case "delete":
                self.patches.pop(key, None)
                self.rows[key] = None
            case "row":
                self.patches.pop(key, None)
                self.rows[key] = change.values
            case "patch" if (row := self.rows.get(key)) is not None:
                self.rows[key] = row | change.values
            case "patch" if key in self.rows or self.truncated:
                raise EnvelopeError(f"{self.table.name}: an update of the deleted row {key}")
            case "patch":
                self.patches[key] = self.patches.get(key, {}) | change.values

    def store(self, tx: laminardb.Connection) -> None:
        """Writes it in a transaction."""
        name = self.table.name
        if self.truncated:
            tx.execute(f"TRUNCATE {name}")
        deleted = [dict(zip(self.table.key, key, strict=True)) for key, row in self.rows.items() if row is None]
        if deleted:
            tx.delete(name, deleted)
        if written := [row for row in self.rows.values() if row is not None]:
            tx.upsert(name, written)
        # The columns that a row does not have keep their values; a row that is not there is not counted.
        if self.patches and tx.update(name, list(self.patches.values())) < len(self.patches):
            raise EnvelopeError(f"{name}: an update of one of the rows {list(self.patches)[:10]}, which is not there")


class Consumer:
    """Stores batches. How far it has read is in the database itself, in the same transactions as the rows."""

    def __init__(self, conn: laminardb.Connection, written: Format) -> None:
        self.conn = conn
        self.format = written
        self.repeated = 0
        places = conn.sql("SELECT topic, part, next_offset FROM consumed")
        self.reached = {(topic, part): offset for topic, part, offset in places}

    def store(self, messages: Iterable[Message]) -> None:
        """One transaction: all messages of a batch that were not stored before, and their offsets."""
        tables = {name: Batch(table) for name, table in TABLES.items()}
        reached = dict(self.reached)
        for message in messages:
            place = (message.topic, message.partition)
            if message.offset < reached.get(place, 0):
                self.repeated += 1
                continue
            change = self.format.read(message)
            tables[change.table.name].add(change)
            reached[place] = message.offset + 1
        if reached == self.reached:
            return
        with self.conn.transaction() as tx:
            for table in tables.values():
                table.store(tx)
            rows = [{"topic": topic, "part": part, "next_offset": offset} for (topic, part), offset in reached.items()]
            tx.upsert("consumed", rows)
        self.reached = reached


class Sink:
    """Stands for where the changes go: it holds rows, and refuses to delete one that it does not hold."""

    def __init__(self) -> None:
        self.rows: Rows = Counter()
        self.changes = 0

    async def write(self, batch: laminardb.ChangeBatch) -> None:
        """Takes the changes of one logical time."""
        for row, op in zip(batch, batch.ops, strict=True):
            if op in ("Insert", "UpdateInsert"):
                self.rows[row] += 1
            elif self.rows[row] == 1:
                del self.rows[row]
            elif self.rows[row] > 1:
                self.rows[row] -= 1
            else:
                raise ValueError(f"a delete of the row {row}, which is not there")
        self.changes += len(batch)
        await asyncio.sleep(0)  # where a real sink waits for the network


def define(conn: laminardb.Connection) -> None:
    """The tables, the offsets and the views."""
    for table in TABLES.values():
        conn.execute(table.definition())
    conn.execute("CREATE TABLE consumed (topic VARCHAR, part INT, next_offset BIGINT, PRIMARY KEY (topic, part))")
    for name, query in VIEWS.items():
        conn.execute(f"CREATE MATERIALIZED VIEW {name} AS {query}")


async def follow(conn: laminardb.Connection, view: str, sink: Sink) -> None:
    """Takes what a view holds, and then its changes, to a sink."""
    async with await conn.subscribe_stream_async(view, snapshot=True) as changes:
        async for batch in changes:
            await sink.write(batch)


async def consume(consumer: Consumer, broker: Broker, crash_after: int | None) -> None:
    """Stores all batches. Every third is acknowledged, so that a crash brings some again."""
    number = 0
    async for messages in broker.batches():
        await asyncio.to_thread(consumer.store, messages)  # so that the sinks go on meanwhile
        number += 1
        if number == crash_after:
            raise Crash
        if number % 3 == 0:
            broker.acknowledged = dict(consumer.reached)
    broker.acknowledged = dict(consumer.reached)
    print(f"stored {number} batches; {consumer.repeated} messages had been stored before and changed nothing")


async def session(
    conn: laminardb.Connection, options: argparse.Namespace, broker: Broker, sinks: dict[str, Sink], crash: int | None
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Rows]]:
    """Consumes the log. Gives the rows of the tables and views at the end; raises `Crash` if the database is lost."""
    written = Format(TABLES, options.decimals, options.times)
    async with asyncio.TaskGroup() as group:
        for view, sink in sinks.items():
            group.create_task(follow(conn, view, sink), name=view)
        try:
            await consume(Consumer(conn, written), broker, crash)
        except Crash:
            print(f"crash: batch {crash} is stored and not acknowledged")
            if options.lose_database:
                raise
            await consume(Consumer(conn, written), broker, None)
        tables = {name: (await conn.query_async(f"SELECT * FROM {name}")).rows(named=True) for name in TABLES}
        views = {view: Counter((await conn.query_async(f"SELECT * FROM {view}")).fetchall()) for view in VIEWS}
        # What is pending is delivered, then the subscriptions end, and with them the tasks.
        await asyncio.to_thread(conn.shutdown)
    return tables, views


def consumed(options: argparse.Namespace, log: list[Message], crash: int | None = None) -> bool:
    """Consumes a log with a new database, and compares. Raises `Crash` if the database is lost."""
    sinks = {view: Sink() for view in VIEWS}
    with laminardb.open(":memory:") as conn:
        define(conn)
        tables, views = asyncio.run(session(conn, options, Broker(log, options.batch), sinks, crash))
    return compare(tables, views, sinks, options.upstream)


def compare(
    tables: dict[str, list[dict[str, Any]]], views: dict[str, Rows], sinks: dict[str, Sink], upstream: Upstream | None
) -> bool:
    """Prints what there is, and whether the tables equal those upstream, and sinks and views a recomputation."""
    agree = True
    for name, rows in tables.items():
        key = TABLES[name].key
        kept = {tuple(row[column] for column in key): row for row in rows}
        same = upstream is None or kept == upstream.rows[name]
        agree &= same
        print(f"table {name:<14} {len(rows):>5} rows  {'differs from upstream' if not same else ''}".rstrip())
    expected = recompute(tables if upstream is None else {n: list(rows.values()) for n, rows in upstream.rows.items()})
    for name, sink in sinks.items():
        right = views[name] == expected[name]
        delivered = sink.rows == expected[name]
        agree &= right and delivered
        verdict = "view and sink are right" if right and delivered else "the sink is wrong" if right else "wrong"
        print(f"view  {name:<14} {views[name].total():>5} rows, {sink.changes:>5} changes delivered: {verdict}")
    return agree


def recompute(tables: dict[str, list[dict[str, Any]]]) -> dict[str, Rows]:
    """The rows of the views, from the rows of the tables, without SQL."""
    totals: dict[int, Decimal] = {}
    lines: Counter[int] = Counter()
    sold: Counter[str] = Counter()
    for line in tables["order_lines"]:
        order = line["order_id"]
        lines[order] += 1
        totals[order] = totals.get(order, Decimal(0)) + line["quantity"] * line["price"]
        sold[line["product"]] += line["quantity"]
    country = {customer["id"]: customer["country"] for customer in tables["customers"]}
    countries: dict[str, tuple[int, Decimal | None]] = {}
    for order in tables["orders"]:
        if order["customer_id"] in country and order["status"] != "cancelled":
            number, revenue = countries.get(country[order["customer_id"]], (0, None))
            if (total := totals.get(order["id"])) is not None:
                revenue = total + (revenue or 0)
            countries[country[order["customer_id"]]] = (number + 1, revenue)
    return {
        "order_totals": Counter(
            (order["id"], order["customer_id"], order["status"], lines[order["id"]], totals.get(order["id"]))
            for order in tables["orders"]
        ),
        "countries": Counter((name, number, revenue) for name, (number, revenue) in countries.items()),
        "best_products": Counter(sorted(sold.items(), key=lambda item: (-item[1], item[0]))[:2]),
        "in_debt": Counter(
            tuple(customer[column] for column in ("id", "name", "notes", "credit", "updated_at"))
            for customer in tables["customers"]
            if customer["credit"] < 0
        ),
    }


def run(options: argparse.Namespace) -> bool:
    """Consumes a log that is simulated or read from a file. Gives whether all agree at the end."""
    options.upstream = None
    if options.file is not None:
        log = read_file(options.file)
    else:
        settings = {name: getattr(options, name) for name in ("flavour", "schemas", "decimals", "times")}
        options.upstream = Upstream(TABLES, options.seed, **settings)
        options.upstream.snapshot()
        options.upstream.change(options.changes)
        log = list(options.upstream.log)
    if options.write is not None:
        write_file(options.write, log)
    print(f"{len(log)} messages, in batches of {options.batch}", flush=True)
    agree = None
    try:
        agree = consumed(options, log, options.crash_after)
    except* Crash:
        print("the database is lost: the connector sends a new snapshot")
    if agree is None:
        options.upstream.snapshot()
        options.upstream.change(options.changes // 2)
        agree = consumed(options, options.upstream.log[len(log) :])
    return agree


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the simulated database (default: %(default)s)")
    parser.add_argument("--changes", type=int, default=2000, help="how many it makes (default: %(default)s)")
    parser.add_argument("--flavour", choices=("postgres", "mysql"), default="postgres")
    parser.add_argument("--schemas", action="store_true", help="messages carry their schema")
    parser.add_argument("--decimals", choices=("base64", "string"), default="base64", help="default: %(default)s")
    parser.add_argument("--times", choices=("micro", "milli"), default="micro", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=50, help="messages in a batch (default: %(default)s)")
    parser.add_argument("--crash-after", type=int, metavar="N", help="crash when N batches are stored")
    parser.add_argument("--lose-database", action="store_true", help="the crash ends the process; simulated only")
    parser.add_argument("--file", type=Path, help="messages to read instead of the simulated ones")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the messages to this file, too")
    options = parser.parse_args()
    if options.batch < 1:
        parser.error("--batch must be at least 1")
    if options.lose_database and (options.file is not None or options.crash_after is None):
        parser.error("--lose-database needs --crash-after, and no --file")
    return options


def main() -> int:
    """Gives 0 if all agree at the end, 1 if they differ, 2 if a message cannot be understood."""
    options = arguments()
    status = 1
    try:
        agree = run(options)
        print("all agree" if agree else "they differ")
        status = 0 if agree else 1
    except* (EnvelopeError, OSError, json.JSONDecodeError) as group:
        print("; ".join(str(error) for error in group.exceptions), file=sys.stderr)
        status = 2
    except* KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    return status


if __name__ == "__main__":
    sys.exit(main())
