//! The parts of a time, as `date_part` extracts them and `date_trunc` truncates to them.

use arrow::datatypes::IntervalMonthDayNano;

use super::civil::{Civil, DAY, SECOND, iso_week, iso_weekday, moment};

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A part, by DuckDB's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Epoch,
    Julian,
    Era,
    IsoYear,
    YearWeek,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Zone,
}

/// Each part with all its names.
const NAMES: [(Part, &[&str]); 22] = [
    (Part::Millennium, &["millennium", "millennia", "millenniums", "millenium", "mil", "mils"]),
    (Part::Century, &["century", "centuries", "cent", "c"]),
    (Part::Decade, &["decade", "decades", "dec", "decs"]),
    (Part::Year, &["year", "years", "yr", "yrs", "y"]),
    (Part::Quarter, &["quarter", "quarters"]),
    (Part::Month, &["month", "months", "mon", "mons"]),
    (Part::Week, &["week", "weeks", "weekofyear", "w"]),
    (Part::Day, &["day", "days", "dayofmonth", "d"]),
    (Part::Hour, &["hour", "hours", "hr", "hrs", "h"]),
    (Part::Minute, &["minute", "minutes", "min", "mins", "m"]),
    (Part::Second, &["second", "seconds", "sec", "secs", "s"]),
    (Part::Millisecond, &["millisecond", "milliseconds", "ms", "msec", "msecs", "msecond", "mseconds"]),
    (Part::Microsecond, &["microsecond", "microseconds", "us", "usec", "usecs", "usecond", "useconds"]),
    (Part::Epoch, &["epoch"]),
    (Part::Julian, &["julian", "jd"]),
    (Part::Era, &["era"]),
    (Part::IsoYear, &["isoyear"]),
    (Part::YearWeek, &["yearweek"]),
    (Part::DayOfWeek, &["dow", "dayofweek", "weekday"]),
    (Part::IsoDayOfWeek, &["isodow"]),
    (Part::DayOfYear, &["doy", "dayofyear"]),
    (Part::Zone, &["timezone", "timezone_hour", "timezone_minute"]),
];

impl Part {
    /// Returns the part with this name, in any case.
    pub(crate) fn of(name: &str) -> Option<Part> {
        let name = name.to_ascii_lowercase();
        NAMES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(part, _)| *part)
    }

    /// Returns whether the part can have a fraction. Then it is a DOUBLE; all other parts are a BIGINT.
    pub(crate) fn is_fractional(self) -> bool {
        matches!(self, Part::Epoch | Part::Julian)
    }

    /// Returns whether times of day, without a date, have this part.
    pub(crate) fn is_of_time(self) -> bool {
        use Part::{Epoch, Hour, Microsecond, Millisecond, Minute, Second, Zone};
        matches!(self, Hour | Minute | Second | Millisecond | Microsecond | Epoch | Zone)
    }

    /// Returns whether intervals have this part.
    pub(crate) fn is_of_interval(self) -> bool {
        use Part::{Century, Day, Decade, Millennium, Month, Quarter, Year};
        matches!(self, Millennium | Century | Decade | Year | Quarter | Month | Day)
            || (self.is_of_time() && self != Part::Zone)
    }

    /// Returns whether times can be truncated to this part.
    pub(crate) fn can_cut(self) -> bool {
        !matches!(self, Part::Era | Part::Zone)
    }

    /// Returns the part of a moment, given as days and microseconds of the day; must not be a fractional part.
    pub(crate) fn of_moment(self, days: i64, of_day: i64) -> i64 {
        let civil = Civil::of_days(days);
        match self {
            Part::Millennium => span_of_years(civil.year, 1_000),
            Part::Century => span_of_years(civil.year, 100),
            Part::Decade => civil.year / 10,
            Part::Year => civil.year,
            Part::Quarter => (civil.month - 1) / 3 + 1,
            Part::Month => civil.month,
            Part::Week => iso_week(days).1,
            Part::Day => civil.day,
            Part::Era => i64::from(civil.year > 0),
            Part::IsoYear => iso_week(days).0,
            Part::YearWeek => {
                let (year, week) = iso_week(days);
                if year > 0 { year * 100 + week } else { year * 100 - week }
            }
            Part::DayOfWeek => iso_weekday(days) % 7,
            Part::IsoDayOfWeek => iso_weekday(days),
            Part::DayOfYear => days - Civil { year: civil.year, month: 1, day: 1 }.days() + 1,
            // All times are UTC, so the offset is 0.
            Part::Zone => 0,
            of_time => of_time.of_time(of_day),
        }
    }

    /// Returns the part of a time of day, or of a number of microseconds; 0 if times have no such part.
    pub(crate) fn of_time(self, micros: i64) -> i64 {
        match self {
            Part::Hour => micros / HOUR,
            Part::Minute => micros % HOUR / MINUTE,
            Part::Second => micros % MINUTE / SECOND,
            // As in DuckDB, milliseconds and microseconds include the seconds.
            Part::Millisecond => micros % MINUTE / 1_000,
            Part::Microsecond => micros % MINUTE,
            _ => 0,
        }
    }

    /// Returns a fractional part of a moment.
    pub(crate) fn fraction_of_moment(self, days: i64, of_day: i64) -> f64 {
        match self {
            Part::Julian => (days + 2_440_588) as f64 + of_day as f64 / DAY as f64,
            _ => (i128::from(days) * i128::from(DAY) + i128::from(of_day)) as f64 / SECOND as f64,
        }
    }

    /// Returns the part of an interval; must not be a fractional part.
    pub(crate) fn of_interval(self, interval: IntervalMonthDayNano) -> i64 {
        let months = i64::from(interval.months);
        match self {
            Part::Millennium => months / 12_000,
            Part::Century => months / 1_200,
            Part::Decade => months / 120,
            Part::Year => months / 12,
            Part::Quarter => months % 12 / 3 + 1,
            Part::Month => months % 12,
            Part::Day => i64::from(interval.days),
            of_time => of_time.of_time(interval.nanoseconds / 1_000),
        }
    }
}

