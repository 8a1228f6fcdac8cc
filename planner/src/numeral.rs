//! Numbers written in decimal digits, and the scaled integers that they mean, exactly.
//!
//! ```text
//! numeral   [+-] digits [. digits] [(e | E) [+-] digits]      a digit is needed before the exponent, on either side
//! ```
//!
//! Work and memory depend on the length of the text alone: an exponent is never written out as zeros.

/// The number of digits of the longest decimals; an i128 holds every number of so many.
pub const MOST_DIGITS: u8 = 38;

/// Stands for all larger exponents: no text has so many digits that one more or less of it made a difference.
const FAR: i64 = i64::MAX / 4;

/// A number as a text gives it: its sign, its digits and the power of ten that they are multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numeral<'a> {
    is_negative: bool,
    /// The digits, from the first to the last that is not zero; those after the point are `fraction`.
    whole: &'a str,
    fraction: &'a str,
    /// The place of the last digit: 0 is that of the units, -1 that of the tenths.
    exponent: i64,
}

/// Says what happens to a number that has more digits than its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// It has no value at this scale.
    Exact,
    /// It becomes the nearest value; a half is rounded away from zero.
    HalfAwayFromZero,
}

impl<'a> Numeral<'a> {
    /// Reads a number, or returns `None` if `text` is none; spaces around it are not accepted.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, power(exponent)?),
            None => (text, 0),
        };
        let (is_negative, digits) = without_sign(mantissa);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let kept = if fraction.is_empty() { whole.trim_end_matches('0') } else { whole };
        let exponent = exponent + places(whole) - places(kept) - places(fraction);
        let whole = kept.trim_start_matches('0');
        let fraction = if whole.is_empty() { fraction.trim_start_matches('0') } else { fraction };
        Some(Numeral { is_negative, whole, fraction, exponent })
    }

    /// Whether a sign was given that makes the number negative; zero may have one, too.
    pub fn is_negative(&self) -> bool {
        self.is_negative
    }

    /// Returns the number as a multiple of `10^-scale`, or `None` if it has more than `precision` digits (at most 38)
    /// there, or more digits than the scale and may not be rounded.
    pub fn to_scaled(&self, precision: u8, scale: i8, rounding: Rounding) -> Option<i128> {
        let count = self.count();
        let shift = self.exponent + i64::from(scale);
        if count == 0 {
            return Some(0);
        }
        if shift < 0 && rounding == Rounding::Exact {
            return None;
        }
        // The number of digits before the point of the multiple.
        let length = count + shift;
        let precision = precision.min(MOST_DIGITS);
        if length > i64::from(precision) {
            return None;
        }
        let mut digits = self.whole.bytes().chain(self.fraction.bytes()).map(|digit| i128::from(digit - b'0'));
        let kept = usize::try_from(length.min(count)).unwrap_or(0);
        let mut value = digits.by_ref().take(kept).fold(0, |value, digit| value * 10 + digit);
        if length >= 0 && digits.next().is_some_and(|digit| digit >= 5) {
            value += 1;
        }
        value *= 10_i128.pow(u32::try_from(shift).unwrap_or(0));
        let fits = value < 10_i128.pow(u32::from(precision));
        fits.then_some(if self.is_negative { -value } else { value })
    }

    /// Returns the least precision and scale of a decimal that holds the number; `None` if there is no such decimal.
    pub fn shape(&self) -> Option<(u8, i8)> {
        let count = self.count();
        if count == 0 {
            return Some((1, 0));
        }
        let scale = (-self.exponent).max(0);
        let precision = (count + self.exponent.max(0)).max(scale);
        let precision = u8::try_from(precision).ok().filter(|precision| *precision <= MOST_DIGITS)?;
        Some((precision, i8::try_from(scale).ok()?))
    }

    /// Returns the number of digits; zero has none.
    fn count(&self) -> i64 {
        places(self.whole) + places(self.fraction)
    }
}

