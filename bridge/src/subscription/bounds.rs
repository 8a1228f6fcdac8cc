//! Bounds of what a subscription keeps for its reader: rows, bytes and age, and its part in the memory of the process.
//!
//! The engine never waits for a reader, so what nobody reads piles up. A subscription that meets a bound is ended: what
//! is pending is discarded, and its reader is told.

use std::fmt;
use std::time::Duration;

use laminardb_dataflow::{MemoryLimit, OverLimit};

/// Maximum number of undelivered change rows unless the subscriber gives another one.
///
/// A reader that is so far behind gets the current rows of a view sooner by subscribing again: ten times the largest
/// batch, and more than a view of a usual size holds.
pub const MAX_ROWS: usize = 10_000_000;

/// Maximum memory of undelivered changes in bytes (1 GiB) unless the subscriber gives a number of rows.
///
/// Ten million rows of two numbers take 160 MB, but with texts they can take a hundred times as much. One forgotten
/// subscription must not be what fills a machine of the usual 4 to 16 GiB, while a reader that pauses for a minute at a
/// million rows of 16 bytes in a second stays within it.
pub const MAX_BYTES: usize = 1 << 30;

/// Maximum time that an undelivered change waits unless the subscriber gives a number of rows: a day.
///
/// On a view that changes seldom, neither rows nor memory ever show that nobody reads. A reader that runs once a day
/// reads in time; whoever stops a program over a weekend must subscribe again.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Bounds of the undelivered changes of one subscription.
///
/// They are checked when another time with changes closes. The snapshot and the first undelivered time do not count, so
/// a reader that takes one time after the other can follow changes of any size. The age is that of the first
/// undelivered time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum number of rows.
    pub rows: usize,
    /// Maximum number of bytes: the sizes of the columns, whether or not another subscription shares them.
    pub bytes: usize,
    /// Maximum time since the oldest undelivered changes were closed.
    pub age: Duration,
    /// The memory limit: when it is passed, the subscription must not hold a large part.
    pub memory: Option<MemoryLimit>,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { rows: MAX_ROWS, bytes: MAX_BYTES, age: MAX_AGE, memory: None }
    }
}

impl Bounds {
    /// Returns bounds of the number of rows alone.
    pub fn of_rows(rows: usize) -> Self {
        Bounds { rows, bytes: usize::MAX, age: Duration::MAX, memory: None }
    }

    /// Returns the bound that is met by this many rows and bytes whose oldest have this age, if there is one.
    pub(super) fn met(&self, rows: usize, bytes: usize, age: Duration) -> Option<Bound> {
        if rows >= self.rows {
            Some(Bound::Rows(self.rows))
        } else if bytes >= self.bytes {
            Some(Bound::Bytes(self.bytes))
        } else if age >= self.age {
            Some(Bound::Age(self.age))
        } else {
            self.memory.and_then(|limit| limit.check_queue(bytes as u64).err()).map(Bound::Memory)
        }
    }
}

/// A bound that a subscription has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The number of rows.
    Rows(usize),
    /// The number of bytes.
    Bytes(usize),
    /// The age of the oldest change.
    Age(Duration),
    /// The memory limit of the process.
    Memory(OverLimit),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Rows(rows) => write!(f, "more than {rows} undelivered rows"),
            Bound::Bytes(bytes) => write!(f, "more than {bytes} bytes of undelivered changes"),
            Bound::Memory(over) => write!(f, "its undelivered changes need too much memory: {over}"),
            Bound::Age(age) => write!(f, "its oldest undelivered change waited for more than {} s", age.as_secs_f64()),
        }
    }
}
