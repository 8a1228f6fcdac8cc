//! `Database`: what all sessions share, and its life from `open` to `close`. It knows no caller.
//!
//! ```text
//!             catalog (a state per definition, swapped whole)
//!               |
//! session ------+--> definitions: store + engine + catalog, all or nothing
//!               +--> writes: rows --> Committer --> store, engine
//!               +--> queries: scans and snapshots of one time --> Executor
//!               +--> subscriptions: view --> Hub --> Subscription
//! ```
//!
//! Locks are taken in this order: that of the storage directory, `definitions`, the committer's, then the short ones
//! (`catalog`, `anonymous`, `watched`, the hub's, the engine's, and that of `accepted` last). Nobody holds one of them
//! while waiting for the transaction of another session to end. A definition that waits for views holds `definitions`
//! alone, and every call but `shutdown` waits for it such that it can be cancelled. A session that holds off writers
//! (see `Committer::hold`) has `definitions`, which no writer waits for.

mod accepted;
mod definitions;
mod image;
mod keeper;
mod queries;
mod watch;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use laminardb_dataflow::cancel::{CancelToken, Monitor};
use laminardb_dataflow::{Engine, EngineConfig, EngineReport, RelationId, Time, ViewId};
use laminardb_planner::catalog::RelationInfo;
use parking_lot::{Mutex, RwLock};

use crate::catalog::{CatalogState, Entry};
use crate::commit::{Committer, History, Record};
use crate::error::Error;
use crate::query::Executor;
use crate::subscription::{End, Hub};

pub(crate) use accepted::Accepted;
pub(crate) use definitions::{Leaving, NewView};
pub use keeper::CheckpointConfig;
use keeper::Checkpoints;
pub use queries::QueryInfo;
pub(crate) use queries::{Cancel, Registry, Running};

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Threads that maintain views; results never depend on it.
    pub workers: NonZeroUsize,
    /// Per relation, rows accepted but not yet worked through all views, beyond which a write waits; 0: no bound.
    pub buffer_size: usize,
    /// Checkpoints; `None`: they are not enabled.
    pub checkpoints: Option<CheckpointConfig>,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        DatabaseConfig { workers: NonZeroUsize::MIN, buffer_size: 65_536, checkpoints: None }
    }
}

/// Where a database is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// Opened; views are live already.
    Created,
    /// `start` was called.
    Running,
    /// `shutdown` was called: nothing is accepted any more.
    Stopped,
    /// `close` was called.
    Closed,
}

impl DatabaseState {
    /// The word programs see.
    pub fn name(self) -> &'static str {
        match self {
            DatabaseState::Created => "created",
            DatabaseState::Running => "running",
            DatabaseState::Stopped => "stopped",
            DatabaseState::Closed => "closed",
        }
    }
}

/// One in-memory database. Every call may come from any thread.
pub struct Database {
    config: DatabaseConfig,
    state: Mutex<DatabaseState>,
    /// True while the set of relations or of installed views changes, or must not.
    definitions: Arc<Monitor<bool>>,
    pub(crate) catalog: RwLock<Arc<CatalogState>>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) executor: Executor,
    /// How many subscriptions watch a view.
    pub(crate) watched: Mutex<HashMap<ViewId, usize>>,
    /// Views of subscriptions, with the names of the relations they read.
    pub(crate) anonymous: Mutex<Vec<(ViewId, Vec<String>)>>,
    pub(crate) queries: Arc<Registry>,
    pub(crate) accepted: Arc<Accepted>,
    pub(crate) checkpoints: Checkpoints,
    /// The last id of a relation, view or session.
    ids: AtomicU64,
    opened: Instant,
}

/// Passes records to the counters, and to whoever else asked for them.
struct Histories {
    accepted: Arc<Accepted>,
    other: Option<Arc<dyn History>>,
}

impl History for Histories {
    fn record(&self, time: Time, record: &Record<'_>) {
        self.accepted.record(time, record);
        if let Some(other) = &self.other {
            other.record(time, record);
        }
    }
}

