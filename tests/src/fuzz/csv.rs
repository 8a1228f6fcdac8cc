//! CSV text into a table with columns of all types: exactly what is written, or an error with its place.

use laminardb_bridge::ingest::{Extra, from_csv, from_utf8};

use super::rows::with_table;
use super::{check, written};

/// Reads a text and stores its rows.
pub fn target(input: &[u8]) {
    let text = match from_utf8(input) {
        Ok(text) => text,
        Err(error) => return check(&error, ""),
    };
    with_table(|table| {
        let read = |text: &str, extra| from_csv(text, &table.spec, extra, &|| Ok(()));
        table.check(
            text,
            [read(text, Extra::Refuse), read(text, Extra::Ignore)],
            |database| database.session.insert_csv("all_types", text, Extra::Refuse),
            |batch| written::csv(batch).map(|lines| read(&lines, Extra::Refuse)),
        );
    });
}
