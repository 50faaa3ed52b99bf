//! What a token that is not a number most likely is, so that the error can say what to do.

use super::fault::Fault;
use super::input::block::WRITTEN;
use super::layout::Layout;
use super::numbers::decimal;

/// A number never needs more bytes than this.
pub(super) const LONGEST_TOKEN: usize = 512;

/// The code of a token that is not a number, before a closer look.
const TOKEN: &str = "E-TOKEN";

pub(super) fn not_a_number() -> Fault {
    Fault::new(TOKEN, 0, "not a decimal number")
}

pub(super) fn too_long(token: &[u8]) -> Fault {
    let message = format!("a token of {} bytes, expected at most {LONGEST_TOKEN}", token.len());
    Fault::new("E-TOKEN-LONG", 0, message)
}

/// Puts the fault of a token at its place in the line, and names it as exactly as it can be.
pub(super) fn token(
    fault: Fault,
    line: &[u8],
    start: usize,
    token: &[u8],
    layout: &Layout,
    is_first: bool,
    is_cut: bool,
) -> Fault {
    if decimal::split(token).is_some() {
        return Fault { start, ..fault }.token(token);
    }
    let named = bad_byte(line, start, token, is_cut)
        .or_else(|| content(line, start, token))
        .or_else(|| separator(start, token, layout));
    named.unwrap_or_else(|| {
        if fault.code != TOKEN {
            return Fault { start, ..fault }.token(token);
        }
        if !fault.hint.is_empty() {
            return Fault { start, ..fault }.token(token);
        }
        let hint = hint(token, is_first);
        Fault { start, ..fault }.token(token).hint(hint)
    })
}

/// A byte that no row of numbers can hold.
fn bad_byte(line: &[u8], start: usize, token: &[u8], is_cut: bool) -> Option<Fault> {
    let strange = |byte: &u8| !matches!(byte, b' '..=b'~' | b'\t');
    let inside = token.iter().position(strange)?;
    let at = start.saturating_add(inside);
    let (byte, rest) = (*token.get(inside)?, line.get(at..)?);
    let fault = match byte {
        0 if is_cut && rest.iter().all(|&byte| byte == 0) => {
            Fault::new("E-TRUNC", at, WRITTEN).hint("write or copy it again")
        }
        0 => Fault::new("E-NUL", at, "a zero byte").hint("the file is damaged or is not text"),
        b'\r' => Fault::new("E-EOL", at, "a carriage return without a newline")
            .hint("re-save the file with Unix or Windows line ends"),
        0x80.. => return Some(beyond_ascii(rest, at).token(token)),
        _ => character(char::from(byte), at),
    };
    Some(fault.token(token))
}

fn beyond_ascii(rest: &[u8], at: usize) -> Fault {
    let valid = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    match valid.chars().next() {
        Some(found) => character(found, at),
        None => {
            Fault::new("E-ENC", at, "a byte that is not UTF-8").hint("re-save the file as UTF-8")
        }
    }
}

fn character(found: char, at: usize) -> Fault {
    let message = format!("the character U+{:04X}, expected ASCII numbers", u32::from(found));
    Fault::new("E-CHAR", at, message).hint("separate numbers by spaces, tabs or commas")
}

/// Lines that are no rows.
fn content(line: &[u8], start: usize, token: &[u8]) -> Option<Fault> {
    if token.starts_with(b"#") {
        return Some(
            Fault::new("E-COMMENT", start, "a comment behind the first row")
                .token(token)
                .hint("every line is one row; comments may only stand before the first"),
        );
    }
    let is_marker =
        [&b"<<<<<<<"[..], b"=======", b">>>>>>>"].iter().any(|mark| line.starts_with(mark));
    is_marker.then(|| {
        Fault::new("E-CONTENT", 0, "a merge conflict marker")
            .token(token)
            .hint("resolve the conflict first")
    })
}

/// Another separator than that of the first row.
fn separator(start: usize, token: &[u8], layout: &Layout) -> Option<Fault> {
    let Layout { comma, first_line, .. } = layout;
    let is_other = |byte: u8| byte == b';' || (if *comma { byte == b' ' } else { byte == b',' });
    let found = token.iter().copied().find(|&byte| is_other(byte))?;
    let used = if *comma { "commas" } else { "spaces or tabs" };
    let message =
        format!("separated by {:?}, expected {used} as in line {first_line}", char::from(found));
    Some(
        Fault::new("E-DELIM", start, message)
            .token(token)
            .hint("separate all numbers by spaces, or all by commas"),
    )
}

fn hint(token: &[u8], is_first: bool) -> &'static str {
    let is_name = token.first().is_some_and(u8::is_ascii_alphabetic);
    if token.iter().any(|byte| matches!(byte, b'[' | b']' | b'(' | b')')) {
        "a Python repr; use numpy.savetxt"
    } else if token.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
        "write numbers without quotes"
    } else if is_first && is_name {
        "if this is a header, skip it with skip_rows=1 (--skip-rows 1)"
    } else {
        ""
    }
}
