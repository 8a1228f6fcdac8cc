//! CREATE and DROP. Each statement is all or nothing: every step that can fail comes before those that cannot be
//! undone.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laminardb_dataflow::RelationId;
use laminardb_planner::bind::{ViewOrder, bind_query, default_value};
use laminardb_planner::catalog::{Definition, RelationInfo, RelationKind};
use laminardb_planner::lower::plan_view;
use laminardb_planner::statement::{
    ColumnDefinition, CreateRelation, CreateTableAs, CreateView, Drop, Name, OnError, Parsed, WatermarkDefinition,
    type_name,
};
use laminardb_planner::{BoundQuery, Params};

use super::Session;
use super::outcome::Outcome;
use super::read::{Bound, reads_of};
use crate::catalog::{CatalogState, Entry, ViewDefinition};
use crate::commit::{Frozen, Record};
use crate::database::NewView;
use crate::error::Error;
use crate::relation::{Spec, StorageKind};
use crate::subscription::End;
use crate::watermark::Follow;

/// What a CREATE statement finds under its name.
enum Existing {
    /// No relation has the name.
    None,
    /// A relation that stays because of IF NOT EXISTS; holds its stored name.
    Kept(String),
    /// A relation that OR REPLACE replaces.
    Replaced(Arc<Entry>),
}

/// Definition of a new base relation.
pub(super) struct NewRelation {
    pub(super) name: String,
    pub(super) kind: RelationKind,
    pub(super) schema: SchemaRef,
    pub(super) primary_key: Vec<usize>,
    pub(super) defaults: Vec<Option<ArrayRef>>,
    pub(super) watermark_column: Option<String>,
    pub(super) follow: Option<Follow>,
}

/// The entry of a new relation or view, and the first rows of a table that is created from a query.
struct Made<'a> {
    entry: Entry,
    rows: &'a [RecordBatch],
}

impl Made<'_> {
    fn empty(entry: Entry) -> Self {
        Made { entry, rows: &[] }
    }
}

/// A table to be created from the rows of a query.
struct TableCopy<'a> {
    name: &'a str,
    schema: SchemaRef,
    query: &'a Bound,
    text: &'a str,
}

impl TableCopy<'_> {
    /// Returns the definition of the table: its columns have neither keys nor defaults.
    fn base(&self) -> NewRelation {
        NewRelation {
            name: self.name.to_owned(),
            kind: RelationKind::Table,
            defaults: vec![None; self.schema.fields().len()],
            schema: Arc::clone(&self.schema),
            primary_key: Vec::new(),
            watermark_column: None,
            follow: None,
        }
    }
}

impl Session {
    /// Creates a source or, with key columns, a keyed table. Names are taken exactly as written. Fails if the name is
    /// taken, or if a key column does not exist or a column is invalid.
    pub fn create_relation(&self, name: &str, schema: SchemaRef, primary_key: Option<&[String]>) -> Result<(), Error> {
        self.database.check_usable()?;
        let mut fields: Vec<Field> = schema.fields().iter().map(|field| Field::clone(field)).collect();
        let mut key = Vec::new();
        for column in primary_key.unwrap_or_default() {
            let Some(idx) = fields.iter().position(|field| field.name() == column) else {
                return Err(Error::InvalidSchema(format!("key column {column} is not a column of {name}")));
            };
            fields[idx] = fields[idx].clone().with_nullable(false);
            key.push(idx);
        }
        let base = NewRelation {
            name: name.to_owned(),
            kind: if key.is_empty() { RelationKind::Source } else { RelationKind::Table },
            defaults: vec![None; fields.len()],
            schema: Arc::new(Schema::new(fields)),
            primary_key: key,
            watermark_column: None,
            follow: None,
        };
        check_columns(&base.name, &base.schema)?;
        check_key(&base)?;
        let _definitions = self.database.ended_as(self.define())?;
        let catalog = self.database.catalog();
        if catalog.entries().iter().any(|entry| entry.name() == name) {
            return Err(Error::TableExists(name.to_owned()));
        }
        self.change_relations(&catalog, &[], |frozen| {
            self.add_base(frozen, base, &[]).map(|entry| Some(Made::empty(entry)))
        })
    }
}

