//! SUM and AVG: exact sums, divided once.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};

use super::Accumulator;
use super::selection::Arguments;
use super::superaccumulator::{Superaccumulators, Total, VALUES};
use super::whole::WholeSums;
use crate::segments::Segments;
use crate::{Diff, Diffs, Evaluated, RowError};

/// How the result follows from the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// The result is the sum itself.
    Sum,
    /// The sum is divided by the number of arguments.
    Mean,
}

/// Creates SUM or AVG of numbers, if it is supported with this result type.
pub(super) fn make(finish: Finish, argument: &DataType, data_type: &DataType) -> Option<Box<dyn Accumulator>> {
    let sums = Sums::of(argument)?;
    let result = ResultType::of(data_type)?;
    let supported = match (&sums, result, finish) {
        // A fraction does not fit a whole number, nor a decimal of smaller scale.
        (_, ResultType::Signed | ResultType::Unsigned, Finish::Mean) => false,
        (Sums::Whole { scale, .. }, ResultType::Signed | ResultType::Unsigned, _) => *scale == 0,
        (Sums::Whole { scale, .. }, ResultType::Decimal(_, to), _) => *scale <= to,
        (Sums::Whole { .. }, ResultType::Double, _) => true,
        (Sums::Whole { .. }, ResultType::Real, _) => false,
        (Sums::Float { .. }, ResultType::Double | ResultType::Real, _) => true,
        (Sums::Float { .. }, _, _) => false,
    };
    supported.then(|| {
        let state = ExactSum { finish, sums, result, data_type: data_type.clone() };
        Box::new(state) as Box<dyn Accumulator>
    })
}

struct ExactSum {
    finish: Finish,
    sums: Sums,
    result: ResultType,
    data_type: DataType,
}

enum Sums {
    /// Integers, and decimals as integers without their decimal point.
    Whole { sums: WholeSums, scale: i8 },
    Float {
        /// Number of arguments of each group.
        counts: Segments<Diff>,
        sums: Superaccumulators<1>,
    },
}

impl Sums {
    fn of(argument: &DataType) -> Option<Sums> {
        let scale = match argument {
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => *scale,
            DataType::Float32 | DataType::Float64 => {
                return Some(Sums::Float { counts: Segments::default(), sums: Superaccumulators::new(VALUES) });
            }
            integer if integer.is_integer() => 0,
            _ => return None,
        };
        (scale >= 0).then(|| Sums::Whole { sums: WholeSums::default(), scale })
    }
}

/// Kinds of result types.
#[derive(Clone, Copy, Debug)]
enum ResultType {
    Signed,
    Unsigned,
    Decimal(u8, i8),
    Double,
    Real,
}

impl ResultType {
    fn of(data_type: &DataType) -> Option<ResultType> {
        match data_type {
            DataType::Int64 => Some(ResultType::Signed),
            DataType::UInt64 => Some(ResultType::Unsigned),
            DataType::Decimal128(precision, scale) => Some(ResultType::Decimal(*precision, *scale)),
            DataType::Float64 => Some(ResultType::Double),
            DataType::Float32 => Some(ResultType::Real),
            _ => None,
        }
    }

    fn name(self) -> String {
        match self {
            ResultType::Signed => "BIGINT".to_owned(),
            ResultType::Unsigned => "UBIGINT".to_owned(),
            ResultType::Decimal(precision, scale) => format!("DECIMAL({precision}, {scale})"),
            ResultType::Double => "DOUBLE".to_owned(),
            ResultType::Real => "REAL".to_owned(),
        }
    }
}

