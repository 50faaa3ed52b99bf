//! Sums and gradient against float64 and finite differences.

use proptest::prelude::*;

use super::*;
use crate::{CancelToken, Error};

fn problem<'a>(targets: &'a [i64], slope: &'a [f32]) -> Problem<'a> {
    Problem { width: slope.len(), targets, softmax: true, counted: None, slope: Some(slope) }
}

fn naive(scores: &[f32], slope: &[f32], target: i64) -> [f64; 2] {
    let sum = |of: &dyn Fn(usize) -> f64| (0..scores.len()).map(|j| of(j).exp()).sum::<f64>();
    let error = |j: usize| f64::from(scores[j]) - f64::from(u8::from(j as i64 == target));
    [sum(&|j| f64::from(scores[j])).ln(), sum(&|j| f64::from(slope[j]) * error(j) * error(j)).ln()]
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
    assert_eq!(out[0].to_bits(), f64::NEG_INFINITY.to_bits());
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
    fn the_sums_are_those_of_float64(
        rows in prop::collection::vec((-20.0..20.0_f32, 0.0..0.3_f32), 1..5000),
        target in -1..5000_i64,
    ) {
        let (scores, slope): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
        let (targets, mut out) = ([target], [0.0; 2]);
        log_sums(&scores, problem(&targets, &slope), &mut out, &CancelToken::new()).unwrap();
        for (got, expected) in out.iter().zip(naive(&scores, &slope, target)) {
            prop_assert!((got - expected).abs() < 2e-6 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn weights_add_up_to_one_at_any_scale(
        rows in prop::collection::vec((-1.0..1.0_f32, 0.3..1.0_f32), 1..60),
        scale in prop::sample::select(vec![1.0_f32, 30.0, 300.0, 3e4]),
        coldness in prop::sample::select(vec![1.0_f32, 1e3]),
        target in -1..60_i64,
        repeats in 1..4_usize,
    ) {
        // Equal scores share the largest exponent, whose logarithm alone float32 would keep.
        let whole: Vec<_> = rows.iter().cycle().take(rows.len() * repeats).collect();
        let scores: Vec<f32> = whole.iter().map(|(score, _)| scale * score).collect();
        let slope: Vec<f32> = whole.iter().map(|(_, slope)| coldness * slope).collect();
        let (targets, mut sums) = ([target], [0.0; 2]);
        let asked = Problem { softmax: false, ..problem(&targets, &slope) };
        log_sums(&scores, asked, &mut sums, &CancelToken::new()).unwrap();
        let mut got = scores.clone();
        gradient(&mut got, asked, &[0.0, 0.0, sums[1], 1.0], &CancelToken::new()).unwrap();
        let error = |j: usize| scores[j] - if j as i64 == target { 1.0 } else { 0.0 };
        prop_assume!((0..got.len()).all(|j| error(j).abs() > 1e-6));
        let weight = |j: usize| f64::from(got[j]) / (2.0 * f64::from(slope[j]) * f64::from(error(j)));
        let total: f64 = (0..got.len()).map(weight).sum();
        prop_assert!((total - 1.0).abs() < 1e-3, "{total}");
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_sums(
        rows in prop::collection::vec((-2.0..2.0_f32, 0.0..0.3_f32), 2..40),
        at in 0..2_usize,
        target in 0..2_i64,
    ) {
        let (scores, slope): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
        let targets = [target];
        let [log_z, log_d] = naive(&scores, &slope, target);
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
