//! Resolves names before DataFusion sees the query: every identifier becomes a quoted, qualified name.
//!
//! DataFusion matches names exactly after folding, resolves the columns of USING to the left side for every kind of
//! join, and refuses repeated column names. Here names follow our rule (lower case first, then the only match except
//! for case), USING and NATURAL become ON, `*` becomes its columns, and every output column gets a unique internal name
//! in addition to the one that is shown. Names that only DataFusion can resolve (columns of table functions) stay as
//! written.

mod from;
mod grouping;
mod order_by;
mod rows;
mod scope;
mod select;
mod shown;

use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{
    self, AccessExpr, Expr, LimitClause, OrderByKind, Query, SelectItem, SetExpr, SetOperator, Subscript, TableAlias,
    UnaryOperator, Value, VisitMut, VisitorMut,
};

use self::order_by::{put_into, written_items};
use self::scope::{Column, Columns, Scope, at, exact, field_access, resolve, unknown};
use crate::bind::literal::is_plain;
use crate::budget;
use crate::catalog::{Catalog, RelationInfo};
use crate::error::PlanError;
use crate::statement::Name;

/// Maximum nesting of expressions and queries; deeper ones would need more stack than a caller's thread has.
const DEPTH_LIMIT: usize = 500;

/// A WITH query that is visible.
struct Cte {
    name: String,
    /// The name that DataFusion sees. It is invented if an outer query uses the same name, which DataFusion refuses.
    internal: String,
    columns: Columns,
}

/// What a table name refers to.
struct Found {
    /// The name that DataFusion sees.
    name: String,
    /// The qualifier of its columns when there is no alias.
    qualifier: String,
    columns: Columns,
}

/// The state of resolving the names of one statement.
pub(super) struct Names<'a> {
    catalog: &'a dyn Catalog,
    scopes: Vec<Scope>,
    ctes: Vec<Cte>,
    invented: usize,
    depth: usize,
    /// The relations that were mentioned, each once, in order.
    pub(super) relations: Vec<Arc<RelationInfo>>,
}

impl<'a> Names<'a> {
    /// Makes a state without outer scopes.
    pub(super) fn new(catalog: &'a dyn Catalog) -> Self {
        Names { catalog, scopes: Vec::new(), ctes: Vec::new(), invented: 0, depth: 0, relations: Vec::new() }
    }

    /// Resolves a whole query; returns the shown names of its columns if they are known.
    pub(super) fn resolve_query(&mut self, query: &mut Query) -> Result<Option<Vec<String>>, PlanError> {
        self.avoid(&query.to_string());
        let columns = self.query(query)?;
        Ok(columns.map(|columns| columns.into_iter().map(|column| column.shown).collect()))
    }

    /// Runs `work` with `scope` as the innermost scope.
    fn within<T>(
        &mut self,
        scope: Scope,
        work: impl FnOnce(&mut Self) -> Result<T, PlanError>,
    ) -> Result<T, PlanError> {
        self.scopes.push(scope);
        let result = work(self);
        self.scopes.pop();
        result
    }

    fn innermost(&mut self) -> &mut Scope {
        self.scopes.last_mut().expect("a clause is resolved within a scope")
    }

    /// Returns a new name: neither the statement nor the relations that were found so far contain it.
    fn invent(&mut self) -> String {
        self.invented += 1;
        format!("#{}", self.invented)
    }