impl Accumulator for ExactSum {
    fn resize(&mut self, groups: usize) {
        match &mut self.sums {
            Sums::Whole { sums, .. } => sums.resize(groups),
            Sums::Float { counts, sums } => {
                counts.grow(groups, || 0);
                sums.resize(groups);
            }
        }
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        let arguments = Arguments::new(groups, argument, diffs, filter);
        match &mut self.sums {
            Sums::Whole { sums, .. } => match arguments.data_type() {
                DataType::Int8 => add_short::<Int8Type>(&arguments, sums),
                DataType::Int16 => add_short::<Int16Type>(&arguments, sums),
                DataType::Int32 => add_short::<Int32Type>(&arguments, sums),
                DataType::Int64 => add_short::<Int64Type>(&arguments, sums),
                DataType::UInt8 => add_short::<UInt8Type>(&arguments, sums),
                DataType::UInt16 => add_short::<UInt16Type>(&arguments, sums),
                DataType::UInt32 => add_short::<UInt32Type>(&arguments, sums),
                DataType::UInt64 => add_long::<UInt64Type>(&arguments, sums),
                DataType::Decimal32(..) => add_short::<Decimal32Type>(&arguments, sums),
                DataType::Decimal64(..) => add_short::<Decimal64Type>(&arguments, sums),
                DataType::Decimal128(..) => add_long::<Decimal128Type>(&arguments, sums),
                other => panic!("an argument of type {other} to a sum of whole numbers"),
            },
            Sums::Float { counts, sums } => match arguments.data_type() {
                DataType::Float32 => add_floats::<Float32Type>(&arguments, counts, sums),
                DataType::Float64 => add_floats::<Float64Type>(&arguments, counts, sums),
                other => panic!("an argument of type {other} to a sum of floats"),
            },
        }
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        match self.result {
            ResultType::Double => self.results::<Float64Type>(groups, |group| Some(self.double(group))),
            ResultType::Real => self.results::<Float32Type>(groups, |group| Some(self.real(group))),
            ResultType::Signed | ResultType::Unsigned if self.finish == Finish::Mean => {
                unreachable!("means of whole numbers are decimals or floats")
            }
            ResultType::Signed => self.results::<Int64Type>(groups, |group| i64::try_from(self.whole(group)?).ok()),
            ResultType::Unsigned => self.results::<UInt64Type>(groups, |group| u64::try_from(self.whole(group)?).ok()),
            ResultType::Decimal(precision, scale) => {
                self.results::<Decimal128Type>(groups, |group| self.decimal(group, precision, scale))
            }
        }
    }

    fn free(&mut self, group: u32) {
        match &mut self.sums {
            Sums::Whole { sums, .. } => sums.free(group),
            Sums::Float { counts, sums } => {
                counts[group as usize] = 0;
                sums.free(group);
            }
        }
    }

    fn discard(&mut self, rows: usize) -> usize {
        match &mut self.sums {
            Sums::Whole { sums, .. } => sums.discard(rows),
            Sums::Float { counts, sums } => match counts.free(rows) {
                0 => sums.discard(rows),
                freed => freed,
            },
        }
    }

    fn bytes(&self) -> usize {
        match &self.sums {
            Sums::Whole { sums, .. } => sums.bytes(),
            Sums::Float { counts, sums } => counts.bytes() + sums.bytes(),
        }
    }
}

impl ExactSum {
    /// Returns the results of `groups`: NULL for those without arguments, an error where `result` is out of range.
    fn results<T: ArrowPrimitiveType>(&self, groups: &[u32], result: impl Fn(u32) -> Option<T::Native>) -> Evaluated {
        let mut errors = Vec::new();
        let of_group = |(row, group): (usize, &u32)| {
            if self.count(*group) <= 0 {
                return None;
            }
            let value = result(*group);
            if value.is_none() {
                errors.push(RowError { row, message: self.out_of_range() });
            }
            value
        };
        let values: PrimitiveArray<T> = groups.iter().enumerate().map(of_group).collect();
        Evaluated { values: Arc::new(values.with_data_type(self.data_type.clone())), errors }
    }

    /// Returns the number of arguments of a group.
    #[inline]
    fn count(&self, group: u32) -> Diff {
        match &self.sums {
            Sums::Whole { sums, .. } => sums.count(group),
            Sums::Float { counts, .. } => counts[group as usize],
        }
    }

    fn whole(&self, group: u32) -> Option<i128> {
        match &self.sums {
            Sums::Whole { sums, .. } => sums.sum(group),
            Sums::Float { .. } => unreachable!("sums of floats are floats"),
        }
    }

    fn out_of_range(&self) -> String {
        let function = match self.finish {
            Finish::Sum => "sum",
            Finish::Mean => "avg",
        };
        format!("{function} out of range for {}", self.result.name())
    }

