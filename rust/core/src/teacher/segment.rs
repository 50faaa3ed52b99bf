//! A piece of a block, parsed by one thread.

use crate::Error;

use super::fault::Fault;
use super::layout::Layout;
use super::line::{first_line, tokens, without_return};
use super::row;
use super::values::value_rules::ValueRules;

/// The rows of one piece, up to its end or its first fault; reused from block to block.
#[derive(Debug)]
pub(super) struct Segment<R: ValueRules> {
    /// Numbers of the rows, and behind them leftovers of an earlier block.
    values: Vec<R::Value>,
    n_values: usize,
    pub rows: usize,
    pub tally: R::Tally,
    /// The first fault and where its line starts in the piece.
    pub fault: Option<(usize, Fault)>,
}

impl<R: ValueRules> Default for Segment<R> {
    fn default() -> Self {
        let tally = R::Tally::default();
        Self { values: Vec::new(), n_values: 0, rows: 0, tally, fault: None }
    }
}

impl<R: ValueRules> Segment<R> {
    /// The numbers of the rows.
    pub(super) fn values(&self) -> &[R::Value] {
        self.values.get(..self.n_values).unwrap_or_default()
    }

    /// Parses a piece of whole lines.
    pub(super) fn parse(
        &mut self,
        rules: &R,
        layout: &Layout,
        piece: &[u8],
        has_first_row: bool,
    ) -> Result<(), Error> {
        (self.n_values, self.rows, self.fault) = (0, 0, None);
        let mut rest = piece;
        while !rest.is_empty() {
            let end = self.n_values.saturating_add(layout.columns);
            self.provide(end)?;
            let slots = self.values.get_mut(self.n_values..end).unwrap_or_default();
            let is_first = has_first_row && self.rows == 0;
            match one_row(rules, layout, rest, is_first, slots, &mut self.tally) {
                Ok(after) => rest = after,
                Err(fault) => {
                    self.fault = Some((piece.len().saturating_sub(rest.len()), fault));
                    return Ok(());
                }
            }
            (self.n_values, self.rows) = (end, self.rows.saturating_add(1));
        }
        Ok(())
    }

    /// Makes sure that there are `end` slots.
    fn provide(&mut self, end: usize) -> Result<(), Error> {
        if let Some(more) = end.checked_sub(self.values.len()) {
            let bytes = end.saturating_mul(size_of::<R::Value>());
            self.values.try_reserve(more).map_err(|_| Error::Memory { bytes })?;
            self.values.resize(end, R::Value::default());
        }
        Ok(())
    }
}

/// Parses the first line of `text`; returns what follows it.
#[inline]
fn one_row<'a, R: ValueRules>(
    rules: &R,
    layout: &Layout,
    text: &'a [u8],
    is_first: bool,
    slots: &mut [R::Value],
    tally: &mut R::Tally,
) -> Result<&'a [u8], Fault> {
    let at_once = rules.fast_row(text, layout.separator, slots).and_then(|end| text.get(end..));
    let after = match at_once.or_else(|| usual_row(rules, layout.separator, text, slots)) {
        Some(after) => after,
        None => careful_row(rules, layout, text, is_first, slots)?,
    };
    rules.finish_row(slots, tally).map_err(|(column, fault)| {
        let line = without_return(first_line(text).0);
        let (start, token) = tokens(line, layout.comma).nth(column).unwrap_or((0, line));
        Fault { start, ..fault }.token(token)
    })?;
    Ok(after)
}

/// A row as programs write it: single separators, a plain line end. `None`: look closer.
#[inline]
fn usual_row<'a, R: ValueRules>(
    rules: &R,
    separator: u8,
    text: &'a [u8],
    slots: &mut [R::Value],
) -> Option<&'a [u8]> {
    let (last, others) = slots.split_last_mut()?;
    let mut rest = text;
    for slot in others {
        let (value, length) = rules.fast(rest)?;
        let (&mark, after) = rest.get(length..)?.split_first()?;
        if mark != separator {
            return None;
        }
        *slot = value;
        rest = after;
    }
    let (value, length) = rules.fast(rest)?;
    *last = value;
    match rest.get(length..)? {
        [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => Some(after),
        _ => None,
    }
}

#[cold]
fn careful_row<'a, R: ValueRules>(
    rules: &R,
    layout: &Layout,
    text: &'a [u8],
    is_first: bool,
    slots: &mut [R::Value],
) -> Result<&'a [u8], Fault> {
    let (line, after) = first_line(text);
    row::parse(rules, layout, line, is_first, slots)?;
    Ok(after)
}
