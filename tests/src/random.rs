//! Makes random choices from a seed, and decides how many cases a test runs.

/// A generator of numbers that depend only on its seed (splitmix64).
pub struct Random(u64);

impl Random {
    /// Makes the generator for `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Returns true with a probability of 1 in `times`, which must not be 0.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns one element of `from`, which must not be empty.
    pub fn pick<'a, X>(&mut self, from: &'a [X]) -> &'a X {
        &from[self.below(from.len())]
    }
}

/// Returns the seeds of a test: the one in `LAMINARDB_TEST_SEED` if it is set, or else `usual` seeds times
/// `LAMINARDB_TEST_CASES_FACTOR`.
pub fn seeds(usual: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("LAMINARDB_TEST_SEED") {
        Some(seed) => vec![seed],
        None => (0..usual * number("LAMINARDB_TEST_CASES_FACTOR").unwrap_or(1)).collect(),
    }
}