impl Session {
    pub(super) fn create_relation_as(&self, create: &CreateRelation) -> Result<Outcome, Error> {
        let ddl_type = if create.kind == RelationKind::Source { "CREATE SOURCE" } else { "CREATE TABLE" };
        let _definitions = self.define()?;
        let catalog = self.database.catalog();
        let replaced = match existing(&catalog, &create.name, create.kind, create.or_replace, create.if_not_exists)? {
            Existing::Kept(name) => return Ok(Outcome::Ddl { ddl_type, object: Some(name) }),
            Existing::Replaced(entry) => Some(entry),
            Existing::None => None,
        };
        let base = base_of(create)?;
        let object = Some(base.name.clone());
        let gone = replaced.as_slice();
        self.change_relations(&catalog, gone, |frozen| {
            self.add_base(frozen, base, &[]).map(|entry| Some(Made::empty(entry)))
        })?;
        Ok(Outcome::Ddl { ddl_type, object })
    }

    pub(super) fn create_table_as(
        &self,
        create: &CreateTableAs,
        text: &str,
        params: &Params,
    ) -> Result<Outcome, Error> {
        let ddl_type = "CREATE TABLE";
        let _definitions = self.define()?;
        let catalog = self.database.catalog();
        let kind = RelationKind::Table;
        let replaced = match existing(&catalog, &create.name, kind, create.or_replace, create.if_not_exists)? {
            Existing::Kept(name) => return Ok(Outcome::Ddl { ddl_type, object: Some(name) }),
            Existing::Replaced(entry) => Some(entry),
            Existing::None => None,
        };
        let bound = self.bind(&create.query, params)?;
        let nullable = |field: &Arc<Field>| Field::clone(field).with_nullable(true);
        let schema = Arc::new(Schema::new(bound.query.schema.fields().iter().map(nullable).collect::<Vec<_>>()));
        check_columns(&create.name.value, &schema)?;
        let copy = TableCopy { name: &create.name.value, schema, query: &bound, text };
        self.copy_rows(&copy, &catalog, replaced.as_slice())?;
        Ok(Outcome::Ddl { ddl_type, object: Some(create.name.value.clone()) })
    }

    /// Creates a table from the rows of a query. If the query reads the table that it replaces, no write to that table
    /// is lost: if one comes between reading and replacing it, the query runs again while writers are held off.
    fn copy_rows(&self, copy: &TableCopy<'_>, catalog: &CatalogState, replaced: &[Arc<Entry>]) -> Result<(), Error> {
        let reads = |entry: &&Arc<Entry>| copy.query.query.relations.iter().any(|read| read == entry.name());
        // No view reads a relation that can be replaced, so the query reads it only if it names it.
        let read_again = replaced.iter().find(reads).and_then(|entry| entry.relation_id());
        let mut hold = None;
        loop {
            let writes = read_again.map(|id| self.database.committer.frozen(|frozen| frozen.writes(id)));
            let rows = self.run_query(copy.query, copy.text)?;
            let mut is_late = false;
            let changed = self.change_relations(catalog, replaced, |frozen| {
                is_late = read_again.map(|id| frozen.writes(id)) != writes;
                if is_late {
                    return Err(Error::QueryFailed(format!("{} was written to meanwhile", copy.name)));
                }
                let entry = self.add_base(frozen, copy.base(), &rows.batches)?;
                // `change_relations` waits for views once more after the change, and writers need not wait for that.
                if let Some(hold) = hold.take() {
                    frozen.release(hold);
                }
                Ok(Some(Made { entry, rows: &rows.batches }))
            });
            if !is_late || hold.is_some() {
                return changed;
            }
            hold = Some(self.database.committer.hold());
        }
    }

