//! Sums over as many rows drawn with replacement.

use super::binomial::binomial;
use super::values::Values;
use super::words::Words;
use crate::memory::with_capacity;
use crate::{CancelToken, Result, parallel};

const KIND: u64 = 1;

/// Values of this many rows or fewer are drawn row by row: a binomial takes as long.
const ONE_BY_ONE: u64 = 16;

/// Rows drawn one by one come in blocks that stay in the cache: 10 bits name a row of one.
const BLOCK_BITS: u32 = 10;
const BLOCK: usize = 1 << BLOCK_BITS;

/// Rows of a block that one word names.
const PER_WORD: usize = (u64::BITS / BLOCK_BITS) as usize;

/// Elementary steps of the draws of one chunk.
const CHUNK_STEPS: usize = 1 << 18;

/// Blocks between two checks of the cancel token: some milliseconds.
const BLOCKS_PER_CHECK: usize = 256;

/// Sums the values of as many rows as there are, drawn with replacement, `out.len()` times.
///
/// # Errors
///
/// [`crate::Error::Shape`]; [`crate::Error::NonFinite`] for a value; [`crate::Error::Value`] for a
/// count of 0; [`crate::Error::Parameter`] for no or too many rows; [`crate::Error::Memory`];
/// [`crate::Error::Interrupted`].
pub fn bootstrap_sums(
    values: Values,
    seed: u64,
    out: &mut [f64],
    cancel: &CancelToken,
) -> Result<()> {
    let plan = Plan::new(values)?;
    let draws = (CHUNK_STEPS / plan.steps()).max(1);
    parallel::try_for_each_chunk(out, draws, cancel, |index, chunk| {
        chunk.iter_mut().enumerate().try_for_each(|(place, sum)| {
            let draw = (index * draws + place) as u64;
            plan.draw(&mut Words::new(seed, KIND, draw), cancel).map(|drawn| *sum = drawn)
        })
    })
}

/// The rough number of elementary steps (a few nanoseconds each) of [`bootstrap_sums`].
#[must_use]
pub fn bootstrap_steps(values: Values, n_draws: usize) -> usize {
    values.counts.len().saturating_mul(8).saturating_mul(n_draws)
}

/// How the draws are made: by value where many rows share it, then by row.
struct Plan {
    n_rows: u64,
    /// The shared values, each with its probability among what those before it left.
    shared: Vec<(f64, f64)>,
    /// The values of the other rows.
    single: Vec<f64>,
}

impl Plan {
    fn new(given: Values) -> Result<Self> {
        let n_rows = given.checked()?;
        let Values { values, counts } = given;
        let mut order = with_capacity(counts.len())?;
        order.extend(0..counts.len());
        // The most frequent first: of what they leave, the others are few.
        order.sort_by_key(|&place| std::cmp::Reverse(counts[place]));
        let n_shared = order.partition_point(|&place| counts[place] > ONE_BY_ONE);
        let (often, rarely) = order.split_at(n_shared);
        let n_single: u64 = rarely.iter().map(|&place| counts[place]).sum();
        let (mut shared, mut single) =
            (with_capacity(n_shared)?, with_capacity(n_single as usize)?);
        let mut left = n_rows;
        for &place in often {
            shared.push((values[place], counts[place] as f64 / left as f64));
            left -= counts[place];
        }
        for &place in rarely {
            single.extend(std::iter::repeat_n(values[place], counts[place] as usize));
        }
        Ok(Self { n_rows, shared, single })
    }

    fn steps(&self) -> usize {
        self.shared.len() * 16 + self.single.len() / 4 + 1
    }

    fn draw(&self, words: &mut Words, cancel: &CancelToken) -> Result<f64> {
        let mut sum = 0.0;
        // Where every value is shared, the last share is 1 and nothing is left.
        let mut left = self.n_rows;
        for &(value, share) in &self.shared {
            let times = binomial(words, left, share);
            left -= times;
            sum += times as f64 * value;
        }
        let mut ahead = self.single.len();
        for (number, block) in self.single.chunks(BLOCK).enumerate() {
            if number % BLOCKS_PER_CHECK == 0 {
                cancel.check()?;
            }
            let times = binomial(words, left, block.len() as f64 / ahead as f64);
            left -= times;
            ahead -= block.len();
            sum += match block.try_into() {
                Ok(whole) => sum_of_whole(words, whole, times as usize),
                Err(_) => (0..times).map(|_| block[words.below(block.len() as u32) as usize]).sum(),
            };
        }
        Ok(sum)
    }
}

/// The sum of rows of a whole block, whose numbers are bits of words.
fn sum_of_whole(words: &mut Words, block: &[f64; BLOCK], times: usize) -> f64 {
    // Sums of their own, which none waits for, and in registers: nothing takes their address.
    let mut sums = [0.0; PER_WORD];
    for _ in 0..times / PER_WORD {
        let mut word = words.next();
        for sum in &mut sums {
            *sum += block[word as usize & (BLOCK - 1)];
            word >>= BLOCK_BITS; // no product of the place, whose overflow would be checked
        }
    }
    let mut word = words.next();
    let mut rest = 0.0;
    for _ in 0..times % PER_WORD {
        rest += block[word as usize & (BLOCK - 1)];
        word >>= BLOCK_BITS;
    }
    sums.iter().sum::<f64>() + rest
}
