//! Rows of delimited text, for blocks without anything rare in them.

use memchr::memrchr;
use rayon::prelude::*;

use crate::memory::with_capacity;
use crate::{CancelToken, Result};

/// Bytes that one thread walks over at a time.
const PIECE: usize = 1 << 20;

/// What a column is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not at all.
    Skip,
    /// Text that neither is empty nor begins or ends with what may be white space.
    Id,
    /// A whole number below 2^63, either way, of up to 19 digits.
    Int,
    /// Digits, with a point among them or without; read as `f32`.
    Float,
    /// Any text.
    Text,
}

/// Where a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// How many bytes it has.
    pub len: u32,
}

impl Span {
    /// The cell itself.
    ///
    /// # Panics
    ///
    /// Where `text` is not what the span is of.
    #[must_use]
    #[inline]
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..][..self.len as usize]
    }
}

/// The cells of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Of [`Kind::Id`] and [`Kind::Text`].
    Spans(Vec<Span>),
    /// Of [`Kind::Int`].
    Ints(Vec<i64>),
    /// Of [`Kind::Float`].
    Floats(Vec<f32>),
}

/// Some consecutive rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// How many rows there are.
    pub n_rows: usize,
    /// One for each kind that is not [`Kind::Skip`], in their order.
    pub columns: Vec<Column>,
}

/// All rows of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Their parts, in order.
    pub pieces: Vec<Piece>,
}

impl Rows {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.n_rows).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Splits a block of whole rows, if each of them is as plain as can be.
///
/// A row ends with LF or CR LF (the last one may end with the block) and has as many cells as
/// there are `kinds`. `None` where one has not, or a cell is not of its kind, or something is there
/// that is no UTF-8, or a quote, a NUL, a carriage return within a line: none of this need be an
/// error, it is only not read here.
///
/// # Errors
///
/// [`crate::Error::Memory`]; [`crate::Error::Interrupted`].
pub fn split_rows(
    text: &[u8],
    delimiter: u8,
    kinds: &[Kind],
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
            return Ok(None); // a row of more than a piece
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
    kinds: &'a [Kind],
    columns: Vec<Column>,
}

