//! `Script`: the statements of a text, parsed before any of them runs.

use laminardb_planner::Params;
use laminardb_planner::statement::Parsed;

use super::{Interrupted, Outcome, Session, empty_statement, parse};
use crate::error::Error;

/// One statement, or several divided by semicolons, with their parameters; see [`Session::parse`].
pub struct Script {
    statements: Vec<Parsed>,
    params: Params,
}

impl Script {
    /// Whether no statement changes anything.
    pub fn only_reads(&self) -> bool {
        self.statements.iter().all(|parsed| parsed.statement.is_read())
    }
}

impl Session {
    /// Parses a text for [`Session::run`].
    pub fn parse(&self, sql: &str, params: &Params) -> Result<Script, Error> {
        self.shared.check_usable()?;
        Ok(Script { statements: parse(sql, params)?, params: params.clone() })
    }

    /// Runs a text and gives the result of its last statement; ended by `interrupted`. An error ends the run, and what
    /// ran before it stays.
    pub fn run(&self, script: &Script, interrupted: Interrupted<'_>) -> Result<Outcome, Error> {
        self.shared.check_usable()?;
        let mut last = None;
        for parsed in &script.statements {
            last = Some(self.shared.ended_as(self.run_statement(parsed, &script.params, interrupted))?);
        }
        last.ok_or_else(empty_statement)
    }
}
