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
//! Two cores, 11 excluded items a row, million draws per second.
//!
//! - Sort the row's list, draw below `N - |E|`, shift by counting: the sort costs more than one
//!   draw. Step 1 needs no order and no set: a scan for equality. The sort is left to step 2, which
//!   a short list in a large catalogue hardly ever reaches.

use std::iter;
use std::ops::Range;

use crate::{Error, Result, Stop, parallel};

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Draws compared with the list at a time: four vector registers of four lanes.
const LANES: usize = 16;

/// Elements of work between two looks at the stop flag: some 50 microseconds.
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
pub fn sample_negatives(rows: Rows, draws: Draws, out: &mut [u32], stop: &Stop) -> Result<()> {
    check(rows, draws, out)?;
    let sampler = Sampler {
        rows,
        n_items: draws.n_items as u32,
        state: split(draws.seed, draws.epoch),
        stop,
    };
    let rows_per_chunk = (CHUNK_STEPS / (draws.n_negatives + LANES)).max(1);
    parallel::try_for_each_chunk(
        out,
        rows_per_chunk * draws.n_negatives,
        stop,
        |index, chunk| {
            let first = index * rows_per_chunk;
            if draws.n_negatives == 1 {
                return sampler.one_each(first, chunk);
            }
            let rows = chunk.chunks_exact_mut(draws.n_negatives);
            rows.enumerate().try_for_each(|(row, out)| sampler.many(first + row, out))
        },
    )
}

/// The rough number of elementary steps (some nanoseconds) of [`sample_negatives`].
#[must_use]
pub fn steps(rows: Rows, draws: Draws) -> usize {
    // The lists may overlap: what they add up to is not the number of events.
    let excluded: i64 = rows.begin.iter().zip(rows.end).fold(0, |sum, (&begin, &end)| {
        sum.saturating_add(end.saturating_sub(begin).max(0))
    });
    let n_draws = rows.keys.len().saturating_mul(draws.n_negatives);
    let compared = (excluded as usize).saturating_mul(draws.n_negatives) / 16;
    n_draws.saturating_add(compared)
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
    stop: &'a Stop,
}

impl Sampler<'_> {
    /// One draw for each row from `first` on.
    fn one_each(&self, first: usize, out: &mut [u32]) -> Result<()> {
        for (row, out) in (first..).zip(out) {
            let events = self.excluded_range(row)?;
            let stream = split(self.state, self.rows.keys[row]);
            let (item, doubtful) = multiply(split(stream, 0), self.n_items);
            let (hit, out_of_range) = self.scan(&events, item);
            if out_of_range {
                return Err(self.out_of_range(row, events));
            }
            *out = item;
            if hit | doubtful {
                self.stop.check()?;
                *out = Walk::new(row, &self.rows.events[events], self.n_items)?.draw(stream, 0);
            }
        }
        Ok(())
    }

    /// All draws of one row.
    fn many(&self, row: usize, out: &mut [u32]) -> Result<()> {
        let events = self.excluded_range(row)?;
        let excluded = &self.rows.events[events.clone()];
        if excluded.iter().fold(false, |bad, &item| bad | (item >= self.n_items)) {
            return Err(self.out_of_range(row, events));
        }
        let stream = split(self.state, self.rows.keys[row]);
        let mut walk = None;
        for (first, block) in (0..).step_by(LANES).zip(out.chunks_mut(LANES)) {
            self.stop.check()?;
            let (items, redraw) = draw_lanes(stream, first, self.n_items, excluded);
            block.copy_from_slice(&items[..block.len()]);
            if redraw == [0; LANES] {
                continue;
            }
            let walk = match &mut walk {
                Some(walk) => walk,
                none => none.insert(Walk::new(row, excluded, self.n_items)?),
            };
            for (j, out) in (first..).zip(block).filter(|(j, _)| redraw[(j - first) as usize] != 0) {
                *out = walk.draw(stream, j);
            }
        }
        Ok(())
    }

    fn excluded_range(&self, row: usize) -> Result<Range<usize>> {
        let (begin, end) = (self.rows.begin[row], self.rows.end[row]);
        let n_events = self.rows.events.len();
        if 0 <= begin && begin <= end && end as usize <= n_events {
            return Ok(begin as usize..end as usize);
        }
        let begin_is_wrong = begin < 0 || begin as usize > n_events;
        let (name, value) = if begin_is_wrong { ("begin", begin) } else { ("end", end) };
        let rule = "0 <= begin <= end <= the number of events";
        Err(Error::Value { name, row, column: 0, value: value as f64, rule })
    }

    /// Whether the row's events hold `item`, and whether one of them is no item at all.
    fn scan(&self, events: &Range<usize>, item: u32) -> (bool, bool) {
        let len = events.len();
        let (mut hit, mut out_of_range) = (false, false);
        match self.rows.events[events.start..].first_chunk::<LANES>() {
            // A fixed number of lanes, those past the end masked: no loop, nothing to mispredict.
            Some(lanes) if len <= LANES => {
                for (i, &event) in lanes.iter().enumerate() {
                    hit |= (event == item) & (i < len);
                    out_of_range |= (event >= self.n_items) & (i < len);
                }
            }
            _ => {
                for &event in &self.rows.events[events.clone()] {
                    hit |= event == item;
                    out_of_range |= event >= self.n_items;
                }
            }
        }
        (hit, out_of_range)
    }

    #[cold]
    fn out_of_range(&self, row: usize, events: Range<usize>) -> Error {
        let n_items = self.n_items as usize;
        let excluded = &self.rows.events[events];
        let column = excluded.iter().position(|&item| item >= self.n_items).unwrap_or_default();
        let item = excluded.get(column).copied().unwrap_or_default().into();
        Error::ItemOutOfRange { name: "events", row, column, item, n_items }
    }
}

