//! Turns panics of the planning and evaluating crates into errors of a statement or a row.
//!
//! A panic inside [`caught`] is not printed; its message goes into the error. Panics anywhere else are reported as
//! usual.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use laminardb_dataflow::panic_text;

thread_local! {
    /// Number of calls of [`caught`] that the thread is inside of.
    static CATCHING: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work` and returns its result, or the message of its panic.
///
/// After a panic, the caller must drop whatever `work` was changing, unless it is valid half changed.
pub fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            // The hook runs on the panicking thread, so the thread-local count says whether `caught` will report it.
            if CATCHING.get() == 0 {
                report(panic);
            }
        }));
    });
    CATCHING.set(CATCHING.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(CATCHING.get() - 1);
    done.map_err(|panic| panic_text(panic.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_panic_is_its_text() {
        assert_eq!(caught(|| 1), Ok(1));
        let nested = caught(|| caught(|| -> i32 { panic!("inner {}", 2) }));
        assert_eq!(nested, Ok(Err("inner 2".to_owned())));
        assert_eq!(caught(|| -> i32 { panic!("outer") }), Err("outer".to_owned()));
    }
}
