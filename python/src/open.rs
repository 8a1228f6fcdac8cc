//! `open()` and `connect()`, which make connections.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::config::LaminarConfig;
use crate::session::Connection;

/// Opens a database in memory, private to the connection.
///
/// `path` is `":memory:"`, or any path: durability is not built yet, and a path behaves as memory, but that
/// checkpoints go there. `config` is a `LaminarConfig`. `TypeError` for other values.
///
/// >>> with laminardb.open(":memory:") as db:
/// ...     print(db)
/// Connection(open)
#[pyfunction]
#[pyo3(signature = (path, *, config=None))]
pub(crate) fn open(py: Python<'_>, path: PathBuf, config: Option<PyRef<'_, LaminarConfig>>) -> PyResult<Connection> {
    // Durability is not built yet: every path is a private database in memory; only checkpoints go there.
    let in_memory = path.as_os_str().is_empty() || path.as_os_str() == ":memory:";
    Connection::open(py, (!in_memory).then_some(path), config.as_deref())
}

/// Opens a database by its address.
///
/// Remote connections are not built yet: every address gives a private database in memory.
///
/// >>> laminardb.connect("laminar://localhost:5432/mydb").close()
#[pyfunction]
pub(crate) fn connect(py: Python<'_>, uri: &str) -> PyResult<Connection> {
    // Remote connections are not built yet: every address is a private database in memory.
    let _reserved = uri;
    Connection::open(py, None, None)
}
