//! Statements that are deep or have many parts: planning takes a number of steps about linear in their length, and a
//! view of a query has the rows that the query gives.

use laminardb_bridge::Params;
use laminardb_dataflow::CancelToken;
use laminardb_planner::bind::bind_insert;
use laminardb_planner::budget::{counted, within};
use laminardb_planner::catalog::EmptyCatalog;
use laminardb_planner::statement::{Statement, parse, parse_condition};
use laminardb_planner::{PlanError, bind};
use laminardb_tests::Database;

fn database() -> Database {
    let database = Database::new(1);
    database.run("CREATE TABLE t (x BIGINT PRIMARY KEY, v BIGINT, s VARCHAR)");
    database.run("INSERT INTO t VALUES (1, 2, 'a'), (2, 1, 'b'), (3, NULL, NULL)");
    database
}

/// Checks that `query` of twice the length takes at most about twice the steps, as a view and once, and that the view has
/// the rows that the query gives.
#[track_caller]
fn check(database: &Database, half: &str, whole: &str) {
    let steps = |query: &str| {
        let (once, steps) = counted(|| database.bag(query));
        let (_, steps_of_view) = counted(|| database.run(&format!("CREATE OR REPLACE MATERIALIZED VIEW w AS {query}")));
        assert_eq!(database.bag("SELECT * FROM w"), once, "{query}");
        (steps, steps_of_view)
    };
    let (half_steps, whole_steps) = (steps(half), steps(whole));
    let is_linear = |half: usize, whole: usize| 2 * whole <= 5 * half;
    let both = is_linear(half_steps.0, whole_steps.0) && is_linear(half_steps.1, whole_steps.1);
    assert!(both, "{half_steps:?} {whole_steps:?}: {half}");
}

/// Returns `SELECT ... FROM t` with `x` inside `count` of `form`, in which `{}` is the place of the next.
fn nested(form: &str, count: usize) -> String {
    let (before, after) = form.split_once("{}").expect("a place");
    format!("SELECT {}x{} AS a FROM t", before.repeat(count), after.repeat(count))
}

/// Without our names, types and pieces, each of these takes time exponential in its depth, or with a high power of it.
const FORMS: [&str; 30] = [
    "row({})",
    "pow({}, 1)",
    "ceiling({})",
    "char_length(CAST({} AS VARCHAR))",
    "[{}]",
    "ARRAY[{}]",
    "{a: {}",
    "abs({})",
    "coalesce({}, 1)",
    "nvl2({}, 1, 2)",
    "greatest({}, 1)",
    "CAST({} AS VARCHAR)",
    "CAST(CAST({} AS VARCHAR) LIKE '1%' AS BIGINT)",
    "CAST(CAST({} AS VARCHAR) || '1' AS DOUBLE)",
    "CAST(({}) IS NULL AS BIGINT)",
    "CAST(1 BETWEEN 0 AND {} AS BIGINT)",
    "CASE WHEN {} = 1 THEN 1 ELSE 2 END",
    "CASE WHEN x = 1 THEN {} ELSE 2 END",
    "CASE {} WHEN 1 THEN 2 ELSE 3 END",
    "({} + 1)",
    "(1 - {})",
    "(3 / {})",
    "mod({}, 3)",
    "- {}",
    "nvl2(1, {}, 2)",
    "CASE WHEN x > 1 THEN {} END",
    "[{}][1]",
    "substring(CAST({} AS VARCHAR) from 1 for 3)",
    "position('1' in CAST({} AS VARCHAR))",
    "(SELECT {})",
];

#[test]
fn nested_expressions_take_linear_time_and_have_one_value() {
    let database = database();
    for form in FORMS {
        let form = if form.starts_with('{') { "{a: {}}".to_owned() } else { form.to_owned() };
        let (half, whole) = match form.as_str() {
            "{a: {}}" => (structs(20), structs(40)),
            "(SELECT {})" => (nested(&form, 10), nested(&form, 20)),
            form => (nested(form, 20), nested(form, 40)),
        };
        check(&database, &half, &whole);
    }
}

