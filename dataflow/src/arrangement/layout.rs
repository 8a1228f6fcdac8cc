//! `Layout`: which columns of a collection an arrangement holds, and how they become bytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};

use crate::DataflowError;
use crate::row_bytes::{EncodedRows, KeyCodec, RowCodec, column_type};

/// The columns that an arrangement holds, key columns before value columns, and their codecs.
#[derive(Debug)]
pub struct Layout {
    /// Columns of the input: key, then value.
    columns: Vec<usize>,
    schema: SchemaRef,
    key: Arc<KeyCodec>,
    value: RowCodec,
    row: RowCodec,
}

impl Layout {
    /// Describes an arrangement of a collection with this schema by its columns `key`, which also holds the columns
    /// `value`. Fails if a column does not exist or has a type without row bytes.
    pub fn new(schema: &Schema, key: &[usize], value: &[usize]) -> Result<Arc<Self>, DataflowError> {
        let columns: Vec<usize> = key.iter().chain(value).copied().collect();
        let types = |columns: &[usize]| columns.iter().map(|c| column_type(schema, *c)).collect::<Result<Vec<_>, _>>();
        let fields: Vec<_> =
            types(&columns)?.iter().zip(&columns).map(|(_, c)| Arc::clone(&schema.fields()[*c])).collect();
        Ok(Arc::new(Layout {
            key: Arc::new(KeyCodec::new(schema, key)?),
            value: RowCodec::new(types(value)?, 0)?,
            row: RowCodec::new(types(&columns)?, key.len())?,
            schema: Arc::new(Schema::new(fields)),
            columns,
        }))
    }

    /// Returns the schema of the columns held: key, then value.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the codec that encodes the key columns of the input.
    pub fn key(&self) -> &Arc<KeyCodec> {
        &self.key
    }

    /// Returns the codec of the value columns.
    pub fn value(&self) -> &RowCodec {
        &self.value
    }

    /// Returns the codec of all columns held.
    pub fn row(&self) -> &RowCodec {
        &self.row
    }

    /// Returns the number of key columns.
    pub fn key_width(&self) -> usize {
        self.key.codec().types().len()
    }

    /// Encodes a batch of the input and appends its rows to `rows`.
    pub(super) fn append(&self, rows: &mut EncodedRows, batch: &RecordBatch) {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|c| Arc::clone(batch.column(*c))).collect();
        self.row.append(rows, &columns, batch.num_rows());
    }

    /// Appends the length of the key bytes of each row of `batch` to `lengths`. `rows` holds the encoded rows, from
    /// `first` on.
    pub(super) fn key_lengths(&self, batch: &RecordBatch, rows: &EncodedRows, first: usize, lengths: &mut Vec<u32>) {
        let count = batch.num_rows();
        // Keys are encoded a second time only if neither the key nor the value has a fixed width.
        if let Some(width) = self.key.codec().width() {
            lengths.resize(lengths.len() + count, length(width));
        } else if let Some(width) = self.value.width() {
            lengths.extend((first..first + count).map(|row| length(rows.row(row).len() - width)));
        } else {
            let keys = self.key.encode(batch);
            lengths.extend((0..count).map(|row| length(keys.row(row).len())));
        }
    }

    /// Decodes rows to a batch of the columns held.
    pub fn decode<'a>(&self, rows: impl ExactSizeIterator<Item = &'a [u8]>) -> RecordBatch {
        self.decode_as(&self.schema, rows)
    }

    /// Like [`Layout::decode`], but under a schema with other names and the same types.
    pub fn decode_as<'a>(&self, schema: &SchemaRef, rows: impl ExactSizeIterator<Item = &'a [u8]>) -> RecordBatch {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(schema), self.row.decode(rows), &options)
            .expect("rows of the layout have its columns")
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a row has less than 4 GiB")
}
