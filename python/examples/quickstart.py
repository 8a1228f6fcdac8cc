"""A walk through laminardb: write rows, query them, keep a view up to date, follow its changes.

Run it with `python examples/quickstart.py`. It needs nothing but laminardb; what is installed of pandas, polars and
pyarrow is shown too.
"""

from __future__ import annotations

import importlib.util

import laminardb


def title(text: str) -> None:
    """Starts a part of the walk."""
    print(f"\n--- {text}")


def main() -> None:
    """The walk."""
    with laminardb.open(":memory:") as conn:
        title("Write rows and query them")
        conn.execute("CREATE SOURCE sensors (ts BIGINT, device VARCHAR, value DOUBLE)")
        conn.insert(
            "sensors",
            [
                {"ts": 1, "device": "sensor_a", "value": 42.0},
                {"ts": 2, "device": "sensor_b", "value": 43.5},
                {"ts": 3, "device": "sensor_a", "value": 44.1},
            ],
        )
        conn.insert("sensors", {"ts": [4, 5], "device": ["sensor_b", "sensor_c"], "value": [39.5, 47.0]})
        warm = conn.sql("SELECT * FROM sensors WHERE value > ? ORDER BY ts", [43.0])
        warm.show()

        title("Take the answer out")
        print(warm.fetchall())
        print(warm.fetchone())
        print(warm.to_dicts())
        for ts, device, value in warm:
            print(ts, device, value)
        if importlib.util.find_spec("pandas") and importlib.util.find_spec("pyarrow"):
            print(warm.df())
        if importlib.util.find_spec("polars"):
            print(warm.pl())
        if importlib.util.find_spec("pyarrow"):
            print(warm.arrow().schema)

        title("A table with a key takes updates and deletes")
        conn.create_table("devices", {"device": "string", "room": "string"}, primary_key="device")
        conn.insert(
            "devices",
            [
                {"device": "sensor_a", "room": "hall"},
                {"device": "sensor_b", "room": "hall"},
                {"device": "sensor_c", "room": "attic"},
            ],
        )
        conn.upsert("devices", {"device": "sensor_b", "room": "attic"})
        conn.sql("SELECT * FROM devices ORDER BY device").show()

        title("A materialized view is right after every write")
        conn.execute(
            "CREATE MATERIALIZED VIEW rooms AS "
            "SELECT room, count(*) AS readings, max(value) AS hottest "
            "FROM sensors JOIN devices USING (device) GROUP BY room"
        )
        conn.sql("SELECT * FROM rooms ORDER BY room").show()

        title("Its changes come by themselves")
        changes = conn.subscribe_stream("rooms")
        conn.insert("sensors", {"ts": 6, "device": "sensor_a", "value": 50.0})
        conn.delete("devices", {"device": "sensor_c"})
        conn.wait()
        while (batch := changes.try_next()) is not None:
            for row in batch.changes():
                print(batch.time, row.op, row.to_dict())

        title("Look at what there is")
        print(conn.tables(), conn.materialized_views())
        print(conn.explain("SELECT room, count(*) FROM devices GROUP BY room"))
        print(conn.topology().to_mermaid())

        title("Errors have codes")
        try:
            conn.sql("SELECT * FROM nowhere")
        except laminardb.QueryError as error:
            print(error.code, error)


if __name__ == "__main__":
    main()
