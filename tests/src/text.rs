//! Writes rows as text, such as `1 | a | NULL`. Numbers that are equal look equal: -0.0 is written as 0.0.

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Returns the text of each row of a batch.
pub fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("types that can be shown"))
        .collect();
    let row =
        |row: usize| columns.iter().map(|column| cell(&column.value(row).to_string())).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(row).collect()
}

/// Returns the text of a value, with one spelling of zero.
fn cell(text: &str) -> String {
    if text == "-0.0" { "0.0".to_owned() } else { text.to_owned() }
}
