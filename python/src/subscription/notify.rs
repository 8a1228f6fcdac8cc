//! Passes the engine's notifications to event loops, on one thread.
//!
//! The engine reports that a subscription is ready on a worker thread, which must never wait for the interpreter. So it
//! only sends a note; this thread attaches to the interpreter and wakes the event loops.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::{process, thread};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;

use crate::entrance::entered;

/// Futures that wait for one subscription.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Each with its event loop.
    futures: Vec<(Py<PyAny>, Py<PyAny>)>,
    /// Whether the engine was asked to notify them.
    is_asked: bool,
}

/// The channel to the thread, and the process that the thread lives in.
static NOTES: Mutex<Option<(u32, Sender<Arc<Waiters>>)>> = Mutex::new(None);

impl Waiters {
    /// Adds a future; returns whether the caller must ask the engine to be notified.
    pub(super) fn add(&self, event_loop: Py<PyAny>, future: Py<PyAny>) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.futures.push((event_loop, future));
        !std::mem::replace(&mut waiting.is_asked, true)
    }

    /// Removes a future that is not awaited any more.
    pub(super) fn remove(&self, future: &Bound<'_, PyAny>) {
        let removed: Vec<_> = self.waiting.lock().futures.extract_if(.., |(_, known)| known.is(future)).collect();
        // Dropped without the lock, since it may run Python code.
        drop(removed);
    }

    /// Makes the thread wake all waiting futures. Never waits itself.
    pub(super) fn wake(self: &Arc<Self>) {
        let mut notes = NOTES.lock();
        let here = process::id();
        // After a fork the child needs a thread of its own.
        if !matches!(&*notes, Some((process, _)) if *process == here) {
            *notes = started().map(|sender| (here, sender));
        }
        if let Some((_, sender)) = &*notes {
            // Sending fails only if the thread has ended; `started` says when it does.
            let _sent = sender.send(Arc::clone(self));
        }
    }

    fn resolve(&self, py: Python<'_>) -> PyResult<()> {
        let waiting = std::mem::take(&mut *self.waiting.lock()).futures;
        let resolve = py.import(intern!(py, "laminardb._aio"))?.getattr(intern!(py, "resolve"))?;
        for (event_loop, future) in waiting {
            let told = event_loop.bind(py).call_method1(intern!(py, "call_soon_threadsafe"), (&resolve, future));
            // A closed event loop has nothing left to wake.
            drop(told);
        }
        Ok(())
    }
}

fn started() -> Option<Sender<Arc<Waiters>>> {
    let (sender, notes) = channel::<Arc<Waiters>>();
    let run = move || {
        for waiters in notes {
            // When the interpreter ends there are no event loops; if the import fails, there is nothing to call.
            let told = entered(|py| waiters.resolve(py).is_ok());
            if told != Some(true) {
                return;
            }
        }
    };
    thread::Builder::new().name("laminardb-notify".to_owned()).spawn(run).ok().map(|_| sender)
}
