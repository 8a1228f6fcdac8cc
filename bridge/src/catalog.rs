//! The catalog: all relations and views by name, with what each of them reads, in creation order.
//!
//! A `CatalogState` never changes: DDL makes a new one and swaps it in as a whole. So a statement binds against one
//! state from start to end, and a failed DDL statement leaves no trace.

use std::sync::Arc;

use hashbrown::HashMap;
use laminardb_dataflow::plan::DataflowPlan;
use laminardb_dataflow::{CollectionId, RelationId, ViewId};
use laminardb_planner::catalog::{Catalog, Definition, RelationInfo, RelationKind, find_name};
use laminardb_planner::statement::{CreateView, OnError};
use laminardb_planner::{Params, PlanError};

use crate::error::Error;
use crate::relation::MOST_BYTES_OF_NAME;
use crate::watermark::Watermark;

/// A view that the engine maintains.
#[derive(Clone, Debug)]
pub struct MaintainedView {
    /// Identifies the view in the engine.
    pub id: ViewId,
    /// The plan by which the view is maintained.
    pub plan: Arc<DataflowPlan>,
    /// Columns that form a unique key of the view's rows, if one is known.
    pub unique_key: Option<Vec<usize>>,
    /// What happens when an expression fails on a row.
    pub on_error: OnError,
    /// Whether any expression of the view can fail.
    pub can_fail: bool,
}

/// What is needed to make a view again.
#[derive(Clone, Debug)]
pub struct ViewDefinition {
    /// The statement that created the view.
    pub create: CreateView,
    /// The parameters that the statement uses.
    pub params: Params,
}

/// A relation, with everything known about it beyond what binding needs.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The part that binding needs.
    pub info: Arc<RelationInfo>,
    /// The SELECT of a view, as written.
    pub sql: Option<String>,
    /// The definition of a view.
    pub made_from: Option<Arc<ViewDefinition>>,
    /// Names of the relations that a view's query refers to, in order of first use.
    pub reads: Vec<String>,
    /// The engine's part of a view, if it is maintained.
    pub maintained: Option<MaintainedView>,
    /// The relation's watermark; views have none of their own.
    pub watermark: Option<Arc<Watermark>>,
    /// The column that the watermark follows.
    pub watermark_column: Option<String>,
}

impl Entry {
    /// Returns the name as stored.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Returns the kind of relation.
    pub fn kind(&self) -> RelationKind {
        self.info.kind
    }

    /// Returns the id of a base relation; `None` for views.
    pub fn relation_id(&self) -> Option<RelationId> {
        match self.info.definition {
            Definition::Base(id) => Some(id),
            Definition::Maintained(_) | Definition::Inline { .. } => None,
        }
    }
}

/// All relations at one moment, in creation order.
#[derive(Clone, Debug, Default)]
pub struct CatalogState {
    entries: Vec<Arc<Entry>>,
    by_name: HashMap<String, usize>,
}

impl CatalogState {
    /// Returns all entries in creation order.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// Returns the relation that a name in SQL refers to; fails if the name is ambiguous.
    pub fn find(&self, name: &str, quoted: bool) -> Result<Option<&Arc<Entry>>, PlanError> {
        let names = self.entries.iter().map(|entry| entry.name());
        match find_name(names, name, quoted) {
            Ok(found) => Ok(found.map(|idx| &self.entries[idx])),
            Err(_) => Err(PlanError::invalid(format!("relation name {name} is ambiguous"))),
        }
    }

    /// Returns the relation that a name in a call refers to: the one spelt the same, or else the only one that differs
    /// just in case. Fails if there is none, or if several differ just in case.
    pub fn named(&self, name: &str) -> Result<&Arc<Entry>, Error> {
        // Not looked up, since that would take long.
        if name.len() > MOST_BYTES_OF_NAME {
            return Err(Error::TableNotFound(format!("a name of {} bytes", name.len())));
        }
        if let Some(idx) = self.by_name.get(name) {
            return Ok(&self.entries[*idx]);
        }
        let folded = name.to_lowercase();
        let mut similar = self.entries.iter().filter(|entry| entry.name().to_lowercase() == folded);
        match (similar.next(), similar.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(Error::QueryFailed(format!("relation name {name} is ambiguous"))),
            (None, _) => Err(Error::TableNotFound(name.to_owned())),
        }
    }

    /// Returns the maintained views that `names` are or stand on whose failing rows must not go unseen, in creation
    /// order.
    pub(crate) fn strict_views(&self, names: &[String]) -> Vec<(ViewId, String)> {
        let strict = |entry: &Arc<Entry>| match &entry.maintained {
            Some(view) if view.can_fail && view.on_error == OnError::Fail => Some((view.id, entry.name().to_owned())),
            _ => None,
        };
        self.maintained_views(names).into_iter().filter_map(strict).collect()
    }

    /// Returns the maintained views that `names` are or stand on, in creation order.
    pub(crate) fn maintained_views(&self, names: &[String]) -> Vec<&Arc<Entry>> {
        let mut reached: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut maintained = Vec::new();
        // A view is created after all it reads, so one pass against creation order finds everything.
        for entry in self.entries.iter().rev() {
            if reached.contains(&entry.name()) {
                reached.extend(entry.reads.iter().map(String::as_str));
                maintained.extend(entry.maintained.is_some().then_some(entry));
            }
        }
        maintained.reverse();
        maintained
    }

    /// Returns the name of a collection, for plans and messages.
    pub fn name_of(&self, collection: CollectionId) -> String {
        let found = self.entries.iter().find(|entry| match collection {
            CollectionId::Relation(id) => entry.relation_id() == Some(id),
            CollectionId::View(id) => entry.maintained.as_ref().is_some_and(|view| view.id == id),
        });
        found.map_or_else(|| format!("{collection:?}"), |entry| entry.name().to_owned())
    }

