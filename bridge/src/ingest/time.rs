//! `Moment`: a date or timestamp as its source gives it, and the rules by which columns hold it; and the casts of whole
//! columns of dates, times and timestamps.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use laminardb_planner::calendar::{SECONDS_A_DAY, per_second};

use super::refused::{OUT_OF_RANGE, Reason, Refused, convert, refuse_all};

pub(super) const NOT_MIDNIGHT: Reason = "it is not at midnight";
pub(super) const TOO_FINE: Reason = "it is finer than the type's unit";
pub(super) const ZONED: Reason = "it has a time zone";
pub(super) const NOT_ZONED: Reason = "it has no time zone";

/// A date, or a date with a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Days since 1970-01-01.
    Date(i64),
    /// A timestamp.
    Timestamp {
        /// Nanoseconds since 1970-01-01T00:00:00, in UTC if it has a zone.
        nanos: i128,
        /// Whether a fraction smaller than nanoseconds was given, which `nanos` lacks.
        is_finer: bool,
        /// Whether it has a time zone.
        is_zoned: bool,
    },
}

const NANOS_A_SECOND: i128 = 1_000_000_000;
const NANOS_A_DAY: i128 = SECONDS_A_DAY as i128 * NANOS_A_SECOND;

impl Moment {
    /// Returns the days since 1970-01-01; a timestamp must be at midnight, without a zone.
    pub(super) fn date(self) -> Result<i32, Reason> {
        let days = match self {
            Moment::Date(days) => days.into(),
            Moment::Timestamp { is_zoned: true, .. } => return Err(ZONED),
            Moment::Timestamp { nanos, is_finer, .. } if is_finer || nanos % NANOS_A_DAY != 0 => {
                return Err(NOT_MIDNIGHT);
            }
            Moment::Timestamp { nanos, .. } => nanos / NANOS_A_DAY,
        };
        i32::try_from(days).map_err(|_| OUT_OF_RANGE)
    }

    /// Returns the number of `unit`s since 1970-01-01T00:00:00. A zone must be given if `is_zoned`, and else must not.
    pub(super) fn timestamp(self, unit: TimeUnit, is_zoned: bool) -> Result<i64, Reason> {
        let (nanos, is_finer, has_zone) = match self {
            Moment::Date(days) => (i128::from(days) * NANOS_A_DAY, false, false),
            Moment::Timestamp { nanos, is_finer, is_zoned } => (nanos, is_finer, is_zoned),
        };
        match (has_zone, is_zoned) {
            (true, false) => Err(ZONED),
            (false, true) => Err(NOT_ZONED),
            _ => units(nanos, unit, is_finer),
        }
    }
}

/// Returns a number of nanoseconds in another unit; fails if digits would be lost, or if the value `is_finer`.
pub(super) fn units(nanos: i128, unit: TimeUnit, is_finer: bool) -> Result<i64, Reason> {
    let each = NANOS_A_SECOND / i128::from(per_second(unit));
    if is_finer || nanos % each != 0 {
        return Err(TOO_FINE);
    }
    i64::try_from(nanos / each).map_err(|_| OUT_OF_RANGE)
}

/// Converts a time to another unit; fails if it would lose digits.
fn change_unit(value: i64, from: TimeUnit, to: TimeUnit) -> Result<i64, Reason> {
    let (from, to) = (per_second(from), per_second(to));
    if to >= from {
        return value.checked_mul(to / from).ok_or(OUT_OF_RANGE);
    }
    if value % (from / to) == 0 { Ok(value / (from / to)) } else { Err(TOO_FINE) }
}

/// Converts a count of `unit`s to days; fails if it is not at midnight.
fn days(value: i64, unit: TimeUnit) -> Result<i32, Reason> {
    let a_day = SECONDS_A_DAY * per_second(unit);
    if value % a_day != 0 {
        return Err(NOT_MIDNIGHT);
    }
    i32::try_from(value / a_day).map_err(|_| OUT_OF_RANGE)
}

/// Whether a number of microseconds is a time of day.
pub(super) fn is_of_day(micros: i64) -> bool {
    (0..SECONDS_A_DAY * 1_000_000).contains(&micros)
}

