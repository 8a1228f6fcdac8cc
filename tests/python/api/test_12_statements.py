"""Section 12 of the Python contract: SQL statements, their results and their errors."""

from __future__ import annotations

import datetime as dt
from types import ModuleType

import laminardb
import pytest
from expect import count, fails


@pytest.fixture
def base(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE SOURCE s (a BIGINT, b VARCHAR)")
    conn.execute("CREATE TABLE t (a BIGINT, b VARCHAR)")
    conn.execute("CREATE TABLE k (a BIGINT PRIMARY KEY, b VARCHAR)")
    return conn


DDL = {
    "CREATE SOURCE New (c INT, d VARCHAR NOT NULL, e BIGINT DEFAULT 5)": ("CREATE SOURCE", "new"),
    "CREATE OR REPLACE SOURCE s (a INT)": ("CREATE SOURCE", "s"),
    "CREATE SOURCE IF NOT EXISTS S (a INT)": ("CREATE SOURCE", "s"),
    "CREATE TABLE new (c INT, PRIMARY KEY (c))": ("CREATE TABLE", "new"),
    "CREATE TABLE new (c INT PRIMARY KEY, d INT)": ("CREATE TABLE", "new"),
    "CREATE OR REPLACE TABLE t (c INT)": ("CREATE TABLE", "t"),
    "CREATE TABLE IF NOT EXISTS t (c INT)": ("CREATE TABLE", "t"),
    "CREATE TABLE new AS SELECT a FROM s": ("CREATE TABLE", "new"),
    "CREATE VIEW new AS SELECT a FROM s": ("CREATE VIEW", "new"),
    "CREATE OR REPLACE VIEW new AS SELECT a FROM s": ("CREATE VIEW", "new"),
    "CREATE VIEW IF NOT EXISTS new AS SELECT a FROM s": ("CREATE VIEW", "new"),
    "CREATE STREAM new AS SELECT a FROM s": ("CREATE STREAM", "new"),
    "CREATE OR REPLACE STREAM new AS SELECT a FROM s": ("CREATE STREAM", "new"),
    "CREATE STREAM IF NOT EXISTS new AS SELECT a FROM s": ("CREATE STREAM", "new"),
    "CREATE MATERIALIZED VIEW new AS SELECT a FROM s": ("CREATE MATERIALIZED VIEW", "new"),
    "CREATE OR REPLACE MATERIALIZED VIEW new AS SELECT a FROM s": ("CREATE MATERIALIZED VIEW", "new"),
    "CREATE MATERIALIZED VIEW IF NOT EXISTS new AS SELECT a FROM s": ("CREATE MATERIALIZED VIEW", "new"),
    'CREATE SOURCE "Quoted Name" (a INT)': ("CREATE SOURCE", "Quoted Name"),
    "DROP SOURCE S": ("DROP SOURCE", "s"),
    "DROP SOURCE IF EXISTS s CASCADE": ("DROP SOURCE", "s"),
    "DROP TABLE t": ("DROP TABLE", "t"),
    "DROP TABLE IF EXISTS nothing": ("DROP TABLE", "nothing"),
}


@pytest.mark.parametrize("sql", DDL)
def test_results_of_definitions(base: laminardb.Connection, sql: str) -> None:
    done = base.execute(sql)
    assert (done.result_type, (done.ddl_type, done.ddl_object)) == ("ddl", DDL[sql])
    assert (done.rows_affected, bool(done), done.to_query_result()) == (0, True, None)
    assert repr(done) == f"ExecuteResult(ddl, {done.ddl_type} {done.ddl_object})"


@pytest.mark.parametrize("made", ["STREAM", "MATERIALIZED VIEW"])
@pytest.mark.parametrize("dropped", ["STREAM", "MATERIALIZED VIEW"])
def test_streams_and_materialized_views_go_by_either_word(base: laminardb.Connection, made: str, dropped: str) -> None:
    base.execute(f"CREATE {made} v AS SELECT a FROM s")
    assert base.execute(f"DROP {dropped} v").ddl_type == f"DROP {dropped}"
    assert base.list_streams() == []
    base.execute("CREATE VIEW p AS SELECT a FROM s")
    assert base.execute("DROP VIEW p").ddl_object == "p"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE SOURCE x (a INT PRIMARY KEY)",
        "CREATE SOURCE x (a INT, PRIMARY KEY (a))",
        "CREATE SOURCE x (a INTERVAL)",
        "CREATE TABLE x (a DECIMAL(50, 2))",
        "CREATE TABLE x (a INT, PRIMARY KEY (nope))",
        "CREATE TABLE x (a INT, PRIMARY KEY (a, a))",
    ],
)
def test_schemas_that_cannot_be(base: laminardb.Connection, sql: str) -> None:
    with fails(laminardb.SchemaError, 203):
        base.execute(sql)
    assert base.list_tables() == ["s", "t", "k"]


