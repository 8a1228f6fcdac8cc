//! `CallbackSubscription`: passes each batch to a function, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};

use laminardb_bridge::subscription::Next;
use laminardb_bridge::{Error, subscription as engine};
use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::listening::{Callback, Listener};
use super::{ChangeBatch, Feed, Handle};
use crate::detach::waited;
use crate::entrance::entered;
use crate::error::raised;
use crate::visible;

/// What a callback listens to, as shown in the repr.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// A query.
    Query,
    /// A relation.
    Stream,
}

/// Changes handed to a function by a thread of its own, one batch at a time.
///
/// The connection keeps it alive, whether or not the object is kept: it ends by `cancel()`, with the connection, or by
/// its own end. A connection that nothing but the functions of its callbacks can reach ends when Python collects
/// garbage. What the function raises goes to `on_error` as text; without `on_error` it ends the subscription, with a
/// line and the traceback on standard error.
///
/// The end of a `with` block cancels it and waits for a call that is under way, so that after the block the function
/// runs no more. On the callback's own thread it does not wait. Whoever holds a lock there that the function takes waits
/// for ever.
#[pyclass(frozen, module = "laminardb._laminardb", name = "CallbackSubscription")]
pub(crate) struct CallbackSubscription {
    source: Source,
    delivery: Arc<Delivery>,
    thread: ThreadId,
    /// Keeps the database open while the object exists. The thread has no handle: it could never be ended if it had the
    /// last.
    handle: Handle,
}

/// State shared by the thread and the object.
pub(super) struct Delivery {
    feed: Feed,
    stopped: AtomicBool,
    done: Mutex<bool>,
    changed: Condvar,
}

impl CallbackSubscription {
    /// Starts the delivery; `feed` makes the subscription once the functions are known to be callable.
    pub(crate) fn start(
        py: Python<'_>,
        source: Source,
        on_data: &Bound<'_, PyAny>,
        on_error: Option<&Bound<'_, PyAny>>,
        feed: impl FnOnce() -> PyResult<Feed>,
    ) -> PyResult<Self> {
        for (name, function) in [("on_data", Some(on_data)), ("on_error", on_error)] {
            if function.is_some_and(|function| !function.is_callable()) {
                return Err(PyTypeError::new_err(format!("{name} must be callable")));
            }
        }
        let (feed, handle) = feed()?.parted();
        feed.subscription.get(py)?.require_confirmation();
        let delivery = Arc::new(Delivery {
            feed,
            stopped: AtomicBool::new(false),
            done: Mutex::new(false),
            changed: Condvar::new(),
        });
        let callback = Bound::new(py, Callback::new(on_data, on_error, Arc::clone(&delivery)))?;
        let listener = handle.listening.add(&callback)?;
        let shared = Arc::clone(&delivery);
        let started = thread::Builder::new().name("laminardb-callback".to_owned()).spawn(move || shared.run(listener));
        match started {
            Ok(thread) => Ok(Self { source, delivery, thread: thread.thread().id(), handle }),
            Err(error) => {
                handle.listening.remove(&callback)?;
                Err(raised(py, &Error::SubscriptionFailed(format!("no thread for the callback: {error}"))))
            }
        }
    }
}

impl Delivery {
    /// Delivers until the subscription ends.
    fn run(&self, listener: Listener) {
        // The feed was made in this process, by the thread that started this one.
        if let Some(subscription) = self.feed.subscription.here() {
            while self.deliver(&listener, subscription, subscription.next(None)) {}
            // Nobody reads any more, so nothing may be kept, and who waits for a time must learn it.
            subscription.give_up();
        }
        self.stopped.store(true, Ordering::Release);
        // Drops the functions as well: who waits for the end may rely on it. If a set of Python fails, or the interpreter
        // has ended, they are dropped with the last handle.
        let _left = entered(|py| listener.leave(py));
        *self.done.lock() = true;
        self.changed.notify_all();
    }

    /// Delivers what came; returns whether more may come.
    fn deliver(&self, listener: &Listener, subscription: &engine::Subscription, next: Result<Next, Error>) -> bool {
        let going_on = match next {
            Ok(Next::TimedOut) => Some(true),
            Ok(Next::Ended) => Some(false),
            // When the interpreter ends, there is nothing to call.
            Ok(Next::Batch(batch)) => {
                let handled =
                    entered(|py| listener.callback(py).is_some_and(|callback| callback.get().call(py, batch)));
                if handled == Some(true) {
                    subscription.confirm();
                }
                handled
            }
            Err(error) => entered(|py| {
                if let Some(callback) = listener.callback(py) {
                    // An end that the engine reports was not raised by Python code, so there is no traceback.
                    callback.get().report(py, &error.message(), None);
                }
                false
            }),
        };
        going_on == Some(true) && !self.feed.is_cancelled()
    }

    /// Ends the subscription at once; may be called repeatedly.
    fn cancel(&self) {
        self.feed.cancel();
    }

    /// Ends the subscription, unless it has ended by itself, because nobody can reach its functions any more.
    pub(super) fn abandon(&self) {
        if !self.stopped.load(Ordering::Acquire) {
            self.cancel();
        }
    }