    /// Creates a base relation with its first rows, and returns its entry for the catalog. If the rows cannot be
    /// stored, the relation is removed again.
    fn add_base(&self, frozen: &mut Frozen<'_>, base: NewRelation, rows: &[RecordBatch]) -> Result<Entry, Error> {
        let (id, entry) = self.new_base(frozen, base)?;
        if !rows.is_empty()
            && let Err(error) = frozen.load(id, rows)
        {
            frozen.drop(id);
            return Err(error.in_statement());
        }
        Ok(entry)
    }

    /// Creates an empty base relation, and returns its id and its entry for the catalog.
    pub(super) fn new_base(&self, frozen: &mut Frozen<'_>, base: NewRelation) -> Result<(RelationId, Entry), Error> {
        let NewRelation { name, kind, schema, primary_key, defaults, watermark_column, follow } = base;
        let watermark = follow.as_ref().map_or_else(Arc::default, |follow| Arc::clone(follow.watermark()));
        let id = self.database.new_relation_id();
        frozen.create(
            id,
            Spec {
                name: name.clone(),
                kind: StorageKind::of(kind, &primary_key),
                schema: Arc::clone(&schema),
                primary_key: primary_key.clone(),
                defaults,
                follow,
            },
        )?;
        let info = RelationInfo {
            name,
            kind,
            schema,
            primary_key,
            append_only: kind == RelationKind::Source,
            order: ViewOrder::default(),
            definition: Definition::Base(id),
        };
        let entry = Entry {
            info: Arc::new(info),
            sql: None,
            made_from: None,
            reads: Vec::new(),
            maintained: None,
            watermark: Some(watermark),
            watermark_column,
        };
        Ok((id, entry))
    }

    pub(super) fn create_view(
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
        let _definitions = self.define()?;
        let catalog = self.database.catalog();
        let replaced = match existing(&catalog, &create.name, create.kind, create.or_replace, create.if_not_exists)? {
            Existing::Kept(name) => return Ok(Outcome::Ddl { ddl_type, object: Some(name) }),
            Existing::Replaced(entry) => Some(entry),
            Existing::None => None,
        };
        let visible = match &replaced {
            Some(old) => catalog.without(&[old.name()]),
            None => CatalogState::clone(&catalog),
        };
        let made_from = Arc::new(ViewDefinition { create: create.clone(), params: params.used_by(statement) });
        let (entry, view) = self.define_view(&made_from, &visible, params)?;
        self.change_relations(&catalog, replaced.as_slice(), |frozen| {
            if let Some(view) = view {
                self.database.install(view, frozen)?;
            }
            Ok(Some(Made::empty(entry)))
        })?;
        Ok(Outcome::Ddl { ddl_type, object: Some(create.name.value.clone()) })
    }

    /// Plans a view; returns its entry for the catalog, and the view to install if it is maintained. Installs nothing.
    pub(super) fn define_view(
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
            let view = self.database.new_view(catalog, &plan, &schema, &reads, create.on_error)?;
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
        let checked = reads_of(catalog, query).and_then(|(plan, _)| self.database.executor.check(plan));
        match checked {
            Err(Error::QueryFailed(why)) if plan_view(query, catalog).is_err() => {
                Err(Error::QueryFailed(format!("view {view} could not be read: {why}")))
            }
            Err(Error::QueryFailed(_)) | Ok(()) => Ok(()),
            Err(other) => Err(other),
        }
    }

