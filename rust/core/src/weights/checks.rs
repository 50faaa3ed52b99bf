//! The checks that several weights share.

use crate::{Error, Result};

/// Fails unless the rule holds and the value is finite.
pub(super) fn check_parameter(
    name: &'static str,
    value: f64,
    holds: bool,
    rule: &'static str,
) -> Result<()> {
    if holds && value.is_finite() { Ok(()) } else { Err(Error::Parameter { name, value, rule }) }
}

/// Fails at the first value that is not finite or negative; `first_row` is the row of `values[0]`.
pub(super) fn check_values(
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
