//! Checkpoints and restore, as a Rust program sees them.

use std::sync::mpsc;

use laminardb_bridge::{CancelToken, Next, Outcome, Params, RestoreFrom, SubscribeOptions, Target};
use laminardb_tests::{Bag, Database, Storage};

const DEFINITIONS: &str = "
    CREATE SOURCE trades (symbol VARCHAR NOT NULL, amount BIGINT DEFAULT 7, ts TIMESTAMP,
                          WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
    CREATE TABLE names (symbol VARCHAR PRIMARY KEY, \"Long Name\" VARCHAR);
    CREATE TABLE bag (a BIGINT);
    CREATE VIEW plain AS SELECT symbol, amount * 2 AS twice FROM trades;
    CREATE MATERIALIZED VIEW totals (s, total) AS SELECT symbol, sum(amount) FROM trades GROUP BY symbol;
    CREATE STREAM named AS SELECT n.\"Long Name\" AS name, t.total FROM totals t JOIN names n ON n.symbol = t.s;
    CREATE STREAM inverse AS SELECT CAST(symbol AS BIGINT) AS n FROM trades WITH ('on_error' = 'skip')";

fn fill(database: &Database) {
    database.run(
        "INSERT INTO trades (symbol, ts) VALUES ('a', TIMESTAMP '2020-01-01'), ('1', NULL);
         INSERT INTO trades VALUES ('a', 3, TIMESTAMP '2021-01-01');
         INSERT INTO names VALUES ('a', 'Alpha'), ('b', 'Beta');
         DELETE FROM names WHERE symbol = 'b';
         INSERT INTO bag VALUES (1), (1), (NULL)",
    );
}

fn check_filled(database: &Database) {
    assert_eq!(database.bag("SELECT symbol, amount FROM trades"), Bag::of(["a | 7", "1 | 7", "a | 3"]));
    assert_eq!(database.rows("SELECT * FROM names"), ["a | Alpha"]);
    assert_eq!(database.bag("SELECT * FROM bag"), Bag::of(["1", "1", "NULL"]));
    assert_eq!(database.bag("SELECT twice FROM plain"), Bag::of(["14", "14", "6"]));
    assert_eq!(database.bag("SELECT * FROM totals"), Bag::of(["a | 10", "1 | 7"]));
    assert_eq!(database.rows("SELECT * FROM named"), ["Alpha | 10"]);
    assert_eq!(database.rows("SELECT * FROM inverse"), ["1"]);
}

#[test]
fn a_fresh_database_becomes_what_was_checkpointed() {
    for (before, after) in [(1, 2), (2, 1)] {
        let storage = Storage::new();
        let first = storage.open(before);
        first.run(DEFINITIONS);
        fill(&first);
        let (catalog, time) = (first.shared.relations().expect("open"), first.shared.current_time());
        let taken = first.run("CHECKPOINT");
        assert!(matches!(taken, Outcome::Ddl { ddl_type: "CHECKPOINT", object: Some(name) } if name == "checkpoint_1"));
        let metrics = first.shared.all_source_metrics().expect("open");
        first.shared.close();

        let second = storage.open(after);
        let done = second.run("RESTORE FROM CHECKPOINT LATEST");
        assert!(matches!(done, Outcome::Ddl { ddl_type: "RESTORE", object: Some(name) } if name == "checkpoint_1"));
        assert_eq!(second.shared.current_time(), time);
        let restored = second.shared.relations().expect("open");
        assert_eq!(restored.len(), catalog.len());
        for (old, new) in catalog.iter().zip(&restored) {
            assert_eq!((old.name(), old.kind(), &old.sql, &old.reads), (new.name(), new.kind(), &new.sql, &new.reads));
            assert_eq!((&old.info.schema, &old.info.primary_key), (&new.info.schema, &new.info.primary_key));
            assert_eq!(old.watermark_column, new.watermark_column);
        }
        check_filled(&second);
        let now = second.shared.all_source_metrics().expect("open");
        for (old, new) in metrics.iter().zip(&now) {
            assert_eq!((old.total_events, old.watermark), (new.total_events, new.watermark), "{}", old.name);
        }
        // Everything goes on: views follow, keys are keys, defaults and watermarks are what they were.
        second.run("INSERT INTO names VALUES ('1', 'One'); INSERT INTO trades (symbol) VALUES ('1')");
        assert!(second.shared.current_time() > time);
        assert_eq!(second.bag("SELECT * FROM named"), Bag::of(["Alpha | 10", "One | 14"]));
        assert_eq!(second.refused("INSERT INTO names VALUES ('a', 'again')").0, 400);
        second.run("INSERT INTO trades VALUES ('x', 1, TIMESTAMP '2022-01-01')");
        let moved = second.shared.source_metrics("trades").expect("open").expect("it is there").watermark;
        assert_eq!(moved, 1_640_995_195_000);
        assert_eq!(second.run("CHECKPOINT").id(), "checkpoint_2");
    }
}

/// The object of a definition.
trait Object {
    fn id(self) -> String;
}

impl Object for Outcome {
    fn id(self) -> String {
        match self {
            Outcome::Ddl { object: Some(object), .. } => object,
            other => panic!("no definition: {other:?}"),
        }
    }
}

#[test]
fn a_restore_replaces_everything_and_ends_subscriptions() {
    let storage = Storage::new();
    let database = storage.open(2);
    database.run(DEFINITIONS);
    fill(&database);
    let id = database.session.checkpoint().expect("it is taken");
    database.run("INSERT INTO trades VALUES ('z', 1, NULL); CREATE TABLE later (a BIGINT); DROP STREAM named");
    let subscribe = |target| database.session.subscribe(target, SubscribeOptions::default()).expect("it is there");
    let none = Params::none();
    let ended = [
        subscribe(Target::Relation("totals")),
        subscribe(Target::Relation("later")),
        subscribe(Target::Sql("SELECT count(*) AS n FROM trades", &none)),
    ];
    let writer = database.session.writer("trades").expect("it is there");
    let time = database.shared.current_time();
    database.run("INSERT INTO trades VALUES ('last', 1, NULL)");
    assert_eq!(database.session.restore(RestoreFrom::Checkpoint(id)).expect("it is there"), id);
    assert!(database.shared.current_time() > time + 1, "a restore has a time of its own");
    for (subscription, mut batches) in ended.into_iter().zip([2, 0, 2]) {
        loop {
            match subscription.next(None) {
                Ok(Next::Batch(_)) => batches -= 1,
                Ok(other) => panic!("not the end of a subscription that is lost: {other:?}"),
                Err(error) => break assert_eq!(error.code(), 501, "{error}"),
            }
        }
        assert_eq!(batches, 0, "what was written before is still delivered");
    }
    assert_eq!(writer.insert(&database.session, Vec::new()).expect_err("its relation is gone").code(), 200);
    assert_eq!(writer.advance_watermark(5).expect_err("its relation is gone").code(), 200);
    check_filled(&database);
    assert_eq!(database.refused("SELECT * FROM later").0, 400);
    let report = database.shared.engine_report().expect("it runs");
    assert_eq!(report.views.len(), 3, "the views before are gone");
    let follower = subscribe(Target::Relation("totals"));
    let Ok(Next::Batch(snapshot)) = follower.next(None) else { panic!("there are rows") };
    assert_eq!(snapshot.rows.num_rows(), 2);
    database.run("INSERT INTO trades VALUES ('a', 1, NULL)");
    let Ok(Next::Batch(change)) = follower.next(None) else { panic!("a change") };
    assert_eq!(change.rows.num_rows(), 2);
    drop(follower);
    for _ in 0..3 {
        database.run("RESTORE FROM CHECKPOINT 1");
        check_filled(&database);
    }
}

#[test]
fn a_restore_that_fails_changes_nothing() {
    let storage = Storage::new();
    let database = storage.open(1);
    database.run(DEFINITIONS);
    assert_eq!(database.refused("RESTORE FROM CHECKPOINT LATEST").0, 700);
    database.run("CHECKPOINT");
    fill(&database);
    let time = database.shared.current_time();
    assert_eq!(database.refused("RESTORE FROM CHECKPOINT 2").0, 700);
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let interrupted = database.session.with_cancel(&cancelled).restore(RestoreFrom::Latest);
    assert_eq!(interrupted.expect_err("given up").code(), 402);
    std::fs::write(storage.0.join("checkpoint_1/relation_0.arrow"), "damaged").expect("writable");
    assert_eq!(database.refused("RESTORE FROM CHECKPOINT 1").0, 700);
    check_filled(&database);
    assert_eq!(database.shared.current_time(), time);
    assert_eq!(database.shared.engine_report().expect("it runs").views.len(), 3);
    database.shared.shutdown().expect("it ends");
    assert_eq!(database.refused("CHECKPOINT").0, 901);
    database.shared.close();
    assert_eq!(database.refused("CHECKPOINT").0, 101);
}

#[test]
fn a_restore_that_waits_ends_as_the_database_does() {
    for close in [true, false] {
        let storage = Storage::new();
        let database = storage.open(1);
        database.run("CREATE TABLE t (a BIGINT); CHECKPOINT; BEGIN; INSERT INTO t VALUES (1)");
        let (waits, waiting) = mpsc::channel();
        let restored = std::thread::scope(|scope| {
            let restore = scope.spawn(|| database.other().telling(&waits).session.restore(RestoreFrom::Latest));
            waiting.recv().expect("it waits for the transaction");
            if close {
                database.shared.close();
            } else {
                database.shared.shutdown().expect("it ends");
            }
            restore.join().expect("no panic")
        });
        assert_eq!(restored.expect_err("nothing is left to restore to").code(), if close { 101 } else { 901 });
    }
}

#[test]
fn the_order_of_a_view_comes_back() {
    let storage = Storage::new();
    let database = storage.open(1);
    database.run("CREATE TABLE t (g VARCHAR, n BIGINT)");
    database.run("INSERT INTO t VALUES ('c', 1), ('a', 2), ('b', 3), ('d', 0)");
    database.run("CREATE MATERIALIZED VIEW v AS SELECT g, sum(n) AS s FROM t GROUP BY g ORDER BY s DESC");
    database.run("CHECKPOINT; TRUNCATE t; RESTORE FROM CHECKPOINT LATEST");
    assert_eq!(database.rows("SELECT * FROM v"), ["b | 3", "a | 2", "c | 1", "d | 0"]);
}
