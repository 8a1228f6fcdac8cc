//! What identifiers can mean at one place of a query.

use sqlparser::ast::{AccessExpr, Expr, Ident, Subscript, Value};
use sqlparser::tokenizer::Location;

use crate::catalog::{Ambiguous, find_name};
use crate::error::PlanError;
use crate::statement::Name;

/// One column of a query's or a relation's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// The name people see and write; may repeat among the columns of one result.
    pub(super) shown: String,
    /// The name DataFusion knows it by; unique among the columns of one result.
    pub(super) internal: String,
}

impl Column {
    /// A column with one name for both.
    pub(super) fn named(name: &str) -> Self {
        Column { shown: name.to_owned(), internal: name.to_owned() }
    }
}

/// The columns of a result, or `None` where only DataFusion can tell (table functions).
pub(super) type Columns = Option<Vec<Column>>;

/// One thing in FROM that columns can be qualified by.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) qualifier: String,
    pub(super) columns: Columns,
}

/// One column that `*` stands for and that an unqualified name can mean.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) shown: String,
    /// A qualified identifier, COALESCE of two for the column of a FULL JOIN USING, an expression of the SELECT list.
    pub(super) expr: Expr,
}

/// The columns of a FROM clause.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) items: Vec<Item>,
    pub(super) entries: Vec<Entry>,
    /// Names of the SELECT list, with what they stand for, that other clauses may use where the FROM clause has no
    /// such column.
    pub(super) aliases: Vec<Entry>,
}

/// An identifier that is exact and needs no resolution any more.
pub(super) fn exact(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// A qualified column.
pub(super) fn qualified(qualifier: &str, column: &str) -> Expr {
    Expr::CompoundIdentifier(vec![exact(qualifier), exact(column)])
}

/// A position as the end of a message; nothing where it is not known.
pub(super) fn at(location: Location) -> String {
    if location.line == 0 { String::new() } else { format!(" at line {}, column {}", location.line, location.column) }
}

/// The error of a name that several things have.
pub(super) fn ambiguous(what: &str, ident: &Ident) -> PlanError {
    PlanError::invalid(format!("{what} {} is ambiguous{}", ident.value, at(ident.span.start)))
}

/// The error of a name that nothing has.
pub(super) fn unknown(what: &str, ident: &Ident) -> PlanError {
    PlanError::invalid(format!("{what} {} does not exist{}", ident.value, at(ident.span.start)))
}

/// The error of a column that the item `qualifier` does not have.
fn unknown_of(qualifier: &str, column: &Ident) -> PlanError {
    let (name, at) = (&column.value, at(column.span.start));
    PlanError::invalid(format!("column {qualifier}.{name} does not exist{at}"))
}

fn find<'a>(names: impl IntoIterator<Item = &'a str>, ident: &Ident) -> Result<Option<usize>, Ambiguous> {
    let name = Name::of(ident);
    find_name(names, &name.value, name.quoted)
}

/// The column of `columns` that `ident` means.
pub(super) fn find_column<'a>(columns: &'a [Column], ident: &Ident) -> Result<Option<&'a Column>, PlanError> {
    let found = find(columns.iter().map(|column| column.shown.as_str()), ident);
    Ok(found.map_err(|_| ambiguous("column", ident))?.map(|idx| &columns[idx]))
}

impl Scope {
    /// Adds an item whose columns can be used with and without its name.
    pub(super) fn add(&mut self, qualifier: String, columns: Columns) {
        for column in columns.iter().flatten() {
            self.entries.push(Entry { shown: column.shown.clone(), expr: qualified(&qualifier, &column.internal) });
        }
        self.items.push(Item { qualifier, columns });
    }

    /// Adds all of `other`.
    pub(super) fn append(&mut self, other: Scope) {
        self.items.extend(other.items);
        self.entries.extend(other.entries);
    }

    /// Whether some of its columns are unknown.
    pub(super) fn is_opaque(&self) -> bool {
        self.items.iter().any(|item| item.columns.is_none())
    }

