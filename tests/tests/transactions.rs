//! Transactions: several statements of one thread are one write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use laminardb_bridge::{Error, Outcome, Params, SubscribeOptions, Target};
use laminardb_tests::random::{Random, seeds};
use laminardb_tests::{Bag, Database, Follower};

/// What `look` finds in another thread.
fn elsewhere<T: Send>(look: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(look).join()).expect("no panic")
}

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
    elsewhere(|| assert_eq!(database.refused("COMMIT").0, 400));
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
    let mut follower = elsewhere(|| Follower::of_query(&database, "SELECT k, sum(v) AS total FROM every GROUP BY k"));
    let mut rows = elsewhere(|| Follower::of(&database, "t"));
    assert_eq!(follower.changes(), Some(vec!["Insert 1 | 2".to_owned()]));
    assert_eq!(rows.changes(), Some(vec!["Insert 1 | 1 | 1".to_owned()]));
    let (started, starts) = mpsc::channel();
    std::thread::scope(|scope| {
        let definer = scope.spawn(|| {
            let asked = || started.send(()).is_err();
            let sql = "CREATE MATERIALIZED VIEW late AS SELECT * FROM b";
            database.session.execute_interruptible(sql, &Params::none(), &asked).map(|_| ())
        });
        starts.recv().expect("it waits");
        database.run("COMMIT");
        definer.join().expect("no panic").expect("its turn came");
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
        let (asks, asked) = mpsc::channel();
        let ended = if close { Error::ConnectionClosed } else { Error::Shutdown };
        std::thread::scope(|scope| {
            let waiters: Vec<_> = ["INSERT INTO b VALUES (2, 2)", "DELETE FROM t", "BEGIN", "DROP TABLE t CASCADE"]
                .map(|sql| {
                    let (database, asks) = (&database, asks.clone());
                    scope.spawn(move || {
                        let asked = || asks.send(()).is_err();
                        database.session.execute_interruptible(sql, &Params::none(), &asked).map(|_| ())
                    })
                })
                .into_iter()
                .collect();
            asked.recv().expect("one waits");
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

/// What a write that waits for a transaction comes to when its table has become another one meanwhile.
fn written_after_its_table_was_replaced(
    database: &Database,
    write: impl FnOnce(&dyn Fn() -> bool) -> Result<u64, Error> + Send,
) -> Result<u64, Error> {
    database.run("DROP TABLE IF EXISTS one; CREATE TABLE one (a BIGINT); BEGIN; INSERT INTO one VALUES (1)");
    let (asks, asked) = mpsc::channel();
    let (ends, ended) = mpsc::channel();
    let replaced = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (asks, ended) = (asks, ended);
            write(&|| {
                if !replaced.swap(true, Ordering::SeqCst) {
                    asks.send(()).expect("the test listens");
                    ended.recv().expect("it commits");
                    database.run("DROP TABLE one; CREATE TABLE one (a BIGINT)");
                }
                false
            })
        });
        asked.recv().expect("it waits");
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
    let session = &database.session;
    let by_name = |asked: &dyn Fn() -> bool| session.insert_csv("one", "a\n7\n", asked);
    assert_eq!(written_after_its_table_was_replaced(&database, by_name), Ok(1));
    assert_eq!(database.rows("SELECT * FROM one"), ["7"], "it goes to the new one");
    let statement = |asked: &dyn Fn() -> bool| {
        session.execute_interruptible("INSERT INTO one VALUES (7)", &Params::none(), asked).map(|_| 0)
    };
    let refused = written_after_its_table_was_replaced(&database, statement).expect_err("it is bound to the old one");
    assert_eq!(refused.code(), 400, "{refused}");
    let writing = |asked: &dyn Fn() -> bool| session.writer("one")?.insert(Vec::new(), asked);
    let refused = written_after_its_table_was_replaced(&database, writing).expect_err("it is of the old one");
    assert_eq!(refused.code(), 200, "{refused}");
    assert!(refused.to_string().contains("was replaced"), "{refused}");
    assert!(database.rows("SELECT * FROM one").is_empty());
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
                assert_eq!(elsewhere(|| state(&database)), before, "seed {seed}: {sql}");
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
