//! The errors of planning a statement. The variant decides the error code that a caller of the session sees.

use datafusion::common::DataFusionError;

/// Says why a statement cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The text does not parse.
    #[error("{message} at line {line}, column {column}")]
    Syntax {
        /// Says what was found and what was expected.
        message: String,
        /// Line of the offending token, counted from 1.
        line: u64,
        /// Column of the offending token in characters, counted from 1.
        column: u64,
    },
    /// The text parses, but it names something unknown or ambiguous, has wrong types, or is an unsupported statement.
    #[error("{message}")]
    Invalid {
        /// Says what is wrong and names the object.
        message: String,
    },
    /// The query is valid, but it cannot be maintained incrementally with exact results.
    #[error("{construct} cannot be maintained incrementally{}{}", at(.position), hinted(.hint))]
    NotMaintainable {
        /// The part of the query that cannot be maintained.
        construct: String,
        /// Line and column of that part in the statement, if known.
        position: Option<(u64, u64)>,
        /// Says what to write instead, if there is an alternative.
        hint: Option<String>,
    },
    /// The statement defines columns that a relation cannot have.
    #[error("{message}")]
    InvalidSchema {
        /// Says what is wrong and names the column.
        message: String,
    },
    /// The statement asks for an external connector; none is supported.
    #[error("{message}")]
    Connector {
        /// Says what was asked for.
        message: String,
    },
    /// The call was cancelled while the statement was planned.
    #[error("the planning was interrupted")]
    Interrupted,
}

fn at(position: &Option<(u64, u64)>) -> String {
    position.map_or_else(String::new, |(line, column)| format!(" at line {line}, column {column}"))
}

fn hinted(hint: &Option<String>) -> String {
    hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"))
}

impl PlanError {
    /// Makes a [`PlanError::Invalid`] with `message`.
    pub fn invalid(message: impl Into<String>) -> Self {
        PlanError::Invalid { message: message.into() }
    }

    /// Makes a [`PlanError::InvalidSchema`] with `message`.
    pub fn schema(message: impl Into<String>) -> Self {
        PlanError::InvalidSchema { message: message.into() }
    }

    /// Makes a [`PlanError::NotMaintainable`] that names `construct`, without a position or hint.
    pub fn not_maintainable(construct: impl Into<String>) -> Self {
        PlanError::NotMaintainable { construct: construct.into(), position: None, hint: None }
    }
}

impl PlanError {
    /// Returns the error that was passed through DataFusion as `error`, if it is one of ours.
    pub fn inside(error: &DataFusionError) -> Option<&PlanError> {
        match error.find_root() {
            DataFusionError::External(inner) => inner.downcast_ref(),
            _ => None,
        }
    }

    /// Rewords the error for a query that runs once: a construct is "not supported" instead of "cannot be maintained".
    #[must_use]
    pub fn of_query(self) -> Self {
        match self {
            PlanError::NotMaintainable { construct, position, hint } => {
                PlanError::invalid(format!("{construct} is not supported{}{}", at(&position), hinted(&hint)))
            }
            other => other,
        }
    }
}

impl From<DataFusionError> for PlanError {
    /// Converts a DataFusion error. A `PlanError` that was passed through DataFusion is returned unchanged.
    fn from(error: DataFusionError) -> Self {
        PlanError::inside(&error).cloned().unwrap_or_else(|| PlanError::invalid(bare_message(&error)))
    }
}

impl From<PlanError> for DataFusionError {
    fn from(error: PlanError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// Returns the message of `error` on one line, without its error class, contexts and backtrace.
pub fn bare_message(error: &DataFusionError) -> String {
    let message = match error.find_root() {
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::Configuration(message)
        | DataFusionError::Internal(message) => message.clone(),
        DataFusionError::NotImplemented(message) => format!("not supported: {message}"),
        DataFusionError::ArrowError(inner, _) => arrow_message(inner),
        DataFusionError::SchemaError(inner, _) => inner.to_string(),
        other => other.to_string(),
    };
    // Both are parts of DataFusion's texts, of which it has no shorter form: it appends the back trace when it makes an
    // error, and the advice to report a bug when an error that wraps another is shown.
    let end = [DataFusionError::BACK_TRACE_SEP, ".\nThis issue was likely caused by a bug in DataFusion"]
        .into_iter()
        .filter_map(|end| message.find(end))
        .min();
    message[..end.unwrap_or(message.len())].trim().replace('\n', " ")
}

/// Returns the message of `error` without its error class.
pub(crate) fn arrow_message(error: &arrow::error::ArrowError) -> String {
    use arrow::error::ArrowError;
    match error {
        ArrowError::CastError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::ArithmeticOverflow(message)
        | ArrowError::InvalidArgumentError(message)
        | ArrowError::ParseError(message)
        | ArrowError::NotYetImplemented(message) => message.clone(),
        ArrowError::DivideByZero => "division by zero".to_owned(),
        other => other.to_string(),
    }
}
