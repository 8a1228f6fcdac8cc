//! Converts CSV text into rows of a relation.
//!
//! The text must be strict RFC 4180 with a header line and lines ending in LF or CRLF. A quote inside an unquoted
//! field, text after a closing quote, a quote that is never closed and a lone CR are errors. The csv crate, on which
//! Arrow's reader is built, accepts all of these and does not distinguish `""` from an empty field; so fields are split
//! here.

use std::borrow::Cow;

use arrow::array::RecordBatch;

use super::names::{Extra, Unmatched, match_name};
use super::rows::RowBuilder;
use super::text::{MayGoOn, Pace, place, unmarked};
use super::value::Value;
use crate::error::Error;
use crate::relation::Spec;

/// Reads the rows of a CSV text for a relation, in batches; `extra` says what happens to columns that it does not have.
/// Fails with the error of `may_go_on`, which is called after each megabyte.
///
/// If the header names one column, an empty line is a row whose field is NULL; otherwise it is skipped.
pub fn from_csv(text: &str, spec: &Spec, extra: Extra, may_go_on: MayGoOn<'_>) -> Result<Vec<RecordBatch>, Error> {
    let text = unmarked(text);
    let mut lines = Lines { text, at: 0, line: 1 };
    let mut fields = Vec::new();
    loop {
        if lines.next(&mut fields)?.is_none() {
            return Ok(Vec::new());
        }
        if !is_blank(&fields) {
            break;
        }
    }
    let columns = columns_of(&fields, spec, extra).map_err(|why| why.in_relation(&spec.name))?;
    let mut rows = RowBuilder::new(spec, extra)?;
    let mut pace = Pace::new(may_go_on);
    while let Some(line) = lines.next(&mut fields)? {
        if fields.len() != columns.len() {
            if is_blank(&fields) {
                continue;
            }
            let (row, given, expected) = (rows.row(), fields.len(), columns.len());
            return Err(Error::IngestionFailed(format!(
                "row {row} (line {line}): fields: {given}, columns of the header: {expected}"
            )));
        }
        let mut given = fields.iter().zip(&columns).filter_map(|(field, column)| Some((field, (*column)?)));
        let taken = given.try_for_each(|(field, column)| rows.append(column, &field.value()));
        let taken = taken.and_then(|()| rows.end_row(lines.at));
        taken.map_err(|problem| problem.at(rows.row(), line))?;
        pace.at(lines.at)?;
    }
    Ok(rows.finish())
}

