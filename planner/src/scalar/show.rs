//! Writes lists, structs and bytes as text, and reads bytes from text, as DuckDB does.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err};

use super::cast::{OnFailure, cast_array};

/// Prints lists as `[1, NULL]` and structs as `{'a': 1, 'b': x}`; texts that could be misread are quoted.
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

/// The printed elements of a list or fields of a struct.
struct Items {
    texts: ArrayRef,
    /// Whether the values are lists or structs, which need no quotes because they show where they end.
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

/// Prints bytes as ASCII; unprintable bytes, quotes and backslashes are printed like `\x0A`.
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

/// Reads bytes from texts in which `\x0A` stands for one byte.
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
    // A backslash that is not part of `\x` is refused: it could be meant as an escape.
    (!text.replace("\\x", "").contains('\\')).then_some(bytes)
}
