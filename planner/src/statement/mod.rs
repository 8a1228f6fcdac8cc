//! SQL text to statements: sqlparser for queries and DML, our own grammar for DDL.
//!
//! Nothing is looked up here; a statement says what was written, with unquoted names folded to lower case.

mod ddl;
mod dialect;
mod dml;
mod parser;
mod position;
mod select;
mod sql_type;

use arrow::datatypes::DataType;
use sqlparser::ast;

use crate::catalog::RelationKind;

pub(crate) use dml::single_name;
pub use parser::{parse, parse_query};
pub(crate) use select::all_rows;
pub use select::{parse_condition, select_all};
pub use sql_type::{sql_type, type_name};
pub use sqlparser::ast::Query;

/// One statement and its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What it says.
    pub statement: Statement,
    /// As written, without the semicolon and surrounding space.
    pub text: String,
    /// The parameters it asks for, each once: a number, or a name without its `$`.
    pub parameters: Vec<String>,
}

/// A name as an identifier of SQL gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Lower case unless quoted.
    pub value: String,
    /// Whether it must match exactly.
    pub quoted: bool,
}

impl Name {
    /// The name that `ident` gives.
    pub fn of(ident: &ast::Ident) -> Self {
        let quoted = ident.quote_style.is_some();
        Name { value: if quoted { ident.value.clone() } else { ident.value.to_lowercase() }, quoted }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.value)
    }
}

/// Everything that can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// SELECT, VALUES, WITH.
    Query(Box<Query>),
    /// CREATE SOURCE or CREATE TABLE with columns.
    CreateRelation(Box<CreateRelation>),
    /// CREATE TABLE ... AS SELECT.
    CreateTableAs(CreateTableAs),
    /// CREATE VIEW, STREAM or MATERIALIZED VIEW.
    CreateView(CreateView),
    /// DROP of any relation.
    Drop(Drop),
    /// INSERT.
    Insert(Box<Insert>),
    /// UPDATE.
    Update(Box<Update>),
    /// DELETE.
    Delete(Box<Delete>),
    /// TRUNCATE of one table.
    Truncate(Name),
    /// BEGIN or START TRANSACTION.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// EXPLAIN of a statement.
    Explain(Box<Parsed>),
    /// DESCRIBE of a relation.
    Describe(Name),
    /// SHOW of a list.
    Show(ShowKind),
    /// CHECKPOINT.
    Checkpoint,
    /// RESTORE FROM CHECKPOINT.
    Restore(RestoreFrom),
}

impl Statement {
    /// Whether it only reads, so that `query` may run it.
    pub fn is_read(&self) -> bool {
        matches!(self, Statement::Query(_) | Statement::Explain(_) | Statement::Describe(_) | Statement::Show(_))
    }
}

/// CREATE SOURCE or CREATE TABLE.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateRelation {
    /// Name of the relation.
    pub name: Name,
    /// `Source` or `Table`.
    pub kind: RelationKind,
    /// In order; names are unique.
    pub columns: Vec<ColumnDefinition>,
    /// Names of the key columns, as spelled in `columns`; empty without a key.
    pub primary_key: Vec<String>,
    /// WATERMARK FOR.
    pub watermark: Option<WatermarkDefinition>,
    /// OR REPLACE.
    pub or_replace: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
}

/// One column of a CREATE.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether NULL may be stored; false for key columns.
    pub nullable: bool,
    /// DEFAULT expression; constant.
    pub default: Option<ast::Expr>,
}

/// WATERMARK FOR column [AS column - delay].
#[derive(Clone, Debug, PartialEq)]
pub struct WatermarkDefinition {
    /// As spelled in the columns.
    pub column: String,
    /// How far the watermark stays behind the column's maximum; a constant.
    pub delay: Option<ast::Expr>,
}

/// CREATE TABLE ... AS.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTableAs {
    /// Name of the table.
    pub name: Name,
    /// Where its first rows come from.
    pub query: Box<Query>,
    /// The query as written.
    pub query_text: String,
    /// OR REPLACE.
    pub or_replace: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
}

/// What a maintained view does with a row that an expression fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Refuse reads while the row is there.
    #[default]
    Fail,
    /// Leave the row out and count it.
    Skip,
}

/// CREATE VIEW, STREAM or MATERIALIZED VIEW.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    /// Name of the view.
    pub name: Name,
    /// `View`, `Stream` or `MaterializedView`.
    pub kind: RelationKind,
    /// New names for the query's columns, in order; empty to keep them all.
    pub columns: Vec<Name>,
    /// Its definition.
    pub query: Box<Query>,
    /// The query as written.
    pub query_text: String,
    /// How many `?` stand before the query in the text it was written in, if it has one of its own.
    pub placeholders_before: usize,
    /// OR REPLACE.
    pub or_replace: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// WITH ('on_error' = ...).
    pub on_error: OnError,
}

/// DROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// The kind named in the statement; a stream and a materialized view answer to either word.
    pub kind: RelationKind,
    /// Name of the relation.
    pub name: Name,
    /// IF EXISTS.
    pub if_exists: bool,
    /// CASCADE.
    pub cascade: bool,
}

/// INSERT.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The relation written to.
    pub table: Name,
    /// The columns given, in order; `None` for all.
    pub columns: Option<Vec<Name>>,
    /// The rows.
    pub source: Box<Query>,
    /// What happens to a row whose key is there.
    pub conflict: OnConflict,
}

/// What INSERT does with a row whose key is there already.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum OnConflict {
    /// Refuse the statement.
    #[default]
    Fail,
    /// Replace the row (INSERT OR REPLACE).
    Replace,
    /// Skip the new row (INSERT OR IGNORE, ON CONFLICT DO NOTHING).
    DoNothing {
        /// The key columns named, if any were.
        target: Vec<Name>,
    },
    /// Change the row that is there.
    DoUpdate {
        /// The key columns named, if any were.
        target: Vec<Name>,
        /// SET; `excluded` names the new row.
        assignments: Vec<ast::Assignment>,
        /// WHERE: other rows stay as they are.
        selection: Option<Box<ast::Expr>>,
    },
}

/// UPDATE.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The relation written to.
    pub table: Name,
    /// The name it goes by in the expressions.
    pub alias: Option<Name>,
    /// SET.
    pub assignments: Vec<ast::Assignment>,
    /// WHERE.
    pub selection: Option<ast::Expr>,
}

/// DELETE.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The relation written to.
    pub table: Name,
    /// The name it goes by in the expression.
    pub alias: Option<Name>,
    /// WHERE.
    pub selection: Option<ast::Expr>,
}

/// The lists SHOW can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowKind {
    /// SHOW SOURCES.
    Sources,
    /// SHOW TABLES.
    Tables,
    /// SHOW STREAMS.
    Streams,
    /// SHOW MATERIALIZED VIEWS.
    MaterializedViews,
    /// SHOW VIEWS.
    Views,
    /// SHOW QUERIES.
    Queries,
    /// SHOW SINKS.
    Sinks,
}

/// The checkpoint to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreFrom {
    /// The newest.
    Latest,
    /// The one of this number.
    Checkpoint(u64),
}

#[cfg(test)]
mod tests;
