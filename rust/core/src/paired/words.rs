//! A stream of random words, and the numbers made of them.

use crate::negatives::generator::bounded;
use crate::random::{GAMMA, mix, split};

/// The words of one draw.
pub(super) struct Words(u64);

impl Words {
    pub(super) fn new(seed: u64, kind: u64, draw: u64) -> Self {
        Self(split(split(seed, kind), draw))
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// Uniform in the open interval (0, 1): 53 bits and a half.
    #[inline]
    pub(super) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) * f64::EPSILON / 2.0
    }

    /// Uniform below `n >= 1`, exactly.
    #[inline]
    pub(super) fn below(&mut self, n: u32) -> u32 {
        loop {
            if let Some(number) = bounded(self.next(), n) {
                return number;
            }
        }
    }
}
