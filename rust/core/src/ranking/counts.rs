//! How many items score above the target, and how many the same.
//!
//! Performance diary (15,000 x 17,408 float32, 2 threads; one read of the matrix is the floor):
//! * one pass, compared for `>`, `==` and "not below infinity": 55 GB/s in cache, 26 from memory;
//! * the third comparison as two integer maxima of the bits: 66 in cache (without any check 84);
//! * sums or counts in arrays of lanes: 40 to 47; SSE2 instead of AVX2 or AVX-512: 20.

use super::checks::{check_scores, check_targets};
use super::score::{BLOCK, Score, Wide, is_allowed};
use super::simd::{Lanes, Level, Task};
use crate::memory::filled;
use crate::parallel::try_for_each_chunk;
use crate::{CancelToken, Error, Result};

/// For each row: the candidates above the target, and the other candidates equal to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Items that score strictly higher than the target.
    pub greater: Vec<u32>,
    /// Items other than the target with exactly its score.
    pub equal: Vec<u32>,
}

impl Counts {
    pub(super) fn from_pairs(pairs: &[[u32; 2]]) -> Self {
        let (greater, equal) = pairs.iter().map(|&[greater, equal]| (greater, equal)).unzip();
        Self { greater, equal }
    }
}

/// Counts, for each row of `scores`, the items above its target and the items equal to it.
///
/// `scores` is `(rows, n_items)`, row-major. Items at -inf are no candidates.
///
/// # Errors
///
/// [`Error::Shape`]; [`Error::ItemOutOfRange`]; [`Error::NonFinite`] for NaN or +inf anywhere in a
/// row; [`Error::MaskedTarget`]; [`Error::Interrupted`]. The lowest row at fault is named.
pub fn rank_counts<S: Score>(
    scores: &[S],
    n_items: usize,
    targets: &[u32],
    cancel: &CancelToken,
) -> Result<Counts> {
    check_scores(scores, n_items, targets.len())?;
    check_targets(targets, n_items)?;
    let mut pairs = filled([0; 2], targets.len())?;
    let rows_at_once = (BLOCK * 16 / n_items.max(1)).max(1);
    try_for_each_chunk(&mut pairs, rows_at_once, cancel, |chunk, pairs| {
        let mut buffer = vec![S::Wide::default(); n_items.min(BLOCK)];
        pairs.iter_mut().zip(chunk * rows_at_once..).try_for_each(|(pair, row)| {
            let scores = &scores[row * n_items..][..n_items];
            *pair = count_row(row, scores, targets[row], &mut buffer, cancel)?;
            Ok(())
        })
    })?;
    Ok(Counts::from_pairs(&pairs))
}

fn count_row<S: Score>(
    row: usize,
    scores: &[S],
    item: u32,
    buffer: &mut [S::Wide],
    cancel: &CancelToken,
) -> Result<[u32; 2]> {
    let target = S::widen(&scores[item as usize..][..1], &mut buffer[..1])[0];
    let mut tally = Tally::default();
    for block in scores.chunks(BLOCK) {
        cancel.check()?;
        let buffer = &mut buffer[..block.len()];
        tally.add(Level::best().run(Count { scores: block, buffer, target }));
    }
    if tally.refused {
        return Err(first_refused(row, scores, buffer));
    }
    if target == S::Wide::MASKED {
        return Err(Error::MaskedTarget { row, item });
    }
    Ok([tally.greater, tally.equal - 1])
}

/// The error for the first NaN or +inf of a row that has one.
pub(super) fn first_refused<S: Score>(row: usize, scores: &[S], buffer: &mut [S::Wide]) -> Error {
    let mut at = |column: usize| S::widen(&scores[column..=column], &mut buffer[..1])[0];
    let column = (0..scores.len()).find(|&column| !is_allowed(at(column))).unwrap_or(0);
    Error::NonFinite { name: "scores", row, column, value: at(column).into() }
}

