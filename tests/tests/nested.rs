//! Lists and structs: NULL inside them is the greatest value, and what is beneath their NULLs is not read; in queries
//! that run once and in views alike.

use laminardb_tests::Database;

fn database() -> Database {
    let database = Database::new(2);
    database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, l BIGINT[], s STRUCT(a BIGINT, b VARCHAR), f DOUBLE[])");
    database.run(
        "INSERT INTO t VALUES
         (1, [1, NULL], {'a': 1, 'b': 'x'}, [-0.0]),
         (2, [1, 2], {'a': NULL, 'b': ''}, [0.0]),
         (3, NULL, {'a': -5, 'b': NULL}, NULL),
         (4, [], NULL, [NULL]),
         (5, [NULL], {'a': 1, 'b': NULL}, []),
         (6, [1000], {'a': NULL, 'b': NULL}, [CAST('NaN' AS DOUBLE)])",
    );
    database
}

/// The rows of `query`, run once and read from a view of it, sorted; `number` is that of the view.
fn both(database: &Database, number: usize, query: &str) -> [Vec<String>; 2] {
    database.run(&format!("CREATE MATERIALIZED VIEW v{number} AS {query}"));
    [query, &format!("SELECT * FROM v{number}")].map(|sql| {
        let mut rows = database.rows(sql);
        rows.sort();
        rows
    })
}

/// For which rows each expression is true.
fn check_true(cases: &[(&str, &[i64])]) {
    let database = database();
    for (number, (expr, ids)) in cases.iter().enumerate() {
        let wanted: Vec<String> = ids.iter().map(|id| format!("{id}")).collect();
        let wheres = both(&database, 2 * number, &format!("SELECT id FROM t WHERE {expr}"));
        assert_eq!(wheres, [wanted.clone(), wanted.clone()], "WHERE {expr}");
        let query = format!("SELECT id, {expr} AS e FROM t");
        let selected = both(&database, 2 * number + 1, &format!("SELECT id FROM ({query}) AS q WHERE e"));
        assert_eq!(selected, [wanted.clone(), wanted], "SELECT {expr}");
    }
}

#[test]
fn null_inside_is_the_greatest_in_comparisons() {
    check_true(&[
        ("l > [1, 2]", &[1, 5, 6]),
        ("l <= [1, NULL]", &[1, 2, 4]),
        ("l < [NULL]", &[1, 2, 4, 6]),
        ("l = [1, NULL]", &[1]),
        ("l <> [1, NULL]", &[2, 4, 5, 6]),
        ("l IS DISTINCT FROM [NULL]", &[1, 2, 3, 4, 6]),
        ("l BETWEEN [1, 2] AND [1, NULL]", &[1, 2]),
        ("l IN ([NULL], [1, 2])", &[2, 5]),
        ("l IN ([NULL], l)", &[1, 2, 4, 5, 6]),
        ("CASE l WHEN [NULL] THEN true WHEN [1, NULL] THEN true END", &[1, 5]),
        ("nullif(l, [NULL]) IS NULL", &[3, 5]),
        ("s > {'a': 1, 'b': 'x'}", &[2, 5, 6]),
        ("s < {'a': NULL, 'b': NULL}", &[1, 2, 3, 5]),
        ("s = {'a': 1, 'b': NULL}", &[5]),
    ]);
}

#[test]
fn numbers_inside_are_compared_as_outside() {
    check_true(&[
        ("f = [0.0]", &[1, 2]),
        ("f IN ([-0.0], [1.0])", &[1, 2]),
        ("f = [-CAST('NaN' AS DOUBLE)]", &[6]),
        ("nullif(f, [0.0]) IS NULL", &[1, 2, 3]),
    ]);
    let groups = both(&database(), 0, "SELECT f, count(*) AS n FROM t WHERE f IN ([0.0]) GROUP BY f");
    assert_eq!(groups[0], groups[1]);
    assert_eq!(groups[0].len(), 1, "{groups:?}");
}

