//! Reading the statements of a text.

use laminardb_planner::Params;
use laminardb_planner::statement::{self, Parsed};

use crate::error::Error;

/// The statements of a text that together use all of `params`.
pub(super) fn parse(sql: &str, params: &Params) -> Result<Vec<Parsed>, Error> {
    let statements = statement::parse(sql)?;
    params.all_used(&statements)?;
    Ok(statements)
}

/// The statements of a text that only reads.
pub(super) fn read_statements(sql: &str, params: &Params) -> Result<Vec<Parsed>, Error> {
    let statements = parse(sql, params)?;
    match statements.iter().find(|parsed| !parsed.statement.is_read()) {
        Some(other) => Err(Error::QueryFailed(format!("not a query, use execute: {}", first_words(&other.text)))),
        None => Ok(statements),
    }
}

pub(super) fn empty_statement() -> Error {
    Error::QueryFailed("Empty SQL statement".to_owned())
}

/// The beginning of a statement, for messages.
pub(super) fn first_words(text: &str) -> String {
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
