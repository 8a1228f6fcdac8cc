//! The order of a view: a SELECT over one view alone reads its rows in it, in every way of reading.

use std::time::Duration;

use laminardb_bridge::{Next, NextRows, Params, Session, SubscribeOptions, Target};
use laminardb_tests::{Bag, Database, text};

/// A table whose rows lie in no order, and views over it that have one: maintained with state, linear, and plain.
fn database(workers: usize) -> Database {
    let database = Database::new(workers);
    database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, g VARCHAR, n BIGINT)");
    let row = |id: i64| format!("({id}, 'g{}', {})", id * 7 % 10, id * 37 % 101);
    let rows: Vec<String> = (0..100).map(row).collect();
    database.run(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    database.run(
        "CREATE MATERIALIZED VIEW grouped AS SELECT g, sum(n) AS s FROM t GROUP BY g ORDER BY s DESC, g;
         CREATE MATERIALIZED VIEW linear AS SELECT id, n FROM t WHERE id > 3 ORDER BY n, id;
         CREATE VIEW plain AS SELECT id, n FROM t ORDER BY n DESC, id;
         CREATE VIEW above AS SELECT g, s FROM grouped WHERE s > 0;
         CREATE MATERIALIZED VIEW top AS SELECT id, n FROM t ORDER BY n DESC, id LIMIT 7",
    );
    database
}

/// What the rows of a view must be, from its query.
const QUERIES: [(&str, &str); 5] = [
    ("grouped", "SELECT g, sum(n) AS s FROM t GROUP BY g ORDER BY s DESC, g"),
    ("linear", "SELECT id, n FROM t WHERE id > 3 ORDER BY n, id"),
    ("plain", "SELECT id, n FROM t ORDER BY n DESC, id"),
    ("above", "SELECT g, sum(n) AS s FROM t GROUP BY g ORDER BY s DESC, g"),
    ("top", "SELECT id, n FROM t ORDER BY n DESC, id LIMIT 7"),
];

/// Rows of the first batches of a subscription, which are its snapshot.
fn snapshot(session: &Session, target: Target<'_>) -> Vec<String> {
    let subscription = session.subscribe(target, SubscribeOptions::default()).expect("it can be subscribed to");
    match subscription.next(Some(Duration::from_secs(60))) {
        Ok(Next::Batch(batch)) if batch.is_snapshot && batch.is_last => text::rows(&batch.rows),
        other => panic!("no snapshot in one batch: {other:?}"),
    }
}

fn streamed(session: &Session, sql: &str) -> Vec<String> {
    let stream = session.stream(sql, &Params::none()).expect("a good query");
    let mut rows = Vec::new();
    loop {
        match stream.next(None).expect("the query runs") {
            NextRows::Batch(batch) => rows.extend(text::rows(&batch)),
            NextRows::Ended => return rows,
            NextRows::TimedOut => panic!("there is no time limit"),
        }
    }
}

#[test]
fn select_from_a_view_alone_has_the_order_of_the_view() {
    for workers in [1, 2] {
        let database = database(workers);
        for step in 0..3 {
            for (view, query) in QUERIES {
                let wanted = database.rows(query);
                let all = format!("SELECT * FROM {view}");
                assert_eq!(database.rows(&all), wanted, "{view} at step {step}");
                assert_eq!(database.rows(&format!("SELECT v.* FROM {view} AS v")), wanted, "{view} by another name");
                assert_eq!(
                    database.rows(&format!("SELECT * FROM (SELECT * FROM {view}) AS d")),
                    wanted,
                    "{view} inside"
                );
                assert_eq!(database.rows(&format!("WITH d AS ({all}) SELECT * FROM d")), wanted, "{view} in WITH");
                assert_eq!(database.rows(&format!("{all} LIMIT 3")), wanted[..3], "the first of {view}");
                assert_eq!(streamed(&database.session, &all), wanted, "{view} streamed");
                let output = database.session.query_relation(view, None).expect("it is there");
                let rows: Vec<String> = output.batches.iter().flat_map(text::rows).collect();
                assert_eq!(rows, wanted, "{view} by a call");
                assert_eq!(snapshot(&database.session, Target::Relation(view)), wanted, "{view} subscribed to");
                assert_eq!(snapshot(&database.session, Target::Sql(query, &Params::none())), wanted, "{query}");
            }
            database.run("UPDATE t SET n = (n * 53 + 11) % 97");
            database.run(&format!("DELETE FROM t WHERE id % 17 = {}", step + 4));
        }
    }
}

