//! The gradient that flows back through the two sums, written over the scores.

use super::exp::exp;
use super::problem::Problem;
use crate::shape::check_shape;
use crate::{CancelToken, Result, multiversion, parallel};

/// Overwrites each score with its gradient through the two sums.
///
/// `stats` is `(rows, 4)`: the logarithm of the softmax's sum and its gradient, then the same for
/// the second sum. What a row's items weigh in the second sum adds up to 1 for any finite
/// exponents: each is the very number that was summed, less the logarithm in two parts.
///
/// # Errors
///
/// [`crate::Error::Shape`], [`crate::Error::Interrupted`].
pub fn gradient(
    scores: &mut [f32],
    problem: Problem<'_>,
    stats: &[f64],
    cancel: &CancelToken,
) -> Result<()> {
    problem.check(scores.len())?;
    check_shape("stats", stats.len(), 4 * problem.targets.len())?;
    parallel::try_for_each_chunk(scores, problem.width, cancel, |row, scores| {
        let [log_z, by_base, log_d, by_dro] = [0, 1, 2, 3].map(|n| stats[4 * row + n] as f32);
        let below_log_d = (stats[4 * row + 2] - f64::from(log_d)) as f32;
        let target = problem.target(row);
        multiversion::run(RowGradient {
            scores,
            problem,
            target,
            log_z,
            by_base,
            log_d,
            below_log_d,
            by_dro,
        });
        Ok(())
    })
}

struct RowGradient<'a> {
    scores: &'a mut [f32],
    problem: Problem<'a>,
    target: Option<usize>,
    log_z: f32,
    by_base: f32,
    log_d: f32,
    /// What rounding left of the logarithm: much, where the exponents are large.
    below_log_d: f32,
    by_dro: f32,
}

impl RowGradient<'_> {
    /// The gradient of one score through the softmax. The score times 0 is added, so that a NaN
    /// score gives a NaN gradient.
    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn of_base(&self, score: f32, is_counted: bool) -> f32 {
        let flow = self.by_base * exp(score - self.log_z);
        score * 0.0 + if is_counted { flow } else { 0.0 }
    }

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn of_dro(&self, error: f32, slope: f32) -> f32 {
        // In the order of `log_sums`: another one rounds to another exponent.
        let below = (slope * (error * error) - self.log_d) - self.below_log_d;
        self.by_dro * (2.0 * (slope * error)) * exp(if below > 0.0 { 0.0 } else { below })
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
