//! Casts and additions of times and intervals, over the whole range that their types can hold.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray, StringArray};
use arrow::datatypes::{DataType, Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};

use super::cast::OnFailure;
use crate::calendar::{
    Civil, DATES, counts, date_text, in_unit, interval_text, intervals_of_durations, of_counts, per_second, read_date,
    read_time, read_timestamp, text_to_interval, time_text, timestamp_text,
};
use crate::statement::type_name;

/// Returns whether [`cast`] handles a cast between the types.
pub(super) fn casts(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Duration, Interval, Time32, Time64, Timestamp, Utf8};
    matches!(
        (from, to),
        (Utf8, Date32 | Timestamp(..) | Time32(_) | Time64(_) | Interval(IntervalUnit::MonthDayNano))
            | (Date32 | Timestamp(..) | Time32(_) | Time64(_) | Interval(IntervalUnit::MonthDayNano), Utf8)
            | (Timestamp(..), Date32 | Timestamp(..) | Time32(_) | Time64(_))
            | (Date32, Timestamp(..))
            | (Time32(_) | Time64(_), Time32(_) | Time64(_))
            | (Duration(_), Utf8 | Interval(IntervalUnit::MonthDayNano))
    )
}

/// Casts values between two types for which [`casts`] is true.
pub(super) fn cast(values: &ArrayRef, to: &DataType, on_failure: OnFailure) -> Result<ArrayRef> {
    let kept = Kept { to, on_failure };
    match (values.data_type(), to) {
        (DataType::Utf8, _) => kept.of_texts(values.as_string::<i32>()),
        (DataType::Duration(unit), DataType::Interval(_)) => intervals_of_durations(values, *unit),
        (_, DataType::Utf8) => texts(values),
        (DataType::Date32, _) => {
            let days = values.as_primitive::<Date32Type>().iter();
            let per_day = per_second(kept.unit()?) * 86_400;
            of_counts(kept.all(days.map(|days| days.map(|days| i64::from(days).checked_mul(per_day))))?, to)
        }
        _ => kept.of_times(values),
    }
}

/// The target type of a cast and what happens to a value that it cannot hold.
struct Kept<'a> {
    to: &'a DataType,
    on_failure: OnFailure,
}

impl Kept<'_> {
    fn unit(&self) -> Result<TimeUnit> {
        match self.to {
            DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => Ok(*unit),
            other => exec_err!("{other} is not a type of times"),
        }
    }

    /// Collects the values. `Some(None)` is a value that the type cannot hold: it fails or becomes NULL.
    fn all(&self, values: impl Iterator<Item = Option<Option<i64>>>) -> Result<Int64Array> {
        let kept = |value| match value {
            Some(None) if self.on_failure == OnFailure::Error => {
                exec_err!("a time is out of range of {}", type_name(self.to))
            }
            other => Ok(other.flatten()),
        };
        values.map(kept).collect()
    }

    fn unfit(&self, text: &str) -> DataFusionError {
        exec_datafusion_err!("'{text}' cannot be cast to {}", type_name(self.to))
    }

    fn read<T>(&self, texts: &StringArray, read: impl Fn(&str) -> Option<T>) -> Result<Vec<Option<T>>> {
        let each = |text: Option<&str>| {
            let Some(text) = text else { return Ok(None) };
            match read(text) {
                None if self.on_failure == OnFailure::Error => Err(self.unfit(text)),
                value => Ok(value),
            }
        };
        texts.iter().map(each).collect()
    }

    fn of_texts(&self, texts: &StringArray) -> Result<ArrayRef> {
        match self.to {
            DataType::Date32 => {
                let day = |text: &str| read_date(text).and_then(|days| i32::try_from(days).ok());
                Ok(Arc::new(PrimitiveArray::<Date32Type>::from(self.read(texts, day)?)))
            }
            DataType::Interval(_) => {
                let intervals = self.read(texts, text_to_interval)?;
                Ok(Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::from(intervals)))
            }
            DataType::Timestamp(unit, zone) => {
                let count = |text: &str| text_to_count(read_timestamp(text, zone.is_some())?, *unit);
                of_counts(self.read(texts, count)?.into_iter().collect(), self.to)
            }
            _ => {
                let unit = self.unit()?;
                let count = |text: &str| text_to_count(i128::from(read_time(text)?), unit);
                of_counts(self.read(texts, count)?.into_iter().collect(), self.to)
            }
        }
    }

    /// Converts timestamps and times to the target's unit, or extracts the date or the time of day.
    fn of_times(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let Some((counts, unit)) = counts(values) else {
            return exec_err!("{} is not a type of times", values.data_type());
        };
        let counts = counts.iter();
        if *self.to == DataType::Date32 {
            let per_day = per_second(unit) * 86_400;
            let days =
                self.all(counts.map(|count| {
                    count.map(|count| Some(count.div_euclid(per_day)).filter(|days| DATES.contains(days)))
                }))?;
            return Ok(Arc::new(days.unary::<_, Date32Type>(|days| days as i32)));
        }
        let target = self.unit()?;
        let per_day = per_second(target) * 86_400;
        let is_time = !matches!(self.to, DataType::Timestamp(..));
        let converted = counts.map(|count| {
            count.map(|count| {
                let count = in_unit(count, unit, target)?;
                Some(if is_time { count.rem_euclid(per_day) } else { count })
            })
        });
        of_counts(self.all(converted)?, self.to)
    }
}