def test_describe_works_for_every_kind_and_gives_sql_types(conn: laminardb.Connection) -> None:
    conn.execute(
        "CREATE TABLE t (a TINYINT NOT NULL, b UBIGINT, c REAL, d DOUBLE, e DECIMAL(10,2), f TEXT, g BLOB, h DATE, "
        "i TIME, j TIMESTAMP, k TIMESTAMP(0), l TIMESTAMPTZ, m BOOLEAN, n BIGINT[])"
    )
    described = conn.sql("DESCRIBE t")
    assert described.columns == ["column_name", "data_type", "nullable"]
    assert {name: (kind, nullable) for name, kind, nullable in described} == {
        "a": ("TINYINT", False),
        "b": ("UBIGINT", True),
        "c": ("REAL", True),
        "d": ("DOUBLE", True),
        "e": ("DECIMAL(10,2)", True),
        "f": ("VARCHAR", True),
        "g": ("BLOB", True),
        "h": ("DATE", True),
        "i": ("TIME", True),
        "j": ("TIMESTAMP", True),
        "k": ("TIMESTAMP(0)", True),
        "l": ("TIMESTAMPTZ", True),
        "m": ("BOOLEAN", True),
        "n": ("BIGINT[]", True),
    }
    for kind in ("VIEW", "STREAM", "MATERIALIZED VIEW"):
        name = kind.split()[0].lower() + "_v"
        conn.execute(f"CREATE {kind} {name} AS SELECT a, e FROM t")
        assert [row[:2] for row in conn.sql(f"DESC {name}")] == [("a", "TINYINT"), ("e", "DECIMAL(10,2)")]
    with fails(laminardb.QueryError, 400):
        conn.sql("DESCRIBE nope")


LISTS = {
    "SHOW SOURCES": ["source_name", "connector", "format", "watermark_column"],
    "SHOW TABLES": ["name", "primary_key", "row_count", "connector"],
    "SHOW STREAMS": ["stream_name", "sql"],
    "SHOW MATERIALIZED VIEWS": ["view_name", "sql", "state"],
    "SHOW VIEWS": ["view_name", "sql"],
    "SHOW QUERIES": ["query_id", "sql", "active"],
    "SHOW SINKS": ["sink_name", "input", "connector", "format"],
    "EXPLAIN SELECT a FROM s": ["plan"],
    "DESCRIBE s": ["column_name", "data_type", "nullable"],
}


@pytest.mark.parametrize("sql", LISTS)
def test_columns_of_metadata(base: laminardb.Connection, sql: str) -> None:
    done = base.execute(sql)
    assert (done.result_type, done.rows_affected, done.ddl_type, done.ddl_object) == ("metadata", 0, None, None)
    answer = done.to_query_result()
    assert answer is not None
    assert answer.columns == base.sql(sql).columns == LISTS[sql]
    assert repr(done) == f"ExecuteResult(metadata, rows={len(answer)})"


