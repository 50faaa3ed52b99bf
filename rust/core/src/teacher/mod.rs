//! The teacher's text files: lists of items and lists of distances, gzipped or not.
//!
//! One line is one row; row alignment is sacred. Nothing is dropped, padded, cut or rounded
//! silently, and the error is the first in the file, whatever the number of threads.
//!
//! A block of lines is split into pieces that are parsed in parallel; the rows of a piece go to a
//! buffer of its own, and from there to the table. A row is first parsed the way programs write it
//! (all at once in `item_rows`, or number by number in `segment`), and with care (`row`) if that
//! fails: the fast paths only ever decline, they never decide that something is wrong.
//!
//! # Performance diary
//!
//! 150,000 x 100 numbers on two cores of a shared machine, best of many runs, in seconds; the best
//! of polars 2.1 in the same minutes is 0.20 (`%d`), 0.32 (`%.18e` items), 0.35 (distances).
//!
//! - Digits eight at a time in a 64-bit word (`swar`), for `%d` from the position of the first byte
//!   that is not a digit: 0.10 on one thread, 0.053 on two. Where one number ends decides where the
//!   next starts, 11 cycles each; two pieces in lockstep on one thread gained nothing.
//! - `%d` with the ends of 64 bytes found at once (`avx2::plain`): 0.077 and 0.041; with the words
//!   kept in registers, not stored and loaded as vectors: 0.068 and 0.037.
//! - `%.18e` items: the power of ten by a multiplication loop 0.26 on one thread; the digits shifted
//!   together and converted in one step 0.19; zeros and exponent compared as words 0.14, 0.08 on
//!   two. Eight at a time (`avx2::savetxt`), since every number takes 25 bytes: 0.097 and 0.068; as
//!   a loop over arrays of registers, which the compiler did not unroll, it had been 0.121.
//! - Reading is 0.03 to 0.05 of that: the kernel copies the file's pages, whatever the block size.
//!   Copying the rows of one block while the next is read: 0.060. All threads read, then all parse
//!   what they read themselves (`parallel_file`): 0.050. There is no more to gain: two threads read
//!   hardly faster than one, and the pages of the result take 0.01. Reading a block while
//!   the one before is parsed, as pipes and gzip need it anyway, is as fast or some 5 % faster with
//!   all threads reading, so files do the same.
//! - `%.18e` distances: no Eisel-Lemire and no 128-bit product. One `f64` multiplication by a table
//!   of powers is within 5 units of the last place, which decides the `f32` for all but one number
//!   in 2^24; those go to `std`. 0.19 on one thread, 0.10 on two.
//! - Repeated items: a bit table cleared by going over the row again takes 1.4 ns per number; a
//!   table of byte stamps, cleared every 255 rows, 0.6 ns. Only rows that it suspects are sorted.
//! - The first touch of the result's pages was a quarter of the time for `%d`. The caller may
//!   provide room (`likely_values` estimates how much); `NumPy` asks the system for huge pages,
//!   which saves 0.03.
//! - Blocks of 4, 2, 1 and 0.5 MB, pieces of 128 to 32 KB: the same within the noise, so 2 MB and
//!   64 KB, which leave most of the 64 MB beyond the result unused.

// No input may end in a panic; only tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
#![allow(clippy::result_large_err)] // an error ends the reading: its size costs nothing

mod diagnose;
mod fault;
mod input;
mod layout;
mod line;
mod numbers;
mod parse;
mod read;
mod row;
mod rules;
mod segment;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod values;
mod widest;

pub use fault::{Failure, TextError};
pub use input::source::effort;
pub use parse::{parse_distances, parse_items, read_distances, read_items};
pub use rules::{DistanceRules, ItemRules, Limits, Meaning, OnDuplicate};
pub use store::likely_values;
pub use table::Table;
