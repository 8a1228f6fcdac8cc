//! Subscriptions deliver a view's contents and then every change of every closed time, in order, each exactly once.
//!
//! ```text
//! workers --changes, frontier--> Hub --closed times--> ChangeQueue (one a subscriber) --decoded--> Subscription::next
//! ```

mod bounds;
mod change;
mod hub;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use laminardb_dataflow::lock::{Mutex, Rank};
use laminardb_dataflow::{Time, ViewId};

use crate::error::Error;

pub use bounds::{Bounds, MAX_AGE, MAX_BYTES, MAX_ROWS};
pub(crate) use change::repeat;
pub use change::{ChangeBatch, MAX_BATCH_ROWS, Op, Shape};
pub(crate) use hub::ViewSetup;
pub use hub::{FailedRow, Hub, ViewCounters};
pub use queue::Backlog;
pub(crate) use queue::End;
use queue::{ChangeQueue, Polled, Reached};

/// Options of a subscription.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeOptions {
    /// Whether the current contents are delivered first.
    pub snapshot: bool,
    /// Bounds of the undelivered changes; the subscription ends when it meets one.
    pub bounds: Bounds,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        SubscribeOptions { snapshot: true, bounds: Bounds::default() }
    }
}

/// Result of waiting for the next batch.
#[derive(Clone, Debug)]
pub enum Next {
    /// Changes of one time.
    Batch(ChangeBatch),
    /// Nothing came within the timeout.
    TimedOut,
    /// Nothing more will come.
    Ended,
}

/// Runs when a subscription is cancelled, has ended or loses its last handle; must not block.
type Release = Box<dyn FnOnce() + Send>;

/// A stream of changes. Clones share its batches; dropping the last clone cancels it.
#[derive(Clone)]
pub struct Subscription(Arc<Inner>);

struct Inner {
    schema: SchemaRef,
    queue: Arc<ChangeQueue>,
    release: Mutex<Option<Release>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Inner {
    fn cancel(&self) {
        for call in self.queue.end(End::Cancelled) {
            call();
        }
        self.release();
    }

    fn release(&self) {
        let release = self.release.lock().take();
        if let Some(release) = release {
            release();
        }
    }
}

/// A subscription whose snapshot is still being taken.
pub(crate) struct Starting {
    subscription: Subscription,
}

impl Starting {
    /// Starts collecting what is closed on `view` from now on; `None` if the view is not registered.
    pub(crate) fn new(hub: &Arc<Hub>, view: ViewId, schema: SchemaRef, bounds: Bounds) -> Option<Self> {
        let queue = hub.subscribe(view, bounds)?;
        Some(Starting { subscription: Subscription::over(schema, queue) })
    }

    /// Makes a subscription to contents that never change: it ends after its snapshot.
    pub(crate) fn constant(schema: SchemaRef) -> Self {
        let queue = Arc::new(ChangeQueue::new(Bounds::default(), Time::ZERO));
        let starting = Starting { subscription: Subscription::over(schema, Arc::clone(&queue)) };
        // Nobody waits for it yet.
        drop(queue.end(End::Finished));
        starting
    }

    /// Sets what runs once when the subscription is over.
    pub(crate) fn when_over(&self, release: impl FnOnce() + Send + 'static) {
        *self.subscription.0.release.lock() = Some(Box::new(release));
    }

    /// Sets what runs once when the subscription is over; it receives the number of the view's other subscribers.
    pub(crate) fn on_release(&self, hub: &Arc<Hub>, view: ViewId, release: impl FnOnce(usize) + Send + 'static) {
        let (hub, queue) = (Arc::clone(hub), Arc::clone(&self.subscription.0.queue));
        self.when_over(move || release(hub.unsubscribe(view, &queue)));
    }

    /// Returns a handle that does not keep the subscription.
    pub(crate) fn watched(&self) -> WatchedSubscription {
        WatchedSubscription(Arc::downgrade(&self.subscription.0))
    }

    /// Delivers `snapshot`, then what is closed after the time `after`.
    pub(crate) fn start(self, after: Time, snapshot: Vec<ChangeBatch>) -> Subscription {
        self.subscription.0.queue.start(after, snapshot);
        self.subscription
    }

    /// Returns a subscription that ends at once with `end`.
    pub(crate) fn fail(self, end: End) -> Subscription {
        self.subscription.0.queue.fail(end);
        self.subscription
    }
}

/// A subscription as the list of queries knows it, which may be gone.
#[derive(Clone)]
pub(crate) struct WatchedSubscription(Weak<Inner>);

impl WatchedSubscription {
    /// Cancels the subscription if it still exists.
    pub(crate) fn cancel(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.cancel();
        }
    }

    /// Returns what the subscription holds for its reader; nothing if it is gone. The caller must not hold a lock that
    /// the end of a subscription takes: it may have the last handle for a moment.
    pub(crate) fn backlog(&self) -> Backlog {
        self.0.upgrade().map(|inner| inner.queue.backlog()).unwrap_or_default()
    }
}

impl Subscription {
    fn over(schema: SchemaRef, queue: Arc<ChangeQueue>) -> Self {
        Subscription(Arc::new(Inner { schema, queue, release: Mutex::new(Rank::Leaf, None) }))
    }

