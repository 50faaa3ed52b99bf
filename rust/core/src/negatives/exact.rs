//! A draw by its definition, which needs the excluded items in order.

use std::iter;

use super::generator::bounded;
use crate::memory::with_capacity;
use crate::random::{mix, split};
use crate::{Error, Result};

/// The full definition of a draw, used where step 1 does not settle it.
pub(super) struct ExactDraw {
    n_items: u32,
    /// The excluded items, ascending.
    distinct: Vec<u32>,
}

impl ExactDraw {
    /// For the row with index `row`, which the error names.
    pub(super) fn new(row: usize, excluded: &[u32], n_items: u32) -> Result<Self> {
        let mut distinct = with_capacity(excluded.len())?;
        distinct.extend_from_slice(excluded);
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() >= n_items as usize {
            return Err(Error::NoNegative { row, n_items: n_items as usize });
        }
        Ok(Self { n_items, distinct })
    }

    pub(super) fn draw(&self, stream: u64, j: u64) -> u32 {
        let mut streams = iter::successors(Some(stream), |&last| Some(mix(!last)));
        let mut below = |n: u32| {
            // The streams never end, so a word is always found.
            streams.find_map(|stream| bounded(split(stream, j), n)).unwrap_or_default()
        };
        let item = below(self.n_items);
        if self.distinct.binary_search(&item).is_err() {
            return item;
        }
        self.allowed(below(self.n_items - self.distinct.len() as u32))
    }

    /// The `rank`-th item, from 0, that is not excluded.
    fn allowed(&self, rank: u32) -> u32 {
        // `distinct[i] - i` allowed items come before `distinct[i]`, and that never falls with `i`.
        let (mut low, mut high) = (0, self.distinct.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.distinct[middle] - middle as u32 <= rank {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        rank + low as u32
    }
}
