//! Changing the relations and views of a database.
//!
//! Views are installed, and the catalog is replaced, between two commits. Views that go leave the catalog at once, and
//! the engine when what was written before is through them.

use std::sync::Arc;

use laminardb_dataflow::plan::{DataflowPlan, OutputState};
use laminardb_dataflow::{CollectionId, Diffs, RelationId, Time, ViewId};
use laminardb_planner::lower::ViewPlan;
use laminardb_planner::statement::OnError;

use laminardb_dataflow::CancelToken;

use super::Database;
use crate::catalog::{CatalogState, Entry, MaintainedView};
use crate::commit::{Frozen, Record};
use crate::error::Error;
use crate::store::Scan;
use crate::subscription::{End, Shape, ViewSetup};

/// A view ready to be installed.
pub(crate) struct NewView {
    pub(crate) maintained: MaintainedView,
    setup: ViewSetup,
}

/// Views that have left the catalog and not yet the engine.
pub(crate) struct Leaving {
    /// Each before all that it reads, with what its subscribers are told.
    views: Vec<(ViewId, End)>,
    /// What was written through this time is still delivered.
    through: Time,
}

impl Database {
    /// A view of `plan`, whose columns users see as `schema`, over the relations `reads`.
    pub(crate) fn new_view(
        &self,
        catalog: &CatalogState,
        plan: &ViewPlan,
        schema: &arrow::datatypes::SchemaRef,
        reads: &[String],
        on_error: OnError,
    ) -> Result<NewView, Error> {
        let id = self.new_view_id();
        let dataflow = match on_error {
            // What is evaluated on reading fails on a bad row; a view that leaves such rows out has to keep the others.
            OnError::Skip => keeping_rows(&plan.plan),
            OnError::Fail => Arc::clone(&plan.plan),
        };
        let can_fail = dataflow.can_fail();
        let shape = Shape::new(Arc::clone(schema), plan.unique_key.clone())
            .map_err(|error| Error::StreamFailed(format!("columns of these types cannot be maintained: {error}")))?;
        let under = catalog.strict_views(reads).into_iter().map(|(view, _)| view).collect();
        let setup = ViewSetup { shape: Arc::new(shape), strict: can_fail && on_error == OnError::Fail, under };
        let unique_key = plan.unique_key.clone();
        Ok(NewView { maintained: MaintainedView { id, plan: dataflow, unique_key, on_error, can_fail }, setup })
    }

    /// Installs a view over the relations as the engine knows them. Gives the scans it was filled from.
    pub(crate) fn install(&self, view: NewView, frozen: &mut Frozen<'_>) -> Result<Vec<(RelationId, Scan)>, Error> {
        let NewView { maintained: MaintainedView { id, plan, .. }, setup } = view;
        let mut scans = Vec::new();
        for input in plan.inputs() {
            if let CollectionId::Relation(relation) = input {
                let Some(scan) = frozen.committed_scan(relation) else {
                    return Err(Error::Dropped("a relation of the query".to_owned()));
                };
                scans.push((relation, scan));
            }
        }
        let rows = |scan: &Scan| scan.iter().map(|batch| (batch, Diffs::Same(1))).collect();
        let contents = scans.iter().map(|(relation, scan)| (*relation, rows(scan))).collect();
        self.hub.open(id, setup);
        if let Err(error) = self.engine.install(id, plan, contents) {
            self.hub.end(id, &End::Finished);
            return Err(error.into());
        }
        Ok(scans)
    }

    /// Whether the engine maintains something for relations that are about to go.
    pub(crate) fn has_views(&self, entries: &[Arc<Entry>]) -> bool {
        let anonymous = self.anonymous.lock();
        let is_read = |entry: &Entry| anonymous.iter().any(|(_, reads)| reads.iter().any(|read| read == entry.name()));
        entries.iter().any(|entry| entry.maintained.is_some() || is_read(entry))
    }

    /// Puts `new` in the place of the catalog, between two commits, and tells the history of it by `record`; takes `gone`,
    /// the topmost first, out of the store. `end` says what the subscribers of each are told.
    pub(crate) fn replace_catalog(
        &self,
        frozen: &mut Frozen<'_>,
        new: CatalogState,
        record: &Record<'_>,
        gone: &[Arc<Entry>],
        end: impl Fn(&str) -> End,
    ) -> Leaving {
        *self.catalog.write() = Arc::new(new);
        frozen.record(record);
        self.leave(frozen, gone, end)
    }

    /// Takes relations that have just left the catalog, the topmost first, out of the store, so that a write on its way
    /// to one of them fails from here on. `end` says what the subscribers of each are told. Does not wait.
    fn leave(&self, frozen: &mut Frozen<'_>, entries: &[Arc<Entry>], end: impl Fn(&str) -> End) -> Leaving {
        let mut leaving = Leaving { views: Vec::new(), through: self.engine.last_time() };
        for entry in entries {
            let anonymous = self.take_anonymous(entry.name());
            let views = anonymous.into_iter().chain(entry.maintained.iter().map(|view| view.id));
            leaving.views.extend(views.map(|view| (view, end(entry.name()))));
            if let Some(relation) = entry.relation_id() {
                frozen.drop(relation);
            }
        }
        leaving
    }

    /// Takes views that have left out of the engine, when what was written before is through them; if the wait for that
    /// is cancelled, at once. They are gone in any case.
    pub(crate) fn remove(&self, leaving: Leaving, cancel: &CancelToken) -> Result<(), Error> {
        let Leaving { views, through } = leaving;
        if views.is_empty() {
            return Ok(());
        }
        let mut removed = self.engine.wait_for_commits(through, cancel).map_err(Error::from);
        for (view, end) in views {
            removed = removed.and(self.uninstall(view, end));
        }
        removed
    }

    /// Takes a view that nothing reads any more out of the engine; its subscribers are told why after what is pending.
    pub(crate) fn uninstall(&self, view: ViewId, end: End) -> Result<(), Error> {
        self.hub.ending(view, end.clone());
        let dropped = self.engine.drop_view(view);
        if dropped.is_err() {
            self.hub.end(view, &end);
        }
        Ok(dropped?)
    }
}

/// The same plan with its output kept.
fn keeping_rows(plan: &Arc<DataflowPlan>) -> Arc<DataflowPlan> {
    if plan.output.state != OutputState::Nothing {
        return Arc::clone(plan);
    }
    let mut keeping = DataflowPlan::clone(plan);
    let all = || (0..plan.schema().fields().len()).collect();
    keeping.output.state = OutputState::Arrangement { key: plan.output.unique_key.clone().unwrap_or_else(all) };
    Arc::new(keeping)
}
