//! Watermarks: how far the event time of a relation's rows has advanced.
//!
//! Each relation has one watermark, which the catalog, the store and all its writers share. It only moves forward, and
//! no row and no query depends on it. With `WATERMARK FOR`, each accepted write moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast, cast_with_options, max};
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, UInt64Type};
use laminardb_planner::statement::type_name;

use crate::error::Error;

/// Nanoseconds in a millisecond, the unit of watermarks that follow timestamps.
const MILLISECOND: i128 = 1_000_000;

/// Nanoseconds in a day.
const DAY: i128 = 86_400_000 * MILLISECOND;

/// Value of a watermark that was never set.
pub const NO_WATERMARK: i64 = i64::MIN;

/// The watermark of one relation.
#[derive(Debug)]
pub struct Watermark(AtomicI64);

impl Default for Watermark {
    fn default() -> Self {
        Watermark(AtomicI64::new(NO_WATERMARK))
    }
}

impl Watermark {
    /// Returns the current value; [`NO_WATERMARK`] if it was never set.
    pub fn current(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves the watermark to `to`, unless it is already there or further.
    pub fn advance(&self, to: i64) {
        self.0.fetch_max(to, Ordering::AcqRel);
    }
}

/// A column that a watermark follows: each write moves the watermark to the column's maximum minus a delay.
///
/// Timestamps are converted to milliseconds since 1970, integers are used as they are.
#[derive(Clone, Debug)]
pub struct Follow {
    column: usize,
    /// Nanoseconds in one unit of the column; integers count as milliseconds.
    unit: i128,
    /// Delay in nanoseconds.
    delay: i128,
    watermark: Arc<Watermark>,
}

impl Follow {
    /// Follows column number `column`, called `name`; `delay` is an array of one row. Fails if the column is neither a
    /// timestamp nor an integer, or if the delay does not fit it.
    pub fn new(column: usize, name: &str, data_type: &DataType, delay: Option<&ArrayRef>) -> Result<Self, Error> {
        let delay = match delay {
            Some(delay) => delay_of(name, delay, data_type.is_integer())?,
            None => 0,
        };
        Follow::behind(column, name, data_type, delay)
    }

    /// Follows the column with a delay of `delay` nanoseconds.
    pub fn behind(column: usize, name: &str, data_type: &DataType, delay: i128) -> Result<Self, Error> {
        let unit = match data_type {
            DataType::Timestamp(TimeUnit::Second, _) => 1_000 * MILLISECOND,
            DataType::Timestamp(TimeUnit::Millisecond, _) => MILLISECOND,
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => 1,
            whole if whole.is_integer() => MILLISECOND,
            other => {
                let other = type_name(other);
                let text = format!("WATERMARK FOR {name}: a watermark follows a TIMESTAMP or an integer, not {other}");
                return Err(Error::InvalidSchema(text));
            }
        };
        Ok(Follow { column, unit, delay, watermark: Arc::default() })
    }

    /// Returns the followed column and the delay in nanoseconds, as [`Follow::behind`] takes them.
    pub fn column_and_delay(&self) -> (usize, i128) {
        (self.column, self.delay)
    }

    /// Returns the watermark that is moved.
    pub fn watermark(&self) -> &Arc<Watermark> {
        &self.watermark
    }

    /// Returns the value to which rows of the relation move the watermark; `None` if the column has no value in them.
    #[expect(clippy::disallowed_methods, reason = "every integer and timestamp is an Int64, but for UInt64")]
    pub fn reached(&self, rows: &RecordBatch) -> Option<i64> {
        let column = rows.column(self.column);
        let latest = match column.data_type() {
            DataType::UInt64 => max(column.as_primitive::<UInt64Type>()).map(i128::from),
            _ => {
                let column = cast(column, &DataType::Int64).expect("timestamps and integers are integers");
                max(column.as_primitive::<Int64Type>()).map(i128::from)
            }
        };
        let moved = (latest? * self.unit - self.delay).div_euclid(MILLISECOND);
        Some(i64::try_from(moved).unwrap_or(if moved < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// Returns a delay in nanoseconds. It is given as an interval or, for a column of integers, as an integer in its unit.
#[expect(clippy::disallowed_methods, reason = "a delay that does not fit is refused")]
fn delay_of(name: &str, delay: &ArrayRef, of_integers: bool) -> Result<i128, Error> {
    let refused = |why: &str| Error::QueryFailed(format!("WATERMARK FOR {name}: the delay {why}"));
    if delay.is_null(0) {
        return Err(refused("is NULL"));
    }
    let delay = match delay.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let interval = delay.as_primitive::<IntervalMonthDayNanoType>().value(0);
            if interval.months != 0 {
                return Err(refused("is in months, which are not all equally long"));
            }
            i128::from(interval.days) * DAY + i128::from(interval.nanoseconds)
        }
        whole if whole.is_integer() && of_integers => {
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            let whole = cast_with_options(delay, &DataType::Int64, &strict).map_err(|_| refused("is out of range"))?;
            i128::from(whole.as_primitive::<Int64Type>().value(0)) * MILLISECOND
        }
        other if of_integers => return Err(refused(&format!("is a {}, not an integer", type_name(other)))),
        other => return Err(refused(&format!("is a {}, not an INTERVAL", type_name(other)))),
    };
    if delay < 0 { Err(refused("is negative")) } else { Ok(delay) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_only_moves_forward() {
        let watermark = Watermark::default();
        assert_eq!(watermark.current(), NO_WATERMARK);
        watermark.advance(-5);
        watermark.advance(7);
        watermark.advance(3);
        assert_eq!(watermark.current(), 7);
    }
}
