//! Sums with every row's sign drawn anew.

use super::binomial::Rejection;
use super::values::Values;
use super::words::Words;
use crate::memory::with_capacity;
use crate::{CancelToken, Result, multiversion, parallel};

const KIND: u64 = 2;

/// Signs of this many rows or fewer are drawn one by one: a word takes as long.
const ONE_BY_ONE: u64 = 16;

/// Up to this many rows their signs are the bits of words: 20 words take as long as a binomial.
const BITS: u64 = 1280;

/// Elementary steps of the draws of one chunk.
const CHUNK_STEPS: usize = 1 << 18;

/// Signs drawn one by one between two checks of the cancel token: some milliseconds.
const BLOCK: usize = 1 << 22;

/// Sums that add independently of each other, so that they need not wait for each other.
const LANES: usize = 16;

/// Sums all rows' values, the sign of each drawn fairly, `out.len()` times.
///
/// # Errors
///
/// As [`super::bootstrap_sums`].
pub fn sign_sums(given: Values, seed: u64, out: &mut [f64], cancel: &CancelToken) -> Result<()> {
    let plan = Plan::new(given)?;
    let draws = (CHUNK_STEPS / plan.steps()).max(1);
    parallel::try_for_each_chunk(out, draws, cancel, |index, chunk| {
        chunk.iter_mut().enumerate().try_for_each(|(place, sum)| {
            let draw = (index * draws + place) as u64;
            plan.draw(&mut Words::new(seed, KIND, draw), cancel).map(|drawn| *sum = drawn)
        })
    })
}

/// The rough number of elementary steps (a few nanoseconds each) of [`sign_sums`].
#[must_use]
pub fn sign_steps(given: Values, n_draws: usize) -> usize {
    given.counts.len().saturating_mul(4).saturating_mul(n_draws)
}

/// How the signs are drawn: by one binomial, by bits of words, or one by one.
struct Plan {
    many: Vec<(f64, f64, Rejection)>,
    some: Vec<(f64, u64)>,
    single: Vec<f64>,
}

impl Plan {
    fn new(given: Values) -> Result<Self> {
        given.checked()?;
        let Values { values, counts } = given;
        let n_single: u64 = counts.iter().filter(|&&count| count <= ONE_BY_ONE).sum();
        let mut plan = Self {
            many: Vec::new(),
            some: with_capacity(counts.len())?,
            single: with_capacity(n_single as usize)?,
        };
        for (&value, &count) in values.iter().zip(counts) {
            if value == 0.0 {
                continue; // whatever its sign
            }
            if count <= ONE_BY_ONE {
                plan.single.extend(std::iter::repeat_n(value, count as usize));
            } else if count <= BITS {
                plan.some.push((value, count));
            } else {
                plan.many.push((value, count as f64, Rejection::new(count, 0.5)));
            }
        }
        Ok(plan)
    }

    fn steps(&self) -> usize {
        let words: u64 = self.some.iter().map(|&(_, count)| count.div_ceil(64)).sum();
        self.many.len() * 16 + words as usize + self.single.len() / 8 + 1
    }

    fn draw(&self, words: &mut Words, cancel: &CancelToken) -> Result<f64> {
        let mut sum = 0.0;
        for (value, count, kept) in &self.many {
            sum += value * (2.0 * kept.draw(words) as f64 - count);
        }
        for &(value, count) in &self.some {
            sum += value * (2 * heads(words, count) as i64 - count as i64) as f64;
        }
        for block in self.single.chunks(BLOCK) {
            cancel.check()?;
            sum += multiversion::run(Signed { words, values: block });
        }
        Ok(sum)
    }
}

/// How many of `count` fair coins show heads.
fn heads(words: &mut Words, count: u64) -> u64 {
    let whole: u64 = (0..count / 64).map(|_| u64::from(words.next().count_ones())).sum();
    match count % 64 {
        0 => whole,
        rest => whole + u64::from((words.next() >> (64 - rest)).count_ones()),
    }
}

/// The sum of values with signs of their own.
struct Signed<'a> {
    words: &'a mut Words,
    values: &'a [f64],
}

impl multiversion::Work for Signed<'_> {
    type Output = f64;

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn run(self) -> f64 {
        let mut sums = [0.0; LANES];
        let (whole, rest) = self.values.as_chunks::<64>();
        for part in whole {
            let word = self.words.next();
            for (place, some) in part.as_chunks::<LANES>().0.iter().enumerate() {
                add_signed(&mut sums, word >> (place * LANES), some);
            }
        }
        let word = self.words.next();
        for (place, some) in rest.chunks(LANES).enumerate() {
            let mut padded = [0.0; LANES];
            padded[..some.len()].copy_from_slice(some);
            add_signed(&mut sums, word >> (place * LANES), &padded);
        }
        sums.iter().sum()
    }
}

/// Adds each value with the sign that its bit of a word says.
#[expect(clippy::inline_always, reason = "for multiversion::run")]
#[inline(always)]
fn add_signed(sums: &mut [f64; LANES], signs: u64, values: &[f64; LANES]) {
    let mut signed = [0; LANES];
    for lane in 0..LANES {
        signed[lane] = values[lane].to_bits() ^ ((signs << (63 - lane)) & (1 << 63));
    }
    for lane in 0..LANES {
        sums[lane] += f64::from_bits(signed[lane]);
    }
}
