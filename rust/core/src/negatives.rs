//! Negatives: exact uniform draws among the items a row does not exclude.
//!
//! # The generator
//!
//! Counter-based: a draw is a pure function of `(seed, epoch, key of the row, index of the draw,
//! set of excluded items)`, so it does not depend on threads, batches or where a run resumed. All
//! arithmetic is on unsigned 64-bit integers modulo `2^64`.
//!
//! ```text
//! mix(z):          z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
//!                  z = (z ^ z >> 27) * 0x94D049BB133111EB
//!                  z ^ z >> 31
//! split(state, i): mix(state + (i + 1) * 0x9E3779B97F4A7C15)      output i of SplitMix64 at `state`
//!
//! stream[0]   = split(split(seed, epoch), key)
//! stream[a+1] = mix(!stream[a])
//! word[a]     = split(stream[a], j)                               the words of draw j
//! ```
//!
//! Draw `j` of a row that excludes the distinct items `E` of a catalogue of `N` walks `word[0]`,
//! `word[1]`, ... A word becomes a number below `n` by Lemire's multiplication: `word * n / 2^64`,
//! unless `word * n mod 2^64 < 2^64 mod n`, in which case the word is skipped. This is exact.
//!
//! 1. The first word that is not skipped for `n = N` gives an item. If it is not in `E`, it is the
//!    draw.
//! 2. Otherwise the next word that is not skipped for `n = N - |E|` gives `u`, and the draw is the
//!    `u`-th item, from 0, of the catalogue without `E`.
//!
//! An allowed item comes with probability `1/N + |E|/N * 1/(N - |E|) = 1/(N - |E|)`: uniform, in at
//! most two steps, whatever the share of excluded items. A word is skipped less often than
//! once in `2^32` times.
//!
//! # Performance diary
//!
//! Nanoseconds a draw on one thread, 11 excluded items a row, one and 100 draws a row.
//!
//! - Sort the list, draw below `N - |E|`, count the items to shift by: the sort alone costs 30 a
//!   row. Step 1 needs neither order nor set, so that the sort is left to step 2.
//! - Compare each draw with the list: 20 and 4.0. With comparisons that give all ones, not 0 and 1,
//!   4 lanes at a time up to a multiple of 4, the events past the end taken into account only when
//!   they raise a false alarm: 8.4. Written for a fixed 16 lanes it was unrolled to scalar code: 15.
//! - A filter of 4096 bits before the list: 2.2 for 100 draws; for up to 4 it costs more than it
//!   saves.
//! - Few draws: the settling of alarms out of line, 6.7; indices for a zip of four iterators, 5.5.
//! - The same compiled for AVX2: 5.6 and 2.2, so dropped. What is left is the generator: three
//!   64-bit multiplications a draw, two more a row.

use std::iter;

use crate::{CancelToken, Error, Result, parallel};

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Events compared at a time: a vector register of the oldest x86-64.
const LANES: usize = 4;

/// Up to this many events, looking through them is cheaper than the sorted copy of a [`Walk`].
const SHORT: usize = 64;

/// Rows with more events than this check the cancel token, each for itself.
const LONG: usize = 1024;

/// Draws between two checks of the cancel token.
const BLOCK: usize = 1024;

/// Elements of work between two checks of the cancel token: some 50 microseconds.
const CHUNK_STEPS: usize = 1 << 15;

/// The rows to draw for.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Items in the order they happened, each below `n_items`.
    pub events: &'a [u32],
    /// Where each row's excluded events begin, `(rows,)`.
    pub begin: &'a [i64],
    /// Where they end, exclusive, `(rows,)`.
    pub end: &'a [i64],
    /// What tells a row's random stream from another's, `(rows,)`.
    pub keys: &'a [u64],
}

/// What to draw.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// The size of the catalogue, 1 to `2^32 - 1`.
    pub n_items: usize,
    /// Draws per row, at least 1.
    pub n_negatives: usize,
    /// The seed of the run.
    pub seed: u64,
    /// The epoch: another one gives other draws.
    pub epoch: u64,
}

