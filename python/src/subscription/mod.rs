//! Subscriptions: the classes that deliver the changes of a query.
//!
//! All of them are built on a [`Feed`]: one subscription of the engine, and the database that it keeps alive. Batches
//! are taken with the interpreter lock released.

mod asynchronous;
mod blocking;
mod callback;
mod change;
mod contexts;
mod listening;
mod notify;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use laminardb_bridge::subscription::{self as engine, Next};
use laminardb_bridge::{Database, Error};
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

pub(crate) use self::asynchronous::{AsyncStreamSubscription, AsyncSubscription, Opening};
pub(crate) use self::blocking::{StreamSubscription, Subscription};
pub(crate) use self::callback::{CallbackSubscription, Source};
pub(crate) use self::change::ChangeBatch;
pub(crate) use self::listening::Listening;
use crate::capsule::pyarrow_schema;
use crate::detach::{detached, waited};
use crate::error::{checked, raised};
use crate::fork::Owned;

/// Keeps a database open.
pub(crate) struct Handle {
    _database: Owned<Arc<Database>>,
    listening: Listening,
}

impl Handle {
    /// Shows the garbage collector what the handle holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.listening.traverse(visit)
    }
}

/// A subscription and the database that it belongs to.
pub(crate) struct Feed {
    subscription: Owned<engine::Subscription>,
    /// Keeps the database open while the feed is used; `None` if the caller has taken this over.
    handle: Option<Handle>,
    cancelled: AtomicBool,
}

impl Feed {
    /// Makes a feed of `subscription`.
    pub(crate) fn new(subscription: engine::Subscription, database: Arc<Database>, listening: Listening) -> Self {
        Self {
            subscription: Owned::new(subscription),
            handle: Some(Handle { _database: Owned::new(database), listening }),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Shows the garbage collector what the feed holds, which must not change once Python has the feed's object.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handle.as_ref().map_or(Ok(()), |handle| handle.traverse(visit))
    }

    /// Passes the handle of a new feed to the caller, who then must keep the database open.
    fn parted(mut self) -> (Self, Handle) {
        let handle = self.handle.take().expect("a new feed has its handle");
        (self, handle)
    }

    fn is_active(&self) -> bool {
        self.subscription.here().is_some_and(engine::Subscription::is_active)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        if let Some(subscription) = self.subscription.here() {
            subscription.cancel();
        }
    }

    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, self.subscription.get(py)?.schema())
    }

    /// Returns the schema; raises an exception after a cancel, as some of the classes do.
    fn schema_unless_cancelled<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.is_cancelled() {
            return Err(PyRuntimeError::new_err("the subscription was cancelled"));
        }
        self.schema(py)
    }

    /// Calls [`Feed::next`] with a timeout in milliseconds.
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.next(py, Some(Duration::from_millis(timeout_ms)))
    }

    /// Returns the next batch, or `None` at the end; raises exception 502 when `timeout` passes.
    fn next(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Py<ChangeBatch>>> {
        let subscription = self.subscription.get(py)?;
        let met = waited(py, timeout, |limit| match subscription.next(limit) {
            Ok(Next::TimedOut) => None,
            other => Some(other),
        })?;
        match met {
            Some(next) => handed(py, checked(py, next)?),
            None => {
                let millis = timeout.unwrap_or_default().as_millis();
                Err(raised(py, &Error::SubscriptionTimeout(format!("timeout: no changes within {millis} ms"))))
            }
        }
    }

    /// Returns the next batch if there is one.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        let subscription = self.subscription.get(py)?;
        let next = detached(py, || subscription.try_next());
        handed(py, checked(py, next)?)
    }

    /// Returns `active`, `finished`, or after a cancel the word `cancelled` that the class uses for it.
    fn state(&self, cancelled: &'static str) -> &'static str {
        if self.is_active() {
            "active"
        } else if self.is_cancelled() {
            cancelled
        } else {
            "finished"
        }
    }
}

/// Returns the module with the asyncio half of the classes.
fn aio(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "laminardb._aio"))
}

fn handed(py: Python<'_>, next: Next) -> PyResult<Option<Py<ChangeBatch>>> {
    match next {
        Next::Batch(batch) => ChangeBatch::create(py, batch).map(Some),
        Next::TimedOut | Next::Ended => Ok(None),
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.cancel();
    }
}
