//! `Segments`: a vector in parts, so that it grows and goes without one long step.
//!
//! A plain vector that grows copies all it holds, and one that is dropped frees all it holds. With millions of elements
//! either takes many milliseconds, in which a worker does nothing else.

use std::ops::{Index, IndexMut};

/// The number of elements of a segment is 2 to the power of this.
const BITS: u32 = if cfg!(test) { 4 } else { 16 };
/// Number of elements of a segment.
pub(crate) const LENGTH: usize = 1 << BITS;

/// A vector in segments of one length, of which only the first is ever copied.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    segments: Vec<Vec<T>>,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Segments { segments: Vec::new() }
    }
}

/// Returns the segment of an element and its place there.
#[inline(always)]
pub(crate) fn place(at: usize) -> (usize, usize) {
    (at >> BITS, at & (LENGTH - 1))
}

impl<T> Segments<T> {
    /// Returns the number of elements.
    pub(crate) fn len(&self) -> usize {
        self.segments.last().map_or(0, |last| (self.segments.len() - 1) * LENGTH + last.len())
    }

    /// Appends an element.
    pub(crate) fn push(&mut self, element: T) {
        if self.segments.last().is_none_or(|last| last.len() == LENGTH) {
            self.add_segment();
        }
        self.segments.last_mut().expect("just made").push(element);
    }

    /// Removes the last element.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.segments.last_mut()?;
        let element = last.pop();
        if last.is_empty() {
            self.segments.pop();
        }
        element
    }

    /// Appends elements until there are `len`, if there are fewer.
    pub(crate) fn grow(&mut self, len: usize, mut new: impl FnMut() -> T) {
        let mut missing = len.saturating_sub(self.len());
        while missing > 0 {
            if self.segments.last().is_none_or(|last| last.len() == LENGTH) {
                self.add_segment();
            }
            let last = self.segments.last_mut().expect("just made");
            let more = missing.min(LENGTH - last.len());
            last.resize_with(last.len() + more, &mut new);
            missing -= more;
        }
    }

    fn add_segment(&mut self) {
        // The first segment grows with its elements, since most vectors are short.
        let capacity = if self.segments.is_empty() { 0 } else { LENGTH };
        self.segments.push(Vec::with_capacity(capacity));
    }

    /// Returns an element, or `None` beyond the last one.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        let (segment, place) = place(at);
        self.segments.get_mut(segment)?.get_mut(place)
    }

    /// Returns the last element.
    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.segments.last_mut()?.last_mut()
    }

    /// Drops about `rows` elements from the end and returns how many. Elements that need not be dropped one by one cost
    /// less.
    pub(crate) fn free(&mut self, rows: usize) -> usize {
        let Some(last) = self.segments.last_mut() else { return 0 };
        if !std::mem::needs_drop::<T>() {
            self.segments.pop();
            return LENGTH / 16;
        }
        let freed = last.len().min(rows);
        last.truncate(last.len() - freed);
        if last.is_empty() {
            self.segments.pop();
        }
        freed
    }

    /// Returns the bytes of the elements, without those they refer to.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.capacity() * size_of::<T>()).sum()
    }
}

impl<T> Index<usize> for Segments<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, at: usize) -> &T {
        let (segment, place) = place(at);
        &self.segments[segment][place]
    }
}

impl<T> IndexMut<usize> for Segments<T> {
    #[inline(always)]
    fn index_mut(&mut self, at: usize) -> &mut T {
        let (segment, place) = place(at);
        &mut self.segments[segment][place]
    }
}

/// Elements of which few are not the default, in segments that are made when an element in them is first changed.
#[derive(Debug)]
pub(crate) struct Sparse<T> {
    segments: Vec<Vec<T>>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Sparse { segments: Vec::new() }
    }
}

impl<T: Default> Sparse<T> {
    /// Returns an element, or `None` if it has never been changed.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        let (segment, place) = place(at);
        self.segments.get(segment)?.get(place)
    }

    /// Returns an element to change it.
    pub(crate) fn change(&mut self, at: usize) -> &mut T {
        let (segment, place) = place(at);
        if self.segments.len() <= segment {
            self.segments.resize_with(segment + 1, Vec::new);
        }
        let segment = &mut self.segments[segment];
        if segment.len() <= place {
            segment.resize_with(place + 1, T::default);
        }
        &mut segment[place]
    }

    /// Sets an element to the default and returns what it was.
    pub(crate) fn take(&mut self, at: usize) -> T {
        let (segment, place) = place(at);
        let element = self.segments.get_mut(segment).and_then(|segment| segment.get_mut(place));
        element.map(std::mem::take).unwrap_or_default()
    }

    /// Drops about `rows` elements from the end and returns how many.
    pub(crate) fn free(&mut self, rows: usize) -> usize {
        let Some(last) = self.segments.last_mut() else { return 0 };
        let freed = last.len().min(rows);
        last.truncate(last.len() - freed);
        if last.is_empty() {
            self.segments.pop();
        }
        freed.max(1)
    }

    /// Returns the bytes of the elements, without those they refer to.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.capacity() * size_of::<T>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_a_vector() {
        let (mut segments, mut plain) = (Segments::default(), Vec::new());
        let mut random = crate::testing::Random::new(5);
        for step in 0..2000usize {
            match random.below(10) {
                0 => {
                    let len = plain.len() + random.below(3 * LENGTH);
                    segments.grow(len, || step);
                    plain.resize(len, step);
                }
                1..5 => {
                    segments.push(step);
                    plain.push(step);
                }
                5 if !plain.is_empty() => {
                    let at = random.below(plain.len());
                    segments[at] += 1;
                    plain[at] += 1;
                }
                _ => (0..random.below(20)).for_each(|_| assert_eq!(segments.pop(), plain.pop())),
            }
            assert_eq!(segments.len(), plain.len());
            assert!(plain.iter().enumerate().all(|(at, element)| segments[at] == *element));
            assert_eq!(segments.get_mut(plain.len()), None);
        }
    }

    #[test]
    fn segments_go_in_pieces() {
        let mut segments = Segments::default();
        segments.grow(5 * LENGTH + 3, || Box::new(7));
        let mut freed = 0;
        while segments.len() > 0 {
            let piece = segments.free(10);
            assert!((1..=10).contains(&piece));
            freed += piece;
        }
        assert_eq!((freed, segments.free(10)), (5 * LENGTH + 3, 0));
    }

    #[test]
    fn what_was_never_changed_takes_no_room() {
        let mut sparse: Sparse<i64> = Sparse::default();
        *sparse.change(100 * LENGTH + 1) = 5;
        assert_eq!((sparse.get(100 * LENGTH + 1), sparse.get(100 * LENGTH + 2), sparse.get(3)), (Some(&5), None, None));
        assert!(sparse.bytes() <= LENGTH * size_of::<i64>());
        assert_eq!((sparse.take(100 * LENGTH + 1), sparse.take(100 * LENGTH + 1), sparse.take(0)), (5, 0, 0));
        while sparse.free(10) > 0 {}
        assert_eq!(sparse.bytes(), 0);
    }
}