    fn is_active(&self) -> bool {
        // A forked child does not have the thread.
        self.feed.subscription.here().is_some() && !self.stopped.load(Ordering::Acquire) && !self.feed.is_cancelled()
    }
}

impl Callback {
    fn call(&self, py: Python<'_>, batch: engine::ChangeBatch) -> bool {
        let called = ChangeBatch::create(py, batch).and_then(|batch| self.on_data.call1(py, (batch,)));
        match called {
            Ok(_) => true,
            Err(error) => self.report(py, &summary(py, &error), Some(&error)),
        }
    }

    /// Calls `on_error`; returns whether it accepted the report.
    fn report(&self, py: Python<'_>, text: &str, error: Option<&PyErr>) -> bool {
        let Some(on_error) = &self.on_error else {
            warn(py, text, error);
            return false;
        };
        match on_error.call1(py, (text,)) {
            Ok(_) => true,
            Err(second) => {
                if let Some(first) = error {
                    second.set_context(py, Some(first.clone_ref(py)));
                }
                warn(py, &format!("{text}; on_error: {}", summary(py, &second)), Some(&second));
                false
            }
        }
    }
}

/// Formats the class and the message of an exception.
fn summary(py: Python<'_>, error: &PyErr) -> String {
    let class = error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    let text = error.value(py).str().map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned());
    format!("{class}: {text}")
}

/// Writes one line and the traceback of `error` to standard error, since the subscription ends and nobody else is told.
fn warn(py: Python<'_>, text: &str, error: Option<&PyErr>) {
    let line = format!("laminardb: callback subscription stopped: {}\n", visible::line(text));
    let written = py
        .import(intern!(py, "sys"))
        .and_then(|sys| sys.getattr(intern!(py, "stderr")))
        .and_then(|stderr| stderr.call_method1(intern!(py, "write"), (line,)));
    // If this failed, there is no other place to report it.
    drop(written);
    if let Some(error) = error {
        error.display(py);
    }
}

#[pymethods]
impl CallbackSubscription {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handle.traverse(&visit)
    }

    /// Whether more calls may come.
    #[getter]
    fn is_active(&self) -> bool {
        self.delivery.is_active()
    }

    /// The logical time through which everything was given to the function, whether or not it was a change.
    ///
    /// A batch counts when the function has returned, or `on_error` has accepted what it raised. The time goes on while
    /// other relations change. Until the snapshot was given it is 0, and then the time of the snapshot.
    #[getter]
    fn progress(&self, py: Python<'_>) -> PyResult<u64> {
        self.delivery.feed.progress(py)
    }

    /// Waits until the function has handled everything through the logical time `time`, and returns `progress`.
    ///
    /// `timeout` is in seconds, None waits for ever. `SubscriptionError` 502 when it passes, and 501 when the
    /// subscription ended or was cancelled before. The function itself cannot wait for its own batch: called in it, this
    /// raises 502 at once. `ValueError` when the timeout is negative, `OverflowError` when the time is.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> rows = []
    /// >>> with conn.subscribe_callback("SELECT a FROM t", rows.extend) as callback:
    /// ...     conn.insert("t", {"a": [1, 2]})
    /// ...     time = callback.wait_for(conn.wait(), timeout=60)
    /// 2
    /// >>> rows
    /// [(1,), (2,)]
    #[pyo3(signature = (time, timeout=None))]
    fn wait_for(&self, py: Python<'_>, time: u64, timeout: Option<f64>) -> PyResult<u64> {
        let own = thread::current().id() == self.thread;
        self.delivery.feed.wait_for(py, time, if own { Some(0.0) } else { timeout })
    }

    /// Ends the subscription: at once, from any thread, again if you like.
    fn cancel(&self) {
        self.delivery.cancel();
    }

    /// The same as `cancel()`. The end of a `with` block does more: see the class.
    fn close(&self) {
        self.delivery.cancel();
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.delivery.cancel();
        // A forked child does not have the thread.
        if self.delivery.feed.subscription.here().is_some() {
            self.wait(py)?;
        }
        Ok(false)
    }

    /// Waits until the last call of the function is over; returns at once when called in it.
    ///
    /// >>> callback = conn.subscribe_callback("SELECT 1 AS one", lambda batch: None)
    /// >>> callback.wait()  # a query without relations ends by itself
    /// >>> callback.is_active
    /// False
    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        if thread::current().id() == self.thread {
            return Ok(());
        }
        let delivery = &self.delivery;
        // A forked child does not have the thread.
        delivery.feed.subscription.get(py)?;
        waited(py, None, |limit| {
            let mut done = delivery.done.lock();
            match limit {
                None => delivery.changed.wait_while(&mut done, |done| !*done),
                Some(limit) => {
                    delivery.changed.wait_while_for(&mut done, |done| !*done, limit);
                }
            }
            done.then_some(())
        })?;
        Ok(())
    }

    fn __repr__(&self) -> String {
        let source = match self.source {
            Source::Query => "query",
            Source::Stream => "stream",
        };
        let state = if self.is_active() { "active" } else { "finished" };
        format!("CallbackSubscription({source}, {state})")
    }
}
