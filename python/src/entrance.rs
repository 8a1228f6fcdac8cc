//! How our own threads attach to the interpreter, and how the interpreter ends safely while they exist.
//!
//! Python code that a thread runs may release the interpreter at any moment. If the interpreter has ended by the time
//! the thread wants it back, versions before 3.14 terminate the thread by unwinding through our frames, which aborts
//! the process. So no thread may be inside when the interpreter ends: an `atexit` hook closes the entrance and waits
//! for those that are.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

use pyo3::prelude::*;

use crate::awaiting;
use crate::detach::{detached, waited};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// The lower half counts the threads inside; the upper half is the id of their process, because a forked child inherits
/// the count but not the threads.
static INSIDE: AtomicU64 = AtomicU64::new(0);

/// The thread that waits for the last one to leave.
static WAITER: OnceLock<Thread> = OnceLock::new();

/// Runs `work` attached to the interpreter; returns `None` if the interpreter has ended or is about to.
pub(crate) fn entered<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let _inside = Inside::enter()?;
    Python::try_attach(work)
}

/// Returns whether threads may still enter.
pub(crate) fn is_open() -> bool {
    !CLOSED.load(Ordering::SeqCst)
}

/// Lets nobody in any more, cancels the calls that are awaited and waits for those who are inside. To be registered
/// with `atexit`.
#[pyfunction]
pub(crate) fn close_entrance(py: Python<'_>) -> PyResult<()> {
    // Set only once: a child forked by somebody else's hook has no thread of ours.
    let _first = WAITER.set(thread::current());
    CLOSED.store(true, Ordering::SeqCst);
    detached(py, awaiting::end_all);
    waited(py, None, |limit| {
        if inside() > 0 {
            match limit {
                None => thread::park(),
                Some(limit) => thread::park_timeout(limit),
            }
        }
        (inside() == 0).then_some(())
    })?;
    Ok(())
}

/// A thread that is inside, in the process where it entered: a forked child has a copy that does not count for it.
struct Inside {
    process: u32,
}

impl Inside {
    fn enter() -> Option<Self> {
        let inside = Inside { process: process::id() };
        let here = u64::from(inside.process) << 32;
        let enter = |state: u64| Some(if state >> 32 << 32 == here { state + 1 } else { here + 1 });
        // The closure always returns a value, so this cannot fail.
        let _before = INSIDE.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter);
        // Checked after counting: either this sees that the entrance is closed, or the closing thread sees this one
        // inside.
        is_open().then_some(inside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.process != process::id() {
            return;
        }
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        if CLOSED.load(Ordering::SeqCst)
            && let Some(waiter) = WAITER.get()
        {
            waiter.unpark();
        }
    }
}

/// Returns the number of threads inside in this process.
fn inside() -> u64 {
    let state = INSIDE.load(Ordering::SeqCst);
    if state >> 32 == u64::from(process::id()) { state & 0xffff_ffff } else { 0 }
}
