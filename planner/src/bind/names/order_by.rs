//! Resolves ORDER BY so that each key is a column of the result.
//!
//! DataFusion looks for a key among the result's columns, those of FROM and those of outer queries at once, by names
//! that may repeat. So a key that is a column of the result is replaced by its position, and any other key becomes a
//! hidden column that only the order uses:
//!
//! ```text
//! SELECT -i AS i FROM g ORDER BY g.i
//! SELECT "#1"."i" FROM (SELECT -g.i AS i, g.i AS "#2" FROM g) AS "#1" ORDER BY "#1"."#2"
//! ```

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Distinct, Expr, Ident, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectItem, SetExpr,
    TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
};

use super::from::invented_alias;
use super::rows::row_of;
use super::scope::{Column, Columns, Scope, ScopeColumn, exact, qualified};
use super::{Names, item_expr};
use crate::bind::set_operation::select_all;
use crate::catalog::find_name;
use crate::error::PlanError;
use crate::function::registry;
use crate::statement::Name;

/// A column of a SELECT list.
pub(super) struct SelectColumn {
    pub(super) column: Column,
    /// The expression as written; `None` for a column that came from `*`.
    pub(super) written: Option<Expr>,
    /// The expression with its names resolved.
    pub(super) expr: Expr,
}

/// What a key of ORDER BY refers to.
enum OrderKey {
    /// A column of the result.
    Output(usize),
    /// A constant or a position.
    Constant(Expr),
    /// An expression over the result's columns only.
    OfOutputs(Expr),
    /// An expression over the columns that the SELECT list can use.
    OfInputs(Expr),
}

impl Names<'_> {
    /// Resolves the order of a SELECT, whose FROM clause must be the innermost scope. If the SELECT has to become a
    /// derived table, returns the name of that table.
    pub(super) fn order_select(
        &mut self,
        select: &mut Select,
        order_by: &mut ast::OrderBy,
        outputs: &[SelectColumn],
    ) -> Result<Option<String>, PlanError> {
        let sorts = sorts(order_by, outputs.len());
        let around = self.invent();
        let distinct_on = matches!(select.distinct, Some(Distinct::On(_)));
        let aliases = outputs.iter().map(|SelectColumn { column, expr, .. }| {
            let expr = if distinct_on { expr.clone() } else { qualified(&around, &column.internal) };
            ScopeColumn { shown: column.shown.clone(), expr }
        });
        self.innermost().aliases = aliases.collect();
        let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
        let keys = sorts.iter().map(|sort| self.key(&sort.expr, outputs, &around, is_distinct));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        // In a derived table the names of the result cannot be confused with those of FROM.
        let needs_table =
            keys.iter().any(|key| matches!(key, OrderKey::OfInputs(_) | OrderKey::OfOutputs(_))) && !distinct_on;
        for (sort, key) in sorts.iter_mut().zip(keys) {
            sort.expr = match key {
                OrderKey::Output(idx) if needs_table => qualified(&around, &outputs[idx].column.internal),
                OrderKey::Output(idx) => position(idx),
                OrderKey::OfInputs(expr) if needs_table => {
                    let hidden = self.invent();
                    select.projection.push(SelectItem::ExprWithAlias { expr, alias: exact(&hidden) });
                    qualified(&around, &hidden)
                }
                OrderKey::Constant(expr) | OrderKey::OfOutputs(expr) | OrderKey::OfInputs(expr) => expr,
            };
        }
        Ok(needs_table.then_some(around))
    }

    /// Classifies `expr` in the ORDER BY of a SELECT with these outputs, whose names stand for columns of `around`.
    fn key(
        &mut self,
        expr: &Expr,
        outputs: &[SelectColumn],
        around: &str,
        is_distinct: bool,
    ) -> Result<OrderKey, PlanError> {
        if let Some(idx) = named_output(expr, outputs) {
            return Ok(OrderKey::Output(idx));
        }
        if matches!(expr, Expr::Value(_)) {
            return Ok(OrderKey::Constant(expr.clone()));
        }
        if let Some(idx) = outputs.iter().position(|output| output.written.as_ref() == Some(expr)) {
            return Ok(OrderKey::Output(idx));
        }
        let invented = self.invented;
        let mut resolved = expr.clone();
        self.expr(&mut resolved)?;
        if let Some(idx) = outputs.iter().position(|output| output.expr == resolved) {
            return Ok(OrderKey::Output(idx));
        }
        let mut uses = Uses::of(&mut resolved, around);
        if !uses.result && !is_distinct {
            return Ok(OrderKey::OfInputs(resolved));
        }
        let again = std::mem::replace(&mut self.invented, invented);
        // A second resolution must invent the same names as the first, or the results could not be compared.
        let is_of_outputs = !uses.aggregate && self.means_outputs(expr, &resolved);
        self.invented = again;
        if is_of_outputs {
            return Ok(OrderKey::OfOutputs(resolved));
        }
        if is_distinct {
            let _: ControlFlow<()> = VisitMut::visit(&mut resolved, &mut ToOutputs { outputs, around, depth: 0 });
            uses = Uses::of(&mut resolved, around);
            if uses.input || uses.aggregate || uses.subquery {
                return Err(PlanError::invalid(format!(
                    "SELECT DISTINCT cannot be ordered by {expr}: no column of it"
                )));
            }
            return Ok(OrderKey::OfOutputs(resolved));
        }
        if uses.result_in_subquery {
            return Err(PlanError::invalid(format!(
                "ORDER BY {expr} mixes names of the SELECT list in a subquery with others; use a derived table"
            )));
        }
        let _: ControlFlow<()> = VisitMut::visit(&mut resolved, &mut FromOutputs { outputs, around });
        Ok(OrderKey::OfInputs(resolved))
    }

    /// Returns whether `expr` also means `resolved` when FROM has no columns.
    fn means_outputs(&mut self, expr: &Expr, resolved: &Expr) -> bool {
        let aliases = self.innermost().aliases.clone();
        let full = std::mem::replace(self.innermost(), Scope { aliases, ..Scope::default() });
        let mut alone = expr.clone();
        let means = self.expr(&mut alone).is_ok() && alone == *resolved;
        *self.innermost() = full;
        means
    }

    /// Resolves ORDER BY of a result that is not a plain SELECT. A key can only be a column of the result, by its name
    /// or written as in a SELECT list.
    pub(super) fn order_output(
        &mut self,
        order_by: Option<&mut ast::OrderBy>,
        columns: &Columns,
        written: &[Written],
    ) -> Result<(), PlanError> {
        let (Some(order_by), Some(columns)) = (order_by, columns) else { return Ok(()) };
        let aliases = columns
            .iter()
            .map(|column| ScopeColumn { shown: column.shown.clone(), expr: Expr::Identifier(exact(&column.internal)) });
        let scope = Scope { aliases: aliases.collect(), ..Scope::default() };
        for sort in sorts(order_by, columns.len()) {
            match written.iter().find(|item| item.is(&sort.expr)) {
                Some(item) => sort.expr = position(item.idx),
                None => self.within(scope.clone(), |names| names.expr(&mut sort.expr))?,
            }
        }
        Ok(())
    }
}

