//! Tests matching by name, and each row of the table of casts: what is accepted and what is refused.

use arrow::array::{
    BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, Decimal256Array,
    DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int32Array,
    Int64Array, LargeBinaryArray, LargeListArray, LargeStringArray, ListArray, NullArray, RunArray, StringArray,
    StringViewArray, StructArray, Time32MillisecondArray, Time32SecondArray, Time64MicrosecondArray,
    Time64NanosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt64Array, new_empty_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Fields, Int32Type, Int64Type, TimeUnit, UnionFields, UnionMode, i256};

use super::*;
use crate::relation::StorageKind;

const US: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn spec(fields: Vec<Field>) -> Spec {
    let schema = Arc::new(Schema::new(fields));
    Spec {
        name: "t".into(),
        kind: StorageKind::Bag,
        schema,
        primary_key: Vec::new(),
        json_columns: Vec::new(),
        defaults: Vec::new(),
        follow: None,
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).expect("equal lengths")
}

fn store(given: impl Array + 'static, target: &DataType) -> Result<ArrayRef, Error> {
    let spec = spec(vec![Field::new("c", target.clone(), true)]);
    // A slice, so that no cast may ignore the offset of an array.
    let given: ArrayRef = Arc::new(given);
    let longer = arrow::compute::concat(&[&*new_null_array(given.data_type(), 1), &*given]).expect("one type");
    let given = longer.slice(1, given.len());
    conform(&batch(vec![("c", given)]), &spec, 0).map(|batch| Arc::clone(batch.column(0)))
}

#[track_caller]
fn taken(given: impl Array + 'static, target: &DataType, expected: impl Array + 'static) {
    let stored = store(given, target).expect("is taken");
    assert_eq!(stored.data_type(), target);
    assert_eq!(stored.to_data(), expected.to_data());
}

/// Checks that `row` is the first row refused, for a reason that contains `why`.
#[track_caller]
fn refused(given: impl Array + 'static, target: &DataType, row: usize, why: &str) {
    let error = store(given, target).expect_err("is refused");
    assert_eq!(error.code(), 302);
    let text = error.to_string();
    assert!(text.starts_with(&format!("row {row}: ")), "{text}");
    assert!(text.contains("column c") && text.contains(why), "{text}");
}

fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(precision, scale).expect("in range")
}

#[test]
fn boolean_takes_booleans_only() {
    let booleans = BooleanArray::from(vec![Some(true), None, Some(false)]);
    taken(booleans.clone(), &DataType::Boolean, booleans);
    refused(Int64Array::from(vec![None, Some(1)]), &DataType::Boolean, 1, "only booleans");
    refused(StringArray::from(vec!["true"]), &DataType::Boolean, 0, "'true'");
    refused(Float64Array::from(vec![1.0]), &DataType::Boolean, 0, "only booleans");
}

#[test]
fn integers_take_integers_of_any_width_in_range() {
    taken(
        Int64Array::from(vec![Some(127), None, Some(-128)]),
        &DataType::Int8,
        Int8Array::from(vec![Some(127), None, Some(-128)]),
    );
    taken(UInt64Array::from(vec![255]), &DataType::UInt8, UInt8Array::from(vec![255]));
    taken(Int8Array::from(vec![5]), &DataType::UInt64, UInt64Array::from(vec![5]));
    taken(UInt64Array::from(vec![i64::MAX as u64]), &DataType::Int64, Int64Array::from(vec![i64::MAX]));
    refused(Int64Array::from(vec![1, 128]), &DataType::Int8, 1, "128 cannot");
    refused(Int64Array::from(vec![-1]), &DataType::UInt64, 0, "out of range");
    refused(UInt64Array::from(vec![1 << 63]), &DataType::Int64, 0, "out of range");
}

