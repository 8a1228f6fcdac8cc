//! `Database`: the state that all sessions share, and its life from `open` to `close`. Nothing here depends on a
//! session.
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
//! (`catalog`, `anonymous`, `watched`, the hub's, the engine's, and that of `accepted` last). No call holds one of them
//! while it waits for the transaction of another session to end. A definition that waits for views holds only
//! `definitions`, and every call except `shutdown` can be cancelled while it waits for `definitions`. A session that
//! holds off writers (see `Committer::hold`) holds `definitions`, for which no writer waits.

mod accepted;
mod definitions;
mod image;
mod keeper;
mod queries;
mod watch;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use laminardb_dataflow::cancel::{CancelToken, Monitor};
use laminardb_dataflow::lock::{Held, Mutex, Rank, RwLock};
use laminardb_dataflow::{Engine, EngineConfig, EngineReport, MemoryLimit, RelationId, Time, ViewId};
use laminardb_planner::catalog::RelationInfo;

use crate::catalog::{CatalogState, Entry};
use crate::commit::{Committer, History, Record, TransactionInfo};
use crate::error::{Error, ended_text};
use crate::memory::default_limit;
use crate::query::Executor;
use crate::subscription::{End, Hub};

pub(crate) use accepted::Accepted;
pub(crate) use definitions::{Leaving, NewView};
pub use keeper::CheckpointConfig;
use keeper::Checkpoints;
pub use queries::QueryInfo;
pub(crate) use queries::{Cancel, Registry, Running};

/// Configuration of a database.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Number of threads that maintain views; results never depend on it.
    pub workers: NonZeroUsize,
    /// Number of rows of one relation, accepted but not yet through all views, at which writes to it wait; 0 means no
    /// limit.
    pub buffer_size: usize,
    /// Configuration of checkpoints; `None` means that they are not enabled.
    pub checkpoints: Option<CheckpointConfig>,
    /// How long a call waits for a transaction of another session to end; `None` means without limit.
    pub lock_timeout: Option<Duration>,
    /// The memory that the process may use, in all its databases together; `None` means the default of the machine.
    pub memory_limit: Option<MemoryLimit>,
}

/// Default of [`DatabaseConfig::lock_timeout`].
pub const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for DatabaseConfig {
    fn default() -> Self {
        let lock_timeout = Some(DEFAULT_LOCK_TIMEOUT);
        DatabaseConfig {
            workers: NonZeroUsize::MIN,
            buffer_size: 65_536,
            checkpoints: None,
            lock_timeout,
            memory_limit: None,
        }
    }
}

/// State of a database in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// The database was opened; views are live already.
    Created,
    /// `start` was called.
    Running,
    /// `shutdown` was called: reads and writes fail.
    Stopped,
    /// `close` was called.
    Closed,
}

impl DatabaseState {
    /// Returns the name of the state as programs see it.
    pub fn name(self) -> &'static str {
        match self {
            DatabaseState::Created => "created",
            DatabaseState::Running => "running",
            DatabaseState::Stopped => "stopped",
            DatabaseState::Closed => "closed",
        }
    }
}

/// An in-memory database. Its methods may be called from any thread.
pub struct Database {
    config: DatabaseConfig,
    state: Mutex<DatabaseState>,
    /// Who has a [`Definitions`], because a call changes the set of relations or installed views or relies on it, and who
    /// waits for one.
    definitions: Arc<Monitor<Turns>>,
    pub(crate) catalog: RwLock<Arc<CatalogState>>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) executor: Executor,
    pub(crate) memory_limit: Option<MemoryLimit>,
    /// Number of subscriptions of each view that has any.
    pub(crate) watched: Mutex<HashMap<ViewId, usize>>,
    /// Views that were installed for one subscription each, with the names of the relations they read.
    pub(crate) anonymous: Mutex<Vec<(ViewId, Vec<String>)>>,
    pub(crate) queries: Arc<Registry>,
    pub(crate) accepted: Arc<Accepted>,
    pub(crate) checkpoints: Checkpoints,
    /// The next id of a relation, view, session or transaction.
    ids: AtomicU64,
    opened: Instant,
}

/// Passes records to the counters, and to the history given to [`Database::open_with`].
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

/// The right to change the set of relations, or to rely on it; released on drop.
pub(crate) struct Definitions<'a> {
    turns: &'a Monitor<Turns>,
    _rank: Held,
}

/// Who has the right to change the set of relations, and who waits for it.
///
/// They get it in the order in which they came: a thread that takes it again and again would otherwise have it nearly
/// always, because the others must first wake up.
#[derive(Default)]
struct Turns {
    is_taken: bool,
    /// The numbers of those who wait.
    waiting: VecDeque<u64>,
    /// The number of the next one who has to wait.
    next: u64,
}

impl Turns {
    /// Takes the right if it is free and nobody waits longer; else waits under a `number`, which is set at first.
    fn take(&mut self, number: &mut Option<u64>) -> bool {
        let is_first = match number {
            Some(number) => self.waiting.front() == Some(number),
            None => self.waiting.is_empty(),
        };
        if is_first && !self.is_taken {
            self.leave(*number);
            self.is_taken = true;
            return true;
        }
        if number.is_none() {
            self.waiting.push_back(self.next);
            *number = Some(self.next);
            self.next += 1;
        }
        false
    }

