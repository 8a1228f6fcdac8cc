//! Functions of times. They compute in microseconds throughout, so that they take every date a TIMESTAMP can hold.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, PrimitiveArray, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};

use super::own::{Call, Definition, is_text};
use crate::calendar::{
    Civil, DATES, DAY, Part, epoch_of_interval, in_utc, in_zone, micros, of_counts, per_second, trunc_interval,
    trunc_micros, zone_named,
};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);
pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Returns the type of moments, which are kept in UTC.
pub(super) fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) static DATE_TRUNC: Definition = Definition {
    name: "date_trunc",
    aliases: &["datetrunc"],
    takes: |types| match types {
        [part, of] if is_text(part) => Some(vec![DataType::Utf8, dated(of)?]),
        _ => None,
    },
    gives: |call| {
        literal_part(call, 0, |part| part.can_cut())?;
        Ok(match call.types[1] {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            DataType::Interval(_) => INTERVAL,
            _ => TIMESTAMP,
        })
    },
    values: date_trunc,
};

pub(super) static DATE_PART: Definition = Definition {
    name: "date_part",
    aliases: &["datepart"],
    takes: |types| match types {
        [part, time @ (DataType::Time32(_) | DataType::Time64(_))] if is_text(part) => {
            Some(vec![DataType::Utf8, time.clone()])
        }
        [part, of] if is_text(part) => Some(vec![DataType::Utf8, dated(of)?]),
        _ => None,
    },
    gives: |call| {
        let has_part: fn(Part) -> bool = match call.types[1] {
            DataType::Interval(_) => Part::is_of_interval,
            DataType::Time32(_) | DataType::Time64(_) => Part::is_of_time,
            _ => |_| true,
        };
        match literal_part(call, 0, has_part)? {
            Some(part) if part.is_fractional() => Ok(DataType::Float64),
            _ => Ok(DataType::Int64),
        }
    },
    values: date_part,
};

pub(super) static DATE_BIN: Definition = Definition {
    name: "date_bin",
    aliases: &[],
    takes: |types| {
        let (width, times) = types.split_first()?;
        let width = matches!(width, DataType::Interval(_) | DataType::Duration(_) | DataType::Utf8 | DataType::Null);
        if !width || !(1..=2).contains(&times.len()) {
            return None;
        }
        let is_time = |of: &DataType| matches!(of, DataType::Time32(_) | DataType::Time64(_) | DataType::Null);
        let times: Option<Vec<_>> = if is_time(&times[0]) && times[0] != DataType::Null {
            times.iter().map(|of| is_time(of).then_some(TIME)).collect()
        } else {
            times.iter().map(|of| dated(of).filter(|of| *of != INTERVAL)).collect()
        };
        Some(std::iter::once(INTERVAL).chain(times?).collect())
    },
    gives: |call| {
        Ok(match call.types[1] {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            DataType::Time64(_) => TIME,
            _ => TIMESTAMP,
        })
    },
    values: date_bin,
};

pub(super) static MAKE_DATE: Definition = Definition {
    name: "make_date",
    aliases: &[],
    takes: |types| {
        let is_whole = |of: &DataType| of.is_integer() || *of == DataType::Null;
        (types.len() == 3 && types.iter().all(is_whole)).then(|| vec![DataType::Int64; 3])
    },
    gives: |_| Ok(DataType::Date32),
    values: make_date,
};

/// Adds a number of days to a date; `date + integer` calls it.
pub(super) static ADD_DAYS: Definition = Definition {
    name: "add_days",
    aliases: &[],
    takes: |types| match types {
        [DataType::Date32, days] if days.is_integer() => Some(vec![DataType::Date32, DataType::Int64]),
        _ => None,
    },
    gives: |_| Ok(DataType::Date32),
    values: |args, _| {
        let (dates, days) = (args[0].as_primitive::<Date32Type>(), args[1].as_primitive::<Int64Type>());
        let later = dates.iter().zip(days).map(|(date, days)| {
            let Some((date, days)) = date.zip(days) else { return Ok(None) };
            match i64::from(date).checked_add(days).and_then(|days| i32::try_from(days).ok()) {
                Some(later) => Ok(Some(later)),
                None => exec_err!("the date is out of range"),
            }
        });
        Ok(Arc::new(later.collect::<Result<PrimitiveArray<Date32Type>>>()?))
    },
};

