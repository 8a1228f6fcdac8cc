//! Panics of the crates that plan and evaluate, as errors of a statement or a row.
//!
//! A panic is caught where the work was asked for, and nothing is printed: what it says goes into the error. Panics
//! elsewhere are reported as ever.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use laminardb_dataflow::panic_text;

thread_local! {
    /// How many calls of [`caught`] the thread is in.
    static CATCHING: Cell<usize> = const { Cell::new(0) };
}

/// Does `work`, or tells what it panicked with.
///
/// What `work` has changed must be dropped after a panic, or bear to be seen half changed.
pub fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
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
