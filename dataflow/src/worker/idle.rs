//! Decides when a worker without work parks: only after it has looked for work a little longer.
//!
//! Waking a parked thread on an idle core takes several times as long as maintaining a view for one row. A caller that
//! writes, waits for the result and writes again finds the worker awake; a caller that writes now and then pays for the
//! wake.

use std::time::{Duration, Instant};

/// How long a worker looks for work before it parks; also the right time for those who wait for a worker.
pub const LOOK_FOR: Duration = Duration::from_micros(60);

/// Number of steps without work before the worker yields its core. A commit passes through a dataflow in several steps,
/// and nothing tells before a step whether it has work to do; yielding before each would make the commit wait as often.
const STEPS: u32 = 8;

/// Records since when a worker has found no work.
#[derive(Debug, Default)]
pub(super) struct Idle {
    since: Option<Instant>,
    steps: u32,
}

impl Idle {
    /// Returns how long the worker may park now; `None` means until it is woken. `was_busy` says whether it just had
    /// work.
    #[expect(clippy::disallowed_methods, reason = "how long a worker looks for work, not what it finds")]
    pub(super) fn park(&mut self, was_busy: bool) -> Option<Duration> {
        if was_busy {
            *self = Idle::default();
            return Some(Duration::ZERO);
        }
        self.steps += 1;
        if self.steps <= STEPS {
            return Some(Duration::ZERO);
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() < LOOK_FOR {
            // The thread that will bring new work may be waiting for this core.
            std::thread::yield_now();
            return Some(Duration::ZERO);
        }
        None
    }
}