#[test]
fn the_order_goes_through_projections_and_conditions() {
    let database = database(2);
    for (view, key, order) in [("linear", "n", "n, id"), ("plain", "n", "n DESC, id"), ("top", "n", "n DESC, id")] {
        for (read, sorted) in [
            ("SELECT id FROM {} WHERE {k} % 3 = 1", "SELECT id FROM ({q}) AS q WHERE {k} % 3 = 1 ORDER BY {o}"),
            ("SELECT {k} + 1 AS m, id FROM {}", "SELECT {k} + 1 AS m, id FROM ({q}) AS q ORDER BY {o}"),
            (
                "SELECT id FROM {} WHERE id IN (SELECT n FROM t)",
                "SELECT id FROM ({q}) AS q WHERE id IN (SELECT n FROM t) ORDER BY {o}",
            ),
            (
                "SELECT id FROM {} AS v WHERE EXISTS (SELECT 1 FROM t WHERE t.n = v.id) LIMIT 4 OFFSET 1",
                "SELECT id FROM ({q}) AS v WHERE EXISTS (SELECT 1 FROM t WHERE t.n = v.id) ORDER BY {o} LIMIT 4 OFFSET 1",
            ),
        ] {
            let query = QUERIES.iter().find(|(name, _)| *name == view).expect("it is in the list").1;
            let filled =
                |text: &str| text.replace("{}", view).replace("{k}", key).replace("{q}", query).replace("{o}", order);
            assert_eq!(database.rows(&filled(read)), database.rows(&filled(sorted)), "{}", filled(read));
        }
    }
}

#[test]
fn a_limit_over_an_ordered_view_takes_its_first_rows_in_a_view_as_well() {
    let database = database(2);
    database.run("CREATE MATERIALIZED VIEW first AS SELECT g FROM grouped LIMIT 3");
    for _ in 0..3 {
        let wanted =
            database.rows("SELECT g FROM (SELECT g, sum(n) AS s FROM t GROUP BY g) AS q ORDER BY s DESC, g LIMIT 3");
        assert_eq!(database.rows("SELECT g FROM grouped LIMIT 3"), wanted);
        assert_eq!(database.bag("SELECT g FROM first"), Bag::of(wanted));
        database.run("UPDATE t SET n = (n * 31 + 7) % 103");
    }
}

#[test]
fn keys_that_are_no_columns() {
    let database = database(1);
    // Expressions over the columns of the view are its order.
    database.run("CREATE MATERIALIZED VIEW e AS SELECT g, sum(n) AS s FROM t GROUP BY g ORDER BY -s, upper(g)");
    assert_eq!(database.rows("SELECT * FROM e"), database.rows("SELECT * FROM grouped"));
    assert_eq!(database.rows("SELECT g FROM e"), database.rows("SELECT g FROM grouped"));
    // A view that keeps no rows is its query, which knows all columns.
    database
        .run("CREATE VIEW p AS SELECT id FROM t ORDER BY n, id; CREATE STREAM l AS SELECT id FROM t ORDER BY n, id");
    let wanted = database.rows("SELECT id FROM t ORDER BY n, id");
    for view in ["p", "l"] {
        assert_eq!(database.rows(&format!("SELECT * FROM {view}")), wanted, "{view}");
        assert_eq!(snapshot(&database.session, Target::Relation(view)), wanted, "{view}");
        let filtered = format!("SELECT id FROM {view} WHERE id IN (SELECT n FROM t) LIMIT 5");
        let sorted = "SELECT id FROM t WHERE id IN (SELECT n FROM t) ORDER BY n, id LIMIT 5";
        assert_eq!(database.rows(&filtered), database.rows(sorted), "{view}");
    }
    // One that keeps rows would not know them.
    for query in [
        "SELECT g FROM t GROUP BY g ORDER BY sum(n)",
        "SELECT g FROM t GROUP BY g ORDER BY g, sum(n)",
        "SELECT g, sum(n) AS s FROM t GROUP BY g ORDER BY sum(n) - (SELECT max(n) FROM t)",
    ] {
        let (code, why) = database.refused(&format!("CREATE MATERIALIZED VIEW h AS {query}"));
        assert!(code == 600 && why.contains("ORDER BY") && why.contains("line 1"), "{query}: {code} {why}");
        let subscribed = database.session.subscribe(Target::Sql(query, &Params::none()), SubscribeOptions::default());
        assert_eq!(subscribed.err().map(|error| error.code()), Some(600), "{query}");
        assert_eq!(database.rows(query).len(), 10, "{query}");
    }
    // With a LIMIT the order says which rows there are.
    database.run("CREATE MATERIALIZED VIEW k AS SELECT g FROM t GROUP BY g ORDER BY sum(n) DESC, g LIMIT 2");
    let best = Bag::of(database.rows("SELECT g FROM grouped LIMIT 2"));
    assert_eq!(database.bag("SELECT * FROM k"), best);
}

