//! A statement whose table is replaced while it runs or waits is bound anew, as if it had come later.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use laminardb_bridge::{CancelToken, Outcome, Params};
use laminardb_tests::Database;

/// Runs `statement`, which reads `slow`, and beside it a replacement of `t`; returns the number of rows it changed.
fn beside_a_replacement(statement: &str) -> (Database, u64) {
    let database = Database::new(1);
    database.run("CREATE TABLE t (x BIGINT PRIMARY KEY, v BIGINT); INSERT INTO t VALUES (1, 1), (2, 2)");
    database.run("CREATE TABLE big (x BIGINT PRIMARY KEY)");
    let rows = (0..1500).map(|x| format!("({x})")).collect::<Vec<_>>().join(", ");
    database.run(&format!("INSERT INTO big VALUES {rows}"));
    database.run("CREATE VIEW slow AS SELECT count(*) AS n FROM big a, big b WHERE a.x + b.x = -1");
    let (other, is_replaced) = (database.other(), AtomicBool::new(false));
    let waiting = CancelToken::polled(Duration::from_millis(1), move || {
        if !is_replaced.swap(true, Ordering::SeqCst) {
            other.run("CREATE OR REPLACE TABLE t (x BIGINT PRIMARY KEY, w BIGINT, v BIGINT)");
            other.run("INSERT INTO t VALUES (3, 3, 3), (4, 4, 4), (5, 5, 5)");
        }
        false
    });
    let changed = match database.session.with_cancel(&waiting).execute(statement, &Params::none()) {
        Ok(Outcome::Rows(rows)) => rows,
        other => panic!("{statement}: {other:?}"),
    };
    (database, changed)
}

#[test]
fn an_insert_goes_to_the_table_that_is_there() {
    let (database, changed) = beside_a_replacement("INSERT INTO t (x, v) SELECT 9, n FROM slow");
    assert_eq!(
        (changed, database.rows("SELECT x, w, v FROM t WHERE x > 4 ORDER BY x")),
        (1, rows(&["5 | 5 | 5", "9 | NULL | 0"]))
    );
}

#[test]
fn an_upsert_goes_to_the_table_that_is_there() {
    let insert = "INSERT INTO t (x, v) SELECT 3, n FROM slow ON CONFLICT (x) DO UPDATE SET v = excluded.v + t.v";
    let (database, changed) = beside_a_replacement(insert);
    assert_eq!((changed, database.rows("SELECT x, w, v FROM t WHERE x = 3")), (1, rows(&["3 | 3 | 3"])));
}

#[test]
fn an_update_changes_the_table_that_is_there() {
    let (database, changed) = beside_a_replacement("UPDATE t SET v = 7 + (SELECT n FROM slow) WHERE x < 5");
    assert_eq!((changed, database.rows("SELECT x, v FROM t ORDER BY x")), (2, rows(&["3 | 7", "4 | 7", "5 | 5"])));
}

#[test]
fn a_delete_removes_from_the_table_that_is_there() {
    let (database, changed) = beside_a_replacement("DELETE FROM t WHERE x > 3 + (SELECT n FROM slow)");
    assert_eq!((changed, database.rows("SELECT x FROM t ORDER BY x")), (2, rows(&["3"])));
}

fn rows(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
