//! The queries and subscriptions of a database by id, so that they can be listed and cancelled.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use laminardb_dataflow::CancelToken;

use crate::error::Error;
use crate::session::Control;

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
    /// It is a stream.
    Stream(Weak<Control>),
}

impl Cancel {
    /// Ends the query.
    fn end(&self) {
        match self {
            Cancel::Token(token) => token.cancel(),
            Cancel::Call(call) => call(),
            Cancel::Stream(stream) => {
                if let Some(stream) = stream.upgrade() {
                    stream.end();
                }
            }
        }
    }
}

struct Record {
    id: u64,
    sql: String,
    cancel: Option<Cancel>,
}

#[derive(Default)]
struct Records {
    last_id: u64,
    running: Vec<Record>,
    finished: VecDeque<Record>,
}

/// All queries of a database.
#[derive(Default)]
pub(crate) struct Registry {
    records: Mutex<Records>,
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
        let mut records = self.records.lock();
        records.last_id += 1;
        let id = records.last_id;
        records.running.push(Record { id, sql: sql.to_owned(), cancel: Some(cancel) });
        Running { registry: Arc::clone(self), id }
    }

    fn finish(&self, id: u64) {
        let mut records = self.records.lock();
        let Some(position) = records.running.iter().position(|record| record.id == id) else { return };
        let mut record = records.running.remove(position);
        let cancel = record.cancel.take();
        records.finished.push_back(record);
        if records.finished.len() > KEPT {
            records.finished.pop_front();
        }
        drop(records);
        drop(cancel);
    }

    pub(crate) fn list(&self) -> Vec<QueryInfo> {
        let records = self.records.lock();
        let info = |record: &Record, active| QueryInfo { id: record.id, sql: record.sql.clone(), active };
        let finished = records.finished.iter().map(|record| info(record, false));
        let mut all: Vec<QueryInfo> = finished.chain(records.running.iter().map(|record| info(record, true))).collect();
        all.sort_by_key(|query| query.id);
        all
    }

    pub(crate) fn cancel(&self, id: u64) -> Result<(), Error> {
        let records = self.records.lock();
        if id == 0 || id > records.last_id {
            return Err(Error::TableNotFound(format!("query {id} not found")));
        }
        let running = records.running.iter().find(|record| record.id == id);
        let cancel = running.and_then(|record| record.cancel.clone());
        // What is called ends the query, which takes it off the list.
        drop(records);
        if let Some(cancel) = cancel {
            cancel.end();
        }
        Ok(())
    }

    /// Ends all queries, streams and subscriptions because the database is closed.
    pub(crate) fn close(&self) {
        let running: Vec<Cancel> = self.records.lock().running.iter().filter_map(|r| r.cancel.clone()).collect();
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
