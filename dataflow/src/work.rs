//! Counters of work: how many rows an operator has processed on this worker.

use std::cell::Cell;
use std::rc::Rc;

/// Rows that one operator has received and sent on this worker since it was built.
#[derive(Debug)]
pub struct Work {
    operator: &'static str,
    received: Cell<u64>,
    sent: Cell<u64>,
}

impl Work {
    /// Returns zeroed counters for an operator of this kind.
    pub fn new(operator: &'static str) -> Rc<Self> {
        Rc::new(Work { operator, received: Cell::new(0), sent: Cell::new(0) })
    }

    /// Returns the kind of operator, as named in reports.
    pub(crate) fn operator(&self) -> &'static str {
        self.operator
    }

    /// Adds `rows` to the rows received.
    pub(crate) fn received(&self, rows: usize) {
        self.received.set(self.received.get() + rows as u64);
    }

    /// Adds `rows` to the rows sent.
    pub(crate) fn sent(&self, rows: usize) {
        self.sent.set(self.sent.get() + rows as u64);
    }

    /// Returns the rows received and the rows sent.
    pub(crate) fn rows(&self) -> (u64, u64) {
        (self.received.get(), self.sent.get())
    }
}
