//! Regular expression functions. Each pattern is compiled only once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use parking_lot::Mutex;
use regex::{Captures, Regex};

use super::own::{Call, Definition, is_text};

/// Maximum number of compiled expressions that are kept.
const KEPT: usize = 256;

static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// Tests whether a text has a match of a pattern; `~` and the related operators use it too.
pub(super) static REGEXP_LIKE: Definition = Definition {
    name: "regexp_like",
    aliases: &[],
    takes: |types| are_texts(types, 2),
    gives: |call| {
        check_pattern(call, 2, "")?;
        Ok(DataType::Boolean)
    },
    values: regexp_like,
};

/// Replaces the first match of a pattern in a text, or every match with the flag `g`.
pub(super) static REGEXP_REPLACE: Definition = Definition {
    name: "regexp_replace",
    aliases: &[],
    takes: |types| are_texts(types, 3),
    gives: |call| {
        check_pattern(call, 3, "g")?;
        Ok(DataType::Utf8)
    },
    values: regexp_replace,
};

/// Accepts `count` texts and, optionally, flags.
fn are_texts(types: &[DataType], count: usize) -> Option<Vec<DataType>> {
    let has_flags_at_most = (count..=count + 1).contains(&types.len());
    (has_flags_at_most && types.iter().all(is_text)).then(|| vec![DataType::Utf8; types.len()])
}

/// Refuses an invalid literal pattern. If the flags are not a literal they are ignored: an invalid pattern is invalid
/// with any flags.
fn check_pattern(call: &Call<'_>, flags: usize, own_flags: &str) -> Result<()> {
    let Some(pattern) = call.literal_text(1) else { return Ok(()) };
    let flags = call.literal_text(flags).unwrap_or_default().replace(|flag| own_flags.contains(flag), "");
    compiled(pattern, &flags)?;
    Ok(())
}

fn regexp_like(args: &[ArrayRef], _to: &DataType) -> Result<ArrayRef> {
    let (texts, patterns) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
    let flags = args.get(2).map(|flags| flags.as_string::<i32>());
    let mut last = Last::default();
    let is_match = |row: usize| {
        if texts.is_null(row) || patterns.is_null(row) {
            return Ok(None);
        }
        // As in DataFusion, NULL flags mean no flags.
        let flags = flags.map_or("", |flags| if flags.is_valid(row) { flags.value(row) } else { "" });
        Ok(Some(last.regex(patterns.value(row), flags)?.is_match(texts.value(row))))
    };
    let matches: BooleanArray = (0..texts.len()).map(is_match).collect::<Result<_>>()?;
    Ok(Arc::new(matches))
}

fn regexp_replace(args: &[ArrayRef], _to: &DataType) -> Result<ArrayRef> {
    let args: Vec<&StringArray> = args.iter().map(|arg| arg.as_string::<i32>()).collect();
    let (mut last, mut replacement) = (Last::default(), None);
    let replaced = |row: usize| {
        if args.iter().any(|arg| arg.is_null(row)) {
            return Ok(None);
        }
        let flags = args.get(3).map_or("", |flags| flags.value(row));
        let regex = last.regex(args[1].value(row), &flags.replace('g', ""))?;
        let limit = if flags.contains('g') { 0 } else { 1 };
        let written = args[2].value(row);
        if replacement.as_ref().is_none_or(|(other, _)| *other != written) {
            replacement = Some((written, pieces(written)));
        }
        let pieces = replacement.as_ref().map_or(&[][..], |(_, pieces)| pieces);
        let replace = |found: &Captures<'_>| {
            let group = |group| found.get(group).map_or("", |group| group.as_str());
            pieces.iter().fold(String::new(), |text, piece| {
                text + match piece {
                    Piece::Text(text) => text,
                    Piece::Group(number) => group(*number),
                }
            })
        };
        Ok(Some(regex.replacen(args[0].value(row), limit, replace).into_owned()))
    };
    let texts: StringArray = (0..args[0].len()).map(replaced).collect::<Result<_>>()?;
    Ok(Arc::new(texts))
}

/// A part of a replacement.
enum Piece {
    Text(String),
    /// The text that a group of the pattern matched, empty if there is no such group; 0 is the whole match.
    Group(usize),
}

/// Splits a replacement, in which `\1` is a group and `\\` a backslash; other characters stand for themselves.
fn pieces(replacement: &str) -> Vec<Piece> {
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut rest = replacement.chars().peekable();
    while let Some(character) = rest.next() {
        let escaped = if character == '\\' { rest.peek().copied() } else { None };
        match escaped {
            Some(digit) if digit.is_ascii_digit() => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Group(digit as usize - '0' as usize));
                rest.next();
            }
            Some('\\') => {
                text.push('\\');
                rest.next();
            }
            _ => text.push(character),
        }
    }
    pieces.push(Piece::Text(text));
    pieces
}

/// The pattern, flags and compiled expression of the previous row, which are often those of the next row too.
#[derive(Default)]
struct Last(Option<(String, String, Regex)>);

impl Last {
    fn regex(&mut self, pattern: &str, flags: &str) -> Result<&Regex> {
        if self.0.as_ref().is_none_or(|(last, others, _)| last != pattern || others != flags) {
            self.0 = Some((pattern.to_owned(), flags.to_owned(), compiled(pattern, flags)?));
        }
        Ok(&self.0.as_ref().expect("set above").2)
    }
}

fn compiled(pattern: &str, flags: &str) -> Result<Regex> {
    if !flags.bytes().all(|flag| b"imsxUR".contains(&flag)) {
        return exec_err!("the flags of a regular expression are some of i, m, s, x, U and R, not '{flags}'");
    }
    let written = if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
    if let Some(regex) = COMPILED.lock().get(&written) {
        return Ok(regex.clone());
    }
    let regex = Regex::new(&written)
        .map_err(|error| exec_datafusion_err!("'{pattern}' is no regular expression: {}", last_line(&error)))?;
    let mut kept = COMPILED.lock();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(written, regex.clone());
    Ok(regex)
}

/// Returns the last line of the message, which says what is wrong; the lines before it show the pattern.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
