//! Draws against exact probabilities, and the same bits on any number of threads.

use super::binomial::binomial;
use super::words::Words;
use super::*;
use crate::{CancelToken, Error};

/// Pearson's statistic of some counts against probabilities; cells of few are put together.
fn chi_square(counts: &[u64], shares: &[f64]) -> (f64, f64) {
    let total: u64 = counts.iter().sum();
    let (mut statistic, mut cells) = (0.0, 0.0);
    let (mut got, mut expected) = (0.0, 0.0);
    for (&count, &share) in counts.iter().zip(shares) {
        got += count as f64;
        expected += share * total as f64;
        if expected >= 20.0 {
            statistic += (got - expected).powi(2) / expected;
            cells += 1.0;
            (got, expected) = (0.0, 0.0);
        }
    }
    (statistic, cells)
}

/// Whether a chi-square statistic is within five deviations of its mean.
fn is_likely((statistic, cells): (f64, f64)) -> bool {
    cells >= 2.0 && (statistic - cells).abs() < 5.0 * (2.0 * cells).sqrt()
}

fn probabilities(n: u64, p: f64) -> Vec<f64> {
    let mut log_share = n as f64 * (1.0 - p).ln();
    (0..=n)
        .map(|k| {
            let share = log_share.exp();
            log_share += ((n - k) as f64 / (k + 1) as f64 * p / (1.0 - p)).ln();
            share
        })
        .collect()
}

#[test]
fn binomials_have_their_probabilities() {
    for (n, p) in [(1, 0.3), (7, 0.5), (40, 0.2), (40, 0.25), (40, 0.9), (500, 0.5), (3000, 0.01)] {
        let mut counts = vec![0; n as usize + 1];
        let mut words = Words::new(11, n, 3);
        for _ in 0..200_000 {
            counts[binomial(&mut words, n, p) as usize] += 1;
        }
        let found = chi_square(&counts, &probabilities(n, p));
        assert!(is_likely(found), "n {n}, p {p}: {found:?}");
    }
}

#[test]
fn the_edges_of_a_binomial_are_sure() {
    let mut words = Words::new(1, 2, 3);
    assert_eq!(binomial(&mut words, 0, 0.5), 0);
    assert_eq!(binomial(&mut words, 9, 0.0), 0);
    assert_eq!(binomial(&mut words, 9, 1.0), 9);
    assert_eq!((0..100).map(|_| binomial(&mut words, 1 << 40, 1e-300)).max(), Some(0));
}

#[test]
fn three_rows_come_in_all_twenty_seven_ways() {
    // 1, 10 and 100: a sum names its rows.
    let given = Values { values: &[1.0, 10.0, 100.0], counts: &[1, 1, 1] };
    let mut out = vec![0.0; 100_000];
    bootstrap_sums(given, 5, &mut out, &CancelToken::new()).unwrap();
    let mut counts = vec![0; 301];
    for sum in out {
        counts[sum as usize] += 1;
    }
    let mut shares = vec![0.0; 301];
    let values = [1, 10, 100];
    for way in 0..27 {
        shares[values[way % 3] + values[way / 3 % 3] + values[way / 9]] += 1.0 / 27.0;
    }
    assert!(is_likely(chi_square(&counts, &shares)));
}

#[test]
fn four_signs_come_in_all_sixteen_ways() {
    for (values, counts) in [(&[1.0, 2.0, 4.0, 8.0][..], &[1; 4][..]), (&[1.0, 3.0], &[3, 2])] {
        let mut out = vec![0.0; 100_000];
        sign_sums(Values { values, counts }, 5, &mut out, &CancelToken::new()).unwrap();
        let rows: Vec<f64> = values
            .iter()
            .zip(counts)
            .flat_map(|(&value, &count)| std::iter::repeat_n(value, count as usize))
            .collect();
        let mut found = vec![0; 31];
        for sum in out {
            found[(sum + 15.0) as usize] += 1;
        }
        let mut shares = vec![0.0; 31];
        for way in 0..1 << rows.len() {
            let sign = |row: usize| if way >> row & 1 == 1 { 1.0 } else { -1.0 };
            let sum: f64 = (0..rows.len()).map(|row| sign(row) * rows[row]).sum();
            shares[(sum + 15.0) as usize] += 1.0 / f64::from(1 << rows.len());
        }
        assert!(is_likely(chi_square(&found, &shares)), "{values:?}");
    }
}

