//! CREATE SOURCE and CREATE TABLE, also from the rows of a query.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laminardb_dataflow::RelationId;
use laminardb_planner::Params;
use laminardb_planner::bind::{ViewOrder, default_value};
use laminardb_planner::catalog::{Definition, RelationInfo, RelationKind};
use laminardb_planner::statement::{ColumnDefinition, CreateRelation, CreateTableAs, WatermarkDefinition, type_name};

use super::{Existing, Made, existing};
use crate::catalog::{CatalogState, Entry};
use crate::commit::{Frozen, WriteHold};
use crate::error::Error;
use crate::ingest;
use crate::relation::{Spec, StorageKind, check_name};
use crate::session::Session;
use crate::session::outcome::Outcome;
use crate::session::read::TRIES;
use crate::watermark::Follow;

/// Definition of a new base relation.
pub(in crate::session) struct NewRelation {
    pub(in crate::session) name: String,
    pub(in crate::session) kind: RelationKind,
    pub(in crate::session) schema: SchemaRef,
    pub(in crate::session) primary_key: Vec<usize>,
    pub(in crate::session) json_columns: Vec<usize>,
    pub(in crate::session) defaults: Vec<Option<ArrayRef>>,
    pub(in crate::session) watermark_column: Option<String>,
    pub(in crate::session) follow: Option<Follow>,
}

/// A table with the rows of a query that no other call sees yet.
struct TableMade<'a> {
    entry: Entry,
    rows: &'a [RecordBatch],
    /// The table that the query reads and the statement replaces, with the number of writes that it had before.
    read_again: Option<(&'a Arc<Entry>, u64)>,
}

/// Returns the definition of a table that is made from a query: its columns have neither keys nor defaults.
fn table(name: &str, schema: SchemaRef) -> NewRelation {
    NewRelation {
        name: name.to_owned(),
        kind: RelationKind::Table,
        defaults: vec![None; schema.fields().len()],
        schema,
        primary_key: Vec::new(),
        json_columns: Vec::new(),
        watermark_column: None,
        follow: None,
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
            json_columns: Vec::new(),
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
            self.new_base(frozen, base).map(|(_, entry)| Some(Made::empty(entry)))
        })
    }
}

impl Session {
    pub(in crate::session) fn create_relation_as(&self, create: &CreateRelation) -> Result<Outcome, Error> {
        let ddl_type = if create.kind == RelationKind::Source { "CREATE SOURCE" } else { "CREATE TABLE" };
        let _definitions = self.define()?;
        let catalog = self.database.catalog();
        let replaced = match existing(&catalog, &create.name, create.kind, create.or_replace, create.if_not_exists)? {
            Existing::Kept(name) => return Ok(Outcome::Ddl { ddl_type, object: Some(name) }),
            Existing::Replaced(replaced) => replaced,
        };
        let base = base_of(create)?;
        let object = Some(base.name.clone());
        let gone = replaced.as_slice();
        self.change_relations(&catalog, gone, |frozen| {
            self.new_base(frozen, base).map(|(_, entry)| Some(Made::empty(entry)))
        })?;
        Ok(Outcome::Ddl { ddl_type, object })
    }

    pub(in crate::session) fn create_table_as(
        &self,
        create: &CreateTableAs,
        text: &str,
        params: &Params,
    ) -> Result<Outcome, Error> {
        let ddl_type = "CREATE TABLE";
        let kind = RelationKind::Table;
        let found =
            |catalog: &CatalogState| existing(catalog, &create.name, kind, create.or_replace, create.if_not_exists);
        let mut tries = 0;
        loop {
            self.refuse_in_transaction("definitions cannot be changed")?;
            // The query runs without the definitions, because it may take long. Only if it reads the table that it
            // replaces, and that was written to each time meanwhile, do others have to wait.
            let held = if tries < TRIES { None } else { Some(self.define()?) };
            let hold = held.as_ref().map(|_| self.database.committer.hold(&self.cancel)).transpose()?;
            tries += 1;
            let catalog = self.database.catalog();
            let replaced = match found(&catalog)? {
                Existing::Kept(name) => return Ok(Outcome::Ddl { ddl_type, object: Some(name) }),
                Existing::Replaced(replaced) => replaced,
            };
            let bound = self.bind_in(&catalog, &create.query, params)?;
            let nullable = |field: &Arc<Field>| Field::clone(field).with_nullable(true);
            let schema = Arc::new(Schema::new(bound.query.schema.fields().iter().map(nullable).collect::<Vec<_>>()));
            check_columns(&create.name.value, &schema)?;
            // No view reads a relation that can be replaced, so the query reads it only if it names it.
            let reads = |entry: &&Arc<Entry>| bound.query.relations.iter().any(|read| read == entry.name());
            let read_again = replaced.as_ref().filter(reads);
            let writes = read_again.map(|entry| self.writes_to(entry));
            let rows = match self.run_query(&bound, text) {
                Err(Error::Dropped(_)) if self.database.has_changed_since(&catalog) => continue,
                rows => rows?,
            };
            let (id, entry) = self.filled_base(table(&create.name.value, schema), &rows.batches)?;
            let made = TableMade { entry, rows: &rows.batches, read_again: read_again.zip(writes) };
            let definitions = held.map_or_else(|| self.define(), Ok);
            let placed = definitions.and_then(|_definitions| {
                let current = self.database.catalog();
                match found(&current)? {
                    Existing::Kept(_) => Ok(false),
                    Existing::Replaced(replaced) => self.put_table(&current, replaced.as_ref(), &made, hold),
                }
            });
            if placed != Ok(true) {
                self.database.committer.frozen(|frozen| frozen.drop(id));
            }
            if placed? {
                return Ok(Outcome::Ddl { ddl_type, object: Some(create.name.value.clone()) });
            }
        }
    }

