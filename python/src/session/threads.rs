//! `Sessions`: one session of the database for each thread. So in Python a transaction belongs to the thread that began
//! it, and the writes of other threads wait for it.
//!
//! A session is made by the first call of a thread and dropped when the thread ends, since no other thread could commit
//! what it has begun. A call that runs on another thread for its caller must be given the session of the caller.

use std::cell::RefCell;
use std::collections::HashMap;
use std::process;
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};

use laminardb_bridge::{Database, Session};
use parking_lot::Mutex;

/// A database, and the sessions of the threads that have used it.
pub(crate) struct Sessions {
    database: Arc<Database>,
    of_threads: Mutex<HashMap<ThreadId, Session>>,
}

impl Sessions {
    /// Makes the sessions of `database`; there are none until a thread uses it.
    pub(crate) fn new(database: Arc<Database>) -> Arc<Self> {
        Arc::new(Self { database, of_threads: Mutex::default() })
    }

    /// Returns the database, which all sessions share.
    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Returns the session of the calling thread.
    pub(crate) fn of_this_thread(self: &Arc<Self>) -> Session {
        let found = USED.try_with(|used| {
            if let Some(session) = self.of_threads.lock().get(&used.thread) {
                return session.clone();
            }
            let session = self.database.session();
            used.remember(self);
            self.of_threads.lock().insert(used.thread, session.clone());
            session
        });
        // The thread is ending, and its thread-local values are gone: it gets a session for this call alone.
        found.unwrap_or_else(|_| self.database.session())
    }

    /// Drops the session of a thread, which rolls back its transaction.
    fn forget(&self, thread: ThreadId) {
        let session = self.of_threads.lock().remove(&thread);
        // Dropped without the lock: a rollback takes its time, and other threads look for their sessions meanwhile.
        drop(session);
    }
}

thread_local! {
    static USED: Used = Used { thread: thread::current().id(), sessions: RefCell::default() };
}

/// The [`Sessions`] in which a thread has a session, so that it is dropped when the thread ends.
struct Used {
    thread: ThreadId,
    /// Each with the process in which the thread used it. Weak, so that the database of a dropped connection is dropped
    /// too, even if threads that have used it go on.
    sessions: RefCell<Vec<(u32, Weak<Sessions>)>>,
}

impl Used {
    /// Adds `sessions` to those from which the thread's session is dropped when it ends.
    fn remember(&self, sessions: &Arc<Sessions>) {
        let mut known = self.sessions.borrow_mut();
        known.retain(|(_, sessions)| sessions.strong_count() > 0);
        known.push((process::id(), Arc::downgrade(sessions)));
    }
}

/// Runs when the thread ends, which is not attached to the interpreter any more.
impl Drop for Used {
    fn drop(&mut self) {
        for (process, sessions) in self.sessions.take() {
            // A forked child has copies of its parent's sessions, whose locks may be locked for ever there.
            if process == process::id()
                && let Some(sessions) = sessions.upgrade()
            {
                sessions.forget(self.thread);
            }
        }
    }
}