/// Adds a time to a date; `date + time` calls it.
pub(super) static ADD_TIME: Definition = Definition {
    name: "add_time",
    aliases: &[],
    takes: |types| match types {
        [DataType::Date32, DataType::Time32(_) | DataType::Time64(_)] => Some(vec![DataType::Date32, TIME]),
        _ => None,
    },
    gives: |_| Ok(TIMESTAMP),
    values: |args, to| {
        let (dates, times) = (micros(&args[0])?, micros(&args[1])?);
        let sum = dates.iter().zip(times.iter()).map(|(date, time)| {
            let Some((date, time)) = date.zip(time) else { return Ok(None) };
            let sum = date.checked_add(time).ok_or_else(|| exec_datafusion_err!("the timestamp is out of range"));
            sum.map(Some)
        });
        of_counts(sum.collect::<Result<_>>()?, to)
    },
};

pub(super) static TIMEZONE: Definition = Definition {
    name: "timezone",
    aliases: &[],
    takes: |types| match types {
        [zone, of] if is_text(zone) && !is_text(of) => match dated(of)? {
            DataType::Interval(_) => None,
            DataType::Date32 => Some(vec![DataType::Utf8, TIMESTAMP]),
            of => Some(vec![DataType::Utf8, of]),
        },
        _ => None,
    },
    gives: |call| {
        if let Some(name) = call.literal_text(0) {
            zone(name).map_err(|error| datafusion::error::DataFusionError::Plan(error.strip_backtrace()))?;
        }
        Ok(match call.types[1] {
            DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(at_least_micros(*unit), None),
            DataType::Timestamp(unit, None) => DataType::Timestamp(at_least_micros(*unit), Some("UTC".into())),
            _ => timestamptz(),
        })
    },
    values: timezone,
};

fn at_least_micros(unit: TimeUnit) -> TimeUnit {
    if unit == TimeUnit::Nanosecond { unit } else { TimeUnit::Microsecond }
}

/// Returns the type to which an argument that is a date, a timestamp, an interval or a text is cast.
fn dated(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Date32 | DataType::Timestamp(..) => data_type.clone(),
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        text if is_text(text) => TIMESTAMP,
        _ => return None,
    })
}

/// Returns the part that an argument names, if it is a literal; fails if there is no such part.
fn literal_part(call: &Call<'_>, argument: usize, has_part: fn(Part) -> bool) -> Result<Option<Part>> {
    let Some(name) = call.literal_text(argument) else { return Ok(None) };
    match Part::of(name) {
        Some(part) if has_part(part) => Ok(Some(part)),
        Some(_) => plan_err!("{}: {} has no {name}", call.name, crate::statement::type_name(call.types[1])),
        None => plan_err!("{}: '{name}' is no part of a time", call.name),
    }
}

/// The parts that a column of names means.
struct Parts<'a> {
    names: &'a StringArray,
    /// The name and the part that were looked up last.
    last: Option<(&'a str, Part)>,
}

impl<'a> Parts<'a> {
    fn new(names: &'a ArrayRef) -> Self {
        Parts { names: names.as_string::<i32>(), last: None }
    }

    fn at(&mut self, row: usize) -> Result<Option<Part>> {
        if self.names.is_null(row) {
            return Ok(None);
        }
        let name = self.names.value(row);
        match self.last {
            Some((last, part)) if last == name => Ok(Some(part)),
            _ => match Part::of(name) {
                Some(part) => {
                    self.last = Some((name, part));
                    Ok(Some(part))
                }
                None => exec_err!("'{name}' is no part of a time"),
            },
        }
    }
}

