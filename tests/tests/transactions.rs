//! Transactions: several statements of one session are one write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use laminardb_bridge::ingest::Extra;
use laminardb_bridge::{CancelToken, Error, Outcome, Params, Session, SubscribeOptions, Target};
use laminardb_tests::random::{Random, seeds};
use laminardb_tests::{Bag, Database, Follower};
use parking_lot::Mutex;

fn tables() -> Database {
    let database = Database::new(2);
    database.run(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, k BIGINT, v BIGINT);
         CREATE TABLE b (k BIGINT, v BIGINT);
         CREATE SOURCE s (k BIGINT, v BIGINT);
         CREATE VIEW every AS SELECT k, v FROM t UNION ALL SELECT * FROM b UNION ALL SELECT * FROM s;
         CREATE MATERIALIZED VIEW totals AS SELECT k, count(*) AS n, sum(v) AS total FROM every GROUP BY k;
         CREATE MATERIALIZED VIEW pairs AS SELECT t.id, b.v FROM t JOIN b ON t.k = b.k",
    );
    database
}

#[test]
fn the_statements_are_ddl_without_an_object() {
    let database = tables();
    for (sql, word) in
        [("BEGIN", "BEGIN"), ("COMMIT", "COMMIT"), ("START TRANSACTION", "BEGIN"), ("ROLLBACK", "ROLLBACK")]
    {
        let Outcome::Ddl { ddl_type, object } = database.run(sql) else { panic!("{sql} gave something else") };
        assert_eq!((ddl_type, object), (word, None));
    }
}

#[test]
fn what_a_transaction_does_not_allow() {
    let database = tables();
    for sql in ["COMMIT", "ROLLBACK"] {
        assert_eq!(database.refused(sql), (400, "no transaction is open".to_owned()));
    }
    database.run("BEGIN; INSERT INTO b VALUES (1, 1)");
    for sql in [
        "BEGIN",
        "CREATE TABLE x (a BIGINT)",
        "CREATE TABLE x AS SELECT 1 AS a",
        "CREATE VIEW x AS SELECT 1 AS a",
        "CREATE STREAM x AS SELECT * FROM t",
        "DROP TABLE t CASCADE",
        "CHECKPOINT",
        "RESTORE FROM CHECKPOINT LATEST",
        "SELECT * FROM totals",
        "SELECT k, (SELECT max(n) FROM totals) AS m FROM b",
        "INSERT INTO b SELECT k, n FROM totals",
        "DELETE FROM b WHERE k IN (SELECT k FROM totals)",
        "UPDATE b SET v = (SELECT max(n) FROM totals)",
    ] {
        let (code, text) = database.refused(sql);
        assert_eq!(code, 400, "{sql}: {text}");
        assert!(text.contains("transaction"), "{sql}: {text}");
    }
    let snapshot = database.session.subscribe(Target::Relation("t"), SubscribeOptions::default());
    assert_eq!(snapshot.err().map(|error| error.code()), Some(400));
    let (code, why) = database.other().refused("COMMIT");
    assert!(code == 400 && why.contains("of another session"), "{code} {why}");
    assert_eq!(database.rows("SELECT k, v FROM b"), ["1 | 1"]);
    database.run("COMMIT");
    assert_eq!(database.rows("SELECT k, n FROM totals"), ["1 | 1"]);
}

#[test]
fn a_failing_statement_is_undone_alone() {
    let database = tables();
    database.run("INSERT INTO t VALUES (1, 1, 1)");
    database.run("BEGIN");
    database.run("INSERT INTO t VALUES (2, 2, 2)");
    assert_eq!(database.refused("INSERT INTO t VALUES (3, 3, 3), (2, 2, 2)").0, 400);
    assert_eq!(database.refused("UPDATE t SET id = 2").0, 400);
    database.run("UPDATE t SET v = 20 WHERE id = 2");
    database.run("COMMIT");
    assert_eq!(database.rows("SELECT * FROM t ORDER BY id"), ["1 | 1 | 1", "2 | 2 | 20"]);
    assert_eq!(database.rows("SELECT * FROM totals ORDER BY k"), ["1 | 1 | 1", "2 | 1 | 20"]);
}

