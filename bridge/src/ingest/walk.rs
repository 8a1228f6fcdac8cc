//! `Walk`: cuts values out of JSON text exactly as they are written. The text must be known to be valid.

use std::borrow::Cow;

use serde_core::de::IgnoredAny;

use super::value::Value;

/// Whether `text` is one JSON value.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Returns the values of a list, which must be valid JSON.
pub(super) fn elements(list: &str) -> impl Iterator<Item = Value<'_>> {
    let mut walk = Walk::inside(list);
    std::iter::from_fn(move || walk.next().then(|| walk.value()))
}

/// Returns the names and values of an object, which must be valid JSON; a name that is not valid text is given as
/// written.
pub(super) fn members(object: &str) -> impl Iterator<Item = (Result<Cow<'_, str>, &str>, Value<'_>)> {
    let mut walk = Walk::inside(object);
    std::iter::from_fn(move || walk.member().map(|(name, value)| (unescaped(name).ok_or(name), value)))
}

/// Walks through text that is known to be valid JSON.
pub(super) struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    /// Starts just after the bracket that `text` opens with.
    pub(super) fn inside(text: &'a str) -> Self {
        Walk { text, at: skip_space(text, 0) + 1 }
    }

    /// Moves to the next value of a list or name of an object; returns `false` if there is none.
    fn next(&mut self) -> bool {
        self.at = skip_space(self.text, self.at);
        if byte(self.text, self.at) == Some(b',') {
            self.at = skip_space(self.text, self.at + 1);
        }
        !matches!(byte(self.text, self.at), None | Some(b']' | b'}'))
    }

    /// Returns the next member of an object: its name as written, and its value.
    pub(super) fn member(&mut self) -> Option<(&'a str, Value<'a>)> {
        if !self.next() {
            return None;
        }
        let name = self.string();
        // Skips the colon.
        self.at = skip_space(self.text, skip_space(self.text, self.at) + 1);
        Some((name, self.value()))
    }

    fn value(&mut self) -> Value<'a> {
        let start = self.at;
        match byte(self.text, start) {
            Some(b'"') => {
                let written = self.string();
                unescaped(written).map_or(Value::Torn(written), Value::Text)
            }
            Some(b'[') => Value::List(self.nested()),
            Some(b'{') => Value::Object(self.nested()),
            _ => {
                let rest = &self.text.as_bytes()[start..];
                let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                match &self.text[start..self.at] {
                    "null" => Value::Null,
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    number => Value::Number(number),
                }
            }
        }
    }

    /// Returns a string with its quotes.
    fn string(&mut self) -> &'a str {
        let start = self.at;
        self.at += 1;
        loop {
            match byte(self.text, self.at) {
                Some(b'\\') => self.at += 2,
                Some(b'"') | None => break,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        &self.text[start..self.at]
    }

    /// Returns a list or an object, however deep.
    fn nested(&mut self) -> &'a str {
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            match byte(self.text, self.at) {
                Some(b'"') => {
                    self.string();
                    continue;
                }
                Some(b'[' | b'{') => depth += 1,
                Some(b']' | b'}') => depth -= 1,
                Some(_) => {}
                None => break,
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        &self.text[start..self.at]
    }
}

/// Returns the text of a string that is written with its quotes; `None` if it has half of a surrogate pair.
pub(super) fn unescaped(written: &str) -> Option<Cow<'_, str>> {
    let bare = &written[1..written.len() - 1];
    if bare.contains('\\') { serde_json::from_str(written).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(bare)) }
}

pub(super) fn byte(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

pub(super) fn skip_space(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(rest.len())
}
