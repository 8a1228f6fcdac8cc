//! Rows that an expression fails on: the write succeeds, the view refuses until the row is gone.

use laminardb_bridge::Params;
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
            database.session.wait(None).expect("the engine works");
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
    assert_eq!(database.shared.current_time().0, 0);
}

#[test]
fn no_text_of_an_error_holds_a_whole_long_value() {
    const MOST: usize = 1_100;
    let database = Database::new(1);
    database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, s VARCHAR, n TINYINT)");
    let long = "x ".repeat(100_000);
    let name = "n".repeat(3_000);
    database.run(&format!("INSERT INTO t VALUES (1, '{long}', 1)"));
    database.run("CREATE MATERIALIZED VIEW fails AS SELECT id, CAST(s AS BIGINT) AS v FROM t");
    database.run("CREATE MATERIALIZED VIEW sums AS SELECT sum(CAST(s AS BIGINT)) AS v FROM t");
    database.run("CREATE STREAM skips AS SELECT id, CAST(s AS BIGINT) AS v FROM t WITH ('on_error' = 'skip')");
    for (statement, says) in [
        ("SELECT * FROM fails".to_owned(), "view fails has a row"),
        ("SELECT * FROM sums".to_owned(), "view sums has a row"),
        ("SELECT CAST(s AS BIGINT) AS v FROM t".to_owned(), "x x x"),
        ("SELECT CAST(s AS DATE) AS v FROM t".to_owned(), "x x x"),
        (format!("SELECT CAST('{long}' AS BIGINT) AS v"), "x x x"),
        (format!("SELECT * FROM {name}"), "does not exist at line 1, column 15"),
        (format!("SELECT {name} FROM t"), "does not exist at line 1, column 8"),
        (format!("SELECT {name}(1)"), "nnn"),
        (format!("SELECT a b {name}"), "at line 1, column 12"),
        (format!("SELECT 'x' '{long}' 1 1"), "at line 1"),
        (format!("CREATE TABLE t (a BIGINT, {name} NOPE)"), "type NOPE is not supported"),
        (format!("CREATE TABLE t (a BIGINT, {name} BIGINT UNIQUE)"), "is not supported at line 1"),
        (format!("DROP TABLE {name}"), "Table not found: nnn"),
        (format!("INSERT INTO t VALUES (2, 'a', '{long}')"), "x x x"),
        (format!("INSERT INTO t ({name}) VALUES (1)"), "does not exist"),
        ("UPDATE t SET n = CAST(s AS TINYINT)".to_owned(), "x x x"),
        ("DELETE FROM t WHERE CAST(s AS TINYINT) = 1".to_owned(), "x x x"),
        (
            "INSERT INTO t SELECT id, s, n FROM t ON CONFLICT (id) DO UPDATE SET n = CAST(s AS TINYINT)".to_owned(),
            "x x",
        ),
    ] {
        let head: String = statement.chars().take(60).collect();
        let error = database.session.execute(&statement, &Params::none()).expect_err("it fails");
        let text = error.message();
        assert!(text.chars().count() <= MOST, "{head}: {} characters: {}", text.len(), &text[..300]);
        assert!(text.contains(says), "{head}: {text}");
        assert!(!text.contains(&long[..301]) && !text.contains(&name[..301]), "{head}: a value of 301: {text}");
    }
    let mut follower = Follower::of(&database, "fails");
    let failed = follower.failure().message();
    assert!(failed.chars().count() <= MOST, "{failed}");
    let left_out = database.session.left_out("skips").expect("it leaves rows out");
    let [row] = &left_out[..] else { panic!("one row fails: {left_out:?}") };
    for text in [&row.expression, &row.message, &row.row] {
        assert!(text.chars().count() <= MOST && !text.contains(&long[..301]), "{row:?}");
    }
    assert!(row.row.starts_with("(1, x x x"), "{row:?}");
    // What the row is can be mended as ever.
    database.run("UPDATE t SET s = '5'");
    assert_eq!(database.rows("SELECT v FROM skips"), ["5"]);
    assert_eq!(database.rows("SELECT v FROM fails"), ["5"]);
}
