//! Everything a kernel can refuse.

use thiserror::Error as ThisError;

/// The result of a kernel.
pub type Result<T> = std::result::Result<T, Error>;

/// What a kernel was given and cannot accept. Rows and columns count from 0.
#[derive(Debug, Clone, PartialEq, ThisError)]
pub enum Error {
    /// Two sizes that must agree do not.
    #[error("{name}: {got} values, expected {expected}")]
    Shape {
        /// The argument at fault.
        name: &'static str,
        /// Its size.
        got: usize,
        /// The size it must have.
        expected: usize,
    },
    /// An item index outside `0..n_items`.
    #[error("{name} row {row} column {column}: item {item}, expected 0 <= item < {n_items}")]
    ItemOutOfRange {
        /// The argument at fault.
        name: &'static str,
        /// The row that holds the item.
        row: usize,
        /// The column that holds the item.
        column: usize,
        /// The item.
        item: u64,
        /// The size of the catalogue.
        n_items: usize,
    },
    /// A NaN or infinity where a number is needed.
    #[error("{name} row {row} column {column}: {value}, expected a finite number")]
    NonFinite {
        /// The argument at fault.
        name: &'static str,
        /// The first row with such a value.
        row: usize,
        /// The first such column of that row.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A value outside the range its meaning allows.
    #[error("{name} row {row} column {column}: {value}, expected {rule}")]
    Value {
        /// The argument at fault.
        name: &'static str,
        /// The first row with such a value.
        row: usize,
        /// The first such column of that row.
        column: usize,
        /// The value.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// A target that is masked can have no rank.
    #[error("row {row}: target {item} is masked, expected a target that is a candidate")]
    MaskedTarget {
        /// The row.
        row: usize,
        /// Its target.
        item: u32,
    },
    /// Every item of the catalogue is excluded for a row.
    #[error(
        "row {row}: all {n_items} items are excluded, expected at least one possible negative; \
         drop the row or exclude only its window"
    )]
    NoNegative {
        /// The row.
        row: usize,
        /// The size of the catalogue.
        n_items: usize,
    },
    /// A scalar parameter outside its range.
    #[error("{name} = {value}, expected {rule}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// The memory for the result could not be allocated.
    #[error("{bytes} bytes could not be allocated; use fewer rows at a time")]
    Memory {
        /// The size of the allocation that failed.
        bytes: usize,
    },
    /// The caller cancelled the kernel.
    #[error("interrupted")]
    Interrupted,
}
