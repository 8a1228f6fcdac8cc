"""Orders stream in; three views stay up to date; a handler, a loop and an asyncio task follow their changes.

Run it with `python examples/streaming_analytics.py [--orders N]`. Nothing polls and nothing sleeps: changes arrive.
"""

from __future__ import annotations

import argparse
import asyncio
import random

import laminardb
from laminardb import ChangeEvent

CUSTOMERS = ("ada", "bob", "cleo", "dan")


def define(conn: laminardb.Connection) -> None:
    """The relations, and the views on them and on each other."""
    conn.execute("CREATE SOURCE orders (id BIGINT, customer VARCHAR, amount DOUBLE)")
    conn.execute("CREATE TABLE customers (customer VARCHAR, city VARCHAR, PRIMARY KEY (customer))")
    conn.insert(
        "customers",
        {"customer": list(CUSTOMERS), "city": ["Lisbon", "Oslo", "Lisbon", "Quito"]},
    )
    conn.execute(
        "CREATE MATERIALIZED VIEW per_customer AS "
        "SELECT customer, count(*) AS orders, sum(amount) AS total FROM orders GROUP BY customer"
    )
    conn.execute(
        "CREATE MATERIALIZED VIEW per_city AS "
        "SELECT city, sum(total) AS total FROM per_customer JOIN customers USING (customer) GROUP BY city"
    )
    conn.execute("CREATE STREAM best AS SELECT customer, total FROM per_customer ORDER BY total DESC LIMIT 2")


def on_change(event: ChangeEvent) -> None:
    """Prints the changes of the cities, in the thread of the subscription."""
    for row in event:
        if row.op != "UpdateDelete":
            print(f"  city    {row.op:<12} {row['city']:<8} {row['total']:9.2f}")


async def follow(conn: laminardb.Connection, batches: int) -> int:
    """Follows one query for so many batches of changes; the event loop is free meanwhile."""
    subscription = await conn.subscribe_async("SELECT customer FROM orders WHERE amount > 90", snapshot=True)
    rows = 0
    async for batch in subscription:
        rows += len(batch)
        batches -= 1
        if batches == 0:
            subscription.cancel()
    return rows


def main() -> None:
    """Runs the pipeline over orders drawn at random."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20, help="how many orders come in (default: %(default)s)")
    number = parser.parse_args().orders
    draw = random.Random(7)

    with laminardb.open(":memory:") as conn:
        define(conn)
        conn.start()
        cities = laminardb.mv(conn, "per_city")
        thread = cities.subscribe(on_change)
        best = conn.subscribe_stream("best")

        print(f"{number} orders come in")
        for order in range(number):
            amount = round(draw.uniform(5, 100), 2)
            conn.insert("orders", {"id": order, "customer": draw.choice(CUSTOMERS), "amount": amount})
        print("ada moves to Oslo")
        conn.upsert("customers", {"customer": "ada", "city": "Oslo"})
        conn.wait()

        print("Changes of the two best customers:")
        while (batch := best.try_next()) is not None:
            for row in batch.changes():
                print(f"  time {batch.time:<3} {row.op:<12} {row['customer']:<5} {row['total']:9.2f}")

        print("The views now:")
        cities.query().show()
        cities.query("total > 100").show()
        conn.sql("SELECT * FROM best ORDER BY total DESC").show()
        conn.insert("orders", {"id": number, "customer": "bob", "amount": 99.0})
        print(asyncio.run(follow(conn, 1)), "large orders")

        print("Metrics:")
        for metrics in conn.all_source_metrics():
            print(f"  {metrics.name:<13} {metrics.total_events} rows")
        for view in conn.all_stream_metrics():
            print(f"  {view.name:<13} {view.total_events} changes")
        conn.shutdown()  # what is pending is delivered, then the subscriptions end
        thread.join()


if __name__ == "__main__":
    main()