/// An expression of a SELECT list under a set operation, as written.
pub(super) struct Written {
    idx: usize,
    expr: Expr,
    /// The names of the tables in FROM.
    tables: Vec<String>,
}

impl Written {
    /// Returns whether `key` is this expression. A name alone is not: it means a column of the result.
    fn is(&self, key: &Expr) -> bool {
        let folded = |path: &[Ident]| -> Vec<String> { path.iter().map(|ident| Name::of(ident).value).collect() };
        match (key, &self.expr) {
            (Expr::Identifier(_) | Expr::Value(_), _) => false,
            (Expr::CompoundIdentifier(key), Expr::CompoundIdentifier(path)) => folded(key) == folded(path),
            (Expr::CompoundIdentifier(key), Expr::Identifier(column)) => match folded(key).as_slice() {
                [table, name] => self.tables.contains(table) && *name == Name::of(column).value,
                _ => false,
            },
            (key, expr) => key == expr,
        }
    }
}

/// Returns the expressions of the SELECT lists under a set operation, up to the first `*` of each list.
pub(super) fn written_items(body: &SetExpr) -> Vec<Written> {
    match body {
        SetExpr::Select(select) => {
            let factors = select.from.iter().flat_map(|table| {
                std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
            });
            let tables: Vec<String> = factors.filter_map(table_name).collect();
            let items = select.projection.iter().map_while(item_expr).enumerate();
            items.map(|(idx, expr)| Written { idx, expr: expr.clone(), tables: tables.clone() }).collect()
        }
        SetExpr::SetOperation { left, right, .. } => {
            let mut items = written_items(left);
            items.extend(written_items(right));
            items
        }
        SetExpr::Query(query) => written_items(&query.body),
        _ => Vec::new(),
    }
}

/// Returns the qualifier of the columns of a table in FROM.
fn table_name(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(Name::of(&alias.name).value)
        }
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().map(|ident| Name::of(ident).value),
        _ => None,
    }
}

