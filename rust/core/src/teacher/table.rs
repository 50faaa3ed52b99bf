//! The rows of a table, gathered from the pieces of one block after another.

use std::mem;

use rayon::prelude::*;

use super::fault::{Failure, Fault, TextError};
use super::layout::Layout;
use super::rules::Limits;
use super::segment::Segment;
use super::store::Store;
use super::values::value_rules::ValueRules;
use crate::Error;

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

/// A text may end with at most this many bytes of blank lines.
const LONGEST_BLANK_END: u64 = 1 << 16;

/// The table so far.
pub(super) struct TableBuilder<'a, R: ValueRules> {
    rules: &'a R,
    limits: &'a Limits,
    layout: Layout,
    store: Store<'a, R::Value>,
    segments: Vec<Segment<R>>,
    n_pieces: usize,
    filled: usize,
    rows: usize,
    /// A blank line: a fault unless nothing follows. And where it is.
    blank: Option<TextError>,
}

impl<'a, R: ValueRules> TableBuilder<'a, R> {
    pub(super) fn new(
        rules: &'a R,
        limits: &'a Limits,
        layout: Layout,
        room: &'a mut [R::Value],
    ) -> Self {
        Self {
            rules,
            limits,
            layout,
            store: Store::new(room),
            segments: Vec::new(),
            n_pieces: 0,
            filled: 0,
            rows: 0,
            blank: None,
        }
    }

    /// Parses the pieces of a block, each into its own segment.
    pub(super) fn parse(&mut self, text: &[u8]) -> Result<(), Error> {
        let pieces = if self.blank.is_some() { Vec::new() } else { self.pieces(text) };
        self.n_pieces = pieces.len();
        let missing = pieces.len().saturating_sub(self.segments.len());
        self.segments.extend((0..missing).map(|_| Segment::default()));
        let (rules, layout, is_start) = (self.rules, &self.layout, self.rows == 0);
        let work = |(index, (segment, piece)): (usize, (&mut Segment<R>, &&[u8]))| {
            segment.parse(rules, layout, piece, is_start && index == 0)
        };
        if rayon::current_thread_index().is_none() {
            return self.segments.iter_mut().zip(&pieces).enumerate().try_for_each(work);
        }
        self.segments.par_iter_mut().zip(&pieces).enumerate().try_for_each(work)
    }

