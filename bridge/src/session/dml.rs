//! Writes: calls with Arrow data, and the statements INSERT, UPDATE, DELETE and TRUNCATE.
//!
//! UPDATE and DELETE write what they have read only if no other write came in between (`optimistic`), so none is lost.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use laminardb_dataflow::plan::named_text;
use laminardb_dataflow::{RelationId, Scalar};
use laminardb_planner::bind::{BoundConflict, bind_delete, bind_insert, bind_update};
use laminardb_planner::catalog::RelationKind;
use laminardb_planner::statement::{Delete, Insert, Name, Update};
use laminardb_planner::{BoundQuery, Params, RelationInfo};

use super::Session;
use super::outcome::QueryOutput;
use crate::catalog::{CatalogState, Entry};
use crate::commit::Write;
use crate::error::Error;
use crate::ingest::{self, Extra};
use crate::relation::{Operation, Spec};
use crate::store::Finder;

impl Session {
    /// Stores rows and returns their number. In a keyed table they replace the rows with their keys. Columns are
    /// matched by name and cast without loss; the call fails if a value does not fit.
    pub fn insert(&self, table: &str, data: Vec<RecordBatch>) -> Result<u64, Error> {
        self.write(table, Operation::Insert, data)
    }

    /// Does the same as [`Session::insert`]; fails if the relation is not a keyed table.
    pub fn upsert(&self, table: &str, data: Vec<RecordBatch>) -> Result<u64, Error> {
        self.write(table, Operation::Upsert, data)
    }

    /// Removes rows and returns how many were removed: from a keyed table those with the keys given, from another table
    /// one equal row for each row given.
    pub fn delete(&self, table: &str, data: Vec<RecordBatch>) -> Result<u64, Error> {
        self.write(table, Operation::Delete, data)
    }

    /// Stores the rows of a JSON text, as [`Session::insert`] does. The text is an array of objects, one object, or one
    /// object per line; `extra` says what happens to members that are no columns.
    pub fn insert_json(&self, table: &str, text: &str, extra: Extra) -> Result<u64, Error> {
        self.insert_text(table, |spec| ingest::from_json(text, spec, extra, &|| self.may_go_on()))
    }

    /// Stores the rows of a CSV text with a header line, as [`Session::insert`] does.
    pub fn insert_csv(&self, table: &str, text: &str, extra: Extra) -> Result<u64, Error> {
        self.insert_text(table, |spec| ingest::from_csv(text, spec, extra, &|| self.may_go_on()))
    }

    /// Fails if the call is cancelled, or if memory has no room for any write. To be called now and then by who makes
    /// the rows of a write: they may be too many, or have no end.
    pub fn may_go_on(&self) -> Result<(), Error> {
        self.cancel.check()?;
        self.database.committer.check_room()
    }

    /// Stores the rows that `read` makes from a text for the columns of the relation.
    fn insert_text(&self, table: &str, read: impl Fn(&Spec) -> Result<Vec<RecordBatch>, Error>) -> Result<u64, Error> {
        self.write_named(table, |session, relation| {
            let layout = self.database.committer.frozen(|frozen| frozen.layout(relation));
            let layout = layout.ok_or_else(|| Error::Dropped(table.to_owned()))?;
            session.write_to(relation, Operation::Insert, read(layout.spec())?)
        })
    }

    fn write(&self, table: &str, operation: Operation, rows: Vec<RecordBatch>) -> Result<u64, Error> {
        // Cloned because the write may run again; the columns are shared.
        self.write_named(table, |session, relation| session.write_to(relation, operation, rows.clone()))
    }

    /// Runs `write` on the relation that `table` refers to. If that is dropped before anything was written, runs it
    /// again on the relation that the name refers to by then, as if the call had come later. `write` is given the
    /// session, described to those who wait for it.
    pub(super) fn write_named(
        &self,
        table: &str,
        write: impl Fn(&Session, RelationId) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let session = self.doing(|| format!("a write to {table}"));
        loop {
            self.database.check_usable()?;
            let catalog = self.database.catalog();
            let relation = writable(catalog.named(table)?)?;
            match write(&session, relation) {
                Err(Error::Dropped(_)) if self.database.has_changed_since(&catalog) => {}
                written => return written.map_err(|error| error.naming(table)),
            }
        }
    }

