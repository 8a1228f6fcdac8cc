//! Registry of the queries and subscriptions of a database, by which they are listed and cancelled.

use std::collections::VecDeque;
use std::sync::Arc;

use laminardb_dataflow::CancelToken;
use laminardb_dataflow::lock::{Mutex, Rank};

use crate::error::Error;
use crate::subscription::{Backlog, WatchedSubscription};

/// Maximum number of finished queries that stay listed.
const KEPT: usize = 1000;

/// A query or subscription, as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryInfo {
    /// Number of the query; numbers ascend from 1 in the order in which queries begin.
    pub id: u64,
    /// The text of the query.
    pub sql: String,
    /// Whether the query is still running.
    pub active: bool,
    /// What a subscription holds for its reader; nothing for other queries.
    pub backlog: Backlog,
}

/// A way to cancel a running query.
#[derive(Clone)]
pub(crate) enum Cancel {
    /// Cancels the token that the query checks and waits on.
    Token(CancelToken),
    /// Cancels the subscription.
    Subscription(WatchedSubscription),
    /// Calls a function that ends the query.
    Call(Arc<dyn Fn() + Send + Sync>),
}

impl Cancel {
    /// Cancels the query.
    fn end(&self) {
        match self {
            Cancel::Token(token) => token.cancel(),
            Cancel::Subscription(subscription) => subscription.cancel(),
            Cancel::Call(call) => call(),
        }
    }
}

/// A query in the list; `cancel` is `None` when it has finished.
struct ListedQuery {
    id: u64,
    sql: String,
    cancel: Option<Cancel>,
}

#[derive(Default)]
struct Listing {
    last_id: u64,
    running: Vec<ListedQuery>,
    finished: VecDeque<ListedQuery>,
}

/// The queries of a database: those running, and the last that finished.
pub(crate) struct Registry {
    listing: Mutex<Listing>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { listing: Mutex::new(Rank::Leaf, Listing::default()) }
    }
}

/// A running query; dropping it marks the query as finished.
pub(crate) struct Running {
    registry: Arc<Registry>,
    id: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.registry.finish(self.id);
    }
}

impl Registry {
    /// Lists a query as running until the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>, sql: &str, cancel: Cancel) -> Running {
        let mut listing = self.listing.lock();
        listing.last_id += 1;
        let id = listing.last_id;
        listing.running.push(ListedQuery { id, sql: sql.to_owned(), cancel: Some(cancel) });
        Running { registry: Arc::clone(self), id }
    }

    /// Moves a query from the running ones to the finished ones.
    fn finish(&self, id: u64) {
        let mut listing = self.listing.lock();
        let Some(position) = listing.running.iter().position(|query| query.id == id) else { return };
        let mut query = listing.running.remove(position);
        let cancel = query.cancel.take();
        listing.finished.push_back(query);
        if listing.finished.len() > KEPT {
            listing.finished.pop_front();
        }
        drop(listing);
        // Dropped without the lock, since the function may own anything.
        drop(cancel);
    }

    /// Returns the running queries and the last finished ones, by ascending id.
    pub(crate) fn list(&self) -> Vec<QueryInfo> {
        let info = |query: &ListedQuery, active| {
            let backlog = Backlog::default();
            (QueryInfo { id: query.id, sql: query.sql.clone(), active, backlog }, query.cancel.clone())
        };
        let listing = self.listing.lock();
        let finished = listing.finished.iter().map(|query| info(query, false));
        let mut all: Vec<_> = finished.chain(listing.running.iter().map(|query| info(query, true))).collect();
        // A subscription that ends while it is asked takes the lock.
        drop(listing);
        all.sort_by_key(|(query, _)| query.id);
        let with_backlog = |(query, cancel)| match cancel {
            Some(Cancel::Subscription(subscription)) => QueryInfo { backlog: subscription.backlog(), ..query },
            Some(Cancel::Token(_) | Cancel::Call(_)) | None => query,
        };
        all.into_iter().map(with_backlog).collect()
    }

    /// Cancels a query; does nothing if it has finished. Fails if no query has had this id.
    pub(crate) fn cancel(&self, id: u64) -> Result<(), Error> {
        let listing = self.listing.lock();
        if id == 0 || id > listing.last_id {
            return Err(Error::TableNotFound(format!("query {id} not found")));
        }
        let running = listing.running.iter().find(|query| query.id == id);
        let cancel = running.and_then(|query| query.cancel.clone());
        // Cancelling may finish the query at once, which takes the lock.
        drop(listing);
        if let Some(cancel) = cancel {
            cancel.end();
        }
        Ok(())
    }

    /// Cancels all running queries, streams and subscriptions, because the database is closed.
    pub(crate) fn close(&self) {
        let running: Vec<Cancel> = self.listing.lock().running.iter().filter_map(|r| r.cancel.clone()).collect();
        for cancel in running {
            cancel.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_queries_stay_listed_up_to_a_bound_and_cancelling_them_is_nothing() {
        let registry = Arc::new(Registry::default());
        for _ in 0..KEPT + 5 {
            drop(registry.begin("select 1", Cancel::Token(CancelToken::new())));
        }
        let token = CancelToken::new();
        let running = registry.begin("select 2", Cancel::Token(token.clone()));
        assert_eq!(registry.list().len(), KEPT + 1);
        assert_eq!(registry.list()[0].id, 6);
        registry.cancel(1).expect("it is over");
        registry.cancel(running.id).expect("it runs");
        assert!(token.is_cancelled());
        assert_eq!(registry.cancel(9999).expect_err("never given").code(), 200);
    }
}