/// Calls `convert` for timestamps of `$unit`.
macro_rules! from_timestamps {
    ($unit:expr, $t:ty, $array:expr, $target:expr, $value:expr) => {
        match $unit {
            TimeUnit::Second => convert::<TimestampSecondType, $t>($array, $target, $value),
            TimeUnit::Millisecond => convert::<TimestampMillisecondType, $t>($array, $target, $value),
            TimeUnit::Microsecond => convert::<TimestampMicrosecondType, $t>($array, $target, $value),
            TimeUnit::Nanosecond => convert::<TimestampNanosecondType, $t>($array, $target, $value),
        }
    };
}

pub(super) fn to_date(array: &ArrayRef) -> Result<ArrayRef, Refused> {
    let target = &DataType::Date32;
    match array.data_type() {
        DataType::Date64 => convert::<Date64Type, Date32Type>(array, target, |v| days(v, TimeUnit::Millisecond)),
        DataType::Timestamp(unit, None) => from_timestamps!(unit, Date32Type, array, target, |v| days(v, *unit)),
        DataType::Timestamp(_, Some(_)) => refuse_all(array, target, ZONED),
        _ => refuse_all(array, target, "only dates, and timestamps at midnight, can be"),
    }
}

pub(super) fn to_time(array: &ArrayRef) -> Result<ArrayRef, Refused> {
    let target = &DataType::Time64(TimeUnit::Microsecond);
    let micros = |value: i64, unit| {
        let value = change_unit(value, unit, TimeUnit::Microsecond)?;
        if is_of_day(value) { Ok(value) } else { Err(OUT_OF_RANGE) }
    };
    type To = Time64MicrosecondType;
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            convert::<Time32SecondType, To>(array, target, |v| micros(v.into(), TimeUnit::Second))
        }
        DataType::Time32(_) => {
            convert::<Time32MillisecondType, To>(array, target, |v| micros(v.into(), TimeUnit::Millisecond))
        }
        DataType::Time64(_) => convert::<Time64NanosecondType, To>(array, target, |v| micros(v, TimeUnit::Nanosecond)),
        _ => refuse_all(array, target, "only times of day can be"),
    }
}

pub(super) fn to_timestamp(array: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, Refused> {
    match unit {
        TimeUnit::Second => timestamp::<TimestampSecondType>(array, unit),
        TimeUnit::Millisecond => timestamp::<TimestampMillisecondType>(array, unit),
        TimeUnit::Microsecond => timestamp::<TimestampMicrosecondType>(array, unit),
        TimeUnit::Nanosecond => timestamp::<TimestampNanosecondType>(array, unit),
    }
}

fn timestamp<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, Refused> {
    let target = &DataType::Timestamp(unit, None);
    let midnight =
        |days: i64| change_unit(days.checked_mul(SECONDS_A_DAY).ok_or(OUT_OF_RANGE)?, TimeUnit::Second, unit);
    match array.data_type() {
        DataType::Date32 => convert::<Date32Type, T>(array, target, |v| midnight(v.into())),
        DataType::Date64 => {
            convert::<Date64Type, T>(array, target, |v| midnight(days(v, TimeUnit::Millisecond)?.into()))
        }
        DataType::Timestamp(from, None) => {
            from_timestamps!(from, T, array, target, |v| change_unit(v, *from, unit))
        }
        DataType::Timestamp(_, Some(_)) => refuse_all(array, target, ZONED),
        _ => refuse_all(array, target, "only timestamps without a time zone, and dates, can be"),
    }
}

/// Keeps the instants: a zone only affects how they are shown, and the column has its own.
pub(super) fn to_instant(array: &ArrayRef, unit: TimeUnit, target: &DataType) -> Result<ArrayRef, Refused> {
    let DataType::Timestamp(from, Some(_)) = array.data_type() else {
        let why = match array.data_type() {
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => NOT_ZONED,
            _ => "only timestamps with a time zone can be",
        };
        return refuse_all(array, target, why);
    };
    let value = |v| change_unit(v, *from, unit);
    match unit {
        TimeUnit::Second => from_timestamps!(from, TimestampSecondType, array, target, value),
        TimeUnit::Millisecond => from_timestamps!(from, TimestampMillisecondType, array, target, value),
        TimeUnit::Microsecond => from_timestamps!(from, TimestampMicrosecondType, array, target, value),
        TimeUnit::Nanosecond => from_timestamps!(from, TimestampNanosecondType, array, target, value),
    }
}
