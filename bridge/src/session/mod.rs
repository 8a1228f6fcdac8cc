//! `Session`: one database as a Rust program embeds it; execute, query, insert, subscribe, wait.
//!
//! ```text
//!             catalog (a state per DDL, swapped whole)
//!               |
//! statement --bind--> DDL: store + engine + catalog, all or nothing
//!                     DML: rows --> Committer --> store, engine
//!                     query: scans and snapshots of one time --> Executor
//!                     subscribe: view --> Hub --> Subscription
//! ```
//!
//! Locks are taken in this order: that of the storage directory, `ddl`, the committer's, then the short ones (`catalog`,
//! `accepted`, `anonymous`, `watched`, the hub's). Nobody holds one of them while he waits for the transaction of
//! another thread to end. A definition that waits for views holds `ddl` alone, and every call but `shutdown` waits for
//! `ddl` such that it can be interrupted. Who holds off writers (see `Committer::hold`) has `ddl`, which no writer waits
//! for.

mod checkpoint;
mod ddl;
mod dml;
mod explain;
mod install;
mod left_out;
mod queries;
mod read;
mod show;
mod stream;
mod subscribe;
mod target;
mod transaction;
mod writer;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use laminardb_dataflow::{Engine, EngineConfig, EngineReport, RelationId, Time, ViewId, Waited};

use laminardb_planner::Params;
use laminardb_planner::catalog::RelationInfo;
use laminardb_planner::statement::{self, Parsed, Statement, select_all};
use parking_lot::{Mutex, RwLock};

use crate::catalog::{CatalogState, Entry};
use crate::commit::Committer;
use crate::error::Error;
use crate::query::Executor;
use crate::subscription::{End, Hub};
use checkpoint::Checkpoints;

pub use checkpoint::CheckpointConfig;
pub use queries::QueryInfo;
pub use stream::{NextRows, QueryStream};
pub use subscribe::Target;
pub use writer::Writer;

/// How a session is opened.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Threads that maintain views; results never depend on it.
    pub workers: NonZeroUsize,
    /// Per relation, rows accepted but not yet worked through all views, beyond which a write waits; 0: no bound.
    pub buffer_size: usize,
    /// Checkpoints; `None`: they are not enabled.
    pub checkpoints: Option<CheckpointConfig>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig { workers: NonZeroUsize::MIN, buffer_size: 65_536, checkpoints: None }
    }
}

/// Life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Opened; views are live already.
    Created,
    /// `start` was called.
    Running,
    /// `shutdown` was called: nothing is accepted any more.
    Stopped,
    /// `close` was called.
    Closed,
}

impl SessionState {
    /// The word programs see.
    pub fn name(self) -> &'static str {
        match self {
            SessionState::Created => "created",
            SessionState::Running => "running",
            SessionState::Stopped => "stopped",
            SessionState::Closed => "closed",
        }
    }
}

/// Rows of an answer.
#[derive(Clone, Debug)]
pub struct QueryOutput {
    /// Names, which may repeat, and types.
    pub schema: SchemaRef,
    /// The rows; no batch is empty.
    pub batches: Vec<RecordBatch>,
}

impl QueryOutput {
    /// Number of rows.
    pub fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// What a statement did.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It defined or removed something, or controls a transaction.
    Ddl {
        /// The words of the statement, as `CREATE TABLE`.
        ddl_type: &'static str,
        /// Stored name of what it was about.
        object: Option<String>,
    },
    /// It changed this many rows.
    Rows(u64),
    /// It asked for rows.
    Query(QueryOutput),
    /// It asked for what there is.
    Metadata(QueryOutput),
}

/// Asked now and then by calls that may take long; true ends the call.
pub type Interrupted<'a> = &'a dyn Fn() -> bool;

/// One in-memory database; clones are the same one. Every call may come from any thread.
#[derive(Clone)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles of a session, and its subscriptions, keep alive.
pub(crate) struct Shared {
    config: SessionConfig,
    state: Mutex<SessionState>,
    /// Held while the set of relations or of installed views changes.
    ddl: Mutex<()>,
    catalog: RwLock<Arc<CatalogState>>,
    committer: Arc<Committer>,
    engine: Arc<Engine>,
    hub: Arc<Hub>,
    executor: Executor,
    /// How many subscriptions watch a view.
    watched: Mutex<HashMap<ViewId, usize>>,
    /// Views of subscriptions, with the names of the relations they read.
    anonymous: Mutex<Vec<(ViewId, Vec<String>)>>,
    queries: Arc<queries::Registry>,
    accepted: Mutex<Accepted>,
    checkpoints: Checkpoints,
    ids: AtomicU64,
    opened: Instant,
}

