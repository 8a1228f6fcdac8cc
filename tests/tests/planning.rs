//! The bound on planning, at every statement that plans a query.

use laminardb_dataflow::CancelToken;
use laminardb_planner::budget::within;
use laminardb_tests::Database;

/// A query that takes some thousand steps.
fn long_query() -> String {
    let branch = |at: usize| format!("SELECT x.k FROM t x JOIN t y ON x.k = y.k WHERE x.v > {at}");
    (0..30).map(branch).collect::<Vec<_>>().join(" UNION ALL ")
}

#[test]
fn what_is_too_large_to_plan_is_refused_and_changes_nothing() {
    let database = Database::new(1);
    database.run("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT); INSERT INTO t VALUES (1, 40)");
    let query = long_query();
    for begin in ["", "EXPLAIN ", "CREATE VIEW w AS ", "CREATE MATERIALIZED VIEW w AS ", "CREATE TABLE w AS "] {
        let (code, message) = within(500, &CancelToken::new(), || database.refused(&format!("{begin}{query}")));
        assert_eq!(code, 400, "{begin}: {message}");
        assert!(message.contains("too large to plan") && message.contains("500 steps"), "{begin}: {message}");
        assert_eq!(database.refused("SELECT * FROM w").0, 400, "{begin}");
    }
    assert_eq!(database.rows(&query).len(), 30);
    database.run(&format!("CREATE MATERIALIZED VIEW w AS {query}"));
    assert_eq!(database.rows("SELECT k FROM w").len(), 30);
}

#[test]
fn planning_ends_when_its_call_is_cancelled() {
    let database = Database::new(1);
    database.run("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT)");
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let session = database.session.with_cancel(&cancelled);
    let none = laminardb_bridge::Params::none();
    for begin in ["EXPLAIN ", ""] {
        let error = session.execute(&format!("{begin}{}", long_query()), &none).expect_err("it was cancelled");
        assert_eq!(error.code(), 402, "{begin}: {error}");
    }
    assert!(session.explain(&long_query(), &none).is_err());
}

/// Rounds of reads, writes and definitions go on beside the planning of a statement: if planning held what they need,
/// the first round would end after it.
#[test]
fn nobody_waits_for_the_planning_of_another() {
    let database = Database::new(1);
    database.run("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT)");
    let branch =
        |at: usize| format!("SELECT x.k FROM t x JOIN t y ON x.k = y.k JOIN t z ON y.v = z.k WHERE x.v > {at}");
    let long = (0..400).map(branch).collect::<Vec<_>>().join(" UNION ALL ");
    for begin in ["EXPLAIN ", "CREATE MATERIALIZED VIEW w AS ", "CREATE VIEW v AS ", "INSERT INTO t (k) "] {
        let cancel = CancelToken::new();
        let planner = database.shared.session().with_cancel(&cancel);
        let statement = format!("{begin}{long}");
        let planning = std::thread::spawn(move || planner.execute(&statement, &laminardb_bridge::Params::none()));
        let mut rounds = 0;
        while rounds < 3 && !planning.is_finished() {
            database.run(&format!("INSERT INTO t VALUES ({rounds}, 1)"));
            assert_eq!(database.rows(&format!("SELECT v FROM t WHERE k = {rounds}")), ["1"]);
            database.run("CREATE MATERIALIZED VIEW other AS SELECT v, count(*) AS n FROM t GROUP BY v");
            database.run("CREATE OR REPLACE VIEW plain AS SELECT * FROM other");
            database.run("DROP VIEW plain; DROP MATERIALIZED VIEW other; DELETE FROM t");
            rounds += 1;
        }
        assert_eq!(rounds, 3, "{begin}");
        cancel.cancel();
        drop(planning.join().expect("no panic"));
    }
}
