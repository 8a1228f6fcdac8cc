//! The order of rows: the order of a view, and its use by a query that reads only that view.
//!
//! Rows keep their order through WHERE, LIMIT, projections and aliases, up to the next join, grouping, DISTINCT or set
//! operation. The order only matters to readers: a dataflow keeps no order, so the rows of a maintained view are sorted
//! when they are read.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result as PlanResult, TableReference, internal_err};
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SortExpr, SubqueryAlias,
    TableScan, TableScanBuilder,
};
use sqlparser::ast::{self, OrderByKind, SetExpr, Spanned};

use super::BoundQuery;
use super::semantics::plain_type;
use crate::catalog::{CatalogSource, RelationInfo};
use crate::error::PlanError;
use crate::part::Part;

/// The sort keys by which the rows of a maintained view are read; without keys they are read in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewOrder {
    /// The keys, over the view's columns. Columns are named by their positions because their names may repeat.
    keys: Vec<SortExpr>,
}

impl ViewOrder {
    /// Returns whether the rows have no order.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the order of a maintained view of `query`, which is bound as `bound`. Fails if an ORDER BY needs a value
    /// that is not among the columns, unless a LIMIT uses it to decide which rows there are.
    pub fn of_view(query: &ast::Query, bound: &BoundQuery) -> Result<ViewOrder, PlanError> {
        let Some(Ordered { plan, keys }) = ordered(&bound.logical)? else { return Ok(ViewOrder::default()) };
        let columns = plan.schema().columns();
        let width = bound.schema.fields().len();
        let hidden = |key: &SortExpr| key.expr.column_refs().iter().any(|column| !columns[..width].contains(column));
        if let Some(first) = keys.iter().position(hidden) {
            return match written_key(query, first) {
                Some(key) => Err(hidden_key(key)),
                None => Ok(ViewOrder::default()),
            };
        }
        let renamed = |column: &Column| {
            let position = columns.iter().position(|other| other == column);
            position.map(|position| Column::new_unqualified(position.to_string()))
        };
        Ok(ViewOrder { keys: keys.into_iter().map(|key| with_columns(key, renamed)).collect::<PlanResult<_>>()? })
    }

    /// Returns the keys over the columns of `schema`, which must be the view's columns.
    fn over(&self, schema: &DFSchema) -> PlanResult<Vec<SortExpr>> {
        let columns = schema.columns();
        let at = |column: &Column| column.name.parse::<usize>().ok().and_then(|at| columns.get(at).cloned());
        self.keys.iter().map(|key| with_columns(key.clone(), at)).collect()
    }
}

/// Returns a query that reads all rows of a maintained view, in its order.
pub fn all_rows(view: &Arc<RelationInfo>) -> Result<BoundQuery, PlanError> {
    let source = Arc::new(CatalogSource::new(Arc::clone(view)));
    let scan = TableScanBuilder::new(TableReference::bare(view.name.as_str()), source).build()?;
    let plan = in_order(LogicalPlan::TableScan(scan))?;
    super::bound(plan, None, vec![view.name.clone()])
}

/// Returns the key at position `at` of the ORDER BY in `query`, if no LIMIT applies to that ORDER BY.
fn written_key(query: &ast::Query, at: usize) -> Option<&ast::Expr> {
    let is_cut = query.limit_clause.is_some();
    match (&query.order_by, query.body.as_ref()) {
        (None, SetExpr::Query(inner)) if !is_cut => written_key(inner, at),
        (Some(order_by), _) if !is_cut => match &order_by.kind {
            OrderByKind::Expressions(keys) => keys.get(at).map(|key| &key.expr),
            OrderByKind::All(_) => None,
        },
        _ => None,
    }
}

fn hidden_key(key: &ast::Expr) -> PlanError {
    let start = key.span().start;
    PlanError::NotMaintainable {
        construct: format!("ORDER BY {key}, which is not in the SELECT list,"),
        position: (start.line > 0).then_some((start.line, start.column)),
        hint: Some("add it to the SELECT list".to_owned()),
    }
}

