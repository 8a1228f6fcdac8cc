//! Takes Arrow streams, arrays and schemas out of capsules; `laminardb_bridge::foreign` reads them.

use std::ffi::CStr;
use std::ptr::NonNull;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow::ffi_stream::FFI_ArrowArrayStream;
use laminardb_bridge::foreign::{self, ForeignStream};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// Takes the stream from a capsule. The outer error is an exception for a capsule of another kind, the inner one is for
/// a stream that was read already or has no valid schema.
#[expect(unsafe_code, reason = "the C stream interface is pointers and functions of C")]
pub(crate) fn stream(capsule: &Bound<'_, PyCapsule>) -> PyResult<Result<ForeignStream, ArrowError>> {
    let pointer = pointer(capsule, c"arrow_array_stream")?;
    // SAFETY: by the protocol, a capsule of this name points to a stream. Nobody else takes it out meanwhile, since
    // this thread is attached to the interpreter.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr()) };
    // SAFETY: by the protocol, the stream is one of the C stream interface.
    Ok(unsafe { ForeignStream::new(stream) })
}

/// Takes an array from its capsule; the other capsule has its name and type. The outer error is an exception for
/// capsules of another kind, the inner one is for an array that was taken already or is malformed.
#[expect(unsafe_code, reason = "the C data interface is pointers and functions of C")]
pub(crate) fn array(
    schema: &Bound<'_, PyCapsule>,
    array: &Bound<'_, PyCapsule>,
) -> PyResult<Result<(FieldRef, ArrayRef), ArrowError>> {
    let array = pointer(array, c"arrow_array")?;
    let schema = pointer::<FFI_ArrowSchema>(schema, c"arrow_schema")?;
    // SAFETY: by the protocol, a capsule of this name points to an array. Nobody else takes it out meanwhile, since
    // this thread is attached to the interpreter.
    let array = unsafe { FFI_ArrowArray::from_raw(array.as_ptr()) };
    // SAFETY: by the protocol, a capsule of that name points to a schema, which stays there while the capsule does, and
    // both are of the C data interface.
    Ok(unsafe { foreign::array(schema.as_ref(), array) })
}

/// Returns the schema in a capsule. The outer error is an exception for a capsule of another kind, the inner one is for
/// a schema that is malformed or not that of rows.
#[expect(unsafe_code, reason = "the C data interface is pointers and functions of C")]
pub(crate) fn schema(capsule: &Bound<'_, PyCapsule>) -> PyResult<Result<Schema, ArrowError>> {
    let pointer = pointer::<FFI_ArrowSchema>(capsule, c"arrow_schema")?;
    // SAFETY: by the protocol, a capsule of this name points to a schema, which stays there while the capsule does.
    Ok(unsafe { foreign::schema(pointer.as_ref()) })
}

/// Returns the pointer in a capsule, which must have the name and point to where a `T` can be.
fn pointer<T>(capsule: &Bound<'_, PyCapsule>, name: &CStr) -> PyResult<NonNull<T>> {
    let pointer = capsule.pointer_checked(Some(name))?.cast::<T>();
    if pointer.is_aligned() { Ok(pointer) } else { Err(PyValueError::new_err("the capsule points to no Arrow data")) }
}
