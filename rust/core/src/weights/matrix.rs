//! Lists of items, a row each.

use crate::Result;
use crate::shape::check_shape;

/// Rows of items, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The items of all rows.
    pub items: &'a [u32],
    /// Items per row.
    pub columns: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn check(self, name: &'static str, n_rows: usize) -> Result<()> {
        check_shape(name, self.items.len(), n_rows.saturating_mul(self.columns))
    }

    pub(super) fn row(self, row: usize) -> &'a [u32] {
        &self.items[row * self.columns..][..self.columns]
    }
}