    /// The entry an unqualified name means.
    pub(super) fn entry(&self, ident: &Ident) -> Result<Option<usize>, PlanError> {
        find(self.entries.iter().map(|entry| entry.shown.as_str()), ident).map_err(|_| ambiguous("column", ident))
    }

    /// The item a qualifier means.
    pub(super) fn item(&self, ident: &Ident) -> Result<Option<&Item>, PlanError> {
        let found = find(self.items.iter().map(|item| item.qualifier.as_str()), ident);
        Ok(found.map_err(|_| ambiguous("table", ident))?.map(|idx| &self.items[idx]))
    }

    /// What an unqualified name means, if anything here. `inner` are the scopes between the name and this one.
    fn unqualified(&self, ident: &Ident, inner: &[Scope]) -> Result<Option<Expr>, PlanError> {
        if let Some(idx) = self.entry(ident)? {
            return Ok(Some(self.entries[idx].expr.clone()));
        }
        let found = find(self.aliases.iter().map(|alias| alias.shown.as_str()), ident);
        let Some(idx) = found.map_err(|_| ambiguous("column", ident))? else { return Ok(None) };
        let expr = &self.aliases[idx].expr;
        // In a subquery an expression of this query could mean something else, and an aggregate would be one there.
        if inner.is_empty() || is_column_outside(expr, inner) {
            return Ok(Some(expr.clone()));
        }
        let (name, at) = (&ident.value, at(ident.span.start));
        Err(PlanError::invalid(format!("{name} of the SELECT list cannot be used in a subquery here{at}")))
    }

    /// What a qualified name means, if its qualifier is something here; later parts are fields of a struct.
    fn compound(&self, idents: &[Ident], inner: &[Scope]) -> Result<Option<Expr>, PlanError> {
        let Some(item) = self.item(&idents[0])? else {
            let column = self.unqualified(&idents[0], inner)?;
            return Ok(column.map(|column| field_of(column, &idents[1..])));
        };
        let Some(columns) = &item.columns else { return Ok(Some(as_written(&item.qualifier, &idents[1..]))) };
        if let Some(column) = find_column(columns, &idents[1])? {
            return Ok(Some(field_of(qualified(&item.qualifier, &column.internal), &idents[2..])));
        }
        // A column may have the name of a table.
        match self.entry(&idents[0])? {
            Some(idx) => Ok(Some(field_of(self.entries[idx].expr.clone(), &idents[1..]))),
            None => Err(unknown_of(&item.qualifier, &idents[1])),
        }
    }
}

/// Whether `expr` is a column whose qualifier means nothing in `inner`.
fn is_column_outside(expr: &Expr, inner: &[Scope]) -> bool {
    let Expr::CompoundIdentifier(path) = expr else { return false };
    path.len() == 2 && !inner.iter().any(|scope| scope.items.iter().any(|item| item.qualifier == path[0].value))
}

/// The field of a struct that the path `fields` leads to, or the struct itself.
fn field_of(root: Expr, fields: &[Ident]) -> Expr {
    if fields.is_empty() {
        return root;
    }
    let access_chain = fields.iter().map(|field| field_access(&Name::of(field).value)).collect();
    Expr::CompoundFieldAccess { root: Box::new(root), access_chain }
}

/// `['name']`.
pub(super) fn field_access(name: &str) -> AccessExpr {
    let index = Expr::Value(Value::SingleQuotedString(name.to_owned()).into());
    AccessExpr::Subscript(Subscript::Index { index })
}

fn as_written(qualifier: &str, rest: &[Ident]) -> Expr {
    let rest = rest.iter().map(|ident| exact(&Name::of(ident).value));
    Expr::CompoundIdentifier(std::iter::once(exact(qualifier)).chain(rest).collect())
}

/// Resolves an identifier by `scopes`, innermost last; `None` leaves it to DataFusion, because a scope is opaque.
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
