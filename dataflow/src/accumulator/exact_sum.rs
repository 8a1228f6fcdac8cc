//! SUM and AVG: exact sums, divided once.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array,
    PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};

use super::Accumulator;
use super::selection::Selection;
use super::superaccumulator::{Superaccumulators, Total, VALUES};
use super::whole::WholeSums;
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
    let target = Target::of(data_type)?;
    let supported = match (&sums, target, finish) {
        // A fraction does not fit a whole number, nor a decimal of smaller scale.
        (_, Target::Signed | Target::Unsigned, Finish::Mean) => false,
        (Sums::Whole { scale, .. }, Target::Signed | Target::Unsigned, _) => *scale == 0,
        (Sums::Whole { scale, .. }, Target::Decimal(_, to), _) => *scale <= to,
        (Sums::Whole { .. }, Target::Double, _) => true,
        (Sums::Whole { .. }, Target::Real, _) => false,
        (Sums::Float(_), Target::Double | Target::Real, _) => true,
        (Sums::Float(_), _, _) => false,
    };
    supported.then(|| {
        let state = ExactSum { finish, counts: Vec::new(), sums, target, data_type: data_type.clone() };
        Box::new(state) as Box<dyn Accumulator>
    })
}

struct ExactSum {
    finish: Finish,
    /// Number of arguments of each group.
    counts: Vec<Diff>,
    sums: Sums,
    target: Target,
    data_type: DataType,
}

enum Sums {
    /// Integers, and decimals as integers without their decimal point.
    Whole {
        sums: WholeSums,
        scale: i8,
    },
    Float(Superaccumulators<1>),
}

impl Sums {
    fn of(argument: &DataType) -> Option<Sums> {
        let scale = match argument {
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => *scale,
            DataType::Float32 | DataType::Float64 => return Some(Sums::Float(Superaccumulators::new(VALUES))),
            integer if integer.is_integer() => 0,
            _ => return None,
        };
        (scale >= 0).then(|| Sums::Whole { sums: WholeSums::default(), scale })
    }
}

/// Kinds of result types.
#[derive(Clone, Copy, Debug)]
enum Target {
    Signed,
    Unsigned,
    Decimal(u8, i8),
    Double,
    Real,
}

impl Target {
    fn of(data_type: &DataType) -> Option<Target> {
        match data_type {
            DataType::Int64 => Some(Target::Signed),
            DataType::UInt64 => Some(Target::Unsigned),
            DataType::Decimal128(precision, scale) => Some(Target::Decimal(*precision, *scale)),
            DataType::Float64 => Some(Target::Double),
            DataType::Float32 => Some(Target::Real),
            _ => None,
        }
    }

    fn name(self) -> String {
        match self {
            Target::Signed => "BIGINT".to_owned(),
            Target::Unsigned => "UBIGINT".to_owned(),
            Target::Decimal(precision, scale) => format!("DECIMAL({precision}, {scale})"),
            Target::Double => "DOUBLE".to_owned(),
            Target::Real => "REAL".to_owned(),
        }
    }
}

impl Accumulator for ExactSum {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(self.counts.len().max(groups), 0);
        match &mut self.sums {
            Sums::Whole { sums, .. } => sums.resize(groups),
            Sums::Float(sums) => sums.resize(groups),
        }
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        let values = argument.expect("the aggregate has an argument");
        let rows = Rows { groups, selection: Selection::new(groups.len(), argument, diffs, filter) };
        let counts = &mut self.counts[..];
        match &mut self.sums {
            Sums::Whole { sums, .. } => match values.data_type() {
                DataType::Int8 => rows.add_short::<Int8Type>(values, counts, sums),
                DataType::Int16 => rows.add_short::<Int16Type>(values, counts, sums),
                DataType::Int32 => rows.add_short::<Int32Type>(values, counts, sums),
                DataType::Int64 => rows.add_short::<Int64Type>(values, counts, sums),
                DataType::UInt8 => rows.add_short::<UInt8Type>(values, counts, sums),
                DataType::UInt16 => rows.add_short::<UInt16Type>(values, counts, sums),
                DataType::UInt32 => rows.add_short::<UInt32Type>(values, counts, sums),
                DataType::UInt64 => rows.add_long::<UInt64Type>(values, counts, sums),
                DataType::Decimal32(..) => rows.add_short::<Decimal32Type>(values, counts, sums),
                DataType::Decimal64(..) => rows.add_short::<Decimal64Type>(values, counts, sums),
                DataType::Decimal128(..) => rows.add_long::<Decimal128Type>(values, counts, sums),
                other => panic!("an argument of type {other} to a sum of whole numbers"),
            },
            Sums::Float(sums) => match values.data_type() {
                DataType::Float32 => rows.add_floats::<Float32Type>(values, counts, sums),
                DataType::Float64 => rows.add_floats::<Float64Type>(values, counts, sums),
                other => panic!("an argument of type {other} to a sum of floats"),
            },
        }
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        let mut errors = Vec::new();
        let mut checked = |row: usize, value: Option<i128>| {
            if value.is_none() {
                errors.push(RowError { row, message: self.out_of_range() });
            }
            value
        };
        let numbered = groups.iter().copied().enumerate();
        let values: ArrayRef = match self.target {
            Target::Double => {
                let values = groups.iter().map(|group| self.present(*group).then(|| self.double(*group)));
                Arc::new(values.collect::<Float64Array>())
            }
            Target::Real => {
                let values = groups.iter().map(|group| self.present(*group).then(|| self.real(*group)));
                Arc::new(values.collect::<Float32Array>())
            }
            Target::Signed | Target::Unsigned if self.finish == Finish::Mean => {
                unreachable!("means of whole numbers are decimals or floats")
            }
            Target::Signed => {
                let whole = |(row, group)| {
                    if !self.present(group) {
                        return None;
                    }
                    let fits = self.whole(group).and_then(|sum| i64::try_from(sum).ok());
                    checked(row, fits.map(i128::from)).map(|value| value as i64)
                };
                Arc::new(numbered.map(whole).collect::<PrimitiveArray<Int64Type>>())
            }
            Target::Unsigned => {
                let whole = |(row, group)| {
                    if !self.present(group) {
                        return None;
                    }
                    let fits = self.whole(group).and_then(|sum| u64::try_from(sum).ok());
                    checked(row, fits.map(i128::from)).map(|value| value as u64)
                };
                Arc::new(numbered.map(whole).collect::<PrimitiveArray<UInt64Type>>())
            }
            Target::Decimal(precision, scale) => {
                let decimal = |(row, group)| {
                    let present = self.present(group);
                    present.then(|| checked(row, self.decimal(group, precision, scale))).flatten()
                };
                let values = numbered.map(decimal).collect::<Decimal128Array>();
                Arc::new(values.with_data_type(self.data_type.clone()))
            }
        };
        Evaluated { values, errors }
    }

    fn free(&mut self, group: u32) {
        self.counts[group as usize] = 0;
        match &mut self.sums {
            Sums::Whole { sums, .. } => sums.free(group),
            Sums::Float(sums) => sums.free(group),
        }
    }

    fn bytes(&self) -> usize {
        let sums = match &self.sums {
            Sums::Whole { sums, .. } => sums.bytes(),
            Sums::Float(sums) => sums.bytes(),
        };
        sums + self.counts.capacity() * size_of::<Diff>()
    }
}

