//! The memory of the process: how much is in use, and the limit that nobody may pass.
//!
//! What is in use is what Rust code has allocated, in all databases of the process together, if [`Counting`] is the
//! global allocator. It is looked at between pieces of work, so it passes the limit by what one piece allocates. Then
//! whoever has a large part in it ends; those with a small part go on, so that a full database can still be read.

mod account;
mod allocator;
mod freed;

use std::cell::Cell;
use std::fmt;

pub(crate) use account::{Account, Accounts};
pub use allocator::Counting;

/// Returns the bytes that are in use; 0 if [`Counting`] is not the global allocator.
pub fn used() -> u64 {
    u64::try_from(allocator::total()).unwrap_or(0)
}

/// Returns the bytes that this thread has allocated less those that it has freed, whoever allocated them. Differences of
/// two results say what was allocated between them.
pub fn of_thread() -> i64 {
    allocator::of_thread()
}

/// Waits until the bytes in use are 64 MiB less than at some moment since [`memory_is_given_back`] was called. At most
/// one thread of a process may wait.
pub fn wait_for_freed() {
    freed::wait(allocator::total);
}

/// Has [`wait_for_freed`] wait for what is freed from now on.
pub fn memory_is_given_back() {
    freed::looked(allocator::total());
}

thread_local! {
    static OF_THREAD: Cell<Option<MemoryLimit>> = const { Cell::new(None) };
}

/// Fails if `more` bytes would pass the limit that this thread keeps, and the thread has allocated a large part. For
/// functions whose result is as large as an argument says.
pub fn check_thread(more: u64) -> Result<(), OverLimit> {
    OF_THREAD.get().map_or(Ok(()), |limit| limit.check_of(of_thread(), more))
}

/// The largest number of bytes that may be in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryLimit(u64);

/// A limit is one of this many parts, each of which nobody is ended for.
const PARTS: u64 = 64;

/// The part is never smaller than this, since a thread's count is not exact.
const LEAST_PART: u64 = 1 << 20;

impl MemoryLimit {
    /// Makes a limit of `bytes`.
    pub fn new(bytes: u64) -> Self {
        MemoryLimit(bytes)
    }

    /// Returns the limit in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Returns how many bytes one user of memory may hold without being ended when the limit is passed.
    pub fn part(self) -> u64 {
        (self.0 / PARTS).max(LEAST_PART)
    }

    /// Fails if `more` bytes on top of those in use would pass the limit.
    pub fn check(self, more: u64) -> Result<(), OverLimit> {
        let used = used().saturating_add(more);
        if used > self.0 { Err(OverLimit { used, limit: self.0 }) } else { Ok(()) }
    }

    /// Does the same for a user of memory that holds `own` bytes, and for whom [`MemoryLimit::part`] is always there.
    pub fn check_of(self, own: i64, more: u64) -> Result<(), OverLimit> {
        let own = u64::try_from(own).unwrap_or(0).saturating_add(more);
        if own <= self.part() { Ok(()) } else { self.check(more) }
    }

    /// Fails if a write of `bytes` would leave less than a sixteenth of the limit, which queries need.
    pub fn check_write(self, bytes: u64) -> Result<(), OverLimit> {
        self.check_margin(self.0 / 16, bytes)
    }

    /// Fails if less than an eighth of the limit is left and a queue that nobody reads holds `bytes`, a large part. It is
    /// ended before writes are refused, since without writes nobody would end it.
    pub fn check_queue(self, bytes: u64) -> Result<(), OverLimit> {
        if bytes <= self.part() { Ok(()) } else { self.check_margin(self.0 / 8, 0) }
    }

    fn check_margin(self, margin: u64, more: u64) -> Result<(), OverLimit> {
        let used = used().saturating_add(more);
        if used > self.0 - margin { Err(OverLimit { used, limit: self.0 }) } else { Ok(()) }
    }

    /// Has [`check_thread`] look at this limit on this thread.
    pub fn keep_on_thread(self) {
        OF_THREAD.set(Some(self));
    }

    /// Whether so much is in use that the limit may soon be passed.
    pub(crate) fn is_near(self) -> bool {
        used() > self.0 / 4 * 3
    }
}

/// The limit would be passed, or was: how much is in use or would be, and the limit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    /// Bytes in use, with those that were asked for.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory_limit is {}, and {} were in use", size_text(self.limit), size_text(self.used))
    }
}

/// Returns a number of bytes with a unit of a thousand, a million and so on, to three digits.
pub fn size_text(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if size < 999.5 {
            let digits = if unit == "bytes" || size >= 99.95 { 0 } else { 1 };
            return format!("{size:.digits$} {unit}");
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_three_digits_and_a_unit() {
        let sizes = [0, 999, 1_000, 99_940, 123_456, 999_499, 999_500, 8_000_000_000, 1_500_000_000_000];
        let texts = sizes.map(size_text);
        assert_eq!(
            texts,
            ["0 bytes", "999 bytes", "1.0 kB", "99.9 kB", "123 kB", "999 kB", "1.0 MB", "8.0 GB", "1.5 TB"]
        );
        assert_eq!(size_text(u64::MAX), "18446744.1 TB");
    }

    #[test]
    fn who_holds_a_small_part_is_not_ended() {
        let none = MemoryLimit::new(0);
        assert_eq!(none.check_of(1 << 20, 0), Ok(()));
        assert_eq!(none.check_of(-5, 1 << 20), Ok(()));
        let over = none.check_of(1 << 20, 1).expect_err("more than its part");
        assert_eq!(over.limit, 0);
        assert!(MemoryLimit::new(u64::MAX).check(u64::MAX).is_ok());
        assert_eq!(MemoryLimit::new(6_400 << 20).part(), 100 << 20);
    }
}
