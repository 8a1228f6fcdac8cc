//! `Remains`: what is left of an arrangement that is dropped, so that its memory can be freed in pieces.

use super::chunk::Chunk;
use super::time::ArrangementTime;
use super::trace::Trace;
use crate::Time;

/// Keeps the chunks of an arrangement. Whoever drops an arrangement takes its remains first, drops it, and then frees
/// them a piece after another: freeing millions of rows at once takes long.
pub struct Remains<T = Time> {
    chunks: Vec<Chunk<T>>,
}

impl<T: ArrangementTime> Remains<T> {
    /// Returns the chunks that the arrangement holds.
    pub fn of(trace: &Trace<T>) -> Self {
        Remains { chunks: trace.trace_box_unstable().borrow().trace().chunks() }
    }

    /// Frees about `rows` rows, unless others hold them too. Returns whether any are left.
    pub fn free(&mut self, rows: usize) -> bool {
        let mut freed = 0;
        while freed < rows
            && let Some(chunk) = self.chunks.pop()
        {
            freed += chunk.range().len();
        }
        !self.chunks.is_empty()
    }
}
