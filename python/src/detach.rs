//! Runs the calls of the engine with the interpreter lock released.
//!
//! Nothing waits for the engine, a lock, the disk or a thread while attached to the interpreter. Only the main thread
//! receives signals: its waits check for them every [`SIGNAL_CHECK`], so Ctrl-C ends a wait as `KeyboardInterrupt`. A
//! thread that makes a call for an awaitable ends its waits when that is cancelled. Other threads wait without
//! interruption. A panic of the engine becomes a Python exception of this package.
//!
//! | the call | goes through |
//! |---|---|
//! | ends soon | [`detached`] |
//! | waits in steps of a given length | [`waited`] |
//! | waits without holding a lock, until its token is cancelled | [`attentive`] |
//! | works long, perhaps holding locks, until its token is cancelled | [`interruptible`] |
//! | handles many rows without detaching | [`look`] |
//! | must run to its end, even if nobody waits for it any more | [`abandonable`] |
#![expect(clippy::disallowed_methods, reason = "this is where the lock is released, and where waits have deadlines")]

use std::cell::Cell;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use laminardb_bridge::{CancelToken, Error, caught};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::awaiting::running;
use crate::error::raised;

/// The longest time that a wait on the main thread goes without checking for signals.
///
/// CPython only notes that a signal came, and runs its handler when the main thread checks for signals. Nothing wakes a
/// thread that waits in native code, so this is the one wait that has to poll.
const SIGNAL_CHECK: Duration = Duration::from_millis(40);

/// Stack size of the thread that runs a long call: as on a main thread, for deeply nested queries.
const STACK: usize = 8 << 20;

/// Number of rows that a loop handles while attached before it checks for signals.
const ROWS: usize = 1 << 14;

thread_local! {
    /// Whether this is the main thread, once that is known, and the process in which it is: the thread that forks is the
    /// main one of the child.
    static IS_MAIN: Cell<Option<(bool, u32)>> = const { Cell::new(None) };
}

/// Does what [`heard`] does once every [`ROWS`] rows; `rows` is the number handled by a loop that makes or
/// reads Python values.
pub(crate) fn look(py: Python<'_>, rows: usize) -> PyResult<()> {
    if rows % ROWS == ROWS - 1 { heard(py) } else { Ok(()) }
}

/// Checks for signals and cancellation, and lets other threads run; for a loop with few steps that may each take long.
pub(crate) fn heard(py: Python<'_>) -> PyResult<()> {
    // Native code that makes or reads values never gives the interpreter away by itself, as Python code does.
    py.detach(|| ());
    interruption(py)
}

/// Raises the exception of a signal handler on the main thread, and [`Error::Interrupted`] in a cancelled call of an
/// awaitable.
fn interruption(py: Python<'_>) -> PyResult<()> {
    if running().is_some_and(|cancel| cancel.is_cancelled()) {
        return Err(raised(py, &Error::Interrupted));
    }
    py.check_signals()
}

/// Runs `work` with the interpreter lock released; `work` must not wait indefinitely.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(work)
}

/// Waits until `step` returns a value, at most for `timeout`; returns `None` when the time is over.
///
/// `step` receives the time that it may wait, and returns `None` when that has passed.
pub(crate) fn waited<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut step: impl FnMut(Option<Duration>) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    // A time too far away to be represented means no limit.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let slice = (running().is_some() || on_main_thread(py)?).then_some(SIGNAL_CHECK);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let may_wait = match (slice, left) {
            (Some(slice), Some(left)) => Some(slice.min(left)),
            (slice, left) => slice.or(left),
        };
        if let Some(value) = py.detach(|| step(may_wait)) {
            return Ok(Some(value));
        }
        interruption(py)?;
        if left.is_some_and(|left| may_wait.is_some_and(|waited| waited >= left)) {
            return Ok(None);
        }
    }
}

/// Runs `work`, which waits without holding a lock, and ends when the token that it receives is cancelled.
pub(crate) fn attentive<T: Send>(py: Python<'_>, work: impl FnOnce(&CancelToken) -> T + Send) -> PyResult<T> {
    if let Some(cancel) = running() {
        return whole(py, py.detach(|| caught(|| work(&cancel))));
    }
    // A thread other than the main one may still wait when the interpreter has ended, so it must not attach to poll.
    if !on_main_thread(py)? {
        return whole(py, py.detach(|| caught(|| work(&CancelToken::new()))));
    }
    let signal = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&signal);
    // The exception of a signal handler is kept, to be raised in place of the result of the cancelled call.
    let cancel = CancelToken::polled(SIGNAL_CHECK, move || {
        let raised = Python::attach(|py| py.check_signals().err());
        let is_raised = raised.is_some();
        if is_raised {
            *noted.lock() = raised;
        }
        is_raised
    });
    let value = py.detach(|| caught(|| work(&cancel)));
    let raised = signal.lock().take();
    raised.map_or_else(|| whole(py, value), Err)
}

