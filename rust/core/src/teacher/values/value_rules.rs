//! What tells a file of items from a file of distances.

use crate::teacher::fault::{Fault, TextError};

/// What to do about lists that are shorter than others.
pub(crate) const SHORT_LISTS: &str =
    "if lists may be shorter, pass short_lists=True (--short-lists)";

/// What to do about a token that may stand for no item.
pub(crate) const NO_ITEM: &str = "if it stands for no item, pass short_lists=True (--short-lists)";

/// The rules that the values of a table must obey, and how they are read.
pub(crate) trait ValueRules: Sync {
    type Value: Copy + Default + Send + Sync;
    /// What is known about the rows so far. Sums of it must not depend on their order.
    type Tally: Default + Send + Sync;

    /// Reads a number off the front of a text: its value and its length; `None`: look closer.
    fn fast(&self, text: &[u8]) -> Option<(Self::Value, usize)>;

    /// Reads a whole line at once: its length with the newline; `None`: look closer.
    fn fast_row(&self, _text: &[u8], _separator: u8, _row: &mut [Self::Value]) -> Option<usize> {
        None
    }

    /// Reads a token; the fault's place is set by the caller.
    fn exact(&self, token: &[u8]) -> Result<Self::Value, Fault>;

    /// What stands in places that a short row leaves; `None` where every row must be whole.
    fn nothing(&self) -> Option<Self::Value>;

    /// How many columns there must be at least, where rows may be short.
    fn least_columns(&self) -> usize {
        0
    }

    /// What to do about a row that is shorter or longer than the first.
    fn ragged_hint(&self) -> &'static str;

    /// Checks a whole row; a fault comes with its column (from 0).
    fn finish_row(
        &self,
        row: &mut [Self::Value],
        tally: &mut Self::Tally,
    ) -> Result<(), (usize, Fault)>;

    /// Checks the number of columns.
    fn check_columns(&self, columns: usize) -> Result<(), Fault>;

    /// Adds to an error what only the rows before it can show.
    fn explain<'a>(&self, error: &mut TextError, tallies: impl Iterator<Item = &'a Self::Tally>)
    where
        Self::Tally: 'a;

    /// Checks the whole table; returns the warnings.
    fn conclude<'a>(
        &self,
        rows: usize,
        columns: usize,
        tallies: impl Iterator<Item = &'a Self::Tally>,
    ) -> Result<Vec<String>, TextError>
    where
        Self::Tally: 'a;
}
