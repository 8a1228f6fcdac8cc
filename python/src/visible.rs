//! Makes text from elsewhere safe to show: characters that control a terminal or reverse the text are escaped.

use pyo3::prelude::*;
use pyo3::types::PyString;

/// Returns `text` on one line, with every character escaped that affects the display.
pub(crate) fn line(text: &str) -> String {
    escaped(text, |character| character.is_control() || is_steering(character))
}

/// Returns `text` with its line breaks and tabs, and every other character escaped that affects the display.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |character| !matches!(character, '\n' | '\t') && (character.is_control() || is_steering(character)))
}

/// Returns at most `most` characters of the text, followed by dots if there are more.
pub(crate) fn start(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The text with its line breaks and tabs, for the Python half of the package; half of a surrogate pair is an escape.
#[pyfunction(name = "_visible")]
pub(crate) fn visible(text: &Bound<'_, PyString>) -> PyResult<String> {
    match text.to_str() {
        Ok(text) => Ok(lines(text)),
        Err(_) => {
            let escaped =
                text.call_method1("encode", ("utf-8", "backslashreplace"))?.call_method1("decode", ("utf-8",))?;
            Ok(lines(&escaped.extract::<String>()?))
        }
    }
}

/// Whether the character is a direction mark, a line separator or an invisible mark.
fn is_steering(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}')
}

fn escaped(text: &str, hides: impl Fn(char) -> bool) -> String {
    if !text.contains(&hides) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            _ if !hides(character) => shown.push(character),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if u32::from(character) < 0x100 => shown.push_str(&format!("\\x{:02x}", u32::from(character))),
            _ => shown.push_str(&format!("\\u{:04x}", u32::from(character))),
        }
    }
    shown
}