/// Counters of accepted writes.
#[derive(Default)]
struct Accepted {
    /// Writes, of any relation.
    writes: u64,
    rows: HashMap<RelationId, u64>,
}

impl Accepted {
    /// Rows of the writes to a relation.
    fn rows(&self, relation: RelationId) -> u64 {
        self.rows.get(&relation).copied().unwrap_or(0)
    }
}

impl Session {
    /// A new, empty database in memory.
    pub fn open(config: SessionConfig) -> Result<Session, Error> {
        let hub = Arc::new(Hub::new(config.workers.get()));
        let sink = Arc::clone(&hub);
        let engine = Arc::new(Engine::start(EngineConfig { workers: config.workers }, sink)?);
        let buffer_size = config.buffer_size;
        let shared = Shared {
            checkpoints: Checkpoints::new(config.checkpoints.clone()),
            config,
            state: Mutex::new(SessionState::Created),
            ddl: Mutex::new(()),
            catalog: RwLock::default(),
            committer: Arc::new(Committer::new(Arc::clone(&engine), buffer_size)),
            engine,
            hub,
            executor: Executor::new(),
            watched: Mutex::default(),
            anonymous: Mutex::default(),
            queries: Arc::default(),
            accepted: Mutex::default(),
            ids: AtomicU64::new(1),
            opened: Instant::now(),
        };
        Ok(Session { shared: Arc::new(shared) })
    }

    /// Runs one or more statements of any kind; all are parsed first, the first error stops. The result of the last.
    pub fn execute(&self, sql: &str, params: &Params) -> Result<Outcome, Error> {
        self.execute_interruptible(sql, params, &|| false)
    }

    /// [`Session::execute`], ended by `interrupted`.
    pub fn execute_interruptible(
        &self,
        sql: &str,
        params: &Params,
        interrupted: Interrupted<'_>,
    ) -> Result<Outcome, Error> {
        self.shared.check_usable()?;
        let mut last = None;
        for parsed in &parse(sql, params)? {
            last = Some(self.shared.ended_as(self.run_statement(parsed, params, interrupted))?);
        }
        last.ok_or_else(empty_statement)
    }

    /// Runs statements that only read; anything else is refused before any of them runs. The result of the last.
    pub fn query(&self, sql: &str, params: &Params) -> Result<QueryOutput, Error> {
        self.query_interruptible(sql, params, &|| false)
    }

    /// [`Session::query`], ended by `interrupted`.
    pub fn query_interruptible(
        &self,
        sql: &str,
        params: &Params,
        interrupted: Interrupted<'_>,
    ) -> Result<QueryOutput, Error> {
        self.shared.check_usable()?;
        let statements = read_statements(sql, params)?;
        let mut last = None;
        for parsed in &statements {
            match self.shared.ended_as(self.run_statement(parsed, params, interrupted))? {
                Outcome::Query(output) | Outcome::Metadata(output) => last = Some(output),
                Outcome::Ddl { .. } | Outcome::Rows(_) => unreachable!("reads give rows"),
            }
        }
        last.ok_or_else(empty_statement)
    }

    /// The rows of the relation that a name in a call means, or those for which the condition `filter` is true, one
    /// expression of SQL.
    pub fn query_relation(
        &self,
        name: &str,
        filter: Option<&str>,
        interrupted: Interrupted<'_>,
    ) -> Result<QueryOutput, Error> {
        let shared = &self.shared;
        shared.check_usable()?;
        let stored = match shared.catalog().named(name) {
            Ok(entry) => entry.name().to_owned(),
            Err(Error::TableNotFound(name)) => {
                return Err(Error::QueryFailed(format!("table {name} does not exist")));
            }
            Err(other) => return Err(other),
        };
        let parsed = select_all(&stored, filter)?;
        match shared.ended_as(self.run_statement(&parsed, &Params::none(), interrupted))? {
            Outcome::Query(output) => Ok(output),
            other => unreachable!("a query gives rows, not {other:?}"),
        }
    }

