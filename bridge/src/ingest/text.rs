//! What the readers of JSON and CSV share: positions in a text for messages, and checks whether to go on.

use crate::error::Error;

/// What is asked whether to go on; it fails with the reason if not.
pub(super) type MayGoOn<'a> = &'a dyn Fn() -> Result<(), Error>;

/// Asks after each megabyte of a text whether to go on.
pub(super) struct Pace<'a> {
    may_go_on: MayGoOn<'a>,
    next: usize,
}

impl<'a> Pace<'a> {
    pub(super) fn new(may_go_on: MayGoOn<'a>) -> Self {
        Pace { may_go_on, next: 0 }
    }

    /// Must be called as the work advances: `at` is how far it has come in the text. Fails if it must not go on.
    pub(super) fn at(&mut self, at: usize) -> Result<(), Error> {
        const BYTES: usize = 1 << 20;
        if at < self.next {
            return Ok(());
        }
        self.next = at + BYTES;
        (self.may_go_on)()
    }
}

/// Returns the text of bytes; fails, with the place, if they are not UTF-8.
pub fn from_utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        let valid = String::from_utf8_lossy(valid);
        let (line, column) = place(&valid, valid.len());
        let byte = rest.first().copied().unwrap_or_default();
        Error::IngestionFailed(format!("not UTF-8: byte 0x{byte:02x} at line {line}, column {column}"))
    })
}

/// Returns `text` without a leading byte order mark.
pub(super) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Returns line and column of a position in a text, counted from 1; the column counts characters.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    let line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    // Counts the first byte of each character; the others are 10xxxxxx.
    let column = before[line..].iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count();
    (lines + 1, column + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_said_where_it_is() {
        assert!(matches!(from_utf8("aä\n".as_bytes()), Ok("aä\n")));
        let error = from_utf8(b"a\xc3\xa4\n\xc3\xb6\xff").expect_err("is no text");
        assert_eq!((error.code(), error.to_string().as_str()), (300, "not UTF-8: byte 0xff at line 2, column 2"));
        assert!(from_utf8(b"a\xc3").expect_err("is cut off").to_string().contains("0xc3 at line 1, column 2"));
    }

    #[test]
    fn places_count_characters() {
        assert_eq!(place("aä\nöb", 0), (1, 1));
        assert_eq!(place("aä\nöb", 3), (1, 3));
        assert_eq!(place("aä\nöb", 6), (2, 2));
        assert_eq!(place("aä\nöb", 99), (2, 3));
    }
}