fn date_trunc(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let mut parts = Parts::new(&args[0]);
    let part_at = |row, parts: &mut Parts<'_>| match parts.at(row)? {
        Some(part) if !part.can_cut() => exec_err!("times cannot be cut to {part:?}"),
        part => Ok(part),
    };
    if let Some(intervals) = args[1].as_primitive_opt::<IntervalMonthDayNanoType>() {
        let cut = |(row, value): (usize, Option<_>)| {
            Ok(part_at(row, &mut parts)?.zip(value).map(|(part, value)| trunc_interval(value, part)))
        };
        let cut: Vec<_> = intervals.iter().enumerate().map(cut).collect::<Result<_>>()?;
        return Ok(Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::from(cut)));
    }
    let cut = |(row, value): (usize, Option<i64>)| match part_at(row, &mut parts)?.zip(value) {
        Some((part, value)) => match trunc_micros(value, part) {
            Some(cut) => Ok(Some(cut)),
            None => exec_err!("the timestamp is out of range"),
        },
        None => Ok(None),
    };
    of_counts(micros(&args[1])?.iter().enumerate().map(cut).collect::<Result<_>>()?, to)
}

fn date_part(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let mut parts = Parts::new(&args[0]);
    let intervals = args[1].as_primitive_opt::<IntervalMonthDayNanoType>();
    let is_time = matches!(args[1].data_type(), DataType::Time32(_) | DataType::Time64(_));
    let times = if intervals.is_none() { Some(days_and_micros(&args[1])?) } else { None };
    let (mut wholes, mut fractions) = (Vec::new(), Vec::new());
    for row in 0..args[1].len() {
        let part = parts.at(row)?.filter(|_| args[1].is_valid(row));
        let has_part = part.is_none_or(|part| match intervals {
            Some(_) => part.is_of_interval(),
            None => !is_time || part.is_of_time(),
        });
        // If the part is not a literal the result is a BIGINT, because its type must be known before any row is.
        let is_whole = part.is_none_or(|part| part.is_fractional() == (*to == DataType::Float64));
        if !has_part || !is_whole {
            return exec_err!("a {} has no part {part:?}", crate::statement::type_name(args[1].data_type()));
        }
        let moment = times.as_ref().map(|(days, of_day)| (days[row], of_day[row]));
        if *to == DataType::Float64 {
            fractions.push(part.map(|part| match (intervals, moment) {
                (Some(intervals), _) => epoch_of_interval(intervals.value(row)),
                (None, moment) => {
                    let (days, of_day) = moment.unwrap_or_default();
                    part.fraction_of_moment(days, of_day)
                }
            }));
        } else {
            wholes.push(part.map(|part| match (intervals, moment) {
                (Some(intervals), _) => part.of_interval(intervals.value(row)),
                (None, moment) => {
                    let (days, of_day) = moment.unwrap_or_default();
                    part.of_moment(days, of_day)
                }
            }));
        }
    }
    if *to == DataType::Float64 {
        return Ok(Arc::new(Float64Array::from(fractions)));
    }
    Ok(Arc::new(Int64Array::from(wholes)))
}

/// Returns days since 1970 and microseconds of the day, separately because a DATE has days that no TIMESTAMP can hold.
fn days_and_micros(values: &ArrayRef) -> Result<(Vec<i64>, Vec<i64>)> {
    if let Some(days) = values.as_primitive_opt::<Date32Type>() {
        return Ok((days.values().iter().map(|days| i64::from(*days)).collect(), vec![0; days.len()]));
    }
    let micros = micros(values)?;
    Ok(micros.values().iter().map(|micros| (micros.div_euclid(DAY), micros.rem_euclid(DAY))).unzip())
}

fn make_date(args: &[ArrayRef], _to: &DataType) -> Result<ArrayRef> {
    let [year, month, day] = [0, 1, 2].map(|arg| args[arg].as_primitive::<Int64Type>());
    let make = |row: usize| {
        if year.is_null(row) || month.is_null(row) || day.is_null(row) {
            return Ok(None);
        }
        let (year, month, day) = (year.value(row), month.value(row), day.value(row));
        let is_near = (-6_000_000..6_000_000).contains(&year);
        let days = Civil::checked(year, month, day).filter(|_| is_near).map(Civil::days);
        match days.filter(|days| DATES.contains(days)) {
            Some(days) => Ok(Some(days as i32)),
            None => exec_err!("there is no date {year}-{month}-{day}"),
        }
    };
    let days = (0..year.len()).map(make).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(PrimitiveArray::<Date32Type>::from(days)))
}

