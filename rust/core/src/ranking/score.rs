//! The types a score matrix may have, and the two that scores are compared in.

use std::fmt::Debug;

use half::f16;

use super::simd::{GROUP, Lanes};

/// Elements that are widened, compared and counted at a time: they stay in the L1 cache.
pub(super) const BLOCK: usize = 4096;

/// An element of a score matrix: float16, float32 or float64.
pub trait Score: Copy + Send + Sync {
    /// The type it is compared in; it holds every value exactly.
    type Wide: Wide;

    /// `block` in the wide type; `buffer`, of the same length, is used if the types differ.
    fn widen<'a>(block: &'a [Self], buffer: &'a mut [Self::Wide]) -> &'a [Self::Wide];
}

/// A type that scores are compared in: float32 or float64.
pub trait Wide: Copy + Send + Sync + PartialOrd + Debug + Default + Into<f64> {
    /// A score and its item in one integer: the better of two candidates has the larger key.
    type Key: Copy + Ord + Send + Sync + Default;

    /// What is kept of many scores to tell whether one of them is refused.
    type Extremes: Copy + Default;

    /// The score no candidate may have.
    const INFINITY: Self;
    /// The score of a masked item.
    const MASKED: Self;

    /// The key of a candidate; it must not be NaN.
    fn key(self, item: u32) -> Self::Key;

    /// The candidate of a key, its score rounded to float32.
    fn candidate(key: Self::Key) -> (u32, f32);

    /// The score of a key.
    fn of_key(key: Self::Key) -> Self;

    /// Adds a score: the extremes are the highest bits, as signed and as unsigned integers.
    fn remember(self, extremes: Self::Extremes) -> Self::Extremes;

    /// Whether NaN or +inf was among the scores: with the sign bit clear they are above all that is
    /// allowed if the bits have a sign, and -NaN is above -inf if they have none.
    fn refused(extremes: Self::Extremes) -> bool;

    /// A bit for each score above `threshold`, the first score's the lowest.
    fn above(lanes: impl Lanes, group: &[Self; GROUP], threshold: Self) -> u64;
}

/// Whether a score is a number or the mask: NaN and +inf are not below infinity.
#[inline(always)]
pub(super) fn is_allowed<W: Wide>(score: W) -> bool {
    score < W::INFINITY
}

impl Score for f16 {
    type Wide = f32;

    #[inline(always)]
    fn widen<'a>(block: &'a [Self], buffer: &'a mut [f32]) -> &'a [f32] {
        for (wide, half) in buffer.iter_mut().zip(block) {
            *wide = single(*half);
        }
        buffer
    }
}

/// A half in single precision, in a form that vectorises: counting takes 24 ms with it and 35 with
/// the crate's own conversion.
#[inline(always)]
fn single(half: f16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(half.to_bits());
    // Exponents are biased by 15 there and by 127 here; the product also handles subnormals.
    let magnitude = f32::from_bits((bits & 0x7FFF) << 13) * TWO_TO_112;
    let infinite = if bits & 0x7C00 == 0x7C00 { f32::INFINITY.to_bits() } else { 0 };
    f32::from_bits(magnitude.to_bits() | infinite | (bits & 0x8000) << 16)
}

impl Score for f32 {
    type Wide = Self;

    #[inline(always)]
    fn widen<'a>(block: &'a [Self], _: &'a mut [Self]) -> &'a [Self] {
        block
    }
}

impl Score for f64 {
    type Wide = Self;

    #[inline(always)]
    fn widen<'a>(block: &'a [Self], _: &'a mut [Self]) -> &'a [Self] {
        block
    }
}

impl Wide for f32 {
    type Key = u64;
    type Extremes = (i32, u32);

    const INFINITY: Self = Self::INFINITY;
    const MASKED: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn key(self, item: u32) -> u64 {
        let bits = (self + 0.0).to_bits(); // -0 becomes 0
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        u64::from(ordered) << 32 | u64::from(!item)
    }

    fn candidate(key: u64) -> (u32, f32) {
        (!(key as u32), Self::of_key(key))
    }

    #[inline(always)]
    fn of_key(key: u64) -> Self {
        let ordered = (key >> 32) as u32;
        Self::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
    }

    #[inline(always)]
    fn remember(self, (signed, unsigned): (i32, u32)) -> (i32, u32) {
        let bits = self.to_bits();
        (signed.max(bits as i32), unsigned.max(bits))
    }

    fn refused((signed, unsigned): (i32, u32)) -> bool {
        signed >= Self::INFINITY.to_bits() as i32 || unsigned > Self::MASKED.to_bits()
    }

    #[inline(always)]
    fn above(lanes: impl Lanes, group: &[Self; GROUP], threshold: Self) -> u64 {
        lanes.above(group, threshold)
    }
}

impl Wide for f64 {
    type Key = u128;
    type Extremes = (i64, u64);

    const INFINITY: Self = Self::INFINITY;
    const MASKED: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn key(self, item: u32) -> u128 {
        let bits = (self + 0.0).to_bits();
        let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        u128::from(ordered) << 32 | u128::from(!item)
    }

    fn candidate(key: u128) -> (u32, f32) {
        (!(key as u32), Self::of_key(key) as f32)
    }

    #[inline(always)]
    fn of_key(key: u128) -> Self {
        let ordered = (key >> 32) as u64;
        Self::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered })
    }

    #[inline(always)]
    fn remember(self, (signed, unsigned): (i64, u64)) -> (i64, u64) {
        let bits = self.to_bits();
        (signed.max(bits as i64), unsigned.max(bits))
    }

    fn refused((signed, unsigned): (i64, u64)) -> bool {
        signed >= Self::INFINITY.to_bits() as i64 || unsigned > Self::MASKED.to_bits()
    }

    #[inline(always)]
    fn above(_: impl Lanes, group: &[Self; GROUP], threshold: Self) -> u64 {
        group.iter().rev().fold(0, |all, &score| all << 1 | u64::from(score > threshold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_by_score_then_by_smaller_item() {
        let best_first = [(2.5, 9), (0.0, 1), (-0.0, 3), (0.0, 4), (-1.0, 0), (-3.5, 2)];
        let narrow: Vec<u64> = best_first.map(|(score, item)| (score as f32).key(item)).into();
        let wide: Vec<u128> = best_first.map(|(score, item): (f64, u32)| score.key(item)).into();
        assert!(narrow.is_sorted_by(|a, b| a > b) && wide.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn every_half_is_widened_as_the_crate_does() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let (ours, theirs) = (single(half), half.to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan());
        }
    }

    #[test]
    fn extremes_tell_refused_scores_from_all_others() {
        let others = [0.0, -0.0, f32::MAX, f32::MIN, f32::NEG_INFINITY, 1e-45, -1e-45];
        let seen = others.iter().fold(Default::default(), |seen, score| score.remember(seen));
        assert!(!f32::refused(seen));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::from_bits(0xFF80_0001)] {
            assert!(f32::refused(bad.remember(seen)), "{bad}");
            assert!(f64::refused(f64::from(bad).remember((0, 0))), "{bad}");
        }
        assert!(!f64::refused(f64::NEG_INFINITY.remember(f64::MAX.remember((0, 0)))));
    }

    #[test]
    fn keys_give_the_candidate_back() {
        for score in [0.0_f32, 1.5, -1.5, f32::MAX, f32::MIN, 1e-45, -1e-45] {
            assert_eq!(f32::candidate(score.key(7)), (7, score));
            assert_eq!(f64::candidate(f64::from(score).key(u32::MAX)), (u32::MAX, score));
        }
    }
}
