//! Parses SQL text into statements: sqlparser for queries and DML, our own grammar for DDL.
//!
//! Nothing is looked up here: a statement says what was written, with unquoted names folded to lower case.

mod ddl;
mod dialect;
mod dml;
mod length;
mod parser;
mod position;
mod select;
mod sql_type;

use arrow::datatypes::DataType;
use sqlparser::ast;

use crate::catalog::RelationKind;

pub(crate) use dml::single_name;
pub use length::{MOST_MEMORY_OF_BYTE, memory_to_read};
pub use parser::{parse, parse_query};
pub(crate) use select::all_rows;
pub use select::{parse_condition, select_all};
pub use sql_type::{sql_type, type_name};
pub use sqlparser::ast::Query;

/// A statement and its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The parsed statement.
    pub statement: Statement,
    /// The text as written, without the semicolon and surrounding space.
    pub text: String,
    /// The parameters that the statement uses, each once: a number, or a name without its `$`.
    pub parameters: Vec<String>,
}

/// A name, as written in a SQL identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The name; in lower case unless it is quoted.
    pub value: String,
    /// Whether the name is quoted and must match exactly.
    pub quoted: bool,
}

impl Name {
    /// Makes the name that `ident` stands for.
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

/// All kinds of statements.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// A query: SELECT, VALUES or WITH.
    Query(Box<Query>),
    /// A CREATE SOURCE or CREATE TABLE with columns.
    CreateRelation(Box<CreateRelation>),
    /// A CREATE TABLE ... AS SELECT.
    CreateTableAs(CreateTableAs),
    /// A CREATE VIEW, STREAM or MATERIALIZED VIEW.
    CreateView(CreateView),
    /// A DROP of any relation.
    Drop(Drop),
    /// An INSERT.
    Insert(Box<Insert>),
    /// An UPDATE.
    Update(Box<Update>),
    /// A DELETE.
    Delete(Box<Delete>),
    /// A TRUNCATE of one table.
    Truncate(Name),
    /// A BEGIN or START TRANSACTION.
    Begin,
    /// A COMMIT.
    Commit,
    /// A ROLLBACK.
    Rollback,
    /// An EXPLAIN of a statement.
    Explain(Box<Parsed>),
    /// A DESCRIBE of a relation.
    Describe(Name),
    /// A SHOW of a list.
    Show(ShowKind),
    /// A CHECKPOINT.
    Checkpoint,
    /// A RESTORE FROM CHECKPOINT.
    Restore(RestoreFrom),
}

impl Statement {
    /// Returns whether the statement only reads, so that `query` may run it.
    pub fn is_read(&self) -> bool {
        matches!(self, Statement::Query(_) | Statement::Explain(_) | Statement::Describe(_) | Statement::Show(_))
    }

    /// Returns whether the statement adds, changes or removes rows of a source or table.
    pub fn writes_rows(&self) -> bool {
        matches!(self, Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Truncate(_))
    }
}

/// A CREATE SOURCE or CREATE TABLE with columns.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateRelation {
    /// The name of the relation.
    pub name: Name,
    /// The kind, `Source` or `Table`.
    pub kind: RelationKind,
    /// The columns in order; their names are unique.
    pub columns: Vec<ColumnDefinition>,
    /// Names of the key columns, as spelled in `columns`; empty without a key.
    pub primary_key: Vec<String>,
    /// The WATERMARK FOR clause.
    pub watermark: Option<WatermarkDefinition>,
    /// Whether OR REPLACE is given.
    pub or_replace: bool,
    /// Whether IF NOT EXISTS is given.
    pub if_not_exists: bool,
}

/// A column of a CREATE.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDefinition {
    /// The name of the column.
    pub name: String,
    /// The type of the column.
    pub data_type: DataType,
    /// Whether it was declared JSON or JSONB, which are stored as text.
    pub is_json: bool,
    /// Whether NULL may be stored; false for key columns.
    pub nullable: bool,
    /// The DEFAULT expression, which must be constant.
    pub default: Option<ast::Expr>,
}

