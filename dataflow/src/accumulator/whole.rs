//! Sums of whole numbers (integers, unscaled decimals), exact however many are added.

use arrow::datatypes::i256;

use crate::Diff;
use crate::segments::{Segments, Sparse};

/// One sum per group.
#[derive(Default)]
pub(super) struct WholeSums {
    /// The sum modulo 2^128, as a signed number.
    low: Segments<i128>,
    /// The rest of the sum, in units of 2^128; 0 if the sum is in the range of an i128.
    high: Sparse<i64>,
    /// Number of groups whose sum is outside that range.
    beyond: usize,
}

impl WholeSums {
    pub(super) fn resize(&mut self, groups: usize) {
        self.low.grow(groups, || 0);
    }

    /// Adds `value` `diff` times.
    #[inline(always)]
    pub(super) fn add(&mut self, group: u32, value: i128, diff: Diff) {
        let low = self.low[group as usize];
        let product = if diff == 1 { Some(value) } else { value.checked_mul(i128::from(diff)) };
        match product.and_then(|product| low.checked_add(product)) {
            Some(sum) => self.low[group as usize] = sum,
            None => self.add_wide(group, value, diff),
        }
    }

    /// Adds an integer of 64 bits once.
    #[inline(always)]
    pub(super) fn add_short(&mut self, group: u32, value: i64) {
        let (sum, overflow) = self.low[group as usize].overflowing_add(i128::from(value));
        if overflow {
            self.add_wide(group, i128::from(value), 1);
        } else {
            self.low[group as usize] = sum;
        }
    }

    #[cold]
    fn add_wide(&mut self, group: u32, value: i128, diff: Diff) {
        let product = i256::from_i128(value).wrapping_mul(i256::from_i128(i128::from(diff)));
        let sum = self.wide(group).wrapping_add(product);
        let low = sum.to_parts().0.cast_signed();
        // `low` is between -2^127 and 2^127, so the rest is a small multiple of 2^128.
        let high = sum.wrapping_sub(i256::from_i128(low)).to_parts().1;
        self.low[group as usize] = low;
        let high = i64::try_from(high).expect("a sum of 2^64 numbers below 2^127 is below 2^191");
        self.set_high(group, high);
    }

    /// Returns the sum, if it is in the range of an i128.
    #[inline]
    pub(super) fn sum(&self, group: u32) -> Option<i128> {
        let within = self.beyond == 0 || self.high(group) == 0;
        within.then(|| self.low[group as usize])
    }

    fn high(&self, group: u32) -> i64 {
        self.high.get(group as usize).copied().unwrap_or(0)
    }

    fn set_high(&mut self, group: u32, high: i64) {
        let before = self.high.take(group as usize);
        self.beyond -= usize::from(before != 0);
        if high != 0 {
            *self.high.change(group as usize) = high;
            self.beyond += 1;
        }
    }

    /// Returns the sum.
    pub(super) fn wide(&self, group: u32) -> i256 {
        i256::from_i128(self.low[group as usize]).wrapping_add(i256::from_parts(0, i128::from(self.high(group))))
    }

    /// Returns the float nearest to the sum, or, beyond the range of an i128, at worst the second nearest.
    pub(super) fn float(&self, group: u32) -> f64 {
        match self.sum(group) {
            Some(sum) => sum as f64,
            None => {
                let (low, high) = self.wide(group).to_parts();
                high as f64 * 2f64.powi(128) + low as f64
            }
        }
    }

    pub(super) fn free(&mut self, group: u32) {
        self.low[group as usize] = 0;
        self.set_high(group, 0);
    }

    /// Drops a part of the sums, which are no longer used; returns about how many, 0 if none are left.
    pub(super) fn discard(&mut self, rows: usize) -> usize {
        match self.low.free(rows) {
            0 => self.high.free(rows),
            freed => freed,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.low.bytes() + self.high.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_beyond_an_i128_comes_back() {
        let mut sums = WholeSums::default();
        sums.resize(1);
        sums.add(0, i128::MAX, 3);
        sums.add(0, i128::MIN, 1);
        assert_eq!(sums.sum(0), None);
        let expected = i256::from_i128(i128::MAX).wrapping_add(i256::from_i128(i128::MAX)).wrapping_sub(i256::ONE);
        assert_eq!(sums.wide(0), expected);
        sums.add(0, i128::MIN, -1);
        sums.add(0, i128::MAX, -2);
        assert_eq!(sums.sum(0), Some(i128::MAX));
        sums.add(0, i128::MAX, -1);
        assert_eq!((sums.sum(0), sums.beyond), (Some(0), 0));
    }

    #[test]
    fn large_multiplicities_are_exact() {
        let mut sums = WholeSums::default();
        sums.resize(1);
        sums.add(0, i128::MIN, Diff::MAX);
        sums.add(0, i128::MIN, Diff::MIN);
        assert_eq!(sums.wide(0), i256::from_i128(i128::MIN).wrapping_neg());
        sums.add(0, i128::MIN, 1);
        assert_eq!(sums.sum(0), Some(0));
    }
}
