//! `Number`: one number as its source gives it, and the rules by which columns of integers, floats and decimals hold
//! it: exactly, or not at all. Casts of whole columns keep the same rules.

use std::fmt::LowerExp;
use std::str::FromStr;

use super::decimal::{self, is_number};
use super::refused::{OUT_OF_RANGE, Reason};

pub(super) const FRACTION: Reason = "it has a fraction";
pub(super) const NOT_FINITE: Reason = "it is not a finite number";
pub(super) const NOT_EXACT: Reason = "it has no exact representation there";
pub(super) const MORE_DIGITS: Reason = "it has more digits than the type";
pub(super) const NUMBERS_ONLY: Reason = "only numbers can be";
pub(super) const NO_NUMBER: Reason = "it is no number";

/// A number, in the form that its source has.
#[derive(Clone, Debug)]
pub enum Number<'a> {
    /// An integer.
    Integer(i128),
    /// A double.
    Double(f64),
    /// A float of single precision, whose shortest text is shorter than that of the equal double.
    Single(f32),
    /// What a text says: digits alone are an integer, which floats must hold exactly; with a point or an exponent they
    /// are a decimal. NaN and infinities are numbers to columns of floats. Text may also be no number at all.
    Written(&'a str),
    /// A value of a decimal type as text, which floats hold as the nearest value even if it is whole.
    Decimal(String),
}

impl Number<'_> {
    /// Returns the integer that the number is.
    #[inline]
    pub(super) fn integer<N: TryFrom<i128>>(&self) -> Result<N, Reason> {
        narrow(match self {
            Number::Integer(value) => *value,
            Number::Double(value) => whole(*value)?,
            Number::Single(value) => whole((*value).into())?,
            Number::Written(text) => whole_text(text)?,
            Number::Decimal(text) => whole_text(text)?,
        })
    }

    /// Returns the nearest float; an integer must be represented exactly.
    #[inline]
    pub(super) fn float<F: Float>(&self) -> Result<F, Reason> {
        match self {
            Number::Integer(value) => F::exactly(*value).ok_or(NOT_EXACT),
            Number::Double(value) => nearest(*value),
            Number::Single(value) => nearest((*value).into()),
            Number::Written(text) => written_float(text),
            Number::Decimal(text) => read_float(text),
        }
    }

    /// Returns the number as a multiple of `10^-scale`; a float is what its shortest text says.
    pub(super) fn decimal(&self, precision: u8, scale: i8) -> Result<i128, Reason> {
        let parse = |text: &str| {
            decimal::parse(text, precision, scale).ok_or_else(|| if is_number(text) { MORE_DIGITS } else { NO_NUMBER })
        };
        let (digits, from) = match self {
            Number::Integer(value) => (*value, 0),
            Number::Double(value) => shortest(*value, value.is_finite())?,
            Number::Single(value) => shortest(*value, value.is_finite())?,
            Number::Written(text) => return parse(text),
            Number::Decimal(text) => return parse(text),
        };
        scaled(digits, from, scale, 10_u128.pow(precision.into()))
    }
}

#[inline]
pub(super) fn narrow<N: TryFrom<i128>>(value: i128) -> Result<N, Reason> {
    N::try_from(value).map_err(|_| OUT_OF_RANGE)
}

/// Returns the integer that a float is.
#[inline]
pub(super) fn whole(value: f64) -> Result<i128, Reason> {
    if !value.is_finite() {
        return Err(NOT_FINITE);
    }
    if value.fract() != 0.0 {
        return Err(FRACTION);
    }
    // Exact below 2^127; beyond that, `as` gives a bound of i128, which is out of every column's range too.
    Ok(value as i128)
}

fn whole_text(text: &str) -> Result<i128, Reason> {
    // Integers with an exponent, a zero fraction or more digits than an i64 take the slow way.
    if let Ok(value) = text.parse::<i64>() {
        return Ok(value.into());
    }
    decimal::parse(text, 38, 0).ok_or_else(|| {
        if !is_number(text) {
            return NO_NUMBER;
        }
        let is_small = text.parse::<f64>().is_ok_and(|value| value.abs() < 1e38);
        if is_small { FRACTION } else { OUT_OF_RANGE }
    })
}

