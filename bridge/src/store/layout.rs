//! `RelationLayout`: what is known about a relation without its rows, and `Prepared`: a write that was made to fit it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use laminardb_dataflow::RelationId;

use super::encode::Encoder;
use super::keys::Keys;
use crate::error::Error;
use crate::ingest;
use crate::relation::{Operation, Spec, StorageKind};
use crate::watermark::Watermark;

/// What is known about a relation without reading its rows; shared by all its writers.
pub struct RelationLayout {
    id: RelationId,
    pub(super) spec: Spec,
    /// Schema of the key columns, in key order.
    pub(super) key_schema: SchemaRef,
    /// Encodes the key columns.
    pub(super) key: Encoder,
    /// Encodes all columns, the key columns first.
    pub(super) row: Encoder,
}

impl RelationLayout {
    pub(super) fn new(id: RelationId, mut spec: Spec) -> Result<Self, Error> {
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
        Ok(RelationLayout {
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

    /// Returns the schema of the key columns, in key order.
    pub(crate) fn key_schema(&self) -> &SchemaRef {
        &self.key_schema
    }

    /// Returns, for each row of `keys`, which has the key columns alone, the first row with the same key.
    pub(crate) fn first_of_each_key(&self, keys: &RecordBatch) -> Vec<u32> {
        Keys::all(&self.key, self.key.encode_chosen(keys)).first_of_each()
    }

    /// Returns the first row of `batch` whose key an earlier row of it has. The relation must be a keyed table.
    pub(crate) fn first_repeated_key(&self, batch: &RecordBatch) -> Option<u32> {
        Keys::new(&self.key, self.key.encode(batch), false).first_repeated()
    }

    /// Casts the rows of a write to the relation's columns and computes everything that does not depend on its current
    /// rows.
    pub fn prepare(self: &Arc<Self>, operation: Operation, batches: &[RecordBatch]) -> Result<Prepared, Error> {
        self.spec.kind.check(operation, &self.spec.name)?;
        let by_key = self.spec.kind == StorageKind::Keyed;
        let mut rows_before = 0;
        let mut prepare = |batch: &RecordBatch| {
            let prepared = if by_key && operation == Operation::Delete {
                let batch = ingest::conform_key(batch, &self.spec, &self.key_schema, rows_before)?;
                let keys = Keys::new(&self.key, self.key.encode_chosen(&batch), true);
                (batch, Some(keys))
            } else {
                let batch = ingest::conform(batch, &self.spec, rows_before)?;
                let last_wins = matches!(operation, Operation::Insert | Operation::Upsert);
                let keys = by_key.then(|| Keys::new(&self.key, self.key.encode(&batch), last_wins));
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
    pub(super) layout: Arc<RelationLayout>,
    pub(super) operation: Operation,
    pub(super) batches: Vec<(RecordBatch, Option<Keys>)>,
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
    pub(super) fn moved(&self) -> Option<(Arc<Watermark>, i64)> {
        let follow = self.layout.spec.follow.as_ref()?;
        Some((Arc::clone(follow.watermark()), self.reached?))
    }
}
