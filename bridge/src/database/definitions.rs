//! Changes the relations and views of a database.
//!
//! Views are installed and the catalog is replaced under the commit lock, so no write comes in between. A view that is
//! dropped leaves the catalog and the engine at once, and nobody waits for what it has still to do. Only if it has
//! subscribers does it stay in the engine until they have got the changes of all earlier writes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use laminardb_dataflow::plan::{DataflowPlan, OutputState};
use laminardb_dataflow::{CancelToken, CollectionId, Diffs, Engine, RelationId, ViewId};
use laminardb_planner::lower::ViewPlan;
use laminardb_planner::statement::OnError;

use super::Database;
use crate::catalog::{CatalogState, Entry, MaintainedView};
use crate::commit::{Frozen, Record};
use crate::error::Error;
use crate::store::Scan;
use crate::subscription::{End, Shape, ViewSetup};

/// How long a drop waits for views that have subscribers and take in their first contents.
const NEARLY_DONE: Duration = Duration::from_millis(200);
/// How long a shutdown waits for them: what they get before is all that they get.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// A planned view that is not installed yet.
pub(crate) struct NewView {
    pub(crate) maintained: MaintainedView,
    setup: ViewSetup,
}

/// Views that were removed from the catalog and are still in the engine.
pub(crate) struct Leaving {
    /// The views, each before all views that it reads, with the reason for which its subscriptions end.
    views: Vec<(ViewId, End)>,
}

/// Views that stay in the engine for their last subscribers; dropping it removes them.
struct Kept {
    /// Not owned, because the hub, which the engine owns, holds this.
    engine: Weak<Engine>,
    /// The views, each before all views that it reads.
    views: Vec<ViewId>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade() {
            for view in &self.views {
                // An error means that the engine has ended; then nothing is left to remove.
                let _ = engine.drop_when_unread(*view);
            }
        }
    }
}

impl Database {
    /// Prepares a view that is maintained by `plan` over the relations `reads`; `schema` has the columns as users see
    /// them, and `name` is the view's name in errors. Installs nothing. Fails if columns of these types cannot be maintained.
    pub(crate) fn new_view(
        &self,
        catalog: &CatalogState,
        plan: &ViewPlan,
        schema: &arrow::datatypes::SchemaRef,
        reads: &[String],
        on_error: OnError,
        name: &str,
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
        let name = name.to_owned();
        let under = catalog.strict_views(reads).into_iter().map(|(view, _)| view).collect();
        let setup = ViewSetup { shape: Arc::new(shape), strict: can_fail && on_error == OnError::Fail, under, name };
        let unique_key = plan.unique_key.clone();
        self.pick_contents(&dataflow);
        Ok(NewView { maintained: MaintainedView { id, plan: dataflow, unique_key, on_error, can_fail }, setup })
    }

    /// Has the tables that a plan reads leave out their deleted rows now, so that [`Database::install`] finds that done,
    /// which has the commit lock, but for rows that are deleted in between.
    fn pick_contents(&self, plan: &DataflowPlan) {
        for input in plan.inputs() {
            if let CollectionId::Relation(relation) = input {
                let scan = self.committer.frozen(|frozen| frozen.committed_scan(relation));
                scan.iter().flat_map(Scan::iter).for_each(drop);
            }
        }
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
        match self.engine.install(id, plan, contents) {
            Ok(opening) => self.hub.installed(id, opening),
            Err(error) => {
                self.hub.end(id, &End::Finished);
                return Err(error.into());
            }
        }
        Ok(scans)
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
        let mut leaving = Leaving { views: Vec::new() };
        let last = self.engine.last_time();
        for entry in entries {
            let anonymous = self.take_anonymous(entry.name());
            let views = anonymous.into_iter().chain(entry.maintained.iter().map(|view| view.id));
            leaving.views.extend(views.map(|view| (view, end(entry.name()))));
            if let Some(relation) = entry.relation_id() {
                frozen.drop(relation);
            }
        }
        // Still under the commit lock, so no later write has passed through the views.
        leaving.views.iter().for_each(|(view, _)| self.hub.close_at(*view, last));
        leaving
    }

    /// Removes views from the engine: those with subscribers that have not got the changes of all earlier writes when
    /// they have, with the views that these read, and all others at once. Waits for a moment for views with subscribers
    /// that take in their first contents: mostly these are nearly done. If removing one fails, the others are removed,
    /// and the first error is returned.
    pub(crate) fn remove(&self, leaving: Leaving) -> Result<(), Error> {
        let views = leaving.views.iter().map(|(view, _)| *view);
        let hydrating: Vec<ViewId> = views.filter(|view| self.hub.is_hydrating_for_somebody(*view)).collect();
        self.wait_a_while_for(&hydrating, NEARLY_DONE);
        let (mut kept, mut awaited) = (Vec::new(), Vec::new());
        let mut removed = Ok(());
        for (view, end) in leaving.views {
            if self.hub.is_awaited(view) {
                kept.push(view);
                awaited.push((view, end));
                continue;
            }
            self.hub.end(view, &end);
            // One that stays may read it, also one that an earlier statement has let stay.
            removed = removed.and(self.engine.drop_when_unread(view).map_err(Error::from));
        }
        let keeps = Arc::new(Kept { engine: Arc::downgrade(&self.engine), views: kept });
        for (view, end) in awaited {
            let keeps = Arc::clone(&keeps);
            self.hub.leave(view, end, keeps);
        }
        // The writes that are awaited may not have been given to the workers yet.
        removed.and(self.engine.send_through(self.engine.last_time()).map_err(Error::from))
    }

    /// Gives views that have subscribers and take in their first contents the time to do so, before the engine is shut
    /// down. It gives up those that take longer.
    pub(super) fn finish_first_contents(&self) {
        self.wait_a_while_for(&self.hub.hydrating_for_somebody(), LAST_CHANCE);
    }

    /// Waits until `views` have all accepted writes, if there are any, but not longer than `most`.
    fn wait_a_while_for(&self, views: &[ViewId], most: Duration) {
        if !views.is_empty()
            && let Ok(mut pending) = self.engine.snapshot_errors(views)
        {
            // Those that take longer are not waited for.
            drop(pending.wait(&CancelToken::new(), Some(most)));
        }
    }

    /// Removes a view that nothing reads from the engine, and ends its subscriptions with `end`.
    pub(crate) fn uninstall(&self, view: ViewId, end: &End) -> Result<(), Error> {
        self.hub.end(view, end);
        Ok(self.engine.drop_view(view)?)
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
