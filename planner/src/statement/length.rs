//! How long a text of SQL may be, and the memory that it takes to read it.

use sqlparser::tokenizer::TokenWithSpan;

use crate::error::PlanError;

/// Maximum number of bytes of a text, each of which may be a token.
const MOST_BYTES: usize = 64 << 20;

/// The most bytes of memory that [`memory_to_read`] returns for one byte of a text, about.
pub const MOST_MEMORY_OF_BYTE: u64 = 2 * size_of::<TokenWithSpan>() as u64 + 1;

/// Fails if `sql` is too long to be read.
pub(super) fn refuse(sql: &str) -> Result<(), PlanError> {
    refuse_more(sql, MOST_BYTES)
}

fn refuse_more(sql: &str, most: usize) -> Result<(), PlanError> {
    let length = sql.len();
    if length <= most {
        return Ok(());
    }
    Err(PlanError::invalid(format!(
        "the text of the statement has {length} bytes, more than the {most} that one can: give values as parameters, or \
         insert() them"
    )))
}

/// Returns about how many bytes it takes at most to split a text into tokens; fails if the text is too long to be read.
pub fn memory_to_read(sql: &str) -> Result<u64, PlanError> {
    refuse(sql)?;
    // A byte that belongs to no word may be a token, and so may the word before it.
    let apart = |byte: &u8| !(byte.is_ascii_alphanumeric() || *byte == b'_');
    let tokens = 1 + 2 * sql.as_bytes().iter().filter(|byte| apart(byte)).count();
    Ok((sql.len() + tokens * size_of::<TokenWithSpan>()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_refused_with_its_length() {
        assert!(refuse_more("SELECT 1", 8).is_ok());
        let error = refuse_more("SELECT 10", 8).expect_err("one byte too many").to_string();
        assert!(error.starts_with("the text of the statement has 9 bytes, more than the 8 that one can"), "{error}");
    }

    #[test]
    fn the_memory_of_a_text_is_that_of_its_words_and_signs() {
        let token = size_of::<TokenWithSpan>() as u64;
        assert_eq!(memory_to_read(&"x".repeat(100)), Ok(100 + token));
        assert_eq!(memory_to_read("a b c"), Ok(5 + 5 * token));
        assert_eq!(memory_to_read("(((("), Ok(4 + 9 * token));
    }
}
