//! The store holds the rows of all sources and tables; everything else is derived from them.
//!
//! A [`Store`] belongs to one writer at a time (see `commit`). Readers take a [`Scan`], which is cheap, and read it
//! without holding the store. Between two commits, the rows of a relation are always the sum of the deltas that its
//! writes returned. While a `Transaction` is open, a scan includes its writes; the committed rows can be read as
//! well.

mod append;
mod bag;
mod buffer;
mod encode;
mod given;
mod heap;
mod keyed;
mod scan;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use laminardb_dataflow::{Diffs, RelationId, panic_text};
use laminardb_planner::catalog::RelationKind;

pub(crate) use buffer::with_columns;
pub use scan::Scan;

use crate::error::Error;
use crate::ingest;
use crate::watermark::{Follow, Watermark};
use append::Append;
use bag::Bag;
use encode::Encoder;
pub(crate) use given::Given;
use given::rows_given;
use keyed::{Keyed, Keys};
use transaction::Transaction;

/// How a relation keeps its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A source: rows are only ever added.
    Append,
    /// A table with a primary key.
    Keyed,
    /// A table without a primary key: equal rows may occur several times.
    Bag,
}

impl Kind {
    /// Returns the kind of a source or table whose primary key has these columns.
    pub fn of(relation: RelationKind, primary_key: &[usize]) -> Kind {
        match relation {
            RelationKind::Source => Kind::Append,
            _ if primary_key.is_empty() => Kind::Bag,
            _ => Kind::Keyed,
        }
    }

    /// Checks that relations of this kind allow `operation`; `name` is used in the error message.
    pub fn check(self, operation: Operation, name: &str) -> Result<(), Error> {
        match (self, operation) {
            (Kind::Append, Operation::Delete) => {
                Err(Error::SchemaMismatch(format!("cannot delete from source {name}: its rows are kept")))
            }
            (Kind::Append, Operation::Truncate) => {
                Err(Error::SchemaMismatch(format!("cannot truncate source {name}: its rows are kept")))
            }
            (Kind::Append | Kind::Bag, Operation::Upsert | Operation::InsertMissing) => {
                Err(Error::SchemaMismatch(format!("{name} has no primary key to find rows by")))
            }
            _ => Ok(()),
        }
    }
}

/// Describes a base relation.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name of the relation, for messages.
    pub name: String,
    /// How the relation keeps its rows.
    pub kind: Kind,
    /// Columns of the relation. Those of the key must not be nullable.
    pub schema: SchemaRef,
    /// Positions of the key columns; empty unless `kind` is `Keyed`.
    pub primary_key: Vec<usize>,
    /// Default of each column, an array of one row, used when a write leaves the column out; `None` means NULL.
    pub defaults: Vec<Option<ArrayRef>>,
    /// The column that the relation's watermark follows.
    pub follow: Option<Follow>,
}

/// What a write does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Adds the rows; in a keyed table they replace rows with equal keys, and the last row of a batch wins.
    Insert,
    /// Does the same as `Insert`, for keyed tables only.
    Upsert,
    /// Adds the rows; in a keyed table, a key that exists or is given twice is an error.
    InsertNew,
    /// Adds the rows whose keys do not exist, the first of those with equal keys; for keyed tables only.
    InsertMissing,
    /// Removes rows: a keyed table matches the key columns and skips absent keys; a bag removes one equal row per given
    /// row.
    Delete,
    /// Removes all rows of a table; the write gives no rows.
    Truncate,
}

/// What one write changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Number of rows the caller gave (for `Truncate`, rows removed).
    pub given: u64,
    /// Number of rows added, replaced or removed; replacing a row with an equal one does not count.
    pub changed: u64,
}

/// The exact changes that one write makes to a relation.
#[derive(Clone, Debug, Default)]
struct Delta {
    changes: Vec<(RecordBatch, Diffs)>,
    given: u64,
    changed: u64,
}

/// What happens to a written row whose key already exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conflict {
    /// It replaces the existing row.
    Replace,
    /// The whole write fails.
    Refuse,
    /// It is left out, and the existing row stays.
    Keep,
}

/// What is known about a relation without reading its rows; shared by all its writers.
pub struct Layout {
    id: RelationId,
    spec: Spec,
    /// Schema of the key columns, in key order.
    key_schema: SchemaRef,
    /// Encodes the key columns.
    key: Encoder,
    /// Encodes all columns, the key columns first.
    row: Encoder,
}

