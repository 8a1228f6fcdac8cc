//! Room for deep recursion: parsing and binding recurse with the nesting of a statement.

/// Stack that a deep statement is read or bound on; only the pages touched are ever used.
const BIG: usize = 256 << 20;

/// Runs `work` on a big stack and gives its result; a panic goes on in the caller.
pub fn on_big_stack<R>(work: impl FnOnce() -> R) -> R {
    stacker::grow(BIG, work)
}
