//! Converts JSON text into rows of a relation.
//!
//! The text is an array of objects, one object, or objects that each begin on a line of their own. serde_json first
//! checks each row and locates syntax errors; then the values are cut out of the valid text exactly as they are
//! written. Arrow's reader is not used: it accepts commas as spaces, keeps the last of two equal keys, does not tell
//! numbers from strings, and reports errors without line and column. A parsed tree is not used either: there, numbers
//! have already become doubles and differ from what was written.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use serde_core::de::IgnoredAny;
use serde_json::Deserializer;

use super::names::Extra;
use super::rows::{Problem, RowBuilder};
use super::text::{MayGoOn, Pace, place, unmarked};
use super::walk::{Walk, byte, skip_space, unescaped};
use crate::error::Error;
use crate::relation::Spec;

/// Reads the rows of a JSON text for a relation, in batches; `extra` says what happens to members that are no columns
/// of it. Fails with the error of `may_go_on`, which is called after each megabyte.
pub fn from_json(text: &str, spec: &Spec, extra: Extra, may_go_on: MayGoOn<'_>) -> Result<Vec<RecordBatch>, Error> {
    let text = unmarked(text);
    let mut reader = Reader { text, rows: RowBuilder::new(spec, extra)?, keys: Vec::new(), pace: Pace::new(may_go_on) };
    let start = skip_space(text, 0);
    match byte(text, start) {
        None => {}
        Some(b'[') => reader.array(start)?,
        Some(b'{') => reader.objects(start)?,
        Some(_) => {
            let end = reader.value(start)?;
            reader.end(end)?;
            return Err(reader.wrong(start, "expected an object or an array of objects"));
        }
    }
    Ok(reader.rows.finish())
}

struct Reader<'a> {
    text: &'a str,
    rows: RowBuilder<'a>,
    /// For each place of the previous row, the key as written and its column, `None` for one that is left out. Most rows
    /// have the same keys.
    keys: Vec<(&'a str, Option<usize>)>,
    pace: Pace<'a>,
}

impl<'a> Reader<'a> {
    /// Reads an array that begins at `start` and must be followed by nothing.
    fn array(&mut self, start: usize) -> Result<(), Error> {
        let mut at = skip_space(self.text, start + 1);
        if byte(self.text, at) == Some(b']') {
            return self.end(at + 1);
        }
        loop {
            at = skip_space(self.text, self.row(at)?);
            match byte(self.text, at) {
                Some(b',') => at = skip_space(self.text, at + 1),
                Some(b']') => return self.end(at + 1),
                Some(_) => return Err(self.wrong(at, "expected `,` or `]`")),
                None => return Err(self.wrong(at, "the text ends inside an array")),
            }
        }
    }

    /// Reads objects up to the end of the text; the first begins at `start`.
    fn objects(&mut self, start: usize) -> Result<(), Error> {
        let mut at = start;
        loop {
            let end = self.row(at)?;
            at = skip_space(self.text, end);
            match byte(self.text, at) {
                None => return Ok(()),
                Some(_) if !self.text[end..at].contains('\n') => {
                    return Err(self.wrong(at, "expected the end of the line after an object"));
                }
                Some(_) => {}
            }
        }
    }

    /// Checks that only white space is left from `at` on.
    fn end(&self, at: usize) -> Result<(), Error> {
        let at = skip_space(self.text, at);
        if at == self.text.len() { Ok(()) } else { Err(self.wrong(at, "expected the end of the text")) }
    }

