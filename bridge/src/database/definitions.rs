//! Changes the relations and views of a database.
//!
//! Views are installed and the catalog is replaced under the commit lock, so no write comes in between. A view that is
//! dropped leaves the catalog at once; it leaves the engine when all earlier writes have passed through it.

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

/// A planned view that is not installed yet.
pub(crate) struct NewView {
    pub(crate) maintained: MaintainedView,
    setup: ViewSetup,
}

/// Views that were removed from the catalog and are still in the engine.
pub(crate) struct Leaving {
    /// The views, each before all views that it reads, with the reason for which its subscriptions end.
    views: Vec<(ViewId, End)>,
    /// Time of the last write before the removal; changes through it are still delivered.
    through: Time,
}

impl Database {
    /// Prepares a view that is maintained by `plan` over the relations `reads`; `schema` has the columns as users see
    /// them. Installs nothing. Fails if columns of these types cannot be maintained.
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
            // A view that keeps no rows is evaluated when it is read, and then fails on a bad row. A view that leaves
            // such rows out must therefore keep the others.
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

    /// Installs a view whose first contents are the committed rows of its relations, and returns the scans of these
    /// rows. If it fails, the view is not installed.
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
        // The hub must know the view before the workers send it changes.
        self.hub.open(id, setup);
        if let Err(error) = self.engine.install(id, plan, contents) {
            self.hub.end(id, &End::Finished);
            return Err(error.into());
        }
        Ok(scans)
    }

    /// Returns whether dropping `entries` removes a view from the engine: one of them is maintained, or the view of a
    /// subscription reads one of them.
    pub(crate) fn has_views(&self, entries: &[Arc<Entry>]) -> bool {
        let anonymous = self.anonymous.lock();
        let is_read = |entry: &Entry| anonymous.iter().any(|(_, reads)| reads.iter().any(|read| read == entry.name()));
        entries.iter().any(|entry| entry.maintained.is_some() || is_read(entry))
    }

    /// Replaces the catalog by `new`, passes `record` to the history, and removes the relations among `gone` from the
    /// store. `gone` lists each entry before all that it reads; `end` returns, by the entry's name, the reason for
    /// which subscriptions end. Returns the views that the caller must pass to [`Database::remove`].
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

    /// Removes relations that have just left the catalog from the store, so that a write that is already on its way to
    /// one of them fails. `entries` and `end` are those of [`Database::replace_catalog`]. Does not wait.
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

    /// Removes views from the engine after all earlier writes have passed through them. If this wait is cancelled or
    /// fails, removes them at once and returns the error.
    pub(crate) fn remove(&self, leaving: Leaving, cancel: &CancelToken) -> Result<(), Error> {
        let Leaving { views, through } = leaving;
        if views.is_empty() {
            return Ok(());
        }
        let mut removed = self.engine.wait_for_commits(through, cancel).map_err(Error::from);
        for (view, end) in views {
            // `and` evaluates its argument in any case: every view is removed, and the first error is returned.
            removed = removed.and(self.uninstall(view, end));
        }
        removed
    }

    /// Removes a view that nothing reads from the engine. Its subscriptions end with `end` after they have delivered
    /// the pending changes.
    pub(crate) fn uninstall(&self, view: ViewId, end: End) -> Result<(), Error> {
        self.hub.ending(view, end.clone());
        let dropped = self.engine.drop_view(view);
        // The engine will close no more times of the view, so its subscriptions end here.
        if dropped.is_err() {
            self.hub.end(view, &end);
        }
        Ok(dropped?)
    }
}

/// Returns the plan changed such that it keeps its output rows.
fn keeping_rows(plan: &Arc<DataflowPlan>) -> Arc<DataflowPlan> {
    if plan.output.state != OutputState::Nothing {
        return Arc::clone(plan);
    }
    let mut keeping = DataflowPlan::clone(plan);
    let all = || (0..plan.schema().fields().len()).collect();
    keeping.output.state = OutputState::Arrangement { key: plan.output.unique_key.clone().unwrap_or_else(all) };
    Arc::new(keeping)
}
