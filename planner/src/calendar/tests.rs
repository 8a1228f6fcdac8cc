//! Tests days and their parts against chrono, within its range, and texts against DuckDB.

use arrow::datatypes::IntervalMonthDayNano;
use chrono::{Datelike, NaiveDate};

use super::civil::{iso_week, iso_weekday};
use super::*;

#[test]
fn days_are_those_of_chrono() {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");
    for days in (-90_000_000..90_000_000).step_by(9_973) {
        let expected = epoch + chrono::Duration::days(days);
        let civil = Civil::of_days(days);
        let parts = (i64::from(expected.year()), i64::from(expected.month()), i64::from(expected.day()));
        assert_eq!((civil.year, civil.month, civil.day), parts);
        assert_eq!(civil.days(), days);
        let week = expected.iso_week();
        assert_eq!(iso_week(days), (week.year().into(), week.week().into()));
        assert_eq!(iso_weekday(days), i64::from(expected.weekday().number_from_monday()));
        assert_eq!(Part::DayOfYear.of_moment(days, 0), i64::from(expected.ordinal()));
    }
    for days in [i64::from(i32::MIN), i64::from(i32::MAX)] {
        assert_eq!(Civil::of_days(days).days(), days);
    }
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    Civil::checked(year, month, day).expect("a date").days()
}

/// The expected values are those of DuckDB 2.0.
#[test]
fn parts_of_years_before_1_are_those_of_duckdb() {
    let part = |part: Part, year| part.of_moment(days(year, 1, 1), 0);
    let centuries = [(2001, 21), (2000, 20), (1, 1), (0, -1), (-99, -1), (-100, -2)];
    assert!(centuries.iter().all(|(year, century)| part(Part::Century, *year) == *century));
    let millennia = [(2001, 3), (2000, 2), (0, -1), (-1000, -2)];
    assert!(millennia.iter().all(|(year, millennium)| part(Part::Millennium, *year) == *millennium));
    let decades = [(2024, 202), (-1, 0), (-10, -1), (-11, -1)];
    assert!(decades.iter().all(|(year, decade)| part(Part::Decade, *year) == *decade));
    assert_eq!([part(Part::Era, 0), part(Part::Era, 1)], [0, 1]);
}

#[test]
fn a_timestamp_is_cut_to_every_part() {
    let moment = |text| i64::try_from(read_timestamp(text, false).expect("a timestamp") / 1_000).expect("in range");
    let cut = |text, part| timestamp_text(trunc_micros(moment(text), part).expect("in range"), TimeUnit::Microsecond);
    let late = "290000-05-05 10:20:30.123456";
    let expected = [
        (Part::Millennium, "290000-01-01 00:00:00"),
        (Part::Quarter, "290000-04-01 00:00:00"),
        (Part::Month, "290000-05-01 00:00:00"),
        (Part::Day, "290000-05-05 00:00:00"),
        (Part::Hour, "290000-05-05 10:00:00"),
        (Part::Second, "290000-05-05 10:20:30"),
        (Part::Millisecond, "290000-05-05 10:20:30.123"),
    ];
    for (part, text) in expected {
        assert_eq!(cut(late, part), text);
    }
    assert_eq!(cut("2021-01-01", Part::IsoYear), "2019-12-30 00:00:00");
    assert_eq!(cut("2024-05-05", Part::Week), "2024-04-29 00:00:00");
    assert_eq!(cut("-0005-05-05", Part::Century), "0001-01-01 (BC) 00:00:00");
    // The week of the first moment begins before that moment.
    assert_eq!(trunc_micros(i64::MIN, Part::Week), None);
}

/// DuckDB 2.0 accepts the same texts and refuses the others.
#[test]
fn timestamps_are_read_as_duckdb_does() {
    let read = |text| read_timestamp(text, false).map(|nanos| (nanos / 1_000) as i64);
    let text = |micros| timestamp_text(micros, TimeUnit::Microsecond);
    for (given, expected) in [
        ("2024-01-05 10:00", "2024-01-05 10:00:00"),
        ("2024-1-5 1:2:3", "2024-01-05 01:02:03"),
        ("2024/01/05", "2024-01-05 00:00:00"),
        ("2024 01 05", "2024-01-05 00:00:00"),
        ("2024-01-05T10:00Z", "2024-01-05 10:00:00"),
        ("2024-01-05  10:00:00.", "2024-01-05 10:00:00"),
        ("2024-01-05 10:00:00+02", "2024-01-05 10:00:00"),
        ("2024-01-05 24:00:00", "2024-01-06 00:00:00"),
        ("0000-01-01", "0001-01-01 (BC) 00:00:00"),
        ("0005-01-01 (BC)", "0005-01-01 (BC) 00:00:00"),
        ("290000-01-01", "290000-01-01 00:00:00"),
        ("epoch", "1970-01-01 00:00:00"),
    ] {
        assert_eq!(read(given).map(text).as_deref(), Some(expected), "{given}");
    }
    for refused in [
        "2024-01-05 10",
        "2024-01-05t10:00",
        "20240105",
        "2024-01/05",
        "2024-01-05 23:59:60",
        "2024-02-30",
        "2024-01",
        "2024-01-05x",
        "2024-01-05 10:00:00x",
        "2024-01-05 10:00:00+2",
        "2024-01-05+02",
        "now",
        "",
        "2024-01-05 1:2:3:4",
    ] {
        assert_eq!(read(refused), None, "{refused}");
    }
}