def test_rows_of_metadata(base: laminardb.Connection) -> None:
    base.execute("CREATE VIEW v AS SELECT a FROM s")
    base.execute("CREATE STREAM m AS SELECT b FROM t")
    base.insert("t", {"a": [1, 2]})
    base.start()
    assert base.sql("SHOW SOURCES").fetchall() == [("s", None, None, None)]
    assert base.sql("SHOW TABLES").fetchall() == [("t", None, 2, None), ("k", "a", 0, None)]
    assert base.sql("SHOW STREAMS").fetchall() == [("m", "SELECT b FROM t")]
    assert base.sql("SHOW MATERIALIZED VIEWS").fetchall() == [("m", "SELECT b FROM t", "running")]
    assert base.sql("SHOW VIEWS").fetchall() == [("v", "SELECT a FROM s")]
    sub = base.subscribe("SELECT a FROM t")
    assert base.sql("SHOW QUERIES").fetchall()[-1][1:] == ("SELECT a FROM t", True)
    sub.cancel()


def test_explain_equals_the_call(base: laminardb.Connection) -> None:
    sql = "SELECT b, count(*) FROM s GROUP BY b"
    assert "\n".join(row[0] for row in base.sql(f"EXPLAIN {sql}")) == base.explain(sql)


DML: list[tuple[str, int]] = [
    ("INSERT INTO s VALUES (1, 'x'), (2, 'y')", 2),
    ("INSERT INTO t (b) VALUES ('x')", 1),
    ("INSERT INTO t SELECT * FROM k", 3),
    ("INSERT OR REPLACE INTO k VALUES (1, 'new'), (9, 'z')", 2),
    ("INSERT INTO k VALUES (1, 'new'), (9, 'z') ON CONFLICT (a) DO NOTHING", 1),
    ("INSERT INTO k VALUES (1, 'new') ON CONFLICT (a) DO UPDATE SET b = excluded.b || b", 1),
    ("UPDATE k SET b = 'u' WHERE a > 1", 2),
    ("DELETE FROM k WHERE a = 1", 1),
    ("DELETE FROM k", 3),
    ("TRUNCATE k", 3),
    ("TRUNCATE TABLE k", 3),
]


@pytest.mark.parametrize(("sql", "rows"), DML)
def test_results_of_writes(base: laminardb.Connection, sql: str, rows: int) -> None:
    base.insert("k", {"a": [1, 2, 3], "b": ["x", "y", "z"]})
    done = base.execute(sql)
    assert (done.result_type, done.rows_affected, done.ddl_type) == ("rows_affected", rows, None)
    assert repr(done) == f"ExecuteResult(rows_affected={rows})"