impl<'a> Splitter<'a> {
    fn new(text: &'a [u8], begin: usize, len: usize, kinds: &'a [Kind]) -> Result<Self> {
        // As many rows as there would be if all were as long as the first few.
        let few = &text[begin..begin + len.min(1 << 12)];
        let lines = memchr::memchr_iter(b'\n', few).count();
        let likely = (lines + 1).saturating_mul(len) / few.len().max(1) * 9 / 8;
        let columns = kinds.iter().filter_map(|kind| match kind {
            Kind::Skip => None,
            Kind::Id | Kind::Text => Some(with_capacity(likely).map(Column::Spans)),
            Kind::Int => Some(with_capacity(likely).map(Column::Ints)),
            Kind::Float => Some(with_capacity(likely).map(Column::Floats)),
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

    /// Takes the cell that ends before `end`; whether it is one that may stand there.
    #[inline]
    fn end_cell(&mut self, at: &mut Place, end: usize) -> bool {
        let Some(&kind) = self.kinds.get(at.field) else { return false };
        let ends_row = end == self.end || self.text[end] == b'\n';
        let mut until = end;
        if ends_row && until > at.cell && self.text[until - 1] == b'\r' {
            until -= 1;
        }
        if kind != Kind::Skip {
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
    fn push(&mut self, column: usize, kind: Kind, begin: usize, end: usize) -> bool {
        let cell = &self.text[begin..end];
        match &mut self.columns[column] {
            Column::Spans(spans) => {
                let ends = (cell.first(), cell.last());
                let is_fit = match ends {
                    _ if kind == Kind::Text => true,
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

/// Where the walk over a piece is.
struct Place {
    /// The first byte of the cell.
    cell: usize,
    /// Its number in the row, and among those that are read.
    field: usize,
    column: usize,
    n_rows: usize,
}

/// The top bit of each of eight bytes that is `byte`.
#[inline]
fn bytes_equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let x = word ^ u64::from_le_bytes([byte; 8]);
    !(((x & LOW) + LOW) | x | LOW)
}

/// Whether a carriage return is there that no line feed follows; at the end none need follow.
fn has_lone_return(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', text).any(|place| text.get(place + 1).is_some_and(|&b| b != b'\n'))
}

#[inline]
fn int(cell: &[u8]) -> Option<i64> {
    let (digits, sign) = match cell {
        [b'-', digits @ ..] => (digits, -1),
        digits => (digits, 1),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0_u64; // which holds any nineteen digits
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    i64::try_from(value).ok().map(|value| sign * value)
}

/// Powers of ten that `f32` holds exactly.
const TENS: [f32; 11] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

#[inline]
fn float(cell: &[u8]) -> Option<f32> {
    let (digits, sign) = match cell {
        [b'-', digits @ ..] => (digits, -1.0),
        digits => (digits, 1.0),
    };
    let (mut value, mut point) = (0_u32, None);
    // Seven digits are exact in f32, and so is the power of ten: one rounding, in the division.
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    for (place, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + u32::from(digit);
        } else if byte == b'.' && point.is_none() {
            point = Some(place);
        } else {
            return None;
        }
    }
    let n_digits = digits.len() - usize::from(point.is_some());
    let decimals = point.map_or(0, |place| digits.len() - place - 1);
    (1..=7).contains(&n_digits).then(|| sign * (value as f32 / TENS[decimals]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    const KINDS: [Kind; 4] = [Kind::Id, Kind::Skip, Kind::Int, Kind::Float];

    fn split(text: &str, kinds: &[Kind]) -> Option<Rows> {
        let alone = split_rows(text.as_bytes(), b',', kinds, &CancelToken::new()).unwrap();
        for n_threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let work = || split_rows(text.as_bytes(), b',', kinds, &CancelToken::new()).unwrap();
            assert_eq!(pool.install(work), alone);
        }
        alone
    }

    fn texts(text: &str, rows: &Rows) -> Vec<String> {
        let spans = rows.pieces.iter().flat_map(|piece| match &piece.columns[0] {
            Column::Spans(spans) => spans.clone(),
            other => panic!("{other:?}"),
        });
        spans.map(|s| String::from_utf8(s.of(text.as_bytes()).to_vec()).unwrap()).collect()
    }

    #[test]
    fn plain_rows_become_columns() {
        for end in ["", "\n", "\r\n"] {
            let text =
                format!("u1,x y,-5,4.5\r\n\u{fffd}u\u{e4}2,,0007,3{end}").replace('\u{fffd}', "");
            let rows = split(&text, &KINDS).unwrap();
            assert_eq!(texts(&text, &rows), ["u1", "u\u{e4}2"]);
            assert_eq!(
                rows.pieces[0].columns[1..],
                [Column::Ints(vec![-5, 7]), Column::Floats(vec![4.5, 3.0]),]
            );
        }
    }

    #[test]
    fn whatever_is_rare_is_left_alone() {
        assert!(split("u,x,1,2\n", &KINDS).is_some());
        for text in [
            "u,x,1\n",
            "u,x,1,2,3\n",
            "\n",
            "u,x,1,2\n\nu,x,1,2\n",
            ",x,1,2\n",
            " u,x,1,2\n",
            "u ,x,1,2\n",
            "u\t,x,1,2\n",
            "u\u{a0},x,1,2\n",
            "\u{3000}u,x,1,2\n",
            "u,\"x\",1,2\n",
            "u,x,,2\n",
            "u,x,1.0,2\n",
            "u,x,+1,2\n",
            "u,x,-,2\n",
            "u,x, 1,2\n",
            "u,x,0x1,2\n",
            "u,x,9223372036854775808,2\n",
            "u,x,00000000000000000001,2\n",
            "u,x,1,\n",
            "u,x,1,.\n",
            "u,x,1,nan\n",
            "u,x,1,1e3\n",
            "u,x,1,1.2.3\n",
            "u,x,1,-\n",
            "u,x,1,12345678\n",
            "u,x,1,2 \n",
            "u,x,1,2\r\r\n",
        ] {
            assert_eq!(split(text, &KINDS), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_left_alone() {
        for text in [&b"u,\xff,1,2\n"[..], b"u,caf\xe9,1,2\n", b"u,\xed\xa0\x80,1,2\n"] {
            assert_eq!(split_rows(text, b',', &KINDS, &CancelToken::new()), Ok(None));
        }
    }

    #[test]
    fn a_byte_is_found_in_every_place_and_no_other() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                for other in [0, b'+', b'-', b',' ^ 0x80, 0x7f, 0xff] {
                    let mut word = [other; 8];
                    word[place] = byte;
                    let found = bytes_equal(u64::from_le_bytes(word), b',');
                    assert_eq!(found, if byte == b',' { 0x80 << (8 * place) } else { 0 });
                }
            }
        }
    }

    #[test]
    fn text_may_be_anything_between_delimiters() {
        let text = "a b,\n ,\n";
        let rows = split(text, &[Kind::Text, Kind::Skip]).unwrap();
        assert_eq!(texts(text, &rows), ["a b", " "]);
    }

    #[test]
    fn pieces_follow_each_other() {
        let text = (0..300_000).map(|n| format!("u{n},{n}\n")).collect::<Vec<_>>().concat();
        let rows = split(&text, &[Kind::Id, Kind::Int]).unwrap();
        assert!(rows.pieces.len() > 3);
        assert_eq!(rows.len(), 300_000);
        let ints = rows.pieces.iter().flat_map(|piece| match &piece.columns[1] {
            Column::Ints(ints) => ints.clone(),
            other => panic!("{other:?}"),
        });
        assert!(ints.eq(0..300_000));
        let long = "x".repeat(PIECE + 5);
        assert_eq!(split(&format!("{long},1\nu,2\n"), &[Kind::Id, Kind::Int]), None);
    }

    #[test]
    fn whole_numbers_reach_as_far_as_64_bits() {
        assert_eq!(int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(int(b"-9223372036854775807"), Some(-i64::MAX));
        assert_eq!((int(b"-9223372036854775808"), int(b"9223372036854775808")), (None, None));
    }

    #[test]
    fn floats_are_what_the_library_reads() {
        for text in
            ["0", "-0", "5", "4.5", ".5", "5.", "0.1", "-3.7", "9999999", "0.000001", "123.456"]
        {
            let ours = float(text.as_bytes()).unwrap();
            assert_eq!(ours.to_bits(), text.parse::<f32>().unwrap().to_bits(), "{text}");
        }
    }

    #[test]
    fn a_cancelled_token_ends_it() {
        let cancel = CancelToken::new();
        cancel.cancel();
        assert_eq!(
            split_rows(b"u,1\n", b',', &[Kind::Id, Kind::Int], &cancel),
            Err(Error::Interrupted)
        );
    }
}
