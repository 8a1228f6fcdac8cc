//! Row bytes: which values are equal, how rows come back, and hashes that never change.

use arrow::array::{BooleanArray, Float64Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StringArray};
use arrow::datatypes::{Field, Fields, Int64Type, IntervalMonthDayNano};

use super::*;

fn codec(columns: &[ArrayRef]) -> RowCodec {
    RowCodec::new(columns.iter().map(|c| c.data_type().clone()).collect(), columns.len()).expect("supported types")
}

fn encoded(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let rows = codec(columns).encode(columns, columns[0].len());
    (0..rows.len()).map(|i| rows.row(i).to_vec()).collect()
}

#[test]
fn nans_are_one_value_and_zeros_too() {
    let other_nan = f64::from_bits(f64::NAN.to_bits() ^ 1 ^ (1 << 63));
    let floats: ArrayRef =
        Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), Some(f64::NAN), Some(other_nan), None]));
    let rows = encoded(&[Arc::clone(&floats)]);
    assert_eq!(rows[0], rows[1]);
    assert_eq!(rows[2], rows[3]);
    assert!(rows[4] < rows[0] && rows[0] < rows[2]);
}

#[test]
fn floats_inside_lists_and_structs_are_normalised() {
    let list = |x: f64| -> ArrayRef {
        let list = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0), Some(x)])]);
        let fields = Fields::from(vec![Field::new("l", list.data_type().clone(), true)]);
        Arc::new(StructArray::new(fields, vec![Arc::new(list)], None))
    };
    assert_eq!(encoded(&[list(0.0)]), encoded(&[list(-0.0)]));
    assert_ne!(encoded(&[list(0.0)]), encoded(&[list(1.0)]));
}

#[test]
fn rows_come_back() {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)])),
        Arc::new(StringArray::from(vec![
            Some(""),
            Some("a longer string than thirty-two bytes, for the blocks"),
            None,
        ])),
        Arc::new(BooleanArray::from(vec![None, Some(true), Some(false)])),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])])),
    ];
    let codec = codec(&columns);
    let rows = codec.encode(&columns, 3);
    assert_eq!(codec.decode((0..3).map(|i| rows.row(i))), columns);
    assert_eq!(codec.width(), None);
}

#[test]
fn no_columns_are_rows_of_no_bytes() {
    let codec = RowCodec::new(vec![], 0).expect("no type is unsupported");
    let rows = codec.encode(&[], 3);
    assert_eq!((rows.len(), rows.row(2), codec.width()), (3, &[][..], Some(0)));
    assert!(codec.decode([&[][..]; 3]).is_empty());
}

#[test]
fn widths_are_those_of_the_rows() {
    let types = vec![DataType::Int64, DataType::Boolean, DataType::Decimal128(10, 2), DataType::Float32];
    let codec = RowCodec::new(types.clone(), 0).expect("supported types");
    let nulls: Vec<ArrayRef> = types.iter().map(|t| new_null_array(t, 1)).collect();
    assert_eq!(codec.width(), Some(codec.encode(&nulls, 1).row(0).len()));
}

#[test]
fn second_physical_types_are_refused() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for data_type in [DataType::Utf8View, DataType::BinaryView, dictionary] {
        assert!(RowCodec::new(vec![data_type], 0).is_err());
    }
}

#[test]
fn structs_without_fields_are_compared_but_not_kept() {
    let structs: ArrayRef = Arc::new(StructArray::new_empty_fields(3, Some(vec![true, false, true].into())));
    let types = vec![structs.data_type().clone()];
    assert!(RowCodec::new(types.clone(), 0).is_err());
    let rows = RowCodec::comparing(types, 0).expect("all types with row bytes").encode(&[structs], 3);
    assert_eq!(rows.row(0), rows.row(2));
    assert_ne!(rows.row(0), rows.row(1));
}