/// Sorts the rows of a query, and the rows that a LIMIT in it cuts, in the order of the one view that they come from.
/// Removes sorts without effect.
pub(super) fn apply(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let plan = without_unseen(plan, Seen::Yes)?.data;
    let cut = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(mut limit) => {
            limit.input = Arc::new(in_order(Arc::unwrap_or_clone(limit.input))?);
            Ok(Transformed::yes(LogicalPlan::Limit(limit)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(in_order(cut.data)?)
}

/// Whether the order of rows is visible: as the order of the result, or because it decides which rows a LIMIT takes.
#[derive(Clone, Copy)]
enum Seen {
    Yes,
    No,
}

/// Removes the sorts whose order is lost above them.
fn without_unseen(plan: LogicalPlan, seen: Seen) -> PlanResult<Transformed<LogicalPlan>> {
    let below = match (&plan, seen) {
        (LogicalPlan::Sort(Sort { input, fetch: None, .. }), Seen::No) => {
            let input = without_unseen(LogicalPlan::clone(input), Seen::No)?.data;
            return Ok(Transformed::yes(input));
        }
        (LogicalPlan::Limit(_), _) => Seen::Yes,
        (LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_), seen) => seen,
        _ => Seen::No,
    };
    let plan = plan.map_children(|input| without_unseen(input, below))?;
    plan.transform_data(|plan| {
        plan.map_subqueries(|subquery| match subquery {
            LogicalPlan::Subquery(mut subquery) => {
                let inner = Arc::unwrap_or_clone(subquery.subquery);
                let inner = without_unseen(inner, Seen::Yes)?;
                subquery.subquery = Arc::new(inner.data);
                Ok(Transformed::new(LogicalPlan::Subquery(subquery), inner.transformed, TreeNodeRecursion::Continue))
            }
            other => without_unseen(other, Seen::Yes),
        })
    })
}

/// Adds a sort where the order would be lost: above a view's rows, and above a filter that becomes a join.
fn in_order(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Projection(projection) => {
            let input = in_order(Arc::unwrap_or_clone(projection.input))?;
            LogicalPlan::Projection(Projection::try_new_with_schema(
                projection.expr,
                Arc::new(input),
                projection.schema,
            )?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = in_order(Arc::unwrap_or_clone(alias.input))?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias)?)
        }
        LogicalPlan::Filter(filter) if !has_query(&filter.predicate)? => {
            let input = in_order(Arc::unwrap_or_clone(filter.input))?;
            LogicalPlan::Filter(Filter::try_new(filter.predicate, Arc::new(input))?)
        }
        LogicalPlan::TableScan(_) | LogicalPlan::Filter(_) => match ordered(&plan)? {
            Some(ordered) => ordered.sorted(&plan)?,
            None => plan,
        },
        other => other,
    })
}

/// Rows without a sort, and the order that they should have.
struct Ordered {
    /// The rows: their columns, followed by columns that only the order needs.
    plan: LogicalPlan,
    /// The sort keys, over the columns of `plan`.
    keys: Vec<SortExpr>,
}

impl Ordered {
    /// Returns the sorted rows, with the columns of `original` only.
    fn sorted(self, original: &LogicalPlan) -> PlanResult<LogicalPlan> {
        let Ordered { plan, keys } = self;
        let columns = plan.schema().columns();
        let width = original.schema().fields().len();
        let is_wider = columns.len() > width;
        let sorted = LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(plan), fetch: None });
        if !is_wider {
            return Ok(sorted);
        }
        LogicalPlanBuilder::from(sorted).project(columns.into_iter().take(width).map(Expr::Column))?.build()
    }
}