/// Where what is asked of a branch is asked twice every few levels, this takes hours.
#[test]
fn a_hundred_nested_cases_take_linear_time() {
    let database = database();
    for form in ["CASE WHEN x > 1 THEN {} END", "nvl2(1, {}, 2)"] {
        check(&database, &nested(form, 60), &nested(form, 120));
    }
}

#[test]
fn nested_maps_take_linear_time() {
    let database = database();
    for form in ["map([1], [{}])", "map(1, {})"] {
        let steps = |count: usize| counted(|| database.bag(&nested(form, count))).1;
        let (half, whole) = (steps(20), steps(40));
        assert!(2 * whole <= 5 * half, "{form}: {half} {whole}");
    }
}

#[test]
fn deep_keys_of_a_join_are_told_apart() {
    let database = database();
    let deep = |of: &str| format!("{}{of}{}", "abs(".repeat(10), ")".repeat(10));
    let on = format!("{} = b.x AND {} = b.v", deep("a.x"), deep("a.x - 3"));
    let query = format!("SELECT a.x FROM t a JOIN t b ON {on}");
    check(&database, &query, &query);
    assert_eq!(database.bag("SELECT x FROM w"), database.bag("SELECT x FROM t WHERE x < 3"));
}

/// A task may do 128 pieces of work before it yields; where each join takes one of them, a longer chain never begins.
#[test]
fn a_chain_of_many_joins_has_an_end() {
    let database = database();
    let join = |at: usize| format!("JOIN t x{at} ON x{}.x = x{at}.x", at - 1);
    let chain = format!("SELECT x0.x FROM t x0 {}", (1..=150).map(join).collect::<Vec<_>>().join(" "));
    assert_eq!(database.rows(&format!("{chain} ORDER BY x")), ["1", "2", "3"]);
}

/// The plan of each is deeper than the stack of a query's thread.
#[test]
fn deep_plans_are_run() {
    let database = database();
    let except = |at: usize| format!("SELECT x + {} AS a FROM t", at * 10);
    let deep = (0..400).map(except).collect::<Vec<_>>().join(" EXCEPT ");
    assert_eq!(database.rows(&format!("SELECT a FROM ({deep}) AS d ORDER BY a")), ["1", "2", "3"]);
    database.run(&format!("CREATE VIEW deep AS {deep}"));
    assert_eq!(database.rows("SELECT count(*) FROM deep"), ["3"]);
}

/// Returns structs inside each other.
fn structs(count: usize) -> String {
    format!("SELECT {}x{} AS a FROM t", "{a: ".repeat(count), "}".repeat(count))
}

#[test]
fn an_alias_of_a_function_means_the_function() {
    let database = database();
    for (alias, own) in [
        ("ceiling(x / 2.0)", "ceil(x / 2.0)"),
        ("row(x, v)", "struct(x, v)"),
        ("pow(x, 2)", "power(x, 2)"),
        ("\"pow\"(x, 2)", "power(x, 2)"),
        ("POW(x, 2)", "power(x, 2)"),
        ("map(x, v)", "map([x], [v])"),
        ("map('a', x, 'b', v)", "map(['a', 'b'], [x, v])"),
        ("signum(x)", "sign(x)"),
    ] {
        assert_eq!(
            database.rows(&format!("SELECT {alias} AS a FROM t")),
            database.rows(&format!("SELECT {own} AS a FROM t"))
        );
    }
    for (alias, own) in [("mean(x)", "avg(x)"), ("var_sample(x)", "var_samp(x)")] {
        for over in ["", " OVER (ORDER BY x)"] {
            let answer = |call: &str| database.bag(&format!("SELECT {call}{over} AS a FROM t"));
            assert_eq!(answer(alias), answer(own), "{alias}{over}");
        }
    }
    let name =
        |query: &str| database.session.query(query, &Params::none()).expect("a query").schema.field(0).name().clone();
    assert_eq!(name("SELECT Ceiling(X) FROM t"), "ceiling(x)");
    assert_eq!(name("SELECT map(X, V) FROM t"), "map(x, v)");
    let (code, message) = database.refused("SELECT map(x) FROM t");
    assert_eq!(code, 400, "{message}");
    let (code, message) = database.refused("SELECT map(x, v, 1) FROM t");
    assert!(code == 400 && message.contains("even number"), "{message}");
}

