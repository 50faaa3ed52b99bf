//! A memory of item pairs: how often one followed another ([`count_pairs`]), and what that adds to
//! scores ([`pair_bonuses`]), for each row a sparse sum over its window's items. [`similar_rows`]
//! finds the pairs that are alike by what describes them.
//!
//! The bonus of item `b` is the sum over the window's items of `age_weights[k] * table[item, b]`,
//! `k` counting from the newest item. Sums run from the newest item to the oldest, so that they have
//! the same bits however rows are shared among threads. A row's items come out ascending.
//!
//! Each row is added up in an array as long as the catalogue; bits in two levels say which of its
//! places are in use, so that neither clearing nor ordering costs more than the items there are. For
//! a few rows of a large catalogue the array would cost more than the rows: they are sorted.

mod accumulator;
mod counts;
mod similar;

use std::ops::Range;

use rayon::prelude::*;

use self::accumulator::Sums;
pub use self::counts::{PairCounts, count_pairs};
pub use self::similar::{SparseRows, similar_rows};
use crate::memory::{reserve, with_capacity};
use crate::shape::check_shape;
use crate::{CancelToken, Error, Result};

/// The fewest rows of a task, each of which has an accumulator of its own.
const TASK_ROWS: usize = 256;

/// Which items follow which: those after item `a` are `items[offsets[a]..offsets[a + 1]]`.
#[derive(Debug, Clone, Copy)]
pub struct PairTable<'a> {
    /// `(n_items + 1,)`, from 0 to `items.len()`, never falling.
    pub offsets: &'a [i64],
    /// The items that follow.
    pub items: &'a [u32],
    /// How strongly each follows, finite.
    pub values: &'a [f32],
}

/// Windows of items, oldest first: row `r` holds its items in the first `lengths[r]` places.
#[derive(Debug, Clone, Copy)]
pub struct MemoryWindows<'a> {
    /// `(rows, max_length)`.
    pub sequences: &'a [u32],
    /// `(rows,)`.
    pub lengths: &'a [u32],
    /// Weight of an item by its age, 0 the newest, finite; older items have no weight.
    pub age_weights: &'a [f32],
}

/// Bonuses of each row: row `r` has `items[offsets[r]..offsets[r + 1]]`, ascending.
#[derive(Debug, Default, PartialEq)]
pub struct Bonuses {
    /// `(rows + 1,)`.
    pub offsets: Vec<i64>,
    /// Items with a bonus.
    pub items: Vec<u32>,
    /// What is added to their scores.
    pub values: Vec<f32>,
}

impl MemoryWindows<'_> {
    /// Places of a window; 0 where there is no row.
    fn max_length(&self) -> Result<usize> {
        let n_rows = self.lengths.len();
        let places = self.sequences.len().checked_div(n_rows).unwrap_or(0);
        check_shape("sequences", self.sequences.len(), places * n_rows)?;
        Ok(places)
    }
}

impl PairTable<'_> {
    /// N.
    fn n_items(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// What needs no pass over the pairs.
    fn check_ends(&self) -> Result<()> {
        check_shape("values", self.values.len(), self.items.len())?;
        let n_pairs = self.items.len() as i64;
        if self.offsets.first() != Some(&0) || self.offsets.last() != Some(&n_pairs) {
            return Err(wrong_offsets(0, self.offsets.last().copied().unwrap_or(0)));
        }
        Ok(())
    }

    /// The items that follow one, and how strongly; only what is given is checked.
    fn followers(&self, item: usize) -> Result<impl Iterator<Item = (u32, f32)>> {
        let (begin, end) = (self.offsets[item], self.offsets[item + 1]);
        let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
        let pairs = range.and_then(|(begin, end)| {
            Some((begin, self.items.get(begin..end)?, self.values.get(begin..end)?))
        });
        let Some((begin, items, values)) = pairs else {
            return Err(wrong_offsets(item, end));
        };
        let n_items = self.n_items();
        if let Some(place) = items.iter().position(|&item| item as usize >= n_items) {
            let (row, item) = (begin + place, items[place].into());
            return Err(Error::ItemOutOfRange { name: "items", row, column: 0, item, n_items });
        }
        finite_from(begin, "values", values)?;
        Ok(items.iter().copied().zip(values.iter().copied()))
    }
}

