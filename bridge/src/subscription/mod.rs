//! Subscriptions deliver a view's contents and then every change of every closed time, in order, each exactly once.
//!
//! ```text
//! workers --changes, frontier--> Hub --closed times--> ChangeQueue (one a subscriber) --decoded--> Subscription::next
//! ```

mod change;
mod hub;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use laminardb_dataflow::{Time, ViewId};

use crate::error::Error;

pub(crate) use change::repeat;
pub use change::{ChangeBatch, MAX_BATCH_ROWS, Op, Shape};
pub(crate) use hub::ViewSetup;
pub use hub::{FailedRow, Hub, ViewCounters};
pub(crate) use queue::End;
use queue::{ChangeQueue, Polled};

/// Default of [`SubscribeOptions::max_pending`].
pub const DEFAULT_MAX_PENDING: usize = 10_000_000;

/// Options of a subscription.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeOptions {
    /// Whether the current contents are delivered first.
    pub snapshot: bool,
    /// Maximum number of undelivered change rows; the subscription ends when there are more.
    pub max_pending: usize,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        SubscribeOptions { snapshot: true, max_pending: DEFAULT_MAX_PENDING }
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
    release: parking_lot::Mutex<Option<Release>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Inner {
    fn cancel(&self) {
        self.queue.end(End::Cancelled);
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
    pub(crate) fn new(hub: &Arc<Hub>, view: ViewId, schema: SchemaRef, max_pending: usize) -> Option<Self> {
        let queue = hub.subscribe(view, max_pending)?;
        Some(Starting { subscription: Subscription::over(schema, queue) })
    }

    /// Makes a subscription to contents that never change: it ends after its snapshot.
    pub(crate) fn constant(schema: SchemaRef) -> Self {
        let queue = Arc::new(ChangeQueue::new(DEFAULT_MAX_PENDING));
        queue.end(End::Finished);
        Starting { subscription: Subscription::over(schema, queue) }
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

    /// Returns a function that cancels the subscription if it still exists.
    pub(crate) fn canceller(&self) -> impl Fn() + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.subscription.0);
        move || {
            if let Some(inner) = inner.upgrade() {
                inner.cancel();
            }
        }
    }

    /// Delivers `snapshot`, then what is closed after the time `after`.
    pub(crate) fn start(self, after: Time, snapshot: Vec<ChangeBatch>) -> Subscription {
        self.subscription.0.queue.start(after, snapshot);
        self.subscription
    }

    /// Returns a subscription that ends at once with `end`.
    pub(crate) fn fail(self, end: End) -> Subscription {
        self.subscription.0.queue.end(end);
        // A queue delivers nothing before it is started, not even its end.
        self.subscription.0.queue.start(Time::MAX, Vec::new());
        self.subscription
    }
}

impl Subscription {
    fn over(schema: SchemaRef, queue: Arc<ChangeQueue>) -> Self {
        Subscription(Arc::new(Inner { schema, queue, release: parking_lot::Mutex::new(None) }))
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

    /// Returns the number of undelivered rows.
    pub fn pending(&self) -> usize {
        self.0.queue.pending()
    }

    /// Calls `ready` once, as soon as `try_next` will return a batch or the end, which may be at once. The call may
    /// come on any thread and must be quick.
    pub fn on_ready(&self, ready: impl FnOnce() + Send + 'static) {
        self.0.queue.on_ready(Box::new(ready));
    }
}

fn into_error(end: End) -> Option<Error> {
    match end {
        End::Finished | End::Cancelled => None,
        End::Dropped(name) => Some(Error::SubscriptionClosed(format!("{name} was dropped"))),
        End::Restored(id) => Some(Error::SubscriptionClosed(format!("the database was restored from checkpoint {id}"))),
        End::Lagged { max_pending } => Some(Error::SubscriptionLagged(format!(
            "the reader was too slow: more than {max_pending} undelivered rows"
        ))),
        End::Failed(reason) => Some(Error::StreamFailed(reason)),
        End::Stopped(reason) => Some(Error::Internal(reason)),
    }
}
