//! What the end-to-end tests share: sessions spoken to in text, the oracle, and the sources of the workspace.
//!
//! The oracle is the definition of right: a view equals the same SELECT run from scratch, and a subscription's snapshot
//! plus all changes delivered equals the view.

pub mod oracle;
pub mod random;
pub mod sources;
pub mod text;

use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use laminardb_bridge::{CancelToken, DatabaseConfig, Error, Outcome, Params, Session};

pub use oracle::{Bag, Follower};

/// A session of a database, whose failures are the test's.
pub struct Database {
    /// What it shares with all other sessions.
    pub shared: Arc<laminardb_bridge::Database>,
    /// The session.
    pub session: Session,
}

impl Database {
    /// An empty one with so many workers.
    pub fn new(workers: usize) -> Self {
        let workers = NonZeroUsize::new(workers).expect("at least one worker");
        Database::open(DatabaseConfig { workers, ..DatabaseConfig::default() })
    }

    /// An empty one.
    pub fn open(config: DatabaseConfig) -> Self {
        Database::of(laminardb_bridge::Database::open(config).expect("a database opens").session())
    }

    /// The database of a session, with that session.
    pub fn of(session: Session) -> Self {
        Database { shared: Arc::clone(session.database()), session }
    }

    /// The same database with another session.
    pub fn other(&self) -> Self {
        Database::of(self.shared.session())
    }

    /// The same, whose session says on `waits`, again and again, that a call of it waits.
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
