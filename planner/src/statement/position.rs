//! Locations of tokens in the text.

use sqlparser::tokenizer::{Location, Span};

/// The byte offsets of the lines of a text.
pub(super) struct Lines<'a> {
    sql: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Finds the lines of `sql`.
    pub(super) fn of(sql: &'a str) -> Self {
        let starts = std::iter::once(0).chain(sql.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { sql, starts }
    }

    /// Returns the byte offset of `location`, or the end of the text if it lies beyond it.
    pub(super) fn offset(&self, location: Location) -> usize {
        let Some(start) = (location.line as usize).checked_sub(1).and_then(|line| self.starts.get(line)) else {
            return self.sql.len();
        };
        let chars = (location.column as usize).saturating_sub(1);
        let line = &self.sql[*start..];
        start + line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at)
    }

    /// Returns the text from the start of `first` to the end of `last`, without surrounding space.
    pub(super) fn text(&self, first: Span, last: Span) -> &'a str {
        let start = self.offset(first.start);
        let end = self.offset(last.end).max(start);
        self.sql[start..end].trim()
    }
}