/// The operations that casts need of a float type.
pub(super) trait Float: Copy + FromStr + Into<f64> {
    /// Returns the value nearest to `value`.
    fn nearest(value: f64) -> Self;
    fn exactly(value: i128) -> Option<Self>;
    fn is_infinite(self) -> bool;
    /// Returns the value nearest to `digits / 10^scale`.
    fn decimal(digits: i128, scale: i8) -> Self;
}

macro_rules! float {
    ($t:ty, $mantissa:literal, $exact_power:literal) => {
        impl Float for $t {
            #[inline]
            fn nearest(value: f64) -> Self {
                value as $t
            }

            #[inline]
            fn exactly(value: i128) -> Option<Self> {
                let float = value as $t;
                // The bound excludes values whose cast back would saturate, and so might compare equal.
                (float.abs() < 1e38 && float as i128 == value).then_some(float)
            }

            #[inline]
            fn is_infinite(self) -> bool {
                <$t>::is_infinite(self)
            }

            fn decimal(digits: i128, scale: i8) -> Self {
                // The quotient of two exact numbers is rounded only once, so it is the nearest value.
                if digits.unsigned_abs() < 1 << $mantissa && (0..=$exact_power).contains(&scale) {
                    return digits as $t / <$t>::powi(10.0, scale.into());
                }
                parsed(&format!("{digits}e{}", -i32::from(scale)))
            }
        }
    };
}

float!(f32, 24, 10);
float!(f64, 53, 22);

/// Returns the float nearest to `text`, which must be a number.
pub(super) fn parsed<F: Float>(text: &str) -> F {
    text.parse().ok().expect("digits and an exponent are a number")
}

#[inline]
pub(super) fn finite<F: Float>(value: F) -> Result<F, Reason> {
    if value.is_infinite() { Err(OUT_OF_RANGE) } else { Ok(value) }
}

/// Returns the float nearest to `value`; a finite value must not become infinite.
#[inline]
pub(super) fn nearest<F: Float>(value: f64) -> Result<F, Reason> {
    let nearest = F::nearest(value);
    if value.is_finite() { finite(nearest) } else { Ok(nearest) }
}

/// Returns the float nearest to a text, which is infinite only if the text says so: then it has no digits.
fn read_float<F: Float>(text: &str) -> Result<F, Reason> {
    let float: F = text.parse().map_err(|_| NO_NUMBER)?;
    if float.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) { Err(OUT_OF_RANGE) } else { Ok(float) }
}

fn written_float<F: Float>(text: &str) -> Result<F, Reason> {
    let float: F = read_float(text)?;
    let digits = text.trim_start_matches(['+', '-']);
    // All integers of at most 7 digits are exact floats, double and single.
    if digits.len() > 7 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let (digits, wide): (_, f64) = (digits.trim_start_matches('0'), float.into());
        if format!("{:.0}", wide.abs()) != if digits.is_empty() { "0" } else { digits } {
            return Err(NOT_EXACT);
        }
    }
    Ok(float)
}

/// Returns the decimal `value / 10^from` as a multiple of `10^-to`, which must be below `bound`.
pub(super) fn scaled(value: i128, from: i8, to: i8, bound: u128) -> Result<i128, Reason> {
    let value = rescale(value, from, to, MORE_DIGITS)?;
    if value.unsigned_abs() < bound { Ok(value) } else { Err(MORE_DIGITS) }
}

/// Returns `value / 10^from` as a multiple of `10^-to`; fails with `inexact` if it is not one.
pub(super) fn rescale(value: i128, from: i8, to: i8, inexact: Reason) -> Result<i128, Reason> {
    let power = 10_i128.checked_pow(from.abs_diff(to).into());
    if value == 0 || from == to {
        return Ok(value);
    }
    if to > from {
        return power.and_then(|power| value.checked_mul(power)).ok_or(OUT_OF_RANGE);
    }
    match power {
        Some(power) if value % power == 0 => Ok(value / power),
        _ => Err(inexact),
    }
}

/// Returns the digits and scale of a float's shortest text.
pub(super) fn shortest(value: impl LowerExp, finite: bool) -> Result<(i128, i8), Reason> {
    if !finite {
        return Err(NOT_FINITE);
    }
    let (digits, scale) = decimal::shortest(value);
    if digits == 0 {
        return Ok((0, 0));
    }
    // Beyond this range, no decimal of 38 digits can hold the value.
    let why = if scale < 0 { OUT_OF_RANGE } else { MORE_DIGITS };
    Ok((digits, i8::try_from(scale).map_err(|_| why)?))
}

