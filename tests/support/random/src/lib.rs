//! The one random generator of the tests: splitmix64, whose numbers are the same on every machine and for ever, so that
//! a seed in a failed test finds the same case again. Not for secrets.
//!
//! ```
//! let mut rng = sockc_random::Rng::new(7);
//! assert!(rng.below(6) < 6);
//! ```

/// The generator; the same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that starts from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let first = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let second = (first ^ first >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        second ^ second >> 31
    }

    /// The next 32 bits.
    pub fn word(&mut self) -> u32 {
        let [.., b0, b1, b2, b3] = self.bits().to_le_bytes();
        u32::from_le_bytes([b0, b1, b2, b3])
    }

    /// The next 16 bits.
    pub fn half(&mut self) -> u16 {
        let [.., b0, b1] = self.bits().to_le_bytes();
        u16::from_le_bytes([b0, b1])
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let [.., byte] = self.bits().to_le_bytes();
        byte
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The remainder of a u64 by a usize fits a usize; the bias is far below what tests could see.
        let wide = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.bits() % wide).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// True `times` out of `of`.
    pub fn chance(&mut self, times: usize, of: usize) -> bool {
        self.below(of) < times
    }

    /// One of the items, unless there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// One of the items.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // The first outputs of the published reference implementation for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.bits(), 6_457_827_717_110_365_317);
        assert_eq!(rng.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn picks_stay_inside() {
        let mut rng = Rng::new(1);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert_eq!(rng.pick::<u8>(&[]), None);
        assert_eq!(rng.below(0), 0);
    }
}
