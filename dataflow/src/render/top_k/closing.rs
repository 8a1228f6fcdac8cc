//! `Closing`: what a time changes in the page of a group.
//!
//! The output has of `count` equal rows those whose positions are in the page; the positions are known from the number
//! of rows before them, the rank. So the change of a row is what the page has of it now less what it had, and that
//! needs its rank and count now and before. Now they are in the group's rows. What they were is noted while the time
//! is under way, in one of two ways:
//!
//! * the first rows as they were, if they are few: all others were not in the page;
//! * else the changes of the rows that were in the page or before it. Between two rows that changed, all ranks have
//!   moved by the same number, so of the rows between them only those near the ends of the page are looked at.
//!
//! So a change costs O(log n) for each row that changed, in the group or in the page, however large both are.

use super::page::Page;
use super::run::Run;
use crate::Diff;
use crate::ordered::{Bytes, Held, Multiset};
use crate::render::allowance::Allowance;

/// The rows of a group, in order.
pub(super) type Rows = Multiset<Bytes>;

/// Number of rows up to which the first rows of a group are noted rather than changes.
const FEW: Diff = if cfg!(test) { 2 } else { 32 };

/// A group that has changes at the current time.
#[derive(Default)]
pub(super) struct Touched {
    /// The group's number.
    pub(super) group: u32,
    /// Whether `noted` is the first rows before these changes; else it is the changes.
    has_rows: bool,
    noted: Rows,
}

impl Touched {
    /// Returns the note of a group. Its first `head` rows must be those of before the current time: all that decide the
    /// page.
    pub(super) fn new(group: u32, rows: &Rows, head: Diff, held: &mut Held) -> Self {
        let mut noted = Rows::default();
        if head > FEW {
            return Touched { group, has_rows: false, noted };
        }
        for entry in rows.entries().take_while(|entry| entry.rank < head) {
            noted.add(entry.key, entry.count.min(head - entry.rank), held);
        }
        Touched { group, has_rows: true, noted }
    }

    /// Whether changes have to be noted.
    pub(super) fn has_changes(&self) -> bool {
        !self.has_rows
    }

    /// Notes a change.
    pub(super) fn note(&mut self, row: &[u8], diff: Diff, held: &mut Held) {
        self.noted.add(row, diff, held);
    }

    /// Drops about `rows` noted rows; returns how many.
    pub(super) fn discard(&mut self, rows: usize) -> usize {
        self.noted.discard(rows)
    }
}

/// A group whose time is being closed: the rows that have been looked at.
pub(super) struct Closing {
    pub(super) touched: Touched,
    /// The last noted row that has been looked at.
    last: Option<Box<[u8]>>,
    /// The rank of the first row of the group that has not been looked at.
    rank: Diff,
    is_done: bool,
}

impl Closing {
    pub(super) fn new(touched: Touched) -> Self {
        Closing { touched, last: None, rank: 0, is_done: false }
    }

    /// Returns about how many rows there are left to look at; at least 1.
    pub(super) fn left(&self, rows: &Rows, page: Page) -> usize {
        let most = if self.touched.has_rows { rows.total().min(page.end) - self.rank.max(page.start) } else { 1 };
        usize::try_from(most).unwrap_or(0).max(1)
    }

    /// Whether the changes of the page are complete.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Appends changes of the page to `run` while it has less than `most` rows and the allowance lasts.
    pub(super) fn advance(&mut self, rows: &Rows, page: Page, run: &mut Run, most: usize, allowance: &mut Allowance) {
        let Touched { has_rows, noted, .. } = &self.touched;
        let mut pass = Pass { rows, page, has_rows: *has_rows, rank: self.rank, run, most, allowance };
        let mut entries = self.last.as_ref().map_or_else(|| noted.entries(), |last| noted.after(last));
        let mut last = None;
        self.is_done = loop {
            let next = entries.next();
            // What the noted rows before the next one add up to is the rank that it had, or how far ranks have moved.
            let (before, (rank, count)) = match &next {
                Some(entry) => (entry.rank, rows.place(entry.key)),
                None => (noted.total(), (rows.total(), 0)),
            };
            if !pass.rows_up_to(rank, before) {
                break false;
            }
            let Some(entry) = next else { break true };
            let had = if *has_rows { (before, entry.count) } else { (rank - before, count - entry.count) };
            last = Some(entry.key);
            if !pass.row(entry.key, (rank, count), had) {
                break false;
            }
        };
        self.rank = pass.rank;
        if let Some(last) = last {
            self.last = Some(last.into());
        }
    }
}

/// A pass over the rows of a group, in order.
struct Pass<'a> {
    rows: &'a Rows,
    page: Page,
    /// Whether rows are noted rather than changes.
    has_rows: bool,
    /// The rank of the first row that has not been looked at.
    rank: Diff,
    run: &'a mut Run,
    most: usize,
    allowance: &'a mut Allowance,
}

impl Pass<'_> {
    /// Looks at a row that has the rank and count `now` and had `before`. Returns whether the pass may go on.
    fn row(&mut self, row: &[u8], now: (Diff, Diff), before: (Diff, Diff)) -> bool {
        self.run.push(row, self.page.part(now.0, now.1) - self.page.part(before.0, before.1));
        self.rank = now.0 + now.1;
        self.allowance.spend(1);
        self.run.len() < self.most && self.allowance.left() > 0
    }

    /// Looks at those rows before the rank `end` that may have come or gone, of which none is noted. `moved` is by how
    /// much their ranks have grown, if changes are noted. Returns whether the pass got there.
    fn rows_up_to(&mut self, end: Diff, moved: Diff) -> bool {
        // Where ranks have moved, a row that was on one side of an end of the page may now be on the other.
        let around = |border: Diff| {
            let other = border.saturating_add(moved);
            (border.min(other), border.max(other))
        };
        let ranges = match self.has_rows {
            true => [(self.page.start, self.page.end), (0, 0)],
            false => [around(self.page.start), around(self.page.end)],
        };
        for (from, to) in ranges {
            let (from, to) = (from.max(self.rank), to.min(end));
            if from >= to {
                continue;
            }
            for entry in self.rows.from(from).take_while(|entry| entry.rank < to) {
                // Of the first rows, those that are not noted were not there, or behind the page.
                let before = if self.has_rows { (0, 0) } else { (entry.rank - moved, entry.count) };
                if !self.row(entry.key, (entry.rank, entry.count), before) {
                    return self.rank >= end;
                }
            }
        }
        true
    }
}