/// Draws `n_negatives` items for each row, uniformly among those outside `events[begin..end]`,
/// with replacement, into `out`, `(rows, n_negatives)`.
///
/// # Errors
///
/// [`Error::Shape`]; [`Error::Parameter`] for an empty or too large catalogue and for no draws;
/// [`Error::Value`] for a slice outside the events; [`Error::ItemOutOfRange`] (its column counts
/// from the row's `begin`); [`Error::NoNegative`]; [`Error::Interrupted`].
pub fn sample_negatives(
    rows: Rows,
    draws: Draws,
    out: &mut [u32],
    cancel: &CancelToken,
) -> Result<()> {
    check(rows, draws, out)?;
    let sampler = Sampler {
        rows,
        n_items: draws.n_items as u32,
        state: split(draws.seed, draws.epoch),
        cancel,
    };
    let rows_per_chunk = (CHUNK_STEPS / (draws.n_negatives + LANES)).max(1);
    let chunk_len = rows_per_chunk * draws.n_negatives;
    parallel::try_for_each_chunk(out, chunk_len, cancel, |index, chunk| {
        let first = index * rows_per_chunk;
        match draws.n_negatives {
            1 => sampler.few::<1>(first, chunk),
            2 => sampler.few::<2>(first, chunk),
            3 => sampler.few::<3>(first, chunk),
            4 => sampler.few::<4>(first, chunk),
            n_negatives => (first..)
                .zip(chunk.chunks_exact_mut(n_negatives))
                .try_for_each(|(row, out)| sampler.many(row, out)),
        }
    })
}

/// The rough number of elementary steps (some nanoseconds) of [`sample_negatives`].
#[must_use]
pub fn steps(rows: Rows, draws: Draws) -> usize {
    // A sample of the rows will do: this only decides who does the work.
    let stride = rows.begin.len().div_ceil(64).max(1);
    let bounds = rows.begin.iter().zip(rows.end).step_by(stride);
    let n_excluded =
        bounds.fold(0, |sum: u64, (begin, end)| sum.saturating_add(begin.abs_diff(*end)));
    let n_draws = rows.keys.len().saturating_mul(draws.n_negatives);
    n_draws.saturating_add((n_excluded as usize / 8).saturating_mul(stride))
}

fn check(rows: Rows, draws: Draws, out: &[u32]) -> Result<()> {
    let Draws { n_items, n_negatives, .. } = draws;
    if n_items == 0 || n_items > u32::MAX as usize {
        let rule = "a catalogue of 1 to 4294967295 items";
        return Err(Error::Parameter { name: "n_items", value: n_items as f64, rule });
    }
    if n_negatives == 0 {
        return Err(Error::Parameter { name: "n_negatives", value: 0.0, rule: "at least 1" });
    }
    let n_rows = rows.keys.len();
    let sizes = [("begin", rows.begin.len(), n_rows), ("end", rows.end.len(), n_rows)];
    let expected = n_rows.saturating_mul(n_negatives);
    for (name, got, expected) in sizes.into_iter().chain([("out", out.len(), expected)]) {
        if got != expected {
            return Err(Error::Shape { name, got, expected });
        }
    }
    Ok(())
}

struct Sampler<'a> {
    rows: Rows<'a>,
    n_items: u32,
    /// What all rows of this call start from: seed and epoch.
    state: u64,
    cancel: &'a CancelToken,
}

/// What the draws of one row depend on.
#[derive(Clone, Copy)]
struct Row<'a> {
    index: usize,
    stream: u64,
    excluded: &'a [u32],
    n_items: u32,
}

impl<'a> Sampler<'a> {
    /// `M` draws for each row from `first` on, so few that each looks through the row's list.
    fn few<const M: usize>(&self, first: usize, out: &mut [u32]) -> Result<()> {
        let (out, _) = out.as_chunks_mut::<M>();
        let n_rows = out.len();
        let Rows { events, begin, end, keys } = self.rows;
        // Indexed: over a zip of four the compiler keeps its place in memory, at twice the time.
        let (begin, end) = (&begin[first..][..n_rows], &end[first..][..n_rows]);
        let keys = &keys[first..][..n_rows];
        let (n_items, state) = (self.n_items, self.state);
        for i in 0..n_rows {
            let Some((excluded, after)) = excluded(events, begin[i], end[i]) else {
                return Err(wrong_bounds(first + i, begin[i], end[i], events.len()));
            };
            let stream = split(state, keys[i]);
            if excluded.len() > LONG {
                self.cancel.check()?;
            }
            for (j, out) in (0..).zip(&mut out[i]) {
                let (item, doubtful) = multiply(split(stream, j), n_items);
                *out = item;
                if is_suspect(excluded, after, item, n_items) | doubtful {
                    *out = self.row(first + i, stream, excluded).settle(j)?;
                }
            }
        }
        Ok(())
    }