    /// Writes rows in one commit; returns the number of rows removed by a delete, and of rows given for any other
    /// operation.
    pub(super) fn write_to(
        &self,
        relation: RelationId,
        operation: Operation,
        rows: Vec<RecordBatch>,
    ) -> Result<u64, Error> {
        let written =
            self.database.committer.commit(self.actor(), vec![Write { relation, operation, rows }], &self.cancel);
        let applied = self.database.ended_as(written)?;
        let total = |count: fn(&crate::store::Applied) -> u64| applied.iter().map(count).sum();
        Ok(if operation == Operation::Delete { total(|a| a.changed) } else { total(|a| a.given) })
    }
}

impl Session {
    /// Runs `write`, which binds a statement that writes to `table` in the state of the catalog that it is given. If a
    /// relation of the statement is dropped before anything was written, runs it again on what exists by then, as if
    /// the statement had come later. Errors are those of statements.
    fn with_catalog(&self, table: &Name, write: impl Fn(&CatalogState) -> Result<u64, Error>) -> Result<u64, Error> {
        loop {
            let catalog = self.database.catalog();
            let error = match write(&catalog) {
                Ok(rows) => return Ok(rows),
                Err(Error::Dropped(_)) if self.database.has_changed_since(&catalog) => continue,
                Err(error) => error,
            };
            let found = catalog.find(&table.value, table.quoted).ok().flatten();
            return Err(error.naming(found.map_or(&table.value, |entry| entry.name())).in_statement());
        }
    }

    pub(super) fn insert_statement(&self, insert: &Insert, params: &Params) -> Result<u64, Error> {
        self.with_catalog(&insert.table, |catalog| self.insert_into(insert, catalog, params))
    }

    fn insert_into(&self, insert: &Insert, catalog: &CatalogState, params: &Params) -> Result<u64, Error> {
        let bound = bind_insert(insert, catalog, params)?;
        let relation = base_id(&bound.target)?;
        // Waits for a transaction of another session first: it may be about to write what the query reads.
        drop(self.database.committer.wait_for_turn(self.actor(), &self.cancel)?);
        let rows = self.run_unfrozen(catalog, &bound.rows)?;
        let rows = named_columns(&rows, &bound.target, &bound.columns)?;
        let operation = match bound.conflict {
            BoundConflict::Fail => Operation::InsertNew,
            BoundConflict::Replace => Operation::Upsert,
            BoundConflict::DoNothing => Operation::InsertMissing,
            BoundConflict::DoUpdate { assignments, selection } => {
                let change = DoUpdate { target: &bound.target, relation, assignments, selection };
                return change.run(self, &rows);
            }
        };
        let write = Write { relation, operation, rows };
        let applied = self.database.committer.commit(self.actor(), vec![write], &self.cancel)?;
        let counts_given = operation == Operation::InsertNew;
        Ok(applied.iter().map(|a| if counts_given { a.given } else { a.changed }).sum())
    }

    pub(super) fn update_statement(&self, update: &Update, params: &Params) -> Result<u64, Error> {
        self.with_catalog(&update.table, |catalog| self.update_in(update, catalog, params))
    }

    fn update_in(&self, update: &Update, catalog: &CatalogState, params: &Params) -> Result<u64, Error> {
        let bound = bind_update(update, catalog, params)?;
        let relation = base_id(&bound.target)?;
        self.write_what_is_read(catalog, &bound.rows, relation, |rows| {
            let width = bound.target.schema.fields().len();
            let mut old = Vec::with_capacity(rows.batches.len());
            let mut new = Vec::with_capacity(rows.batches.len());
            for batch in &rows.batches {
                let columns = batch.columns();
                old.push(target_batch(&bound.target.schema, columns[..width].to_vec(), batch.num_rows())?);
                let mut changed = columns[..width].to_vec();
                for (position, column) in bound.columns.iter().enumerate() {
                    changed[*column] = Arc::clone(&columns[width + position]);
                }
                new.push(loose_batch(&bound.target.schema, changed, batch.num_rows())?);
            }
            Ok(replacements(&bound.target, relation, &bound.columns, old, new))
        })
    }

    pub(super) fn delete_statement(&self, delete: &Delete, params: &Params) -> Result<u64, Error> {
        self.with_catalog(&delete.table, |catalog| self.delete_in(delete, catalog, params))
    }

    fn delete_in(&self, delete: &Delete, catalog: &CatalogState, params: &Params) -> Result<u64, Error> {
        let bound = bind_delete(delete, catalog, params)?;
        let relation = base_id(&bound.target)?;
        self.write_what_is_read(catalog, &bound.rows, relation, |rows| {
            let target =
                |batch: &RecordBatch| target_batch(&bound.target.schema, batch.columns().to_vec(), batch.num_rows());
            let rows = rows.batches.iter().map(target).collect::<Result<_, _>>()?;
            Ok(vec![Write { relation, operation: Operation::Delete, rows }])
        })
    }