/// The right to change the set of relations, or to rely on it; given back when it is dropped.
pub(crate) struct Definitions<'a>(&'a Monitor<bool>);

impl Drop for Definitions<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.notify_all();
    }
}

impl Database {
    /// Opens a new, empty database in memory.
    pub fn open(config: DatabaseConfig) -> Result<Arc<Database>, Error> {
        Database::open_with(config, None)
    }

    /// Opens a new, empty database in memory, whose records `history` receives.
    #[expect(clippy::disallowed_methods, reason = "uptime is a metric")]
    pub fn open_with(config: DatabaseConfig, history: Option<Arc<dyn History>>) -> Result<Arc<Database>, Error> {
        let hub = Arc::new(Hub::new(config.workers.get()));
        let sink = Arc::clone(&hub);
        let engine = Arc::new(Engine::start(EngineConfig { workers: config.workers }, sink)?);
        let buffer_size = config.buffer_size;
        let accepted: Arc<Accepted> = Arc::default();
        let histories = Histories { accepted: Arc::clone(&accepted), other: history };
        Ok(Arc::new(Database {
            checkpoints: Checkpoints::new(config.checkpoints.clone()),
            config,
            state: Mutex::new(DatabaseState::Created),
            definitions: Monitor::new(false),
            catalog: RwLock::default(),
            committer: Arc::new(Committer::new(Arc::clone(&engine), Box::new(histories), buffer_size)),
            engine,
            hub,
            executor: Executor::new(),
            watched: Mutex::default(),
            anonymous: Mutex::default(),
            queries: Arc::default(),
            accepted,
            ids: AtomicU64::new(1),
            opened: Instant::now(),
        }))
    }

