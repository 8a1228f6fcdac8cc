"""Section 7 of the Python contract: results of queries, of statements, and iterators over batches."""

from __future__ import annotations

import inspect
import re
import sys
from types import ModuleType

import laminardb
import pytest
from expect import fails

ROWS = [(1, "sensor_a", 42.0), (2, "sensor_b", 43.5), (3, "sensor_a", 44.1)]


def test_signatures() -> None:
    wanted = {
        "pl": "(self, /, *, lazy=False)",
        "fetchmany": "(self, /, size=1)",
        "show": "(self, /, max_rows=20)",
        "__arrow_c_stream__": "(self, /, requested_schema=None)",
    }
    found = {name: str(inspect.signature(getattr(laminardb.QueryResult, name))) for name in wanted}
    assert found == wanted


@pytest.mark.parametrize("name", ["num_rows", "num_columns", "num_batches", "columns", "schema"])
def test_it_cannot_be_changed(result: laminardb.QueryResult, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(result, name, 1)
    with pytest.raises(AttributeError):
        result.something = 1  # type: ignore[attr-defined]


@pytest.mark.usefixtures("pa")
def test_it_does_not_change_with_the_database(sensors: laminardb.Connection, result: laminardb.QueryResult) -> None:
    sensors.insert("sensors", {"ts": 4})
    sensors.execute("DROP SOURCE sensors")
    sensors.close()
    assert result.fetchall() == ROWS
    assert result.arrow().num_rows == 3


def test_iterating_any_number_of_times_at_once(result: laminardb.QueryResult) -> None:
    assert [(one, other) for one, other in zip(result, result, strict=True)] == list(zip(ROWS, ROWS, strict=True))
    first, second = iter(result), iter(result)
    assert (next(first), next(first), next(second)) == (ROWS[0], ROWS[1], ROWS[0])
    for wrong in (0, "ts", slice(1)):
        with pytest.raises(TypeError):
            result[wrong]  # type: ignore[index]


@pytest.mark.usefixtures("pl")
def test_an_empty_result_is_falsy(sensors: laminardb.Connection) -> None:
    empty = sensors.sql("SELECT * FROM sensors WHERE ts > 99")
    assert not empty
    assert bool(sensors.sql("SELECT NULL")) is True
    assert (list(empty), empty.fetchmany(3), empty.to_dicts()) == ([], [], {"ts": [], "device": [], "value": []})
    assert empty.pl().columns == list(empty.to_df().columns) == empty.columns
    assert repr(empty) == "QueryResult(rows=0, columns=3)"


def test_to_df_takes_the_first_library_there_is(
    result: laminardb.QueryResult, monkeypatch: pytest.MonkeyPatch, pa: ModuleType, pd: ModuleType, pl: ModuleType
) -> None:
    assert type(result.to_df()) is pl.DataFrame
    monkeypatch.setitem(sys.modules, "polars", None)
    assert type(result.to_df()) is pd.DataFrame
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert type(result.to_df()) is pa.Table
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install laminardb"):
        result.to_df()


def test_fetches_keep_no_cursor(result: laminardb.QueryResult) -> None:
    assert result.fetchmany(2) == result.fetchmany(2) == ROWS[:2]
    assert result.fetchone() == result.fetchone() == ROWS[0]
    assert result.fetchmany() == ROWS[:1]
    assert result.fetchmany(2**40) == ROWS


def test_fetchone_converts_only_what_it_returns(conn: laminardb.Connection, pa: ModuleType) -> None:
    conn.create_table("t", pa.schema([("id", pa.int64()), ("ts", pa.timestamp("ns"))]))
    conn.insert("t", pa.table({"id": [1, 2], "ts": pa.array([1000, 1], pa.timestamp("ns"))}))
    result = conn.sql("SELECT ts FROM t ORDER BY id")
    assert result.fetchone() == result.fetchmany(1)[0]
    with fails(laminardb.QueryError, 400):
        result.fetchmany(2)


def test_show_prints_through_python(result: laminardb.QueryResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert result.show() is None  # type: ignore[func-returns-value]
    out = capsys.readouterr().out
    assert all(str(value) in out for row in ROWS for value in row)
    result.show(1)
    assert re.search(r"\b2 more\b|\b2 .*not shown", capsys.readouterr().out)


def test_show_of_more_than_twenty_rows(conn: laminardb.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.insert("t", {"a": list(range(1000, 1030))})
    conn.sql("SELECT a FROM t ORDER BY a").show()
    out = capsys.readouterr().out
    assert "1019" in out
    assert "1020" not in out
    assert "10 " in out.splitlines()[-1]


def test_a_capsule_with_and_without_a_schema(result: laminardb.QueryResult, pa: ModuleType) -> None:
    class Given:
        def __init__(self, requested: object) -> None:
            self.requested = requested

        def __arrow_c_stream__(self, _: object = None) -> object:
            if self.requested is None:
                return result.__arrow_c_stream__()
            return result.__arrow_c_stream__(requested_schema=self.requested)

    wanted = result.schema.__arrow_c_schema__()
    for requested in (None, wanted):
        assert pa.RecordBatchReader.from_stream(Given(requested)).read_all().equals(result.arrow())


def test_it_can_be_given_to_others(
    result: laminardb.QueryResult, sensors: laminardb.Connection, pa: ModuleType, pl: ModuleType
) -> None:
    assert pa.table(result).equals(result.to_arrow())
    assert pl.DataFrame(result).rows() == ROWS
    assert sensors.insert("sensors", result) == 3


def test_strings_leave_as_string(conn: laminardb.Connection, pa: ModuleType) -> None:
    conn.create_table("t", pa.schema([("a", pa.large_string()), ("l", pa.list_(pa.string_view()))]))
    conn.insert("t", pa.table({"a": ["x"], "l": [["y"]]}))
    result = conn.sql("SELECT a, l, upper(a) AS u, concat(a, 'z') AS c FROM t")
    assert result.schema.types == [pa.string(), pa.list_(pa.string()), pa.string(), pa.string()]


@pytest.mark.usefixtures("pa", "pd", "pl")
def test_duplicate_columns(conn: laminardb.Connection) -> None:
    result = conn.sql("SELECT 1 AS x, 2 AS x, 3 AS x")
    assert (result.columns, list(result), result.num_columns) == (["x", "x", "x"], [(1, 2, 3)], 3)
    assert result.to_dicts() == {"x": [1], "x_1": [2], "x_2": [3]}
    assert result.pl().columns == ["x", "x_1", "x_2"]
    assert result.arrow().column_names == list(result.df().columns) == ["x", "x", "x"]
    for kind in ("VIEW", "STREAM", "MATERIALIZED VIEW"):
        with fails(laminardb.QueryError, 400):
            conn.execute(f"CREATE {kind} v AS SELECT 1 AS x, 2 AS x")
    conn.create_table("t", {"x": "int64"})
    with fails(laminardb.IngestionError, 302):
        conn.insert("t", result)


EXECUTED: dict[str, tuple[str, int, str | None, str | None, bool, str]] = {
    "CREATE SOURCE S2 (a INT)": ("ddl", 0, "CREATE SOURCE", "s2", True, "ExecuteResult(ddl, CREATE SOURCE s2)"),
    "INSERT INTO t VALUES (1), (2)": ("rows_affected", 2, None, None, True, "ExecuteResult(rows_affected=2)"),
    "DELETE FROM t WHERE a > 99": ("rows_affected", 0, None, None, False, "ExecuteResult(rows_affected=0)"),
    "SELECT 1 UNION ALL SELECT 2": ("query", 2, None, None, True, "ExecuteResult(query, rows=2)"),
    "SELECT 1 WHERE FALSE": ("query", 0, None, None, True, "ExecuteResult(query, rows=0)"),
    "SHOW TABLES": ("metadata", 0, None, None, True, "ExecuteResult(metadata, rows=1)"),
    "SHOW SINKS": ("metadata", 0, None, None, True, "ExecuteResult(metadata, rows=0)"),
}


@pytest.mark.parametrize("sql", EXECUTED)
def test_execute_results(conn: laminardb.Connection, sql: str) -> None:
    conn.execute("CREATE TABLE t (a BIGINT)")
    kind, rows, ddl_type, ddl_object, truth, text = EXECUTED[sql]
    done = conn.execute(sql)
    assert (done.result_type, done.rows_affected, int(done), bool(done), repr(done)) == (kind, rows, rows, truth, text)
    assert (done.ddl_type, done.ddl_object) == (ddl_type, ddl_object)
    answer = done.to_query_result()
    assert (answer is not None) == (kind in ("query", "metadata"))
    with pytest.raises(AttributeError):
        done.rows_affected = 3  # type: ignore[misc]


def test_an_iterator_of_batches(sensors: laminardb.Connection) -> None:
    it = sensors.stream("SELECT * FROM sensors")
    assert (repr(it), it.is_active, iter(it) is it) == ("QueryStream(active)", True, True)
    assert [batch.fetchall() for batch in it] == [ROWS]
    assert (repr(it), it.is_active, it.try_next()) == ("QueryStream(finished)", False, None)
    with pytest.raises(StopIteration):
        next(it)
    it.cancel()
    it.cancel()
