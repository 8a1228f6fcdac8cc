"""Fixtures of the Python tests."""

from __future__ import annotations

from collections.abc import Iterator

import laminardb
import pytest


@pytest.fixture
def conn() -> Iterator[laminardb.Connection]:
    """A new database in memory."""
    with laminardb.open(":memory:") as connection:
        yield connection


@pytest.fixture
def sensors(conn: laminardb.Connection) -> laminardb.Connection:
    """A database with the seed README's source and its three rows."""
    conn.execute("CREATE SOURCE sensors (ts BIGINT, device VARCHAR, value DOUBLE)")
    conn.insert(
        "sensors",
        [
            {"ts": 1, "device": "sensor_a", "value": 42.0},
            {"ts": 2, "device": "sensor_b", "value": 43.5},
            {"ts": 3, "device": "sensor_a", "value": 44.1},
        ],
    )
    return conn
