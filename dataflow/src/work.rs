//! Counted work: rows that an operator has touched on this worker.

use std::cell::Cell;
use std::rc::Rc;

/// Rows an operator has touched on this worker, ever.
#[derive(Debug)]
pub struct Work {
    operator: &'static str,
    received: Cell<u64>,
    sent: Cell<u64>,
}

impl Work {
    /// Of an operator of this kind, which has touched none.
    pub fn new(operator: &'static str) -> Rc<Self> {
        Rc::new(Work { operator, received: Cell::new(0), sent: Cell::new(0) })
    }

    /// The kind of operator.
    pub(crate) fn operator(&self) -> &'static str {
        self.operator
    }

    /// Counts rows in.
    pub(crate) fn received(&self, rows: usize) {
        self.received.set(self.received.get() + rows as u64);
    }

    /// Counts rows out.
    pub(crate) fn sent(&self, rows: usize) {
        self.sent.set(self.sent.get() + rows as u64);
    }

    /// Rows in and rows out.
    pub(crate) fn rows(&self) -> (u64, u64) {
        (self.received.get(), self.sent.get())
    }
}
