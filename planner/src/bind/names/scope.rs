//! What identifiers can mean at one place in a query.

use sqlparser::ast::{AccessExpr, Expr, Ident, Subscript, Value};
use sqlparser::tokenizer::Location;

use crate::catalog::{Ambiguous, find_name};
use crate::error::PlanError;
use crate::statement::Name;

/// A column of the result of a query or relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// The name that users see and write; it may repeat among the columns of one result.
    pub(super) shown: String,
    /// The name that DataFusion sees; unique among the columns of one result.
    pub(super) internal: String,
}

impl Column {
    /// Makes a column whose shown and internal names are the same.
    pub(super) fn named(name: &str) -> Self {
        Column { shown: name.to_owned(), internal: name.to_owned() }
    }
}

/// The columns of a result, or `None` if only DataFusion knows them (table functions).
pub(super) type Columns = Option<Vec<Column>>;

/// An item of FROM whose name can qualify columns.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) qualifier: String,
    pub(super) columns: Columns,
}

/// A column that `*` includes and that an unqualified name can mean.
#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    pub(super) shown: String,
    /// A qualified identifier, the COALESCE of two for a FULL JOIN USING, or an expression of the SELECT list.
    pub(super) expr: Expr,
}

/// The columns of a FROM clause.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) items: Vec<Item>,
    pub(super) columns: Vec<ScopeColumn>,
    /// Names of the SELECT list and their expressions, for use in other clauses if FROM has no such column.
    pub(super) aliases: Vec<ScopeColumn>,
}

/// Makes a quoted identifier, which needs no further resolution.
pub(super) fn exact(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// Makes a qualified column.
pub(super) fn qualified(qualifier: &str, column: &str) -> Expr {
    Expr::CompoundIdentifier(vec![exact(qualifier), exact(column)])
}

/// Writes a position as the end of a message; empty if it is not known.
pub(super) fn at(location: Location) -> String {
    if location.line == 0 { String::new() } else { format!(" at line {}, column {}", location.line, location.column) }
}

/// Makes the error for a name with more than one meaning.
pub(super) fn ambiguous(what: &str, ident: &Ident) -> PlanError {
    PlanError::invalid(format!("{what} {} is ambiguous{}", ident.value, at(ident.span.start)))
}

/// Makes the error for a name without a meaning.
pub(super) fn unknown(what: &str, ident: &Ident) -> PlanError {
    PlanError::invalid(format!("{what} {} does not exist{}", ident.value, at(ident.span.start)))
}

/// Makes the error for a column that the item `qualifier` does not have.
fn unknown_of(qualifier: &str, column: &Ident) -> PlanError {
    let (name, at) = (&column.value, at(column.span.start));
    PlanError::invalid(format!("column {qualifier}.{name} does not exist{at}"))
}

fn find<'a>(names: impl IntoIterator<Item = &'a str>, ident: &Ident) -> Result<Option<usize>, Ambiguous> {
    let name = Name::of(ident);
    find_name(names, &name.value, name.quoted)
}

/// Returns the column of `columns` that `ident` names.
pub(super) fn find_column<'a>(columns: &'a [Column], ident: &Ident) -> Result<Option<&'a Column>, PlanError> {
    let found = find(columns.iter().map(|column| column.shown.as_str()), ident);
    Ok(found.map_err(|_| ambiguous("column", ident))?.map(|idx| &columns[idx]))
}

impl Scope {
    /// Adds an item whose columns can be used with and without a qualifier.
    pub(super) fn add(&mut self, qualifier: String, columns: Columns) {
        for column in columns.iter().flatten() {
            self.columns
                .push(ScopeColumn { shown: column.shown.clone(), expr: qualified(&qualifier, &column.internal) });
        }
        self.items.push(Item { qualifier, columns });
    }

    /// Adds all items and columns of `other`; its aliases are not added.
    pub(super) fn append(&mut self, other: Scope) {
        self.items.extend(other.items);
        self.columns.extend(other.columns);
    }

    /// Returns whether some of the columns are unknown.
    pub(super) fn is_opaque(&self) -> bool {
        self.items.iter().any(|item| item.columns.is_none())
    }

    /// Returns the column that an unqualified name means.
    pub(super) fn column(&self, ident: &Ident) -> Result<Option<usize>, PlanError> {
        find(self.columns.iter().map(|column| column.shown.as_str()), ident).map_err(|_| ambiguous("column", ident))
    }

