//! Parses ISO 8601 text into dates, times of day and timestamps: the calendar's extended form, exactly or not at all.
//!
//! ```text
//! date       [+-]YYYY-MM-DD                     a year has four digits; with a leading sign it may have more
//! time       hh:mm[:ss[.fraction]]
//! timestamp  date, or date and time separated by T or a space
//! zone       Z, +hh, +hhmm, +hh:mm or +hh:mm:ss, after the time
//! ```

use arrow::datatypes::TimeUnit;
use laminardb_planner::calendar::{Civil, SECONDS_A_DAY};

use super::refused::Reason;
use super::time::{Moment, ZONED, units};

const NO_DATE: Reason = "it is no ISO 8601 date";
const NO_TIME: Reason = "it is no ISO 8601 time of day";
const NO_TIMESTAMP: Reason = "it is no ISO 8601 timestamp";

/// Parses what is to be a date; a time of day and a zone may follow.
pub(super) fn date(text: &str) -> Result<Moment, Reason> {
    moment(text).ok_or(NO_DATE)
}

/// Parses a timestamp; time of day and zone may be left out.
pub(super) fn timestamp(text: &str) -> Result<Moment, Reason> {
    moment(text).ok_or(NO_TIMESTAMP)
}

/// Returns the microseconds since midnight.
pub(super) fn time(text: &str) -> Result<i64, Reason> {
    let mut scanner = Scanner(text.as_bytes());
    let (nanos, is_finer) = scanner.time().ok_or(NO_TIME)?;
    if !scanner.0.is_empty() {
        // Tells text with a valid zone from other trailing text, to name the right reason.
        return Err(if scanner.zone().is_some() && scanner.0.is_empty() { ZONED } else { NO_TIME });
    }
    units(i128::from(nanos), TimeUnit::Microsecond, is_finer)
}

fn moment(text: &str) -> Option<Moment> {
    let mut scanner = Scanner(text.as_bytes());
    let days = scanner.date()?;
    if scanner.0.is_empty() {
        return Some(Moment::Date(days));
    }
    if !scanner.eat(b"Tt ") {
        return None;
    }
    let (nanos, is_finer) = scanner.time()?;
    let zone = if scanner.0.is_empty() { None } else { Some(scanner.zone()?) };
    let seconds = i128::from(days) * i128::from(SECONDS_A_DAY) - i128::from(zone.unwrap_or(0));
    let nanos = seconds * 1_000_000_000 + i128::from(nanos);
    scanner.0.is_empty().then_some(Moment::Timestamp { nanos, is_finer, is_zoned: zone.is_some() })
}

