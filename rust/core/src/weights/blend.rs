//! The position weight, and the weighted sum of all three.

use super::checks::{check_parameter, check_values};
use super::confidence::confidence_of_rows;
use super::sum::sum;
use crate::memory::zeros;
use crate::shape::check_shape;
use crate::{CancelToken, Result, multiversion, parallel};

const RULE: &str = "a weight >= 0";

/// Elements of the result per unit of work.
const CHUNK: usize = 1 << 12;

/// How much each weight counts, and how a row of their sums is scaled.
#[derive(Debug, Clone, Copy)]
pub struct Blend {
    /// The shares of position, confidence and consistency; none negative, not all 0.
    pub gammas: [f64; 3],
    /// Scale each row to sum to 1, as the authors do; the paper does not.
    pub normalise: bool,
}

/// The confidence of each row, or of each item of each row.
#[derive(Debug, Clone, Copy)]
pub enum Confidence<'a> {
    /// `(rows,)`
    PerRow(&'a [f32]),
    /// `(rows, k)`
    PerItem(&'a [f32]),
}

/// The paper's position weight, `exp(-rank / temperature)` over its sum; ranks are 1 to `out.len()`.
///
/// # Errors
///
/// [`crate::Error::Parameter`] for a temperature below 0.001 or an empty `out`;
/// [`crate::Error::Memory`].
pub fn position_weight(temperature: f64, out: &mut [f32]) -> Result<()> {
    check_parameter("position_temperature", temperature, temperature >= 1e-3, "a number >= 0.001")?;
    check_parameter("k", out.len() as f64, !out.is_empty(), "at least 1")?;
    // Counted from the first rank: the common factor cancels, and nothing becomes 0/0.
    let mut weights = zeros::<f64>(out.len())?;
    for (place, weight) in weights.iter_mut().enumerate() {
        *weight = super::exp::exp_of_negative(-(place as f64) / temperature);
    }
    let scale = 1.0 / sum(&weights);
    for (out, weight) in out.iter_mut().zip(weights) {
        *out = (weight * scale) as f32;
    }
    Ok(())
}

/// The weighted sum of given weights, `(rows, k)`: position is `(k,)`, consistency `(rows, k)`.
///
/// Without `consistency` its term is left out. Where a row is to be scaled to sum to 1 and sums to
/// 0, its items weigh `1/k` each, as they do in the authors' code.
///
/// # Errors
///
/// [`crate::Error::Parameter`] for gammas that are negative, not finite or all 0 and for `k` 0;
/// [`crate::Error::Shape`]; [`crate::Error::NonFinite`] and [`crate::Error::Value`] for such weights.
pub fn blend_weights(
    position: &[f32],
    confidence: Confidence,
    consistency: Option<&[f32]>,
    blend: Blend,
    out: &mut [f32],
    cancel: &CancelToken,
) -> Result<()> {
    let k = position.len();
    check_parameter("k", k as f64, k >= 1, "at least 1")?;
    if let Some(consistency) = consistency {
        check_shape("consistency", consistency.len(), out.len())?;
    }
    let mixer = Mixer::new(position, confidence, blend, out.len())?;
    let rows_per_chunk = (CHUNK / k).max(1); // so that a short list does not make many tiny ones
    parallel::try_for_each_chunk(out, rows_per_chunk * k, cancel, |index, out| {
        let first = index * rows_per_chunk;
        match consistency.map(|values| &values[first * k..][..out.len()]) {
            Some(values) => {
                check_values("consistency", values, k, first, RULE)?;
                out.copy_from_slice(values);
            }
            None => out.fill(0.0),
        }
        mixer.mix(first, out)
    })
}

/// The weighted sum of position, `(k,)`, and the confidence of each row's distances, `(rows, k)`.
///
/// The bits of [`candidate_confidence`](super::candidate_confidence) and then [`blend_weights`],
/// but the confidence of a few rows at a time never leaves the caches.
///
/// # Errors
///
/// As both.
pub fn blend_distances(
    position: &[f32],
    distance: &[f32],
    blend: Blend,
    out: &mut [f32],
    cancel: &CancelToken,
) -> Result<()> {
    let k = position.len();
    check_parameter("k", k as f64, k >= 1, "at least 1")?;
    check_shape("distance", distance.len(), out.len())?;
    let mixer = Mixer::new(position, Confidence::PerItem(distance), blend, out.len())?;
    let rows_per_chunk = (CHUNK / k).max(1);
    parallel::try_for_each_chunk(out, rows_per_chunk * k, cancel, |index, out| {
        let first = index * rows_per_chunk;
        let mut confidence = zeros(out.len())?;
        let distance = &distance[first * k..][..out.len()];
        confidence_of_rows(distance, k, first, &mut confidence)?;
        out.fill(0.0);
        mixer.mix_given(&confidence, out)
    })
}

struct Mixer<'a> {
    /// Already times its gamma.
    position: Vec<f64>,
    confidence: Confidence<'a>,
    gammas: [f64; 3],
    normalise: bool,
}

