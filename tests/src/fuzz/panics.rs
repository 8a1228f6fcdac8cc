//! Notices panics in code of ours where they become errors: of a statement that cannot be planned, or of a row.

use std::panic::{set_hook, take_hook};
use std::sync::Once;

use laminardb_bridge::caught;
use parking_lot::Mutex;

/// The panics in code of ours since the last input began.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Held while an input is run, so that panics are those of one input.
static RUNNING: Mutex<()> = Mutex::new(());

/// Runs `work`, and fails if code of ours panicked meanwhile, on any thread. Other calls wait until it is done.
pub(super) fn watch(work: impl FnOnce()) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        // The first call of `caught` sets a hook that passes over what it catches; ours comes before that.
        caught(|| ()).expect("nothing panics");
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|place| is_ours(place.file())) {
                PANICS.lock().push(panic.to_string());
            }
            report(panic);
        }));
    });
    let _running = RUNNING.lock();
    PANICS.lock().clear();
    work();
    let panics = std::mem::take(&mut *PANICS.lock());
    assert!(panics.is_empty(), "{}", panics.join("\n"));
}

/// Whether a file is one of the engine's crates.
fn is_ours(file: &str) -> bool {
    let ours = ["dataflow/src/", "planner/src/", "bridge/src/"];
    !file.contains("/registry/") && ours.iter().any(|crate_| file.contains(crate_))
}