    pub(super) fn drop_relation(&self, drop: &Drop) -> Result<Outcome, Error> {
        let ddl_type = match drop.kind {
            RelationKind::Source => "DROP SOURCE",
            RelationKind::Table => "DROP TABLE",
            RelationKind::View => "DROP VIEW",
            RelationKind::Stream => "DROP STREAM",
            RelationKind::MaterializedView => "DROP MATERIALIZED VIEW",
        };
        let _definitions = self.define()?;
        let catalog = self.database.catalog();
        let found = catalog.find(&drop.name.value, drop.name.quoted)?;
        let Some(entry) = found else {
            if drop.if_exists {
                return Ok(Outcome::Ddl { ddl_type, object: Some(drop.name.value.clone()) });
            }
            return Err(Error::TableNotFound(drop.name.value.clone()));
        };
        if !same_kind(entry.kind(), drop.kind) {
            let kind = entry.kind().keyword();
            return Err(Error::TableNotFound(format!("{} ({} is a {kind})", drop.name.value, entry.name())));
        }
        check_unread(&catalog, entry, drop.cascade)?;
        let dropped = catalog.cascade(entry.name());
        self.change_relations(&catalog, &dropped, |_| Ok(None))?;
        Ok(Outcome::Ddl { ddl_type, object: Some(entry.name().to_owned()) })
    }

    /// Adds what `make` returns to the catalog and removes `gone` from it, under the commit lock. `gone` lists each
    /// entry before all that it reads; nothing else may read them. If `make` fails, or the call is cancelled before
    /// that, nothing has changed.
    ///
    /// Changes of earlier writes are still delivered to the subscribers of `gone`. The call waits for most of them
    /// before the change and for the rest after it, because it must not wait while it holds the commit lock. If the
    /// second wait is cancelled, the change has been made, and those subscribers receive no more.
    fn change_relations<'a>(
        &self,
        catalog: &CatalogState,
        gone: &[Arc<Entry>],
        make: impl FnOnce(&mut Frozen<'_>) -> Result<Option<Made<'a>>, Error>,
    ) -> Result<(), Error> {
        // This also waits until the views in `gone` have all their first contents, which the second wait does not do.
        if self.database.has_views(gone) {
            self.wait_for(self.database.engine.last_time(), None)?;
        }
        let leaving = self.database.committer.frozen(|frozen| -> Result<_, Error> {
            let made = make(frozen)?;
            let names: Vec<&str> = gone.iter().map(|entry| entry.name()).collect();
            let kept = catalog.without(&names);
            let end = |name: &str| End::Dropped(name.to_owned());
            let Some(Made { entry, rows }) = made else {
                return Ok(self.database.replace_catalog(frozen, kept, &Record::Drop { gone }, gone, end));
            };
            let new = kept.with(entry);
            let made = Arc::clone(new.entries().last().expect("it was just added"));
            let record = Record::Define { made: &made, rows, gone };
            Ok(self.database.replace_catalog(frozen, new, &record, gone, end))
        });
        self.database.remove(leaving?, &self.cancel)
    }
}

/// Returns what a CREATE statement finds under its name. Fails if the name is taken and neither IF NOT EXISTS nor OR
/// REPLACE applies, or if another relation reads the one to be replaced.
fn existing(
    catalog: &CatalogState,
    name: &Name,
    kind: RelationKind,
    or_replace: bool,
    if_not_exists: bool,
) -> Result<Existing, Error> {
    let Some(entry) = catalog.find(&name.value, name.quoted)? else { return Ok(Existing::None) };
    if if_not_exists {
        return Ok(Existing::Kept(entry.name().to_owned()));
    }
    if !or_replace || !same_kind(entry.kind(), kind) {
        return Err(Error::TableExists(entry.name().to_owned()));
    }
    check_unread(catalog, entry, false)?;
    Ok(Existing::Replaced(Arc::clone(entry)))
}

/// Returns whether a statement for one kind applies to the other. A stream and a materialized view are the same thing.
fn same_kind(one: RelationKind, other: RelationKind) -> bool {
    use RelationKind::{MaterializedView, Stream};
    one == other || matches!((one, other), (Stream, MaterializedView) | (MaterializedView, Stream))
}

/// Fails if another relation reads `entry`, unless `cascade` is set.
fn check_unread(catalog: &CatalogState, entry: &Entry, cascade: bool) -> Result<(), Error> {
    let readers = catalog.readers(entry.name());
    if cascade || readers.is_empty() {
        return Ok(());
    }
    let (name, readers) = (entry.name(), readers.join(", "));
    Err(Error::QueryFailed(format!("{name} is read by {readers}; drop these first, or use CASCADE")))
}

