//! Calls that a coroutine awaits: each runs on a thread of its own while the event loop goes on.
//!
//! `laminardb/_aio.py` has the coroutine. A [`Job`] is one call: it has a token that ends what the call waits for, and
//! tells the event loop when the call has ended. Cancelling never gives up a call: whoever cancels waits for its end.

mod pool;

use std::cell::RefCell;
use std::sync::Arc;
use std::{io, process};

use laminardb_bridge::{CancelToken, Error};
use parking_lot::Mutex;
use pyo3::exceptions::{PyBaseException, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use self::pool::Pool;
use crate::detach::detached;
use crate::entrance::is_open;
use crate::error::raised;

thread_local! {
    /// The token of the call that this thread runs, with its process: a forked child must not wait with it.
    static TOKEN: RefCell<Option<(u32, CancelToken)>> = const { RefCell::new(None) };
}

/// Returns the token of the awaited call that runs on this thread, if one does.
pub(crate) fn running() -> Option<CancelToken> {
    TOKEN.with_borrow(|token| match token {
        Some((process, token)) if *process == process::id() => Some(token.clone()),
        _ => None,
    })
}

/// Cancels all calls, and ends the threads when theirs have ended; for the end of the interpreter.
pub(crate) fn end_all() {
    Pool::here().close();
}

/// One call on a thread of the pool, which starts at once.
///
/// `future` is resolved in the event loop `loop` when the call has ended. `RuntimeError` when there is no thread for
/// it, or the interpreter is about to end.
#[pyclass(frozen, module = "laminardb._laminardb", name = "_Job")]
pub(crate) struct Job {
    process: u32,
    call: Arc<Call>,
}

/// What the thread shares with the coroutine.
struct Call {
    cancel: CancelToken,
    /// Locked by threads that are attached to the interpreter and run no Python code meanwhile, so never while the
    /// garbage collector runs.
    state: Mutex<State>,
}

enum State {
    /// The call goes on; the future is to be resolved in the event loop.
    Running { event_loop: Py<PyAny>, future: Py<PyAny> },
    /// The call has ended, and its result was not taken yet.
    Ended(Result<Py<PyAny>, Py<PyBaseException>>),
    /// The result was taken.
    Taken,
}

/// A function with its arguments.
struct Function {
    function: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Py<PyDict>,
}

impl Call {
    /// Makes the call, unless there is no thread for it or it was cancelled before, and tells the event loop.
    fn run(&self, py: Python<'_>, thread: io::Result<()>, function: Function) {
        let result = if let Err(error) = thread {
            Err(no_thread(&error))
        } else if self.cancel.is_cancelled() {
            Err(raised(py, &Error::Interrupted))
        } else {
            TOKEN.set(Some((process::id(), self.cancel.clone())));
            let result = function.function.bind(py).call(function.args.bind(py), Some(function.kwargs.bind(py)));
            TOKEN.set(None);
            result.map(Bound::unbind)
        };
        // Dropped before the event loop is told, so that the awaiting task holds the last references.
        drop(function);
        // Made an object before the lock is taken, since that may run Python code.
        let ended = State::Ended(result.map_err(|error| error.into_value(py)));
        let before = std::mem::replace(&mut *self.state.lock(), ended);
        if let State::Running { event_loop, future } = before {
            // An event loop that is closed has nothing left to wake.
            let _told = resolve(py, event_loop.bind(py), future.bind(py));
        }
    }
}

fn no_thread(error: &io::Error) -> PyErr {
    PyRuntimeError::new_err(format!("no thread for the call: {error}"))
}

/// Makes an event loop resolve a future of its own; may be called on any thread.
fn resolve(py: Python<'_>, event_loop: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    let resolve = py.import(intern!(py, "laminardb._aio"))?.getattr(intern!(py, "resolve"))?;
    event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (resolve, future)).map(drop)
}

#[pymethods]
impl Job {
    /// Shows the garbage collector what the call has left for the coroutine. A call that goes on is held by its thread.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.call.state.try_lock().as_deref() {
            Some(State::Ended(Ok(value))) => visit.call(value),
            Some(State::Ended(Err(error))) => visit.call(error),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let mut state = self.call.state.lock();
        let left = matches!(*state, State::Ended(_)).then(|| std::mem::replace(&mut *state, State::Taken));
        // Dropped without the lock, since it may run Python code.
        drop(state);
        drop(left);
    }

    #[new]
    #[pyo3(signature = (event_loop, future, function, args, kwargs, /))]
    fn new(
        event_loop: Py<PyAny>,
        future: Py<PyAny>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Py<PyDict>,
    ) -> PyResult<Self> {
        if !is_open() {
            return Err(PyRuntimeError::new_err("no call can be awaited: the interpreter is about to end"));
        }
        let pool = Pool::here();
        let state = Mutex::new(State::Running { event_loop, future });
        let call = Arc::new(Call { cancel: pool.ending().child(), state });
        let (shared, function) = (Arc::clone(&call), Function { function, args, kwargs });
        pool.run(Box::new(move |py, thread| shared.run(py, thread, function))).map_err(|error| no_thread(&error))?;
        Ok(Self { process: process::id(), call })
    }

    /// Ends what the call waits for; a call that has not started yet never does.
    fn cancel(&self, py: Python<'_>) {
        // A forked child has no such call, and the locks of the token may be locked for ever.
        if self.process == process::id() {
            detached(py, || self.call.cancel.cancel());
        }
    }

    /// Resolves `future`, in place of the one given before, when the call has ended; gives False if it has already.
    fn _wakes(&self, future: Py<PyAny>) -> bool {
        let mut state = self.call.state.lock();
        let replaced = match &mut *state {
            State::Running { future: waiting, .. } => Some(std::mem::replace(waiting, future)),
            State::Ended(_) | State::Taken => None,
        };
        // Dropping a future may run Python code, which must not happen with the lock held.
        drop(state);
        replaced.is_some()
    }

    /// What the function has returned, or raises what it has raised; to be called once, after the end.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut state = self.call.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Ended(result) => result.map_err(|error| PyErr::from_value(error.into_bound(py).into_any())),
            other => {
                *state = other;
                Err(PyRuntimeError::new_err("the call has not ended, or its result was taken already"))
            }
        }
    }
}