/// Runs `work`, which may take long, and ends when the token that it receives is cancelled.
///
/// Signal handlers are Python code, and `work` may hold locks of the engine when it checks its token. So if the caller
/// is the main thread, `work` runs on a thread of its own, and the main thread checks for signals meanwhile. `work`
/// must not depend on the thread on which it runs: the caller looks up what belongs to its own thread, such as its
/// session, before.
pub(crate) fn interruptible<T: Send>(py: Python<'_>, work: impl FnOnce(&CancelToken) -> T + Send) -> PyResult<T> {
    let call = running();
    let cancel = call.clone().unwrap_or_default();
    if call.is_some() || !on_main_thread(py)? {
        return whole(py, py.detach(|| caught(|| work(&cancel))));
    }
    let cancel = &cancel;
    let value = py.detach(|| {
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            let run = move || sender.send(caught(|| work(cancel)));
            let started =
                thread::Builder::new().name("laminardb-call".to_owned()).stack_size(STACK).spawn_scoped(scope, run);
            if let Err(error) = started {
                return Err(PyRuntimeError::new_err(format!("no thread for the call: {error}")));
            }
            let mut signal = None;
            loop {
                match receiver.recv_timeout(SIGNAL_CHECK) {
                    Ok(value) => return signal.map_or(Ok(value), Err),
                    Err(RecvTimeoutError::Timeout) => {
                        if let Err(raised) = Python::attach(|py| py.check_signals()) {
                            // Waits on after a signal, because the thread borrows from this call; the cancelled token
                            // ends its work.
                            cancel.cancel();
                            signal.get_or_insert(raised);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("the call failed")),
                }
            }
        })
    })?;
    whole(py, value)
}

/// Returns the value of a call, or an exception if the call panicked on a broken invariant.
fn whole<T>(py: Python<'_>, value: Result<T, String>) -> PyResult<T> {
    value.map_err(|panic| raised(py, &Error::Internal(panic)))
}

/// Runs `work` on a thread of its own, where it runs to its end even if a signal ends the wait for it.
pub(crate) fn abandonable<T: Send + 'static>(py: Python<'_>, work: impl FnOnce() -> T + Send + 'static) -> PyResult<T> {
    if running().is_some() || !on_main_thread(py)? {
        return whole(py, py.detach(|| caught(work)));
    }
    let (sender, receiver) = channel();
    // Sending fails only if a signal has ended the wait, and then the value is not needed.
    let run = move || drop(sender.send(caught(work)));
    thread::Builder::new()
        .name("laminardb-call".to_owned())
        .stack_size(STACK)
        .spawn(run)
        .map_err(|error| PyRuntimeError::new_err(format!("no thread for the call: {error}")))?;
    let receiver = Mutex::new(receiver);
    let done = waited(py, None, |limit| match receiver.lock().recv_timeout(limit.unwrap_or(SIGNAL_CHECK)) {
        Ok(value) => Some(Some(value)),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(None),
    })?;
    whole(py, done.flatten().ok_or_else(|| PyRuntimeError::new_err("the call failed"))?)
}

/// Returns whether this is the thread on which Python handles signals.
pub(crate) fn on_main_thread(py: Python<'_>) -> PyResult<bool> {
    // Asked once for each thread: Python code runs for the answer, and a thread that is in such code when the interpreter
    // ends is ended by versions before 3.14, which unwinds it through this frame and aborts the process.
    match IS_MAIN.get() {
        Some((true, _)) => return Ok(true),
        Some((false, process)) if process == process::id() => return Ok(false),
        _ => {}
    }
    // The functions are cached rather than the thread's id, since after a fork another thread may be the main one.
    static THREADS: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();
    let [main_thread, get_ident] = THREADS.get_or_try_init(py, || {
        let threading = py.import("threading")?;
        Ok::<_, PyErr>([threading.getattr("main_thread")?.unbind(), threading.getattr("get_ident")?.unbind()])
    })?;
    let main = main_thread.bind(py).call0()?.getattr(intern!(py, "ident"))?;
    let is_main = get_ident.bind(py).call0()?.eq(main)?;
    IS_MAIN.set(Some((is_main, process::id())));
    Ok(is_main)
}
