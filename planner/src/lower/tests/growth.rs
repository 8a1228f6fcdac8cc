//! Tests that planning is about linear in the length of a statement and of the views below it, in counted steps.

use std::sync::Arc;

use laminardb_dataflow::CancelToken;

use super::context::{Relations, bind, rows};
use super::interpret::interpret;
use super::plan;
use crate::bind::{ViewOrder, bind_query};
use crate::budget::{counted, within};
use crate::statement::{Statement, parse};
use crate::{BoundQuery, Catalog, Definition, Params, PlanError, RelationInfo, RelationKind, part, plan_view, rewrite};

/// What planning a query takes and gives.
#[derive(Debug)]
struct Size {
    steps: usize,
    nodes: usize,
    text: usize,
}

fn size(sql: &str) -> Size {
    let (planned, steps) = counted(|| plan(sql));
    let plan = planned.expect("the query can be planned").plan;
    Size { steps, nodes: plan.nodes.len(), text: plan.explain(&|_| "t".to_owned()).lines().count() }
}

/// Checks that a query of twice the length takes and gives at most about twice as much.
#[track_caller]
fn check_linear(half: &str, whole: &str) {
    let (half, whole) = (size(half), size(whole));
    let is_linear = |half: usize, whole: usize| 2 * whole <= 5 * half;
    assert!(is_linear(half.steps, whole.steps), "steps of {half:?} and {whole:?}");
    assert!(is_linear(half.nodes, whole.nodes), "nodes of {half:?} and {whole:?}");
    assert!(is_linear(half.text, whole.text), "lines of {half:?} and {whole:?}");
}

/// Returns a query that joins each WITH query with itself to make the next.
fn with_queries(count: usize) -> String {
    let mut sql = "WITH c0 AS (SELECT k, g FROM t)".to_owned();
    for at in 1..=count {
        let before = at - 1;
        sql += &format!(", c{at} AS (SELECT x.k, y.g FROM c{before} x JOIN c{before} y ON x.k = y.k AND x.g >= y.g)");
    }
    sql + &format!(" SELECT k, g FROM c{count}")
}

fn subqueries(count: usize) -> String {
    let subquery = |at: usize| format!(", (SELECT max(u.w) FROM u WHERE u.tk = t.k AND u.w > t.g + {at}) AS m{at}");
    format!("SELECT t.k{} FROM t", (0..count).map(subquery).collect::<String>())
}

#[test]
fn shared_parts_are_printed_once() {
    let joins = |count: usize| {
        let join = |at: usize| {
            let before = at - 1;
            format!(" LEFT JOIN t x{at} ON x{before}.g = x{at}.k AND x{before}.v > x{at}.v")
        };
        format!("SELECT x0.k FROM t x0{}", (1..=count).map(join).collect::<String>())
    };
    check_linear(&joins(10), &joins(20));
    let text = plan(&joins(3)).expect("a plan").plan.explain(&|_| "t".to_owned());
    assert!(text.contains(" as part 1\n") && text.contains("Part 1\n"), "{text}");
    for part in 1..=text.matches(" as part ").count() {
        assert_eq!(text.matches(&format!(" as part {part}\n")).count(), 1, "{text}");
        assert!(text.contains(&format!(" Part {part}\n")), "{text}");
    }
}

#[test]
fn subqueries_of_one_select_list_do_not_multiply() {
    check_linear(&subqueries(6), &subqueries(12));
}

#[test]
fn subqueries_of_one_filter_do_not_multiply() {
    let conditions = |count: usize| {
        let condition = |at: usize| format!("t.v > (SELECT max(u.w) FROM u WHERE u.tk = t.k AND u.w > t.g + {at})");
        format!("SELECT t.k FROM t WHERE {}", (0..count).map(condition).collect::<Vec<_>>().join(" AND "))
    };
    check_linear(&conditions(6), &conditions(12));
}

#[test]
fn subqueries_inside_derived_tables_do_not_multiply() {
    let nested = |count: usize| {
        let mut sql = "SELECT k, g FROM t".to_owned();
        for at in 0..count {
            sql = format!(
                "SELECT d.k, (SELECT max(u.w) FROM u WHERE u.tk = d.k AND u.w > d.g) AS g FROM ({sql}) AS d WHERE d.k > {at}"
            );
        }
        sql
    };
    check_linear(&nested(6), &nested(12));
}

#[test]
fn a_with_query_that_is_read_twice_is_planned_once() {
    check_linear(&with_queries(20), &with_queries(40));
}

#[test]
fn a_condition_on_nested_sums_does_not_double_at_each() {
    let nested = |count: usize| {
        let mut sql = "SELECT k AS a FROM t".to_owned();
        for at in 0..count {
            sql = format!("SELECT a + a AS a FROM ({sql}) AS x{at}");
        }
        format!("SELECT a FROM ({sql}) AS z WHERE a > 5 ORDER BY a + a")
    };
    check_linear(&nested(20), &nested(40));
}

