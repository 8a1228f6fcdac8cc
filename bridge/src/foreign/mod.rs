//! Reads Arrow data of another library through the C interfaces: streams, arrays and schemas.
//!
//! The library may describe its own data wrongly, or end a stream with an error that has no text: then reading fails
//! with what is known. It is trusted for what the interface has no words for: that pointers that are there are valid,
//! and that buffers are as long as the arrays say.

mod array;
mod cut;
mod part;
mod schema;

use std::ffi::CStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, make_array};
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow::ffi_stream::FFI_ArrowArrayStream;

use part::failure;

/// A stream of arrays of one type.
pub struct ForeignStream {
    stream: FFI_ArrowArrayStream,
    field: FieldRef,
}

impl ForeignStream {
    /// Takes over a stream; fails if it was read already or has no valid schema.
    ///
    /// # Safety
    ///
    /// The functions of the stream must be those of the C stream interface, and its pointers valid until it is
    /// released.
    #[expect(unsafe_code, reason = "the C stream interface is pointers and functions of C")]
    pub unsafe fn new(mut stream: FFI_ArrowArrayStream) -> Result<Self, ArrowError> {
        if stream.release.is_none() {
            return Err(failure("the stream was read already"));
        }
        let mut schema = FFI_ArrowSchema::empty();
        let field = match stream.get_schema {
            None => Err(failure("the stream has no schema")),
            // SAFETY: the function is the stream's own, the stream is not released and the schema is there to be
            // filled.
            Some(get_schema) => match unsafe { get_schema(&raw mut stream, &raw mut schema) } {
                0 => schema::field(&schema),
                code => Err(last_error(&mut stream, code)),
            },
        };
        field.map(|field| Self { stream, field: Arc::new(field) })
    }

    /// Returns the name and type of each array.
    pub fn field(&self) -> FieldRef {
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

/// Takes over an array, whose name and type are those of `schema`; fails if it was read already or is malformed.
///
/// # Safety
///
/// The pointers of both must be valid until they are released, and the buffers as long as the array says.
#[expect(unsafe_code, reason = "the C data interface is pointers")]
pub unsafe fn array(schema: &FFI_ArrowSchema, array: FFI_ArrowArray) -> Result<(FieldRef, ArrayRef), ArrowError> {
    let field = schema::field(schema)?;
    let array = array::read(array, field.data_type())?;
    Ok((Arc::new(field), make_array(array)))
}

/// Returns what a schema says; fails if it is malformed or not that of rows.
///
/// # Safety
///
/// The pointers of the schema must be valid until it is released.
#[expect(unsafe_code, reason = "the C data interface is pointers")]
pub unsafe fn schema(schema: &FFI_ArrowSchema) -> Result<Schema, ArrowError> {
    schema::field(schema).and_then(|_| Schema::try_from(schema))
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
