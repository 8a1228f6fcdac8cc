//! Which transaction the calls of a context are part of: Python's `contextvars` say it.
//!
//! A context belongs to a thread or a task; tasks and functions that are started from it have copies. `BEGIN` and a
//! `with` block put a mark into the variable `laminardb._context.TRANSACTIONS` of their context, by which later calls
//! find the transaction.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use laminardb_bridge::{Database, DatabaseState, Transaction};
use parking_lot::Mutex;
use pyo3::exceptions::PyResourceWarning;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::fork::Owned;

/// A transaction that Python objects hold. When the last of them is dropped before the transaction has ended, it is
/// rolled back with a `ResourceWarning`.
pub(crate) struct Held {
    transaction: Arc<Transaction>,
    /// Whether `close()` of an object has rolled it back.
    closed: AtomicBool,
}

impl Held {
    /// Makes the common handle of `transaction` for all objects that hold it.
    pub(crate) fn new(transaction: Arc<Transaction>) -> Arc<Self> {
        Arc::new(Self { transaction, closed: AtomicBool::new(false) })
    }

    /// Returns the transaction.
    pub(crate) fn transaction(&self) -> &Arc<Transaction> {
        &self.transaction
    }

    /// Rolls the transaction back, because its object is closed.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Fails only if the transaction has ended before.
        let _ended = self.transaction.rollback();
    }

    /// Returns whether `close()` of an object has rolled the transaction back.
    pub(crate) fn was_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns whether the transaction is open and is one of `database`.
    fn is_open_in(&self, database: &Arc<Database>) -> bool {
        Arc::ptr_eq(self.transaction.database(), database) && self.transaction.is_open()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let usable = matches!(self.transaction.database().state(), DatabaseState::Created | DatabaseState::Running);
        if !usable || !self.transaction.is_open() {
            return;
        }
        // Fails only if the transaction has ended meanwhile.
        let _ended = self.transaction.rollback();
        // When the interpreter ends, there is nobody to warn.
        let _warned = crate::entrance::entered(|py| {
            // An object may be dropped while an exception is being raised, which the warning must not touch.
            let raised = PyErr::take(py);
            let text = c"a transaction was dropped before its end, and rolled back: commit() or roll it back";
            if let Err(error) = PyErr::warn(py, &py.get_type::<PyResourceWarning>(), text, 1) {
                error.write_unraisable(py, None);
            }
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}

/// The transaction that `BEGIN` began on a connection, for the context that it was begun in.
///
/// The connection holds it, so that dropping the connection ends it; the mark in the context ends it when the context
/// and all its copies are gone, since nobody could commit it then. At most one is open, as in the whole database.
#[derive(Default)]
pub(crate) struct Begun(Mutex<Option<Arc<Held>>>);

impl Begun {
    /// Holds `held` from now on.
    pub(crate) fn hold(&self, held: Arc<Held>) {
        let before = self.0.lock().replace(held);
        drop(before);
    }

    /// Stops holding `held`, if that is what it holds.
    fn forget(&self, held: &Weak<Held>) {
        let forgotten = self.0.lock().take_if(|known| std::ptr::eq(Arc::as_ptr(known), held.as_ptr()));
        // Dropped without the lock: it may warn, which runs Python code.
        drop(forgotten);
    }
}

/// A transaction in a context. Copies of the context share it.
#[pyclass(frozen, module = "laminardb._laminardb", name = "_OpenTransaction")]
pub(crate) struct OpenTransaction(Owned<Mark>);

struct Mark {
    held: Weak<Held>,
    /// Set if nothing but the context can end the transaction.
    begun: Option<Weak<Begun>>,
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.as_ref().and_then(Weak::upgrade) {
            begun.forget(&self.held);
        }
    }
}

/// Returns the open transaction of `database` that the calling context is part of.
pub(crate) fn transaction(py: Python<'_>, database: &Arc<Database>) -> PyResult<Option<Arc<Held>>> {
    if !database.has_transaction() {
        return Ok(None);
    }
    for mark in marks(py)?.iter() {
        let mark = mark.cast::<OpenTransaction>()?.get();
        let held = mark.0.here().and_then(|mark| mark.held.upgrade());
        if let Some(held) = held.filter(|held| held.is_open_in(database)) {
            return Ok(Some(held));
        }
    }
    Ok(None)
}

/// Makes the calling context part of `held`. If `begun` is given, the transaction ends with the context.
pub(crate) fn enter(py: Python<'_>, held: &Arc<Held>, begun: Option<&Arc<Begun>>) -> PyResult<()> {
    let mark = Mark { held: Arc::downgrade(held), begun: begun.map(Arc::downgrade) };
    let mark = Bound::new(py, OpenTransaction(Owned::new(mark)))?;
    set_marks(py, Some(mark.into_any()))
}

/// Forgets the transactions of the calling context that have ended.
pub(crate) fn leave_ended(py: Python<'_>) -> PyResult<()> {
    if marks(py)?.is_empty() { Ok(()) } else { set_marks(py, None) }
}

/// Returns what the running thread or task is called, for those who wait for its transaction.
pub(crate) fn caller(py: Python<'_>) -> PyResult<String> {
    module(py)?.call_method0(intern!(py, "caller"))?.extract()
}

/// Sets the marks of the calling context to those that are open, and `more`.
fn set_marks(py: Python<'_>, more: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    let known = marks(py)?;
    let is_open = |mark: &Bound<'_, PyAny>| {
        let held = mark.cast::<OpenTransaction>().ok().and_then(|mark| mark.get().0.here()?.held.upgrade());
        held.is_some_and(|held| held.transaction.is_open())
    };
    let kept: Vec<Bound<'_, PyAny>> = known.iter().filter(is_open).chain(more).collect();
    variable(py)?.call_method1(intern!(py, "set"), (PyTuple::new(py, kept)?,)).map(drop)
}

fn marks(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    Ok(variable(py)?.call_method0(intern!(py, "get"))?.cast_into()?)
}

fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let variable = VARIABLE.get_or_try_init(py, || module(py)?.getattr("TRANSACTIONS").map(Bound::unbind))?;
    Ok(variable.bind(py))
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "laminardb._context"))
}