impl ExactSum {
    fn present(&self, group: u32) -> bool {
        self.counts[group as usize] > 0
    }

    fn whole(&self, group: u32) -> Option<i128> {
        match &self.sums {
            Sums::Whole { sums, .. } => sums.sum(group),
            Sums::Float(_) => unreachable!("sums of floats are floats"),
        }
    }

    fn out_of_range(&self) -> String {
        let function = match self.finish {
            Finish::Sum => "sum",
            Finish::Mean => "avg",
        };
        format!("{function} out of range for {}", self.target.name())
    }

    fn double(&self, group: u32) -> f64 {
        let count = self.counts[group as usize] as f64;
        match (&self.sums, self.finish) {
            (Sums::Whole { sums, scale }, Finish::Sum) => sums.float(group) / 10f64.powi(i32::from(*scale)),
            (Sums::Whole { sums, scale }, Finish::Mean) => sums.float(group) / (count * 10f64.powi(i32::from(*scale))),
            (Sums::Float(sums), Finish::Sum) => sums.float(group),
            (Sums::Float(sums), Finish::Mean) => {
                let sum = sums.float(group);
                if sum.is_finite() { sum / count } else { float_mean(sums.total(group), count) }
            }
        }
    }

    fn real(&self, group: u32) -> f32 {
        match (&self.sums, self.finish) {
            (Sums::Float(sums), Finish::Sum) => match sums.total(group) {
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
            (Finish::Mean, Some(scaled)) => divide(scaled, i128::from(self.counts[group as usize])),
            (Finish::Mean, None) => {
                // The scaled sum exceeds an i128, but the mean may fit.
                let scaled = sums.wide(group).checked_mul(i256::from_i128(factor))?;
                divide_wide(scaled, i256::from_i128(i128::from(self.counts[group as usize])))?
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

/// The rows of one update, with their groups.
struct Rows<'a> {
    groups: &'a [u32],
    selection: Selection<'a>,
}

impl Rows<'_> {
    fn add_short<T: ArrowPrimitiveType<Native: Into<i64>>>(
        &self,
        values: &ArrayRef,
        counts: &mut [Diff],
        sums: &mut WholeSums,
    ) {
        let values = values.as_primitive::<T>().values();
        self.selection.for_each(|row, diff| {
            let group = self.groups[row];
            counts[group as usize] = counts[group as usize].wrapping_add(diff);
            if diff == 1 {
                sums.add_short(group, values[row].into());
            } else {
                sums.add(group, i128::from(values[row].into()), diff);
            }
        });
    }

    fn add_long<T: ArrowPrimitiveType<Native: Into<i128>>>(
        &self,
        values: &ArrayRef,
        counts: &mut [Diff],
        sums: &mut WholeSums,
    ) {
        let values = values.as_primitive::<T>().values();
        self.selection.for_each(|row, diff| {
            let group = self.groups[row];
            counts[group as usize] = counts[group as usize].wrapping_add(diff);
            sums.add(group, values[row].into(), diff);
        });
    }

    fn add_floats<T: ArrowPrimitiveType<Native: Into<f64>>>(
        &self,
        values: &ArrayRef,
        counts: &mut [Diff],
        sums: &mut Superaccumulators<1>,
    ) {
        let values = values.as_primitive::<T>().values();
        self.selection.for_each(|row, diff| {
            let group = self.groups[row];
            counts[group as usize] = counts[group as usize].wrapping_add(diff);
            sums.add_value(group, values[row].into(), diff);
        });
    }
}
