"""pandas reads with SQL from connections of laminardb, and warns only that it does not know their kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import laminardb
import pandas as pd
import pytest
from laminardb import dbapi

UNKNOWN = "ignore:pandas only supports SQLAlchemy connectable:UserWarning"
CONNECTIONS: dict[str, Callable[[laminardb.Connection], Any]] = {
    "native": lambda conn: conn,
    "dbapi": dbapi.connect,
    "dbapi autocommit": lambda conn: dbapi.connect(conn, autocommit=True),
}

pytestmark = [
    pytest.mark.filterwarnings(UNKNOWN),
    pytest.mark.parametrize("connect", CONNECTIONS.values(), ids=CONNECTIONS),
]
Connect = Callable[[laminardb.Connection], Any]


def test_the_rows_of_a_query_are_a_frame(sensors: laminardb.Connection, connect: Connect) -> None:
    frame = pd.read_sql("SELECT ts, device, value FROM sensors ORDER BY ts", connect(sensors))
    expected = pd.DataFrame(
        {"ts": [1, 2, 3], "device": ["sensor_a", "sensor_b", "sensor_a"], "value": [42.0, 43.5, 44.1]}
    )
    pd.testing.assert_frame_equal(frame, expected)


def test_pandas_gives_the_one_warning_that_is_allowed(sensors: laminardb.Connection, connect: Connect) -> None:
    with pytest.warns(UserWarning, match="pandas only supports SQLAlchemy connectable") as warned:
        pd.read_sql("SELECT * FROM sensors", connect(sensors))
    assert len(warned) == 1


def test_parameters_are_bound(sensors: laminardb.Connection, connect: Connect) -> None:
    connection = connect(sensors)
    by_place = pd.read_sql("SELECT ts FROM sensors WHERE value > ? AND device = ?", connection, params=(43, "sensor_a"))
    by_name = pd.read_sql_query("SELECT ts FROM sensors WHERE value > $least", connection, params={"least": 44})
    assert list(by_place["ts"]) == list(by_name["ts"]) == [3]


def test_the_index_is_a_column(sensors: laminardb.Connection, connect: Connect) -> None:
    frame = pd.read_sql("SELECT ts, value FROM sensors ORDER BY ts", connect(sensors), index_col="ts")
    assert frame["value"].to_dict() == {1: 42.0, 2: 43.5, 3: 44.1}


def test_rows_come_in_chunks(sensors: laminardb.Connection, connect: Connect) -> None:
    chunks = list(pd.read_sql("SELECT ts FROM sensors ORDER BY ts", connect(sensors), chunksize=2))
    assert [list(chunk["ts"]) for chunk in chunks] == [[1, 2], [3]]


def test_a_view_is_read_up_to_date(sensors: laminardb.Connection, connect: Connect) -> None:
    sensors.execute("CREATE MATERIALIZED VIEW v AS SELECT device, count(*) AS n FROM sensors GROUP BY device")
    sensors.insert("sensors", {"ts": [4], "device": ["sensor_b"], "value": [1.0]})
    frame = pd.read_sql("SELECT n FROM v ORDER BY device", connect(sensors))
    assert list(frame["n"]) == [2, 2]


def test_an_empty_answer_has_its_columns(sensors: laminardb.Connection, connect: Connect) -> None:
    frame = pd.read_sql("SELECT ts, device FROM sensors WHERE ts > 10", connect(sensors))
    assert (list(frame.columns), len(frame)) == (["ts", "device"], 0)


def test_a_wrong_query_fails_and_the_connection_works_on(sensors: laminardb.Connection, connect: Connect) -> None:
    connection = connect(sensors)
    with pytest.raises((pd.errors.DatabaseError, dbapi.ProgrammingError), match="nowhere does not exist"):
        pd.read_sql("SELECT * FROM nowhere", connection)
    assert len(pd.read_sql("SELECT * FROM sensors", connection)) == 3
