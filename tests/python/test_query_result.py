"""QueryResult and ExecuteResult (API section 7), and reading (section 5.5)."""

from __future__ import annotations

import datetime as dt
import decimal
from types import ModuleType
from typing import Any

import laminardb
import pytest
from laminardb import codes

ROWS = [(1, "sensor_a", 42.0), (2, "sensor_b", 43.5), (3, "sensor_a", 44.1)]


@pytest.mark.usefixtures("pd")
def test_shape(result: laminardb.QueryResult, sensors: laminardb.Connection, pa: ModuleType) -> None:
    assert repr(result) == "QueryResult(rows=3, columns=3)"
    assert (result.num_rows, result.num_columns, len(result)) == (3, 3, 3)
    assert result.num_batches >= 1
    assert result.columns == ["ts", "device", "value"]
    assert result.schema.types == [pa.int64(), pa.string(), pa.float64()]
    empty = sensors.sql("SELECT * FROM sensors WHERE value > 100")
    assert not empty
    assert (empty.num_batches, empty.columns) == (0, ["ts", "device", "value"])
    assert empty.fetchone() is None
    assert empty.fetchall() == []
    assert empty.arrow().schema == result.schema
    assert list(empty.df().columns) == ["ts", "device", "value"]
    with pytest.raises(TypeError):
        result[0]  # type: ignore[index]


def test_rows(result: laminardb.QueryResult) -> None:
    assert result.fetchall() == ROWS
    assert result.fetchone() == result.fetchone() == ROWS[0]
    assert result.fetchmany() == ROWS[:1]
    assert result.fetchmany(2) == ROWS[:2]
    assert result.fetchmany(size=9) == ROWS
    assert result.fetchmany(0) == []
    with pytest.raises(OverflowError):
        result.fetchmany(-1)
    assert list(result) == list(result) == ROWS
    assert result.to_dicts() == {
        "ts": [1, 2, 3],
        "device": ["sensor_a", "sensor_b", "sensor_a"],
        "value": [42.0, 43.5, 44.1],
    }


def test_frames(result: laminardb.QueryResult, pa: ModuleType, pd: ModuleType, pl: ModuleType) -> None:
    table = result.arrow()
    assert isinstance(table, pa.Table)
    assert table.equals(result.to_arrow())
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS
    assert isinstance(result.df(), pd.DataFrame)
    assert list(result.to_pandas().itertuples(index=False, name=None)) == ROWS
    assert isinstance(result.pl(), pl.DataFrame)
    assert result.to_polars().rows() == ROWS
    assert isinstance(result.pl(lazy=True), pl.LazyFrame)
    assert isinstance(result.to_df(), pl.DataFrame)
    with pytest.raises(TypeError):
        result.pl(True)  # type: ignore[call-overload]
    assert pa.table(result).equals(table)
    assert pl.DataFrame(result).rows() == ROWS
    capsule = result.__arrow_c_stream__()
    assert "arrow_array_stream" in repr(capsule)


def test_show(result: laminardb.QueryResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert result.show() is None
    text = capsys.readouterr().out
    assert "sensor_b" in text
    assert "device" in text
    result.show(max_rows=1)
    text = capsys.readouterr().out
    assert "sensor_b" not in text
    assert "2" in text.splitlines()[-1]


def test_html_is_escaped(conn: laminardb.Connection) -> None:
    html = conn.sql("""SELECT '<b>&"' AS "<i>" """)._repr_html_()
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;&amp;" in html


@pytest.mark.usefixtures("pa", "pd", "pl")
def test_duplicate_names(conn: laminardb.Connection) -> None:
    result = conn.sql("SELECT 1 AS x, 2 AS x, 3 AS x_1, 4 AS x")
    assert result.columns == ["x", "x", "x_1", "x"]
    assert result.fetchall() == [(1, 2, 3, 4)]
    assert result.arrow().column_names == ["x", "x", "x_1", "x"]
    assert list(result.df().columns) == ["x", "x", "x_1", "x"]
    assert list(result.to_dicts()) == result.pl().columns
    assert len(set(result.to_dicts())) == 4
    assert list(result.to_dicts())[:2] == ["x", "x_1"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("TRUE", True),
        ("CAST(1 AS TINYINT)", 1),
        ("42", 42),
        ("1.5", 1.5),
        ("CAST(1.5 AS REAL)", 1.5),
        ("CAST('12.50' AS DECIMAL(5,2))", decimal.Decimal("12.50")),
        ("CAST('-0.05' AS DECIMAL(5,2))", decimal.Decimal("-0.05")),
        ("'x'", "x"),
        ("DATE '2024-02-29'", dt.date(2024, 2, 29)),
        ("DATE '1900-03-01'", dt.date(1900, 3, 1)),
        ("TIMESTAMP '2024-02-29 12:30:01.123456'", dt.datetime(2024, 2, 29, 12, 30, 1, 123456)),
        ("TIMESTAMP '1969-12-31 23:59:59.999999'", dt.datetime(1969, 12, 31, 23, 59, 59, 999999)),
        ("NULL", None),
    ],
)
def test_values(conn: laminardb.Connection, expression: str, value: Any) -> None:
    result = conn.sql(f"SELECT {expression} AS v")
    found = result.fetchone()
    assert found is not None
    assert (found[0], type(found[0])) == (value, type(value))
    assert result.to_dicts() == {"v": [value]}


