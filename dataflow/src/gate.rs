//! `Gate`: keeps the states of a dataflow as they are at a time while they are read.
//!
//! States without history show what has been applied to them and nothing else. While a read of a time waits or goes on,
//! operators with such states apply no later time; everything else in the dataflow, and what it reads, continues. They
//! never apply a time of which this worker has not heard: another worker may be ahead and have sent rows of it, and a
//! read may come before it in the order of commands.

use std::cell::{Cell, RefCell};

use timely::scheduling::Activator;

use crate::Time;

/// The reads that hold the states of one dataflow, on one worker.
pub(crate) struct Gate {
    /// The last time of which this worker has heard.
    reached: Cell<Time>,
    /// The times of the reads.
    holds: RefCell<Vec<Time>>,
    /// The operators that have something to apply when the gate opens.
    waiting: RefCell<Vec<Activator>>,
}

impl Default for Gate {
    /// Returns a gate that is open for all times.
    fn default() -> Self {
        Gate { reached: Cell::new(Time::MAX), holds: RefCell::default(), waiting: RefCell::default() }
    }
}

impl Gate {
    /// Lets no time after `time` be applied, until this is called again, and activates the operators that waited.
    pub(crate) fn reach(&self, time: Time) {
        self.reached.set(time);
        self.activate();
    }

    /// Lets no time after `time` be applied, until this is released.
    pub(crate) fn hold(&self, time: Time) {
        self.holds.borrow_mut().push(time);
    }

    /// Ends a hold at `time`, and activates the operators that waited.
    pub(crate) fn release(&self, time: Time) {
        let mut holds = self.holds.borrow_mut();
        let position = holds.iter().position(|held| *held == time).expect("only what is held is released");
        holds.swap_remove(position);
        drop(holds);
        self.activate();
    }

    fn activate(&self) {
        for operator in self.waiting.borrow_mut().drain(..) {
            operator.activate();
        }
    }

    /// Whether updates of `time` may be applied now. If not, the operator is activated when that may have changed.
    pub(crate) fn admits(&self, time: Time, operator: impl FnOnce() -> Activator) -> bool {
        let admitted = time <= self.reached.get() && self.holds.borrow().iter().all(|held| time <= *held);
        if !admitted {
            self.waiting.borrow_mut().push(operator());
        }
        admitted
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("holds", &self.holds).finish_non_exhaustive()
    }
}
