//! Every pair of calls from two threads on one database: each call ends, and none with a broken invariant.
//!
//! Debug builds also check the order of locks in every call; see "Order of locks" in docs/architecture.md.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use laminardb_bridge::{
    CheckpointConfig, DatabaseConfig, Error, NextRows, Params, RestoreFrom, Session, SubscribeOptions, Target,
};
use laminardb_tests::Database;
use parking_lot::Mutex;

/// How long a pair of calls may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);
/// Number of times that each thread makes its call beside the other's.
const ROUNDS: i64 = 4;

/// A call that can run beside any other, again and again; the number differs each time.
type Call = fn(&Session, i64) -> Result<(), Error>;

fn run(session: &Session, sql: &str) -> Result<(), Error> {
    session.execute(sql, &Params::none()).map(|_| ())
}

/// Subscribes, takes what is there, and ends the subscription.
fn subscribe(session: &Session, target: Target<'_>) -> Result<(), Error> {
    let subscription = session.subscribe(target, SubscribeOptions::default())?;
    subscription.next(Some(Duration::from_millis(2)))?;
    Ok(())
}

fn transaction(session: &Session, number: i64) -> Result<(), Error> {
    // A session of its own: otherwise the other thread's calls would be part of the transaction.
    let session = session.database().session();
    session.begin()?;
    run(&session, &format!("INSERT OR REPLACE INTO t VALUES ({}, 7)", number % 20))?;
    if number % 2 == 0 { session.commit() } else { session.rollback() }
}

fn stream(session: &Session) -> Result<(), Error> {
    let stream = session.stream("SELECT * FROM b", &Params::none())?;
    while let NextRows::Batch(_) = stream.next(None)? {}
    Ok(())
}

/// All calls, by name.
const CALLS: [(&str, Call); 26] = [
    ("create and drop a source", |s, _| run(s, "CREATE SOURCE IF NOT EXISTS x (a BIGINT); DROP SOURCE IF EXISTS x")),
    ("replace a table", |s, _| run(s, "CREATE OR REPLACE TABLE r (a BIGINT PRIMARY KEY, b BIGINT)")),
    ("write to the replaced table", |s, n| run(s, &format!("INSERT OR REPLACE INTO r VALUES ({n}, 1)"))),
    ("replace a table by a query", |s, _| run(s, "CREATE OR REPLACE TABLE c AS SELECT g, n FROM a")),
    ("replace a table by itself", |s, n| {
        run(s, &format!("CREATE OR REPLACE TABLE r AS SELECT a, b + {n} AS b FROM r"))
    }),
    ("replace a view over a view", |s, n| {
        run(
            s,
            &format!(
                "CREATE OR REPLACE MATERIALIZED VIEW b AS SELECT n % 7 AS m, count(*) + {n} AS n FROM a GROUP BY 1"
            ),
        )
    }),
    ("replace a linear view", |s, n| {
        run(s, &format!("CREATE OR REPLACE STREAM l AS SELECT k, v + {n} AS v FROM t WHERE v > 0"))
    }),
    ("replace a plain view", |s, n| run(s, &format!("CREATE OR REPLACE VIEW p AS SELECT g + {n} AS g FROM a"))),
    ("create and drop a view", |s, _| {
        run(s, "CREATE MATERIALIZED VIEW IF NOT EXISTS d AS SELECT g, max(n) AS n FROM a GROUP BY g")?;
        run(s, "DROP MATERIALIZED VIEW IF EXISTS d")
    }),
    ("drop a view with those over it", |s, _| {
        run(s, "CREATE MATERIALIZED VIEW IF NOT EXISTS e AS SELECT k, sum(v) AS v FROM t GROUP BY k")?;
        run(s, "CREATE MATERIALIZED VIEW IF NOT EXISTS f AS SELECT v, count(*) AS n FROM e GROUP BY v")?;
        run(s, "DROP MATERIALIZED VIEW IF EXISTS e CASCADE")
    }),
    ("checkpoint", |s, _| s.checkpoint().map(|_| ())),
    ("restore", |s, _| s.restore(RestoreFrom::Latest).map(|_| ())),
    ("subscribe to a view", |s, _| subscribe(s, Target::Relation("b"))),
    ("subscribe to a query", |s, _| subscribe(s, Target::Sql("SELECT g, n + 1 AS n FROM a", &Params::none()))),
    ("subscribe to a table", |s, _| subscribe(s, Target::Relation("t"))),
    ("query", |s, _| s.query("SELECT count(*) FROM b, t", &Params::none()).map(|_| ())),
    ("stream a query", |s, _| stream(s)),
    ("insert", |s, n| run(s, &format!("INSERT INTO s VALUES ({n}), ({n} + 1)"))),
    ("upsert", |s, n| run(s, &format!("INSERT OR REPLACE INTO t VALUES ({}, {n})", n % 20))),
    ("update", |s, _| run(s, "UPDATE t SET v = v + 1")),
    ("delete by a view", |s, _| run(s, "DELETE FROM t WHERE k IN (SELECT g FROM a WHERE n > 9)")),
    ("truncate", |s, _| run(s, "TRUNCATE TABLE t")),
    ("transaction", transaction),
    ("wait", |s, _| s.wait(None).map(|_| ())),
    ("wait for a view", |s, _| s.wait_for_view("b", None).map(|_| ())),
    ("look around", |s, _| {
        s.query("SHOW MATERIALIZED VIEWS", &Params::none())?;
        s.database().all_stream_metrics()?;
        s.database().transactions();
        s.database().queries().iter().for_each(|query| drop(s.database().cancel_query(query.id)));
        s.database().engine_report().map(|_| ())
    }),
];