    pub(super) fn truncate_statement(&self, name: &Name) -> Result<u64, Error> {
        self.with_catalog(name, |catalog| {
            let Some(entry) = catalog.find(&name.value, name.quoted)? else {
                return Err(Error::QueryFailed(format!("table {name} does not exist")));
            };
            let relation = writable_table(entry)?;
            let write = Write { relation, operation: Operation::Truncate, rows: Vec::new() };
            let applied = self.database.committer.commit(self.actor(), vec![write], &self.cancel)?;
            Ok(applied.iter().map(|a| a.changed).sum())
        })
    }

    /// Returns the rows of the query of an INSERT. Other writes may come between reading these rows and storing them.
    fn run_unfrozen(&self, catalog: &CatalogState, query: &BoundQuery) -> Result<QueryOutput, Error> {
        self.run_bound(catalog, query, "INSERT", |taking| self.database.committer.frozen_for(self.actor(), taking))
    }
}

/// Returns the id of a relation that a call writes to; fails for a view.
fn writable(entry: &Entry) -> Result<RelationId, Error> {
    entry.relation_id().ok_or_else(|| not_writable(entry))
}

/// Returns the error of a call that writes to a view.
pub(super) fn not_writable(entry: &Entry) -> Error {
    Error::SchemaMismatch(format!("{} is a {}: it cannot be written to", entry.name(), entry.kind().keyword()))
}

/// Returns the id of a relation that a statement writes to; fails for a view.
fn base_id(target: &RelationInfo) -> Result<RelationId, Error> {
    match target.collection() {
        Some(laminardb_dataflow::CollectionId::Relation(id)) => Ok(id),
        _ => {
            Err(Error::QueryFailed(format!("{} is a {}: it cannot be written to", target.name, target.kind.keyword())))
        }
    }
}

/// Returns the id of a table that a statement writes to; fails for a source or a view.
fn writable_table(entry: &Entry) -> Result<RelationId, Error> {
    match (entry.kind(), entry.relation_id()) {
        (RelationKind::Table, Some(id)) => Ok(id),
        (kind, _) => Err(Error::QueryFailed(format!("{} is a {}, not a table", entry.name(), kind.keyword()))),
    }
}

/// Returns the query's batches, their columns named after the target's columns that they are stored in.
fn named_columns(rows: &QueryOutput, target: &RelationInfo, columns: &[usize]) -> Result<Vec<RecordBatch>, Error> {
    let name = |(field, column): (&Arc<Field>, &usize)| {
        Field::clone(field).with_name(target.schema.field(*column).name()).with_nullable(true)
    };
    let fields: Vec<Field> = rows.schema.fields().iter().zip(columns).map(name).collect();
    let schema = Arc::new(Schema::new(fields));
    rows.batches.iter().map(|batch| target_batch(&schema, batch.columns().to_vec(), batch.num_rows())).collect()
}

/// Makes a batch of the schema; fails if the columns do not fit it.
fn target_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, Error> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::Internal(format!("rows do not fit their relation: {error}")))
}

/// Makes a batch whose columns are named as in `schema`, but have types of their own and may contain NULL.
fn loose_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, Error> {
    let fields = schema.fields().iter().zip(&columns);
    let fields: Vec<Field> = fields.map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true)).collect();
    target_batch(&Arc::new(Schema::new(fields)), columns, rows)
}

/// Returns the writes that replace the rows `old` by `new`, which differ in `columns`.
fn replacements(
    target: &RelationInfo,
    relation: RelationId,
    columns: &[usize],
    old: Vec<RecordBatch>,
    new: Vec<RecordBatch>,
) -> Vec<Write> {
    let key = &target.primary_key;
    if !key.is_empty() && !columns.iter().any(|column| key.contains(column)) {
        // The keys stay, so each row is found once and replaced in its place.
        return vec![Write { relation, operation: Operation::Upsert, rows: new }];
    }
    vec![
        Write { relation, operation: Operation::Delete, rows: old },
        Write { relation, operation: Operation::InsertNew, rows: new },
    ]
}

/// The assignments and the condition of INSERT ... ON CONFLICT DO UPDATE.
struct DoUpdate<'a> {
    target: &'a RelationInfo,
    relation: RelationId,
    assignments: Vec<(usize, Arc<dyn Scalar>)>,
    selection: Option<Arc<dyn Scalar>>,
}

