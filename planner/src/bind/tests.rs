//! Tests where binding differs from DataFusion's: divisions, its wrong answers, parameters.

use datafusion::logical_expr::LogicalPlan;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray};
use arrow::datatypes::{DataType, Int64Type};

use crate::bind::{bind_insert, bind_query};
use crate::lower::tests::context::Relations;
use crate::lower::tests::context::bind;
use crate::lower::tests::{answer, plan};
use crate::rewrite::optimise;
use crate::statement::{Statement, parse, parse_query};
use crate::{Params, PlanError};

fn refused(sql: &str) -> String {
    match bind(sql) {
        Err(PlanError::Invalid { message, .. }) => message,
        other => panic!("{sql}: {other:?}"),
    }
}

fn optimised(sql: &str) -> LogicalPlan {
    optimise(&bind(sql).expect("the query is valid")).expect("the query can be rewritten")
}

/// DataFusion assumes that a quotient of columns that cannot be NULL cannot be NULL, and folds its IS NULL to false.
#[test]
fn a_quotient_of_columns_that_are_not_null_can_be_null() {
    for sql in ["SELECT k / (k - 1) AS q FROM t", "SELECT k % (k - 1) AS q FROM t"] {
        let bound = bind(sql).expect("the query is valid");
        assert!(bound.schema.field(0).is_nullable(), "{sql}");
        assert!(optimised(sql).schema().field(0).is_nullable(), "{sql}");
    }
    assert_eq!(answer("SELECT k FROM t WHERE k / (k - 1) IS NULL"), "1");
    assert_eq!(answer("SELECT k FROM t WHERE k % (k - 2) IS NULL"), "2");
    assert_eq!(answer("SELECT n FROM (SELECT count(*) AS n FROM t WHERE k > 99) AS p WHERE 1 / n IS NULL"), "0");
    assert_eq!(answer("SELECT 1 / 0 IS NULL AS a, 1 % 0 IS NOT NULL AS b"), "true false");
    // The same above an outer join whose outer rows are filtered away, and inside a subquery.
    assert_eq!(answer("SELECT t.k FROM t LEFT JOIN u ON t.k = u.k WHERE u.k > 0 AND t.k / (u.k - 1) IS NULL"), "1");
    assert_eq!(answer("SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND 1 / (u.k - 1) IS NULL)"), "1");
}

#[test]
fn a_quotient_by_a_number_is_null_where_its_dividend_is() {
    let nullable = |sql: &str| bind(sql).expect("the query is valid").schema.field(0).is_nullable();
    assert!(!nullable("SELECT k / 2 AS q FROM t"));
    assert!(nullable("SELECT g / 2 AS q FROM t"));
    assert!(nullable("SELECT k / 0 AS q FROM t"));
    assert!(nullable("SELECT 3 / k AS q FROM t UNION ALL SELECT 3 AS q FROM t"));
    assert!(nullable("SELECT q FROM (SELECT 3 AS q FROM t UNION SELECT 3 % k AS q FROM t) u"));
}

#[test]
fn quotients_group_and_are_shown_as_written() {
    let bound = bind("SELECT k / g, count(*) FROM t GROUP BY k / g HAVING k / g > 0").expect("the query is valid");
    assert_eq!(bound.schema.field(0).name(), "k / g");
    let text = plan("SELECT k / g AS q FROM t").expect("a plan").plan.explain(&|_| "t".to_owned());
    assert!(text.contains("Project [(k / g) as q]"), "{text}");
}

#[test]
fn what_datafusion_gets_wrong_is_refused() {
    assert_eq!(refused("SELECT k FROM t WHERE s SIMILAR TO 'a%'"), "SIMILAR TO is not supported; use LIKE or ~");
    let escape = "LIKE ... ESCAPE is supported with the backslash only";
    assert_eq!(refused("SELECT k FROM t WHERE s LIKE 'a!%' ESCAPE '!'"), escape);
    assert_eq!(refused("SELECT k FROM t WHERE EXISTS (SELECT 1 FROM bag WHERE c LIKE '!_' ESCAPE '!')"), escape);
    bind(r"SELECT k FROM t WHERE s LIKE 'a\%' ESCAPE '\'").expect("the backslash is what DataFusion escapes with");
}

fn numbers(positional: i64, named: &[&str]) -> Params {
    let number = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    let positional: Vec<_> = (1..=positional).map(number).collect();
    let named: Vec<_> = named.iter().map(|name| ((*name).to_owned(), number(9))).collect();
    Params::from_arrays(&positional, &named).expect("one value each")
}

/// A statement of a text need not use all parameters; together the statements must.
#[test]
fn the_statements_of_a_text_use_its_parameters_together() {
    let used = |sql: &str, params: &Params| {
        let statements = parse(sql).expect("it parses");
        params.all_used(&statements).map_err(|error| error.to_string())
    };
    for sql in ["SELECT ?; SELECT ?", "SELECT $2; SELECT $1", "EXPLAIN SELECT ?; DELETE FROM t WHERE k = ?"] {
        assert_eq!(used(sql, &numbers(2, &[])), Ok(()), "{sql}");
    }
    assert_eq!(used("SELECT $a; SELECT $b, $a", &numbers(0, &["a", "b"])), Ok(()));
    for (sql, params, expected) in [
        ("SELECT ?; SELECT 1", numbers(2, &[]), "2 parameters given, but parameter 2 is not used"),
        ("SELECT '?'", numbers(1, &[]), "1 parameters given, but parameter 1 is not used"),
        ("SELECT $a", numbers(0, &["a", "b"]), "parameter $b is given, but not used"),
        ("BEGIN", numbers(1, &[]), "1 parameters given, but parameter 1 is not used"),
    ] {
        assert_eq!(used(sql, &params), Err(expected.to_owned()), "{sql}");
    }
}

