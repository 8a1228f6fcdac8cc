//! Accounts: which dataflow of a worker has allocated what.
//!
//! The worker's thread allocates for one dataflow after the other. Each time an operator starts to work, what was
//! allocated since the last time is added to the account of the dataflow that worked before. So an account is right to
//! within what one operator allocates at its end, and bytes that another worker or a reader frees stay in it: accounts
//! are for comparing what was allocated during a short time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::of_thread;

/// The bytes that one dataflow has allocated on this worker, less those that it has freed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account(Rc<Cell<i64>>);

impl Account {
    /// Returns the bytes.
    pub(crate) fn bytes(&self) -> i64 {
        self.0.get()
    }
}

/// The accounts of one worker.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// The account of the dataflow at work; none between two dataflows.
    current: RefCell<Option<Account>>,
    /// What the thread had allocated when the account was last added to.
    mark: Cell<i64>,
}

impl Accounts {
    /// Adds what is allocated from now on to `account`, until the next call.
    pub(crate) fn enter(&self, account: &Account) {
        let mut current = self.current.borrow_mut();
        let goes_on = current.as_ref().is_some_and(|current| Rc::ptr_eq(&current.0, &account.0));
        if !goes_on {
            self.settle(current.as_ref());
            *current = Some(account.clone());
        }
    }

    /// Adds what was allocated so far, and adds what is allocated from now on to no account.
    pub(crate) fn leave(&self) {
        self.settle(self.current.borrow_mut().take().as_ref());
    }

    fn settle(&self, current: Option<&Account>) {
        let now = of_thread();
        let allocated = now - self.mark.replace(now);
        if let Some(Account(bytes)) = current {
            bytes.set(bytes.get() + allocated);
        }
    }
}
