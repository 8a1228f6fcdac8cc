//! Many threads on one database: nothing is lost, nothing is seen twice, nobody is blocked for ever.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use laminardb_bridge::catalog::Entry;
use laminardb_bridge::commit::{History, Record};
use laminardb_bridge::ingest::Extra;
use laminardb_bridge::{DatabaseConfig, Error, Next, Params, SubscribeOptions, Subscription, Target};
use laminardb_dataflow::{RelationId, Time};
use laminardb_tests::oracle::lines;
use laminardb_tests::{Database, Follower};
use parking_lot::Mutex;

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
        database.session.wait(None).expect("the engine works");
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
        database.shared.close();
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

/// Follows a view of the one row (1, v) until v is `end`; v at each time. A time may be that of several commits.
fn values_until(end: i64, follower: &Subscription) -> BTreeMap<Time, i64> {
    let mut values = BTreeMap::new();
    let mut last: Option<(Time, i64)> = None;
    while last.is_none_or(|(_, value)| value != end) {
        let Ok(Next::Batch(batch)) = follower.next(Some(Duration::from_secs(60))) else { panic!("a batch comes") };
        let lines = lines(&batch);
        let now = lines.last().and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a number");
        let expected = match last {
            None => vec![format!("Insert 1 | {now}")],
            Some((_, before)) => vec![format!("UpdateDelete 1 | {before}"), format!("UpdateInsert 1 | {now}")],
        };
        assert_eq!(lines, expected, "at time {}", batch.time);
        assert!(last.is_none_or(|(time, value)| time < batch.time && value < now), "{now} after {last:?}");
        last = Some((batch.time, now));
        values.insert(batch.time, now);
    }
    values
}

#[test]
fn the_order_of_commits_is_the_order_of_their_times() {
    const STEPS: i64 = 24;
    for workers in [1, 4] {
        let database = Database::new(workers);
        database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT); INSERT INTO t VALUES (1, 0)");
        let follow = |view: &str| {
            database.session.subscribe(Target::Relation(view), SubscribeOptions::default()).expect("it is there")
        };
        let first = follow("t");
        let (first, others) = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let (session, follow) = (database.other(), &follow);
                    scope.spawn(move || {
                        let view = format!("v{writer}");
                        let mut follower = None;
                        for step in 0..STEPS {
                            session.run("UPDATE t SET v = v + 1");
                            if step == writer * 2 {
                                let query = "SELECT id, max(v) AS v FROM t GROUP BY id";
                                session.run(&format!("CREATE MATERIALIZED VIEW {view} AS {query}"));
                                follower = Some(follow(&view));
                            }
                        }
                        let values = values_until(8 * STEPS, &follower.expect("it was made"));
                        session.run(&format!("DROP MATERIALIZED VIEW {view}"));
                        values
                    })
                })
                .collect();
            let first = values_until(8 * STEPS, &first);
            (first, writers.into_iter().map(|writer| writer.join().expect("no panic")).collect::<Vec<_>>())
        });
        for (time, value) in others.iter().flatten() {
            assert_eq!(first.get(time), Some(value), "a view has another row at time {time} than the table");
        }
    }
}

/// Keeps what it receives, replayed: the relations there are, and the value of the one row of `t` at each time.
#[derive(Default)]
struct Replay(Mutex<Replayed>);

#[derive(Default)]
struct Replayed {
    last: Time,
    relations: BTreeMap<String, Option<RelationId>>,
    value: i64,
    values: BTreeMap<Time, i64>,
    watermarks: Vec<i64>,
}

impl Replayed {
    fn define(&mut self, made: &Entry) {
        let before = self.relations.insert(made.name().to_owned(), made.relation_id());
        assert!(before.is_none(), "{} is there already", made.name());
    }

    fn forget(&mut self, gone: &[Arc<Entry>]) {
        for entry in gone {
            assert_eq!(self.relations.remove(entry.name()), Some(entry.relation_id()), "{} is not there", entry.name());
        }
    }
}

impl History for Replay {
    fn record(&self, time: Time, record: &Record<'_>) {
        let mut state = self.0.lock();
        assert!(state.last <= time, "{record:?} of time {time} comes after one of {}", state.last);
        state.last = time;
        match record {
            Record::Write { changes, .. } => {
                for (relation, rows, diffs) in *changes {
                    let name = state.relations.iter().find(|(_, id)| **id == Some(*relation));
                    let (name, _) = name.expect("what is written to is there");
                    if name == "t" {
                        let column = rows.column(1).as_primitive::<Int64Type>();
                        state.value += (0..rows.num_rows()).map(|row| column.value(row) * diffs.at(row)).sum::<i64>();
                        let value = state.value;
                        state.values.insert(time, value);
                    }
                }
            }
            Record::Define { made, gone, .. } => {
                state.forget(gone);
                state.define(made);
            }
            Record::Drop { gone } => state.forget(gone),
            Record::Restore { .. } => unreachable!("nobody restores"),
            Record::Watermark { to, .. } => state.watermarks.push(*to),
        }
    }
}