#[test]
fn integers_take_floats_and_decimals_without_fraction() {
    taken(
        Float64Array::from(vec![Some(3.0), None, Some(-0.0)]),
        &DataType::Int32,
        Int32Array::from(vec![Some(3), None, Some(0)]),
    );
    taken(Float64Array::from(vec![-9_223_372_036_854_775_808.0]), &DataType::Int64, Int64Array::from(vec![i64::MIN]));
    taken(Float32Array::from(vec![7.0]), &DataType::UInt8, UInt8Array::from(vec![7]));
    taken(decimals(vec![Some(1200), None], 10, 2), &DataType::Int64, Int64Array::from(vec![Some(12), None]));
    let long = Decimal256Array::from(vec![i256::from_i128(5_000)]).with_precision_and_scale(60, 3).expect("in range");
    taken(long, &DataType::Int64, Int64Array::from(vec![5]));
    refused(Float64Array::from(vec![1.0, 1.5]), &DataType::Int64, 1, "fraction");
    refused(Float64Array::from(vec![f64::NAN]), &DataType::Int64, 0, "not a finite");
    refused(Float64Array::from(vec![f64::INFINITY]), &DataType::Int64, 0, "not a finite");
    refused(Float64Array::from(vec![9_223_372_036_854_775_808.0]), &DataType::Int64, 0, "out of range");
    refused(Float64Array::from(vec![1e300]), &DataType::Int64, 0, "out of range");
    refused(decimals(vec![Some(1201)], 10, 2), &DataType::Int64, 0, "12.01");
    refused(BooleanArray::from(vec![true]), &DataType::Int64, 0, "only numbers");
    refused(StringArray::from(vec!["1"]), &DataType::Int64, 0, "'1'");
    refused(Date32Array::from(vec![1]), &DataType::Int32, 0, "only numbers");
}

#[test]
fn floats_take_floats_decimals_and_exact_integers() {
    taken(Float64Array::from(vec![Some(0.1), None]), &DataType::Float32, Float32Array::from(vec![Some(0.1), None]));
    taken(Float32Array::from(vec![0.5]), &DataType::Float64, Float64Array::from(vec![0.5]));
    taken(Int64Array::from(vec![1 << 53]), &DataType::Float64, Float64Array::from(vec![9_007_199_254_740_992.0]));
    taken(UInt64Array::from(vec![1 << 63]), &DataType::Float64, Float64Array::from(vec![9_223_372_036_854_775_808.0]));
    taken(decimals(vec![Some(12345), None], 10, 4), &DataType::Float64, Float64Array::from(vec![Some(1.2345), None]));
    let digits = 12_345_678_901_234_567_890_123_i128;
    taken(decimals(vec![Some(digits)], 38, 20), &DataType::Float64, Float64Array::from(vec![123.456_789_012_345_68]));
    taken(decimals(vec![Some(16_777_217)], 38, 1), &DataType::Float32, Float32Array::from(vec![1_677_721.7]));
    let special =
        store(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY, -0.0]), &DataType::Float32).expect("taken");
    let special = special.as_primitive::<Float32Type>();
    assert!(special.value(0).is_nan() && special.value(1) == f32::NEG_INFINITY && special.value(2).is_sign_negative());
    refused(Int64Array::from(vec![(1 << 53) + 1]), &DataType::Float64, 0, "no exact");
    refused(Int64Array::from(vec![i64::MAX]), &DataType::Float64, 0, "no exact");
    refused(Int32Array::from(vec![16_777_217]), &DataType::Float32, 0, "no exact");
    refused(Float64Array::from(vec![1.0, 1e39]), &DataType::Float32, 1, "out of range");
    refused(BooleanArray::from(vec![true]), &DataType::Float64, 0, "only numbers");
    refused(StringArray::from(vec!["1.5"]), &DataType::Float64, 0, "'1.5'");
}

