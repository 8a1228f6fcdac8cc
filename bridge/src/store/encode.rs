//! Encodes rows as bytes that are equal exactly when SQL calls the rows equal: NULL equals NULL, NaN equals NaN, and
//! -0.0 equals 0.0.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow_row::{RowConverter, Rows, SortField};
use hashbrown::DefaultHashBuilder;

use crate::error::Error;

/// Turns chosen columns of a relation's batches into bytes and hashes.
pub(crate) struct Encoder {
    converter: RowConverter,
    columns: Vec<usize>,
    hasher: DefaultHashBuilder,
    /// Bits of the hash that are used: all of them, except in tests of collisions.
    mask: u64,
}

impl Encoder {
    /// Makes an encoder for `columns` of `schema`. Fails if a column type cannot be compared.
    pub(crate) fn new(schema: &SchemaRef, columns: Vec<usize>) -> Result<Self, Error> {
        let fields = columns.iter().map(|&column| SortField::new(schema.field(column).data_type().clone()));
        let converter = RowConverter::new(fields.collect())
            .map_err(|error| Error::InvalidSchema(format!("rows cannot be compared: {error}")))?;
        Ok(Encoder { converter, columns, hasher: DefaultHashBuilder::default(), mask: u64::MAX })
    }

    #[cfg(test)]
    pub(crate) fn with_mask(mut self, mask: u64) -> Self {
        self.mask = mask;
        self
    }

    /// Encodes the chosen columns of `batch`, which must have the relation's schema.
    pub(crate) fn encode(&self, batch: &RecordBatch) -> Rows {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&column| normalise(batch.column(column))).collect();
        self.converter.convert_columns(&columns).expect("the columns have the types the converter was made for")
    }

    /// Encodes `columns`, which must be the chosen columns alone.
    pub(crate) fn encode_columns(&self, columns: &[ArrayRef]) -> Rows {
        let columns: Vec<ArrayRef> = columns.iter().map(normalise).collect();
        self.converter.convert_columns(&columns).expect("the columns have the types the converter was made for")
    }

    /// Returns one hash per row. Hashes differ between processes, so nothing visible to users may depend on them.
    pub(crate) fn hashes(&self, rows: &Rows) -> Vec<u64> {
        rows.iter().map(|row| self.hasher.hash_one(row.as_ref()) & self.mask).collect()
    }
}

/// Maps values that SQL calls equal to one bit pattern.
fn normalise(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        // Adding 0.0 turns -0.0 into 0.0.
        DataType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        ),
        DataType::Float64 => Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        ),
        data_type if !has_floats(data_type) => Arc::clone(array),
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::new(Arc::clone(field), offsets, normalise(list.values()), nulls))
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().map(normalise).collect();
            Arc::new(
                StructArray::try_new_with_length(fields.clone(), columns, rows.nulls().cloned(), rows.len())
                    .expect("the same shape with other values"),
            )
        }
        _ => Arc::clone(array),
    }
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(field) => has_floats(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, ListArray};
    use arrow::datatypes::{Field, Schema};

    fn encoded(column: ArrayRef) -> Vec<Vec<u8>> {
        let schema = Arc::new(Schema::new(vec![Field::new("x", column.data_type().clone(), true)]));
        let encoder = Encoder::new(&schema, vec![0]).expect("a type of ours");
        let batch = RecordBatch::try_new(schema, vec![column]).expect("one column");
        encoder.encode(&batch).iter().map(|row| row.as_ref().to_vec()).collect()
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
