//! Sums of floats are the float nearest to the true sum, checked with whole numbers of any size.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use num_bigint::BigInt;
use proptest::prelude::*;

use super::cases;
use crate::accumulator::{Accumulator, Retractions, for_aggregate};
use crate::plan::AggregateFunction as F;
use crate::update::PerRow;

/// A finite float in units of 2^-1074.
fn units(value: f64) -> BigInt {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    let magnitude = BigInt::from(mantissa) << (exponent.max(1) - 1);
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

/// Whether `value` is the double nearest to `exact`, even on ties.
fn is_nearest(value: f64, exact: &BigInt) -> bool {
    if value.is_infinite() {
        let beyond = (BigInt::from(1) << 2098) - (BigInt::from(1) << (2098 - 54));
        return if value > 0.0 { *exact >= beyond } else { *exact <= -beyond };
    }
    let distance = |candidate: f64| -> BigInt {
        let difference = units(candidate) - exact;
        if difference < BigInt::from(0) { -difference } else { difference }
    };
    let error = distance(value);
    [value.next_up(), value.next_down()].into_iter().filter(|other| other.is_finite()).all(|other| {
        let theirs = distance(other);
        error < theirs || (error == theirs && value.to_bits() & 1 == 0)
    })
}

fn accumulator(function: F, argument: &DataType, data_type: &DataType) -> Box<dyn Accumulator> {
    let mut made = for_aggregate(function, Some(argument), false, data_type, Retractions::Possible).expect("supported");
    made.resize(1);
    made
}

fn add(accumulator: &mut dyn Accumulator, rows: &[(f64, i64)]) {
    if rows.is_empty() {
        return;
    }
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let diffs = PerRow::from_vec(rows.iter().map(|row| row.1).collect());
    accumulator.update(&vec![0; rows.len()], Some(&values), &diffs, None);
}

fn result(accumulator: &dyn Accumulator) -> f64 {
    accumulator.evaluate(&[0]).values.as_primitive::<Float64Type>().value(0)
}

/// Floats of any size, of similar sizes, and at the ends of the range.
fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(|bits| {
            let value = f64::from_bits(bits);
            if value.is_finite() { value } else { f64::from_bits(bits & !(1 << 62)) }
        }),
        (-1_000_000_000i64..1_000_000_000, -3i32..3).prop_map(|(m, e)| m as f64 * 10f64.powi(e)),
        (any::<i32>(), -1074i32..-1000).prop_map(|(m, e)| f64::from(m) * 2f64.powi(e / 2) * 2f64.powi(e - e / 2)),
        Just(f64::MAX),
        Just(f64::MIN),
        Just(f64::MIN_POSITIVE),
        Just(-0.0),
        Just(5e-324),
    ]
}

fn diff() -> impl Strategy<Value = i64> {
    prop_oneof![Just(1), Just(1), Just(1), 1i64..100, Just(1 << 40), Just(1 << 57)]
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_sum_is_the_nearest_float(rows in prop::collection::vec((finite(), diff()), 1..40)) {
        let exact: BigInt = rows.iter().map(|(value, diff)| units(*value) * BigInt::from(*diff)).sum();
        let mut sum = accumulator(F::Sum, &DataType::Float64, &DataType::Float64);
        add(sum.as_mut(), &rows);
        let value = result(sum.as_ref());
        prop_assert!(is_nearest(value, &exact), "{value:e}");
    }

    #[test]
    fn order_batches_and_detours_do_not_matter(
        rows in prop::collection::vec((finite(), 1i64..5), 1..40),
        detour in prop::collection::vec((prop_oneof![finite(), Just(f64::NAN), Just(f64::INFINITY)], diff()), 0..40),
        cut in 0usize..40,
    ) {
        for function in [F::Sum, F::Avg, F::VarPop, F::StddevSamp] {
            let mut straight = accumulator(function, &DataType::Float64, &DataType::Float64);
            add(straight.as_mut(), &rows);
            let mut winding = accumulator(function, &DataType::Float64, &DataType::Float64);
            add(winding.as_mut(), &detour);
            let reversed: Vec<(f64, i64)> = rows.iter().rev().copied().collect();
            let (first, second) = reversed.split_at(cut.min(reversed.len()));
            add(winding.as_mut(), first);
            let back: Vec<(f64, i64)> = detour.iter().map(|(value, diff)| (*value, -diff)).collect();
            add(winding.as_mut(), &back);
            add(winding.as_mut(), second);
            let (a, b) = (straight.evaluate(&[0]).values, winding.evaluate(&[0]).values);
            let bits = |array: &ArrayRef| array.as_primitive::<Float64Type>().iter().map(|v| v.map(f64::to_bits)).next();
            prop_assert_eq!(bits(&a), bits(&b), "{:?}", function);
        }
    }

    #[test]
    fn sums_of_reals_are_rounded_once(rows in prop::collection::vec(any::<f32>().prop_filter("finite", |v| v.is_finite()), 1..20)) {
        let mut sum = accumulator(F::Sum, &DataType::Float32, &DataType::Float32);
        let values: ArrayRef = Arc::new(Float32Array::from(rows.clone()));
        sum.update(&vec![0; rows.len()], Some(&values), &PerRow::Same(1), None);
        let value = sum.evaluate(&[0]).values.as_primitive::<Float32Type>().value(0);
        let exact: BigInt = rows.iter().map(|value| units(f64::from(*value))).sum();
        if value.is_finite() {
            let distance = |candidate: f32| {
                let difference = units(f64::from(candidate)) - &exact;
                if difference < BigInt::from(0) { -difference } else { difference }
            };
            for other in [value.next_up(), value.next_down()].into_iter().filter(|other| other.is_finite()) {
                prop_assert!(distance(value) <= distance(other), "{} {}", value, other);
            }
        }
    }
}

