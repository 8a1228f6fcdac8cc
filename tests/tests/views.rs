//! Views of every supported operator under a script of DML: after each step the view equals its query run from scratch,
//! and snapshot plus changes equals the view; with 1, 2 and 4 workers.

use std::collections::BTreeMap;

use laminardb_tests::{Bag, Database, Follower};

const TABLES: &str = "
    CREATE TABLE t (id BIGINT, k BIGINT, v BIGINT, s VARCHAR, x DOUBLE, PRIMARY KEY (id));
    CREATE TABLE u (k BIGINT, w BIGINT, PRIMARY KEY (k));
    CREATE TABLE bag (k BIGINT, v BIGINT, s VARCHAR);
    CREATE SOURCE events (k BIGINT, v BIGINT, x DOUBLE);";

/// One statement a step.
const STEPS: &[&str] = &[
    "INSERT INTO t VALUES (1, 1, 10, 'a', 0.5), (2, 1, 20, 'b', 1.5), (3, 2, 30, NULL, NULL), (4, NULL, 40, 'a', -2.5)",
    "INSERT INTO u VALUES (1, 100), (3, 300)",
    "INSERT INTO bag VALUES (1, 1, 'p'), (1, 1, 'p'), (2, NULL, 'q'), (NULL, 3, NULL)",
    "INSERT INTO events VALUES (1, 5, 0.1), (2, 6, 0.2), (1, 7, 0.7), (NULL, 8, NULL)",
    "INSERT OR REPLACE INTO t VALUES (2, 2, 25, 'b', 1.25), (5, 3, NULL, 'c', 9.0)",
    "UPDATE t SET v = v + 1 WHERE k = 1",
    "INSERT INTO u VALUES (2, 200)",
    "UPDATE u SET w = w * 10 WHERE k <> 3",
    "DELETE FROM bag WHERE s = 'p'",
    "INSERT INTO bag VALUES (3, 30, 'r'), (3, 31, 'r'), (3, 30, 'r')",
    "UPDATE t SET k = 1 WHERE k IS NULL",
    "DELETE FROM u WHERE k = 1",
    "INSERT INTO events VALUES (3, 1, 1e300), (3, 2, -1e300), (3, 3, 0.5)",
    "DELETE FROM t WHERE id IN (1, 3)",
    "TRUNCATE bag",
    "DELETE FROM t",
    "INSERT INTO t SELECT k * 10 + v, k, v, 'n', x FROM events WHERE k IS NOT NULL AND v < 7",
    "DELETE FROM u",
];

fn check(name: &str, queries: &[&str]) {
    for workers in [1, 2, 4] {
        let database = Database::new(workers);
        database.run(TABLES);
        // The first half of the views sees all steps as changes, the second half is made in the middle.
        let mut views: Vec<(String, &str, Follower)> = Vec::new();
        for (step, sql) in STEPS.iter().enumerate() {
            if step == 0 || step == STEPS.len() / 3 {
                for (idx, query) in queries.iter().enumerate() {
                    let view = format!("{name}_{step}_{idx}");
                    database.run(&format!("CREATE MATERIALIZED VIEW {view} AS {query}"));
                    let follower = Follower::of(&database, &view);
                    views.push((view, query, follower));
                }
            }
            database.run(sql);
            database.session.wait(None).expect("the engine works");
            // Twins of one query are compared with one answer.
            let answers: BTreeMap<&str, Bag> = queries.iter().map(|query| (*query, database.bag(query))).collect();
            for (view, query, follower) in &mut views {
                let expected = &answers[query];
                let context = format!("workers {workers}, step {step}: {sql}\nview: {query}");
                assert_eq!(&database.bag(&format!("SELECT * FROM {view}")), expected, "{context}");
                assert_eq!(follower.catch_up(), expected, "changes, {context}");
            }
        }
    }
}

