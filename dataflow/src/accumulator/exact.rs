//! Exact binary numbers: the values of superaccumulators, with the little arithmetic that variances need.

use smallvec::SmallVec;

/// A number given by a sign and digits of 64 bits, times 2^exponent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exact {
    negative: bool,
    /// The digits, least significant first; the last one is not 0. A number without digits is 0.
    digits: SmallVec<[u64; 8]>,
    exponent: i32,
}

impl Exact {
    /// Returns the sum of `limb * 2^(64 * index + unit)` over limbs sorted by index. Adding a carry to a limb must not
    /// overflow.
    pub(super) fn from_limbs(limbs: &[(u16, i128)], unit: i32) -> Exact {
        let Some((lowest, _)) = limbs.first() else { return Exact::new(false, SmallVec::new(), unit) };
        let mut digits: SmallVec<[u64; 8]> = SmallVec::new();
        let mut carry = 0i128;
        let mut rest = limbs;
        let mut index = *lowest;
        // The digits are in two's complement; the carry that remains after the last one, 0 or -1, is the sign.
        while !rest.is_empty() || (carry != 0 && carry != -1) {
            if let Some(((at, limb), others)) = rest.split_first()
                && *at == index
            {
                carry += limb;
                rest = others;
            }
            digits.push(carry as u64);
            carry >>= 64;
            index += 1;
        }
        let negative = carry < 0;
        if negative {
            negate(&mut digits);
        }
        Exact::new(negative, digits, 64 * i32::from(*lowest) + unit)
    }

    fn new(negative: bool, mut digits: SmallVec<[u64; 8]>, exponent: i32) -> Exact {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Exact { negative: negative && !digits.is_empty(), digits, exponent }
    }

    /// Returns the product with itself.
    pub(super) fn squared(&self) -> Exact {
        let mut digits: SmallVec<[u64; 8]> = SmallVec::from_elem(0, 2 * self.digits.len());
        for (i, a) in self.digits.iter().enumerate() {
            let mut carry = 0u128;
            for (j, b) in self.digits.iter().enumerate() {
                carry += u128::from(*a) * u128::from(*b) + u128::from(digits[i + j]);
                digits[i + j] = carry as u64;
                carry >>= 64;
            }
            digits[i + self.digits.len()] = carry as u64;
        }
        Exact::new(false, digits, 2 * self.exponent)
    }

    /// Returns the product with a natural number.
    pub(super) fn times(mut self, factor: u64) -> Exact {
        let mut carry = 0u128;
        for digit in &mut self.digits {
            carry += u128::from(*digit) * u128::from(factor);
            *digit = carry as u64;
            carry >>= 64;
        }
        self.digits.push(carry as u64);
        Exact::new(self.negative, self.digits, self.exponent)
    }

    /// Returns `self - other`, or 0 if that is negative. Both numbers must not be negative, and their exponents must
    /// differ by a multiple of 64.
    pub(super) fn minus_up_to_all(&self, other: &Exact) -> Exact {
        let exponent = self.exponent.min(other.exponent);
        let (mut digits, other) = (self.aligned(exponent), other.aligned(exponent));
        let length = digits.len().max(other.len());
        digits.resize(length, 0);
        let mut borrow = false;
        for (position, digit) in digits.iter_mut().enumerate() {
            let (a, first) = digit.overflowing_sub(other.get(position).copied().unwrap_or(0));
            let (b, second) = a.overflowing_sub(u64::from(borrow));
            *digit = b;
            borrow = first || second;
        }
        if borrow {
            // The difference is negative.
            digits.clear();
        }
        Exact::new(false, digits, exponent)
    }

    fn aligned(&self, exponent: i32) -> SmallVec<[u64; 8]> {
        let shift = (self.exponent - exponent) as usize;
        assert!(shift.is_multiple_of(64), "the scales of sums and of squares are multiples of digits apart");
        let mut digits: SmallVec<[u64; 8]> = SmallVec::from_elem(0, shift / 64);
        digits.extend_from_slice(&self.digits);
        digits
    }

    /// Returns the nearest number with `bits` bits (at most 53), ties to even, as a whole float and an exponent of 2.
    pub(super) fn rounded(&self, bits: u32) -> (f64, i32) {
        let Some(top) = self.digits.last() else { return (0.0, 0) };
        let length = 64 * self.digits.len() as u32 - top.leading_zeros();
        let dropped = length.saturating_sub(bits);
        let mut mantissa = self.bits_from(dropped);
        if dropped > 0 {
            let half = self.bits_from(dropped - 1) & 1 == 1;
            let up = match (half, self.any_below(dropped - 1)) {
                (false, _) => false,
                (true, true) => true,
                (true, false) => mantissa & 1 == 1,
            };
            mantissa += u64::from(up);
        }
        let magnitude = mantissa as f64;
        (if self.negative { -magnitude } else { magnitude }, self.exponent + dropped as i32)
    }

    /// Returns the 64 bits from position `from` upwards.
    fn bits_from(&self, from: u32) -> u64 {
        let (digit, shift) = ((from / 64) as usize, from % 64);
        let low = self.digits[digit] >> shift;
        match self.digits.get(digit + 1) {
            Some(high) if shift > 0 => low | high << (64 - shift),
            _ => low,
        }
    }

    fn any_below(&self, end: u32) -> bool {
        let (digit, shift) = ((end / 64) as usize, end % 64);
        self.digits[..digit].iter().any(|d| *d != 0) || self.digits[digit] & ((1 << shift) - 1) != 0
    }

    /// Returns the nearest float.
    pub(super) fn float(&self) -> f64 {
        // A sum of floats is a multiple of the least float, so a subnormal sum is not rounded at all.
        let (mantissa, exponent) = self.rounded(53);
        scale(mantissa, exponent)
    }
}

fn negate(digits: &mut SmallVec<[u64; 8]>) {
    let mut carry = true;
    for digit in digits.iter_mut() {
        (*digit, carry) = (!*digit).overflowing_add(u64::from(carry));
    }
    // All digits were 0: the number is the power that is carried.
    if carry {
        digits.push(1);
    }
}

/// Returns `value * 2^exponent`, rounded only if the result is subnormal or infinite.
pub(super) fn scale(value: f64, exponent: i32) -> f64 {
    // In three steps: each power is a normal float, and only the last product can leave the range of normal floats, for
    // values not far from 1 (which those here are).
    let exponent = exponent.clamp(-2400, 2400);
    let third = exponent / 3;
    let power = |exponent: i32| f64::from_bits(((exponent + 1023) as u64) << 52);
    value * power(third) * power(third) * power(exponent - 2 * third)
}
