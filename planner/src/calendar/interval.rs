//! Reads intervals from text, in the forms that DuckDB accepts, and converts durations to intervals.

use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit,
};
use datafusion::common::{Result, exec_datafusion_err};

use super::civil::{DAY, SECOND, per_second};
use super::part::Part;
use super::read::Text;

/// Days of a month, where days stand for months.
const MONTH: i64 = 30;

/// The sums of the parts of a text; they can be larger than an interval holds.
#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    micros: i128,
    nanos: i128,
}

/// A number with up to 18 digits behind the point.
struct Number {
    /// Whether the number is negative.
    is_negative: bool,
    whole: i64,
    /// The digits behind the point, in units of 10^-18.
    fraction: i64,
}

const FRACTION: i128 = 1_000_000_000_000_000_000;

/// Reads an interval: `1 year 2 days 03:04:05.6`, `-1.5 hours`, `3 days ago`, or a bare number of seconds.
pub(crate) fn text_to_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let mut rest = Text::new(text);
    let mut sum = Sum::default();
    let mut parts = 0;
    rest.take(b'@');
    loop {
        rest.skip_spaces();
        if rest.is_at_end() {
            break;
        }
        if parts > 0 && rest.take_word(b"ago") && rest.is_at_end() {
            sum = Sum { months: -sum.months, days: -sum.days, micros: -sum.micros, nanos: -sum.nanos };
            break;
        }
        sum.add(&mut rest, parts)?;
        parts += 1;
    }
    if parts == 0 {
        return None;
    }
    let nanoseconds = i64::try_from(sum.micros.checked_mul(1_000)?.checked_add(sum.nanos)?).ok()?;
    Some(IntervalMonthDayNano::new(i32::try_from(sum.months).ok()?, i32::try_from(sum.days).ok()?, nanoseconds))
}

impl Sum {
    /// Reads the next number with its unit, or the next time, and adds it.
    fn add(&mut self, rest: &mut Text<'_>, parts: usize) -> Option<()> {
        let is_negative = rest.take(b'-');
        let whole = rest.number(1, 19)?;
        if rest.take(b':') {
            let micros = time_after(whole, rest)?;
            self.micros += if is_negative { -micros } else { micros };
            return Some(());
        }
        let fraction = if rest.take(b'.') { fraction(rest.take_while(|byte| byte.is_ascii_digit())) } else { 0 };
        rest.skip_spaces();
        let unit = match rest.take_while(|byte| byte.is_ascii_alphabetic()) {
            // DuckDB has no nanoseconds here; a TIMESTAMP(9) needs them.
            "ns" | "nanosecond" | "nanoseconds" => {
                self.nanos += if is_negative { -i128::from(whole) } else { i128::from(whole) };
                return Some(());
            }
            // A number without a unit, if it is the whole text, means seconds.
            "" if parts == 0 && rest.is_at_end() => Part::Second,
            name => Part::of(name)?,
        };
        self.add_number(&Number { is_negative, whole, fraction }, unit)
    }

    /// Adds a number of a unit. The fraction of months and days goes to the next smaller unit; that of years and longer
    /// units gives whole months only.
    fn add_number(&mut self, number: &Number, unit: Part) -> Option<()> {
        let of_months = |months: i64| match months {
            1 | 3 => Scaled::of(number, months),
            _ => Scaled { rest: 0, ..Scaled::of(number, months) },
        };
        match unit {
            Part::Millennium => self.add_months(&of_months(12_000)),
            Part::Century => self.add_months(&of_months(1_200)),
            Part::Decade => self.add_months(&of_months(120)),
            Part::Year => self.add_months(&of_months(12)),
            Part::Quarter => self.add_months(&of_months(3)),
            Part::Month => self.add_months(&of_months(1)),
            Part::Week => self.add_days(&Scaled::of(number, 7)),
            Part::Day => self.add_days(&Scaled::of(number, 1)),
            Part::Hour => self.micros += Scaled::of(number, 3_600 * SECOND).nearest(),
            Part::Minute => self.micros += Scaled::of(number, 60 * SECOND).nearest(),
            Part::Second => self.micros += Scaled::of(number, SECOND).nearest(),
            Part::Millisecond => self.micros += Scaled::of(number, 1_000).nearest(),
            Part::Microsecond => self.micros += Scaled::of(number, 1).whole,
            _ => return None,
        }
        Some(())
    }

