//! Reads an Arrow stream of another library, array by array.
//!
//! The library may describe its own stream wrongly, or end it with an error that has no text: then reading fails with
//! what is known.

use std::ffi::CStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, make_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow::ffi_stream::FFI_ArrowArrayStream;
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
        let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?.cast();
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
                0 => Field::try_from(&schema),
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
        // SAFETY: by the protocol the array is of the stream's type and there until it is released.
        unsafe { forget_buffers_of_nulls(&mut array, self.field.data_type()) };
        // SAFETY: by the protocol the array is of the stream's type; its values are checked before they are used.
        let array = unsafe { from_ffi_and_data_type(array, self.field.data_type().clone()) };
        Some(array.map(make_array))
    }
}

/// Sets the number of buffers of null arrays to 0, as Arrow says; polars exports them with one.
///
/// # Safety
/// The array must be of the type, and not released.
#[expect(unsafe_code, reason = "the C stream interface is pointers and functions of C")]
unsafe fn forget_buffers_of_nulls(array: &mut FFI_ArrowArray, data_type: &DataType) {
    let parts: Vec<&DataType> = match data_type {
        DataType::Null => {
            array.n_buffers = 0;
            return;
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => vec![item.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        _ => return,
    };
    if array.children.is_null() || usize::try_from(array.n_children) != Ok(parts.len()) {
        return;
    }
    for (place, part) in parts.into_iter().enumerate() {
        // SAFETY: an array that is there has as many children as it says, each of the type of its part.
        if let Some(child) = unsafe { (*array.children.add(place)).as_mut() } {
            // SAFETY: as above.
            unsafe { forget_buffers_of_nulls(child, part) };
        }
    }
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