    /// Takes a number out of the line.
    fn leave(&mut self, number: Option<u64>) {
        self.waiting.retain(|waiting| Some(*waiting) != number);
    }
}

impl Drop for Definitions<'_> {
    fn drop(&mut self) {
        self.turns.lock().is_taken = false;
        self.turns.notify_all();
    }
}

impl Database {
    /// Opens a new, empty database in memory.
    pub fn open(config: DatabaseConfig) -> Result<Arc<Database>, Error> {
        Database::open_with(config, None)
    }

    /// Opens a new, empty database in memory; `history` receives its records.
    #[expect(clippy::disallowed_methods, reason = "uptime is a metric")]
    pub fn open_with(config: DatabaseConfig, history: Option<Arc<dyn History>>) -> Result<Arc<Database>, Error> {
        let memory_limit = config.memory_limit.or_else(default_limit);
        let hub = Arc::new(Hub::new(config.workers.get()));
        let sink = Arc::clone(&hub);
        let engine = Arc::new(Engine::start(EngineConfig { workers: config.workers, memory_limit }, sink)?);
        let accepted: Arc<Accepted> = Arc::default();
        let histories = Histories { accepted: Arc::clone(&accepted), other: history };
        let committer =
            Committer::new(Arc::clone(&engine), Box::new(histories), config.buffer_size, config.lock_timeout)
                .with_memory_limit(memory_limit);
        Ok(Arc::new(Database {
            checkpoints: Checkpoints::new(config.checkpoints.clone()),
            config,
            state: Mutex::new(Rank::Leaf, DatabaseState::Created),
            definitions: Monitor::new(Rank::DefinitionsState, Turns::default()),
            catalog: RwLock::new(Rank::Catalog, Arc::default()),
            committer: Arc::new(committer),
            engine,
            hub,
            executor: Executor::new(memory_limit)?,
            memory_limit,
            watched: Mutex::new(Rank::Watched, HashMap::new()),
            anonymous: Mutex::new(Rank::SubscriptionViews, Vec::new()),
            queries: Arc::default(),
            accepted,
            ids: AtomicU64::new(1),
            opened: Instant::now(),
        }))
    }

    /// Marks the database as running and starts timed checkpoints. Views are live without it. Calling it again does
    /// nothing. Fails if the database is shut down or closed.
    pub fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.check_usable()?;
        let database = Arc::downgrade(self);
        self.checkpoints.start(move |cancel| {
            // The upgraded handle may be the last one when this closure returns; the database is then dropped on this
            // thread.
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
    /// An open transaction of any session is rolled back, since its writes were not accepted yet. Views that still take
    /// in their first contents are waited for if they have subscribers, for a second at most; subscriptions to those that
    /// take longer fail. Does nothing if the database was shut down before; fails if it is closed before or meanwhile.
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
        // Wakes the calls that wait for `definitions`; they fail, because the database is not usable any more.
        self.definitions.notify_of_other();
        {
            let _definitions = self.take_definitions(&CancelToken::new(), || Ok(()))?;
            self.committer.end();
        }
        self.finish_first_contents();
        self.engine.shutdown();
        self.hub.end_all(&End::Finished);
        // If the database was closed meanwhile, accepted writes may have been discarded.
        self.check_open()
    }

    /// Ends everything: accepted writes that are not through all views are discarded, calls that wait return, and an
    /// open transaction is rolled back. Calling it again does nothing.
    pub fn close(&self) {
        {
            let mut state = self.state.lock();
            if *state == DatabaseState::Closed {
                return;
            }
            *state = DatabaseState::Closed;
        }
        // Before the engine: a cancelled iteration ends normally, but would fail if it found that the engine has ended.
        self.queries.close();
        // Before any lock is taken: a call may hold that lock while it waits for a view, and this ends its wait.
        self.engine.abandon();
        self.definitions.notify_of_other();
        self.committer.end();
        // After `end` has taken the committer's lock: a subscription that was being made under that lock is in the hub
        // then.
        self.hub.end_all(&End::Cancelled);
        self.checkpoints.end();
        // Waits for the worker threads to end.
        self.engine.shutdown();
    }

    /// Returns the state of the database.
    pub fn state(&self) -> DatabaseState {
        *self.state.lock()
    }

    /// Returns the state of a maintained view as programs see it: that of the database, or why the view was ended.
    pub(crate) fn state_of_view(&self, view: &Entry) -> &'static str {
        let state = self.state();
        let is_open = matches!(state, DatabaseState::Created | DatabaseState::Running);
        match &view.maintained {
            Some(view) if self.engine.why_ended(view.id).is_some() => "ended: memory limit",
            Some(view) if is_open && !self.hub.is_hydrated(view.id) => "hydrating",
            _ => state.name(),
        }
    }

    /// Returns whether the database was closed.
    pub fn is_closed(&self) -> bool {
        self.state() == DatabaseState::Closed
    }

