//! Compares every aggregate of every type with recomputation from the rows that are left.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
    Int64Array, IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, i256};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::cases;
use crate::accumulator::{Retractions, for_aggregate};
use crate::interval;
use crate::plan::AggregateFunction as F;
use crate::update::PerRow;

const GROUPS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// Group, seed of a value (`None` is NULL), filter, multiplicity.
    Insert(usize, Option<u8>, Option<bool>, i64),
    /// Removes one of the live rows.
    Remove(usize),
    /// Ends the current batch.
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    let seed = prop_oneof![4 => any::<u8>().prop_map(Some), 1 => Just(None)];
    let filter = prop_oneof![3 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    prop_oneof![
        6 => (0..GROUPS, seed, filter, 1i64..3).prop_map(|(group, seed, filter, diff)| Step::Insert(group, seed, filter, diff)),
        4 => any::<usize>().prop_map(Step::Remove),
        1 => Just(Step::Cut),
    ]
}

/// Values of a type, from seeds: small and repeated ones, and the ends of the range.
fn values(data_type: &DataType, seeds: &[Option<u8>]) -> ArrayRef {
    let integer = |seed: u8| match seed {
        0 => i64::MIN,
        1 | 2 => i64::MAX,
        seed => i64::from(seed % 16) - 8,
    };
    let float = |seed: u8| match seed {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3..20 => -0.0,
        20..40 => 0.0,
        40 => f64::from_bits(0xfff8_0000_0000_0001),
        41 => 1e300,
        seed => f64::from(seed % 16) * 0.1 - 0.7,
    };
    let seeds = seeds.iter().copied();
    match data_type {
        DataType::Int16 => Arc::new(seeds.map(|s| s.map(|s| integer(s) as i16)).collect::<Int16Array>()),
        DataType::Int64 => Arc::new(seeds.map(|s| s.map(integer)).collect::<Int64Array>()),
        DataType::UInt64 => Arc::new(
            seeds.map(|s| s.map(|s| if s < 2 { u64::MAX } else { u64::from(s % 16) })).collect::<UInt64Array>(),
        ),
        DataType::Float64 => Arc::new(seeds.map(|s| s.map(float)).collect::<Float64Array>()),
        DataType::Float32 => Arc::new(seeds.map(|s| s.map(|s| float(s) as f32)).collect::<Float32Array>()),
        DataType::Decimal128(precision, _) => {
            let limit = 10i128.pow(u32::from(*precision)) - 1;
            let value = |s: u8| match s {
                0 => -limit,
                1 | 2 => limit,
                s => i128::from(s % 16) - 8,
            };
            let array = seeds.map(|s| s.map(value)).collect::<Decimal128Array>();
            Arc::new(array.with_data_type(data_type.clone()))
        }
        DataType::Boolean => Arc::new(seeds.map(|s| s.map(|s| s % 8 == 0)).collect::<BooleanArray>()),
        DataType::Utf8 => {
            Arc::new(seeds.map(|s| s.map(|s| "ab\0".repeat(usize::from(s % 20)))).collect::<StringArray>())
        }
        DataType::Date32 => Arc::new(seeds.map(|s| s.map(|s| i32::from(s % 16) - 8)).collect::<Date32Array>()),
        DataType::Interval(_) => {
            let interval = |s: u8| match s % 8 {
                0 => IntervalMonthDayNano::new(1, 0, 0),
                1 => IntervalMonthDayNano::new(0, 30, 0),
                2 => IntervalMonthDayNano::new(i32::MAX, i32::MAX, i64::MAX),
                s => IntervalMonthDayNano::new(0, i32::from(s) - 5, i64::from(s) << 46),
            };
            Arc::new(IntervalMonthDayNanoArray::from(seeds.map(|s| s.map(interval)).collect::<Vec<_>>()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let array = seeds.map(|s| s.map(|s| i64::from(s % 16) - 8)).collect::<TimestampMicrosecondArray>();
            Arc::new(array.with_data_type(data_type.clone()))
        }
        other => panic!("no values of {other}"),
    }
}

#[derive(Clone, Debug)]
struct Aggregate {
    function: F,
    argument: Option<DataType>,
    distinct: bool,
    data_type: DataType,
}

fn aggregates() -> Vec<Aggregate> {
    use DataType::{Boolean, Date32, Decimal128, Float32, Float64, Int16, Int64, UInt64, Utf8};
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let decimal = Decimal128(10, 2);
    let wide = Decimal128(38, 3);
    let mut all = vec![Aggregate { function: F::Count, argument: None, distinct: false, data_type: Int64 }];
    for distinct in [false, true] {
        let mut push = |function, argument: &DataType, data_type: &DataType| {
            let (argument, data_type) = (Some(argument.clone()), data_type.clone());
            all.push(Aggregate { function, argument, distinct, data_type });
        };
        for argument in [&Int64, &Float64, &Utf8, &Boolean, &wide, &timestamp, &interval] {
            push(F::Count, argument, &Int64);
        }
        push(F::Count, &Int16, &UInt64);
        for (argument, sum) in [
            (&Int16, &Int64),
            (&Int64, &Int64),
            (&Int64, &Decimal128(38, 0)),
            (&UInt64, &UInt64),
            (&Float32, &Float64),
            (&Float64, &Float64),
            (&decimal, &Decimal128(20, 2)),
            (&decimal, &Decimal128(10, 2)),
            (&wide, &Decimal128(38, 3)),
        ] {
            push(F::Sum, argument, sum);
        }
        for (argument, mean) in [
            (&Int64, &Float64),
            (&Float64, &Float64),
            (&decimal, &Float64),
            (&decimal, &Decimal128(14, 6)),
            (&wide, &Decimal128(38, 7)),
        ] {
            push(F::Avg, argument, mean);
        }
        for argument in [&Int64, &UInt64, &Float64, &Float32, &decimal] {
            for function in [F::VarPop, F::VarSamp, F::StddevPop, F::StddevSamp] {
                push(function, argument, &Float64);
            }
        }
        let narrow = [&Int16, &Int64, &UInt64, &Float32, &Float64, &decimal, &wide, &Boolean];
        for argument in narrow.into_iter().chain([&Utf8, &Date32, &timestamp, &interval]) {
            push(F::Min, argument, argument);
            push(F::Max, argument, argument);
        }
        push(F::BoolAnd, &Boolean, &Boolean);
        push(F::BoolOr, &Boolean, &Boolean);
    }
    all
}

/// Returns as text what the aggregate of a group should be.
fn expected(aggregate: &Aggregate, rows: &[(ArrayRef, i64)]) -> String {
    if aggregate.argument.is_none() {
        return rows.iter().map(|(_, diff)| diff).sum::<i64>().to_string();
    }
    let present = rows.iter().filter(|(value, _)| value.is_valid(0));
    match aggregate.argument.as_ref().expect("there is one") {
        DataType::Float64 | DataType::Float32 => {
            float_twin(aggregate, present.map(|(v, d)| (float_of(v), *d)).collect())
        }
        DataType::Utf8 => {
            let mut texts: Vec<String> =
                present.flat_map(|(v, d)| vec![v.as_string::<i32>().value(0).to_owned(); *d as usize]).collect();
            texts.sort();
            if aggregate.distinct {
                texts.dedup();
            }
            match aggregate.function {
                F::Count => texts.len().to_string(),
                F::Min => texts.first().cloned().unwrap_or_else(|| "NULL".to_owned()),
                _ => texts.last().cloned().unwrap_or_else(|| "NULL".to_owned()),
            }
        }
        _ => whole_twin(aggregate, present.flat_map(|(v, d)| vec![whole_of(v); *d as usize]).collect()),
    }
}

fn float_of(value: &ArrayRef) -> f64 {
    match value.data_type() {
        DataType::Float32 => f64::from(value.as_primitive::<arrow::datatypes::Float32Type>().value(0)),
        _ => value.as_primitive::<arrow::datatypes::Float64Type>().value(0),
    }
}

fn whole_of(value: &ArrayRef) -> i128 {
    use arrow::datatypes as t;
    match value.data_type() {
        DataType::Boolean => i128::from(value.as_boolean().value(0)),
        DataType::Int16 => i128::from(value.as_primitive::<t::Int16Type>().value(0)),
        DataType::UInt64 => i128::from(value.as_primitive::<t::UInt64Type>().value(0)),
        DataType::Date32 => i128::from(value.as_primitive::<t::Date32Type>().value(0)),
        DataType::Timestamp(..) => i128::from(value.as_primitive::<t::TimestampMicrosecondType>().value(0)),
        DataType::Decimal128(..) => value.as_primitive::<t::Decimal128Type>().value(0),
        DataType::Interval(_) => interval::length(value.as_primitive::<t::IntervalMonthDayNanoType>().value(0)),
        _ => i128::from(value.as_primitive::<t::Int64Type>().value(0)),
    }
}

/// Returns a value of the result type as the results are shown.
fn shown(data_type: &DataType, value: Option<i128>) -> String {
    use arrow::datatypes as t;
    let Some(value) = value else { return "NULL".to_owned() };
    let one: ArrayRef = match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![value == 1])),
        DataType::Date32 => Arc::new(Date32Array::from(vec![value as i32])),
        DataType::Timestamp(..) => Arc::new(
            arrow::array::PrimitiveArray::<t::TimestampMicrosecondType>::from(vec![value as i64])
                .with_data_type(data_type.clone()),
        ),
        DataType::Decimal128(..) => Arc::new(Decimal128Array::from(vec![value]).with_data_type(data_type.clone())),
        _ => return value.to_string(),
    };
    array_value_to_string(&one, 0).expect("a value of a plain type")
}

