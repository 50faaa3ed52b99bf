//! Where a target ranks among all items, and which items rank first.
//!
//! From a score matrix: [`rank_counts`] and [`top_n()`]. From user and item vectors, tile by tile and
//! without the matrix: [`fused_rank_counts`] and [`fused_top_n`]. The rules are the same in all four:
//!
//! * a score of -inf masks the item: it is no candidate, is never listed, and as a target refused;
//! * NaN and +inf are refused, wherever they stand;
//! * `equal` does not count the target itself;
//! * lists go by score, descending, then by index, ascending; 0 and -0 are one score.

// What `simd` compiles once a level must be inlined into it.
#![allow(clippy::inline_always)]

mod best;
mod counts;
mod fused;
mod listed_items;
mod panels;
mod score;
mod simd;
mod task_grid;
mod tile_pass;
mod top_n;

pub use counts::{Counts, rank_counts};
pub use fused::{ScoringProblem, fused_rank_counts, fused_top_n};
pub use listed_items::ListedItems;
pub use score::Score;
pub use top_n::{TopN, top_n};

use crate::{Error, Result};

/// Elements that are widened, compared and counted at a time: they stay in the first cache.
const BLOCK: usize = 4096;

/// Fails unless `1 <= n <= n_items`.
fn check_n(n: usize, n_items: usize) -> Result<()> {
    if (1..=n_items).contains(&n) {
        return Ok(());
    }
    Err(Error::Parameter { name: "n", value: n as f64, rule: "1 <= n <= n_items" })
}

/// Fails unless every target is an item.
fn check_targets(targets: &[u32], n_items: usize) -> Result<()> {
    match targets.iter().position(|&item| item as usize >= n_items) {
        None => Ok(()),
        Some(row) => Err(Error::ItemOutOfRange {
            name: "targets",
            row,
            column: 0,
            item: targets[row].into(),
            n_items,
        }),
    }
}

/// A vector of `len` copies of `value`, or [`Error::Memory`].
fn filled<T: Copy>(value: T, len: Option<usize>) -> Result<Vec<T>> {
    let bytes = len.and_then(|len| len.checked_mul(size_of::<T>()));
    let refused = Error::Memory { bytes: bytes.unwrap_or(usize::MAX) };
    let Some(len) = len else { return Err(refused) };
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| refused)?;
    values.resize(len, value);
    Ok(values)
}