#[test]
fn the_hash_never_changes() {
    let bytes: Vec<u8> = (0..100).collect();
    let hashes: Vec<u64> = [0, 1, 3, 4, 8, 9, 16, 17, 33, 100].iter().map(|n| wyhash(&bytes[..*n])).collect();
    expect_test::expect!["[42bc986dc5eec4d3, 22a2d5db3856770f, 99270162f23e47b5, a33311108b555f99, 47a9b311858f667f, 4caa9cdc0445dc45, 621a58f11484d988, d5fdd60dbc3f447a, f06e3aa88df042a2, ccb9ad787c27960a]"].assert_eq(&format!("{hashes:x?}"));
}

#[test]
fn the_hash_spreads_counters_evenly() {
    let mut high = [0u32; 16];
    let mut low = [0u32; 16];
    for i in 0..16_000_i64 {
        let hash = wyhash(&i.to_be_bytes());
        high[(hash >> 60) as usize] += 1;
        low[(hash & 15) as usize] += 1;
    }
    assert!(high.iter().chain(&low).all(|n| (800..1200).contains(n)), "{high:?} {low:?}");
}

fn intervals(values: &[(i32, i32, i64)]) -> ArrayRef {
    const HOUR: i64 = 3_600_000_000_000;
    let interval = |(months, days, hours): &(i32, i32, i64)| IntervalMonthDayNano::new(*months, *days, hours * HOUR);
    Arc::new(IntervalMonthDayNanoArray::from(values.iter().map(interval).collect::<Vec<_>>()))
}

#[test]
fn keys_of_equally_long_intervals_are_equal() {
    let one_month = encoded(&[intervals(&[(1, 0, 0), (0, 30, 0), (0, 29, 24), (2, -30, 0)])]);
    assert!(one_month.iter().all(|bytes| *bytes == one_month[0]));
    let ascending = encoded(&[intervals(&[(-1, 0, 0), (0, -1, 1), (0, 0, 0), (0, 0, 36), (1, 0, 0), (0, 31, 0)])]);
    assert!(ascending.is_sorted() && ascending.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn an_interval_that_is_no_key_comes_back_as_it_was() {
    let interval = intervals(&[(0, 30, 0)]);
    let types = vec![interval.data_type().clone(); 2];
    let codec = RowCodec::new(types, 1).expect("supported types");
    let rows = codec.encode(&[Arc::clone(&interval), Arc::clone(&interval)], 1);
    assert_eq!(codec.decode([rows.row(0)]), [intervals(&[(1, 0, 0)]), interval]);
}

/// The options say where NULL itself sorts; inside values it is the greatest.
#[test]
fn null_is_the_greatest_inside_lists_and_structs() {
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
        None,
        Some(vec![]),
        Some(vec![Some(1), Some(2)]),
        Some(vec![Some(1), None]),
        Some(vec![None]),
    ]));
    let fields = Fields::from(vec![Field::new("l", lists.data_type().clone(), true)]);
    let nulls = Some(NullBuffer::from(vec![false, true, true, true, true]));
    let structs: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::clone(&lists)], nulls));
    for values in [lists, structs] {
        let bytes = order_bytes(&values).expect("nested values have an order");
        assert!(bytes.is_null(0) && (1..4).all(|row| bytes.value(row) < bytes.value(row + 1)));
        for (descending, nulls_first) in [(false, false), (false, true), (true, false), (true, true)] {
            let options = SortOptions { descending, nulls_first };
            let codec = RowCodec::ordered(vec![values.data_type().clone()], vec![options], 1).expect("supported types");
            let rows = codec.encode(&[Arc::clone(&values)], 5);
            let mut order: Vec<usize> = (0..5).collect();
            order.sort_by_key(|row| rows.row(*row).to_vec());
            let mut wanted: Vec<usize> = if descending { (1..5).rev().collect() } else { (1..5).collect() };
            wanted.insert(if nulls_first { 0 } else { 4 }, 0);
            assert_eq!(order, wanted, "{} by {options:?}", values.data_type());
            assert_eq!(codec.decode((0..5).map(|row| rows.row(row))), [Arc::clone(&values)]);
        }
    }
}
