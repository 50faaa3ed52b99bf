//! What losses over the whole catalogue make of a matrix of scores: two sums of exponentials a row,
//! and the gradient that flows back through them, written over the scores.
//!
//! With `W` an item's slope, `t` the row's target and `e(j) = W_j s_j^2`, but
//! `W_t (s_t - 1)^2` for the target, the sums are `log sum_j exp(s_j)` and `log sum_j exp(e(j))`.
//!
//! # Performance diary
//!
//! 256 x 17,408 scores, two threads of a shared machine: a chain of torch operations on blocks that
//! stay in cache reads and writes each block twelve times; here it is read once for each sum and
//! once for the gradient, and the exponential is a polynomial in vector registers.

use crate::shape::check_shape;
use crate::{CancelToken, Result, multiversion, parallel};

/// Columns worked on at a time: they and their exponents stay in the first cache.
const BLOCK: usize = 2048;

/// Numbers side by side in a sum, an order that vector code can follow.
const LANES: usize = 16;

/// Scores of a chunk of items, and what is known of its items and of its rows.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// How many items the chunk has.
    pub width: usize,
    /// Each row's target as a column of the chunk; it may lie outside.
    pub targets: &'a [i64],
    /// Whether there is a softmax.
    pub softmax: bool,
    /// Which items the softmax counts, if not all.
    pub counted: Option<&'a [bool]>,
    /// `W` of each item, if there is the second sum.
    pub slope: Option<&'a [f32]>,
}

impl Problem<'_> {
    fn check(&self, n_scores: usize) -> Result<()> {
        check_shape("width", self.width, self.width.max(1))?;
        check_shape("scores", n_scores, self.targets.len().saturating_mul(self.width))?;
        let of_items = |name, got| check_shape(name, got, self.width);
        self.counted.map_or(Ok(()), |counted| of_items("in_softmax", counted.len()))?;
        self.slope.map_or(Ok(()), |slope| of_items("slope", slope.len()))
    }

    fn target(&self, row: usize) -> Option<usize> {
        usize::try_from(self.targets[row]).ok().filter(|&column| column < self.width)
    }
}

/// Computes both logarithms of each row, `(rows, 2)`; one that is not asked for is 0.
///
/// A chunk of which no item is counted gives minus infinity, a row with a NaN gives NaN.
///
/// # Errors
///
/// [`crate::Error::Shape`], [`crate::Error::Interrupted`].
pub fn log_sums(
    scores: &[f32],
    problem: Problem<'_>,
    out: &mut [f32],
    cancel: &CancelToken,
) -> Result<()> {
    problem.check(scores.len())?;
    check_shape("out", out.len(), 2 * problem.targets.len())?;
    parallel::try_for_each_chunk(out, 2, cancel, |row, out| {
        let scores = &scores[row * problem.width..][..problem.width];
        out.copy_from_slice(&multiversion::run(RowSums {
            scores,
            problem,
            target: problem.target(row),
        }));
        Ok(())
    })
}

/// Writes over each score what flows to it through the two sums.
///
/// `stats` is `(rows, 4)`: the logarithm of the softmax's sum and what flows to it, then those of the
/// second sum.
///
/// # Errors
///
/// [`crate::Error::Shape`], [`crate::Error::Interrupted`].
pub fn gradient(
    scores: &mut [f32],
    problem: Problem<'_>,
    stats: &[f32],
    cancel: &CancelToken,
) -> Result<()> {
    problem.check(scores.len())?;
    check_shape("stats", stats.len(), 4 * problem.targets.len())?;
    parallel::try_for_each_chunk(scores, problem.width, cancel, |row, scores| {
        let [log_z, by_base, log_d, by_dro] = [0, 1, 2, 3].map(|n| stats[4 * row + n]);
        let target = problem.target(row);
        multiversion::run(RowGradient { scores, problem, target, log_z, by_base, log_d, by_dro });
        Ok(())
    })
}

struct RowSums<'a> {
    scores: &'a [f32],
    problem: Problem<'a>,
    target: Option<usize>,
}

