//! Sums of floats that keep every bit, after Neal, "Fast exact summation using small and large superaccumulators".
//!
//! A sum is a whole number of a tiny unit, in limbs of 128 bits that are 64 bits apart, so a limb takes hundreds of
//! additions before it must carry. Only limbs in use are held: a few adjacent ones in place, which suffice for values
//! of similar size, the others aside. How a sum is spread over limbs depends on its history; the number it stands for
//! does not.

use smallvec::SmallVec;

use super::exact::Exact;
use crate::Diff;
use crate::segments::{Segments, Sparse};

/// Maximum number of bits of one piece that is added to a limb.
const PIECE: u32 = 53;
/// A group's first limb index before anything was added; far from every real index.
const UNUSED: u16 = 1 << 14;

/// The scale of an accumulator's numbers: position 0 has the weight 2^unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    unit: i32,
}

/// The scale of values: those from 2^-15 to 2^48 need one limb.
pub(super) const VALUES: Scale = Scale { unit: -1075 - 16 };
/// The scale of squares of values: those of 2^-15 to 2^16 need two limbs. Twice the unit of `VALUES`.
pub(super) const SQUARES: Scale = Scale { unit: 2 * VALUES.unit };

/// One sum per group, of which `HOME` adjacent limbs are held in place.
pub(super) struct Superaccumulators<const HOME: usize> {
    scale: Scale,
    /// Index of the first limb held in place.
    first: Segments<u16>,
    home: Segments<[i128; HOME]>,
    aside: Sparse<Option<Box<Aside>>>,
    /// Number of groups that have an entry in `aside`.
    asides: usize,
    /// Number of limbs that are held aside.
    limbs: usize,
}

/// The parts of a sum that few groups need.
#[derive(Default)]
struct Aside {
    /// Index and limb, sorted by index.
    limbs: Vec<(u16, i128)>,
    infinite: Diff,
    negative_infinite: Diff,
    not_a_number: Diff,
}

/// The value of a sum.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Total {
    /// An exact number.
    Finite(Exact),
    /// An infinity or NaN.
    Special(f64),
}

impl<const HOME: usize> Superaccumulators<HOME> {
    pub(super) fn new(scale: Scale) -> Self {
        Superaccumulators {
            scale,
            first: Segments::default(),
            home: Segments::default(),
            aside: Sparse::default(),
            asides: 0,
            limbs: 0,
        }
    }

    pub(super) fn resize(&mut self, groups: usize) {
        self.first.grow(groups, || UNUSED);
        self.home.grow(groups, || [0; HOME]);
    }

    /// Adds `value` `diff` times. The scale must be `VALUES`.
    #[inline]
    pub(super) fn add_value(&mut self, group: u32, value: f64, diff: Diff) {
        let Some((mantissa, position)) = parts(value) else { return self.add_special(group, value, diff) };
        let position = position + 16;
        match diff {
            1 => self.add(group, mantissa, position),
            -1 => self.add(group, -mantissa, position),
            _ => self.add_product(group, i128::from(mantissa) * i128::from(diff), position),
        }
    }

    /// Adds the square of `value` `diff` times. The scale must be `SQUARES`.
    #[inline]
    pub(super) fn add_square(&mut self, group: u32, value: f64, diff: Diff) {
        // The square of either infinity is the positive one.
        let Some((mantissa, position)) = parts(value) else { return self.add_special(group, value * value, diff) };
        let magnitude = u128::from(mantissa.unsigned_abs());
        self.add_magnitude(group, magnitude * magnitude, diff, 2 * position + 32);
    }

    /// Adds a whole number `diff` times. The scale must be `VALUES`.
    pub(super) fn add_whole(&mut self, group: u32, value: i128, diff: Diff) {
        let diff = if value < 0 { i128::from(diff).wrapping_neg() } else { i128::from(diff) };
        self.add_wide_magnitude(group, value.unsigned_abs(), diff, 1075 + 16);
    }