#[test]
fn joins_of_sixty_tables_take_a_bounded_number_of_steps() {
    let from = (0..60).map(|at| format!("t x{at}")).collect::<Vec<_>>().join(", ");
    let chain: Vec<String> = (1..60).map(|at| format!("x{}.g = x{at}.k", at - 1)).collect();
    let star: Vec<String> = (1..60).map(|at| format!("x0.g = x{at}.k")).collect();
    for conditions in [chain, star] {
        let planned = size(&format!("SELECT x0.k FROM {from} WHERE {}", conditions.join(" AND ")));
        assert!(planned.steps < 40_000 && planned.nodes < 400, "{planned:?}");
    }
}

/// A catalogue in which `v1`, `v2`, ... are plain views, each over those before it.
#[derive(Default)]
struct Views(Vec<Arc<RelationInfo>>);

impl Catalog for Views {
    fn relation(&self, name: &str, quoted: bool) -> Result<Option<Arc<RelationInfo>>, PlanError> {
        match self.0.iter().find(|view| view.name == name) {
            Some(view) => Ok(Some(Arc::clone(view))),
            None => Relations.relation(name, quoted),
        }
    }
}

impl Views {
    fn bind(&self, sql: &str) -> BoundQuery {
        match parse(sql).expect("it parses").swap_remove(0).statement {
            Statement::Query(query) => bind_query(&query, self, &Params::none()).expect("it binds"),
            _ => panic!("not a query"),
        }
    }

    /// Adds `count` views, each of which joins the one before with itself.
    fn doubling(count: usize) -> Views {
        let mut views = Views::default();
        for at in 1..=count {
            let before = if at == 1 { "t".to_owned() } else { format!("v{}", at - 1) };
            let query = views.bind(&format!("SELECT x.k, y.g FROM {before} x JOIN {before} y ON x.k = y.k"));
            views.0.push(Arc::new(RelationInfo {
                name: format!("v{at}"),
                kind: RelationKind::View,
                schema: Arc::clone(&query.schema),
                primary_key: Vec::new(),
                json_columns: Vec::new(),
                append_only: false,
                order: ViewOrder::default(),
                definition: Definition::Inline { query: Arc::new(query), view: None },
            }));
        }
        views
    }
}

#[test]
fn a_view_that_appears_twice_is_planned_once() {
    let steps = |count: usize| {
        let views = Views::doubling(count);
        let sql = format!("SELECT x.k, y.g FROM v{count} x JOIN v{count} y ON x.k = y.k WHERE x.k > 1");
        let (planned, steps) = counted(|| plan_view(&views.bind(&sql), &views));
        let nodes = planned.expect("a plan").plan.nodes.len();
        let (once, once_steps) = counted(|| rewrite::optimise_once(&views.bind(&sql)));
        assert!(part::parts_of(&once.expect("a plan")).expect("parts").len() < count);
        (steps.max(once_steps), nodes)
    };
    let ((half, half_nodes), (whole, whole_nodes)) = (steps(20), steps(40));
    assert!(2 * whole <= 5 * half && 2 * whole_nodes <= 5 * half_nodes, "{half} {whole} {half_nodes} {whole_nodes}");
}

/// Returns the rows of a query's view, sorted as text.
fn answer(sql: &str) -> Vec<String> {
    let plan = plan(sql).expect("a plan").plan;
    let mut rows: Vec<String> = interpret(&plan, &rows).iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

#[test]
fn a_plan_with_parts_gives_the_rows_of_the_plan_without() {
    let bound = bind(&with_queries(12)).expect("it binds");
    assert!(part::parts_of(&rewrite::optimise(&bound).expect("a plan")).expect("parts").len() > 1);
    // Each row meets only itself.
    assert_eq!(answer(&with_queries(12)), answer("SELECT k, g FROM t WHERE g IS NOT NULL"));
    let condition = |at: usize| format!("(SELECT count(*) FROM u WHERE u.tk = t.k AND u.w > t.g - {at}) >= 0");
    let conditions = (0..12).map(condition).collect::<Vec<_>>().join(" AND ");
    assert_eq!(answer(&format!("SELECT k, g FROM t WHERE {conditions}")), answer("SELECT k, g FROM t"));
}

#[test]
fn planning_ends_at_its_budget_and_when_its_call_is_cancelled() {
    let cancel = CancelToken::new();
    let limited = within(1000, &cancel, || plan(&with_queries(40)).map(|_| ()));
    let message = limited.expect_err("it takes more steps").to_string();
    assert!(message.contains("too large to plan") && message.contains("1000 steps"), "{message}");
    cancel.cancel();
    assert_eq!(within(1_000_000, &cancel, || plan("SELECT k FROM t").map(|_| ())), Err(PlanError::Interrupted));
}
