//! One line, with care: every accepted spelling, and every fault at its byte.

use super::diagnose;
use super::fault::Fault;
use super::layout::Layout;
use super::line::{is_blank, tokens, without_return};
use super::values::value_rules::ValueRules;

/// Parses one line (its newline, if it has one, included) into `row`.
pub(super) fn parse<R: ValueRules>(
    rules: &R,
    layout: &Layout,
    line: &[u8],
    is_first: bool,
    row: &mut [R::Value],
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
                *slot = value(rules, token).map_err(|fault| {
                    diagnose::token(fault, bare, start, token, layout, is_first, is_cut)
                })?;
            }
            None => extra = extra.or(Some((start, token))),
        }
    }
    match extra {
        Some((start, token)) if value(rules, token).is_err() => {
            let fault = diagnose::not_a_number();
            Err(diagnose::token(fault, bare, start, token, layout, is_first, is_cut))
        }
        Some((start, _)) => Err(ragged(rules, found, layout, start, is_cut)),
        None => match rules.nothing() {
            Some(nothing) => {
                slots.for_each(|slot| *slot = nothing);
                Ok(())
            }
            None if found < layout.columns => Err(ragged(rules, found, layout, bare.len(), is_cut)),
            None => Ok(()),
        },
    }
}

fn value<R: ValueRules>(rules: &R, token: &[u8]) -> Result<R::Value, Fault> {
    match rules.fast(token) {
        Some((value, length)) if length == token.len() => Ok(value),
        _ if token.len() > diagnose::LONGEST_TOKEN => Err(diagnose::too_long(token)),
        _ => rules.exact(token),
    }
}

fn ragged<R: ValueRules>(
    rules: &R,
    found: usize,
    layout: &Layout,
    start: usize,
    is_cut: bool,
) -> Fault {
    let Layout { columns, first_line, .. } = layout;
    let message = format!("{found} columns, expected {columns} as in line {first_line}");
    let cut = "the file may be cut: its last line has no end";
    let hint = match rules.nothing() {
        _ if is_cut => cut,
        None => rules.ragged_hint(),
        Some(_) => "the longest list of a pipe must come first; write a file",
    };
    Fault::new("E-RAGGED", start, message).in_row().hint(hint)
}
