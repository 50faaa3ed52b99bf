//! Where the rows of delimited text begin, and how wide they are, without memory for them.

use crate::CancelToken;
use crate::Result;

/// Bytes looked at between two checks of the cancel token.
const STRETCH: usize = 1 << 20;

/// A row that has another number of cells than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte, the line end left out.
    pub end: usize,
    /// How many cells it has.
    pub cells: usize,
    /// Where the delimiter before its first cell too many begins; `end` where there is none.
    pub extra: usize,
}

/// The first row that has not `width` cells.
///
/// With `quotes`, a delimiter or a line end between two quotes counts for nothing. A line feed
/// ends a row; the last one may end with the text.
///
/// # Errors
///
/// [`crate::Error::Interrupted`].
pub fn first_misfit(
    text: &[u8],
    delimiter: &[u8],
    quotes: bool,
    width: usize,
    cancel: &CancelToken,
) -> Result<Option<Misfit>> {
    let Some((&first, others)) = delimiter.split_first() else { return Ok(None) };
    let (mut start, mut cells, mut extra, mut inside) = (0, 1, None, false);
    let mut place = 0;
    while place < text.len() {
        if place.is_multiple_of(STRETCH) {
            cancel.check()?;
        }
        let byte = text[place];
        if quotes && byte == b'"' {
            inside = !inside;
        } else if byte == b'\n' && !inside {
            if cells != width {
                return Ok(Some(misfit(text, start, place, cells, extra)));
            }
            (start, cells, extra) = (place + 1, 1, None);
        } else if byte == first && !inside && text[place + 1..].starts_with(others) {
            cells += 1;
            if cells > width {
                extra = extra.or(Some(place));
            }
            place += others.len();
        }
        place += 1;
    }
    let is_row = start < text.len();
    Ok((is_row && cells != width).then(|| misfit(text, start, text.len(), cells, extra)))
}

fn misfit(text: &[u8], start: usize, end: usize, cells: usize, extra: Option<usize>) -> Misfit {
    let row = &text[start..end];
    let end = start + row.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1);
    Misfit { start, end, cells, extra: extra.unwrap_or(end) }
}

/// Where row `row` of a text begins, from 0, or how many rows there are if it has none such.
///
/// Rows end as in [`first_misfit`].
///
/// # Errors
///
/// The number of rows where there are no more than `row`.
pub fn row_start(text: &[u8], row: usize, quotes: bool) -> std::result::Result<usize, usize> {
    let (mut inside, mut found, mut start) = (false, 0, 0);
    for place in memchr::memchr2_iter(b'\n', b'"', text) {
        if text[place] == b'"' {
            inside ^= quotes;
        } else if !inside {
            if found == row {
                return Ok(start);
            }
            (found, start) = (found + 1, place + 1);
        }
    }
    let is_row = start < text.len();
    if is_row && found == row { Ok(start) } else { Err(found + usize::from(is_row)) }
}

/// Where the first row of more than `cap` bytes begins, its line feed included.
///
/// Rows end as in [`first_misfit`].
#[must_use]
pub fn first_long_row(text: &[u8], cap: usize, quotes: bool) -> Option<usize> {
    let (mut inside, mut start) = (false, 0);
    for place in memchr::memchr2_iter(b'\n', b'"', text) {
        if text[place] == b'"' {
            inside ^= quotes;
        } else if !inside {
            if place + 1 - start > cap {
                return Some(start);
            }
            start = place + 1;
        }
    }
    (text.len() - start > cap).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str, delimiter: &str, quotes: bool, width: usize) -> Option<[usize; 4]> {
        let never = CancelToken::new();
        let found = first_misfit(text.as_bytes(), delimiter.as_bytes(), quotes, width, &never);
        found.unwrap().map(|row| [row.start, row.end, row.cells, row.extra])
    }

    #[test]
    fn the_first_row_of_another_width_is_found() {
        assert_eq!(first("", ",", true, 2), None);
        assert_eq!(first("a,b\nc,d", ",", true, 2), None);
        assert_eq!(first("a,b\r\n\r\nc\n", ",", true, 2), Some([5, 5, 1, 5]));
        assert_eq!(first("a,b\nc,d,,\r\n", ",", true, 2), Some([4, 9, 4, 7]));
        assert_eq!(first("a,b\nc", ",", true, 2), Some([4, 5, 1, 5]));
    }

    #[test]
    fn what_is_quoted_counts_for_nothing() {
        assert_eq!(first("\"a,\n\",b\n\"\"\"\",\"d\"\n", ",", true, 2), None);
        assert_eq!(first("\"a,b\n", ",", false, 2), None);
        assert_eq!(first("\"a,b\n", ",", true, 2), Some([0, 5, 1, 5]));
    }

    #[test]
    fn a_delimiter_may_have_two_bytes() {
        assert_eq!(first("a::b:c\n::\n", "::", false, 2), None);
        assert_eq!(first("a::b::c\n", "::", false, 2), Some([0, 7, 3, 4]));
        assert_eq!(first("a:::b\n:", "::", false, 2), Some([6, 7, 1, 7]));
    }

    #[test]
    fn rows_are_found_by_number() {
        let text = b"a\n\"b\n\"\n\nlast";
        assert_eq!(row_start(text, 0, true), Ok(0));
        assert_eq!(row_start(text, 1, true), Ok(2));
        assert_eq!(row_start(text, 2, true), Ok(7));
        assert_eq!(row_start(text, 3, true), Ok(8));
        assert_eq!(row_start(text, 4, true), Err(4));
        assert_eq!(row_start(text, 2, false), Ok(5));
        assert_eq!(row_start(b"", 0, true), Err(0));
        assert_eq!(row_start(b"a\n", 1, true), Err(1));
    }

    #[test]
    fn the_first_long_row_is_found() {
        assert_eq!(first_long_row(b"ab\nabc\nabcd", 3, true), Some(3));
        assert_eq!(first_long_row(b"ab\nabc", 3, true), None);
        assert_eq!(first_long_row(b"ab\nabcd", 3, true), Some(3));
        assert_eq!(first_long_row(b"\"\n\"\n", 3, true), Some(0));
        assert_eq!(first_long_row(b"\"\n\"\n", 3, false), None);
    }
}
