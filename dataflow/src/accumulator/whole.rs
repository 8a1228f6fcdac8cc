//! Sums of whole numbers (integers, unscaled decimals), exact however many are added, and how many they are.

use arrow::datatypes::i256;

use crate::Diff;
use crate::segments::{Segments, Sparse};

/// One sum per group.
#[derive(Default)]
pub(super) struct WholeSums {
    /// What nearly all sums have, side by side, so that to add a number reads one place of memory.
    totals: Segments<Total>,
    /// The rest of the sum, in units of 2^64; 0 if the sum is in the range of an i64.
    high: Sparse<i128>,
    /// Number of groups whose sum is outside that range.
    beyond: usize,
}

/// The numbers of one group.
#[derive(Clone, Copy, Default)]
struct Total {
    /// How many there are.
    count: Diff,
    /// Their sum modulo 2^64, as a signed number.
    low: i64,
}

impl WholeSums {
    pub(super) fn resize(&mut self, groups: usize) {
        self.totals.grow(groups, Total::default);
    }

    /// Adds `value` `diff` times.
    #[inline(always)]
    pub(super) fn add(&mut self, group: u32, value: i128, diff: Diff) {
        let total = &mut self.totals[group as usize];
        total.count = total.count.wrapping_add(diff);
        let product = if diff == 1 { Some(value) } else { value.checked_mul(i128::from(diff)) };
        let sum = product.and_then(|product| product.checked_add(i128::from(total.low)));
        match sum.map(i64::try_from) {
            Some(Ok(sum)) => total.low = sum,
            _ => self.carry(group, value, diff),
        }
    }

    /// Adds an integer of 64 bits once.
    #[inline(always)]
    pub(super) fn add_short(&mut self, group: u32, value: i64) {
        let total = &mut self.totals[group as usize];
        total.count = total.count.wrapping_add(1);
        match total.low.checked_add(value) {
            Some(sum) => total.low = sum,
            None => self.carry(group, i128::from(value), 1),
        }
    }

    /// Adds to the sum of a group where the part of 64 bits overflows.
    #[inline(never)]
    fn carry(&mut self, group: u32, value: i128, diff: Diff) {
        let total = &mut self.totals[group as usize];
        let product = i256::from_i128(value).wrapping_mul(i256::from_i128(i128::from(diff)));
        let (low, high) = product.wrapping_add(i256::from_i128(i128::from(total.low))).to_parts();
        total.low = low as i64;
        let carried = (high << 64 | (low >> 64).cast_signed()) + i128::from(total.low < 0);
        let before = self.high(group);
        self.set_high(group, before.wrapping_add(carried));
    }

    /// Returns how many numbers a group has.
    #[inline]
    pub(super) fn count(&self, group: u32) -> Diff {
        self.totals[group as usize].count
    }

    /// Returns the sum, if it is in the range of an i128.
    #[inline]
    pub(super) fn sum(&self, group: u32) -> Option<i128> {
        if self.beyond == 0 { Some(i128::from(self.totals[group as usize].low)) } else { self.wide(group).to_i128() }
    }

    fn high(&self, group: u32) -> i128 {
        self.high.get(group as usize).copied().unwrap_or(0)
    }

    fn set_high(&mut self, group: u32, high: i128) {
        let before = self.high.take(group as usize);
        self.beyond -= usize::from(before != 0);
        if high != 0 {
            *self.high.change(group as usize) = high;
            self.beyond += 1;
        }
    }

    /// Returns the sum.
    pub(super) fn wide(&self, group: u32) -> i256 {
        let high = self.high(group);
        let high = i256::from_parts((high << 64).cast_unsigned(), high >> 64);
        high.wrapping_add(i256::from_i128(i128::from(self.totals[group as usize].low)))
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
        self.totals[group as usize] = Total::default();
        if self.beyond > 0 {
            self.set_high(group, 0);
        }
    }

    /// Drops a part of the sums, which are no longer used; returns about how many, 0 if none are left.
    pub(super) fn discard(&mut self, rows: usize) -> usize {
        match self.totals.free(rows) {
            0 => self.high.free(rows),
            freed => freed,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.totals.bytes() + self.high.bytes()
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
        assert_eq!((sums.sum(0), sums.beyond, sums.count(0)), (Some(0), 0, 0));
    }

    #[test]
    fn sums_carry_at_64_and_at_128_bits() {
        let numbers = [i128::from(i64::MAX), i128::from(i64::MIN), i128::from(u64::MAX), 1, -1, i128::MAX, i128::MIN];
        for first in numbers {
            for second in numbers {
                for (diff, other) in [(1, 1), (1, -1), (3, 2), (Diff::MAX, 1)] {
                    let mut sums = WholeSums::default();
                    sums.resize(2);
                    sums.add(1, first, diff);
                    sums.add(1, second, other);
                    let times = |value: i128, diff: Diff| i256::from_i128(value) * i256::from_i128(i128::from(diff));
                    let expected = times(first, diff) + times(second, other);
                    assert_eq!((sums.wide(1), sums.count(1)), (expected, diff.wrapping_add(other)));
                    assert_eq!((sums.sum(1), sums.sum(0)), (expected.to_i128(), Some(0)));
                    sums.add(1, second, -other);
                    sums.add(1, first, -diff);
                    assert_eq!((sums.sum(1), sums.beyond), (Some(0), 0));
                }
            }
        }
        let mut sums = WholeSums::default();
        sums.resize(1);
        (0..5).for_each(|_| sums.add_short(0, i64::MIN));
        assert_eq!(sums.sum(0), Some(5 * i128::from(i64::MIN)));
        sums.free(0);
        assert_eq!((sums.sum(0), sums.count(0), sums.beyond), (Some(0), 0, 0));
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
