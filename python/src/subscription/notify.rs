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

/// Futures that wait for one subscription, each with its event loop.
#[derive(Default)]
pub(super) struct Waiters {
    futures: Mutex<Vec<(Py<PyAny>, Py<PyAny>)>>,
}

/// The channel to the thread, and the process that the thread lives in.
static NOTES: Mutex<Option<(u32, Sender<Arc<Waiters>>)>> = Mutex::new(None);

impl Waiters {
    /// Adds a future; returns whether there was none before, so that the caller must ask the engine to be notified.
    pub(super) fn add(&self, py: Python<'_>, event_loop: Py<PyAny>, future: Py<PyAny>) -> PyResult<bool> {
        // Added in the same step that looks whether there was one: what happens in between could not be told of it, and
        // two threads could both find none.
        let earlier: Vec<_> = {
            let mut futures = self.futures.lock();
            let earlier = futures.iter().map(|(_, future)| future.clone_ref(py)).collect();
            futures.push((event_loop, future));
            earlier
        };
        self.forget_done(py, &earlier)?;
        Ok(earlier.is_empty())
    }

    /// Removes those of `futures` that are done, so that the waits of repeated timeouts do not accumulate.
    fn forget_done(&self, py: Python<'_>, futures: &[Py<PyAny>]) -> PyResult<()> {
        // Python code runs outside the lock.
        let mut done = Vec::new();
        for future in futures {
            if future.bind(py).call_method0(intern!(py, "done"))?.is_truthy()? {
                done.push(future);
            }
        }
        if !done.is_empty() {
            let is_done = |(_, future): &mut (_, Py<PyAny>)| done.iter().any(|done| done.is(&*future));
            let forgotten: Vec<_> = self.futures.lock().extract_if(.., is_done).collect();
            drop(forgotten);
        }
        Ok(())
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
        let waiting = std::mem::take(&mut *self.futures.lock());
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