fn scale_of(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Decimal128(_, scale) => u32::try_from(*scale).expect("not negative"),
        _ => 0,
    }
}

fn whole_twin(aggregate: &Aggregate, mut values: Vec<i128>) -> String {
    values.sort();
    if aggregate.distinct {
        values.dedup();
    }
    let argument = aggregate.argument.as_ref().expect("there is one");
    let up = i256::from_i128(10i128.pow(scale_of(&aggregate.data_type).saturating_sub(scale_of(argument))));
    let point = 10f64.powi(scale_of(argument) as i32);
    let count = values.len() as i128;
    // Two of the widest decimals are beyond i128, though the sum of all may not be.
    let sum = values.iter().fold(i256::ZERO, |sum, value| sum + i256::from_i128(*value));
    let in_range = |value: i256| value.to_i128().filter(|value| fits(&aggregate.data_type, *value));
    let shown_or_error =
        |value: Option<i128>| value.map_or("error".to_owned(), |value| shown(&aggregate.data_type, Some(value)));
    match aggregate.function {
        F::Count => count.to_string(),
        F::Min => shown(&aggregate.data_type, values.first().copied()),
        F::Max => shown(&aggregate.data_type, values.last().copied()),
        F::BoolAnd => shown(&aggregate.data_type, values.iter().min().copied()),
        F::BoolOr => shown(&aggregate.data_type, values.iter().max().copied()),
        _ if values.is_empty() => "NULL".to_owned(),
        F::Sum => shown_or_error(in_range(sum * up)),
        F::Avg if aggregate.data_type == DataType::Float64 => {
            format!("{:?}", sum.to_i128().expect("in range") as f64 / (count as f64 * point))
        }
        F::Avg => {
            let (scaled, whole) = (sum * up, i256::from_i128(count));
            let (quotient, rest) = (scaled / whole, scaled % whole);
            let away = if rest.wrapping_abs() * i256::from_i128(2) >= whole { scaled.signum() } else { i256::ZERO };
            shown_or_error(in_range(quotient + away))
        }
        _ => variance_twin(aggregate, &values.iter().map(|value| *value as f64 / point).collect::<Vec<_>>()),
    }
}

