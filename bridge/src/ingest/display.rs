//! Formats values for messages.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use laminardb_planner::statement::type_name;

/// Formats a value for messages, cut if it is long.
pub(crate) fn display(array: &ArrayRef, row: usize) -> String {
    const LONGEST: usize = 200;
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    let quoted = matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let text = match ArrayFormatter::try_new(array, &FormatOptions::default()) {
        Ok(formatter) => formatter.value(row).try_to_string().ok(),
        Err(_) => None,
    };
    let Some(mut text) = text else { return format!("a value of type {}", type_name(array.data_type())) };
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push_str("...");
    }
    if quoted { format!("'{text}'") } else { text }
}
