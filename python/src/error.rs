//! The exceptions of the package, and the only place that converts an engine error into one of them.
//!
//! Every exception has an int `code`: the class has the default, an instance its own. The hundreds of the code select
//! the class, and the text is [`Error::message`].

use laminardb_bridge::Error;
use pyo3::exceptions::{PyBaseException, PyImportError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{create_exception, intern};

use crate::visible;

create_exception!(laminardb, LaminarError, pyo3::exceptions::PyException, "Base class of all laminardb errors.");
create_exception!(laminardb, ConnectionError, LaminarError, "A connection cannot be made, is closed or is in use.");
create_exception!(laminardb, QueryError, LaminarError, "A statement is wrong, fails or was cancelled.");
create_exception!(laminardb, IngestionError, LaminarError, "Rows cannot be stored as they are.");
create_exception!(laminardb, SchemaError, LaminarError, "A relation is missing, exists already or has a wrong schema.");
create_exception!(laminardb, SubscriptionError, LaminarError, "A subscription fails, lags, is closed or timed out.");
create_exception!(laminardb, StreamError, LaminarError, "A query cannot be maintained, or a maintained view failed.");
create_exception!(laminardb, CheckpointError, LaminarError, "A checkpoint cannot be taken or restored.");
create_exception!(laminardb, ConnectorError, LaminarError, "An external connector is asked for or fails.");

/// The constants of `laminardb.codes`.
const CODES: [(&str, u16); 24] = [
    ("CONNECTION_FAILED", 100),
    ("CONNECTION_CLOSED", 101),
    ("CONNECTION_IN_USE", 102),
    ("TABLE_NOT_FOUND", 200),
    ("TABLE_EXISTS", 201),
    ("SCHEMA_MISMATCH", 202),
    ("INVALID_SCHEMA", 203),
    ("INGESTION_FAILED", 300),
    ("WRITER_CLOSED", 301),
    ("BATCH_SCHEMA_MISMATCH", 302),
    ("QUERY_FAILED", 400),
    ("SQL_PARSE_ERROR", 401),
    ("QUERY_CANCELLED", 402),
    ("SUBSCRIPTION_FAILED", 500),
    ("SUBSCRIPTION_CLOSED", 501),
    ("SUBSCRIPTION_TIMEOUT", 502),
    ("SUBSCRIPTION_LAGGED", 503),
    ("STREAM_FAILED", 600),
    ("CHECKPOINT_FAILED", 700),
    ("CONNECTOR_FAILED", 800),
    ("INTERNAL_ERROR", 900),
    ("SHUTDOWN", 901),
    ("TIMEOUT", 902),
    ("MEMORY_LIMIT", 903),
];

/// Converts `error` into an exception.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let text = visible::lines(&error.message());
    let code = error.code();
    let exception = match code / 100 {
        1 => ConnectionError::new_err(text),
        2 => SchemaError::new_err(text),
        3 => IngestionError::new_err(text),
        4 => QueryError::new_err(text),
        5 => SubscriptionError::new_err(text),
        6 => StreamError::new_err(text),
        7 => CheckpointError::new_err(text),
        8 => ConnectorError::new_err(text),
        _ => LaminarError::new_err(text),
    };
    match mark(exception.value(py), error) {
        Ok(()) => exception,
        Err(failure) => failure,
    }
}

/// Sets the code of an exception, and whether a constraint was violated, by which `laminardb.dbapi` selects a class.
fn mark(exception: &Bound<'_, PyBaseException>, error: &Error) -> PyResult<()> {
    let py = exception.py();
    if matches!(error, Error::ConstraintViolated(_)) {
        exception.setattr(intern!(py, "_violates_constraint"), true)?;
    }
    exception.setattr(intern!(py, "code"), error.code())
}

/// Converts the error of `result` into an exception.
pub(crate) fn checked<T>(py: Python<'_>, result: Result<T, Error>) -> PyResult<T> {
    result.map_err(|error| raised(py, &error))
}

/// Imports an optional library; if it is missing, the error names the extra that installs it.
pub(crate) fn optional<'py>(py: Python<'py>, library: &str) -> PyResult<Bound<'py, PyModule>> {
    py.import(library).map_err(|error| {
        if !error.is_instance_of::<PyImportError>(py) {
            return error;
        }
        let missing = PyImportError::new_err(format!(
            "{library} is needed here and is not installed: pip install laminardb[{library}]"
        ));
        missing.set_cause(py, Some(error));
        missing
    })
}

/// Adds the exception classes with their default codes, and the module `codes`.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let classes: [(Bound<'_, PyType>, u16); 9] = [
        (py.get_type::<LaminarError>(), 900),
        (py.get_type::<ConnectionError>(), 100),
        (py.get_type::<QueryError>(), 400),
        (py.get_type::<IngestionError>(), 300),
        (py.get_type::<SchemaError>(), 203),
        (py.get_type::<SubscriptionError>(), 500),
        (py.get_type::<StreamError>(), 600),
        (py.get_type::<CheckpointError>(), 700),
        (py.get_type::<ConnectorError>(), 800),
    ];
    for (class, default) in classes {
        class.setattr("code", default)?;
        module.add(class.name()?, &class)?;
    }
    let codes = PyModule::new(py, "codes")?;
    codes.setattr("__doc__", "The numbers of `LaminarError.code`.")?;
    for (constant, number) in CODES {
        codes.add(constant, number)?;
    }
    module.add("codes", codes)
}