impl multiversion::Work for RowSums<'_> {
    type Output = [f32; 2];

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn run(self) -> [f32; 2] {
        let (mut z, mut d) = (LogSum::NONE, LogSum::NONE);
        let mut exponents = [0.0; BLOCK];
        for (index, scores) in self.scores.chunks(BLOCK).enumerate() {
            let begin = index * BLOCK;
            let exponents = &mut exponents[..scores.len()];
            match self.problem.counted {
                Some(counted) if self.problem.softmax => {
                    for ((out, &score), &is_counted) in
                        exponents.iter_mut().zip(scores).zip(&counted[begin..])
                    {
                        *out = if is_counted { score } else { f32::NEG_INFINITY };
                    }
                    z.add(exponents);
                }
                None if self.problem.softmax => z.add(scores),
                _ => {}
            }
            if let Some(slope) = self.problem.slope {
                for ((out, &score), &slope) in exponents.iter_mut().zip(scores).zip(&slope[begin..])
                {
                    *out = slope * (score * score);
                }
                if let Some(column) = self.target.filter(|&t| t / BLOCK == index) {
                    let error = self.scores[column] - 1.0;
                    exponents[column - begin] = slope[column] * (error * error);
                }
                d.add(exponents);
            }
        }
        let asked = |wanted: bool, sum: LogSum| if wanted { sum.logarithm() } else { 0.0 };
        [asked(self.problem.softmax, z), asked(self.problem.slope.is_some(), d)]
    }
}

/// A sum of exponentials, less the largest exponent so far.
#[derive(Clone, Copy)]
struct LogSum {
    highest: f32,
    total: f64,
}

impl LogSum {
    const NONE: Self = Self { highest: f32::NEG_INFINITY, total: 0.0 };

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn add(&mut self, exponents: &[f32]) {
        let (vectors, rest) = exponents.as_chunks::<LANES>();
        let mut best = [f32::NEG_INFINITY; LANES];
        for vector in vectors {
            for (best, &value) in best.iter_mut().zip(vector) {
                *best = if value > *best { value } else { *best };
            }
        }
        let highest = best.iter().chain(rest).copied().fold(self.highest, f32::max);
        if highest == f32::NEG_INFINITY {
            if exponents.iter().any(|value| value.is_nan()) {
                self.total = f64::NAN;
            }
            return;
        }
        if highest > self.highest {
            self.total *= f64::from(self.highest - highest).exp();
            self.highest = highest;
        }
        let mut sums = [0.0; LANES];
        for vector in vectors {
            for (sum, &value) in sums.iter_mut().zip(vector) {
                *sum += exp(value - highest);
            }
        }
        self.total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        self.total += rest.iter().map(|&value| f64::from(exp(value - highest))).sum::<f64>();
    }

    fn logarithm(self) -> f32 {
        (f64::from(self.highest) + self.total.ln()) as f32
    }
}

struct RowGradient<'a> {
    scores: &'a mut [f32],
    problem: Problem<'a>,
    target: Option<usize>,
    log_z: f32,
    by_base: f32,
    log_d: f32,
    by_dro: f32,
}

impl RowGradient<'_> {
    /// What flows to one score; 0 times it, so that one that is no number makes a gradient that is
    /// none.
    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn of_base(&self, score: f32, is_counted: bool) -> f32 {
        let flow = self.by_base * exp(score - self.log_z);
        score * 0.0 + if is_counted { flow } else { 0.0 }
    }

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn of_dro(&self, error: f32, slope: f32) -> f32 {
        let steep = slope * error;
        self.by_dro * (2.0 * steep) * exp(steep * error - self.log_d)
    }
}

impl multiversion::Work for RowGradient<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn run(mut self) {
        let scores = std::mem::take(&mut self.scores);
        let at_target = self.target.map(|column| scores[column]);
        let is_counted = |column: usize| self.problem.counted.is_none_or(|c| c[column]);
        match (self.problem.softmax, self.problem.counted, self.problem.slope) {
            (true, None, None) => {
                for score in scores.iter_mut() {
                    *score = self.of_base(*score, true);
                }
            }
            (true, Some(counted), None) => {
                for (score, &is_counted) in scores.iter_mut().zip(counted) {
                    *score = self.of_base(*score, is_counted);
                }
            }
            (true, None, Some(slope)) => {
                for (score, &slope) in scores.iter_mut().zip(slope) {
                    *score = self.of_base(*score, true) + self.of_dro(*score, slope);
                }
            }
            (true, Some(counted), Some(slope)) => {
                for ((score, &slope), &is_counted) in scores.iter_mut().zip(slope).zip(counted) {
                    *score = self.of_base(*score, is_counted) + self.of_dro(*score, slope);
                }
            }
            (false, _, Some(slope)) => {
                for (score, &slope) in scores.iter_mut().zip(slope) {
                    *score = self.of_dro(*score, slope);
                }
            }
            (false, _, None) => scores.iter_mut().for_each(|score| *score *= 0.0),
        }
        if let (Some(column), Some(score), Some(slope)) =
            (self.target, at_target, self.problem.slope)
        {
            let base =
                if self.problem.softmax { self.of_base(score, is_counted(column)) } else { 0.0 };
            scores[column] = base + self.of_dro(score - 1.0, slope[column]);
        }
    }
}

