//! Lists of items: whole numbers within the catalogue, none twice in a row.

use std::collections::HashSet;

use super::value_rules::{NO_ITEM, SHORT_LISTS, ValueRules};
use crate::teacher::diagnose;
use crate::teacher::fault::{Fault, TextError};
use crate::teacher::numbers::integer::{self, NotWhole};
use crate::teacher::numbers::item_rows;
use crate::teacher::rules::{ItemRules, OnDuplicate};

/// Entries of the table that raises the suspicion of repeated items in a row.
const STAMPS: usize = 1 << 16;

/// What is known about the rows so far, and scratch space.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// For each item modulo the table's size: the last row that listed it.
    stamps: Vec<u8>,
    /// The stamp of the row at hand, from 1.
    stamp: u8,
    sorted: Vec<u32>,
    has_zero: bool,
    rows_with_duplicates: u64,
}

impl ValueRules for ItemRules {
    type Value = u32;
    type Tally = Tally;

    #[inline]
    fn fast(&self, text: &[u8]) -> Option<(u32, usize)> {
        let (id, length) = integer::fast(text)?;
        let item = id.wrapping_sub(u64::from(self.id_base));
        (item < u64::from(self.n_items)).then_some((item as u32, length))
    }

    #[inline]
    fn fast_row(&self, text: &[u8], separator: u8, row: &mut [u32]) -> Option<usize> {
        item_rows::items_row(text, separator, self.id_base, self.n_items, row)
    }

    fn exact(&self, token: &[u8]) -> Result<u32, Fault> {
        let is_named = token.is_empty() || token.eq_ignore_ascii_case(b"nan");
        if is_named && self.short_lists {
            return Ok(self.n_items);
        }
        let id = integer::exact(token)
            .map_err(|why| if is_named { not_whole(why).hint(NO_ITEM) } else { not_whole(why) })?;
        if self.short_lists && self.marks_no_item(id) {
            return Ok(self.n_items);
        }
        let item =
            id.checked_sub(i64::from(self.id_base)).and_then(|item| u32::try_from(item).ok());
        match item {
            Some(item) if item < self.n_items => Ok(item),
            _ => Err(self.out_of_range(id)),
        }
    }

    fn nothing(&self) -> Option<u32> {
        self.short_lists.then_some(self.n_items)
    }

    fn ragged_hint(&self) -> &'static str {
        SHORT_LISTS
    }

    fn finish_row(&self, row: &mut [u32], tally: &mut Tally) -> Result<(), (usize, Fault)> {
        // Counted, since a search that stops early does not vectorise.
        tally.has_zero |= row.iter().filter(|&&item| item == 0).count() > 0;
        if !tally.suspects(row) || !tally.repeats(row, self.n_items) {
            return Ok(());
        }
        tally.rows_with_duplicates = tally.rows_with_duplicates.saturating_add(1);
        let mut seen = HashSet::new();
        let later = row
            .iter_mut()
            .enumerate()
            .filter(|(_, item)| **item < self.n_items && !seen.insert(**item));
        match self.on_duplicate {
            OnDuplicate::Keep => Ok(()),
            OnDuplicate::KeepFirst => {
                later.for_each(|(_, item)| *item = self.n_items);
                Ok(())
            }
            OnDuplicate::Error => {
                let mut later = later;
                let first = later.next().map(|(column, item)| (column, *item));
                let count = later.count().saturating_add(1);
                first.map_or(Ok(()), |(column, item)| Err((column, self.duplicate(item, count))))
            }
        }
    }

    fn check_columns(&self, columns: usize) -> Result<(), Fault> {
        if columns >= self.min_columns {
            return Ok(());
        }
        let message = format!("{columns} columns, expected at least {}", self.min_columns);
        Err(Fault::new("E-RANK-COLS", 0, message)
            .hint("export longer lists from the teacher or ask for fewer candidates"))
    }

    fn explain<'a>(&self, error: &mut TextError, mut tallies: impl Iterator<Item = &'a Tally>) {
        let is_padding = error.code == "E-RANK-RANGE" && error.hint == PADDING;
        if is_padding && self.id_base == 0 && !tallies.any(|tally| tally.has_zero) {
            error.hint = format!(
                "{} is the padding id; no 0 came before it: if the file counts items from 1, \
                 pass id_base=1 (--teacher-id-base 1); {NO_ITEM}",
                self.n_items
            );
        } else if is_padding {
            error.hint = format!(
                "{} is the padding id; {NO_ITEM}",
                u64::from(self.n_items).saturating_add(u64::from(self.id_base))
            );
        }
    }

    fn conclude<'a>(
        &self,
        _rows: usize,
        _columns: usize,
        tallies: impl Iterator<Item = &'a Tally>,
    ) -> Result<Vec<String>, TextError> {
        let rows = tallies.fold(0_u64, |sum, tally| sum.saturating_add(tally.rows_with_duplicates));
        if rows == 0 {
            return Ok(Vec::new());
        }
        let what = match self.on_duplicate {
            OnDuplicate::KeepFirst => "later copies became the padding id",
            _ => "all copies are kept",
        };
        Ok(vec![format!("W-RANK-DUP {rows} rows list an item more than once; {what}")])
    }
}