    /// All draws of one row, behind a filter that spares most of them a look at the list.
    fn many(&self, index: usize, out: &mut [u32]) -> Result<()> {
        let Rows { events, begin, end, keys } = self.rows;
        let (begin, end) = (begin[index], end[index]);
        let Some((excluded, _)) = excluded(events, begin, end) else {
            return Err(wrong_bounds(index, begin, end, events.len()));
        };
        let row = self.row(index, split(self.state, keys[index]), excluded);
        row.check_items()?;
        let filter = Filter::new(excluded);
        let mut walk = None;
        for (first, block) in (0..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            self.cancel.check()?;
            for (j, out) in (first..).zip(block) {
                let (item, doubtful) = multiply(split(row.stream, j), self.n_items);
                *out = item;
                if filter.may_hold(item) | doubtful {
                    *out = row.look_closer(j, item, doubtful, &mut walk)?;
                }
            }
        }
        Ok(())
    }

    fn row(&self, index: usize, stream: u64, excluded: &'a [u32]) -> Row<'a> {
        Row { index, stream, excluded, n_items: self.n_items }
    }
}

/// A row's events, and all events from its first on; `None` where its bounds are wrong.
#[inline]
fn excluded(events: &[u32], begin: i64, end: i64) -> Option<(&[u32], &[u32])> {
    // A negative bound becomes a huge one.
    let after = events.get(begin as u64 as usize..)?;
    Some((after.get(..end.wrapping_sub(begin) as usize)?, after))
}

#[cold]
fn wrong_bounds(row: usize, begin: i64, end: i64, n_events: usize) -> Error {
    let begin_is_wrong = begin < 0 || begin as usize > n_events;
    let (name, value) = if begin_is_wrong { ("begin", begin) } else { ("end", end) };
    let rule = "0 <= begin <= end <= the number of events";
    Error::Value { name, row, column: 0, value: value as f64, rule }
}

/// True where `excluded` holds `item` or what is no item at all; now and then without cause, since
/// it reads whole vectors and so may read some events of what comes `after`.
#[inline]
fn is_suspect(excluded: &[u32], after: &[u32], item: u32, n_items: u32) -> bool {
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

impl Row<'_> {
    #[cold]
    #[inline(never)]
    fn settle(&self, j: u64) -> Result<u32> {
        self.check_items()?;
        Ok(Walk::new(self)?.draw(self.stream, j))
    }

    #[cold]
    #[inline(never)]
    fn look_closer(
        &self,
        j: u64,
        item: u32,
        doubtful: bool,
        walk: &mut Option<Walk>,
    ) -> Result<u32> {
        if !doubtful && self.excluded.len() <= SHORT && !self.excluded.contains(&item) {
            return Ok(item);
        }
        let walk = match walk {
            Some(walk) => walk,
            none => none.insert(Walk::new(self)?),
        };
        Ok(walk.draw(self.stream, j))
    }

    /// Fails where one of the row's events is no item.
    fn check_items(&self) -> Result<()> {
        let is_wrong = |item: u32| item >= self.n_items;
        if self.excluded.iter().fold(0, |bad, &item| bad | all_ones(is_wrong(item))) == 0 {
            return Ok(());
        }
        let column = self.excluded.iter().position(|&item| is_wrong(item)).unwrap_or_default();
        let (item, n_items) = (self.excluded[column].into(), self.n_items as usize);
        Err(Error::ItemOutOfRange { name: "events", row: self.index, column, item, n_items })
    }
}

/// A bit for each item modulo 4096: where it is not set, the list does not hold the item.
struct Filter([u64; 64]);

impl Filter {
    fn new(items: &[u32]) -> Self {
        let mut filter = Self([0; 64]);
        for &item in items {
            filter.0[(item >> 6) as usize % 64] |= 1 << (item % 64);
        }
        filter
    }

    #[inline]
    fn may_hold(&self, item: u32) -> bool {
        self.0[(item >> 6) as usize % 64] >> (item % 64) & 1 != 0
    }
}

/// The whole definition of a draw, taken where step 1 does not settle it.
struct Walk {
    n_items: u32,
    /// The excluded items, ascending.
    distinct: Vec<u32>,
}

impl Walk {
    fn new(row: &Row) -> Result<Self> {
        let (n_items, bytes) = (row.n_items, size_of_val(row.excluded));
        let mut distinct = Vec::new();
        distinct.try_reserve_exact(row.excluded.len()).map_err(|_| Error::Memory { bytes })?;
        distinct.extend_from_slice(row.excluded);
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() >= n_items as usize {
            return Err(Error::NoNegative { row: row.index, n_items: n_items as usize });
        }
        Ok(Self { n_items, distinct })
    }

