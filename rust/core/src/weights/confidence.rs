//! Confidence: how sure the teacher is, by the distance of the items it generated.

use super::checks::{check_parameter, check_values};
use super::exp::exp_of_negative;
use super::sum::sum;
use crate::memory::zeros;
use crate::shape::check_shape;
use crate::{CancelToken, Result, multiversion, parallel};

/// Rows per partial sum: fixed, so that the mean has the same bits for any number of threads.
const BLOCK_ROWS: usize = 4096;

/// Elements per unit of work; their float64 values stay in the caches.
const CHUNK: usize = 4096;

const RULE: &str = "a distance >= 0 (a similarity is not a distance)";

/// The authors' code adds it to `exp(-distance)`: with distances above 18 all weights are alike.
const FLOOR: f64 = 1e-8;

/// The paper's confidence, one number per row: `exp(-d/tau) / mean(exp(-d/tau)) / k`.
///
/// `target_distance` is the distance from what the teacher generated to the true next item; the
/// mean is over all rows. The smallest distance is taken off first, which changes nothing but that
/// large distances cannot make it 0/0.
///
/// # Errors
///
/// [`crate::Error::Parameter`] for a temperature below 0.001 or `k` 0; [`crate::Error::Shape`];
/// [`crate::Error::NonFinite`] and [`crate::Error::Value`] for a distance that is not finite or
/// negative.
pub fn sequence_confidence(
    target_distance: &[f32],
    temperature: f64,
    k: usize,
    out: &mut [f32],
    cancel: &CancelToken,
) -> Result<()> {
    check_parameter("temperature", temperature, temperature >= 1e-3, "a number >= 0.001")?;
    check_parameter("k", k as f64, k >= 1, "at least 1")?;
    check_shape("out", out.len(), target_distance.len())?;
    let n_blocks = target_distance.len().div_ceil(BLOCK_ROWS);
    let block = |index: usize| {
        let end = target_distance.len().min((index + 1) * BLOCK_ROWS);
        &target_distance[index * BLOCK_ROWS..end]
    };
    let mut smallest = vec![f32::INFINITY; n_blocks];
    parallel::try_for_each_chunk(&mut smallest, 1, cancel, |index, smallest| {
        check_values("target_distance", block(index), 1, index * BLOCK_ROWS, RULE)?;
        smallest[0] = block(index).iter().copied().fold(f32::INFINITY, f32::min);
        Ok(())
    })?;
    let smallest = f64::from(smallest.into_iter().fold(f32::INFINITY, f32::min));
    let weight = |distance: f32| exp_of_negative((smallest - f64::from(distance)) / temperature);
    let mut sums = vec![0.0; n_blocks];
    parallel::try_for_each_chunk(&mut sums, 1, cancel, |index, sum| {
        sum[0] = block(index).iter().map(|&distance| weight(distance)).sum::<f64>();
        Ok(())
    })?;
    let mean = sums.into_iter().sum::<f64>() / target_distance.len() as f64;
    let scale = 1.0 / mean / k as f64;
    parallel::try_for_each_chunk(out, BLOCK_ROWS, cancel, |index, out| {
        for (out, &distance) in out.iter_mut().zip(block(index)) {
            *out = (weight(distance) * scale) as f32;
        }
        Ok(())
    })
}

/// The authors' confidence, one number per listed item: `exp(-d) + 1e-8` over its sum in the row.
///
/// `distance` and `out` are `(rows, k)`.
///
/// # Errors
///
/// [`crate::Error::Parameter`] for `k` 0; [`crate::Error::Shape`]; [`crate::Error::NonFinite`] and
/// [`crate::Error::Value`] for a distance that is not finite or negative.
pub fn candidate_confidence(
    distance: &[f32],
    k: usize,
    out: &mut [f32],
    cancel: &CancelToken,
) -> Result<()> {
    check_parameter("k", k as f64, k >= 1, "at least 1")?;
    check_shape("out", out.len(), distance.len())?;
    check_shape("distance", distance.len(), distance.len() / k * k)?;
    let rows_per_chunk = (CHUNK / k).max(1);
    parallel::try_for_each_chunk(out, rows_per_chunk * k, cancel, |index, out| {
        let start = index * rows_per_chunk * k;
        let distance = &distance[start..start + out.len()];
        confidence_of_rows(distance, k, index * rows_per_chunk, out)
    })
}

/// [`candidate_confidence`] of rows of which the first is row `first`.
pub(super) fn confidence_of_rows(
    distance: &[f32],
    k: usize,
    first: usize,
    out: &mut [f32],
) -> Result<()> {
    check_values("distance", distance, k, first, RULE)?;
    let weights = &mut zeros(distance.len())?;
    multiversion::run(Candidates { distance, k, weights, out });
    Ok(())
}

struct Candidates<'a> {
    distance: &'a [f32],
    k: usize,
    weights: &'a mut [f64],
    out: &'a mut [f32],
}

impl multiversion::Work for Candidates<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn run(self) {
        for (weight, &distance) in self.weights.iter_mut().zip(self.distance) {
            *weight = exp_of_negative(-f64::from(distance)) + FLOOR;
        }
        let rows = self.weights.chunks_exact(self.k).zip(self.out.chunks_exact_mut(self.k));
        for (weights, out) in rows {
            let scale = 1.0 / sum(weights);
            for (out, weight) in out.iter_mut().zip(weights) {
                *out = (weight * scale) as f32;
            }
        }
    }
}