REFUSED = [
    "INSERT INTO s VALUES (1)",
    "INSERT INTO s VALUES (1, 'x', 2)",
    "INSERT INTO s (a, nope) VALUES (1, 2)",
    "INSERT INTO s (a, a) VALUES (1, 2)",
    "INSERT INTO s VALUES ('x', 'y')",
    "INSERT INTO s SELECT 'x', 'y'",
    "INSERT INTO k VALUES (1, 'x'), (1, 'y')",
    "INSERT INTO k VALUES (NULL, 'x')",
    "INSERT INTO nope VALUES (1)",
    "UPDATE s SET a = 1",
    "DELETE FROM s",
    "TRUNCATE s",
    "INSERT OR REPLACE INTO s VALUES (1, 'x')",
    "INSERT INTO s VALUES (1, 'x') ON CONFLICT DO NOTHING",
    "INSERT OR REPLACE INTO t VALUES (1, 'x')",
    "INSERT INTO v VALUES (1)",
    "UPDATE v SET a = 1",
    "DELETE FROM v",
    "TRUNCATE v",
    "UPDATE nope SET a = 1",
    "UPDATE k SET nope = 1",
    "UPDATE k SET a = 7",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_writes_that_are_refused(base: laminardb.Connection, sql: str) -> None:
    base.execute("CREATE STREAM v AS SELECT a FROM s")
    base.insert("s", {"a": 5})
    base.insert("k", {"a": [1, 2], "b": ["x", "y"]})
    before = base.current_time
    with fails(laminardb.QueryError, 400):
        base.execute(sql)
    assert [count(base, name) for name in ("s", "t", "k", "v")] == [1, 0, 2, 1]
    assert base.current_time == before


def test_a_duplicate_key_stores_nothing(base: laminardb.Connection) -> None:
    base.execute("INSERT INTO k VALUES (1, 'x')")
    with fails(laminardb.QueryError, 400):
        base.execute("INSERT INTO k VALUES (2, 'y'), (1, 'z')")
    assert base.sql("SELECT * FROM k").fetchall() == [(1, "x")]


def test_casting_is_that_of_insert(conn: laminardb.Connection, pa: ModuleType) -> None:
    conn.execute("CREATE TABLE t (a SMALLINT, d DECIMAL(5,2), r REAL, ts TIMESTAMP, x DATE)")
    conn.execute("INSERT INTO t VALUES (7, 1.25, 0.1, TIMESTAMP '2024-01-01 00:00:00', DATE '2024-01-01')")
    assert conn.schema("t").types[:2] == [pa.int16(), pa.decimal128(5, 2)]
    for values in (
        "70000, 1, 1, NULL, NULL",
        "1, 1.234, 1, NULL, NULL",
        "1, 1000, 1, NULL, NULL",
        "1.5, 1, 1, NULL, NULL",
    ):
        with fails(laminardb.QueryError, 400):
            conn.execute(f"INSERT INTO t VALUES ({values})")
    assert count(conn, "t") == 1


NAMES = [
    ("CREATE SOURCE s (a INT)", laminardb.SchemaError, 201),
    ("CREATE TABLE s (a INT)", laminardb.SchemaError, 201),
    ("CREATE OR REPLACE TABLE s (a INT)", laminardb.SchemaError, 201),
    ("CREATE STREAM t AS SELECT 1 AS x", laminardb.SchemaError, 201),
    ("DROP SOURCE nope", laminardb.SchemaError, 200),
    ("DROP TABLE s", laminardb.SchemaError, 200),
    ("DROP VIEW v", laminardb.SchemaError, 200),
    ("DROP STREAM p", laminardb.SchemaError, 200),
    ("DROP TABLE t", laminardb.QueryError, 400),
    ("CREATE OR REPLACE TABLE t (a INT)", laminardb.QueryError, 400),
    ("CREATE OR REPLACE VIEW p AS SELECT a FROM s", laminardb.QueryError, 400),
]


@pytest.mark.parametrize(("sql", "kind", "code"), NAMES)
def test_names_that_are_taken_missing_or_needed(
    base: laminardb.Connection, sql: str, kind: type[laminardb.LaminarError], code: int
) -> None:
    base.execute("CREATE VIEW p AS SELECT a FROM t")
    base.execute("CREATE STREAM v AS SELECT a FROM p")
    before = base._repr_html_()
    with fails(kind, code, "" if code != 400 else "p" if " t" in sql.lower() else "v"):
        base.execute(sql)
    assert [node.name for node in base.topology().nodes] == ["s", "t", "k", "p", "v"]
    assert before.split("time")[0].count("<tr>") == base._repr_html_().split("time")[0].count("<tr>")


def test_if_not_exists_changes_nothing(base: laminardb.Connection) -> None:
    base.insert("t", {"a": 1})
    assert base.execute("CREATE TABLE IF NOT EXISTS t (z DOUBLE)").ddl_object == "t"
    assert (base.sql("SELECT * FROM t").columns, count(base, "t")) == (["a", "b"], 1)


def test_cascade_drops_what_stands_on_it(base: laminardb.Connection) -> None:
    base.execute("CREATE VIEW p AS SELECT a FROM t")
    base.execute("CREATE STREAM v AS SELECT a FROM p")
    base.execute("CREATE STREAM other AS SELECT a FROM s")
    base.execute("DROP TABLE t CASCADE")
    assert [node.name for node in base.topology().nodes] == ["s", "k", "other"]


def test_or_replace(base: laminardb.Connection) -> None:
    base.insert("t", {"a": 1})
    base.execute("CREATE OR REPLACE TABLE t (z BIGINT)")
    assert (base.sql("SELECT * FROM t").columns, count(base, "t")) == (["z"], 0)
    base.execute("CREATE STREAM v AS SELECT a FROM s")
    base.execute("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM s")
    assert base.sql("SELECT * FROM v").fetchall() == [(0,)]


def test_create_table_as_copies_rows_once(base: laminardb.Connection) -> None:
    base.insert("s", {"a": [1, 2]})
    base.execute("CREATE TABLE c AS SELECT a, a * 2 AS d FROM s")
    base.insert("s", {"a": 3})
    assert base.sql("SELECT * FROM c ORDER BY a").fetchall() == [(1, 2), (2, 4)]
    assert base.sources()[-1].kind == "table"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE SINK k2 FROM s",
        "CREATE SINK k2 FROM s WITH ('connector' = 'kafka')",
        "CREATE LOOKUP TABLE l (a INT) WITH ('connector' = 'x')",
        "CREATE SOURCE x FROM KAFKA ('topic' = 'x')",
        "CREATE SOURCE x (a INT) FROM KAFKA ('topic' = 'x')",
        "CREATE SOURCE x (a INT) WITH ('connector' = 'kafka', 'topic' = 'x')",
        "CREATE TABLE x (a INT) WITH ('connector' = 'kafka')",
    ],
)
def test_connectors(base: laminardb.Connection, sql: str) -> None:
    with fails(laminardb.ConnectorError, 800):
        base.execute(sql)
    assert (base.list_tables(), base.list_sinks()) == (["s", "t", "k"], [])


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE t ADD COLUMN x INT",
        "ALTER SOURCE s ADD COLUMN x INT",
        "SET x = 1",
        "PRAGMA x",
        "USE x",
        "GRANT SELECT ON t TO x",
        "CREATE INDEX i ON t (a)",
        "CREATE SCHEMA x",
        "CREATE DATABASE x",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "MERGE INTO k USING t ON k.a = t.a WHEN MATCHED THEN DELETE",
        "COPY t TO 'x'",
        "VACUUM",
        "ANALYZE t",
        "SHOW nonsense",
        "CALL f()",
    ],
)
def test_other_statements_are_never_accepted_and_ignored(base: laminardb.Connection, sql: str) -> None:
    with pytest.raises(laminardb.QueryError) as caught:
        base.execute(sql)
    assert caught.value.code in (400, 401)
    assert base.list_tables() == ["s", "t", "k"]


