//! A thread that gives freed memory back to the system.
//!
//! mimalloc gives it back after a while, within any call of any thread that allocates, all of it at once: after some
//! gigabytes the interpreter stood still for 100 ms. So it is told to wait, and this thread does it instead,
//! which nobody waits for.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{process, thread};

use laminardb_bridge::memory::{memory_is_given_back, wait_for_freed};
use libmimalloc_sys::{mi_collect, mi_option_set_default, mi_option_t};

/// How long memory stays with the process after it was freed: who frees much often needs much again.
const DELAY: Duration = Duration::from_secs(1);

/// The number of the option `purge_delay` of mimalloc 2 and 3, which the bindings have no name for.
const PURGE_DELAY: mi_option_t = 15;

/// A delay of mimalloc, in milliseconds, that is as good as never: more than three weeks.
const NEVER: i32 = i32::MAX;

/// The process that has the thread: a forked child needs another.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Starts the thread, unless the process has it.
pub(crate) fn start() {
    if PROCESS.swap(process::id(), Ordering::Relaxed) == process::id() {
        return;
    }
    // Where no thread can be started, mimalloc goes on as it does by itself.
    if thread::Builder::new().name("laminardb-memory".to_owned()).stack_size(1 << 16).spawn(run).is_ok() {
        #[expect(unsafe_code, reason = "a function of C")]
        // SAFETY: it sets a number, which a variable of the environment has precedence over.
        unsafe {
            mi_option_set_default(PURGE_DELAY, NEVER.into());
        }
    }
}

fn run() {
    // mimalloc does nothing for a thread that has never allocated.
    black_box(Box::new(0_u8));
    loop {
        wait_for_freed();
        #[expect(clippy::disallowed_methods, reason = "nothing waits for this thread")]
        thread::sleep(DELAY);
        memory_is_given_back();
        #[expect(unsafe_code, reason = "a function of C")]
        // SAFETY: it may be called by any thread, and looks at the memory of the process that is not in use.
        unsafe {
            mi_collect(true);
        }
    }
}
