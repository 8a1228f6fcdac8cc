//! The targets that `tests/fuzz` gives random bytes to. Each takes any bytes, and panics if what must always hold does
//! not.
//!
//! `tests/tests/fuzz_replay.rs` runs the same targets over the inputs that are kept in `tests/fuzz/corpus`.

pub mod arrow;
pub mod csv;
pub mod iso;
pub mod json;
mod panics;
mod rows;
pub mod sql;
mod written;

use laminardb_bridge::Error;

/// Each target by its name, which is also that of its folder in `tests/fuzz/corpus`.
pub const TARGETS: [(&str, fn(&[u8])); 5] = [
    ("arrow", arrow::target),
    ("sql", sql::target),
    ("json", json::target),
    ("csv", csv::target),
    ("iso", iso::target),
];

/// Runs a target on an input. A panic in code of ours fails it, even where the panic becomes an error of the call.
pub fn run(target: fn(&[u8]), input: &[u8]) {
    panics::watch(|| target(input));
}

/// Codes of errors that no input may cause: they are about the database and not about what was given.
const NEVER: [u16; 7] = [100, 101, 102, 501, 900, 901, 902];

/// Checks that an error has a code that an input can cause, and that a place in `text` that it names is there.
fn check(error: &Error, text: &str) {
    assert!(!NEVER.contains(&error.code()), "{}", error.message());
    assert!(!error.to_string().is_empty(), "the error {} has no text", error.code());
    if let Error::SqlParse { line, column, .. } = error {
        check_place(text, *line as usize, *column as usize, &error.message());
    }
}

/// Checks that a text has the line, and the line the column or one character less, where the text ends.
fn check_place(text: &str, line: usize, column: usize, message: &str) {
    let Some(found) = line.checked_sub(1).and_then(|before| text.split('\n').nth(before)) else {
        panic!("{message}: the text has no line {line}");
    };
    assert!((1..=found.chars().count() + 1).contains(&column), "{message}: line {line} has no column {column}");
}

/// Returns the number at the beginning of a text, if there is one.
fn leading_number(text: &str) -> Option<usize> {
    text[..text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len())].parse().ok()
}