#[test]
fn least_and_greatest_take_lists_and_structs() {
    check_true(&[
        ("greatest(l, [1, 2]) = [1, 2]", &[2, 3, 4]),
        ("greatest(l, [1, 2]) = [NULL]", &[5]),
        ("least(l, [1, 2], NULL) = [1, 2]", &[1, 2, 3, 5, 6]),
        ("greatest(s, {'a': 1, 'b': 'x'}) = s", &[1, 2, 5, 6]),
        ("least(s, {'a': 1, 'b': 'x'}) = {'a': 1, 'b': 'x'}", &[1, 2, 4, 5, 6]),
    ]);
}

#[test]
fn null_inside_is_the_greatest_in_orders() {
    let database = database();
    let orders: [(&str, [i64; 6]); 8] = [
        ("l", [4, 2, 1, 6, 5, 3]),
        ("l DESC", [5, 6, 1, 2, 4, 3]),
        ("l NULLS FIRST", [3, 4, 2, 1, 6, 5]),
        ("l DESC NULLS FIRST", [3, 5, 6, 1, 2, 4]),
        ("s", [3, 1, 5, 2, 6, 4]),
        ("s DESC", [6, 2, 5, 1, 3, 4]),
        ("s NULLS FIRST", [4, 3, 1, 5, 2, 6]),
        ("s DESC NULLS FIRST", [4, 6, 2, 5, 1, 3]),
    ];
    for (number, (order, ids)) in orders.into_iter().enumerate() {
        let wanted = ids.map(|id| format!("{id}"));
        assert_eq!(database.rows(&format!("SELECT id FROM t ORDER BY {order}")), wanted, "{order}");
        database.run(&format!("CREATE MATERIALIZED VIEW w{number} AS SELECT id, l, s FROM t ORDER BY {order}"));
        assert_eq!(database.rows(&format!("SELECT id FROM w{number}")), wanted, "a view by {order}");
        for limit in 1..6 {
            let mut wanted = wanted[..limit].to_vec();
            wanted.sort();
            let query = format!("SELECT id FROM t ORDER BY {order} LIMIT {limit}");
            let cut = both(&database, number * 6 + limit, &query);
            assert_eq!(cut, [wanted.clone(), wanted], "{query}");
        }
    }
}

#[test]
fn what_is_beneath_null_is_not_read() {
    check_true(&[
        ("(CASE WHEN id > 3 THEN s END).b IS NULL", &[1, 2, 3, 4, 5, 6]),
        ("(CASE WHEN id < 3 THEN s END)['b'] = 'x'", &[1]),
        ("(nullif(s, s)).a IS NULL", &[1, 2, 3, 4, 5, 6]),
        ("(CASE WHEN id > 3 THEN l END)[1] = 1", &[]),
        ("(nullif(l, l))[1] IS NULL", &[1, 2, 3, 4, 5, 6]),
        ("array_length(CASE WHEN id < 3 THEN l END) IS NULL", &[3, 4, 5, 6]),
        ("CAST(CASE WHEN id < 6 THEN l END AS TINYINT[]) IS NULL", &[3, 6]),
        ("CAST(CASE WHEN id <> 3 THEN s END AS STRUCT(a UTINYINT, b VARCHAR)) IS NULL", &[3, 4]),
    ]);
}

/// A cast of a list looked at the elements of all rows of the batch.
#[test]
fn a_failing_cast_of_a_list_is_the_error_of_its_row_alone() {
    let database = database();
    database
        .run("CREATE MATERIALIZED VIEW v AS SELECT id, CAST(l AS TINYINT[]) AS x FROM t WITH ('on_error' = 'skip')");
    let mut rows = database.rows("SELECT id FROM v");
    rows.sort();
    assert_eq!(rows, ["1", "2", "3", "4", "5"]);
}
