//! Matches the names of given columns with those of a relation: the same name, or the only one that differs in case.

use arrow::datatypes::Schema;

use crate::error::Error;

/// What happens to given columns that a relation does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// The rows are refused.
    Refuse,
    /// These columns are left out.
    Ignore,
}

/// Why a given column cannot be matched with a relation's columns.
pub(super) enum Unmatched {
    /// No column has the name.
    Unknown(String),
    /// Several columns have the name, but for upper and lower case.
    Ambiguous(String),
    /// The column was given before.
    Twice(String),
}

impl Unmatched {
    /// Makes the error for a column that is given for `relation`.
    pub(super) fn in_relation(&self, relation: &str) -> Error {
        Error::BatchSchemaMismatch(match self {
            Unmatched::Unknown(column) => format!("{relation} has no column {column}"),
            Unmatched::Ambiguous(column) => {
                format!("column {column} is ambiguous: several columns of {relation} match it")
            }
            Unmatched::Twice(column) => format!("column {column} of {relation} is given twice"),
        })
    }

    /// Says the same of a field that is given inside a value.
    pub(super) fn in_value(&self) -> String {
        match self {
            Unmatched::Unknown(field) => format!("the column has no field {field}"),
            Unmatched::Ambiguous(field) => format!("several fields of the column match {field}"),
            Unmatched::Twice(field) => format!("field {field} is given twice"),
        }
    }
}

/// For each column of `wanted`, finds the column of `given` with its name: the same, or the only one that differs in
/// case.
pub(super) fn match_columns(given: &Schema, wanted: &Schema) -> Result<Vec<Option<usize>>, Unmatched> {
    let mut places = vec![None; wanted.fields().len()];
    for (at, field) in given.fields().iter().enumerate() {
        let column = match_name(field.name(), at, wanted)?;
        if places[column].replace(at).is_some() {
            return Err(Unmatched::Twice(wanted.field(column).name().clone()));
        }
    }
    Ok(places)
}

/// Finds the column called `name`; looks at position `likely` first.
pub(super) fn match_name(name: &str, likely: usize, schema: &Schema) -> Result<usize, Unmatched> {
    let fields = schema.fields();
    if fields.get(likely).is_some_and(|field| field.name() == name) {
        return Ok(likely);
    }
    if let Some(exact) = fields.iter().position(|field| field.name() == name) {
        return Ok(exact);
    }
    let folded = name.to_lowercase();
    let mut similar = (0..fields.len()).filter(|at| fields[*at].name().to_lowercase() == folded);
    match (similar.next(), similar.next()) {
        (Some(column), None) => Ok(column),
        (None, _) => Err(Unmatched::Unknown(name.to_owned())),
        (Some(_), Some(_)) => Err(Unmatched::Ambiguous(name.to_owned())),
    }
}
