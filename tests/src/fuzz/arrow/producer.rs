//! `Producer`: passes arrays through the C stream interface, or fails as a library may.

use std::collections::VecDeque;
use std::ffi::{c_char, c_int};
use std::sync::atomic::AtomicUsize;

use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow::ffi_stream::FFI_ArrowArrayStream;

use super::input::Input;
use super::memory::Memory;
use super::node::count_release;

pub(super) struct Producer {
    schema: Result<FFI_ArrowSchema, c_int>,
    arrays: VecDeque<Result<FFI_ArrowArray, c_int>>,
    last_error: *const c_char,
}

impl Producer {
    /// Makes a producer of these arrays, which may fail instead of giving the schema or one of them.
    pub(super) fn new(
        schema: FFI_ArrowSchema,
        arrays: Vec<FFI_ArrowArray>,
        input: &mut Input<'_>,
        memory: &mut Memory,
    ) -> Self {
        let mut arrays: VecDeque<_> = arrays.into_iter().map(Ok).collect();
        if input.seldom() {
            arrays.insert(input.below(arrays.len() + 1), Err(5));
        }
        let length = input.below(12);
        let error = input.bytes(length);
        let last_error = if input.seldom() { std::ptr::null() } else { memory.text(&error).cast() };
        Producer { schema: if input.seldom() { Err(22) } else { Ok(schema) }, arrays, last_error }
    }

    /// Returns the stream, whose releases are counted at `released`.
    pub(super) fn stream(&mut self, released: &AtomicUsize, input: &mut Input<'_>) -> FFI_ArrowArrayStream {
        let state = Box::into_raw(Box::new(State { producer: self, released }));
        let mut stream = FFI_ArrowArrayStream::empty();
        stream.get_schema = Some(get_schema);
        stream.get_next = Some(get_next);
        stream.get_last_error = Some(get_last_error);
        stream.release = Some(release);
        stream.private_data = state.cast();
        match if input.seldom() { input.below(4) } else { 4 } {
            0 => stream.get_schema = None,
            1 => stream.get_next = None,
            2 => stream.get_last_error = None,
            _ => {}
        }
        stream
    }
}

/// What the functions of a stream find.
struct State {
    producer: *mut Producer,
    released: *const AtomicUsize,
}

/// Runs `work` with the producer of a stream.
#[expect(unsafe_code, reason = "a pointer of C")]
fn with<T>(stream: *mut FFI_ArrowArrayStream, work: impl FnOnce(&mut Producer) -> T) -> T {
    // SAFETY: by the protocol, a function of a stream is called with it, and only until it is released. The producer
    // outlives it.
    work(unsafe { &mut *(*(*stream).private_data.cast::<State>()).producer })
}

/// Writes what there is where the caller wants it, which has nothing yet; otherwise returns the error's number.
#[expect(unsafe_code, reason = "a pointer of C")]
fn give<T>(out: *mut T, what: Result<T, c_int>) -> c_int {
    match what {
        Ok(what) => {
            // SAFETY: by the protocol, it is a place for a `T`.
            unsafe { out.write(what) };
            0
        }
        Err(code) => code,
    }
}

#[expect(unsafe_code, reason = "a function of C")]
unsafe extern "C" fn get_schema(stream: *mut FFI_ArrowArrayStream, out: *mut FFI_ArrowSchema) -> c_int {
    with(stream, |producer| give(out, std::mem::replace(&mut producer.schema, Err(1))))
}

#[expect(unsafe_code, reason = "a function of C")]
unsafe extern "C" fn get_next(stream: *mut FFI_ArrowArrayStream, out: *mut FFI_ArrowArray) -> c_int {
    with(stream, |producer| give(out, producer.arrays.pop_front().unwrap_or_else(|| Ok(FFI_ArrowArray::empty()))))
}

#[expect(unsafe_code, reason = "a function of C")]
unsafe extern "C" fn get_last_error(stream: *mut FFI_ArrowArrayStream) -> *const c_char {
    with(stream, |producer| producer.last_error)
}

#[expect(unsafe_code, reason = "a function of C")]
unsafe extern "C" fn release(stream: *mut FFI_ArrowArrayStream) {
    // SAFETY: by the protocol, it is called once, with a stream that `Producer::stream` has made.
    let state = unsafe {
        (*stream).release = None;
        Box::from_raw((*stream).private_data.cast::<State>())
    };
    count_release(state.released.cast_mut().cast());
}