#[test]
fn linear() {
    check(
        "linear",
        &[
            "SELECT * FROM t",
            "SELECT k, v FROM bag",
            "SELECT id, v * 2 AS twice, s || '!' AS loud FROM t WHERE v > 15",
            "SELECT k, v FROM bag WHERE v IS NOT NULL UNION ALL SELECT k, w FROM u",
            "SELECT CASE WHEN v > 20 THEN 'big' ELSE 'small' END AS size, id FROM t",
            "SELECT id, v / k AS q, v % 7 AS r FROM t",
        ],
    );
}

#[test]
fn aggregates() {
    check(
        "aggregates",
        &[
            "SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k",
            "SELECT count(*) AS n, sum(v) AS total, min(s) AS least, max(v) AS most FROM t",
            "SELECT s, avg(v) AS mean, count(v) AS n, count(DISTINCT k) AS kinds FROM t GROUP BY s",
            "SELECT k, sum(v) FILTER (WHERE v > 20) AS big FROM t GROUP BY k HAVING count(*) > 1",
            "SELECT k + 1 AS next, max(v) - min(v) AS spread FROM bag GROUP BY k + 1",
            "SELECT k, min(x) AS lo, max(x) AS hi FROM events GROUP BY k",
        ],
    );
}

#[test]
fn distinct_and_set_operations() {
    check(
        "sets",
        &[
            "SELECT DISTINCT k, s FROM bag",
            "SELECT k FROM bag UNION SELECT k FROM t",
            "SELECT k FROM t EXCEPT SELECT k FROM u",
            "SELECT k FROM bag INTERSECT SELECT k FROM t",
            "SELECT k FROM bag EXCEPT ALL SELECT k FROM t",
            "SELECT k FROM bag INTERSECT ALL SELECT k FROM t",
            "SELECT k FROM bag UNION ALL SELECT k FROM t EXCEPT ALL SELECT k FROM u",
        ],
    );
}

#[test]
fn inner_joins() {
    check(
        "inner",
        &[
            "SELECT t.id, t.v, u.w FROM t JOIN u ON t.k = u.k",
            "SELECT t.id, bag.s FROM t JOIN bag ON t.k = bag.k AND t.v > bag.v",
            "SELECT a.id AS one, b.id AS other FROM t a JOIN t b ON a.k = b.k AND a.id < b.id",
            "SELECT t.id, u.w, bag.v FROM t JOIN u ON t.k = u.k JOIN bag ON bag.k = u.k",
            "SELECT t.id, u.k FROM t CROSS JOIN u",
            "SELECT t.id, u.w FROM t JOIN u ON t.v < u.w",
        ],
    );
}

#[test]
fn outer_and_semi_joins() {
    check(
        "outer",
        &[
            "SELECT t.id, u.w FROM t LEFT JOIN u ON t.k = u.k",
            "SELECT t.id, u.w FROM t RIGHT JOIN u ON t.k = u.k",
            "SELECT t.id, bag.v FROM t FULL JOIN bag ON t.k = bag.k",
            "SELECT t.id, u.w FROM t LEFT JOIN u ON t.k = u.k AND u.w > 150",
            "SELECT t.id FROM t LEFT JOIN u ON t.k = u.k WHERE u.k IS NULL",
        ],
    );
}

#[test]
fn top_k() {
    check(
        "top",
        &[
            "SELECT id, v FROM t ORDER BY v DESC, id LIMIT 2",
            "SELECT k, v FROM bag ORDER BY v, k LIMIT 3",
            "SELECT id FROM t ORDER BY id LIMIT 2 OFFSET 1",
            "SELECT k, sum(v) AS total FROM events GROUP BY k ORDER BY total DESC, k LIMIT 2",
        ],
    );
}