#[test]
fn catastrophic_cancellation_is_none() {
    let mut sum = accumulator(F::Sum, &DataType::Float64, &DataType::Float64);
    add(sum.as_mut(), &[(1e308, 1), (1.0, 1), (1e308, 1), (-1e308, 2), (1e-300, 1)]);
    assert_eq!(result(sum.as_ref()), 1.0);
    add(sum.as_mut(), &[(1.0, -1)]);
    assert_eq!(result(sum.as_ref()), 1e-300);
}

#[test]
fn infinities_and_nan_go_as_they_came() {
    let mut sum = accumulator(F::Sum, &DataType::Float64, &DataType::Float64);
    add(sum.as_mut(), &[(1.5, 1), (f64::INFINITY, 2)]);
    assert_eq!(result(sum.as_ref()), f64::INFINITY);
    add(sum.as_mut(), &[(f64::NEG_INFINITY, 1)]);
    assert!(result(sum.as_ref()).is_nan());
    add(sum.as_mut(), &[(f64::INFINITY, -2)]);
    assert_eq!(result(sum.as_ref()), f64::NEG_INFINITY);
    add(sum.as_mut(), &[(f64::NEG_INFINITY, -1), (f64::NAN, 1)]);
    assert!(result(sum.as_ref()).is_nan());
    add(sum.as_mut(), &[(f64::NAN, -1)]);
    assert_eq!(result(sum.as_ref()), 1.5);
}

#[test]
fn a_mean_is_in_range_where_the_sum_is_not() {
    let mut mean = accumulator(F::Avg, &DataType::Float64, &DataType::Float64);
    add(mean.as_mut(), &[(f64::MAX, 4)]);
    assert_eq!(result(mean.as_ref()), f64::MAX);
    let mut deviation = accumulator(F::StddevPop, &DataType::Float64, &DataType::Float64);
    add(deviation.as_mut(), &[(1e300, 1), (-1e300, 1)]);
    assert_eq!(result(deviation.as_ref()), 1e300);
}

#[test]
fn a_small_variance_far_from_zero_is_kept() {
    let mut variance = accumulator(F::VarPop, &DataType::Float64, &DataType::Float64);
    add(variance.as_mut(), &[(1e9, 1), (1e9 + 1.0, 1), (1e9 + 2.0, 1)]);
    assert_eq!(result(variance.as_ref()), 2.0 / 3.0);
}

/// The digits of such a sum are all 0, and its value is in their carry alone.
#[test]
fn a_sum_that_is_minus_a_power_of_two_is_not_zero() {
    let of = |function, argument: &DataType, rows: &[(f64, i64)]| {
        let mut made = accumulator(function, argument, &DataType::Float64);
        let values = rows.iter().map(|row| row.0);
        let values: ArrayRef = match argument {
            DataType::Float32 => Arc::new(Float32Array::from_iter_values(values.map(|value| value as f32))),
            _ => Arc::new(Float64Array::from_iter_values(values)),
        };
        let diffs = PerRow::from_vec(rows.iter().map(|row| row.1).collect());
        made.update(&vec![0; rows.len()], Some(&values), &diffs, None);
        result(made.as_ref())
    };
    for exponent in -149..=127 {
        let power = 2f64.powi(exponent);
        for argument in [DataType::Float32, DataType::Float64] {
            // The first two make the sum exact, and cancel.
            let rows = |value| [(1e30, 1), (1e30, -1), (value, 1), (0.0, 2)];
            assert_eq!(of(F::Sum, &argument, &rows(-power)), -power, "{argument} 2^{exponent}");
            let spread = |value| of(F::VarPop, &argument, &rows(value));
            assert_eq!(spread(-power), spread(power), "{argument} 2^{exponent}");
        }
    }
}

#[test]
fn a_million_like_values_carry() {
    let mut sum = accumulator(F::Sum, &DataType::Float64, &DataType::Float64);
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.1; 10_000]));
    for _ in 0..100 {
        sum.update(&vec![0; 10_000], Some(&values), &PerRow::Same(1), None);
    }
    assert!(is_nearest(result(sum.as_ref()), &(units(0.1) * BigInt::from(1_000_000))));
}
