//! The engine works in pieces: however many rows a statement or an operator has to process, the worker looks at its
//! commands again after a bounded number of them. Counted, not timed.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use laminardb_tests::{Database, Storage};

/// Number of rows of each large table: whatever processes them all at once touches more rows than it may.
const ROWS: i64 = 120_000;
/// The most rows that a worker may touch before it looks at its commands, each counted by every operator that it meets.
/// An operator that is told to stop does a small piece more, and the largest of these views has a dozen.
const LARGEST: u64 = 100_000;

/// Every kind of operator, each of which receives, keeps or makes more rows than a worker may touch at once.
const VIEWS: [(&str, &str); 18] = [
    ("linear", "SELECT id, v + 1 AS v FROM t WHERE v >= 0"),
    ("union", "SELECT id FROM t UNION ALL SELECT id FROM u"),
    ("sum", "SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k"),
    ("one_sum", "SELECT count(*) AS n, sum(v) AS total, avg(v) AS mean FROM t"),
    ("extremes", "SELECT k, min(v) AS low, max(v) AS high FROM t GROUP BY k"),
    ("one_extreme", "SELECT min(v) AS low, max(s) AS high FROM t"),
    ("distinct_count", "SELECT k % 7 AS k, count(DISTINCT v) AS n FROM t GROUP BY k % 7"),
    ("distinct", "SELECT DISTINCT k, v FROM t"),
    ("intersection", "SELECT k FROM t INTERSECT SELECT k FROM u"),
    ("difference", "SELECT k FROM t EXCEPT SELECT k FROM u WHERE v % 2 = 0"),
    ("inner_join", "SELECT t.id, u.v FROM t JOIN u ON t.k = u.k"),
    ("outer_join", "SELECT t.id, u.v FROM t FULL JOIN u ON t.k = u.k AND u.v % 2 = 0"),
    ("one_key", "SELECT a.id AS x, b.id AS y FROM same a JOIN same b ON a.k = b.k"),
    ("inequality", "SELECT a.id AS x, b.id AS y FROM same a JOIN same b ON a.id < b.id"),
    ("semi_join", "SELECT id FROM t WHERE k IN (SELECT k FROM u)"),
    ("anti_join", "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.v % 2 = 0)"),
    ("first_rows", "SELECT id, v FROM t ORDER BY v DESC, id LIMIT 2000"),
    ("first_of_each", "SELECT DISTINCT ON (k) k, v, s FROM t ORDER BY k, v DESC"),
];

/// What changes the rows of the large tables.
const WRITES: [&str; 8] = [
    "UPDATE t SET v = v + 1",
    "DELETE FROM t WHERE id % 2 = 0",
    "INSERT INTO t SELECT id + 1000000, k, v, s FROM u",
    "INSERT OR REPLACE INTO t SELECT id, k + 1, v, s FROM u",
    "DELETE FROM u",
    "INSERT INTO u SELECT * FROM t WHERE id < 200000",
    "TRUNCATE TABLE t",
    "UPDATE same SET v = v + 1",
];

fn rows(name: &str, database: &Database, count: i64, key: impl Fn(i64) -> i64) {
    database.run(&format!("CREATE TABLE {name} (id BIGINT PRIMARY KEY, k BIGINT, v BIGINT, s VARCHAR)"));
    let whole = |name| Field::new(name, DataType::Int64, true);
    let schema = Schema::new(vec![whole("id"), whole("k"), whole("v"), Field::new("s", DataType::Utf8, true)]);
    let column = |value: &dyn Fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..count).map(value))) as ArrayRef;
    let texts = Arc::new(StringArray::from_iter_values((0..count).map(|id| format!("row {id}"))));
    let columns = vec![column(&|id| id), column(&key), column(&|id| id * 7919 % count), texts];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).expect("four columns");
    database.session.insert(name, vec![batch]).expect("stored");
}

/// Adds two tables of [`ROWS`] rows, and one of 1,000 rows with the same key.
fn fill(database: &Database) {
    rows("t", database, ROWS, |id| id / 2);
    rows("u", database, ROWS, |id| id);
    rows("same", database, 1_000, |_| 1);
}

/// Returns a database with these tables.
fn database(workers: usize) -> Database {
    let database = Database::new(workers);
    fill(&database);
    database
}

/// Waits until the views are complete and returns the largest number of rows touched at once since the last call.
fn largest(database: &Database) -> u64 {
    database.session.wait(None).expect("complete");
    database.shared.engine_report().expect("a report").largest_piece
}

/// Fails if `what` has touched more rows at once than it may.
fn check(database: &Database, what: &str, workers: usize) {
    let largest = largest(database);
    assert!(largest <= LARGEST, "{what}, {workers} workers: {largest} rows were touched at once");
}

/// Builds a view over the large tables in a fresh database, and makes `writes`.
fn check_view(name: &str, query: &str, workers: usize, writes: &[&str]) {
    let database = database(workers);
    largest(&database);
    database.run(&format!("CREATE MATERIALIZED VIEW {name} AS {query}"));
    check(&database, &format!("CREATE of {name}"), workers);
    for write in writes {
        database.run(write);
        check(&database, &format!("{name}: {write}"), workers);
    }
}

#[test]
fn every_operator_takes_in_its_contents_and_changes_of_them_in_pieces() {
    for (position, (name, query)) in VIEWS.into_iter().enumerate() {
        check_view(name, query, 1 + position % 2, &[WRITES[0], WRITES[4], WRITES[6]]);
    }
}

#[test]
fn every_write_of_many_rows_is_processed_in_pieces() {
    for (workers, at) in [(1, 10), (2, 4)] {
        check_view(VIEWS[at].0, VIEWS[at].1, workers, &WRITES);
    }
}

#[test]
fn definitions_reads_and_checkpoints_of_many_rows_are_done_in_pieces() {
    for workers in [1, 2] {
        let storage = Storage::new();
        let database = storage.open(workers);
        fill(&database);
        database.run("CREATE MATERIALIZED VIEW groups AS SELECT k, count(*) AS n, max(v) AS high FROM t GROUP BY k");
        database.run("CREATE MATERIALIZED VIEW above AS SELECT n, count(*) AS groups FROM groups GROUP BY n");
        largest(&database);
        assert_eq!(database.rows("SELECT count(*), sum(n) FROM groups").len(), 1);
        check(&database, "a query", workers);
        database.run("CHECKPOINT");
        check(&database, "a checkpoint", workers);
        database.run("CREATE OR REPLACE TABLE u AS SELECT * FROM t");
        check(&database, "a table that is replaced", workers);
        database.run("RESTORE FROM CHECKPOINT LATEST");
        check(&database, "a restore", workers);
        database.run("DROP MATERIALIZED VIEW above");
        database.run("CREATE OR REPLACE MATERIALIZED VIEW groups AS SELECT k, count(*) AS n FROM u GROUP BY k");
        check(&database, "a view that is replaced", workers);
        database.run("DROP MATERIALIZED VIEW groups");
        check(&database, "a drop", workers);
    }
}

#[test]
fn many_views_of_one_table_share_what_a_worker_may_do_at_once() {
    for workers in [1, 2] {
        let database = database(workers);
        for view in 0..12 {
            let query = format!("SELECT k % {} AS k, max(v) AS high FROM t GROUP BY 1", 1_000 + view);
            database.run(&format!("CREATE MATERIALIZED VIEW v{view} AS {query}"));
        }
        check(&database, "the contents of 12 views", workers);
        database.run("UPDATE t SET v = v + 1");
        check(&database, "a change of each row of 12 views", workers);
    }
}