#[test]
fn a_new_view_and_a_new_subscription_of_others_start_with_the_committed_rows() {
    let database = tables();
    database.run("INSERT INTO t VALUES (1, 1, 1); INSERT INTO b VALUES (1, 1)");
    database.run("BEGIN; UPDATE t SET v = 5; DELETE FROM b; INSERT INTO s VALUES (7, 7)");
    let mut follower = Follower::of_query(&database.other(), "SELECT k, sum(v) AS total FROM every GROUP BY k");
    let mut rows = Follower::of(&database.other(), "t");
    assert_eq!(follower.changes(), Some(vec!["Insert 1 | 2".to_owned()]));
    assert_eq!(rows.changes(), Some(vec!["Insert 1 | 1 | 1".to_owned()]));
    let (waits, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let definer = scope.spawn(|| {
            database.other().telling(&waits).run("CREATE MATERIALIZED VIEW late AS SELECT * FROM b");
        });
        waiting.recv().expect("it waits");
        database.run("COMMIT");
        definer.join().expect("its turn came");
    });
    assert_eq!(rows.changes(), Some(vec!["UpdateDelete 1 | 1 | 1".to_owned(), "UpdateInsert 1 | 1 | 5".to_owned()]));
    assert!(database.rows("SELECT * FROM late").is_empty());
    database.session.wait(None).expect("the engine works");
    assert_eq!(follower.catch_up(), &Bag::of(["1 | 5", "7 | 7"]));
}

#[test]
fn close_and_shutdown_end_a_transaction_and_wake_who_waits() {
    for close in [true, false] {
        let database = tables();
        database.run("BEGIN; INSERT INTO b VALUES (1, 1)");
        let (waits, waiting) = mpsc::channel();
        let ended = if close { Error::ConnectionClosed } else { Error::Shutdown };
        std::thread::scope(|scope| {
            let waiters: Vec<_> = ["INSERT INTO b VALUES (2, 2)", "DELETE FROM t", "BEGIN", "DROP TABLE t CASCADE"]
                .map(|sql| {
                    let session = database.other().telling(&waits).session;
                    scope.spawn(move || session.execute(sql, &Params::none()).map(|_| ()))
                })
                .into_iter()
                .collect();
            waiting.recv().expect("one waits");
            if close {
                database.shared.close()
            } else {
                database.shared.shutdown().expect("it ends")
            }
            for waiter in waiters {
                assert_eq!(waiter.join().expect("no panic"), Err(ended.clone()));
            }
        });
        assert_eq!(database.session.commit(), Err(ended));
    }
}

/// What a write of another session that waits for a transaction comes to when its table has become another one meanwhile.
fn written_after_its_table_was_replaced(
    database: &Database,
    write: impl FnOnce(&Session) -> Result<u64, Error> + Send,
) -> Result<u64, Error> {
    database.run("DROP TABLE IF EXISTS one; CREATE TABLE one (a BIGINT); BEGIN; INSERT INTO one VALUES (1)");
    let (waits, waiting) = mpsc::channel();
    let (ends, ended) = mpsc::channel();
    let ended = Mutex::new(ended);
    let replaced = Arc::new(AtomicBool::new(false));
    let replaces = {
        let (replaced, third) = (Arc::clone(&replaced), database.other());
        move || {
            if !replaced.swap(true, Ordering::SeqCst) {
                waits.send(()).expect("the test listens");
                ended.lock().recv().expect("it commits");
                third.run("DROP TABLE one; CREATE TABLE one (a BIGINT)");
            }
            false
        }
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let replaces = CancelToken::polled(Duration::from_millis(10), replaces);
            write(&database.shared.session().with_cancel(&replaces))
        });
        waiting.recv().expect("it waits");
        database.run("COMMIT");
        ends.send(()).expect("it waits");
        let written = writer.join().expect("no panic");
        assert!(replaced.load(Ordering::SeqCst));
        written
    })
}

