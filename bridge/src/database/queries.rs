//! The queries and subscriptions of a database by id, so that they can be listed and cancelled.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use laminardb_dataflow::CancelToken;

use crate::error::Error;

/// Finished queries that stay listed.
const KEPT: usize = 1000;

/// One query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryInfo {
    /// Given in order, from 1.
    pub id: u64,
    /// Its text.
    pub sql: String,
    /// Whether it still runs.
    pub active: bool,
}

/// What a running query is told through.
#[derive(Clone)]
pub(crate) enum Cancel {
    /// It works or waits with this.
    Token(CancelToken),
    /// It is told.
    Call(Arc<dyn Fn() + Send + Sync>),
}

impl Cancel {
    /// Ends the query.
    fn end(&self) {
        match self {
            Cancel::Token(token) => token.cancel(),
            Cancel::Call(call) => call(),
        }
    }
}

struct Listed {
    id: u64,
    sql: String,
    cancel: Option<Cancel>,
}

#[derive(Default)]
struct Listing {
    last_id: u64,
    running: Vec<Listed>,
    finished: VecDeque<Listed>,
}

/// All queries of a database.
#[derive(Default)]
pub(crate) struct Registry {
    listing: Mutex<Listing>,
}

/// A running query; it is over when this is dropped.
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
    /// Lists a query until the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>, sql: &str, cancel: Cancel) -> Running {
        let mut listing = self.listing.lock();
        listing.last_id += 1;
        let id = listing.last_id;
        listing.running.push(Listed { id, sql: sql.to_owned(), cancel: Some(cancel) });
        Running { registry: Arc::clone(self), id }
    }

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
        drop(cancel);
    }

    pub(crate) fn list(&self) -> Vec<QueryInfo> {
        let listing = self.listing.lock();
        let info = |query: &Listed, active| QueryInfo { id: query.id, sql: query.sql.clone(), active };
        let finished = listing.finished.iter().map(|query| info(query, false));
        let mut all: Vec<QueryInfo> = finished.chain(listing.running.iter().map(|query| info(query, true))).collect();
        all.sort_by_key(|query| query.id);
        all
    }

    pub(crate) fn cancel(&self, id: u64) -> Result<(), Error> {
        let listing = self.listing.lock();
        if id == 0 || id > listing.last_id {
            return Err(Error::TableNotFound(format!("query {id} not found")));
        }
        let running = listing.running.iter().find(|query| query.id == id);
        let cancel = running.and_then(|query| query.cancel.clone());
        // What is called ends the query, which takes it off the list.
        drop(listing);
        if let Some(cancel) = cancel {
            cancel.end();
        }
        Ok(())
    }

    /// Ends all queries, streams and subscriptions because the database is closed.
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