@pytest.mark.parametrize("call", ["random()", "now()", "uuid()", "current_timestamp"])
def test_volatile_functions_in_views(base: laminardb.Connection, call: str) -> None:
    for sql in (f"CREATE STREAM v AS SELECT a, {call} AS r FROM s", f"CREATE STREAM v AS SELECT {call} AS r"):
        with fails(laminardb.StreamError, 600):
            base.execute(sql)
    assert base.list_streams() == []
    assert base.sql(f"SELECT {call} AS r").num_rows == 1


@pytest.mark.usefixtures("pa")
def test_a_query_has_one_moment(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (ts TIMESTAMP)")
    conn.execute("INSERT INTO t VALUES (TIMESTAMP '9999-12-31 00:00:00'), (TIMESTAMP '2024-01-01 00:00:00')")
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    result = conn.sql("SELECT now() AS n, current_timestamp AS m, current_date AS d, current_time AS t")
    after = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    assert [str(kind) for kind in result.schema.types] == [
        "timestamp[us]",
        "timestamp[us]",
        "date32[day]",
        "time64[us]",
    ]
    now, same, date, time = result.fetchall()[0]
    assert before <= now <= after
    assert (same, date, time) == (now, now.date(), now.time())
    assert conn.sql("SELECT count(*) FROM t WHERE ts > now()").fetchone() == (1,)
