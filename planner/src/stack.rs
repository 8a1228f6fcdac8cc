//! Provides stack space for deep recursion: parsing and binding recurse as deeply as a statement is nested.

/// Size in bytes of the stack that statements are parsed and bound on; only the pages that are touched use memory.
const BIG: usize = 256 << 20;

/// Runs `work` on a big stack and returns its result; a panic of `work` continues in the caller.
///
/// Inside such a call, `work` runs on the stack that is there. It must not run code of Python, which may measure how
/// much of the thread's own stack is left.
pub fn on_big_stack<R>(work: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(BIG / 2, BIG, work)
}
