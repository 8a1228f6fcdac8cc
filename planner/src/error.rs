//! What can be wrong with a statement; the kind decides the code a caller of the session sees.

use datafusion::common::DataFusionError;

/// A statement that cannot be carried out, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The text does not parse.
    #[error("{message} at line {line}, column {column}")]
    Syntax {
        /// What was found and what was expected.
        message: String,
        /// Line of the offending token, from 1.
        line: u64,
        /// Column of the offending token in characters, from 1.
        column: u64,
    },
    /// It parses, but names something unknown or ambiguous, has wrong types, or is a statement not supported.
    #[error("{message}")]
    Invalid {
        /// What is wrong, naming the object.
        message: String,
    },
    /// A valid query that cannot be maintained exactly.
    #[error("{construct} cannot be maintained incrementally{}{}", at(.position), hinted(.hint))]
    NotMaintainable {
        /// The part of the query.
        construct: String,
        /// Its line and column in the statement, where known.
        position: Option<(u64, u64)>,
        /// What to write instead, if there is something.
        hint: Option<String>,
    },
    /// Columns that a relation cannot have.
    #[error("{message}")]
    InvalidSchema {
        /// What is wrong, naming the column.
        message: String,
    },
    /// Needs an external connector, of which there are none.
    #[error("{message}")]
    Connector {
        /// What was asked for.
        message: String,
    },
}

fn at(position: &Option<(u64, u64)>) -> String {
    position.map_or_else(String::new, |(line, column)| format!(" at line {line}, column {column}"))
}

fn hinted(hint: &Option<String>) -> String {
    hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"))
}

impl PlanError {
    /// [`PlanError::Invalid`] of `message`.
    pub fn invalid(message: impl Into<String>) -> Self {
        PlanError::Invalid { message: message.into() }
    }

    /// [`PlanError::InvalidSchema`] of `message`.
    pub fn schema(message: impl Into<String>) -> Self {
        PlanError::InvalidSchema { message: message.into() }
    }

    /// [`PlanError::NotMaintainable`] naming `construct` only.
    pub fn not_maintainable(construct: impl Into<String>) -> Self {
        PlanError::NotMaintainable { construct: construct.into(), position: None, hint: None }
    }
}

impl PlanError {
    /// The error in the words of a query that runs once, of which nothing is maintained.
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
    /// An error of ours that passed through DataFusion comes out as it went in.
    fn from(error: DataFusionError) -> Self {
        if let DataFusionError::External(inner) = error.find_root()
            && let Some(ours) = inner.downcast_ref::<PlanError>()
        {
            return ours.clone();
        }
        PlanError::invalid(bare_message(&error))
    }
}

impl From<PlanError> for DataFusionError {
    fn from(error: PlanError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// The message of `error` alone: without its class, contexts, and backtrace.
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
    let end = [DataFusionError::BACK_TRACE_SEP, ".\nThis issue was likely caused by a bug in DataFusion"]
        .into_iter()
        .filter_map(|end| message.find(end))
        .min();
    message[..end.unwrap_or(message.len())].trim().replace('\n', " ")
}

/// The message of `error` without its class.
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