/// Returns the definition of the relation that the statement creates; fails if a column, a default, the key or the
/// watermark is invalid.
fn base_of(create: &CreateRelation) -> Result<NewRelation, Error> {
    let columns = &create.columns;
    let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable));
    let default = |column: &ColumnDefinition| match &column.default {
        Some(expr) => default_value(expr, Some(&column.data_type)).map(Some),
        None => Ok(None),
    };
    let position = |name: &String| {
        let found = columns.iter().position(|column| column.name == *name);
        found.ok_or_else(|| Error::InvalidSchema(format!("key column {name} is not a column of {}", create.name)))
    };
    let base = NewRelation {
        name: create.name.value.clone(),
        kind: create.kind,
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        primary_key: create.primary_key.iter().map(position).collect::<Result<_, _>>()?,
        defaults: columns.iter().map(default).collect::<Result<_, _>>()?,
        watermark_column: create.watermark.as_ref().map(|watermark| watermark.column.clone()),
        follow: create.watermark.as_ref().map(|watermark| follow_of(watermark, columns)).transpose()?,
    };
    check_columns(&base.name, &base.schema)?;
    check_key(&base)?;
    Ok(base)
}

/// Returns the column that a WATERMARK clause names, with its delay; fails if the column does not exist or does not
/// fit.
fn follow_of(watermark: &WatermarkDefinition, columns: &[ColumnDefinition]) -> Result<Follow, Error> {
    let name = &watermark.column;
    let Some(column) = columns.iter().position(|column| column.name == *name) else {
        return Err(Error::InvalidSchema(format!("WATERMARK names unknown column {name}")));
    };
    let delay = watermark.delay.as_ref().map(|expr| default_value(expr, None)).transpose()?;
    Follow::new(column, name, &columns[column].data_type, delay.as_ref())
}

/// Fails if a base relation cannot have these columns: none, unnamed, repeated, or of a type that cannot be stored.
pub(super) fn check_columns(relation: &str, schema: &SchemaRef) -> Result<(), Error> {
    if schema.fields().is_empty() {
        return Err(Error::InvalidSchema(format!("{relation} needs at least one column")));
    }
    if schema.fields().iter().any(|field| field.name().is_empty()) {
        return Err(Error::InvalidSchema(format!("a column of {relation} has no name")));
    }
    if let Some(column) = first_duplicate(schema) {
        return Err(Error::InvalidSchema(format!("{relation} has two columns {column}")));
    }
    match schema.fields().iter().find(|field| !is_stored(field.data_type())) {
        Some(field) => {
            let (column, data_type) = (field.name(), type_name(field.data_type()));
            Err(Error::InvalidSchema(format!("column {column} of {relation}: type {data_type} cannot be stored")))
        }
        None => Ok(()),
    }
}

/// Returns whether a base relation can have columns of this type: intervals, durations and untyped NULLs occur only in
/// results.
fn is_stored(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) | DataType::Duration(_) | DataType::Null => false,
        DataType::List(item) => is_stored(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_stored(field.data_type())),
        _ => true,
    }
}

/// Fails if a column occurs twice in the key.
fn check_key(base: &NewRelation) -> Result<(), Error> {
    let key = &base.primary_key;
    match key.iter().enumerate().find(|(idx, column)| key[..*idx].contains(column)) {
        Some((_, column)) => {
            let (relation, name) = (&base.name, base.schema.field(*column).name());
            Err(Error::InvalidSchema(format!("the key of {relation} has column {name} twice")))
        }
        None => Ok(()),
    }
}

/// Returns the first name that an earlier column has already.
fn first_duplicate(schema: &SchemaRef) -> Option<&str> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.iter().enumerate().find(|(idx, name)| names[..*idx].contains(name)).map(|(_, name)| *name)
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
