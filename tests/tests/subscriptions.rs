//! Subscriptions end to end: snapshot and changes, pairs, many readers, ends.

use std::time::Duration;

use laminardb_bridge::{Bounds, Next, Params, SubscribeOptions, Target};
use laminardb_tests::{Database, Follower};

const TABLES: &str = "CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT); CREATE TABLE bag (k BIGINT); CREATE SOURCE s (k BIGINT, v BIGINT)";

fn without_snapshot() -> SubscribeOptions {
    SubscribeOptions { snapshot: false, ..SubscribeOptions::default() }
}

#[test]
fn an_updated_group_is_one_pair() {
    for workers in [1, 2, 4] {
        let database = Database::new(workers);
        database.run(TABLES);
        database.run("CREATE MATERIALIZED VIEW n AS SELECT k, count(*) AS n FROM s GROUP BY k");
        database.run("INSERT INTO s VALUES (1, 0), (1, 0), (2, 0)");
        let mut follower = Follower::of(&database, "n");
        let mut snapshot = follower.changes().expect("a snapshot");
        snapshot.sort();
        assert_eq!(snapshot, ["Insert 1 | 2", "Insert 2 | 1"]);
        database.run("INSERT INTO s VALUES (2, 0)");
        assert_eq!(follower.changes().expect("a change"), ["UpdateDelete 2 | 1", "UpdateInsert 2 | 2"]);
        database.run("INSERT INTO s VALUES (3, 0)");
        assert_eq!(follower.changes().expect("a change"), ["Insert 3 | 1"]);
    }
}

#[test]
fn a_relation_gives_its_own_changes() {
    let database = Database::new(2);
    database.run(TABLES);
    let mut source = Follower::of_query(&database, "SELECT * FROM s");
    let mut table = Follower::of(&database, "t");
    let mut bag = Follower::of(&database, "bag");
    database.run("INSERT INTO s VALUES (1, 2)");
    assert_eq!(source.changes().expect("rows"), ["Insert 1 | 2"]);
    database.run("INSERT INTO t VALUES (1, 10)");
    assert_eq!(table.changes().expect("rows"), ["Insert 1 | 10"]);
    database.run("INSERT OR REPLACE INTO t VALUES (1, 11)");
    assert_eq!(table.changes().expect("rows"), ["UpdateDelete 1 | 10", "UpdateInsert 1 | 11"]);
    // An equal replacement is no change.
    database.run("INSERT OR REPLACE INTO t VALUES (1, 11); DELETE FROM t WHERE k = 1");
    assert_eq!(table.changes().expect("rows"), ["Delete 1 | 11"]);
    database.run("INSERT INTO bag VALUES (7), (7)");
    assert_eq!(bag.changes().expect("rows"), ["Insert 7", "Insert 7"]);
    database.run("DELETE FROM bag");
    assert_eq!(bag.changes().expect("rows"), ["Delete 7", "Delete 7"]);
}

#[test]
fn any_number_of_readers_each_get_everything() {
    let database = Database::new(2);
    database.run(TABLES);
    database.run("CREATE STREAM big AS SELECT k, v FROM s WHERE v > 10");
    let mut followers: Vec<Follower> = (0..5).map(|_| Follower::of(&database, "big")).collect();
    database.run("INSERT INTO s VALUES (1, 11), (2, 2)");
    let late = Follower::of(&database, "big");
    database.run("INSERT INTO s VALUES (3, 13)");
    database.session.wait(None).expect("the engine works");
    let expected = database.bag("SELECT k, v FROM s WHERE v > 10");
    // One that goes away does not matter to the others.
    drop(followers.swap_remove(2));
    database.run("INSERT INTO s VALUES (4, 14)");
    database.session.wait(None).expect("the engine works");
    let after = database.bag("SELECT k, v FROM s WHERE v > 10");
    assert_ne!(expected, after);
    for follower in followers.iter_mut().chain([late].iter_mut()) {
        assert_eq!(follower.catch_up(), &after);
    }
}

#[test]
fn without_a_snapshot_only_later_changes_come() {
    let database = Database::new(1);
    database.run(TABLES);
    database.run("INSERT INTO s VALUES (1, 1)");
    let subscription = database.session.subscribe(Target::Relation("s"), without_snapshot()).expect("subscribed");
    database.run("INSERT INTO s VALUES (2, 2)");
    let Ok(Next::Batch(batch)) = subscription.next(Some(Duration::from_secs(60))) else { panic!("a batch") };
    assert!(!batch.is_snapshot);
    assert_eq!(laminardb_tests::oracle::lines(&batch), ["Insert 2 | 2"]);
}

#[test]
fn constants_are_delivered_and_end() {
    let database = Database::new(1);
    let mut follower = Follower::of_query(&database, "SELECT 1 AS one UNION ALL SELECT 2");
    assert_eq!(follower.changes().expect("rows").len(), 2);
    assert_eq!(follower.changes(), None);
    assert!(!follower.subscription().is_active());
}

