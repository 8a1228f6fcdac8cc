//! Variances and standard deviations, from exact sums of the arguments and of their squares.
//!
//! n * sum(x²) - sum(x)² is computed with all bits and rounded once, so no digits are lost to cancellation, whatever
//! the mean.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, Float64Array};
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::Accumulator;
use super::exact::scale;
use super::selection::Arguments;
use super::superaccumulator::{SQUARES, Superaccumulators, Total, VALUES};
use crate::segments::Segments;
use crate::{Diff, Diffs, Evaluated};

/// The measure that is computed from the moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    /// Whether the arguments are a sample (divide by n - 1) or the population (divide by n).
    sample: bool,
    /// Whether the square root is taken.
    root: bool,
}

pub(super) const VAR_POP: Spread = Spread { sample: false, root: false };
pub(super) const VAR_SAMP: Spread = Spread { sample: true, root: false };
pub(super) const STDDEV_POP: Spread = Spread { sample: false, root: true };
pub(super) const STDDEV_SAMP: Spread = Spread { sample: true, root: true };

/// Maximum precision of decimals, so that their magnitudes are below 2^64 and can be squared.
const MAX_PRECISION: u8 = 18;

/// Creates a variance or standard deviation as a DOUBLE, if the types are supported.
pub(super) fn make(spread: Spread, argument: &DataType, data_type: &DataType) -> Option<Box<dyn Accumulator>> {
    let decimals = match argument {
        DataType::Float32 | DataType::Float64 => 0,
        integer if integer.is_integer() => 0,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if *precision <= MAX_PRECISION && *scale >= 0 =>
        {
            *scale
        }
        _ => return None,
    };
    (*data_type == DataType::Float64).then(|| {
        Box::new(Moments {
            spread,
            decimals,
            counts: Segments::default(),
            sums: Superaccumulators::new(VALUES),
            squares: Superaccumulators::new(SQUARES),
        }) as Box<dyn Accumulator>
    })
}

struct Moments {
    spread: Spread,
    /// Arguments are whole multiples of 10^-decimals.
    decimals: i8,
    counts: Segments<Diff>,
    sums: Superaccumulators<1>,
    squares: Superaccumulators<2>,
}

impl Accumulator for Moments {
    fn resize(&mut self, groups: usize) {
        self.counts.grow(groups, || 0);
        self.sums.resize(groups);
        self.squares.resize(groups);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        let arguments = Arguments::new(groups, argument, diffs, filter);
        match arguments.data_type() {
            DataType::Float32 => self.add_floats::<Float32Type>(&arguments),
            DataType::Float64 => self.add_floats::<Float64Type>(&arguments),
            DataType::Int8 => self.add_whole::<Int8Type>(&arguments),
            DataType::Int16 => self.add_whole::<Int16Type>(&arguments),
            DataType::Int32 => self.add_whole::<Int32Type>(&arguments),
            DataType::Int64 => self.add_whole::<Int64Type>(&arguments),
            DataType::UInt8 => self.add_whole::<UInt8Type>(&arguments),
            DataType::UInt16 => self.add_whole::<UInt16Type>(&arguments),
            DataType::UInt32 => self.add_whole::<UInt32Type>(&arguments),
            DataType::UInt64 => self.add_whole::<UInt64Type>(&arguments),
            DataType::Decimal32(..) => self.add_whole::<Decimal32Type>(&arguments),
            DataType::Decimal64(..) => self.add_whole::<Decimal64Type>(&arguments),
            DataType::Decimal128(..) => self.add_whole::<Decimal128Type>(&arguments),
            other => panic!("an argument of type {other} to a variance"),
        }
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        let values: Float64Array = groups.iter().map(|group| self.spread(*group)).collect();
        Evaluated { values: Arc::new(values), errors: Vec::new() }
    }

    fn free(&mut self, group: u32) {
        self.counts[group as usize] = 0;
        self.sums.free(group);
        self.squares.free(group);
    }

    fn discard(&mut self, rows: usize) -> usize {
        match self.counts.free(rows) {
            0 => match self.sums.discard(rows) {
                0 => self.squares.discard(rows),
                freed => freed,
            },
            freed => freed,
        }
    }

    fn bytes(&self) -> usize {
        self.counts.bytes() + self.sums.bytes() + self.squares.bytes()
    }
}

impl Moments {
    fn add_floats<T: ArrowPrimitiveType<Native: Into<f64>>>(&mut self, arguments: &Arguments<'_>) {
        let Moments { counts, sums, squares, .. } = self;
        arguments.count_each::<T>(counts, |group, value, diff| {
            let value = value.into();
            sums.add_value(group, value, diff);
            squares.add_square(group, value, diff);
        });
    }

    fn add_whole<T: ArrowPrimitiveType<Native: Into<i128>>>(&mut self, arguments: &Arguments<'_>) {
        let Moments { counts, sums, squares, .. } = self;
        arguments.count_each::<T>(counts, |group, value, diff| {
            let value = value.into();
            sums.add_whole(group, value, diff);
            squares.add_whole_square(group, value, diff);
        });
    }

    fn spread(&self, group: u32) -> Option<f64> {
        let count = u64::try_from(self.counts[group as usize]).ok()?;
        let freedom = if self.spread.sample { count.checked_sub(1)? } else { count };
        if freedom == 0 {
            return None;
        }
        let (Total::Finite(sum), Total::Finite(squares)) = (self.sums.total(group), self.squares.total(group)) else {
            return Some(f64::NAN);
        };
        let (mantissa, exponent) = squares.times(count).minus_up_to_all(&sum.squared()).rounded(53);
        let divisor = (u128::from(count) * u128::from(freedom)) as f64 * 10f64.powi(2 * i32::from(self.decimals));
        if !self.spread.root {
            return Some(scale(mantissa / divisor, exponent));
        }
        // The root is taken before scaling: it may be in range where the variance is not.
        let (mantissa, exponent) =
            if exponent % 2 == 0 { (mantissa, exponent) } else { (2.0 * mantissa, exponent - 1) };
        Some(scale((mantissa / divisor).sqrt(), exponent / 2))
    }
}