/// The text that has not been parsed yet.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn eat(&mut self, any_of: &[u8]) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if any_of.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn digit(&mut self) -> Option<i64> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| first.is_ascii_digit())?;
        self.0 = rest;
        Some(i64::from(first - b'0'))
    }

    fn two_digits(&mut self, below: i64) -> Option<i64> {
        let value = self.digit()? * 10 + self.digit()?;
        (value < below).then_some(value)
    }

    fn date(&mut self) -> Option<i64> {
        let sign = match self.0.first()? {
            b'-' => Some(-1),
            b'+' => Some(1),
            _ => None,
        };
        if sign.is_some() {
            self.0 = &self.0[1..];
        }
        let (mut year, mut digits) = (0, 0);
        while let Some(digit) = self.digit() {
            (year, digits) = (year * 10 + digit, digits + 1);
            if digits > 9 {
                return None;
            }
        }
        if digits < 4 || (digits > 4 && sign.is_none()) || !self.eat(b"-") {
            return None;
        }
        let month = self.two_digits(13)?;
        let day = if self.eat(b"-") { self.two_digits(32)? } else { return None };
        Civil::checked(year * sign.unwrap_or(1), month, day).map(Civil::days)
    }

    /// Parses a time of day: nanoseconds, and whether the text gives a smaller fraction.
    fn time(&mut self) -> Option<(i64, bool)> {
        let hour = self.two_digits(24)?;
        let minute = if self.eat(b":") { self.two_digits(60)? } else { return None };
        let second = if self.eat(b":") { Some(self.two_digits(60)?) } else { None };
        let (mut nanos, mut is_finer) = (((hour * 60 + minute) * 60 + second.unwrap_or(0)) * 1_000_000_000, false);
        if second.is_some() && self.eat(b".,") {
            let mut each = 100_000_000;
            nanos += self.digit()? * each;
            while let Some(digit) = self.digit() {
                each /= 10;
                nanos += digit * each;
                is_finer |= each == 0 && digit != 0;
            }
        }
        Some((nanos, is_finer))
    }

    /// Parses a zone as seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.eat(b"Zz") {
            return Some(0);
        }
        let sign = if self.0.first() == Some(&b'-') { -1 } else { 1 };
        if !self.eat(b"+-") {
            return None;
        }
        let mut seconds = self.two_digits(24)? * 3600;
        if self.eat(b":") {
            seconds += self.two_digits(60)? * 60;
            if self.eat(b":") {
                seconds += self.two_digits(60)?;
            }
        } else if !self.0.is_empty() {
            seconds += self.two_digits(60)? * 60;
        }
        Some(sign * seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::refused::OUT_OF_RANGE;
    use super::super::time::{NOT_MIDNIGHT, NOT_ZONED, TOO_FINE};
    use super::*;

    fn date(text: &str) -> Result<i32, Reason> {
        super::date(text)?.date()
    }

    fn timestamp(text: &str, unit: TimeUnit) -> Result<i64, Reason> {
        super::timestamp(text)?.timestamp(unit, false)
    }

    fn instant(text: &str, unit: TimeUnit) -> Result<i64, Reason> {
        super::timestamp(text)?.timestamp(unit, true)
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let cases = [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2024-02-29", 19_782),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
            ("+10000-01-01", 2_932_897),
            ("-0001-12-31", -719_529),
            ("2024-02-29T00:00:00.000", 19_782),
            ("2024-02-29 00:00", 19_782),
        ];
        for (text, expected) in cases {
            assert_eq!(date(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let wrong =
            ["", "2024", "2024-2-9", "2024-02-30", "1900-02-29", "2024-13-01", "2024-00-10", "2024-01-00", "20240229"];
        for text in wrong.into_iter().chain(["10000-01-01", "2024-02-29T", "2024-02-29x", " 2024-02-29", "٢٠٢٤-02-29"])
        {
            assert_eq!(date(text), Err(NO_DATE), "{text}");
        }
        assert_eq!(date("2024-02-29T00:00:01"), Err(NOT_MIDNIGHT));
        assert_eq!(date("2024-02-29T00:00:00.0000000000001"), Err(NOT_MIDNIGHT));
        assert_eq!(date("2024-02-29T00:00Z"), Err(ZONED));
        assert_eq!(date("+999999999-01-01"), Err(OUT_OF_RANGE));
    }

    #[test]
    fn times_are_exact_in_microseconds() {
        assert_eq!(time("00:00"), Ok(0));
        assert_eq!(time("01:02:03.000004"), Ok(3_723_000_004));
        assert_eq!(time("23:59:59,9999990000000"), Ok(86_399_999_999));
        assert_eq!(time("01:02:03.0000001"), Err(TOO_FINE));
        assert_eq!(time("01:02:03.0000000000001"), Err(TOO_FINE));
        for text in ["", "1:02", "24:00", "23:60", "23:59:60", "23", "23:59:", "23:59:59.", "2359", "23:59:59 "] {
            assert_eq!(time(text), Err(NO_TIME), "{text}");
        }
        assert_eq!(time("01:02Z"), Err(ZONED));
        assert_eq!(time("01:02:03+01:00"), Err(ZONED));
    }

    #[test]
    fn timestamps_keep_their_instant_or_have_none() {
        use TimeUnit::{Microsecond, Nanosecond, Second};
        assert_eq!(timestamp("1970-01-02", Second), Ok(86_400));
        assert_eq!(timestamp("1969-12-31T23:59:59.999999", Microsecond), Ok(-1));
        assert_eq!(timestamp("1970-01-01 00:00:00.000000001", Nanosecond), Ok(1));
        assert_eq!(timestamp("1970-01-01 00:00:00.000000001", Microsecond), Err(TOO_FINE));
        assert_eq!(timestamp("1970-01-01 00:00:00.5", Second), Err(TOO_FINE));
        assert_eq!(timestamp("9999-12-31T00:00:00", Nanosecond), Err(OUT_OF_RANGE));
        assert_eq!(timestamp("1970-01-01T00:00:00Z", Second), Err(ZONED));
        assert_eq!(timestamp("1970-01-01T00:00:00 Z", Second), Err(NO_TIMESTAMP));
        for text in ["1970-01-01T01:00+01", "1970-01-01T01:00+0100", "1970-01-01t01:00+01:00", "1970-01-01 00:00z"] {
            assert_eq!(instant(text, Second), Ok(0), "{text}");
        }
        assert_eq!(instant("1970-01-01T00:00:00-00:00:30", Second), Ok(30));
        assert_eq!(instant("1970-01-01T00:00:00", Second), Err(NOT_ZONED));
        assert_eq!(instant("1970-01-01", Second), Err(NOT_ZONED));
        assert_eq!(instant("1970-01-01T00:00+24:00", Second), Err(NO_TIMESTAMP));
    }
}
