//! Subscriptions: the classes that hand the changes of a query out.
//!
//! A [`Feed`] is what all of them stand on: one subscription of the engine, and the session that it keeps alive.
//! Batches are taken with the interpreter lock released.

mod asynchronous;
mod blocking;
mod callback;
mod change;
mod listening;
mod notify;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use laminardb_bridge::subscription::{self as engine, Next};
use laminardb_bridge::{Error, Session};
use pyo3::exceptions::PyRuntimeError;
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

/// What keeps a database open.
pub(crate) struct Handle {
    _session: Owned<Session>,
    listening: Arc<Listening>,
}

/// One subscription, and the session that it belongs to.
pub(crate) struct Feed {
    subscription: Owned<engine::Subscription>,
    /// Keeps the database open while somebody listens; None when somebody else does.
    handle: Option<Handle>,
    cancelled: AtomicBool,
}

impl Feed {
    /// The feed of `subscription`.
    pub(crate) fn new(subscription: engine::Subscription, session: Session, listening: Arc<Listening>) -> Self {
        Self {
            subscription: Owned::new(subscription),
            handle: Some(Handle { _session: Owned::new(session), listening }),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Leaves it to the caller to keep the database open.
    fn parted(mut self) -> (Self, Option<Handle>) {
        let handle = self.handle.take();
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

    /// The schema, for the classes that refuse it after a cancel.
    fn schema_unless_cancelled<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.is_cancelled() {
            return Err(PyRuntimeError::new_err("the subscription was cancelled"));
        }
        self.schema(py)
    }

    /// [`Feed::next`] for at most so many milliseconds.
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.next(py, Some(Duration::from_millis(timeout_ms)))
    }

    /// The next batch, None at the end, or the exception 502 when `timeout` passes.
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

    /// The next batch if it is there.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        let subscription = self.subscription.get(py)?;
        let next = detached(py, || subscription.try_next());
        handed(py, checked(py, next)?)
    }

    /// `active`, or the word for an end that nobody asked for, or `cancelled`.
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
