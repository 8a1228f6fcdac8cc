//! Lists, structs and bytes as texts, and bytes of texts, as DuckDB writes and reads them.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err};

use super::cast::{OnFailure, cast_array};

/// `[1, NULL]` and `{'a': 1, 'b': x}`; what could be taken for something else is in quotes.
pub(super) fn nested(values: &ArrayRef) -> Result<ArrayRef> {
    let texts = match values.data_type() {
        DataType::List(_) => {
            let lists = values.as_list::<i32>();
            let items = Items::of(lists.values())?;
            let offsets = lists.value_offsets();
            let list = |row: usize| {
                let items: Vec<_> = (offsets[row]..offsets[row + 1]).map(|item| items.text(item as usize)).collect();
                format!("[{}]", items.join(", "))
            };
            valid_rows(values, list)
        }
        DataType::Struct(fields) => {
            let columns = values.as_struct().columns().iter().map(Items::of).collect::<Result<Vec<_>>>()?;
            let record = |row: usize| {
                let fields = fields.iter().zip(&columns);
                let fields: Vec<_> =
                    fields.map(|(field, items)| format!("'{}': {}", escaped(field.name()), items.text(row))).collect();
                format!("{{{}}}", fields.join(", "))
            };
            valid_rows(values, record)
        }
        other => return Err(exec_datafusion_err!("{other} has no text")),
    };
    Ok(Arc::new(texts))
}

fn valid_rows(values: &ArrayRef, text: impl Fn(usize) -> String) -> StringArray {
    (0..values.len()).map(|row| values.is_valid(row).then(|| text(row))).collect()
}

/// The texts of what a list or a struct has inside.
struct Items {
    texts: ArrayRef,
    /// Lists and structs show where they end.
    are_nested: bool,
}

impl Items {
    fn of(values: &ArrayRef) -> Result<Items> {
        let texts = cast_array(values, &DataType::Utf8, OnFailure::Error)?;
        Ok(Items { texts, are_nested: values.data_type().is_nested() })
    }

    fn text(&self, row: usize) -> String {
        if self.texts.is_null(row) {
            return "NULL".to_owned();
        }
        let text = self.texts.as_string::<i32>().value(row);
        let is_plain = !text.is_empty()
            && !text.eq_ignore_ascii_case("null")
            && !text.starts_with(' ')
            && !text.ends_with(' ')
            && !text.contains([',', '\'', '"', '[', ']', '{', '}', '(', ')', ':', '=', '\\']);
        if self.are_nested || is_plain { text.to_owned() } else { format!("'{}'", escaped(text)) }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

/// Bytes as ASCII; those that are no character to print, and quotes and backslashes, like `\x0A`.
pub(super) fn bytes(values: &BinaryArray) -> ArrayRef {
    let text = |bytes: &[u8]| {
        let mut text = String::with_capacity(bytes.len());
        for byte in bytes {
            if matches!(byte, b' '..=b'~') && !b"\"'\\".contains(byte) {
                text.push(char::from(*byte));
            } else {
                write!(text, "\\x{byte:02X}").expect("writing to a string cannot fail");
            }
        }
        text
    };
    Arc::new(values.iter().map(|bytes| bytes.map(text)).collect::<StringArray>())
}

/// The bytes of texts, in which `\x0A` is one.
pub(super) fn bytes_of(texts: &StringArray, on_failure: OnFailure) -> Result<ArrayRef> {
    let bytes = |text: Option<&str>| {
        let Some(text) = text else { return Ok(None) };
        match unescaped(text) {
            None if on_failure == OnFailure::Error => {
                Err(exec_datafusion_err!("'{text}' cannot be cast to BLOB: a byte is written like \\x0A"))
            }
            bytes => Ok(bytes),
        }
    };
    Ok(Arc::new(texts.iter().map(bytes).collect::<Result<BinaryArray>>()?))
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    // A backslash alone could be meant for one.
    (!text.replace("\\x", "").contains('\\')).then_some(bytes)
}