    fn run_statement(&self, parsed: &Parsed, params: &Params, interrupted: Interrupted<'_>) -> Result<Outcome, Error> {
        let shared = &self.shared;
        match &parsed.statement {
            Statement::Query(query) => shared.answer(query, params, &parsed.text, interrupted).map(Outcome::Query),
            Statement::CreateRelation(create) => shared.create_relation(create, interrupted),
            Statement::CreateTableAs(create) => shared.create_table_as(create, &parsed.text, params, interrupted),
            Statement::CreateView(create) => shared.create_view(create, parsed, params, interrupted),
            Statement::Drop(drop) => shared.drop_relation(drop, interrupted),
            Statement::Insert(insert) => shared.insert_statement(insert, params, interrupted).map(Outcome::Rows),
            Statement::Update(update) => shared.update_statement(update, params, interrupted).map(Outcome::Rows),
            Statement::Delete(delete) => shared.delete_statement(delete, params, interrupted).map(Outcome::Rows),
            Statement::Truncate(name) => shared.truncate_statement(name, interrupted).map(Outcome::Rows),
            Statement::Explain(explained) => shared.explain_statement(explained, params).map(Outcome::Metadata),
            Statement::Describe(name) => shared.describe(name).map(Outcome::Metadata),
            Statement::Show(kind) => Ok(Outcome::Metadata(shared.show(*kind))),
            Statement::Begin => shared.begin(interrupted).map(|()| control("BEGIN")),
            Statement::Commit => shared.commit_transaction(interrupted).map(|()| control("COMMIT")),
            Statement::Rollback => shared.committer.rollback_transaction().map(|()| control("ROLLBACK")),
            Statement::Checkpoint => {
                let id = shared.checkpoint(interrupted)?;
                Ok(Outcome::Ddl { ddl_type: "CHECKPOINT", object: Some(format!("checkpoint_{id}")) })
            }
            Statement::Restore(which) => {
                let id = shared.restore(*which, interrupted)?;
                Ok(Outcome::Ddl { ddl_type: "RESTORE", object: Some(format!("checkpoint_{id}")) })
            }
        }
    }

    /// What maintains or answers a query, as text. A bad query fails as it would in [`Session::query`].
    pub fn explain(&self, sql: &str, params: &Params) -> Result<String, Error> {
        self.shared.check_usable()?;
        let mut statements = parse(sql, params)?;
        match (statements.pop(), statements.pop()) {
            (Some(only), None) => self.shared.explain(&only, params),
            _ => Err(Error::QueryFailed("one statement can be explained at a time".to_owned())),
        }
    }

    /// The relation or view a name in a call means.
    pub fn relation(&self, name: &str) -> Result<Arc<RelationInfo>, Error> {
        self.shared.check_open()?;
        Ok(Arc::clone(&self.shared.catalog().named(name)?.info))
    }

    /// All relations and views, in creation order.
    pub fn relations(&self) -> Result<Vec<Arc<Entry>>, Error> {
        self.shared.check_open()?;
        Ok(self.shared.catalog().entries().to_vec())
    }

    /// Waits until every view is complete up to the last write that returned before the call; gives its time.
    pub fn wait(&self, timeout: Option<Duration>, interrupted: Interrupted<'_>) -> Result<Time, Error> {
        self.shared.check_usable()?;
        let time = self.shared.engine.last_time();
        self.shared.ended_as(self.shared.wait_for(time, timeout, interrupted))?;
        Ok(time)
    }

    /// Time of the last accepted write, 0 if none.
    pub fn current_time(&self) -> Time {
        self.shared.engine.last_time()
    }

    /// Marks the session as running, and starts timed checkpoints. Idempotent; views are live without it.
    pub fn start(&self) -> Result<(), Error> {
        self.shared.check_usable()?;
        self.shared.checkpoints.start(Arc::downgrade(&self.shared))?;
        let mut state = self.shared.state.lock();
        if *state == SessionState::Created {
            *state = SessionState::Running;
        }
        Ok(())
    }

    /// Brings all accepted writes through all views, lets subscriptions deliver them and end, and accepts nothing more.
    /// An open transaction, of whatever thread, is rolled back: its writes were not accepted yet.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.shared.check_open()?;
        {
            let mut state = self.shared.state.lock();
            if matches!(*state, SessionState::Stopped | SessionState::Closed) {
                return Ok(());
            }
            *state = SessionState::Stopped;
        }
        self.shared.checkpoints.stop();
        let _ddl = self.shared.ddl.lock();
        self.shared.committer.end();
        self.shared.engine.shutdown();
        self.shared.hub.end_all(&End::Finished);
        // A session that was closed meanwhile has not brought anything to its end.
        self.shared.check_open()
    }

    /// Ends everything: what was accepted and is not through all views is discarded, blocked calls wake, and an open
    /// transaction is rolled back. Idempotent.
    pub fn close(&self) {
        {
            let mut state = self.shared.state.lock();
            if *state == SessionState::Closed {
                return;
            }
            *state = SessionState::Closed;
        }
        // Iterations end; they would fail if they met the end of the engine.
        self.shared.queries.close();
        // Before any lock is taken: who waits for a view may hold it.
        self.shared.engine.abandon();
        self.shared.committer.end();
        // After all that was begun under the committer's lock: a subscription may have been made there.
        self.shared.hub.end_all(&End::Cancelled);
        self.shared.checkpoints.end();
        // Waits for the workers.
        self.shared.engine.shutdown();
    }

    /// Where it is in its life.
    pub fn state(&self) -> SessionState {
        *self.shared.state.lock()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state() == SessionState::Closed
    }

    /// Number of worker threads.
    pub fn workers(&self) -> usize {
        self.shared.config.workers.get()
    }

    /// How long ago it was opened.
    pub fn uptime(&self) -> Duration {
        self.shared.opened.elapsed()
    }

    /// The configured bound of pending rows per relation; 0: none.
    pub fn buffer_size(&self) -> usize {
        self.shared.config.buffer_size
    }

    /// What the engine holds and has done.
    pub fn engine_report(&self) -> Result<EngineReport, Error> {
        self.shared.check_usable()?;
        self.shared.ended_as(self.shared.engine.report().map_err(Error::from))
    }

    /// Queries and subscriptions: those running, and the last that are not.
    pub fn queries(&self) -> Vec<QueryInfo> {
        self.shared.queries.list()
    }

    /// Ends a running query or subscription; nothing if it is over. An id that was never given is an error.
    pub fn cancel_query(&self, id: u64) -> Result<(), Error> {
        self.shared.queries.cancel(id)
    }
}

