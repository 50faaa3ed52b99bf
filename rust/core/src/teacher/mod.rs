//! The teacher's text files: lists of items and lists of distances, gzipped or not.
//!
//! One line is one row; row alignment is sacred. Nothing is dropped, padded, cut or rounded
//! silently, and the error is the first one of the file whatever the number of threads.
//!
//! A block of lines is split into pieces that are parsed in parallel; the rows of a piece go to a
//! buffer of its own, and from there to the table. A row is first parsed the way programs write it
//! (all at once in `item_rows`, or number by number in `segment`), and with care (`row`) where that
//! fails: the fast ways only ever decline, they never decide that something is wrong.
//!
//! # Performance diary
//!
//! 150,000 x 100 numbers on two cores of a shared machine, best of many runs, in seconds; the best
//! of polars 2.1 in the same minutes is .20 (`%d`), .32 (`%.18e` items), .35 (distances).
//!
//! - Digits eight at a time in a 64-bit word (`swar`), for `%d` from the position of the first byte
//!   that is no digit: .10 on one thread, .053 on two. Where one number ends decides where the next
//!   starts, 11 cycles each; two pieces in lockstep on one thread gave nothing.
//! - `%d` with the ends of 64 bytes found at once (`item_rows`): .077 and .041; the words kept in
//!   registers, not stored and loaded as vectors: .068 and .037.
//! - `%.18e` items: the power of ten by a multiplication loop .26 on one thread; the digits shifted
//!   together and spelled in one step .19; zeros and exponent compared as words .14, .08 on two.
//!   Eight at a time (`item_rows`), since every number takes 25 bytes: .097 and .068; as a loop over
//!   arrays of registers, which the compiler did not unroll, it had been .121.
//! - Reading is .03 to .05 of that: pages of the file copied by the kernel, whatever the block size.
//!   Copying the rows of one block while the next is read: .060. All threads read, then all parse
//!   what they read themselves (`parallel_file`): .050. More is not to be had: two threads read hardly
//!   faster than one, and the pages of the result take .01.
//! - `%.18e` distances: no Eisel-Lemire and no 128-bit product. One `f64` multiplication by a table
//!   of powers is within 5 units of the last place, which decides the `f32` but for one number in
//!   2^24; those go to `std`. .19 on one thread, .10 on two.
//! - Repeated items: a bit table cleared by walking the row again 1.4 ns a number; a table of byte
//!   stamps, cleared every 255 rows, .6 ns. Only rows that it suspects are sorted.
//! - First touch of the result's pages was a quarter of the time for `%d`. The caller may give room
//!   (`likely_values` guesses how much); `NumPy` asks the system for huge pages, which takes .03 off.
//! - Blocks of 4, 2, 1 and .5 MB, pieces of 128 to 32 KB: the same within the noise, so 2 MB and
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
mod row;
mod segment;
mod store;
mod table;
mod values;

use std::io::Read;
use std::path::Path;

use crate::CancelToken;

pub use fault::{Failure, TextError};
pub use input::source::effort;
pub use store::likely_values;

use fault::Fault;
use input::source::Source;
use table::Reading;
use values::distances::Distances;
use values::items::ItemList;

/// A table of numbers, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<T> {
    /// The numbers, `(rows, columns)`; none of them if all are in the caller's room.
    pub values: Vec<T>,
    /// How many rows.
    pub rows: usize,
    /// How many numbers a row has.
    pub columns: usize,
    /// What is accepted but should be known; each text starts with a code, such as `W-NO-EOL`.
    pub warnings: Vec<String>,
}

/// What holds for any table, whatever its numbers mean.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Exactly so many rows, where given; reading stops at the first one too many.
    pub expected_rows: Option<usize>,
    /// Lines to pass over before anything else.
    pub skip_rows: usize,
    /// Refuse what else is only warned of.
    pub strict: bool,
    /// Text beyond this is refused.
    pub max_bytes: u64,
    /// Bytes read at a time.
    pub block_bytes: usize,
    /// Bytes parsed at a time.
    pub piece_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            expected_rows: None,
            skip_rows: 0,
            strict: false,
            max_bytes: 1 << 40,
            block_bytes: 1 << 21,
            piece_bytes: 1 << 16,
        }
    }
}

/// What to do with an item that a row lists twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Refuse the file.
    Error,
    /// Keep all copies, with a warning.
    Keep,
    /// Later copies become `n_items` (the padding), in place, with a warning.
    KeepFirst,
}

/// What a file of items must look like.
#[derive(Debug, Clone)]
pub struct ItemRules {
    /// Items are `0..n_items`; at most `u32::MAX`.
    pub n_items: u32,
    /// At least so many columns.
    pub min_columns: usize,
    /// The number of the first item in the file.
    pub id_base: u32,
    /// What to do with repeated items.
    pub on_duplicate: OnDuplicate,
    /// What holds for any table.
    pub limits: Limits,
}