#[test]
fn what_would_be_exponential_is_refused() {
    let database = database();
    for (form, count) in [
        ("CAST(({}) BETWEEN 0 AND 1 AS BIGINT)", 60),
        ("CAST(({}, 1) < (1, 2) AS BIGINT)", 60),
        ("CASE {} WHEN 1 THEN 1 WHEN '2' THEN 2 END", 60),
        ("abs(CASE WHEN x = 1 THEN {} END)", 60),
        ("CAST(1 = ALL ([{}]) AS BIGINT)", 60),
    ] {
        let query = nested(form, count);
        for statement in
            [query.clone(), format!("CREATE OR REPLACE MATERIALIZED VIEW w AS {query}"), format!("EXPLAIN {query}")]
        {
            let (code, message) = database.refused(&statement);
            assert!(code == 400 && message.contains("too large to plan"), "{form}: {message}");
        }
        check(&database, &nested(form, 3), &nested(form, 3));
    }
}

/// Returns a query of `count` parts.
type Parts = fn(usize) -> String;

/// Joins `count` texts made by `part`.
fn parts(count: usize, between: &str, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(between)
}

const LONG: [(&str, Parts); 13] = [
    ("UNION ALL", |count| parts(count, " UNION ALL ", |at| format!("SELECT x + {at} AS a FROM t"))),
    ("UNION", |count| parts(count, " UNION ", |at| format!("SELECT x + {at} AS a FROM t"))),
    ("EXCEPT", |count| parts(count, " EXCEPT ", |at| format!("SELECT x + {} AS a FROM t", 2 * at))),
    ("constants", |count| parts(count, " UNION ALL ", |at| format!("SELECT {at} AS a"))),
    ("scalar subqueries", |count| {
        format!("SELECT {}", parts(count, ", ", |at| format!("(SELECT max(v) FROM t WHERE x > {at}) AS a{at}")))
    }),
    ("EXISTS", |count| {
        let exists = |at| format!("NOT EXISTS (SELECT 1 FROM t u WHERE u.x = t.x + {at} + 3)");
        format!("SELECT x FROM t WHERE {}", parts(count, " AND ", exists))
    }),
    ("joins", |count| {
        let join = |at| format!("JOIN t x{} ON x{at}.x = x{}.x", at + 1, at + 1);
        format!("SELECT x0.x FROM t x0 {}", parts(count, " ", join))
    }),
    ("LEFT JOINs", |count| {
        let join = |at| format!("LEFT JOIN t x{} ON x{at}.v = x{}.x", at + 1, at + 1);
        format!("SELECT x0.x FROM t x0 {}", parts(count, " ", join))
    }),
    ("tables", |count| {
        let condition = |at| format!("x{at}.x = x{}.x", at + 1);
        let tables = parts(count + 1, ", ", |at| format!("t x{at}"));
        format!("SELECT x0.x FROM {tables} WHERE {}", parts(count, " AND ", condition))
    }),
    ("branches", |count| {
        format!("SELECT CASE {} END AS a FROM t", parts(count, " ", |at| format!("WHEN x = {at} THEN {at}")))
    }),
    ("columns", |count| format!("SELECT {} FROM t", parts(count, ", ", |at| format!("x + {at} AS a{at}")))),
    ("aggregates", |count| format!("SELECT {} FROM t", parts(count, ", ", |at| format!("sum(x + {at}) AS a{at}")))),
    ("conditions", |count| format!("SELECT x FROM t WHERE {}", parts(count, " AND ", |at| format!("x + {at} > {at}")))),
];

