//! The proleptic Gregorian calendar over all days that a DATE and all moments that a TIMESTAMP can hold.
//!
//! chrono ends at the year 262143 and Arrow's kernels mostly at 2262; here nothing is narrower than the types are.

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

/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;

/// Microseconds of a day; no day has another length, as all times are UTC.
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// A day by its year, month and day; the year before 1 is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

impl Civil {
    /// The day so many days after 1970-01-01.
    pub(crate) fn of_days(days: i64) -> Civil {
        // Eras of 400 years begin in March, so that the leap day is the last of its year.
        let days = days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Civil { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    /// How many days after 1970-01-01 this is.
    pub(crate) fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }

    /// The day with this year, month and day, if there is one.
    pub(crate) fn checked(year: i64, month: i64, day: i64) -> Option<Civil> {
        let is_day = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
        is_day.then_some(Civil { year, month, day })
    }

    /// So many months later; the last day of the month where it has fewer.
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

/// Monday is 1 and Sunday 7.
pub(crate) fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// The ISO year and the week in it, which begin on Mondays; the first has January 4.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days + 4 - iso_weekday(days);
    let year = Civil::of_days(thursday).year;
    let first = Civil { year, month: 1, day: 1 }.days();
    (year, (thursday - first) / 7 + 1)
}

/// How many of a unit make a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// `count` of one unit in another; to the nearest where that is coarser, halves away from zero.
pub(crate) fn in_unit(count: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let (from, to) = (per_second(from), per_second(to));
    if to >= from {
        return count.checked_mul(to / from);
    }
    let unit = from / to;
    let (quotient, rest) = (count / unit, count % unit);
    Some(if rest.abs() * 2 >= unit { quotient + rest.signum() } else { quotient })
}

/// The counts of an array of times of any unit, their unit, and what they count from.
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

/// Counts as an array of timestamps or times of a type.
pub(crate) fn of_counts(counts: PrimitiveArray<Int64Type>, data_type: &DataType) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Time32(_) => arrow::compute::cast(&arrow::compute::cast(&counts, &DataType::Int32)?, data_type)?,
        DataType::Time64(_) | DataType::Timestamp(..) => arrow::compute::cast(&counts, data_type)?,
        other => return exec_err!("{other} is not a type of times"),
    })
}

/// The microseconds since 1970 of an array of dates or timestamps, or of a day for times; finer ones round.
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

/// The days that a DATE holds.
pub(crate) const DATES: RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;

/// Microseconds of a day and a time of it, if a TIMESTAMP can hold them.
pub(crate) fn moment(days: i64, of_day: i64) -> Option<i64> {
    // The day that the range begins with does not begin in it.
    i64::try_from(i128::from(days) * i128::from(DAY) + i128::from(of_day)).ok()
}

#[cfg(test)]
mod tests;
