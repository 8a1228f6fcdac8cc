//! Measures the latency and throughput that a user of the whole engine sees, from SQL and rows to the subscriber.

use std::num::NonZeroUsize;
use std::time::Instant;

use arrow::array::RecordBatch;
use laminardb_bridge::{Database, DatabaseConfig, Next, Params, Session, SubscribeOptions, Subscription, Target};

use crate::flow::Steps;
use crate::rows::{Random, batches};

const BATCH: usize = 8192;

fn open(workers: usize) -> Session {
    let workers = NonZeroUsize::new(workers).expect("at least one");
    let config = DatabaseConfig { workers, buffer_size: 0, ..DatabaseConfig::default() };
    Database::open(config).expect("threads start").session()
}

fn execute(session: &Session, sql: &str) {
    session.execute(sql, &Params::default()).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn follow(session: &Session, view: &str) -> Subscription {
    let options = SubscribeOptions { snapshot: false, ..SubscribeOptions::default() };
    session.subscribe(Target::Relation(view), options).expect("the view exists")
}

fn insert(session: &Session, relation: &str, rows: &RecordBatch) {
    session.insert(relation, vec![rows.clone()]).expect("the rows fit");
}

/// Takes changes until those of the last write have arrived, and returns the number of rows taken.
fn drain(session: &Session, changes: &Subscription) -> usize {
    let (last, mut rows) = (session.database().current_time(), 0);
    loop {
        match changes.next(None).expect("the subscription lives") {
            Next::Batch(batch) => {
                rows += batch.rows.num_rows();
                if batch.time >= last && batch.is_last {
                    return rows;
                }
            }
            Next::TimedOut | Next::Ended => panic!("the subscription ended early"),
        }
    }
}

/// Opens a database with rows (k, v) of `groups` groups, a view `totals` over them, and a subscription to the view.
fn grouped(workers: usize, groups: u64) -> (Session, Subscription) {
    let session = open(workers);
    execute(&session, "CREATE SOURCE ticks (k BIGINT, v BIGINT)");
    execute(&session, "CREATE MATERIALIZED VIEW totals AS SELECT k, count(*) AS n, sum(v) AS s FROM ticks GROUP BY k");
    let mut random = Random(4);
    batches(groups as usize * 2, |_, rows| random.pairs(rows, groups)).iter().for_each(|rows| {
        insert(&session, "ticks", rows);
    });
    session.wait(None).expect("no limit");
    let changes = follow(&session, "totals");
    (session, changes)
}

/// Measures inserts of one row through GROUP BY views of 100k and 1M groups; each waits until the subscriber has
/// received the change.
pub(crate) fn latency(_rounds: usize) {
    for (workers, groups) in [(1, 100_000), (2, 100_000), (1, 1_000_000)] {
        let (session, changes) = grouped(workers, groups);
        let mut random = Random(5);
        let rows: Vec<RecordBatch> = (0..1000).map(|_| random.pairs(1, groups)).collect();
        let mut delivered = 0;
        let steps = Steps::of(20_000, |turn| {
            insert(&session, "ticks", &rows[turn % rows.len()]);
            delivered += drain(&session, &changes);
        });
        println!(
            "workers {workers}  {groups:>9} groups  one row  p50 {:>7.1} us  p99 {:>7.1} us  max {:>8.1} us  rows delivered a change {:.2}",
            steps.micros(0.5),
            steps.micros(0.99),
            steps.micros(1.0),
            delivered as f64 / 20_000.0
        );
    }
}

/// A throughput measurement: `rows` random rows inserted into `ticks` and followed through `view`; `target` is in
/// millions of rows per second.
struct Case {
    name: &'static str,
    target: f64,
    set_up: &'static [&'static str],
    view: &'static str,
    groups: u64,
    rows: usize,
}

const CASES: [Case; 4] = [
    Case {
        name: "filter stream",
        target: 20.0,
        set_up: &["CREATE SOURCE ticks (k BIGINT, v BIGINT)"],
        view: "SELECT k, v FROM ticks WHERE v < 524288",
        groups: 1000,
        rows: 8_000_000,
    },
    Case {
        name: "10-group aggregate",
        target: 12.0,
        set_up: &["CREATE SOURCE ticks (k BIGINT, v BIGINT)"],
        view: "SELECT k, count(*) AS n, sum(v) AS s FROM ticks GROUP BY k",
        groups: 10,
        rows: 8_000_000,
    },
    Case {
        name: "100k-group aggregate",
        target: 4.0,
        set_up: &["CREATE SOURCE ticks (k BIGINT, v BIGINT)"],
        view: "SELECT k, count(*) AS n, sum(v) AS s FROM ticks GROUP BY k",
        groups: 100_000,
        rows: 4_000_000,
    },
    Case {
        name: "join 1M x 100k",
        target: 2.0,
        set_up: &[
            "CREATE SOURCE ticks (k BIGINT, v BIGINT)",
            "CREATE SOURCE names (id BIGINT, item VARCHAR, category BIGINT)",
        ],
        view: "SELECT t.k, t.v, n.item FROM ticks t JOIN names n ON t.k = n.id",
        groups: 100_000,
        rows: 1_000_000,
    },
];

/// Measures the rows per second in batches of 8,192 rows, from the first insert to the last result at the subscriber.
pub(crate) fn throughput(rounds: usize) {
    for workers in [1, 2] {
        for case in &CASES {
            let mut rates: Vec<f64> = (0..rounds).map(|_| rate(case, workers)).collect();
            rates.sort_by(f64::total_cmp);
            println!(
                "workers {workers}  {:<22} {:>7.2} Mrow/s  target {:>5.1}",
                case.name,
                rates[rates.len() / 2],
                case.target
            );
        }
        println!("workers {workers}  {:<22} {:>7.0} /s       target 48000", "one-row inserts", one_row_rate(workers));
    }
}

/// Returns the throughput of one case, in millions of rows per second.
fn rate(case: &Case, workers: usize) -> f64 {
    let session = open(workers);
    case.set_up.iter().for_each(|sql| execute(&session, sql));
    execute(&session, &format!("CREATE MATERIALIZED VIEW watched AS {}", case.view));
    let mut random = Random(6);
    let data = batches(case.rows, |_, rows| random.pairs(rows, case.groups));
    if case.set_up.len() > 1 {
        let names = batches(case.groups as usize, |first, rows| random.auctions(first as i64, rows));
        names.iter().for_each(|rows| insert(&session, "names", rows));
    }
    session.wait(None).expect("no limit");
    let changes = follow(&session, "watched");
    let start = Instant::now();
    data.iter().for_each(|rows| insert(&session, "ticks", rows));
    drain(&session, &changes);
    debug_assert_eq!(data[0].num_rows(), BATCH);
    case.rows as f64 / start.elapsed().as_secs_f64() / 1e6
}

/// Returns the number of one-row inserts per second, made one after another, through a subscribed aggregate.
fn one_row_rate(workers: usize) -> f64 {
    let (session, changes) = grouped(workers, 100_000);
    let mut random = Random(7);
    let rows: Vec<RecordBatch> = (0..1000).map(|_| random.pairs(1, 100_000)).collect();
    const INSERTS: usize = 200_000;
    let start = Instant::now();
    (0..INSERTS).for_each(|turn| insert(&session, "ticks", &rows[turn % rows.len()]));
    drain(&session, &changes);
    INSERTS as f64 / start.elapsed().as_secs_f64()
}