/// Returns the number of digits of a text.
fn places(digits: &str) -> i64 {
    i64::try_from(digits.len()).expect("a text has less than 2^63 bytes")
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Splits a sign off, and returns whether it is a minus.
fn without_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Reads an exponent.
fn power(text: &str) -> Option<i64> {
    let (is_negative, digits) = without_sign(text);
    if digits.is_empty() || !is_digits(digits) {
        return None;
    }
    // Digits fail to be an i64 only if they are too many.
    let power = digits.parse().unwrap_or(FAR).min(FAR);
    Some(if is_negative { -power } else { power })
}

#[cfg(test)]
mod tests {
    use super::Rounding::{Exact, HalfAwayFromZero};
    use super::*;

    fn scaled(text: &str, precision: u8, scale: i8, rounding: Rounding) -> Option<i128> {
        Numeral::parse(text).expect(text).to_scaled(precision, scale, rounding)
    }

    #[test]
    fn numbers_have_digits() {
        let numbers = ["0", "-1", "+1", "007", "1.", ".5", "1.5e3", "1E-3", "1e+3", "1e99999999999999999999", "-0e-0"];
        for text in numbers {
            assert!(Numeral::parse(text).is_some(), "{text}");
        }
        let others =
            ["", "-", "+", ".", "-.", "e1", ".e1", "1e", "1e+", "--1", "+-1", "1e--1", "1_0", " 1", "1 ", "0x1"];
        for text in others.into_iter().chain(["NaN", "inf", "1.2.3", "١", "1e١", "1e1.5", "1e1e1", "1.-2"]) {
            assert_eq!(Numeral::parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_of_one_number_are_equal() {
        for texts in [
            ["0", "-0.0", "0e99999999999999999999"].as_slice(),
            &["12", "012", "12.000", "1.2e1", "1200e-2", "0.0012e+4"],
            &["-0.05", "-.05", "-00.0500", "-5e-2", "-50E-3"],
        ] {
            let values =
                texts.iter().map(|text| (scaled(text, 4, 2, Exact), Numeral::parse(text).expect(text).shape()));
            assert!(values.clone().all(|value| Some(value) == values.clone().next()), "{texts:?}");
        }
    }

    #[test]
    fn an_exact_multiple_has_no_more_digits_than_its_scale() {
        assert_eq!(scaled("1.25", 5, 2, Exact), Some(125));
        assert_eq!(scaled("-7e1", 5, 2, Exact), Some(-7_000));
        assert_eq!(scaled("1.250", 3, 2, Exact), Some(125));
        assert_eq!(scaled("1.251", 5, 2, Exact), None);
        assert_eq!(scaled("999.99", 5, 2, Exact), Some(99_999));
        assert_eq!(scaled("1000", 5, 2, Exact), None);
        assert_eq!(scaled("1200", 5, -2, Exact), Some(12));
        assert_eq!(scaled("1250", 5, -2, Exact), None);
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for (text, expected) in
            [("0.5", 1), ("-0.5", -1), ("1.49999", 1), ("2.5", 3), ("0.05", 0), ("0.09", 0), ("-9.6", -10)]
        {
            assert_eq!(scaled(text, 5, 0, HalfAwayFromZero), Some(expected), "{text}");
        }
        assert_eq!(scaled("99999.4", 5, 0, HalfAwayFromZero), Some(99_999));
        assert_eq!(scaled("99999.5", 5, 0, HalfAwayFromZero), None);
        assert_eq!(scaled("5e-1", 0, 0, HalfAwayFromZero), None);
    }

    /// Neither exponents nor lengths overflow, and an exponent costs no memory.
    #[test]
    fn hostile_numbers_are_read_in_bounded_work() {
        let (many, zeros) = ("1".repeat(100_000), "0".repeat(100_000));
        assert_eq!(scaled(&many, 38, 0, HalfAwayFromZero), None);
        assert_eq!(scaled(&format!("{many}e-99962"), 38, 0, Exact), None);
        assert_eq!(scaled(&format!("{many}e-99962"), 38, 0, HalfAwayFromZero), many[..38].parse().ok());
        assert_eq!(scaled(&format!("0.{many}"), 38, 1, HalfAwayFromZero), Some(1));
        assert_eq!(scaled(&format!("{zeros}7{zeros}.{zeros}e-100000"), 38, 0, Exact), Some(7));
        assert_eq!(scaled(&format!("0.{zeros}7e100001"), 38, 0, Exact), Some(7));
        for exponent in ["999999999", "2147483648", "9223372036854775807", "9223372036854775808", &many] {
            for rounding in [Exact, HalfAwayFromZero] {
                assert_eq!(scaled(&format!("1.5e{exponent}"), 38, 37, rounding), None, "{exponent}");
            }
            assert_eq!(scaled(&format!("1.5e-{exponent}"), 38, 37, Exact), None, "{exponent}");
            assert_eq!(scaled(&format!("1.5e-{exponent}"), 38, -37, HalfAwayFromZero), Some(0), "{exponent}");
            assert_eq!(Numeral::parse(&format!("1.5e-{exponent}")).and_then(|number| number.shape()), None);
        }
    }

    #[test]
    fn an_i128_holds_all_decimals() {
        let nines = "9".repeat(38);
        assert_eq!(scaled(&nines, 38, 0, Exact), Some(10_i128.pow(38) - 1));
        assert_eq!(scaled(&nines, u8::MAX, 0, Exact), Some(10_i128.pow(38) - 1));
        assert_eq!(scaled("1e38", u8::MAX, 0, Exact), None);
        assert_eq!(scaled("1e-128", u8::MAX, i8::MAX, HalfAwayFromZero), Some(0));
        assert_eq!(scaled("1", 38, i8::MIN, HalfAwayFromZero), Some(0));
    }

    #[test]
    fn the_shape_is_the_least_decimal() {
        let cases = [
            ("0", (1, 0)),
            ("12.340", (4, 2)),
            ("0.001", (3, 3)),
            ("1.001", (4, 3)),
            ("1e5", (6, 0)),
            ("1e37", (38, 0)),
            ("1e-38", (38, 38)),
        ];
        for (text, expected) in cases {
            assert_eq!(Numeral::parse(text).and_then(|number| number.shape()), Some(expected), "{text}");
        }
        for text in ["1e38", "1e-39", "10.0000000000000000000000000000000000001"] {
            assert_eq!(Numeral::parse(text).and_then(|number| number.shape()), None, "{text}");
        }
    }
}