/// A database with all relations that the calls use, and a checkpoint of it in `directory`.
fn database(workers: usize, directory: &str) -> Database {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(directory);
    // Fails if it is not there.
    drop(std::fs::remove_dir_all(&directory));
    let checkpoints = CheckpointConfig { directory, interval: Duration::ZERO, on_failure: Arc::new(|_| ()) };
    let workers = NonZeroUsize::new(workers).expect("not zero");
    let database =
        Database::open(DatabaseConfig { workers, checkpoints: Some(checkpoints), ..DatabaseConfig::default() });
    database.run(
        "CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT); CREATE SOURCE s (a BIGINT);
         CREATE TABLE r (a BIGINT PRIMARY KEY, b BIGINT);
         CREATE MATERIALIZED VIEW a AS SELECT t.v % 10 AS g, count(*) AS n FROM t JOIN s ON t.k = s.a GROUP BY 1;
         CREATE MATERIALIZED VIEW b AS SELECT n % 7 AS m, count(*) AS n FROM a GROUP BY 1;
         INSERT INTO t VALUES (1, 1), (2, 2), (3, 30); INSERT INTO s VALUES (1), (2), (3)",
    );
    database.session.checkpoint().expect("checkpoints are enabled");
    database
}

/// Waits for a message of each thread; fails with all stacks if one does not come.
fn watch<T>(done: &mpsc::Receiver<T>, count: usize, what: &str) -> Vec<T> {
    let next = |_| match done.recv_timeout(PATIENCE) {
        Ok(message) => message,
        Err(RecvTimeoutError::Disconnected) => panic!("{what}: a thread has panicked"),
        Err(RecvTimeoutError::Timeout) => {
            let process = std::process::id().to_string();
            let arguments = ["-batch", "-p", &process, "-ex", "thread apply all backtrace"];
            let stacks = Command::new("gdb").args(arguments).output();
            let stacks = stacks.map_or_else(
                |error| format!("no stacks: gdb: {error}"),
                |output| String::from_utf8_lossy(&output.stdout).into_owned(),
            );
            panic!("{what} hangs:\n{stacks}");
        }
    };
    (0..count).map(next).collect()
}

