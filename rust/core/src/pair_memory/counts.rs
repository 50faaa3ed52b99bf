//! How often each item was the target some places after another.
//!
//! A task takes a range of source items: it goes through all windows, gathers the pairs of its items
//! in the order of the rows, and sums each item's pairs. Every sum has the order of the rows, so its
//! bits do not depend on the tasks.

use std::ops::Range;

use rayon::prelude::*;

use super::accumulator::Accumulator;
use super::{MemoryWindows, finite, known_item, real_items};
use crate::memory::{filled, reserve, with_capacity, zeros};
use crate::shape::check_shape;
use crate::{CancelToken, Result};

/// Places of windows, or pairs of an item, between two checks of the cancel token.
const CHECK_PLACES: usize = 1 << 16;

/// What followed each item: item `a` was followed by `items[offsets[a]..offsets[a + 1]]`.
#[derive(Debug, Default, PartialEq)]
pub struct PairCounts {
    /// `(n_items + 1,)`.
    pub offsets: Vec<i64>,
    /// The items that followed, ascending within an item.
    pub items: Vec<u32>,
    /// Sum of the weights of each pair's ages.
    pub counts: Vec<f64>,
    /// Sum of all counts of each item, also of those left out, `(n_items,)`.
    pub row_sums: Vec<f64>,
}

/// Counts pairs of a window's item and the row's target, weighted by the item's age.
///
/// Of each item the `most` highest counts are kept, of equal ones those of the lowest items. Ages
/// beyond the weights are not counted; a window holds at least as many places.
///
/// # Errors
///
/// As [`super::pair_bonuses`].
pub fn count_pairs(
    windows: MemoryWindows,
    targets: &[u32],
    n_items: usize,
    most: usize,
    cancel: &CancelToken,
) -> Result<PairCounts> {
    finite("age_weights", windows.age_weights)?;
    let n_rows = windows.lengths.len();
    check_shape("targets", targets.len(), n_rows)?;
    let max_length = windows.max_length()?;
    for rows in blocks(n_rows, max_length) {
        cancel.check()?;
        for row in rows {
            known_item("targets", targets[row], row, n_items)?;
            let window = &windows.sequences[row * max_length..][..max_length];
            for &item in real_items(window, windows.lengths, row)? {
                known_item("sequences", item, row, n_items)?;
            }
        }
    }
    let in_pool = rayon::current_thread_index().is_some();
    let n_tasks = if in_pool { 4 * rayon::current_num_threads() } else { 1 };
    let sources = even_ranges(&pairs_by_source(windows, n_items, cancel)?, n_tasks);
    let work =
        |sources: Range<usize>| source_counts(windows, targets, n_items, sources, most, cancel);
    let parts: Vec<Result<PairCounts>> = if in_pool {
        sources.into_par_iter().with_max_len(1).map(work).collect()
    } else {
        sources.into_iter().map(work).collect()
    };
    joined(parts.into_iter().collect::<Result<Vec<_>>>()?, n_items, cancel)
}

/// Rows in order, so many at a time that the cancel token is checked often enough.
fn blocks(n_rows: usize, max_length: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (CHECK_PLACES / max_length.max(1)).max(1);
    (0..n_rows).step_by(step).map(move |row| row..(row + step).min(n_rows))
}

/// Each real item of the windows within the ages that count, with its row and age.
fn for_each_pair(
    windows: MemoryWindows,
    rows: Range<usize>,
    max_length: usize,
    mut take: impl FnMut(usize, u32, usize),
) {
    for row in rows {
        let window = &windows.sequences[row * max_length..][..windows.lengths[row] as usize];
        for (age, &item) in window.iter().rev().take(windows.age_weights.len()).enumerate() {
            take(row, item, age);
        }
    }
}

fn pairs_by_source(
    windows: MemoryWindows,
    n_items: usize,
    cancel: &CancelToken,
) -> Result<Vec<usize>> {
    let mut pairs = zeros(n_items)?;
    let max_length = windows.max_length()?;
    for rows in blocks(windows.lengths.len(), max_length) {
        cancel.check()?;
        for_each_pair(windows, rows, max_length, |_, item, _| pairs[item as usize] += 1);
    }
    Ok(pairs)
}

/// Ranges of items with about as many pairs each.
fn even_ranges(pairs: &[usize], n_ranges: usize) -> Vec<Range<usize>> {
    let step = pairs.iter().sum::<usize>().div_ceil(n_ranges).max(1);
    let (mut ranges, mut begin, mut sum) = (Vec::new(), 0, 0);
    for (item, &count) in pairs.iter().enumerate() {
        sum += count;
        if sum >= step {
            ranges.push(begin..item + 1);
            (begin, sum) = (item + 1, 0);
        }
    }
    ranges.push(begin..pairs.len());
    ranges
}