#[test]
fn decimals_take_what_is_exact() {
    let target = DataType::Decimal128(5, 2);
    taken(Int64Array::from(vec![Some(-999), None]), &target, decimals(vec![Some(-99900), None], 5, 2));
    taken(
        Float64Array::from(vec![0.1, 1e2, 0.0, -0.0]),
        &target,
        decimals(vec![Some(10), Some(10000), Some(0), Some(0)], 5, 2),
    );
    taken(Float32Array::from(vec![0.1]), &target, decimals(vec![Some(10)], 5, 2));
    taken(decimals(vec![Some(12_3000)], 10, 4), &target, decimals(vec![Some(1230)], 5, 2));
    taken(decimals(vec![Some(7)], 10, 0), &target, decimals(vec![Some(700)], 5, 2));
    let long = Decimal256Array::from(vec![i256::from_i128(1_500)]).with_precision_and_scale(70, 3).expect("in range");
    taken(long, &target, decimals(vec![Some(150)], 5, 2));
    taken(Float64Array::from(vec![1e37]), &DataType::Decimal128(38, 0), decimals(vec![Some(10_i128.pow(37))], 38, 0));
    refused(Int64Array::from(vec![1000]), &target, 0, "more digits");
    refused(Float64Array::from(vec![0.125]), &target, 0, "more digits");
    refused(Float64Array::from(vec![1.0, f64::NAN]), &target, 1, "not a finite");
    refused(Float64Array::from(vec![f64::INFINITY]), &target, 0, "not a finite");
    refused(Float64Array::from(vec![1e300]), &target, 0, "out of range");
    refused(Float64Array::from(vec![1e-300]), &target, 0, "more digits");
    refused(decimals(vec![Some(1234)], 10, 3), &target, 0, "1.234");
    refused(StringArray::from(vec!["1.5"]), &target, 0, "only numbers");
    refused(BooleanArray::from(vec![false]), &target, 0, "only numbers");
}

#[test]
fn text_takes_text_in_any_encoding() {
    let expected = StringArray::from(vec![Some("a"), None, Some("ü")]);
    taken(LargeStringArray::from(vec![Some("a"), None, Some("ü")]), &DataType::Utf8, expected.clone());
    taken(StringViewArray::from(vec![Some("a"), None, Some("ü")]), &DataType::Utf8, expected.clone());
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("ü")].into_iter().collect();
    taken(dictionary, &DataType::Utf8, expected);
    let runs: RunArray<Int32Type> = vec!["a", "a", "b"].into_iter().collect();
    let spec = spec(vec![Field::new("c", DataType::Utf8, true)]);
    let stored = conform(&batch(vec![("c", Arc::new(runs))]), &spec, 0).expect("taken");
    assert_eq!(stored.column(0).as_string::<i32>(), &StringArray::from(vec!["a", "a", "b"]));
    refused(Int64Array::from(vec![1]), &DataType::Utf8, 0, "only text");
    refused(BinaryArray::from(vec![&b"x"[..]]), &DataType::Utf8, 0, "only text");
}

#[test]
fn bytes_take_any_binary() {
    let expected = BinaryArray::from(vec![Some(&b"ab"[..]), None]);
    taken(LargeBinaryArray::from(vec![Some(&b"ab"[..]), None]), &DataType::Binary, expected.clone());
    taken(BinaryViewArray::from(vec![Some(&b"ab"[..]), None]), &DataType::Binary, expected);
    let fixed = FixedSizeBinaryArray::try_from_iter([b"ab"].into_iter()).expect("two bytes each");
    taken(fixed, &DataType::Binary, BinaryArray::from(vec![&b"ab"[..]]));
    refused(StringArray::from(vec!["ab"]), &DataType::Binary, 0, "only bytes");
}

#[test]
fn dates_take_dates_and_midnights() {
    let day = 86_400_000;
    taken(Date64Array::from(vec![Some(-day), None]), &DataType::Date32, Date32Array::from(vec![Some(-1), None]));
    taken(TimestampMillisecondArray::from(vec![2 * day]), &DataType::Date32, Date32Array::from(vec![2]));
    taken(TimestampNanosecondArray::from(vec![day * 1_000_000]), &DataType::Date32, Date32Array::from(vec![1]));
    refused(Date64Array::from(vec![0, 1]), &DataType::Date32, 1, "not at midnight");
    refused(TimestampSecondArray::from(vec![1]), &DataType::Date32, 0, "not at midnight");
    refused(TimestampSecondArray::from(vec![0]).with_timezone("UTC"), &DataType::Date32, 0, "has a time zone");
    refused(StringArray::from(vec!["2024-01-01"]), &DataType::Date32, 0, "only dates");
    refused(Int32Array::from(vec![1]), &DataType::Date32, 0, "only dates");
}

