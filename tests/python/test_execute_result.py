"""What `execute()` gives: everything a `QueryResult` has, where the statement gives rows, and `rows()` (API section 7)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import laminardb
import pytest

ROWS = [(1, "a"), (2, "b")]
SELECT = "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id"
READS: dict[str, Callable[[Any], Any]] = {
    "num_rows": lambda result: result.num_rows,
    "num_columns": lambda result: result.num_columns,
    "num_batches": lambda result: result.num_batches,
    "columns": lambda result: result.columns,
    "rows": lambda result: result.rows(),
    "rows named": lambda result: result.rows(named=True),
    "fetchall": lambda result: result.fetchall(),
    "fetchone": lambda result: result.fetchone(),
    "fetchmany": lambda result: result.fetchmany(1),
    "to_dicts": lambda result: result.to_dicts(),
    "iteration": list,
    "len": len,
    "html": lambda result: result._repr_html_(),
}
OF_LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "schema": lambda result: result.schema,
    "to_arrow": lambda result: result.to_arrow(),
    "arrow": lambda result: result.arrow(),
    "to_pandas": lambda result: result.to_pandas(),
    "df": lambda result: result.df(),
    "to_polars": lambda result: result.to_polars(),
    "pl": lambda result: result.pl(),
    "to_df": lambda result: result.to_df(),
    "capsule": lambda result: result.__arrow_c_stream__(),
    "show": lambda result: result.show(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_result_of_a_query_is_read_as_that_of_query(conn: laminardb.Connection, read: Callable[[Any], Any]) -> None:
    assert read(conn.execute(SELECT)) == read(conn.query(SELECT))


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_result_of_a_metadata_statement_is_read_as_that_of_query(
    sensors: laminardb.Connection, read: Callable[[Any], Any]
) -> None:
    assert read(sensors.execute("DESCRIBE sensors")) == read(sensors.query("DESCRIBE sensors"))


@pytest.mark.parametrize("name", [*READS, *OF_LIBRARIES])
@pytest.mark.parametrize("sql", ["CREATE SOURCE t (a BIGINT)", "INSERT INTO sensors VALUES (4, 'c', 1.0)", "BEGIN"])
def test_a_statement_without_rows_says_so_whatever_is_read(sensors: laminardb.Connection, sql: str, name: str) -> None:
    result = sensors.execute(sql)
    if name == "html":
        # A notebook asks every value for it, and shows the repr of one that has none.
        assert result._repr_html_() is None
        return
    with pytest.raises(laminardb.QueryError, match="no rows: ") as raised:
        (READS | OF_LIBRARIES)[name](result)
    assert raised.value.code == 400


def test_which_results_are_true(sensors: laminardb.Connection) -> None:
    assert sensors.execute("CREATE TABLE t (a BIGINT)")
    assert sensors.execute("SELECT * FROM t")
    assert sensors.execute("SHOW STREAMS")
    assert sensors.execute("INSERT INTO t VALUES (1)")
    assert not sensors.execute("DELETE FROM t WHERE a = 2")
    assert len(sensors.execute("SELECT * FROM sensors WHERE ts > 10")) == 0


def test_insert_takes_the_result_of_an_executed_query(sensors: laminardb.Connection) -> None:
    sensors.create_table("copy", {"ts": "int64", "device": "string", "value": "float64"})
    assert sensors.insert("copy", sensors.execute("SELECT * FROM sensors")) == 3
    assert sensors.sql("SELECT count(*) FROM copy").fetchone() == (3,)


def test_insert_refuses_the_result_of_a_statement_without_rows(sensors: laminardb.Connection) -> None:
    with pytest.raises(laminardb.QueryError, match="no rows: "):
        sensors.insert("sensors", sensors.execute("BEGIN"))


def test_libraries_take_the_result_of_an_executed_query(
    conn: laminardb.Connection, pa: ModuleType, pl: ModuleType
) -> None:
    result = conn.execute(SELECT)
    assert pa.table(result).to_pydict() == {"id": [1, 2], "name": ["a", "b"]}
    assert pl.DataFrame(result).rows() == ROWS
    assert list(result.df()["id"]) == [1, 2]
    assert result.arrow().equals(conn.query(SELECT).arrow())


def test_rows_are_tuples_or_dicts(conn: laminardb.Connection) -> None:
    result = conn.query(SELECT)
    assert result.rows() == result.rows(named=False) == result.fetchall() == ROWS
    assert result.rows(named=True) == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert conn.query("SELECT 1 AS a WHERE false").rows(named=True) == []


def test_rows_of_a_repeated_name_are_no_dicts(conn: laminardb.Connection) -> None:
    result = conn.query("SELECT 1 AS a, 2 AS a")
    assert result.rows() == [(1, 2)]
    with pytest.raises(laminardb.QueryError, match="two columns are called a") as raised:
        result.rows(named=True)
    assert raised.value.code == 400


def test_changes_have_rows_too(sensors: laminardb.Connection) -> None:
    batch = sensors.subscribe("SELECT max(ts) AS last FROM sensors").next()
    assert batch is not None
    assert batch.rows(named=True) == [{"last": 3}]