def test_values_that_python_cannot_hold(conn: laminardb.Connection, pa: ModuleType) -> None:
    conn.create_table("t", pa.schema([("v", pa.timestamp("ns")), ("s", pa.timestamp("s"))]))
    conn.insert(
        "t", pa.table({"v": pa.array([1, 1000], pa.timestamp("ns")), "s": pa.array([0, 2**40], pa.timestamp("s"))})
    )
    result = conn.sql("SELECT v FROM t")
    for read in (result.fetchall, result.to_dicts, lambda: list(result)):
        with pytest.raises(laminardb.QueryError) as error:
            read()
        assert error.value.code == codes.QUERY_FAILED
    assert result.arrow().num_rows == 2
    with pytest.raises(laminardb.QueryError):
        conn.sql("SELECT s FROM t").fetchall()


def test_seed_query_without_relations(conn: laminardb.Connection) -> None:
    sql = """SELECT * FROM (SELECT * FROM (VALUES
        (1,'a',42.0),(2,'b',43.5)) AS t(ts, device, value)) sub
        WHERE value > 43.0"""
    assert conn.sql(sql).fetchall() == [(2, "b", 43.5)]
    assert conn.sql("SELECT 1 + 1 AS answer;").fetchall() == [(2,)]


def test_names_of_expressions(sensors: laminardb.Connection) -> None:
    result = sensors.sql("SELECT 1 + 1, count(*), device FROM sensors GROUP BY device")
    assert result.columns == ["1 + 1", "count(*)", "device"]


def test_parameters(sensors: laminardb.Connection) -> None:
    assert sensors.sql("SELECT ts FROM sensors WHERE value > ? AND device = ?", [43, "sensor_a"]).fetchall() == [(3,)]
    assert sensors.sql("SELECT $2 AS a, $1 AS b", (1, "x")).fetchall() == [("x", 1)]
    assert sensors.sql("SELECT $v + 1 AS a", {"v": 1}).fetchall() == [(2,)]
    assert sensors.sql("SELECT ? IS NULL AS a", [None]).fetchall() == [(True,)]
    day = dt.date(2024, 2, 29)
    assert sensors.sql("SELECT ? AS a", [day]).fetchall() == [(day,)]
    assert sensors.execute("INSERT INTO sensors VALUES (?, ?, ?)", [4, "x", 1.5]).rows_affected == 1
    for sql, params in [("SELECT ?", []), ("SELECT ?", None), ("SELECT $a", {"b": 1}), ("SELECT 1", [1])]:
        with pytest.raises(laminardb.QueryError) as error:
            sensors.sql(sql, params)
        assert error.value.code == codes.QUERY_FAILED
    for wrong in ("x", 3, {1}):
        with pytest.raises(TypeError):
            sensors.sql("SELECT ?", wrong)  # type: ignore[arg-type]