/// Returns the seconds of an interval, in which a year has 365.25 days and a month 30.
pub(crate) fn epoch_of_interval(interval: IntervalMonthDayNano) -> f64 {
    let (years, months) = (i64::from(interval.months) / 12, i64::from(interval.months) % 12);
    let quarter_days = years * 1_461 + (months * 30 + i64::from(interval.days)) * 4;
    let micros = i128::from(quarter_days) * i128::from(DAY / 4) + i128::from(interval.nanoseconds / 1_000);
    micros as f64 / SECOND as f64
}

/// Returns the number of the span of years that a year is in; the first begins with year 1, the one before it is -1.
fn span_of_years(year: i64, span: i64) -> i64 {
    if year > 0 { (year - 1) / span + 1 } else { year / span - 1 }
}

/// Returns the first moment with the same part and the same larger parts; `None` if a TIMESTAMP cannot hold it.
pub(crate) fn trunc_micros(micros: i64, part: Part) -> Option<i64> {
    let (days, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let unit = match part {
        Part::Microsecond => return Some(micros),
        Part::Millisecond => 1_000,
        Part::Second | Part::Epoch => SECOND,
        Part::Minute => MINUTE,
        Part::Hour => HOUR,
        _ => return moment(trunc_days(days, part), 0),
    };
    moment(days, of_day - of_day % unit)
}

fn trunc_days(days: i64, part: Part) -> i64 {
    let civil = Civil::of_days(days);
    let first = |year| Civil { year, month: 1, day: 1 }.days();
    match part {
        Part::Millennium => first(civil.year / 1_000 * 1_000),
        Part::Century => first(civil.year / 100 * 100),
        Part::Decade => first(civil.year / 10 * 10),
        Part::Year => first(civil.year),
        Part::Quarter => Civil { month: (civil.month - 1) / 3 * 3 + 1, day: 1, ..civil }.days(),
        Part::Month => Civil { day: 1, ..civil }.days(),
        Part::Week | Part::YearWeek => days + 1 - iso_weekday(days),
        Part::IsoYear => {
            let january_4 = first(iso_week(days).0) + 3;
            january_4 + 1 - iso_weekday(january_4)
        }
        _ => days,
    }
}

/// Returns the interval without everything smaller than the part.
pub(crate) fn trunc_interval(interval: IntervalMonthDayNano, part: Part) -> IntervalMonthDayNano {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let of_months = |unit: i32| IntervalMonthDayNano::new(months / unit * unit, 0, 0);
    let of_time = |unit: i64| IntervalMonthDayNano::new(months, days, nanoseconds / (unit * 1_000) * (unit * 1_000));
    match part {
        Part::Millennium => of_months(12_000),
        Part::Century => of_months(1_200),
        Part::Decade => of_months(120),
        Part::Year | Part::IsoYear => of_months(12),
        Part::Quarter => of_months(3),
        Part::Month => of_months(1),
        Part::Week | Part::YearWeek => IntervalMonthDayNano::new(months, days / 7 * 7, 0),
        Part::Hour => of_time(HOUR),
        Part::Minute => of_time(MINUTE),
        Part::Second | Part::Epoch => of_time(SECOND),
        Part::Millisecond => of_time(1_000),
        Part::Microsecond => of_time(1),
        _ => IntervalMonthDayNano::new(months, days, 0),
    }
}
