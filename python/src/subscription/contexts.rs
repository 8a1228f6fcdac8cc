//! What all subscription classes have: `close()`, use as a context manager, `progress` and `wait_for()`.
//!
//! The macros give a class the methods that differ from those of another class only in their examples.

use laminardb_bridge::{Error, Time};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::asynchronous::{AsyncStreamSubscription, AsyncSubscription};
use super::blocking::{StreamSubscription, Subscription};
use super::{Feed, aio};
use crate::argument::seconds;
use crate::detach::{detached, waited};
use crate::error::{checked, raised};

impl Feed {
    /// Returns the time through which the reader was given everything.
    pub(super) fn progress(&self, py: Python<'_>) -> PyResult<u64> {
        let subscription = self.subscription.get(py)?;
        Ok(detached(py, || subscription.progress()).0)
    }

    /// Waits until everything through `time` was given; raises exception 502 when `timeout` seconds pass, and 501 when
    /// the subscription has ended before.
    pub(super) fn wait_for(&self, py: Python<'_>, time: u64, timeout: Option<f64>) -> PyResult<u64> {
        let subscription = self.subscription.get(py)?;
        let met =
            waited(py, seconds("timeout", timeout)?, |limit| subscription.wait_for(Time(time), limit).transpose())?;
        match met {
            Some(reached) => Ok(checked(py, reached)?.0),
            None => Err(self.timed_out(py, time, timeout)),
        }
    }

    /// Returns the progress if it is `time` or later; raises an exception if that cannot be reached, and 502 if the
    /// caller has waited for `expired` seconds and will not go on.
    fn reached(&self, py: Python<'_>, time: u64, expired: Option<f64>) -> PyResult<Option<u64>> {
        let subscription = self.subscription.get(py)?;
        let reached = detached(py, || subscription.reached(Time(time)));
        match (checked(py, reached)?, expired) {
            (None, Some(_)) => Err(self.timed_out(py, time, expired)),
            (progress, _) => Ok(progress.map(|progress| progress.0)),
        }
    }

    /// Makes the exception of a wait for `time` that has taken `timeout` seconds.
    pub(super) fn timed_out(&self, py: Python<'_>, time: u64, timeout: Option<f64>) -> PyErr {
        let progress = match self.progress(py) {
            Ok(progress) => progress,
            Err(error) => return error,
        };
        let waited = timeout.unwrap_or_default();
        raised(py, &Error::SubscriptionTimeout(format!("timeout: at time {progress}, not {time}, after {waited} s")))
    }
}

/// Gives a class whose reader blocks what all have; the argument is how an example subscribes to the table `t`.
macro_rules! blocking {
    ($class:ident, $subscribe:literal) => {
        #[pymethods]
        impl $class {
            /// The logical time through which everything was given to the reader, whether or not it was a change.
            ///
            /// It goes on while other relations change. Until the snapshot was given it is 0, and then the time of the
            /// snapshot.
            #[getter]
            fn progress(&self, py: Python<'_>) -> PyResult<u64> {
                self.0.progress(py)
            }

            /// Waits until everything through the logical time `time` was given to the reader, and returns `progress`.
            ///
            /// Another thread must read meanwhile: while batches are unread, a thread that waits for their time alone
            /// waits in vain. `timeout` is in seconds, None waits for ever. `SubscriptionError` 502 when it passes, and
            /// 501 when the subscription ended or was cancelled before. `ValueError` when the timeout is negative,
            /// `OverflowError` when the time is.
            ///
            /// >>> conn.create_table("t", {"a": "int64"})
            #[doc = concat!(">>> sub = conn.", $subscribe)]
            /// >>> conn.insert("t", {"a": 1})
            /// 1
            /// >>> sub.next().fetchall()
            /// [(1,)]
            /// >>> sub.wait_for(conn.wait(), timeout=60) == sub.progress
            /// True
            #[pyo3(signature = (time, timeout=None))]
            fn wait_for(&self, py: Python<'_>, time: u64, timeout: Option<f64>) -> PyResult<u64> {
                self.0.wait_for(py, time, timeout)
            }

            /// The same as `cancel()`; the end of a `with` block does it.
            ///
            /// >>> conn.create_table("t", {"a": "int64"})
            #[doc = concat!(">>> with conn.", $subscribe, " as sub:")]
            /// ...     conn.insert("t", {"a": 1})
            /// ...     sub.next().fetchall()
            /// 1
            /// [(1,)]
            /// >>> sub.is_active
            /// False
            fn close(&self) {
                self.0.cancel();
            }

            fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
                slf
            }

            #[pyo3(signature = (*_exception))]
            fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> bool {
                self.0.cancel();
                false
            }
        }
    };
}

