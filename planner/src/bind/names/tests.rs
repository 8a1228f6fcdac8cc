//! Tests what names mean, which columns `*` expands to, and what output columns are called.

use crate::lower::tests::answer;
use crate::lower::tests::context::bind;

/// Returns the shown names of a query's columns.
fn columns(sql: &str) -> String {
    let bound = bind(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    bound.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join("|")
}

fn error(sql: &str) -> String {
    match bind(sql) {
        Ok(_) => panic!("{sql} is not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn output_columns_are_named() {
    for (sql, expected) in [
        ("SELECT K, t.G, T.s FROM t", "k|g|s"),
        ("SELECT K AS Key, g AS \"G x\" FROM t", "key|G x"),
        ("SELECT (k), ((t.g)) FROM t", "k|g"),
        ("SELECT k+1, Count( * ), SUM(T.V)/2 FROM t GROUP BY k", "k + 1|count(*)|sum(t.v) / 2"),
        ("SELECT 1, 'a', NULL, -1, 1.50", "1|'a'|NULL|-1|1.50"),
        ("SELECT CAST(k AS text), k::double FROM t", "CAST(k AS TEXT)|k::DOUBLE"),
        ("SELECT CASE WHEN K = 1 THEN 2 END FROM t", "CASE WHEN k = 1 THEN 2 END"),
        ("SELECT (SELECT max(k) FROM t)", "(SELECT max(k) FROM t)"),
        ("SELECT k, k, K AS k FROM t", "k|k|k"),
        ("SELECT * FROM t AS a CROSS JOIN u AS b", "k|g|s|v|k|tk|w"),
        ("VALUES (1, 2)", "column1|column2"),
        ("SELECT k AS a FROM t UNION SELECT k AS b FROM u", "a"),
        ("SELECT * FROM t AS x (one, \"Two\")", "one|Two|s|v"),
        ("SELECT * FROM (VALUES (1, 2)) AS x (a)", "a|column2"),
        ("WITH w (a) AS (SELECT k, g FROM t) SELECT * FROM w", "a|g"),
        ("SELECT * FROM (SELECT k, k FROM t) AS p", "k|k"),
    ] {
        assert_eq!(columns(sql), expected, "{sql}");
    }
}

#[test]
fn stars_stand_for_columns() {
    for (sql, expected) in [
        ("SELECT * FROM t", "k|g|s|v"),
        ("SELECT t.*, u.w FROM t, u", "k|g|s|v|w"),
        ("SELECT U.*, T.k FROM t, u", "k|tk|w|k"),
        ("SELECT *, k + 1 FROM u", "k|tk|w|k + 1"),
        ("SELECT * EXCLUDE (s, V) FROM t", "k|g"),
        ("SELECT * EXCLUDE w FROM u", "k|tk"),
        ("SELECT * REPLACE (k + 1 AS K) FROM u", "k|tk|w"),
        ("SELECT u.* EXCLUDE (w) REPLACE (1 AS tk) FROM u", "k|tk"),
        ("SELECT * FROM t JOIN u USING (k)", "k|g|s|v|tk|w"),
        ("SELECT u.* FROM t JOIN u USING (k)", "k|tk|w"),
        ("SELECT * FROM u JOIN log USING (tk)", "k|tk|w|id|x|i"),
        ("SELECT * FROM t NATURAL JOIN u", "k|g|s|v|tk|w"),
        ("SELECT * FROM t NATURAL JOIN totals", "k|g|s|v|n"),
        ("SELECT * FROM (t JOIN u USING (k)) JOIN bag ON a = k", "k|g|s|v|tk|w|a|b|c"),
        ("SELECT * FROM (u CROSS JOIN bag) AS j", "k|tk|w|a|b|c"),
        ("SELECT j.a FROM (u CROSS JOIN bag) AS j (p, q)", "a"),
    ] {
        assert_eq!(columns(sql), expected, "{sql}");
    }
    assert_eq!(answer("SELECT * REPLACE (k + 10 AS k) FROM u WHERE k = 1"), "11 1 10");
    for (sql, expected) in [
        ("SELECT *", "SELECT * without FROM"),
        ("SELECT x.* FROM t", "table x does not exist at line 1, column 8"),
        ("SELECT * EXCLUDE (nope) FROM t", "column nope of EXCLUDE is unknown or ambiguous at line 1, column 19"),
        ("SELECT * EXCLUDE (k) FROM t, u", "column k of EXCLUDE is unknown or ambiguous at line 1, column 19"),
        ("SELECT * REPLACE (1 AS nope) FROM t", "column nope of REPLACE is unknown or ambiguous at line 1, column 24"),
        ("SELECT * FROM (t CROSS JOIN u) AS j", "columns of the parenthesised join j repeat; use a subquery"),
    ] {
        assert_eq!(error(sql), expected, "{sql}");
    }
}

/// Names are matched in lower case first, then as the only one that is equal except for case; quoted ones are exact.
#[test]
fn names_fold_unless_quoted() {
    let mixed = "FROM (SELECT k AS \"Mixed\", g AS \"B\", g AS \"b\", k AS \"Two\", g AS \"TWO\" FROM t) AS \"P\"";
    for (list, expected) in [
        ("MIXED", "Mixed"),
        ("\"Mixed\"", "Mixed"),
        ("p.mixed", "Mixed"),
        ("\"P\".mixed", "Mixed"),
        ("B", "b"),
        ("\"B\"", "B"),
        ("\"TWO\"", "TWO"),
    ] {
        assert_eq!(columns(&format!("SELECT {list} {mixed}")), expected, "{list}");
    }
    for (list, expected) in [
        ("\"mixed\"", "column mixed does not exist at line 1, column 8"),
        ("two", "column two is ambiguous at line 1, column 8"),
        ("\"p\".mixed", "table or column p does not exist at line 1, column 8"),
    ] {
        assert_eq!(error(&format!("SELECT {list} {mixed}")), expected, "{list}");
    }
    assert_eq!(columns("SELECT k FROM T"), "k");
    assert_eq!(error("SELECT k FROM \"T\""), "table T does not exist at line 1, column 15");
}

#[test]
fn unknown_and_ambiguous_names_are_refused_where_they_stand() {
    for (sql, expected) in [
        ("SELECT nope FROM t", "column nope does not exist at line 1, column 8"),
        ("SELECT k\nFROM nope", "table nope does not exist at line 2, column 6"),
        ("SELECT t.nope FROM t", "column t.nope does not exist at line 1, column 10"),
        ("SELECT x.k FROM t", "table or column x does not exist at line 1, column 8"),
        ("SELECT t.k FROM t AS x", "table or column t does not exist at line 1, column 8"),
        ("SELECT k FROM t, u", "column k is ambiguous at line 1, column 8"),
        ("SELECT 1 FROM t, u WHERE t.k = k", "column k is ambiguous at line 1, column 32"),
        ("SELECT g FROM t GROUP BY\n  nope", "column nope does not exist at line 2, column 3"),
        ("SELECT g FROM t GROUP BY g HAVING nope > 1", "column nope does not exist at line 1, column 35"),
        ("SELECT g FROM t ORDER BY nope", "column nope does not exist at line 1, column 26"),
        ("SELECT k FROM t UNION SELECT k FROM u ORDER BY w", "column w does not exist at line 1, column 48"),
        ("SELECT k FROM main.t", "main.t is not known: names have no schema or catalog"),
        ("SELECT t.k FROM t, t", "table t is ambiguous at line 1, column 8"),
        ("SELECT * FROM t JOIN u ON t.k = x.k", "table or column x does not exist at line 1, column 33"),
        ("SELECT (SELECT nope FROM u) FROM t", "column nope does not exist at line 1, column 16"),
        ("SELECT p.k FROM t, (SELECT t.k FROM u) AS p", "table or column t does not exist at line 1, column 28"),
        ("VALUES (nope)", "column nope does not exist at line 1, column 9"),
        ("SELECT 1 LIMIT nope", "column nope does not exist at line 1, column 16"),
        ("SELECT * FROM t AS x (a, b, c, d, e)", "x names 5 columns of 4"),
        ("WITH w AS (SELECT k FROM v) SELECT 1", "table v does not exist at line 1, column 26"),
    ] {
        assert_eq!(error(sql), expected, "{sql}");
    }
}

#[test]
fn using_and_natural_join_by_common_columns() {
    for (sql, expected) in [
        ("SELECT k, t.k, u.k FROM t JOIN u USING (K) WHERE k = 1", "1 1 1"),
        ("SELECT k FROM t RIGHT JOIN (VALUES (99)) AS r (k) USING (k)", "99"),
        ("SELECT k, t.k FROM t FULL JOIN (VALUES (99)) AS r (k) USING (k) WHERE k > 6", "7 7, 99 NULL"),
        ("SELECT count(*) AS n FROM t JOIN u USING (k) JOIN log ON id = k", "4"),
        ("SELECT k FROM t NATURAL LEFT JOIN (VALUES (1, 'one')) AS r (k, name) WHERE name = 'one'", "1"),
    ] {
        assert_eq!(answer(sql).replace('\n', ", "), expected, "{sql}");
    }
    for (sql, expected) in [
        ("SELECT 1 FROM t JOIN u USING (w)", "column w of USING does not exist in the left table at line 1, column 31"),
        (
            "SELECT 1 FROM t JOIN u USING (g)",
            "column g of USING does not exist in the right table at line 1, column 31",
        ),
        ("SELECT 1 FROM (t CROSS JOIN u) JOIN u AS x USING (k)", "column k is ambiguous at line 1, column 51"),
        ("SELECT 1 FROM t NATURAL JOIN bag", "NATURAL JOIN of tables without a common column"),
    ] {
        assert_eq!(error(sql), expected, "{sql}");
    }
}

#[test]
fn each_clause_sees_its_own_names() {
    for (sql, expected) in [
        // In ORDER BY an alias takes precedence over a column of FROM; in GROUP BY the column does.
        ("SELECT -k AS k FROM u ORDER BY k LIMIT 1", "-6"),
        ("SELECT count(*) AS n, k > 3 AS high FROM u GROUP BY high", "3 false, 3 true"),
        ("SELECT count(*) AS n FROM (SELECT 1 AS a, 2 AS b) AS p GROUP BY a", "1"),
        // Names are looked up in the innermost query first, then in the outer ones.
        ("SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND k = 1)", "1"),
        ("SELECT k FROM t WHERE k = (SELECT max(tk) FROM u WHERE g = 2)", "no rows"),
        // A WITH name hides a relation, the nearest WITH wins, and the name is not visible outside its query.
        ("WITH t AS (SELECT 7 AS k) SELECT k FROM t", "7"),
        ("WITH t AS (SELECT 7 AS k) SELECT k FROM (WITH t AS (SELECT 8 AS k) SELECT k FROM t) AS p", "8"),
        (
            "WITH w AS (SELECT 1 AS k) SELECT w.k FROM (WITH w AS (SELECT k + 1 AS k FROM w) SELECT w.k FROM w) AS w",
            "2",
        ),
        ("WITH w AS (SELECT 1 AS k) SELECT w.k FROM w WHERE k IN (WITH w AS (SELECT 1 AS k) SELECT k FROM w)", "1"),
        ("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT x FROM b", "2"),
        ("SELECT \"k#2\".k FROM u AS \"k#2\" WHERE k = 2", "2"),
        ("SELECT p.k + 0 AS a FROM (SELECT k, 5 AS \"k#2\", 1 AS x FROM u) AS p WHERE \"k#2\" = 5 AND k = 1", "1"),
    ] {
        assert_eq!(answer(sql).replace('\n', ", "), expected, "{sql}");
    }
    assert_eq!(
        error("SELECT k FROM (WITH w AS (SELECT k FROM u) SELECT k FROM w) AS p, w"),
        "table w does not exist at line 1, column 67"
    );
    assert_eq!(
        error("WITH a AS (SELECT 1 FROM b), b AS (SELECT 1) SELECT 1"),
        "table b does not exist at line 1, column 26"
    );
    // DataFusion names a column of the outer query differently.
    assert_eq!(columns("SELECT p.k FROM u, LATERAL (SELECT u.k) AS p"), "k");
    assert_eq!(error("WITH a AS (SELECT 1), A AS (SELECT 1) SELECT 1"), "WITH names a twice at line 1, column 23");
    assert_eq!(error("SELECT k AS x FROM t WHERE x = 1"), "column x does not exist at line 1, column 28");
}

#[test]
fn depth_is_limited() {
    let sum = |terms: usize| format!("SELECT 1{}", " + 1".repeat(terms));
    bind(&sum(400)).expect("400 terms are not too many");
    assert_eq!(error(&sum(600)), "the statement is nested too deeply (limit 500)");
}

#[test]
fn what_would_be_ignored_is_refused() {
    for (sql, expected) in [
        ("SELECT k FROM t FOR UPDATE", "FOR UPDATE is not supported"),
        ("SELECT k FROM t TABLESAMPLE (10)", "TABLESAMPLE is not supported at line 1, column 15"),
        ("SELECT k FROM t FETCH FIRST 1 ROW ONLY", "FETCH is not supported; use LIMIT"),
        (
            "SELECT 1 FROM t SEMI JOIN u ON t.k = u.k",
            "SEMI JOIN and ANTI JOIN are not supported; use EXISTS at line 1, column 27",
        ),
        ("TABLE t", "TABLE t is not supported; use SELECT * FROM t"),
        ("SELECT k INTO x FROM t", "SELECT INTO is not supported"),
    ] {
        assert_eq!(error(sql), expected, "{sql}");
    }
}

/// DataFusion looks for a key of ORDER BY in the result, in FROM and in outer queries at once, by names that repeat.
#[test]
fn a_key_of_order_by_is_of_its_own_query() {
    for (sql, expected) in [
        (
            "SELECT k, (SELECT x.k FROM t AS x JOIN u ON u.k = x.k WHERE x.g >= t.g ORDER BY x.k DESC LIMIT 1) AS m \
             FROM t WHERE k < 3",
            "1 6, 2 6",
        ),
        ("SELECT -k AS k FROM u ORDER BY u.k LIMIT 2", "-1, -2"),
        ("SELECT -k AS k FROM u ORDER BY k LIMIT 2", "-5, -6"),
        ("SELECT -k AS a FROM u ORDER BY a * 2 + k LIMIT 2", "-5, -6"),
        ("SELECT g AS \"t.k\" FROM t WHERE k < 3 ORDER BY k DESC LIMIT 1", "1"),
        ("SELECT DISTINCT g + 1 AS h FROM t ORDER BY -(t.g + 1) LIMIT 1", "10"),
        ("SELECT g FROM t GROUP BY g ORDER BY max(t.k) DESC LIMIT 1", "NULL"),
        ("SELECT k FROM u UNION SELECT k + 10 FROM u ORDER BY u.k DESC LIMIT 2", "15, 16"),
        ("SELECT 2 AS two, k FROM u GROUP BY two, k ORDER BY ALL LIMIT 1", "2 1"),
        ("SELECT k FROM u ORDER BY EXISTS (SELECT 1 FROM t WHERE t.g = u.k AND t.k > 2) DESC, k LIMIT 1", "2"),
        ("SELECT k AS m FROM u ORDER BY (SELECT max(g) FROM t WHERE t.k = m) DESC, m LIMIT 1", "6"),
    ] {
        assert_eq!(answer(sql).replace('\n', ", "), expected, "{sql}");
    }
    for (sql, expected) in [
        ("SELECT DISTINCT g FROM t ORDER BY t.k", "SELECT DISTINCT cannot be ordered by t.k: no column of it"),
        (
            "SELECT k + 1 AS m FROM u ORDER BY (SELECT max(g) FROM t WHERE t.k = m) + u.k",
            "ORDER BY (SELECT max(g) FROM t WHERE t.k = m) + u.k mixes names of the SELECT list in a subquery with \
             others; use a derived table",
        ),
        (
            "SELECT k % 2 AS m FROM u GROUP BY k HAVING EXISTS (SELECT 1 FROM t WHERE t.g = m)",
            "m of the SELECT list cannot be used in a subquery here at line 1, column 80",
        ),
    ] {
        assert_eq!(error(sql), expected, "{sql}");
    }
}

#[test]
fn row_values_are_compared_part_by_part() {
    let value = |condition: &str| answer(&format!("SELECT {condition} AS b")).to_lowercase();
    for (condition, expected) in [
        ("(NULL, 4) < (2, 2)", "null"),
        ("(1, NULL) < (2, 2)", "true"),
        ("(2, 1) < (2, 2)", "true"),
        ("(2, 2) <= (2, 2)", "true"),
        ("(2, NULL) = (3, 2)", "false"),
        ("(2, NULL) <> (2, 2)", "null"),
        ("ROW(2, 3) > ROW(2, 2)", "true"),
        ("((1, 2), 3) < ((1, 3), 0)", "true"),
        ("(1, NULL) IN ((2, 2), (1, 1))", "null"),
        ("(1, NULL) NOT IN ((2, 2))", "true"),
        ("(1, 2) BETWEEN (1, 1) AND (1, 3)", "true"),
        ("(1, NULL) IS NOT DISTINCT FROM (1, NULL)", "true"),
        ("(1, 2) IN (SELECT 1, 2)", "true"),
        ("(1, 2) NOT IN (SELECT 1, CAST(NULL AS BIGINT))", "null"),
        ("(1, 2) < ALL (SELECT k, tk FROM u)", "false"),
        ("(1, 2) = (SELECT k, tk FROM u WHERE k = 99 LIMIT 1)", "null"),
        ("(1, 2) IS DISTINCT FROM (SELECT k, tk FROM u WHERE k = 99 LIMIT 1)", "true"),
        ("CASE (1, 2) WHEN (1, 3) THEN 1 WHEN (1, 2) THEN 2 END = 2", "true"),
    ] {
        assert_eq!(value(condition), expected, "{condition}");
    }
    for (sql, expected) in [
        ("SELECT (1, 2) = (1, 2, 3)", "a row of 2 is compared with a row of 3"),
        ("SELECT (1, 2) IN (SELECT k FROM u)", "a row of 2 is compared with a subquery of 1 columns"),
        ("SELECT (1, 2) IN (1, 2)", "1 is not a row value"),
        ("SELECT (1, 2) = ANY ([1, 2])", "ANY and ALL compare a row value with a subquery only"),
    ] {
        assert_eq!(error(sql), expected, "{sql}");
    }
}

#[test]
fn a_column_of_using_stays_where_the_left_table_has_it() {
    for (sql, expected) in [
        ("SELECT * FROM u JOIN t USING (k)", "k|tk|w|g|s|v"),
        ("SELECT * FROM bag RIGHT JOIN (SELECT 1 AS x, 2 AS b) AS r USING (b)", "a|b|c|x"),
        ("SELECT * FROM bag FULL JOIN (SELECT 1 AS x, 2 AS b) AS r USING (b)", "a|b|c|x"),
        ("SELECT * FROM bag NATURAL JOIN (SELECT 'x' AS c, 2 AS b, 3 AS x) AS r", "a|b|c|x"),
        ("SELECT * FROM bag AS p JOIN bag AS q USING (c, a)", "a|b|c|b"),
    ] {
        assert_eq!(columns(sql), expected, "{sql}");
    }
}

/// A name like those that the binder invents was an error: two tables or WITH queries had it.
#[test]
fn a_query_may_use_the_names_that_are_invented() {
    let queries = [
        "SELECT ?.k FROM t AS ?, (SELECT w FROM u) WHERE ?.k = w",
        "SELECT k FROM (SELECT w FROM u), (SELECT k FROM t) AS ? WHERE ?.k = w",
        "SELECT k, g + 1 AS ? FROM t ORDER BY v * 2, k LIMIT 3",
        "SELECT ?, g + 1 AS y FROM (SELECT k, g, v, k AS ? FROM t) AS a ORDER BY v * 2, k LIMIT 3",
        "SELECT ?.k FROM t AS ? WHERE (?.k, ?.g) = (SELECT tk, w FROM u ORDER BY k LIMIT 1)",
        "WITH ? AS (SELECT k FROM t), b AS (WITH ? AS (SELECT tk AS k FROM u) SELECT k FROM ?) \
         SELECT ?.k FROM ? JOIN b ON ?.k = b.k",
    ];
    for query in queries {
        let expected = answer(&query.replace('?', "other"));
        for count in 1..=4 {
            let name = format!("\"#{count}\"");
            assert_eq!(answer(&query.replace('?', &name)), expected, "{name}: {query}");
        }
    }
    assert_eq!(columns("SELECT \"#4294967296\".k FROM t AS \"#4294967296\", (SELECT w FROM u)"), "k");
}