fn fits(data_type: &DataType, value: i128) -> bool {
    match data_type {
        DataType::Int64 => i64::try_from(value).is_ok(),
        DataType::UInt64 => u64::try_from(value).is_ok(),
        DataType::Decimal128(precision, _) => value.unsigned_abs() < 10u128.pow(u32::from(*precision)),
        other => panic!("no range of {other}"),
    }
}

fn float_twin(aggregate: &Aggregate, rows: Vec<(f64, i64)>) -> String {
    let mut values: Vec<f64> = rows.iter().flat_map(|(value, diff)| vec![*value; *diff as usize]).collect();
    for value in &mut values {
        *value = if value.is_nan() { f64::NAN } else { *value + 0.0 };
    }
    values.sort_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)));
    if aggregate.distinct {
        values.dedup_by(|a, b| a == b || (a.is_nan() && b.is_nan()));
    }
    match aggregate.function {
        F::Count => values.len().to_string(),
        F::Min => values.first().map_or("NULL".to_owned(), |v| format!("{v:?}")),
        F::Max => values.last().map_or("NULL".to_owned(), |v| format!("{v:?}")),
        _ if values.is_empty() => "NULL".to_owned(),
        F::Sum => format!("~{:?}", values.iter().sum::<f64>()),
        F::Avg => format!("~{:?}", values.iter().sum::<f64>() / values.len() as f64),
        _ => variance_twin(aggregate, &values),
    }
}