impl Layout {
    fn new(id: RelationId, mut spec: Spec) -> Result<Self, Error> {
        spec.defaults.resize(spec.schema.fields().len(), None);
        if let Some(column) = spec.primary_key.iter().find(|column| spec.schema.field(**column).is_nullable()) {
            let column = spec.schema.field(*column).name();
            return Err(Error::InvalidSchema(format!("key column {column} of {} must be NOT NULL", spec.name)));
        }
        let all = 0..spec.schema.fields().len();
        let key_schema = spec.schema.project(&spec.primary_key);
        let key_schema = key_schema.map_err(|error| Error::InvalidSchema(format!("primary key: {error}")))?;
        let rest = all.filter(|column| !spec.primary_key.contains(column));
        let row = spec.primary_key.iter().copied().chain(rest).collect();
        Ok(Layout {
            id,
            key: Encoder::new(&spec.schema, spec.primary_key.clone())?,
            row: Encoder::new(&spec.schema, row)?,
            key_schema: Arc::new(key_schema),
            spec,
        })
    }

    /// Returns the description of the relation.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns the first row of `batch` whose key an earlier row of it has. The relation must be a keyed table.
    pub(crate) fn first_repeated_key(&self, batch: &RecordBatch) -> Option<u32> {
        Keys::new(self, self.key.encode(batch), false).first_repeated()
    }

    /// Casts the rows of a write to the relation's columns and computes everything that does not depend on its current
    /// rows.
    pub fn prepare(self: &Arc<Self>, operation: Operation, batches: &[RecordBatch]) -> Result<Prepared, Error> {
        self.spec.kind.check(operation, &self.spec.name)?;
        let by_key = self.spec.kind == Kind::Keyed;
        let mut rows_before = 0;
        let mut prepare = |batch: &RecordBatch| {
            let prepared = if by_key && operation == Operation::Delete {
                let batch = ingest::conform_key(batch, &self.spec, &self.key_schema, rows_before)?;
                let keys = Keys::new(self, self.key.encode_columns(batch.columns()), true);
                (batch, Some(keys))
            } else {
                let batch = ingest::conform(batch, &self.spec, rows_before)?;
                let last_wins = matches!(operation, Operation::Insert | Operation::Upsert);
                let keys = by_key.then(|| Keys::new(self, self.key.encode(&batch), last_wins));
                (batch, keys)
            };
            // Errors count rows across all batches of the write, not within one batch.
            rows_before += batch.num_rows();
            Ok(prepared)
        };
        let batches = match operation {
            Operation::Truncate => Vec::new(),
            _ => batches.iter().map(&mut prepare).collect::<Result<_, Error>>()?,
        };
        Ok(Prepared { layout: Arc::clone(self), operation, reached: self.reached(operation, &batches), batches })
    }

    /// Returns the value to which a write moves the relation's watermark, if it moves it.
    fn reached(&self, operation: Operation, batches: &[(RecordBatch, Option<Keys>)]) -> Option<i64> {
        match operation {
            Operation::Insert | Operation::Upsert | Operation::InsertNew | Operation::InsertMissing => {
                let follow = self.spec.follow.as_ref()?;
                batches.iter().filter_map(|(batch, _)| follow.reached(batch)).max()
            }
            Operation::Delete | Operation::Truncate => None,
        }
    }
}

/// A write whose rows fit the relation, ready to be applied.
pub struct Prepared {
    layout: Arc<Layout>,
    operation: Operation,
    batches: Vec<(RecordBatch, Option<Keys>)>,
    /// The value to which the write moves the relation's watermark.
    reached: Option<i64>,
}

impl Prepared {
    /// Returns the relation that is written to.
    pub fn relation(&self) -> RelationId {
        self.layout.id
    }

    /// Returns the number of rows given.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(|(batch, _)| batch.num_rows()).sum()
    }

    /// Returns the watermark that the write moves and the value it moves to.
    fn moved(&self) -> Option<(Arc<Watermark>, i64)> {
        let follow = self.layout.spec.follow.as_ref()?;
        Some((Arc::clone(follow.watermark()), self.reached?))
    }
}

enum Rows {
    Append(Append),
    Keyed(Keyed),
    Bag(Bag),
}

impl Rows {
    fn is_append(&self) -> bool {
        matches!(self, Rows::Append(_))
    }
}

enum Undo {
    Keyed(keyed::Undo),
    Bag(bag::Undo),
}

struct Relation {
    layout: Arc<Layout>,
    rows: Rows,
    /// Number of writes that the relation has had.
    writes: u64,
}

/// The rows of all base relations.
#[derive(Default)]
pub struct Store {
    relations: BTreeMap<RelationId, Relation>,
    /// The open transaction.
    open: Option<Transaction>,
    /// Set when a write broke an invariant half way: the reason why the store can no longer be trusted.
    broken: Option<String>,
}