/// Returns the rows of `plan` and their order, or `None` if they have none.
fn ordered(plan: &LogicalPlan) -> PlanResult<Option<Ordered>> {
    match plan {
        LogicalPlan::Sort(sort) => ordered_sort(sort).map(Some),
        // The limit keeps a sort of its own beneath it, because the order decides which rows it takes.
        LogicalPlan::Limit(limit) => {
            let Some(Ordered { plan: input, keys }) = ordered(&limit.input)? else { return Ok(None) };
            let mut limit = limit.clone();
            limit.input = Arc::new(LogicalPlan::Sort(Sort { expr: keys.clone(), input: Arc::new(input), fetch: None }));
            Ok(Some(Ordered { plan: LogicalPlan::Limit(limit), keys }))
        }
        LogicalPlan::Filter(filter) => {
            let Some(Ordered { plan, keys }) = ordered(&filter.input)? else { return Ok(None) };
            let filter = Filter::try_new(filter.predicate.clone(), Arc::new(plan))?;
            Ok(Some(Ordered { plan: LogicalPlan::Filter(filter), keys }))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(Ordered { plan, keys }) = ordered(&alias.input)? else { return Ok(None) };
            let below = plan.schema().columns();
            let alias = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), alias.alias.clone())?);
            let above = alias.schema().columns();
            let renamed = |column: &Column| below.iter().position(|other| other == column).map(|at| above[at].clone());
            let keys = keys.into_iter().map(|key| with_columns(key, renamed)).collect::<PlanResult<_>>()?;
            Ok(Some(Ordered { plan: alias, keys }))
        }
        LogicalPlan::Projection(projection) => ordered_projection(projection),
        LogicalPlan::Distinct(Distinct::On(distinct)) => {
            let columns: Vec<Expr> = distinct.select_expr.iter().map(unaliased).collect();
            let mut keys = Vec::new();
            for key in distinct.sort_expr.iter().flatten() {
                match computed(&key.expr, &columns, &distinct.schema)? {
                    Some(expr) => keys.push(key.with_expr(expr)),
                    None => return Ok(None),
                }
            }
            Ok((!keys.is_empty()).then(|| Ordered { plan: plan.clone(), keys }))
        }
        LogicalPlan::TableScan(scan) => ordered_scan(scan),
        _ => Ok(None),
    }
}

fn ordered_scan(scan: &TableScan) -> PlanResult<Option<Ordered>> {
    if let Some(part) = Part::of(scan) {
        // The rows of a part have no order in the plan, so those whose order matters are taken from its own plan.
        let plan = LogicalPlanBuilder::from(part.plan.clone()).alias(scan.table_name.clone())?.build()?;
        return ordered(&plan);
    }
    let Some(relation) = CatalogSource::of(scan).filter(|relation| !relation.order.is_empty()) else {
        return Ok(None);
    };
    let keys = relation.order.over(&scan.projected_schema)?;
    Ok(Some(Ordered { plan: LogicalPlan::TableScan(scan.clone()), keys }))
}

/// Splits a sort into its input and its keys. A key with a subquery becomes a column, because the subquery refers to
/// this input.
fn ordered_sort(sort: &Sort) -> PlanResult<Ordered> {
    let plan = match sort.fetch {
        Some(_) => LogicalPlan::Sort(sort.clone()),
        None => LogicalPlan::clone(&sort.input),
    };
    let mut columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let width = columns.len();
    let mut keys = sort.expr.clone();
    for key in &mut keys {
        if has_query(&key.expr)? {
            key.expr = with_column(&mut columns, key.expr.clone(), plan.schema());
        }
    }
    if columns.len() == width {
        return Ok(Ordered { plan, keys });
    }
    let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
    Ok(Ordered { plan, keys })
}

fn has_query(expr: &Expr) -> PlanResult<bool> {
    expr.exists(|expr| Ok(is_query(expr)))
}

fn is_query(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}

/// Returns a projection and its order. Keys refer to columns of the projection where possible; others are added as
/// columns.
fn ordered_projection(projection: &Projection) -> PlanResult<Option<Ordered>> {
    let Some(Ordered { plan, mut keys }) = ordered(&projection.input)? else { return Ok(None) };
    let plain = plain_columns(projection)?;
    let mut columns = projection.expr.clone();
    for key in &mut keys {
        let known = match computed(&key.expr, &plain, &projection.schema)? {
            None => computed_below(&key.expr, &plain, &plan, &projection.schema)?,
            known => known,
        };
        key.expr = match known {
            Some(expr) => expr,
            None => with_column(&mut columns, key.expr.clone(), &projection.schema),
        };
    }
    let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
    Ok(Some(Ordered { plan, keys }))
}

/// Does the same as [`computed`] after expanding `expr` and `columns` through the projections of `plan`: a key that is
/// not a column of the SELECT list is made a column below it.
fn computed_below(expr: &Expr, columns: &[Expr], plan: &LogicalPlan, schema: &DFSchema) -> PlanResult<Option<Expr>> {
    let columns = columns.iter().map(|column| expanded(column.clone(), plan)).collect::<PlanResult<Vec<_>>>()?;
    computed(&expanded(expr.clone(), plan)?, &columns, schema)
}