    /// Adds the square of a whole number, below 2^64 in magnitude, `diff` times. The scale must be `SQUARES`.
    pub(super) fn add_whole_square(&mut self, group: u32, value: i128, diff: Diff) {
        let magnitude = value.unsigned_abs();
        self.add_magnitude(group, magnitude * magnitude, diff, 2 * 1075 + 32);
    }

    fn add_magnitude(&mut self, group: u32, magnitude: u128, diff: Diff, position: u32) {
        self.add_wide_magnitude(group, magnitude, i128::from(diff), position);
    }

    /// `diff` must be that of a row or its opposite.
    #[inline]
    fn add_wide_magnitude(&mut self, group: u32, mut magnitude: u128, diff: i128, mut position: u32) {
        while magnitude != 0 {
            let piece = (magnitude & ((1 << PIECE) - 1)) as i64;
            match diff {
                1 => self.add(group, piece, position),
                -1 => self.add(group, -piece, position),
                _ => self.add_product(group, i128::from(piece) * diff, position),
            }
            magnitude >>= PIECE;
            position += PIECE;
        }
    }

    fn add_product(&mut self, group: u32, product: i128, mut position: u32) {
        let negative = product < 0;
        let mut magnitude = product.unsigned_abs();
        while magnitude != 0 {
            let piece = (magnitude & ((1 << PIECE) - 1)) as i64;
            self.add(group, if negative { -piece } else { piece }, position);
            magnitude >>= PIECE;
            position += PIECE;
        }
    }

    /// Adds `piece`, below 2^53 in magnitude, at `position`.
    #[inline(always)]
    fn add(&mut self, group: u32, piece: i64, position: u32) {
        if piece == 0 {
            return;
        }
        let index = (position / 64) as u16;
        self.add_limb(group, index, i128::from(piece) << (position % 64));
    }

    /// Adds `amount`, below 2^117 in magnitude, to a limb.
    #[inline(always)]
    fn add_limb(&mut self, group: u32, index: u16, amount: i128) {
        // An index below the first one wraps around to a large offset.
        let offset = usize::from(index.wrapping_sub(self.first[group as usize]));
        if offset < HOME {
            let limb = &mut self.home[group as usize][offset];
            *limb += amount;
            if is_full(*limb) {
                self.carry_home(group, index, offset);
            }
        } else {
            self.add_away(group, index, amount);
        }
    }

    #[cold]
    fn carry_home(&mut self, group: u32, index: u16, offset: usize) {
        let limb = &mut self.home[group as usize][offset];
        let (kept, carried) = split(*limb);
        *limb = kept;
        self.add_limb(group, index + 1, carried);
    }

    #[inline(never)]
    fn add_away(&mut self, group: u32, index: u16, amount: i128) {
        if self.first[group as usize] == UNUSED {
            // The first limb used determines which limbs are held in place.
            self.first[group as usize] = index;
            self.home[group as usize][0] = amount;
            return;
        }
        let limbs = &mut self.aside(group).limbs;
        let mut carried = None;
        match limbs.binary_search_by_key(&index, |(i, _)| *i) {
            Ok(at) => {
                let limb = &mut limbs[at].1;
                *limb += amount;
                if is_full(*limb) {
                    let (kept, up) = split(*limb);
                    *limb = kept;
                    carried = Some(up);
                }
            }
            Err(at) => {
                limbs.insert(at, (index, amount));
                self.limbs += 1;
            }
        }
        if let Some(carried) = carried {
            self.add_limb(group, index + 1, carried);
        }
    }

    #[cold]
    fn add_special(&mut self, group: u32, value: f64, diff: Diff) {
        let aside = self.aside(group);
        let count = if value.is_nan() {
            &mut aside.not_a_number
        } else if value > 0.0 {
            &mut aside.infinite
        } else {
            &mut aside.negative_infinite
        };
        *count = count.wrapping_add(diff);
    }

