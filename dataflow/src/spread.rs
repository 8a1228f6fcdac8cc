//! `Spread`: linear hashing, by which a hash table in many small parts grows by one part at a time.
//!
//! ```text
//! hash --> part, by the bits the caller chooses ; the part --splits--> itself and a new last part
//! ```
//!
//! A table in one piece that grows moves all it holds at once. Here a part moves at a time, and in a fixed order, so
//! that a table of any size grows in steps of one size.

/// The parts of a hash table.
#[derive(Debug)]
pub(crate) struct Spread<P> {
    parts: Vec<P>,
    /// The least power of two that is not below the number of parts, minus 1.
    mask: usize,
}

impl<P> Spread<P> {
    /// Returns a single part.
    pub(crate) fn new(part: P) -> Self {
        Spread { parts: vec![part], mask: 0 }
    }

    /// Returns the number of parts.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Returns the number of the part of `bits`, which are some bits of a hash.
    #[inline(always)]
    pub(crate) fn number(&self, bits: u64) -> usize {
        let number = bits as usize & self.mask;
        // The upper half of the parts need not be complete; what belongs to a missing one is still where it came from.
        if number < self.parts.len() { number } else { number & (self.mask >> 1) }
    }

    /// Returns a part by its number.
    #[inline(always)]
    pub(crate) fn part(&self, number: usize) -> &P {
        &self.parts[number]
    }

    /// Returns a part by its number.
    #[inline(always)]
    pub(crate) fn part_mut(&mut self, number: usize) -> &mut P {
        &mut self.parts[number]
    }

    /// Appends a part; returns the number of the part of which some elements now belong to the new one.
    pub(crate) fn split(&mut self, part: P) -> usize {
        self.parts.push(part);
        self.mask = self.parts.len().next_power_of_two() - 1;
        self.origin(self.parts.len() - 1)
    }

    /// Removes the last part, if there is more than one; returns it with the number of the part that its elements now
    /// belong to.
    pub(crate) fn merge(&mut self) -> Option<(P, usize)> {
        if self.parts.len() == 1 {
            return None;
        }
        let part = self.parts.pop()?;
        let origin = self.origin(self.parts.len());
        self.mask = self.parts.len().next_power_of_two() - 1;
        Some((part, origin))
    }

    /// Returns the number of the part of which part `number` was split off: the number without its highest bit.
    fn origin(&self, number: usize) -> usize {
        number & !(1 << number.ilog2())
    }

    /// Drops the last part; the others are no longer found. Returns it.
    pub(crate) fn free(&mut self) -> Option<P> {
        self.parts.pop()
    }

    /// Returns all parts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &P> {
        self.parts.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Moves what belongs elsewhere after each change of the number of parts, and nothing else.
    #[test]
    fn elements_are_found_while_parts_come_and_go() {
        let mut spread = Spread::new((0..500u64).collect::<BTreeSet<_>>());
        let settled =
            |spread: &Spread<BTreeSet<u64>>| (0..500).all(|bits| spread.part(spread.number(bits)).contains(&bits));
        for _ in 1..37 {
            let from = spread.split(BTreeSet::new());
            let to = spread.len() - 1;
            let moved: Vec<u64> = spread.part(from).iter().copied().filter(|bits| spread.number(*bits) == to).collect();
            for bits in moved {
                spread.part_mut(from).remove(&bits);
                spread.part_mut(to).insert(bits);
            }
            assert!(settled(&spread), "{} parts", spread.len());
        }
        while let Some((part, to)) = spread.merge() {
            spread.part_mut(to).extend(part);
            assert!(settled(&spread), "{} parts", spread.len());
        }
        assert_eq!(spread.len(), 1);
    }
}
