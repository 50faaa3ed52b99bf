//! The types a score matrix may have, and the two that scores are compared in.

use std::fmt::Debug;

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::simd::{GROUP, Lanes};

/// An element of a score matrix: float16, float32 or float64.
pub trait Score: Copy + Send + Sync {
    /// The type it is compared in; it holds every value exactly.
    type Wide: Wide;

    /// `block` in the wide type; `buffer`, as long, is used where they differ.
    fn widen<'a>(block: &'a [Self], buffer: &'a mut [Self::Wide]) -> &'a [Self::Wide];
}

/// A type that scores are compared in: float32 or float64.
pub trait Wide: Copy + Send + Sync + PartialOrd + Debug + Default + Into<f64> {
    /// A score and its item in one integer: the better of two candidates has the larger key.
    type Key: Copy + Ord + Send + Sync + Default;

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

    /// A bit for each score above `threshold`, the first score's the lowest.
    fn above(lanes: impl Lanes, group: &[Self; GROUP], threshold: Self) -> u64;
}

impl Score for f16 {
    type Wide = f32;

    fn widen<'a>(block: &'a [Self], buffer: &'a mut [f32]) -> &'a [f32] {
        block.convert_to_f32_slice(buffer);
        buffer
    }
}

impl Score for f32 {
    type Wide = Self;

    fn widen<'a>(block: &'a [Self], _: &'a mut [Self]) -> &'a [Self] {
        block
    }
}

impl Score for f64 {
    type Wide = Self;

    fn widen<'a>(block: &'a [Self], _: &'a mut [Self]) -> &'a [Self] {
        block
    }
}

impl Wide for f32 {
    type Key = u64;

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
    fn above(lanes: impl Lanes, group: &[Self; GROUP], threshold: Self) -> u64 {
        lanes.above(group, threshold)
    }
}

impl Wide for f64 {
    type Key = u128;

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
    fn keys_give_the_candidate_back() {
        for score in [0.0_f32, 1.5, -1.5, f32::MAX, f32::MIN, 1e-45, -1e-45] {
            assert_eq!(f32::candidate(score.key(7)), (7, score));
            assert_eq!(f64::candidate(f64::from(score).key(u32::MAX)), (u32::MAX, score));
        }
    }
}