/// Makes two calls beside each other, in turn with themselves; returns how often each succeeded. Fails if one hangs or
/// ends with a broken invariant.
fn pair(database: &Database, calls: [(&'static str, Call); 2], numbers: &Mutex<i64>) -> [u64; 2] {
    let what = format!("{} beside {}", calls[0].0, calls[1].0);
    let (sender, done) = mpsc::channel();
    let begun = Arc::new(Barrier::new(2));
    for (at, (name, call)) in calls.into_iter().enumerate() {
        let (session, sender, begun) = (database.other().session, sender.clone(), Arc::clone(&begun));
        let first = {
            let mut number = numbers.lock();
            *number += ROUNDS;
            *number
        };
        // Not scoped: if the call hangs, the test must end without it.
        std::thread::spawn(move || {
            begun.wait();
            let failed = (0..ROUNDS).filter_map(|round| call(&session, first + round).err());
            drop(sender.send((at, name, failed.collect::<Vec<Error>>())));
        });
    }
    drop(sender);
    let mut succeeded = [0; 2];
    for (at, name, errors) in watch(&done, 2, &what) {
        let broken = errors.iter().find(|error| error.code() == 900);
        assert!(broken.is_none(), "{what}: {name} fails with {broken:?}");
        succeeded[at] += ROUNDS as u64 - errors.len() as u64;
    }
    succeeded
}

fn every_pair(workers: usize) {
    let database = database(workers, &format!("pairs-{workers}"));
    let numbers = Mutex::new(0);
    let mut succeeded: BTreeMap<&str, u64> = CALLS.iter().map(|(name, _)| (*name, 0)).collect();
    for (at, one) in CALLS.iter().enumerate() {
        for other in &CALLS[at..] {
            let counts = pair(&database, [*one, *other], &numbers);
            for ((name, _), count) in [one, other].into_iter().zip(counts) {
                *succeeded.get_mut(name).expect("one of the calls") += count;
            }
        }
    }
    let never: Vec<_> = succeeded.iter().filter(|(_, count)| **count == 0).collect();
    assert!(never.is_empty(), "these calls never succeeded: {never:?}");
    // Nothing was left behind: the views that are listed work, and no dropped one keeps the engine busy.
    database.session.wait(Some(PATIENCE)).expect("nothing is in the way");
    database.shared.close();
}

#[test]
fn every_pair_of_calls_ends_with_one_worker() {
    every_pair(1);
}

#[test]
fn every_pair_of_calls_ends_with_two_workers() {
    every_pair(2);
}

#[test]
fn every_call_ends_when_the_database_is_shut_down_or_closed_beside_it() {
    for (workers, close) in [(1, true), (2, true), (1, false), (2, false)] {
        for (name, call) in CALLS {
            let database = database(workers, &format!("end-{workers}-{close}"));
            let (sender, done) = mpsc::channel();
            let (began, begun) = mpsc::channel();
            let session = database.other().session;
            let ended = if close { 101 } else { 901 };
            let caller = sender.clone();
            std::thread::spawn(move || {
                let mut number = 0;
                let error = loop {
                    number += 1;
                    let called = call(&session, number);
                    // Nobody listens after the first message.
                    let _ = began.send(());
                    match called {
                        Err(error) if error.code() == ended || error.code() == 900 => break error,
                        _ => {}
                    }
                };
                drop(caller.send(Err(error)));
            });
            let what = format!("{name} beside {}, {workers} workers", if close { "close" } else { "shutdown" });
            watch(&begun, 1, &what);
            let shared = Arc::clone(&database.shared);
            std::thread::spawn(move || {
                let done = if close {
                    shared.close();
                    Ok(())
                } else {
                    shared.shutdown()
                };
                drop(sender.send(done));
            });
            for outcome in watch(&done, 2, &what) {
                let code = outcome.as_ref().err().map(Error::code);
                assert!(code.is_none_or(|code| code == ended), "{what}: {outcome:?}");
            }
        }
    }
}
