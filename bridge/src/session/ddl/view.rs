//! CREATE VIEW, CREATE MATERIALIZED VIEW and CREATE STREAM.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use laminardb_planner::bind::{ViewOrder, bind_query};
use laminardb_planner::catalog::{Definition, RelationInfo, RelationKind};
use laminardb_planner::lower::plan_view;
use laminardb_planner::statement::{CreateView, Name, OnError, Parsed};
use laminardb_planner::{BoundQuery, Params, budget};

use super::relation::first_duplicate;
use super::{Existing, Made, existing};
use crate::catalog::{CatalogState, Entry, ViewDefinition};
use crate::database::NewView;
use crate::error::Error;
use crate::session::Session;
use crate::session::outcome::Outcome;
use crate::session::read::{TRIES, reads_of};

impl Session {
    pub(in crate::session) fn create_view(
        &self,
        create: &CreateView,
        statement: &Parsed,
        params: &Params,
    ) -> Result<Outcome, Error> {
        let ddl_type = match create.kind {
            RelationKind::Stream => "CREATE STREAM",
            RelationKind::MaterializedView => "CREATE MATERIALIZED VIEW",
            _ => "CREATE VIEW",
        };
        let made_from = Arc::new(ViewDefinition { create: create.clone(), params: params.used_by(statement) });
        let found = |catalog: &CatalogState| {
            existing(catalog, &create.name, create.kind, create.or_replace, create.if_not_exists)
        };
        let mut tries = 0;
        loop {
            self.refuse_in_transaction("definitions cannot be changed")?;
            // Planned without the definitions, because it may take long; only if what the view reads was replaced each
            // time meanwhile do others have to wait.
            let held = if tries < TRIES { None } else { Some(self.define()?) };
            tries += 1;
            let catalog = self.database.catalog();
            let visible = match found(&catalog)? {
                Existing::Kept(name) => return Ok(Outcome::Ddl { ddl_type, object: Some(name) }),
                Existing::Replaced(replaced) => without(&catalog, replaced.as_ref()),
            };
            let (entry, view) = self.define_view(&made_from, &visible, params)?;
            let _definitions = held.map_or_else(|| self.define(), Ok)?;
            let current = self.database.catalog();
            let replaced = match found(&current)? {
                Existing::Kept(name) => return Ok(Outcome::Ddl { ddl_type, object: Some(name) }),
                Existing::Replaced(replaced) => replaced,
            };
            if !without(&current, replaced.as_ref()).agrees_with(&visible, &entry.reads) {
                continue;
            }
            self.change_relations(&current, replaced.as_slice(), |frozen| {
                if let Some(view) = view {
                    self.database.install(view, frozen)?;
                }
                Ok(Some(Made::empty(entry)))
            })?;
            return Ok(Outcome::Ddl { ddl_type, object: Some(create.name.value.clone()) });
        }
    }

    /// Plans a view; returns its entry for the catalog, and the view to install if it is maintained. Installs nothing.
    pub(in crate::session) fn define_view(
        &self,
        made_from: &Arc<ViewDefinition>,
        catalog: &CatalogState,
        params: &Params,
    ) -> Result<(Entry, Option<NewView>), Error> {
        // Each view has a budget of its own, because restoring a checkpoint defines many.
        budget::planning(&self.cancel, || self.define_in_budget(made_from, catalog, params))
    }

    fn define_in_budget(
        &self,
        made_from: &Arc<ViewDefinition>,
        catalog: &CatalogState,
        params: &Params,
    ) -> Result<(Entry, Option<NewView>), Error> {
        let create = &made_from.create;
        let name = &create.name.value;
        let mut query = bind_query(&create.query, catalog, params)?;
        query.schema = renamed(name, &query, &create.columns)?;
        let duplicate = first_duplicate(&query.schema);
        if let Some(column) = duplicate {
            return Err(Error::QueryFailed(format!("view {name} would have two columns {column}")));
        }
        let schema = Arc::clone(&query.schema);
        let reads = query.relations.clone();
        let mut order = ViewOrder::default();
        let (definition, view, append_only) = if create.kind == RelationKind::View {
            self.check_usable_query(name, &query, catalog)?;
            (Definition::Inline { query: Arc::new(query), view: None }, None, false)
        } else {
            let plan = plan_view(&query, catalog)?;
            let view = self.database.new_view(catalog, &plan, &schema, &reads, create.on_error, name)?;
            let id = view.maintained.id;
            let definition = if plan.linear && create.on_error == OnError::Fail {
                Definition::Inline { query: Arc::new(query), view: Some(id) }
            } else {
                order = ViewOrder::of_view(&create.query, &query)?;
                Definition::Maintained(id)
            };
            (definition, Some(view), plan.append_only)
        };
        // Plans of queries over the view may rely on the key that its own plan has found.
        let key = view.as_ref().and_then(|view| view.maintained.unique_key.clone());
        let info = RelationInfo {
            name: name.clone(),
            kind: create.kind,
            schema,
            primary_key: key.unwrap_or_default(),
            json_columns: Vec::new(),
            append_only,
            order,
            definition,
        };
        let entry = Entry {
            info: Arc::new(info),
            sql: Some(create.query_text.clone()),
            made_from: Some(Arc::clone(made_from)),
            reads,
            maintained: view.as_ref().map(|view| view.maintained.clone()),
            watermark: None,
            watermark_column: None,
        };
        Ok((entry, view))
    }

    /// Fails if the query of a plain view can be neither run nor maintained.
    fn check_usable_query(&self, view: &str, query: &BoundQuery, catalog: &CatalogState) -> Result<(), Error> {
        let checked = reads_of(catalog, query).and_then(|(plan, _)| self.database.executor.check(plan, &self.cancel));
        match checked {
            Err(Error::QueryFailed(why)) if plan_view(query, catalog).is_err() => {
                Err(Error::QueryFailed(format!("view {view} could not be read: {why}")))
            }
            Err(Error::QueryFailed(_)) | Ok(()) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

/// Returns the catalog as the query of a view sees it: without the view that is replaced.
fn without(catalog: &CatalogState, replaced: Option<&Arc<Entry>>) -> CatalogState {
    match replaced {
        Some(old) => catalog.without(&[old.name()]),
        None => catalog.clone(),
    }
}

/// Returns the query's columns, the first ones renamed by the view's column list. Fails if the list is too long.
fn renamed(view: &str, query: &BoundQuery, names: &[Name]) -> Result<SchemaRef, Error> {
    if names.is_empty() {
        return Ok(Arc::clone(&query.schema));
    }
    let fields = query.schema.fields();
    if names.len() > fields.len() {
        let (given, there) = (names.len(), fields.len());
        return Err(Error::QueryFailed(format!("view {view} names {given} columns, its query has {there}")));
    }
    let name = |(idx, field): (usize, &Arc<Field>)| match names.get(idx) {
        Some(name) => Field::clone(field).with_name(&name.value),
        None => Field::clone(field),
    };
    Ok(Arc::new(Schema::new(fields.iter().enumerate().map(name).collect::<Vec<_>>())))
}
