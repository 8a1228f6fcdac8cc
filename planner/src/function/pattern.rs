//! Regular expressions by which a text is matched, or not; each is compiled once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use parking_lot::Mutex;
use regex::Regex;

use super::own::{Call, Definition, is_text};

/// How many compiled expressions are kept.
const KEPT: usize = 256;

static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// Whether a text has a match of a pattern; `~` and its kin are this.
pub(super) static REGEXP_LIKE: Definition = Definition {
    name: "regexp_like",
    aliases: &[],
    takes: |types| {
        let are_texts = types.iter().all(is_text);
        (are_texts && (2..=3).contains(&types.len())).then(|| vec![DataType::Utf8; types.len()])
    },
    gives: |call: &Call<'_>| {
        if let Some(pattern) = call.literal_text(1) {
            // The flags may be of a row; a pattern that is wrong is so with any.
            compiled(pattern, call.literal_text(2).unwrap_or_default())?;
        }
        Ok(DataType::Boolean)
    },
    values: regexp_like,
};

fn regexp_like(args: &[ArrayRef], _to: &DataType) -> Result<ArrayRef> {
    let (texts, patterns) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
    let flags = args.get(2).map(|flags| flags.as_string::<i32>());
    let mut last: Option<(&str, &str, Regex)> = None;
    let is_match = |row: usize| {
        if texts.is_null(row) || patterns.is_null(row) {
            return Ok(None);
        }
        // As for DataFusion, flags that are NULL are none.
        let flags = flags.map_or("", |flags| if flags.is_valid(row) { flags.value(row) } else { "" });
        let pattern = patterns.value(row);
        if last.as_ref().is_none_or(|(other, others, _)| *other != pattern || *others != flags) {
            last = Some((pattern, flags, compiled(pattern, flags)?));
        }
        Ok(last.as_ref().map(|(_, _, regex)| regex.is_match(texts.value(row))))
    };
    let matches: BooleanArray = (0..texts.len()).map(is_match).collect::<Result<_>>()?;
    Ok(Arc::new(matches))
}

fn compiled(pattern: &str, flags: &str) -> Result<Regex> {
    if !flags.bytes().all(|flag| b"imsxUR".contains(&flag)) {
        return exec_err!("regexp_like: the flags are some of i, m, s, x, U and R, not '{flags}'");
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

/// What is wrong; the lines before it show the pattern.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