#[cfg(test)]
mod tests {
    use super::Number::{Decimal, Double, Integer, Single, Written};
    use super::*;

    #[test]
    fn integers_are_never_doubles() {
        let read = |text: &str| Written(text).integer::<i64>();
        assert_eq!(read("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(read("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(read("9223372036854775807.0"), Ok(i64::MAX));
        assert_eq!(read("92233720368547758.07e2"), Ok(i64::MAX));
        assert_eq!(read("9223372036854775808"), Err(OUT_OF_RANGE));
        assert_eq!(read("1e400"), Err(OUT_OF_RANGE));
        assert_eq!(read("1e99999999999999999999"), Err(OUT_OF_RANGE));
        assert_eq!(read("-0"), Ok(0));
        assert_eq!(read("1.5"), Err(FRACTION));
        assert_eq!(read("NaN"), Err(NO_NUMBER));
        assert_eq!(read("12x"), Err(NO_NUMBER));
        assert_eq!(Written("18446744073709551615").integer(), Ok(u64::MAX));
        assert_eq!(Written("-1").integer::<u64>(), Err(OUT_OF_RANGE));
    }

    #[test]
    fn integers_are_floats_only_exactly() {
        let read = |text: &str| Written(text).float::<f64>();
        assert_eq!(read("9007199254740992"), Ok(9_007_199_254_740_992.0));
        assert_eq!(read("9007199254740993"), Err(NOT_EXACT));
        assert_eq!(read("9007199254740993.0"), Ok(9_007_199_254_740_992.0));
        assert_eq!(read("100000000000000000000"), Ok(1e20));
        assert_eq!(read("100000000000000000001"), Err(NOT_EXACT));
        assert_eq!(read(&"0".repeat(20)), Ok(0.0));
        assert_eq!(read("-0").map(f64::to_bits), Ok((-0.0_f64).to_bits()));
        assert_eq!(read("1e400"), Err(OUT_OF_RANGE));
        assert_eq!(read("0.1"), Ok(0.1));
        assert_eq!(Written("16777217").float::<f32>(), Err(NOT_EXACT));
        assert_eq!(Written("1e39").float::<f32>(), Err(OUT_OF_RANGE));
        assert!(read("NaN").is_ok_and(f64::is_nan));
        assert_eq!(read("-inf"), Ok(f64::NEG_INFINITY));
        assert_eq!(read(""), Err(NO_NUMBER));
        assert_eq!(Integer((1 << 53) + 1).float::<f64>(), Err(NOT_EXACT));
        assert_eq!(Integer(i128::MAX).float::<f64>(), Err(NOT_EXACT));
        assert_eq!(Integer(i128::MAX).float::<f32>(), Err(NOT_EXACT));
    }

    #[test]
    fn decimals_and_floats_are_floats_if_near() {
        let read = |text: &str| Decimal(text.to_owned()).float::<f64>();
        assert_eq!(read("9007199254740993"), Ok(9_007_199_254_740_992.0));
        assert_eq!(read("-Infinity"), Ok(f64::NEG_INFINITY));
        assert_eq!(read("1E+400"), Err(OUT_OF_RANGE));
        assert_eq!(read("sNaN"), Err(NO_NUMBER));
        assert_eq!(Double(0.1).float(), Ok(0.1_f32));
        assert_eq!(Double(1e39).float::<f32>(), Err(OUT_OF_RANGE));
        assert_eq!(Double(f64::INFINITY).float(), Ok(f32::INFINITY));
    }

    #[test]
    fn decimals_are_exact() {
        let read = |number: Number<'_>| number.decimal(5, 2);
        assert_eq!(read(Written("1.25")), Ok(125));
        assert_eq!(read(Written("-1e2")), Ok(-10_000));
        assert_eq!(read(Written("1.251")), Err(MORE_DIGITS));
        assert_eq!(read(Written("1000")), Err(MORE_DIGITS));
        assert_eq!(read(Written("x")), Err(NO_NUMBER));
        assert_eq!(read(Decimal("1.250".to_owned())), Ok(125));
        assert_eq!(read(Integer(999)), Ok(99_900));
        assert_eq!(read(Integer(1000)), Err(MORE_DIGITS));
        assert_eq!(read(Single(0.1)), Ok(10));
        assert_eq!(read(Double(0.1_f32.into())), Err(MORE_DIGITS));
        assert_eq!(read(Double(f64::NAN)), Err(NOT_FINITE));
    }
}
