//! Reads a C schema: checks everything that its structs say before Arrow's own reader, which takes them at their word.
//!
//! What cannot be checked is taken from the producer: that a pointer that is there points to what it should, that a text
//! ends with a zero byte, and that metadata are as long as they say.

use std::ffi::{CStr, c_char};

use arrow::datatypes::Field;
use arrow::error::ArrowError;
use arrow::ffi::FFI_ArrowSchema;

use super::part::{failure, part, parts};

/// How deep types may lie in each other. Reading a type takes stack for each level.
const DEEPEST: usize = 64;

/// Maximum number of types within a schema, which keeps types that are shared by many others from being read for ever.
const MOST_TYPES: usize = 1_000_000;

/// Maximum number of entries in the metadata of a field, and of bytes in one of their texts.
const MOST_METADATA: usize = 1 << 16;
const LONGEST_METADATA: usize = 1 << 26;

/// Returns the name and type that a schema says.
pub(super) fn field(schema: &FFI_ArrowSchema) -> Result<Field, ArrowError> {
    check(schema, 0, &mut 0)?;
    Field::try_from(schema)
}

fn check(schema: &FFI_ArrowSchema, depth: usize, types: &mut usize) -> Result<(), ArrowError> {
    if depth > DEEPEST {
        return Err(failure(&format!("the schema is nested too deeply (limit {DEEPEST})")));
    }
    *types += 1;
    if *types > MOST_TYPES {
        return Err(failure(&format!("the schema has more than {MOST_TYPES} types")));
    }
    if schema.release.is_none() {
        return Err(failure("a schema was released already"));
    }
    let format = text(schema.format, "format")?.ok_or_else(|| failure("a schema has no format"))?;
    text(schema.name, "name")?;
    check_metadata(schema.metadata)?;
    let children = parts(schema.children, schema.n_children, MOST_TYPES, "schema")?;
    check_format(format, &children)?;
    children.iter().try_for_each(|child| check(child, depth + 1, types))?;
    if let Some(values) = part(schema.dictionary)? {
        if !matches!(format, "c" | "C" | "s" | "S" | "i" | "I" | "l" | "L") {
            return Err(failure(&format!("a dictionary has integers as indices, not the format '{format}'")));
        }
        check(values, depth + 1, types)?;
    }
    Ok(())
}

/// Returns a text; `None` if it is not there.
#[expect(unsafe_code, reason = "the C data interface is pointers")]
fn text<'a>(pointer: *const c_char, what: &str) -> Result<Option<&'a str>, ArrowError> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: by the protocol, a text that is there ends with a zero byte, and stays until the schema is released.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| failure(&format!("the {what} of a schema is not UTF-8")))
}

/// Checks that the type that a format means can be made of the children.
fn check_format(format: &str, children: &[&FFI_ArrowSchema]) -> Result<(), ArrowError> {
    let (kind, argument) = format.split_once(':').unwrap_or((format, ""));
    let expected = match kind {
        "+s" | "+ud" | "+us" => None,
        "+l" | "+L" | "+vl" | "+vL" | "+w" | "+m" => Some(1),
        "+r" => Some(2),
        _ => Some(0),
    };
    if expected.is_some_and(|expected| expected != children.len()) {
        return Err(failure(&format!("a schema of the format '{format}' has {} children", children.len())));
    }
    let wrong = || failure(&format!("a schema has the format '{format}', which is no type"));
    match kind {
        "w" | "+w" if argument.parse::<i32>().is_ok_and(|size| size < 0) => Err(wrong()),
        // Arrow takes the number of such values from what they hold, and finds none where there are some.
        "w" if argument.parse() == Ok(0) => Err(failure("bytes of the fixed length 0 cannot be read")),
        "+w" if argument.parse() == Ok(0) => Err(failure("lists of the fixed length 0 cannot be read")),
        "d" if !is_decimal(argument) => Err(wrong()),
        "+ud" | "+us" if !is_union(argument, children.len()) => Err(wrong()),
        "+r" if part(children[0].dictionary)?.is_some() => Err(wrong()),
        "+r" if !matches!(text(children[0].format, "format")?, Some("s" | "i" | "l")) => Err(wrong()),
        "+m" => match text(children[0].format, "format")? {
            Some("+s") if children[0].n_children == 2 => {
                let entries = parts(children[0].children, children[0].n_children, MOST_TYPES, "schema")?;
                if children[0].nullable() || entries[0].nullable() {
                    return Err(failure("a map has entries or keys that may be NULL"));
                }
                Ok(())
            }
            _ => Err(wrong()),
        },
        _ => Ok(()),
    }
}

/// Returns whether `argument` is the precision and scale, and perhaps the number of bits, of a decimal type.
fn is_decimal(argument: &str) -> bool {
    let mut numbers = argument.split(',').map(str::parse::<i16>);
    let (Some(Ok(precision)), Some(Ok(scale))) = (numbers.next(), numbers.next()) else { return false };
    let most = match (numbers.next(), numbers.next()) {
        (None | Some(Ok(128)), None) => 38,
        (Some(Ok(32)), None) => 9,
        (Some(Ok(64)), None) => 18,
        (Some(Ok(256)), None) => 76,
        _ => return false,
    };
    (1..=most).contains(&precision) && (-most..=precision).contains(&scale)
}

/// Returns whether `argument` lists a different id for each child of a union.
fn is_union(argument: &str, children: usize) -> bool {
    let mut ids: Vec<Option<i8>> = argument.split(',').map(|id| id.parse().ok()).collect();
    let all_valid = ids.iter().all(|id| id.is_some_and(|id| id >= 0));
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    all_valid && count == children && ids.len() == count
}

/// Checks metadata, which are a number of pairs of texts, each text after its length.
#[expect(unsafe_code, reason = "the C data interface is pointers")]
fn check_metadata(metadata: *const c_char) -> Result<(), ArrowError> {
    if metadata.is_null() {
        return Ok(());
    }
    let mut place = 0;
    let mut number = |most: usize, skipped: usize| {
        place += skipped;
        // SAFETY: by the protocol, metadata that are there have all the numbers and bytes that they say.
        let number = unsafe { metadata.add(place).cast::<i32>().read_unaligned() };
        place += size_of::<i32>();
        let number = usize::try_from(number).ok().filter(|number| *number <= most);
        number.ok_or_else(|| failure("the metadata of a schema are malformed"))
    };
    let entries = number(MOST_METADATA, 0)?;
    let mut length = 0;
    for _ in 0..2 * entries {
        length = number(LONGEST_METADATA, length)?;
    }
    Ok(())
}
