//! How threads of ours enter the interpreter, and how it ends without them.
//!
//! Python code that a thread runs may let go of the interpreter at any moment. If the interpreter has ended by the time
//! the thread wants it back, versions before 3.14 end the thread, and that through our frames, which aborts the process.
//! So nobody may be inside when it ends: a hook of `atexit` closes the entrance and waits for those who are.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

use pyo3::prelude::*;

use crate::detach::waited;

static CLOSED: AtomicBool = AtomicBool::new(false);

/// How many threads are inside, in the lower half; in the upper half the process that they live in, because a forked
/// child inherits the number and not the threads.
static INSIDE: AtomicU64 = AtomicU64::new(0);

/// Who waits for the last one to leave.
static WAITER: OnceLock<Thread> = OnceLock::new();

/// Runs `work` attached to the interpreter; `None` when that has ended or is about to.
pub(crate) fn entered<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let _inside = Inside::enter()?;
    Python::try_attach(work)
}

/// Lets nobody in any more and waits for those who are inside. To be registered with `atexit`.
#[pyfunction]
pub(crate) fn close_entrance(py: Python<'_>) -> PyResult<()> {
    // Set once: a child forked by the hook of somebody else has no thread of ours.
    let _first = WAITER.set(thread::current());
    CLOSED.store(true, Ordering::SeqCst);
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

/// One thread that is inside, in the process where it came in: a forked child has the copy of one that is not its own.
struct Inside {
    process: u32,
}

impl Inside {
    fn enter() -> Option<Self> {
        let inside = Inside { process: process::id() };
        let here = u64::from(inside.process) << 32;
        let enter = |state: u64| Some(if state >> 32 << 32 == here { state + 1 } else { here + 1 });
        // The closure always gives a value.
        let _before = INSIDE.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter);
        // After the number was raised: either this sees that it is closed, or who closes sees this one inside.
        (!CLOSED.load(Ordering::SeqCst)).then_some(inside)
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

/// The number of threads inside, in this process.
fn inside() -> u64 {
    let state = INSIDE.load(Ordering::SeqCst);
    if state >> 32 == u64::from(process::id()) { state & 0xffff_ffff } else { 0 }
}
