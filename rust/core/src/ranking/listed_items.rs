//! Items of each user whose scores are moved: those of its window or those it has seen, by one number
//! for all; and those that have a bonus of their own.

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

/// A bonus for some items of each row: row `b` has `items[offsets[b]..offsets[b + 1]]`.
#[derive(Debug, Clone, Copy)]
pub struct ItemBonuses<'a> {
    /// `(rows + 1,)`, from 0 to `items.len()`, never falling.
    pub offsets: &'a [i64],
    /// The items, ascending within a row.
    pub items: &'a [u32],
    /// What is added to their scores, finite.
    pub values: &'a [f32],
}

impl<'a> ItemBonuses<'a> {
    pub(super) fn check(&self, n_users: usize, n_items: usize) -> Result<()> {
        let (got, expected) = (self.values.len(), self.items.len());
        if got != expected {
            return Err(Error::Shape { name: "bonus values", got, expected });
        }
        ListedItems { offsets: self.offsets, items: self.items, shift: 0.0 }
            .check(n_users, n_items)?;
        let rule = "items that ascend within a row";
        for row in 0..n_users {
            let items = &self.items[self.range(row)];
            if let Some(column) = items.windows(2).position(|pair| pair[0] >= pair[1]) {
                let value = items[column + 1].into();
                return Err(Error::Value { name: "bonus items", row, column, value, rule });
            }
        }
        match self.values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(row) => {
                let value = self.values[row].into();
                Err(Error::NonFinite { name: "bonus values", row, column: 0, value })
            }
        }
    }

    fn range(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    /// The items of one row within `items`, and their bonuses.
    fn within(&self, row: usize, items: &Range<usize>) -> (&'a [u32], &'a [f32]) {
        let range = self.range(row);
        let (all, values) = (&self.items[range.clone()], &self.values[range]);
        let begin = all.partition_point(|&item| (item as usize) < items.start);
        let end = all.partition_point(|&item| (item as usize) < items.end);
        (&all[begin..end], &values[begin..end])
    }

    /// The bonus of one item, 0 where it has none.
    pub(super) fn of(&self, row: usize, item: u32) -> f32 {
        let range = self.range(row);
        let found = self.items[range.clone()].binary_search(&item);
        found.map_or(0.0, |place| self.values[range.start + place])
    }
}

/// Both kinds of moved items.
#[derive(Debug, Clone, Copy, Default)]
pub struct MovedItems<'a> {
    /// Those that one number moves.
    pub listed: Option<ListedItems<'a>>,
    /// Those with a bonus.
    pub bonuses: Option<ItemBonuses<'a>>,
}

impl MovedItems<'_> {
    pub(super) fn check(&self, n_users: usize, n_items: usize) -> Result<()> {
        self.listed.map_or(Ok(()), |listed| listed.check(n_users, n_items))?;
        self.bonuses.map_or(Ok(()), |bonuses| bonuses.check(n_users, n_items))
    }

    /// The most that a score can be moved by, masks aside.
    pub(super) fn most(&self) -> f64 {
        let finite = |value: f32| if value.is_finite() { f64::from(value.abs()) } else { 0.0 };
        let shift = self.listed.map_or(0.0, |listed| finite(listed.shift));
        let bonuses = self.bonuses.map_or(&[][..], |bonuses| bonuses.values);
        shift + bonuses.iter().copied().map(finite).fold(0.0, f64::max)
    }

    /// What is added to the score of one item.
    pub(super) fn of(&self, row: usize, item: u32) -> f32 {
        let listed = self.listed.filter(|listed| listed.row(row).contains(&item));
        let bonus = self.bonuses.map_or(0.0, |bonuses| bonuses.of(row, item));
        listed.map_or(0.0, |listed| listed.shift) + bonus
    }
}

/// The moved items of a block of rows within a range of items, ascending, each once.
#[derive(Debug, Default)]
pub struct MovedInBlock {
    /// Where each row's remaining items lie in `moves`.
    rows: Vec<Range<usize>>,
    moves: Vec<(u32, f32)>,
}

