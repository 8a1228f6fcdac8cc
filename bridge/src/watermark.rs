//! Watermarks: how far the time of a relation's rows has come.
//!
//! A watermark is the relation's own: the catalog, the store and all writers of the relation share one. It only moves
//! forward, and no row and no query depends on it. With `WATERMARK FOR` each accepted write moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, max};
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, UInt64Type};
use laminardb_planner::statement::type_name;

use crate::error::Error;

/// Nanoseconds of a millisecond, the unit of watermarks that follow timestamps.
const MILLISECOND: i128 = 1_000_000;

/// Nanoseconds of a day.
const DAY: i128 = 86_400_000 * MILLISECOND;

/// A watermark that was never set.
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
    /// Where it is; [`NO_WATERMARK`] if it was never set.
    pub fn current(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves it to `to`, unless it is there or further already.
    pub fn advance(&self, to: i64) {
        self.0.fetch_max(to, Ordering::AcqRel);
    }
}

/// A column that a watermark follows: each write moves it to the column's maximum less a delay.
///
/// Timestamps count as milliseconds since 1970, integers as they are.
#[derive(Clone, Debug)]
pub struct Follow {
    column: usize,
    /// Nanoseconds of one unit of the column.
    unit: i128,
    /// In nanoseconds.
    delay: i128,
    watermark: Arc<Watermark>,
}

impl Follow {
    /// Follows column number `column`, called `name`; `delay` is an array of one row.
    pub fn new(column: usize, name: &str, data_type: &DataType, delay: Option<&ArrayRef>) -> Result<Self, Error> {
        let delay = match delay {
            Some(delay) => delay_of(name, delay, data_type.is_integer())?,
            None => 0,
        };
        Follow::behind(column, name, data_type, delay)
    }

    /// The same, `delay` nanoseconds behind.
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

    /// The column followed, and how many nanoseconds behind: what [`Follow::behind`] takes.
    pub fn column_and_delay(&self) -> (usize, i128) {
        (self.column, self.delay)
    }

    /// What is moved.
    pub fn watermark(&self) -> &Arc<Watermark> {
        &self.watermark
    }

    /// Where these rows of the relation move the watermark; `None` without a value in the column.
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

/// A constant delay in nanoseconds: an interval, or, for a column of integers, an integer in the column's unit.
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
            let whole = cast(delay, &DataType::Int64).map_err(|error| refused(&format!("is out of range: {error}")))?;
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
