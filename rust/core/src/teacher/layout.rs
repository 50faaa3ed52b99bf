//! The head of a text: what it really is, what to skip, how its rows are written.

use super::fault::{Fault, TextError};
use super::input::block::{Block, SHORTEST_BLOCK, Then, WRITTEN};
use super::line::{is_blank, tokens, without_return};

/// How the rows of a text are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Fields are separated by single commas rather than by spaces and tabs.
    pub comma: bool,
    /// The one byte that usually separates two fields.
    pub separator: u8,
    /// Fields of the first row.
    pub columns: usize,
    /// Bytes before the first row.
    pub skipped: usize,
    /// The line of the first row, from 1.
    pub first_line: u64,
}

/// Looks at the first block of a text.
pub(super) fn of_text(block: &Block, skip_rows: usize) -> Result<Layout, TextError> {
    let seen = block.seen();
    let content = without_mark(seen);
    if let Some(fault) = foreign(content) {
        return Err(fault.placed(1, seen.len().saturating_sub(content.len()) as u64));
    }
    let text = block.lines();
    let body = without_mark(text);
    let mut skipped = text.len().saturating_sub(body.len());
    let mut line_number = 1_u64;
    let mut blank = None;
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let bare = without_return(line);
        let place = |fault: Fault| fault.placed(line_number, skipped as u64);
        if line_number > skip_rows as u64 {
            if is_blank(bare) {
                blank = blank.or_else(|| {
                    Some(place(Fault::new("E-BLANK", 0, "a blank line before the first row")))
                });
            } else if bare.first() == Some(&b'#') {
                comment(bare).map_err(place)?;
            } else {
                return blank.map_or_else(|| Ok(first_row(bare, skipped, line_number)), Err);
            }
        }
        skipped = skipped.saturating_add(line.len());
        line_number = line_number.saturating_add(1);
    }
    let message = if matches!(block.then, Then::End) {
        "the file holds no row".to_owned()
    } else {
        format!("no row in the first {} bytes", text.len())
    };
    Err(TextError::whole("E-EMPTY", message, "was the file written to the end?"))
}

/// The text behind a UTF-8 byte order mark.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

fn first_row(line: &[u8], skipped: usize, first_line: u64) -> Layout {
    let comma = line.contains(&b',');
    let blank = line.trim_ascii_start().iter().find(|byte| matches!(byte, b' ' | b'\t'));
    let separator = if comma { b',' } else { *blank.unwrap_or(&b' ') };
    Layout { comma, separator, columns: tokens(line, comma).count(), skipped, first_line }
}

fn comment(line: &[u8]) -> Result<(), Fault> {
    let Err(err) = str::from_utf8(line) else {
        return Ok(());
    };
    let at = err.valid_up_to();
    let bad = line.get(at..).and_then(|rest| rest.get(..1)).unwrap_or_default();
    Err(Fault::new("E-ENC", at, "a byte that is not UTF-8")
        .token(bad)
        .hint("re-save the file as UTF-8"))
}

/// Contents that are not a table of numbers at all, known by how they start.
fn foreign(text: &[u8]) -> Option<Fault> {
    let compressed = [
        (&b"BZh"[..], "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"\x1f\x8b", "gzip inside gzip"),
    ];
    if let Some((_, name)) = compressed.iter().find(|(magic, _)| text.starts_with(magic)) {
        let message = format!("unsupported compression: {name}, expected plain text or gzip");
        return Some(Fault::new("E-COMPRESSION", 0, message).hint("decompress the file first"));
    }
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") || alternates_with_zero(text)
    {
        return Some(
            Fault::new("E-ENC", 0, "UTF-16 text, expected UTF-8").hint("re-save as UTF-8"),
        );
    }
    let start = text.get(..SHORTEST_BLOCK).unwrap_or(text).trim_ascii_start();
    let (message, hint) = match start {
        [0x80, 2..=5, ..] => ("a Python pickle, expected text", "write it with numpy.savetxt"),
        [0x93, b'N', b'U', b'M', ..] => {
            ("a NumPy .npy file, expected text", "write it with numpy.savetxt")
        }
        [b'<', b'<', b'<', ..] => return None, // a merge conflict, which is found where it is
        [b'<', ..] => ("an HTML page, expected a table of numbers", "download the file itself"),
        _ if start.starts_with(b"version https://git-lfs") => {
            ("a Git LFS pointer, not the file it points to", "run git lfs pull")
        }
        _ if start.first() == Some(&0) && text.iter().all(|&byte| byte == 0) => {
            return Some(Fault::new("E-TRUNC", 0, WRITTEN).hint("write or copy it again"));
        }
        _ => return None,
    };
    Some(Fault::new("E-CONTENT", 0, message).hint(hint))
}

/// Every other byte is zero, as in UTF-16 without a byte order mark.
fn alternates_with_zero(text: &[u8]) -> bool {
    matches!(text, [1..=127, 0, 1..=127, 0, ..] | [0, 1..=127, 0, 1..=127, ..])
}
