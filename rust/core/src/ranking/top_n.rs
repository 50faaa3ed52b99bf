//! The best items of each row of a score matrix.

use super::best::{Best, write_row};
use super::checks::{check_n, check_scores};
use super::counts::first_refused;
use super::score::{BLOCK, Score, Wide};
use super::simd::{Lanes, Level, Task};
use crate::memory::filled;
use crate::parallel::try_for_each_chunk;
use crate::{CancelToken, Result};

/// Items and scores, both `(rows, n)` and row-major, best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopN {
    /// The items; `n_items` where a row has fewer than `n` candidates.
    pub items: Vec<u32>,
    /// Their scores; -inf in the empty places.
    pub scores: Vec<f32>,
}

impl TopN {
    /// `rows * n` places, all empty.
    pub(super) fn missing(n_rows: usize, n: usize, n_items: usize) -> Result<Self> {
        let len = n_rows.saturating_mul(n);
        let items = filled(n_items as u32, len)?;
        Ok(Self { items, scores: filled(f32::NEG_INFINITY, len)? })
    }
}

/// Lists the `n` best items of each row: score descending, then index ascending.
///
/// `scores` is `(n_rows, n_items)`, row-major. Items at -inf are not listed.
///
/// # Errors
///
/// [`crate::Error::Parameter`] unless `1 <= n <= n_items`; [`crate::Error::Shape`];
/// [`crate::Error::NonFinite`] for NaN or +inf; [`crate::Error::Memory`];
/// [`crate::Error::Interrupted`].
pub fn top_n<S: Score>(
    scores: &[S],
    n_rows: usize,
    n_items: usize,
    n: usize,
    cancel: &CancelToken,
) -> Result<TopN> {
    check_scores(scores, n_items, n_rows)?;
    check_n(n, n_items)?;
    let mut top = TopN::missing(n_rows, n, n_items)?;
    let rows_at_once = (BLOCK * 16 / n_items).max(1);
    let mut rows: Vec<_> = top.items.chunks_mut(n).zip(top.scores.chunks_mut(n)).collect();
    try_for_each_chunk(&mut rows, rows_at_once, cancel, |chunk, rows| {
        let mut best = Best::new(n);
        let mut buffer = vec![S::Wide::default(); n_items.min(BLOCK)];
        rows.iter_mut().zip(chunk * rows_at_once..).try_for_each(|((items, places), row)| {
            let scores = &scores[row * n_items..][..n_items];
            best.clear();
            list_row(row, scores, &mut best, &mut buffer, cancel)?;
            write_row::<S::Wide>(best.take(), n_items, items, places);
            Ok(())
        })
    })?;
    Ok(top)
}

fn list_row<S: Score>(
    row: usize,
    scores: &[S],
    best: &mut Best<S::Wide>,
    buffer: &mut [S::Wide],
    cancel: &CancelToken,
) -> Result<()> {
    for (block, first_item) in scores.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
        cancel.check()?;
        let wide = &mut buffer[..block.len()];
        if !Level::best().run(OfferBlock { first_item, scores: block, buffer: wide, best }) {
            return Err(first_refused(row, scores, buffer));
        }
    }
    Ok(())
}

/// Offers a block to the list; false if it holds NaN or +inf.
struct OfferBlock<'a, S: Score> {
    first_item: usize,
    scores: &'a [S],
    buffer: &'a mut [S::Wide],
    best: &'a mut Best<S::Wide>,
}

impl<S: Score> Task for OfferBlock<'_, S> {
    type Output = bool;

    #[inline(always)]
    fn run<const ITEMS: usize, const FMA: bool>(self, lanes: impl Lanes) -> bool {
        let scores = S::widen(self.scores, self.buffer);
        let extremes = scores.iter().fold(Default::default(), |seen, score| score.remember(seen));
        let allowed = !S::Wide::refused(extremes);
        if allowed {
            self.best.offer(lanes, self.first_item, scores);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    const MASK: f32 = f32::NEG_INFINITY;

    #[test]
    fn missing_places_hold_no_item() {
        let got = top_n(&[MASK, 1.0, MASK, 5.0, 5.0, 6.0], 2, 3, 2, &CancelToken::new()).unwrap();
        assert_eq!(got.items, [1, 3, 2, 0]);
        assert_eq!(got.scores, [1.0, MASK, 6.0, 5.0]);
    }

    #[test]
    fn a_list_longer_than_the_catalogue_is_refused() {
        for n in [0, 3] {
            let got = top_n(&[0.0, 1.0], 1, 2, n, &CancelToken::new());
            assert!(matches!(got, Err(Error::Parameter { name: "n", .. })));
        }
    }

    #[test]
    fn nan_is_refused_even_below_the_threshold() {
        let mut scores = vec![1.0; 10_000];
        scores[9_000] = f64::NAN;
        let got = top_n(&scores, 2, 5_000, 1, &CancelToken::new());
        assert!(matches!(got, Err(Error::NonFinite { row: 1, column: 4_000, .. })));
    }
}
