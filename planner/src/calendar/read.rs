//! Reads dates and times from text, in the forms that DuckDB accepts.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use chrono::{DateTime, NaiveDateTime, TimeZone};

use super::civil::{Civil, DAY, SECONDS_A_DAY, iso_weekday};

/// Nanoseconds per second.
const SECOND: i64 = 1_000_000_000;

/// A text that is read from left to right.
pub(crate) struct Text<'a> {
    rest: &'a [u8],
}

/// A moment as a text states it.
pub(crate) struct Stamp<'a> {
    /// Days since 1970.
    pub(crate) days: i64,
    /// Nanoseconds of the day.
    pub(crate) of_day: i64,
    zone: Option<Zone<'a>>,
}

enum Zone<'a> {
    /// Seconds east of UTC.
    Offset(i64),
    Named(&'a str),
}

impl<'a> Text<'a> {
    /// Takes the text without surrounding spaces.
    pub(crate) fn new(text: &'a str) -> Self {
        Text { rest: text.trim().as_bytes() }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Consumes `byte` if it is next, and returns whether it was.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        self.take_word(&[byte])
    }

    pub(crate) fn take_word(&mut self, word: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Consumes and returns the longest run of bytes for which `wanted` is true.
    pub(crate) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.iter().position(|byte| !wanted(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        // All callers ask for ASCII only, so no character is cut.
        std::str::from_utf8(taken).unwrap_or_default()
    }

    pub(crate) fn skip_spaces(&mut self) {
        self.take_while(|byte| byte.is_ascii_whitespace());
    }

    /// Reads a number of `least` to `most` digits.
    pub(crate) fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if (least..=most).contains(&digits.len()) { digits.parse().ok() } else { None }
    }

    /// Reads `.` and digits, if they are next, as nanoseconds; finer digits are cut off.
    fn fraction(&mut self) -> i64 {
        if !self.take(b'.') {
            return 0;
        }
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        digits.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    }

    /// Reads `Y-M-D`, possibly with another separator, and with a sign before or `(BC)` after it, as days since 1970.
    fn date(&mut self) -> Option<i64> {
        if self.take_word(b"epoch") {
            return Some(0);
        }
        let is_negative = self.take(b'-');
        let year = self.number(1, 7)?;
        let mark = self.peek().filter(|mark| b"-/\\ ".contains(mark))?;
        self.take(mark);
        let month = self.number(1, 2)?;
        if !self.take(mark) {
            return None;
        }
        let day = self.number(1, 2)?;
        let is_before_1 = self.take_word(b" (BC)");
        let year = match (is_negative, is_before_1) {
            (false, false) => year,
            (true, false) => -year,
            (false, true) if year > 0 => 1 - year,
            _ => return None,
        };
        Civil::checked(year, month, day).map(Civil::days)
    }

    /// Reads `H:M` or `H:M:S` with a fraction, as nanoseconds; 24:00 is the end of the day.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(1, 2)?;
        if !self.take(b':') {
            return None;
        }
        // DuckDB accepts a missing number of minutes as 0.
        let minute = if self.is_at_end() { 0 } else { self.number(1, 2)? };
        let (mut second, mut fraction) = (0, 0);
        if self.take(b':') {
            second = self.number(1, 2)?;
            fraction = self.fraction();
        }
        let time = ((hour * 60 + minute) * 60 + second) * SECOND + fraction;
        (minute < 60 && second < 60 && time <= DAY * 1_000).then_some(time)
    }

    /// Reads `Z`, an offset like `+02`, `-02:30` or `+0230`, or a space and the name of a zone; a zone may be missing.
    fn zone(&mut self) -> Option<Option<Zone<'a>>> {
        if self.peek() == Some(b'+') || self.peek() == Some(b'-') {
            return self.offset().map(Some);
        }
        self.skip_spaces();
        let name = self.take_while(|byte| byte.is_ascii_graphic());
        match name {
            "" => Some(None),
            "Z" => Some(Some(Zone::Offset(0))),
            name => zone_named(name).map(|_| Some(Zone::Named(name))),
        }
    }

    fn offset(&mut self) -> Option<Zone<'a>> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        self.take(b'+');
        let mut digits = self.take_while(|byte| byte.is_ascii_digit() || byte == b':').split(':');
        let parts: Vec<&str> = match (digits.next()?, digits.next()) {
            (both, None) if both.len() == 4 => vec![&both[..2], &both[2..]],
            (hours, None) => vec![hours],
            (hours, Some(minutes)) => [hours, minutes].into_iter().chain(digits).collect(),
        };
        if parts.len() > 3 || parts.iter().any(|part| part.len() != 2) {
            return None;
        }
        let seconds = parts.iter().zip([3_600, 60, 1]).map(|(part, unit)| part.parse().map(|part: i64| part * unit));
        Some(Zone::Offset(sign * seconds.sum::<Result<i64, _>>().ok()?))
    }

    /// Reads a date, optionally with a time, which may have a zone.
    fn stamp(&mut self) -> Option<Stamp<'a>> {
        let days = self.date()?;
        if self.is_at_end() {
            return Some(Stamp { days, of_day: 0, zone: None });
        }
        if self.take(b' ') {
            self.skip_spaces();
        } else if !self.take(b'T') {
            return None;
        }
        let of_day = self.time()?;
        let zone = self.zone()?;
        self.is_at_end().then_some(Stamp { days, of_day, zone })
    }
}