impl MovedInBlock {
    pub(super) fn new(all: MovedItems, users: Range<usize>, items: &Range<usize>) -> Self {
        let mut block = Self::default();
        if all.listed.is_none() && all.bonuses.is_none() {
            return block;
        }
        let mut unique = Vec::new();
        for user in users {
            unique.clear();
            if let Some(listed) = all.listed {
                let row = listed.row(user).iter();
                unique.extend(row.filter(|&&item| items.contains(&(item as usize))));
                unique.sort_unstable();
                unique.dedup();
            }
            let shift = all.listed.map_or(0.0, |listed| listed.shift);
            let (bonus_items, bonuses) =
                all.bonuses.map_or((&[][..], &[][..]), |bonuses| bonuses.within(user, items));
            let begin = block.moves.len();
            block.merge(&unique, shift, bonus_items, bonuses);
            block.rows.push(begin..block.moves.len());
        }
        block
    }

    /// Appends the moves of one row: both lists ascend.
    fn merge(&mut self, listed: &[u32], shift: f32, bonus_items: &[u32], bonuses: &[f32]) {
        let mut rest = listed;
        for (&item, &bonus) in bonus_items.iter().zip(bonuses) {
            while let Some((&first, others)) =
                rest.split_first().filter(|(first, _)| **first < item)
            {
                self.moves.push((first, shift));
                rest = others;
            }
            let is_listed = rest.first() == Some(&item);
            rest = &rest[usize::from(is_listed)..];
            self.moves.push((item, if is_listed { shift + bonus } else { bonus }));
        }
        self.moves.extend(rest.iter().map(|&item| (item, shift)));
    }

    /// The moves of a block of one row, ascending.
    pub(super) fn into_moves(self) -> Vec<(u32, f32)> {
        self.moves
    }

    /// Moves the scores of the items among `first_item..`; tiles must come in order.
    #[inline(always)]
    pub(super) fn apply(&mut self, row: usize, first_item: usize, scores: &mut [f32]) {
        let Some(next) = self.rows.get_mut(row) else { return };
        for &(item, by) in &self.moves[next.clone()] {
            let Some(score) = scores.get_mut(item as usize - first_item) else { return };
            *score += by;
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
        let moved = MovedItems { listed: Some(all), bonuses: None };
        let mut block = MovedInBlock::new(moved, 0..2, &(0..6));
        let mut scores = [0.0; 4];
        block.apply(0, 0, &mut scores);
        assert_eq!(scores.map(f32::to_bits), [0; 4]);
        block.apply(1, 0, &mut scores[..2]);
        block.apply(1, 2, &mut scores[2..]);
        assert_eq!(scores.map(|score| score as i32), [0, -2, 0, -2]);
    }

    #[test]
    fn bonuses_and_shifts_add_up_and_a_mask_stays() {
        let bonuses = ItemBonuses { offsets: &[0, 3], items: &[0, 3, 5], values: &[1.0, 2.0, 4.0] };
        for (shift, expected) in [
            (-2.0, [1.0, -2.0, 0.0, 0.0, -2.0, 4.0]),
            (
                f32::NEG_INFINITY,
                [1.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 4.0],
            ),
        ] {
            let moved = MovedItems {
                listed: Some(listed(&[0, 3], &[4, 3, 1], shift)),
                bonuses: Some(bonuses),
            };
            let mut scores = [0.0; 6];
            MovedInBlock::new(moved, 0..1, &(0..6)).apply(0, 0, &mut scores);
            assert_eq!(scores.map(f32::to_bits), expected.map(f32::to_bits));
            let single = [0, 1, 2, 3, 4, 5].map(|item| moved.of(0, item));
            assert_eq!(single.map(f32::to_bits), expected.map(f32::to_bits));
        }
    }

    #[test]
    fn bonuses_that_do_not_fit_are_refused() {
        let good =
            ItemBonuses { offsets: &[0, 2, 3], items: &[1, 4, 0], values: &[1.0, -1.0, 0.5] };
        assert!(good.check(2, 5).is_ok());
        for bad in [
            ItemBonuses { items: &[4, 1, 0], ..good },
            ItemBonuses { items: &[1, 1, 0], ..good },
            ItemBonuses { items: &[1, 5, 0], ..good },
            ItemBonuses { values: &[1.0, -1.0], ..good },
            ItemBonuses { values: &[1.0, f32::NAN, 0.5], ..good },
            ItemBonuses { offsets: &[0, 3], ..good },
        ] {
            assert!(bad.check(2, 5).is_err(), "{bad:?}");
        }
    }
}
