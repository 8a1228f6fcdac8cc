//! The rows of a group in order, and the part of them that is the output.

use std::collections::BTreeMap;

use crate::Diff;
use crate::render::allowance::Allowance;

/// Selects the rows of a group that are in the output: at most `limit`, from position `offset` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) offset: u64,
    pub(super) limit: Option<u64>,
}

/// Row bytes with their multiplicities, in order.
pub(super) type Run = Vec<(Box<[u8]>, Diff)>;

impl Page {
    /// Returns how many of the first rows of a group decide its output. With a limit these are the rows up to the
    /// page's end, which include the page; without one, the rows before the page, which are not in the output
    /// while all others are.
    fn depth(&self) -> u64 {
        match self.limit {
            Some(limit) => self.offset.saturating_add(limit),
            None => self.offset,
        }
    }

    /// Returns the changes of a group's output, some of which may be 0. `old` and `new` are the first rows that decided
    /// it before and decide it now; `rows` are the changes of its rows, used only without a limit.
    pub(super) fn changes(
        &self,
        old: &[(Box<[u8]>, Diff)],
        new: &[(Box<[u8]>, Diff)],
        rows: BTreeMap<Box<[u8]>, Diff>,
    ) -> BTreeMap<Box<[u8]>, Diff> {
        let mut net = rows;
        // Without a limit the output is all rows without the first ones, so those count negatively.
        let (skipped, sign) = match self.limit {
            Some(_) => (self.offset, 1),
            None => (0, -1),
        };
        for (run, sign) in [(old, -sign), (new, sign)] {
            for (bytes, count) in after(run, skipped) {
                match net.get_mut(bytes) {
                    Some(diff) => *diff += sign * count,
                    None => {
                        net.insert(bytes.into(), sign * count);
                    }
                }
            }
        }
        net
    }
}

/// Skips the first `skipped` rows of `run`, counted with multiplicities.
fn after(run: &[(Box<[u8]>, Diff)], skipped: u64) -> impl Iterator<Item = (&[u8], Diff)> {
    let mut left = Diff::try_from(skipped).unwrap_or(Diff::MAX);
    run.iter().filter_map(move |(bytes, count)| {
        let passed = left.min(*count);
        left -= passed;
        (*count > passed).then_some((&bytes[..], count - passed))
    })
}

/// What many groups hold altogether.
#[derive(Default)]
pub(super) struct Held {
    /// Number of distinct rows.
    pub(super) rows: usize,
    /// Their bytes.
    pub(super) bytes: usize,
}

impl Held {
    fn added(&mut self, row: &[u8]) {
        self.rows += 1;
        self.bytes += row.len();
    }

    fn removed(&mut self, row: &[u8]) {
        self.rows -= 1;
        self.bytes -= row.len();
    }
}

/// The rows of a group in order, with their multiplicities.
#[derive(Default)]
pub(super) struct Ordered {
    rows: BTreeMap<Box<[u8]>, Diff>,
    /// The sum of all multiplicities.
    total: Diff,
    /// The last of the deciding rows when the group last settled, if it had enough of them: changes after it do not
    /// affect the output.
    boundary: Option<Box<[u8]>>,
}

impl Ordered {
    /// Adds a row `diff` times, and counts in `held` what is then held.
    pub(super) fn add(&mut self, row: &[u8], diff: Diff, held: &mut Held) {
        self.total += diff;
        let Some(count) = self.rows.get_mut(row) else {
            held.added(row);
            self.rows.insert(row.into(), diff);
            return;
        };
        *count += diff;
        if *count == 0 {
            held.removed(row);
            self.rows.remove(row);
        }
    }

    /// Returns the first rows, as many as decide the output.
    pub(super) fn head(&self, page: &Page) -> Run {
        let mut left = Diff::try_from(page.depth()).unwrap_or(Diff::MAX);
        let mut head = Run::new();
        for (bytes, count) in &self.rows {
            if left <= 0 {
                break;
            }
            let taken = left.min(*count);
            head.push((bytes.clone(), taken));
            left -= taken;
        }
        head
    }

    /// Whether `row` cannot affect the output, as long as no row up to the boundary changes.
    pub(super) fn is_beyond(&self, row: &[u8]) -> bool {
        self.boundary.as_ref().is_some_and(|boundary| row > &boundary[..])
    }

    /// Saves the boundary at the close of a time; `head` must be the deciding rows.
    pub(super) fn settle(&mut self, page: &Page, head: &[(Box<[u8]>, Diff)]) {
        let full = Diff::try_from(page.depth()).is_ok_and(|depth| self.total >= depth);
        // Without a limit the rows after the deciding ones are in the output too.
        self.boundary = match (full && page.limit.is_some(), head.last()) {
            (true, Some((last, _))) => Some(last.clone()),
            _ => None,
        };
    }

    /// Drops the rows that the page cannot reach unless rows before them are retracted.
    pub(super) fn trim(&mut self, page: &Page, held: &mut Held) {
        let depth = Diff::try_from(page.depth()).unwrap_or(Diff::MAX);
        while self.total > depth {
            let Some(mut last) = self.rows.last_entry() else { return };
            let dropped = (self.total - depth).min(*last.get());
            *last.get_mut() -= dropped;
            self.total -= dropped;
            if *last.get() == 0 {
                let (bytes, _) = last.remove_entry();
                held.removed(&bytes);
            }
        }
    }

    /// Asserts that no row has been retracted more often than inserted; release builds check only the total.
    pub(super) fn assert_settled(&self) {
        let settled = self.total >= 0 && (!cfg!(debug_assertions) || self.rows.values().all(|count| *count > 0));
        assert!(settled, "a row was taken back that was not there");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Frees about as many rows as the allowance allows; returns whether more are left.
    pub(super) fn free(&mut self, allowance: &mut Allowance) -> bool {
        let freed = allowance.left().min(self.rows.len());
        if freed == self.rows.len() {
            self.rows.clear();
        } else {
            (0..freed).for_each(|_| drop(self.rows.pop_first()));
        }
        allowance.spend(1 + freed);
        !self.rows.is_empty()
    }
}