/// What a larger number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Larger is less sure; never negative.
    Distance,
    /// Larger is surer.
    Similarity,
}

/// What a file of distances must look like.
#[derive(Debug, Clone)]
pub struct DistanceRules {
    /// Exactly so many columns, where given.
    pub expected_columns: Option<usize>,
    /// What the numbers mean.
    pub meaning: Meaning,
    /// What holds for any table.
    pub limits: Limits,
}

/// Reads a file of items; they count from 0 in the table whatever the file does.
///
/// The table is written to the start of `room` if it fits (see [`likely_values`]), else to a vector
/// of its own; the memory allocator of the caller may be the faster one.
///
/// # Errors
///
/// The first rule that the text breaks, in file order; [`crate::Error::Interrupted`];
/// [`crate::Error::Memory`].
pub fn parse_items(
    path: &Path,
    rules: &ItemRules,
    room: &mut [u32],
    cancel: &CancelToken,
) -> Result<Table<u32>, Failure> {
    parse_file(path, &rules.kind(), &rules.limits, room, cancel)
}

/// Reads a file of distances, rounded to `f64` and then to `f32`.
///
/// # Errors
///
/// As [`parse_items`].
pub fn parse_distances(
    path: &Path,
    rules: &DistanceRules,
    room: &mut [f32],
    cancel: &CancelToken,
) -> Result<Table<f32>, Failure> {
    parse_file(path, &rules.kind(), &rules.limits, room, cancel)
}

/// [`parse_items`] of a text that is no file and not compressed.
///
/// # Errors
///
/// As [`parse_items`].
pub fn read_items(
    text: &mut (impl Read + Send),
    rules: &ItemRules,
    cancel: &CancelToken,
) -> Result<Table<u32>, Failure> {
    table::read(&rules.kind(), &rules.limits, text, Reading::Meanwhile, &mut [], cancel)
}

/// [`parse_distances`] of a text that is no file and not compressed.
///
/// # Errors
///
/// As [`parse_items`].
pub fn read_distances(
    text: &mut (impl Read + Send),
    rules: &DistanceRules,
    cancel: &CancelToken,
) -> Result<Table<f32>, Failure> {
    table::read(&rules.kind(), &rules.limits, text, Reading::Meanwhile, &mut [], cancel)
}

fn parse_file<K: Kind>(
    path: &Path,
    kind: &K,
    limits: &Limits,
    room: &mut [K::Value],
    cancel: &CancelToken,
) -> Result<Table<K::Value>, Failure> {
    let source = Source::open(path, cancel);
    cancel.check()?; // an interrupted wait for a pipe is no fault of the pipe
    let mut source = source?;
    let reading = if source.takes_all_threads { Reading::Between } else { Reading::Meanwhile };
    let table = table::read(kind, limits, &mut source.reader, reading, room, cancel);
    cancel.check()?;
    source.check_unchanged()?; // what a changing file made wrong is no fault of its text
    table
}

impl ItemRules {
    fn kind(&self) -> ItemList {
        ItemList {
            n_items: self.n_items,
            min_columns: self.min_columns,
            id_base: self.id_base,
            on_duplicate: self.on_duplicate,
        }
    }
}

impl DistanceRules {
    fn kind(&self) -> Distances {
        Distances { expected_columns: self.expected_columns, meaning: self.meaning }
    }
}

/// What the numbers of a table are.
trait Kind: Sync {
    type Value: Copy + Default + Send + Sync;
    /// What is known of the rows seen so far. Sums of it must not depend on their order.
    type Tally: Default + Send + Sync;

    /// Reads a number off the front of a text: its value and its length; `None`: look closer.
    fn fast(&self, text: &[u8]) -> Option<(Self::Value, usize)>;

    /// Reads a whole line at once: its length with the newline; `None`: look closer.
    fn fast_row(&self, _text: &[u8], _separator: u8, _row: &mut [Self::Value]) -> Option<usize> {
        None
    }

    /// Reads a token; the fault's place is set by the caller.
    fn exact(&self, token: &[u8]) -> Result<Self::Value, Fault>;

    /// Checks a whole row; a fault comes with its column (from 0).
    fn finish_row(
        &self,
        row: &mut [Self::Value],
        tally: &mut Self::Tally,
    ) -> Result<(), (usize, Fault)>;

    /// Checks the number of columns.
    fn check_columns(&self, columns: usize) -> Result<(), Fault>;

    /// Adds to an error what only the rows before it can tell.
    fn explain<'a>(&self, error: &mut TextError, tallies: impl Iterator<Item = &'a Self::Tally>)
    where
        Self::Tally: 'a;

    /// Checks the whole table; returns the warnings.
    fn conclude<'a>(
        &self,
        rows: usize,
        columns: usize,
        tallies: impl Iterator<Item = &'a Self::Tally>,
    ) -> Result<Vec<String>, TextError>
    where
        Self::Tally: 'a;
}

#[cfg(test)]
mod tests;
