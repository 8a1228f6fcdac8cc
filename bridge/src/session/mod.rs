//! `Session`: one user of a database, with its statements, its open transaction, and the token that cancels its calls.

mod checkpoint;
mod ddl;
mod dml;
mod explain;
mod left_out;
mod optimistic;
mod outcome;
mod read;
mod show;
mod statements;
mod stream;
mod subscribe;
mod target;
mod transaction;
mod update;
mod writer;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use laminardb_dataflow::lock::{Mutex, Rank};
use laminardb_dataflow::{CancelToken, Time, ViewId, short_text};
use laminardb_planner::stack::on_big_stack;
use laminardb_planner::statement::{Parsed, Statement, select_all};
use laminardb_planner::{Params, budget};

use crate::commit::{Actor, Call};
use crate::database::Database;
use crate::error::Error;
use crate::transaction::Transaction;

pub use outcome::{Outcome, QueryOutput};
use statements::{empty_statement, parse, read_statements};
pub use stream::{NextRows, QueryStream};
pub use subscribe::Target;
pub use writer::Writer;

/// One user of a database: a connection or a part of one. Clones are the same session and may be used from any thread.
/// Calls with SQL run on a stack of their own, since their threads may have small ones; so a token that runs code of
/// Python when it is polled must not cancel them.
///
/// While a transaction is open, every statement and call of the session is part of it.
#[derive(Clone)]
pub struct Session {
    pub(crate) database: Arc<Database>,
    id: u64,
    transaction: Arc<Mutex<Option<Arc<Transaction>>>>,
    pub(crate) cancel: CancelToken,
    /// What those are told who wait for a transaction of the session.
    call: Call,
}

impl Database {
    /// Makes a new session, which keeps the database alive.
    pub fn session(self: &Arc<Self>) -> Session {
        let database = Arc::clone(self);
        let cancel = CancelToken::new();
        let transaction = Arc::new(Mutex::new(Rank::SessionTransaction, None));
        Session { id: self.new_id(), database, transaction, cancel, call: Call::default() }
    }
}

impl Session {
    /// Returns the database of the session.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Returns the same session with `cancel` as the token that cancels the calls made through the result. A call that
    /// is cancelled has changed nothing, unless its documentation says otherwise.
    pub fn with_cancel(&self, cancel: &CancelToken) -> Session {
        Session { cancel: cancel.clone(), ..self.clone() }
    }

    /// Returns the same session with the name `by`, which those are told who wait for its transaction, or who list the
    /// calls that wait.
    #[must_use]
    pub fn named(&self, by: &str) -> Session {
        let mut session = self.clone();
        session.call.by = Some(Arc::from(by));
        session
    }

    /// Returns the transaction that the session has begun or takes part in and that has not ended.
    pub fn transaction(&self) -> Option<Arc<Transaction>> {
        self.transaction.lock().clone().filter(|transaction| transaction.is_open())
    }

    /// Makes another session, in which every call is part of `transaction`.
    pub fn within(transaction: &Arc<Transaction>) -> Session {
        let session = transaction.database().session();
        *session.transaction.lock() = Some(Arc::clone(transaction));
        session
    }

    /// Runs one or more statements of any kind and returns the outcome of the last. All are parsed before the first
    /// runs. The first error stops the run; what ran before it stays.
    pub fn execute(&self, sql: &str, params: &Params) -> Result<Outcome, Error> {
        on_big_stack(|| self.run_all(sql, params, |_| Ok(())))
    }

    /// Runs statements as [`Session::execute`] does, but begins a transaction before the first that writes rows, unless
    /// one is open. It stays open. If a statement fails, a transaction that this call began is rolled back.
    pub fn execute_beginning(&self, sql: &str, params: &Params) -> Result<Outcome, Error> {
        let mut begun = None;
        let outcome = on_big_stack(|| {
            self.run_all(sql, params, |statement| {
                if statement.writes_rows() && self.transaction().is_none() {
                    begun = Some(self.begin()?);
                }
                Ok(())
            })
        });
        if outcome.is_err()
            && let Some(begun) = begun
            && begun.is_open()
        {
            self.rollback()?;
        }
        outcome
    }

