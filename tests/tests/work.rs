//! Counted work: a small change touches few records, however much there is.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use laminardb_tests::{Database, Follower};

const GROUPS: i64 = 50_000;

#[test]
fn one_changed_row_of_many_groups_is_two_rows_and_little_work() {
    for workers in [1, 2] {
        let database = Database::new(workers);
        database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, k BIGINT, v BIGINT)");
        let fields = ["id", "k", "v"].map(|name| Field::new(name, DataType::Int64, true));
        let column = || Arc::new(Int64Array::from_iter_values(0..GROUPS)) as _;
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![column(), column(), column()]);
        database.session.insert("t", vec![rows.expect("three columns")]).expect("stored");
        database.run("CREATE MATERIALIZED VIEW totals AS SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k");
        let mut follower = Follower::of(&database, "totals");
        let snapshot = follower.changes().expect("a snapshot");
        assert_eq!(snapshot.len() as i64, GROUPS);
        let touched = || {
            let report = database.shared.engine_report().expect("a report");
            let work = report.views.iter().flat_map(|view| view.work.iter());
            work.map(|operator| operator.received + operator.sent).sum::<u64>()
        };
        let before = touched();
        database.run("INSERT OR REPLACE INTO t VALUES (7, 7, 70)");
        assert_eq!(follower.changes().expect("a change"), ["UpdateDelete 7 | 1 | 7", "UpdateInsert 7 | 1 | 70"]);
        assert_eq!(follower.changes, 2);
        let work = touched() - before;
        assert!(work <= 40, "{work} records were touched for one changed row");
    }
}
