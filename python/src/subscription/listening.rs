//! The callbacks of one database, which live as long as anybody has a handle of it.
//!
//! The functions of a callback may hold a handle themselves, and then only Python's garbage collector can tell that
//! nobody else does. So the collector sees every reference: a handle holds a set of Python's, the set holds the
//! callbacks, and a callback holds its functions. What a handle or a callback holds never changes, so that all steps of
//! one collection see the same.
//!
//! The thread of a callback has references to nothing but Python's weak references while it waits. The collector clears
//! them before it takes garbage apart, so a thread finds its callback whole or not at all. (A reference that the
//! collector did not know could give the thread a function whose module is gone already, which ends the process.)

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PySet, PyWeakrefMethods, PyWeakrefReference};

use super::callback::Delivery;

/// Held by every handle of a database: the connection, its writers, subscriptions and iterators. All share one set of
/// [`Callback`]s.
pub(crate) struct Listening(Py<PySet>);

impl Listening {
    /// Makes the set of a new database, without callbacks.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self(PySet::empty(py)?.unbind()))
    }

    /// Returns the same set for another handle.
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }

    /// Shows the garbage collector what the handle holds.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }

    /// Adds `callback`, which from now on lives until the last handle is dropped or its thread leaves; returns what the
    /// thread needs.
    pub(super) fn add(&self, callback: &Bound<'_, Callback>) -> PyResult<Listener> {
        let set = self.0.bind(callback.py());
        let listener = Listener {
            set: PyWeakrefReference::new(set)?.unbind(),
            callback: PyWeakrefReference::new(callback)?.unbind(),
        };
        set.add(callback)?;
        Ok(listener)
    }

    /// Takes a callback out of the set that has no thread.
    pub(super) fn remove(&self, callback: &Bound<'_, Callback>) -> PyResult<()> {
        self.0.bind(callback.py()).discard(callback).map(drop)
    }
}

/// The functions of a subscription. Its thread and the set of its database are all that refer to it, so when it is
/// dropped nobody can reach it any more, and the subscription ends.
#[pyclass(frozen, weakref, module = "laminardb._laminardb", name = "_Callback")]
pub(super) struct Callback {
    /// Called with each batch.
    pub(super) on_data: Py<PyAny>,
    /// Called with the text of an error.
    pub(super) on_error: Option<Py<PyAny>>,
    delivery: Arc<Delivery>,
}

impl Callback {
    /// Makes the callback of `delivery`.
    pub(super) fn new(
        on_data: &Bound<'_, PyAny>,
        on_error: Option<&Bound<'_, PyAny>>,
        delivery: Arc<Delivery>,
    ) -> Self {
        let on_error = on_error.map(|function| function.clone().unbind());
        Self { on_data: on_data.clone().unbind(), on_error, delivery }
    }
}

#[pymethods]
impl Callback {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.on_data)?;
        visit.call(&self.on_error)
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.delivery.abandon();
    }
}

/// How the thread of a callback finds it.
pub(super) struct Listener {
    set: Py<PyWeakrefReference>,
    callback: Py<PyWeakrefReference>,
}

impl Listener {
    /// Returns the callback, which lives at least as long as the caller holds it; `None` if nobody can reach it any more.
    pub(super) fn callback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Callback>> {
        self.callback.bind(py).upgrade_as().ok().flatten()
    }

    /// Takes the callback out of the set, because it will not be called again.
    pub(super) fn leave(self, py: Python<'_>) -> PyResult<()> {
        let set = self.set.bind(py).upgrade_as::<PySet>()?;
        if let (Some(set), Some(callback)) = (set, self.callback(py)) {
            set.discard(callback)?;
        }
        Ok(())
    }
}
