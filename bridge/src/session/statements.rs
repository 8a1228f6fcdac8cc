//! Parses the statements of a SQL text.

use laminardb_dataflow::MemoryLimit;
use laminardb_dataflow::memory::of_thread;
use laminardb_planner::Params;
use laminardb_planner::statement::{self, Parsed};

use crate::error::Error;

/// Returns the statements of a text. Fails if the text does not parse or if they do not use all of `params`, and if
/// the words of a long text would pass `limit`.
pub(super) fn parse(sql: &str, params: &Params, limit: Option<MemoryLimit>) -> Result<Vec<Parsed>, Error> {
    if let Some(limit) = limit
        && sql.len() as u64 > limit.part() / statement::MOST_MEMORY_OF_BYTE
    {
        let needed = limit.check_of(of_thread(), statement::memory_to_read(sql)?);
        needed.map_err(|over| Error::of_memory("the text of the statement needs", over))?;
    }
    let statements = statement::parse(sql)?;
    params.all_used(&statements)?;
    Ok(statements)
}

/// Returns the statements of a text as [`parse`] does, and fails if one of them does more than read.
pub(super) fn read_statements(sql: &str, params: &Params, limit: Option<MemoryLimit>) -> Result<Vec<Parsed>, Error> {
    let statements = parse(sql, params, limit)?;
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