    /// Makes [`Names::invent`] pass over all names in `text`.
    fn avoid(&mut self, text: &str) {
        for rest in text.split('#').skip(1) {
            let digits = rest.find(|char: char| !char.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
            // No statement needs so many names that a number of more digits would be reached.
            let taken = digits.parse::<u32>().map_or(0, |number| number as usize);
            self.invented = self.invented.max(taken);
        }
    }

    fn query(&mut self, query: &mut Query) -> Result<Columns, PlanError> {
        let outer_ctes = self.ctes.len();
        self.depth += 1;
        let columns = self.query_below(query, outer_ctes);
        // Also after an error: a clause may be resolved on trial.
        self.ctes.truncate(outer_ctes);
        self.depth -= 1;
        columns
    }

    fn query_below(&mut self, query: &mut Query, outer_ctes: usize) -> Result<Columns, PlanError> {
        if self.depth > DEPTH_LIMIT {
            return Err(too_deep());
        }
        refuse_ignored_clauses(query)?;
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                let name = Name::of(&cte.alias.name).value;
                if self.ctes[outer_ctes..].iter().any(|known| known.name == name) {
                    let at = at(cte.alias.name.span.start);
                    return Err(PlanError::invalid(format!("WITH names {name} twice{at}")));
                }
                self.cte(cte, name, with.recursive)?;
            }
        }
        let columns = self.body(&mut query.body, query.order_by.as_mut())?;
        self.limit(query.limit_clause.as_mut())?;
        Ok(columns)
    }

    fn cte(&mut self, cte: &mut ast::Cte, name: String, recursive: bool) -> Result<(), PlanError> {
        let taken = self.ctes.iter().any(|outer| outer.name == name);
        let internal = if taken { self.invent() } else { name.clone() };
        cte.alias.name = exact(&internal);
        let mut columns = None;
        let mut body = cte.query.body.as_mut();
        if recursive && let SetExpr::SetOperation { op: SetOperator::Union, left, .. } = &mut body {
            // The static term names the columns. It is resolved here from a copy, and later again with the whole query.
            let mut first = left.clone();
            columns = renamed(self.body(&mut first, None)?, &mut cte.alias.clone())?;
            self.ctes.push(Cte { name: name.clone(), internal: internal.clone(), columns: columns.clone() });
        }
        let own = self.query(&mut cte.query)?;
        let own = renamed(own, &mut cte.alias)?;
        if columns.is_none() {
            self.ctes.push(Cte { name, internal, columns: own });
        }
        Ok(())
    }

    fn body(&mut self, body: &mut SetExpr, order_by: Option<&mut ast::OrderBy>) -> Result<Columns, PlanError> {
        // This must come before resolving names, because a key of ORDER BY may repeat an item as it is written.
        let written = if order_by.is_some() { written_items(body) } else { Vec::new() };
        match body {
            SetExpr::Select(select) => {
                let (columns, around) = self.select(select, order_by)?;
                if let (Some(around), Some(columns)) = (around, &columns) {
                    put_into(body, columns, &around)?;
                }
                Ok(columns)
            }
            SetExpr::Query(query) => {
                let columns = self.query(query)?;
                self.order_output(order_by, &columns, &written)?;
                Ok(columns)
            }
            SetExpr::SetOperation { left, right, .. } => {
                let columns = self.body(left, None)?;
                self.body(right, None)?;
                self.order_output(order_by, &columns, &written)?;
                Ok(columns)
            }
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                for expr in values.rows.iter_mut().flat_map(|row| &mut row.content) {
                    self.within(Scope::default(), |names| names.expr(expr))?;
                }
                let columns = Some((1..=width).map(|n| Column::named(&format!("column{n}"))).collect());
                self.order_output(order_by, &columns, &written)?;
                Ok(columns)
            }
            SetExpr::Table(table) => {
                let name = table.table_name.clone().unwrap_or_default();
                Err(PlanError::invalid(format!("TABLE {name} is not supported; use SELECT * FROM {name}")))
            }
            other => Err(PlanError::invalid(format!("{other} is not a query"))),
        }
    }

    fn limit(&mut self, limit: Option<&mut LimitClause>) -> Result<(), PlanError> {
        let exprs: Vec<&mut Expr> = match limit {
            None => Vec::new(),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                if !limit_by.is_empty() {
                    return Err(PlanError::invalid("LIMIT BY is not supported"));
                }
                limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value)).collect()
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => vec![offset, limit],
        };
        for expr in exprs {
            self.within(Scope::default(), |names| names.expr(expr))?;
        }
        Ok(())
    }

    /// Resolves the identifiers of an expression; queries inside it are resolved in scopes of their own.
    fn expr(&mut self, expr: &mut Expr) -> Result<(), PlanError> {
        let mut visitor = ExprNames { names: self, depth: 0, inside_query: 0 };
        match VisitMut::visit(expr, &mut visitor) {
            ControlFlow::Break(error) => Err(*error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Returns the WITH query or relation that a name refers to; fails if there is none.
    fn relation(&mut self, ident: &ast::Ident) -> Result<Found, PlanError> {
        let name = Name::of(ident);
        if let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == name.value) {
            let (name, qualifier) = (cte.internal.clone(), cte.name.clone());
            return Ok(Found { name, qualifier, columns: cte.columns.clone() });
        }
        let relation = self.catalog.relation(&name.value, name.quoted)?.ok_or_else(|| unknown("table", ident))?;
        let (name, columns) = (relation.name.clone(), columns_of(&relation));
        columns.iter().for_each(|column| self.avoid(&column.internal));
        let found = Found { qualifier: name.clone(), name, columns: Some(columns) };
        if !self.relations.iter().any(|known| known.name == relation.name) {
            self.relations.push(relation);
        }
        Ok(found)
    }
}

fn too_deep() -> PlanError {
    PlanError::invalid(format!("the statement is nested too deeply (limit {DEPTH_LIMIT})"))
}

/// Returns the columns of a relation.
fn columns_of(relation: &RelationInfo) -> Vec<Column> {
    relation.schema.fields().iter().map(|field| Column::named(field.name())).collect()
}

/// Renames the first columns as the table alias says, and completes the alias with all columns, as DataFusion requires.
fn renamed(columns: Columns, alias: &mut TableAlias) -> Result<Columns, PlanError> {
    alias.name = exact(&Name::of(&alias.name).value);
    if alias.columns.is_empty() {
        return Ok(columns);
    }
    let mut names: Vec<String> = alias.columns.iter().map(|column| Name::of(&column.name).value).collect();
    if let Some(columns) = &columns {
        if names.len() > columns.len() {
            let (given, there) = (names.len(), columns.len());
            return Err(PlanError::invalid(format!("{} names {given} columns of {there}", alias.name.value)));
        }
        names.extend(columns[names.len()..].iter().map(|column| column.shown.clone()));
    }
    let columns = shown::unique(names);
    alias.columns = columns
        .iter()
        .map(|column| ast::TableAliasColumnDef { name: exact(&column.internal), data_type: None })
        .collect();
    Ok(Some(columns))
}

/// Returns the expressions of an ORDER BY.
fn sort_exprs(order_by: &mut ast::OrderBy) -> Result<Vec<&mut Expr>, PlanError> {
    match &mut order_by.kind {
        OrderByKind::Expressions(exprs) => Ok(exprs.iter_mut().map(|sort| &mut sort.expr).collect()),
        OrderByKind::All(_) => Ok(Vec::new()),
    }
}

/// Refuses clauses that DataFusion would accept and ignore.
fn refuse_ignored_clauses(query: &Query) -> Result<(), PlanError> {
    // Destructured in full so that a clause added by a later version of the parser cannot be overlooked.
    let Query {
        with: _,
        body: _,
        order_by,
        limit_clause: _,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    let ignored = [
        (order_by.as_ref().is_some_and(|order_by| order_by.interpolate.is_some()), "INTERPOLATE"),
        (!locks.is_empty(), "FOR UPDATE"),
        (for_clause.is_some(), "FOR XML or JSON"),
        (settings.is_some(), "SETTINGS"),
        (format_clause.is_some(), "FORMAT"),
        (!pipe_operators.is_empty(), "|>"),
    ];
    if fetch.is_some() {
        return Err(PlanError::invalid("FETCH is not supported; use LIMIT"));
    }
    match ignored.into_iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(PlanError::invalid(format!("{what} is not supported"))),
        None => Ok(()),
    }
}

/// Returns the expression of a select item, or `None` for a wildcard and other items.
fn item_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// Resolves the identifiers of one expression. A query inside it is resolved as a whole when it is met; the visitor
/// then only passes through it.
struct ExprNames<'n, 'a> {
    names: &'n mut Names<'a>,
    depth: usize,
    inside_query: usize,
}

impl VisitorMut for ExprNames<'_, '_> {
    type Break = Box<PlanError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        if self.inside_query == 0
            && let Err(error) = self.names.query(query)
        {
            return ControlFlow::Break(Box::new(error));
        }
        self.inside_query += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Self::Break> {
        self.inside_query -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return ControlFlow::Break(Box::new(too_deep()));
        }
        if let Err(error) = budget::spend(usize::from(!is_plain(expr))) {
            return ControlFlow::Break(Box::new(error));
        }
        if self.inside_query == 0
            && let Expr::CompoundFieldAccess { root, access_chain } = expr
        {
            plain_access(root, access_chain);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        if self.inside_query > 0 {
            return ControlFlow::Continue(());
        }
        let resolved = match expr {
            Expr::Identifier(ident) => resolve(&self.names.scopes, std::slice::from_ref(ident)),
            Expr::CompoundIdentifier(idents) => resolve(&self.names.scopes, idents),
            _ => Ok(None),
        };
        match resolved {
            Ok(Some(meaning)) => *expr = meaning,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(Box::new(error)),
        }
        match rows::write_out(expr, || self.names.invent()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

/// Joins the path before the first subscript to one identifier, as in `a.b.c`, and turns the fields after it into
/// subscripts. Otherwise a single part of either would be taken for a column.
fn plain_access(root: &mut Expr, access_chain: &mut Vec<AccessExpr>) {
    if let Expr::Identifier(first) = root {
        let mut path = vec![first.clone()];
        path.extend(access_chain.iter().map_while(|access| match access {
            AccessExpr::Dot(Expr::Identifier(ident)) => Some(ident.clone()),
            _ => None,
        }));
        access_chain.drain(..path.len() - 1);
        if path.len() > 1 {
            *root = Expr::CompoundIdentifier(path);
        }
    }
    for access in access_chain {
        match access {
            AccessExpr::Dot(Expr::Identifier(field)) => *access = field_access(&Name::of(field).value),
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) => {
                lower_bound.get_or_insert_with(|| number("1"));
                // A missing upper bound is -1, the last element, because it is counted from the end.
                upper_bound
                    .get_or_insert_with(|| Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number("1")) });
            }
            _ => {}
        }
    }
}

fn number(text: &str) -> Expr {
    Expr::Value(Value::Number(text.to_owned(), false).into())
}

#[cfg(test)]
mod tests;