    fn pieces<'t>(&self, text: &'t [u8]) -> Vec<&'t [u8]> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let least = self.limits.piece_bytes.min(rest.len()).max(1);
            let tail = rest.get(least.saturating_sub(1)..).unwrap_or_default();
            let newline = memchr::memchr(b'\n', tail);
            let end = newline.map_or(rest.len(), |at| least.saturating_add(at));
            let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }

    /// Counts the rows of the segments, in order; fails with the first fault of the text.
    pub(super) fn count_rows(&mut self, text: &[u8], offset: u64) -> Result<(), Failure> {
        if let Some(blank) = &self.blank {
            let start = blank.byte_offset.unwrap_or(offset);
            let end = offset.saturating_add(text.len() as u64);
            let is_blank_end = end.saturating_sub(start) <= LONGEST_BLANK_END && is_blank(text);
            self.n_pieces = 0;
            return if is_blank_end { Ok(()) } else { Err(blank.clone().into()) };
        }
        if self.rows == 0 && self.segments.first().is_some_and(|segment| segment.rows > 0) {
            let wrong = |fault: Fault| fault.placed(self.layout.first_line, offset);
            self.rules.check_columns(self.layout.columns).map_err(wrong)?;
        }
        let mut place = 0;
        let pieces = self.pieces(text);
        for (index, piece) in pieces.iter().enumerate() {
            self.count(
                index,
                piece,
                text.get(place..).unwrap_or_default(),
                offset.saturating_add(place as u64),
            )?;
            if self.blank.is_some() {
                self.n_pieces = index.saturating_add(1);
                break;
            }
            place = place.saturating_add(piece.len());
        }
        Ok(())
    }

    /// Counts the rows of one segment; fails with its fault, or where there is one row too many.
    fn count(
        &mut self,
        index: usize,
        piece: &[u8],
        rest: &[u8],
        offset: u64,
    ) -> Result<(), Failure> {
        let Some(segment) = self.segments.get_mut(index) else {
            return Ok(());
        };
        let room = self.limits.expected_rows.map_or(usize::MAX, |n| n.saturating_sub(self.rows));
        let fault = segment.fault.take();
        let code = fault.as_ref().map(|(_, fault)| fault.code);
        let is_blank_line = code == Some("E-BLANK");
        // Behind the last row, zero bytes are an end that was not written, not one row too many.
        let is_row = code.is_some() && !is_blank_line && code != Some("E-TRUNC");
        if segment.rows > room || (segment.rows == room && is_row) {
            let lines = piece.split_inclusive(|&byte| byte == b'\n').take(room);
            let start = lines.fold(0_u64, |sum, line| sum.saturating_add(line.len() as u64));
            let row = self.rows.saturating_add(room);
            return Err(self
                .too_many()
                .placed(self.line(row), offset.saturating_add(start))
                .into());
        }
        self.rows = self.rows.saturating_add(segment.rows);
        let Some((start, fault)) = fault else {
            return Ok(());
        };
        let error = self.placed(fault, offset.saturating_add(start as u64));
        if is_blank_line && is_blank(rest.get(start..).unwrap_or_default()) {
            self.blank = Some(error);
            return Ok(());
        }
        Err(error.into())
    }

    /// The fault of the row that comes next, whose line starts at `offset`.
    fn placed(&self, mut fault: Fault, offset: u64) -> TextError {
        if fault.names_row {
            fault.message = format!("row {}: {}", self.rows.saturating_add(1), fault.message);
        }
        let mut error = fault.placed(self.line(self.rows), offset);
        self.rules.explain(&mut error, self.tallies());
        error
    }

    fn tallies(&self) -> impl Iterator<Item = &R::Tally> {
        self.segments.iter().map(|segment| &segment.tally)
    }

    /// The line of a row; each row is one line.
    fn line(&self, row: usize) -> u64 {
        self.layout.first_line.saturating_add(row as u64)
    }

    fn too_many(&self) -> Fault {
        let expected = self.limits.expected_rows.unwrap_or_default();
        let message =
            format!("row {} starts here, expected {expected} rows", expected.saturating_add(1));
        Fault::new("E-ROWS", 0, message).hint(ROWS_HINT)
    }

    /// Copies the values of the segments behind those of the blocks before.
    pub(super) fn copy(&mut self) -> Result<(), Error> {
        let end = self.rows.saturating_mul(self.layout.columns);
        let values = self.store.provide(self.filled, end)?;
        let mut free = values.get_mut(self.filled..).unwrap_or_default();
        let mut copies = Vec::new();
        for segment in self.segments.iter().take(self.n_pieces) {
            let n_values = segment.values().len();
            let (slots, rest) =
                mem::take(&mut free).split_at_mut_checked(n_values).unwrap_or_default();
            copies.push((slots, segment.values()));
            free = rest;
        }
        let copy = |(slots, values): (&mut [R::Value], &[R::Value])| slots.copy_from_slice(values);
        if rayon::current_thread_index().is_none() {
            copies.into_iter().for_each(copy);
        } else {
            copies.into_par_iter().for_each(copy);
        }
        self.filled = end;
        Ok(())
    }

    /// Makes the checks that need the whole text.
    pub(super) fn finish(self, has_no_end: bool) -> Result<Table<R::Value>, Failure> {
        if let Some(expected) = self.limits.expected_rows
            && self.rows != expected
        {
            let message = format!("{} rows, expected {expected}", self.rows);
            return Err(TextError::whole("E-ROWS", message, ROWS_HINT).into());
        }
        let mut warnings = self.rules.conclude(self.rows, self.layout.columns, self.tallies())?;
        if has_no_end && self.blank.is_none() {
            warnings.push(self.no_end()?);
        }
        let values = self.store.finish(self.filled);
        Ok(Table { values, rows: self.rows, columns: self.layout.columns, warnings })
    }

    fn no_end(&self) -> Result<String, TextError> {
        let message = "the last line has no newline: its last number may be cut";
        if self.limits.strict {
            let mut error = TextError::whole("E-NO-EOL", message, "write or copy the file again");
            error.line = Some(self.line(self.rows.saturating_sub(1)));
            return Err(error);
        }
        Ok(format!("W-NO-EOL {message}"))
    }
}

const ROWS_HINT: &str = "the file must have one row for each row of the data, in the same order";

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}
