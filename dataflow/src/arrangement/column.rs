//! The columns a chunk is made of: values held once while constant, and byte strings in one buffer.

/// One value per row, stored once while all rows agree.
#[derive(Clone, Debug, Default)]
pub(super) struct RunColumn<X> {
    rows: usize,
    /// The value of all rows while `each` is empty.
    same: X,
    /// One value per row; empty while all rows have the value `same`.
    each: Vec<X>,
}

impl<X: Copy + PartialEq + Default> RunColumn<X> {
    #[inline]
    pub(super) fn at(&self, row: usize) -> X {
        if self.each.is_empty() { self.same } else { self.each[row] }
    }

    /// Returns the value of all rows, if there are rows and the column knows that they agree.
    #[inline]
    pub(super) fn constant(&self) -> Option<X> {
        (self.each.is_empty() && self.rows > 0).then_some(self.same)
    }

    #[inline]
    pub(super) fn push(&mut self, value: X) {
        self.push_many(value, 1);
    }

    /// Appends the same value `rows` times.
    #[inline]
    pub(super) fn push_many(&mut self, value: X, rows: usize) {
        if rows == 0 {
            return;
        }
        if self.rows == 0 {
            self.same = value;
        } else if self.each.is_empty() && self.same != value {
            self.spread();
        }
        self.rows += rows;
        if !self.each.is_empty() {
            self.each.resize(self.rows, value);
        }
    }

    /// Appends rows `start..end` of `other`.
    pub(super) fn extend(&mut self, other: &Self, start: usize, end: usize) {
        if other.each.is_empty() {
            self.push_many(other.same, end - start);
        } else if end - start == 1 {
            // Unlike the branch below, a push keeps the value stored once if it agrees.
            self.push(other.each[start]);
        } else if start < end {
            self.spread();
            self.each.extend_from_slice(&other.each[start..end]);
            self.rows += end - start;
        }
    }

    pub(super) fn set(&mut self, row: usize, value: X) {
        if self.at(row) != value {
            if self.rows == 1 {
                self.each.clear();
                self.same = value;
            } else {
                self.spread();
                self.each[row] = value;
            }
        }
    }

    pub(super) fn pop(&mut self) {
        self.rows -= 1;
        self.each.pop();
    }

    /// Frees memory that the current rows do not need, and stores the value once if all rows agree.
    pub(super) fn shrink(&mut self) {
        let Some(first) = self.each.first().copied() else { return };
        if self.each.iter().all(|x| *x == first) {
            self.same = first;
            self.each = Vec::new();
        } else {
            shrink(&mut self.each);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.each.capacity() * size_of::<X>()
    }

    fn spread(&mut self) {
        if self.each.is_empty() {
            self.each.resize(self.rows, self.same);
        }
    }
}

/// Frees capacity when more than an eighth is unused.
pub(super) fn shrink<X>(values: &mut Vec<X>) {
    if values.capacity() > values.len() + values.len() / 8 {
        values.shrink_to_fit();
    }
}

/// Byte strings in one buffer, without offsets while all have one length.
#[derive(Clone, Debug, Default)]
pub(super) struct Slab {
    rows: usize,
    /// The length of all rows while `ends` is empty.
    stride: usize,
    /// The end of each row in `bytes`; empty while all rows have the length `stride`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Slab {
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn start(&self, row: usize) -> usize {
        if self.ends.is_empty() {
            row * self.stride
        } else if row == 0 {
            0
        } else {
            self.ends[row - 1] as usize
        }
    }

    #[inline]
    pub(super) fn at(&self, row: usize) -> &[u8] {
        &self.bytes[self.start(row)..self.start(row + 1)]
    }

    #[inline]
    pub(super) fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        if self.rows == 0 {
            self.stride = row.len();
        } else if self.ends.is_empty() && row.len() != self.stride {
            self.spread();
        }
        self.rows += 1;
        if self.is_spread() {
            self.ends.push(end(self.bytes.len()));
        }
    }

    /// Appends rows `start..end` of `other`.
    pub(super) fn extend(&mut self, other: &Self, start: usize, end: usize) {
        if start >= end {
            return;
        }
        let (from, to) = (other.start(start), other.start(end));
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes[from..to]);
        if self.rows == 0 && !other.is_spread() {
            self.stride = other.stride;
        }
        if !self.is_spread() && (other.is_spread() || self.stride != other.stride) {
            self.spread();
        }
        self.rows += end - start;
        // If `self` has no rows yet, `spread` leaves `ends` empty, so `other` must be asked too.
        if self.is_spread() || other.is_spread() {
            self.extend_ends(other, start, end, base);
        }
    }

    fn extend_ends(&mut self, other: &Self, start: usize, upto: usize, base: usize) {
        if other.is_spread() {
            let from = other.start(start);
            self.ends.extend(other.ends[start..upto].iter().map(|e| end(*e as usize - from + base)));
        } else {
            self.ends.extend((1..=upto - start).map(|i| end(base + i * other.stride)));
        }
    }

    pub(super) fn pop(&mut self) {
        self.rows -= 1;
        self.bytes.truncate(self.start(self.rows));
        self.ends.pop();
    }

    pub(super) fn shrink(&mut self) {
        shrink(&mut self.bytes);
        shrink(&mut self.ends);
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    fn is_spread(&self) -> bool {
        !self.ends.is_empty()
    }

    fn spread(&mut self) {
        self.ends = (1..=self.rows).map(|i| end(i * self.stride)).collect();
    }
}

#[inline]
fn end(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a chunk holds less than 4 GiB of row bytes")
}
