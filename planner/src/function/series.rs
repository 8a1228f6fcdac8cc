//! Computes how many elements `range` and `generate_series` make, before they make them.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarFunctionArgs;

const DAY: i128 = 86_400_000_000_000;
/// Number of days counted for a month. It is the shortest month, so the computed length is never too small.
const MONTH: i128 = 28;

/// Returns an upper bound of the number of elements for each row; 0 if an argument is NULL or no series has its type.
pub(super) fn lengths(args: &ScalarFunctionArgs) -> Result<Vec<u64>> {
    let values = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
    let columns: Vec<Vec<Option<i128>>> = values.iter().map(points).collect();
    let length = |row: usize| {
        let (start, stop, step) = match columns.as_slice() {
            [stop] => (0, stop[row]?, 1),
            [start, stop] => (start[row]?, stop[row]?, step_of(&values[0])),
            [start, stop, step] => (start[row]?, stop[row]?, step[row]?),
            _ => return None,
        };
        let distance = if step > 0 { stop - start } else { start - stop };
        if step == 0 || distance < 0 { None } else { u64::try_from(distance / step.abs() + 1).ok() }
    };
    Ok((0..args.number_rows).map(|row| length(row).unwrap_or(0)).collect())
}

/// Returns the default step of a series without a step.
fn step_of(values: &ArrayRef) -> i128 {
    if values.data_type() == &DataType::Int64 { 1 } else { DAY }
}

/// Returns numbers unchanged, and moments and intervals in nanoseconds.
fn points(values: &ArrayRef) -> Vec<Option<i128>> {
    let of = |value: fn(&ArrayRef, usize) -> i128| {
        (0..values.len()).map(|row| values.is_valid(row).then(|| value(values, row))).collect()
    };
    match values.data_type() {
        DataType::Int64 => of(|values, row| values.as_primitive::<Int64Type>().value(row).into()),
        DataType::Date32 => of(|values, row| i128::from(values.as_primitive::<Date32Type>().value(row)) * DAY),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => {
                of(|values, row| i128::from(values.as_primitive::<TimestampSecondType>().value(row)) * 1_000_000_000)
            }
            TimeUnit::Millisecond => {
                of(|values, row| i128::from(values.as_primitive::<TimestampMillisecondType>().value(row)) * 1_000_000)
            }
            TimeUnit::Microsecond => {
                of(|values, row| i128::from(values.as_primitive::<TimestampMicrosecondType>().value(row)) * 1_000)
            }
            TimeUnit::Nanosecond => {
                of(|values, row| values.as_primitive::<TimestampNanosecondType>().value(row).into())
            }
        },
        DataType::Interval(IntervalUnit::MonthDayNano) => of(|values, row| {
            let step = values.as_primitive::<IntervalMonthDayNanoType>().value(row);
            (i128::from(step.months) * MONTH + i128::from(step.days)) * DAY + i128::from(step.nanoseconds)
        }),
        _ => vec![None; values.len()],
    }
}
