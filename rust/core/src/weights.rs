//! The weights of the teacher's listed items: position, confidence, consistency and their blend.
//!
//! The first two depend on the teacher alone; they are computed in float64 and rounded once. The
//! third compares the teacher's list with the student's and is 0 or 1.
//!
//! # Performance diary
//!
//! Nanoseconds per item on one thread, in cache.
//!
//! - `f64::exp` is a call per element, 9. [`exp`] is a polynomial that the compiler turns into
//!   vector code and that gives the same bits on every machine: 4.3, 2.4 compiled for AVX2 with
//!   [`crate::multiversion`] (which is why that exists), 1.8 with the polynomial in Estrin's order.
//! - Overlap of two lists: see [`overlap`]; .7 to 2.0.
//! - The blend: indices into slices cut to one length; with bounds checks it was 2, now .6 to 1.
//! - What costs most from some ten million items on is the first touch of the result's pages: from
//!   distances to blended weights in one pass, with one result and no array between.

use crate::{Error, Result};

mod blend;
mod confidence;
mod consistency;
mod exp;
mod overlap;

pub use blend::{Blend, Confidence, Position, blend_weights, position_weight, ranking_weights};
pub use confidence::{candidate_confidence, sequence_confidence};
pub use consistency::consistency_from_scores;
pub use overlap::{Matrix, consistency_weight, overlap_steps};

fn check_parameter(name: &'static str, value: f64, holds: bool, rule: &'static str) -> Result<()> {
    if holds && value.is_finite() { Ok(()) } else { Err(Error::Parameter { name, value, rule }) }
}

fn check_shape(name: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Shape { name, got, expected }) }
}

/// Fails at the first value that is not finite or negative; `first_row` is the row of `values[0]`.
fn check_values(
    name: &'static str,
    values: &[f32],
    columns: usize,
    first_row: usize,
    rule: &'static str,
) -> Result<()> {
    let is_right = |value: f32| (0.0..=f32::MAX).contains(&value);
    if values.iter().fold(true, |right, &value| right & is_right(value)) {
        return Ok(());
    }
    let place = values.iter().position(|&value| !is_right(value)).unwrap_or_default();
    let (row, column) = (first_row + place / columns, place % columns);
    let value = f64::from(values[place]);
    if value.is_finite() {
        return Err(Error::Value { name, row, column, value, rule });
    }
    Err(Error::NonFinite { name, row, column, value })
}

/// The sum in four interleaved parts, an order that vector code can follow.
#[expect(clippy::inline_always, reason = "for multiversion::run")]
#[inline(always)]
fn sum(values: &[f64]) -> f64 {
    let (vectors, rest) = values.as_chunks::<4>();
    let mut parts = [0.0; 4];
    for vector in vectors {
        for (part, value) in parts.iter_mut().zip(vector) {
            *part += value;
        }
    }
    (parts[0] + parts[1]) + (parts[2] + parts[3]) + rest.iter().sum::<f64>()
}

/// `len` zeros, or [`Error::Memory`].
fn zeros<T: Clone + Default>(len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>());
    values.try_reserve_exact(len).map_err(|_| Error::Memory { bytes })?;
    values.resize(len, T::default());
    Ok(values)
}