    /// Returns the columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    /// Waits for the next batch, at most `timeout` (`None`: for ever). After a failure, the error is returned once.
    pub fn next(&self, timeout: Option<Duration>) -> Result<Next, Error> {
        self.next_of(self.0.queue.take(timeout))
    }

    /// Returns the next batch if there is one; never waits.
    pub fn try_next(&self) -> Result<Next, Error> {
        self.next_of(self.0.queue.try_take())
    }

    fn next_of(&self, polled: Polled) -> Result<Next, Error> {
        match polled {
            Polled::Batch(batch) => Ok(Next::Batch(batch)),
            Polled::TimedOut => Ok(Next::TimedOut),
            Polled::End(reason) => {
                self.0.release();
                match reason.and_then(into_error) {
                    Some(error) => Err(error),
                    None => Ok(Next::Ended),
                }
            }
        }
    }

    /// Ends the subscription, discards what is pending and wakes blocked readers. Idempotent; never waits.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether the subscription has neither been cancelled nor reported its end to a reader.
    pub fn is_active(&self) -> bool {
        self.0.queue.is_active()
    }

    /// Returns the number of undelivered change rows.
    pub fn pending(&self) -> usize {
        self.0.queue.pending()
    }

    /// Returns the time through which the reader was given everything, whether or not it was a change: that of the
    /// snapshot, or of the start without one, before the first change. [`Time::ZERO`] until the snapshot was given.
    pub fn progress(&self) -> Time {
        self.0.queue.progress()
    }

    /// Waits until the reader was given everything through `time`, at most `timeout` (`None`: for ever), and returns
    /// the progress; `None` when the timeout has passed. Fails if the subscription has ended before.
    pub fn wait_for(&self, time: Time, timeout: Option<Duration>) -> Result<Option<Time>, Error> {
        into_progress(time, self.0.queue.wait_for(time, timeout))
    }

    /// Returns the progress if it is `time` or later, else `None`. Never waits. Fails if `time` cannot be reached.
    pub fn reached(&self, time: Time) -> Result<Option<Time>, Error> {
        into_progress(time, self.0.queue.reached(time))
    }

    /// Calls `call` once, as soon as [`Subscription::reached`] may have another answer for `time`, which may be at once.
    /// The call may come on any thread and must be quick. Returns a number for [`Subscription::forget`].
    pub fn on_reached(&self, time: Time, call: impl FnOnce() + Send + 'static) -> u64 {
        self.0.queue.on_reached(time, Box::new(call))
    }

    /// Drops the call that [`Subscription::on_reached`] was given, unless it was made.
    pub fn forget(&self, id: u64) {
        self.0.queue.forget(id);
    }

    /// From now on a batch counts as given when the reader calls [`Subscription::confirm`], not when it is taken. Such a
    /// subscription must have one reader.
    pub fn require_confirmation(&self) {
        self.0.queue.require_confirmation();
    }

    /// Confirms that the batch that was taken last has been handled.
    pub fn confirm(&self) {
        self.0.queue.confirm();
    }

    /// Ends the subscription because its reader does not go on; a batch that was not confirmed never will be.
    pub fn give_up(&self) {
        self.0.queue.refuse();
        if self.is_active() {
            self.cancel();
        }
    }

    /// Calls `ready` once, as soon as `try_next` will return a batch or the end, which may be at once. The call may
    /// come on any thread and must be quick.
    pub fn on_ready(&self, ready: impl FnOnce() + Send + 'static) {
        self.0.queue.on_ready(Box::new(ready));
    }
}

/// Returns the progress when it has come to `time`; fails if it never will.
fn into_progress(time: Time, reached: Reached) -> Result<Option<Time>, Error> {
    match reached {
        Reached::At(progress) => Ok(Some(progress)),
        Reached::NotYet => Ok(None),
        Reached::Never(progress, end) => {
            let why = match end {
                End::Finished => "nothing more comes".to_owned(),
                End::Cancelled => "it was cancelled".to_owned(),
                other => into_error(other).map_or_else(String::new, |error| error.to_string()),
            };
            Err(Error::SubscriptionClosed(format!("the subscription ended at time {progress}, before {time}: {why}")))
        }
    }
}

fn into_error(end: End) -> Option<Error> {
    match end {
        End::Finished | End::Cancelled => None,
        End::ShutDown => Some(Error::SubscriptionClosed(
            "the database was shut down before the view had taken in its first contents".to_owned(),
        )),
        End::Dropped(name) => Some(Error::SubscriptionClosed(format!("{name} was dropped"))),
        End::Restored(id) => Some(Error::SubscriptionClosed(format!("the database was restored from checkpoint {id}"))),
        End::Lagged(bound) => Some(Error::SubscriptionLagged(format!("the reader was too slow: {bound}"))),
        End::Failed(reason) => Some(Error::StreamFailed(reason)),
        End::OverLimit(reason) => Some(Error::MemoryLimit(reason)),
        End::Stopped(reason) => Some(Error::Internal(reason)),
    }
}