/// Returns the time zone with this name; fails if there is none.
fn zone(name: &str) -> Result<Tz> {
    zone_named(name).ok_or_else(|| exec_datafusion_err!("there is no time zone '{name}'"))
}

/// Converts a moment to the time that clocks of a zone show, or such a time to the moment.
fn timezone(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let names = args[0].as_string::<i32>();
    let DataType::Timestamp(unit, target) = to else { return exec_err!("{to} is not a timestamp") };
    let times = match unit {
        TimeUnit::Microsecond => micros(&args[1])?,
        _ => crate::calendar::counts(&args[1]).map(|(counts, _)| counts).unwrap_or_else(|| Int64Array::new_null(0)),
    };
    let per_second = per_second(*unit);
    let mut last: Option<(&str, Tz)> = None;
    let convert = |(row, time): (usize, Option<i64>)| {
        let Some(time) = time.filter(|_| names.is_valid(row)) else { return Ok(None) };
        let name = names.value(row);
        let zone = match last {
            Some((other, zone)) if other == name => zone,
            _ => last.insert((name, zone(name)?)).1,
        };
        let (seconds, fraction) = (time.div_euclid(per_second), time.rem_euclid(per_second));
        let seconds = if target.is_some() { in_utc(&zone, seconds) } else { in_zone(&zone, seconds) };
        match seconds.checked_mul(per_second).and_then(|whole| whole.checked_add(fraction)) {
            Some(time) => Ok(Some(time)),
            None => exec_err!("the timestamp is out of range"),
        }
    };
    of_counts(times.iter().enumerate().map(convert).collect::<Result<_>>()?, to)
}

/// Returns the beginning of the bin that a time is in; all bins have the same width, and one begins at the origin.
fn date_bin(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let widths = args[0].as_primitive::<IntervalMonthDayNanoType>();
    let times = micros(&args[1])?;
    let origins = args.get(2).map(micros).transpose()?;
    let is_time = *to == TIME;
    let bin = |row: usize| {
        let is_null = widths.is_null(row) || times.is_null(row) || origins.as_ref().is_some_and(|o| o.is_null(row));
        if is_null {
            return Ok(None);
        }
        let origin = origins.as_ref().map_or(0, |origins| origins.value(row));
        let begin = bin_of(widths.value(row), times.value(row), origin, is_time)?;
        Ok(Some(if is_time { begin.rem_euclid(DAY) } else { begin }))
    };
    of_counts((0..times.len()).map(bin).collect::<Result<_>>()?, to)
}

fn bin_of(width: IntervalMonthDayNano, time: i64, origin: i64, is_time: bool) -> Result<i64> {
    let IntervalMonthDayNano { months, days, nanoseconds } = width;
    if months != 0 {
        if months < 0 || days != 0 || nanoseconds != 0 || is_time {
            return exec_err!("date_bin: a width is months alone, or days and smaller units, and more than nothing");
        }
        return month_bin(i64::from(months), time, origin)
            .ok_or_else(|| exec_datafusion_err!("date_bin: the timestamp is out of range"));
    }
    let width = i128::from(days) * i128::from(DAY) + i128::from(nanoseconds / 1_000);
    if width <= 0 || nanoseconds % 1_000 != 0 {
        return exec_err!("date_bin: a width is one or more microseconds");
    }
    let (time, origin) = (i128::from(time), i128::from(origin));
    let begin = (time - origin).div_euclid(width) * width + origin;
    i64::try_from(begin).map_err(|_| exec_datafusion_err!("date_bin: the timestamp is out of range"))
}

/// Returns the last moment not after `time` that is a multiple of `months` away from `origin`.
fn month_bin(months: i64, time: i64, origin: i64) -> Option<i64> {
    let civil = |moment: i64| Civil::of_days(moment.div_euclid(DAY));
    let (first, at) = (civil(origin), civil(time));
    let apart = (at.year - first.year) * 12 + at.month - first.month;
    let begin = |bins: i64| {
        let days = first.plus_months(bins * months).days();
        crate::calendar::moment(days, origin.rem_euclid(DAY))
    };
    let bins = apart.div_euclid(months);
    // The bin of the month can still begin after `time` within that month; then the bin before it is meant.
    let moment = begin(bins)?;
    if moment > time { begin(bins - 1) } else { Some(moment) }
}
