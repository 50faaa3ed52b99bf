//! Negatives: exact uniform draws among the items a row does not exclude.
//!
//! # The generator
//!
//! Counter-based: a draw is a pure function of `(seed, epoch, key of the row, index of the draw,
//! set of excluded items)`, so it does not depend on threads, batches or where a run resumed. All
//! arithmetic is on unsigned 64-bit integers modulo `2^64`.
//!
//! ```text
//! mix(z):          z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
//!                  z = (z ^ z >> 27) * 0x94D049BB133111EB
//!                  z ^ z >> 31
//! split(state, i): mix(state + (i + 1) * 0x9E3779B97F4A7C15)      output i of SplitMix64 at `state`
//!
//! stream[0]   = split(split(seed, epoch), key)
//! stream[a+1] = mix(!stream[a])
//! word[a]     = split(stream[a], j)                               the words of draw j
//! ```
//!
//! Draw `j` of a row that excludes the distinct items `E` of a catalogue of `N` takes `word[0]`,
//! `word[1]`, ... in turn. A word becomes a number below `n` by Lemire's multiplication:
//! `word * n / 2^64`, unless `word * n mod 2^64 < 2^64 mod n`, in which case the word is skipped.
//! This is exact.
//!
//! 1. The first word that is not skipped for `n = N` gives an item. If it is not in `E`, it is the
//!    draw.
//! 2. Otherwise the next word that is not skipped for `n = N - |E|` gives `u`, and the draw is the
//!    `u`-th item, from 0, of the catalogue without `E`.
//!
//! An allowed item comes with probability `1/N + |E|/N * 1/(N - |E|) = 1/(N - |E|)`: uniform, in at
//! most two steps, whatever the share of excluded items. A word is skipped less often than
//! once in `2^32` times.
//!
//! # Performance diary
//!
//! Nanoseconds per draw on one thread, 11 excluded items per row, for 1 and for 100 draws per row.
//!
//! - Sort the list, draw below `N - |E|`, count the items to shift by: the sort alone costs 30 per
//!   row. Step 1 needs neither an order nor a set, so the sort is left to step 2.
//! - Compare each draw with the list: 20 and 4.0. With comparisons that give all ones instead of 1,
//!   4 lanes at a time up to a multiple of 4, and a second look only when events past the end raise
//!   a false alarm: 8.4. Written for a fixed 16 lanes it was unrolled to scalar code: 15.
//! - A filter of 4096 bits before the list: 2.2 for 100 draws; for up to 4 it costs more than it
//!   saves.
//! - Few draws: with alarms settled out of line 6.7; with indices instead of a zip of four
//!   iterators 5.5.
//! - The same compiled for AVX2: 5.6 and 2.2, so dropped. What remains is the generator: three
//!   64-bit multiplications per draw, two more per row.

mod exact;
mod excluded;
pub(crate) mod generator;
mod sample;
#[cfg(test)]
mod tests;

pub use sample::{Draws, Rows, sample_negatives, steps};