    /// Returns the entry that is maintained as `view`.
    pub fn view(&self, view: ViewId) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.maintained.as_ref().is_some_and(|m| m.id == view))
    }

    /// Returns the names of the relations that read `name` directly, in creation order.
    pub fn readers(&self, name: &str) -> Vec<String> {
        let reads = |entry: &&Arc<Entry>| entry.reads.iter().any(|read| read == name);
        self.entries.iter().filter(reads).map(|entry| entry.name().to_owned()).collect()
    }

    /// Returns the sources and tables that `entry` depends on (or is), the newest first.
    pub fn bases<'a>(&'a self, entry: &'a Entry) -> Vec<&'a Arc<Entry>> {
        let mut reached: Vec<&str> = vec![entry.name()];
        let mut bases = Vec::new();
        // A view is created after all it reads, so one pass against creation order finds everything.
        for entry in self.entries.iter().rev() {
            if !reached.contains(&entry.name()) {
                continue;
            }
            reached.extend(entry.reads.iter().map(String::as_str));
            if entry.relation_id().is_some() {
                bases.push(entry);
            }
        }
        bases
    }

    /// Returns `name` and everything that depends on it, dependents first, so that they can be dropped in this order.
    pub fn cascade(&self, name: &str) -> Vec<Arc<Entry>> {
        let mut reached: Vec<&str> = vec![name];
        // A view is created after all it reads, so one pass in creation order finds everything.
        for entry in &self.entries {
            if entry.reads.iter().any(|read| reached.contains(&read.as_str())) {
                reached.push(entry.name());
            }
        }
        let dropped = self.entries.iter().rev().filter(|entry| reached.contains(&entry.name()));
        dropped.map(Arc::clone).collect()
    }

    /// Returns whether both states have the same entries under `names`, and so under all that these stand on.
    pub(crate) fn agrees_with(&self, other: &CatalogState, names: &[String]) -> bool {
        let entry =
            |state: &CatalogState, name: &str| state.by_name.get(name).map(|idx| Arc::clone(&state.entries[*idx]));
        let same = |name: &String| match (entry(self, name), entry(other, name)) {
            (Some(one), Some(other)) => Arc::ptr_eq(&one, &other),
            (None, None) => true,
            _ => false,
        };
        names.iter().all(same)
    }

    /// Returns this state with one more relation.
    #[must_use]
    pub fn with(&self, entry: Entry) -> CatalogState {
        let mut entries = self.entries.clone();
        entries.push(Arc::new(entry));
        CatalogState::of(entries)
    }

    /// Returns this state without the named relations.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> CatalogState {
        let kept = self.entries.iter().filter(|entry| !names.contains(&entry.name()));
        CatalogState::of(kept.map(Arc::clone).collect())
    }

    fn of(entries: Vec<Arc<Entry>>) -> CatalogState {
        let by_name = entries.iter().enumerate().map(|(idx, entry)| (entry.name().to_owned(), idx)).collect();
        CatalogState { entries, by_name }
    }
}

impl Catalog for CatalogState {
    fn relation(&self, name: &str, quoted: bool) -> Result<Option<Arc<RelationInfo>>, PlanError> {
        Ok(self.find(name, quoted)?.map(|entry| Arc::clone(&entry.info)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use laminardb_planner::bind::ViewOrder;

    use super::*;

    fn entry(name: &str, reads: &[&str]) -> Entry {
        let info = RelationInfo {
            name: name.to_owned(),
            kind: RelationKind::Table,
            schema: Arc::new(Schema::empty()),
            primary_key: Vec::new(),
            json_columns: Vec::new(),
            append_only: false,
            order: ViewOrder::default(),
            definition: Definition::Base(RelationId(1)),
        };
        Entry {
            info: Arc::new(info),
            sql: None,
            made_from: None,
            reads: reads.iter().map(|read| (*read).to_owned()).collect(),
            maintained: None,
            watermark: None,
            watermark_column: None,
        }
    }

    fn names(entries: &[Arc<Entry>]) -> Vec<&str> {
        entries.iter().map(|entry| entry.name()).collect()
    }

    #[test]
    fn names_of_calls_are_exact_first_then_the_only_similar_one() {
        let state = CatalogState::default().with(entry("Events", &[])).with(entry("a", &[])).with(entry("A", &[]));
        assert_eq!(state.named("events").expect("found").name(), "Events");
        assert_eq!(state.named("A").expect("found").name(), "A");
        assert_eq!(state.named("nope").expect_err("unknown").code(), 200);
        let both = state.with(entry("EVENTS", &[]));
        assert_eq!(both.named("events").expect_err("ambiguous").code(), 400);
    }

    #[test]
    fn a_cascade_is_all_that_stands_on_a_relation_topmost_first() {
        let state = CatalogState::default()
            .with(entry("t", &[]))
            .with(entry("u", &[]))
            .with(entry("v", &["t"]))
            .with(entry("w", &["u", "v"]))
            .with(entry("x", &["u"]));
        assert_eq!(names(&state.cascade("t")), ["w", "v", "t"]);
        assert_eq!(state.readers("u"), ["w", "x"]);
        let bases =
            |name: &str| state.bases(state.named(name).expect("there")).iter().map(|e| e.name()).collect::<Vec<_>>();
        assert_eq!((bases("w"), bases("x"), bases("t")), (vec!["w", "v", "u", "t"], vec!["x", "u"], vec!["t"]));
        assert_eq!(names(state.without(&["w", "v", "t"]).entries()), ["u", "x"]);
    }
}