#[test]
fn times_take_what_is_exact_in_microseconds() {
    let time = DataType::Time64(TimeUnit::Microsecond);
    taken(
        Time32SecondArray::from(vec![Some(1), None]),
        &time,
        Time64MicrosecondArray::from(vec![Some(1_000_000), None]),
    );
    taken(Time32MillisecondArray::from(vec![1]), &time, Time64MicrosecondArray::from(vec![1_000]));
    taken(Time64NanosecondArray::from(vec![2_000]), &time, Time64MicrosecondArray::from(vec![2]));
    refused(Time64NanosecondArray::from(vec![0, 2_001]), &time, 1, "finer");
    refused(Time32SecondArray::from(vec![86_400]), &time, 0, "");
    refused(Int64Array::from(vec![1]), &time, 0, "only times");
}

#[test]
fn timestamps_take_timestamps_without_zone_and_dates() {
    taken(
        TimestampSecondArray::from(vec![Some(-1), None]),
        &US,
        TimestampMicrosecondArray::from(vec![Some(-1_000_000), None]),
    );
    taken(TimestampNanosecondArray::from(vec![-5_000]), &US, TimestampMicrosecondArray::from(vec![-5]));
    taken(Date32Array::from(vec![1]), &US, TimestampMicrosecondArray::from(vec![86_400_000_000]));
    taken(Date64Array::from(vec![86_400_000]), &US, TimestampMicrosecondArray::from(vec![86_400_000_000]));
    let seconds = DataType::Timestamp(TimeUnit::Second, None);
    taken(TimestampMicrosecondArray::from(vec![3_000_000]), &seconds, TimestampSecondArray::from(vec![3]));
    let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
    taken(TimestampMillisecondArray::from(vec![3]), &nanos, TimestampNanosecondArray::from(vec![3_000_000]));
    refused(TimestampSecondArray::from(vec![0, i64::MAX]), &nanos, 1, "out of range");
    refused(TimestampNanosecondArray::from(vec![1]), &US, 0, "finer");
    refused(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC"), &US, 0, "has a time zone");
    refused(Int64Array::from(vec![1]), &US, 0, "only timestamps");
    refused(StringArray::from(vec!["2024-01-01 00:00:00"]), &US, 0, "only timestamps");
    refused(Date64Array::from(vec![1]), &US, 0, "not at midnight");
}

#[test]
fn instants_take_timestamps_with_any_zone() {
    let expected = TimestampMicrosecondArray::from(vec![Some(5_000_000), None]).with_timezone("UTC");
    let berlin = TimestampSecondArray::from(vec![Some(5), None]).with_timezone("Europe/Berlin");
    taken(berlin, &utc(), expected.clone());
    taken(TimestampMicrosecondArray::from(vec![Some(5_000_000), None]).with_timezone("+02:00"), &utc(), expected);
    refused(TimestampNanosecondArray::from(vec![1]).with_timezone("UTC"), &utc(), 0, "finer");
    refused(TimestampMicrosecondArray::from(vec![1]), &utc(), 0, "no time zone");
    refused(Date32Array::from(vec![1]), &utc(), 0, "no time zone");
    refused(StringArray::from(vec!["now"]), &utc(), 0, "only timestamps");
}

fn list_of(element: DataType, nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, nullable)))
}

#[test]
fn lists_take_lists_of_what_their_elements_take() {
    let target = list_of(DataType::Int64, true);
    let rows = || vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(3)])];
    let expected = ListArray::from_iter_primitive::<Int64Type, _, _>(rows());
    let narrow =
        rows().into_iter().map(|row| row.map(|row| row.into_iter().map(|v| v.map(|v| v as i32)).collect::<Vec<_>>()));
    taken(ListArray::from_iter_primitive::<Int32Type, _, _>(narrow.clone()), &target, expected.clone());
    taken(LargeListArray::from_iter_primitive::<Int32Type, _, _>(narrow), &target, expected);
    let pairs = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)])], 2);
    taken(pairs, &target, ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)])]));
    let floats = vec![Some(vec![]), None, Some(vec![Some(1.0)]), Some(vec![Some(2.0), Some(2.5)])];
    refused(ListArray::from_iter_primitive::<Float64Type, _, _>(floats), &target, 3, "[2.0, 2.5]");
    refused(Int64Array::from(vec![1]), &target, 0, "only lists");
    refused(ListArray::from_iter_primitive::<Int64Type, _, _>(rows()), &DataType::Int64, 0, "only numbers");
}

