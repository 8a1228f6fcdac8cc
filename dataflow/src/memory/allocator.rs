//! `Counting`: an allocator that counts the bytes that the process holds, for a process whose memory is limited.
//!
//! Each thread adds up what it allocates and frees by itself, and passes the sum on when it has become large, and when
//! the thread ends. So counting costs an addition, and the total is exact to within 64 KiB a thread.
#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

use super::freed;

/// Passes every call on to `A` and counts the bytes. It is made the global allocator of a program by its author; without
/// it nothing is counted, and no limit is ever passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting<A>(pub A);

/// The bytes that all threads hold together, as far as they have passed them on.
static TOTAL: AtomicI64 = AtomicI64::new(0);

/// The sum at which a thread passes it on.
const PASS_ON: u64 = 1 << 16;

/// Added to the first sum of a thread, so that the first allocation is noticed without a check of its own.
const FIRST: i64 = 1 << 60;

/// What one thread has counted.
struct Thread {
    /// Bytes allocated less bytes freed that were not passed on; plus `FIRST` before the first allocation.
    kept: Cell<i64>,
    /// Bytes that were passed on.
    passed: Cell<i64>,
}

/// Passes on what a thread keeps when the thread ends.
struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        // What is freed by the destructors after this one passes itself on, because `FIRST` is there again.
        let kept = THREAD.with(|thread| thread.kept.replace(FIRST));
        add(kept);
    }
}

thread_local! {
    static THREAD: Thread = const { Thread { kept: Cell::new(FIRST), passed: Cell::new(0) } };
    static AT_END: AtEnd = const { AtEnd };
}

/// Returns the bytes that the process holds.
pub(super) fn total() -> i64 {
    TOTAL.load(Ordering::Relaxed)
}

/// Returns the bytes that this thread has allocated less those that it has freed, whoever allocated those.
pub(super) fn of_thread() -> i64 {
    let kept = THREAD.with(|thread| thread.kept.get() + thread.passed.get());
    if kept >= FIRST / 2 { kept - FIRST } else { kept }
}

#[inline]
fn count(bytes: i64) {
    THREAD.with(|thread| {
        let kept = thread.kept.get() + bytes;
        if kept.unsigned_abs() < PASS_ON { thread.kept.set(kept) } else { pass_on(thread, kept) }
    });
}

#[cold]
#[inline(never)]
fn pass_on(thread: &Thread, kept: i64) {
    let mut sum = kept;
    if kept >= FIRST / 2 {
        sum = kept - FIRST;
        // Before the next line, which may allocate.
        thread.kept.set(0);
        if AT_END.try_with(|_| ()).is_err() {
            // The thread is at its end, and each sum is passed on at once.
            thread.kept.set(FIRST);
        }
    } else {
        thread.kept.set(0);
    }
    thread.passed.set(thread.passed.get() + sum);
    add(sum);
}

/// Adds to the bytes that all threads hold.
fn add(sum: i64) {
    let total = TOTAL.fetch_add(sum, Ordering::Relaxed) + sum;
    freed::changed(total, sum > 0);
}

/// Returns a size as a difference; no allocation is larger than `isize::MAX`.
#[inline]
fn signed(size: usize) -> i64 {
    size.cast_signed() as i64
}

// SAFETY: every call is passed on as it is, and counting neither unwinds nor touches the memory.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer is from `A`.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer is from `A`.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}