/// Rewrites `expr` to refer to the input of the projections in `plan`.
fn expanded(expr: Expr, plan: &LogicalPlan) -> PlanResult<Expr> {
    match plan {
        LogicalPlan::Sort(sort) => expanded(expr, &sort.input),
        LogicalPlan::Limit(limit) => expanded(expr, &limit.input),
        LogicalPlan::Filter(filter) => expanded(expr, &filter.input),
        LogicalPlan::SubqueryAlias(alias) => {
            let below: Vec<Expr> = alias.input.schema().columns().into_iter().map(Expr::Column).collect();
            expanded(replaced(expr, &alias.schema, &below)?, &alias.input)
        }
        LogicalPlan::Projection(projection) => {
            let below: Vec<Expr> = projection.expr.iter().map(unaliased).collect();
            expanded(replaced(expr, &projection.schema, &below)?, &projection.input)
        }
        _ => Ok(expr),
    }
}

/// Replaces the columns of `schema` in `expr` by the expressions `below`.
fn replaced(expr: Expr, schema: &DFSchema, below: &[Expr]) -> PlanResult<Expr> {
    let columns = schema.columns();
    let replaced = expr.transform_down(|expr| {
        let at = match &expr {
            Expr::Column(column) => columns.iter().position(|other| other == column),
            _ => None,
        };
        Ok(match at {
            Some(at) => Transformed::new(below[at].clone(), true, TreeNodeRecursion::Jump),
            None => Transformed::no(expr),
        })
    })?;
    Ok(replaced.data)
}

/// Adds `expr` to the columns of a projection, the first of which have `schema`; returns the new column.
fn with_column(columns: &mut Vec<Expr>, expr: Expr, schema: &DFSchema) -> Expr {
    let mut name = format!("#order{}", columns.len());
    while schema.has_column_with_unqualified_name(&name) {
        name.push('\'');
    }
    columns.push(expr.alias(&name));
    Expr::Column(Column::new_unqualified(name))
}

/// Returns the expressions of a projection's columns, without casts between representations of the same text type.
fn plain_columns(projection: &Projection) -> PlanResult<Vec<Expr>> {
    let plain = |column: &Expr| match unaliased(column) {
        Expr::Cast(cast) => {
            let held = cast.expr.get_type(projection.input.schema())?;
            let is_same = plain_type(&held).as_ref() == Some(cast.field.data_type());
            Ok(if is_same { *cast.expr } else { Expr::Cast(cast) })
        }
        other => Ok(other),
    };
    projection.expr.iter().map(plain).collect()
}

fn unaliased(expr: &Expr) -> Expr {
    expr.clone().unalias_nested().data
}

/// Rewrites `expr` in terms of `columns`, named as in `schema`; `None` if they are not enough to compute it. `expr` and
/// `columns` must be over the same input.
fn computed(expr: &Expr, columns: &[Expr], schema: &DFSchema) -> PlanResult<Option<Expr>> {
    let mut is_missing = false;
    let over = expr.clone().transform_down(|expr| {
        if let Some(at) = columns.iter().position(|column| *column == expr) {
            let column = Expr::Column(Column::from(schema.qualified_field(at)));
            return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
        }
        // A subquery refers to the input, so it cannot be computed from other columns.
        is_missing |= matches!(expr, Expr::Column(_)) || is_query(&expr);
        Ok(Transformed::no(expr))
    })?;
    Ok((!is_missing).then_some(over.data))
}