/// Replaces `body` by a `SELECT` of its `columns` `FROM (body) AS around`.
pub(super) fn put_into(body: &mut SetExpr, columns: &[Column], around: &str) -> Result<(), PlanError> {
    let inner = std::mem::replace(body, *select_all()?.body);
    let subquery = Box::new(Query { body: Box::new(inner), ..select_all()? });
    let SetExpr::Select(select) = body else { unreachable!("the text is a SELECT") };
    let items = columns.iter().map(|column| SelectItem::UnnamedExpr(qualified(around, &column.internal)));
    select.projection = items.collect();
    let alias = Some(invented_alias(around.to_owned()));
    let relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    Ok(())
}

/// Returns the keys of an ORDER BY; ALL is replaced by all columns, and a row value by its parts.
fn sorts(order_by: &mut ast::OrderBy, width: usize) -> &mut Vec<OrderByExpr> {
    let sorts = match &order_by.kind {
        OrderByKind::All(options) => {
            (0..width).map(|idx| OrderByExpr { expr: position(idx), options: *options, with_fill: None }).collect()
        }
        OrderByKind::Expressions(exprs) => exprs.iter().flat_map(parts).collect(),
    };
    order_by.kind = OrderByKind::Expressions(sorts);
    let OrderByKind::Expressions(sorts) = &mut order_by.kind else { unreachable!("set above") };
    sorts
}

/// Splits a key that is a row value. Inside a row value, NULL is greater than all values in either direction.
fn parts(sort: &OrderByExpr) -> Vec<OrderByExpr> {
    let Some(values) = row_of(&sort.expr).filter(|_| sort.with_fill.is_none()) else { return vec![sort.clone()] };
    let asc = sort.options.asc;
    let options = OrderByOptions { asc, nulls_first: Some(asc == Some(false)) };
    values.into_iter().map(|expr| OrderByExpr { expr, options, with_fill: None }).collect()
}

/// Returns the key that refers to a column by its position.
pub(super) fn position(idx: usize) -> Expr {
    Expr::Value(Value::Number((idx + 1).to_string(), false).into())
}

/// Returns the column that the name `expr` refers to, if there is exactly one.
fn named_output(expr: &Expr, outputs: &[SelectColumn]) -> Option<usize> {
    let Expr::Identifier(ident) = expr else { return None };
    let name = Name::of(ident);
    // A name that several columns share is left to FROM, where it may be unique.
    find_name(outputs.iter().map(|output| output.column.shown.as_str()), &name.value, name.quoted).ok().flatten()
}

/// What a resolved key uses.
#[derive(Default)]
struct Uses<'a> {
    around: &'a str,
    depth: usize,
    /// Whether it uses a column of the result.
    result: bool,
    result_in_subquery: bool,
    /// Whether it uses any other column.
    input: bool,
    /// Whether it uses an aggregate or a window function.
    aggregate: bool,
    subquery: bool,
}

impl<'a> Uses<'a> {
    fn of(expr: &mut Expr, around: &'a str) -> Self {
        let mut uses = Uses { around, ..Uses::default() };
        let _: ControlFlow<()> = VisitMut::visit(expr, &mut uses);
        uses
    }
}

impl VisitorMut for Uses<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.subquery = true;
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::CompoundIdentifier(path) if path[0].value == self.around => {
                self.result = true;
                self.result_in_subquery |= self.depth > 0;
            }
            Expr::CompoundIdentifier(_) | Expr::Identifier(_) => self.input = true,
            Expr::Function(function) if self.depth == 0 => {
                let name = function.name.to_string().to_lowercase();
                self.aggregate |= function.over.is_some() || registry().aggregate(&name).is_some();
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Replaces expressions that are columns of the result by these columns.
struct ToOutputs<'a> {
    outputs: &'a [SelectColumn],
    around: &'a str,
    depth: usize,
}

impl VisitorMut for ToOutputs<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Some(output) = self.outputs.iter().find(|output| output.expr == *expr)
        {
            *expr = qualified(self.around, &output.column.internal);
        }
        ControlFlow::Continue(())
    }
}

/// Replaces columns of the result by their expressions.
struct FromOutputs<'a> {
    outputs: &'a [SelectColumn],
    around: &'a str,
}

impl VisitorMut for FromOutputs<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(path) = expr
            && path[0].value == self.around
            && let Some(output) = self.outputs.iter().find(|output| output.column.internal == path[1].value)
        {
            *expr = output.expr.clone();
        }
        ControlFlow::Continue(())
    }
}
