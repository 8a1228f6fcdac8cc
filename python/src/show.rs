//! A result as a text table and as an HTML table; the way to the pictures that Python draws.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pyo3::intern;
use pyo3::prelude::*;

use crate::result::QueryResult;

/// Rows shown in HTML.
const HTML_ROWS: usize = 50;
/// Characters of a cell that are shown.
const CELL: usize = 60;

/// A table of at most `max_rows` rows, with a line on those not shown.
pub(crate) fn text(result: &QueryResult, max_rows: usize) -> Result<String, ArrowError> {
    let names: Vec<String> = result.schema_ref().fields().iter().map(|field| clipped(field.name())).collect();
    let rows = cells(result.batches(), max_rows)?;
    let mut widths: Vec<usize> = names.iter().map(|name| name.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n";
    let mut table = rule.clone();
    line(&mut table, &names, &widths);
    table.push_str(&rule);
    for row in &rows {
        line(&mut table, row, &widths);
    }
    table.push_str(&rule);
    let total = result.rows();
    let hidden = total - rows.len();
    table.push_str(&match (total, hidden) {
        (1, 0) => "1 row\n".to_owned(),
        (_, 0) => format!("{total} rows\n"),
        _ => format!("{total} rows, {hidden} not shown\n"),
    });
    Ok(table)
}

/// An HTML table of the first rows, with all text escaped.
pub(crate) fn html(result: &QueryResult) -> Result<String, ArrowError> {
    let mut table = "<table>\n<thead><tr>".to_owned();
    for field in result.schema_ref().fields() {
        table.push_str(&format!("<th>{}</th>", escaped(field.name())));
    }
    table.push_str("</tr></thead>\n<tbody>\n");
    let rows = cells(result.batches(), HTML_ROWS)?;
    for row in &rows {
        let row: String = row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        table.push_str(&format!("<tr>{row}</tr>\n"));
    }
    table.push_str("</tbody>\n</table>");
    let hidden = result.rows() - rows.len();
    if hidden > 0 {
        table.push_str(&format!("\n<p>{} rows, {hidden} not shown</p>", result.rows()));
    }
    Ok(table)
}

/// What the function `name` of `laminardb._picture` makes of `value`.
pub(crate) fn picture<'py>(value: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    value.py().import(intern!(value.py(), "laminardb._picture"))?.call_method1(name, (value,))
}

fn line(table: &mut String, cells: &[String], widths: &[usize]) {
    for (cell, width) in cells.iter().zip(widths) {
        table.push_str(&format!("| {cell:<width$} "));
    }
    table.push_str("|\n");
}

/// The cells of the first `limit` rows as text.
fn cells(batches: &[RecordBatch], limit: usize) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows().min(limit - rows.len()) {
            let cell = |formatter: &ArrayFormatter<'_>| Ok(clipped(&formatter.value(row).try_to_string()?));
            rows.push(formatters.iter().map(cell).collect::<Result<Vec<_>, ArrowError>>()?);
        }
    }
    Ok(rows)
}

/// One line of at most [`CELL`] characters.
fn clipped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    match text.char_indices().nth(CELL) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#x27;")
}