#[test]
fn the_order_of_records_is_the_order_of_their_times() {
    const STEPS: i64 = 12;
    for workers in [1, 4] {
        let replay = Arc::new(Replay::default());
        let workers = NonZeroUsize::new(workers).expect("not zero");
        let config = DatabaseConfig { workers, ..DatabaseConfig::default() };
        let history = Arc::clone(&replay) as Arc<dyn History>;
        let shared = laminardb_bridge::Database::open_with(config, Some(history)).expect("a database opens");
        let database = Database::of(shared.session());
        database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT); INSERT INTO t VALUES (1, 0)");
        database.run("CREATE SOURCE s (ts BIGINT)");
        let follower =
            database.session.subscribe(Target::Relation("t"), SubscribeOptions::default()).expect("it is there");
        let seen = std::thread::scope(|scope| {
            for thread in 0..8 {
                let session = database.other();
                scope.spawn(move || {
                    let writer = session.session.writer("s").expect("it is there");
                    for step in 0..STEPS {
                        match step % 6 {
                            0 => session.run(&format!("CREATE TABLE c{thread} AS SELECT v FROM t")),
                            1 => session.run(&format!("INSERT INTO c{thread} VALUES ({step})")),
                            2 => session.run(&format!("CREATE MATERIALIZED VIEW m{thread} AS SELECT max(v) FROM t")),
                            3 => session.run(&format!("DROP MATERIALIZED VIEW m{thread}")),
                            4 => session.run(&format!("CREATE OR REPLACE TABLE c{thread} (v BIGINT)")),
                            _ => session.run(&format!("DROP TABLE c{thread}")),
                        };
                        session.run(if step % 2 == 0 {
                            "UPDATE t SET v = v + 1"
                        } else {
                            "BEGIN; UPDATE t SET v = v + 3; UPDATE t SET v = v - 2; COMMIT"
                        });
                        writer.advance_watermark(step).expect("it is open");
                    }
                });
            }
            values_until(8 * STEPS, &follower)
        });
        let state = replay.0.lock();
        for (time, value) in &seen {
            let recorded = state.values.get(time).unwrap_or(&0);
            assert_eq!(recorded, value, "the records give another row at time {time} than the subscription");
        }
        assert_eq!(state.value, 8 * STEPS);
        assert_eq!(state.watermarks.len() as i64, 8 * STEPS);
        assert_eq!(state.relations.keys().collect::<Vec<_>>(), ["s", "t"]);
    }
}

/// Calls until the database ends; the code of that error.
fn until_the_end(mut call: impl FnMut() -> Result<(), Error>) -> Error {
    loop {
        if let Err(error) = call() {
            return error;
        }
    }
}