    fn aside(&mut self, group: u32) -> &mut Aside {
        let aside = self.aside.change(group as usize);
        self.asides += usize::from(aside.is_none());
        aside.get_or_insert_default()
    }

    fn existing_aside(&self, group: u32) -> Option<&Aside> {
        if self.asides == 0 {
            return None;
        }
        self.aside.get(group as usize)?.as_deref()
    }

    /// Returns the sum.
    pub(super) fn total(&self, group: u32) -> Total {
        let aside = self.existing_aside(group);
        if let Some(special) = aside.and_then(Aside::special) {
            return Total::Special(special);
        }
        let mut limbs: SmallVec<[(u16, i128); 4]> = SmallVec::new();
        let first = self.first[group as usize];
        if first != UNUSED {
            limbs.extend(self.home[group as usize].iter().enumerate().map(|(i, limb)| (first + i as u16, *limb)));
        }
        if let Some(aside) = aside {
            limbs.extend_from_slice(&aside.limbs);
            limbs.sort_unstable_by_key(|(index, _)| *index);
        }
        Total::Finite(Exact::from_limbs(&limbs, self.scale.unit))
    }

    /// Returns the float nearest to the sum. The scale must be `VALUES`.
    pub(super) fn float(&self, group: u32) -> f64 {
        let first = self.first[group as usize];
        // For a single limb away from both ends of the range, the conversion rounds once and the scaling is exact.
        if HOME == 1 && (2..=30).contains(&first) && self.existing_aside(group).is_none() {
            let exponent = 64 * i32::from(first) + self.scale.unit;
            return self.home[group as usize][0] as f64 * f64::from_bits(((exponent + 1023) as u64) << 52);
        }
        match self.total(group) {
            Total::Finite(exact) => exact.float(),
            Total::Special(special) => special,
        }
    }

    pub(super) fn free(&mut self, group: u32) {
        self.first[group as usize] = UNUSED;
        self.home[group as usize] = [0; HOME];
        if let Some(aside) = self.aside.take(group as usize) {
            self.asides -= 1;
            self.limbs -= aside.limbs.len();
        }
    }

    /// Drops a part of the sums, which are no longer used; returns about how many, 0 if none are left.
    pub(super) fn discard(&mut self, rows: usize) -> usize {
        match self.aside.free(rows) {
            0 => match self.home.free(rows) {
                0 => self.first.free(rows),
                freed => freed,
            },
            freed => freed,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.first.bytes()
            + self.home.bytes()
            + self.aside.bytes()
            + self.asides * size_of::<Aside>()
            + self.limbs * size_of::<(u16, i128)>()
    }
}

impl Aside {
    /// Returns the sum if not all values are finite.
    fn special(&self) -> Option<f64> {
        let (positive, negative) = (self.infinite != 0, self.negative_infinite != 0);
        match (self.not_a_number != 0, positive, negative) {
            (true, _, _) | (_, true, true) => Some(f64::NAN),
            (_, true, _) => Some(f64::INFINITY),
            (_, _, true) => Some(f64::NEG_INFINITY),
            _ => None,
        }
    }
}

/// Splits a finite float into mantissa and position: it is mantissa * 2^(position - 1075), with position from 1 to
/// 2046. Returns `None` for infinities and NaN.
#[inline(always)]
fn parts(value: f64) -> Option<(i64, u32)> {
    let bits = value.to_bits();
    let exponent = (bits >> 52) as u32 & 0x7ff;
    if exponent == 0x7ff {
        return None;
    }
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 } as i64;
    Some((if value.is_sign_negative() { -mantissa } else { mantissa }, exponent.max(1)))
}

/// Whether another addition might overflow the limb.
#[inline(always)]
fn is_full(limb: i128) -> bool {
    ((limb >> 64) as i64).unsigned_abs() >= 1 << 61
}

/// Returns the 64 bits that stay and what is carried to the next limb.
fn split(limb: i128) -> (i128, i128) {
    (limb & i128::from(u64::MAX), limb >> 64)
}