fn source_counts(
    windows: MemoryWindows,
    targets: &[u32],
    n_items: usize,
    sources: Range<usize>,
    most: usize,
    cancel: &CancelToken,
) -> Result<PairCounts> {
    let (max_length, n_rows) = (windows.max_length()?, windows.lengths.len());
    let mut ends = zeros::<usize>(sources.len() + 1)?;
    for rows in blocks(n_rows, max_length) {
        cancel.check()?;
        for_each_pair(windows, rows, max_length, |_, item, _| {
            if sources.contains(&(item as usize)) {
                ends[item as usize - sources.start + 1] += 1;
            }
        });
    }
    for source in 0..sources.len() {
        ends[source + 1] += ends[source];
    }
    // Filling an item's pairs moves its begin to its end.
    let mut pairs = filled((0_u32, 0_u32), ends[sources.len()])?;
    for rows in blocks(n_rows, max_length) {
        cancel.check()?;
        for_each_pair(windows, rows, max_length, |row, item, age| {
            if sources.contains(&(item as usize)) {
                let place = &mut ends[item as usize - sources.start];
                pairs[*place] = (targets[row], age as u32);
                *place += 1;
            }
        });
    }
    let mut sums = Accumulator::new(n_items)?;
    let mut found = PairCounts {
        offsets: with_capacity(sources.len())?,
        row_sums: with_capacity(sources.len())?,
        ..PairCounts::default()
    };
    let mut followers: Vec<(u32, f64)> = Vec::new();
    let mut begin = 0;
    for &end in &ends[..sources.len()] {
        cancel.check()?;
        for some in pairs[begin..end].chunks(CHECK_PLACES) {
            cancel.check()?;
            for &(target, age) in some {
                sums.add(target, f64::from(windows.age_weights[age as usize]));
            }
        }
        begin = end;
        followers.clear();
        reserve(&mut followers, sums.len())?;
        sums.drain(|item, count| followers.push((item, count)));
        found.row_sums.push(followers.iter().map(|&(_, count)| count).sum());
        keep_highest(&mut followers, most);
        reserve(&mut found.items, followers.len())?;
        reserve(&mut found.counts, followers.len())?;
        found.items.extend(followers.iter().map(|&(item, _)| item));
        found.counts.extend(followers.iter().map(|&(_, count)| count));
        found.offsets.push(found.items.len() as i64);
    }
    Ok(found)
}

/// Keeps the `most` highest counts, of equal ones those of the lowest items; items ascend again.
pub(super) fn keep_highest(followers: &mut Vec<(u32, f64)>, most: usize) {
    if followers.len() <= most {
        return;
    }
    followers.select_nth_unstable_by(most, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    followers.truncate(most);
    followers.sort_unstable_by_key(|&(item, _)| item);
}

fn joined(parts: Vec<PairCounts>, n_items: usize, cancel: &CancelToken) -> Result<PairCounts> {
    let n_pairs = parts.iter().map(|part| part.items.len()).sum();
    let mut all = PairCounts {
        offsets: with_capacity(n_items + 1)?,
        items: with_capacity(n_pairs)?,
        counts: with_capacity(n_pairs)?,
        row_sums: with_capacity(n_items)?,
    };
    all.offsets.push(0);
    for part in parts {
        cancel.check()?;
        let begin = all.items.len() as i64;
        all.offsets.extend(part.offsets.iter().map(|end| begin + end));
        all.items.extend_from_slice(&part.items);
        all.counts.extend_from_slice(&part.counts);
        all.row_sums.extend_from_slice(&part.row_sums);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn count(most: usize) -> PairCounts {
        // (0, 1 -> 2), (2 -> 1), (1, 1 -> 0), (0 -> 2)
        let windows = MemoryWindows {
            sequences: &[0, 1, 2, 9, 1, 1, 0, 9],
            lengths: &[2, 1, 2, 1],
            age_weights: &[1.0, 0.5],
        };
        count_pairs(windows, &[2, 1, 0, 2], 3, most, &CancelToken::new()).unwrap()
    }

    #[test]
    fn pairs_are_summed_by_age() {
        let got = count(9);
        assert_eq!(got.offsets, [0, 1, 3, 4]);
        assert_eq!(got.items, [2, 0, 2, 1]);
        assert_eq!(got.counts, [1.5, 1.5, 1.0, 1.0]);
        assert_eq!(got.row_sums, [1.5, 2.5, 1.0]);
    }

    #[test]
    fn the_highest_counts_are_kept_and_row_sums_are_of_all() {
        let got = count(1);
        assert_eq!((got.items, got.counts), (vec![2, 0, 1], vec![1.5, 1.5, 1.0]));
        assert_eq!(got.row_sums, [1.5, 2.5, 1.0]);
        let mut level = vec![(0, 1.0), (1, 2.0), (2, 1.0), (3, 1.0)];
        keep_highest(&mut level, 2);
        assert_eq!(level, [(0, 1.0), (1, 2.0)]);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let n = 4000;
        let sequences: Vec<u32> = (0..3 * n).map(|i| (i * 7 % 31) as u32).collect();
        let lengths: Vec<u32> = (0..n).map(|i| (i % 4) as u32).collect();
        let targets: Vec<u32> = (0..n).map(|i| (i * 5 % 31) as u32).collect();
        let age_weights = [1.0, 0.7, 0.49];
        let windows =
            MemoryWindows { sequences: &sequences, lengths: &lengths, age_weights: &age_weights };
        let cancel = CancelToken::new();
        let alone = count_pairs(windows, &targets, 31, 20, &cancel).unwrap();
        for n_threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let got = pool.install(|| count_pairs(windows, &targets, 31, 20, &cancel)).unwrap();
            assert_eq!(got, alone);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let windows = MemoryWindows { sequences: &[0, 1], lengths: &[2], age_weights: &[1.0, 0.5] };
        let cancel = CancelToken::new();
        assert!(count_pairs(windows, &[1], 2, 9, &cancel).is_ok());
        assert!(count_pairs(windows, &[2], 2, 9, &cancel).is_err());
        assert!(count_pairs(windows, &[0], 1, 9, &cancel).is_err());
        assert!(count_pairs(windows, &[0, 1], 2, 9, &cancel).is_err());
        let long = MemoryWindows { lengths: &[3], ..windows };
        assert!(matches!(count_pairs(long, &[1], 2, 9, &cancel), Err(Error::Value { .. })));
    }
}
