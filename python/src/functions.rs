//! Lists the functions that SQL can call, for the test that calls all of them.

use laminardb_bridge::registry;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The names of the functions of each kind, with those that are other names of the same.
#[pyfunction(name = "_functions")]
pub(crate) fn functions(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let names = PyDict::new(py);
    names.set_item("scalar", registry().scalar_names())?;
    names.set_item("aggregate", registry().aggregate_names())?;
    names.set_item("window", registry().window_names())?;
    Ok(names)
}