    fn draw(&self, stream: u64, j: u64) -> u32 {
        let mut streams = iter::successors(Some(stream), |&last| Some(mix(!last)));
        let mut below = |n: u32| {
            // The streams never end, so that a word is always found.
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

/// A number below `n`, or `None` for one of the `2^64 mod n` words that would make it uneven.
fn bounded(word: u64, n: u32) -> Option<u32> {
    let (number, doubtful) = multiply(word, n);
    let n = u64::from(n);
    let skipped = doubtful && word.wrapping_mul(n) < n.wrapping_neg() % n;
    (!skipped).then_some(number)
}

/// The high and low halves of `word * n`: the number, and whether [`bounded`] must look closer.
#[inline]
fn multiply(word: u64, n: u32) -> (u32, bool) {
    let product = u128::from(word) * u128::from(n);
    ((product >> 64) as u32, (product as u64) < u64::from(n))
}

/// What vector comparisons give; 0 and 1 would cost a mask more.
#[inline]
fn all_ones(condition: bool) -> u32 {
    if condition { u32::MAX } else { 0 }
}

#[inline]
fn split(state: u64, index: u64) -> u64 {
    mix(state.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draw(events: &[u32], begin: &[i64], end: &[i64], draws: Draws) -> Result<Vec<u32>> {
        let keys: Vec<u64> = (0..begin.len() as u64).collect();
        let mut out = vec![0; begin.len() * draws.n_negatives];
        let rows = Rows { events, begin, end, keys: &keys };
        sample_negatives(rows, draws, &mut out, &CancelToken::new()).map(|()| out)
    }

    fn draws(n_items: usize, n_negatives: usize) -> Draws {
        Draws { n_items, n_negatives, seed: 7, epoch: 3 }
    }

    #[test]
    fn mix_gives_the_published_splitmix64_sequence() {
        let published = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F];
        assert_eq!([0, 1, 2].map(|i| split(0, i)), published);
    }

    #[test]
    fn words_that_would_make_a_number_uneven_are_skipped() {
        assert_eq!(bounded(0, 3), None);
        assert_eq!(bounded(1, 3), Some(0));
        assert_eq!(bounded(0, 4), Some(0));
        assert_eq!(bounded(u64::MAX, 3), Some(2));
    }

    #[test]
    fn the_only_possible_item_is_found() {
        let got = draw(&[0, 1, 3, 3, 4], &[0], &[5], draws(5, 50));
        assert_eq!(got, Ok(vec![2; 50]));
    }

    #[test]
    fn a_row_without_a_possible_negative_is_refused() {
        let no_negative = Err(Error::NoNegative { row: 1, n_items: 3 });
        assert_eq!(draw(&[0, 1, 2], &[0, 0], &[1, 3], draws(3, 1)), no_negative);
        assert_eq!(draw(&[0, 1, 2], &[0, 0], &[1, 3], draws(3, 20)), no_negative);
    }

    #[test]
    fn rows_outside_the_events_and_items_outside_the_catalogue_are_refused() {
        for (begin, end, name) in [
            (-1, 2, "begin"),
            (9, 9, "begin"),
            (2, 1, "end"),
            (0, 9, "end"),
            (i64::MIN, 0, "begin"),
        ] {
            let got = draw(&[0; 5], &[begin], &[end], draws(9, 1));
            assert!(matches!(got, Err(Error::Value { name: found, .. }) if found == name));
        }
        for n_negatives in [1, 9] {
            let got = draw(&[0, 1, 5], &[1], &[3], draws(5, n_negatives));
            let name = "events";
            let expected = Error::ItemOutOfRange { name, row: 0, column: 1, item: 5, n_items: 5 };
            assert_eq!(got, Err(expected));
        }
    }

    #[test]
    fn a_cancelled_token_ends_the_work() {
        let cancel = CancelToken::new();
        cancel.cancel();
        let rows = Rows { events: &[], begin: &[0], end: &[0], keys: &[0] };
        let got = sample_negatives(rows, draws(9, 1), &mut [0], &cancel);
        assert_eq!(got, Err(Error::Interrupted));
    }

    proptest! {
        #[test]
        fn the_shortcut_and_the_whole_walk_agree(
            events in prop::collection::vec(0_u32..40, 0..40),
            n_negatives in prop_oneof![Just(1_usize), 2..50_usize],
        ) {
            let mut distinct = events.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assume!(distinct.len() < 40);
            let (begin, end) = (vec![0; 5], vec![events.len() as i64; 5]);
            let got = draw(&events, &begin, &end, draws(40, n_negatives)).unwrap();
            let row = Row { index: 0, stream: 0, excluded: &events, n_items: 40 };
            let walk = Walk::new(&row).unwrap();
            for (i, &item) in got.iter().enumerate() {
                let stream = split(split(7, 3), (i / n_negatives) as u64);
                prop_assert_eq!(item, walk.draw(stream, (i % n_negatives) as u64));
                prop_assert!(!events.contains(&item));
            }
        }
    }
}