/// Stands for the hint that only the whole file can decide.
const PADDING: &str = "padding";

impl ItemRules {
    /// Whether a number that is no item is one that programs write for "no item".
    fn marks_no_item(&self, id: i64) -> bool {
        let (base, n_items) = (i64::from(self.id_base), i64::from(self.n_items));
        id == -1 || id == base.saturating_add(n_items) || (id == 0 && base == 1)
    }

    fn out_of_range(&self, id: i64) -> Fault {
        let (lowest, n_items) = (i64::from(self.id_base), i64::from(self.n_items));
        let end = lowest.saturating_add(n_items);
        let message = format!("item id {id} is outside {lowest}..{}", end.saturating_sub(1));
        let hint = match id {
            _ if id == end => PADDING,
            _ if self.marks_no_item(id) => NO_ITEM,
            _ => "",
        };
        Fault::new("E-RANK-RANGE", 0, message).hint(hint)
    }

    fn duplicate(&self, item: u32, count: usize) -> Fault {
        let id = u64::from(item).saturating_add(u64::from(self.id_base));
        let message = format!("item {id} is listed again; {count} repeated in this row");
        Fault::new("E-RANK-DUP", 0, message).in_row().hint(
            "export distinct items, or pass on_duplicate=\"keep\" or \"keep-first\" (--on-duplicate)",
        )
    }
}

fn not_whole(why: NotWhole) -> Fault {
    match why {
        NotWhole::NotANumber => diagnose::not_a_number(),
        NotWhole::Fraction => {
            Fault::new("E-NOT-INTEGER", 0, "not a whole number, expected an item id")
                .hint("is this the file of distances?")
        }
        NotWhole::Overflow => Fault::new("E-OVERFLOW", 0, "the number does not fit 64 bits"),
    }
}

impl Tally {
    /// Whether two items of the row share a stamp: always if one is there twice.
    fn suspects(&mut self, row: &[u32]) -> bool {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp <= 1 {
            self.stamps.clear();
            self.stamps.resize(STAMPS, 0);
            self.stamp = 1;
        }
        let Some(stamps) = self.stamps.first_chunk_mut::<STAMPS>() else {
            return true;
        };
        let mut is_shared = false;
        for &item in row {
            if let Some(stamp) = stamps.get_mut(usize::from(item as u16)) {
                is_shared |= *stamp == self.stamp;
                *stamp = self.stamp;
            }
        }
        is_shared
    }

    fn repeats(&mut self, row: &[u32], n_items: u32) -> bool {
        self.sorted.clear();
        self.sorted.extend(row.iter().filter(|&&item| item < n_items));
        self.sorted.sort_unstable();
        self.sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
    }
}