impl Shared {
    pub(crate) fn committer(&self) -> &Committer {
        &self.committer
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Number of accepted writes, of any relation.
    pub(crate) fn accepted_writes(&self) -> u64 {
        self.accepted.lock().writes
    }

    /// Rows of the accepted writes to a relation.
    pub(crate) fn accepted_rows(&self, relation: RelationId) -> u64 {
        self.accepted.lock().rows(relation)
    }

    /// Counts a write of `rows` rows; one that is part of a transaction counts at its end.
    fn count_write(&self, relation: RelationId, rows: u64) {
        if self.committer.count_in_transaction(relation, rows) {
            return;
        }
        let mut accepted = self.accepted.lock();
        accepted.writes += 1;
        *accepted.rows.entry(relation).or_default() += rows;
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Fails on a closed session.
    fn check_open(&self) -> Result<(), Error> {
        match *self.state.lock() {
            SessionState::Closed => Err(Error::ConnectionClosed),
            SessionState::Created | SessionState::Running | SessionState::Stopped => Ok(()),
        }
    }

    /// Fails on a session that is closed or shut down, or whose engine stopped.
    fn check_usable(&self) -> Result<(), Error> {
        match *self.state.lock() {
            SessionState::Closed => return Err(Error::ConnectionClosed),
            SessionState::Stopped => return Err(Error::Shutdown),
            SessionState::Created | SessionState::Running => {}
        }
        match self.hub.stopped_reason() {
            Some(reason) => Err(Error::Internal(reason)),
            None => Ok(()),
        }
    }

    /// A call that was under way when the session was closed fails as one that comes later does, whatever it found
    /// missing.
    fn ended_as<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
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

    fn new_relation_id(&self) -> RelationId {
        RelationId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    fn new_view_id(&self) -> ViewId {
        ViewId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until all views are complete through `time`, or the session is closed.
    fn wait_for(&self, time: Time, timeout: Option<Duration>, interrupted: Interrupted<'_>) -> Result<(), Error> {
        self.waiting(interrupted, |stop| Ok(self.engine.wait(time, timeout, stop)?))
    }

    /// A wait for the engine, which also ends when the session is closed.
    fn waiting(
        &self,
        interrupted: Interrupted<'_>,
        wait: impl FnOnce(Interrupted<'_>) -> Result<Waited, Error>,
    ) -> Result<(), Error> {
        match wait(&|| self.check_open().is_err() || interrupted())? {
            Waited::Done => Ok(()),
            Waited::Cancelled => {
                self.check_open()?;
                Err(Error::Interrupted)
            }
        }
    }
}

/// The statements of a text that together use all of `params`.
fn parse(sql: &str, params: &Params) -> Result<Vec<Parsed>, Error> {
    let statements = statement::parse(sql)?;
    params.all_used(&statements)?;
    Ok(statements)
}

/// The statements of a text that only reads.
fn read_statements(sql: &str, params: &Params) -> Result<Vec<Parsed>, Error> {
    let statements = parse(sql, params)?;
    match statements.iter().find(|parsed| !parsed.statement.is_read()) {
        Some(other) => Err(Error::QueryFailed(format!("not a query, use execute: {}", first_words(&other.text)))),
        None => Ok(statements),
    }
}

fn empty_statement() -> Error {
    Error::QueryFailed("Empty SQL statement".to_owned())
}

/// What a statement about a transaction did.
fn control(ddl_type: &'static str) -> Outcome {
    Outcome::Ddl { ddl_type, object: None }
}

/// The beginning of a statement, for messages.
fn first_words(text: &str) -> String {
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
