"""Section 14 of the Python contract: types of SQL, of Arrow and of Python."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import laminardb
import pyarrow as pa
import pytest
from expect import fails

US = pa.timestamp("us")

COLUMNS: list[tuple[str, pa.DataType, Any]] = [
    ("BOOLEAN", pa.bool_(), True),
    ("TINYINT", pa.int8(), -1),
    ("SMALLINT", pa.int16(), -1),
    ("INT", pa.int32(), -1),
    ("INTEGER", pa.int32(), -1),
    ("BIGINT", pa.int64(), -1),
    ("UTINYINT", pa.uint8(), 255),
    ("USMALLINT", pa.uint16(), 65535),
    ("UINTEGER", pa.uint32(), 2**32 - 1),
    ("UBIGINT", pa.uint64(), 2**64 - 1),
    ("REAL", pa.float32(), 0.5),
    ("FLOAT", pa.float32(), 0.5),
    ("DOUBLE", pa.float64(), 0.1),
    ("DOUBLE PRECISION", pa.float64(), 0.1),
    ("DECIMAL(10,2)", pa.decimal128(10, 2), decimal.Decimal("1.25")),
    ("NUMERIC(10,2)", pa.decimal128(10, 2), decimal.Decimal("1.25")),
    ("DECIMAL", pa.decimal128(38, 9), decimal.Decimal("1.250000000")),
    ("CHAR(3)", pa.string(), "longer than three"),
    ("VARCHAR", pa.string(), "x"),
    ("VARCHAR(2)", pa.string(), "longer than two"),
    ("TEXT", pa.string(), "x"),
    ("STRING", pa.string(), "x"),
    ("JSON", pa.string(), "{}"),
    ("JSONB", pa.string(), "{}"),
    ("UUID", pa.string(), "00000000-0000-0000-0000-000000000001"),
    ("BINARY", pa.binary(), b"x"),
    ("VARBINARY", pa.binary(), b"x"),
    ("BLOB", pa.binary(), b"x"),
    ("BYTEA", pa.binary(), b"x"),
    ("DATE", pa.date32(), dt.date(2024, 2, 29)),
    ("TIME", pa.time64("us"), dt.time(1, 2, 3, 4)),
    ("TIMESTAMP", US, dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
    ("TIMESTAMP(0)", pa.timestamp("s"), dt.datetime(2024, 2, 29, 1, 2, 3)),
    ("TIMESTAMP(3)", pa.timestamp("ms"), dt.datetime(2024, 2, 29, 1, 2, 3, 4000)),
    ("TIMESTAMP(6)", US, dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
    ("TIMESTAMP(9)", pa.timestamp("ns"), dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
    ("TIMESTAMPTZ", pa.timestamp("us", tz="UTC"), dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=dt.UTC)),
    ("BIGINT[]", pa.list_(pa.int64()), [1, None]),
    ("STRUCT(x BIGINT, y VARCHAR)", pa.struct([("x", pa.int64()), ("y", pa.string())]), {"x": 1, "y": "z"}),
]


@pytest.mark.parametrize(("sql", "arrow", "value"), COLUMNS, ids=[row[0] for row in COLUMNS])
@pytest.mark.parametrize("kind", ["SOURCE", "TABLE"])
def test_columns(conn: laminardb.Connection, kind: str, sql: str, arrow: pa.DataType, value: Any) -> None:
    conn.execute(f"CREATE {kind} t (v {sql}, w {sql} NOT NULL)")
    schema = conn.schema("t")
    assert (str(schema.field("v").type), schema.field("v").nullable) == (str(arrow), True)
    assert (str(schema.field("w").type), schema.field("w").nullable) == (str(arrow), False)
    conn.insert("t", [{"v": value, "w": value}, {"v": None, "w": value}])
    result = conn.sql("SELECT v, w FROM t")
    assert result.fetchall() == [(value, value), (None, value)]
    assert type(result.fetchall()[0][0]) is type(value)
    assert str(result.schema.field("v").type) == str(arrow)
    conn.execute("CREATE MATERIALIZED VIEW m AS SELECT v, w FROM t WHERE v IS NOT NULL")
    view = conn.sql("SELECT * FROM m")
    assert (view.fetchall(), str(view.schema.field("v").type)) == ([(value, value)], str(arrow))


@pytest.mark.parametrize("sql", ["NOTHING", "INT128", "DECIMAL(39,2)", "MAP(INT, INT)"])
def test_unknown_column_types(conn: laminardb.Connection, sql: str) -> None:
    with pytest.raises(laminardb.LaminarError) as caught:
        conn.execute(f"CREATE SOURCE t (v {sql})")
    assert (type(caught.value), caught.value.code) in [(laminardb.SchemaError, 203), (laminardb.QueryError, 401)]


def test_integer_results_are_signed(sensors: laminardb.Connection) -> None:
    sql = "SELECT count(*) AS c, count(DISTINCT device) AS d FROM sensors"
    ranks = "SELECT row_number() OVER (ORDER BY ts) AS a, rank() OVER (ORDER BY ts) AS b FROM sensors"
    for query in (sql, ranks):
        assert {str(kind) for kind in sensors.sql(query).schema.types} == {"int64"}


def test_intervals_and_differences(conn: laminardb.Connection) -> None:
    result = conn.sql(
        "SELECT INTERVAL '1 month 2 days 3 seconds' AS i, TIMESTAMP '2024-01-02' - TIMESTAMP '2024-01-01' AS d"
    )
    assert [str(kind) for kind in result.schema.types] == ["month_day_nano_interval", "duration[us]"]
    assert result.fetchone() == ((1, 2, 3_000_000_000), dt.timedelta(days=1))


def test_what_datetime_cannot_hold(conn: laminardb.Connection) -> None:
    conn.create_table("t", pa.schema([("n", pa.timestamp("ns")), ("s", pa.timestamp("s")), ("d", pa.date32())]))
    for column, array in (
        ("n", pa.array([1], pa.timestamp("ns"))),
        ("s", pa.array([2**40], pa.timestamp("s"))),
        ("d", pa.array([4_000_000], pa.date32())),
    ):
        conn.insert("t", pa.table({column: array}))
        result = conn.sql(f"SELECT {column} FROM t WHERE {column} IS NOT NULL")
        for read in (result.fetchall, result.fetchone, lambda r=result: list(r), result.to_dicts):
            with fails(laminardb.QueryError, 400):
                read()
        assert result.arrow()[column].cast(pa.int64() if column != "d" else pa.int32()).to_pylist() != [None]


def test_nullability_of_results(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (a BIGINT NOT NULL, b BIGINT)")
    schema = conn.sql("SELECT a, b, a + b AS c, count(*) AS n FROM t GROUP BY a, b").schema
    assert [field.nullable for field in schema] == [False, True, True, False]
    assert conn.sql("SELECT NULL AS x").fetchall() == [(None,)]