/// The clause WATERMARK FOR column [AS column - delay].
#[derive(Clone, Debug, PartialEq)]
pub struct WatermarkDefinition {
    /// The column, as spelled in the definition of the columns.
    pub column: String,
    /// How far the watermark stays behind the column's maximum; must be constant.
    pub delay: Option<ast::Expr>,
}

/// A CREATE TABLE ... AS.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTableAs {
    /// The name of the table.
    pub name: Name,
    /// The query that gives the table's first rows.
    pub query: Box<Query>,
    /// The query as written.
    pub query_text: String,
    /// Whether OR REPLACE is given.
    pub or_replace: bool,
    /// Whether IF NOT EXISTS is given.
    pub if_not_exists: bool,
}

/// Says what a maintained view does with a row for which an expression fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Reads fail while the row is there.
    #[default]
    Fail,
    /// The row is left out and counted.
    Skip,
}

/// A CREATE VIEW, STREAM or MATERIALIZED VIEW.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    /// The name of the view.
    pub name: Name,
    /// The kind: `View`, `Stream` or `MaterializedView`.
    pub kind: RelationKind,
    /// New names for the query's columns, in order; empty to keep all names.
    pub columns: Vec<Name>,
    /// The query that defines the view.
    pub query: Box<Query>,
    /// The query as written.
    pub query_text: String,
    /// Number of `?` before the query in the text that contains the statement; 0 if the query has none of its own.
    pub placeholders_before: usize,
    /// Whether OR REPLACE is given.
    pub or_replace: bool,
    /// Whether IF NOT EXISTS is given.
    pub if_not_exists: bool,
    /// The option WITH ('on_error' = ...).
    pub on_error: OnError,
}

/// A DROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// The kind named in the statement; either word can name a stream or a materialized view.
    pub kind: RelationKind,
    /// The name of the relation.
    pub name: Name,
    /// Whether IF EXISTS is given.
    pub if_exists: bool,
    /// Whether CASCADE is given.
    pub cascade: bool,
}

/// An INSERT.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The relation that is written to.
    pub table: Name,
    /// The columns that are given, in order; `None` for all.
    pub columns: Option<Vec<Name>>,
    /// The query that gives the rows.
    pub source: Box<Query>,
    /// Says what happens to a row whose key exists already.
    pub conflict: OnConflict,
}

/// Says what INSERT does with a row whose key exists already.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum OnConflict {
    /// Refuse the statement.
    #[default]
    Fail,
    /// Replace the existing row (INSERT OR REPLACE).
    Replace,
    /// Skip the new row (INSERT OR IGNORE, ON CONFLICT DO NOTHING).
    DoNothing {
        /// The key columns that are named, if any.
        target: Vec<Name>,
    },
    /// Update the existing row.
    DoUpdate {
        /// The key columns that are named, if any.
        target: Vec<Name>,
        /// The SET clause; `excluded` names the new row.
        assignments: Vec<ast::Assignment>,
        /// The WHERE clause; existing rows for which it is not true stay as they are.
        selection: Option<Box<ast::Expr>>,
    },
}

/// An UPDATE.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The relation that is written to.
    pub table: Name,
    /// The name of the relation in the expressions.
    pub alias: Option<Name>,
    /// The SET clause.
    pub assignments: Vec<ast::Assignment>,
    /// The WHERE clause.
    pub selection: Option<ast::Expr>,
}

/// A DELETE.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The relation that is written to.
    pub table: Name,
    /// The name of the relation in the expression.
    pub alias: Option<Name>,
    /// The WHERE clause.
    pub selection: Option<ast::Expr>,
}

/// The lists that SHOW can return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowKind {
    /// The list of SHOW SOURCES.
    Sources,
    /// The list of SHOW TABLES.
    Tables,
    /// The list of SHOW STREAMS.
    Streams,
    /// The list of SHOW MATERIALIZED VIEWS.
    MaterializedViews,
    /// The list of SHOW VIEWS.
    Views,
    /// The list of SHOW QUERIES.
    Queries,
    /// The list of SHOW SINKS.
    Sinks,
}

/// Says which checkpoint to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreFrom {
    /// The newest checkpoint.
    Latest,
    /// The checkpoint with this number.
    Checkpoint(u64),
}

#[cfg(test)]
mod tests;
