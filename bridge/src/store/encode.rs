//! Encodes rows as bytes that are equal exactly when SQL calls the rows equal: NULL equals NULL, NaN equals NaN, and
//! -0.0 equals 0.0.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hashbrown::DefaultHashBuilder;
use laminardb_dataflow::row_bytes::{EncodedRows, RowCodec};

use crate::error::Error;

/// Turns chosen columns of a relation's batches into bytes and hashes.
pub(crate) struct Encoder {
    codec: RowCodec,
    columns: Vec<usize>,
    hasher: DefaultHashBuilder,
    /// Bits of the hash that are used: all of them, except in tests of collisions.
    mask: u64,
}

impl Encoder {
    /// Makes an encoder for `columns` of `schema`. Fails if a column type cannot be compared.
    pub(crate) fn new(schema: &SchemaRef, columns: Vec<usize>) -> Result<Self, Error> {
        let types = columns.iter().map(|&column| schema.field(column).data_type().clone()).collect();
        let codec = RowCodec::comparing(types, columns.len())
            .map_err(|error| Error::InvalidSchema(format!("rows cannot be compared: {error}")))?;
        Ok(Encoder { codec, columns, hasher: DefaultHashBuilder::default(), mask: u64::MAX })
    }

    #[cfg(test)]
    pub(crate) fn with_mask(mut self, mask: u64) -> Self {
        self.mask = mask;
        self
    }

    /// Encodes the chosen columns of `batch`, which must have the relation's schema.
    pub(crate) fn encode(&self, batch: &RecordBatch) -> EncodedRows {
        let columns: Vec<_> = self.columns.iter().map(|&column| Arc::clone(batch.column(column))).collect();
        self.codec.encode(&columns, batch.num_rows())
    }

    /// Encodes the rows of `chosen`, which must have the chosen columns alone.
    pub(crate) fn encode_chosen(&self, chosen: &RecordBatch) -> EncodedRows {
        self.codec.encode(chosen.columns(), chosen.num_rows())
    }

    /// Returns one hash per row. Hashes differ between processes, so nothing visible to users may depend on them.
    pub(crate) fn hashes(&self, rows: &EncodedRows) -> Vec<u64> {
        (0..rows.len()).map(|row| self.hasher.hash_one(rows.row(row)) & self.mask).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, ListArray};
    use arrow::datatypes::{Field, Float64Type, Schema};

    fn encoded(column: ArrayRef) -> Vec<Vec<u8>> {
        let schema = Arc::new(Schema::new(vec![Field::new("x", column.data_type().clone(), true)]));
        let encoder = Encoder::new(&schema, vec![0]).expect("a type of ours");
        let batch = RecordBatch::try_new(schema, vec![column]).expect("one column");
        let rows = encoder.encode(&batch);
        (0..rows.len()).map(|row| rows.row(row).to_vec()).collect()
    }

    #[test]
    fn equal_floats_have_equal_bytes() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() ^ 1);
        let rows =
            encoded(Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), Some(f64::NAN), Some(other_nan), None])));
        assert_eq!(rows[0], rows[1]);
        assert_eq!(rows[2], rows[3]);
        assert_ne!(rows[0], rows[2]);
        assert_ne!(rows[0], rows[4]);
    }

    #[test]
    fn equal_floats_in_lists_have_equal_bytes() {
        let lists = [Some(vec![Some(0.0), None]), Some(vec![Some(-0.0), None]), None, Some(vec![])];
        let rows = encoded(Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists)));
        assert_eq!(rows[0], rows[1]);
        assert_ne!(rows[2], rows[3]);
    }
}
