//! The checks that several ranking kernels share.

use crate::{Error, Result};

/// Fails unless there are `n_items` scores for each row.
pub(super) fn check_scores<S>(scores: &[S], n_items: usize, n_rows: usize) -> Result<()> {
    if n_rows.checked_mul(n_items) == Some(scores.len()) {
        return Ok(());
    }
    let expected = n_rows.saturating_mul(n_items);
    Err(Error::Shape { name: "scores", got: scores.len(), expected })
}

/// Fails unless `1 <= n <= n_items`.
pub(super) fn check_n(n: usize, n_items: usize) -> Result<()> {
    if (1..=n_items).contains(&n) {
        return Ok(());
    }
    Err(Error::Parameter { name: "n", value: n as f64, rule: "1 <= n <= n_items" })
}

/// Fails unless every target is an item.
pub(super) fn check_targets(targets: &[u32], n_items: usize) -> Result<()> {
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
