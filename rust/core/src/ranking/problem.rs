//! What the fused kernels score: vectors of users and items, biases, and items moved per user.

use super::listed_items::MovedItems;
use super::score::is_allowed;
use crate::{Error, Result};

/// What is to be scored: the score of user `b` and item `i` is `users[b] . items[i] + bias[i]`, plus
/// the shift of the listed items if row `b` lists item `i`, plus the bonus that row `b` has for it.
#[derive(Debug, Clone, Copy)]
pub struct ScoringProblem<'a> {
    /// `(n_users, width)`, row-major, finite.
    pub users: &'a [f32],
    /// `(n_items, width)`, row-major, finite.
    pub items: &'a [f32],
    /// Numbers in a vector, at least 1.
    pub width: usize,
    /// `(n_items,)`, finite, or -inf to mask an item for all users.
    pub bias: Option<&'a [f32]>,
    /// Items of each user whose scores are moved.
    pub moved: MovedItems<'a>,
}

impl ScoringProblem<'_> {
    /// Users and items.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.users.len() / self.width, self.items.len() / self.width)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.width == 0 {
            return Err(Error::Parameter { name: "width", value: 0.0, rule: "at least 1" });
        }
        let (n_users, n_items) = self.sizes();
        for (name, values, n_rows) in
            [("users", self.users, n_users), ("items", self.items, n_items)]
        {
            let (got, expected) = (values.len(), n_rows * self.width);
            if got != expected {
                return Err(Error::Shape { name, got, expected });
            }
        }
        if let Some(bias) = self.bias {
            if bias.len() != n_items {
                return Err(Error::Shape { name: "bias", got: bias.len(), expected: n_items });
            }
            if let Some(row) = bias.iter().position(|&bias| !is_allowed(bias)) {
                let value = bias[row].into();
                return Err(Error::NonFinite { name: "bias", row, column: 0, value });
            }
        }
        self.moved.check(n_users, n_items)
    }
}
