//! When a worker with nothing to do parks: after it has looked for work a little longer.
//!
//! To wake a parked thread on an idle core takes several times as long as to maintain a view for one row. A caller that
//! writes, waits for the result and writes again finds the worker awake; one that writes now and then pays the wake.

use std::time::{Duration, Instant};

/// How long a worker looks for work before it parks.
const LOOK_FOR: Duration = Duration::from_micros(60);

/// Steps it takes before it lets others have its core. A commit goes through a dataflow in several, and nothing tells
/// before a step whether there is something to do in it; to yield before each would make the commit wait as often.
const STEPS: u32 = 8;

/// Since when a worker has had nothing to do, as far as it knows.
#[derive(Debug, Default)]
pub(super) struct Idle {
    since: Option<Instant>,
    steps: u32,
}

impl Idle {
    /// How long the worker may park now (`None`: until it is woken), given whether it had something to do just now.
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
            // Whoever is to bring the work may be waiting for this core.
            std::thread::yield_now();
            return Some(Duration::ZERO);
        }
        None
    }
}