    /// Marks the database as running, and starts timed checkpoints. Idempotent; views are live without it.
    pub fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.check_usable()?;
        let database = Arc::downgrade(self);
        self.checkpoints.start(move |cancel| {
            // A database that nobody else holds ends when its image was taken.
            let Some(database) = database.upgrade() else { return Err(Error::ConnectionClosed) };
            database.check_usable()?;
            database.take_image(cancel)
        })?;
        let mut state = self.state.lock();
        if *state == DatabaseState::Created {
            *state = DatabaseState::Running;
        }
        Ok(())
    }

    /// Brings all accepted writes through all views, lets subscriptions deliver them and end, and accepts nothing more.
    /// An open transaction, of whatever session, is rolled back: its writes were not accepted yet.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.check_open()?;
        {
            let mut state = self.state.lock();
            if matches!(*state, DatabaseState::Stopped | DatabaseState::Closed) {
                return Ok(());
            }
            *state = DatabaseState::Stopped;
        }
        self.checkpoints.stop();
        // Those who wait for it find that the database has ended.
        self.definitions.notify_of_other();
        let _definitions = self.take_definitions(&CancelToken::new(), || Ok(()))?;
        self.committer.end();
        self.engine.shutdown();
        self.hub.end_all(&End::Finished);
        // A database that was closed meanwhile has not brought anything to its end.
        self.check_open()
    }

    /// Ends everything: what was accepted and is not through all views is discarded, blocked calls wake, and an open
    /// transaction is rolled back. Idempotent.
    pub fn close(&self) {
        {
            let mut state = self.state.lock();
            if *state == DatabaseState::Closed {
                return;
            }
            *state = DatabaseState::Closed;
        }
        // Iterations end; they would fail if they met the end of the engine.
        self.queries.close();
        // Before any lock is taken: a call that waits for a view may hold it.
        self.engine.abandon();
        self.definitions.notify_of_other();
        self.committer.end();
        // After all that was begun under the committer's lock: a subscription may have been made there.
        self.hub.end_all(&End::Cancelled);
        self.checkpoints.end();
        // Waits for the workers.
        self.engine.shutdown();
    }

    /// Where it is in its life.
    pub fn state(&self) -> DatabaseState {
        *self.state.lock()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state() == DatabaseState::Closed
    }

    /// Number of worker threads.
    pub fn workers(&self) -> usize {
        self.config.workers.get()
    }

    /// How long ago it was opened.
    pub fn uptime(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The configured bound of pending rows per relation; 0: none.
    pub fn buffer_size(&self) -> usize {
        self.config.buffer_size
    }

    /// The relation or view a name in a call means.
    pub fn relation(&self, name: &str) -> Result<Arc<RelationInfo>, Error> {
        self.check_open()?;
        Ok(Arc::clone(&self.catalog().named(name)?.info))
    }

    /// All relations and views, in creation order.
    pub fn relations(&self) -> Result<Vec<Arc<Entry>>, Error> {
        self.check_open()?;
        Ok(self.catalog().entries().to_vec())
    }

    /// Time of the last accepted write, 0 if none.
    pub fn current_time(&self) -> Time {
        self.engine.last_time()
    }

    /// What the engine holds and has done.
    pub fn engine_report(&self) -> Result<EngineReport, Error> {
        self.check_usable()?;
        self.ended_as(self.engine.report().map_err(Error::from))
    }

    /// Queries and subscriptions: those running, and the last that are not.
    pub fn queries(&self) -> Vec<QueryInfo> {
        self.queries.list()
    }

    /// Ends a running query or subscription; nothing if it is over. An id that was never given is an error.
    pub fn cancel_query(&self, id: u64) -> Result<(), Error> {
        self.queries.cancel(id)
    }

    /// Whether the database was opened with checkpoints.
    pub fn is_checkpoint_enabled(&self) -> bool {
        self.config.checkpoints.is_some()
    }

    /// Fails on a closed database.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match *self.state.lock() {
            DatabaseState::Closed => Err(Error::ConnectionClosed),
            DatabaseState::Created | DatabaseState::Running | DatabaseState::Stopped => Ok(()),
        }
    }

    /// Fails on a database that is closed or shut down, or whose engine stopped.
    pub(crate) fn check_usable(&self) -> Result<(), Error> {
        match *self.state.lock() {
            DatabaseState::Closed => return Err(Error::ConnectionClosed),
            DatabaseState::Stopped => return Err(Error::Shutdown),
            DatabaseState::Created | DatabaseState::Running => {}
        }
        match self.hub.stopped_reason() {
            Some(reason) => Err(Error::Internal(reason)),
            None => Ok(()),
        }
    }

    /// A call that was under way when the database was closed fails as one that comes later does, whatever it found
    /// missing.
    pub(crate) fn ended_as<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match result {
            Ok(_) | Err(Error::Interrupted) => result,
            Err(error) => {
                self.check_open()?;
                Err(error)
            }
        }
    }

    /// The relations as they are now.
    pub(crate) fn catalog(&self) -> Arc<CatalogState> {
        Arc::clone(&self.catalog.read())
    }

    /// Whether the relations are others than those of `catalog`. Waits for a change under way, in which a view that goes
    /// is gone before the catalog is another one.
    pub(crate) fn has_changed_since(&self, catalog: &Arc<CatalogState>) -> bool {
        self.committer.frozen(|_| !Arc::ptr_eq(catalog, &self.catalog()))
    }

    /// Keeps the set of relations as it is. Waits for definitions under way; fails when `cancel` is cancelled first, or
    /// when `check` does, which is asked whenever the wait is woken.
    pub(crate) fn take_definitions(
        &self,
        cancel: &CancelToken,
        check: impl Fn() -> Result<(), Error>,
    ) -> Result<Definitions<'_>, Error> {
        let free = |is_taken: &mut bool| match check() {
            Err(error) => Some(Err(error)),
            Ok(()) if *is_taken => None,
            Ok(()) => {
                *is_taken = true;
                Some(Ok(()))
            }
        };
        let (guard, taken) = self.definitions.wait_for(cancel, None, free).map_err(|_| Error::Interrupted)?;
        drop(guard);
        taken.map(|()| Definitions(&self.definitions))
    }

    pub(crate) fn new_relation_id(&self) -> RelationId {
        RelationId(self.new_id())
    }

    pub(crate) fn new_view_id(&self) -> ViewId {
        ViewId(self.new_id())
    }

    pub(crate) fn new_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}
