use datafusion::logical_expr::LogicalPlan;

use crate::PlanError;
use crate::lower::tests::context::bind;
use crate::lower::tests::{answer, plan};
use crate::rewrite::optimise;

fn refused(sql: &str) -> String {
    match bind(sql) {
        Err(PlanError::Invalid { message, .. }) => message,
        other => panic!("{sql}: {other:?}"),
    }
}

fn optimised(sql: &str) -> LogicalPlan {
    optimise(&bind(sql).expect("the query is valid")).expect("the query can be rewritten")
}

/// DataFusion takes the quotient of columns that cannot be NULL for one, and its being NULL for false.
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
    // The same through a join that outer rows are filtered from, and inside a subquery.
    assert_eq!(answer("SELECT t.k FROM t LEFT JOIN u ON t.k = u.k WHERE u.k > 0 AND t.k / (u.k - 1) IS NULL"), "1");
    assert_eq!(answer("SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND 1 / (u.k - 1) IS NULL)"), "1");
}

#[test]
fn a_quotient_by_a_number_is_null_where_its_dividend_is() {
    let nullable = |sql: &str| bind(sql).expect("the query is valid").schema.field(0).is_nullable();
    assert!(!nullable("SELECT k / 2 AS q FROM t"));
    assert!(nullable("SELECT g / 2 AS q FROM t"));
    assert!(nullable("SELECT k / 0 AS q FROM t"));
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