#[test]
fn what_null_lists_hide_is_not_looked_at() {
    // The second list is NULL and has an element that no column of integers could hold.
    let elements: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 0.5, 3.0]));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 1, 2, 3]));
    let field = Arc::new(Field::new("item", DataType::Float64, true));
    let lists = ListArray::new(field, offsets, elements, Some(vec![true, false, true].into()));
    let expected = vec![Some(vec![Some(1)]), None, Some(vec![Some(3)])];
    taken(lists, &list_of(DataType::Int64, true), ListArray::from_iter_primitive::<Int64Type, _, _>(expected));
}

#[test]
fn null_in_a_not_null_element_or_field_is_300() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2), None])]);
    let error = store(lists, &list_of(DataType::Int64, false)).expect_err("NULL inside");
    assert_eq!(error.code(), 300);
    assert!(error.to_string().starts_with("row 1: NULL in column c"), "{error}");
    let target = DataType::Struct(Fields::from(vec![Field::new("x", DataType::Int64, false)]));
    let x: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(1), None]));
    let fields = Fields::from(vec![Field::new("x", DataType::Int32, true)]);
    let hidden = StructArray::new(fields.clone(), vec![Arc::clone(&x)], Some(vec![false, true, false].into()));
    let stored = store(hidden, &target).expect("the NULLs are of NULL structs");
    assert_eq!(stored.null_count(), 2);
    let shown = StructArray::new(fields, vec![x], Some(vec![false, true, true].into()));
    assert_eq!(store(shown, &target).expect_err("NULL inside").code(), 300);
}

#[test]
fn no_values_of_a_type_that_cannot_be_cast_are_taken() {
    let fields = UnionFields::try_new([0], [Field::new("a", DataType::Int64, true)]).expect("one field");
    let coded = DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Union(fields, UnionMode::Dense)));
    let none = batch(vec![("c", new_empty_array(&coded))]);
    let stored = conform(&none, &spec(vec![Field::new("c", DataType::Utf8, true)]), 0).expect("there is nothing");
    assert_eq!((stored.num_rows(), stored.column(0).data_type()), (0, &DataType::Utf8));
}

#[test]
fn structs_take_structs_by_field_name() {
    let fields = Fields::from(vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)]);
    let target = DataType::Struct(fields.clone());
    let y: ArrayRef = Arc::new(LargeStringArray::from(vec!["a", "b"]));
    let x: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
    let given =
        Fields::from(vec![Field::new("y", DataType::LargeUtf8, true), Field::new("X", DataType::Float64, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["a", "b"]))];
    taken(
        StructArray::new(given, vec![Arc::clone(&y), x], None),
        &target,
        StructArray::new(fields.clone(), columns, None),
    );
    let only_y = Fields::from(vec![Field::new("y", DataType::LargeUtf8, true)]);
    let stored = store(StructArray::new(only_y, vec![Arc::clone(&y)], None), &target).expect("x is NULL");
    assert_eq!(stored.as_struct().column(0).null_count(), 2);
    let other = Fields::from(vec![Field::new("z", DataType::LargeUtf8, true)]);
    refused(StructArray::new(other, vec![y], None), &target, 0, "no field z");
    let x: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.5]));
    let given = Fields::from(vec![Field::new("x", DataType::Float64, true)]);
    refused(StructArray::new(given, vec![x], None), &target, 1, "fraction");
    refused(Int64Array::from(vec![1]), &target, 0, "only structs");
}

#[test]
fn columns_without_values_fit_everywhere() {
    let targets = [DataType::Boolean, DataType::Int8, DataType::Float32, DataType::Decimal128(5, 2), DataType::Utf8]
        .into_iter()
        .chain([DataType::Binary, DataType::Date32, DataType::Time64(TimeUnit::Microsecond), US, utc()])
        .chain([
            list_of(DataType::Int8, true),
            DataType::Struct(Fields::from(vec![Field::new("x", DataType::Int8, true)])),
        ]);
    for target in targets {
        taken(NullArray::new(2), &target, new_null_array(&target, 2));
        taken(BooleanArray::from(vec![None, None]), &target, new_null_array(&target, 2));
    }
}

