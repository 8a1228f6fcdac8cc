//! The proleptic Gregorian calendar, for all days that a DATE and all moments that a TIMESTAMP can hold.
//!
//! chrono ends in the year 262143 and most Arrow kernels end in 2262; here the whole range of the types is covered.

mod interval;
mod part;
mod read;
mod write;

use std::ops::RangeInclusive;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion::common::{Result, exec_datafusion_err, exec_err};

pub(crate) use interval::{intervals_of_durations, text_to_interval};
pub(crate) use part::{Part, epoch_of_interval, trunc_interval, trunc_micros};
use read::Text;
pub(crate) use read::{in_utc, in_zone, read_date, read_time, read_timestamp, zone_named};
pub(crate) use write::{date_text, interval_text, time_text, timestamp_text};

/// Microseconds per second.
pub(crate) const SECOND: i64 = 1_000_000;

/// Microseconds per day; all days have the same length because all times are UTC.
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// A day as year, month and day; the year before 1 is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

impl Civil {
    /// Converts a number of days after 1970-01-01.
    pub(crate) fn of_days(days: i64) -> Civil {
        // Eras of 400 years begin in March, so that a leap day is the last day of its year.
        let days = days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Civil { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    /// Returns the number of days after 1970-01-01.
    pub(crate) fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }

    /// Returns the day with this year, month and day, or `None` if there is no such day.
    pub(crate) fn checked(year: i64, month: i64, day: i64) -> Option<Civil> {
        let is_day = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
        is_day.then_some(Civil { year, month, day })
    }

    /// Returns the day `months` later; if that month is too short, its last day.
    pub(crate) fn plus_months(self, months: i64) -> Civil {
        let months = self.year * 12 + self.month - 1 + months;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        Civil { year, month, day: self.day.min(days_of_month(year, month)) }
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let is_leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the ISO day of the week: Monday is 1 and Sunday is 7.
pub(crate) fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// Returns the ISO year and the week in it. Weeks begin on Mondays, and the first one contains January 4.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days + 4 - iso_weekday(days);
    let year = Civil::of_days(thursday).year;
    let first = Civil { year, month: 1, day: 1 }.days();
    (year, (thursday - first) / 7 + 1)
}

/// Returns the number of units per second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

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

/// The days that a DATE can hold.
pub(crate) const DATES: RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;

/// Returns the microseconds since 1970 of a day and a time of it, or `None` if a TIMESTAMP cannot hold them.
pub(crate) fn moment(days: i64, of_day: i64) -> Option<i64> {
    // The first day of the range begins before the range does, so the product alone could overflow 64 bits.
    i64::try_from(i128::from(days) * i128::from(DAY) + i128::from(of_day)).ok()
}

#[cfg(test)]
mod tests;
