//! Random rows of every column type, for tests.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Schema, SchemaRef, TimeUnit};

/// Pseudo-random numbers that are the same in each run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn float(&mut self) -> Option<f64> {
        [Some(0.0), Some(-0.0), Some(f64::NAN), Some(-f64::NAN), Some(1.5), None][self.below(6) as usize]
    }
}

/// Returns a schema with a column of each type that a relation can have.
pub(crate) fn schema_of_all_types() -> SchemaRef {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Float64, true)));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("boolean", DataType::Boolean, true),
        Field::new("integer", DataType::Int32, true),
        Field::new("double", DataType::Float64, true),
        Field::new("decimal", DataType::Decimal128(10, 2), true),
        Field::new("text", DataType::Utf8, true),
        Field::new("bytes", DataType::Binary, true),
        Field::new("instant", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("list", list, true),
        Field::new("struct", DataType::Struct(pair()), true),
    ]))
}

fn pair() -> Fields {
    Fields::from(vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)])
}

/// Makes random rows of `schema_of_all_types`.
pub(crate) fn random_batch(schema: &SchemaRef, seed: u64, rows: usize) -> RecordBatch {
    let random = &mut Random::new(seed);
    let columns = schema.fields().iter().map(|field| column(field.data_type(), field.is_nullable(), random, rows));
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).expect("columns are of the schema")
}

fn column(data_type: &DataType, nullable: bool, random: &mut Random, rows: usize) -> ArrayRef {
    let mut small = |bound: u64| {
        let value = random.below(bound + 1);
        (value < bound || !nullable).then_some(value)
    };
    let texts = |value: Option<u64>| value.map(|value| "ab".repeat(value as usize));
    match data_type {
        DataType::Int64 => Arc::new(Int64Array::from_iter((0..rows).map(|_| small(20).map(|v| v as i64)))),
        DataType::Boolean => Arc::new(BooleanArray::from_iter((0..rows).map(|_| small(2).map(|v| v == 1)))),
        DataType::Int32 => Arc::new(Int32Array::from_iter((0..rows).map(|_| small(3).map(|v| v as i32)))),
        DataType::Float64 => Arc::new(Float64Array::from_iter((0..rows).map(|_| random.float()))),
        DataType::Decimal128(..) => Arc::new(
            Decimal128Array::from_iter((0..rows).map(|_| small(3).map(i128::from))).with_data_type(data_type.clone()),
        ),
        DataType::Utf8 => Arc::new(StringArray::from_iter((0..rows).map(|_| texts(small(4))))),
        DataType::Binary => Arc::new(BinaryArray::from_iter((0..rows).map(|_| texts(small(4))))),
        DataType::Timestamp(..) => Arc::new(
            TimestampMicrosecondArray::from_iter((0..rows).map(|_| small(3).map(|v| v as i64))).with_timezone("UTC"),
        ),
        DataType::List(_) => {
            let mut lists = Vec::with_capacity(rows);
            for _ in 0..rows {
                let len = random.below(4);
                lists.push((len < 3).then(|| (0..len).map(|_| random.float()).collect::<Vec<_>>()));
            }
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| column(field.data_type(), true, random, rows)).collect();
            let valid: Vec<bool> = (0..rows).map(|_| random.below(4) > 0).collect();
            Arc::new(StructArray::new(fields.clone(), columns, Some(valid.into())))
        }
        other => unreachable!("no test needs {other}"),
    }
}
