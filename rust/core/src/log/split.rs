//! Rows of delimited text, for blocks with nothing rare in them.

use memchr::memrchr;
use rayon::prelude::*;

use super::cells::{float, int};
use super::columns::{Column, ColumnKind, Piece, Rows, Span};
use crate::memory::with_capacity;
use crate::{CancelToken, Result};

/// Bytes that one thread splits at a time.
const PIECE: usize = 1 << 18;

/// Splits a block of whole rows, if all of them are plain.
///
/// A row ends with LF or CR LF (the last one may end with the block) and has as many cells as
/// there are `kinds`. `None` where a row has another number of cells, a cell is not of its kind, or
/// the block holds invalid UTF-8, a quote, a NUL or a carriage return within a line: none of this
/// need be an error, it is just not read here.
///
/// # Errors
///
/// [`crate::Error::Memory`]; [`crate::Error::Interrupted`].
pub fn split_rows(
    text: &[u8],
    delimiter: u8,
    kinds: &[ColumnKind],
    cancel: &CancelToken,
) -> Result<Option<Rows>> {
    if u32::try_from(text.len()).is_err() || memchr::memchr(b'"', text).is_some() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    let mut begin = 0;
    while begin < text.len() {
        let ahead = &text[begin..text.len().min(begin + PIECE)];
        let len = if begin + ahead.len() == text.len() {
            ahead.len()
        } else if let Some(place) = memrchr(b'\n', ahead) {
            place + 1
        } else {
            return Ok(None); // a row longer than a piece
        };
        parts.push((begin, len));
        begin += len;
    }
    let split = |&(begin, len): &(usize, usize)| -> Result<Option<Piece>> {
        cancel.check()?;
        Ok(Splitter::new(text, begin, len, kinds)?.run(delimiter))
    };
    let pieces: Result<Option<Vec<Piece>>> = if rayon::current_thread_index().is_none() {
        parts.iter().map(|part| split(part).transpose()).collect::<Option<_>>().transpose()
    } else {
        parts.par_iter().map(|part| split(part).transpose()).collect::<Option<_>>().transpose()
    };
    Ok(pieces?.map(|pieces| Rows { pieces }))
}

struct Splitter<'a> {
    text: &'a [u8],
    begin: usize,
    end: usize,
    kinds: &'a [ColumnKind],
    columns: Vec<Column>,
}

impl<'a> Splitter<'a> {
    fn new(text: &'a [u8], begin: usize, len: usize, kinds: &'a [ColumnKind]) -> Result<Self> {
        // As many rows as there would be if all were as long as the first few.
        let few = &text[begin..begin + len.min(1 << 12)];
        let lines = memchr::memchr_iter(b'\n', few).count();
        let likely = (lines + 1).saturating_mul(len) / few.len().max(1) * 9 / 8;
        let columns = kinds.iter().filter_map(|kind| match kind {
            ColumnKind::Skip => None,
            ColumnKind::Id | ColumnKind::Text => Some(with_capacity(likely).map(Column::Spans)),
            ColumnKind::Int => Some(with_capacity(likely).map(Column::Ints)),
            ColumnKind::Float => Some(with_capacity(likely).map(Column::Floats)),
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(Self { text, begin, end: begin + len, kinds, columns })
    }

    fn run(mut self, delimiter: u8) -> Option<Piece> {
        let Self { text, begin, end, .. } = self;
        let piece = &text[begin..end];
        if piece.contains(&0) || std::str::from_utf8(piece).is_err() || has_lone_return(piece) {
            return None;
        }
        let mut at = Place { cell: begin, field: 0, column: 0, n_rows: 0 };
        let words = piece.chunks_exact(8);
        let rest = words.remainder();
        for (first, word) in (begin..).step_by(8).zip(words) {
            let word = word.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let mut found = bytes_equal(word, delimiter) | bytes_equal(word, b'\n');
            while found != 0 {
                if !self.end_cell(&mut at, first + (found.trailing_zeros() >> 3) as usize) {
                    return None;
                }
                found &= found - 1;
            }
        }
        for (place, &byte) in (end - rest.len()..).zip(rest) {
            if (byte == delimiter || byte == b'\n') && !self.end_cell(&mut at, place) {
                return None;
            }
        }
        if piece.last() != Some(&b'\n') && !self.end_cell(&mut at, end) {
            return None;
        }
        Some(Piece { n_rows: at.n_rows, columns: self.columns })
    }

    /// Takes the cell that ends before `end`; whether it is valid there.
    #[inline]
    fn end_cell(&mut self, at: &mut Place, end: usize) -> bool {
        let Some(&kind) = self.kinds.get(at.field) else { return false };
        let ends_row = end == self.end || self.text[end] == b'\n';
        let mut until = end;
        if ends_row && until > at.cell && self.text[until - 1] == b'\r' {
            until -= 1;
        }
        if kind != ColumnKind::Skip {
            if !self.push(at.column, kind, at.cell, until) {
                return false;
            }
            at.column += 1;
        }
        at.field += 1;
        at.cell = end + 1;
        if !ends_row {
            return true;
        }
        let is_whole = at.field == self.kinds.len();
        (at.field, at.column, at.n_rows) = (0, 0, at.n_rows + 1);
        is_whole
    }

    #[inline]
    fn push(&mut self, column: usize, kind: ColumnKind, begin: usize, end: usize) -> bool {
        let cell = &self.text[begin..end];
        match &mut self.columns[column] {
            Column::Spans(spans) => {
                let ends = (cell.first(), cell.last());
                let is_fit = match ends {
                    _ if kind == ColumnKind::Text => true,
                    (Some(first), Some(last)) => {
                        first.is_ascii_graphic() && last.is_ascii_graphic()
                    }
                    _ => false,
                };
                spans.push(Span { start: begin as u32, len: (end - begin) as u32 });
                is_fit
            }
            Column::Ints(ints) => int(cell).map(|value| ints.push(value)).is_some(),
            Column::Floats(floats) => float(cell).map(|value| floats.push(value)).is_some(),
        }
    }
}

/// How far a piece has been split.
struct Place {
    /// The first byte of the cell.
    cell: usize,
    /// Its number in the row, and among those that are read.
    field: usize,
    column: usize,
    n_rows: usize,
}

/// Sets the top bit of each of the eight bytes that equals `byte`.
#[inline]
fn bytes_equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let x = word ^ u64::from_le_bytes([byte; 8]);
    !(((x & LOW) + LOW) | x | LOW)
}

/// Whether a carriage return is not followed by a line feed; at the end of the text it may be.
fn has_lone_return(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', text).any(|place| text.get(place + 1).is_some_and(|&b| b != b'\n'))
}

#[cfg(test)]
mod tests;