impl DoUpdate<'_> {
    /// Stores rows with new keys and changes those whose keys exist; returns the number of rows stored or changed.
    /// Fails if two of the rows given have the same key.
    fn run(&self, session: &Session, rows: &[RecordBatch]) -> Result<u64, Error> {
        let committer = &session.database.committer;
        let layout = committer.frozen(|frozen| frozen.layout(self.relation));
        let layout = layout.ok_or_else(|| Error::Dropped(self.target.name.clone()))?;
        let mut given = Vec::with_capacity(rows.len());
        for batch in rows {
            given.push(ingest::conform(batch, layout.spec(), 0)?);
        }
        let given = concat(&self.target.schema, &given)?;
        if let Some(row) = layout.first_repeated_key(&given) {
            let name = &self.target.name;
            return Err(Error::ConstraintViolated(format!("two rows for table {name} have the same key (row {row})")));
        }
        let rows = given.num_rows();
        committer.commit_found(session.actor(), self.relation, rows, false, &session.cancel, |finder| {
            self.writes(finder, &given)
        })
    }

    /// Returns the writes that store or change rows, and the number of these.
    fn writes(&self, finder: &Finder<'_>, given: &RecordBatch) -> Result<(Vec<Write>, u64), Error> {
        let (matched, old_rows) = finder.find(self.relation, given)?;
        let fresh: Vec<u32> = (0..given.num_rows() as u32).filter(|row| matched.binary_search(row).is_err()).collect();
        let (fresh_rows, new_rows) = (take(given, &fresh)?, take(given, &matched)?);
        let (old, new) = self.changed(old_rows, &new_rows)?;
        let count = (fresh.len() + old.num_rows()) as u64;
        let columns: Vec<usize> = self.assignments.iter().map(|(column, _)| *column).collect();
        let mut writes = replacements(self.target, self.relation, &columns, vec![old], vec![new]);
        writes.push(Write { relation: self.relation, operation: Operation::InsertNew, rows: vec![fresh_rows] });
        Ok((writes, count))
    }

    /// Returns the rows that the statement changes, as they are and as they become. `old` has existing rows, and `new`
    /// the rows given for the same keys in the same order.
    fn changed(&self, old: RecordBatch, new: &RecordBatch) -> Result<(RecordBatch, RecordBatch), Error> {
        let pair = |old: &RecordBatch, new: &RecordBatch| {
            let columns: Vec<ArrayRef> = old.columns().iter().chain(new.columns()).map(Arc::clone).collect();
            let names = self.target.schema.fields().iter().map(|field| field.name());
            let names = names.clone().cloned().chain(names.map(|name| format!("excluded.{name}")));
            let field = |(name, column): (String, &ArrayRef)| Field::new(name, column.data_type().clone(), true);
            let fields: Vec<Field> = names.zip(&columns).map(field).collect();
            target_batch(&Arc::new(Schema::new(fields)), columns, old.num_rows())
        };
        let mut pairs = pair(&old, new)?;
        let mut old = old;
        if let Some(selection) = &self.selection {
            let chosen = evaluate(selection, &pairs)?;
            let chosen = chosen.as_boolean();
            let is_chosen = |row: &u32| chosen.is_valid(*row as usize) && chosen.value(*row as usize);
            let rows: Vec<u32> = (0..chosen.len() as u32).filter(is_chosen).collect();
            old = take(&old, &rows)?;
            pairs = take(&pairs, &rows)?;
        }
        let mut columns = old.columns().to_vec();
        for (column, value) in &self.assignments {
            columns[*column] = evaluate(value, &pairs)?;
        }
        let new = loose_batch(&self.target.schema, columns, old.num_rows())?;
        Ok((old, new))
    }
}

/// Evaluates an expression on all rows; fails if it fails on one of them.
fn evaluate(expression: &Arc<dyn Scalar>, rows: &RecordBatch) -> Result<ArrayRef, Error> {
    let evaluated = expression.evaluate(rows);
    match evaluated.errors.first() {
        Some(error) => {
            let text = named_text(expression.text(), &rows.schema());
            Err(Error::QueryFailed(format!("{text} fails: {}", error.message)))
        }
        None => Ok(evaluated.values),
    }
}

fn concat(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, Error> {
    concat_batches(schema, batches).map_err(internal)
}

fn take(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, Error> {
    take_record_batch(batch, &UInt32Array::from(rows.to_vec())).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::Internal(error.to_string())
}
