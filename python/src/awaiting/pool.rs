//! The threads on which the calls of awaitables run.
//!
//! Their number has no limit, because a call may wait for one that comes after it: writes wait for the transaction that
//! a later call commits. It grows one at a time: while calls are queued, one thread is starting; when it takes the first
//! of them, it starts the next thread if more are left. A thread whose call has ended takes the next one itself, so
//! many short calls need few threads. Of the idle threads the one that became so last is woken, and those not needed
//! end after [`IDLE`].
//!
//! A forked child has a pool of its own and leaves what it inherited alone, as its locks may be locked for ever.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;
use std::{io, process};

use laminardb_bridge::CancelToken;
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::detach::detached;
use crate::entrance::{entered, is_open};

/// The time after which a thread without work ends.
const IDLE: Duration = Duration::from_secs(5);

/// Stack size of the threads: as on a main thread, for deeply nested queries.
const STACK: usize = 8 << 20;

/// What a thread is given to do; it is told if there is no thread for it, and then must not take long.
pub(super) type Work = Box<dyn FnOnce(Python<'_>, io::Result<()>) + Send>;

/// The threads of one process.
pub(super) struct Pool {
    process: u32,
    /// Cancelled when the interpreter ends, and with it the tokens of all calls.
    ending: CancelToken,
    state: Mutex<State>,
    /// The pool of a process forked from this one.
    of_child: OnceLock<Box<Pool>>,
}

/// A thread is starting whenever the queue is not empty.
#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    /// The last one became idle last.
    idle: Vec<Idle>,
    /// Whether a thread was made or woken that has not looked into the queue yet.
    is_starting: bool,
}

/// A thread without work, and the channel by which it is woken.
struct Idle {
    thread: ThreadId,
    wake: Sender<()>,
}

impl Pool {
    fn new() -> Box<Self> {
        Box::new(Self {
            process: process::id(),
            ending: CancelToken::new(),
            state: Mutex::default(),
            of_child: OnceLock::new(),
        })
    }

    /// Returns the pool of this process.
    pub(super) fn here() -> &'static Self {
        static FIRST: OnceLock<Box<Pool>> = OnceLock::new();
        let mut pool = FIRST.get_or_init(Pool::new);
        while pool.process != process::id() {
            pool = pool.of_child.get_or_init(Pool::new);
        }
        pool
    }

    /// Returns the token that cancels all calls when the interpreter ends.
    pub(super) fn ending(&self) -> &CancelToken {
        &self.ending
    }

    /// Cancels all calls and ends the threads; to be called when the entrance to the interpreter is closed.
    pub(super) fn close(&self) {
        self.ending.cancel();
        self.state.lock().idle.clear();
    }

    /// Runs `work` on a thread; fails if the system gives none.
    pub(super) fn run(&'static self, work: Work) -> io::Result<()> {
        let mut state = self.state.lock();
        state.queue.push_back(work);
        self.start(&mut state).inspect_err(|_| {
            let refused = state.queue.pop_back();
            // Dropped without the lock, since it may run Python code.
            drop(state);
            drop(refused);
        })
    }

    /// Wakes or makes a thread if there is work and none is starting.
    fn start(&'static self, state: &mut State) -> io::Result<()> {
        if state.is_starting || state.queue.is_empty() {
            return Ok(());
        }
        // Sending does not fail: an idle thread takes itself out of the list before it ends.
        let woken = state.idle.pop().is_some_and(|idle| idle.wake.send(()).is_ok());
        if !woken {
            // Attached once for all its work, since every first attachment of a thread makes a thread state. If the
            // interpreter has ended, there is nobody to work for.
            let serve = move || {
                let _ended = entered(|py| self.serve(py));
            };
            thread::Builder::new().name("laminardb-await".to_owned()).stack_size(STACK).spawn(serve)?;
        }
        state.is_starting = true;
        Ok(())
    }

    /// Works until nothing comes for [`IDLE`] or the interpreter is about to end.
    fn serve(&'static self, py: Python<'_>) {
        loop {
            let mut next = self.arrive(py);
            while let Some(work) = next {
                work(py, Ok(()));
                // In a child that the work has forked, this thread is the only one.
                if process::id() != self.process {
                    return;
                }
                next = self.state.lock().queue.pop_front();
            }
            if !detached(py, || self.is_woken()) {
                return;
            }
        }
    }

    /// Takes work as the thread that was starting, and starts the next if there is more work.
    fn arrive(&'static self, py: Python<'_>) -> Option<Work> {
        let mut state = self.state.lock();
        state.is_starting = false;
        let work = state.queue.pop_front();
        while let Err(error) = self.start(&mut state) {
            let refused = state.queue.pop_front();
            drop(state);
            if let Some(refused) = refused {
                refused(py, Err(error));
            }
            state = self.state.lock();
        }
        work
    }

    /// Waits as an idle thread; returns whether the thread was woken, as one that is starting.
    fn is_woken(&self) -> bool {
        let (wake, woken) = channel();
        let thread = thread::current().id();
        {
            let mut state = self.state.lock();
            // Checked under the lock, as `close` takes it when the entrance is closed.
            if !is_open() {
                return false;
            }
            state.idle.push(Idle { thread, wake });
        }
        match woken.recv_timeout(IDLE) {
            Ok(()) => true,
            // If it is not in the list any more, it is being woken, or the pool was closed.
            Err(RecvTimeoutError::Timeout) => !self.withdraw(thread) && woken.recv().is_ok(),
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    /// Takes a thread out of the idle ones; returns whether it was among them.
    fn withdraw(&self, thread: ThreadId) -> bool {
        let idle = &mut self.state.lock().idle;
        let position = idle.iter().position(|idle| idle.thread == thread);
        position.map(|position| idle.remove(position)).is_some()
    }
}