    /// Returns the item that a qualifier means.
    pub(super) fn item(&self, ident: &Ident) -> Result<Option<&Item>, PlanError> {
        let found = find(self.items.iter().map(|item| item.qualifier.as_str()), ident);
        Ok(found.map_err(|_| ambiguous("table", ident))?.map(|idx| &self.items[idx]))
    }

    /// Returns what an unqualified name means in this scope, if anything. `inner` are the scopes between the name and
    /// this one.
    fn unqualified(&self, ident: &Ident, inner: &[Scope]) -> Result<Option<Expr>, PlanError> {
        if let Some(idx) = self.column(ident)? {
            return Ok(Some(self.columns[idx].expr.clone()));
        }
        let found = find(self.aliases.iter().map(|alias| alias.shown.as_str()), ident);
        let Some(idx) = found.map_err(|_| ambiguous("column", ident))? else { return Ok(None) };
        let expr = &self.aliases[idx].expr;
        // Inside a subquery an expression of this query could change its meaning; an aggregate would move there.
        if inner.is_empty() || is_column_outside(expr, inner) {
            return Ok(Some(expr.clone()));
        }
        let (name, at) = (&ident.value, at(ident.span.start));
        Err(PlanError::invalid(format!("{name} of the SELECT list cannot be used in a subquery here{at}")))
    }

    /// Returns what a path means in this scope, if anything; parts after the column are fields of a struct.
    fn compound(&self, idents: &[Ident], inner: &[Scope]) -> Result<Option<Expr>, PlanError> {
        let Some(item) = self.item(&idents[0])? else {
            let column = self.unqualified(&idents[0], inner)?;
            return Ok(column.map(|column| field_of(column, &idents[1..])));
        };
        let Some(columns) = &item.columns else { return Ok(Some(as_written(&item.qualifier, &idents[1..]))) };
        if let Some(column) = find_column(columns, &idents[1])? {
            return Ok(Some(field_of(qualified(&item.qualifier, &column.internal), &idents[2..])));
        }
        // The first part may be a column that has the same name as a table.
        match self.column(&idents[0])? {
            Some(idx) => Ok(Some(field_of(self.columns[idx].expr.clone(), &idents[1..]))),
            None => Err(unknown_of(&item.qualifier, &idents[1])),
        }
    }
}

/// Returns whether `expr` is a column whose qualifier means nothing in `inner`.
fn is_column_outside(expr: &Expr, inner: &[Scope]) -> bool {
    let Expr::CompoundIdentifier(path) = expr else { return false };
    path.len() == 2 && !inner.iter().any(|scope| scope.items.iter().any(|item| item.qualifier == path[0].value))
}

/// Makes the access to the struct field at the path `fields`; returns `root` itself if the path is empty.
fn field_of(root: Expr, fields: &[Ident]) -> Expr {
    if fields.is_empty() {
        return root;
    }
    let access_chain = fields.iter().map(|field| field_access(&Name::of(field).value)).collect();
    Expr::CompoundFieldAccess { root: Box::new(root), access_chain }
}

/// Makes the subscript `['name']`.
pub(super) fn field_access(name: &str) -> AccessExpr {
    let index = Expr::Value(Value::SingleQuotedString(name.to_owned()).into());
    AccessExpr::Subscript(Subscript::Index { index })
}

fn as_written(qualifier: &str, rest: &[Ident]) -> Expr {
    let rest = rest.iter().map(|ident| exact(&Name::of(ident).value));
    Expr::CompoundIdentifier(std::iter::once(exact(qualifier)).chain(rest).collect())
}

/// Resolves an identifier in `scopes`, innermost last; `None` leaves it to DataFusion, because a scope is opaque.
pub(super) fn resolve(scopes: &[Scope], idents: &[Ident]) -> Result<Option<Expr>, PlanError> {
    for (depth, scope) in scopes.iter().enumerate().rev() {
        let inner = &scopes[depth + 1..];
        let found = match idents {
            [ident] => scope.unqualified(ident, inner)?,
            path => scope.compound(path, inner)?,
        };
        if found.is_some() {
            return Ok(found);
        }
        if scope.is_opaque() {
            return Ok(None);
        }
    }
    match idents {
        [column] => Err(unknown("column", column)),
        [table, ..] => Err(unknown("table or column", table)),
        [] => Ok(None),
    }
}
