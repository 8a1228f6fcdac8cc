//! What a call of the embedding API can fail with: one variant per code, stable numbers, names and texts.
//!
//! `Display` prints the detail alone, with long values and names cut; [`Error::message`] adds the name and the code in the
//! shape users see.

use laminardb_dataflow::cancel::Cancelled;
use laminardb_dataflow::{DataflowError, short_text};
use laminardb_planner::PlanError;

/// Failure of a call. The codes are part of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 100: the database cannot be opened.
    #[error("{}", short_text(.0))]
    ConnectionFailed(String),
    /// 101: the session was closed.
    #[error("Connection is closed")]
    ConnectionClosed,
    /// 102: the database is held by somebody else.
    #[error("{}", short_text(.0))]
    ConnectionInUse(String),
    /// 200: a call names a relation that is not there; holds the name.
    #[error("Table not found: {}", short_text(.0))]
    TableNotFound(String),
    /// 201: the name is taken; holds the name.
    #[error("Table already exists: {}", short_text(.0))]
    TableExists(String),
    /// 202: the relation is not of a kind that allows the call.
    #[error("{}", short_text(.0))]
    SchemaMismatch(String),
    /// 203: a relation cannot have this schema.
    #[error("{}", short_text(.0))]
    InvalidSchema(String),
    /// 300: the data cannot be taken.
    #[error("{}", short_text(.0))]
    IngestionFailed(String),
    /// 301: the writer was closed.
    #[error("Writer is closed")]
    WriterClosed,
    /// 302: the data does not fit the relation's columns.
    #[error("{}", short_text(.0))]
    BatchSchemaMismatch(String),
    /// 400: the statement is wrong or failed.
    #[error("{}", short_text(.0))]
    QueryFailed(String),
    /// 401: the text is not SQL.
    #[error("{} at line {line}, column {column}", short_text(message))]
    SqlParse {
        /// What was expected.
        message: String,
        /// 1-based line of the place.
        line: u64,
        /// 1-based column of the place.
        column: u64,
    },
    /// 402: the query was cancelled.
    #[error("{}", short_text(.0))]
    QueryCancelled(String),
    /// 500: the subscription cannot be made.
    #[error("{}", short_text(.0))]
    SubscriptionFailed(String),
    /// 501: the subscription was closed.
    #[error("{}", short_text(.0))]
    SubscriptionClosed(String),
    /// 502: nothing arrived in time.
    #[error("{}", short_text(.0))]
    SubscriptionTimeout(String),
    /// 503: the subscriber was too slow and its queue overflowed.
    #[error("{}", short_text(.0))]
    SubscriptionLagged(String),
    /// 600: the query cannot be maintained, or a maintained view has failing rows.
    #[error("{}", short_text(.0))]
    StreamFailed(String),
    /// 700: a checkpoint cannot be taken or restored.
    #[error("{}", short_text(.0))]
    CheckpointFailed(String),
    /// 800: an external connector is needed, and this build has none.
    #[error("{}", short_text(.0))]
    ConnectorFailed(String),
    /// 900: a broken invariant stopped the engine.
    #[error("{}", short_text(.0))]
    Internal(String),
    /// 901: the database was shut down.
    #[error("Database is shut down")]
    Shutdown,
    /// 902: a wait ran into its time limit.
    #[error("{}", short_text(.0))]
    Timeout(String),
    /// No code of its own: the caller's interruption callback ended a wait. Nothing was changed.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The stable number.
    pub fn code(&self) -> u16 {
        match self {
            Error::ConnectionFailed(_) => 100,
            Error::ConnectionClosed => 101,
            Error::ConnectionInUse(_) => 102,
            Error::TableNotFound(_) => 200,
            Error::TableExists(_) => 201,
            Error::SchemaMismatch(_) => 202,
            Error::InvalidSchema(_) => 203,
            Error::IngestionFailed(_) => 300,
            Error::WriterClosed => 301,
            Error::BatchSchemaMismatch(_) => 302,
            Error::QueryFailed(_) => 400,
            Error::SqlParse { .. } => 401,
            Error::QueryCancelled(_) | Error::Interrupted => 402,
            Error::SubscriptionFailed(_) => 500,
            Error::SubscriptionClosed(_) => 501,
            Error::SubscriptionTimeout(_) => 502,
            Error::SubscriptionLagged(_) => 503,
            Error::StreamFailed(_) => 600,
            Error::CheckpointFailed(_) => 700,
            Error::ConnectorFailed(_) => 800,
            Error::Internal(_) => 900,
            Error::Shutdown => 901,
            Error::Timeout(_) => 902,
        }
    }

    /// The code's constant in words.
    pub fn name(&self) -> &'static str {
        match self {
            Error::ConnectionFailed(_) => "Connection failed",
            Error::ConnectionClosed => "Connection closed",
            Error::ConnectionInUse(_) => "Connection in use",
            Error::TableNotFound(_) => "Table not found",
            Error::TableExists(_) => "Table exists",
            Error::SchemaMismatch(_) => "Schema mismatch",
            Error::InvalidSchema(_) => "Invalid schema",
            Error::IngestionFailed(_) => "Ingestion failed",
            Error::WriterClosed => "Writer closed",
            Error::BatchSchemaMismatch(_) => "Batch schema mismatch",
            Error::QueryFailed(_) => "Query failed",
            Error::SqlParse { .. } => "SQL parse error",
            Error::QueryCancelled(_) | Error::Interrupted => "Query cancelled",
            Error::SubscriptionFailed(_) => "Subscription failed",
            Error::SubscriptionClosed(_) => "Subscription closed",
            Error::SubscriptionTimeout(_) => "Subscription timeout",
            Error::SubscriptionLagged(_) => "Subscription lagged",
            Error::StreamFailed(_) => "Stream failed",
            Error::CheckpointFailed(_) => "Checkpoint failed",
            Error::ConnectorFailed(_) => "Connector failed",
            Error::Internal(_) => "Internal error",
            Error::Shutdown => "Shutdown",
            Error::Timeout(_) => "Timeout",
        }
    }

    /// The whole text as users see it: `Name (code): detail`; two texts stand alone.
    pub fn message(&self) -> String {
        match self {
            Error::ConnectionClosed | Error::WriterClosed => self.to_string(),
            _ => format!("{} ({}): {self}", self.name(), self.code()),
        }
    }

    /// The same failure as a statement reports it: in SQL, data that cannot be stored is a failed query (400).
    #[must_use]
    pub fn in_statement(self) -> Error {
        match self {
            Error::TableNotFound(_)
            | Error::SchemaMismatch(_)
            | Error::IngestionFailed(_)
            | Error::BatchSchemaMismatch(_) => Error::QueryFailed(self.to_string()),
            other => other,
        }
    }

    /// The same failure in a query that runs once: what cannot be maintained is then what cannot be answered.
    #[must_use]
    pub fn in_query(self) -> Error {
        match self {
            Error::StreamFailed(reason) => Error::QueryFailed(reason),
            other => other,
        }
    }
}

impl From<DataflowError> for Error {
    fn from(error: DataflowError) -> Error {
        match error {
            DataflowError::ShutDown => Error::Shutdown,
            DataflowError::TimedOut => Error::Timeout(error.to_string()),
            DataflowError::Cancelled => Error::Interrupted,
            // Between finding a view and reading it, it was dropped.
            DataflowError::UnknownView(_) => Error::QueryFailed("a view of the query was dropped meanwhile".to_owned()),
            // The engine stopped, or was asked for something that the session must not ask for.
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
    }
}