/// Returns the column that each field of the header names; `None` for one that is left out.
fn columns_of(header: &[Field<'_>], spec: &Spec, extra: Extra) -> Result<Vec<Option<usize>>, Unmatched> {
    let mut columns = Vec::with_capacity(header.len());
    for (place, field) in header.iter().enumerate() {
        let column = match match_name(&field.text, place, &spec.schema) {
            Err(Unmatched::Unknown(_)) if extra == Extra::Ignore => None,
            found => Some(found?),
        };
        if let Some(column) = column
            && columns.contains(&Some(column))
        {
            return Err(Unmatched::Twice(spec.schema.field(column).name().clone()));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn is_blank(fields: &[Field<'_>]) -> bool {
    matches!(fields, [field] if field.is_null())
}

struct Field<'a> {
    text: Cow<'a, str>,
    is_quoted: bool,
}

impl Field<'_> {
    fn is_null(&self) -> bool {
        !self.is_quoted && self.text.is_empty()
    }

    fn value(&self) -> Value<'_> {
        if self.is_null() { Value::Null } else { Value::Field(&self.text) }
    }
}

/// The lines of a text; a line with a quoted field may span several lines of the text.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    /// Number of the line at `at`, counted from 1.
    line: usize,
}

impl<'a> Lines<'a> {
    /// Replaces `fields` by those of the next line and returns the line's number; `None` at the end of the text.
    fn next(&mut self, fields: &mut Vec<Field<'a>>) -> Result<Option<usize>, Error> {
        fields.clear();
        if self.at == self.text.len() {
            return Ok(None);
        }
        let line = self.line;
        loop {
            fields.push(if self.byte() == Some(b'"') { self.quoted()? } else { self.bare() });
            match self.byte() {
                Some(b',') => self.at += 1,
                None => return Ok(Some(line)),
                Some(b'\n') => return Ok(Some(self.end_line(line, 1))),
                Some(b'\r') if self.text.as_bytes().get(self.at + 1) == Some(&b'\n') => {
                    return Ok(Some(self.end_line(line, 2)));
                }
                Some(b'\r') => return Err(self.wrong(self.at, "a carriage return without a line feed")),
                Some(b'"') => return Err(self.wrong(self.at, "a quote inside a field that does not begin with one")),
                Some(_) => return Err(self.wrong(self.at, "text after a closing quote")),
            }
        }
    }

    fn end_line(&mut self, line: usize, bytes: usize) -> usize {
        self.at += bytes;
        self.line += 1;
        line
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads an unquoted field up to a comma, the end of the line, or a quote (which the caller refuses).
    fn bare(&mut self) -> Field<'a> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        self.at += rest.iter().position(|byte| matches!(byte, b',' | b'\n' | b'\r' | b'"')).unwrap_or(rest.len());
        Field { text: Cow::Borrowed(&self.text[start..self.at]), is_quoted: false }
    }

    /// Reads a quoted field through its closing quote.
    fn quoted(&mut self) -> Result<Field<'a>, Error> {
        let open = self.at;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at + 1;
            let Some(length) = self.text[start..].find('"') else {
                return Err(self.wrong(open, "a quote that is never closed"));
            };
            let part = &self.text[start..start + length];
            self.line += part.bytes().filter(|byte| *byte == b'\n').count();
            self.at = start + length + 1;
            // Text before a doubled quote means that the field has to be copied; otherwise it is borrowed.
            if text.is_empty() {
                text = Cow::Borrowed(part);
            } else {
                text.to_mut().push_str(part);
            }
            if self.byte() != Some(b'"') {
                return Ok(Field { text, is_quoted: true });
            }
            text.to_mut().push('"');
        }
    }

    fn wrong(&self, at: usize, what: &str) -> Error {
        let (line, column) = place(self.text, at);
        Error::IngestionFailed(format!("not CSV: {what} at line {line}, column {column}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the fields of all lines, `None` for NULL, with the number of each line.
    fn cut(text: &str) -> Result<Vec<(usize, Vec<Option<String>>)>, Error> {
        let (mut lines, mut fields, mut all) = (Lines { text, at: 0, line: 1 }, Vec::new(), Vec::new());
        while let Some(line) = lines.next(&mut fields)? {
            let shown = |field: &Field<'_>| (!field.is_null()).then(|| field.text.to_string());
            all.push((line, fields.iter().map(shown).collect()));
        }
        Ok(all)
    }

    fn row<const N: usize>(line: usize, fields: [Option<&str>; N]) -> (usize, Vec<Option<String>>) {
        (line, fields.iter().map(|field| field.map(str::to_owned)).collect())
    }

    #[test]
    fn fields_are_those_of_the_rfc() {
        let cases = [
            ("", vec![]),
            ("a,b", vec![row(1, [Some("a"), Some("b")])]),
            ("a,b\r\nc,d\n", vec![row(1, [Some("a"), Some("b")]), row(2, [Some("c"), Some("d")])]),
            (",\n", vec![row(1, [None, None])]),
            ("\"\",\n", vec![row(1, [Some(""), None])]),
            ("\n\n", vec![row(1, [None]), row(2, [None])]),
            (" a , b ", vec![row(1, [Some(" a "), Some(" b ")])]),
            ("\"a,\"\"b\"\"\r\nc\",d\ne,", vec![row(1, [Some("a,\"b\"\r\nc"), Some("d")]), row(3, [Some("e"), None])]),
            ("\"\"\"\",\"\"\"\"\"\",\"x\"\"\"", vec![row(1, [Some("\""), Some("\"\""), Some("x\"")])]),
            ("\"ä\nö\",ü", vec![row(1, [Some("ä\nö"), Some("ü")])]),
        ];
        for (text, expected) in cases {
            assert_eq!(cut(text).expect("is CSV"), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_csv_is_said_where_it_is() {
        let cases = [
            ("a\nb\"c", "a quote inside a field that does not begin with one at line 2, column 2"),
            ("a\n\"b\"c", "text after a closing quote at line 2, column 4"),
            ("a\n\"b\" ,c", "text after a closing quote at line 2, column 4"),
            ("ä,\"b\nc", "a quote that is never closed at line 1, column 3"),
            ("a\rb", "a carriage return without a line feed at line 1, column 2"),
            ("a,b\r", "a carriage return without a line feed at line 1, column 4"),
        ];
        for (text, expected) in cases {
            let error = cut(text).expect_err("is not CSV");
            assert_eq!((error.code(), error.to_string()), (300, format!("not CSV: {expected}")), "{text:?}");
        }
    }
}
