//! What identifiers can mean at one place of a query.

use sqlparser::ast::{Expr, Ident};
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
    /// A qualified identifier, or COALESCE of two for the column of a FULL JOIN USING.
    pub(super) expr: Expr,
}

/// The columns of a FROM clause.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) items: Vec<Item>,
    pub(super) entries: Vec<Entry>,
    /// Names of the SELECT list that other clauses may use where the FROM clause has no such column.
    pub(super) aliases: Vec<Column>,
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

    /// What an unqualified name means, if anything here.
    fn unqualified(&self, ident: &Ident) -> Result<Option<Expr>, PlanError> {
        if let Some(idx) = self.entry(ident)? {
            return Ok(Some(self.entries[idx].expr.clone()));
        }
        Ok(find_column(&self.aliases, ident)?.map(|column| Expr::Identifier(exact(&column.internal))))
    }

    /// What a qualified name means, if its qualifier is something here; later parts are fields of a struct.
    fn compound(&self, idents: &[Ident]) -> Result<Option<Expr>, PlanError> {
        if let Some(item) = self.item(&idents[0])? {
            let Some(columns) = &item.columns else { return Ok(Some(as_written(&item.qualifier, &idents[1..]))) };
            let column = find_column(columns, &idents[1])?.ok_or_else(|| unknown_of(&item.qualifier, &idents[1]))?;
            let mut path = vec![exact(&item.qualifier), exact(&column.internal)];
            path.extend(idents[2..].iter().map(folded));
            return Ok(Some(Expr::CompoundIdentifier(path)));
        }
        match self.unqualified(&idents[0])? {
            Some(Expr::CompoundIdentifier(mut path)) => {
                path.extend(idents[1..].iter().map(folded));
                Ok(Some(Expr::CompoundIdentifier(path)))
            }
            _ => Ok(None),
        }
    }
}

fn folded(ident: &Ident) -> Ident {
    exact(&Name::of(ident).value)
}

fn as_written(qualifier: &str, rest: &[Ident]) -> Expr {
    let path = std::iter::once(exact(qualifier)).chain(rest.iter().map(folded)).collect();
    Expr::CompoundIdentifier(path)
}

/// Resolves an identifier by `scopes`, innermost last; `None` leaves it to DataFusion, because a scope is opaque.
pub(super) fn resolve(scopes: &[Scope], idents: &[Ident]) -> Result<Option<Expr>, PlanError> {
    for scope in scopes.iter().rev() {
        let found = match idents {
            [ident] => scope.unqualified(ident)?,
            path => scope.compound(path)?,
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
