//! A piece of a block, parsed by one thread.

use crate::Error;

use super::Kind;
use super::fault::Fault;
use super::layout::Layout;
use super::line::{first_line, tokens, without_return};
use super::row;

/// The rows of one piece, up to its end or its first fault; reused from block to block.
#[derive(Debug)]
pub(super) struct Segment<K: Kind> {
    /// Numbers of the rows, and behind them what an earlier block left.
    values: Vec<K::Value>,
    n_values: usize,
    pub rows: usize,
    pub tally: K::Tally,
    /// The first fault and where its line starts in the piece.
    pub fault: Option<(usize, Fault)>,
}

impl<K: Kind> Default for Segment<K> {
    fn default() -> Self {
        let tally = K::Tally::default();
        Self { values: Vec::new(), n_values: 0, rows: 0, tally, fault: None }
    }
}

impl<K: Kind> Segment<K> {
    /// The numbers of the rows.
    pub(super) fn values(&self) -> &[K::Value] {
        self.values.get(..self.n_values).unwrap_or_default()
    }

    /// Parses a piece of whole lines.
    pub(super) fn parse(
        &mut self,
        kind: &K,
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
            match one_row(kind, layout, rest, is_first, slots, &mut self.tally) {
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
            let bytes = end.saturating_mul(size_of::<K::Value>());
            self.values.try_reserve(more).map_err(|_| Error::Memory { bytes })?;
            self.values.resize(end, K::Value::default());
        }
        Ok(())
    }
}

/// Parses the first line of `text`; returns what follows it.
#[inline]
fn one_row<'a, K: Kind>(
    kind: &K,
    layout: &Layout,
    text: &'a [u8],
    is_first: bool,
    slots: &mut [K::Value],
    tally: &mut K::Tally,
) -> Result<&'a [u8], Fault> {
    let at_once = kind.fast_row(text, layout.separator, slots).and_then(|end| text.get(end..));
    let after = match at_once.or_else(|| usual_row(kind, layout.separator, text, slots)) {
        Some(after) => after,
        None => careful_row(kind, layout, text, is_first, slots)?,
    };
    kind.finish_row(slots, tally).map_err(|(column, fault)| {
        let line = without_return(first_line(text).0);
        let (start, token) = tokens(line, layout.comma).nth(column).unwrap_or((0, line));
        Fault { start, ..fault }.token(token)
    })?;
    Ok(after)
}

/// A row as programs write it: single separators, a plain line end. `None`: look closer.
#[inline]
fn usual_row<'a, K: Kind>(
    kind: &K,
    separator: u8,
    text: &'a [u8],
    slots: &mut [K::Value],
) -> Option<&'a [u8]> {
    let (last, others) = slots.split_last_mut()?;
    let mut rest = text;
    for slot in others {
        let (value, length) = kind.fast(rest)?;
        let (&mark, after) = rest.get(length..)?.split_first()?;
        if mark != separator {
            return None;
        }
        *slot = value;
        rest = after;
    }
    let (value, length) = kind.fast(rest)?;
    *last = value;
    match rest.get(length..)? {
        [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => Some(after),
        _ => None,
    }
}

#[cold]
fn careful_row<'a, K: Kind>(
    kind: &K,
    layout: &Layout,
    text: &'a [u8],
    is_first: bool,
    slots: &mut [K::Value],
) -> Result<&'a [u8], Fault> {
    let (line, after) = first_line(text);
    row::parse(kind, layout, line, is_first, slots)?;
    Ok(after)
}
