//! Binomial numbers: by inversion where few are expected, else by Hörmann's BTRS.
//!
//! W. Hörmann, "The generation of binomial random variates", Journal of Statistical Computation and
//! Simulation 46 (1993): transformed rejection with squeeze, exact up to the precision of floats.

use super::words::Words;

/// BTRS needs at least so many expected successes.
const FEW: f64 = 10.0;

/// How many of `n` succeed, each with probability `p` in [0, 1].
pub(super) fn binomial(words: &mut Words, n: u64, p: f64) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - binomial(words, n, 1.0 - p);
    }
    if n as f64 * p < FEW { inverted(words, n, p) } else { Rejection::new(n, p).draw(words) }
}

/// Walks up from 0 successes, taking each one's probability off a uniform number.
fn inverted(words: &mut Words, n: u64, p: f64) -> u64 {
    let odds = p / (1.0 - p);
    let none = (n as f64 * (-p).ln_1p()).exp();
    loop {
        let (mut left, mut share, mut k) = (words.unit(), none, 0_u64);
        while left > share && k < n {
            left -= share;
            k += 1;
            share *= odds * (n - k + 1) as f64 / k as f64;
            // Rounding may leave a crumb that no share is small enough for.
            if share == 0.0 {
                break;
            }
        }
        if share > 0.0 {
            return k;
        }
    }
}

/// What BTRS needs to know of `n` and `p`, for many draws.
pub(super) struct Rejection {
    n: f64,
    ratio: f64,
    mode: f64,
    log_mode: f64,
    centre: f64,
    a: f64,
    b: f64,
    alpha: f64,
    squeeze: f64,
}

impl Rejection {
    /// For `n * p >= 10` and `p <= 1/2`.
    pub(super) fn new(n: u64, p: f64) -> Self {
        let n = n as f64;
        let deviation = (n * p * (1.0 - p)).sqrt();
        let b = 1.15 + 2.53 * deviation;
        let ratio = p / (1.0 - p);
        let mode = ((n + 1.0) * p).floor();
        Self {
            n,
            ratio,
            mode,
            log_mode: (mode + 0.5) * ((mode + 1.0) / (ratio * (n - mode + 1.0))).ln()
                + tail(mode)
                + tail(n - mode),
            centre: n * p + 0.5,
            a: -0.0873 + 0.0248 * b + 0.01 * p,
            b,
            alpha: (2.83 + 5.1 / b) * deviation,
            squeeze: 0.92 - 4.2 / b,
        }
    }

    pub(super) fn draw(&self, words: &mut Words) -> u64 {
        loop {
            let (u, v) = (words.unit() - 0.5, words.unit());
            let edge = 0.5 - u.abs();
            let k = ((2.0 * self.a / edge + self.b) * u + self.centre).floor();
            if edge >= 0.07 && v <= self.squeeze {
                return k as u64;
            }
            if k < 0.0 || k > self.n {
                continue;
            }
            let height = (v * self.alpha / (self.a / (edge * edge) + self.b)).ln();
            if height <= self.log_share(k) {
                return k as u64;
            }
        }
    }

    /// The logarithm of the probability of `k` over that of the mode.
    fn log_share(&self, k: f64) -> f64 {
        let n = self.n;
        self.log_mode
            + (n + 1.0) * ((n - self.mode + 1.0) / (n - k + 1.0)).ln()
            + (k + 0.5) * (self.ratio * (n - k + 1.0) / (k + 1.0)).ln()
            - tail(k)
            - tail(n - k)
    }
}

/// What Stirling's formula for `k!` leaves out, in logarithms.
fn tail(k: f64) -> f64 {
    const SMALL: [f64; 10] = [
        0.081_061_466_795_327_26,
        0.041_340_695_955_409_29,
        0.027_677_925_684_998_34,
        0.020_790_672_103_765_09,
        0.016_644_691_189_821_19,
        0.013_876_128_823_070_75,
        0.011_896_709_945_891_77,
        0.010_411_265_261_972_09,
        0.009_255_462_182_712_733,
        0.008_330_563_433_362_87,
    ];
    if k < 10.0 {
        return SMALL[k as usize];
    }
    let next = k + 1.0;
    let square = next * next;
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / next
}
