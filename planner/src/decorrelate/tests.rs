//! Tests what subqueries become, and which are refused. Their answers are checked with all others, in `lower/tests`.

use expect_test::expect;

use crate::PlanError;
use crate::lower::tests::context::bind;
use crate::lower::tests::{answer, check, plan};
use crate::rewrite::optimise_once;

#[test]
fn exists_is_a_semi_join() {
    check(
        "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.tk = t.k AND u.w > 3)",
        expect![[r#"
            Output unique_key=[k] keeps=arrangement by [k]
              SemiJoin on [k] = [tk]
                Input t
                Filter tk IS NOT NULL
                Filter w > 3
                  Input u
        "#]],
    );
    check(
        "SELECT k FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.tk = t.k AND u.w > t.g)",
        expect![[r#"
            Output unique_key=[k] keeps=arrangement by [k]
              Project [k]
                AntiJoin on [k, g] = [k, g]
                  Input t
                  Join on [k] = [tk] where w > g
                    Input t
                    Filter tk IS NOT NULL
                      Input u
        "#]],
    );
}

#[test]
fn in_is_a_semi_join() {
    check(
        "SELECT id FROM log WHERE tk IN (SELECT k FROM t)",
        expect![[r#"
            Output keeps=arrangement by [id]
              Join on [tk] = [k]
                Filter tk IS NOT NULL
                  Input log
                Input t
        "#]],
    );
    check(
        "SELECT k FROM t WHERE g IN (SELECT tk FROM u)",
        expect![[r#"
            Output unique_key=[k] keeps=arrangement by [k]
              Project [k]
                SemiJoin on [g] = [tk]
                  Filter g IS NOT NULL
                    Input t
                  Filter tk IS NOT NULL
                    Input u
        "#]],
    );
}

#[test]
fn not_in_minds_nulls() {
    check(
        "SELECT k FROM t WHERE g NOT IN (SELECT tk FROM u)",
        expect![[r#"
            Output unique_key=[k] keeps=arrangement by [k]
              Union
                Project [k]
                Filter (g IS NULL) IS DISTINCT FROM true
                  AntiJoin on [] = [] as part 1
                    AntiJoin on [g] = [tk]
                      Input t
                      Filter tk IS NOT NULL
                        Input u
                    Filter tk IS NULL
                      Input u
                AntiJoin on [] = []
                  Filter g IS NULL
                    Part 1
                  Input u
        "#]],
    );
    check(
        "SELECT k FROM t WHERE k NOT IN (SELECT k FROM u)",
        expect![[r#"
            Output unique_key=[k] keeps=arrangement by [k]
              Filter false IS DISTINCT FROM true
              Filter false IS DISTINCT FROM true
                AntiJoin on [k] = [k]
                  Input t
                  Input u
        "#]],
    );
}

#[test]
fn scalar_subqueries_are_left_joins() {
    check(
        "SELECT k FROM t WHERE v > (SELECT avg(v) FROM t)",
        expect![[r#"
            Output unique_key=[k] keeps=arrangement by [k]
              Project [k]
                CrossJoin on [] = [] where v > avg(t.v)
                  Input t
                  Reduce by [] [avg(v)]
                    Input t
        "#]],
    );
    check(
        "SELECT k, (SELECT count(*) FROM u WHERE u.tk = t.k) AS n FROM t",
        expect![[r#"
            Output unique_key=[k] keeps=arrangement by [k]
              Project [k, CASE WHEN count(Int64(1)) IS NULL THEN 0 ELSE count(Int64(1)) END as n]
                Union
                  Join on [k] = [tk]
                    Input t
                    Filter tk IS NOT NULL as part 1
                      Reduce by [tk] [count(*)]
                        Input u
                  Project [k, Int64(NULL) as count(Int64(1))]
                    AntiJoin on [k] = [tk]
                      Input t
                      Part 1
        "#]],
    );
}

#[test]
fn refusals() {
    let refused = |sql: &str| match plan(sql) {
        Err(PlanError::NotMaintainable { construct, .. }) => construct,
        other => panic!("{sql}: {other:?}"),
    };
    let many = "a scalar subquery that can return more than one row";
    assert_eq!(refused("SELECT k, (SELECT w FROM u) AS w FROM t"), many);
    assert_eq!(
        refused("SELECT k, (SELECT w FROM u WHERE u.tk = t.k) AS w FROM t"),
        "a correlated scalar subquery that can return more than one row"
    );
    assert_eq!(
        refused("SELECT t.k FROM t FULL JOIN u ON EXISTS (SELECT 1 FROM bag WHERE a = t.k AND b = u.w)"),
        "a subquery that refers to both sides of a Full join in its ON"
    );
    assert_eq!(
        refused("SELECT k, (SELECT w FROM u WHERE u.tk = t.k ORDER BY w LIMIT 1 OFFSET 1) AS w FROM t"),
        "a correlated subquery with OFFSET"
    );
}

#[test]
fn a_row_value_in_a_subquery_is_a_semi_join() {
    check(
        "SELECT k FROM t WHERE (k, g) IN (SELECT tk, w FROM u)",
        expect![[r#"
        Output unique_key=[k] keeps=arrangement by [k]
          Project [k]
            SemiJoin on [k, g] = [tk, w]
              Filter g IS NOT NULL
                Input t
              Filter (tk IS NOT NULL AND w IS NOT NULL)
                Input u
    "#]],
    );
    check(
        "SELECT k FROM u WHERE (k, 1) NOT IN (SELECT k, g FROM t)",
        expect![[r#"
        Output unique_key=[k] keeps=arrangement by [k]
          AntiJoin on [k] = [k]
            Filter false IS DISTINCT FROM true
              AntiJoin on [k] = [k]
                Input u
                CrossJoin on [] = [] where (k = k:2 AND 1 = g) IS NULL
                  Input u
                  Filter g IS NULL
                    Input t
            Filter 1 = g
              Input t
    "#]],
    );
}

#[test]
fn a_subquery_in_on_is_a_column_of_its_side() {
    check(
        "SELECT t.k, u.w FROM t LEFT JOIN u ON t.k = u.tk AND EXISTS (SELECT 1 FROM bag WHERE bag.a = t.g)",
        expect![[r#"
            Output keeps=arrangement by [k, w]
              Union
                Project [k, w]
                  Join on [k] = [tk] where v IS NOT NULL as part 1
                    Union as part 2
                      Join on [g] = [k0]
                        Input t
                        Filter k0 IS NOT NULL as part 3
                          Distinct [k0, v]
                            Project [a as k0, true as v]
                              Input bag
                      Project [k, Boolean(NULL) as v]
                        AntiJoin on [g] = [k0]
                          Input t
                          Part 3
                    Filter tk IS NOT NULL
                      Input u
                Project [k, Int64(NULL) as w]
                  AntiJoin on [k, v] = [k, v]
                    Part 2
                    Part 1
        "#]],
    );
    check(
        "SELECT t.k, u.w FROM t LEFT JOIN u ON t.k = u.tk AND EXISTS (SELECT 1 FROM bag WHERE a = t.g AND b = u.w)",
        expect![[r#"
            Output keeps=arrangement by [k, w]
              Union
                Join on [k, g] = [tk, g]
                  Input t
                  Filter tk IS NOT NULL as part 1
                    Join on [w] = [w]
                      Join on [g, w] = [k0, k1]
                        Filter (g IS NOT NULL AND w IS NOT NULL)
                          Distinct [g, w]
                            Join on [k] = [tk]
                              Input t
                              Filter tk IS NOT NULL
                                Input u
                        Filter (k0 IS NOT NULL AND k1 IS NOT NULL)
                          Distinct [k0, k1, v]
                            Project [a as k0, b as k1, true as v]
                              Input bag
                      Input u
                Project [k, Int64(NULL) as w]
                  AntiJoin on [k, g] = [tk, g]
                    Input t
                    Part 1
        "#]],
    );
}

/// The error for a query that runs once must not speak of maintaining it.
#[test]
fn what_runs_once_is_refused_in_words_of_its_own() {
    let query = bind("SELECT k, (SELECT w FROM u WHERE u.tk = t.k) AS w FROM t").expect("the names are known");
    assert_eq!(
        optimise_once(&query).expect_err("it is refused").to_string(),
        "a correlated scalar subquery that can return more than one row is not supported; aggregate it, or end it with \
         LIMIT 1"
    );
}

/// An alias like those of the rewritten plan was an error: two relations had its name.
#[test]
fn a_query_may_use_the_names_that_subqueries_get() {
    let queries = [
        "SELECT ?.k FROM t AS ? WHERE EXISTS (SELECT 1 FROM u WHERE u.w > ?.g LIMIT 1)",
        "SELECT ?.k, ?.k IN (SELECT tk FROM u WHERE u.w > ?.g) AS x FROM t AS ?",
        "SELECT ?.k, ?.__value, ?.v IN (SELECT v FROM t AS c) AS x FROM (SELECT k, k AS v, g AS __value FROM t) AS ?",
        "SELECT ?.k, (SELECT max(w) FROM u WHERE u.w < ?.k AND u.tk <> ?.g) AS x FROM t AS ?",
        "SELECT t.k, (SELECT max(w) FROM u AS ? WHERE ?.w < t.k AND ?.tk <> t.g) AS x FROM t",
        "SELECT k, ?, (SELECT w FROM u WHERE w < k ORDER BY w LIMIT 1) AS x FROM (SELECT k, g AS ? FROM t) AS v",
        "SELECT ?.k, u.k AS l FROM t AS ? LEFT JOIN u ON ?.k = u.tk AND EXISTS (SELECT 1 FROM bag WHERE a = ?.g AND b = u.w)",
    ];
    let names = ["s", "d", "g", "n", "p"].map(|prefix| (1..=4).map(move |count| format!("__{prefix}{count}")));
    let names: Vec<String> = names.into_iter().flatten().chain(["__subquery".to_owned()]).collect();
    for query in queries {
        let expected = answer(&query.replace('?', "other"));
        for name in &names {
            assert_eq!(answer(&query.replace('?', name)), expected, "{name}: {query}");
        }
    }
}
