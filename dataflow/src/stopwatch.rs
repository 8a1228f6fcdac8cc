//! `Stopwatch`: measures how long an operator takes for a row, so that a piece of work takes a bounded time.
//!
//! Rows differ: to add one to a sum takes a tenth of the time that it takes to add one to a large ordered multiset. Only
//! the sizes of pieces depend on what is measured, never what they contain.

use std::cell::Cell;
use std::time::Instant;

/// Number of rows of a piece that is measured however short it is: below, what does not depend on rows counts too much.
pub(crate) const LEAST: usize = 256;

/// How many nanoseconds a piece takes that is measured however few rows it has.
const LONG: u64 = 200_000;

/// The time that one operator takes for a row.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    began: Cell<Option<Instant>>,
    rows: Cell<usize>,
    /// Nanoseconds that a row took in recent pieces; 0 until one has been measured.
    per_row: Cell<u64>,
}

impl Stopwatch {
    /// Begins to measure a piece.
    #[expect(clippy::disallowed_methods, reason = "how large a piece of work is, not what it finds")]
    pub(crate) fn begin(&self) {
        self.rows.set(0);
        self.began.set(Some(Instant::now()));
    }

    /// Whether a piece is being measured.
    pub(crate) fn is_running(&self) -> bool {
        self.began.get().is_some()
    }

    /// Counts rows of the piece.
    pub(crate) fn count(&self, rows: usize) {
        self.rows.set(self.rows.get() + rows);
    }

    /// Ends the piece, if one was begun; returns how many nanoseconds it took.
    pub(crate) fn end(&self) -> u64 {
        let Some(began) = self.began.take() else { return 0 };
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let rows = self.rows.get();
        if rows >= LEAST || (rows > 0 && nanos >= LONG) {
            self.learn(nanos / rows as u64);
        }
        nanos
    }

    fn learn(&self, per_row: u64) {
        let before = self.per_row.get();
        // A piece in which the thread had to wait for a core must not make all later ones small.
        let most = if before == 0 { u64::MAX } else { 4 * before };
        let new = per_row.clamp(1, most);
        self.per_row.set(if before == 0 { new } else { (3 * before + new) / 4 });
    }

    /// Returns how many nanoseconds a row takes; 0 until a piece was measured.
    pub(crate) fn nanos_per_row(&self) -> u64 {
        self.per_row.get()
    }

    /// Returns how many rows take about so many nanoseconds; `None` until a piece was measured.
    pub(crate) fn rows_in(&self, nanos: u64) -> Option<usize> {
        let per_row = self.per_row.get();
        (per_row > 0).then(|| usize::try_from(nanos / per_row).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_rows_make_small_pieces_and_a_pause_does_not() {
        let watch = Stopwatch::default();
        assert_eq!((watch.rows_in(1000), watch.end()), (None, 0));
        watch.learn(10);
        assert_eq!(watch.rows_in(1000), Some(100));
        (0..20).for_each(|_| watch.learn(100));
        assert!(watch.rows_in(1000).is_some_and(|rows| (10..12).contains(&rows)));
        watch.learn(1_000_000);
        assert!(watch.rows_in(1000).is_some_and(|rows| rows >= 5), "one pause counts little");
        (0..40).for_each(|_| watch.learn(0));
        assert!(watch.rows_in(1000).is_some_and(|rows| rows >= 250), "a row takes a nanosecond at least");
    }

    #[test]
    fn pieces_of_few_rows_are_not_measured() {
        let watch = Stopwatch::default();
        watch.begin();
        watch.count(LEAST - 1);
        watch.end();
        assert_eq!(watch.rows_in(1), None);
        watch.begin();
        watch.count(1);
        watch.count(LEAST - 1);
        watch.end();
        assert!(watch.rows_in(u64::MAX).is_some());
    }
}
