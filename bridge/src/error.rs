//! Errors of the embedding API: one variant per code, with stable numbers, names and texts.
//!
//! `Display` prints only the detail, with long values and names cut; [`Error::message`] adds the name and the code, in
//! the form that users see.

use laminardb_dataflow::cancel::Cancelled;
use laminardb_dataflow::{DataflowError, OverLimit, ViewId, short_text};
use laminardb_planner::PlanError;

/// Failure of a call. The codes are part of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The database cannot be opened (error code 100).
    #[error("{}", short_text(.0))]
    ConnectionFailed(String),
    /// The session was closed (101).
    #[error("Connection is closed")]
    ConnectionClosed,
    /// The database is in use by somebody else (102).
    #[error("{}", short_text(.0))]
    ConnectionInUse(String),
    /// A call names a relation that does not exist (200); holds the name.
    #[error("Table not found: {}", short_text(.0))]
    TableNotFound(String),
    /// The name is taken (201); holds the name.
    #[error("Table already exists: {}", short_text(.0))]
    TableExists(String),
    /// The relation's kind does not allow the call (202).
    #[error("{}", short_text(.0))]
    SchemaMismatch(String),
    /// A relation cannot have this schema (203).
    #[error("{}", short_text(.0))]
    InvalidSchema(String),
    /// The data cannot be ingested (300).
    #[error("{}", short_text(.0))]
    IngestionFailed(String),
    /// A column that is NOT NULL has no value (300).
    #[error("{}", short_text(.0))]
    MissingValue(String),
    /// The writer was closed (301).
    #[error("Writer is closed")]
    WriterClosed,
    /// The data does not fit the relation's columns (302).
    #[error("{}", short_text(.0))]
    BatchSchemaMismatch(String),
    /// The statement is invalid or failed (400).
    #[error("{}", short_text(.0))]
    QueryFailed(String),
    /// The rows of a statement violate a constraint: a key is there already, or a value is missing (400).
    #[error("{}", short_text(.0))]
    ConstraintViolated(String),
    /// What a call was about to read or write was dropped after the call had found it (400).
    ///
    /// A call that can begin anew does so, and one that names a relation says that there is none (200).
    #[error("{} was dropped meanwhile", short_text(.0))]
    Dropped(String),
    /// The text is not SQL (401).
    #[error("{} at line {line}, column {column}", short_text(message))]
    SqlParse {
        /// What was expected.
        message: String,
        /// Line of the error, counted from 1.
        line: u64,
        /// Column of the error, counted from 1.
        column: u64,
    },
    /// The query was cancelled (402).
    #[error("{}", short_text(.0))]
    QueryCancelled(String),
    /// The subscription cannot be made (500).
    #[error("{}", short_text(.0))]
    SubscriptionFailed(String),
    /// The subscription was closed (501).
    #[error("{}", short_text(.0))]
    SubscriptionClosed(String),
    /// Nothing arrived in time (502).
    #[error("{}", short_text(.0))]
    SubscriptionTimeout(String),
    /// The subscriber was too slow and its queue overflowed (503).
    #[error("{}", short_text(.0))]
    SubscriptionLagged(String),
    /// The query cannot be maintained, or a maintained view has failing rows (600).
    #[error("{}", short_text(.0))]
    StreamFailed(String),
    /// A checkpoint cannot be taken or restored (700).
    #[error("{}", short_text(.0))]
    CheckpointFailed(String),
    /// The statement needs an external connector, and this build has none (800).
    #[error("{}", short_text(.0))]
    ConnectorFailed(String),
    /// A broken invariant stopped the engine (900).
    #[error("{}", short_text(.0))]
    Internal(String),
    /// The database was shut down (901).
    #[error("Database is shut down")]
    Shutdown,
    /// A wait exceeded its time limit (902).
    #[error("{}", short_text(.0))]
    Timeout(String),
    /// What was asked for needs more memory than the limit allows (903).
    #[error("{} too much memory: {over}; {MORE_MEMORY}", short_text(what))]
    OverLimit {
        /// What was refused or ended, with a verb: "the query needs".
        what: String,
        /// How much was in use.
        over: OverLimit,
    },
    /// A view was ended because of its memory, or that of the view `cause` below it (903).
    ///
    /// `Database::ended_as` replaces it by [`Error::MemoryLimit`], with the names of the views.
    #[error("{}", ended_text(&format!("{view:?}"), &format!("{cause:?}"), *over))]
    Ended {
        /// The view that was ended.
        view: ViewId,
        /// The view that had grown most.
        cause: ViewId,
        /// How much was in use.
        over: OverLimit,
    },
    /// A view was ended because of its memory; the text has its name (903).
    #[error("{}", short_text(.0))]
    MemoryLimit(String),
    /// A call was cancelled, and nothing was changed. Has no code of its own: uses 402.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns the stable code and its name in words.
    fn code_and_name(&self) -> (u16, &'static str) {
        match self {
            Error::ConnectionFailed(_) => (100, "Connection failed"),
            Error::ConnectionClosed => (101, "Connection closed"),
            Error::ConnectionInUse(_) => (102, "Connection in use"),
            Error::TableNotFound(_) => (200, "Table not found"),
            Error::TableExists(_) => (201, "Table exists"),
            Error::SchemaMismatch(_) => (202, "Schema mismatch"),
            Error::InvalidSchema(_) => (203, "Invalid schema"),
            Error::IngestionFailed(_) | Error::MissingValue(_) => (300, "Ingestion failed"),
            Error::WriterClosed => (301, "Writer closed"),
            Error::BatchSchemaMismatch(_) => (302, "Batch schema mismatch"),
            Error::QueryFailed(_) | Error::ConstraintViolated(_) | Error::Dropped(_) => (400, "Query failed"),
            Error::SqlParse { .. } => (401, "SQL parse error"),
            Error::QueryCancelled(_) | Error::Interrupted => (402, "Query cancelled"),
            Error::SubscriptionFailed(_) => (500, "Subscription failed"),
            Error::SubscriptionClosed(_) => (501, "Subscription closed"),
            Error::SubscriptionTimeout(_) => (502, "Subscription timeout"),
            Error::SubscriptionLagged(_) => (503, "Subscription lagged"),
            Error::StreamFailed(_) => (600, "Stream failed"),
            Error::CheckpointFailed(_) => (700, "Checkpoint failed"),
            Error::ConnectorFailed(_) => (800, "Connector failed"),
            Error::Internal(_) => (900, "Internal error"),
            Error::Shutdown => (901, "Shutdown"),
            Error::Timeout(_) => (902, "Timeout"),
            Error::OverLimit { .. } | Error::Ended { .. } | Error::MemoryLimit(_) => (903, "Memory limit"),
        }
    }

    /// Makes the error of what was refused or ended because of its memory; `what` ends with a verb, as "the query needs".
    pub(crate) fn of_memory(what: impl Into<String>, over: OverLimit) -> Error {
        Error::OverLimit { what: what.into(), over }
    }

    /// Returns the error as that of `what`, if it is one of memory.
    #[must_use]
    pub(crate) fn of_memory_in(self, what: impl FnOnce() -> String) -> Error {
        match self {
            Error::OverLimit { over, .. } => Error::of_memory(what(), over),
            other => other,
        }
    }

    /// Returns the stable code.
    pub fn code(&self) -> u16 {
        self.code_and_name().0
    }

    /// Returns the name of the code in words.
    pub fn name(&self) -> &'static str {
        self.code_and_name().1
    }

    /// Returns the whole text as users see it, `Name (code): detail`; two variants print their detail alone.
    pub fn message(&self) -> String {
        match self {
            Error::ConnectionClosed | Error::WriterClosed => self.to_string(),
            _ => format!("{} ({}): {self}", self.name(), self.code()),
        }
    }

    /// Returns the error as a SQL statement reports it: data that cannot be stored makes the query fail (400).
    #[must_use]
    pub fn in_statement(self) -> Error {
        match self {
            Error::TableNotFound(_)
            | Error::SchemaMismatch(_)
            | Error::IngestionFailed(_)
            | Error::BatchSchemaMismatch(_) => Error::QueryFailed(self.to_string()),
            Error::MissingValue(_) => Error::ConstraintViolated(self.to_string()),
            other => other,
        }
    }

    /// Returns the error as a call about `relation` reports it: a relation that was dropped meanwhile is not there (200).
    #[must_use]
    pub fn naming(self, relation: &str) -> Error {
        match self {
            Error::Dropped(_) => Error::TableNotFound(relation.to_owned()),
            other => other,
        }
    }
}

