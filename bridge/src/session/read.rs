//! Ad-hoc queries: what a query reads is taken at one moment, under the commit lock, and read afterwards.

use std::sync::Arc;
use std::time::Duration;

use super::Session;
use laminardb_dataflow::{CancelToken, DataflowError, Engine, LiveError, PendingSnapshot, short_value};
use laminardb_dataflow::{CollectionId, ViewId};
use laminardb_planner::bind::bind_query;
use laminardb_planner::statement::Query;
use laminardb_planner::{BoundQuery, Params, rewrite};

use super::outcome::QueryOutput;
use crate::catalog::CatalogState;
use crate::commit::Frozen;
use crate::database::{Cancel, Definitions};
use crate::error::Error;
use crate::query::{Contents, Plan, scanned};
use crate::store::Scan;
use crate::subscription::repeat;

/// Number of times that a query is bound without holding off definitions.
pub(super) const TRIES: usize = 3;

/// How long definitions wait for the rows of the views that such a query reads, and for their errors.
const HOLD: Duration = Duration::from_millis(50);

/// A query, with the state of the catalog in which it was bound.
pub(super) struct Bound {
    pub(super) catalog: Arc<CatalogState>,
    pub(super) query: BoundQuery,
}

/// The relations and views that a query has to read.
pub(super) struct Reads {
    collections: Vec<(CollectionId, String)>,
    /// Views whose failing rows make the query fail, with their names: those that it reads, directly or through other
    /// views.
    strict: Vec<(ViewId, String)>,
    /// Name of the first maintained view that the query reads, directly or through other views.
    maintained: Option<String>,
}

/// What a query reads, as of one moment; views may not have reached that moment yet.
pub(super) struct ReadSet {
    scans: Vec<(CollectionId, Scan)>,
    views: Vec<ViewId>,
    rows: Option<PendingSnapshot>,
    errors: Option<PendingSnapshot>,
    strict: Vec<(ViewId, String)>,
    /// The views among `strict` that `errors` is about.
    checked: Vec<ViewId>,
}

impl Session {
    /// Binds a query in the current state of the catalog.
    pub(super) fn bind(&self, query: &Query, params: &Params) -> Result<Bound, Error> {
        self.bind_in(&self.database.catalog(), query, params)
    }

    /// Binds a query in a state of the catalog.
    pub(super) fn bind_in(&self, catalog: &Arc<CatalogState>, query: &Query, params: &Params) -> Result<Bound, Error> {
        let bound = bind_query(query, &**catalog, params)?;
        Ok(Bound { catalog: Arc::clone(catalog), query: bound })
    }

