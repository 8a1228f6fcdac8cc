//! Describes sources and tables: their columns, how they keep their rows, and what a write may do to them.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use laminardb_planner::catalog::RelationKind;
use laminardb_planner::statement::type_name;

use crate::error::Error;
use crate::watermark::Follow;

/// Maximum number of bytes in the name of a relation, or of a column of a source or table: the names of many fit into
/// one column of an answer.
pub const MOST_BYTES_OF_NAME: usize = 65_535;

/// Fails if `name` is too long.
pub fn check_name(name: &str) -> Result<(), Error> {
    let length = name.len();
    if length <= MOST_BYTES_OF_NAME {
        return Ok(());
    }
    Err(Error::InvalidSchema(format!("a name of {length} bytes is too long: {MOST_BYTES_OF_NAME} are the most")))
}

/// How a relation keeps its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// A source: rows are only ever added.
    Append,
    /// A table with a primary key.
    Keyed,
    /// A table without a primary key: equal rows may occur several times.
    Bag,
}

impl StorageKind {
    /// Returns the kind of a source or table whose primary key has these columns.
    pub fn of(relation: RelationKind, primary_key: &[usize]) -> StorageKind {
        match relation {
            RelationKind::Source => StorageKind::Append,
            _ if primary_key.is_empty() => StorageKind::Bag,
            _ => StorageKind::Keyed,
        }
    }

    /// Checks that relations of this kind allow `operation`; `name` is used in the error message.
    pub fn check(self, operation: Operation, name: &str) -> Result<(), Error> {
        match (self, operation) {
            (StorageKind::Append, Operation::Delete) => {
                Err(Error::SchemaMismatch(format!("cannot delete from source {name}: its rows are kept")))
            }
            (StorageKind::Append, Operation::Truncate) => {
                Err(Error::SchemaMismatch(format!("cannot truncate source {name}: its rows are kept")))
            }
            (StorageKind::Append | StorageKind::Bag, Operation::Upsert | Operation::InsertMissing) => {
                Err(Error::SchemaMismatch(format!("{name} has no primary key to find rows by")))
            }
            _ => Ok(()),
        }
    }
}

/// Describes a base relation.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name of the relation, for messages.
    pub name: String,
    /// How the relation keeps its rows.
    pub kind: StorageKind,
    /// Columns of the relation. Those of the key must not be nullable.
    pub schema: SchemaRef,
    /// Positions of the key columns; empty unless `kind` is `Keyed`.
    pub primary_key: Vec<usize>,
    /// Positions of the columns that were declared JSON, ascending: what JSON has is stored as text there.
    pub json_columns: Vec<usize>,
    /// Default of each column, an array of one row, used when a write leaves the column out; `None` means NULL.
    pub defaults: Vec<Option<ArrayRef>>,
    /// The column that the relation's watermark follows.
    pub follow: Option<Follow>,
}

impl Spec {
    /// Returns whether the column was declared JSON.
    pub(crate) fn is_json(&self, column: usize) -> bool {
        self.json_columns.contains(&column)
    }

    /// Returns the SQL name of the type of a column, as it was declared.
    pub(crate) fn type_name(&self, column: usize) -> String {
        if self.is_json(column) { "JSON".to_owned() } else { type_name(self.schema.field(column).data_type()) }
    }
}

/// What a write does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Adds the rows; in a keyed table they replace rows with equal keys, and the last row of a batch wins.
    Insert,
    /// Does the same as `Insert`, for keyed tables only.
    Upsert,
    /// Adds the rows; in a keyed table, a key that exists or is given twice is an error.
    InsertNew,
    /// Adds the rows whose keys do not exist, the first of those with equal keys; for keyed tables only.
    InsertMissing,
    /// Removes rows: a keyed table matches the key columns and skips absent keys; a bag removes one equal row per given
    /// row.
    Delete,
    /// Removes all rows of a table; the write gives no rows.
    Truncate,
}
