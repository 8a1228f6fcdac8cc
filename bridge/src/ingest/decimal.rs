//! Converts between decimal text and scaled integers, exactly.

use std::fmt::LowerExp;

use laminardb_planner::numeral::{Numeral, Rounding};

/// Parses `text` (digits, a point, an exponent) as a multiple of `10^-scale`. Returns `None` if it is not a number,
/// needs a finer scale, or has more than `precision` digits.
pub fn parse(text: &str, precision: u8, scale: i8) -> Option<i128> {
    Numeral::parse(text)?.to_scaled(precision, scale, Rounding::Exact)
}

/// Whether `text` is an optional sign, digits with or without a point, and an optional exponent.
pub(super) fn is_number(text: &str) -> bool {
    Numeral::parse(text).is_some()
}

/// Returns the digits of the shortest text that reads back as `value`, which must be finite, and how many of them
/// follow the point; less than 0 if zeros follow the digits.
pub(super) fn shortest(value: impl LowerExp) -> (i128, i32) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("scientific notation has an exponent");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}").parse().expect("a float has at most 17 digits");
    let exponent: i32 = exponent.parse().expect("an exponent is an integer");
    (digits, fraction.len() as i32 - exponent)
}

/// Formats a multiple of `10^-scale` as plain decimal text.
pub fn text(value: i128, scale: i8) -> String {
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) => {
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) if value == 0 => "0".to_owned(),
        Err(_) => format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}

/// Returns the precision and scale that `text` needs; `None` if it is not a finite number of at most 38 digits.
pub fn shape(text: &str) -> Option<(u8, i8)> {
    Numeral::parse(text)?.shape()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_exactly_or_not_at_all() {
        let taken = [
            ("1.25", 125),
            ("-1.2500", -125),
            ("+.5", 50),
            ("7.", 700),
            ("12e-1", 120),
            ("0.0999e3", 9_990),
            ("-0", 0),
            ("0e99", 0),
            ("0e99999999999999999999", 0),
            ("000999.99", 99_999),
        ];
        for (text, expected) in taken {
            assert_eq!(parse(text, 5, 2), Some(expected), "{text}");
        }
        let refused = ["", "-", ".", "e1", "1e", "1.2.3", "--1", "1 ", "NaN", "1.234", "1000", "1e3", "1e400", "1e-3"];
        for text in
            refused.into_iter().chain(["1.5e-9223372036854775808", "15e9223372036854775807", "1e9999999999999999999"])
        {
            assert_eq!(parse(text, 5, 2), None, "{text}");
        }
        assert_eq!(parse("99999999999999999999999999999999999999", 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(parse("100000000000000000000000000000000000000", 38, 0), None);
    }

    #[test]
    fn numbers_have_digits() {
        for text in ["0", "-1", "+1", "007", "1.", ".5", "1.5e3", "1E-3", "1e+3"] {
            assert!(is_number(text), "{text}");
        }
        for text in
            ["", "-", ".", "e1", "1e", "1e+", "--1", "1_0", " 1", "1 ", "0x1", "NaN", "inf", "1.2.3", "١", "1e1.5"]
        {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn integers_are_shown_with_their_point() {
        for (value, scale, expected) in [(5, 2, "0.05"), (-125, 2, "-1.25"), (0, 0, "0"), (7, -2, "700"), (0, -2, "0")]
        {
            assert_eq!(text(value, scale), expected);
        }
        assert_eq!(shape("12.340"), Some((4, 2)));
        assert_eq!(shape("0.001"), Some((3, 3)));
        assert_eq!(shape("x"), None);
    }
}