    fn double(&self, group: u32) -> f64 {
        let count = self.count(group) as f64;
        match (&self.sums, self.finish) {
            (Sums::Whole { sums, scale }, Finish::Sum) => sums.float(group) / 10f64.powi(i32::from(*scale)),
            (Sums::Whole { sums, scale }, Finish::Mean) => sums.float(group) / (count * 10f64.powi(i32::from(*scale))),
            (Sums::Float { sums, .. }, Finish::Sum) => sums.float(group),
            (Sums::Float { sums, .. }, Finish::Mean) => {
                let sum = sums.float(group);
                if sum.is_finite() { sum / count } else { float_mean(sums.total(group), count) }
            }
        }
    }

    fn real(&self, group: u32) -> f32 {
        match (&self.sums, self.finish) {
            (Sums::Float { sums, .. }, Finish::Sum) => match sums.total(group) {
                Total::Special(special) => special as f32,
                Total::Finite(exact) => {
                    // Rounds once, to the 24 bits of a REAL.
                    let (mantissa, exponent) = exact.rounded(24);
                    super::exact::scale(mantissa, exponent) as f32
                }
            },
            _ => self.double(group) as f32,
        }
    }

    fn decimal(&self, group: u32, precision: u8, scale: i8) -> Option<i128> {
        let Sums::Whole { sums, scale: from } = &self.sums else { unreachable!("sums of floats are floats") };
        let factor = 10i128.checked_pow(u32::try_from(scale - from).ok()?)?;
        let scaled = sums.sum(group).and_then(|sum| sum.checked_mul(factor));
        let value = match (self.finish, scaled) {
            (Finish::Sum, scaled) => scaled?,
            (Finish::Mean, Some(scaled)) => divide(scaled, i128::from(self.count(group))),
            (Finish::Mean, None) => {
                // The scaled sum exceeds an i128, but the mean may fit.
                let scaled = sums.wide(group).checked_mul(i256::from_i128(factor))?;
                divide_wide(scaled, i256::from_i128(i128::from(self.count(group))))?
            }
        };
        let limit = 10u128.checked_pow(u32::from(precision))?;
        (value.unsigned_abs() < limit).then_some(value)
    }
}

/// Returns the mean of floats whose sum is beyond the range of floats, or is special.
fn float_mean(total: Total, count: f64) -> f64 {
    match total {
        Total::Special(special) => special,
        Total::Finite(exact) => {
            let (mantissa, exponent) = exact.rounded(53);
            super::exact::scale(mantissa / count, exponent)
        }
    }
}

/// Divides to the nearest whole number, halves away from 0; `by` must be positive.
fn divide(value: i128, by: i128) -> i128 {
    let (quotient, remainder) = (value / by, value % by);
    if remainder.unsigned_abs() * 2 >= by.unsigned_abs() { quotient + value.signum() } else { quotient }
}

fn divide_wide(value: i256, by: i256) -> Option<i128> {
    let (quotient, remainder) = (value.checked_div(by)?, value.checked_rem(by)?);
    let up = remainder.wrapping_abs().wrapping_add(remainder.wrapping_abs()) >= by;
    let step = if !up {
        i256::ZERO
    } else if value < i256::ZERO {
        i256::MINUS_ONE
    } else {
        i256::ONE
    };
    quotient.wrapping_add(step).to_i128()
}

/// Adds numbers of at most 64 bits, of which single ones are added in a shorter way.
fn add_short<T: ArrowPrimitiveType<Native: Into<i64>>>(arguments: &Arguments<'_>, sums: &mut WholeSums) {
    arguments.for_each::<T>(|group, value, diff| {
        if diff == 1 {
            sums.add_short(group, value.into());
        } else {
            sums.add(group, i128::from(value.into()), diff);
        }
    });
}

fn add_long<T: ArrowPrimitiveType<Native: Into<i128>>>(arguments: &Arguments<'_>, sums: &mut WholeSums) {
    arguments.for_each::<T>(|group, value, diff| sums.add(group, value.into(), diff));
}

fn add_floats<T: ArrowPrimitiveType<Native: Into<f64>>>(
    arguments: &Arguments<'_>,
    counts: &mut Segments<Diff>,
    sums: &mut Superaccumulators<1>,
) {
    arguments.count_each::<T>(counts, |group, value, diff| sums.add_value(group, value.into(), diff));
}