fn variance_twin(aggregate: &Aggregate, values: &[f64]) -> String {
    let count = values.len() as f64;
    let freedom = if matches!(aggregate.function, F::VarSamp | F::StddevSamp) { count - 1.0 } else { count };
    if freedom <= 0.0 {
        return "NULL".to_owned();
    }
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean) * (value - mean) / freedom).sum::<f64>();
    let root = matches!(aggregate.function, F::StddevPop | F::StddevSamp);
    // The variance is out of range here, but the accumulator's root may be within it.
    match (root, variance.is_infinite()) {
        (true, true) => "any".to_owned(),
        (true, false) => format!("~{:?}", variance.sqrt()),
        (false, _) => format!("~{variance:?}"),
    }
}

fn agrees(expected: &str, actual: &str) -> bool {
    let Some(approximate) = expected.strip_prefix('~') else { return expected == "any" || expected == actual };
    let (Ok(a), Ok(b)) = (approximate.parse::<f64>(), actual.parse::<f64>()) else { return false };
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn check(aggregate: &Aggregate, steps: &[Step], filtered: bool) -> Result<(), TestCaseError> {
    let grows = steps.iter().all(|step| !matches!(step, Step::Remove(_)));
    let retractions = if grows { Retractions::Never } else { Retractions::Possible };
    let mut accumulator = for_aggregate(
        aggregate.function,
        aggregate.argument.as_ref(),
        aggregate.distinct,
        &aggregate.data_type,
        retractions,
    )
    .expect("listed aggregates are supported");
    accumulator.resize(GROUPS);
    let mut live: Vec<(usize, Option<u8>, Option<bool>)> = Vec::new();
    let mut batch: Vec<(usize, Option<u8>, Option<bool>, i64)> = Vec::new();
    for step in steps.iter().chain([&Step::Cut]) {
        match step {
            Step::Insert(group, seed, filter, diff) => {
                batch.push((*group, *seed, *filter, *diff));
                live.extend((0..*diff).map(|_| (*group, *seed, *filter)));
            }
            Step::Remove(pick) if !live.is_empty() => {
                let (group, seed, filter) = live.swap_remove(pick % live.len());
                batch.push((group, seed, filter, -1));
            }
            Step::Remove(_) => {}
            Step::Cut => {
                let groups: Vec<u32> = batch.iter().map(|row| row.0 as u32).collect();
                let seeds: Vec<Option<u8>> = batch.iter().map(|row| row.1).collect();
                let argument = aggregate.argument.as_ref().map(|argument| values(argument, &seeds));
                let filter: BooleanArray = batch.iter().map(|row| row.2).collect();
                let diffs = PerRow::from_vec(batch.iter().map(|row| row.3).collect());
                accumulator.update(&groups, argument.as_ref(), &diffs, filtered.then_some(&filter));
                batch.clear();
                compare(aggregate, accumulator.as_ref(), &live, filtered)?;
            }
        }
    }
    // Once all rows are gone a group holds nothing; a freed one starts anew.
    if !grows {
        for (group, seed, filter) in live.drain(..) {
            let argument = aggregate.argument.as_ref().map(|argument| values(argument, &[seed]));
            let filter = BooleanArray::from(vec![filter]);
            accumulator.update(&[group as u32], argument.as_ref(), &PerRow::Same(-1), filtered.then_some(&filter));
        }
        compare(aggregate, accumulator.as_ref(), &[], filtered)?;
    }
    (0..GROUPS).for_each(|group| accumulator.free(group as u32));
    compare(aggregate, accumulator.as_ref(), &[], filtered)
}

fn compare(
    aggregate: &Aggregate,
    accumulator: &dyn crate::accumulator::Accumulator,
    live: &[(usize, Option<u8>, Option<bool>)],
    filtered: bool,
) -> Result<(), TestCaseError> {
    let order: Vec<u32> = (0..GROUPS as u32).rev().collect();
    let evaluated = accumulator.evaluate(&order);
    prop_assert_eq!(evaluated.values.data_type(), &aggregate.data_type);
    let failed: BTreeMap<usize, &String> = evaluated.errors.iter().map(|e| (e.row, &e.message)).collect();
    for (row, group) in order.iter().enumerate() {
        let rows: Vec<(ArrayRef, i64)> = live
            .iter()
            .filter(|(g, _, filter)| *g == *group as usize && (!filtered || *filter == Some(true)))
            .map(|(_, seed, _)| {
                let argument = aggregate.argument.clone().unwrap_or(DataType::Int64);
                (values(&argument, &[*seed]), 1)
            })
            .collect();
        let expected = expected(aggregate, &rows);
        let actual = match failed.get(&row) {
            Some(message) => {
                prop_assert!(message.contains("out of range for"), "{}", message);
                prop_assert!(evaluated.values.is_null(row));
                "error".to_owned()
            }
            None if evaluated.values.is_null(row) => "NULL".to_owned(),
            None => text(&evaluated.values, row),
        };
        prop_assert!(agrees(&expected, &actual), "{:?}: {} but {}", aggregate, expected, actual);
    }
    Ok(())
}

fn text(values: &ArrayRef, row: usize) -> String {
    match values.data_type() {
        DataType::Float64 | DataType::Float32 => {
            format!("{:?}", float_of(&values.slice(row, 1)))
        }
        DataType::Interval(_) => whole_of(&values.slice(row, 1)).to_string(),
        _ => array_value_to_string(values, row).expect("a value of a plain type"),
    }
}

#[test]
fn a_sum_may_leave_the_range_of_its_type_on_the_way() {
    let insert = |seed| Step::Insert(0, Some(seed), Some(true), 1);
    let steps = [insert(0), insert(0), insert(0), Step::Cut, insert(1), insert(1), Step::Cut, Step::Remove(0)];
    for aggregate in aggregates() {
        check(&aggregate, &steps, false).unwrap_or_else(|error| panic!("{error}"));
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn aggregates_are_those_of_the_rows_left(steps in prop::collection::vec(step(), 1..120), filtered in any::<bool>()) {
        for aggregate in aggregates() {
            check(&aggregate, &steps, filtered)?;
        }
    }

    #[test]
    fn aggregates_of_growing_inputs(steps in prop::collection::vec(step(), 1..60), filtered in any::<bool>()) {
        let steps: Vec<Step> = steps.into_iter().filter(|step| !matches!(step, Step::Remove(_))).collect();
        for aggregate in aggregates() {
            check(&aggregate, &steps, filtered)?;
        }
    }
}
