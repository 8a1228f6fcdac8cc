//! Tests each rule with plans that it must change and near misses that it must leave.

mod values;

use expect_test::{Expect, expect};

use super::{optimise, optimise_once};
use crate::lower::tests::answer;
use crate::lower::tests::context::bind;

fn check(queries: &[&str], expected: Expect) {
    let plan = |sql: &&str| {
        let bound = bind(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        match optimise(&bound) {
            Ok(plan) => format!("{sql}\n{}\n\n", plan.display_indent()),
            Err(error) => format!("{sql}\n{error}\n\n"),
        }
    };
    expected.assert_eq(&queries.iter().map(plan).collect::<String>());
}

#[test]
fn constants_are_folded_with_our_arithmetic() {
    check(
        &[
            "SELECT k + (7 / 2) * 2 AS a, CAST(2.75 AS BIGINT) AS b FROM t",
            "SELECT k FROM t WHERE 1 / 0 IS NULL AND k > 10 - 3",
            "SELECT 9223372036854775807 + 1 AS a FROM t",
            "SELECT k + 1 + 2 AS a FROM t",
            "SELECT k FROM t WHERE random() > 0.5 + 0.25",
            "SELECT now() - INTERVAL '1' DAY > TIMESTAMP '2020-01-01' AS a FROM t",
        ],
        expect![[r#"
            SELECT k + (7 / 2) * 2 AS a, CAST(2.75 AS BIGINT) AS b FROM t
            Projection: t.k + Int64(6) AS a, Int64(3) AS b
              TableScan: t projection=[k]

            SELECT k FROM t WHERE 1 / 0 IS NULL AND k > 10 - 3
            Filter: t.k > Int64(7)
              TableScan: t projection=[k]

            SELECT 9223372036854775807 + 1 AS a FROM t
            (9223372036854775807 + 1): Overflow happened on: 9223372036854775807 + 1

            SELECT k + 1 + 2 AS a FROM t
            Projection: t.k + Int64(1) + Int64(2) AS a
              TableScan: t projection=[k]

            SELECT k FROM t WHERE random() > 0.5 + 0.25
            Filter: random() > Float64(0.75)
              TableScan: t projection=[k]

            SELECT now() - INTERVAL '1' DAY > TIMESTAMP '2020-01-01' AS a FROM t
            Projection: now() - IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 }") > TimestampMicrosecond(1577836800000000, None) AS a
              TableScan: t projection=[]

        "#]],
    );
}

#[test]
fn a_query_that_runs_once_has_one_moment() {
    let bound = bind("SELECT now() = now() AS same, current_date AS today FROM t WHERE now() > s").expect("a query");
    let once = optimise_once(&bound).expect("a plan").display_indent().to_string();
    assert!(!once.contains("now()") && !once.contains("current_date"), "{once}");
    assert!(once.contains("Boolean(true) AS same"), "{once}");
    let ever = optimise(&bound).expect("a plan").display_indent().to_string();
    assert!(ever.contains("now()") && ever.contains("current_date"), "{ever}");
}

#[test]
fn time_literals_are_in_utc() {
    check(
        &["SELECT CAST('2020-01-01 00:00:00' AS TIMESTAMPTZ) AS a"],
        expect![[r#"
        SELECT CAST('2020-01-01 00:00:00' AS TIMESTAMPTZ) AS a
        Projection: TimestampMicrosecond(1577836800000000, Some("UTC")) AS a
          EmptyRelation: rows=1

    "#]],
    );
}

#[test]
fn keys_of_joins_are_found() {
    check(
        &[
            "SELECT t.k FROM t, u WHERE t.k = u.k AND u.w > 1",
            "SELECT t.k FROM t, u WHERE (t.k = u.k AND t.g = 1) OR (t.k = u.k AND u.w = 2)",
            "SELECT t.k FROM t, u WHERE (t.k = u.k AND t.g = 1) OR u.w = 2",
            "SELECT t.k FROM t JOIN u ON t.k + 1 = u.tk AND t.g < u.w",
        ],
        expect![[r#"
            SELECT t.k FROM t, u WHERE t.k = u.k AND u.w > 1
            Projection: t.k
              Inner Join: t.k = u.k
                TableScan: t projection=[k]
                Projection: u.k
                  Filter: u.w > Int64(1)
                    TableScan: u projection=[k, w]

            SELECT t.k FROM t, u WHERE (t.k = u.k AND t.g = 1) OR (t.k = u.k AND u.w = 2)
            Projection: t.k
              Inner Join: t.k = u.k Filter: t.g = Int64(1) OR u.w = Int64(2)
                TableScan: t projection=[k, g]
                TableScan: u projection=[k, w]

            SELECT t.k FROM t, u WHERE (t.k = u.k AND t.g = 1) OR u.w = 2
            Projection: t.k
              Inner Join:  Filter: t.k = u.k AND t.g = Int64(1) OR u.w = Int64(2)
                TableScan: t projection=[k, g]
                TableScan: u projection=[k, w]

            SELECT t.k FROM t JOIN u ON t.k + 1 = u.tk AND t.g < u.w
            Projection: t.k
              Inner Join: t.k + Int64(1) = u.tk Filter: t.g < u.w
                TableScan: t projection=[k, g]
                TableScan: u projection=[tk, w]

        "#]],
    );
}

#[test]
fn outer_joins_become_inner_where_their_nulls_are_filtered() {
    check(
        &[
            "SELECT t.k, u.w FROM t LEFT JOIN u ON t.k = u.tk WHERE u.w > 1",
            "SELECT t.k, u.w FROM t LEFT JOIN u ON t.k = u.tk WHERE u.w > 1 OR u.w IS NULL",
            "SELECT t.k, u.w FROM t FULL JOIN u ON t.k = u.tk WHERE t.g > 1",
            // The quotient can be NULL even though its operands cannot.
            "SELECT t.k FROM t LEFT JOIN u ON t.k = u.tk WHERE 1 / u.k IS NULL",
        ],
        expect![[r#"
            SELECT t.k, u.w FROM t LEFT JOIN u ON t.k = u.tk WHERE u.w > 1
            Projection: t.k, u.w
              Inner Join: t.k = u.tk
                TableScan: t projection=[k]
                Filter: u.w > Int64(1)
                  TableScan: u projection=[tk, w]

            SELECT t.k, u.w FROM t LEFT JOIN u ON t.k = u.tk WHERE u.w > 1 OR u.w IS NULL
            Filter: u.w > Int64(1) OR u.w IS NULL
              Projection: t.k, u.w
                Left Join: t.k = u.tk
                  TableScan: t projection=[k]
                  TableScan: u projection=[tk, w]

            SELECT t.k, u.w FROM t FULL JOIN u ON t.k = u.tk WHERE t.g > 1
            Projection: t.k, u.w
              Left Join: t.k = u.tk
                Projection: t.k
                  Filter: t.g > Int64(1)
                    TableScan: t projection=[k, g]
                TableScan: u projection=[tk, w]

            SELECT t.k FROM t LEFT JOIN u ON t.k = u.tk WHERE 1 / u.k IS NULL
            Projection: t.k
              Filter: Int64(1) / divisor(u.k) IS NULL
                Projection: t.k, u.k
                  Left Join: t.k = u.tk
                    TableScan: t projection=[k]
                    TableScan: u projection=[k, tk]

        "#]],
    );
}

#[test]
fn filters_are_pushed_down() {
    check(
        &[
            "SELECT g, n FROM (SELECT g, count(*) AS n FROM t GROUP BY g) AS p WHERE g > 1",
            "SELECT g, n FROM (SELECT g, count(*) AS n FROM t GROUP BY g) AS p WHERE n > 1",
            "SELECT k FROM (SELECT k FROM t UNION ALL SELECT k FROM u) AS p WHERE k > 1",
            "SELECT k FROM (SELECT k FROM t ORDER BY k LIMIT 3) AS p WHERE k > 1",
            "SELECT t.k FROM t LEFT JOIN u ON t.k = u.tk AND t.g > 1 AND u.w > 2",
        ],
        expect![[r#"
            SELECT g, n FROM (SELECT g, count(*) AS n FROM t GROUP BY g) AS p WHERE g > 1
            SubqueryAlias: p
              Projection: t.g, count(Int64(1)) AS count(*) AS n
                Aggregate: groupBy=[[t.g]], aggr=[[count(Int64(1))]]
                  Filter: t.g > Int64(1)
                    TableScan: t projection=[g]

            SELECT g, n FROM (SELECT g, count(*) AS n FROM t GROUP BY g) AS p WHERE n > 1
            SubqueryAlias: p
              Projection: t.g, count(Int64(1)) AS count(*) AS n
                Filter: count(Int64(1)) > Int64(1)
                  Aggregate: groupBy=[[t.g]], aggr=[[count(Int64(1))]]
                    TableScan: t projection=[g]

            SELECT k FROM (SELECT k FROM t UNION ALL SELECT k FROM u) AS p WHERE k > 1
            SubqueryAlias: p
              Union
                Filter: t.k > Int64(1)
                  TableScan: t projection=[k]
                Filter: u.k > Int64(1)
                  TableScan: u projection=[k]

            SELECT k FROM (SELECT k FROM t ORDER BY k LIMIT 3) AS p WHERE k > 1
            SubqueryAlias: p
              Filter: t.k > Int64(1)
                Limit: skip=0, fetch=3
                  Sort: t.k ASC NULLS LAST
                    TableScan: t projection=[k]

            SELECT t.k FROM t LEFT JOIN u ON t.k = u.tk AND t.g > 1 AND u.w > 2
            Projection: t.k
              Left Join: t.k = u.tk Filter: t.g > Int64(1)
                TableScan: t projection=[k, g]
                Projection: u.tk
                  Filter: u.w > Int64(2)
                    TableScan: u projection=[tk, w]

        "#]],
    );
}

#[test]
fn what_has_no_rows_goes() {
    check(
        &[
            "SELECT t.k FROM t JOIN u ON t.k = u.k WHERE false",
            "SELECT k FROM t UNION ALL SELECT k FROM u WHERE NULL",
            "SELECT count(*) AS n FROM t WHERE false",
            "SELECT t.k, p.w FROM t LEFT JOIN (SELECT * FROM u WHERE false) AS p ON t.k = p.k",
            "SELECT k FROM t WHERE true",
        ],
        expect![[r#"
            SELECT t.k FROM t JOIN u ON t.k = u.k WHERE false
            EmptyRelation: rows=0

            SELECT k FROM t UNION ALL SELECT k FROM u WHERE NULL
            Projection: t.k AS k
              TableScan: t projection=[k]

            SELECT count(*) AS n FROM t WHERE false
            Projection: count(Int64(1)) AS count(*) AS n
              Aggregate: groupBy=[[]], aggr=[[count(Int64(1))]]
                EmptyRelation: rows=0

            SELECT t.k, p.w FROM t LEFT JOIN (SELECT * FROM u WHERE false) AS p ON t.k = p.k
            Projection: t.k, Int64(NULL) AS w
              TableScan: t projection=[k]

            SELECT k FROM t WHERE true
            TableScan: t projection=[k]

        "#]],
    );
}

#[test]
fn unions_are_flat_unless_distinct() {
    check(
        &[
            "SELECT k FROM t UNION ALL (SELECT k FROM u UNION ALL SELECT id FROM log)",
            "SELECT k FROM t UNION ALL (SELECT k FROM u UNION SELECT id FROM log)",
        ],
        expect![[r#"
            SELECT k FROM t UNION ALL (SELECT k FROM u UNION ALL SELECT id FROM log)
            Union
              TableScan: t projection=[k]
              TableScan: u projection=[k]
              Projection: log.id AS k
                TableScan: log projection=[id]

            SELECT k FROM t UNION ALL (SELECT k FROM u UNION SELECT id FROM log)
            Union
              TableScan: t projection=[k]
              Distinct:
                Union
                  TableScan: u projection=[k]
                  Projection: log.id AS k
                    TableScan: log projection=[id]

        "#]],
    );
}

#[test]
fn common_parts_and_unread_columns() {
    check(
        &[
            "SELECT abs(k + g) * 2 AS a, abs(k + g) * 3 AS b FROM t",
            "SELECT abs(k + g) AS a, abs(k - g) AS b FROM t",
            // These parts are guarded: computing them for all rows could fail.
            "SELECT CASE WHEN k > 0 THEN CAST(s AS BIGINT) END AS a, CASE WHEN k > 1 THEN CAST(s AS BIGINT) END AS b FROM t",
            "SELECT k FROM (SELECT k, g, s || 'x' AS x FROM t) AS p ORDER BY g",
            "SELECT DISTINCT k, g FROM t",
        ],
        expect![[r#"
            SELECT abs(k + g) * 2 AS a, abs(k + g) * 3 AS b FROM t
            Projection: #shared_1 * Int64(2) AS a, #shared_1 * Int64(3) AS b
              Projection: abs(t.k + t.g) AS #shared_1
                TableScan: t projection=[k, g]

            SELECT abs(k + g) AS a, abs(k - g) AS b FROM t
            Projection: abs(t.k + t.g) AS a, abs(t.k - t.g) AS b
              TableScan: t projection=[k, g]

            SELECT CASE WHEN k > 0 THEN CAST(s AS BIGINT) END AS a, CASE WHEN k > 1 THEN CAST(s AS BIGINT) END AS b FROM t
            Projection: CASE WHEN t.k > Int64(0) THEN CAST(t.s AS Int64) END AS a, CASE WHEN t.k > Int64(1) THEN CAST(t.s AS Int64) END AS b
              TableScan: t projection=[k, s]

            SELECT k FROM (SELECT k, g, s || 'x' AS x FROM t) AS p ORDER BY g
            Projection: #1.k
              Sort: #1.#2 ASC NULLS LAST
                SubqueryAlias: #1
                  Projection: p.k, p.g AS #2
                    SubqueryAlias: p
                      TableScan: t projection=[k, g]

            SELECT DISTINCT k, g FROM t
            Distinct:
              TableScan: t projection=[k, g]

        "#]],
    );
}

/// Rules that are left out would move or replace these nodes.
#[test]
fn limits_and_distinct_stay_where_they_are() {
    check(
        &[
            "SELECT t.k FROM t LEFT JOIN u ON t.k = u.tk LIMIT 3",
            "SELECT k FROM t UNION ALL SELECT k FROM u LIMIT 3",
            "SELECT bag.a FROM bag JOIN u ON bag.a = u.k",
            "SELECT count(DISTINCT g) AS n FROM t",
            "SELECT count(*) AS n FROM t GROUP BY 'a'",
            "SELECT DISTINCT ON (g) g, k FROM t ORDER BY g, k",
        ],
        expect![[r#"
            SELECT t.k FROM t LEFT JOIN u ON t.k = u.tk LIMIT 3
            Limit: skip=0, fetch=3
              Projection: t.k
                Left Join: t.k = u.tk
                  TableScan: t projection=[k]
                  TableScan: u projection=[tk]

            SELECT k FROM t UNION ALL SELECT k FROM u LIMIT 3
            Limit: skip=0, fetch=3
              Union
                TableScan: t projection=[k]
                TableScan: u projection=[k]

            SELECT bag.a FROM bag JOIN u ON bag.a = u.k
            Projection: bag.a
              Inner Join: bag.a = u.k
                TableScan: bag projection=[a]
                TableScan: u projection=[k]

            SELECT count(DISTINCT g) AS n FROM t
            Projection: count(DISTINCT t.g) AS n
              Aggregate: groupBy=[[]], aggr=[[count(DISTINCT t.g)]]
                TableScan: t projection=[g]

            SELECT count(*) AS n FROM t GROUP BY 'a'
            Projection: count(Int64(1)) AS count(*) AS n
              Aggregate: groupBy=[[Utf8("a")]], aggr=[[count(Int64(1))]]
                TableScan: t projection=[]

            SELECT DISTINCT ON (g) g, k FROM t ORDER BY g, k
            DistinctOn: on_expr=[[t.g]], select_expr=[[t.g, t.k]], sort_expr=[[t.g ASC NULLS LAST, t.k ASC NULLS LAST]]
              TableScan: t projection=[k, g]

        "#]],
    );
}

#[test]
fn what_a_filter_of_an_aggregate_guards_is_not_shared() {
    check(
        &[
            "SELECT sum(CAST(s AS BIGINT)) FILTER (WHERE k > 0) AS a, sum(CAST(s AS BIGINT)) FILTER (WHERE k > 0) + 1 AS b FROM t",
            "SELECT min(k + g) FILTER (WHERE s IS NOT NULL AND s <> 'a') AS a, max(abs(k + g)) AS b, sum(abs(k + g)) AS c FROM t",
            // No argument here can fail, so none is guarded.
            "SELECT sum(v) FILTER (WHERE k > 0) AS a, max(s || 'x') FILTER (WHERE k > 0) AS b FROM t",
        ],
        expect![[r#"
            SELECT sum(CAST(s AS BIGINT)) FILTER (WHERE k > 0) AS a, sum(CAST(s AS BIGINT)) FILTER (WHERE k > 0) + 1 AS b FROM t
            Projection: sum(t.s) FILTER (WHERE t.k > Int64(0)) AS a, sum(t.s) FILTER (WHERE t.k > Int64(0)) + Int64(1) AS b
              Aggregate: groupBy=[[]], aggr=[[sum(CASE WHEN t.k > Int64(0) THEN CAST(t.s AS Int64) END) FILTER (WHERE t.k > Int64(0)) AS sum(t.s) FILTER (WHERE t.k > Int64(0))]]
                TableScan: t projection=[k, s]

            SELECT min(k + g) FILTER (WHERE s IS NOT NULL AND s <> 'a') AS a, max(abs(k + g)) AS b, sum(abs(k + g)) AS c FROM t
            Projection: min(t.k + t.g) FILTER (WHERE t.s IS NOT NULL AND t.s != Utf8("a")) AS a, max(abs(t.k + t.g)) AS b, sum(abs(t.k + t.g)) AS c
              Aggregate: groupBy=[[]], aggr=[[min(CASE WHEN t.s IS NOT NULL AND t.s != Utf8("a") THEN #shared_1 END) FILTER (WHERE t.s IS NOT NULL AND t.s != Utf8("a")) AS min(t.k + t.g) FILTER (WHERE t.s IS NOT NULL AND t.s != Utf8("a")), max(#shared_2) AS max(abs(t.k + t.g)), sum(#shared_2) AS sum(abs(t.k + t.g))]]
                Projection: t.s, #shared_3 AS #shared_1, abs(#shared_3) AS #shared_2
                  Projection: t.s, t.k + t.g AS #shared_3
                    TableScan: t projection=[k, g, s]

            SELECT sum(v) FILTER (WHERE k > 0) AS a, max(s || 'x') FILTER (WHERE k > 0) AS b FROM t
            Projection: sum(t.v) FILTER (WHERE t.k > Int64(0)) AS a, max(t.s || Utf8("x")) FILTER (WHERE t.k > Int64(0)) AS b
              Aggregate: groupBy=[[]], aggr=[[sum(t.v) FILTER (WHERE t.k > Int64(0)), max(t.s || Utf8("x")) FILTER (WHERE t.k > Int64(0))]]
                TableScan: t projection=[k, s, v]

        "#]],
    );
}

#[test]
fn what_can_fail_stays_behind_its_guards() {
    check(
        &[
            "SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE u.w > 0 AND CAST(t.s AS BIGINT) > 1",
            // The guard reads the same side, so both are moved.
            "SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE t.g > 0 AND CAST(t.s AS BIGINT) > 1 AND u.w > 0",
            // A condition that cannot fail is moved wherever it stands.
            "SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE u.w > 0 AND t.s = 'a'",
            "SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE (u.w > 0 AND CAST(t.s AS BIGINT) > 1) OR (u.w < 0 AND t.g = 1)",
            // The text becomes a number inside.
            "SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE u.w > 0 AND nullif(t.s, 1) = 'a'",
            "SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE u.w > 0 AND nullif(t.s, 'b') = 'a'",
            "SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE (u.w > 0 AND t.g > 1) OR (u.w < 0 AND t.g = 1)",
        ],
        expect![[r#"
            SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE u.w > 0 AND CAST(t.s AS BIGINT) > 1
            Projection: t.k
              Inner Join: t.k = u.tk Filter: u.w > Int64(0) AND CAST(t.s AS Int64) > Int64(1)
                TableScan: t projection=[k, s]
                Filter: u.w > Int64(0)
                  TableScan: u projection=[tk, w]

            SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE t.g > 0 AND CAST(t.s AS BIGINT) > 1 AND u.w > 0
            Projection: t.k
              Inner Join: t.k = u.tk
                Projection: t.k
                  Filter: t.g > Int64(0) AND CAST(t.s AS Int64) > Int64(1)
                    TableScan: t projection=[k, g, s]
                Projection: u.tk
                  Filter: u.w > Int64(0)
                    TableScan: u projection=[tk, w]

            SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE u.w > 0 AND t.s = 'a'
            Projection: t.k
              Inner Join: t.k = u.tk
                Projection: t.k
                  Filter: t.s = Utf8("a")
                    TableScan: t projection=[k, s]
                Projection: u.tk
                  Filter: u.w > Int64(0)
                    TableScan: u projection=[tk, w]

            SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE (u.w > 0 AND CAST(t.s AS BIGINT) > 1) OR (u.w < 0 AND t.g = 1)
            Projection: t.k
              Inner Join: t.k = u.tk Filter: u.w > Int64(0) AND CAST(t.s AS Int64) > Int64(1) OR u.w < Int64(0) AND t.g = Int64(1)
                TableScan: t projection=[k, g, s]
                TableScan: u projection=[tk, w]

            SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE u.w > 0 AND nullif(t.s, 1) = 'a'
            Projection: t.k
              Inner Join: t.k = u.tk Filter: u.w > Int64(0) AND nullif(t.s, Int64(1)) = Utf8("a")
                TableScan: t projection=[k, s]
                Filter: u.w > Int64(0)
                  TableScan: u projection=[tk, w]

            SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE u.w > 0 AND nullif(t.s, 'b') = 'a'
            Projection: t.k
              Inner Join: t.k = u.tk
                Projection: t.k
                  Filter: nullif(t.s, Utf8("b")) = Utf8("a")
                    TableScan: t projection=[k, s]
                Projection: u.tk
                  Filter: u.w > Int64(0)
                    TableScan: u projection=[tk, w]

            SELECT t.k FROM t JOIN u ON t.k = u.tk WHERE (u.w > 0 AND t.g > 1) OR (u.w < 0 AND t.g = 1)
            Projection: t.k
              Inner Join: t.k = u.tk Filter: u.w > Int64(0) AND t.g > Int64(1) OR u.w < Int64(0) AND t.g = Int64(1)
                Filter: t.g > Int64(1) OR t.g = Int64(1)
                  TableScan: t projection=[k, g]
                Filter: u.w > Int64(0) OR u.w < Int64(0)
                  TableScan: u projection=[tk, w]

        "#]],
    );
}

#[test]
fn conditions_stay_above_what_makes_equal_values_one() {
    check(
        &[
            "SELECT v FROM (SELECT v, count(*) AS n FROM t GROUP BY v) AS p WHERE CAST(v AS VARCHAR) = '-0.0'",
            "SELECT v FROM (SELECT v, count(*) AS n FROM t GROUP BY v) AS p WHERE v > 1",
            "SELECT v FROM (SELECT DISTINCT v FROM t) AS p WHERE CAST(v AS VARCHAR) = '-0.0'",
            "SELECT v FROM (SELECT v FROM t EXCEPT SELECT v FROM t) AS p WHERE v = 0 AND CAST(v AS VARCHAR) = '-0.0'",
            // An aggregate without GROUP BY has a row even if all rows are filtered out.
            "SELECT n FROM (SELECT count(*) AS n FROM t) AS p WHERE false",
        ],
        expect![[r#"
            SELECT v FROM (SELECT v, count(*) AS n FROM t GROUP BY v) AS p WHERE CAST(v AS VARCHAR) = '-0.0'
            SubqueryAlias: p
              Filter: CAST(t.v AS Utf8) = Utf8("-0.0")
                Aggregate: groupBy=[[t.v]], aggr=[[]]
                  TableScan: t projection=[v]

            SELECT v FROM (SELECT v, count(*) AS n FROM t GROUP BY v) AS p WHERE v > 1
            SubqueryAlias: p
              Aggregate: groupBy=[[t.v]], aggr=[[]]
                Filter: t.v > Float64(1)
                  TableScan: t projection=[v]

            SELECT v FROM (SELECT DISTINCT v FROM t) AS p WHERE CAST(v AS VARCHAR) = '-0.0'
            SubqueryAlias: p
              Filter: CAST(t.v AS Utf8) = Utf8("-0.0")
                Distinct:
                  TableScan: t projection=[v]

            SELECT v FROM (SELECT v FROM t EXCEPT SELECT v FROM t) AS p WHERE v = 0 AND CAST(v AS VARCHAR) = '-0.0'
            SubqueryAlias: p
              Filter: CAST(t.v AS Utf8) = Utf8("-0.0")
                EXCEPT
                  Filter: t.v = Float64(0)
                    TableScan: t projection=[v]
                  Filter: t.v = Float64(0)
                    TableScan: t projection=[v]

            SELECT n FROM (SELECT count(*) AS n FROM t) AS p WHERE false
            EmptyRelation: rows=0

        "#]],
    );
}

#[test]
fn equal_keys_meet_the_same_constants() {
    check(
        &[
            "SELECT t.g FROM t JOIN u ON t.k = u.k WHERE t.k > 5",
            "SELECT t.g FROM t LEFT JOIN u ON t.k = u.k WHERE t.k IN (1, 2)",
            // Only comparisons with constants are copied: the other side could fail, or differ in what it is cast to.
            "SELECT t.g FROM t JOIN u ON t.k = u.k WHERE t.k + 1 > 5",
            "SELECT t.g FROM t LEFT JOIN u ON t.k = u.k AND u.k > 5",
        ],
        expect![[r#"
            SELECT t.g FROM t JOIN u ON t.k = u.k WHERE t.k > 5
            Projection: t.g
              Inner Join: t.k = u.k
                Filter: t.k > Int64(5)
                  TableScan: t projection=[k, g]
                Filter: u.k > Int64(5)
                  TableScan: u projection=[k]

            SELECT t.g FROM t LEFT JOIN u ON t.k = u.k WHERE t.k IN (1, 2)
            Projection: t.g
              Left Join: t.k = u.k
                Filter: t.k IN ([Int64(1), Int64(2)])
                  TableScan: t projection=[k, g]
                Filter: u.k IN ([Int64(1), Int64(2)])
                  TableScan: u projection=[k]

            SELECT t.g FROM t JOIN u ON t.k = u.k WHERE t.k + 1 > 5
            Projection: t.g
              Inner Join: t.k = u.k
                Filter: t.k + Int64(1) > Int64(5)
                  TableScan: t projection=[k, g]
                TableScan: u projection=[k]

            SELECT t.g FROM t LEFT JOIN u ON t.k = u.k AND u.k > 5
            Projection: t.g
              Left Join: t.k = u.k
                TableScan: t projection=[k, g]
                Filter: u.k > Int64(5)
                  TableScan: u projection=[k]

        "#]],
    );
}

#[test]
fn conditions_become_simpler() {
    check(
        &[
            "SELECT k FROM t WHERE NOT (g > 1 OR s = 'a') AND NOT NOT (v > 1)",
            "SELECT k FROM t WHERE g = 1 OR 2 = g OR g IN (3, 4)",
            "SELECT k FROM t WHERE g = 1 OR k = 2",
            "SELECT k FROM t WHERE k IS NULL OR g = 1",
            "SELECT k FROM t WHERE CAST(s AS BIGINT) > 1 AND 1 > 2",
            "SELECT k FROM t WHERE g > 1 AND 1 > 2",
        ],
        expect![[r#"
            SELECT k FROM t WHERE NOT (g > 1 OR s = 'a') AND NOT NOT (v > 1)
            Projection: t.k
              Filter: t.g <= Int64(1) AND t.s != Utf8("a") AND t.v > Float64(1)
                TableScan: t projection=[k, g, s, v]

            SELECT k FROM t WHERE g = 1 OR 2 = g OR g IN (3, 4)
            Projection: t.k
              Filter: t.g IN ([Int64(1), Int64(2), Int64(3), Int64(4)])
                TableScan: t projection=[k, g]

            SELECT k FROM t WHERE g = 1 OR k = 2
            Projection: t.k
              Filter: t.g = Int64(1) OR t.k = Int64(2)
                TableScan: t projection=[k, g]

            SELECT k FROM t WHERE k IS NULL OR g = 1
            Projection: t.k
              Filter: t.g = Int64(1)
                TableScan: t projection=[k, g]

            SELECT k FROM t WHERE CAST(s AS BIGINT) > 1 AND 1 > 2
            Projection: t.k
              Filter: CAST(t.s AS Int64) > Int64(1) AND Boolean(false)
                TableScan: t projection=[k, s]

            SELECT k FROM t WHERE g > 1 AND 1 > 2
            EmptyRelation: rows=0

        "#]],
    );
}

#[test]
fn keys_that_compare_null_in_different_ways_are_kept_apart() {
    check(
        &[
            "SELECT t.v FROM t JOIN u ON t.g IS NOT DISTINCT FROM u.tk WHERE t.k = u.k AND t.g = u.w",
            "SELECT t.v FROM t JOIN u ON t.g IS NOT DISTINCT FROM u.tk JOIN bag ON bag.a = t.g",
            "SELECT t.v FROM t JOIN bag ON bag.a = t.g JOIN u ON t.g IS NOT DISTINCT FROM u.tk",
            "SELECT t.v FROM t, bag, u WHERE bag.a = t.g AND t.g = u.tk",
        ],
        expect![[r#"
            SELECT t.v FROM t JOIN u ON t.g IS NOT DISTINCT FROM u.tk WHERE t.k = u.k AND t.g = u.w
            Projection: t.v
              Inner Join: t.g = u.tk, t.k = u.k, t.g = u.w
                Filter: t.g IS NOT NULL
                  TableScan: t projection=[k, g, v]
                TableScan: u projection=[k, tk, w]

            SELECT t.v FROM t JOIN u ON t.g IS NOT DISTINCT FROM u.tk JOIN bag ON bag.a = t.g
            Projection: t.v
              Inner Join: t.g = bag.a
                Projection: t.g, t.v
                  Inner Join: t.g = u.tk
                    TableScan: t projection=[g, v]
                    TableScan: u projection=[tk]
                TableScan: bag projection=[a]

            SELECT t.v FROM t JOIN bag ON bag.a = t.g JOIN u ON t.g IS NOT DISTINCT FROM u.tk
            Projection: t.v
              Inner Join: t.g = u.tk
                Projection: t.g, t.v
                  Inner Join: t.g = bag.a
                    TableScan: t projection=[g, v]
                    TableScan: bag projection=[a]
                TableScan: u projection=[tk]

            SELECT t.v FROM t, bag, u WHERE bag.a = t.g AND t.g = u.tk
            Projection: t.v
              Inner Join: t.g = u.tk
                Projection: t.g, t.v
                  Inner Join: t.g = bag.a
                    TableScan: t projection=[g, v]
                    TableScan: bag projection=[a]
                TableScan: u projection=[tk]

        "#]],
    );
}

/// A column with a name like those of shared parts was an error: it was ambiguous.
#[test]
fn a_query_may_use_the_names_that_shared_parts_get() {
    for count in 0..=3 {
        let sql = format!(
            "SELECT \"#shared_{count}\", (g + 1) * (g + 1) AS x FROM (SELECT k AS \"#shared_{count}\", g FROM t) AS v"
        );
        assert_eq!(answer(&sql), "1 4\n2 4\n3 9\n4 9\n5 NULL\n6 100\n7 NULL", "{sql}");
    }
}