#[test]
fn parameters_have_their_values() {
    let bound = |sql: &str, params: &Params| match parse(sql).expect("it parses").pop().expect("one at least").statement
    {
        Statement::Query(query) => bind_query(&query, &Relations, params),
        other => panic!("{sql}: {other:?}"),
    };
    let second = bound("SELECT ?; SELECT k FROM t WHERE k = ? AND g = $1", &numbers(2, &[])).expect("both are there");
    let text = second.logical.display_indent().to_string();
    assert!(text.contains("t.k = Int64(2) AND t.g = Int64(1)"), "{text}");
    assert_eq!(
        bound("SELECT ?, ?", &numbers(1, &[])).expect_err("one is missing").to_string(),
        "parameter 2 is missing: 1 given"
    );
    assert_eq!(bound("SELECT $x", &numbers(1, &[])).expect_err("it is missing").to_string(), "parameter $x is missing");
    assert_eq!(
        bound("SELECT $0", &numbers(1, &[])).expect_err("from 1").to_string(),
        "parameter 0 is missing: 1 given"
    );
}

/// IN with a list parameter compares with its elements; it does not look for the value inside the list.
#[test]
fn in_takes_the_elements_of_a_list_parameter() {
    let list = |values: Vec<Option<i64>>| {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(values)]);
        Params::from_arrays(&[Arc::new(list) as ArrayRef], &[]).expect("one value")
    };
    let bound = |sql: &str, params: &Params| match parse(sql).expect("it parses").pop().expect("one at least").statement
    {
        Statement::Query(query) => bind_query(&query, &Relations, params),
        other => panic!("{sql}: {other:?}"),
    };
    let text =
        |sql: &str, params: &Params| bound(sql, params).expect("it is a list").logical.display_indent().to_string();
    let found = text("SELECT k FROM t WHERE g IN ? AND k = 1", &list(vec![Some(1), None]));
    assert!(found.contains("t.g IN ([Int64(1), Int64(NULL)]) AND t.k = Int64(1)"), "{found}");
    let found = text("SELECT k FROM t WHERE g + 1 NOT IN $1", &list(vec![Some(1)]));
    assert!(found.contains("t.g + Int64(1) NOT IN ([Int64(1)])"), "{found}");
    assert!(text("SELECT k FROM t WHERE g NOT IN ?", &list(Vec::new())).contains("Filter: Boolean(true)"));
    let not_a_list = bound("SELECT k FROM t WHERE g IN ?", &numbers(1, &[])).expect_err("it is a number");
    assert_eq!(not_a_list.to_string(), "IN takes a list as its parameter, not a value of type BIGINT");
}

#[test]
fn the_query_of_a_view_is_the_same_when_it_is_parsed_alone() {
    let views = [
        ("CREATE VIEW v AS SELECT k FROM t WHERE k = ?", 0),
        ("SELECT ?; INSERT INTO t VALUES (?, ?, ?); CREATE VIEW v AS SELECT ? AS a FROM t WHERE k = ? AND g = $1", 4),
        ("SELECT ?; CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE s = E'a\\n?' WITH ('on_error' = 'skip')", 0),
        ("SELECT '?', ?;\n CREATE VIEW v (\"A\") AS\n-- a comment?\nSELECT k FROM t\n WHERE k = ?;", 1),
        ("SELECT ?; CREATE VIEW v AS SELECT k FROM t WHERE k = $x", 0),
    ];
    for (text, before) in views {
        let parsed = parse(text).expect("it parses").pop().expect("one at least");
        let Statement::CreateView(create) = parsed.statement else { panic!("{text}") };
        assert_eq!(create.placeholders_before, before, "{text}");
        let alone = parse_query(&create.query_text, before).expect("it parses alone");
        assert_eq!(alone.to_string(), create.query.to_string(), "{text}");
    }
    assert!(parse_query("SELECT 1; SELECT 2", 0).is_err());
    assert!(parse_query("DROP TABLE t", 0).is_err());
}

#[test]
fn parameters_are_kept_as_far_as_a_statement_uses_them() {
    let statements = parse("SELECT $3, $b; SELECT ?; SELECT 1").expect("it parses");
    let params = numbers(3, &["a", "b"]);
    let (positional, named) = params.used_by(&statements[0]).to_arrays().expect("values");
    let types: Vec<_> = positional.iter().map(|array| array.data_type().clone()).collect();
    assert_eq!(types, [DataType::Null, DataType::Null, DataType::Int64]);
    assert_eq!(named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(params.used_by(&statements[1]), numbers(1, &[]));
    assert!(params.used_by(&statements[2]).is_empty());
    let (positional, named) = params.to_arrays().expect("values");
    assert_eq!(Params::from_arrays(&positional, &named).expect("one value each"), params);
}

/// The rows and the SET of an INSERT are bound separately, each with some of the parameters.
#[test]
fn an_upsert_takes_parameters_in_both_parts() {
    let sql = "INSERT INTO t (k, g) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET g = ?";
    let Statement::Insert(insert) = parse(sql).expect("it parses").swap_remove(0).statement else { panic!("{sql}") };
    bind_insert(&insert, &Relations, &numbers(3, &[])).expect("all are there");
}
