//! Days and their dates, and how long days and seconds are.

use std::ops::RangeInclusive;

use arrow::datatypes::TimeUnit;

/// Microseconds per second.
pub(crate) const SECOND: i64 = 1_000_000;

/// Seconds per day; all days have the same length because all times are UTC.
pub const SECONDS_A_DAY: i64 = 86_400;

/// Microseconds per day.
pub(crate) const DAY: i64 = SECONDS_A_DAY * SECOND;

/// A day as year, month and day; it must be a day that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year; those before year 1 are 0 and less.
    pub year: i64,
    /// The month, from 1.
    pub month: i64,
    /// The day of the month, from 1.
    pub day: i64,
}

impl Civil {
    /// Converts a number of days after 1970-01-01.
    pub fn of_days(days: i64) -> Civil {
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
    pub fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }

    /// Returns the day with this year, month and day, or `None` if there is no such day.
    pub fn checked(year: i64, month: i64, day: i64) -> Option<Civil> {
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
pub fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// The days that a DATE can hold.
pub(crate) const DATES: RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;

/// Returns the microseconds since 1970 of a day and a time of it, or `None` if a TIMESTAMP cannot hold them.
pub(crate) fn moment(days: i64, of_day: i64) -> Option<i64> {
    // The first day of the range begins before the range does, so the product alone could overflow 64 bits.
    i64::try_from(i128::from(days) * i128::from(DAY) + i128::from(of_day)).ok()
}