/// The items of draws `first..first + LANES`, and which of them step 1 leaves undecided.
fn draw_lanes(
    stream: u64,
    first: u64,
    n_items: u32,
    excluded: &[u32],
) -> ([u32; LANES], [u32; LANES]) {
    let (mut items, mut redraw) = ([0; LANES], [0; LANES]);
    for lane in 0..LANES {
        let (item, doubtful) = multiply(split(stream, first + lane as u64), n_items);
        items[lane] = item;
        redraw[lane] = u32::from(doubtful);
    }
    for &event in excluded {
        for lane in 0..LANES {
            redraw[lane] |= u32::from(items[lane] == event);
        }
    }
    (items, redraw)
}

/// The whole definition of a draw, taken where step 1 does not settle it.
struct Walk {
    n_items: u32,
    /// The excluded items, ascending.
    distinct: Vec<u32>,
}

impl Walk {
    #[cold]
    fn new(row: usize, excluded: &[u32], n_items: u32) -> Result<Self> {
        let mut distinct = Vec::new();
        let bytes = size_of_val(excluded);
        distinct.try_reserve_exact(excluded.len()).map_err(|_| Error::Memory { bytes })?;
        distinct.extend_from_slice(excluded);
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() >= n_items as usize {
            return Err(Error::NoNegative { row, n_items: n_items as usize });
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
        sample_negatives(rows, draws, &mut out, &Stop::new()).map(|()| out)
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
        for (begin, end, name) in
            [(-1, 2, "begin"), (9, 9, "begin"), (2, 1, "end"), (0, 9, "end"), (i64::MIN, 0, "begin")]
        {
            let got = draw(&[0; 5], &[begin], &[end], draws(9, 1));
            assert!(matches!(got, Err(Error::Value { name: found, .. }) if found == name));
        }
        for n_negatives in [1, 3] {
            let got = draw(&[0, 1, 5], &[1], &[3], draws(5, n_negatives));
            let name = "events";
            let expected = Error::ItemOutOfRange { name, row: 0, column: 1, item: 5, n_items: 5 };
            assert_eq!(got, Err(expected));
        }
    }

    #[test]
    fn a_pulled_stop_ends_the_work() {
        let stop = Stop::new();
        stop.pull();
        let rows = Rows { events: &[], begin: &[0], end: &[0], keys: &[0] };
        let got = sample_negatives(rows, draws(9, 1), &mut [0], &stop);
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
            let walk = Walk::new(0, &events, 40).unwrap();
            for (i, &item) in got.iter().enumerate() {
                let stream = split(split(7, 3), (i / n_negatives) as u64);
                prop_assert_eq!(item, walk.draw(stream, (i % n_negatives) as u64));
                prop_assert!(!events.contains(&item));
            }
        }
    }
}
