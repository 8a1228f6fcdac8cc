//! `Run`: rows as bytes with their diffs, to be sent.

use crate::Diff;

/// Rows as bytes, one behind the other, with their diffs, none of which is 0.
#[derive(Default)]
pub(super) struct Run {
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
    diffs: Vec<Diff>,
}

impl Run {
    pub(super) fn len(&self) -> usize {
        self.diffs.len()
    }

    /// Appends a row, unless the diff is 0.
    pub(super) fn push(&mut self, row: &[u8], diff: Diff) {
        if diff != 0 {
            self.bytes.extend_from_slice(row);
            self.ends.push(self.bytes.len());
            self.diffs.push(diff);
        }
    }

    /// Returns the rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// Returns the diffs.
    pub(super) fn into_diffs(self) -> Vec<Diff> {
        self.diffs
    }
}
