//! Subscribes to queries and relations, by iteration, `async for` or callbacks.

use std::sync::Arc;

use laminardb_bridge::session::Target;
use laminardb_bridge::{Bounds, SubscribeOptions};
use pyo3::prelude::*;

use super::Connection;
use crate::detach::interruptible;
use crate::error::checked;
use crate::params;
use crate::subscription::{CallbackSubscription, Feed, Opening, Source, StreamSubscription, Subscription};

/// Subscribes in the session of the call, and returns the subscription for a Python object to read.
fn feed(py: Python<'_>, connection: &Connection, target: Target<'_>, options: SubscribeOptions) -> PyResult<Feed> {
    let session = connection.session(py)?;
    let subscribed = interruptible(py, |cancel| session.with_cancel(cancel).subscribe(target, options))?;
    let subscription = checked(py, subscribed)?;
    Ok(Feed::new(subscription, Arc::clone(session.database()), connection.listening.clone_ref(py)))
}

/// Returns the options of a subscription: `max_pending` bounds the rows alone, `None` means the default bounds.
fn options(snapshot: bool, max_pending: Option<usize>) -> SubscribeOptions {
    SubscribeOptions { snapshot, bounds: max_pending.map_or_else(Bounds::default, Bounds::of_rows) }
}

#[pymethods]
impl Connection {
    /// Follows the answer of a query; `sql` may also be the name of a relation.
    ///
    /// With `snapshot` the rows there are come first, as one batch of inserts; then every change, without a gap. A
    /// reader more than `max_pending` rows behind is ended with `SubscriptionError` 503; by default one that is 10,000,000
    /// rows, 1 GiB of changes or 24 hours behind. Errors are those of `query()`, and `StreamError` 600 when the query
    /// cannot be maintained.
    ///
    /// >>> conn.create_table("t", {"k": "int64", "v": "float64"})
    /// >>> conn.insert("t", {"k": [1, 1], "v": [2.0, 3.0]})
    /// 2
    /// >>> sub = conn.subscribe("SELECT k, sum(v) AS total FROM t GROUP BY k")
    /// >>> sub.next().fetchall()
    /// [(1, 5.0)]
    /// >>> conn.insert("t", {"k": 1, "v": 4.0})
    /// 1
    /// >>> list(sub.next().changes())
    /// [ChangeRow(op='UpdateDelete', {'k': 1, 'total': 5.0}), ChangeRow(op='UpdateInsert', {'k': 1, 'total': 9.0})]
    #[pyo3(signature = (sql, *, params=None, snapshot=true, max_pending=None))]
    fn subscribe(
        &self,
        py: Python<'_>,
        sql: &str,
        params: Option<&Bound<'_, PyAny>>,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<Subscription> {
        self.live(py)?;
        let params = params::from_python(params)?;
        feed(py, self, Target::Sql(sql, &params), options(snapshot, max_pending)).map(Subscription)
    }

    /// An awaitable of an `AsyncSubscription` to a query; arguments and errors are those of `subscribe()`.
    ///
    /// >>> import asyncio
    /// >>> async def first():
    /// ...     sub = await conn.subscribe_async("SELECT 1 AS one")
    /// ...     async for batch in sub:
    /// ...         return batch.fetchall()
    /// >>> asyncio.run(first())
    /// [(1,)]
    #[pyo3(signature = (sql, *, params=None, snapshot=true, max_pending=None))]
    fn subscribe_async<'py>(
        slf: &Bound<'py, Self>,
        sql: String,
        params: Option<&Bound<'py, PyAny>>,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().live(slf.py())?;
        let params = params::from_python(params)?;
        Opening::awaitable(slf, false, move |py, connection| {
            feed(py, connection, Target::Sql(&sql, &params), options(snapshot, max_pending))
        })
    }

    /// Calls `on_data` with each `ChangeBatch` of a query, in a thread of its own.
    ///
    /// `on_error` is given the text of what `on_data` raises, and of what ends the subscription; without it that ends
    /// the subscription and goes to standard error. The connection keeps the subscription, whether or not you keep the
    /// object. The other arguments are those of `subscribe()`. `TypeError` when a function cannot be called.
    ///
    /// >>> import threading
    /// >>> done = threading.Event()
    /// >>> callback = conn.subscribe_callback("SELECT 1 AS one", lambda batch: done.set())
    /// >>> done.wait(60)
    /// True
    /// >>> callback.cancel()
    #[pyo3(signature = (sql, on_data, on_error=None, *, params=None, snapshot=true, max_pending=None))]
    #[expect(clippy::too_many_arguments, reason = "the signature is Python's")]
    fn subscribe_callback(
        &self,
        py: Python<'_>,
        sql: &str,
        on_data: &Bound<'_, PyAny>,
        on_error: Option<&Bound<'_, PyAny>>,
        params: Option<&Bound<'_, PyAny>>,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<CallbackSubscription> {
        self.live(py)?;
        let params = params::from_python(params)?;
        CallbackSubscription::start(py, Source::Query, on_data, on_error, || {
            feed(py, self, Target::Sql(sql, &params), options(snapshot, max_pending))
        })
    }

    /// Follows a relation of any kind by its name, from now on or with `snapshot` from the rows there are.
    ///
    /// `SchemaError` 200 when there is none of that name. `max_pending` is as for `subscribe()`.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe_stream("t")
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> sub.next().to_dicts()
    /// {'a': [1]}
    #[expect(rustdoc::broken_intra_doc_links, reason = "brackets in what the example prints")]
    #[pyo3(signature = (name, *, snapshot=false, max_pending=None))]
    fn subscribe_stream(
        &self,
        py: Python<'_>,
        name: &str,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<StreamSubscription> {
        feed(py, self, Target::Relation(name), options(snapshot, max_pending)).map(StreamSubscription)
    }

    /// An awaitable of an `AsyncStreamSubscription` to a relation; arguments as for `subscribe_stream()`.
    ///
    /// >>> import asyncio
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> async def first():
    /// ...     sub = await conn.subscribe_stream_async("t")
    /// ...     conn.insert("t", {"a": 1})
    /// ...     async for batch in sub:
    /// ...         return batch.fetchall()
    /// >>> asyncio.run(first())
    /// [(1,)]
    #[pyo3(signature = (name, *, snapshot=false, max_pending=None))]
    fn subscribe_stream_async<'py>(
        slf: &Bound<'py, Self>,
        name: String,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().live(slf.py())?;
        Opening::awaitable(slf, true, move |py, connection| {
            feed(py, connection, Target::Relation(&name), options(snapshot, max_pending))
        })
    }

    /// Calls `on_data` with each `ChangeBatch` of a relation, in a thread of its own.
    ///
    /// `on_error` is as for `subscribe_callback()`, the other arguments are those of `subscribe_stream()`.
    ///
    /// >>> import threading
    /// >>> done = threading.Event()
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> callback = conn.subscribe_stream_callback("t", lambda batch: done.set())
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> done.wait(60)
    /// True
    /// >>> callback.cancel()
    #[pyo3(signature = (name, on_data, on_error=None, *, snapshot=false, max_pending=None))]
    fn subscribe_stream_callback(
        &self,
        py: Python<'_>,
        name: &str,
        on_data: &Bound<'_, PyAny>,
        on_error: Option<&Bound<'_, PyAny>>,
        snapshot: bool,
        max_pending: Option<usize>,
    ) -> PyResult<CallbackSubscription> {
        self.live(py)?;
        CallbackSubscription::start(py, Source::Stream, on_data, on_error, || {
            feed(py, self, Target::Relation(name), options(snapshot, max_pending))
        })
    }
}