#[test]
fn an_order_that_nobody_asked_for_is_not_made() {
    let database = database(2);
    for (query, sorted) in [
        ("SELECT count(*) FROM grouped", "SELECT 10"),
        ("SELECT s FROM grouped ORDER BY s", "SELECT sum(n) AS s FROM t GROUP BY g ORDER BY s"),
        (
            "SELECT max(s) FROM grouped WHERE g < 'g5'",
            "SELECT max(s) FROM (SELECT g, sum(n) AS s FROM t GROUP BY g) AS q WHERE g < 'g5'",
        ),
    ] {
        assert_eq!(database.rows(query), database.rows(sorted), "{query}");
    }
    for query in [
        "SELECT DISTINCT s % 3 AS r FROM grouped",
        "SELECT a.g FROM grouped AS a JOIN grouped AS b ON a.s = b.s",
        "SELECT g FROM grouped UNION SELECT g FROM above",
        "SELECT g FROM grouped WHERE s > ALL (SELECT s - 1 FROM above WHERE above.g = grouped.g)",
        "SELECT (SELECT s FROM grouped WHERE grouped.g = t.g LIMIT 1) AS s FROM t",
    ] {
        database.run(&format!("CREATE OR REPLACE MATERIALIZED VIEW w AS {query}"));
        assert_eq!(database.bag("SELECT * FROM w"), database.bag(query), "{query}");
    }
}

#[test]
fn ties_nulls_and_nan_are_ordered_as_in_the_query() {
    let database = Database::new(2);
    database.run("CREATE TABLE f (id BIGINT PRIMARY KEY, x DOUBLE, s VARCHAR)");
    database.run(
        "INSERT INTO f VALUES (1, 'NaN'::DOUBLE, 'b'), (2, NULL, 'a'), (3, -0.0, NULL), (4, 0.0, 'B'), (5, -1.5, 'a')",
    );
    for (view, order) in [("a", "x, s, id"), ("b", "x DESC NULLS FIRST, s NULLS FIRST, id"), ("c", "s DESC, id DESC")] {
        let query = format!("SELECT id, x, s, count(*) AS n FROM f GROUP BY id, x, s ORDER BY {order}");
        database.run(&format!("CREATE MATERIALIZED VIEW {view} AS {query}"));
        assert_eq!(database.rows(&format!("SELECT * FROM {view}")), database.rows(&query), "{order}");
        assert_eq!(snapshot(&database.session, Target::Relation(view)), database.rows(&query), "{order}");
    }
}

#[test]
fn columns_may_have_other_names_or_one_name() {
    let database = database(1);
    database
        .run("CREATE MATERIALIZED VIEW r (best, total) AS SELECT g, sum(n) FROM t GROUP BY g ORDER BY sum(n) DESC, g");
    assert_eq!(database.rows("SELECT * FROM r"), database.rows("SELECT * FROM grouped"));
    let query = "SELECT g AS x, sum(n) AS x FROM t GROUP BY g ORDER BY 2 DESC, 1";
    assert_eq!(
        snapshot(&database.session, Target::Sql(query, &Params::none())),
        database.rows("SELECT * FROM grouped")
    );
}
