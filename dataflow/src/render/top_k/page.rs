//! `Page`: which rows of a group are the output.

use crate::Diff;

/// Selects the rows of a group that are in the output: at most `limit`, from position `offset` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// The position of its first row.
    pub(super) start: Diff,
    /// The position after its last row; `Diff::MAX` if there is no limit.
    pub(super) end: Diff,
}

impl Page {
    pub(super) fn new(offset: u64, limit: Option<u64>) -> Self {
        let end = limit.map_or(u64::MAX, |limit| offset.saturating_add(limit));
        Page { start: Diff::try_from(offset).unwrap_or(Diff::MAX), end: Diff::try_from(end).unwrap_or(Diff::MAX) }
    }

    /// Whether rows after some row are never in the output.
    pub(super) fn is_bounded(&self) -> bool {
        self.end < Diff::MAX
    }

    /// Returns how many of `count` equal rows are in the output if `rank` rows are before them.
    pub(super) fn part(&self, rank: Diff, count: Diff) -> Diff {
        ((rank + count).min(self.end) - rank.max(self.start)).max(0)
    }
}
