//! From a path or any other source of text to a table.

use std::io::Read;
use std::path::Path;

use super::fault::Failure;
use super::input::source::Source;
use super::read::read;
use super::rules::{DistanceRules, ItemRules, Limits};
use super::table::Table;
use super::values::value_rules::ValueRules;
use super::widest::widest_row;
use crate::CancelToken;

/// Reads a file of items; they count from 0 in the table whatever the file does.
///
/// The table is written to the start of `room` if it fits (see [`super::likely_values`]), else to a
/// vector of its own; the memory allocator of the caller may be the faster one.
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
    parse_file(path, rules, &rules.limits, room, cancel)
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
    parse_file(path, rules, &rules.limits, room, cancel)
}

/// [`parse_items`] of any uncompressed source of text.
///
/// # Errors
///
/// As [`parse_items`].
pub fn read_items(
    text: &mut (impl Read + Send),
    rules: &ItemRules,
    cancel: &CancelToken,
) -> Result<Table<u32>, Failure> {
    read(rules, &rules.limits, text, None, &mut [], cancel)
}

/// [`parse_distances`] of any uncompressed source of text.
///
/// # Errors
///
/// As [`parse_items`].
pub fn read_distances(
    text: &mut (impl Read + Send),
    rules: &DistanceRules,
    cancel: &CancelToken,
) -> Result<Table<f32>, Failure> {
    read(rules, &rules.limits, text, None, &mut [], cancel)
}

fn parse_file<R: ValueRules>(
    path: &Path,
    rules: &R,
    limits: &Limits,
    room: &mut [R::Value],
    cancel: &CancelToken,
) -> Result<Table<R::Value>, Failure> {
    let source = Source::open(path, cancel);
    cancel.check()?; // an interrupted wait for a pipe is not the pipe's fault
    let mut source = source?;
    let columns = match rules.nothing() {
        Some(_) => widest_row(path, limits, cancel)?,
        None => None,
    };
    let table = read(rules, limits, &mut source.reader, columns, room, cancel);
    cancel.check()?;
    source.check_unchanged()?; // errors caused by a changing file are not faults of its text
    table
}
