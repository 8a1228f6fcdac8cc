//! Shared parts of the end-to-end tests: databases that tests use by text, the oracle, directories for
//! checkpoints, and the sources of the workspace.
//!
//! The oracle defines what is right: a view equals the same SELECT run from scratch, and a subscription's snapshot plus
//! all changes delivered equals the view.

pub mod fuzz;
pub mod oracle;
pub mod random;
pub mod sources;
pub mod storage;
pub mod text;

use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use laminardb_bridge::{CancelToken, DatabaseConfig, Error, Outcome, Params, Session};

pub use oracle::{Bag, Follower};
pub use storage::Storage;

/// A database with a session; a failure of a call fails the test.
pub struct Database {
    /// The database, which all its sessions share.
    pub shared: Arc<laminardb_bridge::Database>,
    /// The session in which the calls run.
    pub session: Session,
}

impl Database {
    /// Opens an empty database with `workers` workers.
    pub fn new(workers: usize) -> Self {
        let workers = NonZeroUsize::new(workers).expect("at least one worker");
        Database::open(DatabaseConfig { workers, ..DatabaseConfig::default() })
    }

    /// Opens an empty database with the given configuration.
    pub fn open(config: DatabaseConfig) -> Self {
        Database::of(laminardb_bridge::Database::open(config).expect("a database opens").session())
    }

    /// Returns the database of `session`, with that session.
    pub fn of(session: Session) -> Self {
        Database { shared: Arc::clone(session.database()), session }
    }

    /// Returns the same database with a new session.
    pub fn other(&self) -> Self {
        Database::of(self.shared.session())
    }

    /// Returns the same database and session, but calls through the result send on `waits` again and again while they
    /// wait.
    pub fn telling(&self, waits: &mpsc::Sender<()>) -> Self {
        let waits = waits.clone();
        let told = CancelToken::polled(Duration::from_millis(10), move || waits.send(()).is_err());
        Database::of(self.session.with_cancel(&told))
    }

    /// Runs statements that must succeed.
    #[track_caller]
    pub fn run(&self, sql: &str) -> Outcome {
        match self.session.execute(sql, &Params::none()) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{sql}\nfailed: {}", error.message()),
        }
    }

    /// Runs a statement that must change rows, and returns how many it changed.
    #[track_caller]
    pub fn changed(&self, sql: &str) -> u64 {
        match self.run(sql) {
            Outcome::Rows(rows) => rows,
            other => panic!("{sql}\nchanged no rows but gave {other:?}"),
        }
    }

    /// Runs a statement that must fail, and returns the code and text of its error.
    #[track_caller]
    pub fn refused(&self, sql: &str) -> (u16, String) {
        match self.session.execute(sql, &Params::none()) {
            Ok(outcome) => panic!("{sql}\nmust fail, but gave {outcome:?}"),
            Err(error) => (error.code(), error.to_string()),
        }
    }

    /// Returns the rows of a query as text, in the order of the query.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<String> {
        match self.query(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}\nfailed: {}", error.message()),
        }
    }

    /// Returns the rows of a query as [`Database::rows`] does, or its error.
    pub fn query(&self, sql: &str) -> Result<Vec<String>, Error> {
        let output = self.session.query(sql, &Params::none())?;
        Ok(output.batches.iter().flat_map(text::rows).collect())
    }

    /// Returns the rows of a query as text, without an order.
    #[track_caller]
    pub fn bag(&self, sql: &str) -> Bag {
        Bag::of(self.rows(sql))
    }
}
