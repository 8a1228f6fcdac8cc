//! The one door through which the interpreter lock is released.
//!
//! Nothing waits for the engine, a lock, the disk or a thread while attached to the interpreter. On the main thread,
//! the only one that receives signals, a wait comes back every [`SIGNAL_CHECK`] to look at them, so Ctrl-C ends it as
//! `KeyboardInterrupt`; other threads wait in one piece. A panic of the engine is an exception of ours.
//!
//! | the call | goes through |
//! |---|---|
//! | is over soon | [`detached`] |
//! | waits in steps of a given length | [`waited`] |
//! | waits without a lock, and asks whether to stop | [`attentive`] |
//! | works long, perhaps with locks, and asks whether to stop | [`interruptible`] |
//! | goes through many rows without letting go | [`look`] |
//! | must be brought to its end, though nobody may wait for it | [`abandonable`] |

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use laminardb_bridge::{Caller, Error, caught};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error::raised;

/// The longest time that a wait on the main thread goes without looking for signals.
const SIGNAL_CHECK: Duration = Duration::from_millis(40);

/// Stack of the thread that a long call runs on: that of a main thread, for deep queries.
const STACK: usize = 8 << 20;

/// Rows that a loop in the interpreter goes through before it looks for signals.
const ROWS: usize = 1 << 14;

/// Looks for signals now and then in a loop that makes values of Python, or reads them, and has done `rows` rows.
pub(crate) fn look(py: Python<'_>, rows: usize) -> PyResult<()> {
    if rows % ROWS == ROWS - 1 { py.check_signals() } else { Ok(()) }
}

/// Runs `work` with the interpreter lock released; `work` must not wait without an end.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(work)
}

/// Waits until `step` gives a value, at most for `timeout`; `None` says that the time is over.
///
/// `step` is called with the time that it may wait, and gives `None` when that has passed.
pub(crate) fn waited<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut step: impl FnMut(Option<Duration>) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    // A time too far away to be represented is no limit.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let slice = on_main_thread(py)?.then_some(SIGNAL_CHECK);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let may_wait = match (slice, left) {
            (Some(slice), Some(left)) => Some(slice.min(left)),
            (slice, left) => slice.or(left),
        };
        if let Some(value) = py.detach(|| step(may_wait)) {
            return Ok(Some(value));
        }
        py.check_signals()?;
        if left.is_some_and(|left| may_wait.is_some_and(|waited| waited >= left)) {
            return Ok(None);
        }
    }
}

/// Runs `work`, which waits without a lock and asks the function that it is given whether to stop.
pub(crate) fn attentive<T: Send>(py: Python<'_>, work: impl FnOnce(&dyn Fn() -> bool) -> T + Send) -> PyResult<T> {
    // Another thread may still wait when the interpreter is gone: it must not attach to it.
    if !on_main_thread(py)? {
        return whole(py, py.detach(|| caught(|| work(&|| false))));
    }
    let signal = Mutex::new(None);
    let value = py.detach(|| {
        caught(|| {
            work(&|| {
                let raised = Python::attach(|py| py.check_signals().err());
                let stop = raised.is_some();
                if stop {
                    *signal.lock() = raised;
                }
                stop
            })
        })
    });
    signal.into_inner().map_or_else(|| whole(py, value), Err)
}

/// Runs `work`, which may take long and asks the function that it is given whether to stop.
///
/// Signal handlers are Python code, and `work` may hold locks of the engine when it asks. So on the main thread `work`
/// runs on a thread of its own, on behalf of this one, which looks at signals meanwhile.
pub(crate) fn interruptible<T: Send>(py: Python<'_>, work: impl FnOnce(&dyn Fn() -> bool) -> T + Send) -> PyResult<T> {
    if !on_main_thread(py)? {
        return whole(py, py.detach(|| caught(|| work(&|| false))));
    }
    let (stop, caller) = (AtomicBool::new(false), Caller::current());
    let stop = &stop;
    let value = py.detach(|| {
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            let run = move || sender.send(caught(|| caller.run(|| work(&|| stop.load(Ordering::Relaxed)))));
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
                            stop.store(true, Ordering::Relaxed);
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

/// The value of a call, or the exception for one that came upon a broken invariant and stopped there.
fn whole<T>(py: Python<'_>, value: Result<T, String>) -> PyResult<T> {
    value.map_err(|panic| raised(py, &Error::Internal(panic)))
}

/// Runs `work`, which goes on to its end on a thread of its own when a signal ends the wait for it.
pub(crate) fn abandonable<T: Send + 'static>(py: Python<'_>, work: impl FnOnce() -> T + Send + 'static) -> PyResult<T> {
    if !on_main_thread(py)? {
        return whole(py, py.detach(|| caught(work)));
    }
    let (sender, receiver) = channel();
    // Nobody receives any more when the wait was ended.
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

/// Is this the thread on which Python handles signals?
pub(crate) fn on_main_thread(py: Python<'_>) -> PyResult<bool> {
    // The functions, and not the number of the thread: another one may be the main thread after a fork.
    static THREADS: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();
    let [main_thread, get_ident] = THREADS.get_or_try_init(py, || {
        let threading = py.import("threading")?;
        Ok::<_, PyErr>([threading.getattr("main_thread")?.unbind(), threading.getattr("get_ident")?.unbind()])
    })?;
    let main = main_thread.bind(py).call0()?.getattr(intern!(py, "ident"))?;
    get_ident.bind(py).call0()?.eq(main)
}