    fn add_months(&mut self, months: &Scaled) {
        self.months += months.whole;
        self.add_days(&months.rest_in(MONTH));
    }

    fn add_days(&mut self, days: &Scaled) {
        self.days += days.whole;
        self.micros += days.rest_in(DAY).nearest();
    }
}

/// A number in a smaller unit: the whole units and the rest, in units of 10^-18; both have the same sign.
struct Scaled {
    whole: i128,
    rest: i128,
}

impl Scaled {
    fn of(number: &Number, units: i64) -> Scaled {
        let (units, sign) = (i128::from(units), if number.is_negative { -1 } else { 1 });
        let fraction = i128::from(number.fraction) * units;
        let whole = i128::from(number.whole) * units + fraction / FRACTION;
        Scaled { whole: sign * whole, rest: sign * (fraction % FRACTION) }
    }

    /// Converts the rest to a smaller unit, of which `units` make one of this one.
    fn rest_in(&self, units: i64) -> Scaled {
        let rest = self.rest * i128::from(units);
        Scaled { whole: rest / FRACTION, rest: rest % FRACTION }
    }

    fn nearest(&self) -> i128 {
        if self.rest.abs() * 2 >= FRACTION { self.whole + self.rest.signum() } else { self.whole }
    }
}

/// Reads the digits behind a point, in units of 10^-18.
fn fraction(digits: &str) -> i64 {
    digits.bytes().chain(std::iter::repeat(b'0')).take(18).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
}

/// Reads the rest of `H:M` or `H:M:S`, whose hours are read already, in microseconds.
fn time_after(hours: i64, rest: &mut Text<'_>) -> Option<i128> {
    let minutes = rest.number(1, 2).filter(|minutes| *minutes < 60)?;
    let (mut seconds, mut behind) = (0, 0);
    if rest.take(b':') {
        seconds = rest.number(1, 2).filter(|seconds| *seconds < 60)?;
        if rest.take(b'.') {
            behind = fraction(rest.take_while(|byte| byte.is_ascii_digit()));
        }
    }
    let whole = (i128::from(hours) * 60 + i128::from(minutes)) * 60 + i128::from(seconds);
    let number = Number { is_negative: false, whole: 0, fraction: behind };
    Some(whole * i128::from(SECOND) + Scaled::of(&number, SECOND).nearest())
}

/// Converts durations to intervals of whole days and the rest of a day.
pub(crate) fn intervals_of_durations(durations: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef> {
    debug_assert_eq!(durations.data_type(), &DataType::Duration(unit), "the unit is that of the type");
    let per_day = per_second(unit) * 86_400;
    let nanoseconds = 1_000_000_000 / per_second(unit);
    let convert = |count: i64| {
        let days = i32::try_from(count / per_day)
            .map_err(|_| exec_datafusion_err!("a difference of times is out of range of INTERVAL"))?;
        Ok(IntervalMonthDayNano::new(0, days, count % per_day * nanoseconds))
    };
    let intervals: Result<PrimitiveArray<IntervalMonthDayNanoType>> = match unit {
        TimeUnit::Second => durations.as_primitive::<DurationSecondType>().try_unary(convert),
        TimeUnit::Millisecond => durations.as_primitive::<DurationMillisecondType>().try_unary(convert),
        TimeUnit::Microsecond => durations.as_primitive::<DurationMicrosecondType>().try_unary(convert),
        TimeUnit::Nanosecond => durations.as_primitive::<DurationNanosecondType>().try_unary(convert),
    };
    Ok(std::sync::Arc::new(intervals?))
}