blocking!(Subscription, "subscribe(\"SELECT a FROM t\")");
blocking!(StreamSubscription, "subscribe_stream(\"t\")");

/// Gives a class for event loops what all have; the argument is how an example subscribes to the table `t`.
macro_rules! asynchronous {
    ($class:ident, $subscribe:literal) => {
        #[pymethods]
        impl $class {
            /// The logical time through which everything was given to the reader, whether or not it was a change.
            ///
            /// It goes on while other relations change. Until the snapshot was given it is 0, and then the time of the
            /// snapshot.
            #[getter]
            fn progress(&self, py: Python<'_>) -> PyResult<u64> {
                self.0.feed.progress(py)
            }

            /// An awaitable that waits until everything through the logical time `time` was given to the reader, and
            /// returns `progress`. The event loop goes on meanwhile.
            ///
            /// Another task must read meanwhile: while batches are unread, a task that waits for their time alone waits
            /// in vain. `timeout` is in seconds, None waits for ever. `SubscriptionError` 502 when it passes, and 501
            /// when the subscription ended or was cancelled before. `ValueError` when the timeout is negative,
            /// `OverflowError` when the time is.
            ///
            /// >>> import asyncio
            /// >>> conn.create_table("t", {"a": "int64"})
            /// >>> async def first():
            #[doc = concat!("...     async with await conn.", $subscribe, " as sub:")]
            /// ...         conn.insert("t", {"a": 1})
            /// ...         async for batch in sub:
            /// ...             break
            /// ...         return await sub.wait_for(batch.time, timeout=60) >= batch.time
            /// >>> asyncio.run(first())
            /// True
            #[pyo3(signature = (time, timeout=None))]
            fn wait_for<'py>(slf: &Bound<'py, Self>, time: u64, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
                let timeout = seconds("timeout", timeout)?.map(|timeout| timeout.as_secs_f64());
                aio(slf.py())?.call_method1(intern!(slf.py(), "wait_for"), (slf, time, timeout))
            }

            /// The progress if it is `time` or later, else None, or an exception when `expired` seconds were waited.
            fn _reached(&self, py: Python<'_>, time: u64, expired: Option<f64>) -> PyResult<Option<u64>> {
                self.0.feed.reached(py, time, expired)
            }

            /// Resolves `future` in `event_loop` when `_reached(time)` may have another answer; returns a number for
            /// `_forget()`.
            fn _wake_at(&self, py: Python<'_>, event_loop: Py<PyAny>, future: Py<PyAny>, time: u64) -> PyResult<u64> {
                self.0.wake_at(py, event_loop, future, Time(time))
            }

            /// Ends the wait for which `_wake_at()` returned the number.
            fn _forget(&self, py: Python<'_>, wait: u64) -> PyResult<()> {
                self.0.feed.subscription.get(py)?.forget(wait);
                Ok(())
            }

            /// The same as `cancel()`; the end of a `with` or `async with` block does it.
            fn close(&self) {
                self.0.feed.cancel();
            }

            /// The same as `cancel()`, for who awaits it, such as `contextlib.aclosing`.
            ///
            /// >>> import asyncio
            /// >>> from contextlib import aclosing
            /// >>> conn.create_table("t", {"a": "int64"})
            /// >>> async def active():
            #[doc = concat!("...     async with aclosing(await conn.", $subscribe, ") as sub:")]
            /// ...         pass
            /// ...     return sub.is_active
            /// >>> asyncio.run(active())
            /// False
            fn aclose<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.feed.cancel();
                aio(py)?.call_method1(intern!(py, "given"), (py.None(),))
            }

            fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
                slf
            }

            #[pyo3(signature = (*_exception))]
            fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> bool {
                self.0.feed.cancel();
                false
            }

            fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                aio(slf.py())?.call_method1(intern!(slf.py(), "given"), (slf,))
            }

            #[pyo3(signature = (*_exception))]
            fn __aexit__<'py>(&self, py: Python<'py>, _exception: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
                self.0.feed.cancel();
                aio(py)?.call_method1(intern!(py, "given"), (false,))
            }
        }
    };
}

asynchronous!(AsyncSubscription, "subscribe_async(\"SELECT a FROM t\")");
asynchronous!(AsyncStreamSubscription, "subscribe_stream_async(\"t\")");
