//! Bringing a view into the engine: its contents are taken and the view installed between two commits. And taking
//! views out: they leave the catalog between two commits, and the engine when all written before is through them.

use std::sync::Arc;

use laminardb_dataflow::plan::{DataflowPlan, OutputState};
use laminardb_dataflow::{CollectionId, Diffs, RelationId, Time, ViewId};
use laminardb_planner::lower::ViewPlan;
use laminardb_planner::statement::OnError;

use laminardb_dataflow::CancelToken;

use super::Database;
use crate::catalog::{CatalogState, Entry, MaintainedView};
use crate::commit::Frozen;
use crate::error::Error;
use crate::session::strict_views;
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
        let under = strict_views(catalog, reads).into_iter().map(|(view, _)| view).collect();
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
                    return Err(Error::QueryFailed("a relation of the query was dropped".to_owned()));
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

    /// Takes relations that have just left the catalog, the topmost first, out of the store, so that a write on its way
    /// to one of them fails from here on. `end` says what the subscribers of each are told. Does not wait.
    pub(crate) fn leave(&self, frozen: &mut Frozen<'_>, entries: &[Arc<Entry>], end: impl Fn(&str) -> End) -> Leaving {
        let mut leaving = Leaving { views: Vec::new(), through: self.engine.last_time() };
        for entry in entries {
            let anonymous = self.take_anonymous(entry.name());
            let views = anonymous.into_iter().chain(entry.maintained.iter().map(|view| view.id));
            leaving.views.extend(views.map(|view| (view, end(entry.name()))));
            if let Some(relation) = entry.relation_id() {
                frozen.drop(relation);
                self.accepted.lock().rows.remove(&relation);
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

    /// Lets the changes of `view` come to the hub; gives the time after which they do.
    pub(crate) fn watch(&self, view: ViewId) -> Result<Time, Error> {
        let mut watched = self.watched.lock();
        let time = self.engine.watch(view, true)?;
        *watched.entry(view).or_default() += 1;
        Ok(time)
    }

    /// A subscription of `view` is over. Does not wait; may be called by a destructor.
    pub(crate) fn release(&self, view: ViewId, anonymous: bool) {
        let mut watched = self.watched.lock();
        let left = watched.get_mut(&view).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left > 0 {
            return;
        }
        watched.remove(&view);
        // The engine may have ended, or the view been dropped by a statement: then there is nothing left to undo.
        if !anonymous {
            let _ = self.engine.watch(view, false);
            return;
        }
        drop(watched);
        let mut views = self.anonymous.lock();
        let found = views.iter().position(|(other, _)| *other == view);
        if let Some(position) = found {
            views.remove(position);
            drop(views);
            let _ = self.engine.drop_view(view);
            self.hub.end(view, &End::Finished);
        }
    }

    /// Forgets the views of subscriptions that read `name`; gives them.
    pub(crate) fn take_anonymous(&self, name: &str) -> Vec<ViewId> {
        let mut views = self.anonymous.lock();
        let reads = |(_, reads): &mut (ViewId, Vec<String>)| reads.iter().any(|read| read == name);
        views.extract_if(.., reads).map(|(view, _)| view).collect()
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
