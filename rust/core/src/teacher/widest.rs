//! How many columns the widest row of a file has, where rows may be shorter than it.

use std::mem;
use std::path::Path;

use super::fault::{Failure, TextError};
use super::input::block::Then;
use super::input::source::Source;
use super::layout;
use super::line::{tokens, without_return};
use super::read::first_block;
use super::rules::Limits;
use crate::{CancelToken, Error};

/// A table may take this much memory, and this many bytes for each byte of text: so one long row
/// among many short ones cannot take the square of the file's size.
const FREE_BYTES: u64 = 1 << 26;
const BYTES_FOR_A_BYTE: u64 = 16;

/// Reads a file once to find its widest row; `None`: it is a pipe, or has a fault to be found later.
pub(super) fn widest_row(
    path: &Path,
    limits: &Limits,
    cancel: &CancelToken,
) -> Result<Option<usize>, Failure> {
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None); // what is read from a pipe is gone
    }
    match look(path, limits, cancel) {
        Ok(found) => found.checked().map(Some).map_err(Failure::from),
        Err(Failure::Kernel(Error::Interrupted)) => Err(Error::Interrupted.into()),
        Err(_) => Ok(None),
    }
}

/// What was seen of a text.
struct Seen {
    columns: usize,
    line: u64,
    rows: u64,
    bytes: u64,
}

fn look(path: &Path, limits: &Limits, cancel: &CancelToken) -> Result<Seen, Failure> {
    let mut source = Source::open(path, cancel)?;
    let (mut block, mut next) = first_block(limits, &mut source.reader)?;
    let layout = layout::of_text(&block, limits.skip_rows)?;
    let mut seen = Seen { columns: layout.columns, line: layout.first_line, rows: 0, bytes: 0 };
    let most_rows = limits.expected_rows.map_or(u64::MAX, |rows| rows as u64);
    let mut skipped = layout.skipped;
    loop {
        cancel.check()?;
        let text = block.lines().get(skipped..).unwrap_or_default();
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let columns = tokens(without_return(line), layout.comma).count();
            if columns > seen.columns {
                (seen.columns, seen.line) = (columns, layout.first_line.saturating_add(seen.rows));
            }
            seen.rows = seen.rows.saturating_add(1);
        }
        seen.bytes = seen.bytes.saturating_add(text.len() as u64);
        if seen.rows > most_rows || seen.bytes > limits.max_bytes {
            return Ok(seen); // it will be refused
        }
        match mem::take(&mut block.then) {
            Then::More => next.follow(&block, &mut source.reader)?,
            Then::End => return Ok(seen),
            Then::Failed(error) => return Err(error.into()),
        }
        mem::swap(&mut block, &mut next);
        skipped = 0;
    }
}

impl Seen {
    fn checked(&self) -> Result<usize, TextError> {
        let bytes = (self.columns as u64).saturating_mul(4).saturating_mul(self.rows);
        if bytes <= FREE_BYTES.saturating_add(self.bytes.saturating_mul(BYTES_FOR_A_BYTE)) {
            return Ok(self.columns);
        }
        let Self { columns, rows, .. } = self;
        let message = format!("the longest list has {columns} items, and most of {rows} far fewer");
        let hint = "cut long lists: all would be filled up to the longest";
        Err(TextError { line: Some(self.line), ..TextError::whole("E-RAGGED", message, hint) })
    }
}