/// The bonuses of some rows. Of the table only what the windows ask for is read and checked, so that
/// one row costs the same in any catalogue; who reads a table from a file checks it whole.
///
/// # Errors
///
/// [`Error::Shape`]; [`Error::Value`] for offsets that fall or a length beyond the window;
/// [`Error::ItemOutOfRange`]; [`Error::NonFinite`]; [`Error::Memory`]; [`Error::Interrupted`].
pub fn pair_bonuses(
    windows: MemoryWindows,
    table: PairTable,
    cancel: &CancelToken,
) -> Result<Bonuses> {
    table.check_ends()?;
    finite("age_weights", windows.age_weights)?;
    let n_rows = windows.lengths.len();
    windows.max_length()?;
    let in_pool = rayon::current_thread_index().is_some();
    let n_tasks = if in_pool { 4 * rayon::current_num_threads() } else { 1 };
    let step = n_rows.div_ceil(n_tasks).max(TASK_ROWS);
    let work =
        |begin: usize| rows_bonuses(windows, table, begin..(begin + step).min(n_rows), cancel);
    let begins: Vec<usize> = (0..n_rows).step_by(step).collect();
    let parts: Vec<Result<Bonuses>> = if in_pool {
        begins.into_par_iter().with_max_len(1).map(work).collect()
    } else {
        begins.into_iter().map(work).collect()
    };
    joined(parts.into_iter().collect::<Result<Vec<_>>>()?, n_rows, cancel)
}

fn rows_bonuses(
    windows: MemoryWindows,
    table: PairTable,
    rows: Range<usize>,
    cancel: &CancelToken,
) -> Result<Bonuses> {
    let max_length = windows.max_length()?;
    let asked = rows.len().saturating_mul(max_length.min(windows.age_weights.len()));
    let mut sums = Sums::new(table.n_items(), asked)?;
    let mut found = Bonuses { offsets: with_capacity(rows.len())?, ..Bonuses::default() };
    for row in rows {
        cancel.check()?;
        let window = &windows.sequences[row * max_length..][..max_length];
        for (&item, &weight) in
            real_items(window, windows.lengths, row)?.iter().rev().zip(windows.age_weights)
        {
            cancel.check()?;
            let item = known_item("sequences", item, row, table.n_items())?;
            for (follower, value) in table.followers(item)? {
                sums.add(follower, f64::from(weight) * f64::from(value));
            }
        }
        reserve(&mut found.items, sums.len())?;
        reserve(&mut found.values, sums.len())?;
        sums.drain(|item, value| {
            found.items.push(item);
            found.values.push(value as f32);
        });
        found.offsets.push(found.items.len() as i64);
    }
    Ok(found)
}

fn real_items<'a>(window: &'a [u32], lengths: &[u32], row: usize) -> Result<&'a [u32]> {
    window.get(..lengths[row] as usize).ok_or(Error::Value {
        name: "lengths",
        row,
        column: 0,
        value: lengths[row].into(),
        rule: "at most the window's length",
    })
}

fn known_item(name: &'static str, item: u32, row: usize, n_items: usize) -> Result<usize> {
    if (item as usize) < n_items {
        return Ok(item as usize);
    }
    let item = item.into();
    Err(Error::ItemOutOfRange { name, row, column: 0, item, n_items })
}

/// The parts one after the other; their offsets count from their own beginning.
fn joined(parts: Vec<Bonuses>, n_rows: usize, cancel: &CancelToken) -> Result<Bonuses> {
    let n_pairs = parts.iter().map(|part| part.items.len()).sum();
    let mut all = Bonuses {
        offsets: with_capacity(n_rows + 1)?,
        items: with_capacity(n_pairs)?,
        values: with_capacity(n_pairs)?,
    };
    all.offsets.push(0);
    for part in parts {
        cancel.check()?;
        let begin = all.items.len() as i64;
        all.offsets.extend(part.offsets.iter().map(|end| begin + end));
        all.items.extend_from_slice(&part.items);
        all.values.extend_from_slice(&part.values);
    }
    Ok(all)
}

