//! Draws for many rows, in parallel.

use super::excluded::{Filter, LANES, Row, excluded, is_suspect, wrong_bounds};
use super::generator::multiply;
use crate::random::split;
use crate::{CancelToken, Error, Result, parallel};

/// Each row with more events than this checks the cancel token.
const LONG: usize = 1024;

/// Draws between two checks of the cancel token.
const BLOCK: usize = 1024;

/// Elements of work between two checks of the cancel token: about 50 microseconds.
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
    /// The keys that tell the rows' random streams apart, `(rows,)`.
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
    /// The epoch: each one has its own draws.
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

/// The rough number of elementary steps (a few nanoseconds each) of [`sample_negatives`].
#[must_use]
pub fn steps(rows: Rows, draws: Draws) -> usize {
    // A sample of the rows will do: this only decides which threads do the work.
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
    /// The state that all rows of this call start from: seed and epoch.
    state: u64,
    cancel: &'a CancelToken,
}

impl<'a> Sampler<'a> {
    /// `M` draws for each row from `first` on, so few that each searches the row's list.
    fn few<const M: usize>(&self, first: usize, out: &mut [u32]) -> Result<()> {
        let (out, _) = out.as_chunks_mut::<M>();
        let n_rows = out.len();
        let Rows { events, begin, end, keys } = self.rows;
        // Indexed: with a zip of four the compiler keeps its position in memory, at twice the time.
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

    /// All draws of one row, behind a filter that saves most of them a search of the list.
    fn many(&self, index: usize, out: &mut [u32]) -> Result<()> {
        let Rows { events, begin, end, keys } = self.rows;
        let (begin, end) = (begin[index], end[index]);
        let Some((excluded, _)) = excluded(events, begin, end) else {
            return Err(wrong_bounds(index, begin, end, events.len()));
        };
        let row = self.row(index, split(self.state, keys[index]), excluded);
        row.check_items()?;
        let filter = Filter::new(excluded);
        let mut exact = None;
        for (first, block) in (0..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            self.cancel.check()?;
            for (j, out) in (first..).zip(block) {
                let (item, doubtful) = multiply(split(row.stream, j), self.n_items);
                *out = item;
                if filter.may_hold(item) | doubtful {
                    *out = row.look_closer(j, item, doubtful, &mut exact)?;
                }
            }
        }
        Ok(())
    }

    fn row(&self, index: usize, stream: u64, excluded: &'a [u32]) -> Row<'a> {
        Row { index, stream, excluded, n_items: self.n_items }
    }
}