def test_execute_results(conn: laminardb.Connection) -> None:
    ddl = conn.execute("CREATE SOURCE s2 (a INT)")
    assert (ddl.result_type, ddl.ddl_type, ddl.ddl_object, ddl.rows_affected) == ("ddl", "CREATE SOURCE", "s2", 0)
    assert repr(ddl) == "ExecuteResult(ddl, CREATE SOURCE s2)"
    assert ddl.to_query_result() is None
    assert bool(ddl)
    dml = conn.execute("INSERT INTO s2 VALUES (1), (2)")
    assert (dml.result_type, int(dml), bool(dml), dml.ddl_type) == ("rows_affected", 2, True, None)
    assert repr(dml) == "ExecuteResult(rows_affected=2)"
    conn.execute("CREATE TABLE t (a INT)")
    assert not conn.execute("DELETE FROM t")
    query = conn.execute("SELECT * FROM s2")
    assert (query.result_type, query.rows_affected, repr(query)) == ("query", 2, "ExecuteResult(query, rows=2)")
    assert query.to_query_result().num_rows == 2  # type: ignore[union-attr]
    metadata = conn.execute("SHOW SOURCES")
    assert (metadata.result_type, metadata.rows_affected) == ("metadata", 0)
    assert repr(metadata) == "ExecuteResult(metadata, rows=1)"


def test_metadata_statements(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR)")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT name, count(*) AS n FROM t GROUP BY name")
    described = conn.sql("DESCRIBE t")
    assert described.columns == ["column_name", "data_type", "nullable"]
    assert [row[:2] for row in described] == [("id", "BIGINT"), ("name", "VARCHAR")]
    assert conn.sql("SHOW TABLES").columns == ["name", "primary_key", "row_count", "connector"]
    plan = conn.explain("SELECT name, count(*) FROM t GROUP BY name")
    assert "\n".join(row[0] for row in conn.sql("EXPLAIN SELECT name, count(*) FROM t GROUP BY name")) == plan
    with pytest.raises(laminardb.QueryError):
        conn.explain("SELECT * FROM nope")


def test_the_filter_of_a_relation_is_one_expression(sensors: laminardb.Connection) -> None:
    sensors.create_table("secret", {"ts": "int64"})
    sensors.insert("secret", {"ts": [1]})
    view = laminardb.mv(sensors, "sensors")
    for filter in ("1=1) UNION ALL (SELECT ts, 'x', 1.0 FROM secret", "true; DROP TABLE secret", "true) -- (", ""):
        with pytest.raises(laminardb.QueryError) as error:
            sensors.query_stream("sensors", filter)
        assert error.value.code == 401, filter
    with pytest.raises(laminardb.QueryError) as error:
        view.query("true) OR (true")
    assert error.value.code == 401
    assert view.query("ts IN (SELECT ts FROM secret)").num_rows == 1
    assert view.query("").num_rows == sensors.query_stream("sensors", "true").num_rows == 3


def test_a_view_is_read_in_its_order(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, g VARCHAR, n BIGINT)")
    conn.insert(
        "t", {"id": list(range(40)), "g": [f"g{i * 7 % 8}" for i in range(40)], "n": [i * 37 % 41 for i in range(40)]}
    )
    for name, kind, query in (
        ("kept", "MATERIALIZED VIEW", "SELECT g, sum(n) AS s FROM t GROUP BY g ORDER BY s DESC, g"),
        ("linear", "STREAM", "SELECT id, n FROM t ORDER BY n DESC"),
        ("plain", "VIEW", "SELECT id FROM t ORDER BY n"),
        ("top", "MATERIALIZED VIEW", "SELECT id, n FROM t ORDER BY n DESC LIMIT 5"),
    ):
        wanted = conn.sql(query).fetchall()
        conn.execute(f"CREATE {kind} {name} AS {query}")
        assert conn.sql(f"SELECT * FROM {name}").fetchall() == wanted
        assert [row for batch in conn.stream(f"SELECT * FROM {name}") for row in batch] == wanted
        assert conn.query_stream(name).fetchall() == wanted
        assert conn.query_stream(name, "true").fetchmany(3) == wanted[:3]
        assert laminardb.mv(conn, name).query().fetchall() == wanted
        for subscription in (conn.subscribe_stream(name, snapshot=True), conn.subscribe(query)):
            batch = subscription.next()
            assert batch is not None
            assert batch.is_snapshot
            assert batch.fetchall() == wanted
            subscription.cancel()


def test_query_stream(sensors: laminardb.Connection) -> None:
    sensors.create_table("Mixed Case", {"a": "int64"})
    assert len(sensors.query_stream("sensors")) == 3
    assert sensors.query_stream("sensors", "value > 43 -- hot").num_rows == 2
    assert sensors.query_stream("mixed case").num_rows == 0
    with pytest.raises(laminardb.QueryError):
        sensors.query_stream("sensors", "nope > 1")
