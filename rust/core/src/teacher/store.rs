//! Where the values of a table go: into room that the caller has, or into a vector that grows.

use std::path::Path;

use crate::{CancelToken, Error};

use super::input::block::Block;
use super::input::source::Source;
use super::layout;
use super::rules::Limits;

/// Bytes that tell how long a row is.
const SAMPLE: usize = 1 << 16;

/// The values so far.
pub(super) struct Store<'a, T> {
    room: &'a mut [T],
    grown: Vec<T>,
}

impl<'a, T: Copy + Default> Store<'a, T> {
    pub(super) fn new(room: &'a mut [T]) -> Self {
        Self { room, grown: Vec::new() }
    }

    /// Slots for `end` values, of which the first `filled` hold what they held before.
    pub(super) fn provide(&mut self, filled: usize, end: usize) -> Result<&mut [T], Error> {
        if end <= self.room.len() {
            return Ok(self.room.get_mut(..end).unwrap_or_default());
        }
        let kept = if self.grown.is_empty() { self.room.get(..filled) } else { None };
        let bytes = end.saturating_mul(size_of::<T>());
        let more = end.saturating_sub(self.grown.len());
        self.grown.try_reserve(more).map_err(|_| Error::Memory { bytes })?;
        self.grown.extend_from_slice(kept.unwrap_or_default());
        self.grown.resize(end, T::default());
        Ok(&mut self.grown)
    }

    /// The values that did not fit into the room: all of them or none.
    pub(super) fn finish(mut self, filled: usize) -> Vec<T> {
        self.grown.truncate(filled);
        self.grown.shrink_to_fit();
        self.grown
    }
}

/// How many values a file probably holds, and so the room worth providing; 0 if unknown.
///
/// Only the start of the file is read, and nothing is refused. Zeroed room beyond what the file
/// turns out to hold costs nothing as long as nobody touches it.
#[must_use]
pub fn likely_values(path: &Path, limits: &Limits) -> usize {
    guess(path, limits).unwrap_or(0)
}

fn guess(path: &Path, limits: &Limits) -> Option<usize> {
    if !path.metadata().ok()?.is_file() {
        return None; // what is read from a pipe is gone
    }
    let cancel = CancelToken::new();
    let mut source = Source::open(path, &cancel).ok()?;
    let mut block = Block::default();
    block.follow(&Block::with_size(SAMPLE).ok()?, &mut source.reader).ok()?;
    let layout = layout::of_text(&block, limits.skip_rows).ok()?;
    let text = block.lines().get(layout.skipped..)?;
    let size = source.size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    let by_size = size.map(|size| {
        let n_rows = text.split_inclusive(|&byte| byte == b'\n').count() as f64;
        (n_rows * 1.02 * size as f64 / text.len().max(1) as f64) as usize
    });
    let rows = limits.expected_rows.or(by_size)?;
    // Each value takes at least two bytes of text.
    let most = size.map_or(usize::MAX, |size| size >> 1).saturating_add(layout.columns);
    Some(rows.saturating_mul(layout.columns).min(most))
}