#[test]
fn a_write_whose_table_is_replaced_while_it_waits() {
    let database = Database::new(1);
    let by_name = |session: &Session| session.insert_csv("one", "a\n7\n", Extra::Refuse);
    assert_eq!(written_after_its_table_was_replaced(&database, by_name), Ok(1));
    assert_eq!(database.rows("SELECT * FROM one"), ["7"], "it goes to the new one");
    let statement = |session: &Session| session.execute("INSERT INTO one VALUES (8)", &Params::none()).map(|_| 0);
    assert_eq!(written_after_its_table_was_replaced(&database, statement), Ok(0));
    assert_eq!(database.rows("SELECT * FROM one"), ["8"], "it is bound anew");
    let writing = |session: &Session| session.writer("one")?.insert(session, Vec::new());
    let refused = written_after_its_table_was_replaced(&database, writing).expect_err("it is of the old one");
    assert_eq!(refused.code(), 200, "{refused}");
    assert!(refused.to_string().contains("was replaced"), "{refused}");
    assert!(database.rows("SELECT * FROM one").is_empty());
}

#[test]
fn one_transaction_is_used_from_three_threads() {
    let database = tables();
    let other = database.other();
    let mut follower = Follower::of(&other, "totals");
    let time = database.shared.current_time();
    let transaction = database.session.begin().expect("nobody else has one");
    std::thread::scope(|scope| {
        for k in 0..3 {
            let (part, other) = (Database::of(Session::within(&transaction)), &other);
            scope.spawn(move || {
                for row in 1..=20 {
                    part.run(&format!(
                        "INSERT INTO t VALUES ({}, {k}, 1); INSERT INTO b VALUES ({k}, 1)",
                        k * 100 + row
                    ));
                    assert_eq!(part.rows(&format!("SELECT count(*) FROM t WHERE k = {k}")), [row.to_string()]);
                    assert_eq!(other.rows("SELECT count(*) FROM t"), ["0"]);
                }
            });
        }
    });
    assert_eq!(database.rows("SELECT count(*) FROM t UNION ALL SELECT count(*) FROM b"), ["60", "60"]);
    assert_eq!(other.rows("SELECT count(*) FROM t UNION ALL SELECT count(*) FROM b"), ["0", "0"]);
    assert!(other.rows("SELECT * FROM totals").is_empty());
    assert_eq!(database.shared.current_time(), time);
    let part = Session::within(&transaction);
    transaction.commit(&CancelToken::new()).expect("the engine takes it");
    assert_eq!(database.shared.current_time(), time + 1);
    let totals = ["0 | 40 | 40", "1 | 40 | 40", "2 | 40 | 40"];
    assert_eq!(other.bag("SELECT * FROM totals"), Bag::of(totals));
    let mut changes = follower.changes().expect("one batch");
    changes.sort();
    assert_eq!(changes, totals.map(|row| format!("Insert {row}")));
    // It has ended for all who took part.
    assert!(!part.in_transaction() && !database.session.in_transaction());
    for session in [&part, &database.session] {
        assert_eq!(session.commit().expect_err("it has ended").code(), 400);
    }
    other.run("INSERT INTO b VALUES (0, 1)");
}

