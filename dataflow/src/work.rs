//! The work of an operator on this worker: how many rows it has processed, and how many it may process at once.

use std::cell::Cell;
use std::rc::Rc;

use crate::fuel::{Fuel, Meter, Tank};

/// Rows that one operator has received and sent on this worker since it was built, and its fuel.
#[derive(Debug)]
pub struct Work {
    operator: &'static str,
    received: Cell<u64>,
    sent: Cell<u64>,
    tank: Tank,
}

impl Work {
    /// Returns zeroed counters for an operator of this kind, which shares its fuel with no other.
    pub fn new(operator: &'static str) -> Rc<Self> {
        Work::of(operator, &Fuel::new(&Meter::new()))
    }

    /// Returns zeroed counters for an operator of this kind in the dataflow with this fuel.
    pub(crate) fn of(operator: &'static str, fuel: &Rc<Fuel>) -> Rc<Self> {
        Rc::new(Work { operator, received: Cell::new(0), sent: Cell::new(0), tank: Tank::new(fuel) })
    }

    /// Returns the operator's access to the fuel of its dataflow.
    pub(crate) fn tank(&self) -> &Tank {
        &self.tank
    }

    /// Returns the kind of operator, as named in reports.
    pub(crate) fn operator(&self) -> &'static str {
        self.operator
    }

    /// Adds `rows` to the rows received.
    pub(crate) fn received(&self, rows: usize) {
        self.tank.arrived(rows);
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
