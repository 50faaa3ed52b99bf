//! A chunk of the catalogue, its scores and its targets.

use crate::Result;
use crate::shape::check_shape;

/// A chunk of the catalogue: what is known about its items and about the rows of scores.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// How many items the chunk has.
    pub width: usize,
    /// Each row's target as a column of the chunk; it may lie outside.
    pub targets: &'a [i64],
    /// Whether the softmax sum is wanted.
    pub softmax: bool,
    /// Which items the softmax counts; all where absent.
    pub counted: Option<&'a [bool]>,
    /// `W` of each item, where the second sum is wanted.
    pub slope: Option<&'a [f32]>,
}

impl Problem<'_> {
    pub(super) fn check(&self, n_scores: usize) -> Result<()> {
        check_shape("width", self.width, self.width.max(1))?;
        check_shape("scores", n_scores, self.targets.len().saturating_mul(self.width))?;
        let of_items = |name, got| check_shape(name, got, self.width);
        self.counted.map_or(Ok(()), |counted| of_items("in_softmax", counted.len()))?;
        self.slope.map_or(Ok(()), |slope| of_items("slope", slope.len()))
    }

    pub(super) fn target(&self, row: usize) -> Option<usize> {
        usize::try_from(self.targets[row]).ok().filter(|&column| column < self.width)
    }
}
