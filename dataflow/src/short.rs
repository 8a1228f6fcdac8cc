//! Shortens texts of errors, which people read: long values and names in them are truncated.

use std::borrow::Cow;

/// Maximum number of characters of one value or name in a text.
pub const LONGEST_VALUE: usize = 300;

/// Maximum number of characters of a text with several values.
const LONGEST_TEXT: usize = 1_000;

/// Number of characters kept from the end of a text that is too long: the end says what was wrong, or where.
const KEPT_END: usize = 300;

/// Number of bytes at each end of a text that are looked at: little of them is kept, and nothing of what is between.
const LOOKED_AT: usize = 1 << 14;

/// Marks the place where something was left out.
const ELLIPSIS: char = '…';

/// Returns the text of an error with each word and each quoted part cut to [`LONGEST_VALUE`] characters, and the whole
/// cut to 1,000.
pub fn short_text(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_VALUE {
        return Cow::Borrowed(text);
    }
    let ends = ends_of(text);
    let mut short = String::new();
    let mut rest = &*ends;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        let (part, after) = rest.split_at(part_length(rest, first, before));
        short.push_str(&short_value(part));
        // A part that was quoted keeps its closing quote.
        if part.len() > LONGEST_VALUE && is_quote(first) && !short.ends_with(first) && part.ends_with(first) {
            short.push(first);
        }
        before = part.chars().next_back();
        rest = after;
        if short.len() > 8 * LONGEST_TEXT && rest.len() > 8 * LONGEST_TEXT {
            // `without_middle` will cut this part anyway.
            rest = end_of(rest, LONGEST_TEXT);
        }
    }
    Cow::Owned(without_middle(short))
}

/// Returns the first [`LONGEST_VALUE`] characters of a value or name, followed by `…` if there were more.
pub fn short_value(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_VALUE {
        return Cow::Borrowed(text);
    }
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => Cow::Owned(format!("{}{ELLIPSIS}", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Returns a text of the first and the last [`LOOKED_AT`] bytes.
fn ends_of(text: &str) -> Cow<'_, str> {
    if text.len() <= 2 * LOOKED_AT {
        return Cow::Borrowed(text);
    }
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let start = (0..=LOOKED_AT).rev().find(is_boundary).unwrap_or(0);
    let end = (text.len() - LOOKED_AT..).find(is_boundary).unwrap_or(text.len());
    Cow::Owned(format!("{}{}", &text[..start], &text[end..]))
}

/// Returns the length in bytes of the first part of `text`: a quoted string, a word or white space. A quote within a
/// word is an apostrophe and does not begin a quoted string.
fn part_length(text: &str, first: char, before: Option<char>) -> usize {
    let in_word = before.is_some_and(char::is_alphanumeric);
    if is_quote(first) && !in_word {
        let end = text[1..].find(first);
        return end.map_or(text.len(), |end| end + 2);
    }
    let ends = |c: char| c.is_whitespace() != first.is_whitespace() || is_quote(c);
    let length = text.char_indices().skip(1).find(|(_, c)| ends(*c)).map(|(at, _)| at);
    length.unwrap_or(text.len())
}

fn is_quote(c: char) -> bool {
    matches!(c, '\'' | '"' | '`')
}

/// Removes the middle of a text that is longer than [`LONGEST_TEXT`] characters.
fn without_middle(text: String) -> String {
    if text.chars().nth(LONGEST_TEXT).is_none() {
        return text;
    }
    let start: String = text.chars().take(LONGEST_TEXT - KEPT_END - 1).collect();
    format!("{start}{ELLIPSIS}{}", end_of(&text, KEPT_END))
}

/// Returns the last `characters` characters of `text`.
fn end_of(text: &str, characters: usize) -> &str {
    match text.char_indices().rev().nth(characters.saturating_sub(1)) {
        Some((start, _)) => &text[start..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_of_short_values_is_what_it_was() {
        let texts = ["", "column a does not exist", "can't cast 'x' to BIGINT"];
        for text in texts {
            assert_eq!(short_text(text), text);
        }
        let words = "a word ".repeat(100);
        assert_eq!(short_text(&words), words);
    }

    #[test]
    fn a_long_value_is_cut_and_what_stands_around_it_is_not() {
        let value = "x".repeat(1_000_000);
        let cut = format!("{}…", "x".repeat(300));
        assert_eq!(short_text(&format!("table {value} does not exist")), format!("table {cut} does not exist"));
        let spaced = "x ".repeat(1_000_000);
        let quoted = short_text(&format!("cannot cast string '{spaced}' to BIGINT")).into_owned();
        assert_eq!(quoted, format!("cannot cast string '{}…' to BIGINT", &spaced[..299]));
    }

    #[test]
    fn many_values_leave_the_beginning_and_the_end() {
        let text = format!("columns {}are unknown at line 7", "column ".repeat(1_000_000));
        let short = short_text(&text).into_owned();
        assert_eq!(short.chars().count(), 1_000);
        assert!(short.starts_with("columns column ") && short.ends_with("column are unknown at line 7"), "{short}");
    }

    #[test]
    fn only_the_ends_of_a_long_text_are_looked_at() {
        let text = "ä".repeat(LOOKED_AT) + &"ö".repeat(LOOKED_AT);
        let half = LOOKED_AT / 2;
        assert_eq!(ends_of(&text), "ä".repeat(half) + &"ö".repeat(half));
        let text = format!("a{}b", &text);
        assert_eq!(ends_of(&text).len(), 2 * (LOOKED_AT - 1), "no character is split");
    }

    proptest! {
        #[test]
        fn every_text_is_short_and_its_beginning_stays(text in "(\\PC{0,40}['\"` ]){0,60}", long in "[ä' x]{0,2000}") {
            let text = text + &long;
            let short = short_text(&text).into_owned();
            prop_assert!(short.chars().count() <= LONGEST_TEXT);
            let same: String = text.chars().take(LONGEST_VALUE).collect();
            prop_assert!(short.starts_with(&same));
            if text.chars().count() <= LONGEST_VALUE {
                prop_assert_eq!(short, text);
            }
        }
    }
}
