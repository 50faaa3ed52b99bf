//! What a row excludes: its events, and the quick tests of whether a draw is among them.

use super::exact::ExactDraw;
use crate::{Error, Result};

/// Events compared at a time: one vector register of any x86-64.
pub(super) const LANES: usize = 4;

/// Up to this many events, a linear search is cheaper than the sorted copy of an [`ExactDraw`].
const SHORT: usize = 64;

/// A row's events, and all events from its first on; `None` if its bounds are wrong.
#[inline]
pub(super) fn excluded(events: &[u32], begin: i64, end: i64) -> Option<(&[u32], &[u32])> {
    // A negative bound becomes a huge one.
    let after = events.get(begin as u64 as usize..)?;
    Some((after.get(..end.wrapping_sub(begin) as usize)?, after))
}

#[cold]
pub(super) fn wrong_bounds(row: usize, begin: i64, end: i64, n_events: usize) -> Error {
    let begin_is_wrong = begin < 0 || begin as usize > n_events;
    let (name, value) = if begin_is_wrong { ("begin", begin) } else { ("end", end) };
    let rule = "0 <= begin <= end <= the number of events";
    Error::Value { name, row, column: 0, value: value as f64, rule }
}

/// True if `excluded` holds `item` or a number that is not an item. There are a few false alarms,
/// since it reads whole vectors and thus some events of `after`.
#[inline]
pub(super) fn is_suspect(excluded: &[u32], after: &[u32], item: u32, n_items: u32) -> bool {
    let highest = n_items - 1;
    let suspect = |event: u32| all_ones(event == item) | all_ones(event > highest);
    let Some(whole) = after.get(..excluded.len().wrapping_add(LANES - 1) / LANES * LANES) else {
        return excluded.iter().any(|&event| suspect(event) != 0);
    };
    let (vectors, _) = whole.as_chunks::<LANES>();
    let mut suspects = [0; LANES];
    for vector in vectors {
        for lane in 0..LANES {
            suspects[lane] |= suspect(vector[lane]);
        }
    }
    suspects.into_iter().fold(0, |any, lane| any | lane) != 0
}

/// What the draws of one row depend on.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub index: usize,
    pub stream: u64,
    pub excluded: &'a [u32],
    pub n_items: u32,
}

impl Row<'_> {
    #[cold]
    #[inline(never)]
    pub(super) fn settle(&self, j: u64) -> Result<u32> {
        self.check_items()?;
        Ok(self.exact()?.draw(self.stream, j))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn look_closer(
        &self,
        j: u64,
        item: u32,
        doubtful: bool,
        exact: &mut Option<ExactDraw>,
    ) -> Result<u32> {
        if !doubtful && self.excluded.len() <= SHORT && !self.excluded.contains(&item) {
            return Ok(item);
        }
        let exact = match exact {
            Some(exact) => exact,
            none => none.insert(self.exact()?),
        };
        Ok(exact.draw(self.stream, j))
    }

    fn exact(&self) -> Result<ExactDraw> {
        ExactDraw::new(self.index, self.excluded, self.n_items)
    }

    /// Fails if one of the row's events is not an item.
    pub(super) fn check_items(&self) -> Result<()> {
        let is_wrong = |item: u32| item >= self.n_items;
        if self.excluded.iter().fold(0, |bad, &item| bad | all_ones(is_wrong(item))) == 0 {
            return Ok(());
        }
        let column = self.excluded.iter().position(|&item| is_wrong(item)).unwrap_or_default();
        let (item, n_items) = (self.excluded[column].into(), self.n_items as usize);
        Err(Error::ItemOutOfRange { name: "events", row: self.index, column, item, n_items })
    }
}

/// A bit for each item modulo 4096: if it is not set, the list does not hold the item.
pub(super) struct Filter([u64; 64]);

impl Filter {
    pub(super) fn new(items: &[u32]) -> Self {
        let mut filter = Self([0; 64]);
        for &item in items {
            filter.0[(item >> 6) as usize % 64] |= 1 << (item % 64);
        }
        filter
    }

    #[inline]
    pub(super) fn may_hold(&self, item: u32) -> bool {
        self.0[(item >> 6) as usize % 64] >> (item % 64) & 1 != 0
    }
}

/// What vector comparisons give; 0 and 1 would cost another mask.
#[inline]
fn all_ones(condition: bool) -> u32 {
    if condition { u32::MAX } else { 0 }
}