    /// Holds the definitions while a query is bound and takes what it reads, if that was replaced in between in several
    /// `tries` before. Otherwise definitions that follow each other fast could keep a query from ever running.
    pub(super) fn settled(&self, tries: usize) -> Result<Option<Definitions<'_>>, Error> {
        if tries < TRIES { Ok(None) } else { self.definitions().map(Some) }
    }

    /// Runs a query, listed under `text` while it runs. If a relation is dropped after the query was bound, binds it
    /// again.
    pub(super) fn answer(&self, query: &Query, params: &Params, text: &str) -> Result<QueryOutput, Error> {
        let mut tries = 0;
        loop {
            let definitions = self.settled(tries)?;
            tries += 1;
            let bound = self.bind(query, params)?;
            let freeze = |taking: &mut dyn FnMut(&mut Frozen<'_>) -> Result<ReadSet, Error>| {
                let mut taken = self.database.committer.frozen_for(self.actor(), taking)?;
                taken.hold(definitions, &self.cancel)?;
                Ok(taken)
            };
            match self.run_bound(&bound.catalog, &bound.query, text, freeze) {
                // What the query was to read was replaced after it was bound, so it is bound to what exists by then.
                Err(Error::Dropped(_)) if self.database.has_changed_since(&bound.catalog) => {}
                answered => return answered,
            }
        }
    }

    /// Runs a bound query, listed under `text` while it runs. Fails if a relation was dropped since.
    pub(super) fn run_query(&self, bound: &Bound, text: &str) -> Result<QueryOutput, Error> {
        self.run_bound(&bound.catalog, &bound.query, text, |taking| {
            self.database.committer.frozen_for(self.actor(), taking)
        })
    }

    /// Runs a bound query, listed under `text` while it runs. `freeze` must call the function that it receives once,
    /// with the store from which the query takes what it reads.
    pub(super) fn run_bound(
        &self,
        catalog: &CatalogState,
        query: &BoundQuery,
        text: &str,
        freeze: impl FnOnce(&mut dyn FnMut(&mut Frozen<'_>) -> Result<ReadSet, Error>) -> Result<ReadSet, Error>,
    ) -> Result<QueryOutput, Error> {
        let token = self.cancel.child();
        let _listed = self.database.queries.begin(text, Cancel::Token(token.clone()));
        // Checked after the query is listed: closing the database from here on cancels it.
        self.database.check_open()?;
        let (plan, mut reads) = reads_of(catalog, query)?;
        let taken = freeze(&mut |frozen| reads.take(frozen, &self.database.engine))?;
        let contents = taken.wait(&token);
        let run = |contents| self.database.executor.run(plan, contents, &query.schema, &token);
        match contents.and_then(run) {
            Ok(batches) => Ok(QueryOutput { schema: Arc::clone(&query.schema), batches }),
            // Only the query's own token was cancelled, not the call.
            Err(Error::Interrupted) if !self.cancel.is_cancelled() => {
                self.database.check_open()?;
                Err(Error::QueryCancelled("the query was cancelled".to_owned()))
            }
            Err(other) => Err(other.of_memory_in(|| format!("the query {} needs", short_value(text)))),
        }
    }
}

/// Returns the optimised plan of a query, and what it has to read.
pub(super) fn reads_of(catalog: &CatalogState, query: &BoundQuery) -> Result<(Plan, Reads), Error> {
    let plan = rewrite::optimise_once(query)?;
    let mut reads = Reads {
        collections: Vec::new(),
        strict: catalog.strict_views(&query.relations),
        maintained: catalog.maintained_views(&query.relations).first().map(|entry| entry.name().to_owned()),
    };
    for (collection, relation) in scanned(&plan)? {
        reads.collections.push((collection, relation.name.clone()));
    }
    Ok((plan, reads))
}

impl Reads {
    /// Takes all rows at one moment, without waiting; in a transaction, as the transaction sees them. Fails with
    /// [`Error::Dropped`] if a relation or view was dropped, and in a transaction if the query reads a maintained view.
    pub(super) fn take(&mut self, frozen: &mut Frozen<'_>, engine: &Engine) -> Result<ReadSet, Error> {
        if let Some(view) = &self.maintained
            && frozen.in_transaction()
        {
            let why = format!("{view} is a maintained view, which has not seen the writes of the open transaction");
            return Err(Error::QueryFailed(format!("{why}: COMMIT or ROLLBACK it first")));
        }
        let (mut scans, mut views) = (Vec::new(), Vec::new());
        for (collection, name) in &self.collections {
            match collection {
                CollectionId::View(view) => views.push(*view),
                CollectionId::Relation(id) => match frozen.scan(*id) {
                    Some(scan) => scans.push((*collection, scan)),
                    None => return Err(Error::Dropped(name.clone())),
                },
            }
        }
        let checked: Vec<ViewId> =
            self.strict.iter().map(|(view, _)| *view).filter(|view| !views.contains(view)).collect();
        let rows = if views.is_empty() { None } else { Some(engine.snapshot(&views)?) };
        let errors = if checked.is_empty() { None } else { Some(engine.snapshot_errors(&checked)?) };
        Ok(ReadSet { scans, views, rows, errors, strict: std::mem::take(&mut self.strict), checked })
    }
}

impl ReadSet {
    /// Waits a while for the views before others may replace them, if `definitions` are held, and drops these.
    pub(super) fn hold(&mut self, definitions: Option<Definitions<'_>>, cancel: &CancelToken) -> Result<(), Error> {
        if definitions.is_some() {
            for pending in [&mut self.rows, &mut self.errors].into_iter().flatten() {
                match pending.arrive(cancel, Some(HOLD)) {
                    // A view that takes so long must not keep others from being defined or dropped.
                    Ok(()) | Err(DataflowError::TimedOut) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Waits until the views have reached the moment, and returns the rows. Fails if a strict view has failing rows.
    pub(super) fn wait(self, cancel: &CancelToken) -> Result<Contents, Error> {
        let mut contents = Contents::new();
        for (collection, scan) in &self.scans {
            contents.insert(*collection, scan.batches());
        }
        if let Some(mut pending) = self.rows {
            for (view, snapshot) in self.views.iter().zip(pending.wait(cancel, None)?) {
                check_errors(&self.strict, *view, &snapshot.errors)?;
                let rows = snapshot.rows.iter().map(|(rows, diffs)| repeat(rows, diffs));
                let rows = rows.collect::<Result<Vec<_>, _>>();
                let rows = rows.map_err(|error| Error::Internal(format!("cannot read a view: {error}")))?;
                contents.insert(CollectionId::View(*view), rows);
            }
        }
        if let Some(mut pending) = self.errors {
            for (view, snapshot) in self.checked.iter().zip(pending.wait(cancel, None)?) {
                check_errors(&self.strict, *view, &snapshot.errors)?;
            }
        }
        Ok(contents)
    }
}

/// Fails if `view` is strict and one of `errors` is still present.
fn check_errors(strict: &[(ViewId, String)], view: ViewId, errors: &[LiveError]) -> Result<(), Error> {
    let name = strict.iter().find(|(other, _)| *other == view).map(|(_, name)| name);
    match (name, errors.iter().find(|error| error.count > 0)) {
        (Some(name), Some(error)) => Err(Error::QueryFailed(live_error_text(name, error))),
        _ => Ok(()),
    }
}

/// Returns the text of an error: the view, the expression, the cause and the row.
pub(super) fn live_error_text(view: &str, error: &LiveError) -> String {
    let LiveError { expression, message, row, .. } = error;
    format!("view {view} has a row on which {expression} fails: {message}; the row is {row}")
}
