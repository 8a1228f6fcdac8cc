//! Rows that an expression fails on: the write succeeds, the view refuses until the row is gone.

use laminardb_tests::{Bag, Database, Follower};

#[test]
fn a_view_with_a_failing_row_refuses_until_the_row_is_gone() {
    for workers in [1, 2] {
        for definition in [
            "SELECT id, CAST(s AS BIGINT) AS n FROM t",
            "SELECT id, count(*) AS c, sum(CAST(s AS BIGINT)) AS n FROM t GROUP BY id",
        ] {
            let database = Database::new(workers);
            database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, s VARCHAR)");
            database.run(&format!("CREATE MATERIALIZED VIEW v AS {definition}"));
            database.run("CREATE MATERIALIZED VIEW above AS SELECT id, n * 2 AS m FROM v WHERE id > 0");
            let mut follower = Follower::of(&database, "v");
            let mut upper = Follower::of(&database, "above");
            database.run("INSERT INTO t VALUES (1, '1')");
            assert_eq!(database.rows("SELECT id, n FROM v"), ["1 | 1"]);
            assert_eq!(database.changed("INSERT INTO t VALUES (2, 'two'), (3, '3')"), 2);
            let (code, text) = database.refused("SELECT id FROM v");
            assert_eq!(code, 400, "{definition}");
            assert!(text.contains("view v") && text.contains("two"), "{text}");
            assert_eq!(database.refused("SELECT m FROM above").0, 400);
            assert_eq!(follower.failure().code(), 600);
            assert_eq!(upper.failure().code(), 600);
            let mut late = Follower::of(&database, "v");
            assert_eq!(late.failure().code(), 600);
            assert_eq!(database.rows("SELECT count(*) FROM t"), ["3"]);
            database.run("DELETE FROM t WHERE id = 2");
            assert_eq!(database.bag("SELECT id, n FROM v"), Bag::of(["1 | 1", "3 | 3"]));
            assert_eq!(database.bag("SELECT m FROM above"), Bag::of(["2", "6"]));
            let mut again = Follower::of(&database, "v");
            again.catch_up();
            database.run("UPDATE t SET s = '30' WHERE id = 3");
            database.session.wait(None, &|| false).expect("the engine works");
            assert_eq!(again.catch_up(), &database.bag("SELECT * FROM v"));
        }
    }
}

#[test]
fn a_view_that_skips_leaves_failing_rows_out() {
    for workers in [1, 2] {
        let database = Database::new(workers);
        database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, s VARCHAR)");
        database.run("CREATE STREAM v AS SELECT id, CAST(s AS BIGINT) AS n FROM t WITH ('on_error' = 'skip')");
        let mut follower = Follower::of(&database, "v");
        database.run("INSERT INTO t VALUES (1, '1'), (2, 'two')");
        assert_eq!(database.rows("SELECT * FROM v"), ["1 | 1"]);
        assert_eq!(follower.changes().expect("the good row"), ["Insert 1 | 1"]);
        database.run("UPDATE t SET s = '2' WHERE id = 2");
        assert_eq!(follower.changes().expect("the mended row"), ["Insert 2 | 2"]);
    }
}

#[test]
fn overflow_and_bad_casts_fail_queries_and_not_the_session() {
    let database = Database::new(1);
    database.run("CREATE TABLE t (a BIGINT, s VARCHAR)");
    database.run("INSERT INTO t VALUES (9223372036854775807, 'x')");
    for sql in ["SELECT a + 1 FROM t", "SELECT a * 2 FROM t", "SELECT CAST(s AS BIGINT) FROM t", "SELECT -a - 2 FROM t"]
    {
        assert_eq!(database.refused(sql).0, 400, "{sql}");
    }
    assert_eq!(database.rows("SELECT a / 0 AS q, a % 0 AS r FROM t"), ["NULL | NULL"]);
    assert_eq!(database.rows("SELECT CASE WHEN s = 'x' THEN 0 ELSE CAST(s AS BIGINT) END AS n FROM t"), ["0"]);
}

#[test]
fn a_bad_write_stores_nothing() {
    let database = Database::new(1);
    database.run("CREATE TABLE t (a BIGINT NOT NULL, b TINYINT)");
    for sql in [
        "INSERT INTO t VALUES (1, 1), (NULL, 2)",
        "INSERT INTO t VALUES (1, 1), (2, 300)",
        "INSERT INTO t VALUES ('x', 1)",
    ] {
        assert_eq!(database.refused(sql).0, 400, "{sql}");
    }
    assert_eq!(database.rows("SELECT count(*) FROM t"), ["0"]);
    assert_eq!(database.session.current_time(), 0);
}
