//! What is drawn from: distinct values and how many rows have each.

use crate::shape::check_shape;
use crate::{Error, Result};

/// Distinct values and how many rows have each.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The values, `(distinct,)`.
    pub values: &'a [f64],
    /// How many rows have each, at least 1; `(distinct,)`.
    pub counts: &'a [u64],
}

impl Values<'_> {
    /// The number of rows, if sizes agree, counts are positive and values finite.
    pub(super) fn checked(self) -> Result<u64> {
        let Self { values, counts } = self;
        check_shape("values", values.len(), counts.len())?;
        if let Some(row) = counts.iter().position(|&count| count == 0) {
            let rule = "at least one row";
            return Err(Error::Value { name: "counts", row, column: 0, value: 0.0, rule });
        }
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NonFinite { name: "values", row, column: 0, value: values[row] });
        }
        let total = counts.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count));
        total.filter(|n| (1..=u64::from(u32::MAX)).contains(n)).ok_or(Error::Parameter {
            name: "rows",
            value: total.map_or(f64::INFINITY, |n| n as f64),
            rule: "1 to 2^32 - 1",
        })
    }
}
