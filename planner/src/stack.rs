//! Room for deep recursion: parsing and binding recurse with the nesting of a statement.

/// Stack of a thread that reads or binds a deep statement; only the pages touched are ever used.
const BIG: usize = 256 << 20;

/// Runs `work` on a thread with a big stack and gives its result; a panic goes on in the caller.
pub fn on_big_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("laminardb-plan".to_owned())
            .stack_size(BIG)
            .spawn_scoped(scope, work)
            .expect("a thread can be started");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