    /// Runs the statements of a text, each after `before` has been called with it, and returns the outcome of the last.
    fn run_all(
        &self,
        sql: &str,
        params: &Params,
        mut before: impl FnMut(&Statement) -> Result<(), Error>,
    ) -> Result<Outcome, Error> {
        self.database.check_usable()?;
        let mut last = None;
        for parsed in &self.parsed(|| parse(sql, params, self.database.memory_limit))? {
            before(&parsed.statement)?;
            let session = self.doing(|| parsed.text.clone());
            last = Some(self.database.ended_as(session.run_statement(parsed, params))?);
        }
        last.ok_or_else(empty_statement)
    }

    /// Returns the session for a call that `statement` describes to those who wait for it. There are none, and the
    /// description is not made, unless a transaction is under way or the call begins one.
    pub(crate) fn doing(&self, statement: impl FnOnce() -> String) -> Cow<'_, Session> {
        if !self.database.committer.is_open() {
            return Cow::Borrowed(self);
        }
        let mut session = self.clone();
        session.call.statement = Some(Arc::from(short_text(&statement()).to_string()));
        self.database.committer.note(&session.actor());
        Cow::Owned(session)
    }

    /// Runs statements that only read, and returns the rows of the last. If any other statement is among them, none is
    /// run.
    pub fn query(&self, sql: &str, params: &Params) -> Result<QueryOutput, Error> {
        on_big_stack(|| self.run_reads(sql, params))
    }

    fn run_reads(&self, sql: &str, params: &Params) -> Result<QueryOutput, Error> {
        self.database.check_usable()?;
        let statements = self.parsed(|| read_statements(sql, params, self.database.memory_limit))?;
        let mut last = None;
        for parsed in &statements {
            match self.database.ended_as(self.run_statement(parsed, params))? {
                Outcome::Query(output) | Outcome::Metadata(output) => last = Some(output),
                Outcome::Ddl { .. } | Outcome::Rows(_) => unreachable!("reads give rows"),
            }
        }
        last.ok_or_else(empty_statement)
    }

    /// Returns the rows of the relation that a name in a call refers to, or only those for which `filter`, one SQL
    /// expression, is true.
    pub fn query_relation(&self, name: &str, filter: Option<&str>) -> Result<QueryOutput, Error> {
        on_big_stack(|| self.read_relation(name, filter))
    }

    fn read_relation(&self, name: &str, filter: Option<&str>) -> Result<QueryOutput, Error> {
        self.database.check_usable()?;
        let stored = match self.database.catalog().named(name) {
            Ok(entry) => entry.name().to_owned(),
            Err(Error::TableNotFound(name)) => {
                return Err(Error::QueryFailed(format!("table {name} does not exist")));
            }
            Err(other) => return Err(other),
        };
        let parsed = budget::planning(&self.cancel, || select_all(&stored, filter))?;
        match self.database.ended_as(self.run_statement(&parsed, &Params::none()))? {
            Outcome::Query(output) => Ok(output),
            other => unreachable!("a query gives rows, not {other:?}"),
        }
    }

    /// Returns what `parse` gives; it ends soon after the call was cancelled.
    fn parsed<T>(&self, parse: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        budget::planning(&self.cancel, parse)
    }

    fn run_statement(&self, parsed: &Parsed, params: &Params) -> Result<Outcome, Error> {
        budget::planning(&self.cancel, || self.run_in_budget(parsed, params))
    }

    fn run_in_budget(&self, parsed: &Parsed, params: &Params) -> Result<Outcome, Error> {
        match &parsed.statement {
            Statement::Query(query) => self.answer(query, params, &parsed.text).map(Outcome::Query),
            Statement::CreateRelation(create) => self.create_relation_as(create),
            Statement::CreateTableAs(create) => self.create_table_as(create, &parsed.text, params),
            Statement::CreateView(create) => self.create_view(create, parsed, params),
            Statement::Drop(drop) => self.drop_relation(drop),
            Statement::Insert(insert) => self.insert_statement(insert, params).map(Outcome::Rows),
            Statement::Update(update) => self.update_statement(update, params).map(Outcome::Rows),
            Statement::Delete(delete) => self.delete_statement(delete, params).map(Outcome::Rows),
            Statement::Truncate(name) => self.truncate_statement(name).map(Outcome::Rows),
            Statement::Explain(explained) => self.explain_statement(explained, params).map(Outcome::Metadata),
            Statement::Describe(name) => self.describe(name).map(Outcome::Metadata),
            Statement::Show(kind) => Ok(Outcome::Metadata(self.show(*kind))),
            Statement::Begin => self.begin().map(|_| Outcome::of_transaction("BEGIN")),
            Statement::Commit => self.commit().map(|()| Outcome::of_transaction("COMMIT")),
            Statement::Rollback => self.rollback().map(|()| Outcome::of_transaction("ROLLBACK")),
            Statement::Checkpoint => {
                let id = self.checkpoint()?;
                Ok(Outcome::Ddl { ddl_type: "CHECKPOINT", object: Some(format!("checkpoint_{id}")) })
            }
            Statement::Restore(which) => {
                let id = self.restore(*which)?;
                Ok(Outcome::Ddl { ddl_type: "RESTORE", object: Some(format!("checkpoint_{id}")) })
            }
        }
    }

    /// Returns the plan that maintains a query or, if it cannot be maintained, answers it, as text. A wrong query fails
    /// as it does in [`Session::query`].
    pub fn explain(&self, sql: &str, params: &Params) -> Result<String, Error> {
        self.database.check_usable()?;
        on_big_stack(|| {
            let mut statements = self.parsed(|| parse(sql, params, self.database.memory_limit))?;
            match (statements.pop(), statements.pop()) {
                (Some(only), None) => self.explain_parsed(&only, params),
                _ => Err(Error::QueryFailed("one statement can be explained at a time".to_owned())),
            }
        })
    }

    /// Waits until every view is complete up to the last write that returned before the call, and returns the time of
    /// that write. Fails if `timeout` passes first; `None` waits without limit.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Time, Error> {
        self.database.check_usable()?;
        let time = self.database.engine.last_time();
        self.database.ended_as(self.wait_for(time, timeout))?;
        Ok(time)
    }

    /// Waits until a view, or what a plain view stands on, is complete up to the last write that returned before the
    /// call, first contents included, and returns the time of that write. Nobody waits for other views. Fails if there is
    /// no relation `name`, if it is dropped, or if `timeout` passes first; `None` waits without limit.
    pub fn wait_for_view(&self, name: &str, timeout: Option<Duration>) -> Result<Time, Error> {
        self.database.check_usable()?;
        self.database.ended_as(self.wait_for_views_of(name, timeout))
    }

    fn wait_for_views_of(&self, name: &str, timeout: Option<Duration>) -> Result<Time, Error> {
        let catalog = self.database.catalog();
        let entry = catalog.named(name)?;
        let views = catalog.maintained_views(&[entry.name().to_owned()]);
        let views: Vec<ViewId> =
            views.iter().filter_map(|entry| entry.maintained.as_ref()).map(|view| view.id).collect();
        let time = self.database.engine.last_time();
        if !views.is_empty() {
            // A read of their failures is answered as soon as these views are complete.
            let waited = self.database.engine.snapshot_errors(&views);
            let waited = waited.and_then(|mut pending| pending.wait(&self.cancel, timeout));
            waited.map_err(|error| Error::from(error).naming(name))?;
        }
        Ok(time)
    }

    /// Returns the session and its transaction, as the committer needs them.
    pub(crate) fn actor(&self) -> Actor {
        let transaction = self.transaction.lock().as_ref().map(|transaction| transaction.id());
        Actor { session: self.id, transaction, call: self.call.clone() }
    }

    /// Waits until all views are complete through `time`. Fails if `timeout` passes, the call is cancelled or the
    /// database is closed first.
    fn wait_for(&self, time: Time, timeout: Option<Duration>) -> Result<(), Error> {
        Ok(self.database.engine.wait(time, timeout, &self.cancel)?)
    }
}
