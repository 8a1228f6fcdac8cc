//! Compares accumulators with plain recomputation, and float sums with whole numbers of any size.

mod floats;
mod twin;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use expect_test::expect;

use super::{Retractions, for_aggregate};
use crate::Diffs;
use crate::plan::AggregateFunction;

/// Configures a property test with this many cases, or more if the environment asks for it.
fn cases(usual: u64) -> proptest::test_runner::Config {
    let cases = u32::try_from(crate::testing::cases(usual)).unwrap_or(u32::MAX);
    proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(cases) }
}

#[test]
fn what_has_no_accumulator_is_refused() {
    let make = |function, argument: Option<DataType>, distinct, data_type| {
        for_aggregate(function, argument.as_ref(), distinct, &data_type, Retractions::Possible).map(|_| ())
    };
    let refused = [
        make(AggregateFunction::Sum, Some(DataType::Utf8), false, DataType::Int64),
        make(AggregateFunction::Sum, None, false, DataType::Int64),
        make(AggregateFunction::Avg, Some(DataType::Int64), false, DataType::Int64),
        make(AggregateFunction::Sum, Some(DataType::Decimal128(10, 2)), false, DataType::Decimal128(10, 1)),
        make(AggregateFunction::Min, Some(DataType::Int64), false, DataType::Int32),
        make(AggregateFunction::VarPop, Some(DataType::Decimal128(38, 2)), false, DataType::Float64),
        make(AggregateFunction::Count, None, true, DataType::Int64),
    ];
    let text: Vec<String> = refused.iter().map(|r| r.clone().expect_err("refused").to_string()).collect();
    expect![[r#"
        sum of Utf8 as Int64 is not supported
        sum without an argument as Int64 is not supported
        avg of Int64 as Int64 is not supported
        sum of Decimal128(10, 2) as Decimal128(10, 1) is not supported
        min of Int64 as Int32 is not supported
        var_pop of Decimal128(38, 2) as Float64 is not supported
        count without an argument as Int64 is not supported"#]]
    .assert_eq(&text.join("\n"));
    assert_eq!(make(AggregateFunction::Count, None, false, DataType::Int64), Ok(()));
}

/// A row value is never NULL, whatever is in it; NaN is one value, and so is zero.
#[test]
fn row_values_are_counted_once_each() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1), None, None, Some(2), Some(2)]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.0, 2.0]));
    let fields = [("a", &numbers), ("b", &floats)]
        .map(|(name, values)| (Arc::new(Field::new(name, values.data_type().clone(), true)), Arc::clone(values)));
    let rows: ArrayRef = Arc::new(StructArray::from(fields.to_vec()));
    let (count, rows_type) = (AggregateFunction::Count, rows.data_type().clone());
    let mut counts = for_aggregate(count, Some(&rows_type), true, &DataType::Int64, Retractions::Possible)
        .expect("rows can be counted");
    counts.resize(1);
    let counted = |counts: &dyn super::Accumulator| counts.evaluate(&[0]).values.as_primitive::<Int64Type>().value(0);
    counts.update(&[0; 6], Some(&rows), &Diffs::Same(1), None);
    assert_eq!(counted(counts.as_ref()), 4);
    counts.update(&[0; 5], Some(&rows.slice(0, 5)), &Diffs::Same(-1), None);
    assert_eq!(counted(counts.as_ref()), 1);
}