    /// Returns the number of worker threads.
    pub fn workers(&self) -> usize {
        self.config.workers.get()
    }

    /// Returns the time since the database was opened.
    pub fn uptime(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Returns [`DatabaseConfig::buffer_size`].
    pub fn buffer_size(&self) -> usize {
        self.config.buffer_size
    }

    /// Returns the relation or view that a name in a call refers to; fails if there is none.
    pub fn relation(&self, name: &str) -> Result<Arc<RelationInfo>, Error> {
        self.check_open()?;
        Ok(Arc::clone(&self.catalog().named(name)?.info))
    }

    /// Returns all relations and views in creation order.
    pub fn relations(&self) -> Result<Vec<Arc<Entry>>, Error> {
        self.check_open()?;
        Ok(self.catalog().entries().to_vec())
    }

    /// Returns the time of the last accepted write; 0 if there was none.
    pub fn current_time(&self) -> Time {
        self.engine.last_time()
    }

    /// Returns the state and work of the engine.
    pub fn engine_report(&self) -> Result<EngineReport, Error> {
        self.check_usable()?;
        self.ended_as(self.engine.report().map_err(Error::from))
    }

    /// Returns the transaction under way, if there is one, and the calls that wait for it to end, in order of arrival.
    pub fn transactions(&self) -> Vec<TransactionInfo> {
        self.committer.transactions()
    }

    /// Returns whether a transaction of any session is under way.
    pub fn has_transaction(&self) -> bool {
        self.committer.is_open()
    }

    /// Returns the running queries and subscriptions and the last finished ones, by ascending id.
    pub fn queries(&self) -> Vec<QueryInfo> {
        self.queries.list()
    }

    /// Cancels a running query or subscription; does nothing if it is over. Fails if no query has had this id.
    pub fn cancel_query(&self, id: u64) -> Result<(), Error> {
        self.queries.cancel(id)
    }

    /// Returns whether the database was opened with checkpoints.
    pub fn is_checkpoint_enabled(&self) -> bool {
        self.config.checkpoints.is_some()
    }

    /// Fails if the database is closed.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match *self.state.lock() {
            DatabaseState::Closed => Err(Error::ConnectionClosed),
            DatabaseState::Created | DatabaseState::Running | DatabaseState::Stopped => Ok(()),
        }
    }

    /// Fails if the database is closed or shut down, or if its engine has stopped.
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

    /// Returns the result of a call. If the database was closed meanwhile, an error other than `Interrupted` becomes
    /// `ConnectionClosed`: what the call found missing may be a consequence of the closing. The error of a view that was
    /// ended gets its name.
    pub(crate) fn ended_as<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match result {
            Ok(_) | Err(Error::Interrupted) => result,
            Err(error) => {
                self.check_open()?;
                Err(self.named_views(error))
            }
        }
    }

    /// Returns the error with the names of the views in it instead of their ids.
    fn named_views(&self, error: Error) -> Error {
        let Error::Ended { view, cause, over } = error else { return error };
        let catalog = self.catalog();
        let name = |view| catalog.view(view).map_or("of the subscription", |entry| entry.name()).to_owned();
        Error::MemoryLimit(ended_text(&name(view), &name(cause), over))
    }

    /// Returns the current state of the catalog.
    pub(crate) fn catalog(&self) -> Arc<CatalogState> {
        Arc::clone(&self.catalog.read())
    }

    /// Returns whether the catalog is no longer `catalog`. Takes the commit lock, so it waits for a change under way.
    pub(crate) fn has_changed_since(&self, catalog: &Arc<CatalogState>) -> bool {
        self.committer.frozen(|_| !Arc::ptr_eq(catalog, &self.catalog()))
    }

    /// Waits until no other [`Definitions`] exists and whoever waited before has had it, and takes it: the set of
    /// relations stays as it is until the result is dropped. `check` runs at first and whenever the wait is woken. Fails
    /// with its error, or if `cancel` is cancelled.
    pub(crate) fn take_definitions(
        &self,
        cancel: &CancelToken,
        check: impl Fn() -> Result<(), Error>,
    ) -> Result<Definitions<'_>, Error> {
        let rank = Held::new(Rank::Definitions);
        let mut number = None;
        let turn = |turns: &mut Turns| match check() {
            Err(error) => Some(Err(error)),
            Ok(()) => turns.take(&mut number).then_some(Ok(())),
        };
        let taken = match self.definitions.wait_for(cancel, None, turn) {
            Ok((_, taken)) => taken,
            Err(_) => Err(Error::Interrupted),
        };
        if taken.is_err() {
            self.definitions.lock().leave(number);
            self.definitions.notify_all();
        }
        taken.map(|()| Definitions { turns: &self.definitions, _rank: rank })
    }

    /// Returns a new id for a relation.
    pub(crate) fn new_relation_id(&self) -> RelationId {
        RelationId(self.new_id())
    }

    /// Returns a new id for a view.
    pub(crate) fn new_view_id(&self) -> ViewId {
        ViewId(self.new_id())
    }

    /// Returns an id that no other relation, view, session or transaction of the database has; never 0.
    pub(crate) fn new_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}
