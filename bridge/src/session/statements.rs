//! Parses the statements of a SQL text.

use laminardb_planner::Params;
use laminardb_planner::statement::{self, Parsed};

use crate::error::Error;

/// Returns the statements of a text. Fails if the text does not parse or if they do not use all of `params`.
pub(super) fn parse(sql: &str, params: &Params) -> Result<Vec<Parsed>, Error> {
    let statements = statement::parse(sql)?;
    params.all_used(&statements)?;
    Ok(statements)
}

/// Returns the statements of a text, and fails if one of them does more than read.
pub(super) fn read_statements(sql: &str, params: &Params) -> Result<Vec<Parsed>, Error> {
    let statements = parse(sql, params)?;
    match statements.iter().find(|parsed| !parsed.statement.is_read()) {
        Some(other) => Err(Error::QueryFailed(format!("not a query, use execute: {}", first_words(&other.text)))),
        None => Ok(statements),
    }
}

/// Returns the error of a text without statements.
pub(super) fn empty_statement() -> Error {
    Error::QueryFailed("Empty SQL statement".to_owned())
}

/// Returns the first words of a statement, for messages.
pub(super) fn first_words(text: &str) -> String {
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
