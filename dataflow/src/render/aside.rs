//! `Aside`: what an operator reports besides its rows.

use std::rc::Rc;

use crate::failure::{FailureUpdate, Failures};
use crate::work::Work;

/// What an operator reports besides its rows.
#[derive(Clone)]
pub(crate) struct Aside {
    /// The ledger of its failures; `None` if they are recorded elsewhere.
    pub(crate) failures: Option<Failures>,
    /// Counts the rows it processes.
    pub(crate) work: Rc<Work>,
}

impl Aside {
    /// Creates the reports of an operator with these counters.
    pub(crate) fn new(work: Rc<Work>, failures: &Failures) -> Self {
        Aside { failures: Some(Rc::clone(failures)), work }
    }

    /// Records failures; the operator must still hold the capabilities of their times.
    pub(crate) fn failed(&self, updates: &mut Vec<FailureUpdate>) {
        if let Some(failures) = self.failures.as_ref().filter(|_| !updates.is_empty()) {
            failures.borrow_mut().record(updates);
        }
    }
}