#[test]
fn moments_are_read_with_their_zones() {
    let read =
        |text| read_timestamp(text, true).map(|nanos| timestamp_text((nanos / 1_000) as i64, TimeUnit::Microsecond));
    for (given, expected) in [
        ("2024-01-05 10:00:00+02", "2024-01-05 08:00:00"),
        ("2024-01-05 10:00+0230", "2024-01-05 07:30:00"),
        ("2024-01-05 10:00:00-02:30:15", "2024-01-05 12:30:15"),
        ("2024-01-05 10:00:00 Europe/Berlin", "2024-01-05 09:00:00"),
        ("2024-01-05 10:00:00 Z", "2024-01-05 10:00:00"),
    ] {
        assert_eq!(read(given).as_deref(), Some(expected), "{given}");
    }
    assert_eq!(read("2024-01-05 10:00:00 Europe/Nowhere"), None);
}

#[test]
fn clocks_repeat_and_leave_out_hours() {
    let zone = zone_named("Europe/Berlin").expect("a zone");
    let seconds = |text| (read_timestamp(text, false).expect("a timestamp") / 1_000_000_000) as i64;
    assert_eq!(in_utc(&zone, seconds("2024-03-31 02:30")), seconds("2024-03-31 01:30"));
    assert_eq!(in_utc(&zone, seconds("2024-10-27 02:30")), seconds("2024-10-27 01:30"));
    assert_eq!(in_zone(&zone, seconds("2024-10-27 00:30")), seconds("2024-10-27 02:30"));
    assert_eq!(in_zone(&zone, seconds("2024-10-27 01:30")), seconds("2024-10-27 02:30"));
    assert_eq!(in_utc(&zone, seconds("290000-01-01 00:00")), seconds("289999-12-31 23:00"));
    assert_eq!(in_utc(&zone, seconds("290000-07-01 00:00")), seconds("290000-06-30 22:00"));
    assert_eq!(in_utc(&zone, seconds("2150-07-01 00:00")), seconds("2150-06-30 22:00"));
    assert_eq!(in_zone(&zone, seconds("-5000-07-01 00:00")), seconds("-5000-07-01 00:53:28"));
    assert!(zone_named("+02:00").is_none());
}

/// DuckDB 2.0 accepts these texts, except for nanoseconds, writes them the same way, and refuses the others.
#[test]
fn intervals_are_read_and_written_as_duckdb_does() {
    for (given, expected) in [
        ("1 day 2 hours", "1 day 02:00:00"),
        ("1d", "1 day"),
        ("3 days ago", "-3 days"),
        ("1.5 months", "1 month 15 days"),
        ("1.55 decades", "15 years 6 months"),
        ("1.5 quarters", "4 months 15 days"),
        ("1.5 weeks", "10 days 12:00:00"),
        ("1.55555555 seconds", "00:00:01.555556"),
        ("-1.5 days", "-1 day -12:00:00"),
        ("0.5 microseconds", "00:00:00"),
        ("10:00", "10:00:00"),
        ("100:00:00.5", "100:00:00.5"),
        ("1 day -1:30:00.5", "1 day -01:30:00.5"),
        ("1", "00:00:01"),
        ("@ 1 millennium", "1000 years"),
        ("-2 nanoseconds 1 us", "00:00:00.000000998"),
        ("1 year 2 mons 3 days 04:05:06.789", "1 year 2 months 3 days 04:05:06.789"),
    ] {
        assert_eq!(text_to_interval(given).map(interval_text).as_deref(), Some(expected), "{given}");
    }
    for refused in ["", "1 fortnight", "1 2 3", "P1D", "- 1 day", "1-2", "1 day foo", "1e3 days", "99999999999 days"] {
        assert_eq!(text_to_interval(refused), None, "{refused}");
    }
    assert_eq!(interval_text(IntervalMonthDayNano::new(-12, 2, -3_500_000_000)), "-1 year 2 days -00:00:03.5");
}