#[test]
fn a_query_of_its_own_is_maintained_and_goes_with_the_subscription() {
    let database = Database::new(2);
    database.run(TABLES);
    let sql = "SELECT k, sum(v) AS total FROM s GROUP BY k";
    let mut follower = Follower::of_query(&database, sql);
    database.run("INSERT INTO s VALUES (1, 1); INSERT INTO s VALUES (1, 2)");
    database.session.wait(None).expect("the engine works");
    assert_eq!(follower.catch_up(), &database.bag(sql));
    assert_eq!(database.shared.engine_report().expect("a report").views.len(), 1);
    assert_eq!(database.shared.queries().iter().filter(|query| query.active).count(), 1);
    drop(follower);
    assert!(database.shared.engine_report().expect("a report").views.is_empty());
    assert!(database.shared.queries().iter().all(|query| !query.active));
}

#[test]
fn cancelling_wakes_a_reader_and_is_listed() {
    let database = Database::new(1);
    database.run(TABLES);
    let subscription =
        database.session.subscribe(Target::Relation("s"), SubscribeOptions::default()).expect("subscribed");
    let reader = {
        let subscription = subscription.clone();
        std::thread::spawn(move || matches!(subscription.next(None), Ok(Next::Ended)))
    };
    let id = database.shared.queries().iter().find(|query| query.active).expect("it is listed").id;
    database.shared.cancel_query(id).expect("it runs");
    assert!(reader.join().expect("no panic"));
    assert!(!subscription.is_active());
    database.shared.cancel_query(id).expect("nothing to do");
    assert_eq!(database.shared.cancel_query(12_345).expect_err("never given").code(), 200);
}

#[test]
fn dropping_a_relation_ends_its_readers_after_what_is_pending() {
    for workers in [1, 2] {
        let database = Database::new(workers);
        database.run(TABLES);
        database.run("CREATE MATERIALIZED VIEW n AS SELECT k, count(*) AS n FROM s GROUP BY k");
        let mut of_view = Follower::of(&database, "n");
        let mut of_query = Follower::of_query(&database, "SELECT n + 1 AS m FROM n");
        let mut of_source = Follower::of(&database, "s");
        let mut of_table = Follower::of(&database, "t");
        database.run("INSERT INTO s VALUES (1, 1)");
        database.run("DROP SOURCE s CASCADE");
        assert_eq!(of_view.changes().expect("pending"), ["Insert 1 | 1"]);
        assert_eq!(of_view.failure().code(), 501);
        assert_eq!(of_view.changes(), None);
        assert_eq!(of_query.changes().expect("pending"), ["Insert 2"]);
        assert_eq!(of_query.failure().code(), 501);
        assert_eq!(of_source.changes().expect("pending"), ["Insert 1 | 1"]);
        assert_eq!(of_source.failure().code(), 501);
        database.run("INSERT INTO t VALUES (1, 1)");
        assert_eq!(of_table.changes().expect("it lives"), ["Insert 1 | 1"]);
    }
}

#[test]
fn replacing_a_view_ends_its_readers() {
    let database = Database::new(1);
    database.run(TABLES);
    database.run("CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM s");
    let mut follower = Follower::of(&database, "n");
    database.run("CREATE OR REPLACE MATERIALIZED VIEW n AS SELECT sum(v) AS n FROM s");
    assert_eq!(follower.changes().expect("the snapshot"), ["Insert 0"]);
    assert_eq!(follower.failure().code(), 501);
}

#[test]
fn shutdown_delivers_what_is_pending_and_ends() {
    let database = Database::new(2);
    database.run(TABLES);
    database.run("CREATE MATERIALIZED VIEW n AS SELECT k, count(*) AS n FROM s GROUP BY k");
    let mut follower = Follower::of(&database, "n");
    database.run("INSERT INTO s VALUES (1, 1)");
    database.shared.shutdown().expect("it stops");
    assert_eq!(follower.changes().expect("pending"), ["Insert 1 | 1"]);
    assert_eq!(follower.changes(), None);
}

#[test]
fn a_slow_reader_is_told_and_ended() {
    let database = Database::new(1);
    database.run(TABLES);
    let options = SubscribeOptions { snapshot: true, bounds: Bounds::of_rows(2) };
    let slow = database.session.subscribe(Target::Relation("s"), options).expect("subscribed");
    for value in 0..4 {
        database.run(&format!("INSERT INTO s VALUES ({value}, 1), ({value}, 2)"));
        // Each write its own time, so that times close one by one.
        database.session.wait(None).expect("the engine works");
    }
    assert_eq!(slow.next(None).expect_err("it lagged").code(), 503);
    assert!(matches!(slow.next(None), Ok(Next::Ended)));
    assert!(database.shared.metrics().expect("open").total_events_dropped > 0);
}

#[test]
fn bad_targets_are_refused() {
    let database = Database::new(1);
    database.run(TABLES);
    let subscribe = |sql: &str| {
        let target = Target::Sql(sql, &Params::none());
        database.session.subscribe(target, SubscribeOptions::default()).map(|_| ()).expect_err(sql).code()
    };
    assert_eq!(subscribe("SELECT nope FROM t"), 400);
    assert_eq!(subscribe("SELECT k FROM"), 401);
    assert_eq!(subscribe("INSERT INTO t VALUES (9, 9)"), 400);
    assert_eq!(subscribe("SELECT random() AS r FROM t"), 600);
    let unknown = database.session.subscribe(Target::Relation("nope"), SubscribeOptions::default());
    assert_eq!(unknown.map(|_| ()).expect_err("unknown").code(), 200);
    assert_eq!(database.rows("SELECT count(*) FROM t"), ["0"]);
}
