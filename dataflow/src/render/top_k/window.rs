//! The rows of a group in order, and the part of them that leaves.

use std::collections::BTreeMap;

use crate::Diff;

/// Which rows of a group leave: those from position `offset` on, at most `limit`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) offset: u64,
    pub(super) limit: Option<u64>,
}

/// Row bytes and how often, in order.
pub(super) type Run = Vec<(Box<[u8]>, Diff)>;

impl Window {
    /// How many of the first rows of a group decide what leaves: with a limit those up to the window's end, of which
    /// the window is a part; without one those before it, which stay while all others leave.
    fn depth(&self) -> u64 {
        match self.limit {
            Some(limit) => self.offset.saturating_add(limit),
            None => self.offset,
        }
    }

    /// What changes in the output of a group whose first rows, as many as decide, were `old` and are `new`. Without a
    /// limit also its rows changed by `rows`.
    pub(super) fn changes(
        &self,
        old: &[(Box<[u8]>, Diff)],
        new: &[(Box<[u8]>, Diff)],
        rows: BTreeMap<Box<[u8]>, Diff>,
        changes: &mut Run,
    ) {
        let mut net = rows;
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
        changes.extend(net.into_iter().filter(|(_, diff)| *diff != 0));
    }
}

/// The rows of `run` but for the first `skipped`.
fn after(run: &[(Box<[u8]>, Diff)], skipped: u64) -> impl Iterator<Item = (&[u8], Diff)> {
    let mut left = Diff::try_from(skipped).unwrap_or(Diff::MAX);
    run.iter().filter_map(move |(bytes, count)| {
        let passed = left.min(*count);
        left -= passed;
        (*count > passed).then_some((&bytes[..], count - passed))
    })
}

/// The rows of a group in order, with their multiplicities.
#[derive(Default)]
pub(super) struct Ordered {
    rows: BTreeMap<Box<[u8]>, Diff>,
    /// Of all rows together.
    total: Diff,
    /// Bytes of all rows, equal ones once.
    bytes: usize,
    /// The last of the first rows when the group last settled, if there were as many as decide: what comes or goes
    /// after it changes nothing.
    boundary: Option<Box<[u8]>>,
}

impl Ordered {
    pub(super) fn add(&mut self, row: &[u8], diff: Diff) {
        self.total += diff;
        let Some(count) = self.rows.get_mut(row) else {
            self.bytes += row.len();
            self.rows.insert(row.into(), diff);
            return;
        };
        *count += diff;
        if *count == 0 {
            self.bytes -= row.len();
            self.rows.remove(row);
        }
    }

    /// The first rows, as many as decide what leaves.
    pub(super) fn head(&self, window: &Window) -> Run {
        let mut left = Diff::try_from(window.depth()).unwrap_or(Diff::MAX);
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

    /// Whether the window cannot depend on `row`, as long as no row before it has changed.
    pub(super) fn is_beyond(&self, row: &[u8]) -> bool {
        self.boundary.as_ref().is_some_and(|boundary| row > &boundary[..])
    }

    /// Takes note of the first rows at the close of a time.
    pub(super) fn settle(&mut self, window: &Window, head: &[(Box<[u8]>, Diff)]) {
        let full = Diff::try_from(window.depth()).is_ok_and(|depth| self.total >= depth);
        // Without a limit all rows leave, also those after the ones that decide.
        self.boundary = match (full && window.limit.is_some(), head.last()) {
            (true, Some((last, _))) => Some(last.clone()),
            _ => None,
        };
    }

    /// Drops rows that no window will reach, as long as none before them is taken back.
    pub(super) fn trim(&mut self, window: &Window) {
        let depth = Diff::try_from(window.depth()).unwrap_or(Diff::MAX);
        while self.total > depth {
            let Some(mut last) = self.rows.last_entry() else { return };
            let dropped = (self.total - depth).min(*last.get());
            *last.get_mut() -= dropped;
            self.total -= dropped;
            if *last.get() == 0 {
                let (bytes, _) = last.remove_entry();
                self.bytes -= bytes.len();
            }
        }
    }

    /// At rest no row is there less than never.
    pub(super) fn assert_settled(&self) {
        let settled = self.total >= 0 && (!cfg!(debug_assertions) || self.rows.values().all(|count| *count > 0));
        assert!(settled, "a row was taken back that was not there");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self) -> usize {
        // Nodes are two thirds full after random insertions.
        self.bytes + self.rows.len() * size_of::<(Box<[u8]>, Diff)>() * 3 / 2
    }
}
