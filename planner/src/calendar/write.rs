//! Writes dates, times and intervals as text, as DuckDB does.

use std::fmt::Write;

use arrow::datatypes::{IntervalMonthDayNano, TimeUnit};

use super::civil::{Civil, SECONDS_A_DAY, per_second};

/// Writes a date as `2024-01-31`, or as `0044-03-15 (BC)`.
pub(crate) fn date_text(days: i64) -> String {
    let Civil { year, month, day } = Civil::of_days(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " (BC)") };
    format!("{year:04}-{month:02}-{day:02}{era}")
}

/// Writes a count since midnight as `12:34:56`, with its fraction but without trailing zeros.
pub(crate) fn time_text(count: i64, unit: TimeUnit) -> String {
    let (seconds, fraction) = (count / per_second(unit), count % per_second(unit));
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let digits = per_second(unit).ilog10() as usize;
        let fraction = format!("{fraction:0digits$}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

/// Writes a count since 1970 as a date and a time.
pub(crate) fn timestamp_text(count: i64, unit: TimeUnit) -> String {
    let per_day = per_second(unit) * SECONDS_A_DAY;
    let (days, of_day) = (count.div_euclid(per_day), count.rem_euclid(per_day));
    format!("{} {}", date_text(days), time_text(of_day, unit))
}

/// Writes an interval as `1 year 2 months -3 days 04:05:06.7`.
pub(crate) fn interval_text(interval: IntervalMonthDayNano) -> String {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let mut text = String::new();
    for (count, unit) in [(months / 12, "year"), (months % 12, "month"), (days, "day")] {
        if count != 0 {
            let plural = if count.abs() == 1 { "" } else { "s" };
            write!(text, "{count} {unit}{plural} ").expect("writing to a string cannot fail");
        }
    }
    if nanoseconds != 0 || text.is_empty() {
        let sign = if nanoseconds < 0 { "-" } else { "" };
        // The minimum value has no positive counterpart, so the absolute value is unsigned.
        let (seconds, fraction) =
            (nanoseconds.unsigned_abs() / 1_000_000_000, nanoseconds.unsigned_abs() % 1_000_000_000);
        let whole = time_text(seconds.cast_signed(), TimeUnit::Second);
        let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:09}") };
        write!(text, "{sign}{whole}{}", fraction.trim_end_matches('0')).expect("writing to a string cannot fail");
    }
    text.trim_end().to_owned()
}