/// Replaces the columns of a key by `of`; fails if that returns `None`.
fn with_columns(key: SortExpr, of: impl Fn(&Column) -> Option<Column>) -> PlanResult<SortExpr> {
    let SortExpr { expr, asc, nulls_first } = key;
    let expr = expr.transform(|expr| match &expr {
        Expr::Column(column) => match of(column) {
            Some(column) => Ok(Transformed::yes(Expr::Column(column))),
            None => internal_err!("no column {column} for the key of an order"),
        },
        _ => Ok(Transformed::no(expr)),
    })?;
    Ok(SortExpr { expr: expr.data, asc, nulls_first })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::lower::tests::context::bind;

    fn check(queries: &[&str], expect: Expect) {
        let plan = |query: &&str| format!("{query}\n{:?}\n", bind(query).expect("a good query"));
        expect.assert_eq(&queries.iter().map(plan).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn an_order_in_from_is_kept_where_it_is_seen() {
        check(
            &[
                "SELECT k FROM (SELECT k FROM t ORDER BY g) AS p WHERE k > 1",
                "SELECT k FROM (SELECT k FROM t ORDER BY g) AS p WHERE k IN (SELECT tk FROM u)",
                "SELECT count(*) FROM (SELECT k FROM t ORDER BY g LIMIT 3) AS p",
            ],
            expect![[r#"
                SELECT k FROM (SELECT k FROM t ORDER BY g) AS p WHERE k > 1
                Projection: p.k
                  Filter: p.k > Int64(1)
                    SubqueryAlias: p
                      Projection: #1.k
                        Sort: #1.#2 ASC NULLS LAST
                          Projection: #1.k, #1.#2
                            SubqueryAlias: #1
                              Projection: t.k, t.g AS #2
                                TableScan: t

                SELECT k FROM (SELECT k FROM t ORDER BY g) AS p WHERE k IN (SELECT tk FROM u)
                Projection: p.k
                  Projection: p.k
                    Sort: p.#order1 ASC NULLS LAST
                      Filter: p.k IN (<subquery>)
                        Subquery:
                          Projection: u.tk
                            TableScan: u
                        SubqueryAlias: p
                          Projection: #1.k, #1.#2 AS #order1
                            Projection: #1.k, #1.#2
                              SubqueryAlias: #1
                                Projection: t.k, t.g AS #2
                                  TableScan: t

                SELECT count(*) FROM (SELECT k FROM t ORDER BY g LIMIT 3) AS p
                Projection: count(Int64(1)) AS count(*) AS count(*)
                  Aggregate: groupBy=[[]], aggr=[[count(Int64(1))]]
                    SubqueryAlias: p
                      Limit: skip=0, fetch=3
                        Projection: #1.k
                          Sort: #1.#2 ASC NULLS LAST
                            Projection: #1.k, #1.#2
                              SubqueryAlias: #1
                                Projection: t.k, t.g AS #2
                                  TableScan: t
            "#]],
        );
    }

    #[test]
    fn an_order_that_nobody_sees_is_taken_out() {
        check(
            &[
                "SELECT count(*) FROM (SELECT k FROM t ORDER BY g) AS p",
                "SELECT p.k FROM (SELECT k FROM t ORDER BY g) AS p JOIN u ON u.tk = p.k",
                "SELECT k FROM (SELECT k FROM t ORDER BY g) AS p ORDER BY k",
                "SELECT DISTINCT k FROM (SELECT k FROM t ORDER BY g) AS p",
            ],
            expect![[r#"
                SELECT count(*) FROM (SELECT k FROM t ORDER BY g) AS p
                Projection: count(Int64(1)) AS count(*) AS count(*)
                  Aggregate: groupBy=[[]], aggr=[[count(Int64(1))]]
                    SubqueryAlias: p
                      Projection: #1.k
                        Projection: #1.k, #1.#2
                          SubqueryAlias: #1
                            Projection: t.k, t.g AS #2
                              TableScan: t

                SELECT p.k FROM (SELECT k FROM t ORDER BY g) AS p JOIN u ON u.tk = p.k
                Projection: p.k
                  Inner Join:  Filter: u.tk = p.k
                    SubqueryAlias: p
                      Projection: #1.k
                        Projection: #1.k, #1.#2
                          SubqueryAlias: #1
                            Projection: t.k, t.g AS #2
                              TableScan: t
                    TableScan: u

                SELECT k FROM (SELECT k FROM t ORDER BY g) AS p ORDER BY k
                Sort: p.k ASC NULLS LAST
                  Projection: p.k
                    SubqueryAlias: p
                      Projection: #1.k
                        Projection: #1.k, #1.#2
                          SubqueryAlias: #1
                            Projection: t.k, t.g AS #2
                              TableScan: t

                SELECT DISTINCT k FROM (SELECT k FROM t ORDER BY g) AS p
                Distinct:
                  Projection: p.k
                    SubqueryAlias: p
                      Projection: #1.k
                        Projection: #1.k, #1.#2
                          SubqueryAlias: #1
                            Projection: t.k, t.g AS #2
                              TableScan: t
            "#]],
        );
    }
}
