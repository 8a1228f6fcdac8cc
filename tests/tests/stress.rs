//! Many threads on one session: nothing is lost, nothing is seen twice, nobody is blocked for ever.

use std::sync::atomic::{AtomicBool, Ordering};

use laminardb_bridge::{Error, Next, Params, SubscribeOptions, Target};
use laminardb_tests::{Database, Follower};

#[test]
fn writers_readers_and_subscribers_agree() {
    for workers in [1, 4] {
        let database = Database::new(workers);
        database.run(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, k BIGINT, v BIGINT);
             CREATE MATERIALIZED VIEW n AS SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k;
             CREATE MATERIALIZED VIEW zero AS SELECT sum(v) AS total FROM t",
        );
        let writing = AtomicBool::new(true);
        let mut follower = Follower::of(&database, "n");
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer: i64| {
                    let database = &database;
                    scope.spawn(move || {
                        for step in 0..40 {
                            // Each statement leaves the sum of all v at zero.
                            let (a, b, k) = (writer * 1000 + step * 2, writer * 1000 + step * 2 + 1, step % 5);
                            database.run(&format!("INSERT INTO t VALUES ({a}, {k}, {step}), ({b}, {k}, -{step})"));
                            if step % 4 == 3 {
                                database.run(&format!("DELETE FROM t WHERE id IN ({}, {})", a - 2, b - 2));
                            }
                        }
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                while writing.load(Ordering::SeqCst) {
                    let totals = database.rows("SELECT coalesce(total, 0) AS total FROM zero");
                    assert_eq!(totals, ["0"], "a write is seen in part");
                    let totals = database.rows("SELECT coalesce(sum(total), 0) AS total FROM n");
                    assert_eq!(totals, ["0"], "a write is seen in part");
                }
            });
            let churner = scope.spawn(|| {
                while writing.load(Ordering::SeqCst) {
                    let mut short = Follower::of_query(&database, "SELECT k, max(v) AS most FROM t GROUP BY k");
                    short.catch_up();
                }
            });
            for writer in writers {
                writer.join().expect("no panic");
            }
            writing.store(false, Ordering::SeqCst);
            reader.join().expect("no panic");
            churner.join().expect("no panic");
        });
        database.session.wait(None, &|| false).expect("the engine works");
        let expected = database.bag("SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k");
        assert_eq!(database.bag("SELECT * FROM n"), expected);
        assert_eq!(follower.catch_up(), &expected);
        assert_eq!(database.rows("SELECT count(*) FROM t"), [(3 * (80 - 20)).to_string()]);
    }
}

#[test]
fn closing_wakes_everybody() {
    let database = Database::new(2);
    database.run("CREATE SOURCE s (a BIGINT)");
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let subscription = database.session.subscribe(Target::Relation("s"), SubscribeOptions::default());
                let subscription = subscription.expect("subscribed");
                scope.spawn(move || matches!(subscription.next(None), Ok(Next::Ended)))
            })
            .collect();
        database.session.close();
        for reader in readers {
            assert!(reader.join().expect("no panic"));
        }
    });
    assert_eq!(database.session.query("SELECT 1", &Params::none()).expect_err("closed"), Error::ConnectionClosed);
}

#[test]
fn definitions_race_with_writes_and_reads() {
    let database = Database::new(2);
    database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for id in 0..60 {
                database.run(&format!("INSERT INTO t VALUES ({id}, {id})"));
            }
        });
        for round in 0..10 {
            database.run(&format!("CREATE MATERIALIZED VIEW v{round} AS SELECT count(*) AS n, sum(v) AS s FROM t"));
            if round % 2 == 1 {
                database.run(&format!("DROP MATERIALIZED VIEW v{}", round - 1));
            }
        }
        writer.join().expect("no panic");
    });
    for round in [1, 3, 5, 7, 9] {
        assert_eq!(database.rows(&format!("SELECT n, s FROM v{round}")), ["60 | 1770"]);
    }
}
