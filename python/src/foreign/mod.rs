//! Reads Arrow data of another library through the C interfaces: streams, arrays and schemas.
//!
//! The library may describe its own data wrongly, or end a stream with an error that has no text: then reading fails with
//! what is known. It is trusted for what the interface has no words for: that pointers that are there are valid, and that
//! buffers are as long as the arrays say.

mod array;
mod schema;

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::array::{ArrayRef, make_array};
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow::ffi_stream::FFI_ArrowArrayStream;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// A stream taken from its capsule.
pub(crate) struct ForeignStream {
    stream: FFI_ArrowArrayStream,
    field: FieldRef,
}

impl ForeignStream {
    /// Takes the stream from a capsule. The outer error is an exception for a capsule of another kind, the inner one is
    /// for a stream that was read already or has no valid schema.
    #[expect(unsafe_code, reason = "the C stream interface is pointers and functions of C")]
    pub(crate) fn take(capsule: &Bound<'_, PyCapsule>) -> PyResult<Result<Self, ArrowError>> {
        let pointer = pointer(capsule, c"arrow_array_stream")?;
        // SAFETY: by the protocol, a capsule of this name points to a stream. Nobody else takes it out meanwhile, since
        // this thread is attached to the interpreter.
        let mut stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr()) };
        if stream.release.is_none() {
            return Ok(Err(failure("the stream was read already")));
        }
        let mut schema = FFI_ArrowSchema::empty();
        let field = match stream.get_schema {
            None => Err(failure("the stream has no schema")),
            // SAFETY: the function is the stream's own, the stream is not released and the schema is there to be filled.
            Some(get_schema) => match unsafe { get_schema(&raw mut stream, &raw mut schema) } {
                0 => schema::field(&schema),
                code => Err(last_error(&mut stream, code)),
            },
        };
        Ok(field.map(|field| Self { stream, field: Arc::new(field) }))
    }

    /// Returns the name and type of each array.
    pub(crate) fn field(&self) -> FieldRef {
        Arc::clone(&self.field)
    }
}

impl Iterator for ForeignStream {
    type Item = Result<ArrayRef, ArrowError>;

    #[expect(unsafe_code, reason = "the C stream interface is pointers and functions of C")]
    fn next(&mut self) -> Option<Self::Item> {
        let Some(get_next) = self.stream.get_next else { return Some(Err(failure("the stream has no arrays"))) };
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: the function is the stream's own, the stream is not released and the array is there to be filled.
        let code = unsafe { get_next(&raw mut self.stream, &raw mut array) };
        if code != 0 {
            return Some(Err(last_error(&mut self.stream, code)));
        }
        if array.is_released() {
            return None;
        }
        Some(array::read(array, self.field.data_type()).map(make_array))
    }
}

/// Takes an array from its capsule; the other capsule has its name and type. The outer error is an exception for
/// capsules of another kind, the inner one is for an array that was taken already or is malformed.
#[expect(unsafe_code, reason = "the C data interface is pointers and functions of C")]
pub(crate) fn array(
    schema: &Bound<'_, PyCapsule>,
    array: &Bound<'_, PyCapsule>,
) -> PyResult<Result<(FieldRef, ArrayRef), ArrowError>> {
    let pointer = pointer(array, c"arrow_array")?;
    let field = with_schema(schema, schema::field)?;
    // SAFETY: by the protocol, a capsule of this name points to an array. Nobody else takes it out meanwhile, since this
    // thread is attached to the interpreter.
    let array = unsafe { FFI_ArrowArray::from_raw(pointer.as_ptr()) };
    Ok(field.and_then(|field| {
        let array = array::read(array, field.data_type())?;
        Ok((Arc::new(field), make_array(array)))
    }))
}

/// Returns the schema in a capsule. The outer error is an exception for a capsule of another kind, the inner one is for a
/// schema that is malformed or not that of rows.
pub(crate) fn schema(capsule: &Bound<'_, PyCapsule>) -> PyResult<Result<Schema, ArrowError>> {
    with_schema(capsule, |schema| schema::field(schema).and_then(|_| Schema::try_from(schema)))
}

#[expect(unsafe_code, reason = "the C data interface is pointers and functions of C")]
fn with_schema<T>(capsule: &Bound<'_, PyCapsule>, read: impl FnOnce(&FFI_ArrowSchema) -> T) -> PyResult<T> {
    let pointer = pointer::<FFI_ArrowSchema>(capsule, c"arrow_schema")?;
    // SAFETY: by the protocol, a capsule of this name points to a schema, which stays there while the capsule does.
    Ok(read(unsafe { pointer.as_ref() }))
}

/// Returns the pointer in a capsule, which must have the name and point to where a `T` can be.
fn pointer<T>(capsule: &Bound<'_, PyCapsule>, name: &CStr) -> PyResult<NonNull<T>> {
    let pointer = capsule.pointer_checked(Some(name))?.cast::<T>();
    if pointer.is_aligned() { Ok(pointer) } else { Err(PyValueError::new_err("the capsule points to no Arrow data")) }
}

/// Returns what an array of `count` pointers points to; fails if there are more than `most`, or if one is no pointer to a
/// `T`.
#[expect(unsafe_code, reason = "the C data interface is pointers")]
fn parts<'a, T>(pointers: *const *mut T, count: i64, most: usize, what: &str) -> Result<Vec<&'a T>, ArrowError> {
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
        // SAFETY: by the protocol, a pointer that is not null points to a part, which stays until the whole is released.
        unsafe { pointer.as_ref() }.ok_or_else(|| wrong("a part of it is missing"))
    });
    each.collect()
}

/// Returns the stream's last error, which the protocol allows to have no text.
#[expect(unsafe_code, reason = "the C stream interface is pointers and functions of C")]
fn last_error(stream: &mut FFI_ArrowArrayStream, code: i32) -> ArrowError {
    let Some(get_last_error) = stream.get_last_error else { return failure(&format!("error {code}")) };
    // SAFETY: the function is the stream's own, and the stream is not released.
    let text = unsafe { get_last_error(&raw mut *stream) };
    if text.is_null() {
        return failure(&format!("error {code}"));
    }
    // SAFETY: a text that is there ends with a zero byte and stays until the next call of the stream.
    failure(&unsafe { CStr::from_ptr(text) }.to_string_lossy())
}

fn failure(text: &str) -> ArrowError {
    ArrowError::CDataInterface(text.to_owned())
}
