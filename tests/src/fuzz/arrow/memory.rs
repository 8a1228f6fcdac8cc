//! `Memory`: what the pointers of C structs point to. It can only be read, and not beyond its end: a page that nobody
//! may touch follows each piece of it. So a read of more than was given ends the process, as a write does, and a read
//! of what was given back.

use std::ffi::c_void;

use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

const PAGE: usize = 4096;

#[derive(Default)]
#[expect(clippy::vec_box, reason = "there are pointers to the structs, which must not move")]
pub(super) struct Memory {
    pieces: Vec<(*mut c_void, usize)>,
    schemas: Vec<Box<FFI_ArrowSchema>>,
    arrays: Vec<Box<FFI_ArrowArray>>,
}

impl Memory {
    /// Returns where a copy of `bytes` is, which has `behind` bytes of zero behind it.
    #[expect(unsafe_code, reason = "only the system can protect memory")]
    pub(super) fn copy(&mut self, bytes: &[u8], behind: usize) -> *const c_void {
        let readable = (bytes.len() + behind).next_multiple_of(PAGE);
        let (all, none) = (readable + PAGE, std::ptr::null_mut());
        // SAFETY: nothing is known about new memory, and nothing else is changed.
        let start = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(none, all, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        assert!(start != libc::MAP_FAILED, "there is no memory left");
        self.pieces.push((start, all));
        let place = readable - behind - bytes.len();
        // SAFETY: all of it is within the new memory, which nobody else knows.
        unsafe {
            let place = start.cast::<u8>().add(place);
            place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            assert_eq!(libc::mprotect(start, readable, libc::PROT_READ), 0);
            assert_eq!(libc::mprotect(start.add(readable), PAGE, libc::PROT_NONE), 0);
            place.cast()
        }
    }

    /// Returns where a copy of `text` is, which ends with a zero byte; what follows a zero byte in it is not read.
    pub(super) fn text(&mut self, text: &[u8]) -> *const c_void {
        self.copy(&[text, &[0]].concat(), 0)
    }

    /// Returns where a list of these pointers is.
    pub(super) fn pointers<T>(&mut self, pointers: &[*const T]) -> *const c_void {
        let bytes: Vec<u8> = pointers.iter().flat_map(|pointer| pointer.addr().to_ne_bytes()).collect();
        for pointer in pointers {
            pointer.expose_provenance();
        }
        self.copy(&bytes, 0)
    }

    pub(super) fn schema(&mut self, schema: FFI_ArrowSchema) -> *mut FFI_ArrowSchema {
        self.schemas.push(Box::new(schema));
        &raw mut **self.schemas.last_mut().expect("it was just added")
    }

    pub(super) fn array(&mut self, array: FFI_ArrowArray) -> *mut FFI_ArrowArray {
        self.arrays.push(Box::new(array));
        &raw mut **self.arrays.last_mut().expect("it was just added")
    }
}

impl Drop for Memory {
    #[expect(unsafe_code, reason = "only the system can protect memory")]
    fn drop(&mut self) {
        for (start, length) in &self.pieces {
            // SAFETY: the memory is that of `copy`, and whoever reads it after this does what the test looks for.
            assert_eq!(unsafe { libc::munmap(*start, *length) }, 0);
        }
    }
}
