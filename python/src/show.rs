//! Formats a result as a text table or an HTML table, and calls the Python code that draws pictures.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use laminardb_bridge::Error;
use pyo3::intern;
use pyo3::prelude::*;

use crate::error::raised;
use crate::result::Answer;
use crate::visible;

/// Maximum number of rows shown in HTML.
const HTML_ROWS: usize = 50;
/// Maximum number of characters shown of a cell.
const CELL: usize = 60;

/// Returns a table of at most `max_rows` rows, with a line that counts those not shown.
pub(crate) fn text(py: Python<'_>, result: &Answer, max_rows: usize) -> PyResult<String> {
    let names: Vec<String> = result.schema().fields().iter().map(|field| clipped(field.name())).collect();
    let rows = cells(result.batches(), max_rows).map_err(|error| unshown(py, &error))?;
    let mut columns = Columns::new(py, names.len())?;
    columns.widen(&names)?;
    for row in &rows {
        columns.widen(row)?;
    }
    let rule = columns.rule();
    let mut table = rule.clone();
    columns.line(&mut table, &names)?;
    table.push_str(&rule);
    for row in &rows {
        columns.line(&mut table, row)?;
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

/// Returns an HTML table of the first rows, with all text escaped.
pub(crate) fn html(py: Python<'_>, result: &Answer) -> PyResult<String> {
    let mut table = "<table>\n<thead><tr>".to_owned();
    for field in result.schema().fields() {
        table.push_str(&format!("<th>{}</th>", escaped(&visible::line(field.name()))));
    }
    table.push_str("</tr></thead>\n<tbody>\n");
    let rows = cells(result.batches(), HTML_ROWS).map_err(|error| unshown(py, &error))?;
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

/// Calls the function `name` of `laminardb._picture` with `value`.
pub(crate) fn picture<'py>(value: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    value.py().import(intern!(value.py(), "laminardb._picture"))?.call_method1(name, (value,))
}

/// Columns of a text table, each as wide as its widest cell.
struct Columns<'py> {
    widths: Vec<usize>,
    /// The Python module `unicodedata`; `known` caches the widths of the characters that it was asked about.
    unicodedata: Bound<'py, PyModule>,
    known: HashMap<char, usize>,
}

impl<'py> Columns<'py> {
    fn new(py: Python<'py>, columns: usize) -> PyResult<Self> {
        let unicodedata = py.import(intern!(py, "unicodedata"))?;
        Ok(Self { widths: vec![0; columns], unicodedata, known: HashMap::new() })
    }

    /// Widens the columns to fit a row of cells.
    fn widen(&mut self, cells: &[String]) -> PyResult<()> {
        for (column, cell) in cells.iter().enumerate() {
            self.widths[column] = self.widths[column].max(self.width(cell)?);
        }
        Ok(())
    }

    fn rule(&self) -> String {
        self.widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n"
    }

    fn line(&mut self, table: &mut String, cells: &[String]) -> PyResult<()> {
        for (column, cell) in cells.iter().enumerate() {
            let padding = self.widths[column] - self.width(cell)?;
            table.push_str(&format!("| {cell}{} ", " ".repeat(padding)));
        }
        table.push_str("|\n");
        Ok(())
    }

    /// Returns the number of places that a terminal gives to the text.
    fn width(&mut self, text: &str) -> PyResult<usize> {
        if text.is_ascii() {
            return Ok(text.len());
        }
        text.chars().map(|character| self.character_width(character)).sum()
    }

    /// Returns 2 for the wide characters of East Asia and most emoji, 0 for marks on other characters, and otherwise 1.
    fn character_width(&mut self, character: char) -> PyResult<usize> {
        if character.is_ascii() {
            return Ok(1);
        }
        if let Some(width) = self.known.get(&character) {
            return Ok(*width);
        }
        let py = self.unicodedata.py();
        let asked = |question| self.unicodedata.call_method1(question, (character,))?.extract::<String>();
        let is_mark = matches!(asked(intern!(py, "category"))?.as_str(), "Mn" | "Me" | "Cf");
        let is_wide = matches!(asked(intern!(py, "east_asian_width"))?.as_str(), "W" | "F");
        let width = if is_mark { 0 } else { 1 + usize::from(is_wide) };
        self.known.insert(character, width);
        Ok(width)
    }
}

fn unshown(py: Python<'_>, error: &ArrowError) -> PyErr {
    raised(py, &Error::QueryFailed(error.to_string()))
}

/// Returns the cells of the first `limit` rows as text.
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

/// Returns the text as one line of at most [`CELL`] characters.
fn clipped(text: &str) -> String {
    // Escapes only make text longer, so the characters cut off here would never be shown.
    let end = text.char_indices().nth(CELL + 1).map_or(text.len(), |(end, _)| end);
    visible::start(&visible::line(&text[..end].replace('\\', "\\\\")), CELL)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#x27;")
}