    /// Checks the value that begins at `at` and returns its end.
    fn value(&self, at: usize) -> Result<usize, Error> {
        let rest = &self.text[at..];
        let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => Ok(at + values.byte_offset()),
            Some(Err(error)) => {
                // serde_json counts columns in bytes, which locates the error in `rest`; the message repeats the place,
                // so cut it.
                let line = rest.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
                let text = error.to_string();
                let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
                Err(self.wrong(at + line + error.column().saturating_sub(1), what))
            }
            None => Err(self.wrong(at, "expected value")),
        }
    }

    /// Reads the row that begins at `start` and returns its end.
    fn row(&mut self, start: usize) -> Result<usize, Error> {
        let end = self.value(start)?;
        let text = &self.text[start..end];
        if !text.starts_with('{') {
            let (row, (line, column)) = (self.rows.row(), place(self.text, start));
            return Err(Error::IngestionFailed(format!("row {row} (line {line}, column {column}) is not an object")));
        }
        let taken = self.members(text).and_then(|()| self.rows.end_row(end));
        taken.map_err(|problem| problem.at(self.rows.row(), place(self.text, start).0))?;
        self.pace.at(end)?;
        Ok(end)
    }

    fn members(&mut self, object: &'a str) -> Result<(), Problem> {
        let mut members = Walk::inside(object);
        let mut at = 0;
        while let Some((written, value)) = members.member() {
            let column = match self.keys.get(at) {
                Some((known, column)) if *known == written => *column,
                _ => {
                    let name = unescaped(written).unwrap_or(Cow::Borrowed(written));
                    let column = self.rows.find(&name, at)?;
                    self.keys.truncate(at);
                    self.keys.push((written, column));
                    column
                }
            };
            if let Some(column) = column {
                self.rows.append(column, &value)?;
            }
            at += 1;
        }
        Ok(())
    }

    fn wrong(&self, at: usize, what: &str) -> Error {
        let (line, column) = place(self.text, at);
        Error::IngestionFailed(format!("not JSON: {what} at line {line}, column {column}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;
    use crate::relation::StorageKind;

    fn read(text: &str) -> Result<Vec<(Option<i64>, Option<String>)>, Error> {
        let fields = vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(fields));
        let spec = Spec {
            name: "t".into(),
            kind: StorageKind::Bag,
            schema,
            primary_key: Vec::new(),
            json_columns: Vec::new(),
            defaults: Vec::new(),
            follow: None,
        };
        let mut rows = Vec::new();
        for batch in from_json(text, &spec, Extra::Refuse, &|| Ok(()))? {
            let (a, b) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
            let row = |row| (a.iter().nth(row).flatten(), b.is_valid(row).then(|| b.value(row).to_owned()));
            rows.extend((0..batch.num_rows()).map(row));
        }
        Ok(rows)
    }

    fn text(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    #[test]
    fn the_three_forms_are_read() {
        let rows = vec![(Some(1), text("x")), (None, text("y"))];
        for form in [
            r#"[{"a":1,"b":"x"},{"b":"y"}]"#,
            "\u{feff} [ { \"b\" : \"x\" , \"a\" : 1 } ,\n{\"b\":\"y\",\"a\":null}\t]\r\n",
            "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\"}",
            "\n{\"a\":1,\n\"b\":\"x\"}\r\n\r\n{\"b\":\"y\"}\n",
        ] {
            assert_eq!(read(form).expect("is JSON"), rows, "{form}");
        }
        assert_eq!(
            read(r#"{"b":"\u00e9\"\\\n\ud83d\ude00","a":-0}"#).expect("is JSON"),
            [(Some(0), text("é\"\\\n😀"))]
        );
        for empty in ["", " \n", "[]", "[ ]\n", "\u{feff}"] {
            assert!(read(empty).expect("no rows").is_empty(), "{empty:?}");
        }
        let none: (Option<i64>, Option<String>) = (None, None);
        assert_eq!(read("{}\n{}").expect("empty rows"), [none.clone(), none]);
    }

    #[test]
    fn what_is_not_json_is_said_where_it_is() {
        let cases = [
            ("[{\"a\":1},]", "expected value at line 1, column 10"),
            ("[{\"a\":1} {\"a\":1}]", "expected `,` or `]` at line 1, column 10"),
            ("[{\"a\":1}", "the text ends inside an array at line 1, column 9"),
            ("[{\"a\":1}] x", "expected the end of the text at line 1, column 11"),
            ("{\"a\":1} {\"a\":1}", "expected the end of the line after an object at line 1, column 9"),
            ("{\"a\":1}\n{\"ä\":01}", "invalid number at line 2, column 7"),
            ("{\"a\":1}\n{\"a\":NaN}", "expected value at line 2, column 6"),
            ("nope", "expected ident at line 1, column 2"),
            ("7", "expected an object or an array of objects at line 1, column 1"),
        ];
        for (text, expected) in cases {
            let error = read(text).expect_err("is not JSON");
            assert_eq!((error.code(), error.to_string()), (300, format!("not JSON: {expected}")), "{text}");
        }
        let error = read("[{},\n 5]").expect_err("no object");
        assert_eq!((error.code(), error.to_string().as_str()), (300, "row 1 (line 2, column 2) is not an object"));
    }

    #[test]
    fn nothing_is_taken_twice_or_for_something_else() {
        let cases = [
            ("{\"a\":1,\"a\":1}", "row 0 (line 1): column a of t is given twice"),
            ("{\"a\":1}\n{\"z\":1}", "row 1 (line 2): t has no column z"),
            ("{\"a\":\"1\"}", "row 0 (line 1): '1' cannot be stored in column a (BIGINT) of t: only numbers can be"),
            ("{\"b\":1}", "row 0 (line 1): 1 cannot be stored in column b (VARCHAR) of t: only text can be"),
        ];
        for (text, expected) in cases {
            let error = read(text).expect_err("is refused");
            assert_eq!((error.code(), error.to_string().as_str()), (302, expected), "{text}");
        }
        let error = read(r#"{"b":"\ud800"}"#).expect_err("half a pair").to_string();
        assert!(error.contains(r#""\ud800" cannot be stored in column b"#), "{error}");
    }

    #[test]
    fn depth_is_no_limit() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let error = read(&format!("{{\"a\":{deep}}}")).expect_err("no list fits");
        assert_eq!(error.code(), 302);
    }
}