/// Converts the nanoseconds read from a text to `unit`. As in DuckDB, digits below microseconds are cut off; units
/// coarser than that round.
fn text_to_count(nanoseconds: i128, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Nanosecond => i64::try_from(nanoseconds).ok(),
        _ => in_unit(i64::try_from(nanoseconds.div_euclid(1_000)).ok()?, TimeUnit::Microsecond, unit),
    }
}

fn texts(values: &ArrayRef) -> Result<ArrayRef> {
    let texts: StringArray = match values.data_type() {
        DataType::Date32 => {
            values.as_primitive::<Date32Type>().iter().map(|days| days.map(|days| date_text(days.into()))).collect()
        }
        DataType::Duration(unit) => return texts(&intervals_of_durations(values, *unit)?),
        DataType::Interval(_) => {
            values.as_primitive::<IntervalMonthDayNanoType>().iter().map(|value| value.map(interval_text)).collect()
        }
        data_type => {
            let Some((counts, unit)) = counts(values) else {
                return exec_err!("{data_type} is not a type of times");
            };
            let text = |count| match data_type {
                DataType::Timestamp(_, Some(_)) => timestamp_text(count, unit) + "+00",
                DataType::Timestamp(_, None) => timestamp_text(count, unit),
                _ => time_text(count, unit),
            };
            counts.iter().map(|count| count.map(text)).collect()
        }
    };
    Ok(Arc::new(texts))
}

/// Says whether an interval is added or subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Later,
    Earlier,
}

/// Moves timestamps by an interval: first by its months, then its days, then its nanoseconds.
pub(super) fn shifted(times: &ArrayRef, by: &ArrayRef, direction: Direction) -> Result<ArrayRef> {
    let Some((counts, unit)) = counts(times) else {
        return exec_err!("{} is not a type of times", times.data_type());
    };
    let intervals = by.as_primitive::<IntervalMonthDayNanoType>();
    let sign = if direction == Direction::Later { 1 } else { -1 };
    let shift = |(row, count): (usize, Option<i64>)| {
        let Some(count) = count.filter(|_| intervals.is_valid(row)) else { return Ok(None) };
        match shifted_count(count, unit, intervals.value(row), sign) {
            Some(count) => Ok(Some(count)),
            None => exec_err!("the timestamp is out of range"),
        }
    };
    of_counts(counts.iter().enumerate().map(shift).collect::<Result<Int64Array>>()?, times.data_type())
}

fn shifted_count(count: i64, unit: TimeUnit, by: IntervalMonthDayNano, sign: i64) -> Option<i64> {
    let per_day = per_second(unit) * 86_400;
    let (mut days, of_day) = (count.div_euclid(per_day), count.rem_euclid(per_day));
    if by.months != 0 {
        days = Civil::of_days(days).plus_months(sign * i64::from(by.months)).days();
    }
    days += sign * i64::from(by.days);
    let nanoseconds = i128::from(1_000_000_000 / per_second(unit));
    let rest = (i128::from(sign) * i128::from(by.nanoseconds)).div_euclid(nanoseconds);
    i64::try_from(i128::from(days) * i128::from(per_day) + i128::from(of_day) + rest).ok()
}