impl Stamp<'_> {
    /// Returns the nanoseconds since 1970 of the time as written or, if it `is_moment`, converted from its zone to UTC.
    pub(crate) fn nanoseconds(&self, is_moment: bool) -> Option<i128> {
        let written = i128::from(self.days) * i128::from(DAY) * 1_000 + i128::from(self.of_day);
        if !is_moment {
            return Some(written);
        }
        let offset = match &self.zone {
            None => 0,
            Some(Zone::Offset(seconds)) => *seconds,
            Some(Zone::Named(name)) => {
                let seconds = i64::try_from(written.div_euclid(i128::from(SECOND))).ok()?;
                seconds - in_utc(&zone_named(name)?, seconds)
            }
        };
        Some(written - i128::from(offset) * i128::from(SECOND))
    }
}

/// Returns the zone with this name. An offset is not a name: its sign means east in ISO 8601 and west in POSIX.
pub(crate) fn zone_named(name: &str) -> Option<Tz> {
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { Tz::from_str(name).ok() } else { None }
}

/// Converts the time that clocks of a zone show to UTC, both in seconds since 1970.
///
/// A time that is shown twice means the later moment; one that is skipped uses the offset before, as in PostgreSQL.
pub(crate) fn in_utc(zone: &Tz, shown: i64) -> i64 {
    let (shown, far) = near(shown);
    let utc = match zone.from_local_datetime(&naive(shown)).latest() {
        Some(moment) => moment.timestamp(),
        None => {
            // No zone skips more than a day.
            let before = shown - SECONDS_A_DAY;
            shown - (clocks(zone, before) - before)
        }
    };
    utc + far
}

/// Converts UTC to the time that clocks of a zone show, both in seconds since 1970.
pub(crate) fn in_zone(zone: &Tz, moment: i64) -> i64 {
    let (moment, far) = near(moment);
    clocks(zone, moment) + far
}

fn clocks(zone: &Tz, moment: i64) -> i64 {
    zone.from_utc_datetime(&naive(moment)).naive_local().and_utc().timestamp()
}

/// Maps a time to one for which the zone's rules are known; returns it and the difference, both in seconds.
///
/// Rules are recorded until 2100; a later year uses those of a year that begins on the same day of the week and is as
/// long. Before 1600 nothing changes, and chrono's range is limited.
fn near(seconds: i64) -> (i64, i64) {
    let year = Civil::of_days(seconds.div_euclid(SECONDS_A_DAY)).year;
    let alike = match year {
        2100.. => {
            let first = |year| Civil { year, month: 1, day: 1 }.days();
            let days = |year| first(year + 1) - first(year);
            // A year begins on each day of the week within 28 years, leap years too.
            let is_alike =
                |other: &i64| days(*other) == days(year) && iso_weekday(first(*other)) == iso_weekday(first(year));
            let other = (2072..2100).find(is_alike).expect("28 years are of all kinds");
            (first(year) - first(other)) * SECONDS_A_DAY
        }
        ..1600 => ((year - 1600).div_euclid(400) + 1) * 146_097 * SECONDS_A_DAY,
        _ => 0,
    };
    (seconds - alike, alike)
}

fn naive(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).expect("the seconds are near").naive_utc()
}

/// Reads a date as days since 1970; a time after it is ignored.
pub(crate) fn read_date(text: &str) -> Option<i64> {
    Text::new(text).stamp().map(|stamp| stamp.days)
}

/// Reads a time as nanoseconds of the day; a date before it and a zone after it are ignored.
pub(crate) fn read_time(text: &str) -> Option<i64> {
    let mut time = Text::new(text);
    let alone = time.time().filter(|_| time.zone().is_some() && time.is_at_end());
    // Arrow has no 24:00, so it is refused.
    alone.or_else(|| Text::new(text).stamp().map(|stamp| stamp.of_day)).filter(|time| *time < DAY * 1_000)
}

/// Reads a timestamp as nanoseconds since 1970: as written or, if it `is_moment`, in UTC.
pub(crate) fn read_timestamp(text: &str, is_moment: bool) -> Option<i128> {
    Text::new(text).stamp()?.nanoseconds(is_moment)
}
