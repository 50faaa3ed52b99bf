//! Windows: the last items before a target, padded to one length.

use crate::{CancelToken, Error, Result, parallel};

/// Rows of windows between two checks of the cancel token.
const ROWS: usize = 1 << 12;

/// Rows whose events are fetched together.
const NEAR: usize = 64;

/// Rows to cut windows for: row `r` predicts `events[end[r]]` from the events before it, of which
/// the first that may be seen is `events[start[r]]`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Items, user after user, oldest first.
    pub events: &'a [u32],
    /// First event of each row's history, `(rows,)`.
    pub start: &'a [i64],
    /// Each row's target, `(rows,)`.
    pub end: &'a [i64],
}

/// Where windows go.
#[derive(Debug)]
pub struct Windows<'a> {
    /// The last `max_length` items before each target, oldest first, `(rows, max_length)`.
    pub sequences: &'a mut [u32],
    /// How many of them are real, `(rows,)`.
    pub lengths: &'a mut [u32],
    /// The targets, `(rows,)`.
    pub targets: &'a mut [u32],
}

/// Cuts the windows of some rows, padded with `padding` on the right.
///
/// # Errors
///
/// [`Error::Shape`]; [`Error::Parameter`] for windows of no items; [`Error::Value`] unless
/// `0 <= start < end < events`; [`Error::Interrupted`].
pub fn gather_windows(
    rows: Rows,
    max_length: usize,
    padding: u32,
    out: Windows,
    cancel: &CancelToken,
) -> Result<()> {
    let Windows { sequences, lengths, targets } = out;
    if max_length == 0 {
        return Err(Error::Parameter { name: "max_length", value: 0.0, rule: "at least 1" });
    }
    let n_rows = rows.end.len();
    for (name, got, expected) in [
        ("start", rows.start.len(), n_rows),
        ("sequences", sequences.len(), n_rows.saturating_mul(max_length)),
        ("lengths", lengths.len(), n_rows),
        ("targets", targets.len(), n_rows),
    ] {
        if got != expected {
            return Err(Error::Shape { name, got, expected });
        }
    }
    let outputs = sequences.chunks_mut(ROWS * max_length).zip(lengths.chunks_mut(ROWS));
    let mut parts: Vec<_> = outputs.zip(targets.chunks_mut(ROWS)).collect();
    parallel::try_for_each_chunk(&mut parts, 1, cancel, |index, part| {
        part.iter_mut().try_for_each(|((sequences, lengths), targets)| {
            let blocks = sequences.chunks_mut(NEAR * max_length).zip(lengths.chunks_mut(NEAR));
            for ((first, block), targets) in
                (index * ROWS..).step_by(NEAR).zip(blocks).zip(targets.chunks_mut(NEAR))
            {
                // All targets first: the rows may be anywhere, and this way the cache misses overlap.
                for (row, target) in (first..).zip(targets) {
                    *target = rows.events[checked(rows, row)?.1];
                }
                let (sequences, lengths) = block;
                let windows = sequences.chunks_exact_mut(max_length).zip(lengths);
                for (row, (window, length)) in (first..).zip(windows) {
                    let (start, end) = checked(rows, row)?;
                    let history = &rows.events[start.max(end.saturating_sub(max_length))..end];
                    let (items, rest) = window.split_at_mut(history.len());
                    items.copy_from_slice(history);
                    rest.fill(padding);
                    *length = history.len() as u32;
                }
            }
            Ok(())
        })
    })
}

/// A row's bounds, if they are valid.
fn checked(rows: Rows, row: usize) -> Result<(usize, usize)> {
    let (start, end) = (rows.start[row], rows.end[row]);
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start < end && end < rows.events.len() => Ok((start, end)),
        _ => Err(outside(rows, row)),
    }
}

fn outside(rows: Rows, row: usize) -> Error {
    Error::Value {
        name: "end",
        row,
        column: 0,
        value: rows.end[row] as f64,
        rule: "0 <= start < end < number of events",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(rows: Rows, max_length: usize) -> Result<(Vec<u32>, Vec<u32>, Vec<u32>)> {
        let n = rows.end.len();
        let (mut sequences, mut lengths, mut targets) =
            (vec![7; n * max_length], vec![7; n], vec![7; n]);
        let out =
            Windows { sequences: &mut sequences, lengths: &mut lengths, targets: &mut targets };
        gather_windows(rows, max_length, 99, out, &CancelToken::new())?;
        Ok((sequences, lengths, targets))
    }

    #[test]
    fn a_window_is_the_end_of_a_history() {
        let rows = Rows { events: &[10, 11, 12, 13], start: &[0, 0, 2], end: &[3, 1, 3] };
        let expected = (vec![11, 12, 10, 99, 12, 99], vec![2, 1, 1], vec![13, 11, 13]);
        assert_eq!(windows(rows, 2).unwrap(), expected);
    }

    #[test]
    fn a_row_outside_the_events_is_named() {
        for (start, end) in [(0, 4), (-1, 2), (2, 2), (3, 1), (0, -1), (i64::MIN, i64::MAX)] {
            let rows = Rows { events: &[1, 2, 3, 4], start: &[0, start], end: &[1, end] };
            match windows(rows, 3) {
                Err(Error::Value { name: "end", row: 1, .. }) => {}
                other => panic!("{start}..{end}: {other:?}"),
            }
        }
    }
}