#[test]
fn a_transaction_that_is_dropped_without_an_end_is_rolled_back() {
    let database = tables();
    let begins = database.other();
    let transaction = begins.session.begin().expect("nobody else has one");
    let part = Database::of(Session::within(&transaction));
    begins.run("INSERT INTO b VALUES (1, 1)");
    drop(begins);
    part.run("INSERT INTO b VALUES (2, 2)");
    drop(transaction);
    assert_eq!(part.bag("SELECT * FROM b"), Bag::of(["1 | 1", "2 | 2"]), "somebody is left to commit it");
    let (waits, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| database.other().telling(&waits).changed("INSERT INTO b VALUES (3, 3)"));
        waiting.recv().expect("it waits");
        drop(part);
        assert_eq!(writer.join().expect("its turn came"), 1);
    });
    assert_eq!(database.rows("SELECT * FROM b"), ["3 | 3"]);
    assert_eq!(database.rows("SELECT * FROM totals"), ["3 | 1 | 3"]);
}

/// A statement that may change something, or fail.
fn statement(random: &mut Random) -> String {
    let (id, k, v) = (random.below(8), random.below(3), random.below(5));
    match random.below(11) {
        0 => format!("INSERT INTO t VALUES ({id}, {k}, {v})"),
        1 => format!("INSERT OR REPLACE INTO t VALUES ({id}, {k}, {v}), ({}, {k}, 1)", id + 1),
        2 => format!("INSERT INTO t VALUES ({id}, {k}, {v}) ON CONFLICT (id) DO UPDATE SET v = t.v + excluded.v"),
        3 => format!("UPDATE t SET v = v + 1, k = {k} WHERE id <= {id}"),
        4 => format!("UPDATE t SET id = id + {k}"),
        5 => format!("DELETE FROM t WHERE v = {v}"),
        6 => format!("INSERT INTO b SELECT k, v FROM t WHERE k <> {k} UNION ALL SELECT k, {v} FROM s"),
        7 => format!("DELETE FROM b WHERE k = {k} OR v > 100"),
        8 => format!("UPDATE b SET v = {v} WHERE k = {k}"),
        9 => format!("INSERT INTO s VALUES ({k}, {v})"),
        _ => format!("TRUNCATE {}", random.pick(&["t", "b", "b", "b"])),
    }
}

#[test]
fn transactions_at_random_equal_the_same_statements_one_by_one() {
    for seed in seeds(12) {
        let random = &mut Random::new(seed);
        let (database, plain) = (tables(), tables());
        let other = database.other();
        let mut followers = ["totals", "pairs", "t"].map(|name| Follower::of(&database, name));
        for _ in 0..12 {
            let time = database.session.wait(None).expect("the engine works");
            let state =
                |database: &Database| ["t", "b", "s"].map(|name| database.bag(&format!("SELECT * FROM {name}")));
            let before = state(&database);
            let statements: Vec<String> = (0..random.below(6)).map(|_| statement(random)).collect();
            database.run("BEGIN");
            let commits = !random.once_in(3);
            for sql in &statements {
                let done = database.session.execute(sql, &Params::none()).map(|_| ());
                if commits {
                    let expected = plain.session.execute(sql, &Params::none()).map(|_| ());
                    assert_eq!(done, expected, "seed {seed}: {sql}");
                    assert_eq!(state(&database), state(&plain), "seed {seed}: {sql}");
                }
                assert_eq!(state(&other), before, "seed {seed}: {sql}");
                assert_eq!(database.shared.current_time(), time, "seed {seed}: {sql}");
            }
            database.run(if commits { "COMMIT" } else { "ROLLBACK" });
            assert!(database.shared.current_time() <= time + u64::from(commits));
            assert_eq!(state(&database), state(&plain), "seed {seed}: {statements:?}");
            database.session.wait(None).expect("the engine works");
            for (follower, name) in followers.iter_mut().zip(["totals", "pairs", "t"]) {
                let now = database.bag(&format!("SELECT * FROM {name}"));
                assert_eq!(now, plain.bag(&format!("SELECT * FROM {name}")), "seed {seed}: {statements:?}");
                assert_eq!(follower.catch_up(), &now, "seed {seed}: {statements:?}");
            }
        }
    }
}