#[test]
fn every_waiting_call_ends_with_the_database() {
    for (workers, close) in [(1, true), (4, true), (1, false), (4, false)] {
        let workers = NonZeroUsize::new(workers).expect("not zero");
        // A buffer of one row: almost every write waits for the views.
        let database = Database::open(DatabaseConfig { workers, buffer_size: 1, ..DatabaseConfig::default() });
        let session = &database.session;
        let run = |sql: &str| session.execute(sql, &Params::none()).map(|_| ());
        run("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT); CREATE TABLE log (v BIGINT);
             CREATE MATERIALIZED VIEW n AS SELECT v, count(*) AS n FROM t GROUP BY v")
        .expect("good statements");
        let subscription = session.subscribe(Target::Relation("n"), SubscribeOptions::default()).expect("subscribed");
        let begun = Barrier::new(8);
        let errors = std::thread::scope(|scope| {
            let (run, begun) = (&run, &begun);
            let calling = |call: Box<dyn FnMut() -> Result<(), Error> + Send>| {
                scope.spawn(move || {
                    begun.wait();
                    until_the_end(call)
                })
            };
            let mut id = 0;
            let callers = [
                calling(Box::new(move || {
                    id += 1;
                    run(&format!("INSERT OR REPLACE INTO t VALUES ({}, {id})", id % 100))
                })),
                calling(Box::new(|| run("INSERT INTO log VALUES (1)"))),
                calling(Box::new(|| run("UPDATE t SET v = v + 1"))),
                calling(Box::new(|| session.wait(None).map(|_| ()))),
                calling(Box::new(|| session.query("SELECT sum(n) FROM n", &Params::none()).map(|_| ()))),
                calling(Box::new(|| {
                    let target = Target::Sql("SELECT v, max(id) AS most FROM t GROUP BY v", &Params::none());
                    session.subscribe(target, SubscribeOptions::default()).map(|_| ())
                })),
            ];
            let reader = scope.spawn(|| {
                begun.wait();
                while let Next::Batch(_) = subscription.next(None).expect("it ends in order") {}
            });
            begun.wait();
            session.query("SELECT * FROM n", &Params::none()).expect("not closed yet");
            if close {
                database.shared.close();
            } else {
                database.shared.shutdown().expect("it stops");
            }
            reader.join().expect("no panic");
            callers.map(|caller| caller.join().expect("no panic"))
        });
        let code = if close { 101 } else { 901 };
        assert_eq!(errors.each_ref().map(Error::code), [code; 6], "close {close}, workers {workers}: {errors:?}");
    }
}

#[test]
fn definitions_and_closing_do_not_wait_for_a_view_that_takes_in_its_contents() {
    for workers in [1, 2] {
        let database = Database::new(workers);
        database.run(
            "CREATE SOURCE t (k BIGINT, v BIGINT); CREATE SOURCE u (v BIGINT); CREATE STREAM y AS SELECT v FROM u;
             CREATE MATERIALIZED VIEW sums AS SELECT a.v + b.v AS s, count(*) AS n FROM t a JOIN t b ON a.k = b.k
                GROUP BY a.v + b.v",
        );
        // Each row meets each other one, which takes much longer than the test.
        let rows: Vec<String> = (0..15_000).map(|v| format!("1,{v}")).collect();
        database.session.insert_csv("t", &format!("k,v\n{}", rows.join("\n")), Extra::Refuse).expect("it fits");
        // Neither waits for the view, nor does closing.
        database.run("DROP STREAM y");
        database.run("CREATE SOURCE w (v BIGINT)");
        database.shared.close();
        assert_eq!(
            database.session.execute("DROP SOURCE w", &Params::none()).map(|_| ()),
            Err(Error::ConnectionClosed)
        );
    }
}

#[test]
fn views_are_dropped_and_made_again_while_others_write() {
    for workers in [1, 4] {
        let database = Database::new(workers);
        database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, k BIGINT, v BIGINT)");
        database.run("CREATE MATERIALIZED VIEW stays AS SELECT k, count(*) AS n FROM t GROUP BY k");
        let mut stays = Follower::of(&database, "stays");
        std::thread::scope(|scope| {
            let database = &database;
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    scope.spawn(move || {
                        for step in 0..60 {
                            database.run(&format!("INSERT INTO t VALUES ({}, {}, 1)", writer * 100 + step, step % 7));
                            if step % 3 == 2 {
                                database.run(&format!("DELETE FROM t WHERE id = {}", writer * 100 + step - 1));
                            }
                        }
                    })
                })
                .collect();
            for round in 0..12 {
                let query = ["SELECT k, sum(v) AS n FROM t GROUP BY k", "SELECT DISTINCT k, 1 AS n FROM t"][round % 2];
                database.run(&format!("CREATE MATERIALIZED VIEW goes AS {query}"));
                database.run("CREATE MATERIALIZED VIEW upon AS SELECT count(*) AS n, sum(n) AS total FROM goes");
                let mut follower = Follower::of(database, "goes");
                follower.catch_up();
                let both = "SELECT upon.n = counted.n AS same FROM upon CROSS JOIN (SELECT count(*) AS n FROM goes) AS counted";
                assert_eq!(database.rows(both), ["true"]);
                assert_eq!(database.refused("DROP MATERIALIZED VIEW goes").0, 400, "upon reads it");
                database.run("DROP MATERIALIZED VIEW upon; DROP MATERIALIZED VIEW goes");
                assert_eq!(follower.failure().code(), 501);
            }
            for writer in writers {
                writer.join().expect("no panic");
            }
        });
        database.session.wait(None).expect("the engine works");
        let expected = database.bag("SELECT k, count(*) AS n FROM t GROUP BY k");
        assert_eq!(database.bag("SELECT * FROM stays"), expected);
        assert_eq!(stays.catch_up(), &expected);
        let report = database.shared.engine_report().expect("the engine works");
        assert_eq!(report.views.len(), 1, "the views that went left nothing");
    }
}
