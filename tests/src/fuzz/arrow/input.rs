//! `Input`: the bytes of an input as a sequence of choices; after the last there are zeros.

pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Input { rest: bytes }
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// Returns a number less than `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(super) fn number(&mut self) -> i64 {
        i64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// Returns bytes that are mostly letters.
    pub(super) fn text(&mut self, count: usize) -> Vec<u8> {
        let letter = |byte: u8| if byte < 224 { b'a' + byte % 26 } else { byte };
        (0..count).map(|_| letter(self.byte())).collect()
    }

    /// Returns whether something that is seldom happens.
    pub(super) fn seldom(&mut self) -> bool {
        self.byte() >= 232
    }
}
