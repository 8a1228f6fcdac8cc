//! Tests our aggregates in queries that run once: types, overflow, DISTINCT, moving frames.

use arrow::array::{Int32Array, Int64Array, UInt32Array};
use arrow::datatypes::{Field, Schema};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::*;
use crate::function::registry;
use crate::lower::tests::context::bind;

fn udaf(name: &str) -> Arc<AggregateUDF> {
    registry().aggregate(name).expect("a known aggregate")
}

fn with_args<T>(
    name: &str,
    argument: &DataType,
    distinct: bool,
    work: impl FnOnce(&AggregateUDF, AccumulatorArgs) -> T,
) -> T {
    let udaf = udaf(name);
    let field = Arc::new(Field::new("x", argument.clone(), true));
    let schema = Schema::new(vec![Arc::clone(&field)]);
    let exprs = [Arc::new(Column::new("x", 0)) as Arc<dyn PhysicalExpr>];
    let return_field = udaf.return_field(&[Arc::clone(&field)]).expect("a type");
    let args = AccumulatorArgs {
        return_field,
        schema: &schema,
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name,
        is_distinct: distinct,
        exprs: &exprs,
        expr_fields: &[field],
    };
    work(&udaf, args)
}

fn groups(name: &str, argument: &DataType, distinct: bool) -> Box<dyn GroupsAccumulator> {
    with_args(name, argument, distinct, |udaf, args| udaf.create_groups_accumulator(args)).expect("an accumulator")
}

fn int64(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[test]
fn every_name_is_ours() {
    for name in "count sum avg mean min max var_pop var_population var var_samp var_sample variance stddev_pop stddev \
                 stddev_samp bool_and every bool_or"
        .split_whitespace()
    {
        let ours = registry().aggregate(name).is_some_and(|udaf| udaf.inner().is::<Maintained>());
        assert!(ours, "{name}");
        assert!(maintained(name).is_some(), "{name}");
    }
    assert_eq!(maintained("median"), None);
}

#[test]
fn results_have_the_types_of_the_dialect() {
    use DataType::{Boolean, Decimal128, Float32, Float64, Int32, Int64, UInt64, Utf8};
    for (name, argument, result) in [
        ("count", Utf8, Int64),
        ("sum", Int32, Int64),
        ("sum", UInt64, Int64),
        ("sum", Decimal128(10, 2), Decimal128(38, 2)),
        ("sum", Float32, Float64),
        ("avg", Int64, Float64),
        ("avg", Decimal128(10, 2), Float64),
        ("min", Int32, Int32),
        ("max", Utf8, Utf8),
        ("variance", Int32, Float64),
        ("stddev", Float32, Float64),
        ("every", Boolean, Boolean),
    ] {
        let udaf = udaf(name);
        let coerced = udaf.coerce_types(std::slice::from_ref(&argument)).expect("a type that it takes");
        assert_eq!(coerced, [argument], "{name} takes its argument as it is");
        assert_eq!(udaf.return_type(&coerced).expect("a type"), result, "{name}");
    }
    for (name, argument) in [("sum", Utf8), ("avg", Boolean), ("bool_and", Int64), ("stddev", Utf8)] {
        assert!(udaf(name).coerce_types(&[argument]).is_err(), "{name}");
    }
    assert!(udaf("count").coerce_types(&[Int64, Int64]).is_err());
}

#[test]
fn a_sum_out_of_range_is_an_error() {
    let mut sums = groups("sum", &DataType::Int64, false);
    sums.update_batch(&[int64(&[i64::MAX, 1, 7])], &[0, 0, 1], None, 2).expect("a batch");
    let error = sums.evaluate(EmitTo::All).expect_err("more than a BIGINT");
    assert!(error.to_string().contains("BIGINT") || error.to_string().contains("range"), "{error}");
}

#[test]
fn a_sum_that_comes_back_into_range_is_none() {
    let mut sums = groups("sum", &DataType::Int64, false);
    sums.update_batch(&[int64(&[i64::MAX, 1, -5])], &[0, 0, 0], None, 1).expect("a batch");
    assert_eq!(&sums.evaluate(EmitTo::All).expect("in range"), &int64(&[i64::MAX - 4]));
}

#[test]
fn groups_given_out_first_leave_the_others_as_they_are() {
    let mut sums = groups("sum", &DataType::Int32, false);
    let batch = |values: &[i32]| [Arc::new(Int32Array::from(values.to_vec())) as ArrayRef];
    sums.update_batch(&batch(&[1, 2, 3, 4]), &[0, 1, 2, 1], None, 3).expect("a batch");
    assert_eq!(&sums.evaluate(EmitTo::First(2)).expect("sums"), &int64(&[1, 6]));
    let filter = BooleanArray::from(vec![Some(true), Some(false), None]);
    sums.update_batch(&batch(&[10, 20, 30]), &[0, 1, 1], Some(&filter), 2).expect("a batch");
    let rest = sums.evaluate(EmitTo::All).expect("sums");
    assert_eq!(&rest, &(Arc::new(Int64Array::from(vec![Some(13), None])) as ArrayRef));
}

#[test]
fn equal_values_count_once_under_distinct() {
    let mut counts = groups("count", &DataType::UInt32, true);
    let values = Arc::new(UInt32Array::from(vec![Some(1), Some(1), None, Some(2), Some(1)])) as ArrayRef;
    counts.update_batch(&[values], &[0, 0, 0, 0, 1], None, 2).expect("a batch");
    assert_eq!(&counts.evaluate(EmitTo::All).expect("counts"), &int64(&[2, 1]));
}

#[test]
fn a_window_frame_that_moves_takes_rows_back() {
    let least = |udaf: &AggregateUDF, args: AccumulatorArgs| udaf.create_sliding_accumulator(args);
    let mut least = with_args("min", &DataType::Int64, false, least).expect("an accumulator");
    least.update_batch(&[int64(&[3, 1, 2])]).expect("a batch");
    assert_eq!(least.evaluate().expect("a value"), ScalarValue::Int64(Some(1)));
    least.retract_batch(&[int64(&[3, 1])]).expect("a batch");
    assert_eq!(least.evaluate().expect("a value"), ScalarValue::Int64(Some(2)));
    least.retract_batch(&[int64(&[2])]).expect("a batch");
    assert_eq!(least.evaluate().expect("a value"), ScalarValue::Int64(None));
}

#[test]
fn count_of_rows_keeps_the_name_it_is_shown_by() {
    let bound = bind("SELECT count(*), sum(i), avg(x) FROM log").expect("the query is valid");
    let columns: Vec<_> =
        bound.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
    let expected = [("count(*)", &DataType::Int64), ("sum(i)", &DataType::Int64), ("avg(x)", &DataType::Float64)];
    assert_eq!(columns, expected);
}
