//! What the end-to-end tests share: a session spoken to in text, and the oracle.
//!
//! The oracle is the definition of right: a view equals the same SELECT run from scratch, and a subscription's snapshot
//! plus all changes delivered equals the view.

pub mod oracle;
pub mod random;
pub mod text;

use std::num::NonZeroUsize;

use laminardb_bridge::{Error, Outcome, Params, Session, SessionConfig};

pub use oracle::{Bag, Follower};

/// A session whose failures are the test's.
pub struct Database {
    /// The session.
    pub session: Session,
}

impl Database {
    /// An empty one with so many workers.
    pub fn new(workers: usize) -> Self {
        let workers = NonZeroUsize::new(workers).expect("at least one worker");
        let config = SessionConfig { workers, ..SessionConfig::default() };
        Database { session: Session::open(config).expect("a session opens") }
    }

    /// Runs statements that must succeed.
    #[track_caller]
    pub fn run(&self, sql: &str) -> Outcome {
        match self.session.execute(sql, &Params::none()) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{sql}\nfailed: {}", error.message()),
        }
    }

    /// Runs a statement that must change rows; how many.
    #[track_caller]
    pub fn changed(&self, sql: &str) -> u64 {
        match self.run(sql) {
            Outcome::Rows(rows) => rows,
            other => panic!("{sql}\nchanged no rows but gave {other:?}"),
        }
    }

    /// Runs a statement that must fail; its code and text.
    #[track_caller]
    pub fn refused(&self, sql: &str) -> (u16, String) {
        match self.session.execute(sql, &Params::none()) {
            Ok(outcome) => panic!("{sql}\nmust fail, but gave {outcome:?}"),
            Err(error) => (error.code(), error.to_string()),
        }
    }

    /// Rows of a query as text, in its order.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<String> {
        match self.query(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}\nfailed: {}", error.message()),
        }
    }

    /// The same, or its error.
    pub fn query(&self, sql: &str) -> Result<Vec<String>, Error> {
        let output = self.session.query(sql, &Params::none())?;
        Ok(output.batches.iter().flat_map(text::rows).collect())
    }

    /// Rows of a query in no order.
    #[track_caller]
    pub fn bag(&self, sql: &str) -> Bag {
        Bag::of(self.rows(sql))
    }
}