impl Store {
    /// Adds an empty relation. `id` must not be in use. Fails if the schema or the primary key is invalid.
    pub fn create(&mut self, id: RelationId, spec: Spec) -> Result<(), Error> {
        let layout = Arc::new(Layout::new(id, spec)?);
        let rows = match layout.spec.kind {
            Kind::Append => Rows::Append(Append::new(Arc::clone(&layout.spec.schema))),
            Kind::Keyed => Rows::Keyed(Keyed::new(Arc::clone(&layout))),
            Kind::Bag => Rows::Bag(Bag::new(Arc::clone(&layout))),
        };
        let before = self.relations.insert(id, Relation { layout, rows, writes: 0 });
        assert!(before.is_none(), "relation {id:?} is there already");
        Ok(())
    }

    /// Removes a relation and its rows.
    pub fn drop(&mut self, id: RelationId) {
        self.relations.remove(&id);
    }

    /// Returns the layout of a relation; `None` if it does not exist.
    pub fn layout(&self, id: RelationId) -> Option<Arc<Layout>> {
        self.relations.get(&id).map(|relation| Arc::clone(&relation.layout))
    }

    /// Returns the rows that the next write will see; `None` if the relation does not exist or the store is broken.
    pub fn scan(&mut self, id: RelationId) -> Option<Scan> {
        if self.broken.is_some() {
            return None;
        }
        let relation = self.relations.get_mut(&id)?;
        Some(match &mut relation.rows {
            Rows::Append(rows) => match &self.open {
                Some(open) => rows.scan().followed_by(open.appended(id)),
                None => rows.scan(),
            },
            Rows::Keyed(rows) => rows.heap().scan(),
            Rows::Bag(rows) => rows.heap().scan(),
        })
    }

    /// Finds rows of a keyed table by key. `keys` must have the key columns, by name; other columns of the table are
    /// ignored. Returns the positions in `keys` whose key exists, ascending, and the table's rows for them in that
    /// order.
    pub fn find(&self, id: RelationId, keys: &RecordBatch) -> Result<(Vec<u32>, RecordBatch), Error> {
        let relation = self.relations.get(&id).filter(|_| self.broken.is_none());
        let Some(Relation { layout, rows: Rows::Keyed(rows), .. }) = relation else {
            return Err(Error::SchemaMismatch("only a table with a primary key finds rows by key".to_owned()));
        };
        let keys = ingest::conform_key(keys, &layout.spec, &layout.key_schema, 0)?;
        Ok(rows.lookup(&Keys::all(layout, layout.key.encode_columns(keys.columns()))))
    }

    /// Returns the number of rows that the next write will see; 0 if there is no such relation.
    pub fn rows(&self, id: RelationId) -> u64 {
        self.relations.get(&id).map_or(0, |relation| match &relation.rows {
            Rows::Append(rows) => {
                let open = self.open.iter().flat_map(|open| open.appended(id));
                rows.rows() + open.map(RecordBatch::num_rows).sum::<usize>()
            }
            Rows::Keyed(rows) => rows.rows(),
            Rows::Bag(rows) => rows.rows(),
        }) as u64
    }

    /// Returns how many writes the relation has had; 0 if there is none. The committed rows change only with this
    /// number.
    pub fn writes(&self, id: RelationId) -> u64 {
        self.relations.get(&id).map_or(0, |relation| relation.writes)
    }

    /// Returns the memory that the relation's rows and indexes take, in bytes; 0 if there is no such relation.
    pub fn bytes(&self, id: RelationId) -> u64 {
        self.relations.get(&id).map_or(0, |relation| match &relation.rows {
            Rows::Append(rows) => rows.bytes(),
            Rows::Keyed(rows) => rows.bytes(),
            Rows::Bag(rows) => rows.bytes(),
        }) as u64
    }

    /// Applies writes in order, all or none, and passes their exact changes and the rows given to `send`. If `send`
    /// fails, the writes are undone and its error is returned. No transaction may be open.
    pub(crate) fn apply<T>(
        &mut self,
        writes: Vec<Prepared>,
        send: impl FnOnce(Vec<(RelationId, RecordBatch, Diffs)>, Given) -> Result<T, Error>,
    ) -> Result<(T, Vec<Applied>), Error> {
        assert!(self.open.is_none(), "a write outside of the open transaction waits for its end");
        self.guarded(|store| {
            let mut undo = Vec::new();
            let made = store.apply_to_tables(&writes, &mut undo);
            match made.and_then(|(changes, applied)| Ok((send(changes, rows_given(&writes, &applied))?, applied))) {
                Ok(done) => {
                    store.settle(writes);
                    Ok(done)
                }
                Err(error) => {
                    store.take_back(undo);
                    Err(error)
                }
            }
        })
    }

