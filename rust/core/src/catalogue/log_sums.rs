//! The two sums of exponentials of each row, in one read of its scores.

use super::exp::exp;
use super::problem::Problem;
use crate::shape::check_shape;
use crate::{CancelToken, Result, multiversion, parallel};

/// Columns processed at a time: they and their exponents stay in the L1 cache.
const BLOCK: usize = 2048;

/// Partial sums kept side by side, an order that vector code can follow.
const LANES: usize = 16;

/// Computes both logarithms for each row, `(rows, 2)`; one that is not asked for is 0.
///
/// In float64, since an exponent of the second sum may be so large that what the others add to its
/// logarithm is less than a step of float32.
///
/// A chunk with no counted items gives minus infinity; a row with a NaN gives NaN.
///
/// # Errors
///
/// [`crate::Error::Shape`], [`crate::Error::Interrupted`].
pub fn log_sums(
    scores: &[f32],
    problem: Problem<'_>,
    out: &mut [f64],
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

struct RowSums<'a> {
    scores: &'a [f32],
    problem: Problem<'a>,
    target: Option<usize>,
}

impl multiversion::Work for RowSums<'_> {
    type Output = [f64; 2];

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn run(self) -> [f64; 2] {
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

/// A sum of exponentials, scaled by the largest exponent so far.
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

    fn logarithm(self) -> f64 {
        f64::from(self.highest) + self.total.ln()
    }
}