/// What a block of scores adds to a row's counts; `equal` still includes the target.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub greater: u32,
    pub equal: u32,
    pub refused: bool,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.greater += other.greater;
        self.equal += other.equal;
        self.refused |= other.refused;
    }
}

struct Count<'a, S: Score> {
    scores: &'a [S],
    buffer: &'a mut [S::Wide],
    target: S::Wide,
}

impl<S: Score> Task for Count<'_, S> {
    type Output = Tally;

    #[inline(always)]
    fn run<const ITEMS: usize, const FMA: bool>(self, _: impl Lanes) -> Tally {
        tally(S::widen(self.scores, self.buffer), self.target)
    }
}

/// Compares a block of scores with the target's.
#[inline(always)]
pub(super) fn tally<W: Wide>(scores: &[W], target: W) -> Tally {
    let (mut greater, mut equal, mut extremes) = (0_u32, 0_u32, W::Extremes::default());
    for &score in scores {
        // Wrapping: a checked addition is not vectorised, and a block is short.
        greater = greater.wrapping_add(u32::from(score > target));
        equal = equal.wrapping_add(u32::from(score == target));
        extremes = score.remember(extremes);
    }
    Tally { greater, equal, refused: W::refused(extremes) }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    const MASK: f32 = f32::NEG_INFINITY;

    fn counts(scores: &[f32], n_items: usize, targets: &[u32]) -> Result<Counts> {
        rank_counts(scores, n_items, targets, &CancelToken::new())
    }

    #[test]
    fn the_target_is_not_equal_to_itself() {
        let got = counts(&[1.0, 3.0, 2.0, 2.0, 7.0, 7.0], 3, &[2, 1]).unwrap();
        assert_eq!(got, Counts { greater: vec![1, 0], equal: vec![0, 1] });
    }

    #[test]
    fn masked_items_are_no_candidates_and_no_targets() {
        let got = counts(&[MASK, 0.0, MASK], 3, &[1]).unwrap();
        assert_eq!(got, Counts { greater: vec![0], equal: vec![0] });
        let got = counts(&[MASK, 0.0, MASK], 3, &[2]);
        assert_eq!(got, Err(Error::MaskedTarget { row: 0, item: 2 }));
    }

    #[test]
    fn nan_and_infinity_are_refused_with_their_place() {
        let mut scores = vec![0.0; 3 * 5000];
        scores[2 * 5000 + 4999] = f32::INFINITY;
        let place =
            |column, row| Error::NonFinite { name: "scores", row, column, value: f64::INFINITY };
        assert_eq!(counts(&scores, 5000, &[0; 3]), Err(place(4999, 2)));
        scores[5000 + 17] = f32::NAN;
        let got = counts(&scores, 5000, &[0; 3]);
        assert!(
            matches!(got, Err(Error::NonFinite { row: 1, column: 17, value, .. }) if value.is_nan())
        );
    }

    #[test]
    fn all_widths_of_floats_agree() {
        let scores: Vec<f64> = (0..9000_u32).map(|i| f64::from(i * 7919 % 101)).collect();
        let targets = [5, 4400, 2999];
        let wide = rank_counts(&scores, 3000, &[5, 44, 2999], &CancelToken::new());
        assert!(rank_counts(&scores, 3000, &targets, &CancelToken::new()).is_err());
        let single: Vec<f32> = scores.iter().map(|&s| s as f32).collect();
        let half: Vec<f16> = scores.iter().map(|&s| f16::from_f64(s)).collect();
        assert_eq!(rank_counts(&single, 3000, &[5, 44, 2999], &CancelToken::new()), wide);
        assert_eq!(rank_counts(&half, 3000, &[5, 44, 2999], &CancelToken::new()), wide);
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        assert!(matches!(
            counts(&[0.0; 5], 3, &[0, 0]),
            Err(Error::Shape { got: 5, expected: 6, .. })
        ));
        assert_eq!(counts(&[], 3, &[]), Ok(Counts::default()));
    }
}
