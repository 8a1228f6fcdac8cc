//! Intervals as SQL compares them: a month counts as 30 days, a day as 24 hours.

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait, StructArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use std::sync::Arc;

const DAY: i128 = 86_400_000_000_000;
const MONTH: i128 = 30 * DAY;

/// Returns the length of an interval in nanoseconds; equal exactly when SQL says that two intervals are equal.
pub fn length(interval: IntervalMonthDayNano) -> i128 {
    i128::from(interval.months) * MONTH + i128::from(interval.days) * DAY + i128::from(interval.nanoseconds)
}

/// Returns the canonical interval of the same length, for which comparing months, then days, then nanoseconds orders by
/// length.
///
/// It has as many whole months as fit, rounded down, then as many whole days as fit into the rest, so days and
/// nanoseconds are not negative. Where a count does not fit an `i32`, the next smaller unit takes the rest, whatever
/// its sign; so every length has a canonical form.
pub fn ordered(interval: IntervalMonthDayNano) -> IntervalMonthDayNano {
    of_length(length(interval), i128::div_euclid)
}

/// Returns the interval of the same length whose months, days and nanoseconds all have the same sign.
pub fn plain(interval: IntervalMonthDayNano) -> IntervalMonthDayNano {
    of_length(length(interval), |length, unit| length / unit)
}

fn of_length(length: i128, divide: impl Fn(i128, i128) -> i128) -> IntervalMonthDayNano {
    let fitting = |length, unit| divide(length, unit).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    let months = fitting(length, MONTH);
    let rest = length - i128::from(months) * MONTH;
    let days = fitting(rest, DAY);
    let nanoseconds = rest - i128::from(days) * DAY;
    IntervalMonthDayNano::new(months, days, i64::try_from(nanoseconds).expect("an interval of the length exists"))
}

/// Whether values of the type are intervals or contain intervals.
pub fn has_intervals(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(IntervalUnit::MonthDayNano) => true,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            has_intervals(field.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| has_intervals(field.data_type())),
        _ => false,
    }
}

/// Applies `each` to every interval in `values`, also to those inside lists and structs.
pub fn map(values: &ArrayRef, each: fn(IntervalMonthDayNano) -> IntervalMonthDayNano) -> ArrayRef {
    if !has_intervals(values.data_type()) {
        return Arc::clone(values);
    }
    match values.data_type() {
        DataType::List(_) => map_list::<i32>(values, each),
        DataType::LargeList(_) => map_list::<i64>(values, each),
        DataType::FixedSizeList(field, size) => {
            let list = values.as_fixed_size_list();
            let items = map(list.values(), each);
            Arc::new(FixedSizeListArray::new(Arc::clone(field), *size, items, list.nulls().cloned()))
        }
        DataType::Struct(fields) => {
            let columns = values.as_struct().columns().iter().map(|column| map(column, each)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, values.nulls().cloned()))
        }
        _ => {
            let intervals = values.as_primitive::<IntervalMonthDayNanoType>();
            Arc::new(intervals.unary::<_, IntervalMonthDayNanoType>(each))
        }
    }
}

fn map_list<O: OffsetSizeTrait>(values: &ArrayRef, each: fn(IntervalMonthDayNano) -> IntervalMonthDayNano) -> ArrayRef {
    let (field, offsets, items, nulls) = values.as_list::<O>().clone().into_parts();
    Arc::new(GenericListArray::<O>::new(field, offsets, map(&items, each), nulls))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval() -> impl Strategy<Value = IntervalMonthDayNano> {
        let whole = |least: i64, most: i64| prop_oneof![Just(least), Just(most), -3..=3_i64, least..=most];
        let int = || whole(i32::MIN.into(), i32::MAX.into());
        let nanoseconds =
            prop_oneof![whole(i64::MIN, i64::MAX), (-400..=400_i64).prop_map(|hours| hours * 3_600_000_000_000)];
        (int(), int(), nanoseconds)
            .prop_map(|(months, days, nanos)| IntervalMonthDayNano::new(months as i32, days as i32, nanos))
    }

    proptest! {
        #[test]
        fn the_order_of_intervals_is_that_of_their_lengths(a in interval(), b in interval()) {
            let parts = |i: IntervalMonthDayNano| (i.months, i.days, i.nanoseconds);
            prop_assert_eq!(parts(ordered(a)).cmp(&parts(ordered(b))), length(a).cmp(&length(b)));
        }

        #[test]
        fn no_interval_changes_its_length(a in interval()) {
            prop_assert_eq!(length(ordered(a)), length(a));
            prop_assert_eq!(length(plain(a)), length(a));
            prop_assert_eq!(plain(ordered(a)), plain(a));
        }
    }

    #[test]
    fn a_plain_interval_has_one_sign() {
        let hours = |hours: i64| IntervalMonthDayNano::new(0, 0, hours * 3_600_000_000_000);
        assert_eq!(plain(hours(36)), IntervalMonthDayNano::new(0, 1, 12 * 3_600_000_000_000));
        assert_eq!(plain(hours(-36)), IntervalMonthDayNano::new(0, -1, -12 * 3_600_000_000_000));
        assert_eq!(ordered(hours(-36)), IntervalMonthDayNano::new(-1, 28, 12 * 3_600_000_000_000));
    }
}