#[test]
fn nested_queries_and_common_tables() {
    check(
        "nested",
        &[
            "WITH big AS (SELECT k, v FROM t WHERE v > 15) SELECT a.v, b.v AS other FROM big a JOIN big b ON a.k = b.k",
            "SELECT n, count(*) AS groups FROM (SELECT k, count(*) AS n FROM t GROUP BY k) AS per_key GROUP BY n",
            "SELECT t.id, per_key.total FROM t JOIN (SELECT k, sum(v) AS total FROM bag GROUP BY k) AS per_key ON t.k = per_key.k",
        ],
    );
}

/// DataFusion's texts of these expressions are the same in each pair, and equal nodes of a plan are found by texts.
#[test]
fn expressions_that_differ_in_parentheses_are_two() {
    let database = Database::new(1);
    database.run("CREATE TABLE t (x BIGINT, v BIGINT, b BOOLEAN)");
    database.run("INSERT INTO t VALUES (4, 2, true), (1, 7, NULL), (8, 3, false)");
    for (one, other) in [
        ("x & (v | 1)", "(x & v) | 1"),
        ("x << (v << 1)", "(x << v) << 1"),
        ("(b = (x > 2)) IS NULL", "b = ((x > 2) IS NULL)"),
    ] {
        let half = |of: &str| format!("SELECT {of} AS a, count(*) AS n FROM t GROUP BY 1");
        let query = format!("{} UNION ALL {}", half(one), half(other));
        database.run(&format!("CREATE OR REPLACE MATERIALIZED VIEW w AS {query}"));
        assert_eq!(database.bag("SELECT * FROM w"), database.bag(&query), "{query}");
    }
}

#[test]
fn views_on_views() {
    for workers in [1, 2, 4] {
        let database = Database::new(workers);
        database.run(TABLES);
        database.run(
            "CREATE VIEW plain AS SELECT id, k, v FROM t WHERE v IS NOT NULL;
             CREATE STREAM linear AS SELECT id, k, v + 1 AS v FROM plain;
             CREATE MATERIALIZED VIEW totals AS SELECT k, sum(v) AS total FROM linear GROUP BY k;
             CREATE MATERIALIZED VIEW joined AS SELECT linear.id, totals.total FROM linear JOIN totals ON linear.k = totals.k;
             CREATE MATERIALIZED VIEW top AS SELECT k, total FROM totals ORDER BY total DESC, k LIMIT 1;",
        );
        let totals = "SELECT k, sum(v + 1) AS total FROM t WHERE v IS NOT NULL GROUP BY k";
        let flat = [
            ("linear", "SELECT id, k, v + 1 FROM t WHERE v IS NOT NULL".to_owned()),
            ("totals", totals.to_owned()),
            ("joined", format!("SELECT id, total FROM t JOIN ({totals}) AS s ON t.k = s.k WHERE v IS NOT NULL")),
            ("top", format!("{totals} ORDER BY total DESC, k LIMIT 1")),
        ];
        let mut followers: Vec<Follower> = flat.iter().map(|(view, _)| Follower::of(&database, view)).collect();
        for (step, sql) in STEPS.iter().enumerate() {
            database.run(sql);
            database.session.wait(None).expect("the engine works");
            for ((view, query), follower) in flat.iter().zip(&mut followers) {
                let expected = database.bag(query);
                assert_eq!(database.bag(&format!("SELECT * FROM {view}")), expected, "{view} at step {step}: {sql}");
                assert_eq!(follower.catch_up(), &expected, "changes of {view} at step {step}: {sql}");
            }
        }
    }
}

#[test]
fn a_query_over_relations_and_views_sees_one_time() {
    let database = Database::new(2);
    database.run(TABLES);
    database.run("CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM bag");
    for step in 0..50 {
        database.run(&format!("INSERT INTO bag VALUES ({step}, 0, 'x')"));
        let both = database
            .rows("SELECT (n.n = counted.n) AS same FROM n CROSS JOIN (SELECT count(*) AS n FROM bag) AS counted");
        assert_eq!(both, ["true"]);
    }
    assert_eq!(database.bag("SELECT n FROM n"), Bag::of(["50"]));
}
