//! Paired statistics: what sums of differences would be over other rows, or with other signs.
//!
//! Rank metrics take few values: NDCG@20 of a row without ties is one of 21 numbers, a difference
//! of two one of 441. So nothing is drawn row by row. With `n` rows of which `c` have the value `v`,
//!
//! - a bootstrap draws how often each value comes: the counts of `n` draws with replacement are
//!   multinomial, drawn value by value as binomials of what is left;
//! - a sign-flip permutation draws how many of the `c` rows keep their sign: a binomial with p = 1/2.
//!
//! Both are exact in distribution, not approximations for large `n`, and their cost is that of the
//! distinct values. Values that few rows share are drawn row by row after all, which costs less than
//! a binomial each; so where all values differ the cost is that of the plain algorithm.
//!
//! # Random words
//!
//! Draw `d` has a stream of its own, the outputs of `SplitMix64` at `split(split(seed, kind), d)`, so
//! that draws do not depend on threads. The kinds are 1 (bootstrap) and 2 (signs).
//!
//! # Performance diary
//!
//! 10,000 draws over 1,000,000 rows on one thread of a shared machine.
//!
//! - NDCG@20 differences, 415 distinct values: bootstrap 0.27 s, signs 0.03 s. Row by row the
//!   bootstrap would take 40 s.
//! - All values distinct: drawing row after row from all of them, 39 s, most of it waiting for
//!   memory. How many rows each block of 4,096 gives is one binomial more, and then rows come from
//!   the cache, five to a random word. Blocks of 1,024, six to a word, whose sums stay in registers:
//!   half of that for 200,000 distinct values, as users' sums are.
//! - Signs one by one, 200,000 distinct values: 1.8 ns each. Shifts by a lane's number are checked for
//!   overflow, which kept the loop from vectors; apart from the sums and for AVX2, 0.2 ns. So signs of
//!   up to 16 rows of one value come one by one, where a word for each value took longer.

mod binomial;
mod bootstrap;
mod signs;
#[cfg(test)]
mod tests;
mod values;
mod words;

pub use bootstrap::{bootstrap_steps, bootstrap_sums};
pub use signs::{sign_steps, sign_sums};
pub use values::Values;