    /// Runs work that may break an invariant half way. After a panic, the store can be neither read nor written any
    /// more: no answer is better than a wrong one.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(reason) = &self.broken {
            return Err(Error::Internal(reason.clone()));
        }
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        done.unwrap_or_else(|panic| {
            let reason = format!("the store stopped: {}", panic_text(panic.as_ref()));
            self.broken = Some(reason.clone());
            Err(Error::Internal(reason))
        })
    }

    /// Computes the changes of all writes and makes those of tables. Rows of sources are added only when nothing can
    /// fail any more, since they cannot be taken out again.
    fn apply_to_tables(
        &mut self,
        writes: &[Prepared],
        undo: &mut Vec<(RelationId, Undo)>,
    ) -> Result<(Vec<(RelationId, RecordBatch, Diffs)>, Vec<Applied>), Error> {
        let mut changes = Vec::new();
        let mut applied = Vec::with_capacity(writes.len());
        for write in writes {
            let id = write.relation();
            let relation = self.relations.get_mut(&id);
            let relation = relation.ok_or_else(|| Error::Dropped(write.layout.spec.name.clone()))?;
            let mut total = Applied::default();
            let mut record = |delta: Delta| {
                total.given += delta.given;
                total.changed += delta.changed;
                changes.extend(delta.changes.into_iter().map(|(rows, diffs)| (id, rows, diffs)));
            };
            if write.operation == Operation::Truncate {
                let (delta, step) = relation.truncate();
                undo.push((id, step));
                record(delta);
            }
            for (batch, keys) in &write.batches {
                let (delta, step) = relation.write(write.operation, batch, keys.as_ref())?;
                // Pushed before the next batch can fail, so that `take_back` also covers a write that fails half way.
                undo.extend(step.map(|step| (id, step)));
                record(delta);
            }
            applied.push(total);
        }
        Ok((changes, applied))
    }

    /// Undoes changes of tables, the last first.
    fn take_back(&mut self, undo: Vec<(RelationId, Undo)>) {
        for (id, undo) in undo.into_iter().rev() {
            match (self.relations.get_mut(&id).map(|relation| &mut relation.rows), undo) {
                (Some(Rows::Keyed(rows)), Undo::Keyed(undo)) => rows.undo(undo),
                (Some(Rows::Bag(rows)), Undo::Bag(undo)) => rows.undo(undo),
                _ => unreachable!("an undo is of the relation that made it"),
            }
        }
    }

    /// Completes successful writes: adds rows to sources, compacts tables and moves watermarks.
    fn settle(&mut self, writes: Vec<Prepared>) {
        for write in writes {
            let relation = self.relations.get_mut(&write.relation()).expect("looked up before");
            relation.writes += 1;
            if let Rows::Append(rows) = &mut relation.rows {
                write.batches.iter().for_each(|(batch, _)| rows.insert(batch));
            }
            self.tidy(write.relation());
            if let Some((watermark, reached)) = write.moved() {
                watermark.advance(reached);
            }
        }
    }

    /// Rewrites sparse chunks of a table; earlier writes cannot be undone afterwards.
    fn tidy(&mut self, id: RelationId) {
        match self.relations.get_mut(&id).map(|relation| &mut relation.rows) {
            Some(Rows::Keyed(rows)) => rows.settle(),
            Some(Rows::Bag(rows)) => rows.settle(),
            Some(Rows::Append(_)) | None => {}
        }
    }
}

impl Relation {
    fn write(
        &mut self,
        operation: Operation,
        batch: &RecordBatch,
        keys: Option<&Keys>,
    ) -> Result<(Delta, Option<Undo>), Error> {
        let keys = || keys.expect("writes to keyed tables are prepared with keys");
        let conflict = match operation {
            Operation::InsertNew => Conflict::Refuse,
            Operation::InsertMissing => Conflict::Keep,
            _ => Conflict::Replace,
        };
        Ok(match &mut self.rows {
            Rows::Append(_) => {
                let rows = batch.num_rows() as u64;
                let changes = if rows == 0 { Vec::new() } else { vec![(batch.clone(), Diffs::Same(1))] };
                (Delta { changes, given: rows, changed: rows }, None)
            }
            Rows::Keyed(rows) => {
                let (delta, undo) = match operation {
                    Operation::Delete => rows.delete(keys()),
                    _ => rows.insert(batch, keys(), conflict)?,
                };
                (delta, Some(Undo::Keyed(undo)))
            }
            Rows::Bag(rows) => {
                let (delta, undo) = match operation {
                    Operation::Delete => rows.delete(batch)?,
                    _ => rows.insert(batch),
                };
                (delta, Some(Undo::Bag(undo)))
            }
        })
    }

    fn truncate(&mut self) -> (Delta, Undo) {
        match &mut self.rows {
            Rows::Append(_) => unreachable!("refused when the write was prepared"),
            Rows::Keyed(rows) => {
                let (delta, undo) = rows.truncate();
                (delta, Undo::Keyed(undo))
            }
            Rows::Bag(rows) => {
                let (delta, undo) = rows.truncate();
                (delta, Undo::Bag(undo))
            }
        }
    }
}