#[test]
fn columns_are_matched_by_name_exactly_first() {
    let spec = spec(vec![
        Field::new("Id", DataType::Int64, false),
        Field::new("id", DataType::Int64, true),
        Field::new("Name", DataType::Utf8, true),
    ]);
    let number = |v: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![v])) };
    let given = batch(vec![("NAME", Arc::new(StringArray::from(vec!["x"]))), ("id", number(2)), ("Id", number(1))]);
    let stored = conform(&given, &spec, 0).expect("taken");
    assert!(Arc::ptr_eq(stored.schema_ref(), &spec.schema));
    assert_eq!(stored.column(0).as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(stored.column(1).as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(stored.column(2).as_string::<i32>().value(0), "x");
    let error = |columns| conform(&batch(columns), &spec, 0).expect_err("refused");
    let cases = [
        (
            error(vec![("Id", number(1)), ("ID", number(1))]),
            302,
            "column ID is ambiguous: several columns of t match it",
        ),
        (error(vec![("Id", number(1)), ("age", number(1))]), 302, "t has no column age"),
        (
            error(vec![("Id", number(1)), ("NAME", number(1)), ("name", number(1))]),
            302,
            "column Name of t is given twice",
        ),
        (
            error(vec![("id", number(1))]),
            300,
            "row 0: NULL in column Id of t, which the data leaves out: the column is NOT NULL",
        ),
    ];
    for (error, code, text) in cases {
        assert_eq!((error.code(), error.to_string().as_str()), (code, text));
    }
}

#[test]
fn missing_columns_get_their_default() {
    let mut spec = spec(vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Int64, true)]);
    spec.defaults = vec![Some(Arc::new(Int32Array::from(vec![7]))), None];
    let given = batch(vec![("b", Arc::new(Int64Array::from(vec![1, 2, 3])))]);
    let stored = conform(&given, &spec, 0).expect("taken");
    assert_eq!(stored.column(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![7, 7, 7]));
}

#[test]
fn rows_are_counted_through_all_batches() {
    let spec = spec(vec![Field::new("a", DataType::Int8, false)]);
    let given = batch(vec![("a", Arc::new(Int64Array::from(vec![1, 300])))]);
    let error = conform(&given, &spec, 10).expect_err("out of range");
    assert_eq!(
        error.to_string(),
        format!("row 11: 300 cannot be stored in column a ({}) of t: it is out of range", type_name(&DataType::Int8))
    );
    let given = batch(vec![("a", Arc::new(Int64Array::from(vec![Some(1), None])))]);
    let error = conform(&given, &spec, 10).expect_err("NULL");
    assert_eq!(error.to_string(), "row 11: NULL in column a of t: the column is NOT NULL");
}

#[test]
fn keys_are_taken_without_the_other_columns() {
    let mut spec = spec(vec![Field::new("v", DataType::Int64, true), Field::new("k", DataType::Int64, false)]);
    spec.primary_key = vec![1];
    let key = Arc::new(spec.schema.project(&[1]).expect("in range"));
    let k: ArrayRef = Arc::new(Int32Array::from(vec![5]));
    let v: ArrayRef = Arc::new(StringArray::from(vec!["not looked at"]));
    for given in [batch(vec![("k", Arc::clone(&k))]), batch(vec![("v", Arc::clone(&v)), ("K", Arc::clone(&k))])] {
        let stored = conform_key(&given, &spec, &key, 0).expect("taken");
        assert_eq!(stored.column(0).as_primitive::<Int64Type>().value(0), 5);
    }
    assert_eq!(conform_key(&batch(vec![("v", v)]), &spec, &key, 0).expect_err("no key").code(), 300);
    assert_eq!(
        conform_key(&batch(vec![("k", Arc::clone(&k)), ("z", k)]), &spec, &key, 0).expect_err("unknown").code(),
        302
    );
}

#[test]
fn nan_is_null_when_asked_for() {
    let given = batch(vec![
        ("f", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1.0), None]))),
        ("s", Arc::new(StringArray::from(vec!["NaN", "", "x"]))),
    ]);
    let clean = nan_as_null(&given);
    assert_eq!(clean.column(0).as_primitive::<Float64Type>(), &Float64Array::from(vec![None, Some(1.0), None]));
    assert_eq!(clean.column(1), given.column(1));
}
