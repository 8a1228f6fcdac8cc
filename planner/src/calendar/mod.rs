//! The proleptic Gregorian calendar, for all days that a DATE and all moments that a TIMESTAMP can hold.
//!
//! chrono ends in the year 262143 and most Arrow kernels end in 2262; here the whole range of the types is covered.

mod civil;
mod interval;
mod part;
mod read;
mod write;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion::common::{Result, exec_datafusion_err, exec_err};

pub use civil::{Civil, SECONDS_A_DAY, per_second};
pub(crate) use civil::{DATES, DAY, SECOND, moment};
pub(crate) use interval::{intervals_of_durations, text_to_interval};
pub(crate) use part::{Part, epoch_of_interval, trunc_interval, trunc_micros};
pub(crate) use read::{in_utc, in_zone, read_date, read_time, read_timestamp, zone_named};
pub(crate) use write::{date_text, interval_text, time_text, timestamp_text};

/// Converts `count` to another unit; a coarser unit rounds to the nearest, halves away from zero. `None` on overflow.
pub(crate) fn in_unit(count: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let (from, to) = (per_second(from), per_second(to));
    if to >= from {
        return count.checked_mul(to / from);
    }
    let unit = from / to;
    let (quotient, rest) = (count / unit, count % unit);
    Some(if rest.abs() * 2 >= unit { quotient + rest.signum() } else { quotient })
}

/// Returns the counts of an array of timestamps or times and their unit; `None` for other types.
pub(crate) fn counts(values: &ArrayRef) -> Option<(PrimitiveArray<Int64Type>, TimeUnit)> {
    fn of<T: arrow::datatypes::ArrowPrimitiveType<Native: Into<i64>>>(values: &ArrayRef) -> PrimitiveArray<Int64Type> {
        values.as_primitive::<T>().unary(Into::into)
    }
    Some(match values.data_type() {
        DataType::Timestamp(unit @ TimeUnit::Second, _) => (of::<TimestampSecondType>(values), *unit),
        DataType::Timestamp(unit @ TimeUnit::Millisecond, _) => (of::<TimestampMillisecondType>(values), *unit),
        DataType::Timestamp(unit @ TimeUnit::Microsecond, _) => (of::<TimestampMicrosecondType>(values), *unit),
        DataType::Timestamp(unit @ TimeUnit::Nanosecond, _) => (of::<TimestampNanosecondType>(values), *unit),
        DataType::Time32(unit @ TimeUnit::Second) => (of::<Time32SecondType>(values), *unit),
        DataType::Time32(unit @ TimeUnit::Millisecond) => (of::<Time32MillisecondType>(values), *unit),
        DataType::Time64(unit @ TimeUnit::Microsecond) => (of::<Time64MicrosecondType>(values), *unit),
        DataType::Time64(unit @ TimeUnit::Nanosecond) => (of::<Time64NanosecondType>(values), *unit),
        _ => return None,
    })
}

/// Makes an array of timestamps or times of `data_type` from counts.
#[expect(clippy::disallowed_methods, reason = "the count of a type is its value")]
pub(crate) fn of_counts(counts: PrimitiveArray<Int64Type>, data_type: &DataType) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Time32(_) => arrow::compute::cast(&arrow::compute::cast(&counts, &DataType::Int32)?, data_type)?,
        DataType::Time64(_) | DataType::Timestamp(..) => arrow::compute::cast(&counts, data_type)?,
        other => return exec_err!("{other} is not a type of times"),
    })
}

/// Returns dates and timestamps as microseconds since 1970, and times as microseconds of the day. Finer units are
/// rounded.
pub(crate) fn micros(values: &ArrayRef) -> Result<PrimitiveArray<Int64Type>> {
    if let Some(days) = values.as_primitive_opt::<Date32Type>() {
        return days.try_unary(|days| {
            i64::from(days)
                .checked_mul(DAY)
                .ok_or_else(|| exec_datafusion_err!("the date is out of range of TIMESTAMP"))
        });
    }
    match counts(values) {
        Some((counts, TimeUnit::Microsecond)) => Ok(counts),
        Some((counts, unit)) => counts.try_unary(|count| {
            in_unit(count, unit, TimeUnit::Microsecond)
                .ok_or_else(|| exec_datafusion_err!("the timestamp is out of range of TIMESTAMP"))
        }),
        None => exec_err!("{} is not a type of times", values.data_type()),
    }
}

#[cfg(test)]
mod tests;
