//! Reads what the structs of the C interfaces point to: parts, which are structs of the same kind.

use arrow::error::ArrowError;

/// Returns what an array of `count` pointers points to; fails if there are more than `most`, or if one is no pointer to
/// a `T`.
#[expect(unsafe_code, reason = "the C data interface is pointers")]
pub(super) fn parts<'a, T>(
    pointers: *const *mut T,
    count: i64,
    most: usize,
    what: &str,
) -> Result<Vec<&'a T>, ArrowError> {
    let wrong = |why: &str| failure(&format!("the {what} is malformed: {why}"));
    let count = usize::try_from(count).ok().filter(|count| *count <= most);
    let count = count.ok_or_else(|| wrong("the number of its parts is out of range"))?;
    if count == 0 {
        return Ok(Vec::new());
    }
    if pointers.is_null() {
        return Err(wrong("its parts are missing"));
    }
    let each = (0..count).map(|place| {
        // SAFETY: by the protocol, there are as many pointers as the struct says.
        let pointer = unsafe { pointers.add(place).read_unaligned() };
        if !pointer.is_aligned() {
            return Err(wrong("a part of it is not aligned"));
        }
        // SAFETY: by the protocol, a pointer that is not null points to a part, which stays until the whole is
        // released.
        unsafe { pointer.as_ref() }.ok_or_else(|| wrong("a part of it is missing"))
    });
    each.collect()
}

/// Returns what a pointer to a single struct points to.
pub(super) fn part<'a, T>(pointer: *mut T) -> Result<Option<&'a T>, ArrowError> {
    if pointer.is_null() {
        Ok(None)
    } else {
        parts(&raw const pointer, 1, 1, "dictionary").map(|all| all.first().copied())
    }
}

/// Makes an error of data that are malformed.
pub(super) fn failure(text: &str) -> ArrowError {
    ArrowError::CDataInterface(text.to_owned())
}