fn wrong_offsets(row: usize, end: i64) -> Error {
    let rule = "offsets that rise from 0 to the number of pairs";
    Error::Value { name: "offsets", row, column: 0, value: end as f64, rule }
}

fn finite(name: &'static str, values: &[f32]) -> Result<()> {
    finite_from(0, name, values)
}

/// Refuses the first value that is not finite; the first of all has the number `first_row`.
fn finite_from(first_row: usize, name: &'static str, values: &[f32]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(place) => {
            let (row, value) = (first_row + place, values[place].into());
            Err(Error::NonFinite { name, row, column: 0, value })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 is followed by 1 and 3, 1 by 0, 2 by nothing, 3 by 3.
    const TABLE: PairTable<'_> = PairTable {
        offsets: &[0, 2, 3, 3, 4],
        items: &[3, 1, 0, 3],
        values: &[0.5, 2.0, 1.0, 4.0],
    };

    fn bonuses(sequences: &[u32], lengths: &[u32]) -> Result<Bonuses> {
        let windows = MemoryWindows { sequences, lengths, age_weights: &[1.0, 0.5] };
        pair_bonuses(windows, TABLE, &CancelToken::new())
    }

    #[test]
    fn bonuses_are_summed_over_the_window_and_ascend() {
        let got = bonuses(&[3, 0, 0, 0, 2, 9, 1, 9], &[2, 2, 1, 0]).unwrap();
        assert_eq!(got.offsets, [0, 2, 4, 4, 4]);
        assert_eq!(got.items, [1, 3, 1, 3]);
        assert_eq!(got.values, [2.0, 2.5, 3.0, 0.75]);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let n = 5000;
        let sequences: Vec<u32> = (0..2 * n).map(|i| (i * 7 % 4) as u32).collect();
        let lengths: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
        let alone = bonuses(&sequences, &lengths).unwrap();
        for n_threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            assert_eq!(pool.install(|| bonuses(&sequences, &lengths)).unwrap(), alone);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(bonuses(&[0, 1, 2], &[1, 1]).is_err());
        assert!(bonuses(&[0, 1], &[3]).is_err());
        assert!(bonuses(&[0, 4], &[2]).is_err());
        let windows = MemoryWindows { sequences: &[0], lengths: &[1], age_weights: &[f32::NAN] };
        assert!(pair_bonuses(windows, TABLE, &CancelToken::new()).is_err());
        for table in [
            PairTable { offsets: &[], ..TABLE },
            PairTable { offsets: &[0, 2, 3, 3, 5], ..TABLE },
            PairTable { values: &[0.5], ..TABLE },
        ] {
            let windows = MemoryWindows { sequences: &[], lengths: &[], age_weights: &[1.0] };
            assert!(pair_bonuses(windows, table, &CancelToken::new()).is_err());
        }
    }

    #[test]
    fn of_the_table_what_is_asked_for_is_checked() {
        let one = |item, table| {
            let windows = MemoryWindows { sequences: &[item], lengths: &[1], age_weights: &[1.0] };
            pair_bonuses(windows, table, &CancelToken::new())
        };
        for (item, table) in [
            (1, PairTable { offsets: &[0, 2, 1, 3, 4], ..TABLE }),
            (1, PairTable { offsets: &[0, 2, -1, 3, 4], ..TABLE }),
            (1, PairTable { offsets: &[0, 2, 9, 3, 4], ..TABLE }),
            (3, PairTable { items: &[3, 1, 0, 4], ..TABLE }),
            (0, PairTable { values: &[0.5, f32::INFINITY, 1.0, 4.0], ..TABLE }),
        ] {
            assert!(one(item, table).is_err(), "{item} {table:?}");
            assert!(one(if item == 3 { 0 } else { 3 }, table).is_ok(), "{item} {table:?}");
        }
    }
}