/// Below it `exp` is taken to be that of it, 1.6e-38.
const LOWEST: f32 = -87.0;

/// Adding and subtracting it rounds to the nearest whole number, which is left in the low bits.
const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23

/// `ln 2` in two parts; the high part times a whole number below 2^8 is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `exp(x)` for `x <= 1`, within `3e-7` of its value; NaN of NaN.
#[expect(clippy::inline_always, reason = "for multiversion::run")]
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = if x < LOWEST { LOWEST } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let (r2, r4) = (r * r, r * r * (r * r));
    let low = (1.0 + r) + (0.5 + r * (1.0 / 6.0)) * r2;
    let high = (1.0 / 24.0 + r * (1.0 / 120.0)) + (1.0 / 720.0 + r * (1.0 / 5_040.0)) * r2;
    // 2^n: the exponent's bits are n + 127, and what the rounder adds is shifted out.
    (low + high * r4) * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use proptest::prelude::*;

    fn problem<'a>(targets: &'a [i64], slope: &'a [f32]) -> Problem<'a> {
        Problem { width: slope.len(), targets, softmax: true, counted: None, slope: Some(slope) }
    }

    fn naive(scores: &[f32], slope: &[f32], target: i64) -> [f64; 2] {
        let sum = |of: &dyn Fn(usize) -> f64| (0..scores.len()).map(|j| of(j).exp()).sum::<f64>();
        let error = |j: usize| f64::from(scores[j]) - f64::from(u8::from(j as i64 == target));
        [
            sum(&|j| f64::from(scores[j])).ln(),
            sum(&|j| f64::from(slope[j]) * error(j) * error(j)).ln(),
        ]
    }

    #[test]
    fn a_nan_is_kept_and_no_item_counted_is_minus_infinity() {
        let (targets, slope, mut out) = ([-1], [0.5; 3], [0.0; 2]);
        for scores in [[1.0, f32::NAN, 2.0], [f32::NAN; 3]] {
            log_sums(&scores, problem(&targets, &slope), &mut out, &CancelToken::new()).unwrap();
            assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
        }
        let none = Problem { counted: Some(&[false; 3]), ..problem(&targets, &slope) };
        log_sums(&[1.0, 2.0, 3.0], none, &mut out, &CancelToken::new()).unwrap();
        assert_eq!(out[0].to_bits(), f32::NEG_INFINITY.to_bits());
    }

    #[test]
    fn sizes_that_do_not_agree_are_refused() {
        let (slope, mut out) = ([0.5; 3], [0.0; 2]);
        let got = log_sums(&[1.0; 4], problem(&[0], &slope), &mut out, &CancelToken::new());
        assert_eq!(got, Err(Error::Shape { name: "scores", got: 4, expected: 3 }));
        let got = gradient(&mut [1.0; 3], problem(&[0], &slope), &[0.0; 3], &CancelToken::new());
        assert_eq!(got, Err(Error::Shape { name: "stats", got: 3, expected: 4 }));
    }

    proptest! {
        #[test]
        fn the_exponential_agrees_with_the_standard_library(x in -80.0..1.0_f32) {
            prop_assert!((f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs() < 3e-7);
        }

        #[test]
        fn the_sums_are_those_of_float64(
            rows in prop::collection::vec((-20.0..20.0_f32, 0.0..0.3_f32), 1..5000),
            target in -1..5000_i64,
        ) {
            let (scores, slope): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
            let (targets, mut out) = ([target], [0.0; 2]);
            log_sums(&scores, problem(&targets, &slope), &mut out, &CancelToken::new()).unwrap();
            for (got, expected) in out.iter().zip(naive(&scores, &slope, target)) {
                prop_assert!((f64::from(*got) - expected).abs() < 2e-6 * expected.abs().max(1.0));
            }
        }

        #[test]
        fn the_gradient_is_the_slope_of_the_sums(
            rows in prop::collection::vec((-2.0..2.0_f32, 0.0..0.3_f32), 2..40),
            at in 0..2_usize,
            target in 0..2_i64,
        ) {
            let (scores, slope): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
            let targets = [target];
            let [log_z, log_d] = naive(&scores, &slope, target).map(|value| value as f32);
            let mut got = scores.clone();
            let stats = [log_z, 0.7, log_d, 0.2];
            gradient(&mut got, problem(&targets, &slope), &stats, &CancelToken::new()).unwrap();
            let total = |step: f32| {
                let mut moved = scores.clone();
                moved[at] += step;
                let [z, d] = naive(&moved, &slope, target);
                0.7 * z + 0.2 * d
            };
            let expected = (total(0.0625) - total(-0.0625)) / 0.125;
            prop_assert!((f64::from(got[at]) - expected).abs() < 3e-3);
        }
    }
}