#[test]
fn draws_are_the_same_on_any_number_of_threads() {
    // Shared values, and more than a block of others.
    let values: Vec<f64> = (0..9000).map(|place| f64::from(place) * 0.37 - 90.0).collect();
    let counts: Vec<u64> = (0..9000_u64).map(|n| 1 + n * n % 5000 * u64::from(n < 300)).collect();
    let given = Values { values: &values, counts: &counts };
    let draw = || {
        let (mut sums, mut signs) = (vec![0.0; 501], vec![0.0; 501]);
        bootstrap_sums(given, 9, &mut sums, &CancelToken::new()).unwrap();
        sign_sums(given, 9, &mut signs, &CancelToken::new()).unwrap();
        sums.into_iter().chain(signs).map(f64::to_bits).collect::<Vec<u64>>()
    };
    let alone = draw();
    for n_threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        assert_eq!(pool.install(draw), alone);
    }
}

#[test]
fn more_draws_begin_with_the_same_ones() {
    let given = Values { values: &[0.5, -1.0], counts: &[70, 3] };
    let (mut few, mut many) = ([0.0; 10], [0.0; 1000]);
    bootstrap_sums(given, 2, &mut few, &CancelToken::new()).unwrap();
    bootstrap_sums(given, 2, &mut many, &CancelToken::new()).unwrap();
    assert_eq!(few.map(f64::to_bits)[..], many.map(f64::to_bits)[..10]);
}

#[test]
fn rows_of_whole_blocks_come_equally_often() {
    // A block and a half of rows; the sum counts those of one part, 4.5 deviations at most.
    let n_rows = 6144;
    for (begin, end) in [(0, 1), (0, 512), (4000, 4096), (4096, 6144), (5000, 6000)] {
        let values: Vec<f64> =
            (0..n_rows).map(|row| f64::from(begin <= row && row < end)).collect();
        let counts = vec![1; n_rows as usize];
        let given = Values { values: &values, counts: &counts };
        let mut out = vec![0.0; 2000];
        bootstrap_sums(given, 8, &mut out, &CancelToken::new()).unwrap();
        let (share, draws) = (f64::from(end - begin) / f64::from(n_rows), out.len() as f64);
        let (mean, variance) =
            (share * f64::from(n_rows), share * (1.0 - share) * f64::from(n_rows));
        let found = out.iter().sum::<f64>() / draws;
        assert!((found - mean).abs() < 4.5 * (variance / draws).sqrt(), "{begin}..{end}: {found}");
        let spread = out.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / draws;
        assert!((spread / variance - 1.0).abs() < 0.2, "{begin}..{end}: {spread}, {variance}");
    }
}

#[test]
fn what_cannot_be_drawn_from_is_refused() {
    let cancel = CancelToken::new();
    let refused = |values: &[f64], counts: &[u64]| {
        bootstrap_sums(Values { values, counts }, 0, &mut [0.0; 2], &cancel).unwrap_err()
    };
    assert!(matches!(refused(&[1.0], &[1, 2]), Error::Shape { got: 1, expected: 2, .. }));
    assert!(matches!(refused(&[1.0, 2.0], &[1, 0]), Error::Value { row: 1, .. }));
    let bad = refused(&[1.0, f64::NAN], &[1, 1]);
    assert!(matches!(bad, Error::NonFinite { row: 1, .. }));
    assert!(matches!(refused(&[], &[]), Error::Parameter { name: "rows", .. }));
    assert!(matches!(refused(&[1.0], &[1 << 32]), Error::Parameter { name: "rows", .. }));
    assert!(matches!(refused(&[1.0; 2], &[u64::MAX, 9]), Error::Parameter { .. }));
    let stopped = CancelToken::new();
    stopped.cancel();
    let given = Values { values: &[1.0], counts: &[1] };
    assert_eq!(bootstrap_sums(given, 0, &mut [0.0], &stopped), Err(Error::Interrupted));
    assert_eq!(sign_sums(given, 0, &mut [0.0], &stopped), Err(Error::Interrupted));
}
