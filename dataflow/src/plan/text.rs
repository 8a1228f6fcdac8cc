//! Puts the names of columns into the texts of expressions.

use arrow::datatypes::Schema;

/// Replaces column positions (`#0`) in the text of an expression by the names of the columns.
///
/// A name that several columns share keeps its position, as in `k#0`. Quoted text stays as it is.
pub fn named_text(text: &str, schema: &Schema) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        quoted ^= next == '\'';
        let after = &rest[next.len_utf8()..];
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let position = after[..digits].parse::<usize>().ok().filter(|_| next == '#' && !quoted);
        match position.filter(|position| *position < schema.fields().len()) {
            Some(position) => {
                let name = schema.field(position).name();
                let alone = schema.fields().iter().filter(|field| field.name() == name).count() == 1;
                out.push_str(name);
                if !alone {
                    out.push_str(&rest[..1 + digits]);
                }
                rest = &after[digits..];
            }
            None => {
                out.push(next);
                rest = after;
            }
        }
    }
    out
}
