//! `Caller`: whose call it is. A transaction belongs to the thread that began it; a thread that makes a call on behalf
//! of another one says so.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Committer;

static LAST_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN: Caller = Caller::new();
    static ACTING_FOR: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// A thread, as the owner of what it began.
#[derive(Clone)]
pub struct Caller(Arc<Identity>);

struct Identity {
    /// Never 0.
    id: u64,
    process: u32,
    /// Where it began transactions.
    begun: Mutex<Vec<Weak<Committer>>>,
}

impl Caller {
    fn new() -> Self {
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        Caller(Arc::new(Identity { id, process: std::process::id(), begun: Mutex::default() }))
    }

    /// The thread that this call is made by, or on behalf of.
    pub fn current() -> Self {
        let acting_for = ACTING_FOR.try_with(|caller| caller.borrow().clone()).ok().flatten();
        // A thread that is ending owns nothing any more.
        acting_for.or_else(|| OWN.try_with(Caller::clone).ok()).unwrap_or_else(Caller::new)
    }

    /// Runs `work` on behalf of this caller, who must wait for it meanwhile.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _restored = Restored(ACTING_FOR.replace(Some(self.clone())));
        work()
    }

    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    /// Remembers to tell `committer` when the thread ends.
    pub(super) fn remember(&self, committer: &Arc<Committer>) {
        let mut begun = self.0.begun.lock();
        begun.retain(|known| known.strong_count() > 0);
        let committer = Arc::downgrade(committer);
        if !begun.iter().any(|known| known.ptr_eq(&committer)) {
            begun.push(committer);
        }
    }
}

/// Puts back for whom a thread acted before, also after a panic.
struct Restored(Option<Caller>);

impl Drop for Restored {
    fn drop(&mut self) {
        ACTING_FOR.set(self.0.take());
    }
}

/// The thread has ended: nobody can end what it began.
impl Drop for Identity {
    fn drop(&mut self) {
        // A forked process has copies of the identities and locks of its parent, which may be held for ever there.
        if self.process != std::process::id() {
            return;
        }
        for committer in self.begun.get_mut().drain(..) {
            if let Some(committer) = committer.upgrade() {
                committer.abandon(self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_itself_unless_it_acts_for_another() {
        let main = Caller::current();
        assert_eq!(main.id(), Caller::current().id());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_ne!(main.id(), Caller::current().id());
                main.run(|| assert_eq!(main.id(), Caller::current().id()));
                assert_ne!(main.id(), Caller::current().id());
            });
        });
    }
}