/// What a user can do when the memory limit is passed.
const MORE_MEMORY: &str = "drop or delete what is not needed, or open the database with a higher memory_limit";

/// Returns the text of the error of a view that was ended because it, or the view `cause` below it, had grown most.
pub(crate) fn ended_text(view: &str, cause: &str, over: OverLimit) -> String {
    let below = if view == cause { String::new() } else { format!("view {cause}, which it reads, was ended, since ") };
    format!("view {view} was ended, since {below}it grew when the memory limit was passed: {over}; {MORE_MEMORY}")
}

impl From<DataflowError> for Error {
    fn from(error: DataflowError) -> Error {
        match error {
            DataflowError::ShutDown => Error::Shutdown,
            DataflowError::TimedOut => Error::Timeout(error.to_string()),
            DataflowError::Cancelled => Error::Interrupted,
            DataflowError::OverLimit(over) => Error::of_memory("the call needs", over),
            DataflowError::Ended { view, cause, over } => Error::Ended { view, cause, over },
            DataflowError::UnknownView(_) => Error::Dropped("a view of the query".to_owned()),
            // The engine stopped, or the session asked for something it must not ask for.
            other => Error::Internal(other.to_string()),
        }
    }
}

impl From<Cancelled> for Error {
    fn from(_: Cancelled) -> Error {
        Error::Interrupted
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Error {
        match error {
            PlanError::Syntax { message, line, column } => Error::SqlParse { message, line, column },
            PlanError::Invalid { message } => Error::QueryFailed(message),
            PlanError::NotMaintainable { .. } => Error::StreamFailed(error.to_string()),
            PlanError::InvalidSchema { message } => Error::InvalidSchema(message),
            PlanError::Connector { message } => Error::ConnectorFailed(message),
            PlanError::Interrupted => Error::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_programs_match() {
        assert_eq!(Error::TableNotFound("nope".into()).message(), "Table not found (200): Table not found: nope");
        assert_eq!(Error::ConnectionClosed.message(), "Connection is closed");
        assert_eq!(Error::WriterClosed.message(), "Writer is closed");
        assert_eq!(Error::Shutdown.message(), "Shutdown (901): Database is shut down");
        let parse = Error::SqlParse { message: "expected an expression".into(), line: 2, column: 7 };
        assert_eq!(parse.message(), "SQL parse error (401): expected an expression at line 2, column 7");
    }

    #[test]
    fn an_error_holds_no_whole_value_of_megabytes() {
        let long = "x".repeat(3_000_000);
        let cut = format!("{}…", "x".repeat(300));
        assert_eq!(Error::TableNotFound(long.clone()).to_string(), format!("Table not found: {cut}"));
        assert_eq!(Error::TableExists(long.clone()).to_string(), format!("Table already exists: {cut}"));
        let parse = Error::SqlParse { message: format!("expected a name, found {long}"), line: 2, column: 7 };
        assert_eq!(parse.to_string(), format!("expected a name, found {cut} at line 2, column 7"));
        let failed = Error::QueryFailed(format!("'{long}' is no number, for {long} of {long}")).message();
        assert!(failed.chars().count() < 1_050 && failed.starts_with("Query failed (400): 'xxx"), "{failed}");
    }

    #[test]
    fn a_statement_reports_bad_data_as_a_failed_query() {
        let error = Error::BatchSchemaMismatch("bad".into()).in_statement();
        assert_eq!((error.code(), error.to_string().as_str()), (400, "bad"));
        assert_eq!(Error::Shutdown.in_statement(), Error::Shutdown);
        let missing = Error::MissingValue("NULL".into());
        assert_eq!(missing.message(), "Ingestion failed (300): NULL");
        assert_eq!(missing.in_statement().message(), "Query failed (400): NULL");
    }
}
