//! The consistency weight from the student's scores, without sorting them.

use super::checks::check_parameter;
use super::matrix::Matrix;
use crate::memory::zeros;
use crate::shape::check_shape;
use crate::{CancelToken, Error, Result, parallel};

/// Scores between two checks of the cancel token and at the current threshold.
const BLOCK: usize = 64;

/// Scores per unit of work.
const CHUNK_STEPS: usize = 1 << 16;

/// Writes 1 where the item is among the `k` best scores of its row, else 0.
///
/// `scores` is `(rows, n_items)`; best is the higher score, then the lower index. A score of
/// negative infinity marks an item that is no candidate: it is never among the best.
///
/// # Errors
///
/// [`Error::Parameter`] for `k` outside `1..=n_items` and for no columns; [`Error::Shape`];
/// [`Error::NonFinite`] for NaN and positive infinity; [`Error::ItemOutOfRange`].
pub fn consistency_from_scores(
    scores: &[f32],
    n_items: usize,
    ranking: Matrix,
    k: usize,
    out: &mut [f32],
    cancel: &CancelToken,
) -> Result<()> {
    let columns = ranking.columns;
    check_parameter("ranking columns", columns as f64, columns >= 1, "at least 1")?;
    check_parameter("k", k as f64, (1..=n_items).contains(&k), "1 to the number of items")?;
    let n_rows = out.len() / columns;
    check_shape("scores", scores.len(), n_rows.saturating_mul(n_items))?;
    ranking.check("ranking", n_rows)?;
    check_shape("out", out.len(), ranking.items.len())?;
    let rows_per_chunk = (CHUNK_STEPS / n_items).max(1);
    parallel::try_for_each_chunk(out, rows_per_chunk * columns, cancel, |index, out| {
        let mut best = Best { k, kept: zeros(k)?, len: 0 };
        let first = index * rows_per_chunk;
        for (row, hits) in (first..).zip(out.chunks_exact_mut(columns)) {
            let scores = &scores[row * n_items..][..n_items];
            best.fill(row, scores, cancel)?;
            best.mark(row, ranking.row(row), scores, hits)?;
        }
        Ok(())
    })
}

/// The best scores of a row with their items, best first.
struct Best {
    k: usize,
    kept: Vec<(f32, u32)>,
    len: usize,
}

impl Best {
    fn fill(&mut self, row: usize, scores: &[f32], cancel: &CancelToken) -> Result<()> {
        self.len = 0;
        for (index, block) in scores.chunks(BLOCK).enumerate() {
            cancel.check()?;
            let start = index * BLOCK;
            if !block.iter().fold(true, |right, &score| right & is_score(score)) {
                return Err(not_a_score(row, start, block));
            }
            let highest = block.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            if highest > self.threshold() {
                for (item, &score) in (start as u32..).zip(block) {
                    self.insert(score, item);
                }
            }
        }
        Ok(())
    }

    /// Only a higher score enters: items come in order, so that a tie goes to the lower index.
    fn threshold(&self) -> f32 {
        if self.len < self.k { f32::NEG_INFINITY } else { self.kept[self.k - 1].0 }
    }

    fn insert(&mut self, score: f32, item: u32) {
        if score <= self.threshold() {
            return;
        }
        let place = self.kept[..self.len].partition_point(|kept| kept.0 >= score);
        self.len = (self.len + 1).min(self.k);
        self.kept.copy_within(place..self.len - 1, place + 1);
        self.kept[place] = (score, item);
    }

    fn mark(&self, row: usize, items: &[u32], scores: &[f32], hits: &mut [f32]) -> Result<()> {
        let (lowest, last_item) = match self.kept[..self.len].last() {
            Some(&worst) if self.len == self.k => worst,
            // Fewer candidates than k: all of them are among the best.
            _ => (f32::MIN, u32::MAX),
        };
        for (column, (hit, &item)) in hits.iter_mut().zip(items).enumerate() {
            let Some(&score) = scores.get(item as usize) else {
                let (item, n_items) = (item.into(), scores.len());
                return Err(Error::ItemOutOfRange { name: "ranking", row, column, item, n_items });
            };
            let is_hit = score > lowest || (score >= lowest && item <= last_item);
            *hit = f32::from(u8::from(is_hit));
        }
        Ok(())
    }
}

/// Neither NaN nor positive infinity.
fn is_score(score: f32) -> bool {
    score < f32::INFINITY
}

#[cold]
fn not_a_score(row: usize, start: usize, block: &[f32]) -> Error {
    let place = block.iter().position(|&score| !is_score(score)).unwrap_or_default();
    let value = f64::from(block[place]);
    Error::NonFinite { name: "scores", row, column: start + place, value }
}
