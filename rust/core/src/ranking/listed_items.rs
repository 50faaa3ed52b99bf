//! Listed items of each user: those of its training window, or those it has seen.

use std::ops::Range;

use crate::{Error, Result};

/// Items of each row whose scores are shifted: row `b` lists `items[offsets[b]..offsets[b + 1]]`.
#[derive(Debug, Clone, Copy)]
pub struct ListedItems<'a> {
    /// `(rows + 1,)`, from 0 to `items.len()`, never falling.
    pub offsets: &'a [i64],
    /// The items, in any order; one listed twice counts once.
    pub items: &'a [u32],
    /// Added to the scores of the listed items; -inf masks them.
    pub shift: f32,
}

impl ListedItems<'_> {
    pub(super) fn check(&self, n_users: usize, n_items: usize) -> Result<()> {
        let (name, got, expected) = ("window offsets", self.offsets.len(), n_users + 1);
        if got != expected {
            return Err(Error::Shape { name, got, expected });
        }
        let highest = self.items.len() as i64;
        let begins = std::iter::once(&0).chain(self.offsets);
        let ends = self.offsets.iter().chain(std::iter::once(&highest));
        if let Some(row) = begins.zip(ends).position(|(begin, end)| begin > end) {
            let value = self.offsets[row.min(n_users)] as f64;
            let rule = "offsets that rise from 0 to the number of listed items";
            return Err(Error::Value { name, row, column: 0, value, rule });
        }
        if self.offsets[0] != 0 || self.offsets[n_users] != highest {
            let expected = self.offsets[n_users] as usize;
            return Err(Error::Shape { name: "window items", got: self.items.len(), expected });
        }
        self.check_items(n_items)?;
        if self.shift.is_nan() || self.shift == f32::INFINITY {
            let rule = "a finite number, or -inf to mask the listed items";
            let value = self.shift.into();
            return Err(Error::Parameter { name: "window_offset", value, rule });
        }
        Ok(())
    }

    fn check_items(&self, n_items: usize) -> Result<()> {
        let Some(place) = self.items.iter().position(|&item| item as usize >= n_items) else {
            return Ok(());
        };
        let row = self.offsets.partition_point(|&begin| begin <= place as i64) - 1;
        let column = place - self.offsets[row] as usize;
        let item = self.items[place].into();
        Err(Error::ItemOutOfRange { name: "window", row, column, item, n_items })
    }

    /// The items of one row, as given.
    pub(super) fn row(&self, row: usize) -> &[u32] {
        &self.items[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

/// The listed items of a block of rows within a range of items, ascending, each once.
#[derive(Debug, Default)]
pub struct ListedInBlock {
    /// Where each row's remaining items lie in `items`.
    rows: Vec<Range<usize>>,
    items: Vec<u32>,
    shift: f32,
}

impl ListedInBlock {
    pub(super) fn new(all: Option<ListedItems>, users: Range<usize>, items: &Range<usize>) -> Self {
        let Some(all) = all else { return Self::default() };
        let mut listed = Self { shift: all.shift, ..Self::default() };
        let mut unique = Vec::new();
        for user in users {
            unique.clear();
            unique.extend(all.row(user).iter().filter(|&&item| items.contains(&(item as usize))));
            unique.sort_unstable();
            unique.dedup();
            let begin = listed.items.len();
            listed.items.extend(&unique);
            listed.rows.push(begin..listed.items.len());
        }
        listed
    }

    /// Shifts the scores of the listed items among `first_item..`; tiles must come in order.
    #[inline(always)]
    pub(super) fn shift(&mut self, row: usize, first_item: usize, scores: &mut [f32]) {
        let Some(next) = self.rows.get_mut(row) else { return };
        for &item in &self.items[next.clone()] {
            let Some(score) = scores.get_mut(item as usize - first_item) else { return };
            *score += self.shift;
            next.start += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed<'a>(offsets: &'a [i64], items: &'a [u32], shift: f32) -> ListedItems<'a> {
        ListedItems { offsets, items, shift }
    }

    #[test]
    fn offsets_must_rise_from_zero_to_the_end() {
        assert!(listed(&[0, 1, 3], &[4, 0, 2], 1.0).check(2, 5).is_ok());
        for offsets in [&[0, 3][..], &[0, 2, 1, 3], &[1, 1, 3], &[0, 1, 2], &[0, 1, 4], &[-1, 1, 3]]
        {
            assert!(listed(offsets, &[4, 0, 2], 1.0).check(2, 5).is_err(), "{offsets:?}");
        }
    }

    #[test]
    fn an_item_outside_the_catalogue_is_named() {
        let got = listed(&[0, 1, 1, 3], &[4, 0, 5], 1.0).check(3, 5);
        let (name, n_items) = ("window", 5);
        assert_eq!(got, Err(Error::ItemOutOfRange { name, row: 2, column: 1, item: 5, n_items }));
    }

    #[test]
    fn a_shift_that_is_no_score_is_refused() {
        for shift in [f32::NAN, f32::INFINITY] {
            assert!(listed(&[0], &[], shift).check(0, 5).is_err());
        }
    }

    #[test]
    fn items_listed_twice_move_once() {
        let all = listed(&[0, 0, 4], &[3, 1, 3, 6], -2.0);
        let mut listed = ListedInBlock::new(Some(all), 0..2, &(0..6));
        let mut scores = [0.0; 4];
        listed.shift(0, 0, &mut scores);
        assert_eq!(scores.map(f32::to_bits), [0; 4]);
        listed.shift(1, 0, &mut scores[..2]);
        listed.shift(1, 2, &mut scores[2..]);
        assert_eq!(scores.map(|score| score as i32), [0, -2, 0, -2]);
    }
}