impl<'a> Mixer<'a> {
    fn new(position: &[f32], confidence: Confidence<'a>, blend: Blend, len: usize) -> Result<Self> {
        let names = ["position_gamma", "confidence_gamma", "consistency_gamma"];
        for (name, gamma) in names.into_iter().zip(blend.gammas) {
            check_parameter(name, gamma, gamma >= 0.0, "a number >= 0")?;
        }
        let total: f64 = blend.gammas.iter().sum();
        check_parameter(
            "sum of gammas",
            total,
            total > 0.0,
            "a number > 0: all weights would be 0",
        )?;
        check_values("position", position, position.len(), 0, RULE)?;
        let (given, expected) = match confidence {
            Confidence::PerRow(values) => (values, len / position.len()),
            Confidence::PerItem(values) => (values, len),
        };
        check_shape("confidence", given.len(), expected)?;
        check_shape("out", len, len / position.len() * position.len())?;
        let position = position.iter().map(|&weight| blend.gammas[0] * f64::from(weight)).collect();
        Ok(Self { position, confidence, gammas: blend.gammas, normalise: blend.normalise })
    }

    /// Turns the consistency weights in `out` into the sums; the first row is row `first`.
    fn mix(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let k = self.position.len();
        let confidence = match self.confidence {
            Confidence::PerRow(values) => {
                let values = &values[first..][..out.len() / k];
                check_values("confidence", values, 1, first, RULE)?;
                values
            }
            Confidence::PerItem(values) => {
                let values = &values[first * k..][..out.len()];
                check_values("confidence", values, k, first, RULE)?;
                values
            }
        };
        self.mix_given(confidence, out)
    }

    /// [`Mixer::mix`] with the confidence of these rows.
    fn mix_given(&self, confidence: &[f32], out: &mut [f32]) -> Result<()> {
        let mut sums = zeros::<f64>(self.position.len())?;
        multiversion::run(Mix { mixer: self, confidence, sums: &mut sums, out });
        Ok(())
    }

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn mix_row(&self, confidence: impl Fn(usize) -> f32, out: &mut [f32], sums: &mut [f64]) {
        let [_, confidence_gamma, consistency_gamma] = self.gammas;
        // Cut to one length, so that no index needs a check.
        let k = sums.len();
        let (position, out) = (&self.position[..k], &mut out[..k]);
        for item in 0..k {
            sums[item] = position[item]
                + confidence_gamma * f64::from(confidence(item))
                + consistency_gamma * f64::from(out[item]);
        }
        let scale = if self.normalise { 1.0 / sum(sums) } else { 1.0 };
        if scale.is_infinite() {
            out.fill((1.0 / out.len() as f64) as f32);
            return;
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = (*sum * scale) as f32;
        }
    }
}

struct Mix<'a> {
    mixer: &'a Mixer<'a>,
    confidence: &'a [f32],
    sums: &'a mut [f64],
    out: &'a mut [f32],
}

impl multiversion::Work for Mix<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn run(self) {
        let k = self.sums.len();
        let rows = self.out.chunks_exact_mut(k);
        match self.mixer.confidence {
            Confidence::PerRow(_) => {
                for (&confidence, out) in self.confidence.iter().zip(rows) {
                    self.mixer.mix_row(|_| confidence, out, self.sums);
                }
            }
            Confidence::PerItem(_) => {
                for (confidence, out) in self.confidence.chunks_exact(k).zip(rows) {
                    let confidence = &confidence[..k];
                    self.mixer.mix_row(|item| confidence[item], out, self.sums);
                }
            }
        }
    }
}