#[test]
fn many_parts_take_linear_time() {
    let database = database();
    for (_, part) in LONG {
        check(&database, &part(20), &part(40));
    }
}

/// In DECIMAL(30, 15), which DataFusion takes for numbers of these types, 1e-20 is 0.
#[test]
fn a_union_has_the_common_type_of_all_its_inputs() {
    let database = database();
    let number = |at: usize| match at % 3 {
        0 => "SELECT CAST(x AS DECIMAL(10, 2)) AS a FROM t".to_owned(),
        _ => "SELECT CAST(x AS DOUBLE) / 1e20 FROM t".to_owned(),
    };
    for (between, count) in
        [(" UNION ALL ", 2), (" UNION ALL ", 3), (" UNION ALL ", 20), (" UNION ", 3), (" UNION ", 20)]
    {
        let query = format!("SELECT min(a) FROM ({}) AS u", parts(count, between, number));
        assert_eq!(database.rows(&query), ["1e-20"], "{query}");
    }
}

#[test]
fn many_window_functions_have_the_values_of_each_alone() {
    let database = database();
    for over in ["PARTITION BY v", "ORDER BY x", "PARTITION BY v ORDER BY x DESC"] {
        let call = |at: usize| format!("sum(x * {at}) OVER ({over})");
        let all = database.rows(&format!("SELECT x, {} FROM t ORDER BY x", parts(20, ", ", call)));
        for at in 0..20 {
            let alone = database.rows(&format!("SELECT {} FROM t ORDER BY x", call(at)));
            let among: Vec<_> = all.iter().map(|row| row.split(" | ").nth(at + 1).unwrap_or("").to_owned()).collect();
            assert_eq!(among, alone, "{over} {at}");
        }
    }
}

#[test]
fn many_values_are_stored_and_parsed_until_the_call_is_cancelled() {
    let database = database();
    database.run("CREATE TABLE u (x BIGINT, s VARCHAR)");
    database.run("CREATE TABLE decimals (x DECIMAL(10, 2), d DATE)");
    let insert = format!("INSERT INTO u VALUES {}", parts(3000, ", ", |at| format!("({at}, 'a')")));
    let numbers = parts(3000, ", ", |at| format!("(-{at}, CAST('a' AS VARCHAR))"));
    let dates = parts(3000, ", ", |at| format!("(-{at}.5, DATE '2024-01-01')"));
    // What is more than a literal is compiled once to be folded.
    for (insert, most) in [
        (insert.clone(), 1000),
        (format!("INSERT INTO u VALUES {numbers}"), 9000),
        (format!("INSERT INTO decimals VALUES {dates}"), 15_000),
    ] {
        let (stored, steps) = counted(|| database.changed(&insert));
        assert_eq!(stored, 3000);
        assert!(steps < most, "{steps}: {}", &insert[..60]);
    }
    let cancelled = CancelToken::new();
    cancelled.cancel();
    assert_eq!(within(usize::MAX, &cancelled, || parse(&insert)), Err(PlanError::Interrupted));
    assert_eq!(within(usize::MAX, &cancelled, || parse_condition("x > 1")), Err(PlanError::Interrupted));
    let mut parsed = parse("INSERT INTO u VALUES (1, 'a'), (2, 'b')").expect("it parses");
    let Statement::Insert(insert) = parsed.swap_remove(0).statement else { panic!("not an INSERT") };
    let bound = within(usize::MAX, &cancelled, || bind::bind_query(&insert.source, &EmptyCatalog, &Params::none()));
    assert_eq!(bound.map(drop), Err(PlanError::Interrupted));
    let bound = within(usize::MAX, &cancelled, || bind_insert(&insert, &EmptyCatalog, &Params::none()));
    assert!(bound.is_err());
    assert_eq!(database.rows("SELECT count(*) FROM u"), ["6000"]);
}
