//! `Value`: one value of a JSON or CSV text. It is still text: a number reaches its column as digits and is parsed
//! there once, as the column's type.

use std::borrow::Cow;

/// A value cut out of a text but not parsed yet.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// A JSON number, as written.
    Number(&'a str),
    /// The text of a JSON string.
    Text(Cow<'a, str>),
    /// A JSON string, as written, that is not valid text: it has half of a surrogate pair.
    Torn(&'a str),
    /// A JSON list, as written.
    List(&'a str),
    /// A JSON object, as written.
    Object(&'a str),
    /// A CSV field: text for whatever type its column has.
    Field(&'a str),
}

impl Value<'_> {
    /// Formats the value for messages.
    pub(super) fn display(&self) -> String {
        const LONGEST: usize = 200;
        let (text, quoted) = match self {
            Value::Null => return "NULL".to_owned(),
            Value::Bool(value) => return value.to_string(),
            Value::Number(text) | Value::Torn(text) | Value::List(text) | Value::Object(text) => (*text, false),
            Value::Text(text) => (&**text, true),
            Value::Field(text) => (*text, true),
        };
        let text = match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text.to_owned(),
        };
        if quoted { format!("'{text}'") } else { text }
    }
}
