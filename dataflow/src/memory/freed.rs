//! Wakes a thread when much memory has been freed.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, Thread};

use parking_lot::Mutex;

/// Number of bytes that are much.
const MUCH: i64 = 64 << 20;

/// The most bytes that were held since the memory was last looked at, as far as threads have passed them on.
static MOST: AtomicI64 = AtomicI64::new(0);
/// Whether the thread has been woken.
static IS_WOKEN: AtomicBool = AtomicBool::new(true);
static WAITING: Mutex<Option<Thread>> = Mutex::new(None);

/// Notes that the bytes held have become `total`, more or less than before. Called by the allocator, so it allocates
/// nothing and waits for nobody.
pub(super) fn changed(total: i64, has_grown: bool) {
    if has_grown {
        MOST.fetch_max(total, Ordering::Relaxed);
    } else if MOST.load(Ordering::Relaxed) - total >= MUCH
        && !IS_WOKEN.swap(true, Ordering::Relaxed)
        && let Some(waiting) = WAITING.try_lock()
        && let Some(thread) = &*waiting
    {
        thread.unpark();
    }
}

/// Waits until `total()` is 64 MiB less than it once was since [`looked`] was called. One thread of a process may wait.
pub(super) fn wait(total: impl Fn() -> i64) {
    *WAITING.lock() = Some(thread::current());
    loop {
        // Before the comparison, so that what is freed after it wakes the thread.
        IS_WOKEN.store(false, Ordering::SeqCst);
        if MOST.load(Ordering::SeqCst) - total() >= MUCH {
            return;
        }
        thread::park();
    }
}

/// Forgets how many bytes were once held.
pub(super) fn looked(total: i64) {
    MOST.store(total, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_wakes_when_much_has_been_freed() {
        static TOTAL: AtomicI64 = AtomicI64::new(0);
        let set = |total: i64| {
            let before = TOTAL.swap(total, Ordering::SeqCst);
            changed(total, total > before);
        };
        set(10 * MUCH);
        let waiting = thread::spawn(|| wait(|| TOTAL.load(Ordering::SeqCst)));
        while WAITING.lock().is_none() {
            thread::yield_now();
        }
        set(9 * MUCH + 1);
        assert!(!waiting.is_finished());
        set(9 * MUCH);
        waiting.join().expect("it wakes");
        looked(9 * MUCH);
        assert_eq!(MOST.load(Ordering::SeqCst), 9 * MUCH);
    }
}