    /// Returns how many writes a relation has had.
    fn writes_to(&self, entry: &Entry) -> u64 {
        let writes = |id| self.database.committer.frozen(|frozen| frozen.writes(id));
        entry.relation_id().map_or(0, writes)
    }

    /// Puts a new table with its rows into the catalog in place of `replaced`. Returns false, and has changed nothing,
    /// if the table that its query reads again was replaced or written to meanwhile.
    fn put_table(
        &self,
        catalog: &CatalogState,
        replaced: Option<&Arc<Entry>>,
        made: &TableMade<'_>,
        hold: Option<WriteHold<'_>>,
    ) -> Result<bool, Error> {
        if let Some((read, _)) = &made.read_again
            && !replaced.is_some_and(|replaced| Arc::ptr_eq(replaced, read))
        {
            return Ok(false);
        }
        let mut is_late = false;
        let changed = self.change_relations(catalog, replaced.map_or(&[], std::slice::from_ref), |frozen| {
            if let Some((read, writes)) = &made.read_again {
                is_late = read.relation_id().map_or(0, |id| frozen.writes(id)) != *writes;
            }
            if is_late {
                return Err(Error::QueryFailed(format!("{} was written to meanwhile", made.entry.name())));
            }
            // Dropping it would take the lock again.
            if let Some(hold) = hold {
                frozen.release(hold);
            }
            Ok(Some(Made { entry: made.entry.clone(), rows: made.rows }))
        });
        if is_late { Ok(false) } else { changed.map(|()| true) }
    }

    /// Creates a base relation with its first rows, which no other call sees yet, and returns its id and its entry for
    /// the catalog. If the rows cannot be stored, the relation is removed again.
    fn filled_base(&self, base: NewRelation, rows: &[RecordBatch]) -> Result<(RelationId, Entry), Error> {
        let (id, entry) = self.database.committer.frozen(|frozen| self.new_base(frozen, base))?;
        if let Err(error) = self.database.committer.load(id, rows) {
            self.database.committer.frozen(|frozen| frozen.drop(id));
            return Err(error.in_statement());
        }
        Ok((id, entry))
    }

    /// Creates an empty base relation, and returns its id and its entry for the catalog.
    pub(in crate::session) fn new_base(
        &self,
        frozen: &mut Frozen<'_>,
        base: NewRelation,
    ) -> Result<(RelationId, Entry), Error> {
        let NewRelation { name, kind, schema, primary_key, json_columns, defaults, watermark_column, follow } = base;
        let watermark = follow.as_ref().map_or_else(Arc::default, |follow| Arc::clone(follow.watermark()));
        let id = self.database.new_relation_id();
        frozen.create(
            id,
            Spec {
                name: name.clone(),
                kind: StorageKind::of(kind, &primary_key),
                schema: Arc::clone(&schema),
                primary_key: primary_key.clone(),
                json_columns: json_columns.clone(),
                defaults,
                follow,
            },
        )?;
        let info = RelationInfo {
            name,
            kind,
            schema,
            primary_key,
            json_columns,
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
}

/// Returns the definition of the relation that the statement creates; fails if a column, a default, the key or the
/// watermark is invalid.
fn base_of(create: &CreateRelation) -> Result<NewRelation, Error> {
    let columns = &create.columns;
    let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable));
    let default = |column: &ColumnDefinition| match &column.default {
        Some(expr) => {
            let value = default_value(expr, Some(&column.data_type))?;
            let value = ingest::default_of(&value, &column.data_type);
            value.map(Some).map_err(|why| Error::QueryFailed(format!("DEFAULT of column {}: {why}", column.name)))
        }
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
        json_columns: (0..columns.len()).filter(|column| columns[*column].is_json).collect(),
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
pub(in crate::session) fn check_columns(relation: &str, schema: &SchemaRef) -> Result<(), Error> {
    check_name(relation)?;
    schema.fields().iter().try_for_each(|field| check_name(field.name()))?;
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
pub(super) fn first_duplicate(schema: &SchemaRef) -> Option<&str> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.iter().enumerate().find(|(idx, name)| names[..*idx].contains(name)).map(|(_, name)| *name)
}
