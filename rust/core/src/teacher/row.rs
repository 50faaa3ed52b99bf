//! One line, with care: every accepted spelling, and every fault at its byte.

use super::fault::Fault;
use super::layout::Layout;
use super::{Kind, diagnose};

/// The line without its line end; a carriage return belongs to it only before a newline.
pub(super) fn without_return(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(bare) => bare.strip_suffix(b"\r").unwrap_or(bare),
        None => line,
    }
}

/// Nothing but spaces and tabs.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|&byte| is_space(byte))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The fields of a line and where each starts: between commas, or between spaces and tabs.
pub(super) fn tokens(line: &[u8], comma: bool) -> impl Iterator<Item = (usize, &[u8])> {
    let is_separator = move |byte: &u8| if comma { *byte == b',' } else { is_space(*byte) };
    let mut at = 0_usize;
    line.split(is_separator).filter_map(move |field| {
        let lead = field.iter().take_while(|byte| is_space(**byte)).count();
        let start = at.saturating_add(lead);
        at = at.saturating_add(field.len()).saturating_add(1);
        (comma || !field.is_empty()).then(|| (start, trimmed(field)))
    })
}

fn trimmed(mut field: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = field {
        field = rest;
    }
    field
}

/// Parses one line (its newline, if it has one, included) into `row`.
pub(super) fn parse<K: Kind>(
    kind: &K,
    layout: &Layout,
    line: &[u8],
    is_first: bool,
    row: &mut [K::Value],
) -> Result<(), Fault> {
    let bare = without_return(line);
    let is_cut = !line.ends_with(b"\n");
    if is_blank(bare) {
        return Err(Fault::new("E-BLANK", 0, "a blank line between rows")
            .hint("every line is one row; a missing line would shift all later rows"));
    }
    let mut slots = row.iter_mut();
    let mut found = 0_usize;
    let mut extra = None;
    for (start, token) in tokens(bare, layout.comma) {
        found = found.saturating_add(1);
        match slots.next() {
            Some(slot) => {
                *slot = value(kind, token).map_err(|fault| {
                    diagnose::token(fault, bare, start, token, layout, is_first, is_cut)
                })?;
            }
            None => extra = extra.or(Some((start, token))),
        }
    }
    match extra {
        Some((start, token)) if value(kind, token).is_err() => {
            let fault = diagnose::not_a_number();
            Err(diagnose::token(fault, bare, start, token, layout, is_first, is_cut))
        }
        Some((start, _)) => Err(ragged(found, layout, start, is_cut)),
        None if found < layout.columns => Err(ragged(found, layout, bare.len(), is_cut)),
        None => Ok(()),
    }
}

fn value<K: Kind>(kind: &K, token: &[u8]) -> Result<K::Value, Fault> {
    match kind.fast(token) {
        Some((value, length)) if length == token.len() => Ok(value),
        _ if token.len() > diagnose::LONGEST_TOKEN => Err(diagnose::too_long(token)),
        _ => kind.exact(token),
    }
}

fn ragged(found: usize, layout: &Layout, start: usize, is_cut: bool) -> Fault {
    let Layout { columns, first_line, .. } = layout;
    let message = format!("{found} columns, expected {columns} as in line {first_line}");
    let hint = if is_cut { "the file may be cut: its last line has no end" } else { "" };
    Fault::new("E-RAGGED", start, message).in_row().hint(hint)
}
