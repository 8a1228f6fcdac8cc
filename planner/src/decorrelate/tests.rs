//! What subqueries become, and which are refused. Their answers are checked with all others, in `lower/tests`.

use expect_test::expect;

use crate::PlanError;
use crate::lower::tests::{check, plan};

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
                Filter g IS NULL IS DISTINCT FROM true
                  AntiJoin on [] = []
                    AntiJoin on [g] = [tk]
                      Input t
                      Filter tk IS NOT NULL
                        Input u
                    Filter tk IS NULL
                      Input u
                AntiJoin on [] = []
                  Filter g IS NULL
                    AntiJoin on [] = []
                      AntiJoin on [g] = [tk]
                        Input t
                        Filter tk IS NOT NULL
                          Input u
                      Filter tk IS NULL
                        Input u
                  Input u
        "#]],
    );
    check(
        "SELECT k FROM t WHERE k NOT IN (SELECT k FROM u)",
        expect![[r#"
            Output unique_key=[k] keeps=arrangement by [k]
              Union
                Filter k IS NULL IS DISTINCT FROM true
                  AntiJoin on [] = []
                    AntiJoin on [k] = [k]
                      Input t
                      Input u
                    Filter k IS NULL
                      Input u
                AntiJoin on [] = []
                  Filter k IS NULL
                    AntiJoin on [] = []
                      AntiJoin on [k] = [k]
                        Input t
                        Input u
                      Filter k IS NULL
                        Input u
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
                    Filter tk IS NOT NULL
                      Reduce by [tk] [count(*)]
                        Input u
                  Project [k, Int64(NULL) as count(Int64(1))]
                    AntiJoin on [k] = [tk]
                      Input t
                      Filter tk IS NOT NULL
                        Reduce by [tk] [count(*)]
                          Input u
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
    assert_eq!(refused("SELECT k, (SELECT w FROM u WHERE u.tk = t.k) AS w FROM t"), many);
    assert_eq!(
        refused("SELECT k, (SELECT w FROM u WHERE u.tk = t.k ORDER BY w LIMIT 1 OFFSET 1) AS w FROM t"),
        "a correlated subquery with OFFSET"
    );
}
