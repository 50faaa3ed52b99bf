//! What losses over the whole catalogue need from a matrix of scores: two sums of exponentials per
//! row, and the gradient that flows back through them, written over the scores.
//!
//! With `W` an item's slope, `t` the row's target and `e(j) = W_j s_j^2`, but
//! `W_t (s_t - 1)^2` for the target, the sums are `log sum_j exp(s_j)` and `log sum_j exp(e(j))`.
//!
//! # Performance diary
//!
//! 256 x 17,408 scores, two threads of a shared machine: a chain of torch operations on blocks that
//! stay in cache reads and writes each block twelve times; here each block is read once per sum and
//! once for the gradient, and the exponential is a polynomial in vector registers.

mod exp;
mod gradient;
mod log_sums;
mod problem;
#[cfg(test)]
mod tests;

pub use gradient::gradient;
pub use log_sums::log_sums;
pub use problem::Problem;
